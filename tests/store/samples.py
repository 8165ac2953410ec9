"""Values for the tests of the stores."""

# ruff: noqa: ANN401 - fields of any type are handed on to the dataclass that checks them

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from taskd.core.query import Query
from taskd.core.task import Claim, Criterion, MergeInfo, Progress, Status, Task
from taskd.store.base import Entry, TaskDatabase

NOON: Final = "2026-03-01T12:00:00.000Z"
LATER: Final = "2026-03-01T12:15:00.000Z"


@dataclass
class Clock:
    """Says what it was set to."""

    now: str = NOON

    def __call__(self) -> str:
        """The time it was set to."""
        return self.now


def made(id: str, **fields: Any) -> Task:
    """A task with what is given and the least of everything else."""
    least: dict[str, Any] = {
        "name": id.title(),
        "file": f"{id}.md",
        "revision": 1,
        "text": f"text-of-{id}",
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Task(id=id, **(least | fields))


#: every field that `put` stores has a value of its own here, and not its default
FULL: Final = Task(
    id="auth-setup",
    name="Set up Äuth 🔑",
    file="core/auth/auth-setup.md",
    depends_on=("no-such-task", "zz-db", "aa-db"),
    parent="epic",
    scope="narrow",
    risk="high",
    impact="component",
    level="implementation",
    priority="critical",
    tags=("z", "a", "ü"),
    assignee="alice",
    due="2026-04-01",
    estimate=1.5,
    success_criteria=(Criterion("works", "run it", met=True), Criterion("is fast")),
    created="2026-01-01",
    modified="2026-01-02T10:00:00+02:00",
    body="# Body\r\nwith\ttabs and \x00 and 'quotes' and ;--\n",
    extra={"effort": "3", "nested": {"list": ["1", {"deep": None}], "on": "yes"}, "ключ": "значение"},
    status=Status.FAILED,
    reason="it broke",
    started="2026-02-01T00:00:00.000Z",
    completed="2026-02-02T00:00:00.000Z",
    claim=Claim("alice", "s-1", "/w/a", 7, NOON, LATER),
    fence=7,
    progress=Progress(40, "nearly", NOON, "alice"),
    completion_summary="all of it",
    actual_hours=2.25,
    merge=MergeInfo("abc123", "2026-02-03", "Alice <a@example.invalid>", "#12"),
    revision=2**62,
    text="f" * 40,
    created_at="2026-01-01T00:00:00.000Z",
    updated_at="2026-01-02T00:00:00.000Z",
    archived_at="2026-02-04T00:00:00.000Z",
)


def entry(task: str, **fields: Any) -> Entry:
    """A journal entry of a task."""
    least = {
        "field": "status",
        "old": "pending",
        "new": "completed",
        "at": NOON,
        "actor": "alice",
        "session": "s-1",
        "worktree": "/w/a",
        "cause": "done",
    }
    return Entry(task, **(least | fields))


def put(database: TaskDatabase, *tasks: Task) -> None:
    """Store new tasks in one write."""
    with database.write() as txn:
        for task in tasks:
            txn.put(task, None)


def change(database: TaskDatabase, id: str, **fields: Any) -> Task:
    """Bring a stored task to its next revision with these fields; the task as it was put."""
    with database.write() as txn:
        old = txn.task(id)
        assert old is not None
        new = replace(old, revision=old.revision + 1, **fields)
        txn.put(new, old)
    return new


def stored(database: TaskDatabase, id: str) -> Task | None:
    """A task as it is in the index."""
    with database.read() as view:
        return view.task(id)


def found(database: TaskDatabase, **filters: Any) -> list[str]:
    """The ids a query finds, in its order."""
    with database.read() as view:
        return [task.id for task in view.tasks(Query(**filters))]
