"""What differs between two versions of a task."""

from __future__ import annotations

import json
from dataclasses import replace

from taskd.core.change import Change, changes, plain, snapshot
from taskd.core.task import Claim, Criterion, Note, PrivateNote, Status, Task

TASK = Task(id="a", name="a", file="a.md", tags=("x",), extra={"team": "red", "old": "1"})


def test_each_changed_field_is_told_with_both_values() -> None:
    """The journal has the old and the new value, unknown keys by their own names."""
    new = replace(TASK, status=Status.COMPLETED, tags=("x", "y"), extra={"team": "blue", "new": ["2"]})

    assert changes(TASK, new) == (
        Change("tags", ["x"], ["x", "y"]),
        Change("status", "pending", "completed"),
        Change("team", "red", "blue"),
        Change("old", "1", None),
        Change("new", None, ["2"]),
    )


def test_what_follows_from_a_change_is_no_change() -> None:
    """Revision, text, times of the row, and records that are journaled by themselves are silent."""
    note = Note("2026-01-01T00:00:00.000Z", "bob", "hm")
    new = replace(TASK, revision=2, text="f00", updated_at="z", modified="z", fence=3, notes=(note,))

    assert changes(TASK, new) == ()


def test_values_are_json() -> None:
    """Whatever a task holds can be written into the journal."""
    claim = Claim("bob", "s", "w", 1, "then", "later")
    value = {"claim": claim, "criteria": (Criterion("c"),), "status": Status.FAILED}

    assert json.loads(json.dumps(plain(value))) == {
        "claim": {
            "holder": "bob",
            "session": "s",
            "worktree": "w",
            "token": 1,
            "since": "then",
            "expires": "later",
        },
        "criteria": [{"criterion": "c", "measurable": None, "met": False}],
        "status": "failed",
    }


def test_a_snapshot_has_everything_that_is_said() -> None:
    """A beginning or an end is journaled whole, zero hours included; what is empty is left out."""
    known = replace(TASK, estimate=0.0, text="f00", depends_on=("b",), modified="2026-01-01")
    task = replace(known, notes=(Note("t", "bob", "look"),), private_notes=(PrivateNote("t", "bob", "no"),))

    assert snapshot(task) == {
        "id": "a",
        "name": "a",
        "file": "a.md",
        "depends_on": ["b"],
        "tags": ["x"],
        "estimate": 0.0,
        "status": "pending",
        "extra": {"team": "red", "old": "1"},
        "text": "f00",
        "modified": "2026-01-01",
        "notes": [{"at": "t", "by": "bob", "text": "look"}],
    }
