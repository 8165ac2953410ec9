"""What of a document is news, where git put the file there and nobody typed it.

A checkout, merge or stash can put back values that were superseded long ago. Of such a document only
that speaks which no known version of the task has ever said: other scalars, elements of sets, items of
lists, lines of the body. The rest is set back to what the ancestor says, so that it says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Final

from taskd.core.authored import authored, unread
from taskd.core.document import Document, edit_all, read
from taskd.core.fields import FIELDS, Merge
from taskd.errors import Uneditable

#: what a document says of a field that stands there and that nobody understands
_UNREAD: Final = object()


def nearest(document: Document, candidates: Sequence[Document]) -> int:
    """Which of the candidates the document was most likely made from; of equals the last.

    That is the one from which the fewest fields and lines of the body differ. ValueError without any.
    """
    distances = [_distance(document, one) for one in candidates]
    closest = min(distances)
    return len(distances) - 1 - distances[::-1].index(closest)


def _distance(first: Document, second: Document) -> int:
    told = [{**one.values, **one.runtime, **one.extra} for one in (first, second)]
    names = told[0].keys() | told[1].keys()
    fields = sum(told[0].get(name) != told[1].get(name) for name in names if name != "body")
    old, new = (str(one.values.get("body", "")).splitlines() for one in (first, second))
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return fields + sum(max(b - a, d - c) for tag, a, b, c, d in steps if tag != "equal")


def silenced(
    document: Document, ancestor: Document, known: Iterable[Document], id: str
) -> tuple[Document | None, tuple[str, ...]]:
    """The document with everything that is no news as the ancestor has it, and the fields so set back.

    None for a document that cannot be set back so, as over an ancestor of which nobody understands the
    field: then nobody can tell its news from the rest.
    """
    said, before = _told(document, id), _told(ancestor, id)
    versions = [_told(version, id) for version in known]
    names = dict.fromkeys((*before, *said))
    wanted = {name: _news_of(name, said.get(name), before.get(name), versions) for name in names}
    old = {name: value for name, value in wanted.items() if value != said.get(name) and name != "id"}
    if not old:
        return document, ()
    if _UNREAD in old.values():  # to set it back would be to say that there is none
        return None, tuple(old)
    try:
        return read(edit_all(document.text, old)), tuple(old)
    except Uneditable:
        return None, tuple(old)


def _told(document: Document, id: str) -> dict[str, object]:
    return {**authored(document, id), **dict.fromkeys(unread(document), _UNREAD)}


def _news_of(name: str, said: object, before: object, versions: Sequence[dict[str, object]]) -> object:
    """What is left of a value: only what no version has said speaks against the ancestor's."""
    if said == before or said is _UNREAD:
        return said
    had = [version.get(name) for version in versions]
    kind = FIELDS[name].merge if name in FIELDS else None
    if kind is Merge.LINES:
        known_lines = {line for value in had for line in str(value).splitlines()}
        return _new_lines(str(before), str(said), known_lines)
    if said in had and (kind is not Merge.SET or before is _UNREAD):
        return before
    return _new_items(before, said, had) if isinstance(said, (list, tuple)) else said


def _new_items(
    before: object, said: list[object] | tuple[object, ...], had: Sequence[object]
) -> list[object] | tuple[object, ...]:
    """The items that were there before or that no version has had; what was taken out stays out."""
    known = {repr(item) for value in had for item in _items(value)}  # an item may itself be a mapping
    old = {repr(item) for item in _items(before)}
    return type(said)(item for item in said if repr(item) in old or repr(item) not in known)


def _items(value: object) -> Iterable[object]:
    return value if isinstance(value, (list, tuple)) else ()


def _new_lines(before: str, said: str, known: set[str]) -> str:
    """The lines that were there before, changed only where at least one line is new or all are gone."""
    old, new = before.splitlines(keepends=True), said.splitlines(keepends=True)
    kept = list[str]()
    for tag, start, end, first, last in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        news = [line for line in new[first:last] if line.rstrip("\r\n") not in known]
        speaks = tag == "delete" or news
        kept += new[first:last] if speaks else old[start:end]
    return "".join(kept)
