"""What YAML must not get to see, and what it cannot read."""

from __future__ import annotations

import pytest

from taskd.core.guard import split
from taskd.core.outline import DEPTH_LIMIT, NODE_LIMIT, Outline, outlined
from taskd.errors import DocumentError


def _outline(front: str) -> Outline:
    parts = split(f"---\n{front}---\n".encode())
    assert parts is not None
    return outlined(parts)


def _refusal(front: str) -> tuple[int, str]:
    with pytest.raises(DocumentError) as caught:
        _outline(front)
    assert caught.value.remedy
    return caught.value.line, caught.value.reason


@pytest.mark.parametrize(
    ("front", "line", "reason"),
    [
        ("id: a\nx: &a [1]\ny: *a\n", 3, "YAML anchors and aliases (& and *) are not taken"),
        ("id: a\nx: *a\n", 3, "YAML anchors and aliases (& and *) are not taken"),
        ("id: a\n\nx: &a\n  y: 1\n", 4, "YAML anchors and aliases (& and *) are not taken"),
        ("id: a\nx: !!binary aaaa\n", 3, "the YAML tag tag:yaml.org,2002:binary"),
        (
            "id: a\nx: !!python/object:os.system y\n",
            3,
            "the YAML tag tag:yaml.org,2002:python/object:os.system",
        ),
        ("id: a\nx: !foo\n  - y\n", 3, "the YAML tag !foo"),
        ("id: a\nx: 1\nid: b\n", 4, "the key 'id' stands here a second time"),
        ("id: a\nx:\n  y: 1\n  y: 2\n", 5, "the key 'y' stands here a second time"),
        ("id: a\n? [b, c]\n: d\n", 3, "a key that is itself a list or mapping"),
        ("id: a\n? {b: c}\n: d\n", 3, "a key that is itself a list or mapping"),
        ("id: a\n'': d\n", 3, "a key without a name"),
        ("- id: a\n", 2, "the frontmatter is a list, not keys and values"),
        ("just words\n", 2, "the frontmatter is a text, not keys and values"),
        ("id: a\n--- b\n", 3, "a second YAML document begins here"),
        ('id: a\nx: "\\0"\n', 3, "a control character (U+0000) written as an escape"),
        ("id: a\nx:\n\t- b\n", 4, "a tab where YAML wants spaces"),
        ("id: a\n\tx: b\n", 3, "a tab where YAML wants spaces"),
        ("id: a\nx: b: c\n", 3, "a second `: ` in an unquoted value"),
        ("id: a\nx: @b\n", 3, "an unquoted value begins with `@`"),
        ("id: a\nx: %b\n", 3, "an unquoted value begins with `%`"),
        ("id: a\nx: }b\n", 3, "an unquoted value begins with `}`"),
        ('id: a\nx: "b\ny: c\n', 3, "a quote is opened here and never closed"),
        ("id: a\nx: [b, c\ny: d\n", 3, "a list is opened here with [ and not closed"),
        ("id: a\nx: {b: c\ny: d\n", 3, "a mapping is opened here with { and not closed"),
        ("id: a\nwords\nx: b\n", 3, "a line that is no `key: value`"),
        ('id: a\nx: "b" c\n', 3, "text follows a closed value, or the indentation is wrong"),
        ("id: a\nx: b\n y: c\n", 4, "a second `: ` in an unquoted value"),
        ('id: a\nx: "\\q"\n', 3, "a backslash in a double-quoted text means nothing to YAML"),
        ("id: a\nx: - b\n", 3, "YAML cannot read it"),
        ("%YAML 1.1\nid: a\n", 3, "YAML cannot read it"),
    ],
)
def test_what_cannot_be_taken_is_said_in_plain_words_on_its_line(front: str, line: int, reason: str) -> None:
    """Whoever wrote it finds the line and knows what to do, without knowing YAML."""
    assert _refusal(front) == (line, reason)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "[[], "])
def test_deep_nesting_is_refused_before_anything_recurses(opening: str) -> None:
    """A frontmatter full of brackets neither ends the process nor takes its time."""
    line, reason = _refusal("id: a\nx:\n  " + opening * (60_000 // len(opening)) + "\n")

    assert (line, reason) == (4, f"more than {DEPTH_LIMIT} levels of nesting")


def test_as_many_levels_as_anybody_writes_pass() -> None:
    """The limit is far from what is in use."""
    deepest = DEPTH_LIMIT - 1

    assert _outline("x: " + "[" * deepest + "]" * deepest + "\n").entries[0].key == "x"


def test_a_frontmatter_of_too_many_values_is_refused() -> None:
    """A list of thousands belongs in a file of its own."""
    assert _refusal("x: [" + "a, " * NODE_LIMIT + "]\n") == (2, "more than 5000 values in the frontmatter")


def test_exact_plain_tags_are_plain_data() -> None:
    """`!!str 12` says what every scalar is to us anyway."""
    assert [entry.key for entry in _outline("x: !!str 12\ny: !!seq []\nz: !!map {}\n").entries] == [
        "x",
        "y",
        "z",
    ]


def test_an_empty_frontmatter_has_no_entries() -> None:
    """Comments alone are no keys."""
    assert _outline("# nothing yet\n").entries == ()


def test_places_count_characters_not_bytes() -> None:
    """An accent before a value does not move the edit by one."""
    front = 'é: 1\r\nname: "ü" # c\r\n'

    entry = _outline(front).entries[1]

    assert front[entry.value.start : entry.value.end] == '"ü"'


@pytest.mark.parametrize(
    ("front", "value"),
    [
        ("x: |\n  a\n\n\ny: 1\n", "|\n  a\n"),
        ("x: |+\n  a\n\n\ny: 1\n", "|+\n  a\n\n\n"),
        ("x: >-\n  a\n\n  b\n\n# c\ny: 1\n", ">-\n  a\n\n  b\n"),
        ("x: |\n  a\n  \n\ny: 1\n", "|\n  a\n"),
        ("x: |\n  a\n   \n\ny: 1\n", "|\n  a\n   \n"),
        ("x: |1\n  a\n\ny: 1\n", "|1\n  a\n\n"),
        ("x: |\n\ny: 1\n", "|\n"),
        ("x:\n  - a\n  - b: c\n    # d\n\n  # e\ny: 1\n", "a\n  - b: c"),
        ("x: [a,\n  b] # c\ny: 1\n", "[a,\n  b]"),
        ("x:\ny: 1\n", ""),
    ],
)
def test_a_value_ends_with_its_own_last_character(front: str, value: str) -> None:
    """Blank lines and comments behind a value belong to nobody's edit."""
    node = _outline(front).entries[0].value

    assert front[node.start : node.end].removeprefix("- ") == value


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("name: fix: bug", "fix: bug"),
        ("assignee: @bob", "@bob"),
        ("name: %x", "%x"),
        ("title: `code` first", "`code` first"),
        ("name: [WIP] later", "[WIP] later"),
        ("name: - dashed", "- dashed"),
        ('name: "quoted" rest', '"quoted" rest'),
        ("assignee:  @bob \t # who", "@bob"),
        ("reason: waits: for the key", "waits: for the key"),
    ],
)
def test_free_text_that_yaml_cannot_scan_is_read_as_the_text(line: str, text: str) -> None:
    """What people and agents write all the time does not make the task unusable."""
    outline = _outline(f"id: a\n{line}\nrisk: low\n")

    assert list(outline.mended.values()) == [text]


def test_several_such_lines_are_read_in_one_file() -> None:
    """One careless value does not come alone."""
    outline = _outline("name: a: b\nassignee: @c\n")

    assert outline.mended == {"name": "a: b", "assignee": "@c"}


@pytest.mark.parametrize(
    "front",
    [
        'name: "never closed\nid: a\n',
        "name: a: b\n  more\n",
        "name: a: b\nx: @c\n",
        "x: a: b\n",
        "name: fine\nx: @c\n",
    ],
)
def test_what_is_more_than_a_careless_line_stays_an_error(front: str) -> None:
    """Only a single line of a known free text is guessed at."""
    with pytest.raises(DocumentError):
        _outline(front)
