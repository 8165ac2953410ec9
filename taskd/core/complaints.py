"""What YAML complains about, in words for people who never read its specification.

The parser says where it gave up and what it hoped for; a person wants the line to look at and what
to change there. Nothing said here ever asks anybody to throw something away.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from taskd.core.guard import Parts
from taskd.errors import DocumentError

BY_HAND: Final = "correct this line by hand"

#: a part of YAML's complaint, ours, what mends it; the first that fits counts
_PLAIN_WORDS: Final = (
    ("tab character", "a tab where YAML wants spaces", "indent with spaces"),
    ("mapping values are not allowed", "a second `: ` in an unquoted value", "put the value in quotes"),
    ("cannot start any token", "an unquoted value begins with `%s`", "put the value in quotes"),
    ("unexpected end of stream", "a quote is opened here and never closed", "close the quote"),
    ("',' or ']'", "a list is opened here with [ and not closed", "close it with ]"),
    ("',' or '}'", "a mapping is opened here with { and not closed", "close it with }"),
    ("expected ':'", "a line that is no `key: value`", "write it as `key: value`, or below the closing ---"),
    ("expected key", "text follows a closed value, or the indentation is wrong", "quote the whole value"),
    ("node content", "an unquoted value begins with `%s`", "put the value in quotes"),
    ("escape", "a backslash in a double-quoted text means nothing to YAML", "double the backslash"),
    ("", "YAML cannot read it", BY_HAND),
)
#: complaints that come at the end of what is wrong; its beginning is what a person looks for
_LATE: Final = ("end of stream", "',' or", "expected ':'")


def explained(parts: Parts, error: yaml.YAMLError) -> DocumentError:
    """YAML's error in plain words, on the line where the trouble begins."""
    problem = str(getattr(error, "problem", error))
    late = any(word in problem for word in _LATE)
    mark: Any = getattr(error, "context_mark" if late else "problem_mark", None)
    offset = mark.index if mark else 0
    char = parts.front[offset : offset + 1]
    if char == "\t":
        problem = "tab character"
    reason, remedy = next(words for part, *words in _PLAIN_WORDS if part in problem)
    return DocumentError(reason.replace("%s", char), parts.line(offset), remedy)
