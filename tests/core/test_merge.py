"""Three-way merges of single values."""

from __future__ import annotations

import pytest

from taskd.core.merge import Merged, latest, lines, ordered, scalar, union


def refuse_merging(_base: bytes, _ours: bytes, _theirs: bytes) -> tuple[bytes, bool]:
    """A merger for where none is needed."""
    raise AssertionError


@pytest.mark.parametrize(
    ("base", "index", "file", "merged"),
    [
        ("b", "b", "b", Merged("b")),
        ("b", "d", "b", Merged("d")),
        ("b", "b", "f", Merged("f")),
        ("b", "x", "x", Merged("x")),
        ("b", "d", "f", Merged("d", clash=True)),
        ("b", None, "f", Merged(None, clash=True)),
        (None, None, "f", Merged("f")),
        ("b", "b", None, Merged(None)),
    ],
)
def test_a_single_value(base: object, index: object, file: object, merged: Merged) -> None:
    """One side's change stands; of two different ones the index keeps its own and says so."""
    assert scalar(base, index, file) == merged


@pytest.mark.parametrize(
    ("base", "index", "file", "merged"),
    [
        ("ab", "ab", "ba", "ba"),
        ("ab", "abc", "ba", "abc"),
        ("ab", "abc", "abd", "abcd"),
        ("abc", "ab", "bc", "b"),
        ("a", "ac", "", "c"),
        ("a", "", "ab", "b"),
        ("", "a", "b", "ab"),
        ("a", "ab", "ab", "ab"),
        ("ab", "a", "abc", "ac"),
    ],
)
def test_a_set(base: str, index: str, file: str, merged: str) -> None:
    """Additions and removals of both sides, in the index's order; never a conflict."""
    assert union(tuple(base), tuple(index), tuple(file)) == Merged(tuple(merged))


@pytest.mark.parametrize(
    ("base", "index", "file", "later"),
    [
        ("2026-01-01", "2026-01-05", "2026-01-01", "2026-01-05"),
        ("2026-01-01", "2026-01-05", "2026-01-03", "2026-01-05"),
        ("2026-01-01", "2026-01-05", "2026-01-07", "2026-01-07"),
        ("2026-01-05", "2026-01-05", "2026-01-03", "2026-01-05"),
        ("2026-01-01", "2026-01-05", None, "2026-01-05"),
        (None, None, "2026-01-05", "2026-01-05"),
        (None, "2026-01-05T09:00:00Z", "2026-01-05T10:00:00+05:00", "2026-01-05T09:00:00Z"),
        (None, "2026-01-05", "2026-01-05T00:00:01", "2026-01-05T00:00:01"),
        (None, None, None, None),
    ],
)
def test_a_derived_time(base: object, index: object, file: object, later: object) -> None:
    """The later one, told by the moment and not by the letters; a stale one says nothing."""
    assert latest(base, index, file) == Merged(later)


@pytest.mark.parametrize(
    ("base", "index", "file", "merged"),
    [
        ("abc", "abc", "abd", "abd"),
        ("abc", "xbc", "abc", "xbc"),
        ("abc", "xbc", "aby", "xby"),  # two items ticked, in two places
        ("ab", "xb", "ay", "xy"),  # even side by side
        ("abc", "bc", "abcd", "bcd"),
        ("abc", "ac", "abxc", "axc"),
        ("ab", "xab", "aby", "xaby"),
        ("ab", "abx", "abx", "abx"),
        ("ab", "ba", "ba", "ba"),
    ],
)
def test_a_list(base: str, index: str, file: str, merged: str) -> None:
    """Items changed, added and removed at different places come together in order."""
    assert ordered(tuple(base), tuple(index), tuple(file)) == Merged(tuple(merged))


@pytest.mark.parametrize(
    ("base", "index", "file"),
    [("abc", "axc", "ayc"), ("ab", "abx", "aby"), ("abc", "ac", "axc"), ("a", "", "x")],
)
def test_a_list_that_collides(base: str, index: str, file: str) -> None:
    """One place changed two ways, or two new items in one gap: the index's list stands whole."""
    assert ordered(tuple(base), tuple(index), tuple(file)) == Merged(tuple(index), clash=True)


def test_lists_of_anything() -> None:
    """Lists under unknown keys hold texts, lists and mappings; a list stays a list."""
    base: list[object] = ["a", {"k": "v"}, ["x"]]

    merged = ordered(base, ["b", {"k": "v"}, ["x"]], ["a", {"k": "v"}, ["x", "y"]])

    assert merged == Merged(["b", {"k": "v"}, ["x", "y"]])


def test_endless_lists_are_one_value() -> None:
    """Nobody waits for two dumps to be compared item by item."""
    base = ["x"] * 1001

    assert ordered(base, ["a", *base[1:]], [*base[1:], "b"]) == Merged(["a", *base[1:]], clash=True)


def test_lines_are_merged_only_if_both_changed() -> None:
    """The merger, a process of its own, is not asked where one side stands still."""
    assert lines("b", "d", "b", refuse_merging) == Merged("d")
    assert lines("b", "b", "f", refuse_merging) == Merged("f")


def test_lines_that_collide_leave_the_index_alone() -> None:
    """No conflict markers get into a body."""
    assert lines("b", "d", "f", lambda *_: (b"<<<<<<<", False)) == Merged("d", clash=True)
    assert lines("b", "d", "f", lambda base, ours, theirs: (base + ours + theirs, True)) == Merged("bdf")
