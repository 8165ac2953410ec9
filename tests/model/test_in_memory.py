"""Random histories of people, git, commands, crashes and races, with git in memory: the truth survives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from taskd.engine.site import SHARED
from tests.model.histories import LAYOUTS, Broken, history_of, memory_world, run, seeds_of, sweep
from tests.model.machine import machine
from tests.model.steps import DEADLY
from tests.model.world import World

RUNS: Final = 100  # histories of each layout; a soak runs thousands
SOAK: Final = 10_000
PAIRS: Final = 6  # histories that are run twice and have to come to the same


@pytest.mark.parametrize("layout", LAYOUTS)
def test_histories(layout: str) -> None:
    """Whatever people, git and crashes do in whatever order, no edit is lost and nothing stale returns."""
    found = sweep(layout, memory_world, seeds_of(RUNS))

    assert not found.broken, "\n".join(f"seed {seed}: {broken}" for seed, broken in found.broken.items())


@pytest.mark.soak
@pytest.mark.timeout(0)  # 13 histories a second and core
@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_histories(layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same over thousands of histories; the seeds of those that break a law are printed."""
    found = sweep(layout, memory_world, seeds_of(SOAK), keep_going=10)

    with capsys.disabled():
        print(f"\n{layout}: {found}")  # noqa: T201 - a soak tells what it did
    assert not found.broken, "\n".join(f"seed {seed}: {broken}" for seed, broken in found.broken.items())


def test_machine() -> None:
    """Hypothesis finds no history either that breaks a law."""
    few = settings(
        max_examples=25,
        derandomize=True,  # surprises are for soaks
        stateful_step_count=40,
        phases=(Phase.generate, Phase.shrink),  # to explain takes more time than it is worth
        suppress_health_check=list(HealthCheck),
    )

    run_state_machine_as_test(machine(memory_world, SHARED), settings=few)


def ending(seed: int, layout: str, without: tuple[str, ...], prepare: Callable[[World], object]) -> World:
    """A history that ended well."""
    ended = run(history_of(seed, without=without), layout, memory_world, prepare)
    assert not isinstance(ended, Broken), f"seed {seed}: {ended}"
    return ended


@pytest.mark.parametrize("layout", LAYOUTS)
def test_crash(layout: str) -> None:
    """Killed before every look at one step after the other, a history ends as it does undisturbed."""
    for seed in seeds_of(PAIRS):
        deaths = itertools.cycle(DEADLY[seed:] + DEADLY[:seed])

        undisturbed = ending(seed, layout, ("die", "race"), lambda _: None)
        killed = ending(seed, layout, ("die", "race"), lambda w, d=deaths: setattr(w, "deaths", d))  # type: ignore[misc]

        assert (seed, killed.ending) == (seed, undisturbed.ending)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_order_of_worktrees(layout: str) -> None:
    """Edits that do not conflict come to the same in whatever order worktrees are looked at."""
    both_at_once = ("type element again",)  # of an element taken out elsewhere the later look decides
    without = ("die", "race", "type status", "rename file", "remove file", "rm", "restore", *both_at_once)
    for seed in seeds_of(PAIRS):
        forth = ending(seed, layout, without, lambda _: None)
        back = ending(seed, layout, without, lambda w: setattr(w, "order", lambda keys: keys[::-1]))

        if not (forth.oracle.counts["conflicts"] or back.oracle.counts["conflicts"]):
            assert (seed, slots(back)) == (seed, slots(forth))


def slots(world: World) -> dict[str, dict[str, str]]:
    """What each head says."""
    return {id: said.slots for id, said in world.oracle.heads.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_events_and_scans(layout: str) -> None:
    """What follows from events, file by file, is what follows from a fresh scan."""
    for seed in seeds_of(PAIRS):
        told = ending(seed, layout, ("die", "race"), lambda w: setattr(w, "by_events", True))
        seen = ending(seed, layout, ("die", "race"), lambda w: setattr(w, "by_events", False))

        assert (seed, told.ending) == (seed, seen.ending)
