"""Who may take a task, who has it, and what another is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from taskd.core.claims import (
    Claimant,
    check_holder,
    holds,
    is_live,
    lapse,
    later,
    live,
    moment,
    renew,
    stamp,
    take,
)
from taskd.core.task import Claim, Status, Task
from taskd.errors import Blocked, Claimed, NotHolder, StaleToken, Unlawful

NOW = "2026-03-01T12:00:00.000Z"
ALICE = Claimant("alice", "s1", "wt-a")
ELSEWHERE = Claimant("alice", "s2", "wt-b")
BOB = Claimant("bob", "s1", "wt-a")
TASK = Task(id="a", name="a", file="a.md")
HELD = take(TASK, ALICE, now=NOW, ttl=60, blocked_by=())


def test_a_claim_begins_the_work() -> None:
    """Claiming a pending task puts it in progress, with holder, place, token and end."""
    claim = Claim("alice", "s1", "wt-a", 1, NOW, "2026-03-01T12:01:00.000Z")

    assert replace(TASK, status=Status.IN_PROGRESS, started=NOW, claim=claim, fence=1) == HELD


@pytest.mark.parametrize("who", [BOB, ELSEWHERE])
def test_the_loser_learns_who_holds_it_and_until_when(who: Claimant) -> None:
    """Another participant and the same one's other session are told the same."""
    with pytest.raises(Claimed) as refused:
        take(HELD, who, now="2026-03-01T12:00:59.500Z", ttl=60, blocked_by=())

    assert refused.value.facts == {
        "task": "a",
        "holder": "alice",
        "session": "s1",
        "worktree": "wt-a",
        "expires": "2026-03-01T12:01:00.000Z",
        "retry_after": 1,
    }


def test_the_holder_claiming_again_renews() -> None:
    """The token stays, the lease goes on; a shorter one does not cut it."""
    longer = take(HELD, ALICE, now=later(NOW, 30), ttl=60, blocked_by=("b",))
    shorter = take(HELD, ALICE, now=NOW, ttl=1, blocked_by=())

    assert longer.claim == replace(HELD.claim, expires=later(NOW, 90))  # type: ignore[type-var]
    assert shorter == HELD


def test_the_holder_of_a_blocked_task_renews_too() -> None:
    """Who waits for an answer keeps the task by claiming it again."""
    stopped = replace(HELD, status=Status.BLOCKED, reason="a question")

    again = take(stopped, ALICE, now=later(NOW, 30), ttl=60, blocked_by=())

    assert (again.status, again.reason, live(again, later(NOW, 80))) == (
        Status.BLOCKED,
        "a question",
        again.claim,
    )


def test_a_lapsed_claim_is_none() -> None:
    """The task can be taken by anybody, with a new token, as if the lapse had been swept."""
    now = later(NOW, 60)

    taken = take(HELD, BOB, now=now, ttl=60, blocked_by=())

    assert taken.claim == Claim("bob", "s1", "wt-a", 2, now, later(now, 60))
    assert (taken.fence, taken.started) == (2, now)
    with pytest.raises(Blocked):
        take(HELD, BOB, now=now, ttl=60, blocked_by=("b",))


def test_work_that_nobody_holds_is_taken_over() -> None:
    """A task in progress without a claim can be claimed; it goes on since when it was begun."""
    adrift = replace(TASK, status=Status.IN_PROGRESS, started="before")

    assert take(adrift, BOB, now=NOW, ttl=60, blocked_by=("b",)).started == "before"


@pytest.mark.parametrize(
    ("status", "lawful"),
    [
        (Status.COMPLETED, "pending"),
        (Status.FAILED, "in-progress, pending"),
        (Status.BLOCKED, "in-progress, pending"),
    ],
)
def test_what_is_at_rest_cannot_be_claimed(status: Status, lawful: str) -> None:
    """The refusal says how it can be brought back."""
    with pytest.raises(Unlawful) as refused:
        take(replace(TASK, status=status), BOB, now=NOW, ttl=60, blocked_by=())

    assert (refused.value.facts["wanted"], refused.value.facts["lawful"]) == ("claimed", lawful)


def test_what_waits_cannot_be_claimed() -> None:
    """The refusal names what it waits for."""
    with pytest.raises(Blocked, match="a is blocked by b, c"):
        take(TASK, BOB, now=NOW, ttl=60, blocked_by=("b", "c"))


def test_only_a_live_holder_renews() -> None:
    """Nobody prolongs what is not theirs, or what is over."""
    for task, who, now in ((TASK, ALICE, NOW), (HELD, BOB, NOW), (HELD, ALICE, later(NOW, 60))):
        with pytest.raises(NotHolder):
            renew(task, who, now=now, ttl=60)


def test_a_lapse_gives_the_task_back() -> None:
    """Work in progress is pending again; a task blocked by hand stays blocked."""
    stopped = replace(HELD, status=Status.BLOCKED, reason="a question")

    assert lapse(HELD) == replace(TASK, fence=1)
    assert lapse(stopped) == replace(stopped, claim=None)


def test_changing_anothers_task_needs_force() -> None:
    """The holder may, others may not, unless they say so."""
    check_holder(HELD, ALICE, now=NOW, token=None, force=False)
    check_holder(HELD, BOB, now=NOW, token=None, force=True)
    check_holder(HELD, BOB, now=later(NOW, 60), token=None, force=False)
    check_holder(TASK, BOB, now=NOW, token=None, force=False)
    with pytest.raises(Claimed):
        check_holder(HELD, BOB, now=NOW, token=None, force=False)


def test_a_token_is_a_demand_and_no_key() -> None:
    """A token that is over refuses even the holder and force; the right one opens nobody else's claim."""
    check_holder(HELD, ALICE, now=NOW, token=1, force=False)
    for token, now in ((2, NOW), (1, later(NOW, 60))):
        with pytest.raises(StaleToken):
            check_holder(HELD, ALICE, now=now, token=token, force=True)
    with pytest.raises(Claimed):
        check_holder(HELD, BOB, now=NOW, token=1, force=False)


def test_times_are_written_one_way() -> None:
    """UTC, milliseconds and a Z, whatever zone a time came in."""
    east = datetime(2026, 3, 1, 14, 0, 0, 1999, tzinfo=timezone(timedelta(hours=2)))

    assert stamp(east) == "2026-03-01T12:00:00.001Z"
    assert moment(stamp(east)) == datetime(2026, 3, 1, 12, 0, 0, 1000, tzinfo=UTC)
    assert not is_live(None, NOW)
    assert not holds(None, ALICE)
