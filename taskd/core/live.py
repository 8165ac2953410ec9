"""What a complete document says of a task: the authored part, and the runtime fields as values.

What is compared here are documents, also where one of them is the index's own: long texts are cut when
they are shown, and what was shown alike is alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from taskd.core import lifecycle
from taskd.core.block import BLOCK_FIELDS, RUNTIME_MARK, can_show
from taskd.core.claims import brought
from taskd.core.document import Document, edit, read
from taskd.core.fields import is_null
from taskd.core.records import Records, records_of
from taskd.core.render import authored_text
from taskd.core.task import Claim, MergeInfo, Progress, Status, Task
from taskd.errors import Uneditable

NOTHING: Final[Mapping[str, object]] = MappingProxyType(dict.fromkeys(BLOCK_FIELDS))


@dataclass(frozen=True, slots=True)
class Live:
    """The runtime fields as a document shows them.

    `status` is the stored one, None where the word means nothing. `fields` has the others but for notes
    and participants, None for the absent; a name that is missing is one the document cannot tell about.
    """

    status: Status | None = Status.PENDING
    fields: Mapping[str, object] = field(default_factory=lambda: NOTHING)
    records: Records = field(default_factory=Records)


@dataclass(frozen=True, slots=True)
class Complete:
    """A complete text, understood: the document in it and the runtime fields around it."""

    text: bytes
    document: Document
    live: Live


def opened(text: bytes, waits: Callable[[tuple[str, ...]], tuple[str, ...]] | None = None) -> Complete | None:
    """What a complete text says; None for a file that is no task, DocumentError as `document.read`.

    `waits` tells which of some dependencies are unfinished, for documents that have no room to say
    whether they are blocked by those or by hand.
    """
    whole = read(text)
    bare = authored_text(text)
    document = whole if bare == text else read(bare)
    if whole is None or document is None:
        return None
    status = _stored_status(whole, waits)
    # a runtime key that its author wrote is not the index's word
    ours = whole.runtime.keys() - document.runtime.keys()
    fields = _fields({name: whole.runtime[name] for name in ours}, all_told=can_show(text))
    return Complete(text, document, Live(status, fields, records_of(text)))


def says_same(one: Complete, other: Complete) -> bool:
    """Whether two complete texts are the same document with the same runtime fields.

    The order of notes and participants is no difference, nor is a status line for what goes without
    saying, nor what only follows from other tasks.
    """
    if one.text == other.text:
        return True
    shown = [(live.status, dict(live.fields)) for live in (one.live, other.live)]
    records = [(set(live.records.notes), set(live.records.participants)) for live in (one.live, other.live)]
    same = shown[0] == shown[1] and records[0] == records[1]
    return same and _without_status(one.document.text) == _without_status(other.document.text)


def with_live(
    task: Task, status: Status, taken: Mapping[str, object], *, now: str, lease: str, far: bool
) -> tuple[Task, ...]:
    """The versions of a task on its way to another status and with other fields; the last is the whole.

    `taken` has values of `Live.fields`; a claim among them lasts until `lease`, and is another clone's if
    it comes from `far`.
    """
    steps = list[Task]()
    for step in lifecycle.way(task.status, status):
        task = lifecycle.move(task, step, now=now)
        steps.append(task)
    last = replace(task, **{name: value for name, value in taken.items() if name != "claim"})  # type: ignore[arg-type]
    if "claim" in taken:
        last = _with_claim(last, taken["claim"], lease, far=far)
    if last.claim is not None and last.status not in lifecycle.CLAIMABLE:
        last = replace(last, claim=None)
    return (*steps[:-1], last)


def _with_claim(task: Task, told: object, lease: str, *, far: bool) -> Task:
    if not isinstance(told, Claim):
        return replace(task, claim=None)
    token = task.fence + 1
    claim = brought(told, token, lease) if far else replace(told, token=token, expires=lease)
    return replace(task, claim=claim, fence=token)


def _stored_status(
    document: Document, waits: Callable[[tuple[str, ...]], tuple[str, ...]] | None
) -> Status | None:
    """What the index has where this is shown: `blocked` by dependencies is a pending task."""
    shown = document.runtime.get("status", Status.PENDING)
    if not isinstance(shown, Status):
        return None
    if shown is not Status.BLOCKED or not is_null(document.runtime.get("blocked_by")):
        return Status.PENDING if shown is Status.BLOCKED else shown
    depends_on = document.values.get("depends_on")
    unsure = RUNTIME_MARK.encode() not in document.text and waits is not None
    if unsure and waits is not None and isinstance(depends_on, tuple) and waits(depends_on):
        return Status.PENDING
    return shown


def _without_status(text: bytes) -> bytes:
    try:
        return edit(text, "status", None)
    except Uneditable:
        return text


# -- the values of the block


def _fields(raw: Mapping[str, object], *, all_told: bool) -> dict[str, object]:
    found: dict[str, object] = dict.fromkeys(BLOCK_FIELDS) if all_told else {}
    for name in BLOCK_FIELDS:
        if name in raw:
            try:
                found[name] = None if is_null(raw[name]) else _READERS[name](raw[name])
            except (ValueError, KeyError, TypeError):  # somebody's own words: they say nothing
                found.pop(name, None)
    return found


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError
    return raw


def _time(raw: object) -> str:
    datetime.fromisoformat(_text(raw))
    return _text(raw)


def _hours(raw: object) -> float:
    return float(_text(raw))


def _record(raw: object) -> Mapping[str, object]:
    if not isinstance(raw, Mapping):
        raise TypeError
    return raw


def _claim(raw: object) -> Claim:
    row = _record(raw)
    holder, session, worktree = (_text(row[key]) for key in ("holder", "session", "worktree"))
    return Claim(holder, session, worktree, 0, _time(row["since"]), "")


def _progress(raw: object) -> Progress:
    row = _record(raw)
    return Progress(int(_text(row["percent"])), _text(row["text"]), _time(row["at"]), _text(row["by"]))


def _merge(raw: object) -> MergeInfo:
    row = _record(raw)
    rest = {key: None if is_null(row.get(key)) else _text(row[key]) for key in ("date", "author", "pr")}
    return MergeInfo(_text(row["commit"]), **rest)


_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "reason": _text,
    "started": _time,
    "completed": _time,
    "claim": _claim,
    "progress": _progress,
    "completion_summary": _text,
    "actual_hours": _hours,
    "merge": _merge,
}
