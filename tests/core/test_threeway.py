"""Three texts of one task made one."""

from __future__ import annotations

import pytest

from taskd.core.sections import BEGIN, END
from taskd.core.threeway import Mergers, merge_texts
from tests.laws.lines import merge_lines

MERGERS = Mergers(merge_lines, merge_lines)

BASE = """---
id: a
name: Alpha
status: pending
priority: low
risk: low
tags: [x]
due: 2026-01-01
modified: 2026-01-01
team: red
links: [p]
---
one

two
"""


def merged(base: str, ours: str, theirs: str, id: str = "a") -> tuple[str, bool]:
    """The merge of three texts."""
    text, clean = merge_texts(base.encode(), ours.encode(), theirs.encode(), id, MERGERS)
    return text.decode(), clean


def changed(text: str, *swaps: str) -> str:
    """A text with some parts replaced, each given as `old → new`."""
    for swap in swaps:
        old, _, new = swap.partition(" → ")
        assert old in text
        text = text.replace(old, new)
    return text


def conflict(ours: str, base: str, theirs: str) -> str:
    """The lines of a conflict."""
    return f"<<<<<<< ours\n{ours}||||||| base\n{base}=======\n{theirs}>>>>>>> theirs\n"


def plain(base: str, ours: str, theirs: str) -> tuple[str, bool]:
    """What a merge by lines makes of it."""
    text, clean = merge_lines(base.encode(), ours.encode(), theirs.encode())
    return text.decode(), clean


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "result"),
    [("x", "x", "y", "y"), ("x", "y", "x", "y"), ("x", "y", "y", "y"), ("x", "x", "x", "x")],
)
def test_one_side_changed(base: str, ours: str, theirs: str, result: str) -> None:
    """What only one side changed, or both alike, is taken to the byte, whatever it is."""
    assert merged(base, ours, theirs) == (result, True)


def test_different_fields() -> None:
    """Changes of different fields stand side by side, on neighbouring lines and with their comments too."""
    ours = changed(BASE, "priority: low → priority: high  # asked for", "one → One")
    theirs = changed(BASE, "risk: low → risk: 'high' # old code", "two → Two", "team: red → team: blue")

    assert merged(BASE, ours, theirs) == (
        changed(ours, "risk: low → risk: 'high' # old code", "two → Two", "team: red → team: blue"),
        True,
    )


def test_sets() -> None:
    """What each side adds to a set and takes from it is added and taken."""
    base = changed(BASE, "[x] → [x, y]")

    assert merged(base, changed(base, "[x, y] → [x, y, z]"), changed(base, "[x, y] → [w, y]")) == (
        changed(base, "[x, y] → [y, z, w]"),
        True,
    )


def test_lists_with_an_order() -> None:
    """A list with an order takes items of both sides that go to different places."""
    ours, theirs = changed(BASE, "[p] → [o, p]"), changed(BASE, "[p] → [p, q]")

    assert merged(BASE, ours, theirs) == (changed(BASE, "[p] → [o, p, q]"), True)


def test_same_field() -> None:
    """Two changes of one field stand between markers, each in its own words, and all else is merged."""
    ours = changed(BASE, "due: 2026-01-01 → due: 2026-02-02 # firm", "risk: low → risk: high")
    theirs = changed(BASE, "due: 2026-01-01 → due: '2026-03-03'", "priority: low → priority: high")
    lines = ("due: 2026-02-02 # firm\n", "due: 2026-01-01\n", "due: '2026-03-03'\n")

    assert merged(BASE, ours, theirs) == (
        changed(BASE, "priority: low → priority: high", "risk: low → risk: high").replace(
            lines[1], conflict(*lines)
        ),
        False,
    )


def test_removed_against_changed() -> None:
    """A key that one side takes out and the other changes is a conflict too, unknown keys like others."""
    ours = changed(BASE, "team: red\n → ", "due: 2026-01-01 → due: 2026-02-02")
    theirs = changed(BASE, "team: red → team: blue", "due: 2026-01-01\n → ")

    assert merged(BASE, ours, theirs) == (
        changed(
            BASE,
            "due: 2026-01-01\n → " + conflict("due: 2026-02-02\n", "due: 2026-01-01\n", ""),
            "team: red\n → ",
            "[p]\n → [p]\n" + conflict("", "team: red\n", "team: blue\n"),
        ),
        False,
    )


def test_bodies() -> None:
    """Bodies are merged by lines; only lines that both changed stand between markers."""
    base = changed(BASE, "two\n → two\n\nthree\n")
    ours = changed(base, "one → One", "two → TWO")
    theirs = changed(base, "two → Two", "three → Three", "risk: low → risk: high")

    assert merged(base, ours, theirs) == (
        changed(
            base,
            "one → One",
            "two\n → " + conflict("TWO\n", "two\n", "Two\n"),
            "three → Three",
            "risk: low → risk: high",
        ),
        False,
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "result"),
    [
        ("completed", "pending", "completed"),
        ("pending", "completed", "completed"),
        ("completed", "in-progress", "completed"),
        ("DONE", "in-progress", "DONE"),
    ],
)
def test_status(ours: str, theirs: str, result: str) -> None:
    """A status never conflicts: one side's change stands, of two different ones ours."""
    texts = [changed(BASE, f"pending → {word}") for word in (ours, theirs)]
    texts[0] = changed(texts[0], "risk: low → risk: high")
    texts[1] = changed(texts[1], "priority: low → priority: high")

    assert merged(BASE, *texts) == (
        changed(BASE, f"pending → {result}", "risk: low → risk: high", "priority: low → priority: high"),
        True,
    )


def test_other_runtime_fields() -> None:
    """So do the other runtime fields, which one side may add and the other take out."""
    base = changed(BASE, "status: pending\n → status: pending\nstarted: 2026-01-01\n")
    ours = changed(base, "status: pending\n → status: completed\nprogress: 90\n", "two → Two")
    theirs = changed(base, "started: 2026-01-01\n → ", "one → One")

    assert merged(base, ours, theirs) == (changed(ours, "started: 2026-01-01\n → ", "one → One"), True)


@pytest.mark.parametrize("sides", [("2026-02-02", "2026-03-03"), ("2026-03-03", "2026-02-02")])
def test_modified(sides: tuple[str, str]) -> None:
    """`modified` is the later of the two, never a conflict."""
    ours, theirs = (changed(BASE, f"modified: 2026-01-01 → modified: {side}") for side in sides)

    assert merged(BASE, ours, changed(theirs, "one → One")) == (
        changed(BASE, "modified: 2026-01-01 → modified: 2026-03-03", "one → One"),
        True,
    )


def test_rendered_part() -> None:
    """What taskd renders below a body is no part of it and does not conflict: it stays as ours has it."""
    base, ours, theirs = (f"{BASE}{BEGIN}\n## Notes\n\n- {word}\n{END}\n" for word in ("a", "b", "c"))
    ours, theirs = changed(ours, "two → Two"), changed(theirs, "two → TWO")

    assert merged(base, ours, theirs) == (
        changed(ours, "Two\n → " + conflict("Two\n", "two\n", "TWO\n")),
        False,
    )


def test_other_line_ends() -> None:
    """Where one side changed every line end, the fields are merged all the same, and its mark stays."""
    ours = "\ufeff" + changed(BASE, "risk: low → risk: high", "due: 2026-01-01 → due: 2026-02-02").replace(
        "\n", "\r\n"
    )
    theirs = changed(BASE, "priority: low → priority: high")

    assert merged(BASE, ours, theirs) == (changed(ours, "priority: low → priority: high"), True)


def test_other_shape() -> None:
    """A conflict shows the value where a side's own lines cannot stand in the text: it is indented there."""
    ours = "---\n  id: a\n  name: Alpha\n  due: 2026-02-02\n---\n"
    texts = (
        "---\nid: a\nname: Alpha\ndue: 2026-01-01\n---\n",
        ours,
        "---\nid: a\nname: B\ndue: '2026-03-03'\n---\n",
    )

    assert merged(*texts) == (
        "---\n  id: a\n  name: B\n"
        + conflict("  due: 2026-02-02\n", "  due: 2026-01-01\n", "  due: 2026-03-03\n")
        + "---\n",
        False,
    )


def test_id_from_the_file_name() -> None:
    """A file without an id has its name for one."""
    base = changed(BASE, "id: a\n → ")

    assert merged(base, BASE, changed(base, "risk: low → risk: high")) == (
        changed(BASE, "risk: low → risk: high"),
        True,
    )


BRACES = "---\n{id: a, team: red, # who\n  due: 2026-01-01}\n---\n"
NOTE = changed(BASE, "team: red → note: |\n  one\n\n  two\n\n  three")


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        pytest.param("", BASE, changed(BASE, "one → One"), id="added by both"),
        pytest.param("# one\n", "# One\n", "# one\nmore\n", id="no task"),
        pytest.param(BASE, changed(BASE, "---\none → one"), changed(BASE, "one → One"), id="not closed"),
        pytest.param(
            BASE, changed(BASE, "id: a → id: b"), changed(BASE, "risk: low → risk: high"), id="another task"
        ),
        pytest.param(
            BASE,
            changed(BASE, "priority: low → estimate: soon"),
            changed(BASE, "risk: low → risk: high"),
            id="a value nobody understands",
        ),
        pytest.param(
            BASE,
            changed(BASE, "team: red\n → team: red\nmine: 1 # why\n"),
            changed(BASE, "team: red\n → team: red\nyours: 2 # why not\n"),
            id="a comment without a place",
        ),
        pytest.param(
            BASE,
            changed(BASE, "team: red → body: red"),
            changed(BASE, "team: red → body: blue"),
            id="a key called body",
        ),
        pytest.param(
            BASE,
            changed(BASE, "team: red → text: red"),
            changed(BASE, "team: red → text: blue"),
            id="a key called text",
        ),
        pytest.param(
            BRACES, changed(BRACES, "red → blue"), changed(BRACES, "team: red,  → "), id="between braces"
        ),
        pytest.param(
            NOTE,
            changed(NOTE, "  one →  One"),
            changed(NOTE, "  three → Three"),
            id="no conflict to git",
        ),
    ],
)
def test_as_git_does(base: str, ours: str, theirs: str) -> None:
    """What cannot be merged field by field without losing something is merged by lines."""
    assert merged(base, ours, theirs) == plain(base, ours, theirs)


def test_known_garble() -> None:
    """A value that nobody understands and nobody changed does not stand in the way."""
    base = changed(BASE, "name: Alpha\n → name: Alpha\nestimate: soon\n")

    assert merged(
        base, changed(base, "risk: low → risk: high"), changed(base, "priority: low → priority: high")
    ) == (
        changed(base, "risk: low → risk: high", "priority: low → priority: high"),
        True,
    )
