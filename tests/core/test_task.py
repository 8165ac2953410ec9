"""Tasks as values."""

from __future__ import annotations

import pytest

from taskd.core.task import Task


@pytest.mark.parametrize(("file", "path"), [("a.md", ""), ("api/a.md", "api"), ("api/v2/a.md", "api/v2")])
def test_a_task_lies_in_a_directory(file: str, path: str) -> None:
    """The path of a task is the directory part of its file."""
    assert Task(id="a", name="a", file=file).path == path


def test_nothing_is_assessed_unless_somebody_did() -> None:
    """A new task has no scope, risk, impact, level or priority."""
    task = Task(id="a", name="a", file="a.md")

    assert (task.scope, task.risk, task.impact, task.level, task.priority) == (None,) * 5
