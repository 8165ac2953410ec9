"""Saved files become truth: read, decided about, committed; and nothing happens without news."""

from __future__ import annotations

from collections.abc import Callable

from taskd.engine.site import WORKSPACE
from tests.engine.bench import Bench, document


def test_a_saved_file_is_a_task(bench: Bench) -> None:
    """What is saved below tasks/ is in the index, at its path, and journaled."""
    bench.put("core/auth.md", document("auth", "Log in", body="how\n"))

    task = bench.task("auth")
    assert (task.name, task.file, task.path, task.body) == ("Log in", "core/auth.md", "core", "how\n")
    assert [(entry.field, entry.worktree, entry.cause) for entry in bench.journal()] == [
        ("*", "main", "edit")
    ]


def test_settled_is_silent(bench: Bench) -> None:
    """Without input there are no writes, no commits and no journal rows."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth"))
    bench.put("sub/db.md", document("db"), "alpha")
    bench.save("README.md", "no task\n")
    bench.save("broken.md", "---\nid: a\nid: b\n---\n")
    bench.settle()
    bench.settle()  # the stamps of what was written just now are looked at once
    before = bench.db.writes, len(bench.journal()), len(bench.commits())

    bench.settle()
    with bench.engine.working():
        more = bench.engine.write_back(), bench.engine.mirror(), bench.engine.sweep()

    assert more == (False, False, [])
    assert (bench.db.writes, len(bench.journal()), len(bench.commits())) == before


def test_own_writes_are_no_news(bench: Bench) -> None:
    """What taskd wrote into a replica comes back as an event, and is nothing new."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth"))
    bench.write_back()
    assert bench.text("auth.md", "alpha") == bench.text("auth.md")
    revision, journal = bench.task("auth").revision, bench.journal()

    echoed = bench.take("auth.md", key="alpha"), bench.take("auth.md", key=WORKSPACE)
    writes = bench.db.writes
    bench.take("auth.md", key="alpha")
    bench.take("auth.md", key=WORKSPACE)

    assert [report.changed for report in echoed] == [set(), set()]
    assert (bench.task("auth").revision, bench.journal()) == (revision, journal)
    assert bench.db.writes == writes


def test_a_young_file_is_looked_at_again(bench: Bench) -> None:
    """A stamp that is younger than clocks tick proves nothing: the second of two quick saves counts."""
    bench.times.ahead = 0.0
    bench.put("auth.md", document("auth", "One"))
    first = bench.engine.scan(bench.place()).touched
    bench.times.ahead = 10.0
    bench.take("auth.md")

    assert (first, bench.engine.scan(bench.place()).touched) == (["auth.md"], [])


def test_an_invalid_file_keeps_the_last_good_state(bench: Bench) -> None:
    """A file that cannot be read as a task is listed with its line; task, journal and the rest go on."""
    bench.put("auth.md", document("auth", "Log in"))
    bench.save("auth.md", "---\nid: auth\nid: auth\n---\n")
    bench.save("db.md", document("db"))
    bench.take("auth.md", "db.md")

    assert bench.task("auth").name == "Log in"
    assert bench.ids() == ["auth", "db"]
    assert [(problem.path, problem.task) for problem in bench.problems()] == [("auth.md", "auth")]

    bench.put("auth.md", document("auth", "Sign in"))
    assert (bench.task("auth").name, bench.problems()) == ("Sign in", [])


def test_one_file_of_an_id(bench: Bench) -> None:
    """A copied file is never merged into the task: the problem names the other file."""
    bench.put("auth.md", document("auth", "Log in"))
    bench.put("copy.md", document("auth", "Something else"))

    assert bench.task("auth").name == "Log in"
    assert bench.task("auth").file == "auth.md"
    (problem,) = bench.problems()
    assert (problem.path, problem.line) == ("copy.md", 2)
    assert "auth.md" in problem.reason


def test_an_empty_file_is_given_a_moment(make_bench: Callable[..., Bench]) -> None:
    """An editor that truncates and then writes is waited for; what stays empty is called broken."""
    bench = make_bench()
    bench.times.ahead = 0.0
    bench.put("auth.md", document("auth"))
    bench.save("auth.md", "")
    young = bench.take("auth.md").again
    problems = bench.problems()
    bench.times.ahead = 10.0
    old = bench.take("auth.md").again

    assert (young, problems, old) == (["auth.md"], [], [])
    assert [problem.path for problem in bench.problems()] == ["auth.md"]
    assert bench.ids() == ["auth"]
