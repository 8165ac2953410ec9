"""Three texts of one task file made one, as git asks for it: by fields where that can be, else by lines.

True of the result, whatever is given:

* Where only one side changed the text, it is that side's, byte by byte.
* Fields are merged by the rules that hold for the index (`reconcile`), with `ours` in the index's place.
* Two different changes of one authored field stand between conflict markers, and nothing else does.
* Runtime fields never conflict: one side's change stands, of two different ones `ours`; `modified` is the
  later one.
* Whatever cannot be done so without losing something (a text that cannot be read, another task's, a comment
  that has no place) is merged as git merges any text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from taskd.core import merge
from taskd.core.authored import unread, with_authored
from taskd.core.document import Document, edit, edit_all
from taskd.core.edits import reading_of
from taskd.core.fields import KEYS, NAMESAKES
from taskd.core.guard import line_end, line_start
from taskd.core.merge import LineMerger
from taskd.core.plan import IGNORE, TEXT, Context, Head
from taskd.core.reading import Reading, name_of, opened
from taskd.core.reconcile import reconcile
from taskd.core.seams import with_seams
from taskd.core.sections import attach, detach
from taskd.core.splices import spliced
from taskd.core.task import Task
from taskd.core.weave import comments, comments_in
from taskd.errors import DocumentError, Uneditable

#: the lines around a frontmatter, with conflict markers in it or not
_FENCE: Final = re.compile(r"(?<![^\r\n])(?:---|\.\.\.)[ \t]*(?![^\r\n])")


@dataclass(frozen=True, slots=True)
class Mergers:
    """`weaving` merges by lines in the style of diff3; `marking` as whoever reads the markers wants it."""

    weaving: LineMerger
    marking: LineMerger


def merge_texts(base: bytes, ours: bytes, theirs: bytes, id: str, mergers: Mergers) -> tuple[bytes, bool]:
    """The merged text, and whether it is clean; where it is not, it has the conflict markers of `marking`.

    `id` is the task's where its documents do not say it. What the mergers raise is passed on.
    """
    if theirs in (base, ours):
        return ours, True
    if ours == base:
        return theirs, True
    sides = _sides(base, ours, theirs, id)
    found = None if sides is None else _by_fields(sides, id, mergers)
    return found or mergers.marking(base, ours, theirs)


@dataclass(frozen=True, slots=True)
class _Sides:
    """The three texts as documents of one task."""

    base: Reading
    ours: Reading
    theirs: Reading

    @property
    def all(self) -> tuple[Reading, Reading, Reading]:
        """In git's order."""
        return self.base, self.ours, self.theirs


def _sides(base: bytes, ours: bytes, theirs: bytes, id: str) -> _Sides | None:
    """The texts understood; None where one cannot be, or where they are not of one task."""
    try:
        readings = opened(base), opened(ours), opened(theirs)
    except DocumentError:
        return None
    known = [reading for reading in readings if reading is not None]
    ids = {reading.document.values.get("id", id) for reading in known}
    if len(known) < len(readings) or len(ids) > 1:
        return None
    sides = _Sides(*known)
    return None if _is_garbled(sides) else sides


def _is_garbled(sides: _Sides) -> bool:
    """Whether somebody changed a value that nobody understands."""
    hidden = {name for reading in sides.all for name in unread(reading.document)}
    raws = [{name: raw for name, raw in _raw(reading).items() if name in hidden} for reading in sides.all]
    return any(raw != raws[0] for raw in raws)


def _raw(reading: Reading) -> dict[str, object]:
    """The raw YAML of every key, by the field it stands for."""
    return {KEYS[key].name if key in KEYS else key: raw for key, raw in reading.raw.items()}


def _by_fields(sides: _Sides, id: str, mergers: Mergers) -> tuple[bytes, bool] | None:
    """The texts merged field by field; None where no text could say it all."""
    base, ours, theirs = (side.document for side in sides.all)
    created = Task(id=str(ours.values.get("id", id)), name=id, file="")
    head = Head(with_authored(created, ours), ours.text)
    plan = reconcile(base, theirs, head, _context(with_seams(mergers.weaving, sides.all)), id)
    clashing = tuple(clash.field for clash in plan.clashes if clash.field != TEXT)  # see _has_comments
    if not NAMESAKES.keys().isdisjoint(clashing):  # their lines go by another name than their fields
        return None
    try:
        text = edit_all(plan.text, _kept_by_index(base, ours, theirs))
        merged, clean = _marked(text, sides, clashing, mergers.marking) if clashing else (text, True)
    except Uneditable:
        return None
    whole = clean != bool(clashing) and _has_comments(merged, sides)
    return (merged, clean) if whole else None


def _context(weaving: LineMerger) -> Context:
    """Surroundings in which nobody asks an index: no status is granted, no edge closes a cycle."""
    return Context(
        now="",
        participant="",
        merger=weaving,
        blocked_by=lambda _ids: (),
        reaches=lambda _start, _goal: False,
        status_by=lambda: None,
        status_edits=IGNORE,
    )


def _kept_by_index(base: Document, ours: Document, theirs: Document) -> dict[str, object]:
    """What stands of the fields that are not people's to merge: the runtime fields and `modified`."""
    names = dict.fromkeys((*base.runtime, *ours.runtime, *theirs.runtime))
    found = {
        name: merge.scalar(base.runtime.get(name), ours.runtime.get(name), theirs.runtime.get(name)).value
        for name in names
    }
    times = (side.values.get("modified") for side in (base, ours, theirs))
    return {**found, "modified": merge.latest(*times).value}


def _has_comments(merged: bytes, sides: _Sides) -> bool:
    """Whether the comments that either side wrote since the base are there."""
    base, ours, theirs = (comments(side.document.text) for side in sides.all)
    front = _FENCE.split(merged.decode("utf-8-sig"), 2)[1]
    return (ours | theirs) - base <= comments_in(front)


# -- conflicts


def _marked(text: bytes, sides: _Sides, clashing: tuple[str, ...], marking: LineMerger) -> tuple[bytes, bool]:
    """A text in which `clashing` fields stand between markers, and nothing else does.

    Three texts that differ in the lines of those fields alone are merged by lines.
    """
    base, ours, theirs = (_as_in(text, side, clashing) for side in sides.all)
    return marking(base, ours, theirs)


def _as_in(text: bytes, side: Reading, clashing: tuple[str, ...]) -> bytes:
    """The text with some fields as one side has them, in that side's own lines where it can be."""
    for name in clashing:
        text = _with_tail(text, side) if name == "body" else _with_field(text, side, name)
    return text


def _with_tail(text: bytes, side: Reading) -> bytes:
    """The text with the body of a side, and with its own rendered part."""
    parts = reading_of(text, "body").parts
    body, _ = detach(side.parts.tail)
    return replace(parts, tail=attach(body, detach(parts.tail)[1], parts.eol)).joined()


def _with_field(text: bytes, side: Reading, name: str) -> bytes:
    document = side.document
    changed = edit(text, name, document.values.get(name, document.extra.get(name)))
    now = reading_of(changed, name)
    place, lines = _lines_of(now, name), _lines_of(side, name)
    if place is None or lines is None:
        return changed
    front = spliced(now.parts.front, [(*place, side.parts.front[slice(*lines)])])
    whole = replace(now.parts, front=front).joined()
    return whole if _says_the_same(whole, now.document) else changed


def _lines_of(reading: Reading, name: str) -> tuple[int, int] | None:
    """Where the lines of a key begin and end; None if it is not there, or has no lines of its own."""
    front = reading.parts.front
    for entry in reading.outline.entries:
        if name_of(entry) == name and not reading.outline.flow:
            return line_start(front, entry.start), line_end(front, entry.value.end)
    return None


def _says_the_same(text: bytes, document: Document) -> bool:
    try:
        now = reading_of(text, "").document
    except Uneditable:
        return False
    rooms = (now.values, now.extra, now.runtime)
    return rooms == (document.values, document.extra, document.runtime)
