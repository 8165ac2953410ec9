"""What stands between a file's bytes and YAML: encoding, size, markers, and where the parts begin.

Three facts hold for every document that passes:

1. it is valid UTF-8 without control characters, so that it can be stored, shown and written again;
2. its parts joined are its bytes again, whatever the line ends, byte order mark or last newline;
3. no unsettled merge stands in it, so that half of somebody's work is not taken for the whole.

Splitting is done here and not by a library: frontmatter libraries find no metadata behind a byte
order mark, and normalise line ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from taskd.errors import DocumentError, NotYet

SIZE_LIMIT: Final = 1 << 20  # bytes; a larger task file is a dump, and is not merged line by line
FRONTMATTER_LIMIT: Final = 64 << 10  # bytes; YAML of this size still parses in milliseconds

_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff", b"-\x00-\x00-\x00", b"\x00-\x00-\x00-")
_OPENING: Final = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*(?:\r\n|\n|\r|\Z)")
_TORN: Final = re.compile(rb"(?:\xef\xbb\xbf)?<{7}(?=[ \r\n])")
_CLOSING: Final = re.compile(r"(?<=[\r\n])(?:---|\.\.\.)[ \t]*(?![^\r\n])")
_EOL: Final = re.compile(r"\r\n|\n|\r")
#: C0 without tab and line ends, and DEL: no text file means them, and stores and terminals choke on them
CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
#: what YAML takes for a line end or refuses, and no editor shows
_UNSEEN: Final = re.compile("[\x80-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_CONFLICT: Final = re.compile(r"(?<![^\r\n])(?:<{7}|={7}|>{7}|\|{7})(?![^ \r\n])")
_OURS: Final = re.compile(r"(?<![^\r\n])<{7}(?![^ \r\n])")
_THEIRS: Final = re.compile(r"(?<![^\r\n])>{7}(?![^ \r\n])")

_SAVE_UTF8: Final = "save the file as UTF-8 in your editor"


@dataclass(frozen=True, slots=True)
class Parts:
    """A document taken apart; the five parts joined are the document."""

    #: the byte order mark or ""
    bom: str
    #: the opening line with its end
    head: str
    #: the YAML between the marks, whole lines
    front: str
    #: the closing line without its end
    foot: str
    #: what follows: "", or the closing line's end and the body
    tail: str

    @property
    def eol(self) -> str:
        r"""The file's newline style, that of its first line: `\n`, `\r\n` or `\r`."""
        return self.head.lstrip("- \t")

    def joined(self) -> bytes:
        """The document's bytes. UnicodeEncodeError if a lone surrogate was put into a part."""
        return f"{self.bom}{self.head}{self.front}{self.foot}{self.tail}".encode()

    def line(self, offset: int) -> int:
        """The line of the file (1 is the first) in which a character of `front` stands."""
        return 2 + line_count(self.front[:offset])


def line_count(text: str) -> int:
    """How many line ends a text has, of whatever kind."""
    return len(_EOL.findall(text))


def line_start(text: str, offset: int) -> int:
    """Where the line begins that the character at `offset` stands in."""
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def line_end(text: str, offset: int) -> int:
    """Where the next line begins; `offset` itself if a line has just ended there."""
    if offset and text[offset - 1] in "\r\n":
        return offset
    found = _EOL.search(text, offset)
    return found.end() if found else len(text)


def split(text: bytes) -> Parts | None:
    """Take a document apart, or None if it has no frontmatter and so is no task.

    DocumentError for what can never be read, NotYet for what looks half-written.
    """
    _check_start(text)
    if not _OPENING.match(text):
        return None
    if len(text) > SIZE_LIMIT:
        _refuse(f"the file is larger than {SIZE_LIMIT >> 20} MiB", 1, "keep the long part elsewhere")
    return _parted(_decoded(text))


def _check_start(text: bytes) -> None:
    """Refuse what shows in the first bytes, before anything is decoded."""
    if not text.strip() or _BOM.startswith(text) or b"---".startswith(text.removeprefix(_BOM)):
        reason = "the file is empty" if not text.strip() else "the file ends within its first line"
        raise NotYet(reason, 1, "save it again; the task's last good state is kept")
    if text.startswith(_UTF16):
        _refuse("the file is encoded as UTF-16", 1, _SAVE_UTF8)
    if _TORN.match(text):
        _refuse_torn(1)


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = 1 + line_count(text[: error.start].decode())
        if error.reason == "unexpected end of data":
            reason = "the file ends in the middle of a character"
            raise NotYet(reason, line, f"save it again; if it is complete, {_SAVE_UTF8}") from None
        reason = f"byte 0x{text[error.start]:02x} is not UTF-8"
        _refuse(reason, line, _SAVE_UTF8)


def _parted(text: str) -> Parts:
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    start = line_end(text, len(bom))
    closing = _CLOSING.search(text, start)
    if closing is None:
        _check_torn(text, text)
        reason = "the frontmatter is not closed: no line `---` follows the first one"
        raise NotYet(reason, 1, "add a line `---` behind the last key, or save the file again")
    head, front = text[len(bom) : start], text[start : closing.start()]
    parts = Parts(bom, head, front, closing[0], text[closing.end() :])
    _check_text(text, parts)
    return parts


def _check_text(text: str, parts: Parts) -> None:
    if found := _CONFLICT.search(parts.front):
        _refuse_torn(parts.line(found.start()))
    _check_torn(text, parts.tail)
    if found := CONTROL.search(text):
        line = 1 + line_count(text[: found.start()])
        _refuse(f"a control character (U+{ord(found[0]):04X})", line, "delete that character")
    if found := _UNSEEN.search(parts.front):
        reason = f"an invisible character (U+{ord(found[0]):04X}) in the frontmatter"
        _refuse(reason, parts.line(found.start()), "delete that character, or retype the line")
    if len(parts.front.encode()) > FRONTMATTER_LIMIT:
        reason = f"the frontmatter is larger than {FRONTMATTER_LIMIT >> 10} KiB"
        _refuse(reason, 1, "move long texts from the frontmatter to the body")


def _check_torn(text: str, tail: str) -> None:
    """Look for an unsettled merge in `tail`, the end of `text`.

    A lone `=======` underlines a heading in markdown, so only the outer markers together count.
    """
    ours = _OURS.search(tail)
    if ours and _THEIRS.search(tail, ours.end()):
        _refuse_torn(1 + line_count(text[: len(text) - len(tail) + ours.start()]))


def _refuse_torn(line: int) -> NoReturn:
    reason = "a merge conflict is not settled: conflict markers begin here"
    _refuse(reason, line, "choose the lines to keep, delete the marker lines and save")


def _refuse(reason: str, line: int, remedy: str) -> NoReturn:
    raise DocumentError(reason, line, remedy)
