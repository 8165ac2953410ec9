"""Histories: made from a seed, run, judged at their end, and made short when one breaks a law."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from taskd.engine.engine import Engine
from taskd.engine.site import SHARED, TRACKED, History, Rules, Site
from taskd.repo.branch import Branch
from taskd.repo.git import Git
from taskd.repo.history import History as GitHistory
from taskd.repo.lock import FileLock
from taskd.repo.worktrees import Repository
from tests.engine.bench import REF, Database, Events, Times
from tests.model import laws
from tests.model.hands import Hands, RealHands
from tests.model.memory_git import MemoryHistory
from tests.model.memory_hands import Door, MemoryHands
from tests.model.places import MIXED
from tests.model.sayings import BrokenLawError
from tests.model.steps import ACTS, Happening
from tests.model.world import World

LENGTH: Final = 40  # steps of a history
NUMBERS: Final = 12  # that a step may draw
SHRINKS: Final = 150  # runs spent on making a history short
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one
LAYOUTS: Final = (SHARED, TRACKED, MIXED)

Story = tuple[Happening, ...]
Make = Callable[[str], AbstractContextManager["World"]]


@dataclass(frozen=True)
class Broken:
    """A history that broke a law."""

    reason: str
    history: Story
    trace: Sequence[str]

    def __str__(self) -> str:
        """What happened, to be read by a person."""
        steps = [f"    Happening({step.kind!r}, {step.numbers})," for step in self.history]
        return "\n".join([self.reason, "", *self.trace, "", "history = (", *steps, ")"])


def history_of(seed: int, length: int = LENGTH, without: Sequence[str] = ()) -> Story:
    """The history of a seed."""
    chance = random.Random(seed)
    kinds = [kind for kind in ACTS if kind not in without]
    weights = [ACTS[kind][1] for kind in kinds]
    return tuple(
        Happening(kind, tuple(chance.randrange(1000) for _ in range(NUMBERS)))
        for kind in chance.choices(kinds, weights, k=length)
    )


@contextmanager
def somewhere() -> Iterator[Path]:
    """A directory, in memory where there is such a file system, gone afterwards."""
    place = tempfile.mkdtemp(prefix="taskd-model-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    try:
        yield Path(place).resolve()
    finally:
        shutil.rmtree(place)


@contextmanager
def real_world(layout: str) -> Iterator[World]:
    """A real repository with three worktrees and a few tasks that taskd knows."""
    with somewhere() as base:
        top = base / "main"
        hands = RealHands({"main": top})
        top.mkdir()
        hands(top, "init", "-q", "-b", "main")
        hands(top, "commit", "-q", "--allow-empty", "-m", "begin")
        if layout == SHARED:
            hands.ignore_tasks()

        def look(common: Path) -> tuple[Git, History]:
            door = Git(common, scratch=common / "taskd" / "scratch")
            return door, GitHistory(door, "tasks")

        with settled(make_world(hands, layout, look)) as world:
            yield world


@contextmanager
def memory_world(layout: str) -> Iterator[World]:
    """The same with git in memory."""
    with somewhere() as base:
        top = base / "main"
        hands = MemoryHands({"main": top}, ignores=layout == SHARED)
        hands.begin()

        def look(common: Path) -> tuple[Git, History]:
            return Door(common, hands), MemoryHistory(hands.graph, hands.checkouts)

        with settled(make_world(hands, layout, look, mirrors=False)) as world:
            yield world


@contextmanager
def settled(world: World) -> Iterator[World]:
    """A world with a few tasks in three worktrees, all of them known."""
    for _ in range(3):
        world.new_task("main")
    if world.layout != SHARED:
        world.hands.commit("main", amend=False)
    if world.layout == MIXED:
        world.hands.ignore_tasks()
    for name in ("one", "two"):
        assert world.hands.add_tree(name, "main", branch=True)
    try:
        world.settle()
        yield world
    finally:
        world.close()


def make_world(
    hands: Hands, layout: str, look: Callable[[Path], tuple[Git, History]], *, mirrors: bool = True
) -> World:
    """A world around a repository that was just made; `look` opens what taskd sees of git."""
    top = hands.paths["main"]
    common = top / ".git"
    state = common / "taskd"
    state.mkdir()
    repository, rules = Repository(common, top, "sha1"), Rules(layout=SHARED if layout == MIXED else layout)
    times = Times()
    db = Database(times)

    def make_engine() -> Engine:
        door, history = look(common)
        site = Site(repository, state, rules, db, door, history, FileLock(state / "write.lock"), Events())
        return Engine(site, Branch(door, REF), FileLock(state / "mirror.lock"), times.nanoseconds)

    return World(hands=hands, layout=layout, db=db, times=times, mirrors=mirrors, make_engine=make_engine)


def run(
    history: Story, layout: str, make: Make = real_world, prepare: Callable[[World], object] = lambda _: None
) -> World | Broken:
    """Let a history happen and judge it; the world as it ended, closed, or what broke."""
    trace, at = list[str](), 0
    try:
        with make(layout) as world:
            prepare(world)
            trace = world.trace
            for at, step in enumerate(history):
                world.note(f"-- {at} {step.kind}")
                step.happen(world)
            laws.judge_end(world)
            return world
    except BrokenLawError as error:
        return Broken(str(error), history[: at + 1], trace)


def shorten(broken: Broken, again: Callable[[Story], World | Broken], runs: int = SHRINKS) -> Broken:
    """The shortest history found, by leaving steps out, that breaks a law of the same number."""
    law, size = broken.reason[:3], max(1, len(broken.history) // 2)
    while size and runs > 0:
        start = 0
        while start < len(broken.history) and runs > 0:
            less = broken.history[:start] + broken.history[start + size :]
            runs -= 1
            found = again(less)
            if isinstance(found, Broken) and found.reason[:3] == law:
                broken = found
            else:
                start += size
        size = size // 2 if size > 1 or len(broken.history) > 1 else 0
        if size == 0:
            break
    return broken


@dataclass
class Sweep:
    """Many histories of one layout."""

    runs: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    broken: dict[int, Broken] = field(default_factory=dict)

    def __str__(self) -> str:
        """How many, how long, and what happened in them."""
        rate = self.runs / max(self.seconds, 0.001)
        told = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return f"{self.runs} histories in {self.seconds:.0f} s ({rate:.1f} a second): {told}"


def sweep(layout: str, make: Make, seeds: Sequence[int], keep_going: int = 1) -> Sweep:
    """Run the histories of these seeds; stop when `keep_going` of them are broken."""
    found, begun = Sweep(), time.monotonic()
    for seed in seeds:
        ended = run(history_of(seed), layout, make)
        found.runs += 1
        found.seconds = time.monotonic() - begun
        if isinstance(ended, World):
            found.counts += ended.oracle.counts
        else:
            found.broken[seed] = shorten(ended, lambda less: run(less, layout, make))
            if len(found.broken) == keep_going:
                break
    return found


def seeds_of(runs: int) -> range:
    """The seeds to run: `TASKD_MODEL_SEED=n` replays one, `TASKD_MODEL_RUNS=m` runs m from there on."""
    first, wanted = os.environ.get("TASKD_MODEL_SEED"), os.environ.get("TASKD_MODEL_RUNS")
    count = int(wanted) if wanted else 1 if first else runs
    return range(int(first or 0), int(first or 0) + count)
