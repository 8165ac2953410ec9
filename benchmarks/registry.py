"""How a measurement is written: a function with a name, that gives rows.

    from benchmarks.registry import Bench, Row, measurement, timed

    @measurement("cli")
    def cli_verb(bench: Bench) -> Iterable[Row]:
        '''A verb, daemon up.'''
        times = timed(lambda: run("taskd", "where"), 30)
        yield Row("a CLI verb, daemon up", times, floor=bench.floor("python"), ratio=1.3)

A module of this folder is found by itself. Environment, home and configuration are temporary for the
whole run; `bench.new_dir()` gives a place that is gone afterwards.
"""

from __future__ import annotations

import importlib
import pkgutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import benchmarks


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured: median and 99th percentile of `n` samples, in `unit`."""

    p50: float
    p99: float
    n: int = 1
    unit: str = "ms"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a figure, its floor and how far it is to reach.

    At most `limit` (and `limit_p99`) in the figure's unit, at least `least` of it, at most `ratio`
    times the floor; each None when it is not asked for.
    """

    what: str
    measured: Figure
    floor: Figure | None = None
    limit: float | None = None
    limit_p99: float | None = None
    least: float | None = None
    ratio: float | None = None

    @property
    def times_floor(self) -> float | None:
        """The measured median as a multiple of the floor's; None without a comparable floor."""
        if self.floor is None or self.floor.unit != self.measured.unit:
            return None
        return self.measured.p50 / self.floor.p50

    @property
    def is_reached(self) -> bool | None:
        """Whether everything asked for is met; None when nothing is asked for or cannot be told."""
        factor = self.times_floor
        asked = [
            None if self.limit is None else self.measured.p50 <= self.limit,
            None if self.limit_p99 is None else self.measured.p99 <= self.limit_p99,
            None if self.least is None else self.measured.p50 >= self.least,
            None if self.ratio is None or factor is None else factor <= self.ratio,
        ]
        answers = [answer for answer in asked if answer is not None]
        return all(answers) if answers else None


@dataclass
class Bench:
    """What a measurement works with."""

    top: Path
    _floors: dict[str, Figure | None] = field(default_factory=dict)

    def new_dir(self) -> Path:
        """A directory of its own, on the file system that the whole run measures."""
        return Path(tempfile.mkdtemp(dir=self.top))

    def floor(self, name: str) -> Figure | None:
        """A floor by name, measured once a run; None where this system cannot measure it."""
        if name not in self._floors:
            self._floors[name] = FLOORS[name](self)
        return self._floors[name]


Measurement = Callable[[Bench], Iterable[Row]]
Floor = Callable[[Bench], Figure | None]

MEASUREMENTS: Final[dict[str, Measurement]] = {}
FLOORS: Final[dict[str, Floor]] = {}


def measurement(name: str) -> Callable[[Measurement], Measurement]:
    """Register a function that gives rows; its docstring is what `--list` shows."""

    def register(function: Measurement) -> Measurement:
        MEASUREMENTS[name] = function
        return function

    return register


def floor(name: str) -> Callable[[Floor], Floor]:
    """Register a function that measures the least this machine needs for some bare work."""

    def register(function: Floor) -> Floor:
        FLOORS[name] = function
        return function

    return register


def load_all() -> None:
    """Import every module of this folder, so that each registers what it has."""
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name != "__main__":
            importlib.import_module(f"benchmarks.{module.name}")


def timed(work: Callable[[], object], times: int, *, warm_up: int = 2) -> Figure:
    """Call `work` so often and give the milliseconds one call takes."""
    for _ in range(warm_up):
        work()
    return figure([_milliseconds(work) for _ in range(times)])


def figure(samples: list[float], unit: str = "ms") -> Figure:
    """Median and 99th percentile of samples."""
    ordered = sorted(samples)
    last = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return Figure(statistics.median(ordered), last, len(ordered), unit)


def _milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begin) / 1e6
