"""Saved files become truth: read, decided about, committed; and nothing happens without news."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from taskd.core.plan import Plan
from taskd.core.reconcile import reconcile
from taskd.engine import taker
from taskd.engine.site import TRACKED, WORKSPACE
from taskd.errors import StoreFailed
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


# -- which task is it?


def test_a_renamed_file_is_the_same_task(bench: Bench) -> None:
    """A file that is moved by hand keeps claim, history and id; the task lies where the file lies."""
    bench.put("auth.md", document("auth"))
    bench.call("claim", id="auth")
    bench.write_back()
    bench.file("core").mkdir()
    bench.file("auth.md").rename(bench.file("core/log-in.md"))

    report = bench.take("auth.md", "core/log-in.md")
    bench.write_back()

    task = bench.task("auth")
    assert (task.file, task.claim is not None, bench.ids()) == ("core/log-in.md", True, ["auth"])
    assert (report.absent, bench.base("auth.md"), bench.problems()) == ([], None, [])
    assert bench.file("core/auth.md", WORKSPACE).exists()


def test_a_rename_that_is_heard_of_in_halves(bench: Bench) -> None:
    """If the new name is heard of before the old one, it is a rename all the same."""
    bench.put("auth.md", document("auth"))
    bench.file("auth.md").rename(bench.file("log-in.md"))

    bench.take("log-in.md")

    assert bench.take("auth.md").absent == []
    assert (bench.task("auth").file, bench.ids()) == ("log-in.md", ["auth"])


def test_an_id_from_the_file_name_outlives_a_rename(bench: Bench) -> None:
    """A file without id is known by text or inode when it is renamed, also with an edit on the way."""
    bench.put("mend-door.md", "---\nname: Mend the door\n---\n")
    bench.file("mend-door.md").rename(bench.file("door.md"))
    bench.take("mend-door.md", "door.md")
    renamed = bench.ids(), bench.task("mend-door").file
    bench.edit("door.md", "the door", "the old door")
    bench.file("door.md").rename(bench.file("gate.md"))
    bench.take("door.md", "gate.md")

    assert renamed == (["mend-door"], "door.md")
    assert (bench.ids(), bench.task("mend-door").name) == (["mend-door"], "Mend the old door")
    assert bench.task("mend-door").file == "gate.md"


def test_an_id_from_the_file_name_is_no_duplicate(bench: Bench) -> None:
    """A file without id whose name is another task's id is listed, not merged into that task."""
    bench.put("a/door.md", document("door"))
    bench.put("b/door.md", "---\nname: Another door\n---\n")

    (problem,) = bench.problems()
    assert (bench.ids(), bench.task("door").name, problem.path) == (["door"], "Door", "b/door.md")
    assert "a/door.md" in problem.reason


def test_an_id_changed_by_hand_renames_the_task(bench: Bench) -> None:
    """Who types another id renames the task: the old id leads to it, dependents wait for it."""
    bench.put("auth.md", document("auth"))
    bench.put("shop.md", document("shop", depends_on="[auth]"))
    bench.call("claim", id="auth")
    bench.edit("auth.md", "id: auth", "id: log-in")
    bench.take("auth.md")
    bench.write_back()

    with bench.db.read() as view:
        found = view.resolve("auth"), view.blockers(["shop"])["shop"]
    assert (found, bench.ids()) == ((["log-in"], ("log-in",)), ["log-in", "shop"])
    assert bench.task("log-in").claim is not None
    assert bench.file("log-in.md", WORKSPACE).exists()
    assert not bench.file("auth.md", WORKSPACE).exists()


def test_an_id_changed_to_one_that_is_taken_changes_nothing(bench: Bench) -> None:
    """Two files are never made one task by a typed id."""
    bench.put("auth.md", document("auth"))
    bench.put("db.md", document("db"))
    bench.edit("auth.md", "id: auth", "id: db")
    bench.take("auth.md")

    assert bench.ids() == ["auth", "db"]
    assert [problem.path for problem in bench.problems()] == ["auth.md"]
    assert bench.task("db").name == "Db"


def test_what_is_no_task_is_left_alone(bench: Bench) -> None:
    """A README among the tasks is none; a task whose frontmatter is lost is a problem, not a README."""
    bench.put("README.md", "# hello\n")
    bench.put("auth.md", document("auth"))
    bench.put("auth.md", "no frontmatter any more\n")

    assert (bench.ids(), [problem.path for problem in bench.problems()]) == (["auth"], ["auth.md"])
    assert bench.text("README.md") == "# hello\n"


def test_what_cannot_be_read_is_listed(bench: Bench) -> None:
    """A link in a task's place changes nothing, is listed with a remedy, and goes from the list with it."""
    bench.put("auth.md", document("auth"))
    link = bench.file("link.md")
    link.symlink_to(bench.file("auth.md"))
    bench.settle()
    (problem,) = bench.problems()
    link.unlink()
    bench.settle()

    assert (problem.path, bool(problem.remedy)) == ("link.md", True)
    assert (bench.problems(), bench.ids()) == ([], ["auth"])


def test_a_directory_stands_for_its_files(bench: Bench) -> None:
    """A touched directory has what is in it, and what was in it, looked at."""
    bench.put("core/auth.md", document("auth"))
    bench.save("core/deep/db.md", document("db"))
    bench.file("core/auth.md").unlink()

    report = bench.take("core")

    assert (report.absent, report.changed) == (["core/auth.md"], {"db"})
    assert bench.take("nowhere").absent == []


# -- what follows?


def test_two_edits_at_once_are_merged(bench: Bench) -> None:
    """Edits of different fields and lines in two worktrees both stand."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth", body="one\ntwo\nthree\nfour\nfive\n"))
    bench.write_back()
    bench.edit("auth.md", "one", "ONE")
    bench.edit("auth.md", "five", "FIVE", "alpha")
    bench.edit("auth.md", "name: Auth", "name: Sign in", "alpha")
    bench.settle()

    task = bench.task("auth")
    assert (task.name, task.body) == ("Sign in", "ONE\ntwo\nthree\nfour\nFIVE\n")
    assert bench.text("auth.md") == bench.text("auth.md", "alpha")
    assert bench.conflicts() == []


def test_two_values_at_once_are_a_conflict(bench: Bench) -> None:
    """Of two values for one field the index keeps the first; the other is in a conflict, once."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth"))
    bench.write_back()
    bench.edit("auth.md", "name: Auth", "name: One")
    bench.edit("auth.md", "name: Auth", "name: Two", "alpha")
    bench.take("auth.md", key="alpha")
    bench.settle()
    bench.settle()

    (conflict,) = bench.conflicts()
    assert (conflict.field, conflict.base, conflict.index, conflict.file) == ("name", "Auth", "Two", "One")
    assert [bench.text("auth.md", key) for key in ("main", "alpha")] == [bench.head("auth")] * 2


def test_a_typed_status_is_a_request(bench: Bench) -> None:
    """A status typed into a file is granted where it is lawful, each step journaled."""
    bench.put("auth.md", document("auth", status="pending"))
    bench.edit("auth.md", "status: pending", "status: completed")
    bench.take("auth.md")

    assert bench.task("auth").status == "completed"
    steps = [(entry.old, entry.new) for entry in bench.journal("auth") if entry.field == "status"]
    assert steps == [("pending", "in-progress"), ("in-progress", "completed")]


def test_a_typed_status_against_a_claim_is_refused(bench: Bench) -> None:
    """A file cannot take a task from who has claimed it; the refusal is listed, the file put right."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth", status="pending"))
    bench.call("claim", "bob", "alpha", id="auth")
    bench.write_back()
    bench.edit("auth.md", "status: in-progress", "status: completed")
    bench.take("auth.md")
    bench.write_back()

    (refusal,) = bench.problems("refusal")
    assert bench.task("auth").status == "in-progress"
    assert (refusal.path, refusal.field, "bob" in refusal.reason) == ("auth.md", "status", True)
    assert "status: in-progress" in (bench.text("auth.md") or "")


def test_a_status_typed_by_the_holder_is_the_holders(bench: Bench) -> None:
    """In the worktree in which a task was claimed, the file speaks for who claimed it."""
    bench.put("auth.md", document("auth", status="pending"))
    bench.call("claim", "bob", id="auth")
    bench.write_back()
    bench.edit("auth.md", "status: in-progress", "status: completed")
    bench.take("auth.md")

    assert (bench.task("auth").status, bench.task("auth").claim) == ("completed", None)
    assert bench.journal("auth")[-1].actor == "bob"


def test_typed_statuses_can_be_ignored(make_bench: Callable[..., Bench]) -> None:
    """With status_edits = "ignore" only commands change a status."""
    bench = make_bench(status_edits="ignore")
    bench.put("auth.md", document("auth", status="pending"))
    bench.edit("auth.md", "status: pending", "status: completed")
    bench.take("auth.md")

    assert bench.task("auth").status == "pending"
    assert [refusal.field for refusal in bench.problems("refusal")] == ["status"]


def test_an_edit_restores_a_deleted_task(bench: Bench) -> None:
    """A deleted task's file that is edited by hand brings the task back with the edit."""
    bench.put("auth.md", document("auth", body="one\n"))
    bench.call("rm", id="auth")
    bench.edit("auth.md", "one", "two")
    bench.take("auth.md")

    assert (bench.task("auth").deleted_at, bench.task("auth").body) == (None, "two\n")


def test_an_old_copy_restores_nothing(bench: Bench) -> None:
    """A known version of a deleted task that turns up again is listed, and the task stays deleted."""
    bench.put("auth.md", document("auth"))
    bench.call("rm", id="auth")
    bench.write_back()
    bench.put("auth.md", document("auth"))

    assert (bench.ids(), bench.task("auth").deleted_at is not None) == ([], True)
    (notice,) = bench.problems("notice")
    assert "taskd restore auth" in notice.remedy


def test_an_old_version_that_git_brought_says_nothing(make_bench: Callable[..., Bench]) -> None:
    """In the tracked layout a checkout of a superseded version changes nothing in the index."""
    bench = make_bench({"tasks/auth.md": document("auth", "One")}, layout=TRACKED)
    bench.take("auth.md")
    bench.put("auth.md", document("auth", "Two"))
    bench.git(bench.top, "checkout", "-q", "--", "tasks/auth.md")
    bench.take("auth.md")

    assert (bench.task("auth").name, bench.text("auth.md")) == ("Two", document("auth", "One"))


def test_an_edit_in_the_workspace_is_an_edit(bench: Bench) -> None:
    """The workspace directory can be edited; what taskd rendered there is not taken for an edit."""
    bench.put("auth.md", document("auth", body="one\n"))
    bench.call("claim", "bob", id="auth")
    bench.write_back()
    bench.edit("auth.md", "one", "two", WORKSPACE)
    bench.take("auth.md", key=WORKSPACE)
    bench.write_back()

    task = bench.task("auth")
    assert (task.body, task.status, task.file) == ("two\n", "in-progress", "auth.md")
    assert "bob" not in bench.head("auth")
    assert "two\n" in (bench.text("auth.md") or "")


# -- when something fails


def test_a_fault_with_one_file_does_not_stop_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a fault of ours costs one file, which is listed; the others of the batch are taken in."""

    def fail(*arguments: object) -> Plan:
        if arguments[-1] == "bad":
            reason = "oops"
            raise ValueError(reason)
        return reconcile(*arguments)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(taker, "reconcile", fail)
    for id in ("a", "bad", "c"):
        bench.save(f"{id}.md", document(id))
    bench.take("a.md", "bad.md", "c.md")

    assert bench.ids() == ["a", "c"]
    assert [(problem.path, "oops" in problem.reason) for problem in bench.problems()] == [("bad.md", True)]
    assert "plan.failed" in bench.log.names()


def test_a_store_that_dies_leaves_nothing_half_done(bench: Bench) -> None:
    """At whichever step the store dies, nothing of a batch is in the index; later all of it is."""
    bench.put("auth.md", document("auth"))
    bench.edit("auth.md", "name: Auth", "name: Sign in")
    bench.save("db.md", document("db", depends_on="[auth]"))
    bench.save("broken.md", "---\nid: a\nid: b\n---\n")
    before = bench.everything()

    for step in itertools.count():
        bench.db.steps_left = step
        try:
            bench.take("auth.md", "db.md", "broken.md")
        except StoreFailed:
            assert bench.everything() == before
        else:
            break

    assert step > 10
    assert (bench.ids(), bench.task("auth").name, bench.task("auth").revision) == (
        ["auth", "db"],
        "Sign in",
        2,
    )
