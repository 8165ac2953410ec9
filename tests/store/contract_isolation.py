"""The promises about writes and snapshots: all or nothing, one at a time, undisturbed reading."""

# ruff: noqa: PT012 - that a block of several statements is undone is what is tested

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import pytest

from taskd.core.query import Query
from taskd.errors import Fenced, NotFound, StoreFailed
from taskd.store.base import Base, TaskDatabase, Txn
from tests.store.samples import LATER, NOON, Clock, change, entry, found, made, put, stored

T = TypeVar("T")
PATIENCE = 30.0  # seconds a thread of a test may take


class StopHere(Exception):  # noqa: N818 - it is no error
    """Ends a write in the middle."""


class IsolationContract:
    """Who sees what, when."""

    def test_write_that_fails_never_happened(self, database: TaskDatabase) -> None:
        """Whatever a write did is undone when its block ends by an exception."""
        put(database, made("a"))

        with pytest.raises(StopHere), database.write() as txn:
            txn.put(made("a", name="new", revision=2), made("a"))
            txn.put(made("b"), None)
            txn.record([entry("a")])
            txn.keep(b"text")
            txn.enqueue("branch", ["a"])
            txn.put_meta("k", "v")
            raise StopHere
        with database.read() as view:
            left = (view.tasks(Query()), view.journal(), view.errands("branch"), view.meta("k"))

        assert left == ([made("a")], [], [], None)

    def test_error_of_the_caller_comes_out_unchanged(self, database: TaskDatabase) -> None:
        """What the caller's own block raises is not taken for a failure of the store."""
        with pytest.raises(UnicodeEncodeError), database.write():
            "\ud800".encode()
        with pytest.raises(OverflowError), database.read():
            raise OverflowError

    def test_write_sees_its_own_changes(self, database: TaskDatabase) -> None:
        """Within a write every question is answered with what it has done so far."""
        with database.write() as txn:
            txn.put(made("a", depends_on=("b",)), None)
            txn.put(made("b"), None)
            seen = (txn.live(), txn.blockers(["a"]), txn.dependents(["b"]), txn.resolve("a"))

        assert seen == (["a", "b"], {"a": ("b",)}, {"b": ("a",)}, ["a"])

    def test_savepoint_is_undone_alone(self, database: TaskDatabase) -> None:
        """A part that fails is undone, what came before and after it stays."""
        with database.write() as txn:
            txn.put(made("before"), None)
            with pytest.raises(StopHere), txn.savepoint():
                txn.put(made("within"), None)
                txn.rename("before", "renamed")
                raise StopHere
            txn.put(made("after"), None)

        assert found(database) == ["after", "before"]

    def test_savepoints_nest(self, database: TaskDatabase) -> None:
        """An inner part may fail without the outer, and is undone with the outer."""
        with database.write() as txn:
            with txn.savepoint():
                txn.put(made("outer"), None)
                with pytest.raises(StopHere), txn.savepoint():
                    txn.put(made("inner"), None)
                    raise StopHere
                txn.put(made("outer-2"), None)
            with pytest.raises(StopHere), txn.savepoint():
                with txn.savepoint():
                    txn.put(made("lost"), None)
                txn.put(made("lost-2"), None)
                raise StopHere
            txn.put(made("last"), None)

        assert found(database) == ["last", "outer", "outer-2"]

    def test_savepoint_undoes_what_the_write_had_begun(self, database: TaskDatabase) -> None:
        """A table changed before, in and after a part ends as if the part had not been."""
        with database.write() as txn:
            txn.put_meta("k", "before")
            with pytest.raises(StopHere), txn.savepoint():
                txn.put_meta("k", "within")
                txn.put_base(Base("w", "p", None, None, None))
                raise StopHere
            seen = (txn.meta("k"), txn.bases("w"))
            txn.put_meta("other", "after")

        with database.read() as view:
            assert (seen, view.meta("k"), view.meta("other")) == (("before", []), "before", "after")

    def test_failed_method_leaves_the_write_usable(self, database: TaskDatabase) -> None:
        """A refusal that the caller catches costs only what was refused."""
        with database.write() as txn:
            with pytest.raises(NotFound):
                txn.rename("nobody", "a")
            txn.put(made("a"), None)

        assert found(database) == ["a"]

    def test_snapshot_stands_still(self, database: TaskDatabase) -> None:
        """A reader sees one state from beginning to end, while a writer finishes in another thread."""
        put(database, made("a"))

        with database.read() as view:
            _elsewhere(lambda: change(database, "a", name="new"))
            _elsewhere(lambda: put(database, made("b")))
            seen = (view.task("a"), view.live())
        later = (stored(database, "a"), found(database))

        assert seen == (made("a"), ["a"])
        assert later == (made("a", name="new", revision=2), ["a", "b"])

    def test_snapshot_begins_with_its_block(self, database: TaskDatabase) -> None:
        """A change made after the block began is not seen, though nothing was asked before it."""
        put(database, made("a"))

        with database.read() as view:
            _elsewhere(lambda: put(database, made("b")))
            seen = view.live()

        assert seen == ["a"]

    def test_reader_does_not_wait_for_a_writer(self, database: TaskDatabase) -> None:
        """Reading goes on while a write is under way, and sees nothing of it."""
        put(database, made("a"))

        with database.write() as txn:
            txn.put(made("b"), None)
            seen = _elsewhere(lambda: found(database))
            within = found(database)

        assert (seen, within) == (["a"], ["a"])

    def test_reads_nest(self, database: TaskDatabase) -> None:
        """A read within a read has a snapshot of its own, and neither disturbs the other."""
        put(database, made("a"))

        with database.read() as outer:
            put(database, made("b"))
            with database.read() as inner:
                put(database, made("c"))
                seen = (outer.live(), inner.live())
            after = outer.live()

        assert (seen, after) == ((["a"], ["a", "b"]), ["a"])

    def test_view_is_over_with_its_block(self, database: TaskDatabase) -> None:
        """A view or write kept beyond its block answers nothing, instead of answering with another state."""
        with database.read() as view:
            pass
        with database.write() as txn:
            pass

        with pytest.raises(StoreFailed):
            view.live()
        with pytest.raises(StoreFailed):
            txn.put_meta("k", "v")

    def test_one_view_has_one_time(self, database: TaskDatabase, clock: Clock) -> None:
        """A view judges claims by the moment it was opened, and says which that is."""
        with database.read() as view, database.write() as txn:
            clock.now = LATER
            times = (view.now(), txn.now())
        with database.read() as view:
            later = view.now()

        assert (times, later) == ((NOON, NOON), LATER)

    def test_write_in_a_write_is_told_apart_from_waiting(self, database: TaskDatabase) -> None:
        """S-14: a write begun inside a write fails at once instead of waiting for itself."""
        with database.write() as txn:
            with pytest.raises(RuntimeError, match="inside a write"), database.write():
                pass
            txn.put(made("a"), None)

        assert found(database) == ["a"]

    def test_threads_write_one_after_the_other(self, database: TaskDatabase) -> None:
        """S-17: four threads that read, add one and write lose none of their changes."""
        put(database, made("a", fence=0))

        def count_up() -> None:
            for _ in range(25):
                with database.write() as txn:
                    old = txn.task("a")
                    assert old is not None
                    txn.put(replace(old, fence=old.fence + 1, revision=old.revision + 1), old)

        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(count_up) for _ in range(4)]:
                future.result(PATIENCE)
        task = stored(database, "a")

        assert task is not None
        assert (task.fence, task.revision) == (100, 101)

    def test_one_claim_wins(self, database: TaskDatabase) -> None:
        """S-13: of eight threads that update from the same revision exactly one succeeds."""
        put(database, made("a"))
        barrier = threading.Barrier(8)

        def attempt(n: int) -> bool:
            barrier.wait(PATIENCE)
            try:
                with database.write() as txn:
                    txn.put(made("a", assignee=f"agent{n}", revision=2), made("a"))
            except Exception as error:  # noqa: BLE001 - its type is looked at below
                return type(error).__name__ != "Stale"
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(attempt, range(8)))

        assert won.count(True) == 1

    def test_readers_in_many_threads(self, database: TaskDatabase) -> None:
        """Readers see both of two values that are always written together, or neither."""
        with database.write() as txn:
            _write_both(txn, 0)
        stop = threading.Event()

        def look() -> int:
            looks = 0
            while not stop.is_set() or not looks:
                with database.read() as view:
                    assert view.meta("one") == view.meta("two")
                looks += 1
            return looks

        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(look) for _ in range(4)]
            for n in range(50):
                with database.write() as txn:
                    _write_both(txn, n)
            stop.set()
            looks = [reader.result(PATIENCE) for reader in readers]

        assert min(looks) > 0

    def test_takeover_fences_the_former_writer(self, database: TaskDatabase) -> None:
        """A daemon that was replaced cannot write any more; one that does not ask is not fenced."""
        first = database.take_over()
        with database.write(first) as txn:
            txn.put(made("a"), None)
        second = database.take_over()

        with pytest.raises(Fenced) as caught, database.write(first) as txn:
            txn.put(made("b"), None)
        with database.write(second) as txn:
            txn.put(made("c"), None)
        put(database, made("d"))

        assert caught.value.facts == {"epoch": second, "ours": first}
        assert (found(database), second > first) == (["a", "c", "d"], True)

    def test_sound_index_has_nothing_to_tell(self, database: TaskDatabase) -> None:
        """A check of a healthy index is empty."""
        put(database, made("a", depends_on=("nobody",)))

        assert database.check() == []

    def test_description_names_kind_place_size_and_schema(self, database: TaskDatabase) -> None:
        """`daemon status` can say of any store what it is and where."""
        put(database, made("a"))

        described = database.describe()

        types = {key: type(described[key]) for key in ("kind", "place", "size", "schema")}
        assert types == {"kind": str, "place": str, "size": int, "schema": int}

    def test_checkpoint_changes_no_answer(self, database: TaskDatabase) -> None:
        """Folding the log in never blocks, not under a reader or a writer, and changes nothing."""
        put(database, made("a"))

        with database.read() as view, database.write() as txn:
            txn.put(made("b"), None)
            _elsewhere(database.checkpoint)
            seen = view.live()
        database.checkpoint()

        assert (seen, found(database)) == (["a"], ["a", "b"])

    def test_closed_index_says_so(self, database: TaskDatabase) -> None:
        """After closing, reading and writing fail with a sentence; closing twice is no error."""
        put(database, made("a"))
        database.close()
        database.close()

        with pytest.raises(StoreFailed, match="closed"), database.read():
            pass
        with pytest.raises(StoreFailed, match="closed"), database.write():
            pass


def _elsewhere(act: Callable[[], T]) -> T:
    """What `act` gives when another thread does it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act).result(PATIENCE)


def _write_both(txn: Txn, n: int) -> None:
    """Two settings that belong together."""
    txn.put_meta("one", str(n))
    txn.put_meta("two", str(n))
