"""Files under a temp name: on their way in, swapped out, or moved out of their place.

A temp name tells what it belongs to: `.taskd-<random>-<name>` is a text on its way in or swapped out,
`.taskd-<random>+<name>` is the file itself, moved out of its place. An aside is one that is kept, since
an editor that opened it under its real name may still write into it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskd.core.texts import text_hash
from taskd.repo import openat, rename
from taskd.repo.openat import Look
from taskd.repo.replicas import TEMP_PREFIX

CAP: Final = 64 << 20  # bytes; what was saved by mistake over a task is kept up to this size

_NAME_MAX: Final = 255  # bytes of a file name
_MARK_AT: Final = len(TEMP_PREFIX) + 16  # behind the random digits
_OLD: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Spot:
    """A name in an open directory; `prefix` leads from the root to that directory.

    Without `durable` nothing is synced here, because the caller does it for many at once.
    """

    fd: int
    prefix: str
    name: str
    durable: bool = True


def settle(root: Path, aside: str, expected: str) -> bytes | None:
    """Let an `aside` go; its text, if that has another hash than `expected` by now, else None.

    Ask `in_use` first, to wait for an editor that still has it open. None too when it is gone already.
    """
    with spot_of(root, _temp_path(aside)) as spot:
        if spot is None:
            return None
        try:
            file = os.open(spot.name, _OLD, dir_fd=spot.fd)
        except FileNotFoundError:
            return None
        try:
            openat.look_through(file, CAP)  # an error has to come before the name is gone
            unlink(spot, spot.name)
            text = openat.look_through(file, CAP).text  # what was written until the very end
        finally:
            os.close(file)
    prune_above(root, aside)
    return None if text is None or text_hash(text) == expected else text


def peek(root: Path, aside: str, expected: str) -> bytes | None:
    """The text of an `aside`, if it has another hash than `expected` by now, else None."""
    with spot_of(root, _temp_path(aside)) as spot:
        if spot is None:
            return None
        try:
            text = openat.look(spot.fd, spot.name, CAP).text
        except FileNotFoundError:
            return None
    return None if text is None or text_hash(text) == expected else text


def in_use(root: Path, aside: str) -> bool:
    """Whether a program has an `aside` open for writing; False where the system cannot tell."""
    with spot_of(root, _temp_path(aside)) as spot:
        if spot is None:
            return False
        try:
            file = os.open(spot.name, _OLD, dir_fd=spot.fd)
        except FileNotFoundError:
            return False
        try:
            return _has_writer(file) is True
        finally:
            os.close(file)


def leftovers(root: Path) -> list[tuple[str, bytes]]:
    """The temp files that a killed process (or `linger`) left: relative path and text, sorted.

    Files that had been moved out of their place are first put back where that is free, so call this
    under the write lock, before files are compared with what was intended.
    """
    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found: list[tuple[str, bytes]] = []
    try:
        for directory, below, names, fd in os.fwalk(".", dir_fd=top):
            below[:] = [] if ".git" in below + names and directory != "." else _open_to_us(below)
            for name in names:
                if name.startswith(TEMP_PREFIX):
                    found += _leftover(Spot(fd, directory[2:] + "/" if directory != "." else "", name))
    finally:
        os.close(top)
    return sorted(found)


def discard(root: Path, temp: str) -> None:
    """Let a leftover go, whose text is kept elsewhere; nothing happens if it is gone already."""
    with spot_of(root, _temp_path(temp)) as spot:
        if spot is None:
            return
        with contextlib.suppress(FileNotFoundError):
            unlink(spot, spot.name)
    prune_above(root, temp)


def origin(temp: str) -> str | None:
    """The path that a temp file was written for or moved away from; None for an overlong name."""
    directory, slash, name = temp.rpartition("/")
    belongs = name[_MARK_AT + 1 :]
    return directory + slash + belongs if belongs else None


@contextlib.contextmanager
def spot_of(root: Path, path: str, *, durable: bool = True) -> Iterator[Spot | None]:
    """The place of a path, None when the directory it would be in is missing."""
    directories, name = openat.split_path(path)
    with contextlib.ExitStack() as stack:
        try:
            fd = stack.enter_context(openat.opened(root, directories))
        except (FileNotFoundError, NotADirectoryError):
            fd = -1
        yield None if fd == -1 else Spot(fd, "".join(f"{part}/" for part in directories), name, durable)


def inspect(spot: Spot, name: str) -> tuple[Look, bool | None]:
    """What has this name, and whether somebody has it open for writing (None: cannot be told).

    Asked in this order: without a writer the text that is then read is final, for nobody else knows
    the temp name.
    """
    found = os.stat(name, dir_fd=spot.fd, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        return Look(found, None, stable=True), False
    file = os.open(name, _OLD, dir_fd=spot.fd)
    try:
        writer = _has_writer(file)
        return openat.look_through(file, CAP), writer
    finally:
        os.close(file)


def _has_writer(file: int) -> bool | None:
    """Whether anybody has this file open for writing; None where the system cannot tell.

    A read lease is given only while nobody does; it is handed back at once. fcntl(2), "Leases".
    """
    if sys.platform != "linux":
        return None
    try:
        # Somebody who opens the file now sends us a signal: one that is ignored, SIGIO would kill
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:  # not our file, or a file system without leases
        return None
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _leftover(spot: Spot) -> list[tuple[str, bytes]]:
    """What one temp name holds; nothing, if it could be put back."""
    belongs = origin(spot.name)
    if belongs is not None and spot.name[_MARK_AT] == "+":
        with contextlib.suppress(FileExistsError):
            rename.place(spot.fd, spot.name, belongs)
            sync(spot)
            return []
    text, _ = inspect(spot, spot.name)
    return [] if text.text is None else [(spot.prefix + spot.name, text.text)]


def _open_to_us(directories: list[str]) -> list[str]:
    return [name for name in directories if not name.startswith(".")]


def temp_name(name: str, mark: str) -> str:
    """A new temp name for a file called `name`; `mark` is `-` or `+`."""
    temp = f"{TEMP_PREFIX}{secrets.token_hex(8)}{mark}"
    return temp + name if len(os.fsencode(temp + name)) <= _NAME_MAX else temp


def _temp_path(path: str) -> str:
    if not path.rpartition("/")[2].startswith(TEMP_PREFIX):
        reason = f"not a temp file of ours: {path!r}"
        raise ValueError(reason)
    return path


def unlink(spot: Spot, name: str) -> None:
    """Take a name out of the directory, durably."""
    os.unlink(name, dir_fd=spot.fd)
    sync(spot)


def sync(spot: Spot) -> None:
    """Make the names of a directory durable."""
    if spot.durable:
        os.fsync(spot.fd)


def sync_all() -> None:
    """Make everything written so far durable: one call where each file would cost a millisecond."""
    os.sync()


def prune_above(root: Path, path: str) -> None:
    """Take away the directories above `path`, innermost first, that are empty now."""
    directories, _ = openat.split_path(path)
    openat.prune(root, directories, most=len(directories))
