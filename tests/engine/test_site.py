"""Which places there are, which of them a directory is in, and what git tracks there."""

from __future__ import annotations

import shutil

import pytest

from taskd.engine.site import WORKSPACE
from taskd.errors import Fenced
from tests.engine.bench import Bench, document


def test_every_worktree_and_the_workspace_are_places(bench: Bench) -> None:
    """A worktree that is added is new once; one that is removed is no place any more."""
    site = bench.engine.site
    before = set(site.places)
    bench.git(bench.top, "worktree", "add", "-q", "--detach", bench.top.parent / "alpha")
    new = [place.key for place in site.look_around()]
    again = site.look_around()
    bench.git(bench.top, "worktree", "remove", bench.top.parent / "alpha")
    site.look_around()

    assert (before, new, again) == ({"main", WORKSPACE}, ["alpha"], [])
    assert set(site.places) == before
    with bench.db.read() as view:
        assert [row.key for row in view.worktrees()] == ["main", WORKSPACE]


def test_looking_around_writes_nothing_without_news(bench: Bench) -> None:
    """A look that finds what is known leaves the index alone."""
    writes = bench.db.writes
    bench.engine.site.look_around()

    assert bench.db.writes == writes


def test_a_worktree_that_is_missing_keeps_its_bases(bench: Bench) -> None:
    """A worktree on a disk that is away is none to be worked in, and nothing about it is forgotten."""
    place = bench.add_worktree("alpha")
    bench.put("auth.md", document("auth"), "alpha")
    assert place.worktree is not None
    place.worktree.path.rename(bench.top.parent / "away")
    bench.engine.site.look_around()
    away = set(bench.engine.site.places), bench.base("auth.md", "alpha")
    (bench.top.parent / "away").rename(place.worktree.path)
    new = bench.engine.site.look_around()

    assert away[0] == {"main", WORKSPACE}
    assert away[1] == bench.base("auth.md", "alpha") is not None
    assert [place.key for place in new] == ["alpha"]


def test_a_worktree_that_moved_keeps_its_bases(bench: Bench) -> None:
    """A moved worktree is the same at another place."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth"), "alpha")
    bench.git(bench.top, "worktree", "move", bench.top.parent / "alpha", bench.top.parent / "beta")
    (new,) = bench.engine.site.look_around()

    assert (new.key, new.root) == ("alpha", bench.top.parent / "beta" / "tasks")
    assert bench.base("auth.md", "alpha") is not None


def test_another_worktree_of_the_same_name_begins_anew(bench: Bench) -> None:
    """A worktree that was removed and made again has none of the old one's files: nothing is missed."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth"), "alpha")
    bench.git(bench.top, "worktree", "remove", "--force", bench.top.parent / "alpha")
    place = bench.add_worktree("alpha")

    assert bench.base("auth.md", "alpha") is None
    assert (bench.engine.scan(place).absent, bench.ids()) == ([], ["auth"])


def test_a_directory_is_in_the_innermost_worktree(bench: Bench) -> None:
    """Who calls from a worktree inside another one calls from the inner one."""
    site = bench.engine.site
    bench.git(bench.top, "worktree", "add", "-q", "--detach", bench.top / "inner")
    site.look_around()
    (bench.top / "inner-not").mkdir()

    def key_of(name: str) -> str | None:
        place = site.place_of(bench.top / name)
        return place.key if place is not None else None

    found = [key_of(name) for name in ("", "src", "inner", "inner/deep", "inner-not")]
    assert found == ["main", "main", "inner", "inner", "main"]
    assert site.place_of(bench.top.parent) is None


def test_tracked_paths_are_asked_for_when_the_index_changed(bench: Bench) -> None:
    """What git tracks is known without asking git every time, and never from before."""
    site, place = bench.engine.site, bench.place()
    bench.save("auth.md", document("auth"))
    before = site.tracked(place)
    bench.git(bench.top, "add", "-f", "tasks/auth.md")

    assert (before, site.tracked(place)) == (frozenset(), frozenset({"auth.md"}))
    assert site.tracked(place) is site.tracked(place)
    assert site.tracked(bench.place(WORKSPACE)) == frozenset()


def test_a_worktree_stands_while_git_knows_it_by_its_files(bench: Bench) -> None:
    """A worktree whose `.git` is gone is being removed: nothing is to be made in it."""
    place = bench.add_worktree("alpha")
    standing = bench.engine.site.is_standing(place), bench.engine.site.is_standing(bench.place(WORKSPACE))
    assert place.worktree is not None
    (place.worktree.path / ".git").unlink()
    bench.put("auth.md", document("auth"))
    bench.write_back()

    assert (standing, bench.engine.site.is_standing(place)) == ((True, True), False)
    assert not place.root.exists()


def test_a_daemon_that_was_replaced_writes_nothing(bench: Bench) -> None:
    """A daemon that another took over from is fenced, whatever it wants to write."""
    bench.engine.site.epoch = bench.db.take_over()
    bench.put("auth.md", document("auth"))
    bench.db.take_over()
    bench.edit("auth.md", "name: Auth", "name: Late")

    with pytest.raises(Fenced):
        bench.take("auth.md")
    assert bench.task("auth").name == "Auth"


def test_a_vanished_workspace_is_made_again(bench: Bench) -> None:
    """The workspace directory is a view: who removes all of it gets it back."""
    for id in ("a", "b", "c"):
        bench.put(f"{id}.md", document(id))
    bench.write_back()
    shutil.rmtree(bench.place(WORKSPACE).root)
    with bench.engine.working():
        sighted = bench.engine.look_at(bench.place(WORKSPACE))
        assert sighted is not None
        bench.engine.decide_absence(bench.place(WORKSPACE), sighted.absent)
    bench.write_back()

    assert sorted(file.name for file in bench.place(WORKSPACE).root.iterdir()) == ["a.md", "b.md", "c.md"]
    assert bench.ids() == ["a", "b", "c"]


def test_a_worktree_that_was_away_is_brought_up_to_date(bench: Bench) -> None:
    """What changed while a worktree's disk was away stands in its files when it is back."""
    place = bench.add_worktree("alpha")
    for id in ("auth", "db"):
        bench.put(f"{id}.md", document(id))
    bench.settle()
    assert place.worktree is not None
    place.worktree.path.rename(bench.top.parent / "away")
    bench.engine.site.look_around()
    bench.edit("auth.md", "name: Auth", "name: Sign in")
    bench.call("claim", id="db")
    bench.settle()
    (bench.top.parent / "away").rename(place.worktree.path)
    for new in bench.engine.site.look_around():
        bench.engine.fill_place(new)
    bench.settle()

    assert bench.text("auth.md", "alpha") == bench.text("auth.md")
    assert bench.text("db.md", "alpha") == bench.text("db.md")


def test_a_worktree_git_cannot_read_stops_no_other(bench: Bench) -> None:
    """With a broken index in one worktree that one is left alone, and the others are written."""
    broken = bench.add_worktree("alpha")
    bench.add_worktree("beta")
    bench.put("auth.md", document("auth", risk="low"))
    assert broken.worktree is not None
    (broken.worktree.git_dir / "index").write_bytes(b"broken")

    bench.edit("auth.md", "low", "high")
    bench.take("auth.md")
    bench.write_back()

    shown = {key: "risk: high" in (bench.text("auth.md", key) or "") for key in ("main", "alpha", "beta")}
    assert shown == {"main": True, "alpha": False, "beta": True}
