"""What of a document is news, where git put the file there and nobody typed it.

A checkout, merge or stash can put back values that were superseded long ago. Of such a document only
that speaks which no known version of the task has ever said: other scalars, elements of sets, items of
lists, lines of the body. The rest is set back to what the ancestor says, so that it says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from taskd.core.authored import authored, unread
from taskd.core.document import Document, edit_all, read
from taskd.core.fields import FIELDS, Kind, Merge
from taskd.errors import Uneditable

#: what a document says of a field that stands there and that nobody understands
_UNREAD: Final = object()


def nearest(document: Document, candidates: Sequence[Document], *, typed: bool = True) -> int:
    """Which of the candidates the document was most likely made from; of equals the last.

    That is the one over which the least is said. What was `typed` is rather something new than an old
    value of another candidate's, but for words of a fixed few; what git put there rather has other things
    than it lacks some: the less likely counts twice. ValueError without any candidates.
    """
    parts = [_parts(one) for one in candidates]
    weigh = _Typed(parts) if typed else _Brought()
    distances = [_distance(_parts(document), one, weigh) for one in parts]
    closest = min(distances)
    return len(distances) - 1 - distances[::-1].index(closest)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A document taken apart: (field, value) for values, (field, element) for sets; and its body's lines."""

    values: dict[str, object]
    elements: frozenset[tuple[str, object]]
    lines: tuple[str, ...]

    def has(self, name: str, part: object) -> bool:
        """Whether it says that."""
        if name == "body":
            return part in self.lines
        return (name, part) in self.elements or (name in self.values and self.values[name] == part)


class _Typed:
    """How likely it is that somebody typed something."""

    def __init__(self, candidates: Sequence[_Parts]) -> None:
        self._candidates = candidates

    def added(self, name: str, part: object) -> int:
        if part in (None, "") or (name in FIELDS and FIELDS[name].kind is Kind.ENUM):
            return 1  # of a few words each comes again
        return 2 if any(one.has(name, part) for one in self._candidates) else 1

    def removed(self) -> int:
        return 1


class _Brought:
    """How likely it is that git brought something."""

    def added(self, _name: str, _part: object) -> int:
        return 1

    def removed(self) -> int:
        return 2


def _parts(document: Document) -> _Parts:
    told = {**document.values, **document.runtime, **document.extra}
    sets = {name: _items(told[name]) for name in told if name in FIELDS and FIELDS[name].merge is Merge.SET}
    elements = [(name, one) for name, items in sets.items() for one in items]
    values = {name: value for name, value in told.items() if name not in sets and name != "body"}
    return _Parts(values, frozenset(elements), tuple(str(document.values.get("body", "")).splitlines()))


def _distance(said: _Parts, one: _Parts, weigh: _Typed | _Brought) -> int:
    """What the document says over a candidate, weighed: values, elements of sets and lines of the body."""
    names = said.values.keys() | one.values.keys()
    other = [name for name in names if said.values.get(name) != one.values.get(name)]
    fields = sum(weigh.added(name, said.values.get(name)) for name in other)
    new, gone = said.elements - one.elements, one.elements - said.elements
    elements = sum(weigh.added(*element) for element in new) + weigh.removed() * len(gone)
    return fields + elements + _lines_between(said, one, weigh)


def _lines_between(said: _Parts, one: _Parts, weigh: _Typed | _Brought) -> int:
    steps = SequenceMatcher(None, one.lines, said.lines, autojunk=False).get_opcodes()
    changed = [step for step in steps if step[0] != "equal"]
    gone = sum(end - start for _, start, end, _, _ in changed)
    new = [line for _, _, _, first, last in changed for line in said.lines[first:last]]
    return weigh.removed() * gone + sum(weigh.added("body", line) for line in new)


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
