"""Who may take a task, who has it, and what another is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from taskd.core.lifecycle import lawful_from
from taskd.core.task import Claim, Status, Task
from taskd.errors import Blocked, Claimed, NotHolder, StaleToken, Unlawful

LEASE: Final = 900.0  # seconds; long enough for a build, short enough that a dead agent is noticed
#: seconds that a claim made in another clone stands without news of it: its renewals are not told here
FAR_LEASE: Final = 86400.0
#: what the session and the worktree of a claim begin with when another clone made it
FAR: Final = "@remote/"


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who calls: a participant in a session, from a worktree."""

    actor: str
    session: str
    worktree: str


def moment(text: str) -> datetime:
    """A time of the index as a datetime."""
    return datetime.fromisoformat(text)


def stamp(when: datetime) -> str:
    """A datetime as the index writes it: UTC, milliseconds, `Z`."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def later(now: str, seconds: float) -> str:
    """The time `seconds` after `now`."""
    return stamp(moment(now) + timedelta(seconds=seconds))


def is_live(claim: Claim | None, now: str) -> bool:
    """Whether a claim still holds; one second of the same clock decides for everybody."""
    return claim is not None and claim.expires > now


def live(task: Task, now: str) -> Claim | None:
    """The task's claim, if it still holds."""
    return task.claim if is_live(task.claim, now) else None


def holds(claim: Claim | None, who: Claimant) -> bool:
    """Whether the claim is this participant's, of this session."""
    return claim is not None and (claim.holder, claim.session) == (who.actor, who.session)


def take(task: Task, who: Claimant, *, now: str, ttl: float, blocked_by: tuple[str, ...]) -> Task:
    """The task claimed by `who`.

    * The holder claiming again renews the lease and keeps the token, whatever the status.
    * A live claim of anybody else, or of the same participant's other session, refuses.
    * A lapsed claim counts as none, and the task as given back.
    * Only a pending or in-progress task without unfinished dependencies can be taken; one that is in progress
      and held by nobody is taken over.
    """
    claim = live(task, now)
    if claim is not None:
        if not holds(claim, who):
            raise claimed(task, claim, now)
        return renew(task, who, now=now, ttl=ttl)
    task = task if task.claim is None else lapse(task)
    if blocked_by and task.status is Status.PENDING:
        raise Blocked(task=task.id, blocked_by=", ".join(blocked_by))
    if task.status not in (Status.PENDING, Status.IN_PROGRESS):
        lawful = ", ".join(lawful_from(task.status))
        raise Unlawful(task=task.id, status=task.status.value, wanted="claimed", lawful=lawful)
    token = task.fence + 1
    claim = Claim(who.actor, who.session, who.worktree, token, now, later(now, ttl))
    return replace(
        task, claim=claim, fence=token, status=Status.IN_PROGRESS, started=task.started or now, reason=None
    )


def renew(task: Task, who: Claimant, *, now: str, ttl: float) -> Task:
    """The task with the holder's lease prolonged, never shortened."""
    claim = live(task, now)
    if claim is None or not holds(claim, who):
        raise NotHolder(task=task.id, actor=who.actor)
    return replace(task, claim=replace(claim, expires=max(claim.expires, later(now, ttl))))


def lapse(task: Task) -> Task:
    """The task after its lease ran out: free again, pending if it was being worked on."""
    back = Status.PENDING if task.status is Status.IN_PROGRESS else task.status
    return replace(task, claim=None, status=back, started=None if back is Status.PENDING else task.started)


def check_holder(task: Task, who: Claimant, *, now: str, token: int | None, force: bool) -> None:
    """Whether `who` may change the task: nobody else holds it, and a token given is still the one.

    With `force` another's claim is overruled (the caller journals it); a wrong token never is. A token
    is a demand and no key: another's right token does not open their claim.
    """
    claim = live(task, now)
    if token is not None and (claim is None or claim.token != token):
        raise StaleToken(task=task.id, token=token)
    if claim is not None and not holds(claim, who) and not force:
        raise claimed(task, claim, now)


def claimed(task: Task, claim: Claim, now: str) -> Claimed:
    """The answer to a loser: who holds the task, where, until when, and when to come back."""
    wait = (moment(claim.expires) - moment(now)).total_seconds()
    return Claimed(
        task=task.id,
        holder=claim.holder,
        session=claim.session,
        worktree=claim.worktree,
        expires=claim.expires,
        retry_after=math.ceil(wait),
    )


def is_far(claim: Claim) -> bool:
    """Whether the claim was made in another clone."""
    return claim.worktree.startswith(FAR)


def as_told(claim: Claim) -> Claim:
    """The claim as every clone tells it: without token and end, which are one clone's own."""
    session, worktree = claim.session.removeprefix(FAR), claim.worktree.removeprefix(FAR)
    return replace(claim, session=session, worktree=worktree, token=0, expires="")


def brought(told: Claim, token: int, expires: str) -> Claim:
    """A claim that was told by another clone, as this one's index keeps it."""
    return Claim(told.holder, FAR + told.session, FAR + told.worktree, token, told.since, expires)
