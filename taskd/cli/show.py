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
_BRIEF: Final = 40  # characters of a value in a table
_GAP: Final = 2  # columns between two of a table
_LEGIBLE: Final = 9  # columns a cell keeps as long as others can give way
_NARROWEST: Final = 40  # columns; what claims to be narrower is no terminal a table fits in


def table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], terminal: Terminal, shrink: Sequence[str] = ()
) -> str:
    """A table; cells are texts or (text, style). Piped: one line a row, cells joined by tabs.

    Where the terminal is too narrow, the columns named in `shrink` are cut first.
    """
    if not terminal.tty:
        return lines(["\t".join(flat(_text(cell)) for cell in row) for row in rows])
    from rich import cells, console, table, text  # noqa: PLC0415 - only for terminals: it takes a while

    shown = [[(flat(_text(cell)), _style(cell)) for cell in row] for row in rows]
    wants = [max(map(cells.cell_len, column)) for column in zip(headings, *_words(shown), strict=True)]
    widths = _fitted(wants, max(_NARROWEST, terminal.columns or 100), [name in shrink for name in headings])
    grid = table.Table(box=None, pad_edge=False, header_style="dim", padding=(0, _GAP, 0, 0))
    for heading, width in zip(headings, widths, strict=True):
        grid.add_column(heading, overflow="ellipsis", no_wrap=True, width=width)
    for row in shown:
        grid.add_row(*(text.Text(word, style) for word, style in row))
    out = io.StringIO()
    console.Console(
        file=out,
        width=max(_NARROWEST, terminal.columns or 100),
        color_system="standard" if terminal.colour else None,
        force_terminal=terminal.colour,
        no_color=not terminal.colour,
        highlight=False,
        legacy_windows=False,
        _environ={},  # what is known of the terminal stands above; the daemon's own environment is not it
    ).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _words(rows: Sequence[Sequence[tuple[str, str]]]) -> list[list[str]]:
    return [[word for word, _ in row] for row in rows]


def _fitted(wants: Sequence[int], room: int, shrink: Sequence[bool]) -> list[int]:
    """Column widths that fit into `room`: the widest gives way, those that may shrink before others."""
    widths = list(wants)
    while sum(widths) + _GAP * (len(widths) - 1) > room:
        willing = [n for n, width in enumerate(widths) if shrink[n] and width > _LEGIBLE]
        widest = max(willing or range(len(widths)), key=lambda n: widths[n])
        if widths[widest] <= 1:
            break
        widths[widest] -= 1
    return widths


def _text(cell: Any) -> str:  # noqa: ANN401 - a cell
    return str(cell[0] if isinstance(cell, tuple) else cell)


def _style(cell: Any) -> str:  # noqa: ANN401 - a cell
    return str(cell[1]) if isinstance(cell, tuple) else ""


def flat(text: str) -> str:
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
    headings = ("ID", "STATUS", "PRIORITY", "WHO", "NAME", "WAITS FOR")
    return table(headings, rows, terminal, shrink=("ID", "WHO", "NAME", "WAITS FOR"))


_FACTS: Final = (
    "id",
    "name",
    "status",
    "reason",
    "progress",
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
    "merge",
    "participants",
    "context",
    "feedback",
    "created",
    "modified",
    "revision",
    "deleted_at",
)


def task_detail(task: Row, terminal: Terminal) -> str:
    """One task: its facts that are known, then its criteria, body and notes."""
    facts = [
        (name.replace("_", " "), _value(name, task[name], terminal)) for name in _FACTS if task.get(name)
    ]
    facts += [(flat(key), _plain(value)) for key, value in task["extra"].items()]
    if task.get("conflicts"):
        facts.append(("conflicts", f"{task['conflicts']}: `taskd conflicts {task['id']}`"))
    facts += [("file", flat(f"{file['worktree']}: {file['path']}")) for file in task["files"]]
    boxes = [f"[{'x' if item['met'] else ' '}] {_criterion(item)}" for item in task["success_criteria"]]
    notes = [
        f"{dim(note['at'], terminal)} {flat(note['by'])}: {flat(note['text'])}" for note in task["notes"]
    ]
    parts = [_aligned(facts, terminal), lines(boxes), _body(str(task["body"])), lines(notes)]
    return "\n".join(part for part in parts if part)


def _criterion(item: Row) -> str:
    measurable = f" ({flat(item['measurable'])})" if item["measurable"] else ""
    return flat(item["criterion"]) + measurable


def _body(text: str) -> str:
    """A body as it is, but for control characters that could drive a terminal."""
    return (
        lines([flat(line.replace("\t", "    ")) for line in text.strip("\n").split("\n")])
        if text.strip()
        else ""
    )


def _aligned(facts: Sequence[tuple[str, str]], terminal: Terminal) -> str:
    """Names and values, one a line: aligned on a terminal, joined by a tab when piped."""
    if not terminal.tty:
        return lines([f"{name}\t{value}" for name, value in facts])
    width = max((len(name) for name, _ in facts), default=0)
    return lines([f"{dim(name.ljust(width), terminal)}  {value}" for name, value in facts])


def _value(name: str, value: Any, terminal: Terminal) -> str:  # noqa: ANN401 - JSON
    if name == "claim":
        return flat(
            f"{value['holder']} in {value['worktree']} until {value['expires']} (token {value['token']})"
        )
    if name == "status":
        return coloured(str(value), _STATUS_STYLE.get(str(value), ""), terminal)
    if name == "progress":
        return flat(f"{value['percent']} % {value['text']}")
    return _plain(value)


def _plain(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{flat(key)}: {_plain(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else flat(str(value))


_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34"}


def coloured(text: str, style: str, terminal: Terminal) -> str:
    """A text in a style such as `bold red`, on a terminal that takes colour."""
    if not (terminal.colour and style):
        return text
    codes = ";".join(_CODES[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m"


def dim(text: str, terminal: Terminal) -> str:
    """A text that stands back."""
    return coloured(text, "dim", terminal)


def history_list(entries: Sequence[Row], terminal: Terminal) -> str:
    """Journal entries, one a line."""
    rows = [
        (
            str(entry["seq"]),
            (_when(entry["at"], terminal), "dim"),
            (entry["task"], "bold"),
            *_change(entry),
            f"{entry['actor']} ({entry['worktree']}, {entry['cause']})",
        )
        for entry in entries
    ]
    return table(
        ("SEQ", "AT", "TASK", "FIELD", "CHANGE", "BY"), rows, terminal, shrink=("TASK", "CHANGE", "BY")
    )


def _change(entry: Row) -> tuple[str, str]:
    """What was changed and how; of a conflict what was settled, with both values and the answer."""
    old, new = entry["old"], entry["new"]
    if entry["field"] != "conflict" or not isinstance(old, dict) or "file" not in old:
        return entry["field"], f"{_brief(old)} → {_brief(new)}"
    sides = f"index {_brief(old['index'])}, file {_brief(old['file'])}"
    return f"conflict: {flat(old['field'])}", f"{sides} → {new['take'] if new else 'deleted'}"


def _brief(value: Any) -> str:  # noqa: ANN401 - JSON
    if value in (None, [], {}, ""):
        return "–"
    if isinstance(value, dict):
        return flat(str(value.get("holder") or value.get("name") or "…"))
    text = _plain(value)
    return text if len(text) <= _BRIEF else text[: _BRIEF - 1] + "…"


def problem_list(problems: Sequence[Row], terminal: Terminal, none: str = "no problems") -> str:
    """Problems: where, what, and what mends it, three lines each on a terminal."""
    if not terminal.tty:
        keys = ("worktree", "path", "line", "reason", "remedy")
        return table(
            (), [["" if row[key] is None else row[key] for key in keys] for row in problems], terminal
        )
    if not problems:
        return f"{none}\n"
    told = []
    for row in problems:
        line = f":{row['line']}" if row["line"] else ""
        told += [coloured(flat(f"{row['worktree']}: {row['path']}{line}"), "bold", terminal)]
        told += [f"  {flat(row['reason'])}", f"  {dim('→ ' + flat(row['remedy']), terminal)}"]
    return lines(told)


def conflict_list(conflicts: Sequence[Row], terminal: Terminal) -> str:
    """Conflicts, one a line: the value that stands and the one that could not."""
    if not conflicts and terminal.tty:
        return "no conflicts\n"
    rows = [
        (
            str(row["id"]),
            (row["task"], "bold"),
            row["field"],
            _brief(row["index"]),
            _brief(row["file"]),
            row["worktree"],
            (_when(row["since"], terminal), "dim"),
        )
        for row in conflicts
    ]
    headings = ("ID", "TASK", "FIELD", "INDEX", "FILE", "WORKTREE", "SINCE")
    return table(headings, rows, terminal, shrink=("TASK", "INDEX", "FILE"))


def hold_list(holds: Sequence[Row], terminal: Terminal) -> str:
    """Held deletions, one a line."""
    if not holds and terminal.tty:
        return "no holds\n"
    rows = [
        (
            str(row["id"]),
            row["worktree"],
            str(len(row["tasks"])),
            row["reason"],
            (_when(row["since"], terminal), "dim"),
        )
        for row in holds
    ]
    return table(("ID", "WORKTREE", "TASKS", "REASON", "SINCE"), rows, terminal, shrink=("REASON",))


def pairs(facts: Mapping[str, Any], terminal: Terminal) -> str:
    """Names and values, one a line; what is empty is left out on a terminal."""
    shown = [(name, _plain(value)) for name, value in facts.items()]
    return _aligned([row for row in shown if row[1] or not terminal.tty], terminal)


def _when(stamp: str, terminal: Terminal) -> str:
    """A moment to the second for people, as it is when piped."""
    return stamp[:19].replace("T", " ") if terminal.tty else stamp


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
