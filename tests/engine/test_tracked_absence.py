"""Where git carries the task files: which removals delete a task, and which are only git going elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from taskd.engine.site import SHARED, TRACKED
from tests.engine.bench import Bench, document
from tests.engine.tracked import FILES, IDS, add_worktree, commit, commit_beside, remove, run, settle, top_of

MakeBench = Callable[..., Bench]


@pytest.fixture
def tracked(make_bench: MakeBench) -> Bench:
    """A repository with three tracked tasks, and a worktree `alpha` on a branch of its own."""
    bench = make_bench(FILES, layout=TRACKED)
    add_worktree(bench, "alpha")
    settle(bench)
    return bench


def missing(bench: Bench) -> list[str]:
    """The tasks that are gone from the index, after everything has settled twice."""
    settle(bench)
    once = bench.ids()
    settle(bench)
    assert bench.ids() == once
    return [id for id in IDS if id not in once]


# -- by hand, in the main worktree


def test_removed_by_hand_in_the_main_worktree(tracked: Bench) -> None:
    """Who removes a file in the main worktree deletes the task; a tombstone stays."""
    tracked.file("a.md").unlink()

    assert missing(tracked) == ["a"]
    assert tracked.task("a").deleted_at is not None
    assert tracked.journal("a")[-1].cause == "file removed"


@pytest.mark.parametrize("looked", [True, False])
def test_removed_by_a_commit_in_the_main_worktree(tracked: Bench, *, looked: bool) -> None:
    """`git rm` and a commit delete the task, whether taskd looked in between or not."""
    run(tracked, "rm", "-q", "tasks/a.md")
    if looked:
        settle(tracked)
    run(tracked, "commit", "-q", "-m", "removed")

    assert missing(tracked) == ["a"]


def test_removed_in_the_second_of_two_commits(tracked: Bench) -> None:
    """What was done before, and in between, is of no matter."""
    commit_beside(tracked)
    remove(tracked, "a")
    commit_beside(tracked)

    assert missing(tracked) == ["a"]


def test_removed_by_an_amended_commit(tracked: Bench) -> None:
    """An amended commit is this worktree's own hand, too."""
    commit_beside(tracked)
    run(tracked, "rm", "-q", "tasks/a.md")
    run(tracked, "commit", "-q", "--amend", "-m", "removed")

    assert missing(tracked) == ["a"]


def test_removed_on_another_branch_of_the_main_worktree(tracked: Bench) -> None:
    """On whatever branch the main worktree is: it is there that files are removed."""
    run(tracked, "switch", "-q", "-c", "topic")
    settle(tracked)
    remove(tracked, "a")

    assert missing(tracked) == ["a"]


def test_a_new_file_removed_before_it_was_ever_committed(tracked: Bench) -> None:
    """A file that git has not heard of yet is removed like any other, staged or not."""
    for id in ("new", "staged"):
        tracked.save(f"{id}.md", document(id))
    run(tracked, "add", "tasks/staged.md")
    settle(tracked)
    for id in ("new", "staged"):
        tracked.file(f"{id}.md").unlink()
    settle(tracked)

    assert tracked.ids() == ["a", "b", "c"]


# -- brought forward


@pytest.mark.parametrize("how", [["merge", "-q", "alpha"], ["merge", "-q", "--no-ff", "--no-edit", "alpha"]])
def test_a_merge_that_brings_a_removal(tracked: Bench, how: list[str]) -> None:
    """S-30: a removal on a branch counts when the main worktree gets it, not before."""
    remove(tracked, "a", key="alpha")
    commit_beside(tracked, "alpha")
    assert missing(tracked) == []

    run(tracked, *how)
    assert missing(tracked) == ["a"]


def test_a_pull_that_brings_a_removal(tracked: Bench) -> None:
    """What others removed and a pull brings to the main worktree is deleted."""
    outside = tracked.top.parent / "outside"
    tracked.git(tracked.top, "clone", "-q", tracked.top, outside)
    tracked.git(outside, "rm", "-q", "tasks/a.md")
    tracked.git(outside, "commit", "-q", "-m", "removed")
    run(tracked, "pull", "-q", "--no-rebase", "--no-edit", outside, "HEAD")

    assert missing(tracked) == ["a"]


def test_a_merge_that_brings_a_removal_elsewhere(tracked: Bench) -> None:
    """A merge into a linked worktree deletes nothing, even if nobody else had the file."""
    tracked.save("new.md", document("new"), "alpha")
    commit(tracked, "new", "alpha")
    settle(tracked)
    run(tracked, "switch", "-q", "-c", "topic", key="alpha")
    remove(tracked, "new", key="alpha")
    run(tracked, "switch", "-q", "alpha", key="alpha")
    settle(tracked)
    run(tracked, "merge", "-q", "topic", key="alpha")
    settle(tracked)

    assert tracked.ids() == ["a", "b", "c", "new"]


# -- git goes elsewhere


@pytest.mark.parametrize(
    "going",
    [
        ["switch", "-q", "without"],
        ["checkout", "-q", "--detach", "without"],
        ["reset", "-q", "--hard", "without"],
        ["rebase", "-q", "without"],
        ["pull", "-q", "--rebase", ".", "without"],
        ["bisect", "start", "HEAD", "without~1"],
    ],
)
@pytest.mark.parametrize("key", ["main", "alpha"])
def test_a_branch_without_the_file(tracked: Bench, going: list[str], key: str) -> None:
    """S-30: a switch, reset, rebase or bisect to where a file is not deletes nothing, nor does a way back."""
    run(tracked, "switch", "-q", "-c", "without", key=key)
    run(tracked, "rm", "-q", "tasks/a.md", key=key)
    run(tracked, "commit", "-q", "-m", "without", key=key)
    run(tracked, "commit", "-q", "--allow-empty", "-m", "more", key=key)
    run(tracked, "switch", "-q", "-", key=key)
    commit_beside(tracked, key)
    settle(tracked)
    started = tracked.git(top_of(tracked, key), "rev-parse", "HEAD").strip()
    run(tracked, *going, key=key, check=False)
    there = tracked.file("a.md", key).exists()

    assert (missing(tracked), there) == ([], "bisect" in going)
    run(tracked, "bisect", "reset", key=key, check=False)
    run(tracked, "reset", "-q", "--hard", started, key=key)
    assert (missing(tracked), tracked.file("a.md", key).exists()) == ([], True)


@pytest.mark.parametrize("key", ["main", "alpha"])
def test_a_new_file_that_was_committed_and_left_behind(tracked: Bench, key: str) -> None:
    """S-30: a task written on a branch stays when the branch is left, though its file goes."""
    run(tracked, "switch", "-q", "-c", "topic", key=key)
    tracked.save("new.md", document("new"), key)
    settle(tracked)
    commit(tracked, "new", key)
    run(tracked, "switch", "-q", "-", key=key)
    settle(tracked)

    assert (tracked.file("new.md", key).exists(), tracked.ids()) == (False, ["a", "b", "c", "new"])


@pytest.mark.parametrize("staged", [True, False])
@pytest.mark.parametrize("layout", [TRACKED, SHARED])
def test_a_new_file_that_is_stashed(make_bench: MakeBench, layout: str, *, staged: bool) -> None:
    """S-30: a stash takes new files along; neither it nor its pop means anything."""
    bench = make_bench(FILES, layout=layout)
    if layout == SHARED:
        (bench.top / ".git/info/exclude").write_text("")
    bench.save("new.md", document("new"))
    if staged:
        run(bench, "add", "tasks/new.md")
    settle(bench)
    run(bench, "stash", "-q", "-u")
    assert not bench.file("new.md").exists()
    settle(bench)
    assert "new" in bench.ids()
    run(bench, "stash", "pop", "-q", check=False)
    settle(bench)

    assert ("new" in bench.ids(), bench.file("new.md").exists()) == (True, True)


def test_a_file_gone_by_a_switch_and_removed_after(tracked: Bench) -> None:
    """The removal that counts is the one by which the file went, not what was committed after it."""
    run(tracked, "switch", "-q", "-c", "without")
    run(tracked, "rm", "-q", "tasks/a.md")
    run(tracked, "commit", "-q", "-m", "without")
    run(tracked, "switch", "-q", "-")
    settle(tracked)
    run(tracked, "switch", "-q", "without")
    commit_beside(tracked)

    assert missing(tracked) == []


@pytest.mark.parametrize("key", ["main", "alpha"])
def test_a_worktree_without_reflog(tracked: Bench, key: str) -> None:
    """Where git keeps no record of its moves only what is taken away from HEAD's own files is by hand."""
    run(tracked, "config", "core.logAllRefUpdates", "false")
    run(tracked, "branch", "old", key=key)
    commit_beside(tracked, key)
    remove(tracked, "b", key=key)
    run(tracked, "branch", "new", key=key)
    run(tracked, "reset", "-q", "--hard", "old", key=key)
    for logs in tracked.top.glob(".git/**/logs"):
        shutil.rmtree(logs)
    settle(tracked)
    run(tracked, "switch", "-q", "--detach", "new", key=key)
    tracked.file("a.md", key).unlink()

    assert missing(tracked) == (["a"] if key == "main" else [])


def test_a_base_that_git_has_forgotten(tracked: Bench) -> None:
    """A commit that was replaced and pruned since a file was looked at is no reason to fail or delete."""
    run(tracked, "switch", "-q", "-c", "without")
    remove(tracked, "a")
    run(tracked, "switch", "-q", "-c", "with", "main")
    tracked.edit("b.md", "two", "TWO")
    commit(tracked, "lost")
    tracked.edit("a.md", "two", "TWO")
    settle(tracked)
    run(tracked, "stash", "-q")
    run(tracked, "stash", "drop", "-q")
    run(tracked, "switch", "-q", "without")
    run(tracked, "branch", "-q", "-D", "with")
    run(tracked, "reflog", "expire", "--expire=now", "--all")
    run(tracked, "gc", "-q", "--prune=now")

    assert missing(tracked) == []


# -- linked worktrees


@pytest.mark.parametrize("committed", [True, False])
def test_removed_in_a_linked_worktree(tracked: Bench, *, committed: bool) -> None:
    """A removal on somebody's branch is theirs until it is merged: others hold the file."""
    tracked.file("a.md", "alpha").unlink()
    if committed:
        commit(tracked, "removed", "alpha")

    assert missing(tracked) == []
    assert tracked.base("a.md", "alpha") is None


@pytest.mark.parametrize("committed", [True, False])
def test_removed_from_the_last_worktree_that_held_it(tracked: Bench, *, committed: bool) -> None:
    """A task that only one worktree ever had is deleted there."""
    add_worktree(tracked, "beta")
    for key in ("alpha", "beta"):
        tracked.save("new.md", document("new"), key)
        commit(tracked, "new", key)
    settle(tracked)
    for key, left in (("alpha", True), ("beta", False)):
        tracked.file("new.md", key).unlink()
        if committed:
            commit(tracked, "removed", key)
        settle(tracked)
        assert ("new" in tracked.ids()) is left


def test_a_worktree_on_a_disk_that_is_away_holds_its_files(tracked: Bench) -> None:
    """A locked worktree that is not there now has its files all the same."""
    add_worktree(tracked, "beta")
    for key in ("alpha", "beta"):
        tracked.save("new.md", document("new"), key)
    settle(tracked)
    run(tracked, "worktree", "lock", top_of(tracked, "beta"))
    top_of(tracked, "beta").rename(tracked.top.parent / "unmounted")
    settle(tracked)
    tracked.file("new.md", "alpha").unlink()

    assert (missing(tracked), "new" in tracked.ids()) == ([], True)


@pytest.mark.parametrize("how", ["remove", "rm -rf", "prune", "move"])
def test_a_worktree_that_goes(tracked: Bench, how: str) -> None:
    """S-30: a worktree that is removed, deleted, pruned or moved takes no task along."""
    tracked.save("new.md", document("new"), "alpha")
    commit(tracked, "new", "alpha")
    settle(tracked)
    alpha = top_of(tracked, "alpha")
    if how == "remove":
        run(tracked, "worktree", "remove", "--force", alpha)
    elif how == "move":
        run(tracked, "worktree", "move", alpha, tracked.top.parent / "elsewhere")
    else:
        shutil.rmtree(alpha)
    if how == "prune":
        run(tracked, "worktree", "prune")

    assert (missing(tracked), "new" in tracked.ids()) == ([], True)
    assert (tracked.base("new.md", "alpha") is None) is (how in {"remove", "prune"})


def test_a_worktree_half_removed(tracked: Bench) -> None:
    """S-30: files of a worktree that is being taken away go before the worktree itself does."""
    tracked.save("new.md", document("new"), "alpha")
    commit(tracked, "new", "alpha")
    settle(tracked)
    shutil.rmtree(tracked.place("alpha").root)

    assert (missing(tracked), "new" in tracked.ids()) == ([], True)
    assert [hold.tasks for hold in tracked.holds()] == [("new",)]


# -- sparse, unreadable, half-way


@pytest.mark.parametrize("key", ["main", "alpha"])
def test_a_sparse_checkout(tracked: Bench, key: str) -> None:
    """S-30: files that a sparse checkout leaves out are not removed; one removed beside it is."""
    tracked.save("deep/d.md", document("d"))
    commit(tracked, "d")
    run(tracked, "merge", "-q", "main", key="alpha")
    settle(tracked)
    run(tracked, "sparse-checkout", "set", "--cone", "other", "tasks/other", key=key)
    assert not tracked.file("deep/d.md", key).exists()
    tracked.file("a.md", key).unlink()
    settle(tracked)

    assert tracked.ids() == (["b", "c", "d"] if key == "main" else ["a", "b", "c", "d"])
    run(tracked, "sparse-checkout", "disable", key=key)
    settle(tracked)
    assert "d" in tracked.ids()


def test_a_directory_that_cannot_be_read(tracked: Bench) -> None:
    """S-30: files out of reach are not removed."""
    root = tracked.place().root
    root.rename(root.with_name("kept"))
    root.symlink_to("nowhere")

    assert missing(tracked) == []
    root.unlink()
    root.with_name("kept").rename(root)
    assert missing(tracked) == []


def test_a_merge_half_way(tracked: Bench) -> None:
    """S-30: while a merge waits for somebody nothing is deleted; when it is over, what it brought is."""
    tracked.edit("b.md", "two", "two in alpha", "alpha")
    run(tracked, "rm", "-q", "tasks/a.md", key="alpha")
    commit(tracked, "alpha", "alpha")
    tracked.edit("b.md", "two", "two in main")
    commit(tracked, "main")
    settle(tracked)
    run(tracked, "merge", "alpha", check=False)
    assert (missing(tracked), tracked.file("a.md").exists()) == ([], False)

    tracked.save("b.md", FILES["tasks/b.md"].replace("two", "two in both"))
    run(tracked, "add", "-A")
    settle(tracked)
    assert tracked.ids() == ["a", "b", "c"]
    run(tracked, "commit", "-q", "--no-edit")
    assert missing(tracked) == ["a"]


def test_a_merge_that_is_given_up(tracked: Bench) -> None:
    """S-30: an aborted merge leaves everything as it was."""
    tracked.edit("b.md", "two", "two in alpha", "alpha")
    run(tracked, "rm", "-q", "tasks/a.md", key="alpha")
    commit(tracked, "alpha", "alpha")
    tracked.edit("b.md", "two", "two in main")
    commit(tracked, "main")
    settle(tracked)
    run(tracked, "merge", "alpha", check=False)
    settle(tracked)
    run(tracked, "merge", "--abort")

    assert (missing(tracked), tracked.file("a.md").exists()) == ([], True)


# -- many at once


@pytest.mark.parametrize("how", ["rm -rf", "git rm", "git rm, committed", "emptied"])
def test_all_at_once_are_held(tracked: Bench, how: str) -> None:
    """S-30: a tasks directory that vanished or emptied deletes nothing: a person is asked."""
    root = tracked.place().root
    if how == "rm -rf":
        shutil.rmtree(root)
    elif how == "emptied":
        for id in IDS:
            (root / f"{id}.md").unlink()
    else:
        run(tracked, "rm", "-q", "-r", "tasks")
    if "committed" in how:
        run(tracked, "commit", "-q", "-m", "removed")

    assert missing(tracked) == []
    assert [(hold.worktree, hold.tasks) for hold in tracked.holds()] == [("main", IDS)]


def test_many_of_many_are_held(make_bench: MakeBench) -> None:
    """S-30: six of twenty in one commit are an accident until somebody says otherwise."""
    ids = [f"t{number:02}" for number in range(20)]
    bench = make_bench({f"tasks/{id}.md": document(id) for id in ids}, layout=TRACKED)
    settle(bench)
    remove(bench, *ids[:6])
    settle(bench)

    assert (bench.ids(), [hold.tasks for hold in bench.holds()]) == (ids, [tuple(ids[:6])])
    remove(bench, *ids[6:11])
    settle(bench)
    assert bench.ids() == [*ids[:6], *ids[11:]]


def test_a_branch_without_tasks(tracked: Bench) -> None:
    """S-30: a switch to a branch that has no tasks at all is a switch: nothing is deleted, nobody asked."""
    run(tracked, "switch", "-q", "--orphan", "empty")
    run(tracked, "commit", "-q", "--allow-empty", "-m", "empty")
    assert (missing(tracked), tracked.holds(), tracked.place().root.exists()) == ([], [], False)

    run(tracked, "switch", "-q", "main")
    assert (missing(tracked), tracked.holds()) == ([], [])


def test_a_branch_before_its_first_commit(tracked: Bench) -> None:
    """S-30: on a branch that is not born yet nothing is deleted."""
    run(tracked, "switch", "-q", "--orphan", "empty")

    assert (missing(tracked), tracked.holds()) == ([], [])


# -- tombstones


def test_git_never_lifts_a_tombstone(tracked: Bench) -> None:
    """A deleted task's file that git puts back is an old copy: it is listed, and the task stays deleted."""
    run(tracked, "branch", "old")
    remove(tracked, "a")
    settle(tracked)
    for command in (
        ["switch", "-q", "old"],
        ["switch", "-q", "main"],
        ["checkout", "-q", "old", "--", "tasks"],
    ):
        run(tracked, *command)
        assert missing(tracked) == ["a"]
    (notice,) = tracked.problems("notice")
    assert (notice.task, notice.worktree, "taskd restore a" in notice.remedy) == ("a", "main", True)
    run(tracked, "commit", "-q", "-m", "back")
    run(tracked, "revert", "--no-edit", "HEAD")
    run(tracked, "revert", "--no-edit", "HEAD")
    assert missing(tracked) == ["a"]


def test_a_deleted_task_that_a_pull_brings_back(tracked: Bench) -> None:
    """What others still write on a deleted task's file lifts no tombstone, however new it is."""
    outside = tracked.top.parent / "outside"
    tracked.git(tracked.top, "clone", "-q", tracked.top, outside)
    file = outside / "tasks/a.md"
    file.write_text(file.read_text().replace("two", "TWO"))
    tracked.git(outside, "commit", "-q", "-a", "-m", "theirs")
    remove(tracked, "a")
    settle(tracked)
    run(tracked, "pull", "-q", "--no-rebase", "--no-edit", outside, "HEAD", check=False)
    run(tracked, "add", "-A")
    run(tracked, "commit", "-q", "--no-edit")

    assert (missing(tracked), tracked.file("a.md").exists()) == (["a"], True)


def test_a_hand_lifts_a_tombstone(tracked: Bench) -> None:
    """An edit by hand of a deleted task's file restores the task as it stood, with its history."""
    tracked.call("status", id="a", status="completed")
    tracked.file("a.md").unlink()
    settle(tracked)
    assert tracked.task("a").deleted_at is not None
    tracked.edit("a.md", "two", "TWO", "alpha")
    settle(tracked)

    task = tracked.task("a")
    assert (task.deleted_at, "TWO" in task.body, task.status) == (None, True, "completed")
    assert "completed" in [entry.new for entry in tracked.journal("a")]


def test_a_deleted_file_that_is_written_anew(tracked: Bench) -> None:
    """Who writes the file again by hand, with another text, has the task again and says how it is."""
    tracked.edit("a.md", "two", "TWO")
    settle(tracked)
    tracked.file("a.md").unlink()
    settle(tracked)
    tracked.save("a.md", document("a", body="\nanew\n"))
    settle(tracked)

    task = tracked.task("a")
    assert (task.deleted_at, task.body, tracked.conflicts()) == (None, "\nanew\n", [])


def test_an_old_buffer_of_a_deleted_file(tracked: Bench) -> None:
    """An editor that had the file open before it changed and was deleted restores the task, not the past."""
    buffer = tracked.text("a.md") or ""
    tracked.edit("a.md", "three", "THREE")
    settle(tracked)
    tracked.file("a.md").unlink()
    settle(tracked)
    tracked.save("a.md", buffer.replace("one", "ONE"))
    settle(tracked)

    task = tracked.task("a")
    assert (task.deleted_at, task.body, tracked.conflicts()) == (None, "\nONE\ntwo\nTHREE\n", [])


def test_an_id_is_never_used_again(tracked: Bench) -> None:
    """S-09: the id of a deleted task is not handed out, neither asked for nor made from a name."""
    tracked.file("a.md").unlink()
    settle(tracked)
    asked = tracked.call("add", name="Something else", id="a")
    made = tracked.call("add", name="A")

    assert (asked.error or {})["code"] == "id-taken"
    assert "a" not in tracked.ids()
    assert len(tracked.ids()) == len(IDS), made


def test_restore_brings_it_back(tracked: Bench) -> None:
    """`taskd restore` brings a deleted task back, its file or none of them being there."""
    tracked.file("a.md").unlink()
    settle(tracked)
    reply = tracked.call("restore", id="a")

    assert (reply.error, missing(tracked)) == (None, [])
