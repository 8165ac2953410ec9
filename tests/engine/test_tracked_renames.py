"""Where git carries the task files: a file that is moved or given another id, and what its task becomes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskd.engine.site import TRACKED
from tests.engine.bench import Bench, document
from tests.engine.tracked import FILES, add_worktree, commit, move, run, settle

MakeBench = Callable[..., Bench]


@pytest.fixture
def tracked(make_bench: MakeBench) -> Bench:
    """A repository with three tracked tasks, and a worktree `alpha` on a branch of its own."""
    bench = make_bench(FILES, layout=TRACKED)
    add_worktree(bench, "alpha")
    settle(bench)
    return bench


@pytest.mark.parametrize("how", ["mv", "git mv", "git mv, committed", "mv, edited"])
@pytest.mark.parametrize("key", ["main", "alpha"])
def test_a_renamed_file_is_the_same_task(tracked: Bench, how: str, key: str) -> None:
    """S-33: a file moved by hand keeps its identity and status; the task's path follows it."""
    tracked.call("status", id="a", status="completed")
    tracked.file("done/x", key).parent.mkdir()
    move(tracked, "a.md", "done/a-new.md", how, key)
    settle(tracked)

    task = tracked.task("a")
    assert (tracked.ids(), task.file, task.status) == (["a", "b", "c"], "done/a-new.md", "completed")
    assert ("EDITED" in task.body) is ("edited" in how)
    assert (tracked.base("a.md", key), tracked.conflicts(), tracked.problems()) == (None, [], [])


def test_a_rename_that_git_brings(tracked: Bench) -> None:
    """S-33: a merge that moves a file says nothing: the index has followed the hand that moved it."""
    tracked.file("done/x", "alpha").parent.mkdir()
    move(tracked, "a.md", "done/a.md", "git mv, committed", "alpha")
    settle(tracked)
    before = tracked.journal()
    run(tracked, "merge", "-q", "alpha")
    settle(tracked)
    run(tracked, "reset", "-q", "--hard", "HEAD~1")
    settle(tracked)

    assert (tracked.journal(), tracked.task("a").file) == (before, "done/a.md")
    assert (tracked.file("a.md").exists(), tracked.ids()) == (True, ["a", "b", "c"])


@pytest.mark.parametrize("how", ["mv", "git mv", "git mv, committed"])
def test_a_renamed_directory(tracked: Bench, how: str) -> None:
    """S-33: files of a directory that is renamed are the tasks they were."""
    for id in ("d", "e"):
        tracked.save(f"old/{id}.md", document(id))
    tracked.save("old/no-id.md", "---\nname: Without\n---\n")
    commit(tracked, "more")
    settle(tracked)
    move(tracked, "old", "new", how)
    settle(tracked)

    assert tracked.ids() == ["a", "b", "c", "d", "e", "no-id"]
    assert [tracked.task(id).file for id in ("d", "e", "no-id")] == ["new/d.md", "new/e.md", "new/no-id.md"]


@pytest.mark.parametrize("how", ["mv", "git mv", "git mv, committed"])
def test_a_file_without_an_id_that_is_renamed(tracked: Bench, how: str) -> None:
    """S-33: a file whose task is called by its file name is followed by what it is."""
    tracked.save("first.md", "---\nname: First\n---\n")
    commit(tracked, "first")
    settle(tracked)
    move(tracked, "first.md", "second.md", how)
    settle(tracked)

    assert tracked.ids() == ["a", "b", "c", "first"]
    assert tracked.task("first").file == "second.md"


@pytest.mark.parametrize("how", ["mv", "git mv", "git mv, committed"])
def test_a_name_in_other_letters(tracked: Bench, how: str) -> None:
    """S-33: a rename that changes only the case of letters is a rename."""
    move(tracked, "a.md", "A.md", how)
    settle(tracked)

    assert (tracked.ids(), tracked.task("a").file, tracked.problems()) == (["a", "b", "c"], "A.md", [])


def test_an_id_changed_by_hand(make_bench: MakeBench) -> None:
    """S-33: another id typed into a file that nobody else has renames the task; the old name leads to it."""
    bench = make_bench({**FILES, "tasks/d.md": document("d", depends_on="[a]")}, layout=TRACKED)
    settle(bench)
    bench.call("status", id="a", status="completed")
    bench.edit("a.md", "id: a", "id: z")
    settle(bench)

    task = bench.task("z")
    assert (bench.ids(), task.status, task.file) == (["b", "c", "d", "z"], "completed", "a.md")
    assert bench.task("d").depends_on == ("z",)
    with bench.db.read() as view:
        assert view.resolve("a") == ["z"]


def test_two_ids_at_one_place_on_two_branches(tracked: Bench) -> None:
    """S-11: the same path with another id on another branch is another task, and both stay."""
    run(tracked, "switch", "-q", "-c", "other")
    tracked.save("a.md", document("other"))
    commit(tracked, "other")
    settle(tracked)
    assert tracked.ids() == ["a", "b", "c", "other"]
    before = tracked.journal()
    for branch in ("main", "other", "main"):
        run(tracked, "switch", "-q", branch)
        settle(tracked)

    assert (tracked.ids(), tracked.journal()) == (["a", "b", "c", "other"], before)
