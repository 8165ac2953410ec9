"""The promises about everything that is not the task itself: records, journal, replicas, queues, settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskd.core.task import ContextItem, Feedback, Note, Participant, PrivateNote
from taskd.errors import BadValue, NotFound
from taskd.store.base import (
    Base,
    Conflict,
    Errand,
    Hold,
    Intent,
    Problem,
    Stamp,
    TaskDatabase,
    Txn,
    WorktreeRow,
)
from tests.store.samples import LATER, NOON, Clock, entry, made, put, stored

JSON = {"a": [1, 2.5, None, True, "ü"], "b": {"c": []}}


class RecordContract:
    """Rows of every other kind."""

    def test_s36_records_come_back(self, database: TaskDatabase) -> None:
        """S-36: notes, private notes and feedback come back whole and in the order they were added."""
        notes = tuple(Note(at, "bob", f"ü\n{at}") for at in (LATER, NOON))
        private = tuple(PrivateNote(at, "bob", f"p{at}") for at in (LATER, NOON))
        feedback = tuple(Feedback(at, "bob", 1, 5, f"f{at}") for at in (LATER, NOON))
        put(database, made("a"))
        with database.write() as txn:
            for n in (0, 1):
                txn.add_note("a", notes[n])
                txn.add_private_note("a", private[n])
                txn.add_feedback("a", feedback[n])

        assert stored(database, "a") == made("a", notes=notes, private_notes=private, feedback=feedback)

    def test_participant_can_change_role(self, database: TaskDatabase) -> None:
        """A participant is there once, with the last role and the first time, in order of joining."""
        put(database, made("a"))
        with database.write() as txn:
            txn.put_participant("a", Participant("zoe", "reader", NOON))
            txn.put_participant("a", Participant("al", "reader", LATER))
            txn.put_participant("a", Participant("zoe", "author", LATER))
        task = stored(database, "a")

        assert task is not None
        assert task.participants == (Participant("zoe", "author", NOON), Participant("al", "reader", LATER))

    def test_context_key_is_replaced(self, database: TaskDatabase) -> None:
        """A shared key has one value, the last; keys are sorted."""
        put(database, made("a"))
        last = ContextItem("k", "2", LATER, "bob")
        with database.write() as txn:
            txn.put_context("a", ContextItem("z", "1", NOON, "alice"))
            txn.put_context("a", ContextItem("k", "1", NOON, "alice"))
            txn.put_context("a", last)
        task = stored(database, "a")

        assert task is not None
        assert task.context == (last, ContextItem("z", "1", NOON, "alice"))

    @pytest.mark.parametrize("kind", range(5))
    def test_record_of_nobody_is_not_found(self, database: TaskDatabase, kind: int) -> None:
        """A record for a task that is not there is refused, not kept as an orphan."""

        def add(txn: Txn) -> None:
            (
                lambda: txn.add_note("nobody", Note(NOON, "a", "t")),
                lambda: txn.add_private_note("nobody", PrivateNote(NOON, "a", "t")),
                lambda: txn.add_feedback("nobody", Feedback(NOON, "a", 1, 1, "t")),
                lambda: txn.put_participant("nobody", Participant("a", "r", NOON)),
                lambda: txn.put_context("nobody", ContextItem("k", "v", NOON, "a")),
            )[kind]()

        with pytest.raises(NotFound), database.write() as txn:
            add(txn)

    def test_journal_comes_back_numbered(self, database: TaskDatabase) -> None:
        """S-36: an entry comes back whole, with any JSON value as old and new."""
        values: tuple[object, ...] = (None, "", "x", 0, 1.5, False, [], {}, JSON)
        written = [entry("a", old=value, new=[value], revision=2**40) for value in values]
        with database.write() as txn:
            last = txn.record(written)

        with database.read() as view:
            read = view.journal()

        assert [replace(each, seq=0) for each in read] == written
        assert [each.seq for each in read] == list(range(last - len(values) + 1, last + 1))

    def test_journal_pages(self, database: TaskDatabase) -> None:
        """From a number on, so many, of one task or all, oldest first; or the newest."""
        with database.write() as txn:
            first = txn.record([entry("a")])
            txn.record([entry("b"), entry("a"), entry("b"), entry("a")])
            same = txn.record([])

        with database.read() as view:
            answers = [
                view.journal("a"),
                view.journal(after=first + 1, limit=2),
                view.journal("a", limit=2, newest=True),
                view.journal(after=first + 2, limit=9, newest=True),
                view.journal("a", newest=True),
                view.journal(limit=0),
                view.journal(limit=0, newest=True),
                view.journal("nobody"),
            ]

        expected = [[0, 2, 4], [2, 3], [2, 4], [3, 4], [0, 2, 4], [], [], []]
        assert ([[each.seq - first for each in found] for found in answers], same) == (expected, first + 4)

    def test_journal_numbers_only_grow(self, database: TaskDatabase) -> None:
        """Numbers go on growing over writes; the number `record` gives is the last entry's."""
        numbers = []
        for _ in range(3):
            with database.write() as txn:
                numbers.append(txn.record([entry("a"), entry("b")]))

        with database.read() as view:
            seqs = [each.seq for each in view.journal()]

        assert (seqs[1::2], seqs) == (numbers, sorted(set(seqs)))

    def test_entry_that_is_no_json_is_refused(self, database: TaskDatabase) -> None:
        """A journal value that JSON cannot say is refused and leaves nothing."""
        with pytest.raises(BadValue), database.write() as txn:
            txn.record([entry("a"), entry("a", new=float("inf"))])

        with database.read() as view:
            assert view.journal() == []

    @pytest.mark.parametrize(
        "stamp",
        [
            None,
            Stamp(0, 0, 0, 0, 0),
            Stamp(2**64 - 1, 2**64 - 1, 2**63 - 1, -1, -(2**62)),
            Stamp(1, 2, 3, 32_503_680_000 * 10**9, 4),  # a file dated to the year 3000
        ],
    )
    def test_base_comes_back(self, database: TaskDatabase, stamp: Stamp | None) -> None:
        """S-36: what a replica said comes back, with kernel numbers of any size."""
        bases = [
            Base("w", "a.md", "a", "t" * 40, stamp, "c" * 40, "b" * 40, 2**62, 7),
            Base("w", "ü/n.md", None, None, stamp),
        ]
        with database.write() as txn:
            for base in bases:
                txn.put_base(base)

        with database.read() as view:
            assert [view.base("w", base.path) for base in bases] == bases

    def test_texts_that_were_carried(self, database: TaskDatabase) -> None:
        """What a replica has carried comes back with the latest last, each text once, until it is dropped."""
        with database.write() as txn:
            for text in ("1", "2", "3", "1"):
                txn.carry("w", "a.md", text)
            txn.carry("w", "b.md", "4")
            before = txn.carried("w", "a.md")
            txn.drop_carried("w", "a.md")

        with database.read() as view:
            left = view.carried("w", "a.md"), view.carried("w", "b.md")
        assert (before, left) == (["2", "3", "1"], ([], ["4"]))

    def test_worktree_that_is_dropped_carries_nothing(self, database: TaskDatabase) -> None:
        """What a replica has carried outlives it, but not its worktree: an editor may hold it still."""
        with database.write() as txn:
            for path in ("a.md", "b.md"):
                txn.put_base(Base("w", path, None, None, None))
                txn.carry("w", path, "1")
            txn.drop_base("w", "a.md")
            left = txn.carried("w", "a.md"), txn.carried("w", "b.md")
            txn.drop_worktree("w")

        with database.read() as view:
            assert (left, view.carried("w", "b.md")) == ((["1"], ["1"]), [])

    def test_bases_are_listed_sorted(self, database: TaskDatabase) -> None:
        """By worktree sorted by path, by task sorted by both; a base put again takes the place."""
        b1, b2, b3 = (
            Base("w", "z.md", "a", "1", None),
            Base("w", "b.md", "b", "2", None),
            Base("v", "z.md", "a", "3", None),
        )
        with database.write() as txn:
            for base in (replace(b1, task="x", text=None), b1, b2, b3):
                txn.put_base(base)

        with database.read() as view:
            answers = (view.bases("w"), view.bases_of("a"), view.bases_of("x"), view.base("w", "no"))

        assert answers == ([b2, b1], [b3, b1], [], None)

    def test_bases_are_dropped(self, database: TaskDatabase) -> None:
        """One replica or a whole worktree can be forgotten; forgetting what is not there is no error."""
        with database.write() as txn:
            for worktree, path in (("w", "a"), ("w", "b"), ("w", "c"), ("v", "a")):
                txn.put_base(Base(worktree, path, None, None, None))
            txn.drop_base("v", "nothing")
            txn.drop_base("w", "a")

        with database.write() as txn:
            left = [base.path for base in txn.bases("w")]
            txn.drop_bases("w")

            assert (left, txn.bases("w"), len(txn.bases("v"))) == (["b", "c"], [], 1)

    def test_intents_stay_until_closed(self, database: TaskDatabase) -> None:
        """S-36: open intents come back whole and oldest first; numbers are not used again."""
        intents = [Intent("w", "z", "a", None, "t", NOON), Intent("w", "a", "b", "t", None, LATER)]
        with database.write() as txn:
            numbers = [txn.open_intent(intent) for intent in intents]
        with database.read() as view:
            before = view.intents()
        with database.write() as txn:
            txn.close_intent(numbers[1])
            txn.close_intent(numbers[1])
            again = txn.open_intent(intents[1])

        with database.read() as view:
            after = [intent.id for intent in view.intents()]

        assert before == [replace(intent, id=number) for intent, number in zip(intents, numbers, strict=True)]
        assert (after, again > numbers[1]) == ([numbers[0], again], True)

    def test_equal_conflicts_are_one(self, database: TaskDatabase) -> None:
        """S-36: a conflict is one, however often it is seen; what the index says is kept current."""
        first = Conflict("a", "tags", "w", JSON, None, {"x": 1, "y": [2]}, NOON)
        again = replace(first, index="newer", file={"y": [2], "x": 1}, since=LATER)
        other = replace(first, file=None)
        with database.write() as txn:
            numbers = [txn.put_conflict(conflict) for conflict in (first, other, again)]

        with database.read() as view:
            found = (view.conflicts(), view.conflicts("a"), view.conflicts("b"))

        both = [replace(first, index="newer", id=numbers[0]), replace(other, id=numbers[1])]
        assert (numbers[2], found) == (numbers[0], (both, both, []))

    def test_conflict_is_dropped(self, database: TaskDatabase) -> None:
        """A settled conflict is gone; settling it twice is no error."""
        with database.write() as txn:
            number = txn.put_conflict(Conflict("a", "name", "w", 1, 2, 3, NOON))
            txn.drop_conflict(number)
            txn.drop_conflict(number)

            assert txn.conflicts() == []

    def test_problems_are_replaced_by_file(self, database: TaskDatabase, clock: Clock) -> None:
        """The last look at a file says what is wrong with it, and since when."""
        old = Problem("w", "a.md", 3, "bad", "mend", "t", "name", "refusal", NOON)
        new = Problem("w", "a.md", None, "worse", "mend")
        other = Problem("v", "a.md", 1, "bad", "mend", since=NOON)
        changed = []
        with database.write() as txn:
            changed.append(txn.put_problems("w", "a.md", [old]))
            changed.append(txn.put_problems("v", "a.md", [other]))
        clock.now = LATER
        with database.write() as txn:
            changed.append(txn.put_problems("w", "a.md", [replace(old, line=9, since=LATER), new]))
            changed.append(txn.put_problems("w", "a.md", [new, replace(old, line=9, since="")]))
            changed.append(txn.put_problems("v", "b.md", []))

        with database.read() as view:
            found = (view.problems(), view.problems("v"))

        assert found == ([other, replace(new, since=LATER), replace(old, line=9)], [other])
        assert changed == [True, True, True, False, False]

    def test_problems_are_sorted_by_place(self, database: TaskDatabase) -> None:
        """By worktree, path and line, the same thing once."""
        places = [("w", "b", 10), ("w", "b", 9), ("w", "b", 9), ("w", "a", 50), ("v", "z", None)]
        with database.write() as txn:
            for worktree, path in {place[:2] for place in places}:
                here = [place for place in places if place[:2] == (worktree, path)]
                txn.put_problems(worktree, path, [Problem(*place, "r", "m") for place in here])

        with database.read() as view:
            found = [(p.worktree, p.path, p.line) for p in view.problems()]

        assert found == [("v", "z", None), ("w", "a", 50), ("w", "b", 9), ("w", "b", 10)]

    def test_problems_can_be_cleared(self, database: TaskDatabase) -> None:
        """A file that is well again has no problems."""
        with database.write() as txn:
            txn.put_problems("w", "a", [Problem("w", "a", 1, "r", "m")])
            changed = txn.put_problems("w", "a", [])

            assert (changed, txn.problems()) == (True, [])

    def test_hold_is_one_a_worktree(self, database: TaskDatabase) -> None:
        """S-36: a later hold takes the place under a new number; the same again is the same."""
        first, other = Hold("w", ("b", "a"), "gone", NOON), Hold("v", (), "gone", NOON)
        later = replace(first, tasks=("a",), since=LATER)
        with database.write() as txn:
            one, two, same = (txn.put_hold(hold) for hold in (first, other, replace(first, since=LATER)))
            before = txn.holds()
            three = txn.put_hold(later)

        with database.read() as view:
            after = view.holds()

        assert (before, same) == ([replace(first, id=one), replace(other, id=two)], one)
        assert (after, three > two) == ([replace(other, id=two), replace(later, id=three)], True)

    def test_hold_is_dropped(self, database: TaskDatabase) -> None:
        """An answered hold is gone."""
        with database.write() as txn:
            number = txn.put_hold(Hold("w", ("a", "b"), "gone", NOON))
            txn.drop_hold(number)
            txn.drop_hold(number)

            assert txn.holds() == []

    def test_errands_are_done_in_order(self, database: TaskDatabase) -> None:
        """What was asked for first is done first; asked for again, it goes to the end."""
        with database.write() as txn:
            txn.enqueue("branch", ["a", "b", "c", "a"])
            txn.enqueue("replicas", ["z"])
            txn.enqueue("branch", ["b"])

        with database.read() as view:
            queues = [
                [errand.task for errand in view.errands(target)] for target in ("branch", "replicas", "x")
            ]
            first = [errand.task for errand in view.errands("branch", 2)]

        assert (queues, first) == ([["c", "a", "b"], ["z"], []], ["c", "a"])

    def test_errand_asked_for_again_stays(self, database: TaskDatabase) -> None:
        """What was asked for again while it was being done is done again."""
        with database.write() as txn:
            txn.enqueue("branch", ["a", "b"])
        with database.read() as view:
            doing = view.errands("branch")
        with database.write() as txn:
            txn.enqueue("branch", ["a"])

        with database.write() as txn:
            txn.dequeue([*doing, Errand("replicas", "b", doing[1].seq)])
            left = txn.errands("branch")

        assert [(errand.task, errand.seq > doing[1].seq) for errand in left] == [("a", True)]

    def test_errand_numbers_are_never_used_again(self, database: TaskDatabase) -> None:
        """An errand done and asked for again has a number of its own."""
        seqs = []
        for _ in range(3):
            with database.write() as txn:
                txn.enqueue("branch", ["a"])
                seqs += [errand.seq for errand in txn.errands("branch")]
                txn.dequeue(txn.errands("branch"))

        assert seqs == sorted(set(seqs))

    def test_worktree_is_forgotten_with_its_files(self, database: TaskDatabase) -> None:
        """S-36: a worktree row comes back; dropping it takes its bases, problems and holds along."""
        rows = [WorktreeRow("w", "/x/ü", "1:2", "active"), WorktreeRow("v", "/y", "1:3", "missing")]
        with database.write() as txn:
            for row in (replace(rows[0], state="new"), *rows):
                txn.put_worktree(row)
                txn.put_base(Base(row.key, "p", None, None, None))
                txn.put_problems(row.key, "p", [Problem(row.key, "p", 1, "r", "m")])
                txn.put_hold(Hold(row.key, ("a",), "gone", NOON))
            before = txn.worktrees()
            txn.drop_worktree("w")
            txn.drop_worktree("nothing")

        with database.read() as view:
            left = (
                view.worktrees(),
                view.bases("w"),
                view.problems("w"),
                [hold.worktree for hold in view.holds()],
            )
            kept = (len(view.bases("v")), len(view.problems("v")))

        assert before == [rows[1], rows[0]]
        assert (left, kept) == (([rows[1]], [], [], ["v"]), (1, 1))

    def test_meta_is_set_and_cleared(self, database: TaskDatabase) -> None:
        """A setting has its last value, or none."""
        with database.write() as txn:
            answers = [txn.meta("k")]
            for value in ("1", "ü", "", None, None):
                txn.put_meta("k", value)
                answers.append(txn.meta("k"))

        assert answers == [None, "1", "ü", "", None, None]

    def test_first_reply_stays(self, database: TaskDatabase) -> None:
        """A retried request gets the answer it got first."""
        with database.write() as txn:
            txn.put_reply("r", "first")
            txn.put_reply("r", "second")

        with database.read() as view:
            assert (view.reply("r"), view.reply("other")) == ("first", None)

    def test_numbers_can_be_skipped(self, database: TaskDatabase) -> None:
        """After a skip no journal number and no token that may have been given out before comes again."""
        put(database, made("a"), made("b", fence=2_000))
        with database.write() as txn:
            txn.skip_ahead(1_000)
            first = txn.record([entry("a")])
            txn.skip_ahead(500)
            second = txn.record([entry("a")])

        fences = [task.fence for id in "ab" if (task := stored(database, id))]
        assert (first, second, fences) == (1_001, 1_002, [1_000, 2_000])
