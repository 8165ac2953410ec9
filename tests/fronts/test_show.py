"""How answers look: tables that fit a terminal, lines that a script can cut, nothing that drives either."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from taskd.cli import show
from taskd.cli.session import Terminal

PIPED = Terminal()
PLAIN = Terminal(tty=True, columns=80)
COLOUR = Terminal(tty=True, columns=80, colour=True)

CLAIM = {"holder": "alice", "session": "s", "worktree": "main", "token": 3, "since": "t", "expires": "later"}
CRITERIA = [
    {"criterion": "fast", "measurable": "1 ms", "met": True},
    {"criterion": "small", "measurable": None, "met": False},
]
UNKNOWN = (
    "reason scope impact level assignee due parent started completed completion_summary actual_hours merge "
    "created modified"
)
TASK: dict[str, Any] = {
    **dict.fromkeys(UNKNOWN.split()),
    "id": "parser",
    "name": "Write the parser",
    "status": "in-progress",
    "priority": "high",
    "risk": "low",
    "estimate": 1.5,
    "tags": ["a", "b"],
    "path": "",
    "depends_on": [],
    "blocked_by": ["other"],
    "blocks": [],
    "claim": CLAIM,
    "progress": {"percent": 40, "text": "half", "at": "t", "by": "alice"},
    "revision": 7,
    "participants": [],
    "context": {},
    "feedback": [],
    "extra": {"ticket": "0012"},
    "files": [{"worktree": "main", "path": "parser.md", "state": "current"}],
    "body": "# Title\n\n\tText.\n",
    "success_criteria": CRITERIA,
    "notes": [{"at": "2026-01-01T00:00:00Z", "by": "bob", "text": "look\nhere"}],
}
NEWS: dict[str, Any] = {"seq": 3, "at": "2026-01-02T03:04:05.678Z", "task": "x", "field": "tags", "old": [],
                        "new": ["a", "b"], "actor": "alice", "worktree": "main", "cause": "set"}  # fmt: skip


def test_table_is_aligned() -> None:
    """On a terminal columns are aligned under their headings, and no line ends in blanks."""
    text = show.table(("ID", "NAME"), [("a", "one"), ("long", "日本")], PLAIN)

    assert text == "ID    NAME\na     one\nlong  日本\n"


def test_table_piped() -> None:
    """A pipe gets no headings: one line a row, cells joined by one tab, whole."""
    wide = "x" * 500

    assert show.table(("ID", "NAME"), [("a", wide), ("b", "")], PIPED) == f"a\t{wide}\nb\t\n"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_table_fits(columns: int) -> None:
    """No line is wider than the terminal, whatever the cells hold; what is cut ends in an ellipsis."""
    row = ("an-id-of-some-length", "in-progress", "critical", "somebody with a name", "日本語" * 40, "x" * 70)

    headings = ("ID", "STATUS", "PRIORITY", "WHO", "NAME", "ON")

    text = show.table(headings, [row], Terminal(tty=True, columns=columns), shrink=headings[3:])

    assert max(map(cell_len, text.splitlines())) <= columns
    assert ("…" in text, len(text.splitlines())) == (True, 2)


def test_table_cuts_the_willing_first() -> None:
    """Columns that may shrink give way before others lose a letter."""
    terminal, row = Terminal(tty=True, columns=60), ("parser", "in-progress", "n" * 200)

    text = show.table(("ID", "STATUS", "NAME"), [row], terminal, shrink=("NAME",))

    assert text.splitlines()[1].startswith("parser  in-progress  nnn")


def test_task_list() -> None:
    """A list says who works on what and what it waits for."""
    tasks = [
        TASK,
        {**TASK, "id": "free", "claim": None, "assignee": "Kim", "blocked_by": [], "priority": None},
    ]

    assert show.task_list(tasks, PIPED).splitlines() == [
        "parser\tin-progress\thigh\talice\tWrite the parser\tother",
        "free\tin-progress\t-\tKim\tWrite the parser\t",
    ]


def test_no_tasks() -> None:
    """An empty list is silent in a pipe and says so to a person."""
    assert (show.task_list([], PIPED), show.task_list([], PLAIN)) == ("", "no tasks\n")


def test_colour_only_where_asked() -> None:
    """Without colour there is not one escape; with it the status stands out."""
    assert "\x1b" not in show.task_list([TASK], PLAIN) + show.task_detail(TASK, PLAIN)
    assert "\x1b[1;34min-progress\x1b[0m" in show.task_list([TASK], COLOUR)
    assert "\x1b[1;34min-progress\x1b[0m" in show.task_detail(TASK, COLOUR)


def test_colour_is_not_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's own environment has no say in how its callers' answers look."""
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb"), ("COLUMNS", "20"), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(name, value)

    assert "\x1b" in show.task_list([TASK], COLOUR)
    assert "\x1b" not in show.task_list([TASK], PLAIN)


def test_detail() -> None:
    """One task is shown with its facts, criteria, body and notes; what is not known is left out."""
    text = show.task_detail(TASK, PLAIN)

    assert text == (
        "id          parser\n"
        "name        Write the parser\n"
        "status      in-progress\n"
        "progress    40 % half\n"
        "priority    high\n"
        "risk        low\n"
        "estimate    1.5\n"
        "tags        a, b\n"
        "blocked by  other\n"
        "claim       alice in main until later (token 3)\n"
        "revision    7\n"
        "ticket      0012\n"
        "file        main: parser.md\n"
        "\n"
        "[x] fast (1 ms)\n"
        "[ ] small\n"
        "\n"
        "# Title\n"
        "\n"
        "    Text.\n"
        "\n"
        "2026-01-01T00:00:00Z bob: look here\n"
    )


def test_detail_piped() -> None:
    """A pipe gets name and value joined by a tab."""
    assert show.task_detail(TASK, PIPED).startswith("id\tparser\nname\tWrite the parser\n")


EVIL = "\x1b[2J\x07\r\n\x9b1m\u202egnp"


def test_nothing_drives_the_terminal() -> None:
    """Control characters in what people wrote reach no terminal and break no line of a script."""
    evil = {**TASK, **dict.fromkeys(("name", "body", "assignee"), EVIL), "claim": None, "extra": {EVIL: EVIL}}
    evil |= {"blocked_by": [EVIL], "notes": [{"at": "t", "by": EVIL, "text": EVIL}]}
    entry = {**dict.fromkeys(NEWS, EVIL), "new": {"name": EVIL}}
    problem = {"worktree": EVIL, "path": EVIL, "line": 1, "reason": EVIL, "remedy": EVIL}

    for terminal in (PIPED, PLAIN):
        text = (
            show.task_list([evil], terminal)
            + show.task_detail(evil, terminal)
            + show.history_list([entry], terminal)
            + show.problem_list([problem], terminal)
            + show.pairs({"a": EVIL}, terminal)
        )
        assert {letter for letter in text if not letter.isprintable()} <= {"\n", "\t"}


def test_history() -> None:
    """The journal shows old and new in few words."""
    assert show.history_list([NEWS], PIPED) == f"3\t{NEWS['at']}\tx\ttags\t– → a, b\talice (main, set)\n"
    assert "2026-01-02 03:04:05  x" in show.history_list([NEWS], PLAIN)


def test_history_of_a_conflict() -> None:
    """A conflict settled is told with its field, both values and what was taken; or that its task went."""
    row = {**NEWS, "field": "conflict", "old": {"field": "risk", "index": "high", "file": "low"}}
    told = [
        show.history_list([{**row, "new": new}], PIPED) for new in ({"take": "file", "value": "low"}, None)
    ]

    assert [line.split("\t")[3:5] for line in told] == [
        ["conflict: risk", "index high, file low → file"],
        ["conflict: risk", "index high, file low → deleted"],
    ]
    assert "conflict\ta → b" in show.history_list([{**row, "old": "a", "new": "b"}], PIPED)


def test_problems() -> None:
    """A problem says where, what, and what mends it."""
    row = {"worktree": "main", "path": "a.md", "line": 3, "reason": "two ids", "remedy": "give it another"}

    assert show.problem_list([row], PLAIN) == "main: a.md:3\n  two ids\n  → give it another\n"
    assert show.problem_list([], PLAIN, "no notices") == "no notices\n"
    assert show.problem_list([{**row, "line": None}], PIPED) == "main\ta.md\t\ttwo ids\tgive it another\n"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (59, "59 s"), (61, "1 m"), (7300, "2 h"), (200_000, "2 d")]
)
def test_ago(seconds: float, said: str) -> None:
    """A span of time in its largest unit."""
    assert show.ago(seconds) == said


def test_clock() -> None:
    """A moment as UTC, or never."""
    assert (show.clock(0.0), show.clock(None)) == ("1970-01-01T00:00:00Z", "never")
