"""Several things happen to a file before anybody looks: hand and git are still told from each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskd.engine.engine import Engine
from taskd.engine.site import TRACKED
from tests.engine.bench import Bench, document
from tests.engine.tracked import add_worktree, commit, run, settle

MakeBench = Callable[..., Bench]

BODY = "\none\ntwo\nthree\nfour\nfive\n"
FILES = {f"tasks/{id}.md": document(id, body=BODY, risk="low", tags="[x]") for id in ("a", "b")}


@pytest.fixture
def tracked(make_bench: MakeBench) -> Bench:
    """A repository with two tracked tasks, `a` and `b`, and a worktree `alpha` on a branch of its own."""
    bench = make_bench(FILES, layout=TRACKED)
    add_worktree(bench, "alpha")
    bench.settle()
    return bench


@pytest.fixture
def shared(bench: Bench) -> Bench:
    """Three tasks, `a`, `b` and `c`, in two worktrees that git does not carry them between."""
    add_worktree(bench, "alpha")
    for id in "abc":
        bench.save(f"{id}.md", document(id, body=BODY, risk="low", tags="[x]"))
    bench.settle()
    return bench


def test_edits_a_commit_and_a_path_taken_back(tracked: Bench) -> None:
    """What a path checkout puts back takes out nothing that was typed after the commit it comes from."""
    tracked.edit("a.md", "[x]", "[x, y]")
    commit(tracked, "y")
    tracked.edit("a.md", "[x, y]", "[x, y, z]")
    tracked.take("a.md")
    tracked.edit("a.md", "[x, y, z]", "[x, y, z, w]")
    tracked.take("a.md")
    run(tracked, "checkout", "HEAD", "--", "tasks/a.md")
    settle(tracked)

    assert set(tracked.task("a").tags) == {"x", "y", "z", "w"}


def test_a_path_put_back_edited_and_moved(tracked: Bench) -> None:
    """An edit on top of what a path checkout put back is all that the moved file says."""
    tracked.edit("a.md", "risk: low", "risk: high")
    settle(tracked)
    run(tracked, "checkout", "alpha", "--", "tasks/a.md")
    tracked.edit("a.md", "two", "TWO")
    tracked.file("a.md").rename(tracked.file("c.md"))
    settle(tracked)

    assert (tracked.task("a").risk, "TWO" in tracked.task("a").body) == ("high", True)


def test_a_commit_a_reset_and_another_commit(tracked: Bench) -> None:
    """HEAD back where it was: what was committed and reset meanwhile is not taken back by the next edit."""
    tracked.edit("a.md", "risk: low", "risk: high\nstatus: failed")
    settle(tracked)
    commit(tracked, "high")
    run(tracked, "reset", "-q", "--hard", "HEAD~1")
    tracked.edit("a.md", "two", "TWO")
    commit(tracked, "two")
    settle(tracked)

    task = tracked.task("a")
    assert (task.risk, task.status, "TWO" in task.body) == ("high", "failed", True)


def test_a_file_renamed_and_edited_in_a_new_worktree(tracked: Bench) -> None:
    """A file of an older state that was renamed before anybody looked says only what was typed into it."""
    tracked.edit("a.md", "risk: low", "risk: high")
    settle(tracked)
    add_worktree(tracked, "beta")
    tracked.file("a.md", "beta").rename(tracked.file("c.md", "beta"))
    tracked.edit("c.md", "two", "TWO", "beta")
    settle(tracked)

    assert (tracked.task("a").risk, "TWO" in tracked.task("a").body) == ("high", True)
    assert tracked.conflicts() == []


def test_an_old_state_typed_before_a_commit_of_code(shared: Bench) -> None:
    """In the shared layout only a stash puts old states back: typed before another command, they count."""
    shared.edit("a.md", "risk: low", "risk: high")
    shared.settle()
    shared.edit("a.md", "risk: high", "risk: low")
    (shared.top / "code").write_text("x\n")
    commit(shared, "code")
    shared.settle()

    assert shared.task("a").risk == "low"


def test_a_stash_that_is_applied_and_kept(shared: Bench) -> None:
    """S-02: an old state that `git stash apply` puts back says nothing, though the stash stays."""
    run(shared, "stash", "-q", "--all")
    settle(shared)
    shared.edit("a.md", "risk: low", "risk: high", "alpha")
    shared.settle()
    for id in "abc":
        shared.file(f"{id}.md").unlink()
    run(shared, "stash", "apply", "-q")
    shared.settle()

    assert (shared.task("a").risk, shared.text("a.md")) == ("high", shared.text("a.md", "alpha"))


def test_a_file_renamed_and_stashed(shared: Bench) -> None:
    """A stash that took a file along under a new name has not deleted its task."""
    shared.file("a.md").rename(shared.file("d.md"))
    run(shared, "stash", "-q", "--all", "--", "tasks/d.md")
    settle(shared)

    assert (shared.ids(), shared.holds()) == (["a", "b", "c"], [])


def test_a_directory_emptied_while_a_task_was_deleted(shared: Bench) -> None:
    """A task that a command deletes meanwhile does not make an emptied directory look less empty."""
    run(shared, "clean", "-qfdx", key="alpha")
    shared.take("a.md", "b.md", "c.md", key="alpha")
    shared.call("rm", id="c", force=True)
    shared.save("new.md", document("new"), "alpha")
    settle(shared)

    assert shared.ids() == ["a", "b", "new"]
    assert [hold.tasks for hold in shared.holds()] == [("a", "b")]


def test_a_buffer_that_outlives_a_deletion(shared: Bench) -> None:
    """A buffer that was opened before its task was deleted and restored reverts nothing."""
    buffer = shared.text("a.md", "alpha") or ""
    shared.edit("a.md", "risk: low", "risk: high")
    shared.settle()
    shared.call("rm", id="a", force=True)
    shared.settle()
    shared.call("restore", id="a")
    shared.settle()
    shared.save("a.md", buffer.replace("two", "TWO"), "alpha")
    shared.settle()

    assert (shared.task("a").risk, "TWO" in shared.task("a").body) == ("high", True)


def test_another_task_where_one_was(shared: Bench) -> None:
    """What a removed file has carried is not held against the next task of that name."""
    shared.edit("a.md", "risk: low", "risk: high")
    shared.settle()
    shared.call("rm", id="a", force=True)
    shared.settle()
    shared.save("a.md", document("other", body=BODY, risk="low"))
    shared.settle()
    shared.edit("a.md", "risk: low", "risk: medium", "alpha")
    shared.settle()

    assert (shared.task("other").risk, shared.conflicts()) == ("medium", [])


def test_a_rename_that_is_committed_and_reset(tracked: Bench) -> None:
    """A file that a commit moved, and a reset to before both took away, was not removed by anybody."""
    run(tracked, "commit", "-q", "--allow-empty", "-m", "beside")
    tracked.settle()
    run(tracked, "mv", "tasks/a.md", "tasks/c.md")
    commit(tracked, "moved")
    run(tracked, "checkout", "-q", "--orphan", "elsewhere")
    run(tracked, "rm", "-rfq", "tasks")
    run(tracked, "commit", "-q", "--allow-empty", "-m", "begin")
    settle(tracked)

    assert (tracked.ids(), tracked.holds()) == (["a", "b"], [])


def test_a_directory_emptied_before_a_restart(shared: Bench) -> None:
    """A new file that was heard before taskd died makes an emptied directory look no less empty."""
    run(shared, "clean", "-qfdx", key="alpha")
    shared.save("new.md", document("new"), "alpha")
    shared.take("a.md", "b.md", "c.md", "new.md", key="alpha")
    shared.engine = Engine(shared.engine.site, shared.engine.branch, shared.engine.mirror_lock)
    settle(shared)

    assert shared.ids() == ["a", "b", "c", "new"]
    assert [hold.tasks for hold in shared.holds()] == [("a", "b", "c")]


def test_a_tracked_file_removed_where_files_are_shared(make_bench: MakeBench) -> None:
    """What git carries is not put back where somebody removed it, and nothing is written about that."""
    bench = make_bench(FILES)
    bench.settle()
    bench.file("a.md").unlink()
    settle(bench)
    with bench.engine.working():
        bench.engine.fill_all()
    before = bench.db.writes
    with bench.engine.working():
        bench.engine.fill_all()
        bench.engine.finish_replicas()

    assert (bench.db.writes, bench.file("a.md").exists()) == (before, False)


def test_a_file_older_than_the_last_stash_is_renamed(shared: Bench) -> None:
    """A rename by hand counts also where a stash was made after the file was written."""
    (shared.top / "code").write_text("x\n")
    run(shared, "add", "code")
    run(shared, "stash", "-q")
    shared.file("sub").mkdir()
    shared.file("a.md").rename(shared.file("sub/a.md"))
    settle(shared)

    assert (shared.task("a").file, shared.file("sub/a.md", "alpha").exists()) == ("sub/a.md", True)
