"""Step 6: replicas are brought to what the index says, losing nothing that was saved meanwhile.

Intents go on record in one transaction, the files are written one by one, and a second transaction
moves the bases and closes the intents. Whoever dies in between leaves open intents, which `recover`
settles.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from taskd.core.render import complete_text, replica_text
from taskd.core.task import Task
from taskd.core.texts import text_hash
from taskd.engine.site import REPLICAS, SHARED, WORKSPACE, Place, Site
from taskd.repo import asides, crash, exchange
from taskd.store.base import Base, Errand, Intent, Problem, Txn, View

BATCH: Final = 200  # errands a round; commands wait for one round at most
DURABLE_EACH: Final = 20  # writes; above it one sync of the file system is cheaper than one per file


@dataclass(frozen=True, slots=True)
class Write:
    """One replica to be written: over `expected` (None: no file) to `wanted` (None: no file)."""

    place: Place
    path: str
    task: str
    expected: str | None
    wanted: bytes | None
    intent: int = 0


@dataclass(frozen=True, slots=True)
class Displaced:
    """An edit that had to go from its place: its text, kept as `aside` too, and what it was made from."""

    place: Place
    path: str
    aside: str
    text: bytes | None
    expected: str | None


@dataclass(slots=True)
class Written:
    """What came of a round: how many replicas were written, and what was found instead."""

    count: int = 0
    #: (place key, path) of replicas that said something unexpected and must be read again
    surprises: list[tuple[str, str]] = field(default_factory=list)
    #: (place key, aside, expected hash): old files that an editor still has open for writing
    lingering: list[tuple[str, str, str]] = field(default_factory=list)
    displaced: list[Displaced] = field(default_factory=list)
    #: tasks of which a replica could not be written; their errands stay for a later try
    failed: set[str] = field(default_factory=set)
    #: why, in the system's words, by place key and path
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    more: bool = False


def write_back(site: Site, skipping: Collection[str] = ()) -> Written:
    """Do one round of errands, but those of the tasks to skip. The caller holds the write lock."""
    with site.db.read() as view:
        some = view.errands(REPLICAS, BATCH + 1 + len(skipping))  # one more than is done tells of more
        errands = [errand for errand in some if errand.task not in skipping]
        writes = plan_writes(site, view, [errand.task for errand in errands[:BATCH]])
    return _open_and_carry_out(site, writes, errands[:BATCH], more=len(errands) > BATCH)


def fill(site: Site, place: Place) -> int:
    """Have a place given every live task it has no file of; how many."""
    with site.db.read() as view:
        here = {base.task for base in view.bases(place.key)}
        tracked = untouchable(site, place)
        missing = [id for id in view.live() if id not in here]
        tasks = view.many(missing) if tracked else {}
    missing = [id for id in missing if id not in tasks or _path_at(place, tasks[id]) not in tracked]
    if missing:
        with site.writing() as txn:
            txn.enqueue(REPLICAS, missing)
    return len(missing)


def plan_writes(site: Site, view: View, ids: Sequence[str]) -> list[Write]:
    """Which replicas of these tasks do not say what they should."""
    tasks, blockers = view.many(ids, whole=True), view.blockers(ids)
    # a worktree that is being removed is none to be asked about, nor to keep the others waiting
    targets = [(place, untouchable(site, place)) for place in _targets(site) if site.is_standing(place)]
    writes = list[Write]()
    for id in dict.fromkeys(ids):
        if id not in tasks:
            continue
        task = tasks[id]
        bases = view.bases_of(id)
        for place, tracked in targets:
            mine = [base for base in bases if base.worktree == place.key]
            if any(base.path in tracked for base in mine):
                continue  # git carries the task's file there: it has no other one
            wanted = _wanted(site, view, task, place, blockers.get(id, ()), mine)
            writes += [w for w in _writes_at(site, place, task, mine, wanted) if w.path not in tracked]
    return writes


def untouchable(site: Site, place: Place) -> frozenset[str]:
    """Paths that git tracks in a place: they are people's, not ours."""
    return frozenset() if site.rules.write_back == "always" else site.tracked(place)


def _targets(site: Site) -> list[Place]:
    rules = site.rules
    if rules.write_back == "never":
        return []
    everywhere = rules.layout == SHARED or rules.write_back == "always"
    wanted = [place for place in site.places.values() if everywhere or place.key == WORKSPACE]
    return [place for place in wanted if not site.shows_branch(place)]


def _wanted(
    site: Site, view: View, task: Task, place: Place, blocked_by: tuple[str, ...], mine: Sequence[Base]
) -> bytes | None:
    if task.deleted_at or task.archived_at:
        return None
    if place.key == WORKSPACE:
        return complete_text(view.text(task.text), task, blocked_by)
    if site.rules.propagate == "runtime" and mine and mine[0].text:
        return replica_text(view.text(mine[0].text), task)
    return replica_text(view.text(task.text), task)


def _writes_at(
    site: Site, place: Place, task: Task, mine: Sequence[Base], wanted: bytes | None
) -> list[Write]:
    path = _path_at(place, task)
    if site.rules.propagate == "runtime" and place.key != WORKSPACE:
        if not mine or wanted is None:
            return []
        path = mine[0].path
    hash = None if wanted is None else text_hash(wanted)
    writes = [
        Write(place, base.path, task.id, base.text, None)
        for base in mine
        if wanted is None or base.path != path
    ]
    here = next((base for base in mine if base.path == path), None)
    if wanted is None or (here is not None and here.text == hash):
        return writes
    return [Write(place, path, task.id, here.text if here else None, wanted), *writes]


def _path_at(place: Place, task: Task) -> str:
    if place.key != WORKSPACE:
        return task.file
    return f"{task.path}/{task.id}.md" if task.path else f"{task.id}.md"


def _open_and_carry_out(
    site: Site, writes: Sequence[Write], errands: Sequence[Errand], *, more: bool
) -> Written:
    if writes:
        with site.writing() as txn:
            writes = open_writes(txn, writes)
    return carry_out(site, writes, errands, more=more)


def carry_out(
    site: Site, writes: Sequence[Write], errands: Sequence[Errand] = (), *, more: bool = False
) -> Written:
    """Do writes that are on record, move the bases, close the intents. The caller holds the write lock."""
    report = Written(more=more)
    if not writes and not errands:
        return report
    crash.point("intent.open")
    rows = list[tuple[Write, exchange.Outcome | OSError]]()
    durable = len(writes) <= DURABLE_EACH
    for write in writes:
        rows.append((write, _attempt(site, write, durable=durable)))
        crash.point("replica.written")
        site.beat()
    if not durable:
        asides.sync_all()
    crash.point("intent.closing")
    _close(site, rows, errands, report)
    crash.point("intent.closed")
    if report.count:
        site.log.info("replica.written", files=report.count, surprises=len(report.surprises))
    return report


def open_writes(txn: Txn, writes: Sequence[Write]) -> list[Write]:
    """Put the writes on record."""
    now, opened = txn.now(), list[Write]()
    for write in writes:
        wanted = None if write.wanted is None else txn.keep(write.wanted)
        intent = Intent(write.place.key, write.path, write.task, write.expected, wanted, now)
        opened.append(replace(write, intent=txn.open_intent(intent)))
    return opened


def _attempt(site: Site, write: Write, *, durable: bool) -> exchange.Outcome | OSError:
    """Write one replica; when the disk refuses, its error, which is reported."""
    root = write.place.root
    try:
        if write.wanted is None:
            return exchange.remove(root, write.path, write.expected or "", linger=True)
        if write.expected is None:
            make_root(site, write.place)
            return exchange.create(root, write.path, write.wanted, durable=durable)
        return exchange.replace(root, write.path, write.expected, write.wanted, linger=True, durable=durable)
    except OSError as error:
        site.log.warning("replica.failed", worktree=write.place.key, path=write.path, reason=str(error))
        return error


def make_root(site: Site, place: Place) -> None:
    """Make a place's directory; FileNotFoundError when what should hold it is gone."""
    if not site.is_standing(place):
        raise FileNotFoundError(errno.ENOENT, "its worktree is gone", str(place.root))
    place.root.mkdir(parents=True, exist_ok=True)


def _close(
    site: Site,
    rows: Iterable[tuple[Write, exchange.Outcome | OSError]],
    errands: Sequence[Errand],
    report: Written,
) -> None:
    """Move the bases, close the intents; errands whose replicas could not be written stay."""
    with site.writing() as txn:
        for write, outcome in rows:
            txn.close_intent(write.intent)
            if isinstance(outcome, OSError):
                report.failed.add(write.task)
                report.refused[write.place.key, write.path] = outcome.strerror or str(outcome)
                if is_written_back(site, write.place, write.path):
                    txn.put_problems(write.place.key, write.path, [_unwritable(txn, write)])
            else:
                _settle(txn, write, outcome, report)
        txn.dequeue(errand for errand in errands if errand.task not in report.failed)


def _settle(txn: Txn, write: Write, outcome: exchange.Outcome, report: Written) -> None:
    """Note what one write came to."""
    where = (write.place.key, write.path)
    done = outcome.kind in ("written", "displaced")
    same = outcome.kind == "exists" and outcome.text is not None and outcome.text == write.wanted
    gone = outcome.kind == "absent" and write.wanted is None
    if done or same or gone:
        report.count += done
        _move_base(txn, write)
    else:
        report.surprises.append(where)
        if outcome.kind == "exists":  # in the way of this task; what is there is heard first
            report.failed.add(write.task)
    if outcome.kind == "displaced" and outcome.aside is not None:
        displaced = Displaced(write.place, write.path, outcome.aside, outcome.text, write.expected)
        report.displaced.append(displaced)
    elif outcome.aside is not None:
        report.lingering.append((write.place.key, outcome.aside, write.expected or ""))


def _move_base(txn: Txn, write: Write) -> None:
    if write.wanted is None:
        _carry_along(txn, write)
        txn.drop_base(write.place.key, write.path)
        if write.expected is not None:
            txn.carry(write.place.key, write.path, write.expected)
        return
    before, hash = txn.base(write.place.key, write.path), text_hash(write.wanted)
    if before is not None and before.text not in (None, hash):
        txn.carry(write.place.key, write.path, before.text or "")
    # Written this instant, so its stamp proves nothing yet: the next scan looks at the text.
    base = before or Base(write.place.key, write.path, None, None, None)
    txn.put_base(replace(base, task=write.task, text=hash, stamp=None, seen_ns=time.time_ns()))


def _carry_along(txn: Txn, write: Write) -> None:
    """What an editor may hold of a file that goes is from now on held against its task's other file."""
    for base in txn.bases_of(write.task):
        if base.worktree == write.place.key and base.path != write.path:
            for text in (*txn.carried(write.place.key, write.path), write.expected):
                if text is not None:
                    txn.carry(base.worktree, base.path, text)


def _unwritable(txn: Txn, write: Write) -> Problem:
    reason = "taskd could not write this file (the reason is in `taskd daemon logs`)"
    remedy = "make the directory writable or free some space; taskd tries again by itself"
    return Problem(write.place.key, write.path, None, reason, remedy, write.task, since=txn.now())


def is_removed(site: Site, place: Place, path: str) -> bool:
    """Whether errands remove the replica at this path when its task is deleted."""
    runtime_only = site.rules.propagate == "runtime" and place.key != WORKSPACE
    return is_written_back(site, place, path) and not runtime_only


def is_target(site: Site, place: Place) -> bool:
    """Whether live state is written to a place at all."""
    return any(place.key == target.key for target in _targets(site)) and site.rules.propagate == "all"


def is_written_back(site: Site, place: Place, path: str) -> bool:
    """Whether errands bring the replica at this path to what the index says."""
    return any(place.key == target.key for target in _targets(site)) and path not in untouchable(site, place)
