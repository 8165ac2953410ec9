"""The rendered part of a document: what taskd shows at the end of a body and never reads back.

It stands between two marker lines. Whether the document had a last newline before is told by
whether one follows the end marker, so that taking the part out gives the original bytes.
"""

from __future__ import annotations

import re
from typing import Final

from taskd.core.guard import CONTROL

BEGIN: Final = "<!-- taskd: begin, rendered; edits here are not kept -->"
END: Final = "<!-- taskd: end -->"

_MARKER: Final = re.compile(
    rf"(?<=[\r\n])(?:(?P<begin>{re.escape(BEGIN)})|{re.escape(END)})[ \t]*(?P<eol>\r\n|\n|\r|\Z)",
)
_LAST_EOL: Final = re.compile(r"(?:\r\n|\n|\r)\Z")
_EOL: Final = re.compile(r"\r\n|\n|\r")
#: lines that would be taken for our markers or for git's
_LOADED: Final = re.compile(r"(?m)^(?=<!-- taskd: |(?:<{7}|={7}|>{7}|\|{7})(?: |$))")


def detach(tail: str) -> tuple[str, str]:
    r"""A tail (the closing line's end and the body) without its rendered part, and that part.

    The part is given without the line end behind its end marker, "" if there is none. A marker
    without its partner is text like any other.
    """
    if BEGIN not in tail:
        return tail, ""
    kept, done, part = "", 0, ""
    for start, end, closed in _regions(tail):
        kept += tail[done:start]
        part = tail[start:end].rstrip(" \t\r\n")
        if not closed:
            kept = _LAST_EOL.sub("", kept)
        done = end
    return kept + tail[done:], part


def attach(tail: str, part: str, eol: str) -> str:
    """A tail with a rendered part (`""` for none) at its end; `detach` takes it out again."""
    if not part:
        return tail
    return f"{tail}{part}{eol}" if _LAST_EOL.search(tail) else f"{tail}{eol}{part}"


def framed(sections: str, eol: str) -> str:
    """Markdown between the marker lines, in the newline style given; "" stays "".

    Notes are other people's words: a line of theirs that looks like a marker gets a backslash, a
    control character becomes U+FFFD, so that the document stays readable for taskd.
    """
    if not sections:
        return ""
    text = _LOADED.sub(r"\\", CONTROL.sub("\ufffd", _EOL.sub("\n", sections)))
    return _EOL.sub(eol, f"{BEGIN}\n{text.removesuffix(chr(10))}\n{END}")


def _regions(tail: str) -> list[tuple[int, int, bool]]:
    """Start and end of each rendered part, outermost only, and whether a line end follows it."""
    open_at: list[int] = []
    regions: list[tuple[int, int, bool]] = []
    for marker in _MARKER.finditer(tail):
        if marker["begin"]:
            open_at.append(marker.start())
        elif open_at:
            start = open_at.pop()
            while regions and regions[-1][0] > start:
                regions.pop()
            regions.append((start, marker.end(), bool(marker["eol"])))
    return regions
