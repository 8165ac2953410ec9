"""Where the bytes of one field change: the splices that set it and touch nothing else.

A splice is (start, end, text): offsets into the frontmatter and what stands there afterwards. A
word is replaced in its place and quotes, an item of a list with its own line or comma; comments,
blank lines and the other items are outside every splice. Nothing is checked here: `edits` reads
the result again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Final, NoReturn

from taskd.core.fields import FIELDS, NAMESAKES, Field, Kind
from taskd.core.guard import line_end, line_start
from taskd.core.outline import Entry, Node
from taskd.core.reading import Reading, item_value, name_of
from taskd.core.writing import data_of, entry, inline, is_careful, item, literal, raw_of, scalar, with_unknown
from taskd.errors import Uneditable

Splice = tuple[int, int, str]
#: a difference of two lists, as difflib tells it
Step = tuple[str, int, int, int, int]

_COLON: Final = re.compile(r"[ \t]*:")
_DASH: Final = re.compile(r" *- *")
_CONTENT: Final = re.compile(r"[\r\n]( +)[^ \r\n]")
_COMMA: Final = re.compile(r"[ \t]*,?[ \t]*")


def refuse(field: str, reason: str) -> NoReturn:
    """Say no for a field; the path is for the caller to fill in, who knows it."""
    raise Uneditable(path="", field=field, reason=reason)


def spliced(front: str, splices: list[Splice]) -> str:
    """The frontmatter after the splices; they do not overlap."""
    for start, end, text in sorted(splices, reverse=True):
        front = front[:start] + text + front[end:]
    return front


@dataclass(frozen=True, slots=True)
class _Change:
    """One field to set, and where: the frontmatter, its entries, how values are to be written."""

    name: str
    field: Field | None
    data: object
    front: str
    entries: tuple[Entry, ...]
    flow: bool
    eol: str

    @property
    def careful(self) -> bool:
        return is_careful(self.field)

    @property
    def tall(self) -> bool:
        """Whether the list goes over lines: criteria are sentences."""
        return self.field is not None and self.field.kind is Kind.CRITERIA

    def lines(self, parts: list[str]) -> str:
        return "".join(part + self.eol for part in parts)


def splices(reading: Reading, name: str, value: object) -> list[Splice]:
    """What sets a frontmatter field to a typed value; None takes its key out.

    So does an empty tuple, but for `depends_on`, which other tools expect to find.
    """
    field, name = FIELDS.get(name), NAMESAKES.get(name, name)
    outline, parts = reading.outline, reading.parts
    data = data_of(field, value)
    change = _Change(name, field, data, parts.front, outline.entries, outline.flow, parts.eol)
    for index, found in enumerate(outline.entries):
        if name_of(found) == name:
            if value is None or (value == () and name != "depends_on"):
                return [_removal(change, index)]
            raw = reading.raw[found.key]
            whole = replace(change, data=with_unknown(data, raw)) if change.tall else change
            return [*_respelled(change, found), *_revalued(whole, found, raw)]
    return [_insertion(change)]


def _respelled(change: _Change, found: Entry) -> list[Splice]:
    """Our spelling for the key that everything else depends on."""
    if change.name != "depends_on" or found.key == "depends_on":
        return []
    return [(found.start, found.stop, "depends_on")]


def _removal(change: _Change, index: int) -> Splice:
    """Take a key out with its lines; between braces, with its comma."""
    found, front = change.entries[index], change.front
    if not change.flow:
        start = line_start(front, found.start)
        _check_blank(change, front[start : found.start])
        return start, line_end(front, found.value.end), ""
    if index + 1 < len(change.entries):
        start, end = found.start, change.entries[index + 1].start
    else:
        start, end = change.entries[index - 1].value.end if index else found.start, found.value.end
    if "#" in front[start:end]:
        refuse(change.name, "there may be a comment between the braces where it stands")
    return start, end, ""


def _check_blank(change: _Change, before: str) -> None:
    if before.strip(" "):
        refuse(change.name, "something else stands on the line of its key")


def _insertion(change: _Change) -> Splice:
    """A new key, behind the one that comes before it in the field table."""
    index = _predecessor(change)
    if change.flow:
        text = f"{scalar(change.name, flow=True)}: {inline(change.data, careful=change.careful, flow=True)}"
        if index is None:
            start = change.entries[0].start
            return start, start, text + ", "
        end = change.entries[index].value.end
        return end, end, ", " + text
    first = change.entries[0].start
    start = line_start(change.front, first)
    indent = change.front[start:first]
    _check_blank(change, indent)
    at = start if index is None else line_end(change.front, change.entries[index].value.end)
    lines = entry(change.name, change.data, indent, careful=change.careful, tall=change.tall)
    return at, at, change.lines(lines)


def _predecessor(change: _Change) -> int | None:
    """The entry behind which a missing key goes: the nearest before it in the table, else none."""
    if change.field is None:
        return len(change.entries) - 1
    present = {name_of(found): index for index, found in enumerate(change.entries)}
    order = list(FIELDS)
    before = order[: order.index(change.name)]
    return next((present[name] for name in reversed(before) if name in present), None)


# -- the value of a key that is there


def _revalued(change: _Change, found: Entry, raw: object) -> list[Splice]:
    node, data = found.value, change.data
    if node.shape == "text" and isinstance(data, str):
        return [_reworded(change, node, data)]
    if node.items and isinstance(data, list) and isinstance(raw, list) and data:
        splices = _relisted(change, node, raw, data)
        if splices is not None:
            return splices
    return _rewritten(change, found)


def _reworded(change: _Change, node: Node, text: str) -> Splice:
    """Another text in the place and the quotes of the old one."""
    word = scalar(text, node.style, flow=change.flow, careful=change.careful)
    if node.start == node.end:
        return node.start, node.end, " " + word
    if node.style == "|":
        word = literal(text, _indent(change.front, node), change.eol) or word
    return node.start, _content_end(change.front, node), word


def _indent(front: str, node: Node) -> str:
    """The indentation of a block scalar's lines; two spaces if it has none."""
    found = _CONTENT.search(front, node.start, node.end)
    return found[1] if found else "  "


def _content_end(front: str, node: Node) -> int:
    """The end of a value without the line end that belongs to a block scalar."""
    return node.start + len(front[node.start : node.end].rstrip("\r\n"))


def _rewritten(change: _Change, found: Entry) -> list[Splice]:
    """A value of another shape: behind the key, and on lines of its own below it if it needs them."""
    front, node = change.front, found.value
    colon = _COLON.match(front, found.stop)
    if colon is None:
        refuse(change.name, "its value does not follow its key")
    if change.flow or (node.style == "flow" and (node.items or not change.tall)):
        text = inline(change.data, careful=change.careful, flow=change.flow)
        return [(colon.end(), node.end, f" {text}")]
    indent = " " * (found.start - line_start(front, found.start))
    head, *below = entry("k", change.data, indent, careful=change.careful, tall=change.tall)
    text = head.removeprefix(f"{indent}k:")
    if node.style == "block":
        lines = (line_start(front, node.start), line_end(front, node.end), change.lines(below))
        return [(colon.end(), colon.end(), text), lines]
    at = line_end(front, node.end)
    return [(colon.end(), _content_end(front, node), text), (at, at, change.lines(below))]


def _relisted(change: _Change, node: Node, raw: list[object], data: list[object]) -> list[Splice] | None:
    """The splices of the items that differ, or None if the list is laid out in an unusual way."""
    old = [repr(item_value(change.field, part)) for part in raw]
    new = [repr(item_value(change.field, raw_of(part))) for part in data]
    every = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    steps = [step for step in every if step[0] != "equal"]
    if node.style == "flow":
        return [splice for step in steps for splice in _flow_step(change, node.items, step, data)]
    if all(_prefix(change.front, part) for part in node.items):
        return [splice for step in steps for splice in _block_step(change, node.items, step, data)]
    return None


def _flow_step(change: _Change, items: tuple[Node, ...], step: Step, data: list[object]) -> list[Splice]:
    """One difference between brackets: words in place, then those too many out or the missing in."""
    _, first, last, wanted, stop = step
    texts = [_flow_item(change, items[min(first, len(items) - 1)], part) for part in data[wanted:stop]]
    both = min(last - first, len(texts))
    splices = [
        (part.start, part.end, text) for part, text in zip(items[first:last], texts[:both], strict=False)
    ]
    if last - first > both:
        splices.append(_flow_removal(change.front, items, first + both, last))
    elif len(texts) > both and first + both:
        at = items[first + both - 1].end
        splices.append((at, at, "".join(f", {text}" for text in texts[both:])))
    elif len(texts) > both:
        at = items[0].start
        splices.append((at, at, "".join(f"{text}, " for text in texts)))
    return splices


def _flow_item(change: _Change, neighbour: Node, data: object) -> str:
    if isinstance(data, str):
        style = neighbour.style if neighbour.shape == "text" else ""
        return scalar(data, style, flow=True, careful=change.careful)
    return inline(data, careful=change.careful, flow=True)


def _flow_removal(front: str, items: tuple[Node, ...], first: int, last: int) -> Splice:
    """Take items out with one comma; a comment beside the item before them stays."""
    if last < len(items):
        return items[first].start, items[last].start, ""
    start, end = items[first - 1].end, items[last - 1].end
    if "#" not in front[start : items[first].start]:
        return start, end, ""
    found = _COMMA.match(front, end)
    return items[first].start, found.end() if found else end, ""


def _block_step(change: _Change, items: tuple[Node, ...], step: Step, data: list[object]) -> list[Splice]:
    """One difference between the lines of a list: the lines of other items are not touched."""
    _, first, last, wanted, stop = step
    front, parts = change.front, data[wanted:stop]
    both = min(last - first, len(parts))
    splices = [
        _block_item(change, old, part) for old, part in zip(items[first:last], parts[:both], strict=False)
    ]
    splices += [(*_block_lines(front, old), "") for old in items[first + both : last]]
    if len(parts) > both:
        at = first + both
        neighbour = items[max(at - 1, 0)]
        start, end = _block_lines(front, neighbour)
        place = end if at else start
        splices.append((place, place, "".join(_item_lines(change, neighbour, part) for part in parts[both:])))
    return splices


def _block_item(change: _Change, old: Node, data: object) -> Splice:
    if old.shape == "text" and isinstance(data, str) and old.start < old.end:
        word = scalar(data, old.style, careful=change.careful)
        return old.start, _content_end(change.front, old), word
    return (*_block_lines(change.front, old), _item_lines(change, old, data))


def _item_lines(change: _Change, neighbour: Node, data: object) -> str:
    """A new item's lines, indented as its neighbour is."""
    indent = _prefix(change.front, neighbour)
    style = neighbour.style if neighbour.shape == "text" else ""
    return change.lines(item(data, indent, style, careful=change.careful))


def _block_lines(front: str, node: Node) -> tuple[int, int]:
    return line_start(front, node.start), line_end(front, node.end)


def _prefix(front: str, node: Node) -> str:
    """An item's indentation and dash, with a space behind it; "" if more stands on its line."""
    before = front[line_start(front, node.start) : node.start]
    if not _DASH.fullmatch(before):
        return ""
    return before if before.endswith(" ") else before + " "
