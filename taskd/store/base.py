"""The port behind which an index is kept: what every store promises.

A store keeps one index. Promises, each proven by the contract suite against every store:

* **Isolation.** `write()` blocks are serial: each sees everything committed before it began and
  nothing of any other. `read()` blocks see one snapshot from beginning to end, while a writer works.
* **All or nothing, durable.** A `write()` block that ends normally is on the disk when it ends;
  one that ends by an exception, or by SIGKILL, never happened. `savepoint()` nests.
* **Who may call.** One thread at a time per `write()`; any number of threads may `read()`. Several
  processes may open the same index.
* **Revisions.** `put(new, old)` fails with `Stale` unless the task's revision is still `old.revision`.
* **Nothing is recycled.** Journal numbers and claim tokens only grow; a deleted task stays as a
  tombstone and its id is taken for ever.

What happens if you drop it: an open `write()` is rolled back, a `read()` lets go of its snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from taskd.core.query import Query
from taskd.core.task import ContextItem, Feedback, Note, Participant, PrivateNote, Status, Task

#: meta key of an index that is a copy: the time it was made. Whoever opens it lives in a later time
COPIED: Final = "copied"
#: how the files of copies are called; sorted by name they are sorted by age
COPIES: Final = "index-*.db"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's identity and age as the kernel tells them; equal stamps mean not touched since."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Base:
    """What one replica said when it was last ingested or written.

    `text` is the hash of that document (its bytes are kept under it). `stamp` is the last look at
    the file, whatever it held; None forces a fresh look. `task` is None for a file that is no task.
    Where git tracks the file, `head` is the commit whose files stood in the worktree then and `blob` what
    git had for the file, `moves` how many entries the reflog of its HEAD had. `seen_ns` is the ctime the
    file had, or when it was written.
    """

    worktree: str
    path: str
    task: str | None
    text: str | None
    stamp: Stamp | None
    head: str | None = None
    blob: str | None = None
    seen_ns: int | None = None
    moves: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted change. `old` and `new` are JSON values; field `*` is the whole task.

    `seq` is 0 until the store has given it one.
    """

    task: str
    field: str
    old: object
    new: object
    at: str
    actor: str
    session: str
    worktree: str
    cause: str
    revision: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Intent:
    """A write to a replica that is about to happen; on record before it does.

    `expected` and `wanted` are text hashes, None meaning no file.
    """

    worktree: str
    path: str
    task: str
    expected: str | None
    wanted: str | None
    at: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two changes that cannot both stand, with all three values (JSON)."""

    task: str
    field: str
    worktree: str
    base: object
    index: object
    file: object
    since: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one file that a person should know, and what mends it.

    `path` is relative to the tasks directory. `kind` is `problem` (the file could not be taken),
    `refusal` (a request in it was refused) or `notice`.
    """

    worktree: str
    path: str
    line: int | None
    reason: str
    remedy: str
    task: str | None = None
    field: str | None = None
    kind: str = "problem"
    since: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Deletions that were not carried out until a person answers."""

    worktree: str
    tasks: tuple[str, ...]
    reason: str
    since: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class WorktreeRow:
    """A worktree the index knows. `identity` tells a new one under an old name from the old one."""

    key: str
    path: str
    identity: str
    state: str


@dataclass(frozen=True, slots=True)
class Errand:
    """Something that has to be done for a task, in the order of `seq`: write back or mirror it."""

    target: str
    task: str
    seq: int


class View(Protocol):
    """One consistent state of the index, to read."""

    def now(self) -> str:
        """The store's clock, ISO 8601 UTC with milliseconds; claims are judged by it."""

    def task(self, id: str) -> Task | None:
        """The task with all its records, a tombstone too (see `deleted_at`), or None."""

    def tasks(self, query: Query) -> list[Task]:
        """The tasks that match, in the order asked for, without notes and the other records."""

    def many(self, ids: Iterable[str], *, whole: bool = False) -> dict[str, Task]:
        """These tasks, tombstones too; unknown ids are left out. Without their records unless `whole`."""

    def count(self) -> dict[Status, int]:
        """How many live tasks have each stored status."""

    def live(self) -> list[str]:
        """The ids of all live tasks, sorted."""

    def lapsed(self) -> list[str]:
        """The ids of live tasks whose claim has expired by the store's clock, sorted."""

    def resolve(self, prefix: str, limit: int = 10) -> list[str]:
        """The ids equal to, else aliased by, else beginning with `prefix` (live ones, sorted)."""

    def taken(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that some task, tombstone or alias has."""

    def blockers(self, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """For each id the dependencies that are not completed or do not exist, in written order."""

    def dependents(self, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """For each id the live tasks that depend on it, sorted."""

    def reaches(self, start: str, goal: str) -> bool:
        """Whether `goal` is `start` or is found by following depends_on from `start`."""

    def children(self, id: str) -> tuple[str, ...]:
        """The live tasks whose parent it is, sorted."""

    def head(self, task: str, revision: int) -> str | None:
        """The text hash of one past version."""

    def known(self, task: str, text: str) -> bool:
        """Whether the task's head has ever had this text hash, or a replica was heard saying it."""

    def versions(self, task: str) -> list[str]:
        """The hash of every known text of the task, sorted."""

    def text(self, hash: str) -> bytes:
        """A kept text by its hash (`core.texts.text_hash`). KeyError if it was never kept."""

    def base(self, worktree: str, path: str) -> Base | None:
        """The base of one replica."""

    def carried(self, worktree: str, path: str) -> list[str]:
        """The texts (hashes) that a replica has carried, noted down by `carry`, the latest last."""

    def bases(self, worktree: str) -> list[Base]:
        """Every base of a worktree, sorted by path."""

    def bases_of(self, task: str) -> list[Base]:
        """Every base of a task, sorted by worktree and path."""

    def journal(
        self, task: str | None = None, after: int = 0, limit: int | None = None, *, newest: bool = False
    ) -> list[Entry]:
        """Entries with seq > `after`, oldest first; with `newest` the last `limit` of them."""

    def intents(self) -> list[Intent]:
        """Every open intent, oldest first."""

    def conflicts(self, task: str | None = None) -> list[Conflict]:
        """Every open conflict, oldest first."""

    def problems(self, worktree: str | None = None) -> list[Problem]:
        """Every problem, refusal and notice, by worktree, path, line."""

    def holds(self) -> list[Hold]:
        """Every open hold, oldest first."""

    def errands(self, target: str, limit: int | None = None) -> list[Errand]:
        """What is still to be done for `target` (`replicas` or `branch`), oldest first."""

    def worktrees(self) -> list[WorktreeRow]:
        """Every worktree known, sorted by key."""

    def meta(self, key: str) -> str | None:
        """One of the index's own settings."""

    def reply(self, request: str) -> str | None:
        """The answer already given to this request id."""


class Txn(View, Protocol):
    """One write in the making; sees its own changes."""

    def savepoint(self) -> AbstractContextManager[None]:
        """A part that is undone alone when its block ends by an exception."""

    def put(self, new: Task, old: Task | None) -> None:
        """Insert (`old` None; IdTaken if the id was ever used) or update from `old`.

        Everything but the append-only records is stored: notes, participants, context, private notes
        and feedback have their own methods, and are ignored here. `Stale` if the row's revision is
        not `old.revision`. The caller has set `new.revision`; the pair (revision, text) becomes a
        known version.
        """

    def rename(self, old: str, new: str) -> None:
        """Give a task another id and keep the old one as alias; edges, records and bases follow."""

    def add_note(self, task: str, note: Note) -> None:
        """Append a note."""

    def add_private_note(self, task: str, note: PrivateNote) -> None:
        """Append a private note."""

    def add_feedback(self, task: str, feedback: Feedback) -> None:
        """Append feedback."""

    def put_participant(self, task: str, participant: Participant) -> None:
        """Add a participant, or give them another role."""

    def put_context(self, task: str, item: ContextItem) -> None:
        """Set one shared key."""

    def record(self, entries: Sequence[Entry]) -> int:
        """Append to the journal; the seq of the last entry."""

    def skip_ahead(self, number: int) -> None:
        """From now on journal numbers, and claim tokens of the tasks there are, come after `number`.

        For an index that is older than what was handed out from it.
        """

    def keep(self, text: bytes) -> str:
        """Keep a text and give its `text_hash`; keeping it twice is one text."""

    def hear(self, task: str, text: str) -> None:
        """From now on this text hash is a known version of the task."""

    def put_base(self, base: Base) -> None:
        """Set the base of one replica."""

    def carry(self, worktree: str, path: str, text: str) -> None:
        """The replica carries this text (a hash), until taskd or git writes another one."""

    def drop_carried(self, worktree: str, path: str) -> None:
        """Forget what a replica has carried."""

    def drop_base(self, worktree: str, path: str) -> None:
        """Forget one replica, but for what it has carried: an editor may hold that still."""

    def drop_bases(self, worktree: str) -> None:
        """Forget every replica of a worktree, and what they have carried."""

    def open_intent(self, intent: Intent) -> int:
        """Put an intent on record; its number."""

    def close_intent(self, id: int) -> None:
        """The intent was carried out or given up."""

    def put_conflict(self, conflict: Conflict) -> int:
        """Open a conflict; equal ones (task, field, worktree, file value) are one."""

    def drop_conflict(self, id: int) -> None:
        """The conflict is settled."""

    def put_problems(self, worktree: str, path: str, problems: Sequence[Problem]) -> bool:
        """These and no others are the problems of that file; whether anything changed.

        `since` of a problem that was there before stays.
        """

    def put_hold(self, hold: Hold) -> int:
        """Open a hold; one per worktree, a later one takes its place."""

    def drop_hold(self, id: int) -> None:
        """The hold was answered."""

    def enqueue(self, target: str, tasks: Iterable[str]) -> None:
        """These tasks have to be done for `target`, again if they were being done."""

    def dequeue(self, errands: Iterable[Errand]) -> None:
        """These were done; one enqueued again meanwhile (another seq) stays."""

    def put_worktree(self, row: WorktreeRow) -> None:
        """Know a worktree."""

    def drop_worktree(self, key: str) -> None:
        """Forget a worktree and its bases, problems and holds."""

    def put_meta(self, key: str, value: str | None) -> None:
        """Set (or with None clear) one of the index's own settings."""

    def put_reply(self, request: str, reply: str) -> None:
        """Remember the answer to a request id."""


class TaskDatabase(Protocol):
    """An open index."""

    def write(self, epoch: int | None = None) -> AbstractContextManager[Txn]:
        """A serial, durable write. With `epoch`, `Fenced` unless the index's epoch is still that."""

    def read(self) -> AbstractContextManager[View]:
        """A snapshot to read; never waits for a writer."""

    def take_over(self) -> int:
        """Raise the epoch and return it: from now on writers with an older one are fenced."""

    def check(self) -> list[str]:
        """What is damaged, as sentences; empty when the index is sound."""

    def describe(self) -> Mapping[str, object]:
        """What `daemon status` says of the store: kind, place, size in bytes, schema version."""

    def checkpoint(self) -> None:
        """Fold the store's own log back in, when there is one and nobody reads."""

    def back_up(self, target: Path) -> bool:
        """Write a copy of the index to a file that must not be there; False for a store without files.

        The file appears when it is whole, was checked and is on the disk; `COPIED` is set in it. Works
        also when the index was removed while it was open. StoreFailed: no room, or the index is damaged.
        """

    def close(self) -> None:
        """Let go of every file and connection."""
