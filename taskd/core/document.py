"""Documents: reading what a task file says, and changing one thing in it.

The rooms behind this door: `guard` refuses what cannot be taken and splits, `outline` looks at
the YAML without loading it, `reading` types, `writing` quotes, `splices` finds the bytes to change,
`edits` changes and checks them, `sections` keeps the rendered part apart. All of it is pure: bytes
in, values or bytes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from taskd.core.edits import check_said, edit, edit_all, reading_of, said, settled, with_changes
from taskd.core.fields import FIELDS, Kind
from taskd.core.guard import split
from taskd.core.reading import Document, Remark, read
from taskd.core.sections import attach, detach, framed
from taskd.core.splices import refuse
from taskd.core.task import NO_EXTRA
from taskd.core.writing import data_of, entry, is_careful, raw_of
from taskd.errors import DocumentError

__all__ = ["Document", "Remark", "compose", "edit", "edit_all", "read", "with_sections"]


def compose(values: Mapping[str, object], extra: Mapping[str, object] = NO_EXTRA) -> bytes:
    """A new document of values and unknown keys, in the order of the field table.

    `values` has authored fields and, where a runtime field is to be shown, that too. `depends_on`
    is always written, other fields that are None or empty are not. `Uneditable` when reading the
    document would not give the same values back.
    """
    given = {name: settled(name, values.get(name)) for name in (*FIELDS, *values)}
    body = given.pop("body")
    lines = [line for name, value in given.items() for line in _lines_of(name, value)]
    lines += [line for key, raw in extra.items() for line in entry(key, raw_of(raw), "", careful=False)]
    try:
        text = "\n".join(("---", *lines, "---", str(body))).encode()
    except UnicodeEncodeError:
        refuse(", ".join(values), "a value has a character that UTF-8 cannot write")
    unknown = {("extra", key): raw_of(raw) for key, raw in extra.items()}
    expected = with_changes(unknown, {**given, "body": body})
    check_said(said(reading_of(text, ", ".join(values)).document), expected, values)
    return text


def _lines_of(name: str, value: object) -> list[str]:
    if name != "depends_on" and (value is None or value == ()):
        return []
    field = FIELDS.get(name)
    tall = field is not None and field.kind is Kind.CRITERIA
    return entry(
        name, data_of(field, () if value is None else value), "", careful=is_careful(field), tall=tall
    )


def with_sections(text: bytes, sections: str) -> bytes:
    """The document with rendered markdown at the end of its body, in place of what was there.

    `""` takes it out: what is left are the bytes the document had before. `Uneditable` for a file
    that is no document.
    """
    try:
        parts = split(text)
    except DocumentError as error:
        refuse("body", f"line {error.line}: {error.reason}")
    if parts is None:
        refuse("body", "the file has no frontmatter")
    tail, _ = detach(parts.tail)
    return replace(parts, tail=attach(tail, framed(sections, parts.eol), parts.eol)).joined()
