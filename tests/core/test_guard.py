"""Bytes that are no document, not yet one, or never will be."""

from __future__ import annotations

import pytest

from taskd.core.guard import FRONTMATTER_LIMIT, SIZE_LIMIT, split
from taskd.errors import DocumentError, NotYet


def _refusal(text: bytes) -> tuple[int, str]:
    with pytest.raises(DocumentError) as caught:
        split(text)
    assert type(caught.value) is DocumentError
    assert caught.value.remedy
    return caught.value.line, caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        b"---\nid: a\n---\nbody\n",
        b"---  \r\nid: a\r\n---\t\r\nbody\r\n\r\n",
        b"---\rid: a\r---\rbody",
        b"\xef\xbb\xbf---\nid: a\n---",
        b"---\nid: a\r\n...\n---\nmore\n---\n",
        b"---\n---\n",
    ],
)
def test_a_split_document_joins_to_its_bytes(text: bytes) -> None:
    """Whatever the line ends, byte order mark or last newline, nothing is lost in between."""
    parts = split(text)

    assert parts is not None
    assert parts.joined() == text


def test_a_body_may_itself_begin_with_three_dashes() -> None:
    """Only the first closing line ends the frontmatter; the rest is the body's own."""
    parts = split(b"---\nid: a\n---\n---\nid: b\n---\n")

    assert parts is not None
    assert (parts.front, parts.tail) == ("id: a\n", "\n---\nid: b\n---\n")


@pytest.mark.parametrize(
    ("text", "eol"), [(b"---\n---\n", "\n"), (b"--- \r\n---", "\r\n"), (b"---\r---", "\r")]
)
def test_the_newline_style_is_that_of_the_first_line(text: bytes, eol: str) -> None:
    """New lines are written as the file's first one is."""
    parts = split(text)

    assert parts is not None
    assert parts.eol == eol


@pytest.mark.parametrize(
    "text",
    [
        b"# Tasks\n",
        b"----\nid: a\n----\n",
        b"\n---\nid: a\n---\n",
        b"caf\xe9\n",
        b"--- a\n---\n",
        b"\x89PNG\x00",
    ],
)
def test_a_file_without_frontmatter_is_no_task(text: bytes) -> None:
    """A README, a picture or a horizontal rule in whatever encoding is nobody's problem."""
    assert split(text) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", 1),
        (b" \n\n", 1),
        (b"-", 1),
        (b"--", 1),
        (b"---", 1),
        (b"\xef\xbb", 1),
        (b"\xef\xbb\xbf-", 1),
        (b"---\n", 1),
        (b"---\nid: a\nname: b", 1),
        (b"---\nid: a\n--", 1),
        (b"---\nid: a\nname: caf\xc3", 3),
    ],
)
def test_a_half_written_file_is_not_yet_a_document(text: bytes, line: int) -> None:
    """An editor that truncates and then writes is waited for, not believed."""
    with pytest.raises(NotYet) as caught:
        split(text)

    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"---\nid: a\nname: caf\xe9 noir\n---\n", 3),
        (b"---\r\nid: a\r\n---\r\n\r\nbody \xff\r\n", 5),
        (b"---\rid: a\r---\r\xc0\r", 4),
    ],
)
def test_a_byte_that_is_not_utf8_is_found_on_its_line(text: bytes, line: int) -> None:
    """The person who saved Latin-1 is told which line to look at."""
    assert _refusal(text) == (line, f"byte 0x{max(text):02x} is not UTF-8")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_told_by_name(encoding: str) -> None:
    """With or without its mark, UTF-16 is not mistaken for a file that is no task."""
    assert _refusal("---\nid: a\n---\n".encode(encoding)) == (1, "the file is encoded as UTF-16")


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    """A dump with a task's frontmatter costs no time."""
    text = b"---\nid: a\n---\n" + b"x" * SIZE_LIMIT

    assert _refusal(text) == (1, "the file is larger than 1 MiB")


def test_a_huge_frontmatter_is_refused() -> None:
    """64 KiB of YAML parse in milliseconds, more does not have to."""
    text = b"---\nid: a\nx: " + b"y" * FRONTMATTER_LIMIT + b"\n---\n"

    assert _refusal(text) == (1, "the frontmatter is larger than 64 KiB")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"<<<<<<< HEAD\n---\nid: a\n=======\n---\nid: b\n>>>>>>> x\n---\n", 1),
        (b"---\nid: a\n<<<<<<< HEAD\nrisk: low\n=======\nrisk: high\n>>>>>>> x\n---\n", 3),
        (b"---\r\nid: a\r\n=======\r\n---\r\n", 3),
        (b"---\nid: a\n||||||| base\n---\n", 3),
        (b"---\nid: a\n---\nx\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n", 5),
        (b"---\rid: a\r---\rx\r<<<<<<<\ra\r=======\rb\r>>>>>>>\r", 5),
        (b"---\nid: a\n<<<<<<< HEAD\n=======\n>>>>>>> x\n", 3),
    ],
)
def test_an_unsettled_merge_is_found_on_its_first_marker(text: bytes, line: int) -> None:
    """Half of somebody's work is never taken for the whole."""
    assert _refusal(text) == (line, "a merge conflict is not settled: conflict markers begin here")


@pytest.mark.parametrize(
    "body",
    [
        b"Title\n=======\ntext\n",
        b"<<<<<<< only\n",
        b">>>>>>> x\n<<<<<<< y\n",
        b"x <<<<<<< a\n>>>>>>> b\n",
        b"<<<<<<<<\n>>>>>>>>\n",
    ],
)
def test_markdown_that_resembles_a_marker_is_fine(body: bytes) -> None:
    """A heading underlined with seven equals signs is a heading."""
    assert split(b"---\nid: a\n---\n" + body) is not None


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"---\nid: a\nname: x\x00\n---\n", 3, "a control character (U+0000)"),
        (b"---\nid: a\n---\n\nred \x1b[31m\n", 5, "a control character (U+001B)"),
        (b"---\nid: a\x7f\n---\n", 2, "a control character (U+007F)"),
        (
            "---\nid: a\nname: b\u2028c\n---\n".encode(),
            3,
            "an invisible character (U+2028) in the frontmatter",
        ),
        ("---\n\ufeffid: a\n---\n".encode(), 2, "an invisible character (U+FEFF) in the frontmatter"),
        ("---\nid: a\nx: \x85\n---\n".encode(), 3, "an invisible character (U+0085) in the frontmatter"),
    ],
)
def test_a_character_nobody_sees_is_named_with_its_line(text: bytes, line: int, reason: str) -> None:
    """What no editor shows is said in numbers."""
    assert _refusal(text) == (line, reason)


def test_a_line_separator_in_the_body_is_text() -> None:
    """Pasted prose may hold what YAML would stumble over."""
    assert split("---\nid: a\n---\nb\u2028c\n".encode()) is not None
