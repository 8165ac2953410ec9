"""A person's word about a conflict of runtime fields: what another clone said is made to stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from taskd.core.block import BLOCK_FIELDS
from taskd.core.fields import status_of
from taskd.core.lifecycle import is_gated
from taskd.core.live import with_live
from taskd.core.task import MergeInfo, Participant, Progress, Task
from taskd.engine.desk import Desk
from taskd.errors import BadValue, Blocked

#: fields of conflicts that no document settles
RUNTIME: Final = frozenset({"status", "participants", "path", *BLOCK_FIELDS})
LATER: Final = "it cannot be typed; take the index's or the other side's"


def make_stand(desk: Desk, task: Task, field: str, value: object, *, force: bool) -> Task:
    """The task with one runtime field as a person wants it, a status by lawful steps.

    BadValue for what the field cannot have, and for claims, which are made and not given.
    """
    if field == "status":
        return _with_status(desk, task, str(value), force=force)
    if field == "path":
        name = task.file.rpartition("/")[2]
        return desk.accept(task, replace(task, file=f"{value}/{name}" if value else name), forced=force)
    if field == "participants" and isinstance(value, Mapping):
        desk.txn.put_participant(task.id, _built(field, Participant, value))
        return task
    if field == "claim":
        raise BadValue(field=field, value=value, reason="a task is claimed with `taskd claim`")
    return desk.accept(task, replace(task, **{field: _typed(field, value)}), forced=force)  # type: ignore[arg-type]


def _with_status(desk: Desk, task: Task, word: str, *, force: bool) -> Task:
    status = status_of(word)
    if status is None:
        raise BadValue(field="status", value=word, reason="there is no such status")
    blocked_by = desk.blocked_by(task)
    if blocked_by and is_gated(task, status):
        raise Blocked(task=task.id, blocked_by=", ".join(blocked_by))
    now = desk.txn.now()
    return desk.accept(task, *with_live(task, status, {}, now=now, lease=now, far=False), forced=force)


def _typed(field: str, value: object) -> object:
    if value is None:
        return None
    made: Callable[..., Any] | None = {"progress": Progress, "merge": MergeInfo}.get(field)
    if made is not None:
        if not isinstance(value, Mapping):
            raise BadValue(field=field, value=value, reason=LATER)
        return _built(field, made, value)
    if field != "actual_hours":
        return str(value)
    try:
        return float(str(value))
    except ValueError:
        raise BadValue(field=field, value=value, reason="a number of hours") from None


def _built(field: str, made: Callable[..., Any], value: Mapping[str, object]) -> Any:  # noqa: ANN401 - what is made
    try:
        return made(**value)
    except TypeError:
        raise BadValue(field=field, value=dict(value), reason=LATER) from None
