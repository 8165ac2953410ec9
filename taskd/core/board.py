"""BOARD.md: the live board that any git host shows, in markdown with a mermaid graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from taskd.core.query import Query
from taskd.core.task import Status, Task

BOARD_FILE: Final = "BOARD.md"
ROWS: Final = 30  # tasks a column; the page stays readable, and writing it stays flat in tasks

#: what the board needs to know, by column
BOARD_QUERIES: Final[Mapping[str, Query]] = {
    "In progress": Query(statuses=("in-progress",), limit=ROWS),
    "Ready": Query(ready=True, limit=ROWS),
    "Blocked": Query(statuses=("blocked",), limit=ROWS),
    "Failed": Query(statuses=("failed",), limit=ROWS),
}

_COLOURS: Final = {
    "In progress": "#cfe8ff",
    "Ready": "#d7f5d7",
    "Blocked": "#ffe3c2",
    "Failed": "#ffd0d0",
}

Blockers = Callable[[Iterable[str]], Mapping[str, Sequence[str]]]


def board(columns: Mapping[str, Sequence[Task]], counts: Mapping[Status, int], blockers: Blockers) -> str:
    """The page: counts, a table a column, and the graph of the tasks shown."""
    shown = {task.id: task for tasks in columns.values() for task in tasks}
    waits = blockers(shown)
    total = " · ".join(f"{counts.get(status, 0)} {status}" for status in Status)
    parts = ["# Board", "", total, ""]
    for title, tasks in columns.items():
        if tasks:
            parts += [f"## {title}", "", *_table(tasks, waits), ""]
    parts += _graph(columns, waits)
    return "\n".join(parts)


def _table(tasks: Sequence[Task], waits: Mapping[str, Sequence[str]]) -> list[str]:
    rows = ["| task | name | priority | who | waits for |", "|---|---|---|---|---|"]
    for task in tasks:
        who = task.claim.holder if task.claim else task.assignee or ""
        cells = (f"`{task.id}`", task.name, task.priority or "", who, ", ".join(waits.get(task.id, ())))
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return rows


def _cell(text: str) -> str:
    escaped = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return escaped.replace("<", "&lt;")


def _graph(columns: Mapping[str, Sequence[Task]], waits: Mapping[str, Sequence[str]]) -> list[str]:
    edges = [(on, id) for id, ons in waits.items() for on in ons]
    if not edges:
        return []
    nodes = {id: f"n{number}" for number, id in enumerate(dict.fromkeys(i for e in edges for i in e))}
    lines = ["## Waiting", "", "```mermaid", "graph LR"]
    lines += [f'  {name}["{_label(id)}"]' for id, name in nodes.items()]
    lines += [f"  {nodes[on]} --> {nodes[id]}" for on, id in edges]
    for title, tasks in columns.items():
        members = [nodes[task.id] for task in tasks if task.id in nodes]
        if members:
            name = title.replace(" ", "")
            lines += [f"  classDef {name} fill:{_COLOURS[title]}", f"  class {','.join(members)} {name}"]
    return [*lines, "```", ""]


def _label(id: str) -> str:
    return id.replace('"', "'")
