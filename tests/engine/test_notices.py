"""What a file says that was not taken is listed, and speaks when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from taskd import wire
from taskd.core.texts import text_hash
from taskd.engine.site import TRACKED
from taskd.store.base import Base, Problem
from tests.engine.bench import NOON, Bench, document


@pytest.fixture
def tracked(make_bench: Callable[..., Bench]) -> Bench:
    """A task `a` in two worktrees of the tracked layout; alpha's file is older than the head."""
    bench = make_bench({"tasks/a.md": document("a", priority="low", team="red")}, layout=TRACKED)
    bench.add_worktree("alpha")
    bench.settle()
    bench.put("a.md", document("a", "Newer", priority="high", team="red"))
    return bench


def put_back(bench: Bench, text: str, key: str = "alpha") -> None:
    """Git put an old text into a worktree: it is the base there, said nothing, and is listed."""
    file = bench.save("a.md", text, key)
    tracked = bench.git(file.parent, "ls-files", "a.md")
    head = bench.git(file.parent, "rev-parse", "HEAD").strip() if tracked else None
    with bench.db.write() as txn:
        txn.keep(text.encode())
        txn.put_base(Base(key, "a.md", "a", text_hash(file.read_bytes()), None, head))
        reason, remedy = "git put back an older version", f"`taskd take a --from {key}` takes it"
        txn.put_problems(
            key, "a.md", [Problem(key, "a.md", None, reason, remedy, "a", kind="notice", since=NOON)]
        )


def take(bench: Bench, key: str = "alpha", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - parameters
    """The task after a file was taken."""
    reply = bench.call("take", "carol", id="a", worktree=key, **more)
    assert isinstance(reply.data, dict), reply.error
    return reply.data


def error(reply: wire.Reply) -> tuple[object, object]:
    """The exit code and the word of an error."""
    assert reply.error is not None, reply.data
    return reply.error["exit"], reply.error["code"]


def test_notices_are_listed_by_themselves(tracked: Bench) -> None:
    """A notice is no problem: nothing is wrong with the file, and it has a list of its own."""
    put_back(tracked, document("a", priority="low"))
    listed = tracked.engine.answer(tracked.asked("notices")).data

    assert isinstance(listed, list)
    assert [(row["worktree"], row["path"], row["line"], row["task"]) for row in listed] == [
        ("alpha", "a.md", None, "a")
    ]
    assert "taskd take a --from alpha" in listed[0]["remedy"]
    assert tracked.engine.answer(tracked.asked("problems")).data == []


def test_a_file_that_is_taken_speaks(tracked: Bench) -> None:
    """All it says differently is the caller's change; the notice goes, git's file is not touched."""
    text = document("a", "Older", body="Old body.\n", priority="medium", tags="[x]")
    put_back(tracked, text)
    told = take(tracked)

    task = tracked.task("a")
    assert (task.name, task.priority, task.tags, task.body) == ("Older", "medium", ("x",), "Old body.\n")
    assert (dict(task.extra), tracked.head("a")) == ({}, text)
    news = [entry for entry in tracked.journal("a") if entry.cause == "take"]
    assert {(entry.actor, entry.worktree) for entry in news} == {("carol", "main")}
    assert {entry.field for entry in news} == {"name", "priority", "tags", "body", "team"}
    assert (told["name"], told["refused"], tracked.problems("notice")) == ("Older", [], [])
    assert (tracked.text("a.md", "alpha"), tracked.conflicts()) == (text, [])


def test_a_taken_file_is_written_everywhere(bench: Bench) -> None:
    """In the shared layout every worktree says afterwards what was taken."""
    bench.add_worktree("alpha")
    bench.put("a.md", document("a", priority="low"))
    bench.put("a.md", document("a", priority="high"))
    put_back(bench, document("a", priority="low"))
    take(bench)
    bench.settle()

    assert (bench.task("a").priority, bench.text("a.md")) == ("low", bench.text("a.md", "alpha"))


def test_a_file_that_says_nothing_else(tracked: Bench) -> None:
    """Taking what the index says already changes nothing, and the notice goes."""
    put_back(tracked, tracked.head("a"))
    before = tracked.journal()
    take(tracked)

    assert (tracked.journal(), tracked.problems("notice")) == (before, [])


def test_a_status_the_task_had_before_is_not_taken(tracked: Bench) -> None:
    """What git put back says `pending`: that does not reopen finished work, and is told."""
    tracked.call("status", id="a", status="done")
    put_back(tracked, document("a", "Older", status="pending"))
    told = take(tracked)

    assert (tracked.task("a").name, tracked.task("a").status) == ("Older", "completed")
    assert [(row["field"], row["remedy"]) for row in told["refused"]] == [
        ("status", "`taskd status a pending`, if that is wanted")
    ]


def test_a_lawful_status_is_taken(tracked: Bench) -> None:
    """A status that is news is a request as in any file: done by lawful steps, as the caller's."""
    put_back(tracked, document("a", "Newer", priority="high", team="red", status="completed"))
    told = take(tracked)

    steps = [(e.old, e.new, e.actor) for e in tracked.journal("a") if e.field == "status"]
    assert (told["status"], told["refused"]) == ("completed", [])
    assert steps == [("pending", "in-progress", "carol"), ("in-progress", "completed", "carol")]


def test_an_unlawful_status_is_refused(tracked: Bench) -> None:
    """A status that cannot be reached is left out, with the reason; the rest is taken."""
    tracked.call("status", id="a", status="done")
    put_back(tracked, document("a", "Older", status="blocked"))
    told = take(tracked)

    assert (tracked.task("a").name, tracked.task("a").status) == ("Older", "completed")
    assert [row["field"] for row in told["refused"]] == ["status"]
    assert "it cannot go to blocked" in told["refused"][0]["reason"]


def test_an_edge_that_closes_a_cycle_is_a_conflict(tracked: Bench) -> None:
    """As from any file: that edge stays out, kept as a conflict, the rest goes in."""
    tracked.call("add", name="B", id="b", values={"depends_on": ["a"]})
    put_back(tracked, document("a", "Older", depends_on="[b]"))
    told = take(tracked)

    (conflict,) = tracked.conflicts()
    assert (conflict.field, conflict.worktree, conflict.file) == ("depends_on", "alpha", ["b"])
    assert (told["name"], told["depends_on"], told["conflicts"]) == ("Older", [], 1)


def test_a_save_that_is_not_taken_in_yet(tracked: Bench) -> None:
    """While git is at work there, nobody knows what the file says: try again."""
    put_back(tracked, document("a", "Older"))
    place = tracked.place("alpha")
    assert place.worktree is not None
    lock = place.worktree.git_dir / "index.lock"
    lock.touch()
    tracked.edit("a.md", "Older", "Other", key="alpha")
    early = tracked.call("take", id="a", worktree="alpha")
    lock.unlink()
    late = tracked.call("take", id="a", worktree="alpha")

    assert error(early) == (75, "unheard")
    assert late.error is None
    assert tracked.task("a").name == "Other"


def test_a_broken_file_cannot_be_taken(tracked: Bench) -> None:
    """A file that is no document is not half taken; the reason is the one that `problems` lists."""
    put_back(tracked, document("a", "Older"))
    tracked.save("a.md", "---\nid: a\nid: b\n---\n", "alpha")
    reply = tracked.call("take", id="a", worktree="alpha")

    assert error(reply) == (5, "refused")
    assert "stands here a second time" in str(reply.error)
    assert tracked.task("a").name == "Newer"


def test_there_is_no_such_replica(tracked: Bench) -> None:
    """A worktree nobody knows, one without a file of the task, a file that went: not found."""
    tracked.call("add", name="B", id="b")
    put_back(tracked, document("a", "Older"))
    tracked.file("a.md", "alpha").unlink()
    asked = [("a", "nowhere"), ("a", "workspace"), ("b", "alpha"), ("a", "alpha"), ("ghost", "alpha")]

    replies = [tracked.call("take", id=id, worktree=key) for id, key in asked]

    assert [error(reply) for reply in replies] == [(4, "not-found")] * 5
    assert "choose one of alpha, main" in str(replies[0].error)


def test_a_claimed_task_is_taken_by_its_holder_only(tracked: Bench) -> None:
    """Nobody else changes a claimed task, unless by force."""
    put_back(tracked, document("a", "Older"))
    tracked.call("claim", "bob", id="a")
    refused = tracked.call("take", "carol", id="a", worktree="alpha")

    assert error(refused) == (5, "claimed")
    assert take(tracked, force=True)["name"] == "Older"


def test_the_callers_own_untracked_file_follows(make_bench: Callable[..., Bench]) -> None:
    """A file of the caller's that git does not have says afterwards what was taken."""
    bench = make_bench(layout=TRACKED)
    bench.add_worktree("alpha")
    bench.put("a.md", document("a", "Newer", team="red"))
    put_back(bench, document("a", "Older", priority="low"))
    take(bench)

    assert bench.text("a.md") == document("a", "Older", priority="low")


def test_other_rows_of_the_file_stay(tracked: Bench) -> None:
    """Only the notice goes: what else is listed about the file is still so."""
    put_back(tracked, document("a", "Older", started="now"))
    other = Problem("alpha", "a.md", 1, "ignored", "take it out", "a", "started", "refusal", NOON)
    with tracked.db.write() as txn:
        txn.put_problems("alpha", "a.md", [*txn.problems("alpha"), other])
    take(tracked)

    assert tracked.problems("notice") == []
    assert [replace(row, since=NOON) for row in tracked.problems("refusal")] == [other]


def test_what_a_stash_put_back_is_taken(tracked: Bench) -> None:
    """Git puts the committed text back into a file: it says nothing, is listed, and speaks when asked to."""
    alpha = tracked.top.parent / "alpha"
    tracked.put("a.md", document("a", priority="low", team="blue"), "alpha")
    tracked.git(alpha, "stash", "-q")
    tracked.settle()
    before = dict(tracked.task("a").extra)
    (notice,) = tracked.problems("notice")
    told = take(tracked)

    assert (before, "`taskd take a --from alpha`" in notice.remedy) == ({"team": "blue"}, True)
    assert (told["name"], told["priority"], told["extra"]) == ("A", "low", {"team": "red"})
    assert (tracked.problems("notice"), tracked.conflicts()) == ([], [])


def test_what_was_written_over_is_taken(bench: Bench) -> None:
    """In the shared layout the head stands in the file again at once; what it said is taken all the same."""
    bench.add_worktree("alpha")
    bench.put("a.md", document("a", "Old", priority="low"))
    bench.write_back()
    bench.put("a.md", document("a", "New", priority="low"))
    bench.write_back()
    bench.put("a.md", document("a", "Old", priority="low"), "alpha")  # from an editor that had it open
    bench.write_back()
    bench.times.pass_by(1)
    bench.call("set", id="a", values={"priority": "high"})
    bench.call("status", id="a", status="in-progress")
    bench.settle()
    (notice,) = bench.problems("notice")
    stands = bench.text("a.md", "alpha") or ""
    told = take(bench, notice.worktree)

    assert all(line in stands for line in ("name: New", "priority: high", "status: in-progress"))
    assert (told["name"], told["priority"], told["status"]) == ("Old", "low", "in-progress")
    assert (bench.problems("notice"), bench.conflicts()) == ([], [])
