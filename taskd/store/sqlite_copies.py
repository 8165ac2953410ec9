"""Copies of the SQLite index, and what takes the place of an index that is lost or damaged.

What is true here: no index is ever deleted, a bad one is moved aside with its log; and a name in the
directory of copies leads to a copy that was whole and sound when it got that name.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskd.errors import StoreDamaged, StoreFailed
from taskd.store.base import COPIED, COPIES
from taskd.store.sqlite_files import TROUBLE, VERSION, sync_directory, told

_COMPANIONS: Final = ("-wal", "-shm", "-journal")  # what belongs to a SQLite file, by its name
_MAGIC: Final = b"SQLite format 3\0"  # how every SQLite file begins
_TEMP: Final = ".copy.tmp"


@dataclass(frozen=True, slots=True)
class Rescue:
    """What was done: why, where the bad index lies now, and the copy that took its place."""

    reason: str
    aside: Path | None
    copy: Path | None

    def __str__(self) -> str:
        """The sentence for people."""
        aside = f"; what is left of it is kept as {self.aside}" if self.aside else ""
        went_on = f"the copy {self.copy.name}" if self.copy else "a new one, since there is no sound copy"
        return f"the index {self.reason}{aside}; taskd went on with {went_on}"


def make_copy(conn: sqlite3.Connection, target: Path, now: str) -> None:
    """A copy of what a connection sees; it gets its name when it is sound and on the disk.

    StoreDamaged when index or copy is not sound. `conn` is not in a transaction.
    """
    _demand_sound(conn)
    temp = target.with_name(_TEMP)
    try:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        _write_copy(conn, temp, now)
        temp.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        raise StoreFailed(reason=f"no copy can be made in {target.parent}: {error.strerror}") from error
    finally:
        with suppress(OSError):  # it has its name, or there never was one
            temp.unlink()


def _write_copy(conn: sqlite3.Connection, temp: Path, now: str) -> None:
    temp.unlink(missing_ok=True)
    os.close(os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    conn.execute("VACUUM INTO ?", (str(temp),))
    with closing(sqlite3.connect(temp, isolation_level=None)) as copy:
        copy.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (COPIED, now))
        _demand_sound(copy)
    with temp.open("rb") as file:
        os.fsync(file.fileno())


def rescue(path: Path, copies: Path, now: str, *, known: bool, thorough: bool) -> Rescue | None:
    """Put the newest sound copy in the place of an index that is lost or damaged; None if it is neither.

    Lost is one of which we know that it was there: there are copies of it, or `known`. With `thorough`
    every page is looked at, else only the beginning. The caller sees to it that nobody has it open.
    """
    found = sorted(copies.glob(COPIES), reverse=True)
    is_lost = not path.exists() or path.stat().st_size == 0
    if is_lost and not (found or known):
        return None
    reason = "was lost" if is_lost else damage(path) if thorough else ""
    if not reason:
        return None
    aside = _put_aside(path, now)
    copy = next((copy for copy in found if not damage(copy)), None)
    if copy is not None:
        _put_back(copy, path)
    return Rescue(reason, aside, copy)


def damage(path: Path) -> str:
    """What is wrong with an index file, empty if nothing is, or if it is not ours to judge."""
    try:
        with path.open("rb") as file:  # which nobody in this process has open: closing it drops locks
            begins = file.read(len(_MAGIC))
        if begins != _MAGIC:
            return "is damaged (it does not begin as an SQLite database)"
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as conn:
            version = int(conn.execute("PRAGMA user_version").fetchone()[0])
            if version <= VERSION:
                _demand_sound(conn)
    except TROUBLE as error:
        failure = told(error)
        return f"is damaged ({error})" if isinstance(failure, StoreDamaged) else ""
    except StoreDamaged as error:
        return f"is damaged ({error.facts['reason']})"
    except OSError:  # it cannot be read, and who opens it will say so
        return ""
    return ""


def _demand_sound(conn: sqlite3.Connection) -> None:
    found = conn.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreDamaged(reason=" ".join(str(found).split()))


def _put_aside(path: Path, now: str) -> Path | None:
    """Move an index and its companions away; a log left behind would be taken for the next one's."""
    aside = path.with_name(f"{path.name}.{''.join(filter(str.isalnum, now))}")
    moved = False
    for end in ("", *_COMPANIONS):
        part = path.with_name(f"{path.name}{end}")
        if part.exists():
            part.rename(aside.with_name(f"{aside.name}{end}"))
            moved = True
    return aside if moved else None


def _put_back(copy: Path, path: Path) -> None:
    temp = path.with_name(_TEMP)
    temp.unlink(missing_ok=True)
    with temp.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(copy.read_bytes())
        file.flush()
        os.fsync(file.fileno())
    temp.rename(path)
    sync_directory(path.parent)
