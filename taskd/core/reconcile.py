"""What one document of one replica means for the index: the heart of taskd, and pure.

True here, whatever is given:

* A field the document did not change since its base says nothing, however old the document is.
* A change of the document is in the new head, or in a clash with all three values, or in a refusal.
* The index's own change is never undone by a document that did not see it.
* Runtime fields change only by a lawful request, and only `status` can be requested.
* The new head's text reads back to exactly the new head's authored fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from taskd.core import claims, lifecycle, merge
from taskd.core.document import Document, edit_all, read
from taskd.core.fields import AUTHORED, FIELDS, Field, Kind, Merge, Owner
from taskd.core.task import NO_EXTRA, Status, Task
from taskd.errors import DocumentError, Uneditable

#: what `status_edits` may say
REQUEST: Final = "request"
IGNORE: Final = "ignore"


@dataclass(frozen=True, slots=True)
class Head:
    """The index's present version: the task and the document it reads as."""

    task: Task
    text: bytes


@dataclass(frozen=True, slots=True)
class Context:
    """Everything outside the document that the decision may rest on."""

    now: str
    #: who a change of this replica is ascribed to
    participant: str
    merger: merge.LineMerger
    #: unfinished dependencies of the task as the document has it
    blocked_by: Callable[[tuple[str, ...]], tuple[str, ...]]
    #: whether following depends_on from the first leads to the second
    reaches: Callable[[str, str], bool]
    #: who made the index's last change of status
    status_by: Callable[[], str | None]
    status_edits: str = REQUEST


@dataclass(frozen=True, slots=True)
class Clash:
    """A change of the document that cannot stand beside the index's own."""

    field: str
    base: object
    index: object
    file: object


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request in the document that was not granted."""

    field: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from one document.

    `task` is the new head (revision, text hash and file are the caller's to set) and `text` its
    document; `steps` are the statuses passed through on the way, in order.
    """

    task: Task
    text: bytes
    clashes: tuple[Clash, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    steps: tuple[Task, ...] = field(default=())


def reconcile(base: Document | None, document: Document, head: Head | None, context: Context, id: str) -> Plan:
    """Decide about `document`, of the task `id`, that said `base` when it was last ingested.

    * No head: the document is the task; its status is taken once.
    * The document says what its base said: the index stays as it is.
    * The index stands where the base stood: the document is the new head as it is, byte by byte.
    * Both moved: field by field over the base; without a base every difference clashes.
    """
    if head is None:
        return _first_seen(document, context, id)
    if base is not None and base.text == document.text:
        return Plan(head.task, head.text)
    merged = _merge_authored(base, document, head, context)
    status = _status_request(base, document, merged.task, context)
    return replace(
        merged,
        task=status.task,
        refusals=(*merged.refusals, *status.refusals, *_ignored_runtime(base, document)),
        steps=status.steps,
    )


def authored(document: Document, id: str) -> dict[str, object]:
    """Every authored field of a document by name, defaults for the absent, unknown keys by theirs."""
    values = {name: document.values.get(name, FIELDS[name].default) for name in AUTHORED}
    return {**values, "id": id, "name": values["name"] or id, **_unknown(document.extra)}


def authored_of(task: Task) -> dict[str, object]:
    """Every authored field of the index's version, in the same shape."""
    return {**{name: getattr(task, name) for name in AUTHORED}, **_unknown(task.extra)}


def with_authored(task: Task, document: Document) -> Task:
    """The task with all authored fields as the document has them; `modified` is the index's own."""
    values = authored(document, task.id)
    known = {name: values[name] for name in AUTHORED if name not in ("id", "modified")}
    return replace(task, **known, extra=document.extra or NO_EXTRA)  # type: ignore[arg-type]


def _unknown(extra: Mapping[str, object]) -> dict[str, object]:
    # A key that is spelled like a field of ours which frontmatter does not carry (`body`) is left
    # to the text: it cannot be told apart by name.
    return {key: value for key, value in extra.items() if key not in FIELDS}


def _first_seen(document: Document, context: Context, id: str) -> Plan:
    values = authored(document, id)
    task = Task(id=id, name=str(values["name"]), file="", modified=_text_or_none(values["modified"]))
    task = with_authored(task, document)
    status = document.runtime.get("status")
    explained = status is Status.BLOCKED and context.blocked_by(task.depends_on)
    if isinstance(status, Status) and not explained:
        task = replace(task, status=status)
    return Plan(task, document.text)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _merge_authored(base: Document | None, document: Document, head: Head, context: Context) -> Plan:
    id = head.task.id
    old = {} if base is None else authored(base, id)
    ours, theirs = authored_of(head.task), authored(document, id)
    standing, clashes = dict[str, object](), list[Clash]()
    for name in dict.fromkeys((*ours, *theirs)):
        merged = _merge_field(name, base, old.get(name), ours.get(name), theirs.get(name), context)
        standing[name] = merged.value
        if merged.clash:
            clashes.append(Clash(name, old.get(name), ours.get(name), theirs.get(name)))
    cyclic = _cyclic_edges(head.task, standing, context)
    if cyclic:
        standing["depends_on"] = _without(standing["depends_on"], cyclic)
        clashes.append(Clash("depends_on", old.get("depends_on"), ours["depends_on"], theirs["depends_on"]))
    return _with_text(base, document, head, standing, tuple(clashes), context)


def _merge_field(
    name: str, base: Document | None, old: object, ours: object, theirs: object, context: Context
) -> merge.Merged:
    row = FIELDS.get(name)
    if base is None:
        return _merge_unrelated(row, ours, theirs)
    if row is not None and row.merge is Merge.SET:
        return merge.union(old or (), ours or (), theirs or ())  # type: ignore[arg-type]
    if row is not None and row.merge is Merge.LINES:
        return merge.lines(str(old or ""), str(ours), str(theirs), context.merger)
    if row is not None and row.merge is Merge.LATEST:
        return merge.latest(old, ours, theirs)
    return merge.scalar(old, ours, theirs)


def _merge_unrelated(row: Field | None, ours: object, theirs: object) -> merge.Merged:
    """Without an ancestor a document only adds; what it says differently clashes."""
    if row is not None and row.merge is Merge.SET:
        return merge.union((), ours or (), theirs or ())  # type: ignore[arg-type]
    if row is not None and row.merge is Merge.LATEST:
        return merge.latest(None, ours, theirs)
    silent = theirs is None or theirs == "" or theirs == ()
    if silent or theirs == ours:
        return merge.Merged(ours)
    return merge.Merged(theirs) if ours in (None, "", ()) else merge.Merged(ours, clash=True)


def _cyclic_edges(task: Task, standing: Mapping[str, object], context: Context) -> frozenset[str]:
    wanted = standing["depends_on"]
    new = [on for on in wanted if on not in task.depends_on] if isinstance(wanted, tuple) else []
    return frozenset(on for on in new if on == task.id or context.reaches(on, task.id))


def _without(items: object, gone: frozenset[str]) -> tuple[str, ...]:
    return tuple(item for item in items if item not in gone) if isinstance(items, tuple) else ()


def _with_text(
    base: Document | None,
    document: Document,
    head: Head,
    standing: dict[str, object],
    clashes: tuple[Clash, ...],
    context: Context,
) -> Plan:
    """Find the text that says what stands, keeping as much of both sides' writing as can be kept."""
    wanted = {name: value for name, value in standing.items() if name not in ("id", "modified")}
    for text in _candidates(base, document, head, context):
        if (found := _reads_as(text, wanted, head.task.id)) is not None:
            task = with_authored(head.task, found)
            return Plan(_with_modified(task, head.task, standing, context), text, clashes)
    return _edited(document, head, standing, clashes, context)


def _candidates(base: Document | None, document: Document, head: Head, context: Context) -> list[bytes]:
    if base is not None and base.text == head.text:
        return [document.text]
    if base is None:
        return [head.text]
    merged, clean = context.merger(base.text, head.text, document.text)
    return [merged, head.text] if clean else [head.text]


def _reads_as(text: bytes, wanted: Mapping[str, object], id: str) -> Document | None:
    try:
        document = read(text)
    except DocumentError:
        return None
    if document is None:
        return None
    values = authored(document, id)
    same = all(values.get(name) == value for name, value in wanted.items())
    return document if same and values.keys() - {"id", "modified"} <= wanted.keys() else None


def _edited(
    document: Document,
    head: Head,
    standing: dict[str, object],
    clashes: tuple[Clash, ...],
    context: Context,
) -> Plan:
    ours = authored_of(head.task)
    edits = {
        name: value
        for name, value in standing.items()
        if name not in ("id", "modified") and value != ours.get(name)
    }
    text = head.text
    for name, value in edits.items():
        try:
            text = edit_all(text, {name: value})
        except Uneditable:
            theirs = authored(document, head.task.id).get(name)
            clashes = (*clashes, Clash(name, None, ours.get(name), theirs))
    found = read(text)
    assert found is not None  # noqa: S101 - edit_all verifies what it writes
    task = with_authored(head.task, found)
    return Plan(_with_modified(task, head.task, standing, context), text, clashes)


def _with_modified(task: Task, old: Task, standing: Mapping[str, object], context: Context) -> Task:
    """A change of what people wrote moves `modified`: to what the document says, if that is news."""
    if replace(task, modified=None) == replace(old, modified=None):
        return replace(task, modified=old.modified)
    said = _text_or_none(standing["modified"])
    return replace(task, modified=said if said != old.modified else context.now)


def _status_request(base: Document | None, document: Document, task: Task, context: Context) -> Plan:
    """What the document's status asks for, if it asks for anything.

    * The base's status, none, or a word nobody knows: nothing is asked.
    * The status people are shown already: nothing to do.
    """
    asked = document.runtime.get("status")
    if base is None or not isinstance(asked, Status) or asked == _status_in(base):
        return Plan(task, b"")
    blocked_by = context.blocked_by(task.depends_on)
    if asked in (task.status, lifecycle.effective(task, blocked_by)):
        return Plan(task, b"")
    reason = _why_not(base, task, asked, blocked_by, context)
    if reason:
        return Plan(task, b"", refusals=(Refusal("status", reason, f"`taskd status {task.id} {asked}`"),))
    passed = list[Task]()
    for status in lifecycle.steps(task.status, asked):
        task = lifecycle.move(task, status, now=context.now)
        passed.append(task)
    return Plan(task, b"", steps=tuple(passed))


def _status_in(document: Document) -> object:
    return document.runtime.get("status", Status.PENDING)


def _why_not(
    base: Document, task: Task, asked: Status, blocked_by: tuple[str, ...], context: Context
) -> str | None:
    live = claims.is_live(task.claim, context.now)
    if context.status_edits == IGNORE:
        return "status is changed by commands in this repository"
    if _status_in(base) not in (task.status, lifecycle.effective(task, blocked_by)) and (
        context.status_by() != context.participant
    ):
        return f"it is {task.status} by now; the file was saved from an older state"
    if live and task.claim is not None and task.claim.holder != context.participant:
        return f"{task.claim.holder} has claimed it until {task.claim.expires}"
    if blocked_by and asked in lifecycle.GATED and task.status is Status.PENDING:
        return f"it waits for {', '.join(blocked_by)}"
    if not lifecycle.steps(task.status, asked):
        lawful = ", ".join(status.value for status in lifecycle.lawful_from(task.status))
        return f"from {task.status} it can go to {lawful}, not to {asked}"
    return None


def _ignored_runtime(base: Document | None, document: Document) -> tuple[Refusal, ...]:
    """Runtime fields typed into a document: reported, and left to the index."""
    before = base.runtime if base is not None else document.runtime
    return tuple(
        Refusal(name, f"{name} is kept by the index; the file's value is not taken", "use the command for it")
        for name, value in document.runtime.items()
        if name != "status" and before.get(name) != value
    )


def is_authored(name: str) -> bool:
    """Whether documents own the field; unknown keys are theirs."""
    row = FIELDS.get(name)
    return row is None or (row.owner is Owner.AUTHORED and row.kind is not Kind.RECORD)
