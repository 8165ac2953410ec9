"""Places at which a test can have this process killed, as a power cut or `kill -9` would.

`TASKD_CRASH_AT=STEP` ends the process by SIGKILL when it passes the step, `STEP:N` when it passes it
the N-th time. Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "TASKD_CRASH_AT"

#: every step that has a point, and what is true of the disk there; other rooms add theirs
STEPS: Final[dict[str, str]] = {
    "exchange.temp-written": "the new text is on the disk under a temp name, the target is untouched",
    "exchange.before-swap": "the target was found as expected and is about to be swapped",
    "exchange.after-swap": "the new text is in place, the old one has the temp name",
    "exchange.before-unlink": "the old text was found to be the expected one and is about to go",
    "create.before-link": "the new text is on the disk under a temp name, the place is free",
    "create.after-link": "the new text is in place",
    "remove.after-rename": "the place is free, the old text has a temp name",
    "remove.before-unlink": "the old text was found to be the expected one and is about to go",
}


def _armed() -> dict[str, int]:
    step, _, count = os.environ.get(VARIABLE, "").partition(":")
    return {step: int(count) if count.isdigit() else 1} if step else {}


_left: Final = _armed()


def point(step: str) -> None:
    """Be killed here, if this is the passing of `step` that the variable names."""
    if _left and step in _left:
        _left[step] -= 1
        if _left[step] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
