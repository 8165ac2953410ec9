"""How figures are shown: as a table, as JSON, and in docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.registry import Figure, Row

HEAD: Final = ("what", "floor", "measured", "ratio", "reach", "verdict")
BEGIN: Final = "<!-- written by `python -m benchmarks --write`: begin -->"
END: Final = "<!-- end -->"
VERDICTS: Final = {True: "reached", False: "**missed**", None: "-"}


def cells(row: Row) -> tuple[str, ...]:
    """The row as it is printed, one text a column of HEAD."""
    factor = row.times_floor
    return (
        row.what,
        "-" if row.floor is None else shown(row.floor),
        shown(row.measured),
        "-" if factor is None else f"{factor:.2f} ×",
        reach(row),
        VERDICTS[row.is_reached],
    )


def shown(value: Figure) -> str:
    """A figure for people; the 99th percentile only where enough samples stand behind it."""
    tail = f" (p99 {number(value.p99)})" if value.n >= 100 else ""
    return f"{number(value.p50)} {value.unit}{tail}"


def number(value: float) -> str:
    """Three digits that count, thousands with commas."""
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}" if value < 1 else f"{value:.2f}"


def reach(row: Row) -> str:
    """What is asked of the row."""
    unit = row.measured.unit
    asked = (
        "" if row.limit is None else f"≤ {number(row.limit)} {unit}",
        "" if row.limit_p99 is None else f"p99 ≤ {number(row.limit_p99)} {unit}",
        "" if row.least is None else f"≥ {number(row.least)} {unit}",
        "" if row.ratio is None else f"≤ {row.ratio:g} ×",
    )
    return ", ".join(filter(None, asked)) or "-"


def table(rows: Sequence[Row]) -> str:
    """The rows as a markdown table, its columns as wide as their widest cell."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in ruled
    )


def machine(place: Path) -> dict[str, str]:
    """What the figures were measured on, `place` being the directory they were measured in."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "system": platform.platform(terse=True),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "file system": _output("stat", "-f", "-c", "%T", str(place)) or "not told",
        "python": platform.python_version(),
        "git": _output("git", "version").removeprefix("git version "),
        "sqlite": sqlite3.sqlite_version,
    }


def processor() -> str:
    """The processor's name as the system has it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def as_json(rows: Sequence[Row], on: Mapping[str, str]) -> str:
    """Everything measured, for programs."""
    figures = [
        {**asdict(row), "times_floor": row.times_floor, "reach": reach(row), "reached": row.is_reached}
        for row in rows
    ]
    return json.dumps({"schema": 1, "kind": "benchmarks", "data": {"machine": on, "rows": figures}}, indent=1)


def write_page(page: Path, rows: Sequence[Row], on: Mapping[str, str]) -> None:
    """Put the table into the page, in place of the one that is there."""
    facts = " · ".join(f"{name} {value}" for name, value in on.items())
    part = f"{BEGIN}\n{table(rows)}\n\n{facts}\n{END}\n"
    text = page.read_text()
    kept = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END) + "\n", "", text, flags=re.DOTALL)
    before = text.partition(BEGIN)[0] if BEGIN in text else kept.rstrip("\n") + "\n\n"
    page.write_text(before + part + kept[len(before) :])
