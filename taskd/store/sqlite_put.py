"""Storing one task: only the columns and sets that differ are written."""

# ruff: noqa: S608 - every value is bound; what is put together here are constants of our own

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from taskd.core.task import Task
from taskd.errors import IdTaken, Stale
from taskd.store.sqlite_rows import CLAIM, COLUMNS, INSERT, columns_of
from taskd.store.values import bare

#: runs one statement in the open transaction; how many rows it changed
Run = Callable[..., int]

_ID_COLUMNS: Final = ("id", "revision")  # always in the WHERE or the SET of an update
_RECORDS: Final = ("notes", "participants", "context", "private_notes", "feedback", "conflicts")
_CLAIM: Final = f"INSERT OR REPLACE INTO claims (task, {', '.join(CLAIM)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
_VERSION: Final = "INSERT OR REPLACE INTO heads (task, revision, text) VALUES (?, ?, ?)"


def insert_task(run: Run, new: Task) -> None:
    """Store a task whose id nobody has or had."""
    new = bare(new)
    run(INSERT, columns_of(new))
    run(_VERSION, (new.id, new.revision, new.text))
    _write_sets(run, new, None)


def update_task(run: Run, new: Task, old: Task) -> None:
    """Bring a stored task from `old` to `new`. Stale unless its revision is `old.revision`."""
    new, old = bare(new), bare(old)
    after, before = columns_of(new), columns_of(old)
    changed = [
        (name, value)
        for name, value, was in zip(COLUMNS, after, before, strict=True)
        if name not in _ID_COLUMNS and value != was
    ]
    setting = ", ".join(["revision = ?", *(f"{name} = ?" for name, _ in changed)])
    values = [new.revision, *(value for _, value in changed), new.id, old.revision]
    if not run(f"UPDATE tasks SET {setting} WHERE id = ? AND revision = ?", values):
        raise Stale(task=new.id)
    if (new.revision, new.text) != (old.revision, old.text):
        run(_VERSION, (new.id, new.revision, new.text))
    _write_sets(run, new, old)
    if new.deleted_at is not None and old.deleted_at is None:
        bury(run, new.id)


def bury(run: Run, id: str) -> None:
    """Take away what hangs on a task that is deleted; others' edges to it stay, and dangle."""
    for table in _RECORDS:
        run(f"DELETE FROM {table} WHERE task = ?", (id,))


def _write_sets(run: Run, new: Task, old: Task | None) -> None:
    """Write the sets that differ from `old`'s; the rows of a new task are not there to be deleted."""
    if new.claim != (old and old.claim):
        _write_claim(run, new)
    edges, tags = [(slug,) for slug in new.depends_on], [(tag,) for tag in new.tags]
    criteria = [(item.criterion, item.measurable, int(item.met)) for item in new.success_criteria]
    if new.depends_on != (old.depends_on if old else ()):
        _write_set(run, "dependencies (task, position, depends_on)", new.id, edges)
    if new.tags != (old.tags if old else ()):
        _write_set(run, "tags (task, position, tag)", new.id, tags)
    if new.success_criteria != (old.success_criteria if old else ()):
        _write_set(run, "criteria (task, position, criterion, measurable, met)", new.id, criteria)


def _write_claim(run: Run, task: Task) -> None:
    if (claim := task.claim) is None:
        run("DELETE FROM claims WHERE task = ?", (task.id,))
        return
    row = (claim.holder, claim.session, claim.worktree, claim.token, claim.since, claim.expires)
    run(_CLAIM, (task.id, *row))


def _write_set(run: Run, place: str, id: str, rows: list[tuple[Any, ...]]) -> None:
    run(f"DELETE FROM {place.partition(' ')[0]} WHERE task = ?", (id,))
    for position, row in enumerate(rows):
        holes = ", ".join("?" * (len(row) + 2))
        run(f"INSERT INTO {place} VALUES ({holes})", (id, position, *row))


def rename_task(run: Run, old: str, new: str) -> None:
    """Give a task another id; what references it by key follows by itself, slugs are followed here."""
    run("DELETE FROM aliases WHERE alias = ? AND task = ?", (new, old))
    run("UPDATE tasks SET id = ? WHERE id = ?", (new, old))
    run("INSERT INTO aliases (alias, task) VALUES (?, ?)", (old, new))
    run(
        "DELETE FROM dependencies WHERE depends_on = ? AND EXISTS (SELECT 1 FROM dependencies d"
        " WHERE d.task = dependencies.task AND d.depends_on = ?)",
        (old, new),
    )
    run("UPDATE dependencies SET depends_on = ? WHERE depends_on = ?", (new, old))
    run("UPDATE tasks SET parent = ? WHERE parent = ?", (new, old))
    for table in ("bases", "intents", "conflicts", "problems", "hold_tasks"):
        run(f"UPDATE {table} SET task = ? WHERE task = ?", (new, old))
    _rename_errands(run, old, new)


def _rename_errands(run: Run, old: str, new: str) -> None:
    """One errand a target is enough, the later of the two."""
    run(
        "DELETE FROM outbox WHERE task IN (?, ?) AND seq < (SELECT max(o.seq) FROM outbox o"
        " WHERE o.target = outbox.target AND o.task IN (?, ?))",
        (old, new, old, new),
    )
    run("UPDATE outbox SET task = ? WHERE task = ?", (new, old))


def demand_free(taken: set[str], id: str) -> None:
    """IdTaken if the id was ever used."""
    if id in taken:
        raise IdTaken(id=id)
