"""Many files at once, as a script or an agent that plans writes them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.registry import Bench, Row, figure, measurement
from benchmarks.repository import (
    await_true,
    count_of,
    make_repository,
    milliseconds_since,
    serving,
    write_tasks,
)

FILES = 1000
TIMES = 3


@measurement("burst")
def time_bursts(bench: Bench) -> Iterator[Row]:
    """1,000 files saved at once, until all are in the index and on the branch, and in how many commits."""
    seen = [time_burst(bench) for _ in range(TIMES)]
    indexed, mirrored, commits = ([times[place] for times in seen] for place in range(3))
    yield Row(f"{FILES:,} files saved at once → in the index", figure(indexed), limit=2500)
    yield Row(f"{FILES:,} files saved at once → on the branch", figure(mirrored), limit=2500)
    yield Row(f"{FILES:,} files saved at once: commits", count_of(commits, "commits"), limit=10)


def time_burst(bench: Bench) -> tuple[float, float, float]:
    """One burst: milliseconds until the rows are there, until the branch has all, and its commits."""
    repository = make_repository(bench.new_dir(), 0)
    with serving(repository), repository.index() as db:
        before = repository.commits() if repository.tip() else 0
        begin = time.perf_counter()
        write_tasks(repository.top / "tasks", FILES)
        await_true(lambda: db.execute("SELECT count(*) FROM tasks").fetchone()[0] == FILES, "rows", 0.002)
        indexed = milliseconds_since(begin)
        await_true(lambda: repository.tip() and repository.mirrored() == FILES, "the branch", 0.01)
        return indexed, milliseconds_since(begin), repository.commits() - before
