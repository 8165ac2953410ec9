"""Several processes on one SQLite index: nobody fails, nothing is lost, a kill leaves nothing half done."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from taskd.errors import Fenced, StoreFailed
from taskd.store.sqlite import SqliteDatabase
from tests.store import worker
from tests.store.samples import NOON, Clock, entry, found, made, put, stored

PATIENCE: Final = 100.0  # seconds for a worker to end; the machine may be busy with other tests

Process = subprocess.Popen[str]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the index will be."""
    return tmp_path / "taskd" / "index.db"


@pytest.fixture
def database(place: Path, clock: Clock) -> Iterator[SqliteDatabase]:
    """An index that nobody has opened yet."""
    with closing(SqliteDatabase(place, clock=clock)) as database:
        yield database


class Workers:
    """Processes that are started together and are gone at the end, whatever happens."""

    def __init__(self, place: Path) -> None:
        """Work on the index at `place`."""
        self._place = place
        self._running: list[Process] = []

    def launch(self, task: str, count: int = 0, name: str = "w") -> Process:
        """A worker that is up and waits for its start."""
        process = subprocess.Popen(
            [sys.executable, worker.__file__, task, str(self._place), name, str(count)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def begin(self, task: str, word: str = "holding") -> Process:
        """A worker that has got so far as to say `word`."""
        process = self.launch(task)
        assert heard(process) == "ready"
        tell(process)
        assert heard(process) == word
        return process

    def finish(self, task: str, number: int, count: int) -> list[list[str]]:
        """Start many at one moment; what each said, when all have ended well."""
        processes = [self.launch(task, count, f"w{n}") for n in range(number)]
        assert {heard(process) for process in processes} == {"ready"}
        for process in processes:
            tell(process)
        ended = [process.communicate(timeout=PATIENCE) for process in processes]
        assert [
            (process.returncode, errors) for process, (_, errors) in zip(processes, ended, strict=True)
        ] == [(0, "") for _ in processes]
        return [said.split() for said, _ in ended]

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._running:
            process.kill()
            process.communicate()


def heard(process: Process) -> str:
    """The next line a worker says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: Process) -> None:
    """Let a worker go on."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.fixture
def workers(place: Path) -> Iterator[Workers]:
    """Workers on the index."""
    workers = Workers(place)
    yield workers
    workers.end()


def test_s42_twenty_writers_and_none_fails(database: SqliteDatabase, workers: Workers) -> None:
    """S-42: twenty processes that open a new index at one moment and write all succeed."""
    workers.finish("add", number=20, count=10)

    with database.read() as view:
        counts = (len(view.live()), len(view.journal()))
    assert (counts, database.check()) == ((200, 200), [])


def test_s17_increments_of_eight_processes_are_all_there(database: SqliteDatabase, workers: Workers) -> None:
    """S-17: a thousand times read, add one, write, by eight processes at once, is a thousand."""
    put(database, made("shared", fence=0, revision=0))

    workers.finish("count_up", number=8, count=125)
    task = stored(database, "shared")

    assert task is not None
    assert (task.fence, task.revision) == (1000, 1000)


def test_s13_every_task_is_claimed_once(database: SqliteDatabase, workers: Workers) -> None:
    """S-13: eight processes that claim the next ready task until none is left claim each exactly once."""
    put(database, *(made(f"t{n}", priority=("high", None)[n % 2]) for n in range(200)))

    claimed = Counter(id for said in workers.finish("drain", number=8, count=0) for id in said)

    assert claimed == Counter(f"t{n}" for n in range(200))


def test_killed_writer_leaves_nothing_half_done(database: SqliteDatabase, workers: Workers) -> None:
    """`kill -9` in the middle of writes: what was told is there, and every write whole or not at all."""
    put(database, made("shared", fence=0, revision=0))
    chance = random.Random(4)
    for _ in range(12):
        process = workers.launch("write_for_ever")
        assert heard(process) == "ready"
        tell(process)
        told = [int(heard(process)) for _ in range(chance.randrange(1, 15))]
        threading.Event().wait(chance.random() * 0.01)  # to hit another instant each time
        process.kill()
        told += [int(line) for line in process.communicate()[0].split("\n")[:-1]]

        with database.read() as view:
            task, number = view.task("shared"), int(view.meta("number") or 0)
            numbers = [each.new for each in view.journal("shared")]
            queued = [errand.task for errand in view.errands("branch")]
        assert task is not None
        assert numbers == list(range(1, number + 1))
        assert (task.fence, task.revision, task.tags) == (number, number, (str(number),) * 20)
        assert (queued, number >= told[-1]) == ([f"n{n}" for n in numbers], True)
    assert database.check() == []


def test_lock_of_a_killed_writer_is_free_at_once(database: SqliteDatabase, workers: Workers) -> None:
    """S-15: who is killed while writing holds nobody up, and what they had not finished never happened."""
    put(database, made("a"))
    process = workers.begin("hold_write")

    process.kill()
    process.wait()
    put(database, made("b"))

    with database.read() as view:
        assert (view.live(), view.meta("held")) == (["a", "b"], None)


def test_reader_does_not_wait_for_another_process(database: SqliteDatabase, workers: Workers) -> None:
    """While another process is in the middle of a write, questions are answered with what was before."""
    put(database, made("a"))
    process = workers.begin("hold_write")

    with database.read() as view:
        seen = (view.live(), view.meta("held"))
    database.checkpoint()

    assert (seen, process.poll()) == ((["a"], None), None)


def test_reader_keeps_its_snapshot_beside_another_process(database: SqliteDatabase, workers: Workers) -> None:
    """A snapshot of another process stands still while we write and fold the log in, and holds up neither."""
    with database.write() as txn:
        txn.put_meta("number", "before")
    process = workers.begin("hold_read")

    with database.write() as txn:
        txn.put_meta("number", "after")
    database.checkpoint()
    tell(process)

    assert heard(process) == "before"


def test_second_writer_waits_for_the_first(database: SqliteDatabase, workers: Workers) -> None:
    """A write begun while another process writes is carried out after it, and sees what it did."""
    process = workers.begin("hold_write")
    seen: list[str | None] = []

    def write() -> None:
        with database.write() as txn:
            seen.append(txn.meta("held"))

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(0.2)
    before = list(seen)
    tell(process)
    thread.join(PATIENCE)

    assert (before, seen) == ([], ["yes"])


def test_writer_that_never_ends_is_told(
    database: SqliteDatabase, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for another process has an end, and then says what it waited for."""
    monkeypatch.setattr("taskd.store.sqlite_files.BUSY_TIMEOUT", 0.05)
    monkeypatch.setattr("taskd.store.sqlite_files.PATIENCE", 0.1)
    put(database, made("a"))
    workers.begin("hold_write")

    with pytest.raises(StoreFailed, match="another process"), database.write():
        pass

    assert found(database) == ["a"]


def test_takeover_fences_another_process(database: SqliteDatabase, place: Path) -> None:
    """The epoch is in the index: another opener's takeover fences us, as another process's would."""
    ours = database.take_over()
    with closing(SqliteDatabase(place, clock=lambda: NOON)) as other:
        theirs = other.take_over()

    with database.write(theirs) as txn:
        txn.record([entry("a")])
    with pytest.raises(Fenced), database.write(ours):
        pass

    assert theirs > ours
