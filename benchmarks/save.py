"""From a saved file to the row, the other replicas and the commit, each as an onlooker sees it."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.floors import MANY, document
from benchmarks.registry import Bench, Figure, Row, figure, measurement
from benchmarks.repository import (
    POLL,
    Call,
    Repository,
    await_true,
    calling,
    make_repository,
    milliseconds_since,
    serving,
)
from taskd import wire

SETTLE = 0.05  # seconds; the default, set here so that it can be taken off what was measured
TIMES = 120
PAUSE = 0.35  # seconds between two saves: longer than the least time between two commits
TREES = 3


@measurement("save")
def time_saves(bench: Bench) -> Iterator[Row]:
    """A save until the row is committed, the other replicas are written, and the branch has moved."""
    repository = make_repository(bench.new_dir(), 100, worktrees=TREES - 1)
    with serving(repository, TASKD_SETTLE=str(SETTLE)), repository.index() as db:
        seen = [save_and_look(repository, db, n) for n in range(TIMES)]
    row, replicas, branch = ([times[place] for times in seen] for place in range(3))
    yield Row("save → row committed, less the settle time", less_settle(row), bench.floor("inotify"),
              limit=5, limit_p99=25)  # fmt: skip
    yield Row(
        f"save → {TREES - 1} other worktrees written, less the settle time", less_settle(replicas), limit=10
    )
    yield Row("save → commit on the branch, less the settle time", less_settle(branch), limit=40)


def less_settle(samples: list[float]) -> Figure:
    """What is left when the time that the daemon waits on purpose is taken off."""
    return figure([sample - SETTLE * 1000 for sample in samples])


def save_and_look(repository: Repository, db: sqlite3.Connection, n: int) -> tuple[float, float, float]:
    """Save one task in one worktree, by turns in place and by rename; milliseconds until each is there."""
    time.sleep(PAUSE * random.uniform(1, 1.2))
    task, tree = n % 100, n % TREES
    name = f"Saved {n} times"
    text, tip = document(task).replace(f"Task number {task}\n", f"{name}\n", 1), repository.tip()
    others = [repository.file(other, task) for other in range(TREES) if other != tree]
    begin = save(repository.file(tree, task), text, in_place=bool(n % 2))
    looks: dict[str, Callable[[], bool]] = {
        "row": lambda: (
            db.execute("SELECT name FROM tasks WHERE id = ?", (f"task-{task:05}",)).fetchone()[0] == name
        ),
        "replicas": lambda: all(name in path.read_text() for path in others),
        "branch": lambda: repository.tip() != tip,
    }
    found = dict[str, float]()
    while looks:
        for what in [what for what, look in looks.items() if look()]:
            found[what] = milliseconds_since(begin)
            del looks[what]
        time.sleep(POLL)
    return found["row"], found["replicas"], found["branch"]


def save(path: Path, text: str, *, in_place: bool) -> float:
    """Save a file as editors do; when it was complete under its name."""
    target = path if in_place else path.with_name("saved.tmp")
    target.write_text(text)
    begin = time.perf_counter()
    if not in_place:
        target.replace(path)
    return begin


@measurement("mirror")
def time_mirror(bench: Bench) -> Iterator[Row]:
    """A commit on the branch for one changed task of few and of many, from the answer to its command."""
    for tasks in (10, MANY):
        repository = make_repository(bench.new_dir(), tasks)
        with serving(repository), calling(repository) as call:
            samples = [command_and_look(repository, call, n) for n in range(40)]
        floor = bench.floor("fast-import")
        yield Row(
            f"command answered → commit on the branch, {tasks:,} tasks", figure(samples), floor, limit=25
        )


def command_and_look(repository: Repository, call: Call, n: int) -> float:
    """Change one task by a command; milliseconds from the answer until the branch has moved."""
    time.sleep(PAUSE * random.uniform(1, 1.2))
    tip = repository.tip()
    call("set", wire.Set("task-00003", {"estimate": n + 1}))
    begin = time.perf_counter()
    await_true(lambda: repository.tip() != tip, "the branch moves")
    return milliseconds_since(begin)
