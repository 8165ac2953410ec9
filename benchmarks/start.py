"""Starting on a large repository: for the first time, and when nothing has changed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from benchmarks.floors import MANY
from benchmarks.registry import Bench, Figure, Row, figure, measurement
from benchmarks.repository import (
    TASKD,
    Repository,
    await_true,
    make_repository,
    milliseconds_since,
    serving,
    settle,
    start_daemon,
    status,
)

WARM_STARTS = 7


@measurement("start")
def time_starts(bench: Bench) -> Iterator[Row]:
    """10,000 files: `init` and daemon until all is in the index, and on the branch; then a warm restart."""
    repository = make_repository(bench.new_dir(), MANY, set_up=False)
    begin = time.perf_counter()
    init = subprocess.Popen([TASKD, "init", "--shared"], cwd=repository.top, stdout=subprocess.DEVNULL)
    await_true(lambda: rows(repository) == MANY, "every task is in the index", 0.02)
    yield Row("cold start: 10,000 files → in the index", single(begin), bench.floor("parse"), limit=6000)
    init.wait()
    with start_daemon(repository):
        settle(repository)
        yield Row("cold start: 10,000 files → daemon up, workspace and branch complete", single(begin),
                  bench.floor("parse"))  # fmt: skip
    ready, scanned = list[float](), list[float]()
    for _ in range(WARM_STARTS):
        begin = time.perf_counter()
        with serving(repository, quiet=False):
            ready.append(milliseconds_since(begin))
            await_true(lambda: is_idle(repository), "everything is looked at", 0.005)
            scanned.append(milliseconds_since(begin))
    yield Row(
        "warm restart: 10,000 files → commands are answered", figure(ready), bench.floor("python"), limit=500
    )
    yield Row("warm restart: 10,000 files → all looked at", figure(scanned), bench.floor("scan"), limit=500)


def rows(repository: Repository) -> int:
    """How many tasks the index has; 0 before there is one."""
    if not (repository.state / "index.db").exists():
        return 0
    with repository.index() as db:
        try:
            return int(db.execute("SELECT count(*) FROM tasks").fetchone()[0])
        except Exception:  # noqa: BLE001 - the schema is being made
            return 0


def is_idle(repository: Repository) -> bool:
    """Whether the daemon has scanned and nothing waits."""
    told = status(repository)
    return told is not None and told["last_scan"] is not None and told["queue"] == 0


def single(begin: float) -> Figure:
    """The time since `begin` as the only sample."""
    return figure([milliseconds_since(begin)])
