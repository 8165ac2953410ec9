"""The promises about finding tasks: every filter, every order, cursors."""

from __future__ import annotations

from collections import Counter

import pytest

from taskd.core.query import SORTS, Query
from taskd.core.task import Claim, Note, Status, Task
from taskd.errors import BadValue, NotFound
from taskd.store.base import TaskDatabase
from tests.store.samples import FULL, LATER, NOON, Clock, change, found, made, put

ASSESSED = {"scope": "single", "risk": "low", "impact": "phase", "level": "review"}


def claim(holder: str, expires: str = LATER) -> Claim:
    """A claim."""
    return Claim(holder, "s", "w", 1, NOON, expires)


class QueryContract:
    """Which tasks are found, and in which order."""

    def test_empty_query_finds_every_live_task(self, database: TaskDatabase) -> None:
        """Deleted and archived tasks are not listed."""
        put(database, made("b"), made("a"), made("d", deleted_at=LATER), made("c", archived_at=LATER))

        assert found(database) == ["a", "b"]

    def test_tasks_come_with_sets_and_claim(self, database: TaskDatabase) -> None:
        """A list has everything of each task but its records."""
        tasks = [made("a", depends_on=("x",), tags=("t",), claim=claim("alice")), made("b"), made("c")]
        put(database, *tasks)
        with database.write() as txn:
            txn.add_note("a", Note(NOON, "alice", "left out"))

        with database.read() as view:
            assert view.tasks(Query()) == tasks

    def test_deleted_finds_tombstones_only(self, database: TaskDatabase) -> None:
        """What was deleted can be listed, archived or not, and only that."""
        put(database, made("a"), made("b"), made("c"), made("d"))
        change(database, "b", deleted_at=LATER)
        change(database, "c", archived_at=LATER)
        change(database, "d", archived_at=LATER, deleted_at=LATER)

        assert (found(database, deleted=True), found(database, deleted=True, ready=True)) == (["b", "d"],) * 2

    @pytest.mark.parametrize(
        ("statuses", "expected"),
        [
            (("pending",), ["free"]),
            (("blocked",), ["byhand", "waits"]),
            (("pending", "blocked"), ["byhand", "free", "waits"]),
            (("completed", "failed"), ["done", "failed"]),
            (("in-progress",), ["doing"]),
            ((Status.BLOCKED, Status.IN_PROGRESS), ["byhand", "doing", "waits"]),
            (("nonsense",), []),
        ],
    )
    def test_statuses_are_effective(
        self, database: TaskDatabase, statuses: tuple[str, ...], expected: list[str]
    ) -> None:
        """A pending task that waits for another is found as blocked, and not as pending."""
        put(
            database,
            made("free", depends_on=("done",)),
            made("waits", depends_on=("doing",)),
            made("byhand", status=Status.BLOCKED),
            made("done", status=Status.COMPLETED, depends_on=("doing",)),
            made("failed", status=Status.FAILED),
            made("doing", status=Status.IN_PROGRESS, depends_on=("failed",)),
        )

        assert found(database, statuses=statuses, sort="id") == expected

    def test_ready_is_pending_free_and_unblocked(self, database: TaskDatabase) -> None:
        """Only what can be claimed now is ready; a lapsed claim does not count."""
        put(
            database,
            made("ready"),
            made("met", depends_on=("done",)),
            made("lapsed", claim=claim("alice", NOON)),
            made("held", claim=claim("alice")),
            made("waits", depends_on=("ready",)),
            made("dangles", depends_on=("nobody",)),
            made("done", status=Status.COMPLETED),
            made("doing", status=Status.IN_PROGRESS),
            made("filed", archived_at=LATER),
        )

        assert found(database, ready=True, sort="id") == ["lapsed", "met", "ready"]

    def test_claims_lapse_by_the_clock(self, database: TaskDatabase, clock: Clock) -> None:
        """At the moment a claim expires it is over, and not a millisecond before."""
        put(database, made("a", claim=claim("alice")))

        answers = []
        for clock.now in (NOON, "2026-03-01T12:14:59.999Z", LATER):
            with database.read() as view:
                held = [task.id for task in view.tasks(Query(holder="alice"))]
                ready = [task.id for task in view.tasks(Query(ready=True))]
                answers.append((held, ready, view.lapsed()))

        assert answers == [(["a"], [], []), (["a"], [], []), ([], ["a"], ["a"])]

    def test_holder_finds_only_their_live_claims(self, database: TaskDatabase) -> None:
        """What I hold, not what others hold or what I held."""
        put(
            database,
            made("mine", claim=claim("alice")),
            made("lapsed", claim=claim("alice", NOON)),
            made("theirs", claim=claim("bob")),
        )

        assert (found(database, holder="alice"), found(database, holder="eve")) == (["mine"], [])

    def test_lapsed_and_live_list_live_tasks(self, database: TaskDatabase) -> None:
        """Both lists leave out what is archived, and are sorted."""
        over = claim("alice", NOON)
        put(database, made("b", claim=over), made("a", claim=over), made("c", claim=over, archived_at=LATER))

        with database.read() as view:
            assert (view.lapsed(), view.live()) == (["a", "b"], ["a", "b"])

    def test_tags_must_all_be_there(self, database: TaskDatabase) -> None:
        """Two tags narrow a list, they do not widen it."""
        put(database, made("a", tags=("x", "y")), made("b", tags=("x",)), made("c", tags=("xy",)))

        answers = [found(database, tags=tags) for tags in (("x",), ("x", "y"), ("y", "x"), ("X",))]

        assert answers == [["a", "b"], ["a"], ["a"], []]

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("core", ["deep", "in"]),
            ("core/auth", ["deep"]),
            ("core/", ["deep", "in"]),
            ("cor", []),
            ("c_re", ["literal"]),
            ("c%", []),
            ("", ["beside", "deep", "in", "literal", "top"]),
        ],
    )
    def test_path_matches_the_directory_and_below(
        self, database: TaskDatabase, path: str, expected: list[str]
    ) -> None:
        """A path is a directory, not the beginning of a word or a pattern."""
        put(
            database,
            made("top"),
            made("in", file="core/in.md"),
            made("deep", file="core/auth/deep.md"),
            made("beside", file="core-x/beside.md"),
            made("literal", file="c_re/literal.md"),
        )

        assert found(database, path=path) == expected

    def test_plain_filters(self, database: TaskDatabase) -> None:
        """Assignee and parent are exact, one of the priorities is enough."""
        put(
            database,
            made("a", assignee="alice", parent="p", priority="high"),
            made("b", assignee="Alice", parent="q", priority="low"),
            made("c"),
        )

        answers = [
            found(database, assignee="alice"),
            found(database, parent="q"),
            found(database, priorities=("low", "high")),
            found(database, priorities=("critical",)),
            found(database, assignee="alice", parent="q"),
        ]

        assert answers == [["a"], ["b"], ["a", "b"], [], []]

    def test_unassessed_lacks_some_assessment(self, database: TaskDatabase) -> None:
        """One of the four assessments missing is enough to be listed."""
        put(database, made("full", **ASSESSED), *(made(name, **ASSESSED | {name: None}) for name in ASSESSED))

        assert found(database, unassessed=True, sort="id") == ["impact", "level", "risk", "scope"]

    @pytest.mark.parametrize(
        ("search", "expected"),
        [
            ("login", ["body", "name", "note", "tag"]),
            ("LOGIN", ["body", "name", "note", "tag"]),
            ("log fix", ["name"]),
            ("fix log", ["name"]),
            ("100%", ["signs"]),
            ("_", ["signs"]),
            ("ÜBER", ["body"]),
            ("straße", ["name"]),
            ("gone", []),
            ("   ", ["body", "name", "note", "signs", "tag"]),
        ],
    )
    def test_search_finds_every_word(self, database: TaskDatabase, search: str, expected: list[str]) -> None:
        """Each word must occur somewhere in name, body, tags or notes, whatever its case."""
        put(
            database,
            made("name", name="Fix the Login STRASSE"),
            made("body", body="the login page\nüber"),
            made("tag", tags=("x", "Login")),
            made("note"),
            made("signs", body="100% of _ and"),
        )
        with database.write() as txn:
            txn.add_note("note", Note(NOON, "alice", "seen at LOGIN"))
            txn.add_note("signs", Note(NOON, "alice", "nothing"))

        assert found(database, search=search, sort="id") == expected

    def test_filters_all_hold(self, database: TaskDatabase) -> None:
        """Every filter given must hold."""
        put(database, FULL, made("other", tags=FULL.tags))
        change(database, FULL.id, archived_at=None)
        every = Query(
            statuses=("failed",), tags=("z",), assignee="alice", path="core", priorities=("critical",),
            parent="epic", holder="alice", search="body set", sort="due", limit=5,
        )  # fmt: skip

        with database.read() as view:
            assert [task.id for task in view.tasks(every)] == [FULL.id]

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("rank", ["crit", "high-a", "high-b", "high-new", "low", "odd", "none"]),
            ("id", ["crit", "high-a", "high-b", "high-new", "low", "none", "odd"]),
            ("name", ["low", "none", "crit", "high-a", "high-b", "high-new", "odd"]),
            ("created", ["odd", "crit", "high-a", "high-b", "low", "none", "high-new"]),
            ("updated", ["none", "crit", "high-a", "high-b", "high-new", "low", "odd"]),
            ("priority", ["crit", "high-a", "high-b", "high-new", "low", "odd", "none"]),
            ("due", ["low", "crit", "high-a", "high-b", "high-new", "none", "odd"]),
            ("status", ["odd", "crit", "high-a", "high-new", "low", "none", "high-b"]),
        ],
    )
    def test_sorts(self, database: TaskDatabase, sort: str, expected: list[str]) -> None:
        """Every order is total: what is equal stands by id."""
        put(
            database,
            made("none", updated_at=LATER, name="b"),
            made("low", priority="low", due="2026-01-01", name="A"),
            made("high-b", priority="high", name="c", depends_on=("crit",)),
            made("high-a", priority="high", name="c"),
            made("high-new", priority="high", created_at=LATER, name="c"),
            made("crit", priority="critical", due="2026-01-02", name="C"),
            made("odd", priority="urgent", created="2025-01-01", name="ü", status=Status.IN_PROGRESS),
        )

        assert found(database, sort=sort) == expected

    @pytest.mark.parametrize("sort", SORTS)
    def test_cursor_continues_where_a_page_ended(self, database: TaskDatabase, sort: str) -> None:
        """Pages put one after the other are the whole list, each task once."""
        put(database, *(_various(n) for n in range(11)))
        whole = found(database, sort=sort)

        pages: list[str] = []
        while page := found(database, sort=sort, limit=3, after=pages[-1] if pages else None):
            pages += page

        assert (pages, Counter(pages).most_common(1)[0][1]) == (whole, 1)

    def test_cursor_may_be_gone(self, database: TaskDatabase) -> None:
        """A page can be continued though its last task was deleted, renamed or does not match any more."""
        put(database, made("a"), made("b"), made("c"), made("d"))
        change(database, "b", deleted_at=LATER)
        with database.write() as txn:
            txn.rename("c", "bb")

        answers = [found(database, sort="id", after=id) for id in ("b", "c", "d")]

        assert answers == [["bb", "d"], ["d"], []]

    def test_unknown_cursor_is_not_found(self, database: TaskDatabase) -> None:
        """A cursor nobody ever had is an error, not an empty page."""
        with database.read() as view, pytest.raises(NotFound):
            view.tasks(Query(after="nobody"))

    def test_unknown_sort_is_refused(self, database: TaskDatabase) -> None:
        """An order that does not exist is refused with those that do."""
        with database.read() as view, pytest.raises(BadValue, match="rank"):
            view.tasks(Query(sort="colour"))

    def test_limit_cuts(self, database: TaskDatabase) -> None:
        """No more than asked for, the first ones; none if none are asked for."""
        put(database, made("a"), made("b"), made("c"))

        answers = [found(database, limit=limit) for limit in (0, 2, 9, None)]

        assert answers == [[], ["a", "b"], ["a", "b", "c"], ["a", "b", "c"]]

    def test_count_is_by_stored_status(self, database: TaskDatabase) -> None:
        """Live tasks are counted, a status without tasks as zero."""
        put(
            database,
            made("a", depends_on=("b",)),
            made("b"),
            made("c", status=Status.FAILED),
            made("d", deleted_at=LATER),
            made("e", archived_at=LATER),
        )

        with database.read() as view:
            assert view.count() == {
                Status.PENDING: 2,
                Status.IN_PROGRESS: 0,
                Status.COMPLETED: 0,
                Status.FAILED: 1,
                Status.BLOCKED: 0,
            }


def _various(n: int) -> Task:
    """Tasks that share some values with others in every order."""
    return made(
        f"t{n:02}",
        name="aAbB"[n % 4],
        priority=("high", "low", None)[n % 3],
        due=(None, "2026-01-01", "2026-01-02")[n % 3],
        created=(None, "2025-01-01")[n % 2],
        updated_at=(NOON, LATER)[n % 2],
        status=tuple(Status)[n % 5],
        depends_on=("t00",) if n % 4 else (),
    )
