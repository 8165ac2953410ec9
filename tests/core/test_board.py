"""The board that any git host shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from taskd.core.board import BOARD_QUERIES, ROWS, board
from taskd.core.task import Claim, Status, Task

ONE = Task(id="one", name="First | of\nall <b>", file="one.md", priority="high", assignee="ann")
TWO = Task(id="two", name="Second", file="two.md")


def nobody_waits(_ids: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """No task waits for another."""
    return {}


def test_an_empty_board_counts() -> None:
    """A repository without tasks has a board too, and no tables or graph on it."""
    page = board(dict.fromkeys(BOARD_QUERIES, ()), {}, nobody_waits)

    assert page == "# Board\n\n0 pending · 0 in-progress · 0 completed · 0 failed · 0 blocked\n"


def test_each_column_is_a_table() -> None:
    """Names cannot break the table, the holder goes before the assignee."""
    claim = Claim("bob", "s", "w", 1, "then", "later")
    held = replace(TWO, claim=claim, assignee="ann")

    page = board({"In progress": [held], "Ready": [ONE]}, {Status.PENDING: 1}, nobody_waits)

    assert "| `one` | First \\| of all &lt;b> | high | ann |  |" in page
    assert "| `two` | Second |  | bob |  |" in page
    assert page.startswith("# Board\n\n1 pending · ")
    assert "mermaid" not in page


def test_what_waits_is_drawn() -> None:
    """The graph has an arrow from what is waited for to who waits, coloured by column."""
    page = board(
        {"Failed": [replace(ONE, id="x")], "Ready": [ONE], "Blocked": [TWO]},
        {},
        lambda ids: {id: ["one", "gone"] for id in ids if id == "two"},
    )

    assert page.partition("```mermaid\n")[2] == (
        "graph LR\n"
        '  n0["one"]\n'
        '  n1["two"]\n'
        '  n2["gone"]\n'
        "  n0 --> n1\n"
        "  n2 --> n1\n"
        "  classDef Ready fill:#d7f5d7\n"
        "  class n0 Ready\n"
        "  classDef Blocked fill:#ffe3c2\n"
        "  class n1 Blocked\n"
        "```\n"
    )
    assert "| `two` | Second |  |  | one, gone |" in page


def test_the_board_stays_a_page() -> None:
    """However many tasks there are, each column asks for a page's worth."""
    assert {query.limit for query in BOARD_QUERIES.values()} == {ROWS}
