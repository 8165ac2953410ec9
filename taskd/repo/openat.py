"""Files reached by descriptor from a root, so that no symbolic link below it can lead anywhere else.

The root itself is opened as the path says, links included: where it lies is the user's business.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

#: (dev, ino, size, mtime_ns, ctime_ns): equal stamps mean not touched since
StampTuple: TypeAlias = tuple[int, int, int, int, int]

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: the open of a pipe that took the file's place must not wait for a writer
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_MAKE_TRIES: Final = 20  # another process that prunes empty directories can take one away this often


class LinkMet(OSError):  # noqa: N818 - says what happened, as the names in errors.py do
    """A directory on the way is a symbolic link."""


class ForeignRepo(OSError):  # noqa: N818 - see LinkMet
    """A directory on the way is the top of another git repository."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a name. `text` is None for what is no regular file or is larger than the cap.

    `stable` says that the file was the same before and after it was read.
    """

    stat: os.stat_result
    text: bytes | None
    stable: bool


def stamp_of(found: os.stat_result) -> StampTuple:
    """The stamp in a stat result."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def split_path(path: str) -> tuple[list[str], str]:
    """The directories and the name in a `/` separated relative path. ValueError for any other path."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        reason = f"not a path below a root: {path!r}"
        raise ValueError(reason)
    return parts[:-1], parts[-1]


@contextlib.contextmanager
def opened(root: Path, directories: list[str], *, make: bool = False) -> Iterator[int]:
    """The descriptor of a directory below `root`, reached without following any link.

    With `make` missing directories are made (mode 0777 less the umask, durable) and, if the block ends
    by an exception, taken away again. Raises FileNotFoundError, NotADirectoryError, `LinkMet`,
    `ForeignRepo`, and any other OSError of the calls.
    """
    made = 0
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in directories:
            below, is_new = _step(fd, name, make=make)
            os.close(fd)
            fd = below
            made += is_new
        yield fd
    except BaseException:
        prune(root, directories, most=made)
        raise
    finally:
        os.close(fd)


def prune(root: Path, directories: list[str], *, most: int) -> None:
    """Take away the innermost of these directories while they are empty, at most `most` of them."""
    for depth in range(len(directories), len(directories) - most, -1):
        try:
            with opened(root, directories[: depth - 1]) as fd:
                os.rmdir(directories[depth - 1], dir_fd=fd)
                os.fsync(fd)
        except OSError:  # not empty, gone already or not ours: then it stays
            return


def look(fd: int, name: str, cap: int) -> Look:
    """Look at `name` in the directory `fd`; a regular file of at most `cap` bytes is read.

    Raises FileNotFoundError when there is nothing, else the OSError of the calls.
    """
    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode) or found.st_size > cap:
        return Look(found, None, stable=True)
    file = os.open(name, _FILE, dir_fd=fd)
    try:
        return look_through(file, cap)
    finally:
        os.close(file)


def look_through(file: int, cap: int) -> Look:
    """The same through an open descriptor, from its beginning."""
    before = os.fstat(file)
    if not stat.S_ISREG(before.st_mode) or before.st_size > cap:
        return Look(before, None, stable=True)
    text = _read_all(file, cap)
    after = os.fstat(file)
    same = stamp_of(before) == stamp_of(after) and len(text) == after.st_size
    return Look(after, text if len(text) <= cap else None, same)


def _read_all(file: int, cap: int) -> bytes:
    chunks: list[bytes] = []
    offset = 0
    while offset <= cap and (chunk := os.pread(file, cap + 1 - offset, offset)):
        chunks.append(chunk)
        offset += len(chunk)
    return b"".join(chunks)


def _step(fd: int, name: str, *, make: bool) -> tuple[int, bool]:
    """The descriptor of one directory further down, and whether it was made now."""
    is_new = False
    for _ in range(_MAKE_TRIES):
        try:
            return _own(os.open(name, DIRECTORY, dir_fd=fd), name), is_new
        except FileNotFoundError:
            if not make:
                raise
            is_new = _make_directory(fd, name)
        except OSError as error:
            raise _explained(error, fd, name) from None
    raise FileNotFoundError(errno.ENOENT, "taken away as often as it was made", name)


def _make_directory(fd: int, name: str) -> bool:
    try:
        os.mkdir(name, dir_fd=fd)
    except FileExistsError:
        return False
    os.fsync(fd)
    return True


def _own(below: int, name: str) -> int:
    """The descriptor again, unless another git repository begins there."""
    try:
        os.stat(".git", dir_fd=below, follow_symlinks=False)
    except OSError:
        return below
    os.close(below)
    raise ForeignRepo(errno.EXDEV, "another git repository begins there", name)


def _explained(error: OSError, fd: int, name: str) -> OSError:
    """The error, as `LinkMet` when a link is its cause: ELOOP or ENOTDIR, systems differ."""
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EMLINK}:
        with contextlib.suppress(OSError):
            if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                return LinkMet(errno.ELOOP, "a symbolic link, which taskd does not follow", name)
    return error
