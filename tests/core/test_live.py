"""What a complete text says of the runtime fields, and a task with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskd.core.claims import FAR, as_told, is_far
from taskd.core.live import Complete, Live, opened, says_same, with_live
from taskd.core.render import complete_text
from taskd.core.task import Claim, MergeInfo, Note, Participant, Progress, Status, Task
from taskd.errors import DocumentError

TIME = "2026-03-01T12:00:00.000Z"
LATER = "2026-03-01T13:00:00.000Z"
TEXT = b"---\nid: a\nname: A\ndepends_on: [b]\n---\n\nBody.\n"
TASK = Task(id="a", name="A", file="a.md", depends_on=("b",))
CLAIM = Claim("bob", "s", "w", 3, TIME, LATER)


def complete(task: Task = TASK, blocked_by: tuple[str, ...] = (), text: bytes = TEXT) -> Complete:
    """A task as another clone reads it."""
    found = opened(complete_text(text, task, blocked_by))
    assert found is not None
    return found


def test_every_field_is_read_back() -> None:
    """What stands in the block is what the index has, but for what is one clone's own of a claim."""
    task = replace(
        TASK,
        status=Status.IN_PROGRESS,
        reason="why: not",
        started=TIME,
        completed=LATER,
        claim=CLAIM,
        progress=Progress(40, 'ha"lf', TIME, "bob"),
        completion_summary="all\nof it",
        actual_hours=1.5,
        merge=MergeInfo("abc", pr="#1"),
        notes=(Note(TIME, "bob", "hm"),),
        participants=(Participant("eve", "author", TIME),),
    )
    live = complete(task).live

    assert live.status is Status.IN_PROGRESS
    assert dict(live.fields) == {
        "reason": "why: not",
        "started": TIME,
        "completed": LATER,
        "claim": as_told(CLAIM),
        "progress": task.progress,
        "completion_summary": "all\nof it",
        "actual_hours": 1.5,
        "merge": task.merge,
    }
    assert (live.records.notes, live.records.participants) == (task.notes, task.participants)


def test_a_claim_is_told_alike_in_every_clone() -> None:
    """Where a claim was made does not show, so that clones agree on it."""
    far = Claim("bob", f"{FAR}s", f"{FAR}w", 9, TIME, "2026-03-02T12:00:00.000Z")
    task = replace(TASK, status=Status.IN_PROGRESS)

    assert complete(replace(task, claim=far)).text == complete(replace(task, claim=CLAIM)).text
    assert (is_far(far), is_far(CLAIM)) == (True, False)


def test_nothing_is_told_of_nothing() -> None:
    """A pending task without runtime fields says so."""
    assert complete().live == Live()


@pytest.mark.parametrize(
    ("task", "blocked_by", "status"),
    [
        (TASK, ("b",), Status.PENDING),
        (replace(TASK, status=Status.BLOCKED, reason="r"), ("b",), Status.BLOCKED),
        (replace(TASK, status=Status.BLOCKED), (), Status.BLOCKED),
    ],
)
def test_blocked_by_hand_or_by_others(task: Task, blocked_by: tuple[str, ...], status: Status) -> None:
    """What only waits for others is pending; what was blocked by hand is blocked."""
    assert complete(task, blocked_by).live.status is status


def test_blocked_without_a_word() -> None:
    """Without a block, blocked is what unfinished dependencies explain, as at first sight of a file."""
    text = TEXT.replace(b"name: A\n", b"name: A\nstatus: blocked\n")
    waiting, ready = opened(text, lambda ids: ids), opened(text, lambda _: ())
    alone = opened(text.replace(b"depends_on: [b]\n", b""), lambda ids: ids)

    assert [one and one.live.status for one in (waiting, ready, alone)] == [
        Status.PENDING,
        Status.BLOCKED,
        Status.BLOCKED,
    ]


def test_a_word_nobody_knows_says_nothing() -> None:
    """An unknown status, and values that somebody typed into the block, are no news."""
    task = replace(TASK, status=Status.IN_PROGRESS, started=TIME, claim=CLAIM, actual_hours=1.0)
    text = complete_text(TEXT, task, ()).replace(b"in-progress", b"wibble").replace(TIME.encode(), b"soon")
    found = opened(text.replace(b"actual_hours: 1.0", b"actual_hours: [1]\nreason: [1]\nprogress: 5"))

    assert found is not None
    assert found.live.status is None
    assert set(found.live.fields) == {"completed", "completion_summary", "merge"}


def test_keys_that_their_author_wrote() -> None:
    """A runtime key among the author's own lines is theirs, and says nothing of the index."""
    text = TEXT.replace(b"name: A\n", b"name: A\nreason: mine\n")

    assert complete(text=text).live.fields["reason"] is None
    assert complete(replace(TASK, reason="ours"), text=text).live.fields["reason"] == "ours"


def test_a_text_without_room_for_a_block() -> None:
    """Between braces nothing can be shown, so nothing is said but for the status."""
    live = complete(
        replace(TASK, status=Status.FAILED, reason="r"), text=b"---\n{id: a, name: A}\n---\n"
    ).live

    assert (live.status, dict(live.fields)) == (Status.FAILED, {})


@pytest.mark.parametrize("text", [b"# Readme\n", b"word\n"])
def test_no_task(text: bytes) -> None:
    """A file without frontmatter is none."""
    assert opened(text) is None


def test_a_broken_text() -> None:
    """A file that cannot be read is an error with a line."""
    with pytest.raises(DocumentError):
        opened(b"---\nid: a\n<<<<<<< x\n---\n")


def test_the_same_said_otherwise() -> None:
    """Order of notes, an explicit pending and what follows from others are no difference; the rest is."""
    first, second = Note(TIME, "bob", "a"), Note(TIME, "eve", "b")
    task = replace(TASK, notes=(first, second))
    one = complete(task)
    spelled = TEXT.replace(b"name: A\n", b"name: A\nstatus: pending\n")

    assert says_same(one, one)
    assert says_same(one, complete(task, ("b",), spelled))
    for other in (
        replace(task, notes=(first,)),
        replace(task, started=TIME),
        replace(task, status=Status.FAILED),
        replace(task, participants=(Participant("eve", "author", TIME),)),
    ):
        assert not says_same(one, complete(other))
    assert not says_same(one, complete(task, text=TEXT.replace(b"Body", b"Text")))


def test_the_same_where_nothing_can_be_edited() -> None:
    """Texts in which no status can be set are compared as they are."""
    text = b"---\n? status\n: failed\n? id\n: a\n---\n"
    one = opened(text)

    assert one is not None
    assert says_same(one, replace(one, text=b"another"))


def test_a_status_by_lawful_steps() -> None:
    """A task goes to a status on the shortest lawful way, and then has the fields that came with it."""
    done = replace(TASK, status=Status.COMPLETED, started=TIME, completed=TIME)
    taken = {"reason": "why", "started": LATER, "completed": None}
    steps = with_live(done, Status.BLOCKED, taken, now=LATER, lease=LATER, far=True)

    assert [step.status for step in steps] == [Status.PENDING, Status.BLOCKED]
    assert (steps[-1].reason, steps[-1].started, steps[-1].completed) == ("why", LATER, None)
    assert with_live(TASK, Status.PENDING, {}, now=LATER, lease=LATER, far=True) == (TASK,)


@pytest.mark.parametrize(("far", "session"), [(True, f"{FAR}s"), (False, "s")])
def test_a_claim_is_brought(session: str, *, far: bool) -> None:
    """A claim gets a new token and a lease of this clone; from far it can be told from our own."""
    task = replace(TASK, status=Status.IN_PROGRESS, fence=4)
    taken = {"claim": as_told(CLAIM)}
    [found] = with_live(task, Status.IN_PROGRESS, taken, now=TIME, lease=LATER, far=far)

    assert found.claim is not None
    assert (found.claim.session, found.claim.token, found.fence) == (session, 5, 5)
    assert (found.claim.since, found.claim.expires) == (TIME, LATER)


def test_a_claim_ends() -> None:
    """A claim that was given back ends, and none outlives the work."""
    task = replace(TASK, status=Status.IN_PROGRESS, claim=CLAIM)
    [back] = with_live(task, Status.IN_PROGRESS, {"claim": None}, now=TIME, lease=LATER, far=True)
    [idle] = with_live(TASK, Status.PENDING, {"claim": as_told(CLAIM)}, now=TIME, lease=LATER, far=True)

    assert (back.claim, idle.claim) == (None, None)
