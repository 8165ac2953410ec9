"""The same happenings as rules of a state machine, so that hypothesis finds and shortens histories."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.model import laws
from tests.model.draw import Draw
from tests.model.histories import NUMBERS, Make
from tests.model.steps import ACTS
from tests.model.world import World

CHOICES = st.lists(st.integers(0, 999), max_size=NUMBERS)


def machine(make: Make, layout: str) -> type[RuleBasedStateMachine]:
    """A machine that works on a world; every kind of happening is a rule."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.opened = make(layout)
            self.world: World = self.opened.__enter__()

        def teardown(self) -> None:
            try:
                laws.judge_end(self.world)
            finally:
                self.opened.__exit__(None, None, None)

    for kind in ACTS:
        setattr(Machine, kind.replace(" ", "_"), rule(numbers=CHOICES)(_step(kind)))
    return Machine


def _step(kind: str) -> Callable[[RuleBasedStateMachine, list[int]], None]:
    def step(self: RuleBasedStateMachine, numbers: list[int]) -> None:
        world: World = self.world  # type: ignore[attr-defined]
        world.note(f"-- {kind}")
        ACTS[kind][0](world, Draw(numbers))

    step.__name__ = kind.replace(" ", "_")
    return step
