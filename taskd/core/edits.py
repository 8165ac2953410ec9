"""Setting one field of a document in place: the bytes of its value change and no others.

Three facts hold after every edit:

1. what stands outside the field's own lines is byte for byte what it was;
2. the result, read again, says the new value for the field and the old one for every other;
3. where 1 and 2 cannot both be had, nothing was changed and `Uneditable` says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from taskd.core.fields import AUTHORED, FIELDS, KEYS, NAMESAKES, Kind, Owner, status_of
from taskd.core.guard import Parts
from taskd.core.reading import Document, Reading, opened
from taskd.core.sections import attach, detach
from taskd.core.splices import refuse, spliced, splices
from taskd.core.writing import raw_of
from taskd.errors import DocumentError

_EOL: Final = re.compile(r"\r\n|\n|\r")
#: room and name of everything a document says
Said = dict[tuple[str, str], object]

_LIST_KINDS: Final = (Kind.SLUGS, Kind.WORDS, Kind.CRITERIA)


def edit(text: bytes, field: str, value: object) -> bytes:
    """The document with one field set; None or an empty tuple takes its key out.

    `field` is an authored or runtime field's name, `body`, or an unknown key (`frontmatter.body` for
    one that is called so); `value` is typed as reading gives it. The value that is already there gives
    the same bytes. `Uneditable`, with an empty path, when it cannot be done without touching anything
    else.
    """
    return edit_all(text, {field: value})


def edit_all(text: bytes, changes: Mapping[str, object]) -> bytes:
    """The document with several fields set; all of them or, by `Uneditable`, none."""
    wanted = {canonical(name): settled(canonical(name), value) for name, value in changes.items()}
    before = reading_of(text, ", ".join(wanted))
    todo = {name: value for name, value in wanted.items() if not _holds(before.document, name, value)}
    now = before
    for name in sorted(todo, key=lambda name: todo[name] is None):  # one of id and name has to be there
        now = reading_of(_set(now, name, todo[name]), name)
    check_said(said(now.document), with_changes(said(before.document), todo), todo)
    return now.document.text


def reading_of(text: bytes, field: str) -> Reading:
    """The reading of a document that is to be changed; Uneditable if there is none."""
    try:
        reading = opened(text)
    except DocumentError as error:
        refuse(field, f"line {error.line}: {error.reason}")
    if reading is None:
        refuse(field, "the file has no frontmatter")
    return reading


# -- what is asked for, and whether it was done


def canonical(name: str) -> str:
    """The field a name or one of its spellings means; an unknown key is its own."""
    return KEYS[name].name if name in KEYS else name


def settled(name: str, value: object) -> object:
    """A value as reading would give it back; None for what takes the key out."""
    field = FIELDS.get(name)
    if name == "body":
        return _EOL.sub("\n", str(value or ""))
    if field is not None and field.owner is Owner.AUTHORED:
        if field.kind in _LIST_KINDS and isinstance(value, (list, tuple)):
            return tuple(value)
        return None if value == "" else value
    if value is None or value == ():
        return None
    return status_of(str(value)) or str(value) if name == "status" else raw_of(value)


def said(document: Document) -> Said:
    """Everything a document says; an empty list is the same as none."""
    rooms = {"values": document.values, "runtime": document.runtime, "extra": document.extra}
    return {
        (room, name): value for room, values in rooms.items() for name, value in values.items() if value != ()
    }


def place_of(name: str) -> tuple[str, str]:
    """The key of `said` under which a field stands."""
    if name in FIELDS:
        return ("values" if name in AUTHORED else "runtime"), name
    return "extra", NAMESAKES.get(name, name)


def with_changes(before: Said, changes: Mapping[str, object]) -> Said:
    """What a document says after changes; None and an empty tuple say nothing."""
    places = {place_of(name) for name in changes}
    kept = {place: value for place, value in before.items() if place not in places}
    news = {place_of(name): value for name, value in changes.items() if value is not None and value != ()}
    return kept | news


def check_said(found: Said, expected: Said, asked: Iterable[str]) -> None:
    """Uneditable unless a result says exactly what it should."""
    wrong = {place[1] for place in found.keys() | expected.keys() if found.get(place) != expected.get(place)}
    if wrong:
        names = ", ".join(sorted(wrong))
        refuse(", ".join(asked), f"the result would not be read as it should: {names}")


def _holds(document: Document, name: str, value: object) -> bool:
    """Whether the document already says this; a value nobody understands says nothing yet."""
    told, place = said(document), place_of(name)
    if place not in told and any(remark.field == name for remark in document.remarks):
        return False
    return told.get(place) == (None if value == () else value)


def _set(reading: Reading, name: str, value: object) -> bytes:
    """The document's bytes with one field set, not yet checked."""
    parts = reading.parts
    try:
        if name == "body":
            return _embodied(parts, str(value)).joined()
        return replace(parts, front=spliced(parts.front, splices(reading, name, value))).joined()
    except UnicodeEncodeError:
        refuse(name, "the value has a character that UTF-8 cannot write")


def _embodied(parts: Parts, body: str) -> Parts:
    _, rendered = detach(parts.tail)
    tail = _EOL.sub(parts.eol, "\n" + body)
    return replace(parts, tail=attach(tail, rendered, parts.eol))
