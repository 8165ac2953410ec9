"""Absence is not deletion: what follows from files that are not there any more, after a grace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from taskd.engine.accept import Origin, accept
from taskd.engine.site import REPLICAS, SHARED, WORKSPACE, Place, Site
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


def decide_absence(site: Site, place: Place, paths: Sequence[str], now_ns: int) -> list[str]:
    """Delete, hold, refill or shrug; the ids deleted. The caller holds the write lock.

    * A file that is back, or whose task lives at another path here by now, means nothing.
    * A tracked file that is absent means nothing here; git's files come and go.
    * Files of the workspace directory are put back.
    * Shared layout: a few removed by hand are deleted; many, or all, are held and put back.
    """
    with site.writing() as txn:
        gone = [base for path in paths if (base := _still_gone(site, place, txn, path, now_ns)) is not None]
        if not gone:
            return []
        if place.key == WORKSPACE:
            _put_back(txn, place, gone)
            return []
        if site.rules.layout != SHARED or not site.is_standing(place):
            return []
        if _is_suspicious(place, txn, gone):
            _hold(site, txn, place, gone)
            return []
        return [_delete(txn, place, base) for base in gone]


def _still_gone(site: Site, place: Place, txn: Txn, path: str, now_ns: int) -> Base | None:
    base = txn.base(place.key, path)
    if base is None:
        return None
    if replicas.read(place.root, path, now_ns=now_ns) is not None or path in site.tracked(place):
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


def _is_suspicious(place: Place, txn: Txn, gone: Sequence[Base]) -> bool:
    held = [base for base in txn.bases(place.key) if base.task is not None]
    emptied = len(gone) == len(held) and len(held) > 1
    many = len(gone) > HOLD_ABOVE and len(gone) > HOLD_SHARE * len(held)
    return many or emptied or not place.root.is_dir()


def _hold(site: Site, txn: Txn, place: Place, gone: Sequence[Base]) -> None:
    tasks = tuple(sorted({base.task for base in gone if base.task}))
    reason = f"{len(tasks)} task files went from {place.key} at once"
    txn.put_hold(Hold(place.key, tasks, reason, txn.now()))
    _put_back(txn, place, gone)
    site.log.warning("deletion.held", worktree=place.key, tasks=len(tasks))


def _put_back(txn: Txn, place: Place, gone: Sequence[Base]) -> None:
    for base in gone:
        txn.drop_base(place.key, base.path)
    txn.enqueue(REPLICAS, [base.task for base in gone if base.task])


def _delete(txn: Txn, place: Place, base: Base) -> str:
    task = txn.task(base.task or "")
    assert task is not None  # noqa: S101 - `_still_gone` has just seen it
    now = txn.now()
    txn.drop_base(place.key, base.path)
    txn.put_problems(place.key, base.path, [])
    origin = Origin(place.key, place.key, place.key, "file removed")
    accept(txn, task, (replace(task, deleted_at=now, claim=None),), origin, now)
    return task.id
