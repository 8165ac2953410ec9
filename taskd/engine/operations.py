"""The registry of operations: what every front end serves, each a function of one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from taskd import wire
from taskd.engine import authoring, conflicts, coordination, holds, notices, pull, reports
from taskd.engine.desk import Desk
from taskd.engine.site import Place
from taskd.errors import UsageError


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the registry. `writes` tells whether it needs a write transaction.

    `hears` names the place whose files the call is about, which are taken in first. `repeats` means
    that a call repeated under its request id is carried out again, not answered from memory.
    """

    name: str
    params: type
    run: Callable[[Desk, Any], object]
    writes: bool
    summary: str
    hears: Hears | None = None
    repeats: bool = False


#: the key of a place, from a call's parameters and the place it was made in
Hears = Callable[[Any, Place | None], str | None]


def _row(name: str, params: type, run: Callable[[Desk, Any], object], *, writes: bool) -> Operation:
    summary = (run.__doc__ or "").strip().partition("\n")[0]
    return Operation(name, params, run, writes, summary)


def _reading(name: str, params: type, run: Callable[[Desk, Any], object]) -> Operation:
    return _row(name, params, run, writes=False)


def _writing(name: str, params: type, run: Callable[[Desk, Any], object]) -> Operation:
    return _row(name, params, run, writes=True)


def _here(_: object, place: Place | None) -> str | None:
    return place.key if place is not None else None


OPERATIONS: Final[Mapping[str, Operation]] = {
    row.name: row
    for row in (
        _writing("add", wire.Add, authoring.add_task),
        _writing("set", wire.Set, authoring.set_fields),
        _writing("dep.add", wire.Edge, authoring.add_edge),
        _writing("dep.rm", wire.Edge, authoring.drop_edge),
        _writing("rm", wire.Remove, authoring.remove_task),
        _writing("restore", wire.Remove, authoring.restore_task),
        _writing("claim", wire.Claim, coordination.claim_task),
        _writing("renew", wire.Lease, coordination.renew_claim),
        _writing("release", wire.Lease, coordination.release_claim),
        _writing("status", wire.Move, coordination.move_task),
        _writing("block", wire.Move, coordination.block_task),
        _writing("unblock", wire.Move, coordination.unblock_task),
        _writing("reopen", wire.Move, coordination.reopen_task),
        _reading("list", wire.List, reports.list_tasks),
        _reading("show", wire.One, reports.show_task),
        _reading("history", wire.History, reports.show_history),
        _reading("problems", wire.Nothing, reports.list_problems),
        _reading("notices", wire.Nothing, notices.list_notices),
        replace(_writing("take", wire.Take, notices.take_file), hears=lambda p, _: p.worktree),
        replace(_writing("pull", wire.Pull, pull.pull_files), hears=_here, repeats=True),
        _reading("conflicts", wire.Conflicts, conflicts.list_conflicts),
        _writing("resolve", wire.Resolve, conflicts.resolve_conflict),
        _reading("holds", wire.Nothing, holds.list_holds),
        _writing("holds.accept", wire.Answer, holds.accept_hold),
        _writing("holds.drop", wire.Answer, holds.drop_hold),
    )
}


def operation(name: str) -> Operation:
    """The row of that name; UsageError if there is none."""
    if name not in OPERATIONS:
        raise UsageError(reason=f"there is no operation {name!r}; known are {', '.join(OPERATIONS)}")
    return OPERATIONS[name]
