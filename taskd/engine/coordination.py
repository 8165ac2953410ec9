"""Operations about who does what: claims and transitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from taskd import wire
from taskd.core import claims, lifecycle
from taskd.core.fields import FIELDS, status_of
from taskd.core.query import Query
from taskd.core.task import Status, Task
from taskd.engine.accept import Origin, accept
from taskd.engine.desk import Desk
from taskd.engine.reports import query_of
from taskd.errors import BadValue, Blocked, NothingReady, Unlawful, UsageError
from taskd.store.base import Txn

LONGEST_LEASE: Final = 30 * 86400.0  # seconds; a month without a sign of life is nobody's work


def claim_task(desk: Desk, p: wire.Claim) -> object:
    """Take a task, or the best ready one, for the caller alone."""
    if (p.id is None) is not p.next:
        raise UsageError(reason="name a task to claim, or say --next, not both")
    task = desk.find(p.id) if p.id is not None else _best_ready(desk, p)
    forced = p.force and task.claim is not None and not claims.holds(task.claim, desk.who)
    free = replace(task, claim=None) if forced else task
    taken = claims.take(
        free, desk.who, now=desk.txn.now(), ttl=_ttl(desk, p.ttl), blocked_by=desk.blocked_by(task)
    )
    return desk.tell(desk.accept(task, taken, forced=forced).id)


def _best_ready(desk: Desk, p: wire.Claim) -> Task:
    if p.resume:
        held = desk.txn.tasks(Query(holder=desk.who.actor, statuses=("in-progress",)))
        mine = [task for task in held if claims.holds(task.claim, desk.who)]
        if mine:
            return desk.find(mine[0].id)
    wanted = wire.List(
        tag=p.tag, path=p.path, priority=p.priority, assignee=p.assignee, parent=p.parent, ready=True, limit=1
    )
    found = desk.txn.tasks(query_of(desk, wanted))
    if not found:
        raise NothingReady
    return desk.find(found[0].id)


def renew_claim(desk: Desk, p: wire.Lease) -> object:
    """Prolong the caller's claim."""
    task = desk.find_own(p.id, force=False)
    renewed = claims.renew(task, desk.who, now=desk.txn.now(), ttl=_ttl(desk, p.ttl))
    return desk.tell(desk.accept(task, renewed).id)


def release_claim(desk: Desk, p: wire.Lease) -> object:
    """Give a claimed task back: it is pending again."""
    task = desk.find_own(p.id, force=p.force)
    path = lifecycle.lawful_steps(task, Status.PENDING)
    freed = lifecycle.move(task, path[0], now=desk.txn.now())
    return desk.tell(desk.accept(task, freed, forced=p.force).id)


def move_task(desk: Desk, p: wire.Move) -> object:
    """Bring a task to a status by lawful transitions."""
    wanted = status_of(p.status)
    if wanted is None:
        allowed = ", ".join(FIELDS["status"].values)
        raise BadValue(field="status", value=p.status, reason=f"choose one of {allowed}")
    if p.actual_hours is not None and p.actual_hours < 0:
        raise BadValue(field="actual_hours", value=p.actual_hours, reason="hours cannot be negative")
    task = desk.find_own(p.id, force=p.force)
    blocked_by = desk.blocked_by(task)
    if blocked_by and lifecycle.is_gated(task, wanted):
        raise Blocked(task=task.id, blocked_by=", ".join(blocked_by))
    versions = _moved(desk, task, wanted, p)
    forced = p.force and not claims.holds(task.claim, desk.who)
    return desk.tell(desk.accept(task, *versions, forced=forced).id)


def block_task(desk: Desk, p: wire.Move) -> object:
    """Stop a task by hand, for a stated reason."""
    if not (p.reason or "").strip():
        raise BadValue(field="reason", value=p.reason, reason="say why it cannot go on")
    return move_task(desk, replace(p, status="blocked"))


def unblock_task(desk: Desk, p: wire.Move) -> object:
    """Let a task that was blocked by hand go on: to in-progress if it had begun, else to pending."""
    task = desk.find(p.id)
    if task.status is not Status.BLOCKED:
        raise _unlawful(task, "unblocked")
    return move_task(desk, replace(p, status="in-progress" if task.started else "pending"))


def reopen_task(desk: Desk, p: wire.Move) -> object:
    """Take a completed or failed task up again: it is pending, and its dependents wait again."""
    task = desk.find(p.id)
    if task.status not in (Status.COMPLETED, Status.FAILED):
        raise _unlawful(task, "reopened")
    return move_task(desk, replace(p, status="pending"))


def _unlawful(task: Task, wanted: str) -> Unlawful:
    lawful = ", ".join(lifecycle.lawful_from(task.status))
    return Unlawful(task=task.id, status=task.status.value, wanted=wanted, lawful=lawful)


def _moved(desk: Desk, task: Task, wanted: Status, p: wire.Move) -> list[Task]:
    versions = list[Task]()
    for status in lifecycle.lawful_steps(task, wanted):
        task = lifecycle.move(task, status, now=desk.txn.now(), reason=p.reason)
        versions.append(task)
    if p.summary is not None:
        task = replace(task, completion_summary=p.summary)
    if p.actual_hours is not None:
        task = replace(task, actual_hours=p.actual_hours)
    return [*versions[:-1], _leased(desk, task)]


def _leased(desk: Desk, task: Task) -> Task:
    """Any call of the holder is a sign of life."""
    now = desk.txn.now()
    if claims.is_live(task.claim, now) and claims.holds(task.claim, desk.who):
        return claims.renew(task, desk.who, now=now, ttl=_ttl(desk, None))
    return task


def _ttl(desk: Desk, seconds: float | None) -> float:
    if seconds is None:
        return desk.rules.lease
    if not 0 < seconds <= LONGEST_LEASE:
        raise BadValue(field="ttl", value=seconds, reason=f"a lease lasts up to {LONGEST_LEASE:g} seconds")
    return seconds


def sweep_leases(txn: Txn) -> list[str]:
    """Give back every task whose lease ran out; the ids. Idempotent."""
    now, swept = txn.now(), txn.lapsed()
    for id in swept:
        task = txn.task(id)
        if task is not None and task.claim is not None:
            claim = task.claim
            origin = Origin(claim.holder, claim.session, claim.worktree, "lease ran out")
            accept(txn, task, (claims.lapse(task),), origin, now)
    return swept
