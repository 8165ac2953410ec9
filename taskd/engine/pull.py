"""`pull`: files of the caller's worktree are brought to the head, because their owner asks for it."""

from __future__ import annotations

from collections.abc import Iterable

from taskd import wire
from taskd.engine.callers import Pulled, Row
from taskd.engine.desk import Desk
from taskd.engine.site import Place
from taskd.errors import Missing, Unheard, UsageError
from taskd.repo import replicas
from taskd.repo.worktrees import gate_locks
from taskd.store.base import Base


def pull_files(desk: Desk, p: wire.Pull) -> object:
    """Bring files of the caller's worktree to the head, also those that git tracks.

    What they say was taken in before. `[{id, path, changed}]`; with `reason` where it could not be done,
    and with `conflicts` (fields) where what the file said could not stand beside the index.
    """
    place = desk.place
    if place is None or place.worktree is None:
        raise UsageError(reason="pull brings a worktree's files up to date; call it in one, or use -C")
    if gate_locks(place.worktree.git_dir):
        raise Unheard(path=desk.rules.tasks_dir, worktree=place.key, reason="git is at work there")
    bases = _named(desk, place, p.ids) if p.ids else _standing(desk, place)
    rows = list[Row]()
    for base in bases:
        row = _row(desk, base)
        desk.pulled.append(Pulled(place, base.path, base.task or "", row))
        rows.append(row)
    return rows


def _named(desk: Desk, place: Place, words: Iterable[str]) -> list[Base]:
    found = dict[str, Base]()
    for id in (desk.find(word).id for word in words):
        mine = [base for base in desk.txn.bases_of(id) if base.worktree == place.key]
        if not mine or replicas.read(place.root, mine[0].path, now_ns=0) is None:
            remedy = f"`taskd show {id}` lists its files"
            raise Missing(reason=f"{id} has no file in {place.key}", remedy=remedy)
        found[id] = mine[0]
    return list(found.values())


def _standing(desk: Desk, place: Place) -> list[Base]:
    """The files of live tasks that are there."""
    bases = [base for base in desk.txn.bases(place.key) if base.task is not None]
    live = set(desk.txn.live())
    return [base for base in bases if base.task in live and (place.root / base.path).is_file()]


def _row(desk: Desk, base: Base) -> Row:
    task = base.task or ""
    lost = [row.field for row in desk.txn.conflicts(task) if row.worktree == base.worktree]
    row: Row = {"id": task, "path": base.path, "changed": False}
    return {**row, "conflicts": lost} if lost else row
