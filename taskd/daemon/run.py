"""The daemon's process: one work loop that owns the index, and the threads that feed it.

The loop does the seven steps in turn: it waits for the socket, the watcher and the schedule, carries
out the calls that came in as one transaction, takes in what has settled, writes back, and wakes the
thread that mirrors. systemd's watchdog is fed from the loop itself, so a stuck loop is seen.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from taskd import local, wire
from taskd.daemon import schedule
from taskd.daemon.logs import logging_to
from taskd.daemon.notify import Notifier, listen_fds
from taskd.daemon.serve import Request, RunCommand, Server, listen, write_endpoint
from taskd.engine.absence import Absences
from taskd.engine.engine import Engine
from taskd.engine.operations import OPERATIONS
from taskd.engine.site import MIRROR, REPLICAS, Place
from taskd.engine.touches import Touches
from taskd.errors import StillGated, TaskdError
from taskd.repo import crash
from taskd.repo.watch import Watcher

TIME_GAP: Final = 30.0  # seconds between two ticks that mean the machine or the process slept
MIRROR_BACKOFF: Final = (1.0, 5.0, 30.0)  # seconds after the first, second, every further failure
DRAIN_LIMIT: Final = 4.0  # seconds a stopping daemon works on; the promise is to be gone within 5


def run(home: local.Home, run_command: RunCommand, environ: Mapping[str, str] = os.environ) -> int:
    """Be the daemon of a repository until stopped. 0 also when another one serves it already."""
    home.require_set_up()
    home.state_dir.mkdir(mode=0o700, exist_ok=True)
    lock = home.daemon_lock
    if not lock.try_hold():
        sys.stderr.write(f"taskd: a daemon serves {home.top} already (pid {lock.holder() or 'unknown'})\n")
        return 0
    try:
        with logging_to(home.state_dir, home.config.log__level, environ) as log:
            return _serve(home, run_command, log, environ)
    finally:
        lock.release()


def _serve(home: local.Home, run_command: RunCommand, log: Any, environ: Mapping[str, str]) -> int:  # noqa: ANN401 - structlog
    with ExitStack() as stack:
        engine = local.open_engine(home, log)
        stack.callback(engine.close)
        engine.site.epoch = engine.site.db.take_over()
        notifier = Notifier.from_environment(environ)
        path = local.socket_place(home.repository.common_dir, environ)
        daemon = Daemon(home, engine, notifier, log)
        inherited = listen_fds(environ)
        listening = inherited[0] if inherited else listen(path)
        if not inherited:
            stack.callback(path.unlink, missing_ok=True)
        daemon.open(listening, path, run_command)
        stack.callback(daemon.close)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop())
        stack.enter_context(schedule.scheduled(daemon.post, home.config.scan_interval))
        log.info("daemon.ready", pid=os.getpid(), repo=str(home.top), socket=str(path))
        for warning in home.loaded.warnings:
            log.warning("config.unknown", reason=warning)
        notifier.ready(f"serving {home.top}")
        daemon.work()
        notifier.stopping()
        daemon.drain()
        log.info("daemon.stopped", pid=os.getpid())
    return 0


@dataclass(slots=True)
class _Sync:
    """A `sync` under way: places still to be looked at, and absences seen on the way."""

    request: Request
    deadline: float
    seconds: float
    waiting: set[str]


@dataclass(slots=True)
class Daemon:
    """The work loop and what it keeps between two turns."""

    home: local.Home
    engine: Engine
    notifier: Notifier
    log: Any
    started: float = field(default_factory=time.monotonic)
    last_scan: float | None = None
    stopping: bool = False
    lost: bool = False
    server: Server = field(init=False)
    watcher: Watcher = field(init=False)
    mirrorer: Mirrorer = field(init=False)
    touches: Touches = field(init=False)
    absences: Absences = field(default_factory=Absences)
    #: from other threads: (kind, what) messages, and calls of command lines
    messages: deque[tuple[str, Any]] = field(default_factory=deque)
    calls: deque[Request] = field(default_factory=deque)
    syncs: list[_Sync] = field(default_factory=list)
    scans: set[str] = field(default_factory=set)
    rechecks: dict[tuple[str, str], float] = field(default_factory=dict)
    replicas_due: float = 0.0
    last_tick: float = field(default_factory=time.monotonic)
    next_ping: float = 0.0
    facts: tuple[object, ...] = ()

    # -- life

    def open(self, listening: Any, path: Path, run_command: RunCommand) -> None:  # noqa: ANN401 - a socket
        """Recover, watch, serve."""
        self.touches = Touches(self.home.config.settle)
        self.server = Server(listening, self.submit, run_command, self.log.exception)
        self.watcher = Watcher(self._touched, self._doubted)
        self.mirrorer = Mirrorer(self.engine, self.home.config.mirror__interval, self.log)
        with self.engine.working():
            self.engine.start()
        self._watch_everything()
        write_endpoint(self.home.state_dir, path)
        self.scans |= set(self.engine.site.places)
        self.mirrorer.start()

    def close(self) -> None:
        """Let go of threads and sockets."""
        (self.home.state_dir / "endpoint.json").unlink(missing_ok=True)
        self.server.close()
        self.watcher.close()
        self.mirrorer.stop()

    def stop(self) -> None:
        """End after the turn under way; safe in a signal handler."""
        self.stopping = True
        self.server.wake()

    def post(self, name: str) -> None:
        """A periodic job is due; from any thread."""
        self.messages.append(("job", name))
        self.server.wake()

    def submit(self, call: wire.Call) -> wire.Reply:
        """Carry out a call of a command line: reading ones here, others in the loop; from any thread."""
        row = OPERATIONS.get(call.op)
        if row is not None and not row.writes:
            return self.engine.answer(call)
        done = threading.Event()
        replies = list[wire.Reply]()

        def answer(reply: wire.Reply) -> None:
            replies.append(reply)
            done.set()

        self.calls.append(Request(call, answer))
        self.server.wake()
        done.wait()
        return replies[0]

    # -- the loop

    def work(self) -> None:
        """Turn until stopped."""
        while not self.stopping:
            self._turn(self.server.wait(self._timeout()))
            crash.point("turn")

    def drain(self) -> None:
        """What was accepted is finished: calls, touches, replicas, branch; at most `DRAIN_LIMIT`."""
        deadline = time.monotonic() + DRAIN_LIMIT
        self._carry_out([])
        for key, paths in self.touches.settled(float("inf")).items():
            self._ingest(key, paths)
        while self.replicas_due and time.monotonic() < deadline:
            self._write_back()
        self.mirrorer.stop(max(0.0, deadline - time.monotonic()))

    def _turn(self, requests: list[Request]) -> None:
        self._ping()
        self._hear_messages()
        self._carry_out(requests)
        self._take_settled()
        self._decide_absences()
        self._scan_some()
        if self.replicas_due and time.monotonic() >= self.replicas_due:
            self._write_back()
        self._advance_syncs()

    def _timeout(self) -> float | None:
        """How long the loop may sleep: until the first thing that is due."""
        if self.calls or self.messages or self.scans:
            return 0.0
        now = time.monotonic()
        due = [t for t in (self.touches.next_due(), self.absences.next_due()) if t is not None]
        due += [self.replicas_due] if self.replicas_due else []
        due += list(self.rechecks.values())
        due += [now + 0.02] if self.syncs else []
        due += [self.next_ping] if self.notifier.interval else []
        return max(0.0, min(due) - now) if due else None

    def _ping(self) -> None:
        interval = self.notifier.interval
        now = time.monotonic()
        if interval and now >= self.next_ping:
            self.notifier.ping()
            self.next_ping = now + interval / 3

    # -- what comes in

    def _touched(self, path: Path) -> None:
        """Step 1, on the watcher's thread: only the path is remembered."""
        self.messages.append(("touched", path))
        self.server.wake()

    def _doubted(self, root: Path, reason: str) -> None:
        self.messages.append(("doubted", (root, reason)))
        self.server.wake()

    def _hear_messages(self) -> None:
        now = time.monotonic()
        for key, path in [pair for pair, due in self.rechecks.items() if now >= due]:
            del self.rechecks[key, path]
            self.touches.remember(key, path, now)
        while self.messages:
            kind, what = self.messages.popleft()
            if kind == "touched":
                self._hear_touch(what, now)
            elif kind == "doubted":
                self._hear_doubt(*what)
            else:
                self._run_job(what)

    def _hear_touch(self, path: Path, now: float) -> None:
        if path.parent == self.home.repository.common_dir / "worktrees" or path.name == "worktrees":
            self._look_around()
            return
        for place in self.engine.site.places.values():
            if path == place.root:
                self.scans.add(place.key)
            elif path.is_relative_to(place.root):
                self.log.debug("replica.touched", worktree=place.key, path=str(path))
                self.touches.remember(place.key, path.relative_to(place.root).as_posix(), now)

    def _hear_doubt(self, root: Path, reason: str) -> None:
        self.log.info("events.doubted", root=str(root), reason=reason)
        roots = [place.key for place in self.engine.site.places.values() if place.root == root]
        self.scans |= set(roots or self.engine.site.places)

    def _run_job(self, name: str) -> None:
        if name == schedule.TICK:
            self._tick()
        elif name == schedule.SCAN:
            self.scans |= set(self.engine.site.places)
        elif name == schedule.SWEEP:
            with self.engine.working():
                if self.engine.sweep():
                    self._something_changed()
        elif name == schedule.RETRY:
            self._something_changed()
        elif name == schedule.CHECKPOINT:
            self.engine.site.db.checkpoint()

    def _tick(self) -> None:
        """Once a second: what no event tells."""
        now = time.monotonic()
        if now - self.last_tick > TIME_GAP:
            self.log.info("time.gap", seconds=round(now - self.last_tick))
            self.scans |= set(self.engine.site.places)
        self.last_tick = now
        if not self.home.repository.common_dir.is_dir() or not self.home.state_dir.is_dir():
            self.log.warning("repository.gone", path=str(self.home.repository.common_dir))
            self.stopping = self.lost = True
            return
        for complaint in self.watcher.check():
            self.log.warning("watch.limited", reason=complaint)
        self._look_around()
        if self.engine.lingering:
            with self.engine.working():
                self.engine.look_again()
            self._something_changed()

    def _look_around(self) -> None:
        """Learn of worktrees that came, moved or went. Cheap when nothing did."""
        facts = _worktree_facts(self.home.repository.common_dir, self.engine.site.places.values())
        if facts == self.facts:
            return
        before = set(self.engine.site.places)
        with self.engine.working():
            new = self.engine.site.look_around()
        for key in before - set(self.engine.site.places):
            self.log.info("worktree.gone", worktree=key)
            self.touches.drop(key)
            self.absences.drop(key)
        for place in new:
            self.log.info("worktree.found", worktree=place.key, path=str(place.root))
            self.scans.add(place.key)
        self._watch_everything()
        self.facts = _worktree_facts(self.home.repository.common_dir, self.engine.site.places.values())

    def _watch_everything(self) -> None:
        common = self.home.repository.common_dir
        wanted = {place.root: True for place in self.engine.site.places.values()}
        wanted[common / "worktrees"] = False
        for root in set(self.watcher.roots()) - set(wanted):
            self.watcher.unwatch(root)
        for root in set(wanted) - set(self.watcher.roots()):
            self.watcher.watch(root, recursive=wanted[root])

    # -- what is done

    def _carry_out(self, requests: list[Request]) -> None:
        """Carry out everything that has been asked so far, writing calls in one transaction."""
        while self.calls:
            requests.append(self.calls.popleft())
        writes = list[Request]()
        for request in requests:
            if request.call.op in _LOOP_OPERATIONS:
                getattr(self, _LOOP_OPERATIONS[request.call.op])(request)
            elif request.call.op in OPERATIONS and OPERATIONS[request.call.op].writes:
                writes.append(request)
            else:
                request.answer(self.engine.answer(request.call))
        if writes:
            self._execute(writes)

    def _execute(self, requests: list[Request]) -> None:
        try:
            with self.engine.working():
                replies = self.engine.execute([request.call for request in requests])
        except TaskdError as error:
            self.log.exception("index.failed")
            replies = [wire.failed(error)] * len(requests)
        for request, reply in zip(requests, replies, strict=True):
            request.answer(reply)
        self._something_changed()

    def _take_settled(self) -> None:
        now = time.monotonic()
        for key, paths in self.touches.settled(now).items():
            place = self.engine.site.places.get(key)
            if place is None:
                continue
            if self.touches.gate(key, now, locked=self.engine.is_gated(place)):
                self.touches.postpone(key, paths, now)
                continue
            self.log.debug("touches.settled", worktree=key, paths=len(paths))
            self._ingest(key, paths)

    def _ingest(self, key: str, paths: list[str]) -> None:
        place = self.engine.site.places.get(key)
        if place is None:
            return
        with self.engine.working():
            report = self.engine.ingest(place, paths)
        if report.absent:
            self.absences.remember(key, report.absent, time.monotonic())
        self._something_changed()
        self._read_again()

    def _read_again(self) -> None:
        again, self.engine.again = self.engine.again, set()
        for key, path in again:
            self.rechecks.setdefault((key, path), time.monotonic() + 0.1)

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
            self._something_changed()

    def _scan_some(self) -> None:
        """Scan the places that are in doubt, and give new ones their files."""
        now = time.monotonic()
        for key in sorted(self.scans):
            place = self.engine.site.places.get(key)
            if place is not None and self.touches.gate(key, now, locked=self.engine.is_gated(place)):
                continue
            self.scans.discard(key)
            if place is not None:
                self._scan(place)

    def _scan(self, place: Place) -> None:
        with self.engine.working():
            sighted = self.engine.look_at(place)
            if sighted is not None:
                self.engine.fill_place(place)
        if sighted is None:
            self.scans.add(place.key)
            return
        if sighted.absent:
            self.absences.remember(place.key, sighted.absent, time.monotonic())
        self.last_scan = time.time()
        self._something_changed()
        self._read_again()

    def _something_changed(self) -> None:
        """Replicas and branch may be behind now."""
        self.replicas_due = self.replicas_due or time.monotonic()
        self.mirrorer.wake()

    def _write_back(self) -> None:
        """Step 6, one round; what is left is done in the next turn."""
        self.replicas_due = 0.0
        if not self.engine.pending(REPLICAS):
            return
        with self.engine.working():
            more = self.engine.write_back()
        if more:
            self.replicas_due = time.monotonic()
        self._read_again()

    # -- sync

    def _begin_sync(self, request: Request) -> None:
        try:
            asked = wire.build(wire.Sync, request.call.params)
        except TaskdError as error:
            request.answer(wire.failed(error))
            return
        self._look_around()
        deadline = time.monotonic() + asked.timeout
        self.syncs.append(_Sync(request, deadline, asked.timeout, set(self.engine.site.places)))

    def _advance_syncs(self) -> None:
        for sync in list(self.syncs):
            for key in sorted(sync.waiting):
                place = self.engine.site.places.get(key)
                if place is None:
                    sync.waiting.discard(key)
                elif not self.touches.gate(key, time.monotonic(), locked=self.engine.is_gated(place)):
                    self.scans.discard(key)
                    self._scan(place)
                    sync.waiting -= {key} - self.scans
            reason = self._unfinished(sync)
            if reason is None:
                self.syncs.remove(sync)
                sync.request.answer(wire.Reply(self.engine.counts()))
            elif time.monotonic() > sync.deadline:
                self.syncs.remove(sync)
                sync.request.answer(wire.failed(StillGated(seconds=sync.seconds, reason=reason)))

    def _unfinished(self, sync: _Sync) -> str | None:
        """What a sync still waits for, in words."""
        if sync.waiting:
            return f"git is at work in {', '.join(sorted(sync.waiting))}"
        if len(self.absences):
            return "some files are missing, and it is being watched whether they stay away"
        if self.replicas_due or self.engine.pending(REPLICAS):
            self.replicas_due = self.replicas_due or time.monotonic()
            return "replicas are being written"
        if self.engine.pending(MIRROR):
            self.mirrorer.wake()
            return "the workspace branch is being written" if not self.mirrorer.failures else None
        return None

    def _tell_status(self, request: Request) -> None:
        site = self.engine.site
        queue = len(self.touches) + len(self.absences) + len(self.scans) + len(self.calls)
        request.answer(
            wire.Reply(
                {
                    "pid": os.getpid(),
                    "uptime": round(time.monotonic() - self.started, 3),
                    "worktrees": sorted(key for key, place in site.places.items() if place.worktree),
                    "queue": queue,
                    "last_scan": self.last_scan,
                    "mirror": self.mirrorer.describe(),
                    "store": dict(site.db.describe()),
                    "memory": _memory(),
                }
            )
        )


#: calls that are about the loop itself, and the method that answers them
_LOOP_OPERATIONS: Final = {"sync": "_begin_sync", "daemon.status": "_tell_status"}


class Mirrorer:
    """The thread of step 7. A failure is told, retried with growing pauses, and blocks nothing else."""

    def __init__(self, engine: Engine, interval: float, log: Any) -> None:  # noqa: ANN401 - structlog
        """`interval` is the least time between two commits, in seconds."""
        self._engine, self._interval, self._log = engine, interval, log
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="taskd-mirror", daemon=True)
        self.failures = 0
        self.reason: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self.wake()

    def wake(self) -> None:
        """Something may have to be mirrored."""
        self._wanted.set()

    def stop(self, seconds: float = 5.0) -> None:
        """Mirror what is left and end, within `seconds`; harmless when it has ended."""
        self._ending.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def describe(self) -> dict[str, object]:
        """For `daemon status`: whether it works, what is left, and why it failed."""
        return {"failing": self.failures > 0, "failures": self.failures, "reason": self.reason}

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            ending = self._ending.is_set()
            pause = self._mirror()
            if ending or self._ending.wait(pause):
                if ending:
                    return
                self._wanted.set()

    def _mirror(self) -> float:
        """One round; the pause before the next."""
        try:
            if self._engine.pending(MIRROR) and self._engine.mirror():
                self._wanted.set()
        except (TaskdError, OSError) as error:
            self.failures += 1
            self.reason = str(error)
            self._log.warning("branch.failed", reason=self.reason, failures=self.failures)
            self._wanted.set()
            return MIRROR_BACKOFF[min(self.failures, len(MIRROR_BACKOFF)) - 1]
        self.failures, self.reason = 0, None
        return self._interval


def _worktree_facts(common_dir: Path, places: Any) -> tuple[object, ...]:  # noqa: ANN401 - any iterable of places
    """What changes when a worktree comes, moves or goes; some stats, no git."""
    return (
        _mtime(common_dir / "worktrees"),
        *((str(place.root), _identity(place.root.parent)) for place in places),
    )


def _mtime(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _memory() -> int:
    """Resident bytes: now on Linux, the peak elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
