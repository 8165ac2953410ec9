"""The command line, with the daemon up: a process a command, as a shell or an agent starts them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from benchmarks.floors import MANY
from benchmarks.registry import Bench, Row, measurement
from benchmarks.repository import Repository, beside_python, make_repository, serving

TIMES = 60  # of each verb, and as often bare Python
GOAL = 1.3  # times bare Python

#: name and the command lines that are run in turns
VERBS = {
    "list --limit 20": ["list --limit 20"],
    "ready --limit 20": ["ready --limit 20"],
    "show ID": ["show task-00003"],
    "status ID STATUS": ["status task-00003 in-progress", "status task-00003 pending"],
    "claim ID": ["claim task-00004", "release task-00004"],
}


@measurement("verbs")
def time_verbs(bench: Bench) -> Iterator[Row]:
    """Five verbs of the command line, with 10 and 10,000 tasks."""
    for tasks in (10, MANY):
        repository = make_repository(bench.new_dir(), tasks)
        with serving(repository):
            for name, calls in VERBS.items():
                measured, floor = beside_python(caller(repository, calls), TIMES)
                yield Row(f"taskd {name}, {tasks:,} tasks", measured, floor, ratio=GOAL)


def caller(repository: Repository, calls: Iterable[str]) -> Callable[[], object]:
    """A function that runs the next of some command lines, and after the last the first again."""
    turns = itertools.cycle(calls)
    return lambda: repository.taskd(*next(turns).split())
