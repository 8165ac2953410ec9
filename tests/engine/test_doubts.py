"""An index that is older than what happened is not believed about files; and the copies made of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskd.engine import backups, doubts
from taskd.store.base import COPIED, Intent
from tests.engine.bench import Bench, document


@pytest.fixture
def old(bench: Bench) -> Bench:
    """A task that has moved on in its file, and an index that does not know: the copy of another day."""
    bench.put("a.md", document("a", body="One.\n"))
    bench.put("b.md", document("b"))
    bench.settle()
    with bench.db.write() as txn:
        txn.put_meta(COPIED, "2026-02-28T12:00:00.000Z")
    return bench


def start(bench: Bench) -> None:
    """A daemon begins."""
    with bench.engine.working():
        bench.engine.start()


def test_a_difference_is_a_conflict(old: Bench) -> None:
    """What differs between an old index and a file is a conflict with both values; nothing is overwritten."""
    old.edit("a.md", "One.", "Two.")
    old.edit("a.md", "name: A", "name: Another")
    start(old)
    old.settle()

    assert {(row.field, row.worktree) for row in old.conflicts()} == {("body", "main"), ("name", "main")}
    assert {row.file for row in old.conflicts()} == {"Two.\n", "Another"}
    assert (old.task("a").name, old.task("a").body) == ("A", "One.\n")


def test_a_missing_file_deletes_nothing(old: Bench) -> None:
    """A file that an old index still knows and that is not there any more is not missed."""
    old.file("b.md").unlink()
    start(old)
    with old.engine.working():
        sighted = old.engine.scan(old.place())

    assert (sighted.absent, old.ids()) == ([], ["a", "b"])


def test_equal_files_say_nothing(old: Bench) -> None:
    """Files that are as the index has them make no conflict, and the doubt is over."""
    start(old)
    old.settle()
    before = old.everything()
    start(old)
    old.settle()

    assert (old.conflicts(), old.everything() == before) == ([], True)


def test_the_journal_says_so(old: Bench) -> None:
    """What happened to the index is in the journal, under a number that was never given out before."""
    before = old.journal()[-1].seq
    start(old)
    last = old.journal()[-1]

    assert (last.task, last.actor) == (doubts.INDEX, "taskd")
    assert "copy made at 2026-02-28" in str(last.new)
    assert last.seq > before + 1_000_000


def test_a_token_does_not_come_again(old: Bench) -> None:
    """A claim of the time that the index does not know of is over, and its token is nobody's."""
    before = old.call("claim", id="a").unwrap()["claim"]["token"]
    old.call("release", id="a")
    start(old)

    assert old.call("claim", id="a").unwrap()["claim"]["token"] > before + 1_000_000


def test_intents_of_another_day_are_not_carried_out(old: Bench) -> None:
    """What was to be written when the copy was made is not written now."""
    task = old.task("a")
    with old.db.write() as txn:
        wanted = txn.keep(b"of another day")
        txn.open_intent(Intent("main", "a.md", "a", task.text, wanted, "2026-02-28T12:00:00.000Z"))
    before = old.text("a.md")
    start(old)

    assert (old.intents(), old.text("a.md")) == ([], before)


def test_an_index_that_was_further_once(bench: Bench) -> None:
    """An index put back by hand is known by its journal, which ends before the last number noted."""
    bench.put("a.md", document("a"))
    doubts.remember(bench.engine.site)
    note = bench.engine.site.state_dir / "index.seen"
    note.write_text(f"{int(note.read_text()) + 5}\n")
    bench.edit("a.md", "name: A", "name: Another")
    start(bench)
    bench.settle()

    assert [row.field for row in bench.conflicts()] == ["name"]
    assert int(note.read_text()) == bench.journal()[-1].seq


@pytest.mark.parametrize("note", ["", "nonsense", "0"])
def test_a_note_that_says_nothing(bench: Bench, note: str) -> None:
    """Without a legible note nothing is doubted."""
    bench.put("a.md", document("a"))
    (bench.engine.site.state_dir / "index.seen").write_text(note)
    start(bench)

    assert doubts.INDEX not in {entry.task for entry in bench.journal()}


class Copies:
    """Stands for a store with files: makes copies that are empty."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on copies are made."""
        self.bench = bench
        monkeypatch.setattr(type(bench.db), "back_up", self.back_up)

    def back_up(self, target: Path) -> bool:
        """Make an empty file."""
        target.parent.mkdir(exist_ok=True)
        target.touch()
        return True

    def days(self, count: int) -> list[str]:
        """Let days pass with a change and a look each; the copies then."""
        for number in range(count):
            self.bench.times.pass_by(24 * 3600)
            self.bench.put("a.md", document("a", body=f"{number}\n"))
            backups.back_up_daily(self.bench.engine.site)
        return [copy.name for copy in backups.copies(self.bench.engine.site.state_dir)]


@pytest.fixture
def made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Copies:
    """A bench whose index has one task, and whose store makes copies."""
    bench.put("a.md", document("a"))
    return Copies(bench, monkeypatch)


def test_seven_days_are_kept(made: Copies) -> None:
    """There is a copy a day, and the eighth day takes the place of the first."""
    first, later = made.days(7), made.days(1)

    assert (len(first), later[:-1]) == (7, first[1:])


def test_one_a_day_and_none_without_change(made: Copies) -> None:
    """A second look on the same day makes no copy, nor does a day on which nothing happened."""
    made.days(1)
    site = made.bench.engine.site
    again = backups.back_up_daily(site)
    made.bench.times.pass_by(48 * 3600)
    idle = backups.back_up_daily(site)

    assert (again, idle, len(backups.copies(site.state_dir))) == (False, False, 1)


def test_a_clock_that_was_wrong(made: Copies) -> None:
    """A copy made while the clock was a year ahead keeps no other from being made, nor outlives it."""
    made.bench.times.pass_by(365 * 24 * 3600)
    wrong = made.days(1)
    made.bench.times.pass_by(-366 * 24 * 3600)
    later = made.days(8)  # the first of which repeats what was said

    assert (len(later), set(wrong) & set(later)) == (7, set())
    assert later == sorted(later)


def test_other_files_beside_copies(made: Copies) -> None:
    """What somebody put beside the copies is neither counted nor removed."""
    place = backups.directory(made.bench.engine.site.state_dir)
    place.mkdir()
    (place / "index-mine.db").touch()
    made.days(9)

    assert (place / "index-mine.db").exists()


def test_an_empty_index_is_not_copied(bench: Bench) -> None:
    """Nothing is copied before anything has happened, nor by a store that has no files."""
    empty = backups.back_up_daily(bench.engine.site)
    bench.put("a.md", document("a"))

    assert (empty, backups.back_up_daily(bench.engine.site)) == (False, False)
