"""Random histories in a real repository with real git commands: the truth survives them."""

from __future__ import annotations

from typing import Final

import pytest

from tests.model.histories import LAYOUTS, real_world, seeds_of, sweep

RUNS: Final = 12  # histories of each layout; a soak runs thousands
SOAK: Final = 1_000


@pytest.mark.parametrize("layout", LAYOUTS)
def test_histories(layout: str) -> None:
    """Switch, merge, rebase, stash, reset and gc in four worktrees lose no edit and bring nothing stale."""
    found = sweep(layout, real_world, seeds_of(RUNS))

    assert not found.broken, "\n".join(f"seed {seed}: {broken}" for seed, broken in found.broken.items())


@pytest.mark.soak
@pytest.mark.timeout(0)  # two or three histories a second
@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_histories(layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same over thousands of histories; the seeds of those that break a law are printed."""
    found = sweep(layout, real_world, seeds_of(SOAK), keep_going=10)

    with capsys.disabled():
        print(f"\n{layout}: {found}")  # noqa: T201 - a soak tells what it did
    assert not found.broken, "\n".join(f"seed {seed}: {broken}" for seed, broken in found.broken.items())
