"""What a document asks of the index."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskd.core.document import Document, read
from taskd.core.plan import Context
from taskd.core.request import Granted, grant, ignored_runtime, without_request
from taskd.core.task import Claim, Status, Task

NOW = "2026-03-01T12:00:00.000Z"
LATER = "2026-03-01T12:01:00.000Z"
PENDING = Task(id="a", name="a", file="a.md", depends_on=("b",))
BEGUN = replace(PENDING, status=Status.IN_PROGRESS, started="then")
CLAIMED = replace(BEGUN, claim=Claim("bob", "s", "w", 1, NOW, LATER))


def context(*waits: str, by: str | None = None, edits: str = "request") -> Context:
    """Alice saves a file; `waits` are unfinished dependencies, `by` who last moved the task."""
    return Context(
        NOW,
        "alice",
        lambda _base, ours, _theirs: (ours, False),
        lambda ids: tuple(id for id in ids if id in waits),
        lambda _start, _goal: False,
        lambda: by,
        edits,
    )


def document(status: str | None) -> Document:
    """A document with a status line, or without."""
    found = read(f"---\nid: a\n{'' if status is None else f'status: {status}'}\n---\n".encode())
    assert found is not None
    return found


def asked(before: str | None, after: str | None, task: Task, around: Context) -> Granted:
    """What comes of a status typed over another."""
    return grant(document(before), document(after), task, around)


SILENT = [
    ("pending", "pending", BEGUN),  # however stale
    ("in-progress", "WIP", PENDING),  # another spelling of the same
    ("completed", None, BEGUN),  # the line taken out
    (None, "pending", BEGUN),  # absent means pending
    ("pending", "wibble", PENDING),  # reported by reading
    ("pending", "in-progress", BEGUN),  # there already
]


@pytest.mark.parametrize(("before", "after", "task"), SILENT)
def test_what_is_not_asked_is_not_done(before: str | None, after: str | None, task: Task) -> None:
    """The base's status says nothing, and neither does no status or one nobody knows."""
    assert asked(before, after, task, context()) == Granted(task)


def test_without_a_base_nothing_is_asked() -> None:
    """A file of unknown descent moves no task."""
    assert grant(None, document("completed"), PENDING, context()) == Granted(PENDING)


def test_blocked_by_a_dependency_is_blocked_already() -> None:
    """Typing what is shown changes nothing."""
    assert asked("pending", "blocked", PENDING, context("b")) == Granted(PENDING)


@pytest.mark.parametrize(
    ("before", "after", "task", "statuses"),
    [
        ("pending", "in-progress", PENDING, [Status.IN_PROGRESS]),
        (None, "done", PENDING, [Status.IN_PROGRESS, Status.COMPLETED]),
        ("wibble", "failed", PENDING, [Status.IN_PROGRESS, Status.FAILED]),
        ("in-progress", "blocked", BEGUN, [Status.BLOCKED]),
        ("in-progress", "pending", replace(CLAIMED, claim=None), [Status.PENDING]),
    ],
)
def test_a_lawful_request_is_granted(before: str, after: str, task: Task, statuses: list[Status]) -> None:
    """It is carried out as the transitions a command would make, in order."""
    granted = asked(before, after, task, context())

    assert [step.status for step in granted.steps] == statuses
    assert (granted.task, granted.refusal) == (granted.steps[-1], None)


def test_who_moved_the_task_may_go_on_from_a_stale_file() -> None:
    """The status has moved since the file was read, but by this very participant."""
    assert asked("pending", "completed", BEGUN, context(by="alice")).task.status is Status.COMPLETED


@pytest.mark.parametrize(
    ("before", "after", "task", "around", "reason"),
    [
        (
            "pending",
            "done",
            PENDING,
            context(edits="ignore"),
            "status is changed by commands in this repository",
        ),
        (
            "pending",
            "done",
            BEGUN,
            context(by="bob"),
            "it is in-progress by now; the file was saved from an older state",
        ),
        (
            "pending",
            "done",
            BEGUN,
            context(),
            "it is in-progress by now; the file was saved from an older state",
        ),
        ("in-progress", "done", CLAIMED, context(), f"bob has claimed it until {LATER}"),
        ("pending", "done", PENDING, context("b"), "it waits for b"),
        ("blocked", "wip", replace(PENDING, status=Status.BLOCKED), context("b"), "it waits for b"),
        (
            "blocked",
            "done",
            replace(BEGUN, status=Status.BLOCKED),
            context("b"),
            "from blocked it cannot go to completed",
        ),
    ],
)
def test_a_refusal_has_a_reason(before: str, after: str, task: Task, around: Context, reason: str) -> None:
    """The index stays as it is, and whoever typed it learns why and what to do."""
    granted = asked(before, after, task, around)

    assert (granted.task, granted.steps) == (task, ())
    assert granted.refusal is not None
    assert (granted.refusal.field, granted.refusal.reason) == ("status", reason)
    assert granted.refusal.remedy


def test_a_lapsed_claim_is_in_nobodys_way() -> None:
    """What expired refuses nothing."""
    lapsed = replace(CLAIMED, claim=Claim("bob", "s", "w", 1, NOW, NOW))

    assert asked("in-progress", "done", lapsed, context()).task.status is Status.COMPLETED


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        (
            b"---\nid: a\nstatus: done\n---\n",
            b"---\nid: a\nstatus: TODO\n---\n",
            b"---\nid: a\nstatus: pending\n---\n",
        ),
        (b"---\nid: a\nstatus: done\n# c\n---\n", b"---\nid: a\n---\n", b"---\nid: a\n# c\n---\n"),
        (b"---\nid: [\n---\n", b"---\nid: a\n---\n", b"---\nid: [\n---\n"),
        (b"---\nid: a\nstatus: done\n---\n", b"no document", b"---\nid: a\n---\n"),
    ],
)
def test_a_refused_request_leaves_no_trace(text: bytes, before: bytes, after: bytes) -> None:
    """The text is as if the status had not been typed; what else was typed stays."""
    assert without_request(text, before) == after


def test_other_runtime_fields_are_reported() -> None:
    """Whoever writes `claim: bob` into a file learns that this claims nothing."""
    found = read(b"---\nid: a\nstatus: done\nclaim: bob\nteam: x\nnotes: y\n---\n")
    assert found is not None

    assert [refusal.field for refusal in ignored_runtime(found)] == ["claim", "notes"]
    assert ignored_runtime(found)[0].reason == "claim is kept by the index; the file's value is not taken"
