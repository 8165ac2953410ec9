"""The index in one SQLite file: one connection that writes, several that only read.

What is true here: a writing connection is in a transaction only while `_writing` is held, by one thread
of this process, and between processes BEGIN IMMEDIATE lets one in at a time. Readers never wait for it:
the log (WAL) keeps their snapshot until they let go.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from taskd.errors import StoreFailed, StoreGone
from taskd.store.base import TaskDatabase
from taskd.store.sqlite_copies import make_copy
from taskd.store.sqlite_files import (
    BUSY_TIMEOUT,
    TROUBLE,
    VERSION,
    is_busy,
    open_reader,
    open_writer,
    patiently,
    told,
)
from taskd.store.sqlite_txn import SqliteTxn
from taskd.store.sqlite_view import SqliteView
from taskd.store.values import system_clock

IDLE_READERS: Final = 8  # connections kept open; each costs some 100 KiB, opening one 0.2 ms


class SqliteDatabase(TaskDatabase):
    """An index in the file `path`, made when first used."""

    def __init__(self, path: Path, *, clock: Callable[[], str] | None = None) -> None:
        """Remember where; nothing is opened yet. `clock` gives times as `system_clock` does."""
        self.path = path
        self._clock = clock or system_clock
        self._writing = threading.Lock()
        self._writing_thread: int | None = None
        self._writer: sqlite3.Connection | None = None
        self._readers: deque[sqlite3.Connection] = deque()
        self._identity: tuple[int, int] | None = None
        self._closed = False

    @contextmanager
    def write(self, epoch: int | None = None) -> Generator[SqliteTxn]:
        """A serial, durable write."""
        with self._exclusive():
            conn = self._open_writer()
            try:
                with self._in_our_words():
                    patiently(lambda: conn.execute("BEGIN IMMEDIATE"))
                    self._demand_version(conn)
                txn = SqliteTxn(conn, self._clock())
                try:
                    if epoch is not None:
                        txn.demand_epoch(epoch)
                    yield txn
                    self._commit(conn)
                finally:
                    txn.end()
            finally:
                if conn.in_transaction:
                    with self._in_our_words():
                        conn.execute("ROLLBACK")

    @contextmanager
    def _in_our_words(self) -> Generator[None]:
        """Nothing of sqlite3 gets out; what the caller's own block raises is not touched."""
        try:
            yield
        except TROUBLE as error:
            raise told(error, self.path) from error

    @contextmanager
    def _exclusive(self) -> Generator[None]:
        """This thread alone writes. A write inside a write would wait for itself, and is told so."""
        if self._writing_thread == threading.get_ident():
            reason = "a write was begun inside a write of the same thread"
            raise RuntimeError(reason)
        with self._writing:
            self._writing_thread = threading.get_ident()
            try:
                yield
            finally:
                self._writing_thread = None

    def _commit(self, conn: sqlite3.Connection) -> None:
        """Commit; SQLite itself may have undone the transaction when the disk failed."""
        if not conn.in_transaction:
            raise StoreFailed(reason=f"the write was undone by an earlier failure ({self.path})")
        with self._in_our_words():
            conn.execute("COMMIT")

    @contextmanager
    def read(self) -> Generator[SqliteView]:
        """A snapshot to read."""
        conn = self._take_reader()
        try:
            with self._in_our_words():
                conn.execute("BEGIN")
                # BEGIN alone takes no snapshot, the first look does
                self._demand_version(conn)
            view = SqliteView(conn, self._clock())
            try:
                yield view
            finally:
                view.end()
        finally:
            self._put_back(conn)

    def _demand_version(self, conn: sqlite3.Connection) -> None:
        version = conn.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            reason = f"{self.path} was upgraded to schema {version} by a newer taskd; update this one"
            raise StoreFailed(reason=reason)

    def take_over(self) -> int:
        """Raise the epoch."""
        with self.write() as txn:
            return txn.raise_epoch()

    def check(self) -> list[str]:
        """What SQLite finds damaged, references that lead nowhere, and a layout that is not ours."""
        from taskd.store.schema import drift  # noqa: PLC0415 - sqlite-utils takes 70 ms to import

        try:
            with closing(self._open_reader()) as conn:
                damage = [row[0] for row in conn.execute("PRAGMA quick_check") if row[0] != "ok"]
                orphans = [
                    f"row {row[1]} of {row[0]} belongs to no row of {row[2]}"
                    for row in conn.execute("PRAGMA foreign_key_check")
                ]
                return damage + orphans + drift(conn)
        except StoreFailed as error:
            return [error.message]
        except TROUBLE as error:
            return [told(error, self.path).message]

    def describe(self) -> Mapping[str, object]:
        """Kind, place, size in bytes with the log, and of that the log's, schema and SQLite version."""
        sizes = [_size_of(self.path), _size_of(self.path.with_name(f"{self.path.name}-wal"))]
        return {
            "kind": "sqlite",
            "place": str(self.path),
            "size": sum(sizes),
            "log": sizes[1],
            "schema": VERSION,
            "version": sqlite3.sqlite_version,
        }

    def checkpoint(self) -> None:
        """Fold the log into the file and cut it to nothing, unless somebody writes or reads just now."""
        if not self._writing.acquire(blocking=False):
            return
        try:
            with self._in_our_words():
                _fold(self._open_writer())
        finally:
            self._writing.release()

    def back_up(self, target: Path) -> bool:
        """A copy made by SQLite itself, checked, with the time in it."""
        with self._exclusive(), self._in_our_words():
            make_copy(self._writer or self._open_writer(), target, self._clock())
        return True

    def close(self) -> None:
        """Let go of every connection; those that are reading now are closed when they are done.

        The writing one goes last: what goes last folds the log in, and those that only read cannot.
        """
        self._closed = True
        while self._readers:
            self._readers.pop().close()
        with self._writing:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _open_writer(self) -> sqlite3.Connection:
        """The writing connection, for whoever holds `_writing`."""
        self._demand_open()
        if self._writer is None:
            self._writer = open_writer(self.path)
            self._identify()
        self._demand_same_file()
        return self._writer

    def _open_reader(self) -> sqlite3.Connection:
        """A new reading connection; the index is made or upgraded first if need be."""
        conn = open_reader(self.path)
        if conn is None:
            with self._exclusive():
                self._open_writer()
            conn = open_reader(self.path)
        if conn is None:
            raise StoreGone(reason=f"{self.path} is gone")
        self._identify()
        return conn

    def _take_reader(self) -> sqlite3.Connection:
        self._demand_open()
        try:
            conn = self._readers.pop()
        except IndexError:
            conn = self._open_reader()
        try:
            self._demand_same_file()
        except StoreFailed:
            conn.close()
            raise
        return conn

    def _put_back(self, conn: sqlite3.Connection) -> None:
        """End the snapshot and keep the connection, if it is sound and not one too many."""
        try:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
        except sqlite3.Error:
            conn.close()  # it could not even let go: its next reader would see the past
            return
        self._readers.append(conn)
        if self._closed or len(self._readers) > IDLE_READERS:
            self._readers.pop().close()

    def _demand_open(self) -> None:
        if self._closed:
            raise StoreFailed(reason=f"{self.path} was closed")

    def _identify(self) -> None:
        """Remember which file it is, at the first opening."""
        if self._identity is None:
            self._identity = _identity_of(self.path)

    def _demand_same_file(self) -> None:
        """StoreGone when the file was removed or replaced: what is written to the old one is lost."""
        if _identity_of(self.path) != self._identity:
            raise StoreGone(reason=f"{self.path} was removed or replaced while it was open")


def _fold(conn: sqlite3.Connection) -> None:
    """Checkpoint without waiting for anybody."""
    conn.execute("PRAGMA busy_timeout = 0").fetchall()
    try:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    finally:
        conn.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000:.0f}").fetchall()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - on every write; Path.stat costs twice as much
    except OSError:
        return None
    return found.st_dev, found.st_ino
