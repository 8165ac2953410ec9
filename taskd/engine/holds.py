"""Holds: deletions that looked like an accident, and a person's word about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from taskd import wire
from taskd.core.claims import check_holder
from taskd.core.task import Task
from taskd.engine.accept import accept
from taskd.engine.desk import Desk
from taskd.engine.writeback import is_written_back
from taskd.errors import Missing, Refused
from taskd.repo import replicas
from taskd.store.base import Base, Hold

ACCEPTED: Final = "hold accepted"  # the journal's cause


def list_holds(desk: Desk, _: wire.Nothing) -> object:
    """Deletions that wait for a person's word."""
    return [{**asdict(hold), "tasks": list(hold.tasks)} for hold in desk.txn.holds()]


def accept_hold(desk: Desk, p: wire.Answer) -> object:
    """Delete the held tasks after all, but those that came back or changed since.

    `{id, worktree, deleted: [ID], kept: [{id, reason}]}`.
    """
    hold = _found(desk, p.number)
    deleted, kept = list[str](), list[dict[str, str]]()
    for id, task in _held(desk, hold):
        reason = _why_not(desk, hold, task, force=p.force)
        if task is None or reason is not None:
            kept.append({"id": id, "reason": reason or ""})
            continue
        now = desk.txn.now()
        gone = replace(task, deleted_at=now, claim=None)
        accept(desk.txn, task, (gone,), desk.origin(cause=ACCEPTED), now)
        deleted.append(task.id)
    desk.txn.drop_hold(hold.id)
    return {"id": hold.id, "worktree": hold.worktree, "deleted": deleted, "kept": kept}


def drop_hold(desk: Desk, p: wire.Answer) -> object:
    """Let the held tasks be. Shape as `accept_hold`."""
    hold = _found(desk, p.number)
    desk.txn.drop_hold(hold.id)
    kept = [{"id": id, "reason": "the hold was dropped"} for id, task in _held(desk, hold) if task]
    return {"id": hold.id, "worktree": hold.worktree, "deleted": [], "kept": kept}


def _found(desk: Desk, number: int) -> Hold:
    for hold in desk.txn.holds():
        if hold.id == number:
            return hold
    raise Missing(reason=f"there is no hold {number}", remedy="`taskd holds` lists those that are open")


def _held(desk: Desk, hold: Hold) -> Sequence[tuple[str, Task | None]]:
    """The held tasks, None for one that was deleted meanwhile."""
    known = desk.txn.many(hold.tasks)
    live = {id: task for id, task in known.items() if task.deleted_at is None}
    return [(id, live.get(id)) for id in hold.tasks]


def _why_not(desk: Desk, hold: Hold, task: Task | None, *, force: bool) -> str | None:
    """Why a held task is not to be deleted, None if it is."""
    if task is None:
        return "it was deleted meanwhile"
    if task.updated_at > hold.since:
        return "it was changed since"
    if any(_is_back(desk, base) for base in desk.txn.bases_of(task.id) if base.worktree == hold.worktree):
        return f"its file is back in {hold.worktree}"
    try:
        check_holder(task, desk.who, now=desk.txn.now(), token=desk.token, force=force)
    except Refused as error:
        return error.message
    return None


def _is_back(desk: Desk, base: Base) -> bool:
    """Whether somebody put the file back: taskd did so itself where it writes live state."""
    place = desk.site.places.get(base.worktree)
    if place is None or is_written_back(desk.site, place, base.path):
        return False
    return replicas.read(place.root, base.path, now_ns=0) is not None  # its age does not matter
