"""What Linux and watchdog know about lost and refused watches, and do not tell.

watchdog 7.1.0 logs an overflow of the kernel's queue but makes no event of it, and swallows the refusal
of a watch below the root. `Ear` listens at the two methods through which both pass. They are no public
interface: `heard` tells at run time whether they are still called, the tests pin it by version.

On other systems `listen` gives None and `filesystem_of` an empty name; nothing here is needed there.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # commands ask for the kind of a file system only, and do not pay for watchdog
    from watchdog.observers.api import BaseObserver

#: file systems whose changes are (also) made elsewhere, where inotify does not see them
REMOTE: Final = frozenset({"9p", "afs", "ceph", "cifs", "drvfs", "nfs", "nfs4", "prl_fs", "smb3", "vboxsf"})
_REMOTE_FUSE: Final = re.compile(r"fuse\.(?!.*(?:ntfs|exfat|blk))")  # sshfs, rclone, overlays in user space

_MOVE_DELAY: Final = 0.02  # seconds; the two halves of a move come in one read, 0.5 s are not needed
_LIMITS: Final = ("/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches")
_WANTED_WATCHES: Final = 1_048_576  # about 1 KiB of kernel memory each, and only if used


class Ear:
    """Listens to the inotify thread of one observer."""

    def __init__(self, thread: Any, overflowed: Callable[[], None]) -> None:  # noqa: ANN401 - watchdog's InotifyFD, which other systems cannot import
        """Call `overflowed()`, on the inotify thread, after watchdog has set its watches anew."""
        #: calls seen so far; a schedule that does not raise it means that watchdog has changed
        self.heard = 0
        #: directories refused because no watches are left
        self.refused: set[str] = set()
        #: directories refused because we may not read them
        self.denied: set[str] = set()
        self._thread = thread
        self._overflowed = overflowed
        self._add, self._handle = thread.add_callback, thread.handle_event
        thread.add_callback, thread.handle_event = self._on_add, self._on_event

    def is_alive(self) -> bool:
        """Whether the thread that reads the events runs."""
        return isinstance(self._thread, threading.Thread) and self._thread.is_alive()

    def refused_below(self, root: str) -> list[str]:
        """Take out of `refused` what lies at or below a root."""
        return _take_below(self.refused, root)

    def denied_below(self, root: str) -> list[str]:
        """Take out of `denied` what lies at or below a root."""
        return _take_below(self.denied, root)

    def forget(self) -> None:
        """Drop what belongs to roots that are not watched any more."""
        self.refused.clear()
        self.denied.clear()

    def _on_add(self, path: bytes, *rest: Any) -> int:  # noqa: ANN401 - passed on as they come
        self.heard += 1
        try:
            descriptor: int = self._add(path, *rest)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.refused.add(os.fsdecode(path))
            raise
        if descriptor == -1:  # what watchdog makes of EACCES
            self.denied.add(os.fsdecode(path))
        return descriptor

    def _on_event(self, event: Any) -> None:  # noqa: ANN401 - watchdog's InotifyEvent
        self._handle(event)
        if event.is_queue_overflow:
            self._overflowed()


def _take_below(paths: set[str], root: str) -> list[str]:
    found = sorted(path for path in tuple(paths) if path == root or path.startswith(root + "/"))
    paths.difference_update(found)
    return found


def listen(observer: BaseObserver, overflowed: Callable[[], None]) -> Ear | None:
    """An ear on the observer, None if it has no inotify thread; its descriptor leaves no process of ours."""
    thread = getattr(observer, "_inotify_fd", None)
    if thread is None:
        return None
    os.set_inheritable(thread._inotify_fd, False)  # noqa: SLF001, FBT003 - watchdog opens it without CLOEXEC
    return Ear(thread, overflowed)


def shorten_moves() -> None:
    """Wait 20 ms, not 500, for the other half of a move: all other events of the root wait with it."""
    if sys.platform == "linux":
        from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper  # noqa: PLC0415 - Linux only

        InotifyMoveEventGrouper.delay = _MOVE_DELAY


def watch_limits() -> str:
    """The limits in force, as one text that changes when somebody changes them."""
    return " ".join(_read(name) for name in _LIMITS)


def watch_advice() -> str:
    """The line that raises the limit of watches."""
    now = _read(_LIMITS[0])
    wanted = max(_WANTED_WATCHES, 2 * int(now) if now.isdigit() else 0)
    return f"sudo sysctl fs.inotify.max_user_watches={wanted}"


def instance_advice() -> str:
    """The line that raises the limit of inotify instances, one of which each watcher needs."""
    return "sudo sysctl fs.inotify.max_user_instances=1024"


def is_remote(kind: str) -> bool:
    """Whether a file system of this kind may change without an event."""
    return kind in REMOTE or _REMOTE_FUSE.match(kind) is not None


def filesystem_of(path: str, mountinfo: str | None = None) -> str:
    """The kind of file system an absolute real path lies on, `""` if that is not known.

    `mountinfo` is the text of /proc/self/mountinfo; proc(5) has its format.
    """
    best, kind = "", ""
    for line in (_read("/proc/self/mountinfo") if mountinfo is None else mountinfo).splitlines():
        left, _, right = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split(" ")[4])
        if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
            best, kind = point, right.split(" ")[0]
    return kind


def _read(name: str) -> str:
    try:
        return Path(name).read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return ""
