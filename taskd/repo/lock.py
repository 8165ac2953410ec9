"""Locks between processes: one file, one holder, and the kernel keeps the books.

What is true here:

* The lock is `flock` (through portalocker): it belongs to the open file description. A holder that
  dies, however, frees it at that moment; a holder that is merely slow or stopped keeps it. There is no
  time stamp to go stale and nothing to steal.
* The file is never unlinked and never truncated. Who locked an inode that the path no longer names
  holds nothing: after locking, the two are compared, and it starts over when they differ.
* The descriptor is close-on-exec, so no program that we start keeps the lock alive behind us.
* Within a process: the same thread may take the lock again, other threads of the same instance wait.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import portalocker
from portalocker import LockFlags

from taskd.errors import LockTimeout

# Not O_APPEND: the holder's pid is written in place. Not O_TRUNC: another one's pid may stand there.
_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY
_TRY: Final = LockFlags.EXCLUSIVE | LockFlags.NON_BLOCKING
_WAIT: Final = LockFlags.EXCLUSIVE
_LOOK: Final = LockFlags.SHARED | LockFlags.NON_BLOCKING
_FIRST_SLEEP: Final = 0.001  # seconds; our own writes hold a lock for about as long
_LONGEST_SLEEP: Final = 0.020  # seconds; portalocker's own 0.25 s would be felt in every command
_LOOKING: Final = 0.010  # seconds; a look takes microseconds, unless the machine is very busy
_PID_WIDTH: Final = 11  # bytes; a fixed width, so that a shorter pid leaves nothing of a longer one


class FileLock:
    """An exclusive lock named by a path. The directory must exist.

    Two ways to take it: `held()` for the length of a block, `try_hold()` and `release()` for as long as
    the process likes. Every method may raise the `OSError` of opening or locking the file.
    """

    def __init__(self, path: Path) -> None:
        """Name the lock; nothing is opened yet."""
        self._path = path
        self._mutex = threading.RLock()
        self._depth = 0
        self._kept = False
        self._fd: int | None = None

    @contextlib.contextmanager
    def held(self, timeout: float | None = None) -> Iterator[None]:
        """Hold the lock inside the block; wait for it at most `timeout` seconds (None: for ever).

        Raises `LockTimeout` when another process or thread still has it by then.
        """
        self._enter(timeout)
        try:
            yield
        finally:
            self._leave()

    def try_hold(self) -> bool:
        """Take the lock for good if it is free; whether this instance has it now.

        Waits for nobody who holds it, only for a moment for those who look (see `is_held`).
        """
        if not self._mutex.acquire(blocking=False):
            return False
        try:
            if self._fd is None:
                self._fd = _lock_until(self._path, time.monotonic() + _LOOKING)
            self._kept = self._fd is not None
            return self._kept
        finally:
            self._mutex.release()

    def release(self) -> None:
        """Give up what `try_hold` took; from any thread, and more than once without harm."""
        with self._mutex:
            self._kept = False
            self._let_go()

    def still_ours(self) -> bool:
        """Whether we hold the lock, and its path still leads to the file that we locked."""
        with self._mutex:
            return self._fd is not None and _is_current(self._fd, self._path)

    def is_held(self) -> bool:
        """Whether somebody has the lock now, looked at without becoming its holder for a moment.

        Those who look do not see each other, and `try_hold` outwaits them.
        """
        if self._fd is not None:
            return True
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY)
        except FileNotFoundError:
            return False
        try:
            return not _flock(fd, _LOOK)
        finally:
            os.close(fd)

    def holder(self) -> str | None:
        """The pid that took the lock last, if such a process lives. For people; nothing relies on it."""
        try:
            pid = self._path.read_text("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        return pid if pid.isdigit() and _lives(int(pid)) else None

    def _enter(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._mutex.acquire(timeout=-1 if timeout is None else timeout):
            self._give_up(timeout)
        try:
            if self._fd is None:
                self._fd = _lock_until(self._path, deadline)
            if self._fd is None:
                self._give_up(timeout)
            self._depth += 1
        except BaseException:
            self._mutex.release()
            raise

    def _leave(self) -> None:
        self._depth -= 1
        self._let_go()
        self._mutex.release()

    def _let_go(self) -> None:
        if self._fd is not None and not self._kept and self._depth == 0:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _give_up(self, timeout: float | None) -> NoReturn:
        raise LockTimeout(path=str(self._path), seconds=timeout or 0.0)


def _lock_until(path: Path, deadline: float | None) -> int | None:
    """The descriptor of the locked file, None when `deadline` (monotonic seconds) passed first."""
    fd = _lock_now(path)
    sleep = _FIRST_SLEEP
    while fd is None:
        if deadline is None:
            fd = _lock_file(path, _WAIT)
            continue
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(sleep, left))
        sleep = min(sleep * 2, _LONGEST_SLEEP)
        fd = _lock_now(path)
    return fd


def _lock_now(path: Path) -> int | None:
    """The descriptor of the locked file, None when another holds it."""
    return _lock_file(path, _TRY)


def _lock_file(path: Path, flags: LockFlags) -> int | None:
    while True:
        fd = os.open(path, _OPEN, 0o600)
        try:
            if not _flock(fd, flags):
                os.close(fd)
                return None
            if _is_current(fd, path):
                _sign(fd)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # somebody replaced the file between our open and our lock


def _flock(fd: int, flags: LockFlags) -> bool:
    """Whether the lock was given; portalocker's other troubles come out as the OSError they are."""
    try:
        portalocker.lock(fd, flags)
    except portalocker.AlreadyLocked:
        return False
    except portalocker.LockException as trouble:
        if isinstance(trouble.__cause__, OSError):
            raise trouble.__cause__ from None
        raise
    return True


def _is_current(fd: int, path: Path) -> bool:
    ours = os.fstat(fd)
    try:
        named = path.stat(follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)


def _sign(fd: int) -> None:
    """Write our pid into the file, unless it stands there: a daemon alone makes no disk busy."""
    mark = f"{os.getpid():<{_PID_WIDTH - 1}}\n".encode("ascii")
    if os.pread(fd, _PID_WIDTH, 0) != mark:
        with contextlib.suppress(OSError):  # a full disk must not keep anybody from locking
            os.pwrite(fd, mark, 0)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
