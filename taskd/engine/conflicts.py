"""Conflicts: what could not both stand, and a person's word about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from taskd import wire
from taskd.core.change import plain
from taskd.core.document import edit
from taskd.core.fields import FIELDS, KEYS, NAMESAKES
from taskd.core.plan import TEXT
from taskd.core.reconcile import with_authored
from taskd.core.task import Task
from taskd.engine.accept import settled
from taskd.engine.authoring import new_edges, read_back, typed_value, write_fields
from taskd.engine.desk import Desk
from taskd.engine.verdict import RUNTIME, make_stand
from taskd.errors import BadValue, Cycle, Missing, Refused, UsageError
from taskd.store.base import Conflict

INDEX, FILE, VALUE = "index", "file", "value"
OPEN: Final = "`taskd conflicts` lists those that are open"


def list_conflicts(desk: Desk, p: wire.Conflicts) -> object:
    """Changes that could not both stand, with what base, index and file said."""
    found = desk.txn.conflicts() if p.id is None else _of(desk, p.id)
    return [asdict(conflict) for conflict in found]


def resolve_conflict(desk: Desk, p: wire.Resolve) -> object:
    """Settle a conflict: the index's value stands, the file's goes in, or another one does.

    All three values of it stay in the journal. By task and field, every conflict about that field is
    settled.
    """
    if p.take not in (INDEX, FILE, VALUE):
        raise UsageError(reason=f"take cannot be {p.take!r}: {INDEX}, {FILE} or {VALUE}")
    rows = _asked(desk, p)
    task = desk.find_own(rows[0].task, force=p.force)
    if p.take != INDEX:
        task = _brought_in(desk, task, p, rows)
    answer = {"take": p.take, "value": _standing(desk, task, rows[0].field)}
    origin = desk.origin(forced=p.force)
    desk.txn.record([settled(row, answer, origin, desk.txn.now()) for row in rows])
    for row in rows:
        desk.txn.drop_conflict(row.id)
    return desk.tell(task.id)


# -- which conflict?


def _of(desk: Desk, word: str) -> list[Conflict]:
    """The conflict of that number, else those of that task."""
    numbered = [row for row in desk.txn.conflicts() if str(row.id) == word]
    return numbered or desk.txn.conflicts(desk.find(word).id)


def _asked(desk: Desk, p: wire.Resolve) -> list[Conflict]:
    if p.field is None:
        rows = [row for row in desk.txn.conflicts() if str(row.id) == p.id]
        if not rows:
            raise Missing(reason=f"there is no conflict {p.id}", remedy=OPEN)
        return rows
    task = desk.find(p.id)
    field = KEYS[p.field].name if p.field in KEYS else p.field
    rows = [row for row in desk.txn.conflicts(task.id) if row.field == field]
    if not rows:
        raise Missing(reason=f"there is no conflict about {field} of {task.id}", remedy=OPEN)
    if p.take == FILE and any(row.file != rows[0].file for row in rows):
        places = ", ".join(f"{row.id} ({row.worktree})" for row in rows)
        raise UsageError(reason=f"several files say something else about {field}; name one: {places}")
    return rows


# -- what is to stand?


def _brought_in(desk: Desk, task: Task, p: wire.Resolve, rows: Sequence[Conflict]) -> Task:
    row = rows[0]
    if row.field == TEXT:
        text = str(row.file if p.take == FILE else p.value or "")
        return _with_text(desk, task, text.encode(), force=p.force)
    if row.field in RUNTIME:
        return make_stand(desk, task, row.field, row.file if p.take == FILE else p.value, force=p.force)
    wanted = _file_value(desk, task, row) if p.take == FILE else _typed(desk, task, row.field, p.value)
    return write_fields(desk, task, {row.field: wanted}, force=p.force)


def _typed(desk: Desk, task: Task, field: str, word: str | None) -> object:
    """A value that somebody typed, as the field has it."""
    if field not in FIELDS:
        return word
    value = typed_value(field, word)
    return new_edges(desk, task, value) if field == "depends_on" else value


def _file_value(desk: Desk, task: Task, row: Conflict) -> object:
    """The value a file had; Refused when nobody understands it, Cycle when its edges close one."""
    if row.field not in FIELDS:
        return row.file
    try:
        value = typed_value(row.field, row.file)
    except BadValue as error:
        said = f"what {row.worktree} says about {row.field} cannot be taken"
        raise Refused(reason=f"{said}: {error.facts['reason']}") from None
    if row.field == "depends_on" and isinstance(value, tuple):
        _check_edges(desk, task, value)
    return value


def _check_edges(desk: Desk, task: Task, wanted: Sequence[str]) -> None:
    """Cycle if an edge that is not there yet closes one; an edge to nobody may dangle, as in a file."""
    for on in wanted:
        if on not in task.depends_on and (on == task.id or desk.txn.reaches(on, task.id)):
            raise Cycle(task=task.id, on=on)


def _with_text(desk: Desk, task: Task, text: bytes, *, force: bool) -> Task:
    """Make a whole document the head."""
    document = read_back(text)
    if document.values.get("id", task.id) != task.id:
        document = read_back(edit(text, "id", task.id))
    new = with_authored(task, document)
    _check_edges(desk, task, new.depends_on)
    new = replace(new, text=desk.txn.keep(document.text), modified=desk.txn.now())
    return desk.accept(task, new, forced=force)


def _standing(desk: Desk, task: Task, field: str) -> object:
    """What the index says now, as JSON."""
    if field == TEXT:
        return desk.txn.text(task.text).decode()
    if field in FIELDS:
        return plain(getattr(task, field))
    return plain(task.extra.get(NAMESAKES.get(field, field)))
