"""The index in memory, for tests: the same promises, except that nothing outlives the process.

A write changes copies of the tables it touches and publishes them at its end by one assignment. So a
snapshot is a reference, and undoing is letting go of the copies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from taskd.errors import StoreFailed
from taskd.store.base import TaskDatabase
from taskd.store.memory_txn import MemoryTxn
from taskd.store.memory_view import MemoryView, State


class MemoryDatabase(TaskDatabase):
    """An index that lives as long as this object."""

    def __init__(self, clock: Callable[[], str]) -> None:
        """Begin empty; `clock` gives ISO 8601 UTC times with milliseconds."""
        self._clock = clock
        self._state: State | None = State()
        self._writing = threading.Lock()
        self._writing_thread: int | None = None

    @contextmanager
    def write(self, epoch: int | None = None) -> Generator[MemoryTxn]:
        """A serial write. A write inside a write would wait for itself, and is told so."""
        if self._writing_thread == threading.get_ident():
            reason = "a write was begun inside a write of the same thread"
            raise RuntimeError(reason)
        with self._writing:
            self._writing_thread = threading.get_ident()
            txn = MemoryTxn(self._present(), self._clock())
            try:
                if epoch is not None:
                    txn.demand_epoch(epoch)
                yield txn
                self._state = txn.take()
            finally:
                txn.end()
                self._writing_thread = None

    @contextmanager
    def read(self) -> Generator[MemoryView]:
        """A snapshot to read."""
        view = MemoryView(self._present(), self._clock())
        try:
            yield view
        finally:
            view.end()

    def _present(self) -> State:
        if self._state is None:
            raise StoreFailed(reason="it was closed")
        return self._state

    def take_over(self) -> int:
        """Raise the epoch."""
        with self.write() as txn:
            return txn.raise_epoch()

    def check(self) -> list[str]:
        """Nothing is ever damaged here."""
        self._present()
        return []

    def describe(self) -> Mapping[str, object]:
        """Kind, place, size in bytes, schema."""
        return {"kind": "memory", "place": "", "size": 0, "schema": 0}

    def checkpoint(self) -> None:
        """There is no log to fold in."""

    def back_up(self, target: Path) -> bool:  # noqa: ARG002 - there is no file to copy
        """There is no file to copy."""
        return False

    def close(self) -> None:
        """Let go of everything."""
        self._state = None
