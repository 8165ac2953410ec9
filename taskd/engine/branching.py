"""Step 7 and what lies behind it: the workspace branch, whoever else writes to it, here and at a remote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskd.engine import mirror, moved, remote, restore
from taskd.engine.site import MIRROR, SHARED, Place, Site
from taskd.errors import BranchHeld, BranchMoved, GitFailed, LockTimeout
from taskd.repo.branch import Branch
from taskd.repo.lock import FileLock
from taskd.repo.remote import Remote

MIRROR_TRIES: Final = 5  # times in a row somebody else may move the branch under us before we back off


@dataclass(slots=True)
class Branching:
    """Keeps the branch and the index in step. Any thread may call; needs no write lock."""

    site: Site
    branch: Branch
    lock: FileLock
    remote: Remote | None = None
    #: others' changes were taken from the branch, and nobody was told yet
    news: bool = False
    #: why the remote's branch is not the same as ours
    disagreement: str | None = None
    _facts: tuple[object, ...] = ()

    def mirror(self) -> bool:
        """One round; whether more is to be done.

        A branch that somebody moved meanwhile is read again, and written on top of what they wrote.
        GitFailed for what git cannot do, BranchMoved when somebody never stops, BranchHeld while a
        worktree that has the branch checked out cannot be brought along.
        """
        with self.lock.held():
            for _ in range(MIRROR_TRIES):
                try:
                    return self._mirror()
                except BranchMoved:
                    continue
        raise BranchMoved(ref=self.site.rules.branch)

    def mirror_all(self) -> None:
        """Mirror until nothing is left; errors as `mirror`."""
        while (self.unmirrored() or self._is_elsewhere()) and self.mirror():
            pass

    def finish(self) -> None:
        """Mirror until nothing is left; a failure is logged and stays to be retried."""
        try:
            self.mirror_all()
        except (GitFailed, BranchMoved, BranchHeld) as error:
            self.site.log.warning("branch.failed", reason=error.message)

    def unmirrored(self) -> bool:
        """Whether the branch is behind the index."""
        with self.site.db.read() as view:
            return bool(view.errands(MIRROR, 1)) or view.meta(moved.JOINING) is not None

    def is_moved(self) -> bool:
        """Whether somebody may have moved the branch since it was mirrored last; a few stats, no git."""
        return self.branch.facts() != self._facts

    def take_news(self) -> bool:
        """Whether others' changes were taken from the branch since this was asked last."""
        news, self.news = self.news, False
        return news

    def agree(self) -> bool:
        """Bring the remote's branch and ours to the same, if there is a remote; whether they are now.

        A failure is logged, and kept in `disagreement` until it is over.
        """
        if self.remote is None:
            return True
        bridge = remote.Bridge(self.site, self.branch, self.remote, self.lock, self.mirror_all)
        try:
            remote.agree(bridge)
        except (GitFailed, BranchMoved, BranchHeld, LockTimeout) as error:
            self.disagreement = error.message
            self.site.log.warning("remote.failed", reason=error.message)
            return False
        self.disagreement = None
        return True

    def restore(self) -> None:
        """Fill an index that has never known anything from the branch."""
        if restore.is_new(self.site):
            with self.lock.held():
                self._facts = self.branch.facts()
                restore.restore(self.site, self.branch, self.remote)

    def stands_aside(self, place: Place) -> bool:
        """Whether a place is none now, since its worktree shows the workspace branch.

        In the shared layout it starts afresh when that is over: git has taken the files away by then.
        """
        if not self.site.shows_branch(place):
            return False
        with self.site.db.read() as view:
            known = bool(view.bases(place.key))
        if known and self.site.rules.layout == SHARED:
            with self.site.writing() as txn:
                txn.drop_bases(place.key)
        return True

    def _mirror(self) -> bool:
        self._facts = self.branch.facts()
        try:
            done = mirror.mirror(self.site, self.branch)
        except BranchHeld as error:
            moved.tell_held(self.site, error)
            raise
        self.news = self.news or done.taken
        moved.tell_held(self.site, None)
        return done.more

    def _is_elsewhere(self) -> bool:
        with self.site.db.read() as view:
            return view.meta(moved.TIP) != self.branch.tip()
