"""One of many processes that work on one repository at once: run by test_races.py, not imported by it.

Its argument is JSON: `directory`, `actor`, `alone` (work without the daemon) and `calls`, a list of
`[operation, parameters]`, or `drain`, to claim the next ready task until there is none, with a `pause` of
some seconds after each. It says that it is ready, waits for a line, works, and prints the replies as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from taskd import client, local, wire
from taskd.errors import Unreachable

PATIENCE: Final = 60.0  # seconds without an answer
TRY_AGAIN: Final = (6, 75)  # exit codes: the daemon is going, or something is busy


class Asker:
    """Asks until there is an answer, a lost one again under the same request id, as a careful client does."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """Work for `spec["actor"]` in `spec["directory"]`."""
        self.spec = spec
        self.home = client.find_home(Path(spec["directory"]))
        self.here = local.Here(self.home) if spec["alone"] else None
        self.connection: client.Connection | None = None
        self.asked = 0

    def ask(self, op: str, params: dict[str, object]) -> wire.Reply:
        """The reply to one call."""
        self.asked += 1
        actor = self.spec["actor"]
        who = wire.Caller(actor, actor, self.spec["directory"], request_id=f"{actor}-{self.asked}")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            reply = self._try(wire.Call(op, params, who))
            if reply is not None and (reply.error is None or reply.error["exit"] not in TRY_AGAIN):
                return reply
        raise TimeoutError(op)

    def _try(self, call: wire.Call) -> wire.Reply | None:
        if self.here is not None:
            return self.here.submit(call)
        self.connection = self.connection or client.connect(self.home)
        if self.connection is None:
            time.sleep(0.01)  # it is being started again
            return None
        try:
            return self.connection.submit(call)
        except Unreachable:
            self.connection.close()
            self.connection = None
            return None

    def close(self) -> None:
        """Let go."""
        for opened in (self.here, self.connection):
            if opened is not None:
                opened.close()


def work(asker: Asker, spec: dict[str, Any]) -> Iterator[wire.Reply]:
    """The reply to each call; of a drain all but the last, which says that nothing is ready."""
    for op, params in spec.get("calls", []):
        yield asker.ask(op, params)
    while spec.get("drain"):
        reply = asker.ask("claim", {"next": True})
        if reply.error is not None and reply.error["code"] == "nothing":
            return
        reply.unwrap()
        time.sleep(spec.get("pause", 0))
        yield reply


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    asking = Asker(given)
    os.write(1, b"ready\n")
    sys.stdin.readline()
    json.dump([asdict(reply) for reply in work(asking, given)], sys.stdout)
    asking.close()
