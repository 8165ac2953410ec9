"""A deleted task takes everything along that hangs on it, and a restored one has it again."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from taskd.core.task import ContextItem, Feedback, Note, Participant, PrivateNote
from taskd.engine.site import REPLICAS, TRACKED
from taskd.errors import StoreFailed
from taskd.store.base import Conflict
from tests.engine.bench import NOON, Bench, document

RECORDS = {
    "notes": (Note(NOON, "bob", "look"),),
    "participants": (Participant("bob", "author", NOON),),
    "context": (ContextItem("k", "v", NOON, "bob"),),
    "feedback": (Feedback(NOON, "bob", 5, 4, "good"),),
    "private_notes": (PrivateNote(NOON, "bob", "secret"),),
}


def fill(bench: Bench) -> None:
    """A task that has everything a task can have, and one that waits for it."""
    bench.put("a.md", document("a", body="Body.\n", tags="[x]"))
    bench.put("b.md", document("b", depends_on="[a]"))
    bench.call("claim", "bob", id="a")
    with bench.db.write() as txn:
        txn.add_note("a", Note(NOON, "bob", "look"))
        txn.put_participant("a", Participant("bob", "author", NOON))
        txn.put_context("a", ContextItem("k", "v", NOON, "bob"))
        txn.add_feedback("a", Feedback(NOON, "bob", 5, 4, "good"))
        txn.add_private_note("a", PrivateNote(NOON, "bob", "secret"))
        txn.put_conflict(Conflict("a", "name", "main", "b", "i", "f", NOON))


def records(bench: Bench) -> dict[str, object]:
    """What the index has of the task's records."""
    task = bench.task("a")
    return {name: getattr(task, name) for name in RECORDS}


def test_s12_a_deletion_leaves_no_orphans(bench: Bench) -> None:
    """S-12: records, claim and conflicts go with the task; who depended on it waits for what is not there."""
    fill(bench)
    bench.call("rm", "bob", id="a")

    assert records(bench) == dict.fromkeys(RECORDS, ())
    assert (bench.task("a").claim, bench.conflicts()) == (None, [])
    with bench.db.read() as view:
        assert (view.blockers(["b"]), view.dependents(["a"])) == ({"b": ("a",)}, {"a": ("b",)})
    shown = bench.engine.answer(bench.asked("show", id="b")).data
    assert isinstance(shown, dict)
    assert (shown["status"], shown["blocked_by"]) == ("blocked", ["a"])


def test_s12_a_restored_task_has_its_records_again(bench: Bench) -> None:
    """S-12: a restored task is what it was, notes and all, and its history goes on."""
    fill(bench)
    before, history = records(bench), bench.journal("a")
    bench.call("rm", "bob", id="a")
    bench.call("restore", "bob", id="a")

    task = bench.task("a")
    assert before == records(bench) == RECORDS
    assert (task.body, task.tags, task.status, task.claim) == ("Body.\n", ("x",), "in-progress", None)
    assert bench.journal("a")[: len(history)] == history
    assert [entry.cause for entry in bench.journal("a")[len(history) :]] == ["rm", "rm", "restore"]


def test_private_notes_are_not_in_the_journal(bench: Bench) -> None:
    """What one participant keeps private can be restored, and is read by nobody meanwhile."""
    fill(bench)
    bench.call("rm", "bob", id="a")

    assert "secret" not in str(bench.journal())


def test_a_task_without_records_is_restored(bench: Bench) -> None:
    """Deleted and restored twice, a task has nothing twice."""
    fill(bench)
    for op in ("rm", "restore", "rm", "restore"):
        assert bench.call(op, "bob", id="a").error is None

    assert records(bench) == RECORDS


def test_s12_dying_while_a_task_is_deleted(bench: Bench) -> None:
    """S-12: at whichever step the store dies, the task is there whole, or gone whole."""
    fill(bench)
    before = bench.everything(), records(bench)
    for step in itertools.count():
        bench.db.steps_left = step
        try:
            bench.call("rm", "bob", id="a")
        except StoreFailed:
            assert (bench.everything(), records(bench)) == before
        else:
            break

    assert step > 10
    assert (bench.ids(), records(bench)) == (["b"], dict.fromkeys(RECORDS, ()))


@pytest.mark.parametrize("id", ["a", "old"])
def test_s09_an_id_is_never_handed_out_again(bench: Bench, id: str) -> None:
    """S-09: neither a deleted task's id nor its former name can be had again, asked for or made."""
    bench.put("a.md", document("old"))
    bench.put("a.md", document("a", "Old"))
    bench.call("rm", id="a")
    asked = bench.call("add", name="New", id=id)
    made = bench.call("add", name=id.title())

    assert asked.error is not None
    assert asked.error["code"] == "id-taken"
    assert isinstance(made.data, dict)
    assert made.data["id"].startswith(f"{id}-")


def test_a_tracked_file_does_not_bring_its_task_back(make_bench: Callable[..., Bench]) -> None:
    """In the tracked layout a deleted task's file stays where git has it, is named, and means nothing."""
    bench = make_bench({"tasks/a.md": document("a"), "tasks/b.md": document("b")}, layout=TRACKED)
    bench.add_worktree("alpha")
    bench.settle()
    reply = bench.call("rm", id="a")
    bench.settle()
    bench.file("a.md").touch()
    bench.settle()

    assert isinstance(reply.data, dict)
    assert [(file["worktree"], file["path"]) for file in reply.data["files"]] == [
        ("alpha", "a.md"),
        ("main", "a.md"),
    ]
    assert (bench.ids(), bench.text("a.md"), bench.errands(REPLICAS)) == (["b"], document("a"), [])


def test_an_edit_by_hand_brings_a_deleted_task_back(make_bench: Callable[..., Bench]) -> None:
    """Who edits the file of a deleted task by hand wants it: it is back, with its notes."""
    bench = make_bench({"tasks/a.md": document("a")}, layout=TRACKED)
    bench.take("a.md")
    with bench.db.write() as txn:
        txn.add_note("a", Note(NOON, "bob", "look"))
    bench.call("rm", id="a")
    bench.edit("a.md", "name: A", "name: Again")
    bench.take("a.md")

    assert (bench.ids(), bench.task("a").name) == (["a"], "Again")
    assert bench.task("a").notes == (Note(NOON, "bob", "look"),)
