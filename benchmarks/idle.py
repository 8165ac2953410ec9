"""A daemon that has nothing to do, in a large repository with many worktrees."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.floors import MANY
from benchmarks.registry import Bench, Row, measurement
from benchmarks.repository import count_of, make_repository, serving

WORKTREES = 16
SECONDS = 60.0


@measurement("idle")
def watch_idle(bench: Bench) -> Iterator[Row]:
    """CPU and memory of a daemon with 16 worktrees and 10,000 tasks over a minute; Linux only."""
    if not Path("/proc/self/stat").exists():
        return
    repository = make_repository(bench.new_dir(), MANY, worktrees=WORKTREES - 1, layout="tracked")
    with serving(repository) as pid:
        before = cpu_seconds(pid)
        begin = time.monotonic()
        time.sleep(SECONDS)
        share = (cpu_seconds(pid) - before) / (time.monotonic() - begin) * 100
        resident = resident_megabytes(pid)
    yield Row(f"idle, {WORKTREES} worktrees, {MANY:,} tasks: CPU", count_of([share], "%"), limit=0.2)
    yield Row(f"idle, {WORKTREES} worktrees, {MANY:,} tasks: memory", count_of([resident], "MB"), limit=80)


def cpu_seconds(pid: int) -> float:
    """What a process and those of its children that have ended have used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    """The memory that a process has in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
