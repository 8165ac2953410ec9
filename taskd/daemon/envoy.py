"""The thread that goes to the remote and back: its workspace branch and ours are brought to the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from taskd.engine.engine import Engine

BACKOFF: Final = (5.0, 30.0, 120.0, 600.0)  # seconds after the first, second, … every further failure
REST: Final = 1.0  # seconds between two rounds at least: a burst here is pushed in a few
PATIENCE: Final = 10.0  # seconds a `sync` waits for a round; a slow network fails no command


class Envoy:
    """A failure is told, retried with growing pauses, and holds nothing else up. Any thread may call."""

    def __init__(self, engine: Engine, log: Any, taken: Callable[[], None]) -> None:  # noqa: ANN401 - structlog
        """`taken` is called when something of others' was taken into the index."""
        self._engine, self._log, self._taken = engine, log, taken
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="taskd-envoy", daemon=True)
        self.failures = 0
        self.reason: str | None = None
        self.agreed: float | None = None
        self._begun = 0.0  # monotonic: when the last finished round began

    @property
    def has_remote(self) -> bool:
        """Whether there is anywhere to go."""
        return self._engine.branching.remote is not None

    def start(self) -> None:
        """Begin, if there is a remote."""
        if self.has_remote:
            self._thread.start()
            self.wake()

    def wake(self) -> None:
        """Something may have to be fetched or pushed."""
        self._wanted.set()

    def stop(self, seconds: float) -> None:
        """End within `seconds`; what was not pushed is pushed next time."""
        self._ending.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def is_awaited(self, since: float) -> bool:
        """Whether a round that began after `since` (monotonic) is still to be waited for."""
        if not self.has_remote or self.failures or self._begun >= since:
            return False
        return time.monotonic() - since < PATIENCE

    def describe(self) -> dict[str, object] | None:
        """For `daemon status`: the remote, whether it was reached, why not, and when last (seconds, UTC)."""
        remote = self._engine.branching.remote
        if remote is None:
            return None
        facts = {"failing": self.failures > 0, "failures": self.failures, "reason": self.reason}
        return {"name": remote.shown, **facts, "agreed": self.agreed}

    def _work(self) -> None:
        while not self._ending.is_set():
            self._wanted.wait()
            self._wanted.clear()
            if not self._ending.is_set():
                self._ending.wait(self._go())

    def _go(self) -> float:
        """One round; the pause before the next."""
        begun, branching = time.monotonic(), self._engine.branching
        try:
            reason = None if branching.agree() else branching.disagreement
        except Exception as error:  # noqa: BLE001 - whatever it is, the next round begins where this one ended
            self._log.exception("remote.failed", reason=str(error))
            reason = str(error)
        if branching.take_news():
            self._taken()
        self._begun, self.reason = begun, reason
        if reason is None:
            self.failures, self.agreed = 0, time.time()
            return REST
        self.failures += 1
        self.wake()
        return BACKOFF[min(self.failures, len(BACKOFF)) - 1]
