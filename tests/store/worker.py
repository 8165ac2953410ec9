"""A process of its own that works on an index: `worker.py TASK PATH NAME COUNT`.

It says `ready` when it has started and begins at the first line it is sent, so that many begin together.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from taskd.core.query import Query
from taskd.core.task import Claim, Status
from taskd.store.base import Txn
from taskd.store.sqlite import SqliteDatabase
from tests.store.samples import LATER, NOON, entry, made


def say(word: object) -> None:
    """Tell the test something, at once."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def add(database: SqliteDatabase, name: str, count: int) -> None:
    """Add tasks of our own, each in a write."""
    for n in range(count):
        with database.write() as txn:
            txn.put(made(f"{name}-{n}"), None)
            txn.record([entry(f"{name}-{n}")])


def count_up(database: SqliteDatabase, _name: str, count: int) -> None:
    """Read the one task, add one, write it."""
    for _ in range(count):
        with database.write() as txn:
            old = txn.task("shared")
            assert old is not None
            txn.put(replace(old, fence=old.fence + 1, revision=old.revision + 1), old)


def drain(database: SqliteDatabase, name: str, _count: int) -> None:
    """Claim the best ready task until there is none, and say which they were."""
    while True:
        with database.write() as txn:
            found = txn.tasks(Query(ready=True, limit=1))
            if not found:
                return
            old = found[0]
            claim = Claim(name, name, "w", old.fence + 1, NOON, LATER)
            changes = replace(old, status=Status.IN_PROGRESS, claim=claim, fence=claim.token)
            txn.put(replace(changes, revision=old.revision + 1), old)
        say(old.id)


def write_for_ever(database: SqliteDatabase, _name: str, _count: int) -> None:
    """Write the same number in four places, and say it when it is on the disk."""
    for _ in itertools.count():
        with database.write() as txn:
            number = write_everywhere(txn)
        say(number)


def write_everywhere(txn: Txn) -> int:
    """Raise the number of the shared task, with its journal, an errand, a setting and a text beside it."""
    old = txn.task("shared")
    assert old is not None
    new = replace(old, fence=old.fence + 1, revision=old.revision + 1, tags=(str(old.fence + 1),) * 20)
    txn.put_meta("number", str(new.fence))
    txn.put(new, old)
    txn.keep(b"x" * 20_000 + str(new.fence).encode())
    txn.record([entry("shared", new=new.fence)])
    txn.enqueue("branch", [f"n{new.fence}"])
    return new.fence


def hold_write(database: SqliteDatabase, _name: str, _count: int) -> None:
    """Keep a write open until another line comes."""
    with database.write() as txn:
        txn.put_meta("held", "yes")
        say("holding")
        sys.stdin.readline()


def hold_read(database: SqliteDatabase, _name: str, _count: int) -> None:
    """Keep a snapshot open until another line comes."""
    with database.read() as view:
        say("holding")
        sys.stdin.readline()
        say(view.meta("number"))


TASKS: Final[dict[str, Callable[[SqliteDatabase, str, int], None]]] = {
    each.__name__: each for each in (add, count_up, drain, write_for_ever, hold_write, hold_read)
}


def main(task: str, path: str, name: str, count: str) -> None:
    """Wait for the start, then do it."""
    say("ready")
    sys.stdin.readline()
    with closing(SqliteDatabase(Path(path), clock=lambda: NOON)) as database:
        TASKS[task](database, name, int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
