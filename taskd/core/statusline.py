"""The status line of a document: seen without parsing where it is plain, and set in its place."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from taskd.core.document import edit, read
from taskd.core.fields import status_of
from taskd.core.task import Status
from taskd.errors import DocumentError, Uneditable

CACHED: Final = 16  # texts; the worktrees of one task are rendered one after the other

_OPENING: Final = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*(?:\r\n|\n|\r)")
_CLOSING: Final = re.compile(rb"(?<=[\r\n])(?:---|\.\.\.)[ \t]*(?![^\r\n])")
_STATUS_LINE: Final = re.compile(rb"status:[ \t]+([A-Za-z_-]+)[ \t]*(?:[ \t]#[^\r\n]*)?[\r\n]+")
#: a line behind which no quote or bracket is open: what follows at its beginning is a key
_SURE_LINE: Final = re.compile(
    rb"""[ \t]*+(?:-[ \t]++)*+(?:[\w.-]++:(?:[ \t]++|(?=[\r\n])))?
    (?: "[^"\\\r\n]*" | '[^'\r\n]*' | \{[^][{}"'\r\n]*\}
      | \[ (?: [ \t]*+ (?: "[^"\\\r\n]*"[ \t]*+ | '[^'\r\n]*'[ \t]*+ | [^][{}"',\r\n]*+ ) (?:,|(?=\])) )*+ \]
      | [^][{}"'\s\#] (?: [^][{}"'\r\n] | (?<=\w)' )*+ )?
    [ \t]*+(?:\#[^\r\n]*)?[\r\n]*""",
    re.VERBOSE,
)


@lru_cache(maxsize=CACHED)
def with_status(text: bytes, status: Status) -> bytes:
    """A document that says this status, by its own edit where it is not plain to see.

    As it is if it says so already (absent means pending), or if it cannot be read or edited.
    """
    found = _plain_status(text)
    if found is not None:
        start, end, shown = found
        if shown is status:
            return text
        if end:
            return text[:start] + status.value.encode() + text[end:]
    try:
        document = read(text)
        if document is None or document.runtime.get("status", Status.PENDING) == status:
            return text
        return edit(text, "status", status.value)
    except (DocumentError, Uneditable):
        return text


def _plain_status(text: bytes) -> tuple[int, int, Status] | None:
    """Where a document has its status (0, 0: nowhere) and which; None: it takes parsing to tell.

    Nearly every document has it on one plain line or nowhere, and rendering ten thousand of them is
    spared the parsing.
    """
    opening = _OPENING.match(text)
    closing = _CLOSING.search(text, opening.end()) if opening else None
    if opening is None or closing is None:
        return None
    start, front = opening.end(), text[opening.end() : closing.start()]
    if b"status" not in front and b"\\" not in front:  # an escape could spell it
        return 0, 0, Status.PENDING
    for line in front.splitlines(keepends=True):
        found = _STATUS_LINE.fullmatch(line)
        if found:
            shown = status_of(found[1].decode())
            goes_on = text[start + len(line) : start + len(line) + 1].isspace()
            return (start + found.start(1), start + found.end(1), shown) if shown and not goes_on else None
        if not _SURE_LINE.fullmatch(line):
            return None
        start += len(line)
    return None
