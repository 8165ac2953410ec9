"""The daemon's process: puts its parts together, carries out calls, ends in order.

Three threads share the work. This one serves the socket and carries out all calls that came in at once
as one durable transaction; the keeper brings files and index in step; the mirrorer follows with the
branch. A command needs no write lock, which guards files and intents: the store's own transaction
makes it one with everything else.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

from taskd import local, wire
from taskd.daemon import schedule
from taskd.daemon.keeper import Keeper
from taskd.daemon.logs import logging_to
from taskd.daemon.mirrorer import Mirrorer
from taskd.daemon.notify import Notifier, passed_socket
from taskd.daemon.serve import Request, RunCommand, Server, listen, write_endpoint
from taskd.engine import backups
from taskd.engine.engine import Engine
from taskd.engine.operations import OPERATIONS
from taskd.errors import Fenced, StoreBusy, StoreDamaged, StoreGone, TaskdError, Unreachable
from taskd.repo.lock import FileLock

SWITCH: Final = 0.0005  # seconds until a busy thread lets another run; 5 ms, the default, is felt in a call
REMOVAL: Final = 0.5  # seconds after the index went, in which the rest of a repository that is removed goes
WAIT_LIMIT: Final = 15.0  # seconds between two tries to open an index that is busy
END_LIMIT: Final = 1.8  # seconds each of keeper and mirrorer may take to end; the promise is 5 in all


def run(home: local.Home, run_command: RunCommand, environ: Mapping[str, str] = os.environ) -> int:
    """Be the daemon of a repository until stopped. 0 also when another one serves it already."""
    home.require_set_up()
    home.state_dir.mkdir(mode=0o700, exist_ok=True)
    lock = home.daemon_lock
    if not lock.try_hold():
        told = f"a daemon serves {home.top} already (pid {lock.holder() or 'unknown'})"
        sys.stderr.write(f"taskd: {told}\n")
        notifier = Notifier.from_environment(environ)  # or systemd takes our leaving for a failure
        notifier.ready(told)
        notifier.stopping()
        return 0
    try:
        with logging_to(home.state_dir, home.config.log__level, environ) as log:
            passed = passed_socket(environ)
            while _serve(home, lock, run_command, log, environ, passed):
                log.info("daemon.again", pid=os.getpid())
        return 0
    finally:
        lock.release()


def _serve(
    home: local.Home,
    lock: FileLock,
    run_command: RunCommand,
    log: Any,  # noqa: ANN401 - structlog's
    environ: Mapping[str, str],
    passed: socket.socket | None,
) -> bool:
    """Serve until stopped; whether to begin again, with what has become of the index."""
    sys.setswitchinterval(SWITCH)
    notifier = Notifier.from_environment(environ)
    for number in (signal.SIGTERM, signal.SIGINT):  # until there is something to be ended in order
        signal.signal(number, signal.SIG_DFL)
    with ExitStack() as stack:
        engine = open_patiently(home, log, notifier)
        stack.callback(engine.close)
        daemon = Daemon(home, engine, notifier, log, lock)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop())
        path = local.socket_place(home.repository.common_dir, environ)
        listening = passed.dup() if passed is not None else listen(path)
        daemon.open(listening, run_command)
        stack.callback(daemon.close)
        # A signal that comes when the loop is about to sleep wakes nobody by itself, see signal(7), pselect.
        signal.set_wakeup_fd(daemon.server.waker(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, -1)
        stack.callback(write_endpoint(home.state_dir, path, unlink=passed is None))
        config = home.config
        fetching = config.mirror__fetch_interval if config.mirror__remote else None
        stack.enter_context(schedule.scheduled(daemon.keeper.post, config.scan_interval, fetching))
        daemon.keeper.post(schedule.BACKUP)
        log.info("daemon.ready", pid=os.getpid(), repo=str(home.top), socket=str(path))
        for warning in home.loaded.warnings:
            log.warning("config.unknown", reason=warning)
        daemon.notifier.ready(f"serving {home.top}")
        try:
            daemon.work()
        except Exception:
            log.exception("daemon.failed", pid=os.getpid())
            raise
        daemon.notifier.stopping()
        log.info("daemon.stopping", pid=os.getpid())
    return daemon.again


def open_patiently(home: local.Home, log: Any, notifier: Notifier) -> Engine:  # noqa: ANN401 - structlog's
    """The engine, with the index taken over; while somebody else keeps that busy it is tried again.

    To end instead would have a service manager start us over and over.
    """
    for wait in chain((1.0, 2.0, 4.0, 8.0), repeat(WAIT_LIMIT)):
        with ExitStack() as stack:
            try:
                engine = local.open_engine(home, log, thorough=True)
                stack.callback(engine.close)
                engine.site.epoch = engine.site.db.take_over()
            except StoreBusy as error:
                log.warning("daemon.degraded", reason=error.message, again_in=wait)
                notifier.ready(f"degraded: {error.message}")
            else:
                stack.pop_all()
                return engine
        time.sleep(wait)
    raise AssertionError  # the waits do not end


@dataclass(slots=True)
class Daemon:
    """The serving loop and the two threads beside it."""

    home: local.Home
    engine: Engine
    notifier: Notifier
    log: Any
    lock: FileLock
    #: the index is another one now, to be opened anew
    again: bool = False
    started: float = field(default_factory=time.monotonic)
    server: Server = field(init=False)
    keeper: Keeper = field(init=False)
    mirrorer: Mirrorer = field(init=False)
    #: calls of command lines, from their threads
    calls: deque[Request] = field(default_factory=deque)
    _stopping: bool = False
    _closed: bool = False
    _next_ping: float = 0.0

    def open(self, listening: Any, run_command: RunCommand) -> None:  # noqa: ANN401 - a socket
        """Recover, watch, and get ready to serve."""
        config = self.home.config
        self.server = Server(listening, self.submit, run_command, self.log.exception)
        self.mirrorer = Mirrorer(self.engine, config.mirror__interval, self.log, self._changed)
        self.keeper = Keeper(
            self.engine, self.mirrorer, self.log, config.settle, self.stop, self.check, self.failed
        )
        self.keeper.start()
        self.mirrorer.start()

    def _changed(self) -> None:
        """The index changed on another way than by a call; the keeper is made after those who tell this."""
        self.keeper.changed()

    def close(self) -> None:
        """End in order: no new calls, what was saved is taken in, the branch follows."""
        self._closed = True
        self.server.close()
        self.keeper.stop(END_LIMIT)
        self.mirrorer.stop(END_LIMIT)
        self.log.info("daemon.stopped", pid=os.getpid())

    def stop(self) -> None:
        """End after the turn under way; from any thread, and from a signal handler."""
        self._stopping = True
        self.server.wake()

    def check(self) -> None:
        """Keep the daemon's lock, whose file somebody may have removed; end when another one has it now."""
        if self.lock.still_ours() or not self._is_standing():
            return
        self.lock.release()
        if self.lock.try_hold():
            self.log.warning("lock.renewed", reason="its file was removed")
        else:
            self.log.warning("daemon.replaced", by=self.lock.holder())
            self.stop()

    def failed(self, error: Exception) -> None:
        """After a failure that trying again does not mend: begin anew, or end if another daemon serves."""
        if isinstance(error, Fenced):
            self.stop()
        elif isinstance(error, (StoreGone, StoreDamaged)) and not self._stopping:
            self.again = isinstance(error, StoreDamaged) or self._save_index()
            self.stop()

    def _is_standing(self) -> bool:
        """Whether the repository is there, looked at when something of it went: nothing is put back then."""
        time.sleep(REMOVAL)
        return (self.home.repository.common_dir / "HEAD").exists() and self.home.state_dir.is_dir()

    def _save_index(self) -> bool:
        """Make a copy of the index whose file is gone; False where all the rest is going too."""
        if not self._is_standing() or not self.lock.still_ours():
            return False
        backups.save(self.engine.site)
        return True

    def submit(self, call: wire.Call) -> wire.Reply:
        """Carry out a call of a command line: reading ones here, others in the loop; from any thread."""
        row = OPERATIONS.get(call.op)
        if row is not None and not row.writes:
            return self._read(call)
        done = threading.Event()
        replies = list[wire.Reply]()

        def answer(reply: wire.Reply) -> None:
            replies.append(reply)
            done.set()

        self.calls.append(Request(call, answer))
        self.server.wake()
        while not done.wait(0.2):
            if self._closed:  # it came too late for the last turn
                return wire.failed(Unreachable(repo=str(self.home.top), reason="it is stopping"))
        return replies[0]

    def _read(self, call: wire.Call) -> wire.Reply:
        """Carry out a call that only reads; damage it meets is no matter of this call alone."""
        reply = self.engine.answer(call)
        if reply.error is not None and reply.error["code"] == StoreDamaged.code:
            self.failed(StoreDamaged(reason=reply.error["message"]))
        return reply

    def work(self) -> None:
        """Serve until stopped."""
        while not self._stopping:
            requests = self.server.wait(self._ping())
            self._carry_out(requests)
        self._carry_out([])

    def _ping(self) -> float | None:
        """Feed the watchdog if both loops turn; how long this one may sleep until it is due again."""
        interval = self.notifier.interval
        if interval is None:
            return None
        now = time.monotonic()
        if now >= self._next_ping:
            if not self.keeper.is_stuck(interval):
                self.notifier.ping()
            self._next_ping = now + interval / 3
        return self._next_ping - now

    def _carry_out(self, requests: list[Request]) -> None:
        """Carry out everything that has been asked so far, writing calls in one transaction."""
        while self.calls:
            requests.append(self.calls.popleft())
        writes = list[Request]()
        for request in requests:
            op = request.call.op
            if op == "sync":
                self.keeper.sync(request.call, request.answer)
            elif op == "daemon.status":
                request.answer(wire.Reply(self.describe()))
            elif op in OPERATIONS and OPERATIONS[op].writes:
                writes.append(request)
            else:
                request.answer(self._read(request.call))
        if writes:
            self._execute(writes)

    def _execute(self, requests: list[Request]) -> None:
        try:
            replies = self.engine.execute([request.call for request in requests])
        except TaskdError as error:
            self.log.exception("index.failed")
            self.failed(error)
            replies = [wire.failed(error)] * len(requests)
        for request, reply in zip(requests, replies, strict=True):
            request.answer(reply)
        self.keeper.commanded(len(requests))

    def describe(self) -> dict[str, object]:
        """`{pid, uptime, worktrees, queue, last_scan, mirror, store, memory}`; seconds and bytes."""
        return {
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self.started, 3),
            "worktrees": self.keeper.places(),
            "queue": self.keeper.queue() + len(self.calls),
            "last_scan": self.keeper.last_scan,
            "mirror": self.mirrorer.describe(),
            "store": dict(self.engine.site.db.describe()),
            "memory": _memory(),
        }


def _memory() -> int:
    """Resident bytes: now on Linux, the peak elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
