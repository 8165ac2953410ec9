"""Git left half-way, and trees in which not everything is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.system.project import Git, Project, task_text, wait_for

Make = Callable[..., Project]

CAP: Final = 1.5  # seconds after which these daemons take a lock for a stale one


def live_ids(project: Project) -> set[str]:
    """The ids of all tasks."""
    return {task["id"] for task in project.taskd("list")}


@pytest.fixture
def impatient(new_project: Make) -> Project:
    """A project in the tracked layout whose daemon waits less long for git's locks."""
    project = new_project(
        "tracked", files={name: task_text(name[:-3], "One.\n") for name in ("a.md", "b.md")}
    )
    project.launch_patched(f"taskd.engine.touches.GATE_CAP = {CAP}")
    project.sync()
    return project


def test_a_stale_lock(impatient: Project) -> None:
    """While git holds a lock nothing is taken; when it is held for too long edits are, but no deletion is."""
    lock = impatient.common / "index.lock"
    lock.touch()
    impatient.save("a.md", task_text("a", "Two.\n"))
    impatient.file("b.md").unlink()
    began = time.monotonic()
    wait_for(lambda: impatient.show("a")["body"] == "Two.\n")
    waited = time.monotonic() - began
    impatient.save("a.md", task_text("a", "Three.\n"))
    wait_for(lambda: impatient.show("a")["body"] == "Three.\n")
    meanwhile = live_ids(impatient)
    lock.unlink()
    wait_for(lambda: "b" not in live_ids(impatient))

    assert waited > CAP / 2
    assert meanwhile == {"seed", "a", "b"}


def test_a_lock_in_one_worktree(impatient: Project) -> None:
    """A lock in one worktree holds up no other; `sync` says which one it waits for."""
    lock = impatient.common / "worktrees" / "one" / "index.lock"
    lock.touch()
    impatient.save("a.md", task_text("a", "From two.\n"), "two")
    wait_for(lambda: impatient.show("a")["body"] == "From two.\n")
    answer = impatient.run("sync", "--timeout", "0.3")
    lock.unlink()

    assert answer.code in (0, 75)
    assert answer.code == 0 or "one" in answer.error["message"]
    assert impatient.run("sync").code == 0


@pytest.mark.parametrize("cone", [("--cone", "tasks/kept"), ("--no-cone", "/tasks/kept/")])
@pytest.mark.parametrize("tree", ["main", "one"])
def test_sparse_checkout(new_project: Make, tree: str, cone: tuple[str, str]) -> None:
    """Files that a sparse checkout leaves out are neither deleted nor missed, and what is left is heard."""
    files = {
        f"{place}/{place}{number}.md": f"{place}{number}" for place in ("kept", "left") for number in range(8)
    }
    project = new_project("tracked", files={path: task_text(id) for path, id in files.items()})
    project.start()
    project.sync()
    project.git(project.tree(tree), "sparse-checkout", "set", *cone)
    project.sync()
    gone = not project.file("left/left0.md", tree).exists()
    project.save("kept/kept0.md", task_text("kept0", "Heard.\n"), tree)
    project.await_text("kept/kept0.md", "Heard.")
    there = live_ids(project)
    project.git(project.tree(tree), "stash", "-q")
    project.git(project.tree(tree), "sparse-checkout", "disable")
    project.sync()

    assert gone
    assert there == live_ids(project) == {"seed", *files.values()}
    assert project.taskd("holds") == []


def test_submodule_among_the_tasks(new_project: Make, make_repo: Callable[..., Path], git: Git) -> None:
    """Task files of a submodule are another repository's: not listed, not written, not committed."""
    theirs = make_repo(files={"theirs.md": task_text("theirs")})
    project = new_project("tracked")
    project.start()
    allow = ("-c", "protocol.file.allow=always")
    git(project.top, *allow, "submodule", "add", "-q", theirs, "tasks/sub")
    git(project.top, "commit", "-q", "-m", "a submodule")
    project.save("ours.md", task_text("ours"))
    project.await_text("ours.md", "Task ours")
    project.sync()

    assert live_ids(project) == {"seed", "ours"}
    assert (project.file("sub/theirs.md")).read_text() == task_text("theirs")
    assert git(project.file("sub"), "status", "--porcelain") == ""
