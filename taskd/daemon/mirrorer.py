"""The thread of step 7: the workspace branch follows the index, and holds nothing else up."""

from __future__ import annotations

import threading
from typing import Any, Final

from taskd.engine.engine import Engine

MIRROR_BACKOFF: Final = (1.0, 5.0, 30.0)  # seconds after the first, second, every further failure


class Mirrorer:
    """The thread of step 7. A failure is told, retried with growing pauses, and blocks nothing else."""

    def __init__(self, engine: Engine, interval: float, log: Any) -> None:  # noqa: ANN401 - structlog
        """`interval` is the least time between two commits, in seconds."""
        self._engine, self._interval, self._log = engine, interval, log
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="taskd-mirror", daemon=True)
        self.failures = 0
        self.reason: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self.wake()

    def wake(self) -> None:
        """Something may have to be mirrored."""
        self._wanted.set()

    def stop(self, seconds: float = 5.0) -> None:
        """Mirror what is left and end, within `seconds`; harmless when it has ended."""
        self._ending.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def describe(self) -> dict[str, object]:
        """For `daemon status`: whether it works, what is left, and why it failed."""
        return {"failing": self.failures > 0, "failures": self.failures, "reason": self.reason}

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            ending = self._ending.is_set()
            pause = self._mirror()
            if ending or self._ending.wait(pause):
                if ending:
                    return
                self._wanted.set()

    def _mirror(self) -> float:
        """One round; the pause before the next."""
        try:
            if self._engine.unmirrored() and self._engine.mirror():
                self._wanted.set()
        except Exception as error:  # noqa: BLE001 - whatever it is, the branch is remade when it is over
            self.failures += 1
            self.reason = str(error)
            self._log.exception("branch.failed", reason=self.reason, failures=self.failures)
            self._wanted.set()
            return MIRROR_BACKOFF[min(self.failures, len(MIRROR_BACKOFF)) - 1]
        self.failures, self.reason = 0, None
        return self._interval
