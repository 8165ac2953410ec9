-- The index as it was first laid out. Every field of the field table has a column or a table of its own;
-- what follows a rename by itself references tasks(id) ON UPDATE CASCADE.

-- Narrow columns that decide first, long ones last: a look at a status does not touch overflow pages.
CREATE TABLE tasks (
    id TEXT PRIMARY KEY NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'in-progress', 'completed', 'failed', 'blocked')),
    deleted_at TEXT,
    archived_at TEXT,
    revision INTEGER NOT NULL,
    priority TEXT,
    priority_rank INTEGER NOT NULL GENERATED ALWAYS AS (
        CASE WHEN priority IS NULL THEN 5
            ELSE CASE priority WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 WHEN 'low' THEN 3
                ELSE 4 END
        END
    ) VIRTUAL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    path TEXT NOT NULL,
    parent TEXT,
    scope TEXT,
    risk TEXT,
    impact TEXT,
    level TEXT,
    assignee TEXT,
    due TEXT,
    estimate REAL,
    created TEXT,
    modified TEXT,
    reason TEXT,
    started TEXT,
    completed TEXT,
    fence INTEGER NOT NULL,
    progress_percent INTEGER,
    progress_text TEXT,
    progress_at TEXT,
    progress_by TEXT,
    actual_hours REAL,
    merge_commit TEXT,
    merge_date TEXT,
    merge_author TEXT,
    merge_pr TEXT,
    text TEXT NOT NULL,
    completion_summary TEXT,
    extra TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- The best ready task is the first of this walk that nothing blocks and nobody holds.
CREATE INDEX tasks_ready ON tasks (priority_rank, created_at, id)
    WHERE status = 'pending' AND deleted_at IS NULL AND archived_at IS NULL;
CREATE INDEX tasks_rank ON tasks (priority_rank, created_at, id)
    WHERE deleted_at IS NULL AND archived_at IS NULL;
CREATE INDEX tasks_status ON tasks (status) WHERE deleted_at IS NULL AND archived_at IS NULL;
CREATE INDEX tasks_assignee ON tasks (assignee) WHERE assignee IS NOT NULL;
CREATE INDEX tasks_due ON tasks (due) WHERE due IS NOT NULL;
CREATE INDEX tasks_path ON tasks (path);
CREATE INDEX tasks_parent ON tasks (parent) WHERE parent IS NOT NULL;
CREATE INDEX tasks_deleted ON tasks (priority_rank, created_at, id) WHERE deleted_at IS NOT NULL;

-- A slug, not a key: an edge to a task that does not exist yet is kept and heals when it appears.
CREATE TABLE dependencies (
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    position INTEGER NOT NULL,
    depends_on TEXT NOT NULL,
    PRIMARY KEY (task, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_depends_on ON dependencies (depends_on, task);

CREATE TABLE tags (
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    position INTEGER NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (task, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_tag ON tags (tag, task);

CREATE TABLE criteria (
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    position INTEGER NOT NULL,
    criterion TEXT NOT NULL,
    measurable TEXT,
    met INTEGER NOT NULL CHECK (met IN (0, 1)),
    PRIMARY KEY (task, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE claims (
    task TEXT PRIMARY KEY NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    holder TEXT NOT NULL,
    session TEXT NOT NULL,
    worktree TEXT NOT NULL,
    token INTEGER NOT NULL,
    since TEXT NOT NULL,
    expires TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX claims_holder ON claims (holder);
CREATE INDEX claims_expires ON claims (expires);

CREATE TABLE notes (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    at TEXT NOT NULL,
    by TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX notes_task ON notes (task);

CREATE TABLE private_notes (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    at TEXT NOT NULL,
    by TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX private_notes_task ON private_notes (task);

CREATE TABLE feedback (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    at TEXT NOT NULL,
    by TEXT NOT NULL,
    quality INTEGER NOT NULL,
    timeliness INTEGER NOT NULL,
    notes TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_task ON feedback (task);

CREATE TABLE participants (
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    joined_at TEXT NOT NULL,
    PRIMARY KEY (task, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE context (
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    at TEXT NOT NULL,
    by TEXT NOT NULL,
    PRIMARY KEY (task, key)
) STRICT, WITHOUT ROWID;

-- Names that a task had before; they stay taken.
CREATE TABLE aliases (
    alias TEXT PRIMARY KEY NOT NULL,
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_task ON aliases (task);

CREATE TABLE heads (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX heads_revision ON heads (task, revision, text);
CREATE INDEX heads_text ON heads (task, text);

-- Texts that a replica was heard saying, and that were never a head.
CREATE TABLE heard (
    task TEXT NOT NULL REFERENCES tasks (id) ON UPDATE CASCADE ON DELETE CASCADE,
    text TEXT NOT NULL,
    PRIMARY KEY (task, text)
) STRICT, WITHOUT ROWID;

CREATE TABLE texts (
    hash TEXT PRIMARY KEY NOT NULL,
    text BLOB NOT NULL
) STRICT;

-- `stamp` is five numbers of the kernel in one text, compared whole: a device or inode number may need
-- all 64 bits unsigned, and a file dated after 2262 has more nanoseconds than 63 bits hold.
CREATE TABLE bases (
    worktree TEXT NOT NULL,
    path TEXT NOT NULL,
    task TEXT,
    text TEXT,
    stamp TEXT,
    head TEXT,
    blob TEXT,
    seen_ns INTEGER,
    PRIMARY KEY (worktree, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX bases_task ON bases (task) WHERE task IS NOT NULL;

-- What a replica has said since it was last saved by hand: an editor may still hold any of these.
CREATE TABLE carried (
    id INTEGER PRIMARY KEY,
    worktree TEXT NOT NULL,
    path TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX carried_text ON carried (worktree, path, text);

-- Append-only. An entry keeps the name its task had then; aliases lead to it.
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    task TEXT NOT NULL,
    field TEXT NOT NULL,
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    session TEXT NOT NULL,
    worktree TEXT NOT NULL,
    cause TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX journal_task ON journal (task);

CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    worktree TEXT NOT NULL,
    path TEXT NOT NULL,
    task TEXT NOT NULL,
    expected TEXT,
    wanted TEXT,
    at TEXT NOT NULL
) STRICT;

CREATE TABLE conflicts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task TEXT NOT NULL,
    field TEXT NOT NULL,
    worktree TEXT NOT NULL,
    base_value TEXT NOT NULL,
    index_value TEXT NOT NULL,
    file_value TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
CREATE INDEX conflicts_task ON conflicts (task, field, worktree);

CREATE TABLE problems (
    id INTEGER PRIMARY KEY,
    worktree TEXT NOT NULL,
    path TEXT NOT NULL,
    line INTEGER,
    reason TEXT NOT NULL,
    remedy TEXT NOT NULL,
    task TEXT,
    field TEXT,
    kind TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
CREATE INDEX problems_file ON problems (worktree, path);

CREATE TABLE holds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    worktree TEXT NOT NULL UNIQUE,
    reason TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
CREATE TABLE hold_tasks (
    hold INTEGER NOT NULL REFERENCES holds (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    task TEXT NOT NULL,
    PRIMARY KEY (hold, position)
) STRICT, WITHOUT ROWID;

-- Errands: what has still to be done for a task after its row is true.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    task TEXT NOT NULL,
    UNIQUE (target, task)
) STRICT;
CREATE INDEX outbox_target ON outbox (target, seq);

CREATE TABLE worktrees (
    key TEXT PRIMARY KEY NOT NULL,
    path TEXT NOT NULL,
    identity TEXT NOT NULL,
    state TEXT NOT NULL
) STRICT;

CREATE TABLE meta (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE replies (
    request TEXT PRIMARY KEY NOT NULL,
    reply TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;

-- One row: who may write. Raised by whoever takes the index over.
CREATE TABLE epoch (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO epoch (one, epoch) VALUES (1, 0);
