"""Which status may follow which, and what a transition does to a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from taskd.core.task import Status, Task
from taskd.errors import Unlawful

#: from each status the ones a single transition leads to
LAWFUL: Final[Mapping[Status, tuple[Status, ...]]] = {
    Status.PENDING: (Status.IN_PROGRESS, Status.BLOCKED),
    Status.IN_PROGRESS: (Status.COMPLETED, Status.FAILED, Status.BLOCKED, Status.PENDING),
    Status.COMPLETED: (Status.PENDING,),
    Status.FAILED: (Status.IN_PROGRESS, Status.PENDING),
    Status.BLOCKED: (Status.IN_PROGRESS, Status.PENDING),
}

#: ends that a pending task reaches through in-progress, both steps journaled
_THROUGH: Final = (Status.COMPLETED, Status.FAILED)

#: work that needs every dependency to be completed before it is begun
GATED: Final = (Status.IN_PROGRESS, Status.COMPLETED, Status.FAILED)

#: statuses in which a claim may live on
CLAIMABLE: Final = (Status.IN_PROGRESS, Status.BLOCKED)


def lawful_from(status: Status) -> tuple[Status, ...]:
    """Every status that can be asked for from `status`."""
    direct = LAWFUL[status]
    return (*direct, *_THROUGH) if status is Status.PENDING else direct


def steps(status: Status, wanted: Status) -> tuple[Status, ...]:
    """The transitions that lead from `status` to `wanted`, one after the other; () if unlawful."""
    if wanted in LAWFUL[status]:
        return (wanted,)
    if status is Status.PENDING and wanted in _THROUGH:
        return (Status.IN_PROGRESS, wanted)
    return ()


def way(status: Status, goal: Status) -> tuple[Status, ...]:
    """The shortest row of transitions from one status to another, () from one to itself.

    For what has happened elsewhere, where each of them was made by somebody who could.
    """
    ways = {status: tuple[Status, ...]()}
    for here in (ahead := [status]):  # grows while it is walked
        for there in LAWFUL[here]:
            if there not in ways:
                ways[there] = (*ways[here], there)
                ahead.append(there)
    return ways[goal]


def is_gated(task: Task, wanted: Status) -> bool:
    """Whether `wanted` would begin the task, which every dependency has to be completed for.

    A task that was begun before a dependency was added or reopened goes on.
    """
    waiting = task.status is Status.PENDING or (task.status is Status.BLOCKED and task.started is None)
    return waiting and wanted in GATED


def lawful_steps(task: Task, wanted: Status) -> tuple[Status, ...]:
    """The steps from the task's stored status; `Unlawful`, with the lawful ones named, if none."""
    path = steps(task.status, wanted)
    if not path:
        raise Unlawful(
            task=task.id,
            status=task.status.value,
            wanted=wanted.value,
            lawful=", ".join(s.value for s in lawful_from(task.status)),
        )
    return path


def move(task: Task, to: Status, *, now: str, reason: str | None = None) -> Task:
    """The task after one lawful transition: times and reason set, a claim ended where it must."""
    kept = task.started if to is Status.BLOCKED else task.started or now
    return replace(
        task,
        status=to,
        reason=reason if to in (Status.BLOCKED, Status.FAILED) else None,
        started=None if to is Status.PENDING else kept,
        completed=now if to is Status.COMPLETED else None,
        claim=task.claim if to in CLAIMABLE else None,
    )


def effective(task: Task, blocked_by: tuple[str, ...]) -> Status:
    """The status people are shown: pending with an unfinished dependency is blocked."""
    return Status.BLOCKED if task.status is Status.PENDING and blocked_by else task.status
