"""The layout of the SQLite index, one step a version; `PRAGMA user_version` says how many were taken."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from sqlite_utils import Database, Migrations

_FIRST: Final = Path(__file__).with_name("first.sql")

STEPS: Final = Migrations("taskd")


@STEPS(name="first")
def _first(db: Database) -> None:
    db.executescript(_FIRST.read_text(encoding="utf-8"))


@STEPS(name="moves")
def _moves(db: Database) -> None:
    """How long a reflog was when a file was looked at; not known of the files that are there already."""
    db.conn.execute("ALTER TABLE bases ADD COLUMN moves INTEGER")


def upgrade(conn: sqlite3.Connection) -> None:
    """Take every step not taken yet, inside the caller's transaction.

    sqlite-utils runs each step in a savepoint and remembers its name beside it, so that a step is never
    taken twice and never half.
    """
    STEPS.apply(_database(conn))


def drift(conn: sqlite3.Connection) -> list[str]:
    """How the tables and indexes differ from the ones this version lays out, as sentences."""
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        upgrade(fresh)
        wanted = _layout(fresh)
    finally:
        fresh.close()
    found = _layout(conn)
    gone = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    changed = [f"{name} is not laid out as it should be" for name in sorted(wanted.keys() & found.keys())
               if wanted[name] != found[name]]  # fmt: skip
    return gone + changed


def _layout(conn: sqlite3.Connection) -> dict[str, str]:
    db = _database(conn)
    tables = {f"table {table.name}": table.schema for table in db.tables}
    indexes = {f"index {index.name}": str(index.columns) for table in db.tables for index in table.indexes}
    return tables | indexes


def _database(conn: sqlite3.Connection) -> Database:
    """The connection in sqlite-utils' hands, without the plugins other packages may have installed."""
    return Database(conn, recursive_triggers=False, execute_plugins=False)
