"""The laws of claims, over everything that callers do and time does, and each seen to bite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from taskd.core import claims
from taskd.core.claims import Claimant, is_live, lapse, later, moment
from taskd.core.lifecycle import move, steps
from taskd.core.task import Claim, Status, Task
from taskd.errors import Blocked, Claimed, NotHolder, Refused, StaleToken, Unlawful

START = "2026-03-01T12:00:00.000Z"
PEOPLE = (Claimant("alice", "s1", "wt-a"), Claimant("alice", "s2", "wt-b"), Claimant("bob", "s1", "wt-a"))


@dataclass(frozen=True)
class Act:
    """One thing that happens to a task: by whom, and how long a lease or a wait lasts, in seconds."""

    kind: str
    who: Claimant
    seconds: float
    status: Status


ACTS = st.lists(
    st.builds(
        Act,
        st.sampled_from(["take", "take", "take", "renew", "wait", "sweep", "move"]),
        st.sampled_from(PEOPLE),
        st.sampled_from([0.001, 0.5, 10.0, 900.0]),
        st.sampled_from(Status),
    ),
    max_size=12,
)

Step = Callable[[Act, Task, str, Task], None]


def after(act: Act, task: Task, now: str) -> Task:
    """The task after one act; as it was when the act is refused."""
    try:
        if act.kind == "take":
            return claims.take(task, act.who, now=now, ttl=act.seconds, blocked_by=())
        if act.kind == "renew":
            return claims.renew(task, act.who, now=now, ttl=act.seconds)
        if act.kind == "move":
            for status in steps(task.status, act.status):
                task = move(task, status, now=now)
        elif act.kind == "sweep" and task.claim is not None and not is_live(task.claim, now):
            return claims.lapse(task)
    except Refused:
        return task
    return task


def play(acts: list[Act], check: Step) -> None:
    """Let a law look at each step of a story."""
    task, now = Task(id="t1", name="t1", file="t1.md"), START
    for act in acts:
        before, now = task, later(now, act.seconds) if act.kind == "wait" else now
        task = after(act, before, now)
        check(act, before, now, task)


# -- the laws


def one_winner(act: Act, before: Task, now: str, task: Task) -> None:
    """While a claim lives nobody else gets the task, and who tries learns who holds it until when."""
    claim = before.claim
    if act.kind != "take" or claim is None or claim.expires <= now:
        return
    if (claim.holder, claim.session) == (act.who.actor, act.who.session):
        assert task.claim is not None
        assert (task.claim.token, task.fence) == (claim.token, before.fence)
        return
    assert task == before
    with pytest.raises(Claimed) as refused:
        claims.take(before, act.who, now=now, ttl=1, blocked_by=())
    told = refused.value.facts
    assert (told["holder"], told["worktree"], told["expires"]) == (
        claim.holder,
        claim.worktree,
        claim.expires,
    )
    assert not is_live(claim, later(now, float(str(told["retry_after"]))))


def tokens_only_grow(_act: Act, before: Task, _now: str, task: Task) -> None:
    """A claim has a token that no earlier claim of the task had; a token is never handed out again."""
    assert task.fence >= before.fence
    if task.claim is not None and task.claim != before.claim:
        same = before.claim is not None and task.claim.token == before.claim.token
        assert same or task.claim.token == task.fence > before.fence
        assert not same or replace(task.claim, expires="") == replace(before.claim, expires="")  # type: ignore[type-var]


def taken_is_begun(act: Act, before: Task, now: str, task: Task) -> None:
    """Who takes a task has it: in progress, begun, for as long as was asked."""
    if act.kind != "take" or task == before:
        return
    claim = task.claim
    assert claim is not None
    assert (claim.holder, claim.session, claim.worktree) == (act.who.actor, act.who.session, act.who.worktree)
    assert claim.expires >= later(now, act.seconds)
    assert task.started is not None
    assert task.status in (Status.IN_PROGRESS, before.status)


def never_shortened(act: Act, before: Task, _now: str, task: Task) -> None:
    """Renewing prolongs a lease or leaves it."""
    if (
        act.kind in ("renew", "take")
        and before.claim
        and task.claim
        and before.claim.token == task.claim.token
    ):
        assert task.claim.expires >= before.claim.expires


def lapsed_is_none(act: Act, before: Task, now: str, task: Task) -> None:
    """A claim that ran out counts as none, whether or not it was swept."""
    claim = before.claim
    if act.kind != "take" or claim is None or is_live(claim, now):
        return
    swept = after(act, lapse(before), now)
    assert swept == (lapse(before) if task == before else task)


def no_claim_on_rest(_act: Act, _before: Task, _now: str, task: Task) -> None:
    """A task that nobody works on has no claim."""
    assert task.claim is None or task.status in (Status.IN_PROGRESS, Status.BLOCKED)


LAWS: list[Step] = [
    one_winner,
    tokens_only_grow,
    taken_is_begun,
    never_shortened,
    lapsed_is_none,
    no_claim_on_rest,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_holds(law: Step) -> None:
    """Whatever callers do and however late, the law holds."""

    @given(ACTS)
    def run(acts: list[Act]) -> None:
        play(acts, law)

    run()


@given(st.integers(0, 10**9), st.floats(0, 1e8), st.floats(0, 1e8))
def test_stamps_order_like_moments(base: int, first: float, second: float) -> None:
    """Times of the index compare as texts as they do as times, so that every store can compare them."""
    start = later(START, base)
    one, two = later(start, first), later(start, second)

    assert (one < two) == (moment(one) < moment(two))


@given(acts=ACTS, who=st.sampled_from(PEOPLE), token=st.none() | st.integers(0, 4), force=st.booleans())
def test_only_the_holder_or_force_may_change(
    acts: list[Act], who: Claimant, token: int | None, *, force: bool
) -> None:
    """Another's claimed task is changed by force only, and never with a token that is over."""
    story: list[tuple[Task, str]] = []
    play(acts, lambda _act, _before, now, task: story.append((task, now)))
    task, now = story[-1] if story else (Task(id="t1", name="t1", file="t1.md"), START)
    claim = task.claim if is_live(task.claim, now) else None
    theirs = claim is not None and (claim.holder, claim.session) != (who.actor, who.session)
    over = token is not None and (claim is None or claim.token != token)

    error = StaleToken if over else Claimed if theirs and not force else None

    if error is None:
        claims.check_holder(task, who, now=now, token=token, force=force)
    else:
        with pytest.raises(error):
            claims.check_holder(task, who, now=now, token=token, force=force)


# -- each law bites


def lapse_forgetting(task: Task) -> Task:
    """A lapse that hands the same tokens out again."""
    return replace(task, claim=None, fence=0, status=Status.PENDING, started=None)


OFF: list[tuple[Step, str, object]] = [
    (one_winner, "is_live", lambda _claim, _now: False),
    (one_winner, "holds", lambda _claim, _who: True),
    (tokens_only_grow, "lapse", lapse_forgetting),
    (taken_is_begun, "later", lambda now, _seconds: now),
    (never_shortened, "max", min),
    (lapsed_is_none, "lapse", lambda task: task),
    (no_claim_on_rest, "renew", lambda task, _who, **_: replace(task, status=Status.COMPLETED)),
]


@pytest.mark.parametrize(
    ("law", "rule", "broken"), OFF, ids=lambda part: getattr(part, "__name__", str(part))
)
def test_law_bites(monkeypatch: pytest.MonkeyPatch, law: Step, rule: str, broken: object) -> None:
    """With one safety rule off, a story is found in which the law is broken."""
    monkeypatch.setattr(claims, rule, broken, raising=False)

    @settings(max_examples=1000, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    @given(ACTS)
    def run(acts: list[Act]) -> None:
        play(acts, law)

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run()


@pytest.mark.parametrize(
    ("task", "error"),
    [
        (Task(id="a", name="a", file="a.md", status=Status.COMPLETED), Unlawful),
        (Task(id="a", name="a", file="a.md", status=Status.BLOCKED), Unlawful),
        (Task(id="a", name="a", file="a.md"), Blocked),
    ],
)
def test_what_cannot_be_taken(task: Task, error: type[Refused]) -> None:
    """Finished, stopped and waiting tasks are refused with the reason."""
    with pytest.raises(error):
        claims.take(task, PEOPLE[0], now=START, ttl=1, blocked_by=("b",))


def test_only_a_holder_renews() -> None:
    """Nobody prolongs a claim that is not theirs, or that ran out."""
    held = replace(
        Task(id="a", name="a", file="a.md", status=Status.IN_PROGRESS),
        claim=Claim("alice", "s1", "wt-a", 1, START, later(START, 1)),
    )

    with pytest.raises(NotHolder):
        claims.renew(held, PEOPLE[1], now=START, ttl=1)
    with pytest.raises(NotHolder):
        claims.renew(held, PEOPLE[0], now=later(START, 1), ttl=1)
