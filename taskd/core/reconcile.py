"""What one document of one replica means for the index: the heart of taskd, and pure.

True here, whatever is given:

* A field the document did not change since its base says nothing, however old the document is.
* A change of the document is in the new head, or in a clash with all three values, or in a refusal.
* The index's own change is never undone by a document that did not see it.
* Runtime fields change only by a lawful request, and only `status` can be requested, by hand.
* The new head's text reads back to exactly the new head's authored fields. Two exceptions: `modified`
  is derived, and a field whose text nobody understands keeps the value it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from taskd.core import merge
from taskd.core.authored import authored, authored_of, unread, with_authored
from taskd.core.document import Document, read
from taskd.core.fields import FIELDS, Merge
from taskd.core.plan import TEXT, Clash, Context, Head, Plan, Refusal
from taskd.core.request import grant, ignored_runtime, without_request
from taskd.core.task import Status, Task
from taskd.core.weave import weave

__all__ = ["Clash", "Context", "Head", "Plan", "Refusal", "reconcile", "with_authored"]

#: what a document says whose words for a field nobody understands
_UNKNOWN: Final = object()


def reconcile(
    base: Document | None, document: Document, head: Head | None, context: Context, id: str
) -> Plan:
    """Decide about `document`, of the task `id`, that said `base` when it was last ingested.

    * No head: the document is the task; its status is taken once.
    * The document says what its base said: the index stays as it is.
    * The index stands where the base stood: the document is the new head as it is, byte by byte.
    * Both moved: field by field over the base; without a base every difference clashes.
    """
    ignored = ignored_runtime(document)
    if head is None:
        return Plan(_first_seen(document, context, id), document.text, refusals=ignored)
    if base is not None and base.text == document.text:
        return Plan(head.task, head.text, refusals=ignored)
    merged = _merge_authored(base, document, head, context)
    if context.brought:
        return replace(merged, text=without_request(merged.text, head.text))
    granted = grant(base, document, merged.task, context)
    if granted.refusal is None:
        return replace(merged, task=granted.task, refusals=ignored, steps=granted.steps)
    text = without_request(merged.text, head.text)
    return replace(merged, text=text, refusals=(granted.refusal, *ignored))


def _first_seen(document: Document, context: Context, id: str) -> Task:
    """The task a document makes. `blocked` is taken for by hand only if no dependency explains it."""
    created = Task(id=id, name=id, file="", modified=_text_or_none(document.values.get("modified")))
    task = with_authored(created, document)
    status = document.runtime.get("status")
    if not isinstance(status, Status):
        return task
    explained = status is Status.BLOCKED and context.blocked_by(task.depends_on)
    return task if explained else replace(task, status=status)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class _Sides:
    """What base, index and file say, field by field; `old` is None without a common ancestor."""

    old: Mapping[str, object] | None
    ours: Mapping[str, object]
    theirs: Mapping[str, object]

    def clash(self, name: str) -> Clash:
        old = None if self.old is None else self.old.get(name)
        return Clash(name, None if old is _UNKNOWN else old, self.ours.get(name), self.theirs.get(name))


def _merge_authored(base: Document | None, document: Document, head: Head, context: Context) -> Plan:
    sides = _sides(base, document, head)
    names = dict.fromkeys((*sides.ours, *sides.theirs))
    merged = {name: _merge_field(name, sides, context.merger) for name in names}
    standing = {name: field.value for name, field in merged.items()}
    clashing = [name for name, field in merged.items() if field.clash]
    edges = _acyclic(head.task, standing["depends_on"], context)
    if edges != standing["depends_on"]:
        standing["depends_on"] = edges
        clashing.append("depends_on")
    woven = weave(base, document, head, standing, context.merger)
    clashes = [sides.clash(name) for name in dict.fromkeys((*clashing, *sorted(woven.failed)))]
    if woven.torn:
        clashes.append(_text_clash(base, document, head))
    task = with_authored(head.task, woven.document)
    task = _with_modified(task, head.task, _text_or_none(standing["modified"]), context.now)
    return Plan(task, woven.document.text, tuple(clashes))


def _sides(base: Document | None, document: Document, head: Head) -> _Sides:
    """The three sides; a document says of a field that cannot be understood what its base said."""
    id, ours = head.task.id, authored_of(head.task)
    theirs, silent = authored(document, id), unread(document)
    if base is None:
        return _Sides(None, ours, {**theirs, **{name: ours[name] for name in silent}})
    old = authored(base, id)
    hidden = unread(base)
    if hidden:
        # The index has another value than the base's author wrote: unchanged only if its text is too.
        same = hidden if base.text == head.text else _unread_in(head)
        old |= {name: ours[name] if name in same else _UNKNOWN for name in hidden}
    return _Sides(old, ours, {**theirs, **{name: old[name] for name in silent}})


def _unread_in(head: Head) -> frozenset[str]:
    document = read(head.text)
    return frozenset() if document is None else unread(document)


def _merge_field(name: str, sides: _Sides, merger: merge.LineMerger) -> merge.Merged:
    kind = FIELDS[name].merge if name in FIELDS else None
    ours, theirs = sides.ours.get(name), sides.theirs.get(name)
    if theirs is _UNKNOWN:
        return merge.Merged(ours)
    if sides.old is None:
        return _merge_unrelated(name, kind, sides)
    old = sides.old.get(name)
    if kind is Merge.LATEST:
        return merge.latest(old, ours, theirs)
    if kind is Merge.LINES:
        return merge.lines(str(old), str(ours), str(theirs), merger)
    return _merge_values(kind, old, ours, theirs)


def _merge_values(kind: Merge | None, old: object, ours: object, theirs: object) -> merge.Merged:
    """Sets by their elements, lists with an order by their items, all else as one value."""
    if kind is Merge.SET and isinstance(ours, tuple) and isinstance(theirs, tuple):
        return merge.union(old if isinstance(old, tuple) else (), ours, theirs)
    if isinstance(old, (list, tuple)) and isinstance(ours, type(old)) and isinstance(theirs, type(old)):
        return merge.ordered(old, ours, theirs)
    return merge.scalar(old, ours, theirs)


def _merge_unrelated(name: str, kind: Merge | None, sides: _Sides) -> merge.Merged:
    """Without an ancestor a document only adds; what it says differently clashes."""
    ours, theirs = sides.ours.get(name), sides.theirs.get(name)
    if kind is Merge.SET and isinstance(ours, tuple) and isinstance(theirs, tuple):
        return merge.union((), ours, theirs)
    if kind is Merge.LATEST:
        return merge.latest(None, ours, theirs)
    nothing = (None, "", (), *([sides.ours["id"]] if name == "name" else []))
    if theirs in nothing or theirs == ours:
        return merge.Merged(ours)
    return merge.Merged(theirs) if ours in nothing else merge.Merged(ours, clash=True)


def _acyclic(task: Task, wanted: object, context: Context) -> object:
    """The edges wanted without those that are new and would close a cycle."""
    edges = wanted if isinstance(wanted, tuple) else ()
    return tuple(on for on in edges if on in task.depends_on or not _closes_cycle(on, task.id, context))


def _closes_cycle(on: str, id: str, context: Context) -> bool:
    return on == id or context.reaches(on, id)


def _text_clash(base: Document | None, document: Document, head: Head) -> Clash:
    old = None if base is None else base.text.decode()
    return Clash(TEXT, old, head.text.decode(), document.text.decode())


def _with_modified(task: Task, old: Task, said: str | None, now: str) -> Task:
    """A change of what people wrote moves `modified`: to what the document says, if that is news."""
    if said == old.modified and task == old:
        return old
    return replace(task, modified=said if said != old.modified else now)
