"""The engine: carries out the seven steps for one repository, in a daemon or in a single command.

Nothing here waits or sleeps on its own account, and nothing decides: `core` does. What reads or writes
replicas is called with the write lock held (`Engine.working`), one thread at a time; `execute`, `answer`
and `mirror` need no lock of ours, for them the store's transaction is enough.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from taskd import wire
from taskd.core.claims import Claimant
from taskd.engine import absence, doubts, ingest, recover, troubles, writeback
from taskd.engine.branching import Branching
from taskd.engine.callers import Authored, Owed
from taskd.engine.coordination import sweep_leases
from taskd.engine.desk import Desk
from taskd.engine.gates import Gates
from taskd.engine.moved import TIP
from taskd.engine.operations import Operation, operation
from taskd.engine.site import REPLICAS, WORKSPACE, Place, Site, main_first
from taskd.engine.standing import Standing
from taskd.engine.taker import Ingested
from taskd.errors import StillGated, TaskdError
from taskd.repo import crash, replicas
from taskd.repo.branch import Branch
from taskd.repo.lock import FileLock
from taskd.repo.remote import Remote
from taskd.store.base import Base, Stamp, Txn, View

USER_KEPT: Final = 5.0  # seconds until a new `git config user.name` is known
OWED_TRIES: Final = 3  # times a caller's own file may be saved under a command before that gives up


@dataclass(frozen=True, slots=True)
class Sighted:
    """What a scan found: paths to read, paths that are gone, and whether the place is there at all."""

    touched: list[str]
    absent: list[str]
    exists: bool


@dataclass(slots=True)
class Engine:
    """One repository's engine. `clock_ns` tells wall time in nanoseconds, as files are stamped."""

    site: Site
    branch: Branch
    mirror_lock: FileLock
    clock_ns: Callable[[], int] = time.time_ns
    remote: Remote | None = None
    #: (place key, path) that must be read again
    again: set[tuple[str, str]] = field(default_factory=set)
    lingering: list[tuple[str, str, str]] = field(default_factory=list)
    #: tasks of which a replica could not be written lately; tried again when somebody asks for it
    stuck: set[str] = field(default_factory=set)
    #: places that were made and given their files once
    _filled: set[tuple[Path, str]] = field(default_factory=set)
    gates: Gates = field(init=False)
    standing: Standing = field(init=False)
    _user: str | None = None
    _user_until: float = 0.0
    #: the workspace branch, and the remote's
    branching: Branching = field(init=False)

    def __post_init__(self) -> None:
        """Put the parts together."""
        self.gates = Gates(self.site, self.clock_ns)
        self.standing = Standing(self.site)
        self.branching = Branching(self.site, self.branch, self.mirror_lock, self.remote)

    # -- taking in

    def working(self) -> AbstractContextManager[None]:
        """Hold the write lock."""
        return self.site.lock.held()

    def start(self) -> None:
        """Settle what a killed process left, and learn where the worktrees are."""
        self.site.workspace.mkdir(parents=True, exist_ok=True)
        self.site.look_around()
        first = self.site.epoch is not None
        if first:
            self.site.git.clear_scratch()
        doubt = doubts.forget_if_old(self.site)
        self._note(recover.recover(self.site, self.clock_ns(), sweep=first))
        self.branching.restore()
        if doubt:
            self.finish_branch()  # what it says beyond an old index comes before the files are heard
            doubts.tell(self.site, doubt)

    def scan(self, place: Place) -> Sighted:
        """Compare a place with its bases, by stamps; files whose stamp cannot be trusted are touched."""
        if self._stands_aside(place):
            return Sighted([], [], exists=True)
        seen = replicas.scan(place.root)
        with self.site.db.read() as view:
            bases = {base.path: base for base in view.bases(place.key)}
            listed = {p.path for p in view.problems(place.key) if p.kind != "refusal"}
        touched = [path for path, stamp in seen.files.items() if _is_news(bases.get(path), stamp)]
        touched += sorted((listed - set(touched)) & set(seen.files))
        if seen.troubles or listed:
            troubles.list_troubles(self.site, place, seen.troubles, listed, seen.files)
        absent = [path for path in bases if not seen.root_exists or seen.absent(path)]
        return Sighted(touched, absent, seen.root_exists)

    def ingest(self, place: Place, paths: Sequence[str]) -> Ingested:
        """Steps 3 to 5 for some paths of a place; directories among them stand for what is in them."""
        if self._stands_aside(place):
            return Ingested()
        files = self._expand(place, paths)
        self.standing.count(place, [path for path in files if not os.path.lexists(place.root / path)])
        report = ingest.ingest(self.site, place, files, self.clock_ns())
        self.again |= {(place.key, path) for path in report.again}
        self.gates.await_merge(place, report.unmerged)
        self.stuck -= report.placed  # the file in the way is the task's own by now
        return report

    def decide_absence(self, place: Place, paths: Sequence[str]) -> list[str]:
        """What follows from files that stayed away; the ids deleted. Half-way in a merge nothing does yet."""
        if self._stands_aside(place):
            return []
        if place.worktree is not None and self.site.history.under_way(place.worktree):
            self.gates.await_merge(place, paths)
            return []
        stood = self.standing.of(place)
        deleted = absence.decide_absence(self.site, place, paths, self.clock_ns(), stood)
        self.standing.forget(place)
        if deleted:
            self.site.log.info("tasks.deleted", worktree=place.key, tasks=deleted)
        return deleted

    def is_gated(self, place: Place) -> bool:
        """Whether what is in a place has to wait."""
        return self.gates.is_closed(place)

    # -- commands

    def execute(self, calls: Sequence[wire.Call]) -> list[wire.Reply]:
        """Carry out writing calls in one durable transaction, each undone alone if it fails.

        The replies are given when the transaction is on the disk, never before.
        """
        for call in calls:
            self._look_first(call)
        owed = Owed()
        with self.site.writing() as txn:
            replies = [self._attempt(txn, call, owed) for call in calls]
            opened = owed.open(self.site, txn)
            crash.point("command.committing")
        crash.point("command.committed")
        if opened:
            self._write_owed(owed, opened)
        return replies

    def _look_first(self, call: wire.Call) -> None:
        """Take in the worktree whose files a call is about; whatever is wrong with it is told by the call."""
        with suppress(TaskdError):
            row = operation(call.op)
            if row.hears is None:
                return
            here = self.site.place_of(Path(call.caller.directory))
            place = self.site.places.get(row.hears(wire.build(row.params, call.params), here) or "")
            if place is not None:
                with self.working():
                    self.look_at(place)

    def _write_owed(self, owed: Owed, opened: list[writeback.Write]) -> None:
        with self.working():
            for left in reversed(range(OWED_TRIES)):
                done = writeback.carry_out(self.site, opened)
                self._note(done)
                owed.settle(opened, done)
                if not left or not (done.surprises or done.displaced):
                    return
                for key, path in done.surprises:  # somebody was quicker: heard first, then written over that
                    self.ingest(self.site.places[key], [path])
                with self.site.writing() as txn:
                    opened = owed.open(self.site, txn)

    def answer(self, call: wire.Call) -> wire.Reply:
        """Carry out a call that only reads, on a snapshot."""
        try:
            row = operation(call.op)
            with self.site.db.read() as view:
                return self._run(row, view, call, Owed())
        except TaskdError as error:
            return wire.failed(error)
        except Exception as error:  # noqa: BLE001 - likewise
            return self._own_fault(call, error)

    def _attempt(self, txn: Txn, call: wire.Call, owed: Owed) -> wire.Reply:
        try:
            row = operation(call.op)
            request = None if row.repeats else call.caller.request_id
            if request is not None and (told := txn.reply(request)) is not None:
                return wire.unpack_reply(told.encode())
            with txn.savepoint():
                reply = self._run(row, txn, call, owed)
                if request is not None:
                    txn.put_reply(request, wire.pack_reply(reply).decode())
                return reply
        except TaskdError as error:
            return wire.failed(error)
        except Exception as error:  # noqa: BLE001 - a fault in one call must not take the others' answers
            return self._own_fault(call, error)

    def _own_fault(self, call: wire.Call, error: Exception) -> wire.Reply:
        self.site.log.warning("call.failed", op=call.op, exc_info=error)
        return wire.failed(TaskdError(reason=f"{type(error).__name__}: {error}"))

    def _run(self, row: Operation, view: View, call: wire.Call, owed: Owed) -> wire.Reply:
        place = self.site.place_of(Path(call.caller.directory))
        # An operation that only reads never calls what a view has not.
        named = row.writes or call.params.get("mine", False)
        who = self.claimant(call.caller, place, named=bool(named))
        desk = Desk(cast("Txn", view), self.site, who, call.op, call.caller.token, place)
        data = row.run(desk, wire.build(row.params, call.params))
        if place is not None:
            owed.authored += [Authored(place, id, fields, makes=not fields) for id, fields in desk.authored]
        owed.pulled += desk.pulled
        return wire.Reply(data)

    def claimant(self, caller: wire.Caller, place: Place | None, *, named: bool) -> Claimant:
        """Who calls: as they say, else their worktree, in the main worktree (if `named`) the git user."""
        key = place.key if place is not None else "main"
        linked = place is not None and place.worktree is not None and not place.worktree.is_main
        actor = caller.actor or (key if linked or not named else self._git_user() or key)
        return Claimant(actor, caller.session or key, key)

    def _git_user(self) -> str | None:
        """The git user's name, asked now and then: a process for every call would be felt."""
        now = time.monotonic()
        if now >= self._user_until:
            self._user, self._user_until = self.site.git.user_name(), now + USER_KEPT
        return self._user

    def sweep(self) -> list[str]:
        """Give back tasks whose lease ran out."""
        with self.site.db.read() as view:
            if not view.lapsed():
                return []
        with self.site.writing() as txn:
            swept = sweep_leases(txn)
        self.site.log.info("claims.lapsed", tasks=swept)
        return swept

    # -- giving out

    def write_back(self) -> bool:
        """Step 6, one round; whether more is to be done."""
        self._note(recover.recover(self.site, self.clock_ns(), sweep=False))
        done = writeback.write_back(self.site, self.stuck)
        self.stuck |= done.failed
        self._note(done)
        return done.more

    def retry(self) -> None:
        """Have what could not be written tried again."""
        self.stuck.clear()

    def behind(self, last: int | None = None) -> bool:
        """Whether errands, up to `last`, are left of tasks whose replicas are not known to be unwritable."""
        with self.site.db.read() as view:
            return any(
                errand.task not in self.stuck and (last is None or errand.seq <= last)
                for errand in view.errands(REPLICAS, len(self.stuck) + 1)
            )

    def _newest_errand(self) -> int:
        with self.site.db.read() as view:
            return max((errand.seq for errand in view.errands(REPLICAS)), default=0)

    def look_again(self) -> None:
        """Look once more at displaced files that an editor may still have held open."""
        self.lingering = [
            (key, aside, expected)
            for key, aside, expected in self.lingering
            if key in self.site.places
            and not recover.settle_aside(self.site, self.site.places[key], aside, expected, self.clock_ns())
        ]

    def mirror(self) -> bool:
        """Step 7, one round; whether more is to be done."""
        return self.branching.mirror()

    def unmirrored(self) -> bool:
        """Whether the branch is behind the index."""
        return self.branching.unmirrored()

    def finish_branch(self) -> None:
        """Mirror until nothing is left; a failure is logged and stays to be retried."""
        self.branching.finish()

    def finish_news(self) -> None:
        """Write back what was taken from the branch, if anything was."""
        if self.branching.take_news():
            self.finish_replicas()

    # -- everything at once, for a command without a daemon

    def look_at(self, place: Place, *, patient: bool = True) -> Sighted | None:
        """Scan and take in one place; None if it is `patient` and git is at work there."""
        if patient and self.is_gated(place):
            return None
        sighted = self.scan(place)
        if sighted.touched or sighted.absent:
            report = self.ingest(place, [*sighted.absent, *sighted.touched])
            sighted = replace(sighted, absent=report.absent)  # without what was only moved
        if not sighted.absent:
            self.standing.forget(place)
        self.gates.heard(place)
        return sighted

    def finish(self) -> None:
        """Carry out every errand: replicas, then the branch."""
        self.finish_replicas()
        self.finish_branch()
        self.finish_news()

    def finish_replicas(self) -> None:
        """Write back until nothing is left, reading again what was found changed.

        What a busy daemon adds meanwhile is left to it, or this might never end.
        """
        heard, last = set[tuple[str, str]](), self._newest_errand()
        while self.behind(last) or self.again - heard:
            again, self.again = self.again - heard, set()
            heard |= again
            for key, path in sorted(again):
                if key in self.site.places:
                    self.ingest(self.site.places[key], [path])
            if again:
                last = self._newest_errand()
            self.write_back()

    def sync(self, timeout: float, sleep: Callable[[float], None]) -> dict[str, Any]:
        """Take in everything that was saved before the call, write it back, mirror it.

        Waits for gated worktrees, for absent files to be decided about and for half-written ones to be
        finished or called broken, at most `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        missing = absence.Absences()
        waiting = {place.key for place in self.site.look_around()} | set(self.site.places)
        while True:
            for key in sorted(waiting, key=main_first):
                place = self.site.places.get(key)
                sighted = self.look_at(place) if place is not None else Sighted([], [], exists=False)
                if sighted is not None:
                    waiting.discard(key)
                    if sighted.absent:
                        missing.remember(key, sighted.absent, time.monotonic())
            for key, paths in missing.due(time.monotonic()).items():
                self.decide_absence(self.site.places[key], paths)
            self.fill_all()
            self.finish_replicas()
            if not waiting and not len(missing) and not self.again:
                break
            if time.monotonic() > deadline:
                raise StillGated(
                    seconds=timeout, reason=f"waiting for {', '.join(sorted(waiting)) or 'files'}"
                )
            sleep(0.05)
        self.finish()
        self.branching.agree()
        self.finish_news()
        return self.counts()

    def fill_all(self) -> None:
        """Give every place the tasks it was never given."""
        for place in list(self.site.places.values()):
            self.fill_place(place)

    def fill_place(self, place: Place) -> None:
        """Have a place given every task it has no file of, if live state is written there at all.

        A directory that had files and vanished is none to be filled: that is decided as an absence.
        """
        if not writeback.is_target(self.site, place) or self._has_vanished(place):
            return
        with suppress(OSError):  # told for each file that cannot be written
            writeback.make_root(self.site, place)  # so that it can be watched before the first task
        self._filled.add(_identity(place))
        writeback.fill(self.site, place)

    def _has_vanished(self, place: Place) -> bool:
        if place.root.is_dir():
            return False
        if _identity(place) in self._filled or not self.site.is_standing(place):
            return True
        with self.site.db.read() as view:
            return bool(view.bases(place.key))

    def counts(self) -> dict[str, Any]:
        """What `sync` tells: tasks by status, problems, conflicts, holds, and the branch's tip."""
        with self.site.db.read() as view:
            problems = [p for p in view.problems() if p.kind == "problem"]
            return {
                "tasks": sum(view.count().values()),
                "statuses": {status.value: count for status, count in view.count().items()},
                "worktrees": sorted(key for key in self.site.places if key != WORKSPACE),
                "problems": len(problems),
                "duplicates": sum("belongs to" in problem.reason for problem in problems),
                "conflicts": len(view.conflicts()),
                "holds": len(view.holds()),
                "tip": view.meta(TIP),
            }

    def close(self) -> None:
        """Let go of the store, git and their files."""
        self.site.db.close()
        self.site.git.close()

    # -- details

    def _stands_aside(self, place: Place) -> bool:
        """Whether a place is none now, since its worktree shows the workspace branch."""
        aside = self.branching.stands_aside(place)
        if aside:
            self._filled.discard(_identity(place))
        return aside

    def _note(self, done: writeback.Written) -> None:
        self.again |= set(done.surprises)
        self.lingering += done.lingering
        for edit in done.displaced:
            self.lingering += recover.take_displaced(self.site, edit, self.clock_ns())
            self.again.add((edit.place.key, edit.path))  # and what follows from it is still to be done

    def _expand(self, place: Place, paths: Sequence[str]) -> list[str]:
        """Files for paths, directories resolved to the files below and the bases that were there."""
        found = dict[str, None]()
        for path in paths:
            if replicas.is_task_name(path.rpartition("/")[2]):
                found[path] = None  # a directory of that name is told to be none
            elif (place.root / path).is_dir() and not (place.root / path).is_symlink():
                found.update(dict.fromkeys(self._below(place, path)))
            else:
                found.update(dict.fromkeys(self._bases_below(place, path)))
        return list(found)

    def _below(self, place: Place, path: str) -> Iterator[str]:
        prefix = f"{path}/" if path and path != "." else ""
        yield from (file for file in replicas.scan(place.root).files if file.startswith(prefix))
        yield from self._bases_below(place, path)

    def _bases_below(self, place: Place, path: str) -> list[str]:
        prefix = f"{path}/" if path and path != "." else ""
        with self.site.db.read() as view:
            return [base.path for base in view.bases(place.key) if base.path.startswith(prefix)]


def _identity(place: Place) -> tuple[Path, str]:
    return place.root, place.worktree.identity if place.worktree else ""


def _is_news(base: Base | None, stamp: tuple[int, ...]) -> bool:
    return base is None or base.stamp is None or base.stamp != Stamp(*stamp)


@contextmanager
def opened(engine: Engine) -> Iterator[Engine]:
    """An engine that is closed at the end."""
    try:
        yield engine
    finally:
        engine.close()
