"""Copies of the index, and what takes the place of one that is lost or damaged."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskd.errors import StoreDamaged, StoreFailed
from taskd.store.base import COPIED
from taskd.store.sqlite import SqliteDatabase
from taskd.store.sqlite_copies import damage, rescue
from tests.store.samples import NOON, Clock, made, put, stored

Harm = Callable[[Path], object]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the index is."""
    return tmp_path / "taskd" / "index.db"


@pytest.fixture
def copies(place: Path) -> Path:
    """Where its copies are."""
    return place.parent / "backups"


@pytest.fixture
def database(place: Path, clock: Clock) -> Iterator[SqliteDatabase]:
    """An index of a hundred tasks."""
    database = SqliteDatabase(place, clock=clock)
    put(database, *(made(f"t{number}", body="x" * 2000) for number in range(100)))
    yield database
    database.close()


def copied(database: SqliteDatabase, copies: Path, number: int = 1) -> Path:
    """A copy of the index."""
    target = copies / f"index-{number}.db"
    assert database.back_up(target)
    return target


def flip_bytes(index: Path) -> None:
    """Bytes in the middle are others."""
    with index.open("r+b") as file:
        for at in range(8192, index.stat().st_size, 4096):
            file.seek(at)
            file.write(b"\xff" * 64)


def truncate(index: Path) -> None:
    """The second half is gone."""
    with index.open("r+b") as file:
        file.truncate(index.stat().st_size // 2)


def empty(index: Path) -> None:
    """Nothing is left."""
    index.write_bytes(b"")


def overwrite(index: Path) -> None:
    """Something else stands there."""
    index.write_bytes(b"<<<<<<< HEAD\n" * 1000)


def remove(index: Path) -> None:
    """The file is gone."""
    index.unlink()


def test_a_copy_is_whole_private_and_says_what_it_is(database: SqliteDatabase, copies: Path) -> None:
    """A copy opens as an index with everything in it, for its owner alone, and nothing lies beside it."""
    copy = copied(database, copies)
    again = SqliteDatabase(copy)
    with again.read() as view:
        found = (len(view.live()), view.meta(COPIED))
    again.close()

    assert found == (100, NOON)
    assert (stat.S_IMODE(copy.stat().st_mode), stat.S_IMODE(copies.stat().st_mode)) == (0o600, 0o700)
    assert [path.name for path in copies.iterdir() if path.name.startswith(".")] == []
    with database.read() as view:
        assert view.meta(COPIED) is None


@pytest.mark.parametrize("remains", ["index.db", "index.db-wal", "nothing"])
def test_an_index_removed_while_open_is_copied(
    database: SqliteDatabase, place: Path, copies: Path, remains: str
) -> None:
    """Who removes the files of an index that is open loses nothing: a copy can still be made of it."""
    put(database, made("last"))
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        if remains != name:
            place.with_name(name).unlink()
    copy = copied(database, copies)
    again = SqliteDatabase(copy)

    assert stored(again, "last") is not None
    again.close()


def test_a_damaged_index_is_not_copied(database: SqliteDatabase, place: Path, copies: Path) -> None:
    """No copy is made of an index that is damaged, and no half one is left."""
    database.close()
    flip_bytes(place)
    broken = SqliteDatabase(place)

    with pytest.raises(StoreDamaged):
        broken.back_up(copies / "index-1.db")
    broken.close()
    assert list(copies.glob("*")) == []


def test_a_copy_that_finds_no_place_is_told(database: SqliteDatabase, copies: Path) -> None:
    """Where copies cannot lie the store says why."""
    copies.write_text("a file")

    with pytest.raises(StoreFailed, match="no copy can be made"):
        database.back_up(copies / "index-1.db")


@pytest.mark.parametrize("harm", [flip_bytes, truncate, empty, overwrite, remove])
def test_the_newest_sound_copy_takes_its_place(
    database: SqliteDatabase, place: Path, copies: Path, harm: Harm
) -> None:
    """However an index is lost, the newest copy that is sound comes back, and the bad one is kept."""
    copied(database, copies, 1)
    put(database, made("later"))
    copied(database, copies, 2)
    flip_bytes(copied(database, copies, 3))
    database.close()
    harm(place)
    place.with_name("index.db-wal").write_bytes(b"a log of another index")
    left = place.read_bytes() if place.exists() else None
    done = rescue(place, copies, NOON, known=True, thorough=True)
    again = SqliteDatabase(place)

    assert done is not None
    assert done.aside is not None
    assert (done.copy, done.aside) == (copies / "index-2.db", place.with_name("index.db.20260301T120000000Z"))
    assert stored(again, "later") is not None
    again.close()
    assert (done.aside.read_bytes() if done.aside.exists() else None) == left
    assert done.aside.with_name(f"{done.aside.name}-wal").read_bytes() == b"a log of another index"
    assert len(list(copies.iterdir())) == 3


def test_without_a_sound_copy_the_place_is_free(database: SqliteDatabase, place: Path, copies: Path) -> None:
    """With nothing to come back the damaged index is moved away, so that a new one can begin."""
    flip_bytes(copied(database, copies))
    database.close()
    flip_bytes(place)
    done = rescue(place, copies, NOON, known=True, thorough=True)

    assert done is not None
    assert (done.copy, place.exists(), done.aside is not None and done.aside.exists()) == (None, False, True)
    assert "no sound copy" in str(done)


def test_a_sound_index_is_left_alone(database: SqliteDatabase, place: Path, copies: Path) -> None:
    """Nothing is done about an index that is in order, nor about one that never was."""
    copied(database, copies)

    assert rescue(place, copies, NOON, known=True, thorough=True) is None
    assert (
        rescue(place.with_name("new.db"), place.with_name("none"), NOON, known=False, thorough=True) is None
    )
    assert damage(place) == ""


def test_an_index_of_a_newer_taskd(database: SqliteDatabase, place: Path, copies: Path) -> None:
    """What a newer taskd has written is not for us to judge, and stays where it is."""
    copied(database, copies)
    with database.write() as txn:
        txn.put_meta("k", "v")
    database.checkpoint()
    database.close()
    with place.open("r+b") as file:
        file.seek(60)  # the user version, see the file format
        file.write((99).to_bytes(4, "big"))

    assert rescue(place, copies, NOON, known=True, thorough=True) is None
