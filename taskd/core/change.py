"""Changes: what differs between two versions of a task, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Final

from taskd.core.task import Task

#: parts of a task that are not news of their own: the index's own, or journaled as records
_SILENT: Final = frozenset(
    {"revision", "text", "created_at", "updated_at", "modified", "fence", "extra"}
    | {"notes", "participants", "context", "private_notes", "feedback"}
)

#: records that others may read; the journal keeps them where a task ends
_RECORDS: Final = ("notes", "participants", "context", "feedback")

FIELDS: Final = tuple(field.name for field in fields(Task) if field.name not in _SILENT)


@dataclass(frozen=True, slots=True)
class Change:
    """One field's old and new value, as JSON values."""

    field: str
    old: object
    new: object


def plain(value: object) -> object:
    """A value as JSON has it: tuples as lists, records as objects."""
    if value is None or isinstance(value, str):  # nearly all of them, and dataclasses are slow to ask for
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def changes(old: Task, new: Task) -> tuple[Change, ...]:
    """Every field in which the versions differ, unknown keys by their own names."""
    known = (
        Change(name, plain(before), plain(after))
        for name in FIELDS
        if (before := getattr(old, name)) != (after := getattr(new, name))
    )
    keys = dict.fromkeys((*old.extra, *new.extra))
    unknown = (
        Change(key, plain(old.extra.get(key)), plain(new.extra.get(key)))
        for key in keys
        if old.extra.get(key) != new.extra.get(key)
    )
    return (*known, *unknown)


def snapshot(task: Task) -> object:
    """The whole task as JSON, without what is empty: what the journal keeps of a beginning or an end."""
    values = {name: plain(getattr(task, name)) for name in (*FIELDS, *_RECORDS, "modified", "extra", "text")}
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
