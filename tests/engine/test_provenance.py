"""Git brings, hands edit: what each git command, and each hand, does to a tracked task file and the index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taskd.engine.site import TRACKED
from tests.engine.bench import Bench, document

MakeBench = Callable[..., Bench]

BODY = "\none\ntwo\nthree\nfour\nfive\n"
FILES = {f"tasks/{id}.md": document(id, body=BODY, risk="low", tags="[x]") for id in ("a", "b")}


@pytest.fixture
def tracked(make_bench: MakeBench) -> Bench:
    """A repository with two tracked tasks, `a` and `b`, and a worktree `alpha` on a branch of its own."""
    bench = make_bench(FILES, layout=TRACKED)
    bench.git(bench.top, "worktree", "add", "-q", "-b", "alpha", bench.top.parent / "alpha")
    bench.engine.site.look_around()
    bench.settle()
    return bench


def run(bench: Bench, *arguments: object, key: str = "main") -> str:
    """A git command in a worktree."""
    tree = bench.place(key).worktree
    assert tree is not None
    return bench.git(tree.path, *arguments)


def commit(bench: Bench, message: str, key: str = "main") -> None:
    """Commit everything that stands in a worktree."""
    run(bench, "add", "-A", key=key)
    run(bench, "commit", "-q", "-m", message, key=key)


def risk(bench: Bench) -> str | None:
    """The risk of task `a` in the index."""
    return bench.task("a").risk


def set_risk(bench: Bench, old: str, new: str, key: str = "main") -> None:
    """Type another risk into the file of `a`."""
    bench.edit("a.md", f"risk: {old}", f"risk: {new}", key)


def changes(bench: Bench) -> list[tuple[str, str, object]]:
    """What the journal has since the beginning: task, field, new value."""
    return [(entry.task, entry.field, entry.new) for entry in bench.journal() if entry.field != "*"]


def no_news(bench: Bench, act: Callable[[], object]) -> None:
    """Nothing that `act` does changes a thing in the index."""
    bench.settle()
    before = bench.journal(), [bench.task(id) for id in bench.ids()]
    act()
    bench.settle()
    assert (bench.journal(), [bench.task(id) for id in bench.ids()]) == before


# -- hands


def test_an_edit_by_hand_speaks(tracked: Bench) -> None:
    """What somebody saves in a worktree is in the index, committed or not."""
    set_risk(tracked, "low", "high")
    tracked.settle()

    assert (risk(tracked), tracked.journal()[-1].cause) == ("high", "edit")


@pytest.mark.parametrize("how", [[], ["--amend"]])
def test_an_edit_that_is_committed_at_once_speaks(tracked: Bench, how: list[str]) -> None:
    """Saved and committed before anybody looked, it is this worktree's own hand all the same."""
    set_risk(tracked, "low", "high", "alpha")
    run(tracked, "commit", "-q", "-a", "-m", "risk", *how, key="alpha")
    tracked.settle()

    assert (risk(tracked), tracked.journal()[-1].worktree) == ("high", "alpha")


def test_an_undo_typed_by_hand_counts(tracked: Bench) -> None:
    """An old value that is typed again is a change like any other."""
    set_risk(tracked, "low", "high")
    tracked.settle()
    set_risk(tracked, "high", "low")
    tracked.settle()

    assert risk(tracked) == "low"


def test_an_undo_typed_after_a_look_at_the_status(tracked: Bench) -> None:
    """`git status` rewrites the index; what is typed after it is typed."""
    set_risk(tracked, "low", "high")
    tracked.settle()
    run(tracked, "status")
    set_risk(tracked, "high", "low")
    tracked.settle()

    assert risk(tracked) == "low"


def test_an_undo_committed_by_hand_counts(tracked: Bench) -> None:
    """Typed again and committed at once: a commit is its worktree's own hand."""
    set_risk(tracked, "low", "high")
    commit(tracked, "high")
    tracked.settle()
    set_risk(tracked, "high", "low")
    commit(tracked, "low again")
    tracked.settle()

    assert risk(tracked) == "low"


# -- what git brings


def test_a_switch_to_an_older_branch_says_nothing(tracked: Bench) -> None:
    """S-02: a branch that still has the old value does not bring it back, nor does coming back."""
    run(tracked, "branch", "old")
    set_risk(tracked, "low", "high")
    commit(tracked, "high")
    tracked.settle()

    def there_and_back() -> None:
        run(tracked, "switch", "-q", "old")
        tracked.settle()
        run(tracked, "switch", "-q", "-")

    no_news(tracked, lambda: run(tracked, "switch", "-q", "old"))
    no_news(tracked, lambda: run(tracked, "switch", "-q", "-"))
    no_news(tracked, there_and_back)
    assert risk(tracked) == "high"


def test_an_edit_on_an_old_branch_brings_only_itself(tracked: Bench) -> None:
    """S-02: another field edited on a stale file leaves the newer values of the index alone."""
    run(tracked, "branch", "old")
    set_risk(tracked, "low", "high")
    commit(tracked, "high")
    tracked.settle()
    run(tracked, "switch", "-q", "old")
    tracked.edit("a.md", "two", "TWO")
    tracked.settle()

    assert (risk(tracked), "TWO" in tracked.task("a").body) == ("high", True)


def test_an_edit_and_a_switch_between_two_looks(tracked: Bench) -> None:
    """An edit carried over to another branch by a switch is an edit over what that branch has."""
    run(tracked, "switch", "-q", "-c", "other")
    tracked.edit("b.md", "two", "TWO")
    commit(tracked, "b")
    run(tracked, "switch", "-q", "-")
    tracked.settle()
    set_risk(tracked, "low", "high")
    run(tracked, "switch", "-q", "other")
    tracked.settle()

    assert (risk(tracked), tracked.conflicts()) == ("high", [])


def test_what_was_merged_is_merged_once(tracked: Bench) -> None:
    """News that a merge brings from outside speaks; what was known of it does not."""
    outside = clone(tracked)
    change(tracked, outside, "a.md", "two", "TWO")
    set_risk(tracked, "low", "high")
    commit(tracked, "high")
    tracked.settle()

    run(tracked, "pull", "-q", "--no-rebase", "--no-edit", outside, "HEAD")
    tracked.settle()

    assert (risk(tracked), "TWO" in tracked.task("a").body) == ("high", True)
    assert (tracked.conflicts(), tracked.journal()[-1].cause) == ([], "git")


def test_what_a_pull_brings_over_an_index_that_moved_on(tracked: Bench) -> None:
    """Two changes of one thing, one of them brought by git: a conflict, and the index's value stands."""
    outside = clone(tracked)
    change(tracked, outside, "a.md", "risk: low", "risk: medium")
    set_risk(tracked, "low", "high", "alpha")
    tracked.settle()

    run(tracked, "pull", "-q", "--no-rebase", "--no-edit", outside, "HEAD")
    tracked.settle()

    (conflict,) = tracked.conflicts()
    assert (risk(tracked), conflict.field, conflict.base, conflict.file) == ("high", "risk", "low", "medium")


def test_a_conflict_that_git_merges_is_settled(tracked: Bench) -> None:
    """S-31: a file that comes to say what the index says ends the conflict; the journal keeps its values."""
    set_risk(tracked, "low", "high")
    commit(tracked, "high")
    tracked.settle()
    set_risk(tracked, "low", "medium", "alpha")
    commit(tracked, "medium", "alpha")
    tracked.settle()
    (conflict,) = tracked.conflicts()
    run(tracked, "merge", "-q", "-X", "theirs", "--no-edit", "main", key="alpha")
    tracked.settle()

    assert (risk(tracked), conflict.file, tracked.conflicts()) == ("high", "medium", [])
    assert "medium" in str(tracked.journal("a")[-1].old)


def test_an_old_value_that_a_pull_brings_says_nothing(tracked: Bench) -> None:
    """S-02: of what git brings only news speaks: a value the task has had before is none."""
    outside = clone(tracked)
    change(tracked, outside, "a.md", "risk: low", "risk: medium")
    for old, new in (("low", "medium"), ("medium", "high"), ("high", "low")):
        set_risk(tracked, old, new, "alpha")
        tracked.settle()
    change(tracked, outside, "a.md", "two", "TWO")

    run(tracked, "pull", "-q", "--no-rebase", "--no-edit", outside, "HEAD")
    tracked.settle()

    assert (risk(tracked), "TWO" in tracked.task("a").body) == ("low", True)


def test_the_work_of_another_worktree_that_is_merged_here(tracked: Bench) -> None:
    """What one worktree said and the index knows says nothing when git brings it to another."""
    set_risk(tracked, "low", "high", "alpha")
    commit(tracked, "high", "alpha")
    tracked.settle()
    set_risk(tracked, "high", "medium", "alpha")
    tracked.settle()

    no_news(tracked, lambda: run(tracked, "merge", "-q", "alpha"))
    assert risk(tracked) == "medium"


def test_a_status_that_git_brings_says_nothing(tracked: Bench) -> None:
    """S-29: runtime fields never come from what git brought."""
    outside = clone(tracked)
    change(tracked, outside, "a.md", "risk: low", "risk: low\nstatus: completed")
    run(tracked, "pull", "-q", "--no-rebase", "--no-edit", outside, "HEAD")
    tracked.settle()

    assert (tracked.task("a").status, tracked.problems("refusal")) == ("pending", [])


def test_a_new_task_that_git_brings_has_its_status(tracked: Bench) -> None:
    """S-29: when a task is first seen the status in its file is taken, once."""
    outside = clone(tracked)
    (outside / "tasks/c.md").write_text(document("c", status="completed"))
    run_in(tracked, outside, "add", "-A")
    run_in(tracked, outside, "commit", "-q", "-m", "c")
    run(tracked, "pull", "-q", "--no-rebase", "--no-edit", outside, "HEAD")
    tracked.settle()

    assert tracked.task("c").status == "completed"


# -- what moves no HEAD


def test_a_stash_takes_nothing_back(tracked: Bench) -> None:
    """S-02: neither stashing an edit nor popping it again changes anything; the edit stands."""
    set_risk(tracked, "low", "high")

    no_news(tracked, lambda: run(tracked, "stash", "-q"))
    assert [notice.task for notice in tracked.problems("notice")] == ["a"]
    no_news(tracked, lambda: run(tracked, "stash", "pop", "-q"))
    assert risk(tracked) == "high"


def test_a_stash_popped_later_does_not_bring_back_old_values(tracked: Bench) -> None:
    """S-02: what was stashed is known; popped after the value has moved on, it says nothing."""
    set_risk(tracked, "low", "high")
    tracked.settle()
    run(tracked, "stash", "-q")
    tracked.settle()
    set_risk(tracked, "low", "medium", "alpha")
    tracked.settle()
    tracked.call("set", id="a", values={"risk": "critical"})
    tracked.settle()
    run(tracked, "stash", "pop", "-q")
    tracked.settle()

    assert risk(tracked) == "critical"


@pytest.mark.parametrize(
    "command",
    [
        ["checkout", "HEAD~1", "--", "tasks/a.md"],
        ["restore", "--source=HEAD~1", "--", "tasks/a.md"],
        ["restore", "--source=HEAD~1", "--staged", "--worktree", "--", "tasks/a.md"],
    ],
)
def test_an_old_file_that_is_put_back_is_listed(tracked: Bench, command: list[str]) -> None:
    """A path checkout or restore of an older state says nothing, and the notice names what makes it speak."""
    set_risk(tracked, "low", "high")
    commit(tracked, "high")

    no_news(tracked, lambda: run(tracked, *command))
    (notice,) = tracked.problems("notice")
    assert "taskd take a --from main" in notice.remedy
    assert "risk: low" in (tracked.text("a.md") or "")


def test_reset_hard_takes_nothing_back(tracked: Bench) -> None:
    """A reset to an older commit, or over an edit, leaves the index as it is."""
    set_risk(tracked, "low", "high")
    commit(tracked, "high")
    tracked.edit("b.md", "two", "TWO")

    no_news(tracked, lambda: run(tracked, "reset", "-q", "--hard", "HEAD~1"))
    assert (risk(tracked), "TWO" in tracked.task("b").body) == ("high", True)


def test_a_cherry_pick_without_a_commit(tracked: Bench) -> None:
    """What git brings without moving HEAD speaks as far as it is news."""
    outside = clone(tracked)
    change(tracked, outside, "a.md", "two", "TWO")
    run(tracked, "fetch", "-q", outside, "HEAD")
    run(tracked, "cherry-pick", "-n", "FETCH_HEAD")
    tracked.settle()

    assert ("TWO" in tracked.task("a").body, tracked.conflicts()) == (True, [])


# -- half-way


def test_an_unfinished_rebase_is_lived_with(tracked: Bench) -> None:
    """While a rebase waits, edits go on; what git wrote says nothing, and then the resolution speaks."""
    set_risk(tracked, "low", "high", "alpha")
    commit(tracked, "high", "alpha")
    set_risk(tracked, "low", "medium")
    commit(tracked, "medium")
    tracked.settle()
    stood = risk(tracked)

    tracked.git(tracked.place("alpha").root.parent, "rebase", "main", check=False)
    tracked.settle()
    tracked.edit("b.md", "two", "TWO", "alpha")
    tracked.settle()
    assert (risk(tracked), "TWO" in tracked.task("b").body) == (stood, True)

    text = document("a", body=BODY, risk="critical", tags="[x]")
    tracked.save("a.md", text, "alpha")
    run(tracked, "add", "-A", key="alpha")
    tracked.git(tracked.place("alpha").root.parent, "-c", "core.editor=true", "rebase", "--continue")
    tracked.settle()
    assert risk(tracked) == "critical"


def test_a_rebase_of_many_commits_says_nothing(tracked: Bench) -> None:
    """Replaying one's own commits brings back none of the values they pass through."""
    for n in range(5):
        tracked.edit("a.md", "one" if n == 0 else f"one {n - 1}", f"one {n}", "alpha")
        commit(tracked, f"{n}", "alpha")
        tracked.settle()
    tracked.edit("b.md", "two", "TWO")
    commit(tracked, "b")

    no_news(tracked, lambda: run(tracked, "rebase", "-q", "main", key="alpha"))
    assert "one 4" in tracked.task("a").body


# -- first sight


def test_first_sight_of_branches_that_differ(make_bench: MakeBench) -> None:
    """S-31: the main worktree speaks first, the others over the commit where they parted from it."""
    bench = make_bench(FILES, layout=TRACKED)
    bench.git(bench.top, "worktree", "add", "-q", "-b", "alpha", bench.top.parent / "alpha")
    alpha = bench.top.parent / "alpha"
    for place, old, new in ((bench.top, "two", "TWO"), (alpha, "five", "FIVE")):
        change(bench, place, "a.md", old, new)
    change(bench, bench.top, "b.md", "risk: low", "risk: high")
    change(bench, alpha, "b.md", "risk: low", "risk: medium")

    bench.engine.site.look_around()
    bench.settle()

    body = bench.task("a").body
    assert ("TWO" in body, "FIVE" in body) == (True, True)
    (conflict,) = bench.conflicts()
    assert (bench.task("b").risk, conflict.base, conflict.file) == ("high", "low", "medium")


def test_first_sight_of_an_old_branch(make_bench: MakeBench) -> None:
    """S-02: a worktree on an old commit says nothing when it is first seen."""
    bench = make_bench(FILES, layout=TRACKED)
    bench.git(bench.top, "branch", "old")
    change(bench, bench.top, "a.md", "risk: low", "risk: high")
    bench.settle()
    bench.git(bench.top, "worktree", "add", "-q", bench.top.parent / "old", "old")
    bench.engine.site.look_around()
    bench.settle()

    assert (risk(bench), bench.conflicts()) == ("high", [])


# -- filters, names


def test_line_ends_that_git_converts(make_bench: MakeBench) -> None:
    """Files are compared as git checks them out, line ends and all."""
    bench = make_bench({**FILES, ".gitattributes": "*.md text eol=crlf\n"}, layout=TRACKED)
    bench.git(bench.top, "rm", "-q", "--cached", "-r", ".")
    bench.git(bench.top, "reset", "-q", "--hard")
    bench.settle()
    bench.git(bench.top, "branch", "old")
    bench.edit("a.md", "risk: low", "risk: high")
    commit(bench, "high")
    bench.settle()

    no_news(bench, lambda: run(bench, "switch", "-q", "old"))
    assert (risk(bench), b"\r\n" in bench.file("a.md").read_bytes()) == ("high", True)


# -- stale editors


def test_a_buffer_that_was_open_before_a_switch(tracked: Bench) -> None:
    """A buffer opened on one branch and saved on another says only what was typed into it."""
    run(tracked, "branch", "old")
    set_risk(tracked, "low", "high")
    commit(tracked, "high")
    tracked.settle()
    buffer = tracked.text("a.md") or ""
    run(tracked, "switch", "-q", "old")
    tracked.settle()
    tracked.save("a.md", buffer.replace("two", "TWO"))
    tracked.settle()

    assert (risk(tracked), "TWO" in tracked.task("a").body) == ("high", True)


def test_a_buffer_that_was_open_before_a_write_back(bench: Bench) -> None:
    """An editor that saves over what taskd wrote meanwhile takes nothing back but what was typed."""
    bench.add_worktree("alpha")
    bench.put("a.md", document("a", body=BODY, risk="low"))
    bench.settle()
    buffer = bench.text("a.md", "alpha") or ""
    bench.edit("a.md", "risk: low", "risk: high")
    bench.settle()
    bench.save("a.md", buffer.replace("two", "TWO"), "alpha")
    bench.settle()

    assert (risk(bench), "TWO" in bench.task("a").body, bench.conflicts()) == ("high", True, [])
    assert bench.text("a.md", "alpha") == bench.text("a.md")


def test_a_buffer_saved_as_it_was_opened(bench: Bench) -> None:
    """Saving an old buffer without a change of its own says nothing, and is listed."""
    bench.add_worktree("alpha")
    bench.put("a.md", document("a", body=BODY, risk="low"))
    bench.settle()
    buffer = bench.text("a.md", "alpha") or ""
    bench.edit("a.md", "risk: low", "risk: high")
    bench.settle()

    no_news(bench, lambda: bench.save("a.md", buffer, "alpha"))
    assert [notice.worktree for notice in bench.problems("notice")] == ["alpha"]
    assert "risk: high" in (bench.text("a.md", "alpha") or "")


def test_a_buffer_that_outlives_its_file(bench: Bench) -> None:
    """A file that was cleaned away and put back is still in an editor: its old state says nothing new."""
    bench.add_worktree("alpha")
    for id in ("a", "b"):
        bench.save(f"{id}.md", document(id, body=BODY, risk="low"))
    bench.settle()
    buffer = bench.text("a.md", "alpha") or ""
    run(bench, "clean", "-qfdx", key="alpha")
    with bench.engine.working():
        bench.engine.decide_absence(bench.place("alpha"), ["a.md", "b.md"])
    set_risk(bench, "low", "high")
    bench.settle()
    bench.save("a.md", buffer.replace("two", "TWO"), "alpha")
    bench.settle()

    assert (risk(bench), "TWO" in bench.task("a").body) == ("high", True)


def test_untracked_files_that_a_stash_puts_back(bench: Bench) -> None:
    """S-02: where files are shared, `git stash --all` and its pop bring back none of their old states."""
    bench.add_worktree("alpha")
    for id in ("a", "b"):
        bench.save(f"{id}.md", document(id, body=BODY, risk="low"))
    bench.settle()
    run(bench, "stash", "-q", "--all")
    with bench.engine.working():
        bench.engine.decide_absence(bench.place(), ["a.md", "b.md"])  # held, and put back
    set_risk(bench, "low", "high", "alpha")
    bench.settle()
    for id in ("a", "b"):
        bench.file(f"{id}.md").unlink(missing_ok=True)

    no_news(bench, lambda: run(bench, "stash", "pop", "-q"))
    assert (risk(bench), bench.text("a.md")) == ("high", bench.text("a.md", "alpha"))


def test_a_buffer_saved_under_another_name(bench: Bench) -> None:
    """A stale buffer whose file is renamed at the same time is still held against what it was made from."""
    bench.add_worktree("alpha")
    bench.put("a.md", document("a", body=BODY, risk="low"))
    bench.settle()
    buffer = bench.text("a.md", "alpha") or ""
    bench.edit("a.md", "risk: low", "risk: high")
    bench.settle()
    bench.save("a.md", buffer.replace("two", "TWO"), "alpha").rename(bench.file("b.md", "alpha"))
    bench.settle()

    assert (risk(bench), "TWO" in bench.task("a").body, bench.task("a").file) == ("high", True, "b.md")


# -- several of these between two looks


def test_an_edit_is_taken_back_while_a_command_waits(tracked: Bench) -> None:
    """Half-way in a merge an undo typed by hand counts too: stage 0 is no news every time."""
    set_risk(tracked, "low", "high", "alpha")
    commit(tracked, "high", "alpha")
    set_risk(tracked, "low", "medium")
    commit(tracked, "medium")
    tracked.settle()
    tracked.git(tracked.top, "merge", "alpha", check=False)
    tracked.edit("b.md", "risk: low", "risk: high")
    tracked.settle()
    tracked.edit("b.md", "risk: high", "risk: low")
    tracked.settle()

    assert tracked.task("b").risk == "low"


def test_an_undo_after_a_merge_of_other_files(tracked: Bench) -> None:
    """A merge that leaves a file alone wrote nothing there: what was typed before is its base."""
    tracked.edit("b.md", "two", "TWO", "alpha")
    commit(tracked, "b", "alpha")
    set_risk(tracked, "low", "high")
    tracked.settle()
    run(tracked, "merge", "-q", "alpha")
    set_risk(tracked, "high", "low")
    tracked.settle()

    assert risk(tracked) == "low"


def test_an_edit_on_top_of_what_git_put_back(tracked: Bench) -> None:
    """Edited again before anybody looked, a file that was reset takes nothing back but by what was typed."""
    set_risk(tracked, "low", "high")
    tracked.settle()
    run(tracked, "reset", "-q", "--hard")
    tracked.edit("a.md", "two", "TWO")
    tracked.settle()

    assert (risk(tracked), "TWO" in tracked.task("a").body) == ("high", True)


def test_a_file_that_is_moved_after_git_put_it_back(tracked: Bench) -> None:
    """A rename by hand of a file that was reset makes none of its old values news."""
    set_risk(tracked, "low", "high")
    tracked.settle()
    run(tracked, "reset", "-q", "--hard")
    tracked.file("a.md").rename(tracked.file("c.md"))
    tracked.take("a.md", "c.md")

    assert risk(tracked) == "high"


def test_a_commit_of_other_files_after_a_reset(tracked: Bench) -> None:
    """A commit made here is the hand's word only for the files it changes."""
    set_risk(tracked, "low", "high")
    tracked.settle()
    run(tracked, "reset", "-q", "--hard")
    (tracked.top / "README").write_text("x\n")
    commit(tracked, "other")
    tracked.settle()

    assert risk(tracked) == "high"


def test_a_commit_of_other_files_after_a_stash_and_an_edit(tracked: Bench) -> None:
    """That a commit has the file as git put it back does not make that typed."""
    set_risk(tracked, "low", "high")
    tracked.settle()
    run(tracked, "stash", "-q")
    (tracked.top / "README").write_text("x\n")
    commit(tracked, "other")
    tracked.edit("a.md", "two", "TWO")
    tracked.settle()

    assert (risk(tracked), "TWO" in tracked.task("a").body) == ("high", True)


def test_a_conflict_is_not_over_by_typing_the_same_elsewhere(tracked: Bench) -> None:
    """A value that lost stays in its conflict until it is typed over, merged, or the conflict resolved."""
    set_risk(tracked, "low", "high", "alpha")
    tracked.settle()
    set_risk(tracked, "low", "medium")
    tracked.settle()
    run(tracked, "stash", "-q")
    tracked.settle()
    set_risk(tracked, "low", "high")
    tracked.settle()

    assert [row.file for row in tracked.conflicts()] == ["medium"]


def test_a_conflict_is_over_when_it_is_typed_over(tracked: Bench) -> None:
    """Who types the index's value over the one that lost has settled the conflict."""
    set_risk(tracked, "low", "high", "alpha")
    tracked.settle()
    for old, new in (("low", "medium"), ("medium", "high")):
        set_risk(tracked, old, new)
        tracked.settle()

    assert tracked.conflicts() == []


def test_a_branch_that_is_moved_from_another_worktree(tracked: Bench) -> None:
    """Where another worktree moves the branch that is checked out here, git has written nothing here."""
    run(tracked, "switch", "-q", "--ignore-other-worktrees", "main", key="alpha")
    set_risk(tracked, "low", "high", "alpha")
    commit(tracked, "high", "alpha")
    tracked.settle()
    tracked.edit("a.md", "two", "TWO")
    tracked.settle()

    assert (risk(tracked), "TWO" in tracked.task("a").body) == ("high", True)


def test_a_new_file_that_is_stashed(tracked: Bench) -> None:
    """A task whose only file git has put into a stash is not deleted."""
    tracked.put("new.md", document("new"))
    run(tracked, "stash", "-q", "-u")
    with tracked.engine.working():
        assert tracked.engine.decide_absence(tracked.place(), ["new.md"]) == []
    run(tracked, "stash", "pop", "-q")
    tracked.settle()

    assert "new" in tracked.ids()


# -- helpers


def clone(bench: Bench) -> Path:
    """A clone beside the repository, of somebody else."""
    outside = bench.top.parent / "outside"
    bench.git(bench.top, "clone", "-q", bench.top, outside)
    return outside


def run_in(bench: Bench, directory: Path, *arguments: object) -> None:
    """A git command anywhere."""
    bench.git(directory, *arguments)


def change(bench: Bench, top: Path, path: str, old: str, new: str) -> None:
    """Change a task file somewhere and commit it there."""
    file = top / "tasks" / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    bench.git(top, "commit", "-q", "-a", "-m", new)
