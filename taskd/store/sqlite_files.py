"""Opening the SQLite index: connections as we want them, the layout up to date, errors in our words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from taskd.errors import StoreBusy, StoreDamaged, StoreFailed, TaskdError
from taskd.store.values import unkeepable_number, unkeepable_text

VERSION: Final = 2  # how many steps of `schema` this taskd knows
APPLICATION: Final = 0x7461736B  # "task": tells our file from another program's database
SMALLEST: Final = 512  # bytes of the smallest page; no SQLite file that has anything in it is shorter
OLDEST_SQLITE: Final = (3, 37, 0)  # STRICT tables
BUSY_TIMEOUT: Final = 5.0  # seconds SQLite itself waits for another process's write
PATIENCE: Final = 30.0  # seconds until a write gives up; SQLite's waiting is not fair, and twenty may queue
WAL_LIMIT: Final = 16 * 1024 * 1024  # bytes the log keeps on disk once it is folded in
STATEMENTS: Final = 512  # prepared statements a connection keeps; there are about 150

#: what decides how a connection behaves, for both kinds
_BOTH: Final = ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY")
_WRITING: Final = (
    "foreign_keys = ON",
    "synchronous = FULL",
    "fullfsync = ON",  # macOS: fsync alone does not reach the disk there; elsewhere it does nothing
    f"journal_size_limit = {WAL_LIMIT}",
)

_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_BUSY: "another process is writing to it and does not let go",
    sqlite3.SQLITE_LOCKED: "another process is writing to it and does not let go",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
    sqlite3.SQLITE_NOTADB: "its file is no SQLite database",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_PERM: "its file may not be opened",
    sqlite3.SQLITE_TOOBIG: "a value is larger than SQLite can hold",
}

#: what sqlite3 raises from a statement: the database's own errors, and values it cannot bind
TROUBLE: Final = (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError, OverflowError)


def told(error: Exception, place: Path | str = "") -> TaskdError:
    """An error of sqlite3 in our words: a StoreFailed of some kind; BadValue for what cannot be kept."""
    if isinstance(error, UnicodeEncodeError):
        return unkeepable_text(error)
    if isinstance(error, OverflowError):
        return unkeepable_number()
    reason = _REASONS.get(_code(error))
    where = f" ({place})" if place else ""
    kind = StoreDamaged if _code(error) in _DAMAGE else StoreBusy if is_busy(error) else StoreFailed
    return kind(reason=f"{reason}: {error}{where}" if reason else f"{error}{where}")


def is_busy(error: Exception) -> bool:
    """Whether waiting longer may help."""
    return _code(error) in _BUSY


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def patiently(act: Callable[[], object]) -> None:
    """Do `act` again while the database is busy, for `PATIENCE` seconds at most."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            act()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.002)  # some busy errors come at once, without SQLite's own waiting
        else:
            return


def open_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes; makes the file (0600) and its directory (0700), and lays the tables out.

    StoreFailed when the file is damaged, is not ours, or was written by a newer taskd.
    """
    _demand_sqlite()
    _demand_database(path)
    try:
        _make_file(path)
    except OSError as error:
        raise StoreFailed(reason=f"{path} cannot be made: {error.strerror}") from error
    return _opened(path, "rw", _prepare_writer)


def open_reader(path: Path) -> sqlite3.Connection | None:
    """A connection that can only read; None when there is no index yet, or one to be upgraded first."""
    _demand_sqlite()
    if not path.exists():
        return None
    _demand_database(path)
    conn = _opened(path, "ro", _prepare_reader)
    if _version(conn, path) == VERSION:
        return conn
    conn.close()
    return None


def _demand_sqlite() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise StoreFailed(reason=f"this Python brings SQLite {sqlite3.sqlite_version}; {wanted} is needed")


def _demand_database(path: Path) -> None:
    """StoreDamaged for a file of few bytes, which SQLite takes for an empty database; any other it tells.

    The file is looked at and never opened: to close it would drop every lock this process has on it.
    """
    if path.with_name(f"{path.name}-journal").exists():
        return  # the beginning may be half written, and is restored on opening
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreFailed(reason=f"{path} cannot be read: {error.strerror}") from error
    if 0 < size < SMALLEST:
        raise StoreDamaged(reason=f"{path} is no SQLite database")


def _make_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        return
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_directory(path.parent)  # so that the name is as durable as what will be written under it


def sync_directory(path: Path) -> None:
    """Have the names in a directory on the disk."""
    directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _opened(path: Path, mode: str, prepare: Callable[[sqlite3.Connection, Path], None]) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time; closed again when it cannot be prepared."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        conn = sqlite3.connect(
            uri, BUSY_TIMEOUT, uri=True, isolation_level=None, check_same_thread=False,
            cached_statements=STATEMENTS,
        )  # fmt: skip
    except sqlite3.Error as error:
        raise told(error, path) from error
    try:
        prepare(conn, path)
    except TROUBLE as error:
        conn.close()
        raise told(error, path) from error
    except BaseException:
        conn.close()
        raise
    return conn


def _prepare_reader(conn: sqlite3.Connection, path: Path) -> None:
    _set_up(conn, (*_BOTH, "query_only = ON"))
    _version(conn, path)


def _prepare_writer(conn: sqlite3.Connection, path: Path) -> None:
    _set_up(conn, (*_BOTH, *_WRITING))
    version = _version(conn, path)
    if conn.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        patiently(lambda: conn.execute("PRAGMA journal_mode = WAL").fetchone())
    if version < VERSION:
        _lay_out(conn, path)


def _set_up(conn: sqlite3.Connection, settings: tuple[str, ...]) -> None:
    for setting in settings:
        conn.execute(f"PRAGMA {setting}").fetchall()
    conn.create_function("holds_word", 2, _holds_word, deterministic=True)


def _holds_word(text: str, word: str) -> bool:
    """Whether a folded word occurs in a text, whatever the case; LIKE knows only ASCII's."""
    return word in text.casefold()


def _version(conn: sqlite3.Connection, path: Path) -> int:
    """The version of the layout, 0 for an empty file. StoreFailed if it is newer, or not ours."""
    # tables first: whoever lays them out at this moment commits them together with the two numbers
    tables = conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    application = conn.execute("PRAGMA application_id").fetchone()[0]
    version = int(conn.execute("PRAGMA user_version").fetchone()[0])
    if tables and application != APPLICATION:
        raise StoreFailed(reason=f"{path} is a database of another program")
    if version > VERSION:
        raise StoreFailed(
            reason=f"{path} was written by a newer taskd (schema {version}, this one knows up to {VERSION});"
            " update taskd"
        )
    return version


def _lay_out(conn: sqlite3.Connection, path: Path) -> None:
    """Bring the layout up to date in one transaction; somebody else may have been faster."""
    from taskd.store.schema import upgrade  # noqa: PLC0415 - sqlite-utils takes 70 ms to import

    patiently(lambda: conn.execute("BEGIN IMMEDIATE"))
    try:
        if _version(conn, path) < VERSION:
            upgrade(conn)
            conn.execute(f"PRAGMA application_id = {APPLICATION}")
            conn.execute(f"PRAGMA user_version = {VERSION}")
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
