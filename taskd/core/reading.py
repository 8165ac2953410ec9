"""What a document says: its frontmatter's values, typed by the field table, and its body.

Scalars are loaded as the strings that were written, so that `id: 0012`, `on` and `1.10` are what
their author sees; python-frontmatter's YAML handler loads them, behind our guard. What cannot be
typed is remarked on and left out; what would make the task another one stops the document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from frontmatter.default_handlers import YAMLHandler

from taskd.core.fields import KEYS, Field, Kind, Owner, expected, is_null, typed
from taskd.core.guard import Parts, split
from taskd.core.outline import LOADER, Entry, Outline, outlined
from taskd.core.sections import detach
from taskd.errors import DocumentError

_YAML: Final = YAMLHandler()
_EOL: Final = re.compile(r"\r\n|\r")
_COMMENT: Final = re.compile(r"[ \t]+#[^\r\n]*")
#: behind a key without a value `# who?` is a comment, `#12` was meant
_HASH: Final = re.compile(r"[ \t]+#[^\s#][^\r\n]*")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to report that does not stop the task.

    `line` counts from 1. A `field` that is remarked on and is not among the document's values is
    there but cannot be understood: it is not absent, and says nothing.
    """

    line: int
    reason: str
    remedy: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a task, understood.

    `values` has the authored fields present in the file, canonical name to typed value; `body` is
    always among them (lines ended by newline, without rendered sections), `id` only when written.
    `extra` has the unknown keys with their raw YAML (str, list or dict of strings as written),
    `runtime` the runtime keys found: `status` typed when the word is known, the others raw.
    """

    text: bytes
    values: Mapping[str, object]
    extra: Mapping[str, object]
    runtime: Mapping[str, object]
    remarks: tuple[Remark, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A document with everything that was found on the way to it."""

    document: Document
    parts: Parts
    outline: Outline
    #: every key as spelled, to its raw YAML
    raw: Mapping[str, object]


def read(text: bytes) -> Document | None:
    """What a file says, or None if it has no frontmatter and so is no task (a README).

    DocumentError with line, reason and remedy for a file that cannot be taken; NotYet, its
    subclass, for one that looks half-written.
    """
    reading = opened(text)
    return None if reading is None else reading.document


def opened(text: bytes) -> Reading | None:
    """As `read`, with the places of everything."""
    parts = split(text)
    if parts is None:
        return None
    outline = outlined(parts)
    raw: dict[str, object] = {**(_YAML.load(outline.yaml, Loader=LOADER) or {}), **outline.mended}
    sorter = _Sorter(parts)
    for entry in outline.entries:
        sorter.take(entry, raw[entry.key], mended=entry.key in outline.mended)
    return Reading(sorter.finish(text), parts, outline, raw)


def field_of(key: str) -> Field | None:
    """The field a frontmatter key stands for, None for an unknown one; the body is no key."""
    field = KEYS.get(key)
    return None if field is None or field.kind is Kind.BODY else field


def name_of(entry: Entry) -> str:
    """The field an entry stands for; an unknown key is its own."""
    field = field_of(entry.key)
    return entry.key if field is None else field.name


def body_of(parts: Parts) -> str:
    """The body as a value: without the rendered part, its lines ended by newline."""
    tail, _ = detach(parts.tail)
    return _EOL.sub("\n", tail).removeprefix("\n")


class _Sorter:
    """Puts each entry where it belongs."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.values: dict[str, object] = {}
        self.extra: dict[str, object] = {}
        self.runtime: dict[str, object] = {}
        self.remarks: list[Remark] = []
        self.spelled: dict[str, str] = {}

    def take(self, entry: Entry, raw: object, *, mended: bool) -> None:
        """Sort one key in; DocumentError if it stops the document."""
        field = field_of(entry.key)
        if field is None:
            self.extra[entry.key] = raw
            return
        self.check_once(entry, field)
        if mended:
            reason = f"{field.name} has characters that mean something else to YAML; it is read as the text"
            self.remark(entry, field, reason, _quoted(entry, raw))
        if field.kind is Kind.TEXT:
            self.check_comment(entry, field)
        if field.owner is Owner.RUNTIME and field.name != "status":
            self.runtime[field.name] = raw
        elif not is_null(raw):
            self.take_typed(entry, field, raw)

    def take_typed(self, entry: Entry, field: Field, raw: object) -> None:
        """Type a value, or remark that it cannot be."""
        room = self.values if field.owner is Owner.AUTHORED else self.runtime
        try:
            value = room[field.name] = typed(field, raw)
        except ValueError as error:
            self.untyped(entry, field, raw, str(error))
            return
        if not expected(field, value):
            words = ", ".join(field.values)
            reason = f"{field.name} {value!r} is not one of {words}; it is kept as written"
            self.remark(entry, field, reason, f"use one of {words}, or leave {field.name} away")

    def untyped(self, entry: Entry, field: Field, raw: object, reason: str) -> None:
        """A value that its field cannot have."""
        line = self.parts.line(_culprit(entry, field, raw))
        if field.name in {"id", "name"}:
            raise DocumentError(reason, line, f"correct the value of {entry.key}")
        if field.owner is Owner.RUNTIME:
            self.runtime[field.name] = raw
        remedy = f"correct the value of {entry.key}; until then the task keeps the one it had"
        self.remarks.append(Remark(line, reason, remedy, field.name))

    def check_once(self, entry: Entry, field: Field) -> None:
        """A field may stand under one of its spellings only."""
        other = self.spelled.setdefault(field.name, entry.key)
        if other != entry.key:
            reason = f"{entry.key} and {other} are the same field"
            raise DocumentError(reason, self.parts.line(entry.start), "keep one of the two")

    def check_comment(self, entry: Entry, field: Field) -> None:
        """An unquoted text ends where ` #` begins, which its author may not know."""
        node = entry.value
        if node.shape != "text" or node.style:
            return
        wanted = _COMMENT if node.start < node.end else _HASH
        if cut := wanted.match(self.parts.front, node.end):
            reason = f"{field.name} ends before `{cut[0].strip()[:40]}`, which is a comment to YAML"
            self.remark(entry, field, reason, f"if it belongs to {field.name}, put the whole value in quotes")

    def remark(self, entry: Entry, field: Field, reason: str, remedy: str) -> None:
        """Remark on a key's line."""
        self.remarks.append(Remark(self.parts.line(entry.start), reason, remedy, field.name))

    def finish(self, text: bytes) -> Document:
        """The document. DocumentError if nothing says which task it is."""
        if "id" not in self.values and "name" not in self.values:
            reason = "frontmatter without id or name: nothing says which task this is"
            raise DocumentError(reason, 1, "add a line `name: ...` below the first ---")
        values = {**self.values, "body": body_of(self.parts)}
        remarks = tuple(sorted(self.remarks, key=lambda remark: remark.line))
        return Document(text, values, self.extra, self.runtime, remarks)


def _culprit(entry: Entry, field: Field, raw: object) -> int:
    """Where the item stands that a list's field cannot have; else the key."""
    if isinstance(raw, list):
        for node, item in zip(entry.value.items, raw, strict=True):
            if item_value(field, item) is None:
                return node.start
    return entry.start


def item_value(field: Field | None, raw: object) -> object:
    """What one item of a list alone would be typed to; None if it cannot be."""
    if field is None:
        return raw
    try:
        return typed(field, [raw])
    except ValueError:
        return None


def _quoted(entry: Entry, raw: object) -> str:
    text = str(raw).replace("'", "''")
    return f"put it in quotes: {entry.key}: '{text}'"
