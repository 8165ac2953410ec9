"""Steps 1 and 2: paths that something happened to, kept until they have been quiet for a moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

PATIENCE: Final = 0.5  # seconds; a file that is touched without pause is read after that all the same
GATE_REST: Final = 0.2  # seconds after a git command let go of its locks, for what it still writes
GATE_CAP: Final = 60.0  # seconds; a lock older than that is a stale one, and edits are taken
GATE_POLL: Final = 0.05  # seconds between looks at a closed gate


@dataclass(slots=True)
class _Pending:
    first: float
    last: float
    paths: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Gate:
    closed_at: float
    open_at: float | None = None


@dataclass(slots=True)
class Touches:
    """Touched paths by place. Times are seconds of a monotonic clock, given by the caller."""

    settle: float
    _pending: dict[str, _Pending] = field(default_factory=dict)
    _gates: dict[str, _Gate] = field(default_factory=dict)

    def remember(self, place: str, path: str, now: float) -> None:
        """Something happened to a path; what it was is not believed."""
        pending = self._pending.setdefault(place, _Pending(now, now))
        pending.last = now
        pending.paths.add(path)

    def settled(self, now: float) -> dict[str, list[str]]:
        """Batches that are quiet long enough, or have waited long enough; they are taken out."""
        ready = [place for place, pending in self._pending.items() if now >= self._due(pending)]
        return {place: sorted(self._pending.pop(place).paths) for place in ready}

    def gate(self, place: str, now: float, *, locked: bool) -> bool:
        """Note whether git is at work in a place; whether its batch has to wait.

        A closed gate opens `GATE_REST` after the locks went, or when they are `GATE_CAP` old.
        """
        gate = self._gates.get(place)
        if locked:
            gate = self._gates.setdefault(place, _Gate(now))
            gate.open_at = None
            return now - gate.closed_at < GATE_CAP
        if gate is None:
            return False
        if gate.open_at is None:
            gate.open_at = now + GATE_REST
        if now >= gate.open_at:
            del self._gates[place]
            return False
        return True

    def is_closed(self, place: str) -> bool:
        """Whether the gate of a place was closed at the last look."""
        return place in self._gates

    def postpone(self, place: str, paths: list[str], now: float) -> None:
        """Put a settled batch back: its gate is closed."""
        pending = self._pending.setdefault(place, _Pending(now, now))
        pending.paths.update(paths)
        pending.first = pending.last = now + GATE_POLL - self.settle

    def next_due(self) -> float | None:
        """When the next batch will have settled."""
        return min((self._due(p) for p in self._pending.values()), default=None)

    def drop(self, place: str) -> None:
        """Forget a place that is gone."""
        self._pending.pop(place, None)
        self._gates.pop(place, None)

    def __len__(self) -> int:
        """How many paths wait."""
        return sum(len(pending.paths) for pending in self._pending.values())

    def _due(self, pending: _Pending) -> float:
        return min(pending.last + self.settle, pending.first + PATIENCE)
