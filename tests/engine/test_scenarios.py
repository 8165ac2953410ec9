"""What has bitten users of systems that tried this before; the numbers are those of the scenarios."""

from __future__ import annotations

from taskd.engine.engine import Engine
from taskd.engine.site import MIRROR, REPLICAS
from taskd.errors import Cycle
from tests.engine.bench import Bench, document
from tests.engine.tracked import add_worktree, settle


def test_s08_two_agents_write_new_files_at_once(bench: Bench) -> None:
    """Two new files without an id, of one name in two worktrees, are one task each or both texts are kept."""
    add_worktree(bench, "alpha")
    bench.save("first.md", "---\nname: Mine\n---\nmine\n")
    bench.save("second.md", "---\nname: Mine\n---\nyours\n", "alpha")
    bench.settle()

    assert bench.ids() == ["first", "second"]
    assert [bench.task(id).body for id in bench.ids()] == ["mine\n", "yours\n"]


def test_s10_one_id_in_two_worktrees(bench: Bench) -> None:
    """Both documents are named, what they say otherwise is a conflict each, and the status is as it was."""
    add_worktree(bench, "alpha")
    bench.save("auth.md", document("auth", "Mine", body="\nmine\n", risk="low"))
    bench.save("login.md", document("auth", "Yours", body="\nyours\n", risk="high"), "alpha")
    bench.take("auth.md")
    bench.take("login.md", key="alpha")

    assert (bench.ids(), bench.task("auth").status) == (["auth"], "pending")
    rows = {row.field: (row.index, row.file, row.worktree) for row in bench.conflicts()}
    assert rows["name"] == ("Mine", "Yours", "alpha")
    assert rows["risk"] == ("low", "high", "alpha")
    assert ("mine" in str(rows["body"][0]), "yours" in str(rows["body"][1])) == (True, True)


def test_s10_one_id_twice_in_a_worktree(bench: Bench) -> None:
    """The second file is listed with the first one's name, and changes nothing; given an id it is a task."""
    bench.put("auth.md", document("auth", "Mine"))
    bench.put("sub/auth.md", document("auth", "Yours"))

    (problem,) = bench.problems()
    assert (problem.path, "auth.md" in problem.reason) == ("sub/auth.md", True)
    assert "`id`" in problem.remedy
    bench.edit("sub/auth.md", "id: auth", "id: login")
    bench.take("sub/auth.md")
    assert ({id: bench.task(id).name for id in bench.ids()}, bench.problems()) == (
        {"auth": "Mine", "login": "Yours"},
        [],
    )


def test_s19_cycles(bench: Bench) -> None:
    """A task that waits for itself is refused by commands; a cycle in a file is told, and left out."""
    bench.put("a.md", document("a"))
    bench.put("b.md", document("b", depends_on="[a]"))
    refused = [bench.call("dep.add", id="a", on=on).error for on in ("b", "a")]
    bench.put("a.md", document("a", depends_on="[b]"))

    assert [error["code"] if error else None for error in refused] == [Cycle.code, Cycle.code]
    assert [(row.field, row.file) for row in bench.conflicts()] == [("depends_on", ["b"])]
    assert bench.task("a").depends_on == ()


def test_s40_one_save_is_heard_twice(bench: Bench) -> None:
    """A command and a second daemon that hear of the same save, or of a file that is gone, add nothing."""
    bench.save("a.md", document("a"))
    bench.save("b.md", document("b"))
    bench.take("a.md", "b.md")
    before = bench.journal()
    second = Engine(bench.engine.site, bench.engine.branch, bench.engine.mirror_lock)
    for engine in (bench.engine, second):
        engine.ingest(bench.place(), ["a.md", "b.md", "never-there.md"])
    bench.file("b.md").unlink()
    settle(bench)
    deleted = bench.journal()
    for engine in (bench.engine, second):
        engine.ingest(bench.place(), ["b.md"])
        assert engine.decide_absence(bench.place(), ["b.md"]) == []

    assert [entry.task for entry in deleted[len(before) :]] == ["b"]
    assert bench.journal() == deleted


def test_s50_a_status_is_no_edit(bench: Bench) -> None:
    """A status, a claim and a note leave the time at which people changed the text as it is."""
    bench.put("a.md", document("a"))
    bench.times.pass_by(60.0)
    bench.edit("a.md", "id: a\n", "id: a\nrisk: high\n")
    bench.take("a.md")
    modified = bench.task("a").modified
    bench.times.pass_by(3600.0)
    bench.call("claim", id="a")
    bench.call("status", id="a", status="completed")
    bench.write_back()

    task = bench.task("a")
    assert (task.status, task.modified) == ("completed", modified)
    assert task.updated_at > str(modified)
    assert bench.errands(REPLICAS) == [] != bench.errands(MIRROR)
