"""Writes into a replica that lose nothing, even against an editor that takes no lock.

What is true here:

* A text is written and synced under a temp name in the same directory; only names change afterwards.
* `replace` swaps the two names in one step, so whatever stood in place at that instant, expected or
  not, has the temp name afterwards and is looked at before it goes. Where the system cannot swap, the
  old file is renamed away, looked at, and the new one put in the free place: for some microseconds
  there is nothing, but nothing is overwritten either.
* An editor that opened the old file before the swap may write into it afterwards. The kernel is asked
  whether anybody has it open for writing (a read lease, Linux); unless it vouches that nobody does,
  `linger=True` keeps the file under its temp name for `settle` to look at later.

Nobody else of ours may write to the same replica meanwhile: callers hold the write lock. OSError comes
out as it is (full disk, no permission, `openat.LinkMet`); then the target is untouched and no temp is left.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from taskd.core.texts import text_hash
from taskd.repo import openat, rename
from taskd.repo.asides import (
    CAP,
    Spot,
    discard,
    in_use,
    inspect,
    leftovers,
    origin,
    prune_above,
    settle,
    spot_of,
    sync,
    temp_name,
    unlink,
)
from taskd.repo.crash import point
from taskd.repo.openat import Look, StampTuple, stamp_of
from taskd.repo.replicas import TEMP_PREFIX

__all__ = [
    "TEMP_PREFIX",
    "Outcome",
    "create",
    "discard",
    "in_use",
    "leftovers",
    "origin",
    "remove",
    "replace",
    "settle",
]

_CREATE_TRIES: Final = 20  # another process that prunes empty directories can take one away this often
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a write.

    `kind` is one of

    * `written`: as wanted. With an `aside`, the old file is kept there until `settle`.
    * `displaced`: as wanted, but what had to go was an edit: `text`. It is kept as `aside` as well,
      until the caller has taken the text in and calls `settle` with its hash.
    * `unexpected`: not written, because another `text` than the expected one is in place.
    * `absent`: not written, because there is nothing to replace or remove.
    * `exists`: not created, because `text` is there.

    `text` is None also for what is no regular file or larger than 64 MiB. `stamp` is that of the file in
    place, None when there is none or it changed again: then look anew. It is always racy. `aside` is
    relative to the root.
    """

    kind: Literal["written", "displaced", "unexpected", "absent", "exists"]
    text: bytes | None = None
    stamp: StampTuple | None = None
    aside: str | None = None


@dataclass(slots=True)
class _Temp:
    """Our text under a temp name. While `ours`, the name goes when the block ends."""

    name: str
    file: int
    written: os.stat_result
    ours: bool = True

    def stamp(self) -> StampTuple | None:
        """The stamp after the rename, which changed the ctime; None if an editor was quicker."""
        now, then = os.fstat(self.file), self.written
        same = (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)
        return stamp_of(now) if same else None


def replace(
    root: Path, path: str, expected: str, new: bytes, *, linger: bool = False, durable: bool = True
) -> Outcome:
    """Put `new` in the place of the file whose text has the hash `expected`; mode and owner stay.

    Outcomes: written, displaced, unexpected, absent. Without `durable` the caller syncs (`sync_all`).
    """
    with spot_of(root, path, durable=durable) as spot:
        refusal = _no_place() if spot is None else _refusal(spot, expected)
        if spot is None or refusal is not None:
            return refusal or _no_place()
        with _written(spot, new, os.stat(spot.name, dir_fd=spot.fd, follow_symlinks=False)) as temp:
            point("exchange.temp-written")
            refusal = _refusal(spot, expected)
            return refusal or _exchange(spot, temp, expected, linger=linger)


def create(root: Path, path: str, new: bytes, *, durable: bool = True) -> Outcome:
    """Put `new` at a free place, making the directories that lead there below `root`.

    Outcomes: written, exists. FileNotFoundError when `root` itself is missing. Without `durable` the
    caller syncs (`sync_all`).
    """
    for tries_left in range(_CREATE_TRIES, 0, -1):
        try:
            return _create_once(root, path, new, durable=durable)
        except FileNotFoundError:  # a directory was pruned between our open and our write
            if tries_left == 1 or not root.is_dir():
                raise
    raise AssertionError  # the loop returns or raises


def remove(root: Path, path: str, expected: str, *, linger: bool = False) -> Outcome:
    """Take away the file whose text has the hash `expected`, and directories left empty by that.

    Outcomes: written (it is gone), unexpected (it is back in its place), absent; displaced when it was
    not as expected and its place was taken before it could be put back.
    """
    with spot_of(root, path) as spot:
        refusal = _no_place() if spot is None else _refusal(spot, expected)
        if spot is None or refusal is not None:
            return refusal or _no_place()
        aside = _move_away(spot)
        if aside is None:
            return _no_place()
        point("remove.after-rename")
        outcome = _retire_moved(spot, aside, expected, linger=linger, step="remove.before-unlink")
    if outcome.kind == "written":
        prune_above(root, path)
    return outcome


def _exchange(spot: Spot, temp: _Temp, expected: str, *, linger: bool) -> Outcome:
    point("exchange.before-swap")
    try:
        swapped = rename.swap(spot.fd, temp.name, spot.name)
    except FileNotFoundError:
        if _find(spot) is None:
            return _no_place()
        raise  # it was the temp that somebody took away
    if not swapped:
        return _exchange_by_steps(spot, temp, expected, linger=linger)
    temp.ours = False
    point("exchange.after-swap")
    came, writer = inspect(spot, temp.name)
    if came.text is None:
        return _swap_back(spot, temp)
    if text_hash(came.text) != expected:
        sync(spot)
        return Outcome("displaced", came.text, temp.stamp(), spot.prefix + temp.name)
    aside = _retire(spot, temp.name, keep=linger and writer is not False, step="exchange.before-unlink")
    return Outcome("written", None, temp.stamp(), aside)


def _exchange_by_steps(spot: Spot, temp: _Temp, expected: str, *, linger: bool) -> Outcome:
    """The same where names cannot be swapped."""
    aside = _move_away(spot)
    if aside is None:
        return _no_place()
    point("exchange.after-swap")
    came, writer = inspect(spot, aside)
    if came.text is None or text_hash(came.text) != expected:
        return _put_back(spot, aside, came)
    try:
        rename.place(spot.fd, temp.name, spot.name)
    except FileExistsError:  # saved anew in that moment, over the text that was expected
        _retire(spot, aside, keep=False, step="exchange.before-unlink")
        return _found_other(_find(spot))
    except OSError:
        rename.place(spot.fd, aside, spot.name)
        raise
    temp.ours = False
    kept = _retire(spot, aside, keep=linger and writer is not False, step="exchange.before-unlink")
    return Outcome("written", None, temp.stamp(), kept)


def _swap_back(spot: Spot, temp: _Temp) -> Outcome:
    """No text came out but a directory, a link or something huge: it belongs where it was."""
    try:
        rename.swap(spot.fd, temp.name, spot.name)
    except FileNotFoundError:  # and meanwhile somebody removed what we had put there
        rename.place(spot.fd, temp.name, spot.name)
        return _found_other(_find(spot))
    back, _ = inspect(spot, temp.name)
    if temp.stamp() is not None and stamp_of(back.stat)[:2] == stamp_of(temp.written)[:2]:
        temp.ours = True  # ours and untouched: it goes
        return _found_other(_find(spot))
    sync(spot)
    return Outcome("displaced", back.text, None, spot.prefix + temp.name)


def _create_once(root: Path, path: str, new: bytes, *, durable: bool) -> Outcome:
    directories, name = openat.split_path(path)
    with openat.opened(root, directories, make=True) as fd:
        spot = Spot(fd, "", name, durable)
        found = _find(spot)
        if found is not None:
            return _found_other(found, "exists")
        with _written(spot, new, None) as temp:
            point("create.before-link")
            try:
                rename.place(fd, temp.name, name)
            except FileExistsError:
                return _found_other(_find(spot), "exists")
            temp.ours = False
            point("create.after-link")
            sync(spot)
            return Outcome("written", None, temp.stamp())


@contextlib.contextmanager
def _written(spot: Spot, text: bytes, like: os.stat_result | None) -> Iterator[_Temp]:
    """The text under a temp name, durable, with the mode and owner of `like`."""
    name = temp_name(spot.name, "-")
    file = os.open(name, _NEW, 0o666 if like is None else 0o600, dir_fd=spot.fd)
    temp = _Temp(name, file, os.fstat(file))
    try:
        point("exchange.temp-made")
        if like is not None:
            _dress(file, like)
        _write_all(file, text)
        if spot.durable:
            os.fsync(file)
        temp.written = os.fstat(file)
        yield temp
    finally:
        if temp.ours:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=spot.fd)
        os.close(file)


def _dress(file: int, like: os.stat_result) -> None:
    """Give a new file the owner, as far as we may, and the mode of the one it is to replace."""
    own = os.fstat(file)
    if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(file, like.st_uid, like.st_gid)
    os.fchmod(file, stat.S_IMODE(like.st_mode))


def _write_all(file: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(file, rest) :]


def _find(spot: Spot) -> Look | None:
    try:
        return openat.look(spot.fd, spot.name, CAP)
    except FileNotFoundError:
        return None


def _refusal(spot: Spot, expected: str) -> Outcome | None:
    """Why the file must be left alone; None when its text is the expected one."""
    found = _find(spot)
    if found is None:
        return _no_place()
    if found.text is not None and text_hash(found.text) == expected:
        return None
    return _found_other(found)


def _no_place() -> Outcome:
    return Outcome("absent")


def _found_other(found: Look | None, kind: Literal["unexpected", "exists"] = "unexpected") -> Outcome:
    if found is None:
        return Outcome(kind)
    return Outcome(kind, found.text, stamp_of(found.stat) if found.stable else None)


def _move_away(spot: Spot) -> str | None:
    """Rename the file out of its place; its temp name, None when there is none."""
    aside = temp_name(spot.name, "+")
    try:
        os.rename(spot.name, aside, src_dir_fd=spot.fd, dst_dir_fd=spot.fd)
    except FileNotFoundError:
        return None
    return aside


def _retire_moved(spot: Spot, aside: str, expected: str, *, linger: bool, step: str) -> Outcome:
    came, writer = inspect(spot, aside)
    if came.text is None or text_hash(came.text) != expected:
        return _put_back(spot, aside, came)
    return Outcome("written", aside=_retire(spot, aside, keep=linger and writer is not False, step=step))


def _retire(spot: Spot, aside: str, *, keep: bool, step: str) -> str | None:
    """Let an old file go that was found as expected, or keep it; its path in that case."""
    if keep:
        sync(spot)
        return spot.prefix + aside
    point(step)
    unlink(spot, aside)
    return None


def _put_back(spot: Spot, aside: str, came: Look) -> Outcome:
    """What was moved out is not what was expected: back with it, unless the place was taken."""
    try:
        rename.place(spot.fd, aside, spot.name)
    except FileExistsError:
        sync(spot)
        return Outcome("displaced", came.text, None, spot.prefix + aside)
    sync(spot)
    return _found_other(_find(spot) or came)
