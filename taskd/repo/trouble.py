"""Why something that looks like a task file cannot be taken as one, in words for people."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

from taskd.repo import openat

SIZE_CAP: Final = 1 << 20  # bytes; a task longer than 1 MiB is a log or a picture under a wrong name
DEPTH_CAP: Final = 32  # directories; each level costs a descriptor, and nobody reads deeper trees


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something that looks like a task file cannot be taken as one, and what mends it.

    `path` is fit to be shown and stored (see `shown`). With `note` the file was taken all the same.
    With `unstable` it is being written at this moment: look again soon.
    """

    path: str
    reason: str
    remedy: str
    line: int | None = None
    note: bool = False
    unstable: bool = False


def shown(path: str) -> str:
    """A path fit for JSON, a database and a terminal: undecodable bytes and control characters escaped."""
    if path.isascii() and path.isprintable():
        return path
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if ord(c) >= ord(" ") and c != "\x7f" else f"\\x{ord(c):02x}" for c in text)


def misnamed(path: str) -> Trouble | None:
    """What is wrong with the name, None for one that every front end can show."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return Trouble(shown(path), "its name is not valid UTF-8", "rename it")
    if any(ord(c) < ord(" ") or c == "\x7f" for c in path):
        return Trouble(shown(path), "its name has a control character in it", "rename it")
    return None


def no_file(path: str, found: os.stat_result) -> Trouble | None:
    """What is wrong with what lies there, None for a regular file of a decent size."""
    mode, size = found.st_mode, found.st_size
    if stat.S_ISLNK(mode):
        return linked(path)
    if stat.S_ISDIR(mode):
        return Trouble(shown(path), "is a directory named like a task file", "rename the directory")
    if not stat.S_ISREG(mode):
        return Trouble(shown(path), f"is {_kind_of(mode)}, not a regular file", "rename it")
    if size > SIZE_CAP:
        reason = f"has {size} bytes; more than {SIZE_CAP} are not read"
        return Trouble(shown(path), reason, "move the long part to a file beside it with another ending")
    return None


def unreadable(path: str, error: OSError) -> Trouble:
    """It is there, or may be, and could not be read."""
    if isinstance(error, openat.LinkMet):
        return Trouble(
            shown(path), f"lies behind {error.filename!r}, {error.strerror}", "move it into the tree"
        )
    if isinstance(error, openat.ForeignRepo):
        reason = f"lies in {error.filename!r}, where another git repository begins"
        return Trouble(shown(path), reason, "run taskd in that repository")
    reason = f"cannot be read: {error.strerror}"
    return Trouble(shown(path), reason, "let the user that taskd runs as read it, then save it once more")


def linked(path: str) -> Trouble:
    """It is a symbolic link."""
    reason = "is a symbolic link, which taskd does not follow"
    return Trouble(shown(path), reason, "put what it points to in its place")


def too_deep(path: str) -> Trouble:
    """It is a directory below `DEPTH_CAP` others."""
    return Trouble(shown(path), f"lies deeper than {DEPTH_CAP} directories", "move it up")


def hard_linked(path: str, links: int) -> Trouble:
    """It has other names, under which it can change without an event. A note."""
    reason = f"has {links} names (hard links); a write under another name is seen only by the next scan"
    return Trouble(shown(path), reason, "replace it by a copy of its own", note=True)


def unsettled(path: str) -> Trouble:
    """It changed whenever it was read."""
    return Trouble(shown(path), "is being written", "none needed: it is read once it is quiet", unstable=True)


def alike(path: str, other: str) -> Trouble:
    """Its name is the same as another's where case and accents do not count. A note."""
    reason = f"differs from {shown(other)} only in case or accents: one of them is lost on macOS"
    return Trouble(shown(path), reason, "rename one of them", note=True)


def _kind_of(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
