"""One worktree's copies of the documents: which names count, and how their bytes are read safely.

Paths are relative to the replica's root, `/` separated, undecodable bytes escaped as surrogates
(`os.fsdecode`). Only regular files are read, no symbolic link is followed below the root, and a file
counts as read only when it was the same before and after. That something is absent is said only where
it is certain: whatever could not be looked at is a `Trouble`, never an absence.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskd.repo import openat
from taskd.repo.openat import StampTuple, stamp_of
from taskd.repo.trouble import (
    DEPTH_CAP,
    SIZE_CAP,
    Trouble,
    alike,
    hard_linked,
    linked,
    misnamed,
    no_file,
    shown,
    too_deep,
    unreadable,
    unsettled,
)

__all__ = [
    "DEPTH_CAP",
    "SIZE_CAP",
    "TEMP_PREFIX",
    "Reading",
    "Scan",
    "StampTuple",
    "Trouble",
    "is_racy",
    "is_task_name",
    "is_task_path",
    "read",
    "scan",
    "shown",
    "stamp_of",
]

RACY: Final = 2_000_000_000  # ns; the coarsest time stamps in use (FAT) tick every two seconds
TEMP_PREFIX: Final = ".taskd-"  # what we have in hand; hidden, so that no editor or scan takes it for a task

_TRIES: Final = 4  # reads of a file that changes under our eyes
_BETWEEN: Final = 0.002  # seconds between them; an editor's write call is over by then


@dataclass(frozen=True, slots=True)
class Reading:
    """A file's bytes and stamp. `racy`: it changed so recently that an equal stamp proves nothing."""

    path: str
    text: bytes
    stamp: StampTuple
    racy: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """What lies below a root: task files with their stamps, and what could not be looked at.

    `unread` are the paths at and below which the scan knows nothing, `""` for everything; `complete`
    is False when that is for lack of permission or by an error. `directories` counts those listed.
    """

    files: dict[str, StampTuple]
    troubles: list[Trouble]
    directories: int
    complete: bool
    root_exists: bool
    unread: tuple[str, ...] = ()

    def absent(self, path: str) -> bool:
        """Whether the scan proves that there is nothing at `path`."""
        return path not in self.files and not any(_is_within(path, prefix) for prefix in self.unread)


def is_task_name(name: str) -> bool:
    """Whether a file of this name is a task file: `*.md`, and no editor's helper file."""
    return name.endswith(".md") and len(name) > len(".md") and name[0] not in ".#" and "___jb_" not in name


def is_task_path(path: str) -> bool:
    """Whether a task file can lie at this path: a task name, in directories that a scan goes into."""
    *directories, name = path.split("/")
    barred = any(part[:1] in {"", "."} or part.endswith(".md") for part in directories)
    return is_task_name(name) and not barred and len(directories) <= DEPTH_CAP


def is_racy(stamp: StampTuple, now_ns: int) -> bool:
    """Whether a file so stamped could still be changed without changing its stamp."""
    return any(abs(now_ns - changed) < RACY for changed in stamp[3:])


def read(root: Path, path: str, *, now_ns: int) -> Reading | Trouble | None:
    """The task file at `path` below `root`; None when there is none, or none can be there.

    `now_ns` is the wall clock (`time.time_ns()`). Never raises OSError: what is not certainly absent
    and cannot be read is a `Trouble`.
    """
    if not is_task_path(path):
        return None
    directories, name = openat.split_path(path)
    try:
        with openat.opened(root, directories) as fd:
            found = _look_stable(fd, name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return None if error.errno == errno.ENAMETOOLONG else unreadable(path, error)
    if (trouble := misnamed(path) or no_file(path, found.stat)) is not None:
        return trouble
    if not found.stable or found.text is None:
        return unsettled(path)
    stamp = stamp_of(found.stat)
    return Reading(path, found.text, stamp, is_racy(stamp, now_ns))


def scan(root: Path) -> Scan:
    """Every task file below `root`, by a stat of each; nothing is opened but directories."""
    walk = _Walk()
    exists = True
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        exists = False
    except OSError as error:
        walk.miss("", unreadable("", error))
    else:
        walk.enter(fd, "", 0)
    troubles = sorted([*walk.troubles, *_collisions(walk.files)], key=lambda trouble: trouble.path)
    return Scan(walk.files, troubles, walk.directories, walk.complete, exists, tuple(sorted(walk.unread)))


class _Walk:
    """A scan under way."""

    def __init__(self) -> None:
        self.files: dict[str, StampTuple] = {}
        self.troubles: list[Trouble] = []
        self.unread: list[str] = []
        self.directories = 0
        self.complete = True

    def enter(self, fd: int, prefix: str, depth: int) -> None:
        """Walk the directory `fd`, whose entries' paths begin with `prefix`, and close it."""
        try:
            with os.scandir(fd) as listing:
                entries = list(listing)
            self.directories += 1
            if depth and any(entry.name == ".git" for entry in entries):
                self.unread.append(prefix[:-1])  # a submodule or a nested clone: another repository's tasks
                return
            self._take_entries(entries, fd, prefix, depth)
        except OSError as error:
            self.miss(prefix[:-1], unreadable(prefix[:-1], error))
        finally:
            os.close(fd)

    def miss(self, path: str, trouble: Trouble) -> None:
        """What is at and below `path` is not known, for a reason that makes the scan incomplete."""
        self.complete = False
        self._refuse(path, trouble)

    def _refuse(self, path: str, trouble: Trouble) -> None:
        self.troubles.append(trouble)
        self.unread.append(path)

    def _take_entries(self, entries: list[os.DirEntry[str]], fd: int, prefix: str, depth: int) -> None:
        """Take the files first, so that a directory's files stand together."""
        below = []
        for entry in entries:
            name = entry.name
            if name.endswith(".md"):
                if is_task_name(name):
                    self._take_file(entry, prefix + name, entries)
            elif name[0] != "." and not entry.is_file(follow_symlinks=False):
                below.append(entry)
        for entry in below:
            self._take_directory(entry, fd, prefix + entry.name, depth)

    def _take_file(self, entry: os.DirEntry[str], path: str, siblings: list[os.DirEntry[str]]) -> None:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        trouble = None if path.isascii() and path.isprintable() else misnamed(path)
        if trouble is None and (not stat.S_ISREG(found.st_mode) or found.st_size > SIZE_CAP):
            trouble = no_file(path, found)
        if trouble is not None:
            self._refuse(path, trouble)
            return
        self.files[path] = stamp_of(found)
        if found.st_nlink > 1 and not _in_hand(found.st_ino, siblings):
            self.troubles.append(hard_linked(path, found.st_nlink))

    def _take_directory(self, entry: os.DirEntry[str], fd: int, path: str, depth: int) -> None:
        if entry.is_symlink():
            if _leads_to_directory(entry.name, fd):
                self._refuse(path, linked(path))
            return
        if not entry.is_dir(follow_symlinks=False):
            return  # a pipe or socket that does not pretend to be a task
        trouble = misnamed(path) or (too_deep(path) if depth == DEPTH_CAP else None)
        if trouble is not None:
            self._refuse(path, trouble)
            return
        try:
            below = os.open(entry.name, openat.DIRECTORY, dir_fd=fd)
        except (FileNotFoundError, NotADirectoryError):
            return  # taken away or replaced a moment ago: the event that says so is on its way
        except OSError as error:
            self.miss(path, unreadable(path, error))
            return
        self.enter(below, path + "/", depth + 1)


def _look_stable(fd: int, name: str) -> openat.Look:
    """A look at a file that held still, else the last of a few."""
    found = openat.look(fd, name, SIZE_CAP)
    for _ in range(_TRIES - 1):
        if found.stable:
            break
        time.sleep(_BETWEEN)
        found = openat.look(fd, name, SIZE_CAP)
    return found


def _is_within(path: str, prefix: str) -> bool:
    return prefix in {"", path} or path.startswith(prefix + "/")


def _in_hand(inode: int, siblings: Iterable[os.DirEntry[str]]) -> bool:
    """Whether the other name of a file is a temp name of ours, which is about to go."""
    return any(entry.inode() == inode and entry.name.startswith(TEMP_PREFIX) for entry in siblings)


def _leads_to_directory(name: str, fd: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=fd).st_mode)
    except OSError:
        return False


def _collisions(files: Iterable[str]) -> list[Trouble]:
    """Names that are one and the same on macOS and Windows."""
    first: dict[str, str] = {}
    found = []
    for path in sorted(files):
        key = path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()
        other = first.setdefault(key, path)
        if other != path:
            found.append(alike(path, other))
    return found
