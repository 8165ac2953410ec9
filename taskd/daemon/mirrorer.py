"""The thread of step 7: the workspace branch follows the index, and holds nothing else up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from taskd.daemon.envoy import Envoy
from taskd.engine.engine import Engine
from taskd.errors import BranchHeld

ENVOY_LIMIT: Final = 1.0  # seconds a round with the remote may go on when the daemon ends
MIRROR_BACKOFF: Final = (1.0, 5.0, 30.0)  # seconds after the first, second, every further failure


class Mirrorer:
    """The thread of step 7. A failure is told, retried with growing pauses, and blocks nothing else."""

    def __init__(
        self,
        engine: Engine,
        interval: float,
        log: Any,  # noqa: ANN401 - structlog
        taken: Callable[[], None],
    ) -> None:
        """`interval` is the least time between two commits, in seconds.

        `taken` is called when something of others' was taken from the branch into the index.
        """
        self._engine, self._interval, self._log, self._taken = engine, interval, log, taken
        self.envoy = Envoy(engine, log, taken)
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="taskd-mirror", daemon=True)
        self.failures = 0
        self.reason: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self.wake()
        self.envoy.start()

    def wake(self) -> None:
        """Something may have to be mirrored."""
        self._wanted.set()

    def look(self) -> None:
        """Wake up if somebody else moved the branch; a few stats."""
        if self._engine.branching.is_moved():
            self.wake()

    def is_behind(self) -> bool:
        """Whether the branch is not yet what it should be, and nothing is in the way of that."""
        behind = self._engine.unmirrored() or self._engine.branching.is_moved()
        return behind and not self.failures

    def stop(self, seconds: float = 5.0) -> None:
        """Mirror what is left and end, within `seconds`; harmless when it has ended."""
        self._ending.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self.envoy.stop(ENVOY_LIMIT)

    def describe(self) -> dict[str, object]:
        """For `daemon status`: whether it works, why it failed, and how it stands with the remote."""
        facts = {"failing": self.failures > 0, "failures": self.failures, "reason": self.reason}
        return {**facts, "remote": self.envoy.describe()}

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
            if self._engine.unmirrored() or self._engine.branching.is_moved():
                if self._engine.mirror():
                    self._wanted.set()
                self.envoy.wake()
        except BranchHeld as error:  # a person's doing, and told to them
            return self._failed(error, self._log.warning)
        except Exception as error:  # noqa: BLE001 - whatever it is, the branch is remade when it is over
            return self._failed(error, self._log.exception)
        finally:
            if self._engine.branching.take_news():
                self._taken()
        self.failures, self.reason = 0, None
        return self._interval

    def _failed(self, error: Exception, tell: Callable[..., object]) -> float:
        self.failures += 1
        self.reason = str(error)
        tell("branch.failed", reason=self.reason, failures=self.failures)
        self._wanted.set()
        return MIRROR_BACKOFF[min(self.failures, len(MIRROR_BACKOFF)) - 1]
