"""Numbers that choose, so that a history is a value which can be run again and made shorter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.model.world import World

T = TypeVar("T")


@dataclass
class Draw:
    """Numbers that choose, in order; when they run out, zeros."""

    numbers: Sequence[int]
    at: int = 0

    def number(self) -> int:
        """The next number."""
        self.at += 1
        return self.numbers[self.at - 1] if self.at <= len(self.numbers) else 0

    def of(self, some: Sequence[T]) -> T:
        """One of some."""
        return some[self.number() % len(some)]

    def chance(self, percent: int) -> bool:
        """Whether something of that chance happens; it does not for zero, so that shrinking avoids it."""
        return self.number() % 100 >= 100 - percent


Act = Callable[[World, Draw], object]
