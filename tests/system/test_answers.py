"""Answers of people while the daemon works on the same files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.system.project import Project, make_project, serving, task_text


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, git: Callable[..., str]) -> Iterator[Project]:
    """A project in the tracked layout, served."""
    files = {f"{name}.md": task_text(name, priority="low") for name in ("pulled", "taken", "gone")}
    made = make_project(tmp_path_factory.mktemp("answers") / "p", git, "tracked", files)
    with serving(made):
        yield made


def test_a_save_is_heard_before_it_is_pulled_over(project: Project) -> None:
    """What was saved the moment before is in the index and in the file after, with what others wrote."""
    project.save("pulled.md", task_text("pulled", priority="high"))
    project.sync()
    project.save("pulled.md", task_text("pulled", body="Mine.\n", priority="low"), "one")
    pulled = project.taskd("pull", "pulled", at="one")

    both = task_text("pulled", body="Mine.\n", priority="high")
    assert pulled == [{"id": "pulled", "path": "pulled.md", "changed": True}]
    assert project.file("pulled.md", "one").read_text() == both
    history = [(row["field"], row["worktree"]) for row in project.taskd("history", "pulled")]
    assert history[1:] == [("priority", "main"), ("body", "one")]


def test_a_save_is_heard_before_it_is_taken(project: Project) -> None:
    """`take` speaks of the file as it stands, saved the moment before in another worktree."""
    project.save("taken.md", task_text("taken", body="Two's.\n", priority="low"), "two")
    taken = project.taskd("take", "taken", "--from", "two")

    assert taken["body"] == "Two's.\n"


def test_s09_a_deleted_task_stays_deleted_after_a_restart(project: Project) -> None:
    """S-09: neither a restart nor the file that git still has brings it back, and its id stays taken."""
    project.taskd("rm", "gone")
    project.stop()
    project.start()
    project.sync()

    assert project.run("show", "gone").code == 4
    assert project.run("add", "x", "--id", "gone").code == 5
    assert project.file("gone.md").exists()
    assert project.taskd("restore", "gone")["priority"] == "low"
