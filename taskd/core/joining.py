"""Runtime fields that two clones changed, brought together over what both last knew.

Changed on one side: that change stands. On both to the same: fine. On both differently: the index's
value stands, and the clash keeps all three. Three rules beside that, each the same from either side, so
that clones come to the same end whoever merges:

* a time that follows from a status both came to is the earlier one;
* of two claims the one made first stands;
* while a claim of this clone lives, nobody else's status or claim ends it, but for a claim made before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from taskd.core import merge
from taskd.core.block import BLOCK_FIELDS
from taskd.core.change import plain
from taskd.core.live import Live
from taskd.core.plan import Clash
from taskd.core.task import Claim, Note, Participant, Status

_TIMES: Final = ("started", "completed")
#: fields that a status brings with it
_OF_STATUS: Final = ("reason", *_TIMES)
_NEW: Final = Live()


@dataclass(slots=True)
class Joined:
    """What is to be taken into the index; what is not named stays as it is."""

    status: Status
    taken: dict[str, object] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    participants: tuple[Participant, ...] = ()
    clashes: list[Clash] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Sides:
    """One field: base, index, and the other side."""

    base: object
    ours: object
    theirs: object

    def clash(self, name: str) -> Clash:
        return Clash(name, *(_shown(value) for value in (self.base, self.ours, self.theirs)))


def join_live(base: Live | None, ours: Live, theirs: Live, *, held: bool) -> Joined:
    """Decide about what another clone says; `held`: a claim made in this one lives.

    Without a base only what the index has nothing of is taken. Notes are only ever added.
    """
    old = base or _NEW
    stands = ours.status or Status.PENDING
    joined = Joined(stands)
    sides = {name: _side(name, old, ours, theirs) for name in BLOCK_FIELDS if name in theirs.fields}
    claim = sides.pop("claim", _Sides(None, None, None))
    guarded = held and _is_kept(claim.ours, claim.theirs)
    status = _Sides(old.status or stands, stands, theirs.status or old.status or stands)
    _join_status(joined, status, sides, guarded=guarded)
    _join_claim(joined, claim, held=held, guarded=guarded)
    for name, side in sides.items():
        _join_field(joined, name, side)
    joined.notes = tuple(note for note in theirs.records.notes if note not in set(ours.records.notes))
    _join_participants(joined, old, ours, theirs)
    return joined


def _side(name: str, old: Live, ours: Live, theirs: Live) -> _Sides:
    """A base that cannot tell about a field had in it what the index has."""
    mine = ours.fields.get(name)
    return _Sides(old.fields.get(name, mine), mine, theirs.fields[name])


def _is_kept(ours: object, theirs: object) -> bool:
    """Whether our claim was there before theirs."""
    return isinstance(ours, Claim) and not (isinstance(theirs, Claim) and _order(theirs) < _order(ours))


def _order(claim: Claim) -> tuple[str, ...]:
    return claim.since, claim.holder, claim.session, claim.worktree


def _join_status(joined: Joined, status: _Sides, sides: dict[str, _Sides], *, guarded: bool) -> None:
    """The status and what it brings along; fields that are thereby decided are left out of `sides`."""
    found = merge.scalar(status.base, status.ours, status.theirs)
    if found.clash or (guarded and found.value != status.ours):
        joined.clashes.append(status.clash("status"))
        for name in _OF_STATUS:
            sides.pop(name, None)
    elif isinstance(found.value, Status) and found.value != status.ours:
        joined.status = found.value
        joined.taken |= {name: sides.pop(name).theirs for name in _OF_STATUS if name in sides}
    elif status.theirs == status.ours:
        times = {name: _earlier(sides.pop(name)) for name in _TIMES if name in sides}
        joined.taken |= {name: time for name, time in times.items() if time is not None}


def _earlier(side: _Sides) -> object:
    """The time to take of one that follows from a status both have, None for what stands."""
    if side.theirs in (None, side.base, side.ours):
        return None
    changed = side.ours not in (None, side.base)
    return None if changed and str(side.ours) <= str(side.theirs) else side.theirs


def _join_claim(joined: Joined, side: _Sides, *, held: bool, guarded: bool) -> None:
    """Whoever loses a claim that lives, here or there, finds it among the conflicts."""
    found = merge.scalar(side.base, side.ours, side.theirs)
    if side.theirs in (side.base, side.ours):
        return
    if found.clash or held:
        joined.clashes.append(side.clash("claim"))
    if not guarded and not (found.clash and _is_kept(side.ours, side.theirs)):
        joined.taken["claim"] = side.theirs


def _join_field(joined: Joined, name: str, side: _Sides) -> None:
    found = merge.scalar(side.base, side.ours, side.theirs)
    if found.clash:
        joined.clashes.append(side.clash(name))
    elif found.value != side.ours:
        joined.taken[name] = found.value


def _join_participants(joined: Joined, old: Live, ours: Live, theirs: Live) -> None:
    """Who is new takes part; a role is a value like any other."""
    known, mine = ({one.name: one for one in live.records.participants} for live in (old, ours))
    for one in theirs.records.participants:
        side = _Sides(known.get(one.name), mine.get(one.name), one)
        found = merge.scalar(side.base, side.ours, side.theirs)
        if found.clash:
            joined.clashes.append(side.clash("participants"))
        elif found.value is one and one != side.ours:
            joined.participants += (one,)


def _shown(value: object) -> object:
    """A value as a conflict keeps it; a claim without what is one clone's own."""
    shown = plain(value)
    if isinstance(value, Claim) and isinstance(shown, Mapping):
        return {key: item for key, item in shown.items() if key not in ("token", "expires")}
    return shown
