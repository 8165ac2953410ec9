"""Putting a new version of a task into the index: row, journal and errands in one go."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final

from taskd.core.change import changes, snapshot
from taskd.core.task import Status, Task
from taskd.engine.records import bring_back, obituary
from taskd.engine.site import MIRROR, REPLICAS
from taskd.store.base import Conflict, Entry, Txn

CONFLICT: Final = "conflict"  # the journal's field for what becomes of a conflict


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from, as the journal tells it."""

    actor: str
    session: str
    worktree: str
    cause: str


def accept(txn: Txn, old: Task | None, versions: tuple[Task, ...], origin: Origin, now: str) -> Task:
    """Make the last of `versions` the head; the ones before it are steps that are journaled too.

    Everything the change touches is on record in the same transaction: the journal, what has to be
    written back and mirrored, and that dependents show another status now.
    """
    entries, before = list[Entry](), old
    for version in versions:
        entries += _entries(txn, before, version, origin, now)
        before = version
    last = versions[-1]
    if last.deleted_at and old is not None and not old.deleted_at:
        entries += [settled(conflict, None, origin, now) for conflict in txn.conflicts(old.id)]
    if old is not None and not entries and last.text == old.text:
        return old
    revision = 1 if old is None else old.revision + 1
    head = replace(last, revision=revision, updated_at=now, created_at=old.created_at if old else now)
    txn.put(head, old)
    if old is not None and old.deleted_at and not head.deleted_at:
        bring_back(txn, head.id)
    txn.record([replace(entry, revision=revision) for entry in entries])
    touched = [head.id, *_affected(txn, old, head)]
    txn.enqueue(REPLICAS, touched)
    txn.enqueue(MIRROR, touched)
    return head


def touch(txn: Txn, task: str) -> None:
    """Have a task's replicas and its place on the branch looked at again."""
    txn.enqueue(REPLICAS, [task])
    txn.enqueue(MIRROR, [task])


def settled(conflict: Conflict, answer: object, origin: Origin, now: str) -> Entry:
    """The entry that keeps all values of a conflict that goes; `answer` None: its task went."""
    values = {name: value for name, value in asdict(conflict).items() if name != "task"}
    return Entry(
        conflict.task,
        CONFLICT,
        values,
        answer,
        now,
        origin.actor,
        origin.session,
        origin.worktree,
        origin.cause,
    )


def _entries(txn: Txn, old: Task | None, new: Task, origin: Origin, now: str) -> list[Entry]:
    def entry(field: str, before: object, after: object) -> Entry:
        return Entry(
            new.id, field, before, after, now, origin.actor, origin.session, origin.worktree, origin.cause
        )

    if old is None:
        return [entry("*", None, snapshot(new))]
    if new.deleted_at and not old.deleted_at:
        return [entry("*", obituary(txn, old), None)]
    if old.deleted_at and not new.deleted_at:
        return [entry("*", None, snapshot(new))]
    found = [entry(change.field, change.old, change.new) for change in changes(old, new)]
    if not found and old.text != new.text:
        return [entry("text", old.text, new.text)]
    return found


def _affected(txn: Txn, old: Task | None, new: Task) -> tuple[str, ...]:
    """Dependents whose shown status may be another now."""
    was = old is not None and old.status is Status.COMPLETED and old.deleted_at is None
    is_now = new.status is Status.COMPLETED and new.deleted_at is None
    if was == is_now:
        return ()
    return txn.dependents([new.id])[new.id]
