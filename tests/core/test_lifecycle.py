"""Which status may follow which, and what a transition does to a task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskd.core.lifecycle import LAWFUL, effective, is_gated, lawful_from, lawful_steps, move, steps, way
from taskd.core.task import Claim, Status, Task
from taskd.errors import Unlawful

TASK = Task(id="a", name="a", file="a.md")
NOW = "2026-03-01T12:00:00.000Z"
CLAIM = Claim("bob", "s", "w", 1, NOW, NOW)
BEGUN = replace(TASK, status=Status.IN_PROGRESS, started="before", claim=CLAIM)


def test_done_and_fail_pass_through_in_progress() -> None:
    """A pending task that is reported done was begun too, and both steps can be journaled."""
    assert steps(Status.PENDING, Status.COMPLETED) == (Status.IN_PROGRESS, Status.COMPLETED)
    assert steps(Status.PENDING, Status.FAILED) == (Status.IN_PROGRESS, Status.FAILED)
    assert lawful_steps(TASK, Status.COMPLETED) == (Status.IN_PROGRESS, Status.COMPLETED)
    assert steps(Status.BLOCKED, Status.COMPLETED) == ()


def test_a_refusal_names_what_is_lawful() -> None:
    """Who asks for the impossible learns what is possible."""
    with pytest.raises(Unlawful) as refused:
        lawful_steps(replace(TASK, status=Status.COMPLETED), Status.FAILED)

    assert str(refused.value) == "a cannot go from completed to failed; from completed it can go to: pending"
    assert lawful_from(Status.PENDING) == (
        Status.IN_PROGRESS,
        Status.BLOCKED,
        Status.COMPLETED,
        Status.FAILED,
    )


@pytest.mark.parametrize(
    ("task", "to", "after"),
    [
        (TASK, Status.IN_PROGRESS, replace(TASK, status=Status.IN_PROGRESS, started=NOW)),
        (TASK, Status.BLOCKED, replace(TASK, status=Status.BLOCKED, reason="why")),
        (BEGUN, Status.BLOCKED, replace(BEGUN, status=Status.BLOCKED, reason="why")),
        (BEGUN, Status.PENDING, TASK),
        (BEGUN, Status.COMPLETED, replace(BEGUN, status=Status.COMPLETED, completed=NOW, claim=None)),
        (BEGUN, Status.FAILED, replace(BEGUN, status=Status.FAILED, reason="why", claim=None)),
        (
            replace(BEGUN, status=Status.COMPLETED, completed="then", claim=None),
            Status.PENDING,
            TASK,
        ),
        (
            replace(BEGUN, status=Status.BLOCKED, reason="old"),
            Status.IN_PROGRESS,
            BEGUN,
        ),
    ],
)
def test_a_transition_sets_times_reason_and_claim(task: Task, to: Status, after: Task) -> None:
    """Started and completed are set by the transition, and finished work is nobody's claim."""
    assert move(task, to, now=NOW, reason="why") == after


def test_blocked_by_a_dependency_is_shown_not_stored() -> None:
    """Only a pending task is shown as blocked by what it waits for."""
    assert effective(TASK, ("b",)) is Status.BLOCKED
    assert effective(TASK, ()) is Status.PENDING
    assert effective(BEGUN, ("b",)) is Status.IN_PROGRESS


@pytest.mark.parametrize(
    ("task", "wanted", "gated"),
    [
        (TASK, Status.IN_PROGRESS, True),
        (TASK, Status.COMPLETED, True),
        (TASK, Status.BLOCKED, False),
        (replace(TASK, status=Status.BLOCKED), Status.IN_PROGRESS, True),
        (replace(TASK, status=Status.BLOCKED), Status.PENDING, False),
        (replace(BEGUN, status=Status.BLOCKED), Status.IN_PROGRESS, False),
        (BEGUN, Status.COMPLETED, False),
    ],
)
def test_dependencies_gate_the_beginning(task: Task, wanted: Status, *, gated: bool) -> None:
    """What waits cannot be begun, not even by way of blocked; what was begun goes on."""
    assert is_gated(task, wanted) is gated


@pytest.mark.parametrize("goal", Status)
@pytest.mark.parametrize("status", Status)
def test_there_is_a_lawful_way_to_every_status(status: Status, goal: Status) -> None:
    """Wherever another clone has brought a task, lawful transitions lead there, and no detours."""
    found = way(status, goal)

    assert all(new in LAWFUL[old] for old, new in zip((status, *found), found, strict=False))
    assert ((status, *found)[-1], len(found) <= 3) == (goal, True)
