"""Finding the text that says what stands, with as much of both sides' writing as can be kept.

Tried in this order, each read again before it is believed:

1. the document as it is, when the index still has its base: the new head is the file, byte by byte;
2. the base, the head's text and the document merged by their lines, so that comments, order and quotes
   of both sides survive; where lines collide, the head's;
3. the head's text.

Fields in which a text does not say what stands are set in it, in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from taskd.core.authored import authored, authored_of, unread
from taskd.core.document import Document, edit_all, read
from taskd.core.fields import FIELDS, Merge
from taskd.core.guard import split
from taskd.core.merge import LineMerger
from taskd.core.plan import Head
from taskd.errors import DocumentError, Uneditable

#: a comment on its own line or behind a value; a `#` in a text whose quotes end on their line is none
_COMMENT: Final = re.compile(
    r"""^(?: (?<!\w)"(?:[^"\\\r\n]|\\[^\r\n])*+" | (?<!\w)'[^'\r\n]*+' | [^\#\r\n] | (?<=[^ \t\r\n])\# )*+
    (\#[^\r\n]*)""",
    re.VERBOSE | re.MULTILINE,
)

_SETS: Final = frozenset(name for name, field in FIELDS.items() if field.merge is Merge.SET)


@dataclass(frozen=True, slots=True)
class Woven:
    """A document that says what stands.

    `failed` are fields that no text could be made to say: it has the index's value of them.
    `torn` is true when a comment that one side wrote since the base is not in it.
    """

    document: Document
    failed: frozenset[str] = frozenset()
    torn: bool = False


def weave(
    base: Document | None, document: Document, head: Head, standing: Mapping[str, object], merger: LineMerger
) -> Woven:
    """The text of the new head, of which `standing` are the authored fields. `modified` is not looked at."""
    ours = authored_of(head.task)
    for found in _candidates(base, document, head, merger):
        off = _off(found, standing, ours)
        whole = _corrected(found, off) if off else found
        if whole is not None:
            return Woven(whole, torn=_is_torn(base, document, head, whole.text))
    patched, failed = _patched(head, standing, ours)
    return Woven(patched, failed, _is_torn(base, document, head, patched.text))


def _candidates(
    base: Document | None, document: Document, head: Head, merger: LineMerger
) -> Iterator[Document]:
    if base is not None and base.text == head.text:
        yield document
    elif base is not None:
        merged, clean = merger(base.text, head.text, document.text)
        found = _opened(merged if clean else _ours(merged))
        if found is not None:
            yield found
    yield _standing_document(head)


def _standing_document(head: Head) -> Document:
    document = read(head.text)
    assert document is not None  # noqa: S101 - the head's text was read when it became that
    return document


def _ours(merged: bytes) -> bytes:
    """A merged text with the head's lines where lines collide."""
    kept, theirs = list[bytes](), False
    for line in merged.splitlines(keepends=True):
        if line.startswith((b"<<<<<<<", b"|||||||", b">>>>>>>")):
            theirs = line.startswith(b"|")
        elif not theirs:
            kept.append(line)
    return b"".join(kept)


def _opened(text: bytes) -> Document | None:
    try:
        return read(text)
    except DocumentError:
        return None


def _off(found: Document, standing: Mapping[str, object], ours: Mapping[str, object]) -> dict[str, object]:
    """What a text does not say as it should, with what it should say."""
    id = standing["id"]
    said = authored(found, str(id))
    off = {
        name
        for name in said.keys() | standing.keys()
        if not _is_same(name, said.get(name), standing.get(name))
    }
    for name in unread(found):  # not understood, it lets the task keep what it has
        if standing[name] == ours[name]:
            off.discard(name)
        else:
            off.add(name)
    if found.values.get("id", id) != id:
        off.add("id")
    return {name: standing.get(name) for name in off - {"modified"}}


def _is_same(name: str, said: object, standing: object) -> bool:
    if name in _SETS and isinstance(said, tuple) and isinstance(standing, tuple):
        return set(said) == set(standing)
    return said == standing


def _corrected(found: Document, edits: Mapping[str, object]) -> Document | None:
    try:
        return read(edit_all(found.text, edits))
    except Uneditable:
        return None


def _patched(
    head: Head, standing: Mapping[str, object], ours: Mapping[str, object]
) -> tuple[Document, frozenset[str]]:
    """The head's text with each field set that can be, and the fields that cannot."""
    found, failed = _standing_document(head), set[str]()
    for name, value in _off(found, standing, ours).items():
        changed = _corrected(found, {name: value})
        if changed is None:
            failed.add(name)
        else:
            found = changed
    return found, frozenset(failed)


def _is_torn(base: Document | None, document: Document, head: Head, result: bytes) -> bool:
    """Whether comments that the file or the head has beyond the base are missing from a text."""
    if base is not None and base.text == head.text and result == document.text:
        return False
    written = comments(document.text) | comments(head.text)
    return not written <= comments(result) | (set() if base is None else comments(base.text))


def comments(text: bytes) -> set[str]:
    """The comments of a document's frontmatter; more rather than fewer are taken for one."""
    parts = split(text)
    return set() if parts is None else comments_in(parts.front)


def comments_in(front: str) -> set[str]:
    """The same of a frontmatter, which may have conflict markers in it."""
    return {found.rstrip() for found in _COMMENT.findall(front)}
