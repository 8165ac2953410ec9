"""Places at which a test can have this process killed, as a power cut or `kill -9` would.

`TASKD_CRASH_AT=STEP` ends the process by SIGKILL when it passes the step, `STEP:N` when it passes it
the N-th time. Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "TASKD_CRASH_AT"

#: every step that has a point, and what is true there; the seven steps of a saved file come first
STEPS: Final[dict[str, str]] = {
    "replica.touched": "a path was heard of, on the watcher's thread",
    "touches.settled": "a batch of paths has settled and nothing of it was read",
    "replica.read": "the files of a batch were read, nothing was decided",
    "plan.made": "it is decided what one document means; the transaction has not got it yet",
    "index.committing": "the transaction of a batch holds everything and is about to be committed",
    "index.committed": "what the files say is in the index, with the errands that follow from it",
    "replica.written": "one replica was written, its intent is open",
    "branch.mirrored": "the branch has moved, the index does not know it",
    # the other way in, and what follows from files that are gone
    "command.committing": "the transaction of some commands is about to be committed",
    "command.committed": "what commands asked for is in the index, nobody was answered",
    "absence.decided": "tasks whose files are gone were deleted, or it was held, in the index",
    # from a plan on record to its closing
    "intent.open": "the writes of a round are on record, none was begun",
    "exchange.temp-made": "an empty temp file is there, the target is untouched",
    "exchange.temp-written": "the new text is on the disk under a temp name, the target is untouched",
    "exchange.before-swap": "the target was found as expected and is about to be swapped",
    "exchange.after-swap": "the new text is in place, the old one has the temp name",
    "exchange.before-unlink": "the old text was found to be the expected one and is about to go",
    "create.before-link": "the new text is on the disk under a temp name, the place is free",
    "create.after-link": "the new text is in place",
    "remove.after-rename": "the place is free, the old text has a temp name",
    "remove.before-unlink": "the old text was found to be the expected one and is about to go",
    "intent.closing": "every file of a round was written, no base was moved",
    "intent.closed": "bases are moved, intents and errands of the round are closed",
    # the branch
    "branch.mirroring": "it is known what goes on the branch, git has not been asked",
    "branch.taking": "the transaction of a batch of what others wrote there is about to be committed",
    "branch.taken": "what others wrote there is in the index, and that it was heard",
    "branch.brought-along": "worktrees that show the branch are where it is about to go",
    "branch.before-swap": "the commit is in the object database, the branch has not moved",
    "branch.remembered": "the index knows what stands on the branch",
    # the remote
    "remote.fetched": "what the remote says is in the object database, nothing of it was taken",
    "remote.agreed": "both branches are at one commit, and the index knows",
    # after a crash
    "recover.settled": "bases are in step with a dead process's intents, which are still open",
    "recover.before-discard": "the text of a temp file is kept, the file is about to go",
    "turn": "the keeper has done everything that was to be done for now",
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
