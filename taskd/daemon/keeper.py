"""The thread that keeps files and index in step: steps 1 to 6, for every place of the repository.

It turns when the watcher, the schedule or a finished command wakes it. What is touched waits here
until it has settled, what is missing until its grace is over, what is gated until git is done.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from taskd import wire
from taskd.daemon import schedule
from taskd.daemon.facts import place_facts, record_facts
from taskd.daemon.mirrorer import Mirrorer
from taskd.engine import doubts
from taskd.engine.absence import Absences
from taskd.engine.backups import back_up_daily
from taskd.engine.engine import Engine
from taskd.engine.site import Place, main_first
from taskd.engine.touches import GATE_POLL, Touches
from taskd.errors import StillGated, TaskdError
from taskd.repo import crash
from taskd.repo.watch import Watcher

TIME_GAP: Final = 30.0  # seconds between two ticks that mean the machine or the process slept
TROUBLE_PAUSE: Final = 0.5  # seconds of rest after a failed turn, so that trouble does not become load
ROUND_REST: Final = 0.1  # seconds between two rounds of write back at most, while calls keep coming
ROUND_SHARE: Final = 2.0  # times the length of a round that the loop rests then: a third of the time is its
REREAD: Final = 0.1  # seconds until a file that was just being written is read again
SYNC_POLL: Final = 0.02  # seconds between looks at what a sync waits for
LOG_LARGE: Final = 64 << 20  # bytes of the index's own log after it was folded in: a reader that never ends
IDLE: Final = 60.0  # seconds the loop sleeps at most; the schedule wakes it every second anyway


@dataclass(slots=True)
class _Sync:
    """A `sync` under way: the places it still has to look at."""

    answer: Callable[[wire.Reply], None]
    deadline: float
    seconds: float
    waiting: set[str]
    #: when the remote was asked for it
    asked: float | None = None


@dataclass(slots=True)
class Keeper:
    """The loop and what it keeps between two turns. `post`, `wake`, `sync` may be called by any thread."""

    engine: Engine
    mirrorer: Mirrorer
    log: Any
    settle: float
    gone: Callable[[], None]  # the repository vanished under us
    check: Callable[[], None]  # once a second: whether this daemon is still the one that serves
    failed: Callable[[Exception], None]  # a turn ended by an exception
    last_scan: float | None = None
    last_turn: float = field(default_factory=time.monotonic)
    watcher: Watcher = field(init=False)
    touches: Touches = field(init=False)
    absences: Absences = field(default_factory=Absences)
    _messages: deque[tuple[str, Any]] = field(default_factory=deque)
    _awake: threading.Event = field(default_factory=threading.Event)
    _ending: bool = False
    _syncs: list[_Sync] = field(default_factory=list)
    _scans: set[str] = field(default_factory=set)
    _rechecks: dict[tuple[str, str], float] = field(default_factory=dict)
    _behind: bool = True
    #: calls carried out since the last round of write back began
    _commands: int = 0
    _next_round: float = 0.0
    _last_tick: float = field(default_factory=time.monotonic)
    _facts: tuple[object, ...] = ()
    _rest_until: float = 0.0
    _idle: bool = True
    #: what the watcher cannot do at present, told once
    _complaints: set[str] = field(default_factory=set)
    _thread: threading.Thread = field(init=False)

    # -- life

    def start(self) -> None:
        """Recover what a dead process left, watch every place, and begin."""
        self.touches = Touches(self.settle)
        self.engine.site.beat = self._beat
        self.watcher = Watcher(self._touched, self._doubted)
        with self.engine.working():
            self.engine.start()
        self._watch_everything()
        self._scans |= set(self.engine.site.places)
        self._thread = threading.Thread(target=self._work, name="taskd-keeper", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Take in what was touched, write back what can be, and end within `seconds`."""
        self._ending = True
        self._awake.set()
        self._thread.join(seconds)
        self.watcher.close()

    def post(self, name: str) -> None:
        """A periodic job is due."""
        self._tell("job", name)

    def commanded(self, calls: int) -> None:
        """So many calls changed the index."""
        self._commands += calls
        self.changed()

    def changed(self) -> None:
        """The index changed: replicas and branch are behind."""
        self._behind = True
        self._awake.set()
        self.mirrorer.wake()

    def sync(self, call: wire.Call, answer: Callable[[wire.Reply], None]) -> None:
        """Begin a `sync`; it is answered when everything saved before is in step."""
        self._tell("sync", (call, answer))

    def is_stuck(self, seconds: float) -> bool:
        """Whether a turn has been going on for longer than `seconds`."""
        return not self._idle and time.monotonic() - self.last_turn > seconds

    def _beat(self) -> None:
        self.last_turn = time.monotonic()

    def queue(self) -> int:
        """How much waits to be looked at."""
        return len(self.touches) + len(self.absences) + len(self._scans) + len(self._messages)

    def places(self) -> list[str]:
        """The worktrees that are served."""
        return sorted(key for key, place in self.engine.site.places.items() if place.worktree)

    # -- the loop

    def _work(self) -> None:
        while not self._ending:
            self._idle = True
            self._awake.wait(self._timeout())
            self._idle = False
            self._beat()
            self._awake.clear()
            self._turn()
        self._finish()

    def _turn(self) -> None:
        for part in (
            self._hear_messages,
            self._take_settled,
            self._decide_absences,
            self._scan_some,
            self._write_back,
            self._advance_syncs,
        ):
            try:
                part()
            except Exception as error:
                # The index or a disk is out of reach, or we have a fault: a loop that ends is deaf for ever,
                # one that rests and looks at everything again recovers when it can.
                self.log.exception("turn.failed", part=part.__name__, reason=str(error))
                self._scans |= set(self.engine.site.places)
                self._rest_until = time.monotonic() + TROUBLE_PAUSE
                self.failed(error)
        crash.point("turn")

    def _finish(self) -> None:
        """The last turn: nothing that was seen is left lying, as far as it can be done now."""
        try:
            for key, paths in self.touches.settled(float("inf")).items():
                self._ingest(key, paths)
            with self.engine.working():
                self.engine.finish_replicas()
            doubts.remember(self.engine.site)
        except (TaskdError, OSError) as error:
            self.log.warning("drain.failed", reason=str(error))
        for sync in self._syncs:
            sync.answer(wire.failed(StillGated(seconds=sync.seconds, reason="the daemon is stopping")))

    def _timeout(self) -> float:
        """How long the loop may sleep: until the first thing that is due."""
        now = time.monotonic()
        if now < self._rest_until:
            return self._rest_until - now
        if self._messages or (self._behind and now >= self._next_round):
            return 0.0
        if self._scans:
            return GATE_POLL if self._all_gated() else 0.0
        due = [t for t in (self.touches.next_due(), self.absences.next_due()) if t is not None]
        due += [self._next_round] if self._behind else []
        due += [*self._rechecks.values(), now + SYNC_POLL if self._syncs else now + IDLE]
        return max(0.0, min(due) - now)

    def _all_gated(self) -> bool:
        """Whether every scan that is wanted waits for git."""
        return all(self.touches.is_closed(key) for key in self._scans if key in self.engine.site.places)

    # -- what comes in

    def _tell(self, kind: str, what: Any) -> None:  # noqa: ANN401 - what the kind says
        self._messages.append((kind, what))
        self._awake.set()

    def _touched(self, path: Path) -> None:
        """Step 1, on the watcher's thread: only the path is remembered."""
        self._tell("touched", path)
        crash.point("replica.touched")

    def _doubted(self, root: Path, reason: str) -> None:
        self._tell("doubted", (root, reason))

    def _hear_messages(self) -> None:
        now = time.monotonic()
        for key, path in [pair for pair, due in self._rechecks.items() if now >= due]:
            self._rechecks[key, path] = float("inf")  # waited for until it is read, and remembered once
            self.touches.remember(key, path, now)
        while self._messages:
            kind, what = self._messages.popleft()
            if kind == "touched":
                self._hear_touch(what, now)
            elif kind == "doubted":
                self._hear_doubt(*what)
            elif kind == "sync":
                self._begin_sync(*what)
            else:
                self._run_job(what)

    def _hear_touch(self, path: Path, now: float) -> None:
        if path.name == "worktrees" or path.parent.name == "worktrees":
            self._look_around()
        touched = str(path)
        for place in self.engine.site.places.values():
            root = str(place.root)
            if touched == root:
                self._scans.add(place.key)
            elif touched.startswith(f"{root}/"):
                self.log.debug("replica.touched", worktree=place.key, path=touched)
                self.touches.remember(place.key, touched[len(root) + 1 :], now)

    def _hear_doubt(self, root: Path, reason: str) -> None:
        self.log.info("events.doubted", root=str(root), reason=reason)
        roots = [place.key for place in self.engine.site.places.values() if place.root == root]
        self._scans |= set(roots or self.engine.site.places)

    def _run_job(self, name: str) -> None:
        if name == schedule.TICK:
            self._tick()
        elif name == schedule.SCAN:
            self._scans |= set(self.engine.site.places)
        elif name == schedule.SWEEP:
            if self.engine.sweep():
                self.changed()
        elif name == schedule.RETRY:
            self.engine.retry()
            self.changed()
        elif name == schedule.REMOTE:
            self.mirrorer.envoy.wake()
        elif name == schedule.BACKUP:
            back_up_daily(self.engine.site)
        elif name == schedule.CHECKPOINT:
            self._checkpoint()

    def _checkpoint(self) -> None:
        db = self.engine.site.db
        db.checkpoint()
        size = db.describe().get("log", 0)
        if isinstance(size, int) and size > LOG_LARGE:
            self.log.warning("index.log-large", bytes=size, reason="somebody never ends reading it")

    def _tick(self) -> None:
        """Once a second: what no event tells."""
        now = time.monotonic()
        if now - self._last_tick > TIME_GAP:
            self.log.info("time.gap", seconds=round(now - self._last_tick))
            self._scans |= set(self.engine.site.places)
        self._last_tick = now
        site = self.engine.site
        if not site.repository.common_dir.is_dir() or not site.state_dir.is_dir():
            self.log.warning("repository.gone", path=str(site.repository.common_dir))
            self.gone()
            return
        self.check()
        doubts.remember(site)
        complaints = set(self.watcher.check())
        for complaint in sorted(complaints - self._complaints):
            self.log.warning("watch.limited", reason=complaint)
        self._complaints = complaints
        self._look_around()
        for key, path in self.engine.gates.take_merged():
            self.touches.remember(key, path, now)
        self.mirrorer.look()
        if self.engine.lingering:
            with self.engine.working():
                self.engine.look_again()
            self.changed()

    def _look_around(self) -> None:
        """Learn of worktrees that came, moved or went. Cheap when nothing did."""
        site = self.engine.site
        records = record_facts(site.repository.common_dir)
        if self._facts == (records, place_facts(site.places.values())):
            return
        before = set(site.places)
        with self.engine.working():
            new = site.look_around()
        for key in before - set(site.places):
            self.log.info("worktree.gone", worktree=key)
            self.touches.drop(key)
            self.absences.drop(key)
            self._rechecks = {pair: due for pair, due in self._rechecks.items() if pair[0] != key}
        for place in new:
            self.log.info("worktree.found", worktree=place.key, path=str(place.root))
            self._scans.add(place.key)
        self._watch_everything()
        # the records as they were before git was asked: what changed meanwhile is seen next time
        self._facts = (records, place_facts(site.places.values()))

    def _watch_everything(self) -> None:
        site = self.engine.site
        wanted = {place.root: True for place in site.places.values()}
        wanted[site.repository.common_dir / "worktrees"] = False
        for root in set(self.watcher.roots()) - set(wanted):
            self.watcher.unwatch(root)
        for root in set(wanted) - set(self.watcher.roots()):
            self.watcher.watch(root, recursive=wanted[root], only_tasks=wanted[root])

    # -- what is done

    def _take_settled(self) -> None:
        now = time.monotonic()
        for key, paths in self.touches.settled(now).items():
            place = self.engine.site.places.get(key)
            if place is None:
                continue
            if self._is_gated(place, now):
                self.touches.postpone(key, paths, now)
                continue
            self.log.debug("touches.settled", worktree=key, paths=len(paths))
            crash.point("touches.settled")
            for path in paths:
                self._rechecks.pop((key, path), None)
            self._ingest(key, paths)

    def _is_gated(self, place: Place, now: float) -> bool:
        return self.touches.gate(place.key, now, locked=self.engine.is_gated(place))

    def _ingest(self, key: str, paths: list[str]) -> None:
        place = self.engine.site.places.get(key)
        if place is None:
            return
        with self.engine.working():
            report = self.engine.ingest(place, paths)
        if report.absent:
            self.absences.remember(key, report.absent, time.monotonic())
        if report.changed or report.absent:
            self.changed()
        self._behind = True
        self._read_again()

    def _read_again(self) -> None:
        again, self.engine.again = self.engine.again, set()
        for key, path in again:
            self._rechecks.setdefault((key, path), time.monotonic() + REREAD)

    def _decide_absences(self) -> None:
        now = time.monotonic()
        for key, paths in self.absences.due(now).items():
            place = self.engine.site.places.get(key)
            if place is None:
                continue
            if self.engine.is_gated(place):
                self.absences.remember(key, paths, now)
                continue
            with self.engine.working():
                self.engine.decide_absence(place, paths)
            crash.point("absence.decided")
            self.changed()

    def _scan_some(self) -> None:
        """Scan the places that are in doubt, and give new ones their files."""
        now = time.monotonic()
        for key in sorted(self._scans, key=main_first):
            place = self.engine.site.places.get(key)
            if place is not None and self._is_gated(place, now):
                continue
            self._scans.discard(key)
            if place is not None:
                self._scan(place)

    def _scan(self, place: Place) -> None:
        with self.engine.working():
            # the gate was asked, and a lock that is too old does not keep it closed
            sighted = self.engine.look_at(place, patient=False)
            self.engine.fill_place(place)
        if sighted is not None and sighted.absent:
            self.absences.remember(place.key, sighted.absent, time.monotonic())
        self.last_scan = time.time()
        self.changed()
        self._read_again()

    def _write_back(self) -> None:
        """Step 6, one round when there is something; what is left is done in the next turn."""
        if not self._behind:
            return
        begun = time.monotonic()
        if begun < self._next_round:
            return
        self._behind, self._commands = False, 0
        if not self.engine.behind():
            return
        with self.engine.working():
            if self.engine.write_back():
                self._behind = True  # set only: a command may have set it meanwhile
        self._read_again()
        if self._commands:
            # Somebody is calling: what they change is written together, and they are not slowed down.
            now = time.monotonic()
            self._next_round = now + min(ROUND_REST, ROUND_SHARE * (now - begun))

    # -- sync

    def _begin_sync(self, call: wire.Call, answer: Callable[[wire.Reply], None]) -> None:
        try:
            asked = wire.build(wire.Sync, call.params)
        except TaskdError as error:
            answer(wire.failed(error))
            return
        self._look_around()
        self.engine.retry()
        deadline = time.monotonic() + asked.timeout
        self._syncs.append(_Sync(answer, deadline, asked.timeout, set(self.engine.site.places)))

    def _advance_syncs(self) -> None:
        for sync in list(self._syncs):
            for key in sorted(sync.waiting, key=main_first):
                self._look_for(sync, key)
            reason = self._unfinished(sync)
            if reason is None:
                self._syncs.remove(sync)
                sync.answer(wire.Reply(self.engine.counts()))
            elif time.monotonic() > sync.deadline:
                self._syncs.remove(sync)
                sync.answer(wire.failed(StillGated(seconds=sync.seconds, reason=reason)))

    def _look_for(self, sync: _Sync, key: str) -> None:
        place = self.engine.site.places.get(key)
        if place is not None and self._is_gated(place, time.monotonic()):
            return
        self._scans.discard(key)
        if place is not None:
            self._scan(place)
        if key not in self._scans:
            sync.waiting.discard(key)

    def _unfinished(self, sync: _Sync) -> str | None:
        """What a sync still waits for, in words."""
        if sync.waiting:
            return f"git is at work in {', '.join(sorted(sync.waiting))}"
        if len(self.absences):
            return "some files are missing, and it is being watched whether they stay away"
        if self._rechecks:
            return "some files are being written"
        if self.engine.behind():
            self._behind = True
            return "replicas are being written"
        if self.mirrorer.is_behind():
            self.mirrorer.wake()
            return "the workspace branch is being written"
        if sync.asked is None:
            sync.asked = time.monotonic()
            self.mirrorer.envoy.wake()
        return "the remote is being asked" if self.mirrorer.envoy.is_awaited(sync.asked) else None
