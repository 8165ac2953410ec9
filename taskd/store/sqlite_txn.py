"""Writing the SQLite index: every change of `Txn`, within the one transaction that a write is."""

# ruff: noqa: S608 - every value is bound; what is put together here are constants of our own

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

from taskd.core.task import ContextItem, Feedback, Note, Participant, PrivateNote, Task
from taskd.core.texts import text_hash
from taskd.errors import Fenced, NotFound, StoreFailed
from taskd.store.base import Base, Conflict, Entry, Errand, Hold, Intent, Problem, Txn, WorktreeRow
from taskd.store.sqlite_files import TROUBLE, told
from taskd.store.sqlite_put import demand_free, insert_task, rename_task, update_task
from taskd.store.sqlite_rows import entry_row, stamp_text
from taskd.store.sqlite_view import SqliteView
from taskd.store.values import jsoned, settled_problems

_ENTRY = (
    "INSERT INTO journal (task, field, old, new, at, actor, session, worktree, cause, revision)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_PROBLEM = (
    "INSERT INTO problems (worktree, path, line, reason, remedy, task, field, kind, since)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class SqliteTxn(SqliteView, Txn):
    """One write in the making, on the connection that writes."""

    def __init__(self, conn: sqlite3.Connection, now: str) -> None:
        """Write through `conn`, which is in an immediate transaction."""
        super().__init__(conn, now)
        self._depth = 0

    def _run(self, sql: str, facts: Any = ()) -> int:  # noqa: ANN401 - what sqlite3 binds
        """Carry out a statement; how many rows it changed."""
        return self._cursor(sql, facts).rowcount

    def _insert(self, sql: str, facts: Any) -> int:  # noqa: ANN401 - what sqlite3 binds
        """Carry out an insert; the number of the row."""
        return self._cursor(sql, facts).lastrowid or 0

    def _cursor(self, sql: str, facts: Any) -> sqlite3.Cursor:  # noqa: ANN401 - what sqlite3 binds
        """Carry out a statement that gives no rows.

        A full disk may make SQLite undo the whole transaction by itself; whatever came after would then
        be committed alone, so nothing does.
        """
        conn = self._conn
        if conn is None or not conn.in_transaction:
            raise StoreFailed(reason="this view of it is over, or its write was undone")
        try:
            return conn.execute(sql, facts)
        except TROUBLE as error:
            raise told(error) from error

    def demand_epoch(self, ours: int) -> None:
        """Fenced unless the index's epoch is still `ours`."""
        if (epoch := self.epoch()) != ours:
            raise Fenced(epoch=epoch, ours=ours)

    def epoch(self) -> int:
        """The epoch of whoever took the index over last."""
        return int(self._first("SELECT epoch FROM epoch"))

    def raise_epoch(self) -> int:
        """Make every earlier epoch old."""
        self._run("UPDATE epoch SET epoch = epoch + 1")
        return self.epoch()

    def skip_ahead(self, number: int) -> None:
        """Give out no journal number and no claim token up to `number` any more."""
        self._run("UPDATE tasks SET fence = max(fence, ?)", (number,))
        if not self._run("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'journal'", (number,)):
            self._run("INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?)", (number,))

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """A part that is undone alone."""
        name = f"part{self._depth}"
        self._run(f"SAVEPOINT {name}")
        self._depth += 1
        try:
            yield
        except BaseException:
            if self._conn is not None and self._conn.in_transaction:
                self._run(f"ROLLBACK TO {name}")
                self._run(f"RELEASE {name}")
            raise
        else:
            self._run(f"RELEASE {name}")
        finally:
            self._depth -= 1

    def put(self, new: Task, old: Task | None) -> None:
        """Insert a task, or update it from `old`."""
        if old is None:
            demand_free(self.taken([new.id]), new.id)
            insert_task(self._run, new)
            return
        if new.id != old.id:
            reason = f"put cannot make {old.id} into {new.id}; rename does"
            raise ValueError(reason)
        update_task(self._run, new, old)

    def rename(self, old: str, new: str) -> None:
        """Give a task another id. NotFound without the task; a former name of its own may come back."""
        self._demand_task(old)
        if new == old:
            return
        if self._canonical([new])[new] != old:
            demand_free(self.taken([new]), new)
        rename_task(self._run, old, new)

    def _demand_task(self, id: str) -> None:
        if not self._all("SELECT 1 FROM tasks WHERE id = ?", (id,)):
            raise NotFound(id)

    def add_note(self, task: str, note: Note) -> None:
        """Append a note."""
        self._demand_task(task)
        row = (task, note.at, note.by, note.text)
        self._run("INSERT INTO notes (task, at, by, text) VALUES (?, ?, ?, ?)", row)

    def add_private_note(self, task: str, note: PrivateNote) -> None:
        """Append a private note."""
        self._demand_task(task)
        row = (task, note.at, note.by, note.text)
        self._run("INSERT INTO private_notes (task, at, by, text) VALUES (?, ?, ?, ?)", row)

    def add_feedback(self, task: str, feedback: Feedback) -> None:
        """Append feedback."""
        self._demand_task(task)
        row = (task, feedback.at, feedback.by, feedback.quality, feedback.timeliness, feedback.notes)
        sql = "INSERT INTO feedback (task, at, by, quality, timeliness, notes) VALUES (?, ?, ?, ?, ?, ?)"
        self._run(sql, row)

    def put_participant(self, task: str, participant: Participant) -> None:
        """Add a participant, or change the role; when they joined stays."""
        self._demand_task(task)
        self._run(
            "INSERT INTO participants (task, name, role, joined_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (task, name) DO UPDATE SET role = excluded.role",
            (task, participant.name, participant.role, participant.joined_at),
        )

    def put_context(self, task: str, item: ContextItem) -> None:
        """Set one shared key."""
        self._demand_task(task)
        sql = "INSERT OR REPLACE INTO context (task, key, value, at, by) VALUES (?, ?, ?, ?, ?)"
        self._run(sql, (task, item.key, item.value, item.at, item.by))

    def record(self, entries: Sequence[Entry]) -> int:
        """Append to the journal; the number of the last entry, of the journal's last without entries."""
        last = None
        for entry in entries:
            last = self._insert(_ENTRY, entry_row(entry))
        return last or self._first("SELECT max(seq) FROM journal") or 0

    def keep(self, text: bytes) -> str:
        """Keep a text."""
        name = text_hash(text)
        self._run("INSERT OR IGNORE INTO texts (hash, text) VALUES (?, ?)", (name, text))
        return name

    def hear(self, task: str, text: str) -> None:
        """Know a text of a task."""
        self._run("INSERT OR IGNORE INTO heard (task, text) VALUES (?, ?)", (task, text))

    def put_base(self, base: Base) -> None:
        """Set the base of one replica."""
        row = (base.worktree, base.path, base.task, base.text, stamp_text(base.stamp))
        git = (base.head, base.blob, base.seen_ns, base.moves)
        columns = "worktree, path, task, text, stamp, head, blob, seen_ns, moves"
        holes = ", ".join("?" * 9)
        self._run(f"INSERT OR REPLACE INTO bases ({columns}) VALUES ({holes})", (*row, *git))

    def carry(self, worktree: str, path: str, text: str) -> None:
        """Note down what a replica carries."""
        self._run(
            "INSERT OR REPLACE INTO carried (worktree, path, text) VALUES (?, ?, ?)", (worktree, path, text)
        )

    def drop_carried(self, worktree: str, path: str) -> None:
        """Forget what a replica has carried."""
        self._run("DELETE FROM carried WHERE worktree = ? AND path = ?", (worktree, path))

    def drop_base(self, worktree: str, path: str) -> None:
        """Forget one replica, but for what it has carried."""
        self._run("DELETE FROM bases WHERE worktree = ? AND path = ?", (worktree, path))

    def drop_bases(self, worktree: str) -> None:
        """Forget every replica of a worktree."""
        for table in ("bases", "carried"):
            self._run(f"DELETE FROM {table} WHERE worktree = ?", (worktree,))

    def open_intent(self, intent: Intent) -> int:
        """Put an intent on record."""
        row = (intent.worktree, intent.path, intent.task, intent.expected, intent.wanted, intent.at)
        sql = "INSERT INTO intents (worktree, path, task, expected, wanted, at) VALUES (?, ?, ?, ?, ?, ?)"
        return self._insert(sql, row)

    def close_intent(self, id: int) -> None:
        """The intent is over."""
        self._run("DELETE FROM intents WHERE id = ?", (id,))

    def put_conflict(self, conflict: Conflict) -> int:
        """Open a conflict; of an equal one the other two values are brought up to date."""
        base, index, file = (
            jsoned(value, canonical=True) for value in (conflict.base, conflict.index, conflict.file)
        )
        same = (conflict.task, conflict.field, conflict.worktree, file)
        sql = (
            "SELECT id, base_value, index_value FROM conflicts"
            " WHERE task = ? AND field = ? AND worktree = ? AND file_value = ?"
        )
        for id, *values in self._all(sql, same):
            if values != [base, index]:
                update = "UPDATE conflicts SET base_value = ?, index_value = ? WHERE id = ?"
                self._run(update, (base, index, id))
            return int(id)
        sql = (
            "INSERT INTO conflicts (task, field, worktree, file_value, base_value, index_value, since)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        return self._insert(sql, (*same, base, index, conflict.since))

    def drop_conflict(self, id: int) -> None:
        """The conflict is settled."""
        self._run("DELETE FROM conflicts WHERE id = ?", (id,))

    def put_problems(self, worktree: str, path: str, problems: Sequence[Problem]) -> bool:
        """Set the problems of one file; nothing is written when they are the same."""
        old = self._problems_of(worktree, path)
        new = settled_problems(worktree, path, old, problems, self.now())
        if new == tuple(old):
            return False
        self._run("DELETE FROM problems WHERE worktree = ? AND path = ?", (worktree, path))
        for p in new:
            row = (worktree, path, p.line, p.reason, p.remedy, p.task, p.field, p.kind, p.since)
            self._run(_PROBLEM, row)
        return True

    def put_hold(self, hold: Hold) -> int:
        """Open a hold in place of the worktree's earlier one; the same again is the same hold."""
        for known in self.holds():
            if (known.worktree, known.tasks, known.reason) == (hold.worktree, hold.tasks, hold.reason):
                return known.id
        self._run("DELETE FROM holds WHERE worktree = ?", (hold.worktree,))
        row = (hold.worktree, hold.reason, hold.since)
        number = self._insert("INSERT INTO holds (worktree, reason, since) VALUES (?, ?, ?)", row)
        for position, task in enumerate(hold.tasks):
            sql = "INSERT INTO hold_tasks (hold, position, task) VALUES (?, ?, ?)"
            self._run(sql, (number, position, task))
        return number

    def drop_hold(self, id: int) -> None:
        """The hold was answered."""
        self._run("DELETE FROM holds WHERE id = ?", (id,))

    def enqueue(self, target: str, tasks: Iterable[str]) -> None:
        """Put tasks at the end of the queue."""
        for task in tasks:
            self._run("INSERT OR REPLACE INTO outbox (target, task) VALUES (?, ?)", (target, task))

    def dequeue(self, errands: Iterable[Errand]) -> None:
        """Take errands off that are still the same."""
        for errand in errands:
            sql = "DELETE FROM outbox WHERE seq = ? AND target = ? AND task = ?"
            self._run(sql, (errand.seq, errand.target, errand.task))

    def put_worktree(self, row: WorktreeRow) -> None:
        """Know a worktree."""
        sql = "INSERT OR REPLACE INTO worktrees (key, path, identity, state) VALUES (?, ?, ?, ?)"
        self._run(sql, (row.key, row.path, row.identity, row.state))

    def drop_worktree(self, key: str) -> None:
        """Forget a worktree and what was known of its files."""
        self._run("DELETE FROM worktrees WHERE key = ?", (key,))
        for table in ("bases", "carried", "problems", "holds"):
            self._run(f"DELETE FROM {table} WHERE worktree = ?", (key,))

    def put_meta(self, key: str, value: str | None) -> None:
        """Set or clear a setting."""
        if value is None:
            self._run("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self._run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    def put_reply(self, request: str, reply: str) -> None:
        """Remember the first answer to a request."""
        sql = "INSERT OR IGNORE INTO replies (request, reply, at) VALUES (?, ?, ?)"
        self._run(sql, (request, reply, self.now()))
