"""`pull` is the one way taskd writes files that git tracks: because their owner asks, and losing nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from taskd import wire
from taskd.engine import callers, writeback
from taskd.engine.engine import OWED_TRIES
from taskd.engine.site import TRACKED
from taskd.engine.writeback import Write
from taskd.repo import crash
from tests.engine.bench import Bench, document

FILES = {"tasks/a.md": document("a", team="red"), "tasks/sub/b.md": document("b")}


@pytest.fixture
def tracked(make_bench: Callable[..., Bench]) -> Bench:
    """Two tasks that git tracks, in two worktrees; `a` was edited in main."""
    bench = make_bench(FILES, layout=TRACKED)
    bench.add_worktree("alpha")
    bench.settle()
    bench.put("a.md", document("a", priority="high", team="red"))
    return bench


def pull(bench: Bench, *ids: str, key: str = "alpha") -> list[dict[str, Any]]:
    """What is told of each file."""
    reply = bench.call("pull", "carol", key, ids=list(ids))
    assert isinstance(reply.data, list), reply.error
    return reply.data


def error(reply: wire.Reply) -> tuple[object, object]:
    """The exit code and the word of an error."""
    assert reply.error is not None, reply.data
    return reply.error["exit"], reply.error["code"]


def test_tracked_files_are_brought_to_the_head(tracked: Bench) -> None:
    """Every file of the caller's worktree says what the head says; other worktrees are not touched."""
    tracked.add_worktree("beta")
    tracked.settle()
    told = pull(tracked)

    assert told == [
        {"id": "a", "path": "a.md", "changed": True},
        {"id": "b", "path": "sub/b.md", "changed": False},
    ]
    assert tracked.text("a.md", "alpha") == tracked.head("a")
    assert tracked.text("a.md", "beta") == FILES["tasks/a.md"]
    assert tracked.git(tracked.top.parent / "alpha", "status", "--porcelain").split() == ["M", "tasks/a.md"]


def test_a_pulled_file_is_settled(tracked: Bench) -> None:
    """Pulling again, or looking at everything again, changes nothing and journals nothing."""
    pull(tracked)
    before = tracked.everything()
    again = pull(tracked)
    tracked.settle()

    assert [row["changed"] for row in again] == [False, False]
    assert (tracked.everything()[1], tracked.intents()) == (before[1], [])


def test_only_what_was_asked_for(tracked: Bench) -> None:
    """With ids, or their beginnings, only those files are written, each once."""
    tracked.put("sub/b.md", document("b", "New"))

    assert pull(tracked, "b", "b") == [{"id": "b", "path": "sub/b.md", "changed": True}]
    assert tracked.text("a.md", "alpha") == FILES["tasks/a.md"]


def test_what_the_file_says_is_heard_first(tracked: Bench) -> None:
    """An edit in the caller's file, seen by nobody yet, goes into the head and is in the file after."""
    tracked.edit("a.md", "team: red", "team: blue", key="alpha")
    told = pull(tracked, "a")

    assert (tracked.task("a").priority, dict(tracked.task("a").extra)) == ("high", {"team": "blue"})
    assert tracked.text("a.md", "alpha") == tracked.head("a")
    assert (told[0]["changed"], tracked.conflicts()) == (True, [])


def test_what_could_not_stand_is_told(tracked: Bench) -> None:
    """Where both sides changed one field the index's value is written; the other is in the conflict."""
    tracked.edit("a.md", "team: red", "priority: low\nteam: red", key="alpha")
    told = pull(tracked, "a")

    (conflict,) = tracked.conflicts()
    assert told == [{"id": "a", "path": "a.md", "changed": True, "conflicts": ["priority"]}]
    assert (conflict.file, tracked.task("a").priority) == ("low", "high")
    assert "priority: high" in (tracked.text("a.md", "alpha") or "")


@pytest.mark.parametrize(
    ("file", "head", "line"),
    [("pending", None, "status: in-progress"), (None, "pending", None), (None, None, None)],
)
def test_a_status_only_where_there_was_one(
    make_bench: Callable[..., Bench], file: str | None, head: str | None, line: str | None
) -> None:
    """The live status is brought into files that show one; nobody's clean file gets a stale one."""
    texts = [document("a", **({"status": said} if said else {}), team="x") for said in (file, head)]
    bench = make_bench({"tasks/a.md": texts[1]}, layout=TRACKED)
    bench.add_worktree("alpha")
    bench.settle()
    bench.put("a.md", texts[0], "alpha")
    bench.put("a.md", texts[1].replace("team: x", "team: y"))
    bench.call("status", id="a", status="in-progress")
    pull(bench)
    bench.settle()

    shown = [row for row in (bench.text("a.md", "alpha") or "").splitlines() if row.startswith("status")]
    assert shown == ([line] if line else [])
    assert bench.task("a").status == "in-progress"


def test_broken_files_are_left_alone(tracked: Bench) -> None:
    """A file in the middle of a merge is not written over but named; the others are done."""
    broken = "---\nid: a\n<<<<<<< ours\nname: A\n=======\nname: B\n>>>>>>> theirs\n---\n"
    tracked.put("sub/b.md", document("b", "New"))
    tracked.save("a.md", broken, "alpha")
    told = pull(tracked)

    assert [(row["id"], row["changed"]) for row in told] == [("a", False), ("b", True)]
    assert "conflict markers begin here" in told[0]["reason"]
    assert tracked.text("a.md", "alpha") == broken


def test_a_file_that_cannot_be_written(tracked: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk refuses is told in its own words, the others are done, nothing stays half done."""
    attempt = writeback._attempt  # noqa: SLF001 - the disk, seen from here

    def refuse(site: Any, write: Write, *, durable: bool) -> Any:  # noqa: ANN401 - handed on
        if write.path == "a.md":
            return OSError(28, "No space left on device")
        return attempt(site, write, durable=durable)

    tracked.put("sub/b.md", document("b", "New"))
    monkeypatch.setattr(writeback, "_attempt", refuse)
    told = pull(tracked)

    assert told == [
        {"id": "a", "path": "a.md", "changed": False, "reason": "No space left on device"},
        {"id": "b", "path": "sub/b.md", "changed": True},
    ]
    assert (tracked.text("a.md", "alpha"), tracked.intents()) == (FILES["tasks/a.md"], [])
    assert [row.path for row in tracked.problems()] == []


def saving(bench: Bench, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Somebody saves alpha's file in the last moment before it is written, so many times."""
    attempt, left = writeback._attempt, list(range(times))  # noqa: SLF001 - the last moment

    def save_first(site: Any, write: Write, *, durable: bool) -> Any:  # noqa: ANN401 - handed on
        if left:
            bench.edit("a.md", "name: A", f"name: A{left.pop()}", key="alpha")
        return attempt(site, write, durable=durable)

    monkeypatch.setattr(writeback, "_attempt", save_first)


def test_a_save_in_the_last_moment(tracked: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that came between hearing and writing is heard too, and in the file after."""
    saving(tracked, monkeypatch, 1)
    told = pull(tracked, "a")

    assert told == [{"id": "a", "path": "a.md", "changed": True}]
    assert (tracked.task("a").name, tracked.task("a").priority) == ("A0", "high")
    assert tracked.text("a.md", "alpha") == tracked.head("a")


def test_saves_without_end(tracked: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is saved again each time is left as it is, and said to be."""
    saving(tracked, monkeypatch, OWED_TRIES)
    (told,) = pull(tracked, "a")

    assert (told["changed"], "saved again" in told["reason"]) == (False, True)
    tracked.settle()
    assert tracked.intents() == []
    assert tracked.task("a").name in (tracked.text("a.md", "alpha") or "")


def test_dying_in_the_middle(tracked: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed once it is on record, the next to come finishes it."""

    def die(name: str) -> None:
        if name == "intent.open":
            raise KeyboardInterrupt

    monkeypatch.setattr(crash, "point", die)
    with pytest.raises(KeyboardInterrupt):
        pull(tracked)
    monkeypatch.undo()
    with tracked.engine.working():
        tracked.engine.start()

    assert tracked.text("a.md", "alpha") == tracked.head("a")
    assert tracked.intents() == []


def test_somebody_else_finishes_it(tracked: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper may find the intent before the command does: the file is written, and said to be."""
    carry_out = writeback.carry_out

    def late(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - handed on
        monkeypatch.setattr(writeback, "carry_out", carry_out)
        tracked.engine.start()
        return carry_out(*arguments, **more)

    monkeypatch.setattr(writeback, "carry_out", late)
    told = pull(tracked, "a")

    assert told == [{"id": "a", "path": "a.md", "changed": True}]
    assert tracked.text("a.md", "alpha") == tracked.head("a")


def test_while_git_is_at_work(tracked: Bench) -> None:
    """Under a running git command nothing is written: try again."""
    place = tracked.place("alpha")
    assert place.worktree is not None
    (place.worktree.git_dir / "index.lock").touch()

    assert error(tracked.call("pull", key="alpha")) == (75, "unheard")
    assert tracked.text("a.md", "alpha") == FILES["tasks/a.md"]


def test_what_there_is_not(tracked: Bench) -> None:
    """A task nobody knows, or without a file here, is not found, and then nothing is done."""
    tracked.call("add", name="C", id="c")
    replies = [tracked.call("pull", key="alpha", ids=["a", id]) for id in ("ghost", "c")]

    assert [error(reply) for reply in replies] == [(4, "not-found")] * 2
    assert tracked.text("a.md", "alpha") == FILES["tasks/a.md"]


def test_outside_a_worktree(tracked: Bench) -> None:
    """There is nothing to be brought up to date."""
    call = tracked.asked("pull")
    (reply,) = tracked.engine.execute([replace(call, caller=replace(call.caller, directory="/"))])

    assert error(reply) == (2, "usage")


def test_deleted_and_absent_files_are_left_out(tracked: Bench) -> None:
    """Without ids it is about files that stand, of tasks that live; nothing is made and nothing removed."""
    tracked.file("sub/b.md", "alpha").unlink()
    tracked.call("rm", id="a")

    assert pull(tracked) == []
    assert (tracked.text("a.md", "alpha"), tracked.text("sub/b.md", "alpha")) == (FILES["tasks/a.md"], None)


def test_a_retry_pulls_again(tracked: Bench) -> None:
    """The answer tells of the files as they are: the same request later is looked at anew."""
    call = tracked.asked("pull", key="alpha")
    call = replace(call, caller=replace(call.caller, request_id="r-1"))
    first, again = (tracked.engine.execute([call])[0].data for _ in range(2))

    assert isinstance(first, list)
    assert isinstance(again, list)
    assert ([row["changed"] for row in first], [row["changed"] for row in again]) == (
        [True, False],
        [False, False],
    )


def test_the_shared_layout_is_in_step_already(bench: Bench) -> None:
    """Where live state is written anyway, pulling gives the file what it is given anyway."""
    bench.add_worktree("alpha")
    bench.put("a.md", document("a"))
    bench.call("status", id="a", status="in-progress")
    told = pull(bench, key="main")
    text = bench.text("a.md")
    bench.settle()

    assert told == [{"id": "a", "path": "a.md", "changed": True}]
    assert bench.text("a.md") == bench.text("a.md", "alpha") == text


def test_what_is_gone_by_the_time_it_is_written(tracked: Bench) -> None:
    """A task or file that went while the call was on its way is said to be gone."""
    row: callers.Row = {"id": "a", "path": "a.md", "changed": False}
    owed = callers.Owed(pulled=[callers.Pulled(tracked.place("alpha"), "a.md", "ghost", row)])
    with tracked.db.write() as txn:
        opened = owed.open(tracked.engine.site, txn)

    assert (opened, row["reason"]) == ([], "the task or its file went meanwhile")
