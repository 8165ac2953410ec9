"""The block of runtime fields at the end of a complete text's frontmatter: put in, and taken out again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from taskd.core.change import plain
from taskd.core.claims import as_told
from taskd.core.document import edit_all, read
from taskd.core.guard import CONTROL, Parts, split
from taskd.core.task import Status, Task
from taskd.errors import DocumentError, Uneditable

#: first line of the block
RUNTIME_MARK: Final = "# taskd: kept by the index; edits of the lines below are not taken"
VALUE_LIMIT: Final = 2000  # characters of one text in the block; it is there to look at, the index has all
CERTAIN: Final = 16 << 10  # characters; a longer frontmatter may meet a limit of reading with our lines

#: runtime fields of the block, in this order; status stands where its author put it
BLOCK_FIELDS: Final = (
    "reason",
    "started",
    "completed",
    "claim",
    "progress",
    "completion_summary",
    "actual_hours",
    "merge",
)

_NAMES: Final = "|".join((*BLOCK_FIELDS, "blocked_by"))
_OURS: Final = re.compile(rf"(?:{_NAMES})[ \t]*:(?!\S)")
#: a key that may be one of the block's; an escape or a `?` could hide one
_SUSPECT: Final = re.compile(rf"\b(?:{_NAMES})\b[\"']?[ \t]*:|\\|(?<![^\r\n])[ \t]*\?")
#: the indentation of the first key, and how it begins
_FIRST_KEY: Final = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?[\r\n])*([ \t]*)(\S)")
#: what JSON leaves as it is and documents cannot hold: YAML's own line ends, marks nobody sees
_UNSEEN: Final = re.compile("[\x80-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_UNSHOWABLE: Final = re.compile(f"{CONTROL.pattern}|[\ud800-\udfff]")


def parts_of(text: bytes) -> Parts | None:
    """A document taken apart; None for what is none."""
    try:
        return split(text)
    except DocumentError:
        return None


def without_block(front: str) -> str:
    """The frontmatter without the mark and, below it, the entries of the block's names."""
    kept, indent, below, ours = list[str](), "", False, False
    for line in front.splitlines(keepends=True):
        if line.strip() == RUNTIME_MARK:
            below, ours, indent = True, False, line[: -len(line.lstrip())]
            continue
        rest = line.removeprefix(indent)
        ours = below and (bool(_OURS.match(rest)) or (ours and rest[0] in " \t-\r\n"))
        if not ours:
            kept.append(line)
    return "".join(kept)


def block_lines(task: Task, blocked_by: Sequence[str]) -> list[str]:
    """The block's lines without its mark: one `name: value` for each runtime field that has one.

    A claim is shown without token and end, so that renewing it is no news.
    """
    values = {name: plain(getattr(task, name)) for name in BLOCK_FIELDS}
    if task.claim is not None:
        told = _items(plain(as_told(task.claim)))
        values["claim"] = {key: value for key, value in told if key not in ("token", "expires")}
    if task.status is Status.PENDING and blocked_by:
        values["blocked_by"] = list(blocked_by)
    return [f"{name}: {_inline(value)}" for name, value in values.items() if value is not None]


def _items(value: object) -> Iterable[tuple[str, object]]:
    return value.items() if isinstance(value, Mapping) else ()


def _inline(value: object) -> str:
    """A value on one line: JSON, which is YAML's flow style but for characters that are escaped here."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(_shown(value), ensure_ascii=False))


def _shown(value: object) -> object:
    """A value as a document can show it: texts cut at their limit, control characters replaced."""
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, str):
        return showable(value if len(value) <= VALUE_LIMIT else value[: VALUE_LIMIT - 1] + "…")
    return value


def showable(text: str) -> str:
    """A text that a document can hold: control characters and lone surrogates become U+FFFD."""
    return _UNSHOWABLE.sub("\ufffd", text)


def with_block(text: bytes, lines: Sequence[str]) -> bytes:
    """The text with the lines as the last of its frontmatter, in place of keys of the same names.

    As it is where that cannot be: between braces there are no lines, and reading has its limits.
    """
    parts = parts_of(text) if lines else None
    if parts is None:
        return text
    suspect = _SUSPECT.search(parts.front) is not None
    bare = _without_keys(text, lines) if suspect else parts
    key = _FIRST_KEY.match(bare.front) if bare else None
    if bare is None or key is None or key[2] in "{!":
        return text
    block = "".join(f"{key[1]}{line}{bare.eol}" for line in (RUNTIME_MARK, *lines))
    whole = replace(bare, front=bare.front + block)
    certain = len(whole.front) <= CERTAIN and not suspect
    return whole.joined() if certain or _is_readable(whole.joined()) else text


def can_show(text: bytes) -> bool:
    """Whether a document has room for a block: without one, it says then that there is nothing to show."""
    parts = parts_of(text)
    key = _FIRST_KEY.match(parts.front) if parts else None
    return parts is not None and key is not None and key[2] not in "{!" and len(parts.front) <= CERTAIN


def _without_keys(text: bytes, lines: Sequence[str]) -> Parts | None:
    """The document without runtime keys that its author wrote, where ours are to stand."""
    try:
        return parts_of(edit_all(text, {line.partition(":")[0]: None for line in lines}))
    except Uneditable:
        return None


def _is_readable(text: bytes) -> bool:
    try:
        return read(text) is not None
    except DocumentError:
        return False
