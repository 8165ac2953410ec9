"""The promises about edges, parents and names."""

from __future__ import annotations

import pytest

from taskd.core.task import Status
from taskd.store.base import TaskDatabase
from tests.store.samples import LATER, NOON, change, made, put

DONE = Status.COMPLETED


class GraphContract:
    """What depends on what, and who is meant by a name."""

    def test_blockers_are_what_is_not_completed(self, database: TaskDatabase) -> None:
        """Unfinished, failed, deleted and unknown dependencies block, in the order they were written."""
        edges = ("zz", "failed", "done", "nobody", "dead", "aa", "filed", "filed-open")
        put(
            database,
            made("a", depends_on=edges),
            made("zz"),
            made("aa", status=Status.IN_PROGRESS),
            made("failed", status=Status.FAILED),
            made("done", status=DONE),
            made("dead", status=DONE, deleted_at=LATER),
            made("filed", status=DONE, archived_at=LATER),
            made("filed-open", archived_at=LATER),
        )

        with database.read() as view:
            blockers = view.blockers(["a"])

        assert blockers == {"a": ("zz", "failed", "nobody", "dead", "aa", "filed-open")}

    def test_blockers_has_a_key_for_every_id(self, database: TaskDatabase) -> None:
        """Whoever is asked about is in the answer, blocked or not, known or not."""
        put(database, made("a"), made("b", depends_on=("a",)))

        with database.read() as view:
            blockers = view.blockers(["b", "a", "nobody"])

        assert blockers == {"b": ("a",), "a": (), "nobody": ()}

    def test_dangling_edge_heals(self, database: TaskDatabase) -> None:
        """A dependency on a task that comes later is met when that one is completed."""
        put(database, made("a", depends_on=("later",)))
        put(database, made("later", status=DONE))

        with database.read() as view:
            assert view.blockers(["a"]) == {"a": ()}

    def test_alias_stands_for_its_task(self, database: TaskDatabase) -> None:
        """An edge, a parent or a question under a former name means the renamed task."""
        put(database, made("old"))
        with database.write() as txn:
            txn.rename("old", "new")
        put(database, made("a", depends_on=("old",), parent="old"), made("b", depends_on=("new",)))

        with database.read() as view:
            before = (view.blockers(["a"]), view.dependents(["old", "new"]), view.children("old"))
            walks = (view.reaches("a", "new"), view.reaches("b", "old"), view.reaches("old", "new"))
        change(database, "new", status=DONE)
        with database.read() as view:
            after = view.blockers(["a"])

        dependents = {"old": ("a", "b"), "new": ("a", "b")}
        assert before == ({"a": ("old",)}, dependents, ("a",))
        assert (walks, after) == ((True, True, True), {"a": ()})

    def test_dependents_are_live_and_sorted(self, database: TaskDatabase) -> None:
        """Deleted and archived tasks are nobody's dependents; a missing task has its own."""
        put(
            database,
            made("z", depends_on=("x", "nobody")),
            made("a", depends_on=("x",)),
            made("dead", depends_on=("x",), deleted_at=LATER),
            made("filed", depends_on=("x",), archived_at=LATER),
            made("x"),
        )

        with database.read() as view:
            dependents = view.dependents(["x", "nobody", "a"])

        assert dependents == {"x": ("a", "z"), "nobody": ("z",), "a": ()}

    def test_children_are_live_and_sorted(self, database: TaskDatabase) -> None:
        """The children of a task are the live ones that name it as parent."""
        put(
            database,
            made("z", parent="p"),
            made("a", parent="p"),
            made("dead", parent="p", deleted_at=LATER),
            made("b", parent="other"),
        )

        with database.read() as view:
            assert view.children("p") == ("a", "z")

    @pytest.mark.parametrize(
        ("start", "goal", "expected"),
        [
            ("a", "a", True),
            ("a", "d", True),
            ("d", "a", False),
            ("a", "nobody", True),
            ("nobody", "a", False),
            ("nobody", "nobody", True),
            ("ring1", "ring3", True),
            ("ring1", "a", False),
            ("self", "a", False),
        ],
    )
    def test_reaches(self, database: TaskDatabase, start: str, goal: str, *, expected: bool) -> None:
        """Whether one task waits for another in the end; rings that are there already do no harm."""
        put(
            database,
            made("a", depends_on=("b", "c")),
            made("b", depends_on=("d",)),
            made("c", depends_on=("d", "nobody")),
            made("d"),
            made("ring1", depends_on=("ring2",)),
            made("ring2", depends_on=("ring3",)),
            made("ring3", depends_on=("ring1", "ring2")),
            made("self", depends_on=("self",)),
        )

        with database.read() as view:
            assert view.reaches(start, goal) is expected

    def test_reaches_along_a_long_chain(self, database: TaskDatabase) -> None:
        """A thousand tasks in a row are no problem of depth."""
        put(database, *(made(f"t{n}", depends_on=(f"t{n + 1}",)) for n in range(1000)))

        with database.read() as view:
            assert (view.reaches("t0", "t1000"), view.reaches("t1000", "t0")) == (True, False)

    def test_resolve_prefers_the_exact_name(self, database: TaskDatabase) -> None:
        """An id, then an alias, then a beginning: the first that fits is meant."""
        put(database, made("auth"), made("auth-setup"), made("auth-old"), made("b"))
        with database.write() as txn:
            txn.rename("auth-old", "login")

        with database.read() as view:
            answers = [view.resolve(word) for word in ("auth", "auth-old", "auth-", "a", "none", "")]

        every = ["auth", "auth-setup", "b", "login"]
        assert answers == [["auth"], ["login"], ["auth-setup"], ["auth", "auth-setup"], [], every]

    def test_resolve_stops_at_a_name_that_is_taken(self, database: TaskDatabase) -> None:
        """The id of a deleted task never means another one that only begins like it."""
        put(database, made("auth"), made("auth-setup"), made("filed"))
        change(database, "auth", deleted_at=LATER)
        change(database, "filed", archived_at=LATER)

        with database.read() as view:
            assert [view.resolve(word) for word in ("auth", "filed", "aut")] == [[], [], ["auth-setup"]]

    def test_resolve_takes_signs_literally(self, database: TaskDatabase) -> None:
        """A percent sign or underscore in a beginning is itself."""
        put(database, made("a_b"), made("axb"), made("a.b"))

        with database.read() as view:
            assert [view.resolve(word) for word in ("a_", "a%", "a.")] == [["a_b"], [], ["a.b"]]

    def test_resolve_stops_at_its_limit(self, database: TaskDatabase) -> None:
        """No more candidates than asked for."""
        put(database, *(made(f"t{n}", created_at=NOON) for n in range(20)))

        with database.read() as view:
            assert [len(view.resolve("t")), len(view.resolve("t", 3)), view.resolve("t5", 0)] == [10, 3, []]
