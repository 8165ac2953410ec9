"""Rows of the SQLite index and the values they stand for."""

# ruff: noqa: S608 - every value is bound; what is put together here are constants of our own

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from taskd.core.task import Claim, Criterion, MergeInfo, Progress, Status, Task
from taskd.store.base import Base, Conflict, Entry, Stamp
from taskd.store.values import demand_hours, extra_of, jsoned

Row = Sequence[Any]

#: columns that are named and mean what the field of `Task` does
SCALARS: Final = (
    "id", "revision", "deleted_at", "archived_at", "priority", "created_at", "updated_at", "name", "file",
    "parent", "scope", "risk", "impact", "level", "assignee", "due", "estimate", "created", "modified",
    "reason", "started", "completed", "fence", "actual_hours", "text", "completion_summary", "body",
)  # fmt: skip
_PROGRESS: Final = ("progress_percent", "progress_text", "progress_at", "progress_by")
_MERGE: Final = ("merge_commit", "merge_date", "merge_author", "merge_pr")
COLUMNS: Final = (*SCALARS, "status", "path", "extra", *_PROGRESS, *_MERGE)
CLAIM: Final = ("holder", "session", "worktree", "token", "since", "expires")

_scalars_of = attrgetter(*SCALARS)
_WIDTH: Final = len(SCALARS)
_STATUSES: Final[Mapping[str, Status]] = {status.value: status for status in Status}
_NOTHING: Final = (None, None, None, None)

#: what a statement that begins a list of tasks selects, from `tasks t` and `claims c`
SELECTED: Final = ", ".join([*(f"t.{name}" for name in COLUMNS), *(f"c.{name}" for name in CLAIM)])
INSERT: Final = f"INSERT INTO tasks ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


def columns_of(task: Task) -> tuple[object, ...]:
    """The row of a task, in the order of `COLUMNS`. BadValue for hours or unknown keys no store keeps."""
    demand_hours(task)
    progress, merge = task.progress, task.merge
    return (
        *_scalars_of(task),
        task.status.value,
        task.path,
        jsoned(task.extra) if task.extra else "{}",
        *((progress.percent, progress.text, progress.at, progress.by) if progress else _NOTHING),
        *((merge.commit, merge.date, merge.author, merge.pr) if merge else _NOTHING),
    )


def task_of(row: Row, others: Mapping[str, Any]) -> Task:
    """The task of a row as `SELECTED` gives it; `others` are the fields kept in tables of their own."""
    scalars: dict[str, Any] = dict(zip(SCALARS, row, strict=False))
    status, _path, extra, *rest = row[_WIDTH:]
    return Task(
        status=_STATUSES[status],
        extra=extra_of(extra),
        progress=None if rest[0] is None else Progress(*rest[0:4]),
        merge=None if rest[4] is None else MergeInfo(*rest[4:8]),
        claim=None if rest[8] is None else Claim(*rest[8:14]),
        **scalars,
        **others,
    )


def criterion_of(row: Row) -> Criterion:
    """A criterion of (criterion, measurable, met)."""
    return Criterion(row[0], row[1], bool(row[2]))


def stamp_text(stamp: Stamp | None) -> str | None:
    """A stamp as one text; its numbers may need more than the 63 bits of a column."""
    if stamp is None:
        return None
    return f"{stamp.dev} {stamp.ino} {stamp.size} {stamp.mtime_ns} {stamp.ctime_ns}"


def base_of(row: Row) -> Base:
    """A base of (worktree, path, task, text, stamp, head, blob, seen_ns, moves)."""
    worktree, path, task, text, stamp, *git = row
    look = None if stamp is None else Stamp(*map(int, stamp.split(" ")))
    return Base(worktree, path, task, text, look, *git)


def entry_row(entry: Entry) -> tuple[object, ...]:
    """The row of a journal entry, without its number."""
    return (
        entry.task, entry.field, jsoned(entry.old), jsoned(entry.new), entry.at, entry.actor,
        entry.session, entry.worktree, entry.cause, entry.revision,
    )  # fmt: skip


def entry_of(row: Row) -> Entry:
    """An entry of its row and, last, its number."""
    return Entry(row[0], row[1], json.loads(row[2]), json.loads(row[3]), *row[4:])


def conflict_of(row: Row) -> Conflict:
    """A conflict of (task, field, worktree, base, index, file, since, id)."""
    return Conflict(*row[:3], *map(json.loads, row[3:6]), *row[6:])
