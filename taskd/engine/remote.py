"""The workspace branch of a remote and ours say the same: fetched, merged task by task, pushed.

Never forced: a push that somebody else's came before is fetched, merged and pushed again. A round can be
done by several processes at once, and be broken off anywhere: what was heard is on record with what came
of it, and what was not pushed is pushed next time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from taskd.engine.moved import HEARD, take_remote
from taskd.engine.site import Site
from taskd.errors import BranchMoved
from taskd.repo import crash
from taskd.repo.branch import Branch
from taskd.repo.lock import FileLock
from taskd.repo.others import is_ancestor
from taskd.repo.remote import Remote

TRIES: Final = 5  # times in a row somebody else's push may come before ours until we back off


@dataclass(frozen=True, slots=True)
class Bridge:
    """What a round works with. `mirror` brings the branch to the index; it is called under `lock`."""

    site: Site
    branch: Branch
    remote: Remote
    lock: FileLock
    mirror: Callable[[], None]


def agree(bridge: Bridge) -> str | None:
    """Bring the remote's branch and ours to one commit; that commit, None where neither has any.

    GitFailed when the remote cannot be reached, or refuses; BranchMoved when others are always quicker;
    BranchHeld while our branch is held where it is.
    """
    for _ in range(TRIES):
        theirs = bridge.remote.fetch()
        crash.point("remote.fetched")
        with bridge.lock.held():
            bridge.mirror()
            tip = bridge.branch.tip()
            if theirs is not None and theirs != tip:
                tip = _merge(bridge, tip, theirs)
        if tip is None or tip == theirs or bridge.remote.push(tip):
            _remember(bridge, tip)
            return tip
    raise BranchMoved(ref=f"{bridge.branch.ref} of {bridge.remote.shown}")


def _merge(bridge: Bridge, tip: str | None, theirs: str) -> str | None:
    """Have everything of both on our branch; its tip."""
    git = bridge.site.git
    if tip is not None and is_ancestor(git, theirs, tip):
        return tip
    bridge.remote.complete(theirs)
    if tip is None or is_ancestor(git, tip, theirs):
        bridge.branch.advance(theirs, tip)  # and is then found moved, like by anybody
    else:
        take_remote(bridge.site, tip, bridge.remote.shown, theirs)
    bridge.mirror()
    return bridge.branch.tip()


def _remember(bridge: Bridge, tip: str | None) -> None:
    with bridge.site.db.read() as view:
        known = view.meta(HEARD)
    if tip is not None and tip != known:
        with bridge.site.writing() as txn:
            txn.put_meta(HEARD, tip)
        bridge.site.log.info("remote.agreed", remote=bridge.remote.shown, tip=tip)
    crash.point("remote.agreed")
