"""The SQLite store keeps every promise of the port, and what it alone can break is not broken."""

# ruff: noqa: PT012 - that a block of several statements is undone is what is tested

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from taskd.core.query import SORTS, Query
from taskd.core.task import Status
from taskd.errors import StoreFailed
from taskd.store.base import TaskDatabase
from taskd.store.sqlite import IDLE_READERS, SqliteDatabase
from taskd.store.sqlite_files import APPLICATION, VERSION
from taskd.store.sqlite_query import statement
from taskd.store.sqlite_rows import COLUMNS
from tests.store.contract import StoreContract
from tests.store.samples import FULL, NOON, Clock, change, found, made, put, stored

UTC_MILLISECONDS: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the index will be."""
    return tmp_path / "taskd" / "index.db"


@pytest.fixture
def database(place: Path, clock: Clock) -> Iterator[SqliteDatabase]:
    """An empty index in a directory of its own."""
    database = SqliteDatabase(place, clock=clock)
    yield database
    database.close()


class TestSqliteStore(StoreContract):
    """The contract, against a file."""


def opened(place: Path) -> closing[sqlite3.Connection]:
    """The file as another program would open it."""
    return closing(sqlite3.connect(place, isolation_level=None))


def plan_of(place: Path, query: Query, behind: tuple[object, ...] | None = None) -> list[str]:
    """How SQLite would answer a query."""
    sql, facts = statement(query, NOON, behind)
    with opened(place) as conn:
        conn.create_function("holds_word", 2, lambda text, word: word in text, deterministic=True)
        return [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", facts)]


def test_nothing_is_opened_before_it_is_used(database: SqliteDatabase, place: Path) -> None:
    """Making the object touches no disk."""
    assert (database.path, place.parent.exists()) == (place, False)


def test_only_the_user_may_look(database: SqliteDatabase, place: Path) -> None:
    """The directory is 0700, the file and its log 0600, whatever the umask lets through."""
    before = os.umask(0)
    try:
        put(database, made("a"))
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (place.parent, *place.parent.iterdir())}

    assert modes == {"taskd": 0o700, "index.db": 0o600, "index.db-wal": 0o600, "index.db-shm": 0o600}


def test_reading_first_makes_an_empty_index(database: SqliteDatabase) -> None:
    """The first thing done with an index may be a question."""
    assert found(database) == []


def test_index_outlives_the_process(database: SqliteDatabase, place: Path) -> None:
    """What was written is there for the next one who opens the file."""
    put(database, FULL)
    database.close()

    with closing(SqliteDatabase(place)) as again:
        assert stored(again, FULL.id) == FULL


def test_reader_alone_needs_no_writer(database: SqliteDatabase, place: Path) -> None:
    """A program that only reads opens no connection that could write."""
    put(database, made("a"))
    database.close()

    with closing(SqliteDatabase(place)) as again:
        assert (found(again), again._writer) == (["a"], None)  # noqa: SLF001 - what is not there has no name


def test_own_clock_is_utc_with_milliseconds(place: Path) -> None:
    """Without a clock given, times are ISO 8601 in UTC with milliseconds and Z."""
    with closing(SqliteDatabase(place)) as database, database.read() as view:
        assert UTC_MILLISECONDS.fullmatch(view.now())


def test_odd_path_is_taken_literally(tmp_path: Path) -> None:
    """A directory may have blanks, percent and question marks in its name."""
    place = tmp_path / "a b?mode=memory#c%20d" / "ü.db"

    with closing(SqliteDatabase(place)) as database:
        put(database, made("a"))

    assert place.exists()


def test_connections_are_set_up_for_safety(database: SqliteDatabase) -> None:
    """A commit reaches the disk, references are kept, a hostile file gets no code run."""
    put(database, made("a"))
    names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "cell_size_check", "temp_store")

    conn = database._writer  # noqa: SLF001 - the settings live in the connection
    assert conn is not None
    settings = [conn.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert settings == ["wal", 2, 1, 0, 1, 2]


def test_reading_connections_cannot_write(database: SqliteDatabase) -> None:
    """Nothing that asks can change anything."""
    put(database, made("a"))

    with database.read() as view, pytest.raises(StoreFailed, match="read-only"):
        view._all("DELETE FROM tasks")  # noqa: SLF001 - there is no public way to try


def test_readers_are_used_again(database: SqliteDatabase) -> None:
    """A question costs no new connection, and many at once leave only a few open."""
    put(database, made("a"))
    views = [database.read() for _ in range(IDLE_READERS + 3)]
    for view in views:
        view.__enter__()
    for view in views:
        view.__exit__(None, None, None)
    pool = list(database._readers)  # noqa: SLF001 - how many are open is told nowhere
    found(database)

    assert (len(pool), set(database._readers)) == (IDLE_READERS, set(pool))  # noqa: SLF001 - see above


def test_a_second_reader_keeps_the_locks_of_the_first(database: SqliteDatabase, place: Path) -> None:
    """Whoever opens and closes the index elsewhere does not take itself for the last one to use it."""
    put(database, made("a"))
    leaving = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM tasks')"
    with database.read() as first, database.read() as second:
        subprocess.run([sys.executable, "-c", leaving, place], check=True)

        assert place.with_name(f"{place.name}-wal").exists()
        assert (first.live(), second.live()) == (["a"], ["a"])


def test_tables_are_strict(database: SqliteDatabase, place: Path) -> None:
    """A text in a column of numbers is refused by the file itself."""
    put(database, made("a"))

    with opened(place) as conn:
        loose = conn.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT strict"
            " AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlite_%'"
        ).fetchall()

    assert loose == []


def test_unknown_status_is_refused(database: SqliteDatabase, place: Path) -> None:
    """Even another program cannot give a task a status that does not exist."""
    put(database, made("a"))

    with opened(place) as conn, pytest.raises(sqlite3.IntegrityError):
        conn.execute("UPDATE tasks SET status = 'maybe'")


def test_change_writes_only_what_changed(database: SqliteDatabase) -> None:
    """A new status does not write the body and the other columns again."""
    put(database, FULL)
    statements: list[str] = []
    conn = database._writer  # noqa: SLF001 - the trace is the connection's
    assert conn is not None
    conn.set_trace_callback(statements.append)

    change(database, FULL.id, status=Status.PENDING, tags=("new",))
    writes = [text for text in statements if text.startswith(("UPDATE", "INSERT", "DELETE"))]

    assert [re.split(r" SET | VALUES | WHERE ", text)[0] for text in writes] == [
        "UPDATE tasks",
        "INSERT OR REPLACE INTO heads (task, revision, text)",
        "DELETE FROM tags",
        "INSERT INTO tags (task, position, tag)",
    ]
    named = [name for name in COLUMNS if re.search(rf"\b{name} = ", writes[0].partition(" WHERE ")[0])]
    assert named == ["revision", "status"]


def test_best_ready_task_is_found_by_a_walk(database: SqliteDatabase, place: Path) -> None:
    """`claim --next` walks pending tasks in rank order and sorts nothing, however many there are."""
    put(database, made("a"))

    plan = plan_of(place, Query(ready=True, limit=1))

    assert plan[0] == "SCAN t USING INDEX tasks_ready"
    assert not [
        step for step in plan if "TEMP B-TREE" in step or (step.startswith("SCAN") and "t " not in step)
    ]


def test_next_page_of_ready_tasks_is_found_by_a_walk(database: SqliteDatabase, place: Path) -> None:
    """A page further on begins its walk at the cursor."""
    put(database, made("a"))

    plan = plan_of(place, Query(ready=True, limit=5, after="a"), (1, NOON, "a"))

    assert plan[0].startswith("SEARCH t USING INDEX tasks_ready")
    assert not [step for step in plan if "TEMP B-TREE" in step]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (Query(assignee="alice", sort="id"), "tasks_assignee"),
        (Query(parent="p", sort="id"), "tasks_parent"),
        (Query(deleted=True), "tasks_deleted"),
        (Query(statuses=("in-progress",), sort="id"), "tasks_status"),
        (Query(path="core", sort="updated"), "tasks_path"),
        (Query(), "tasks_rank"),
    ],
)
def test_filters_have_indexes(database: SqliteDatabase, place: Path, query: Query, index: str) -> None:
    """What a coordinator asks all the time does not read every task."""
    put(database, made("a"))

    plan = plan_of(place, query)

    assert any(index in step for step in plan if " t " in f"{step} "), plan


def test_questions_do_not_grow_with_their_answers(database: SqliteDatabase) -> None:
    """A list of many tasks takes as many statements as a list of one."""
    put(database, *(made(f"t{n}", depends_on=("x",), tags=("a",)) for n in range(50)))
    counts = []
    for limit in (1, 50):
        statements: list[str] = []
        with database.read() as view:
            conn = view._conn  # noqa: SLF001 - the trace is the connection's
            assert conn is not None
            conn.set_trace_callback(statements.append)
            view.tasks(Query(limit=limit))
            conn.set_trace_callback(None)
        counts.append(len(statements))

    assert counts == [4, 4]


def test_log_is_cut_by_a_checkpoint(database: SqliteDatabase, place: Path) -> None:
    """A checkpoint leaves an empty log, and everything in the file."""
    put(database, *(made(f"t{n}") for n in range(100)))

    database.checkpoint()
    size = place.with_name("index.db-wal").stat().st_size

    assert (size, len(found(database))) == (0, 100)


def test_description_is_of_the_file(database: SqliteDatabase, place: Path) -> None:
    """Status tells the kind, the place, the bytes on disk, the log's too, and both versions."""
    put(database, made("a"))
    main, log = (place.with_name(name).stat().st_size for name in ("index.db", "index.db-wal"))

    assert database.describe() == {
        "kind": "sqlite",
        "place": str(place),
        "size": main + log,
        "log": log,
        "schema": VERSION,
        "version": sqlite3.sqlite_version,
    }


def test_newer_index_is_refused(database: SqliteDatabase, place: Path) -> None:
    """An index that a newer taskd wrote is left alone, with a sentence that says what to do."""
    put(database, made("a"))
    database.close()
    with opened(place) as conn:
        conn.execute(f"PRAGMA user_version = {VERSION + 1}")
    again = SqliteDatabase(place)

    with pytest.raises(StoreFailed, match=r"newer taskd.*update taskd"), again.read():
        pass
    with pytest.raises(StoreFailed, match=r"newer taskd.*update taskd"), again.write():
        pass


def test_index_upgraded_under_us_is_refused(database: SqliteDatabase, place: Path) -> None:
    """When a newer taskd upgrades the index while we have it open, we stop using it."""
    put(database, made("a"))
    found(database)
    with opened(place) as conn:
        conn.execute(f"PRAGMA user_version = {VERSION + 1}")

    with pytest.raises(StoreFailed, match="newer taskd"), database.read():
        pass
    with pytest.raises(StoreFailed, match="newer taskd"), database.write():
        pass


def test_other_programs_database_is_left_alone(place: Path) -> None:
    """A SQLite file that is not ours is refused and not changed."""
    place.parent.mkdir()
    with opened(place) as conn:
        conn.execute("CREATE TABLE theirs (x)")
    before = place.read_bytes()

    with pytest.raises(StoreFailed, match="another program"), SqliteDatabase(place).write():
        pass

    assert place.read_bytes() == before


def test_empty_file_becomes_an_index(place: Path) -> None:
    """A file of no bytes, as a crash at the first moment leaves it, is laid out."""
    place.parent.mkdir()
    place.touch()

    with closing(SqliteDatabase(place)) as database:
        put(database, made("a"))
        with opened(place) as conn:
            application = conn.execute("PRAGMA application_id").fetchone()[0]

        assert (found(database), application) == (["a"], APPLICATION)


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 100, b"x", b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_damaged_file_is_told(place: Path, content: bytes) -> None:
    """A file that is no database is a failure of the store with its reason, and stays as it is."""
    place.parent.mkdir()
    place.write_bytes(content)
    database = SqliteDatabase(place)

    with pytest.raises(StoreFailed, match=r"index\.db"), database.read():
        pass
    with pytest.raises(StoreFailed, match=r"index\.db"), database.write():
        pass
    told = database.check()

    assert (len(told), place.read_bytes()) == (1, content)


def test_check_finds_damaged_pages(database: SqliteDatabase, place: Path) -> None:
    """A page overwritten in the middle is found by the check, and said in sentences."""
    put(database, *(made(f"t{n:04}", body="x" * 500) for n in range(300)))
    database.checkpoint()
    database.close()
    data = bytearray(place.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8192] = b"\xa5" * 8192
    place.write_bytes(data)

    with closing(SqliteDatabase(place)) as again:
        assert again.check()


def test_check_finds_orphans_and_drift(database: SqliteDatabase, place: Path) -> None:
    """Rows that belong to nothing and a layout that is not ours are found."""
    put(database, made("a"))
    with opened(place) as conn:
        conn.execute("PRAGMA foreign_keys = OFF")
        conn.execute("INSERT INTO tags VALUES ('nobody', 0, 't')")
        conn.execute("DROP INDEX tasks_due")
        conn.execute("ALTER TABLE meta ADD COLUMN more TEXT")

    told = database.check()

    assert told == [
        "row None of tags belongs to no row of tasks",
        "index tasks_due is missing",
        "table meta is not laid out as it should be",
    ]


def test_missing_table_is_told(database: SqliteDatabase, place: Path) -> None:
    """A table that somebody dropped is a failure of the store, not of sqlite3."""
    put(database, made("a"))
    with opened(place) as conn:
        conn.execute("DROP TABLE notes")

    with pytest.raises(StoreFailed, match="notes"), database.read() as view:
        view.task("a")


def test_removed_file_is_noticed(database: SqliteDatabase, place: Path) -> None:
    """A write into a file that was removed is refused, and no empty index takes its place."""
    put(database, made("a"))
    for path in list(place.parent.iterdir()):
        path.unlink()

    with pytest.raises(StoreFailed, match="removed or replaced"), database.write():
        pass
    with pytest.raises(StoreFailed, match="removed or replaced"), database.read():
        pass

    assert not place.exists()


def test_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A directory that cannot be made is a failure of the store with its reason."""
    (tmp_path / "file").touch()

    with (
        pytest.raises(StoreFailed, match="cannot be made"),
        SqliteDatabase(tmp_path / "file" / "index.db").write(),
    ):
        pass


def test_full_disk_is_told_and_loses_nothing(database: SqliteDatabase) -> None:
    """A write that finds no room fails as a whole with the reason; the next one that fits succeeds."""
    put(database, made("a"))
    database.checkpoint()
    conn = database._writer  # noqa: SLF001 - the limit is the connection's
    assert conn is not None
    pages = conn.execute("PRAGMA page_count").fetchone()[0]
    conn.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreFailed, match="full"), database.write() as txn:
        txn.put(made("b"), None)
        for n in range(1000):
            txn.put(made(f"t{n}", body="x" * 1000), None)
    conn.execute("PRAGMA max_page_count = 1000000")
    put(database, made("c"))

    assert found(database) == ["a", "c"]


def test_swallowed_full_disk_cannot_commit_half(database: SqliteDatabase) -> None:
    """When SQLite undid the write by itself, nothing after that is committed, even if nobody looked."""
    put(database, made("a"))
    with pytest.raises(StoreFailed, match="undone"), database.write() as txn:
        txn.put(made("b"), None)
        conn = database._writer  # noqa: SLF001 - stands for SQLite, which rolls back when the disk fails
        assert conn is not None
        conn.execute("ROLLBACK")
        with pytest.raises(StoreFailed, match="undone"):
            txn.put(made("c"), None)

    assert found(database) == ["a"]


def test_sqlite_utils_is_not_imported_to_work(database: SqliteDatabase, place: Path) -> None:
    """A command on an index that is laid out does not wait for sqlite-utils to be imported."""
    put(database, made("a"))
    program = (
        "import sys; from pathlib import Path; from taskd.core.query import Query;"
        "from taskd.store.sqlite import SqliteDatabase; db = SqliteDatabase(Path(sys.argv[1]));"
        "txn = db.write(); txn.__enter__().live(); txn.__exit__(None, None, None);"
        "view = db.read(); print(len(view.__enter__().tasks(Query())), 'sqlite_utils' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, "-c", program, place], capture_output=True, text=True, check=True, env=environment
    )

    assert done.stdout.split() == ["1", "False"]


def test_every_order_is_known_to_sql(database: TaskDatabase) -> None:
    """No order of the query language is missing here."""
    put(database, made("a"))

    assert [found(database, sort=sort, after="a") for sort in SORTS] == [[] for _ in SORTS]
