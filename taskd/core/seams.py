"""Line merges in which one key's lines never collide with the next key's.

To a merge by lines, a change on one line and another on the line below it are one place. In a frontmatter
they are two fields. So seams, lines that name the key, are put before and behind each key of all three
texts: they stand between the changes, and are taken out of the result.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from taskd.core.guard import line_end, line_start
from taskd.core.merge import LineMerger
from taskd.core.reading import Reading, name_of

#: no document has a control character in it
_SEAM: Final = re.compile(rb"\x01[^\n]*\n")


def with_seams(merger: LineMerger, readings: Collection[Reading]) -> LineMerger:
    """The merger, with seams in the texts of `readings`; other texts are merged as they are."""
    sewn = {reading.document.text: _sewn(reading) for reading in readings}

    def merge(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
        merged, clean = merger(sewn.get(base, base), sewn.get(ours, ours), sewn.get(theirs, theirs))
        return _SEAM.sub(b"", merged), clean

    return merge


def _sewn(reading: Reading) -> bytes:
    """A document with its seams; between braces keys have no lines of their own."""
    parts, outline = reading.parts, reading.outline
    if outline.flow:
        return reading.document.text
    pieces, done = list[str](), 0
    for entry in outline.entries:
        name, start = name_of(entry), line_start(parts.front, entry.start)
        end = line_end(parts.front, entry.value.end)
        pieces += [parts.front[done:start], f"\x01{name}\n", parts.front[start:end], f"\x01/{name}\n"]
        done = end
    return replace(parts, front="".join((*pieces, parts.front[done:]))).joined()
