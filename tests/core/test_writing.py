"""Values as YAML that every reader takes for the same."""

from __future__ import annotations

import pytest
import yaml

from taskd.core.fields import FIELDS
from taskd.core.task import Criterion, Status
from taskd.core.writing import data_of, entry, inline, is_careful, item, literal, raw_of, scalar


@pytest.mark.parametrize(
    "word",
    [
        "on",
        "NO",
        "y",
        "null",
        "~",
        "12:30",
        "2026-01-01",
        "0012",
        "1.10",
        "0x1F",
        "0o17",
        "1e5",
        "1_000",
        ".5",
        ".inf",
        "-.INF",
        ".NaN",
        "True",
        "",
        "=",
        "<<",
        "+1",
        "-1",
    ],
)
def test_a_word_that_looks_like_something_else_is_quoted(word: str) -> None:
    """An id `on` or `12:30` stays a text to every YAML reader, old ones too."""
    assert scalar(word) == f'"{word}"'


@pytest.mark.parametrize(
    "text",
    [
        "@bob",
        "%x",
        "`x`",
        "- x",
        "? x",
        "a: b",
        "a:",
        "a #b",
        "#b",
        "[a",
        "{a",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        " a",
        "a ",
        "'a'",
        ",a",
        "---",
        "...",
        "a\tb",
        "a\xa0",
    ],
)
def test_a_text_with_syntax_in_it_is_quoted_and_read_back(text: str) -> None:
    """Whatever a title holds, YAML gives it back."""
    assert yaml.safe_load(scalar(text)) == text
    assert scalar(text)[0] == '"'


@pytest.mark.parametrize(
    "text", ["plain words", "it's", "a:b", "a#b", "fix (now)", "/usr/bin", "größe", "2 words", "日本"]
)
def test_an_ordinary_text_is_written_as_it_is(text: str) -> None:
    """Quotes stand only where they are needed."""
    assert scalar(text) == text


@pytest.mark.parametrize("text", ["a, b", "a]", "a}", "a:b", "a?", "x#"])
def test_between_brackets_more_is_quoted(text: str) -> None:
    """A comma in a tag does not make two tags."""
    assert yaml.safe_load(f"[{scalar(text, flow=True)}]") == [text]


def test_odd_characters_become_escapes() -> None:
    """Line ends, separators and marks nobody sees are written so that they can be seen."""
    assert scalar('a\n\t\r"\\\x85\u2028\ufeff\x00😀') == '"a\\n\\t\\r\\"\\\\\\x85\\u2028\\ufeff\\x00😀"'


@pytest.mark.parametrize(
    ("text", "style", "written"),
    [
        ("it's", "'", "'it''s'"),
        ("a\nb", "'", '"a\\nb"'),
        ("word", '"', '"word"'),
        ("word", ">", "word"),
    ],
)
def test_the_quotes_that_were_there_are_kept_if_they_can_hold_it(text: str, style: str, written: str) -> None:
    """An edit does not change its author's habits."""
    assert scalar(text, style) == written


def test_an_unknown_keys_word_stays_as_typed() -> None:
    """`retries=3` is written as the number it is meant to be."""
    assert (scalar("3", careful=False), scalar("", careful=False), scalar(value=True)) == ("3", '""', "true")


@pytest.mark.parametrize(
    ("field", "careful"),
    [("id", True), ("tags", True), ("estimate", False), ("due", False), ("claim", False)],
)
def test_texts_are_texts_and_numbers_numbers(field: str, *, careful: bool) -> None:
    """Other tools find hours as numbers and dates as they know them."""
    assert is_careful(FIELDS[field]) is careful


def test_an_unknown_key_is_not_judged() -> None:
    """Nobody knows what it means but its author."""
    assert not is_careful(None)


def test_any_data_fits_on_one_line() -> None:
    """Nested lists and mappings are written between brackets."""
    assert inline({"a": ["b, c", {"d": "1"}], "e": {}}, careful=True) == '{a: ["b, c", {d: "1"}], e: {}}'


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ("word", ["k: word"]),
        ([], ["k: []"]),
        (["a", "b"], ["k: [a, b]"]),
        ({}, ["k: {}"]),
        ({"a": {"b": "c"}}, ["k:", "  a:", "    b: c"]),
        ([{"a": "b", "c": ["d"]}, ["e"], {}], ["k:", "  - a: b", "    c: [d]", "  - [e]", "  - {}"]),
    ],
)
def test_a_key_is_written_on_as_many_lines_as_it_needs(data: object, lines: list[str]) -> None:
    """Words on one line, structure on its own."""
    assert entry("k", data, "", careful=True) == lines


def test_criteria_get_a_line_each() -> None:
    """Sentences are not put between brackets."""
    data = data_of(
        FIELDS["success_criteria"], (Criterion("a"), Criterion("b", "c", met=True), Criterion("d", met=True))
    )

    assert entry("success_criteria", data, "", careful=True, tall=True) == [
        "success_criteria:",
        "  - a",
        "  - criterion: b",
        "    measurable: c",
        "    met: true",
        "  - criterion: d",
        "    met: true",
    ]


def test_an_item_keeps_the_style_asked_for() -> None:
    """A new item looks like its neighbour."""
    assert item("a", " - ", "'", careful=True) == [" - 'a'"]


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (None, ""),
        (3, "3"),
        (3.0, "3"),
        (1.5, "1.5"),
        (1e-7, "0.0000001"),
        (True, "true"),
        (Status.PENDING, "pending"),
        (("a", 1), ["a", "1"]),
        ({"a": [False]}, {"a": ["false"]}),
    ],
)
def test_a_value_is_compared_as_it_will_be_read(value: object, raw: object) -> None:
    """Numbers and truths of other sources come back as the strings that are written."""
    assert raw_of(value) == raw


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("a\n\n b\n", "|\n  a\n\n   b"),
        ("a\nb", "|-\n  a\n  b"),
        ("a", None),
        ("a\n\n", None),
        (" a\nb", None),
        ("\na", None),
        ("a\n  \nb", None),
        ("a\n\u2028\nb", None),
    ],
)
def test_lines_are_written_as_a_block_only_where_they_survive(text: str, block: str | None) -> None:
    """A description stays readable, and is quoted where a block would change it."""
    assert literal(text, "  ", "\n") == block
