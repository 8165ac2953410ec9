"""A conflict is shown so that a person can choose: three texts, the same lines beside each other."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from taskd.cli.session import Terminal
from taskd.cli.sides import PIPED_WIDTH, aligned, conflict_detail, value_lines, wrapped

WIDE = Terminal(tty=True, columns=80)
NARROW = Terminal(tty=True, columns=50)

CONFLICT: dict[str, Any] = {
    "id": 3,
    "task": "parser",
    "field": "priority",
    "base": None,
    "index": "high",
    "file": "low",
    "worktree": "one",
    "since": "2026-01-01T00:00:00.000Z",
}


def test_side_by_side() -> None:
    """What it is about, one column a side, and the command that settles it."""
    assert conflict_detail([CONFLICT], WIDE).splitlines() == [
        "conflict 3: priority of parser, since 2026-01-01T00:00:00.000Z",
        "BASE                     │ INDEX                    │ FILE IN ONE",
        "–                        │ high                     │ low",
        "→ taskd resolve 3 --take index|file|TEXT",
    ]


def test_one_below_the_other() -> None:
    """Where three columns would be too narrow to read, the sides follow each other."""
    assert conflict_detail([{**CONFLICT, "file": ["a", "b"]}], NARROW).splitlines()[1:-1] == [
        "base:",
        "  –",
        "index:",
        "  high",
        "file in one:",
        "  a",
        "  b",
    ]


def test_piped_it_is_as_wide_as_a_usual_terminal() -> None:
    """A pipe, or a terminal that says nothing of its width, gets 80 columns and no colour."""
    assert WIDE.columns == PIPED_WIDTH
    assert conflict_detail([CONFLICT], Terminal()) == conflict_detail([CONFLICT], WIDE)


@pytest.mark.parametrize("columns", [20, 50, 60, 80, 200])
def test_it_fits(columns: int) -> None:
    """No line of a value is wider than the terminal, however long its words, in any script."""
    sides = {"base": "x" * 300, "index": "日本語 " * 40, "file": "one two " * 50 + "\n\n" + "    deep"}
    lines = conflict_detail([{**CONFLICT, **sides}], Terminal(tty=True, columns=columns)).splitlines()

    assert max(map(cell_len, lines[1:-1])) <= columns
    assert "".join(lines).count("x") >= 300


def test_lines_that_are_the_same_stand_beside_each_other() -> None:
    """What one side put in moves nothing of the others; what it took out leaves a gap."""
    base, index, file = ["a", "b", "c"], ["a", "new", "b", "c"], ["a", "C"]

    assert aligned(base, index, file) == [
        ("a", "a", "a"),
        ("", "new", ""),
        ("b", "b", "C"),
        ("c", "c", ""),
    ]


def test_long_texts_are_shown_where_they_differ() -> None:
    """Three lines around a difference, and a mark where the others are left out."""
    base = [f"line {number}" for number in range(20)]
    sides = {"base": "\n".join(base), "index": "\n".join(["new", *base]), "file": "\n".join(base)}
    lines = conflict_detail([{**CONFLICT, "field": "body", **sides}], WIDE).splitlines()

    assert [line.split("│")[0].strip() for line in lines[2:-1]] == ["", "line 0", "line 1", "line 2", "…"]


def test_values_that_are_the_same_are_shown() -> None:
    """Sides that agree by now are shown all the same."""
    assert conflict_detail([{**CONFLICT, "base": "low", "index": "low"}], WIDE).count("low") == 3


def test_colours_mark_what_differs_from_the_base() -> None:
    """The index's change is green and the file's yellow; what is as it was has no colour."""
    shown = conflict_detail([{**CONFLICT, "base": "high"}], Terminal(tty=True, columns=80, colour=True))

    assert ("\x1b[33mlow" in shown, "\x1b[32mhigh" in shown) == (True, False)


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (None, ["–"]),
        ([], ["–"]),
        ("a\tb\n\nc\n", ["a    b", "", "c"]),
        ("\x1b[2J", [" [2J"]),
        (["x", {"a": 1}], ["x", '{"a": 1}']),
        ([{"criterion": "fast", "measurable": "1 ms", "met": False}], ["fast (1 ms)"]),
        ([{"criterion": "small", "measurable": None, "met": False}], ["small"]),
        ({"k": ["v"]}, ['k: ["v"]']),
        (1.5, ["1.5"]),
    ],
)
def test_every_kind_of_value(value: object, lines: list[str]) -> None:
    """Texts line by line, lists item by item; nothing that could drive a terminal."""
    assert value_lines(value) == lines


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("    deep", ["    deep"]),
        ("abcdefghijkl", ["abcdefgh", "ijkl"]),
        ("a abcdefghij", ["a", "abcdefgh", "ij"]),
    ],
)
def test_wrapping(text: str, parts: list[str]) -> None:
    """Lines are cut at blanks, words only where they do not fit at all."""
    assert wrapped(text, 8) == parts


def test_nothing_to_show() -> None:
    """No conflict is a sentence for people and nothing for programs."""
    assert (conflict_detail([], WIDE), conflict_detail([], Terminal())) == ("no conflicts\n", "")
