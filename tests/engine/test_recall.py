"""taskd dies between its commit and writing down that it made it: its own words are no news to it."""

from __future__ import annotations

import pytest

from taskd.engine.moved import TIP
from taskd.engine.site import MIRROR
from taskd.repo import crash
from tests.engine.bench import REF, Bench, document
from tests.engine.rival import commit, rewrite

AUTH = "tasks/auth.md"


class Died(BaseException):
    """What a kill looks like from within."""


def die_mirroring(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirror, and die when the branch has moved."""

    def die(name: str) -> None:
        if name == "branch.mirrored":
            raise Died

    with monkeypatch.context() as patch:
        patch.setattr(crash, "point", die)
        with pytest.raises(Died):
            bench.engine.mirror()


@pytest.fixture
def unremembered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """An engine whose branch has a first commit that the index knows nothing of."""
    bench.put("auth.md", document("auth", body="One.\n\nTwo.\n\nThree.\n", priority="low"))
    bench.put("db.md", document("db"))
    die_mirroring(bench, monkeypatch)
    return bench


def edit(bench: Bench, old: str, new: str) -> None:
    """Edit a file, and have it heard."""
    bench.edit("auth.md", old, new)
    bench.take("auth.md")


def foreign(bench: Bench) -> list[str]:
    """The causes of journal entries that came from the branch."""
    return [entry.cause for entry in bench.journal() if entry.worktree == "@branch"]


def test_an_edit_after_the_first_commit(unremembered: Bench) -> None:
    """What was typed since stands alone; the commit's older value is put up against nothing."""
    edit(unremembered, "priority: low", "priority: high")
    unremembered.engine.finish_branch()

    assert (unremembered.task("auth").priority, unremembered.conflicts()) == ("high", [])
    assert "priority: high" in unremembered.on_branch()[AUTH]
    assert foreign(unremembered) == []


def test_a_later_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a later one clash, whatever it changed, moved or removed."""
    bench.put("auth.md", document("auth", body="One.\n\nTwo.\n", priority="low"))
    bench.put("db.md", document("db"))
    bench.put("ui.md", document("ui"))
    bench.engine.finish_branch()
    edit(bench, "priority: low", "priority: medium")
    bench.call("rm", id="db")
    bench.call("set", id="ui", values={"path": "front"})
    die_mirroring(bench, monkeypatch)
    edit(bench, "priority: medium", "priority: high")
    edit(bench, "Two.", "Two and a half.")
    bench.engine.finish_branch()

    assert (bench.task("auth").priority, bench.conflicts(), foreign(bench)) == ("high", [], [])
    assert "Two and a half." in bench.on_branch()[AUTH]
    assert bench.errands(MIRROR) == []


def test_nothing_is_left_to_do(unremembered: Bench) -> None:
    """Where the index is as it was, the commit is remembered, and no other is made."""
    before = unremembered.commits()
    unremembered.engine.finish_branch()

    assert (unremembered.commits(), unremembered.errands(MIRROR)) == (before, [])
    with unremembered.db.read() as view:
        assert view.meta(TIP) == unremembered.git(unremembered.top, "rev-parse", REF).strip()


def test_somebody_committed_on_top(unremembered: Bench) -> None:
    """What another person wrote over the commit is taken in over it, as theirs."""
    rewrite(unremembered, AUTH, ("Two.", "Two and a half."))
    edit(unremembered, "priority: low", "priority: high")
    unremembered.engine.finish_branch()

    task = unremembered.task("auth")
    assert (task.priority, task.body) == ("high", "One.\n\nTwo and a half.\n\nThree.\n")
    assert (unremembered.conflicts(), foreign(unremembered)) == ([], ["merge of taskd/workspace"])


def test_somebody_amended_it(unremembered: Bench) -> None:
    """A commit that was made anew is not ours, also where it kept our words about it."""
    files = unremembered.on_branch()
    anew = files | {AUTH: files[AUTH].replace("Two.", "Two and a half.")}
    commit(unremembered, anew, onto=None, says=unremembered.commits()[0])
    unremembered.engine.finish_branch()

    assert unremembered.task("auth").body == "One.\n\nTwo.\n\nThree.\n"
    assert [row.field for row in unremembered.conflicts()] == ["body"]
