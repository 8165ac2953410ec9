"""The promises about one task: stored whole, changed from a known revision, never recycled."""

from __future__ import annotations

from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any

import pytest

from taskd.core.task import (
    Claim,
    ContextItem,
    Feedback,
    Note,
    Participant,
    PrivateNote,
    Status,
    Task,
)
from taskd.errors import BadValue, IdTaken, NotFound, Stale
from taskd.store.base import Base, Conflict, Hold, Intent, Problem, TaskDatabase, Txn, View
from tests.store.samples import FULL, LATER, NOON, change, entry, made, put, stored

RECORDS = ("notes", "participants", "context", "private_notes", "feedback")


class TaskContract:
    """One task, from its first version to its tombstone."""

    def test_s36_every_field_comes_back(self, database: TaskDatabase) -> None:
        """S-36: what a task was given in any field is what is read later."""
        put(database, FULL)

        assert stored(database, FULL.id) == FULL

    def test_sample_leaves_no_field_out(self) -> None:
        """The sample has a value for every field that `put` stores, so none can be forgotten."""
        bare = Task("", "", "")
        same = {each.name for each in fields_of(Task) if getattr(FULL, each.name) == getattr(bare, each.name)}

        assert same == {"deleted_at", *RECORDS}

    @pytest.mark.parametrize("name", sorted({each.name for each in fields_of(Task)} - {"id", *RECORDS}))
    def test_every_field_can_be_changed_alone(self, database: TaskDatabase, name: str) -> None:
        """Changing one field changes that one and no other."""
        plain = made(FULL.id, revision=1)
        value = LATER if name == "deleted_at" else getattr(FULL, name)
        fields: dict[str, Any] = {"revision": 2} | {name: value}
        new = replace(plain, **fields)
        put(database, plain)

        with database.write() as txn:
            txn.put(new, plain)

        assert stored(database, FULL.id) == new

    @pytest.mark.parametrize("name", sorted({each.name for each in fields_of(Task)} - {"id", *RECORDS}))
    def test_every_field_can_be_taken_back(self, database: TaskDatabase, name: str) -> None:
        """A field set back to nothing is nothing."""
        full = replace(FULL, revision=1)
        fields: dict[str, Any] = {"revision": 2} | {name: getattr(made(FULL.id), name)}
        new = replace(full, **fields)
        put(database, full)

        with database.write() as txn:
            txn.put(new, full)

        assert stored(database, FULL.id) == new

    def test_unknown_task_is_none(self, database: TaskDatabase) -> None:
        """Asking for an id nobody has gives None, not an error."""
        assert stored(database, "nobody") is None

    def test_unknown_enum_word_is_kept(self, database: TaskDatabase) -> None:
        """A priority we do not know is kept as written."""
        task = made("a", priority="urgent!!", risk="Hög")
        put(database, task)

        assert stored(database, "a") == task

    def test_extra_keeps_the_order_of_its_keys(self, database: TaskDatabase) -> None:
        """Unknown keys come back in the order they were written in."""
        put(database, made("a", extra={"z": "1", "a": "2", "m": "3"}))

        task = stored(database, "a")

        assert task is not None
        assert list(task.extra) == ["z", "a", "m"]

    def test_put_fails_on_a_stale_revision(self, database: TaskDatabase) -> None:
        """A change that was made from an old revision is refused and changes nothing."""
        old = made("a")
        put(database, old)
        newer = change(database, "a", name="theirs")

        with pytest.raises(Stale), database.write() as txn:
            txn.put(replace(old, name="ours", revision=2), old)

        assert stored(database, "a") == newer

    def test_put_fails_without_the_task(self, database: TaskDatabase) -> None:
        """An update of a task that is not there is stale, not an insert."""
        with pytest.raises(Stale), database.write() as txn:
            txn.put(made("a", revision=2), made("a"))

        assert stored(database, "a") is None

    def test_put_cannot_rename(self, database: TaskDatabase) -> None:
        """Another id is a rename, which `put` refuses to be."""
        put(database, made("a"))

        with pytest.raises(ValueError, match="rename"), database.write() as txn:
            txn.put(made("b", revision=2), made("a"))

        assert stored(database, "b") is None

    def test_put_ignores_records(self, database: TaskDatabase) -> None:
        """Notes are appended, never replaced: a put with other notes leaves those that are there."""
        put(database, made("a", notes=(Note(NOON, "eve", "ignored"),)))
        note = Note(NOON, "alice", "kept")
        with database.write() as txn:
            txn.add_note("a", note)

        change(database, "a", notes=(), name="new")
        task = stored(database, "a")

        assert task is not None
        assert task.notes == (note,)

    def test_id_is_taken_by_a_task(self, database: TaskDatabase) -> None:
        """Two tasks cannot have one id."""
        put(database, made("a"))

        with pytest.raises(IdTaken), database.write() as txn:
            txn.put(made("a"), None)

    def test_id_is_taken_by_a_tombstone(self, database: TaskDatabase) -> None:
        """S-09: the id of a deleted task is never handed out again."""
        put(database, made("a"))
        change(database, "a", deleted_at=LATER)

        with pytest.raises(IdTaken), database.write() as txn:
            txn.put(made("a"), None)

    def test_id_is_taken_by_an_alias(self, database: TaskDatabase) -> None:
        """The former id of a renamed task is never handed out again."""
        put(database, made("a"))
        with database.write() as txn:
            txn.rename("a", "b")

        with pytest.raises(IdTaken), database.write() as txn:
            txn.put(made("a"), None)

    def test_taken_knows_every_name_ever_used(self, database: TaskDatabase) -> None:
        """Tasks, tombstones and aliases are taken; everything else is free."""
        put(database, made("live"), made("dead"), made("old"))
        change(database, "dead", deleted_at=LATER)
        with database.write() as txn:
            txn.rename("old", "new")

        with database.read() as view:
            taken = view.taken(["live", "dead", "old", "new", "free"])

        assert taken == {"live", "dead", "old", "new"}

    @pytest.mark.parametrize("hours", [float("nan"), float("inf"), float("-inf")])
    def test_hours_that_are_no_number_are_refused(self, database: TaskDatabase, hours: float) -> None:
        """NaN is refused by name instead of becoming nothing."""
        with pytest.raises(BadValue, match="estimate"), database.write() as txn:
            txn.put(made("a", estimate=hours), None)

        assert stored(database, "a") is None

    @pytest.mark.parametrize("where", ["name", "body", "file", "extra", "tags", "depends_on"])
    def test_lone_surrogates_are_refused(self, database: TaskDatabase, where: str) -> None:
        """Half a character is refused with a sentence about it."""
        value = {"extra": {"k": "\ud800"}, "tags": ("\ud800",), "depends_on": ("\ud800",)}.get(
            where, "x\ud800"
        )

        with pytest.raises(BadValue, match="lone surrogate"), database.write() as txn:
            txn.put(made("a", **{where: value}), None)

        assert stored(database, "a") is None

    def test_extra_refuses_nan(self, database: TaskDatabase) -> None:
        """A number JSON does not have is refused, not written."""
        with pytest.raises(BadValue), database.write() as txn:
            txn.put(made("a", extra={"k": float("nan")}), None)

    def test_numbers_beyond_64_bits_are_refused(self, database: TaskDatabase) -> None:
        """A fence no store can hold is refused by name."""
        with pytest.raises(BadValue, match="64 bits"), database.write() as txn:
            txn.put(made("a", fence=2**63), None)

    def test_tombstone_leaves_no_orphans(self, database: TaskDatabase) -> None:
        """S-12: deleting takes edges, claim, records and conflicts of the task along."""
        put(database, made("a", depends_on=("b",), claim=Claim("alice", "s", "w", 1, NOON, LATER)), made("b"))
        with database.write() as txn:
            _hang_everything_on("a", txn)
            txn.put_conflict(Conflict("a", "name", "w", "b", "i", "f", NOON))

        change(database, "a", deleted_at=LATER, status=Status.PENDING)
        with database.read() as view:
            left = (view.task("a"), view.dependents(["b"]), view.conflicts(), view.lapsed())

        tombstone = made("a", revision=2, deleted_at=LATER)
        assert left == (tombstone, {"b": ()}, [], [])

    def test_tombstone_keeps_history(self, database: TaskDatabase) -> None:
        """Deleting keeps the versions, the journal and the texts, so that restoring is possible."""
        put(database, made("a", text="t1"))
        with database.write() as txn:
            kept = txn.keep(b"text")
            txn.record([entry("a")])

        change(database, "a", deleted_at=LATER)
        with database.read() as view:
            left = (view.head("a", 1), view.known("a", "t1"), len(view.journal("a")), view.text(kept))

        assert left == ("t1", True, 1, b"text")

    def test_edges_to_a_tombstone_dangle(self, database: TaskDatabase) -> None:
        """Who depended on a deleted task still says so."""
        put(database, made("a"), made("b", depends_on=("a",)))

        change(database, "a", deleted_at=LATER)
        task = stored(database, "b")

        assert task is not None
        assert task.depends_on == ("a",)

    def test_tombstone_can_be_lifted(self, database: TaskDatabase) -> None:
        """A restored task has the edges and claim it is restored with."""
        whole = made("a", depends_on=("b", "c"), tags=("t",))
        put(database, whole)
        dead = replace(whole, deleted_at=LATER, revision=2)
        back = replace(whole, revision=3)
        with database.write() as txn:
            txn.put(dead, whole)

        with database.write() as txn:
            txn.put(back, dead)

        assert stored(database, "a") == back

    def test_text_that_was_heard_is_known(self, database: TaskDatabase) -> None:
        """What a replica said is a version of its task too, once, and stays one when the task is renamed."""
        with database.write() as txn:
            txn.put(made("a", text="t1"), None)
            for _ in range(2):
                txn.hear("a", "t0")
            txn.rename("a", "b")

        with database.read() as view:
            assert (view.versions("b"), view.known("b", "t0"), view.known("b", "t2")) == (
                ["t0", "t1"],
                True,
                False,
            )

    def test_version_is_known_by_revision_and_text(self, database: TaskDatabase) -> None:
        """Every version the head ever had is known, and no other."""
        put(database, made("a", text="t1"), made("b", text="other"))
        change(database, "a", text="t2")
        change(database, "a", status=Status.IN_PROGRESS)

        with database.read() as view:
            heads = [view.head("a", revision) for revision in (0, 1, 2, 3, 4)]
            known = [view.known("a", text) for text in ("t1", "t2", "other")]

        assert (heads, known) == ([None, "t1", "t2", "t2", None], [True, True, False])

    def test_text_is_kept_once_under_its_hash(self, database: TaskDatabase) -> None:
        """Bytes come back as they were given, whatever they are."""
        data = bytes(range(256))
        with database.write() as txn:
            names = {txn.keep(data), txn.keep(data)}

        with database.read() as view:
            texts = [view.text(name) for name in names]

        assert texts == [data]

    def test_text_never_kept_is_a_key_error(self, database: TaskDatabase) -> None:
        """Asking for a text nobody kept is told apart from an empty text."""
        with database.write() as txn:
            empty = txn.keep(b"")

        with database.read() as view:
            kept = view.text(empty)
            with pytest.raises(KeyError):
                view.text("0" * 40)

        assert kept == b""

    def test_many_gives_tasks_without_records(self, database: TaskDatabase) -> None:
        """Several tasks at once come with sets and claim, without records; unknown ids are left out."""
        put(database, FULL, made("dead"))
        change(database, "dead", deleted_at=LATER)
        with database.write() as txn:
            txn.add_note(FULL.id, Note(NOON, "alice", "left out"))

        with database.read() as view:
            many = view.many([FULL.id, "dead", "nobody", FULL.id])

        assert many == {FULL.id: FULL, "dead": made("dead", revision=2, deleted_at=LATER)}

    def test_many_whole(self, database: TaskDatabase) -> None:
        """Several tasks at once, asked for whole, are what they are one by one: records and all."""
        for id in ("a", "b", "c"):
            put(database, made(id))
        with database.write() as txn:
            for id, text in (("b", "first"), ("a", "second"), ("b", "third")):
                txn.add_note(id, Note(NOON, "alice", text))

        with database.read() as view:
            assert view.many(["b", "a", "c"], whole=True) == {id: view.task(id) for id in ("a", "b", "c")}
            assert [note.text for note in view.many(["b"], whole=True)["b"].notes] == ["first", "third"]

    def test_rename_takes_everything_along(self, database: TaskDatabase) -> None:
        """A renamed task has all it had, and all that named it names the new id."""
        task = replace(FULL, id="a", depends_on=("a", "x"), archived_at=None)
        put(database, task, made("b", depends_on=("x", "a", "y"), parent="a"))
        with database.write() as txn:
            _hang_everything_on("a", txn)
            before = txn.task("a")
            _name_everywhere("a", txn)
            txn.rename("a", "new")

        with database.read() as view:
            after, other = view.task("new"), view.task("b")
            gone, names = view.task("a"), _names_everywhere(view)
            history = [view.known("new", task.text), len(view.journal("new")), len(view.journal("a"))]

        assert before is not None
        assert other is not None
        assert after == replace(before, id="new", depends_on=("new", "x"))
        assert (other.depends_on, other.parent, gone) == (("x", "new", "y"), "new", None)
        assert (names, history) == ({"new"}, [True, 1, 1])

    def test_rename_joins_edges(self, database: TaskDatabase) -> None:
        """Who depended on the old and on the new name depends on it once."""
        put(database, made("a"), made("b", depends_on=("x", "a", "new")))

        with database.write() as txn:
            txn.rename("a", "new")
        task = stored(database, "b")

        assert task is not None
        assert task.depends_on == ("x", "new")

    def test_rename_refuses_a_taken_id(self, database: TaskDatabase) -> None:
        """A rename cannot take the id of a task, a tombstone or another's former name."""
        put(database, made("a"), made("live"), made("dead"), made("old"))
        change(database, "dead", deleted_at=LATER)
        with database.write() as txn:
            txn.rename("old", "renamed")

        for id in ("live", "dead", "old", "renamed"):
            with pytest.raises(IdTaken), database.write() as txn:
                txn.rename("a", id)

        assert stored(database, "a") == made("a")

    def test_rename_back_is_possible(self, database: TaskDatabase) -> None:
        """A task may take back a name it had before."""
        put(database, made("a"))
        with database.write() as txn:
            txn.rename("a", "b")
            txn.rename("b", "a")

        with database.read() as view:
            assert (view.live(), view.resolve("b")) == (["a"], ["a"])

    def test_rename_of_nobody_is_not_found(self, database: TaskDatabase) -> None:
        """Renaming a task that is not there says so."""
        with pytest.raises(NotFound), database.write() as txn:
            txn.rename("nobody", "b")

    def test_rename_to_itself_changes_nothing(self, database: TaskDatabase) -> None:
        """A task renamed to its own id is the same, and has no alias."""
        put(database, made("a"))

        with database.write() as txn:
            txn.rename("a", "a")

        assert stored(database, "a") == made("a")


def _hang_everything_on(id: str, txn: Txn) -> None:
    """Give a task one record of each kind."""
    txn.add_note(id, Note(NOON, "alice", "n"))
    txn.add_private_note(id, PrivateNote(NOON, "alice", "p"))
    txn.add_feedback(id, Feedback(NOON, "alice", 5, 4, "f"))
    txn.put_participant(id, Participant("alice", "author", NOON))
    txn.put_context(id, ContextItem("k", "v", NOON, "alice"))


def _name_everywhere(id: str, txn: Txn) -> None:
    """Name a task in everything that is not its own."""
    txn.record([entry(id)])
    txn.put_base(Base("w", "p.md", id, "t", None))
    txn.open_intent(Intent("w", "p.md", id, None, None, NOON))
    txn.put_conflict(Conflict(id, "name", "w", None, None, "f", NOON))
    txn.put_problems("w", "p.md", [Problem("w", "p.md", 1, "r", "m", id)])
    txn.put_hold(Hold("w", (id,), "r", NOON))
    txn.enqueue("branch", [id])


def _names_everywhere(view: View) -> set[str | None]:
    """The ids in everything `_name_everywhere` writes except the journal, which keeps the old name."""
    rows = (view.bases("w"), view.bases_of("new"), view.intents(), view.conflicts("new"), view.problems())
    assert all(len(found) == 1 for found in rows)
    named = {row.task for found in rows for row in (*found, *view.errands("branch"))}
    return named | set(view.holds()[0].tasks)
