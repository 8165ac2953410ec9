"""Absence is not deletion: what follows from files that are not there any more, after a grace."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from taskd.core.texts import text_hash
from taskd.engine import provenance
from taskd.engine.accept import Origin, accept
from taskd.engine.ancestry import read_or_none
from taskd.engine.provenance import Provenance
from taskd.engine.site import BRANCH, REPLICAS, SHARED, WORKSPACE, Place, Site
from taskd.engine.standing import standing
from taskd.repo import replicas
from taskd.store.base import Base, Hold, Txn

GRACE: Final = 1.0  # seconds before an absent file is looked at: saves by rename, moves, git's bursts
QUIET: Final = 2.0  # seconds without another file going before they are counted
HOLD_ABOVE: Final = 5  # tasks; fewer are never held
HOLD_SHARE: Final = 0.2  # of a worktree's tasks; what is above both is held


@dataclass(slots=True)
class _Gone:
    first: float
    last: float
    paths: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Absences:
    """Paths seen absent, by place, until grace and quiet are over. Times are monotonic seconds."""

    _gone: dict[str, _Gone] = field(default_factory=dict)

    def remember(self, place: str, paths: Sequence[str], now: float) -> None:
        """These files were not there; ones known already do not start the quiet anew."""
        gone = self._gone.setdefault(place, _Gone(now, now))
        new = set(paths) - gone.paths
        if new:
            gone.paths |= new
            gone.last = now

    def due(self, now: float) -> dict[str, list[str]]:
        """Absences to decide about; they are taken out."""
        ready = [place for place, gone in self._gone.items() if now >= self._due(gone)]
        return {place: sorted(self._gone.pop(place).paths) for place in ready}

    def next_due(self) -> float | None:
        """When the next decision is due."""
        return min((self._due(gone) for gone in self._gone.values()), default=None)

    def drop(self, place: str) -> None:
        """Forget a place that is gone."""
        self._gone.pop(place, None)

    def __len__(self) -> int:
        """How many files are being missed."""
        return sum(len(gone.paths) for gone in self._gone.values())

    def _due(self, gone: _Gone) -> float:
        quiet = QUIET if len(gone.paths) > 1 else GRACE
        return max(gone.first + GRACE, gone.last + quiet)


def decide_absence(
    site: Site,
    place: Place,
    paths: Sequence[str],
    now_ns: int,
    stood: frozenset[str] | None = None,
) -> list[str]:
    """Delete, hold, refill or shrug; the ids deleted. The caller holds the write lock.

    `stood` are the tasks that had a file in the place when the first of these was missed.

    * A file that is back, or whose task lives at another path here by now, means nothing.
    * Nothing follows from what git took away, by a switch, a sparse checkout, or half-way in a merge.
    * Files of the workspace directory are put back.
    * Shared layout: a few removed by hand are deleted; many, or all, are held and put back.
    * Tracked layout: likewise in the main worktree, also by a commit that moved it forward; in another
      one only the last file of a task is its deletion.
    """
    git = provenance.look(site, place, always=True)
    with site.writing() as txn:
        gone = [base for path in paths if (base := _still_gone(place, txn, path, now_ns)) is not None]
        if not gone or not (place.key == WORKSPACE or site.is_standing(place)):
            return []
        if place.key == WORKSPACE:
            _put_back(txn, place, gone)
            return []
        removed = [base for base in gone if _is_removed(site, place, base, git)]
        _let_go(site, txn, place, [base for base in gone if base not in removed])
        last = [base for base in removed if _is_deletion(site, place, txn, base)]
        suspicious = _is_suspicious(place, txn, last, len(removed), stood)
        for base in removed:
            if base not in last:
                _forget(txn, place, base)
        if last and suspicious:
            _hold(site, txn, place, last)
            return []
        return [_delete(txn, place, base) for base in last]


def _is_removed(site: Site, place: Place, base: Base, git: Provenance | None) -> bool:
    """Whether it was a person who took the file away."""
    gone = _last_change_ns(place.root / base.path)

    def is_it(text: bytes) -> bool:
        document = read_or_none(text)
        written = None if document is None else document.values.get("id")
        return text_hash(text) == base.text or written == base.task

    if site.rules.layout == SHARED:
        return base.head is None and not (git is not None and git.is_stashed(base, is_it, gone_ns=gone))
    if git is None:
        return False
    forward = place.worktree is not None and place.worktree.is_main
    return git.removed_by_hand(base, is_it, gone_ns=gone, forward=forward) and not git.is_left_out(base.path)


def _last_change_ns(file: Path) -> int:
    """When a directory last changed that a missing file was in, which is when it went or later."""
    for directory in file.parents:
        with suppress(OSError):
            return directory.stat().st_mtime_ns
    return 0


def _is_deletion(site: Site, place: Place, txn: Txn, base: Base) -> bool:
    """Whether a file taken away takes its task along."""
    if site.rules.layout == SHARED and base.head is None:
        return True
    if place.worktree is not None and place.worktree.is_main:
        return True
    # a worktree that is locked or missing may be back tomorrow, with its files
    holders = {one.worktree for one in txn.bases_of(base.task or "")}
    return not holders - {place.key, WORKSPACE, BRANCH}


def _let_go(site: Site, txn: Txn, place: Place, gone: Sequence[Base]) -> None:
    """What git took away is not here any more; where live files belong they are put back."""
    for base in gone:
        _forget(txn, place, base)
        txn.put_problems(place.key, base.path, [])
    if site.rules.layout == SHARED:
        txn.enqueue(REPLICAS, [base.task for base in gone if base.task])


def _still_gone(place: Place, txn: Txn, path: str, now_ns: int) -> Base | None:
    base = txn.base(place.key, path)
    if base is None:
        return None
    if replicas.read(place.root, path, now_ns=now_ns) is not None:
        return None
    if base.task is None:
        txn.drop_base(place.key, path)
        txn.put_problems(place.key, path, [])
        return None
    task = txn.task(base.task)
    if task is None or task.deleted_at is not None:
        txn.drop_base(place.key, path)
        return None
    return base


def _is_suspicious(
    place: Place, txn: Txn, gone: Sequence[Base], removed: int, stood: frozenset[str] | None
) -> bool:
    """Whether so much went at once that a person is asked: so many files, of which `gone` were the last."""
    # those that were deleted by a command meanwhile went because of that
    held = len((standing(txn, place) if stood is None else stood) & set(txn.live()))
    emptied = removed >= held > 1
    many = len(gone) > HOLD_ABOVE and len(gone) > HOLD_SHARE * held
    return many or emptied or not place.root.is_dir()


def _hold(site: Site, txn: Txn, place: Place, gone: Sequence[Base]) -> None:
    tasks = tuple(sorted({base.task for base in gone if base.task}))
    reason = f"{len(tasks)} task files went from {place.key} at once"
    txn.put_hold(Hold(place.key, tasks, reason, txn.now()))
    _put_back(txn, place, gone)
    site.log.warning("deletion.held", worktree=place.key, tasks=len(tasks))


def _put_back(txn: Txn, place: Place, gone: Sequence[Base]) -> None:
    """Have them written again."""
    for base in gone:
        _forget(txn, place, base)
    txn.enqueue(REPLICAS, [base.task for base in gone if base.task])


def _forget(txn: Txn, place: Place, base: Base) -> None:
    """The file is not there any more; an editor may still hold what it said."""
    txn.drop_base(place.key, base.path)
    if base.text is not None:
        txn.carry(place.key, base.path, base.text)


def _delete(txn: Txn, place: Place, base: Base) -> str:
    task = txn.task(base.task or "")
    assert task is not None  # noqa: S101 - `_still_gone` has just seen it
    now = txn.now()
    _forget(txn, place, base)
    txn.put_problems(place.key, base.path, [])
    origin = Origin(place.key, place.key, place.key, "file removed")
    accept(txn, task, (replace(task, deleted_at=now, claim=None),), origin, now)
    return task.id
