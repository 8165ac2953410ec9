"""Directories watched for changes, with watchdog behind it.

Only paths are told, never what happened to them: a touched path may be new, changed or gone, and a
touched directory stands for everything below it. What is true here:

* The callbacks run on watchdog's threads, under its lock. They must return at once and take no lock
  that is held while a `Watcher` is called: add to a set and go.
* `doubt(root, why)` means that events of that root may be missing: scan it. Watches stand before it is
  called, so that nothing falls between them and the scan. For the same reason: first `watch`, then scan.
* Missed all the same: a write through a hard link from outside the tree, a change made on another
  machine. Scans on a timer are for those.
* A file moved out of the tree holds back the other events of its root for 20 ms (watchdog's 500 ms,
  shortened in `inotify`), since the other half of the move might be coming.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from taskd.repo import inotify
from taskd.repo.events import EVENTS, POLL_INTERVAL, Handler, poller

_STOP_PATIENCE: Final = 5.0  # seconds for a thread to end; then it is left to end by itself


@dataclass(eq=False, slots=True)
class _Root:
    """A directory that is watched, or will be when it can."""

    path: Path
    recursive: bool
    only_tasks: bool
    real: str = ""
    watch: ObservedWatch | None = None
    observer: BaseObserver | None = None
    #: (dev, ino) of what is watched
    identity: tuple[int, int] | None = None
    #: why it is polled, for people; empty when it is not
    polled: str = ""
    #: the limits when it had to be polled for lack of watches
    limits: str = ""
    #: directories we could not watch for lack of permission
    denied: list[str] = field(default_factory=list)


class Watcher:
    """Tells which paths were touched below any number of roots.

    `touched(path)`: something happened to this file or directory. `doubt(root, why)`: scan that root.
    With `polling` no system events are used.
    """

    def __init__(
        self, touched: Callable[[Path], None], doubt: Callable[[Path, str], None], *, polling: bool = False
    ) -> None:
        """Start with no roots; threads begin with the first one."""
        self._touched = touched
        self._doubt = doubt
        self._polling = polling
        self._lock = threading.RLock()
        self._roots: dict[Path, _Root] = {}
        self._observers: dict[bool, BaseObserver] = {}  # by: does it poll
        self._ear: inotify.Ear | None = None
        self._no_events = ""
        self._happened: list[str] = []
        self._failure = ""

    def watch(self, root: Path, *, recursive: bool = True, only_tasks: bool = True) -> None:
        """Watch a directory from now on; one that is missing, from when `check` finds it.

        `only_tasks` leaves out files that cannot be task files; directories are always told.
        """
        with self._lock:
            if root not in self._roots:
                self._roots[root] = _Root(root, recursive, only_tasks)
                self._begin(self._roots[root])

    def unwatch(self, root: Path) -> None:
        """Forget a directory; nothing happens if it is not watched."""
        with self._lock:
            found = self._roots.pop(root, None)
            if found is not None:
                self._end(found)

    def roots(self) -> tuple[Path, ...]:
        """Every directory asked for, there or not."""
        with self._lock:
            return tuple(self._roots)

    def check(self) -> list[str]:
        """Mend what broke, and say what a person should know; call it about once a second.

        Dead threads and lost, replaced, moved and reappeared roots are watched anew, with a `doubt` for
        each. Sentences about a lasting state (a limit, a permission) are in every answer while it lasts.
        """
        with self._lock:
            self._replace_dead()
            self._take_refused()
            self._repeat_failed()
            for root in list(self._roots.values()):
                self._check_root(root)
            happened, self._happened = self._happened, []
            return happened + [sentence for root in self._roots.values() for sentence in _state_of(root)]

    def close(self) -> None:
        """Stop every thread and forget every root."""
        with self._lock:
            self._roots.clear()
            for polls in list(self._observers):
                self._stop(polls)

    # -- one root

    def _begin(self, root: _Root) -> bool:
        """Watch a root, by polling if need be; whether that was possible."""
        if _identity_of(root.path) is None:
            return False
        root.real = os.path.realpath(root.path)
        root.denied, root.limits, root.polled = [], "", self._reason_to_poll(root)
        if not (root.polled or self._polling):
            root.polled = self._begin_with_events(root)
        if root.polled or self._polling:
            self._schedule(root, self._observer(polls=True))
        return root.watch is not None

    def _begin_with_events(self, root: _Root) -> str:
        """Have the system tell; why that is not possible, empty if it is."""
        observer = self._observer(polls=False)
        if observer is None:
            return self._no_events
        heard = self._ear.heard if self._ear else 0
        try:
            self._schedule(root, observer)
        except OSError as error:
            lacking = error.errno == errno.ENOSPC
            return self._lack_of_watches(root) if lacking else f"the system said: {error.strerror}"
        return self._listened(root, heard) if self._ear else ""

    def _listened(self, root: _Root, heard: int) -> str:
        """What the ear has to say of a root just scheduled: a reason to poll it, or nothing."""
        if self._ear is None:
            return ""
        root.denied = self._ear.denied_below(root.real)
        if self._ear.refused_below(root.real):
            return self._lack_of_watches(root)
        if self._ear.heard == heard and root.watch is not None:
            self._end(root)
            return "this version of watchdog does not let us hear of lost events"
        return ""

    def _lack_of_watches(self, root: _Root) -> str:
        """Give up the root's watches, and remember under which limits; the reason to poll."""
        self._end(root)
        if self._ear is not None:
            self._ear.refused_below(root.real)
        root.limits = inotify.watch_limits()
        return f"the system has no watches left; to raise the limit: {inotify.watch_advice()}"

    def _reason_to_poll(self, root: _Root) -> str:
        kind = "" if self._polling else inotify.filesystem_of(root.real)
        return f"on {kind} changes made elsewhere make no events" if inotify.is_remote(kind) else ""

    def _schedule(self, root: _Root, observer: BaseObserver | None) -> None:
        if observer is None:
            return
        lost = functools.partial(self._question, root, "vanished")
        handler = Handler(root.path, self._tell, lost, only_tasks=root.only_tasks)
        root.identity = _identity_of(root.path)  # first: what takes its place meanwhile is another one
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # gone again: `check` will see
            root.watch = observer.schedule(handler, root.real, recursive=root.recursive, event_filter=EVENTS)
            root.observer = observer

    def _end(self, root: _Root) -> None:
        if root.observer is not None and root.watch is not None:
            with contextlib.suppress(KeyError):  # its observer has forgotten it already
                root.observer.unschedule(root.watch)
        root.watch = root.observer = root.identity = None

    def _renew(self, root: _Root, why: str) -> None:
        """Watch a root anew, and have it scanned if it is there."""
        self._end(root)
        if self._begin(root):
            self._happened.append(f"{root.path}: {why}; it is watched again")
            self._question(root, why)

    def _check_root(self, root: _Root) -> None:
        identity = _identity_of(root.path)
        if root.watch is None:
            if identity is not None:
                self._renew(root, "appeared")
        elif identity is None:
            self._end(root)
            self._happened.append(f"{root.path}: vanished")
            self._question(root, "vanished")
        elif identity != root.identity:
            self._renew(root, "replaced")
        elif not _has_emitter(root):
            self._renew(root, "its watch had died")
        elif any(os.access(path, os.R_OK | os.X_OK) for path in root.denied):
            self._renew(root, "became readable")
        elif root.limits and root.limits != inotify.watch_limits():
            self._renew(root, "the limit of watches was changed")

    def _take_refused(self) -> None:
        """Poll the roots below which a new directory could not be watched."""
        if self._ear is None or not (self._ear.refused or self._ear.denied):
            return
        for root in self._roots.values():
            root.denied += self._ear.denied_below(root.real)
            if self._ear.refused_below(root.real) and not root.polled:
                root.polled = self._lack_of_watches(root)
                self._schedule(root, self._observer(polls=True))
                self._question(root, "the watches ran out")
        self._ear.forget()

    # -- the observers

    def _observer(self, *, polls: bool) -> BaseObserver | None:
        """The running observer, made when it is first needed; None if the system has no more of them."""
        if polls not in self._observers:
            # harmless, and prints the whole table of watches: 30 KB at 459 of them
            warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
            try:
                self._observers[polls] = poller() if polls else self._events_observer()
            except OSError as error:
                self._no_events = f"{error.strerror}; to raise the limit: {inotify.instance_advice()}"
                return None
            self._observers[polls].start()
        return self._observers[polls]

    def _events_observer(self) -> BaseObserver:
        inotify.shorten_moves()
        observer = Observer()
        self._ear = inotify.listen(observer, self._overflowed)
        self._no_events = ""
        return observer

    def _replace_dead(self) -> None:
        """Make dead observers anew, and an observer for those who had to do without."""
        for polls, observer in list(self._observers.items()):
            if observer.is_alive() and (polls or self._ear is None or self._ear.is_alive()):
                continue
            orphans = [root for root in self._roots.values() if root.observer is observer]
            self._stop(polls)
            for root in orphans:
                self._renew(root, "the watching thread had died")
        if self._no_events and self._observer(polls=False) is not None:
            for root in [root for root in self._roots.values() if root.polled]:
                self._renew(root, "the system has room for a watcher again")

    def _stop(self, polls: bool) -> None:  # noqa: FBT001 - the key of the table
        observer = self._observers.pop(polls)
        if not polls:
            self._ear = None
        observer.stop()
        observer.join(_STOP_PATIENCE)

    # -- what is told, on watchdog's threads

    def _tell(self, path: str) -> None:
        try:
            self._touched(Path(path))
        except Exception as error:  # noqa: BLE001 - it would kill the thread that tells of all roots
            self._failure = repr(error)

    def _question(self, root: _Root, why: str) -> None:
        try:
            self._doubt(root.path, why)
        except Exception as error:  # noqa: BLE001 - see _tell
            self._failure = repr(error)

    def _repeat_failed(self) -> None:
        """Doubt every root when something could not be told, until that can be told."""
        failure, self._failure = self._failure, ""
        if failure:
            self._happened.append(f"what was touched could not be noted: {failure}")
            for root in self._roots.values():
                self._question(root, "a touch could not be noted")

    def _overflowed(self) -> None:
        for root in list(self._roots.values()):
            if not root.polled:
                self._question(root, "events were lost")


def _identity_of(path: Path) -> tuple[int, int] | None:
    """(dev, ino) of a directory, None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def _has_emitter(root: _Root) -> bool:
    emitters = root.observer.emitters if root.observer else ()
    return any(emitter.watch == root.watch and emitter.is_alive() for emitter in emitters)


def _state_of(root: _Root) -> list[str]:
    """What is not as it should be with a root, for people."""
    state = [f"{path}: cannot be read, so it is not watched" for path in root.denied]
    if root.polled:
        state.append(f"{root.path}: looked at every {POLL_INTERVAL:g} s, because {root.polled}")
    return state
