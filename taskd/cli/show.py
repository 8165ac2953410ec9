"""How answers look: tables on a terminal, tab-separated lines when piped."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from taskd.cli.session import Terminal, lines

Row = Mapping[str, Any]

_STATUS_STYLE: Final = {
    "pending": "",
    "in-progress": "bold blue",
    "completed": "green",
    "failed": "bold red",
    "blocked": "yellow",
}
_PRIORITY_STYLE: Final = {"critical": "bold red", "high": "red", "medium": "", "low": "dim"}
_NARROWEST: Final = 40  # columns; what claims to be narrower is no terminal a table fits in


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]], terminal: Terminal) -> str:
    """A table; cells are texts or (text, style). Piped: one line a row, cells joined by tabs."""
    if not terminal.tty:
        return lines(["\t".join(_flat(_text(cell)) for cell in row) for row in rows])
    from rich.console import Console  # noqa: PLC0415 - only for terminals
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in headings:
        grid.add_column(heading, overflow="ellipsis", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(_flat(_text(cell)), style=_style(cell)) for cell in row))
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(_NARROWEST, terminal.columns or 100),
        force_terminal=terminal.colour,
        no_color=not terminal.colour,
        highlight=False,
        legacy_windows=False,
    )
    console.print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _text(cell: Any) -> str:  # noqa: ANN401 - a cell
    return str(cell[0] if isinstance(cell, tuple) else cell)


def _style(cell: Any) -> str:  # noqa: ANN401 - a cell
    return str(cell[1]) if isinstance(cell, tuple) else ""


def _flat(text: str) -> str:
    """Free text on one line, without control characters that could drive a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def task_list(tasks: Sequence[Row], terminal: Terminal) -> str:
    """Tasks, one a line."""
    if not tasks and terminal.tty:
        return "no tasks\n"
    rows = [
        (
            (task["id"], "bold"),
            (task["status"], _STATUS_STYLE.get(task["status"], "")),
            (task["priority"] or "-", _PRIORITY_STYLE.get(task["priority"] or "", "dim")),
            task["claim"]["holder"] if task["claim"] else (task["assignee"] or "-"),
            task["name"],
            (", ".join(task["blocked_by"]), "yellow"),
        )
        for task in tasks
    ]
    return table(("ID", "STATUS", "PRIORITY", "WHO", "NAME", "WAITS FOR"), rows, terminal)


_FACTS: Final = (
    "id",
    "name",
    "status",
    "reason",
    "priority",
    "scope",
    "risk",
    "impact",
    "level",
    "assignee",
    "due",
    "estimate",
    "tags",
    "path",
    "parent",
    "depends_on",
    "blocked_by",
    "blocks",
    "claim",
    "started",
    "completed",
    "completion_summary",
    "actual_hours",
    "created",
    "modified",
    "revision",
)


def task_detail(task: Row, terminal: Terminal) -> str:
    """One task: its facts that are known, then its body."""
    rows = [
        (name.replace("_", " "), _value(name, task[name], terminal))
        for name in _FACTS
        if task[name] not in (None, [], "")
    ]
    rows += [(key, _plain(value)) for key, value in task["extra"].items()]
    rows += [("file", f"{file['worktree']}: {file['path']}") for file in task["files"]]
    width = max(len(name) for name, _ in rows)
    text = lines([f"{_dim(name.ljust(width), terminal)}  {value}" for name, value in rows])
    body = str(task["body"]).strip("\n")
    notes = lines([f"{_dim(note['at'], terminal)} {note['by']}: {note['text']}" for note in task["notes"]])
    return text + (f"\n{body}\n" if body else "") + (f"\n{notes}" if notes else "")


def _value(name: str, value: Any, terminal: Terminal) -> str:  # noqa: ANN401 - JSON
    if name == "claim":
        return f"{value['holder']} in {value['worktree']} until {value['expires']} (token {value['token']})"
    if name == "status":
        return _coloured(str(value), _STATUS_STYLE.get(str(value), ""), terminal)
    return _plain(value)


def _plain(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return _flat(str(value))


_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34"}


def _coloured(text: str, style: str, terminal: Terminal) -> str:
    if not (terminal.colour and style):
        return text
    codes = ";".join(_CODES[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m"


def _dim(text: str, terminal: Terminal) -> str:
    return _coloured(text, "dim", terminal)


def history_list(entries: Sequence[Row], terminal: Terminal) -> str:
    """Journal entries, one a line."""
    rows = [
        (
            str(entry["seq"]),
            (entry["at"], "dim"),
            (entry["task"], "bold"),
            entry["field"],
            f"{_brief(entry['old'])} → {_brief(entry['new'])}",
            f"{entry['actor']} ({entry['worktree']}, {entry['cause']})",
        )
        for entry in entries
    ]
    return table(("SEQ", "AT", "TASK", "FIELD", "CHANGE", "BY"), rows, terminal)


def _brief(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None:
        return "–"
    if isinstance(value, dict):
        return value.get("holder") or value.get("name") or "…"
    text = _plain(value)
    return text if len(text) <= 40 else text[:39] + "…"  # noqa: PLR2004 - a table's cell


def problem_list(problems: Sequence[Row], terminal: Terminal) -> str:
    """Problems: where, what, and what mends it, three lines each on a terminal."""
    if not terminal.tty:
        keys = ("worktree", "path", "line", "reason", "remedy")
        return lines(["\t".join(_flat(str(row[key] if row[key] is not None else "")) for key in keys) for row in problems])
    if not problems:
        return "no problems\n"
    told = []
    for row in problems:
        line = f":{row['line']}" if row["line"] else ""
        told += [_coloured(f"{row['worktree']}: {row['path']}{line}", "bold", terminal)]
        told += [f"  {_flat(row['reason'])}", f"  {_dim('→ ' + _flat(row['remedy']), terminal)}"]
    return lines(told)


def pairs(facts: Mapping[str, Any], terminal: Terminal) -> str:
    """Names and values, one a line."""
    width = max((len(name) for name in facts), default=0)
    if not terminal.tty:
        return lines([f"{name}\t{_plain(value)}" for name, value in facts.items()])
    return lines([f"{_dim(name.ljust(width), terminal)}  {_plain(value)}" for name, value in facts.items()])


def ago(seconds: float) -> str:
    """A span of time in the largest unit that fits."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.0f} s"


def clock(stamp: float | None) -> str:
    """A moment as UTC, `never` for none."""
    if stamp is None:
        return "never"
    return datetime.fromtimestamp(stamp, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
