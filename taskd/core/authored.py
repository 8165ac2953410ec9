"""The authored side of a task: what a document and the index's version say, in one shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from taskd.core.document import Document
from taskd.core.fields import AUTHORED, FIELDS, NAMESAKES
from taskd.core.task import NO_EXTRA, Task

_NAMES: Final = {key: name for name, key in NAMESAKES.items()}
_DEFAULTS: Final[Mapping[str, object]] = {name: FIELDS[name].default for name in AUTHORED}


def authored(document: Document, id: str) -> dict[str, object]:
    """Every authored field of a document by name, defaults for the absent, unknown keys by theirs.

    A document without a name is called by its id.
    """
    values = {**_DEFAULTS, **document.values, "id": id}
    return {**values, "name": values["name"] or id, **_unknown(document.extra)}


def authored_of(task: Task) -> dict[str, object]:
    """Every authored field of the index's version, in the same shape."""
    return {**{name: getattr(task, name) for name in AUTHORED}, **_unknown(task.extra)}


def with_authored(task: Task, document: Document) -> Task:
    """The task with all authored fields as the document has them; `modified` is the index's own.

    A field that stands there and cannot be understood keeps the value the task has.
    """
    values, kept = authored(document, task.id), {"id", "modified", *unread(document)}
    known = {name: values[name] for name in AUTHORED if name not in kept}
    return replace(task, **known, extra=document.extra or NO_EXTRA)  # type: ignore[arg-type]


def unread(document: Document) -> frozenset[str]:
    """The fields that stand in a document and cannot be understood; such a one says nothing."""
    found = {remark.field for remark in document.remarks} - document.values.keys()
    return frozenset(name for name in _DEFAULTS if name in found)


def _unknown(extra: Mapping[str, object]) -> dict[str, object]:
    return {_NAMES.get(key, key): value for key, value in extra.items()}
