"""The laws of statuses, over every walk through them, and each seen to bite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from taskd.core import lifecycle
from taskd.core.claims import Claimant, take
from taskd.core.task import Status, Task
from taskd.errors import Unlawful

NOW = "2026-03-01T12:00:00.000Z"

#: what design and documentation draw, written down a second time on purpose
DRAWN = {
    (Status.PENDING, Status.IN_PROGRESS),
    (Status.PENDING, Status.BLOCKED),
    (Status.IN_PROGRESS, Status.COMPLETED),
    (Status.IN_PROGRESS, Status.FAILED),
    (Status.IN_PROGRESS, Status.BLOCKED),
    (Status.IN_PROGRESS, Status.PENDING),
    (Status.FAILED, Status.IN_PROGRESS),
    (Status.FAILED, Status.PENDING),
    (Status.COMPLETED, Status.PENDING),
    (Status.BLOCKED, Status.IN_PROGRESS),
    (Status.BLOCKED, Status.PENDING),
}

WALKS = st.lists(st.tuples(st.sampled_from(Status), st.none() | st.just("why"), st.booleans()), max_size=10)
Walk = list[tuple[Status, str | None, bool]]
Law = Callable[[Task, Status, Task], None]


def walk(wanted: Walk, law: Law) -> None:
    """Ask for one status after the other, now and then with a claim, and look at each transition."""
    task = Task(id="t1", name="t1", file="t1.md")
    for status, reason, claimed in wanted:
        if claimed and task.status in (Status.PENDING, Status.IN_PROGRESS):
            task = take(task, Claimant("alice", "s", "w"), now=NOW, ttl=60, blocked_by=())
        try:
            path = lifecycle.lawful_steps(task, status)
        except Unlawful:
            continue
        assert path[-1] is status
        for step in path:
            before, task = task, lifecycle.move(task, step, now=NOW, reason=reason)
            law(before, step, task)


# -- the laws


def lawful_only(before: Task, to: Status, task: Task) -> None:
    """Each transition is one of those drawn."""
    assert (before.status, to) in DRAWN
    assert task.status is to


def times_tell(before: Task, _to: Status, task: Task) -> None:
    """A task that was begun says since when, one that is completed since when; no other does."""
    begun = {Status.IN_PROGRESS: True, Status.COMPLETED: True, Status.FAILED: True, Status.PENDING: False}
    assert (task.started is not None) is begun.get(task.status, before.started is not None)
    assert (task.completed is not None) is (task.status is Status.COMPLETED)


def reasons_fit(_before: Task, _to: Status, task: Task) -> None:
    """Only what is blocked or failed has a reason."""
    assert task.reason is None or task.status in (Status.BLOCKED, Status.FAILED)


def claims_end(_before: Task, _to: Status, task: Task) -> None:
    """A claim ends with the work."""
    assert task.claim is None or task.status in (Status.IN_PROGRESS, Status.BLOCKED)


LAWS: list[Law] = [lawful_only, times_tell, reasons_fit, claims_end]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_holds(law: Law) -> None:
    """On every walk the law holds."""

    @given(WALKS)
    def run(wanted: Walk) -> None:
        walk(wanted, law)

    run()


@pytest.mark.parametrize("start", Status)
@pytest.mark.parametrize("wanted", Status)
def test_every_path_is_lawful_or_refused(start: Status, wanted: Status) -> None:
    """What cannot be reached is refused, and the refusal names exactly what can."""
    task = Task(id="t1", name="t1", file="t1.md", status=start)
    near = {to for at, to in DRAWN if at is start}
    through = {Status.COMPLETED, Status.FAILED} if start is Status.PENDING else set[Status]()

    if wanted in near | through:
        path = (Status.IN_PROGRESS, wanted) if wanted in through else (wanted,)
        assert lifecycle.lawful_steps(task, wanted) == path
    else:
        with pytest.raises(Unlawful) as refused:
            lifecycle.lawful_steps(task, wanted)
        assert set(str(refused.value.facts["lawful"]).split(", ")) == {
            status.value for status in near | through
        }


OFF: list[tuple[Law, str, object]] = [
    (lawful_only, "LAWFUL", dict.fromkeys(Status, tuple(Status))),
    (times_tell, "Status", type("Blind", (), {**{s.name: s for s in Status}, "PENDING": None})),
    (reasons_fit, "Status", type("Blind", (), {**{s.name: s for s in Status}, "FAILED": Status.COMPLETED})),
    (claims_end, "CLAIMABLE", tuple(Status)),
]


@pytest.mark.parametrize(("law", "rule", "broken"), OFF, ids=lambda part: getattr(part, "__name__", None))
def test_law_bites(monkeypatch: pytest.MonkeyPatch, law: Law, rule: str, broken: object) -> None:
    """With one rule off, a walk is found on which the law is broken."""
    monkeypatch.setattr(lifecycle, rule, broken)

    @settings(max_examples=500, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    @given(WALKS)
    def run(wanted: Walk) -> None:
        walk(wanted, law)

    with pytest.raises(AssertionError):
        run()
