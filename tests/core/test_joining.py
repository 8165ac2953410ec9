"""Runtime fields that two clones changed, over what both last knew."""

from __future__ import annotations

from typing import Any

import pytest

from taskd.core.block import BLOCK_FIELDS
from taskd.core.joining import Joined, join_live
from taskd.core.live import Live
from taskd.core.records import Records
from taskd.core.task import Claim, Note, Participant, Status

T1, T2, T3 = (f"2026-03-01T1{hour}:00:00.000Z" for hour in (1, 2, 3))
PENDING, BEGUN, DONE = Status.PENDING, Status.IN_PROGRESS, Status.COMPLETED
ALICE = Claim("alice", "s", "w", 0, T1, "")
BOB = Claim("bob", "s", "w", 0, T2, "")


def live(status: Status | None = PENDING, **fields: Any) -> Live:  # noqa: ANN401 - of any field
    """What a document says."""
    records = Records(fields.pop("notes", ()), fields.pop("participants", ()))
    return Live(status, {**dict.fromkeys(BLOCK_FIELDS), **fields}, records)


def told(joined: Joined) -> list[tuple[str, object, object, object]]:
    """The clashes."""
    return [(one.field, one.base, one.index, one.file) for one in joined.clashes]


def test_what_is_no_news_says_nothing() -> None:
    """What stood there before is not taken, however much the index has changed."""
    old = live(BEGUN, started=T1, claim=ALICE, progress="p")

    assert join_live(old, live(DONE, completed=T2), old, held=False) == Joined(DONE)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "stands", "clashes"),
    [
        (PENDING, PENDING, DONE, DONE, 0),
        (PENDING, DONE, PENDING, DONE, 0),
        (PENDING, DONE, DONE, DONE, 0),
        (PENDING, DONE, BEGUN, DONE, 1),
        (PENDING, DONE, None, DONE, 0),
        (None, BEGUN, DONE, DONE, 0),
        (BEGUN, None, DONE, PENDING, 1),
    ],
)
def test_a_status(
    base: Status | None, ours: Status | None, theirs: Status | None, stands: Status, clashes: int
) -> None:
    """Changed on one side it is taken, on both differently the index's stands and all three are kept."""
    joined = join_live(live(base), live(ours), live(theirs), held=False)

    assert (joined.status, len(joined.clashes)) == (stands, clashes)


def test_a_status_brings_its_fields() -> None:
    """With a status come its reason and times; where it clashes they stay, too."""
    ours, theirs = live(DONE, completed=T1, started=T1), live(Status.FAILED, started=T2, reason="r")

    assert join_live(live(), live(), theirs, held=False).taken == {
        "reason": "r",
        "started": T2,
        "completed": None,
    }
    joined = join_live(live(), ours, theirs, held=False)
    assert (joined.taken, told(joined)) == ({}, [("status", "pending", "completed", "failed")])


def test_a_status_of_one_who_cannot_tell_more() -> None:
    """A document without room for fields says nothing of them."""
    joined = join_live(live(), live(BEGUN, started=T1), Live(DONE, {}), held=False)

    assert (joined.taken, len(joined.clashes)) == ({}, 1)
    assert join_live(live(), live(), Live(DONE, {}), held=False) == Joined(DONE)
    assert join_live(Live(), live(), Live(PENDING, {"claim": None}), held=False) == Joined(PENDING)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "taken"),
    [
        (None, T2, T1, {"started": T1}),
        (None, T1, T2, {}),
        (None, None, T2, {"started": T2}),
        (T1, T1, T2, {"started": T2}),
        (T1, T2, None, {}),
        (T1, T2, T1, {}),
    ],
)
def test_times_of_one_status(base: str | None, ours: str | None, theirs: str | None, taken: object) -> None:
    """Both came to the same status: the earlier time stands, on either side, and that is no conflict."""
    sides = (live(PENDING, started=base), live(BEGUN, started=ours), live(BEGUN, started=theirs))
    joined = join_live(*sides, held=False)

    assert (joined.taken, joined.clashes) == (taken, [])


def test_other_fields() -> None:
    """Each field is one value: taken, left, or a clash."""
    base, ours = live(reason="b", merge="m"), live(reason="o", merge="m", actual_hours=1.0)
    joined = join_live(base, ours, live(reason="t", merge="n", actual_hours=1.0), held=False)

    assert joined.taken == {"merge": "n"}
    assert told(joined) == [("reason", "b", "o", "t")]


def test_without_a_base_only_adds() -> None:
    """What the index has nothing of is taken, what differs clashes."""
    joined = join_live(
        None, live(BEGUN, started=T1, reason="o"), live(BEGUN, reason="t", merge="m"), held=False
    )

    assert joined.taken == {"merge": "m"}
    assert told(joined) == [("reason", None, "o", "t")]


def test_a_base_that_cannot_tell() -> None:
    """Where the base had no room for fields, it had what the index has: what they say now is news."""
    joined = join_live(Live(PENDING, {}), live(reason="o"), live(reason="t"), held=False)

    assert (joined.taken, joined.clashes) == ({"reason": "t"}, [])


# -- claims


def test_a_claim_is_taken_and_given_back() -> None:
    """A claim made or ended on the other side is made or ended here."""
    assert join_live(live(), live(), live(BEGUN, claim=BOB), held=False).taken["claim"] == BOB
    assert (
        join_live(live(BEGUN, claim=BOB), live(BEGUN, claim=BOB), live(), held=False).taken["claim"] is None
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "taken"),
    [(ALICE, BOB, {}), (BOB, ALICE, {"claim": ALICE}), (None, BOB, {"claim": BOB})],
)
def test_of_two_claims_the_first_stands(ours: Claim | None, theirs: Claim, taken: object) -> None:
    """Whoever merges comes to the same holder, and the loser is among the conflicts."""
    base = Claim("eve", "s", "w", 0, T3, "")
    joined = join_live(
        live(BEGUN, claim=base), live(BEGUN, claim=ours), live(BEGUN, claim=theirs), held=False
    )

    assert joined.taken == taken
    assert [one.field for one in joined.clashes] == ["claim"]
    assert joined.clashes[0].file == {
        "holder": theirs.holder,
        "session": "s",
        "worktree": "w",
        "since": theirs.since,
    }


@pytest.mark.parametrize("rival", [None, ALICE, BOB])
def test_a_living_claim_of_ours_is_not_ended(rival: Claim | None) -> None:
    """While somebody here works on it, another's status or later claim is a conflict."""
    held = live(BEGUN, claim=ALICE)
    joined = join_live(held, held, live(DONE, claim=rival), held=True)

    assert (joined.status, joined.taken) == (BEGUN, {})
    assert [one.field for one in joined.clashes] == ["status"] + ["claim"] * (rival != ALICE)


def test_an_earlier_claim_ends_ours() -> None:
    """The claim that was made first, in another clone, ends ours, which is kept as a conflict."""
    held = live(BEGUN, claim=BOB)
    joined = join_live(held, held, live(BEGUN, claim=ALICE), held=True)

    assert joined.taken == {"claim": ALICE}
    assert [one.field for one in joined.clashes] == ["claim"]


# -- records


def test_notes_are_a_union() -> None:
    """What is noted there and not here is added, each once; nothing is ever taken away."""
    one, two, three = (Note(T1, "bob", text) for text in "abc")
    joined = join_live(live(notes=(one,)), live(notes=(one, two)), live(notes=(two, three)), held=False)

    assert joined.notes == (three,)


def test_participants() -> None:
    """Who is new takes part; a role changed on one side is taken, on both it clashes."""
    eve, bob = Participant("eve", "author", T1), Participant("bob", "author", T1)
    reviewer, tester = Participant("eve", "reviewer", T1), Participant("eve", "tester", T1)
    old = live(participants=(eve,))

    assert join_live(old, old, live(participants=(eve, bob)), held=False).participants == (bob,)
    assert join_live(old, old, live(participants=(reviewer,)), held=False).participants == (reviewer,)
    assert join_live(old, old, old, held=False).participants == ()
    joined = join_live(old, live(participants=(tester,)), live(participants=(reviewer,)), held=False)
    assert (joined.participants, [one.field for one in joined.clashes]) == ((), ["participants"])
