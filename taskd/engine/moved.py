"""The workspace branch was moved by somebody: what that means, and what it takes to write on top of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskd.core.board import BOARD_FILE
from taskd.engine.joiner import Source
from taskd.engine.site import BRANCH, MIRROR, REMOTE, Site
from taskd.engine.taking import FILE_MODES, ROOT, Taken, settle_branch, take
from taskd.errors import BranchHeld, GitFailed
from taskd.repo.branch import Branch
from taskd.repo.commits import Joining
from taskd.repo.others import changed_files, common_commit, exists, is_ancestor
from taskd.repo.replicas import is_task_path
from taskd.store.base import Problem, Txn, View

#: the commit that the branch was at when taskd last looked
TIP: Final = "branch.tip"
#: the last journal entry that a commit on it has told of
SEEN: Final = "branch.seq"
#: the remote's commit that was heard last
HEARD: Final = "remote.heard"
#: the remote's commit that the next one on the branch is to have behind it, and the common one
JOINING: Final = "branch.joining"


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of it: whether tasks changed, and whether the branch only wants what errands say."""

    changed: bool
    in_step: bool


def take_moved(site: Site, branch: Branch, tip: str, known: str | None, *, far: bool = True) -> Moved | None:
    """Take in what stands at `tip`, where somebody moved the branch to; None where it is damaged.

    The index then knows that the branch is there, if `tip` comes after `known`.
    """
    with site.db.read() as view:
        heard = view.meta(HEARD)
        pending = bool(view.errands(MIRROR, 1))
    common = common_commit(site.git, tip, [known, heard]) if known or heard else None
    in_step = known is None or common == known

    def finish(txn: Txn, taken: Taken) -> None:
        if known is None:
            txn.enqueue(MIRROR, txn.live())
        if in_step:
            settle_branch(txn, taken)
            txn.put_meta(TIP, tip)
        if not pending:
            _skip_news(txn)

    try:
        name = branch.ref.removeprefix("refs/heads/")
        taken = take(site, Source(BRANCH, name, tip, common, far=far), finish)
    except GitFailed as error:
        if branch.is_whole(tip):
            raise
        site.log.warning("branch.damaged", tip=tip, reason=error.message)
        return None
    return Moved(bool(taken.changed), in_step)


def take_remote(site: Site, tip: str, name: str, theirs: str) -> bool:
    """Take in what the remote's branch says beside ours; whether tasks changed.

    The next commit on our branch will join both histories.
    """
    with site.db.read() as view:
        heard = view.meta(HEARD)
        pending = bool(view.errands(MIRROR, 1))
    common = common_commit(site.git, theirs, [tip, heard])

    def finish(txn: Txn, _: Taken) -> None:
        txn.put_meta(JOINING, f"{theirs} {common or ''}")
        txn.put_meta(HEARD, theirs)
        if not pending:
            _skip_news(txn)

    return bool(take(site, Source(REMOTE, name, theirs, common), finish).changed)


def joined_history(site: Site, view: View, branch: Branch, joining: str) -> Joining | None:
    """What the commit joins that `JOINING` speaks of; None when that was done, or cannot be any more."""
    theirs, _, common = joining.partition(" ")
    tip = branch.tip()
    if not exists(site.git, theirs) or (tip is not None and is_ancestor(site.git, theirs, tip)):
        return None
    ours, brought = branch.files(), dict[str, tuple[str, str] | None]()
    for one in changed_files(site.git, common or None, theirs):
        ours_already = view.base(REMOTE, one.path) or view.base(BRANCH, one.path)
        if one.path == BOARD_FILE or ours_already or ours.get(one.path) != one.before:
            continue  # a task, which the index decides about; or changed on both sides: ours stands
        if one.after is None or one.mode != "160000":
            brought[one.path] = None if one.after is None else (one.mode, one.after)
    return Joining(theirs, {path: what for path, what in brought.items() if what or path in ours})


def foreign_files(site: Site, branch: Branch, tip: str) -> dict[str, bytes | None]:
    """The files at a tip that are not taskd's, to be kept when all else is written anew."""
    try:
        found = changed_files(site.git, None, tip)
        return {
            one.path: site.git.objects().blob(one.after or "")
            for one in found
            if one.path != BOARD_FILE and one.mode in FILE_MODES and not _is_task_file(one.path)
        }
    except GitFailed:
        if branch.is_whole(tip):
            raise
        return {}


def tell_held(site: Site, held: BranchHeld | None) -> None:
    """List that the branch is held where it is, or take that from the list."""
    with site.db.read() as view:
        listed = any(problem.worktree == BRANCH and not problem.path for problem in view.problems(BRANCH))
    if held is None and not listed:
        return
    with site.writing() as txn:
        problems = [Problem(BRANCH, "", None, held.message, held.advice, since=txn.now())] if held else []
        txn.put_problems(BRANCH, "", problems)


def _is_task_file(path: str) -> bool:
    return path.startswith(ROOT) and is_task_path(path.removeprefix(ROOT))


def _skip_news(txn: Txn) -> None:
    """Commits of ours tell what was done here; what was taken in has been told by others."""
    last = txn.journal(limit=1, newest=True)
    if last:
        txn.put_meta(SEEN, str(last[-1].seq))
