"""The frontmatter's shape, taken from YAML's events before anything is loaded.

Loading is recursive and merges silently: fifty thousand brackets end the process, an alias of
aliases fills the memory, a second key of the same name wins without a word. Events are flat and
carry their places, so one pass over them refuses all of that with its line, and keeps where each
key and value stands for whoever edits the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import yaml

from taskd.core.complaints import BY_HAND, explained
from taskd.core.fields import KEYS, Kind
from taskd.core.guard import CONTROL, Parts, line_end
from taskd.errors import DocumentError

DEPTH_LIMIT: Final = 20  # levels; nobody writes more by hand, and loading recurses
NODE_LIMIT: Final = 5000  # values and keys; five lists at their own limit

#: PyYAML's types say an event may lack its marks; those that its parsers make never do
Event = Any

#: every scalar comes out as the string that was written; the C parser when PyYAML was built with it
LOADER: Final[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

_PLAIN_TAGS: Final = {None, *(f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))}
_TEXT_KEYS: Final = "|".join(key for key, field in KEYS.items() if field.kind is Kind.TEXT)
_TEXT_LINE: Final = re.compile(rf"(?<![^\r\n])(?P<key>{_TEXT_KEYS})[ \t]*:[ \t]+(?=[^\s#])(?P<rest>[^\r\n]*)")
_COMMENT: Final = re.compile(r"(?<=[ \t])#")
_CONTINUED: Final = re.compile(r"[ \t]+[^\s#]")
#: a block scalar's header that keeps blank lines, or says the indentation itself
_KEEPS: Final = re.compile(r"[+0-9]")


@dataclass(frozen=True, slots=True)
class Node:
    """Where a value stands: offsets into the frontmatter, first character and behind the last.

    `shape` is `text`, `list` or `map`; `style` how it is written: `""` plain, `'`, `"`, `|`, `>`
    for a text, `flow` or `block` for the others. `items` are those of a list right under a key.
    """

    start: int
    end: int
    shape: str
    style: str
    items: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One top-level key, where it stands, and its value."""

    key: str
    start: int
    stop: int
    value: Node


@dataclass(frozen=True, slots=True)
class Outline:
    """The entries in the order of the file.

    `yaml` is what may safely be loaded. It has the length of the frontmatter; the values of
    `mended` keys (free text that YAML cannot scan, as it should be read) are filled with letters.
    """

    yaml: str
    entries: tuple[Entry, ...]
    flow: bool
    mended: Mapping[str, str]


def outlined(parts: Parts) -> Outline:
    """The frontmatter's outline. DocumentError for what must not or cannot be loaded."""
    try:
        return _scanned(parts, parts.front, {})
    except yaml.YAMLError as error:
        front, mended = _mended(parts.front)
        if not mended:
            raise explained(parts, error) from None
    try:
        return _scanned(parts, front, mended)
    except yaml.YAMLError as error:
        raise explained(parts, error) from None


def _scanned(parts: Parts, front: str, mended: Mapping[str, str]) -> Outline:
    scan = _Scan(parts)
    for event in yaml.parse(front, Loader=LOADER):
        scan.take(event)
    return Outline(front, tuple(scan.entries), scan.flow, mended)


class _Frame:
    """A list or mapping that is still open; `keys` is None for a list."""

    __slots__ = ("items", "key", "keys", "start", "style")

    def __init__(self, event: Event, keys: set[str] | None) -> None:
        self.start: int = event.start_mark.index
        self.style = "flow" if event.flow_style else "block"
        self.keys = keys
        self.key: tuple[str, int, int] | None = None
        self.items: list[Node] = []


class _Scan:
    """The frames open at this event, and what was found so far."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.frames: list[_Frame] = []
        self.entries: list[Entry] = []
        self.flow = False
        self.nodes = 0
        self.documents = 0
        #: behind the last character that was not space or comment: where a block ends
        self.end = 0

    def take(self, event: Event) -> None:
        """Let one event pass, or raise DocumentError."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def document(self, event: Event) -> None:
        """The beginning of a YAML document: one is enough."""
        self.documents += 1
        if self.documents > 1:
            self.refuse("a second YAML document begins here", event, "keep one frontmatter a file")

    def alias(self, event: Event) -> None:
        """An alias: refused, for a few of them stand for gigabytes."""
        self.refuse(_ALIASED, event, _ALIAS_REMEDY)

    def scalar(self, event: Event) -> None:
        """A key or a value."""
        self.admit(event)
        if event.style == '"' and (found := CONTROL.search(event.value)):
            reason = f"a control character (U+{ord(found[0]):04X}) written as an escape"
            self.refuse(reason, event, "delete that escape")
        if not self.frames:
            self.refuse("the frontmatter is a text, not keys and values", event, BY_HAND)
        frame = self.frames[-1]
        if frame.keys is not None and frame.key is None:
            self.open_key(frame, frame.keys, event)
        else:
            start, end = event.start_mark.index, event.end_mark.index
            if event.style in _BLOCK_STYLES:
                end = self.trimmed(start, end)
            self.close_value(Node(start, end, "text", event.style or ""))

    def trimmed(self, start: int, end: int) -> int:
        """The end of a block scalar without the blank lines behind it, unless they are its text."""
        lines = self.parts.front[start:end].splitlines(keepends=True)
        if _KEEPS.search(lines[0]):
            return end
        indent = next((len(line) - len(line.lstrip(" ")) for line in lines[1:] if line.strip()), 0)
        while not lines[-1].strip() and len(lines[-1].rstrip("\r\n")) <= indent:
            end -= len(lines.pop())
        return end

    def open_key(self, frame: _Frame, keys: set[str], event: Event) -> None:
        """A key; what follows is its value."""
        if not event.value:
            self.refuse("a key without a name", event, BY_HAND)
        if event.value in keys:
            reason = f"the key {event.value!r} stands here a second time"
            self.refuse(reason, event, "keep one of the two lines")
        keys.add(event.value)
        frame.key = (event.value, event.start_mark.index, event.end_mark.index)

    def open_list(self, event: Event) -> None:
        """The beginning of a list."""
        if not self.frames:
            self.refuse("the frontmatter is a list, not keys and values", event, BY_HAND)
        self.open_frame(event, None)

    def open_map(self, event: Event) -> None:
        """The beginning of a mapping."""
        self.open_frame(event, set())

    def open_frame(self, event: Event, keys: set[str] | None) -> None:
        """The beginning of either."""
        self.admit(event)
        if self.frames and self.frames[-1].keys is not None and self.frames[-1].key is None:
            self.refuse("a key that is itself a list or mapping", event, "use plain words as keys")
        if len(self.frames) == DEPTH_LIMIT:
            reason = f"more than {DEPTH_LIMIT} levels of nesting"
            self.refuse(reason, event, "move the structure to the body, or to a file of its own")
        self.frames.append(_Frame(event, keys))

    def close_frame(self, event: Event) -> None:
        """The end of a list or mapping."""
        frame = self.frames.pop()
        flow = frame.style == "flow"
        end = event.end_mark.index if flow else max(self.end, frame.start)
        if not self.frames:
            self.flow = flow
            return
        shape = "list" if frame.keys is None else "map"
        self.close_value(Node(frame.start, end, shape, frame.style, tuple(frame.items)))

    def close_value(self, node: Node) -> None:
        """A value is complete: it is its key's, or one more item of its list."""
        self.end = node.end
        frame = self.frames[-1]
        if frame.key is not None:
            if len(self.frames) == 1:
                self.entries.append(Entry(*frame.key, node))
            frame.key = None
        elif len(self.frames) == _ITEM_LEVEL:
            frame.items.append(node)

    def admit(self, event: Event) -> None:
        """Count a node, and refuse what makes it more than plain data."""
        self.nodes += 1
        if self.nodes > NODE_LIMIT:
            reason = f"more than {NODE_LIMIT} values in the frontmatter"
            self.refuse(reason, event, "move the long list to the body, or to a file of its own")
        if event.anchor is not None:
            self.refuse(_ALIASED, event, _ALIAS_REMEDY)
        if event.tag not in _PLAIN_TAGS:
            self.refuse(f"the YAML tag {event.tag}", event, "write the value without !, or quote it")

    def refuse(self, reason: str, event: Event, remedy: str) -> NoReturn:
        """Stop at an event."""
        raise DocumentError(reason, self.parts.line(event.start_mark.index), remedy)


_ITEM_LEVEL: Final = 2  # open frames when a list right under a top-level key takes an item
_BLOCK_STYLES: Final = ("|", ">")
_ALIASED: Final = "YAML anchors and aliases (& and *) are not taken"
_ALIAS_REMEDY: Final = "write the value out, or quote it if the & or * belongs to a text"
_HANDLERS: Final[Mapping[type, Callable[[_Scan, Event], None]]] = {
    yaml.DocumentStartEvent: _Scan.document,
    yaml.AliasEvent: _Scan.alias,
    yaml.ScalarEvent: _Scan.scalar,
    yaml.SequenceStartEvent: _Scan.open_list,
    yaml.MappingStartEvent: _Scan.open_map,
    yaml.SequenceEndEvent: _Scan.close_frame,
    yaml.MappingEndEvent: _Scan.close_frame,
}


def _mended(front: str) -> tuple[str, dict[str, str]]:
    """The frontmatter with letters in place of free texts that YAML cannot scan, and those texts.

    `name: fix: bug` and `assignee: @bob` are what people and agents write all the time. Only a
    single line counts, and only when that line by itself cannot be scanned.
    """
    texts: dict[str, str] = {}
    for line in _TEXT_LINE.finditer(front):
        text = _COMMENT.split(line["rest"], maxsplit=1)[0].rstrip()
        if _is_single(front, line.end(), text) and not _scans(text):
            texts[line["key"]] = text
            start = line.start("rest")
            front = front[:start] + "x" * len(text) + front[start + len(text) :]
    return front, texts


def _is_single(front: str, end: int, text: str) -> bool:
    """Whether the text ends on its line: no quote left open, no indented line below."""
    if text[0] in "\"'" and text.count(text[0]) == 1:
        return False
    return not _CONTINUED.match(front, line_end(front, end))


def _scans(text: str) -> bool:
    try:
        for _ in yaml.parse(f"k: {text}", Loader=LOADER):
            pass
    except yaml.YAMLError:
        return False
    return True
