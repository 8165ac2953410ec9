"""What others put on the workspace branch is merged into the index, task by task, and nothing is lost."""

from __future__ import annotations

import itertools

import pytest

from taskd.core.task import Status
from taskd.engine.moved import TIP
from taskd.engine.site import MIRROR
from taskd.errors import StoreFailed
from tests.engine.bench import REF, Bench, document
from tests.engine.rival import commit, rewrite

AUTH = "tasks/auth.md"


def tip(bench: Bench) -> str:
    """Where the branch is."""
    return bench.git(bench.top, "rev-parse", REF).strip()


@pytest.fixture
def mirrored(bench: Bench) -> Bench:
    """An engine with a task that stands on the branch."""
    bench.put("auth.md", document("auth", body="One.\n\nTwo.\n\nThree.\n", priority="low"))
    bench.engine.finish_branch()
    return bench


def test_an_edit_on_the_branch_is_taken(mirrored: Bench) -> None:
    """What somebody changed there stands in the index and in every worktree, and needs no commit of ours."""
    theirs = rewrite(mirrored, AUTH, ("priority: low", "priority: high"), ("Two.", "Two and a half."))
    mirrored.engine.finish_branch()
    mirrored.write_back()

    task = mirrored.task("auth")
    assert (task.priority, task.body) == ("high", "One.\n\nTwo and a half.\n\nThree.\n")
    assert mirrored.text("auth.md") == mirrored.head("auth")
    assert (tip(mirrored), mirrored.errands(MIRROR), mirrored.conflicts()) == (theirs, [], [])


def test_who_wrote_it_is_in_the_journal(mirrored: Bench) -> None:
    """The journal names the author of the commit and where it was taken from."""
    rewrite(mirrored, AUTH, ("priority: low", "priority: high"))
    mirrored.engine.finish_branch()

    entry = mirrored.journal("auth")[-1]
    assert (entry.field, entry.old, entry.new, entry.actor) == ("priority", "low", "high", "Test Author")
    assert (entry.worktree, entry.cause) == ("@branch", "merge of taskd/workspace")


def test_both_sides_changed_different_things(mirrored: Bench) -> None:
    """An edit here and another there both stand, on the branch too."""
    mirrored.call("set", id="auth", values={"risk": "high"})
    rewrite(mirrored, AUTH, ("One.", "One!"))
    mirrored.engine.finish_branch()

    task, text = mirrored.task("auth"), mirrored.on_branch()[AUTH]
    assert (task.risk, task.body.startswith("One!")) == ("high", True)
    assert "risk: high" in text
    assert "One!" in text
    assert mirrored.conflicts() == []


def test_both_sides_changed_the_same_differently(mirrored: Bench) -> None:
    """The index's value stands, and all three are kept as a conflict."""
    mirrored.call("set", id="auth", values={"priority": "medium"})
    rewrite(mirrored, AUTH, ("priority: low", "priority: high"))
    mirrored.engine.finish_branch()

    [conflict] = mirrored.conflicts()
    assert (conflict.field, conflict.base, conflict.index, conflict.file) == (
        "priority",
        "low",
        "medium",
        "high",
    )
    assert (mirrored.task("auth").priority, conflict.worktree) == ("medium", "@branch")
    assert "priority: medium" in mirrored.on_branch()[AUTH]


def test_a_status_typed_on_the_branch(mirrored: Bench) -> None:
    """A status changed there is taken by lawful steps, each journaled."""
    rewrite(mirrored, AUTH, ("priority: low", "priority: low\nstatus: completed"))
    mirrored.engine.finish_branch()

    steps = [(entry.old, entry.new) for entry in mirrored.journal("auth") if entry.field == "status"]
    assert steps == [("pending", "in-progress"), ("in-progress", "completed")]
    assert mirrored.task("auth").status is Status.COMPLETED


def test_a_new_task_is_taken_in_whole(mirrored: Bench) -> None:
    """A file that is new there is a new task here, with the status and notes it has there."""
    text = document("new", status="in-progress", depends_on="[auth]", body="Body.\n")
    notes = "## Notes\n\n- 2026-03-01T10:00:00.000Z **bob**: first\n  second line\n"
    marks = "<!-- taskd: begin, rendered; edits here are not kept -->\n{}<!-- taskd: end -->\n"
    commit(mirrored, {"tasks/deep/new.md": text + marks.format(notes)})
    mirrored.engine.finish_branch()
    mirrored.write_back()

    task = mirrored.task("new")
    assert (task.status, task.file, task.depends_on) == (Status.IN_PROGRESS, "deep/new.md", ("auth",))
    assert [(note.by, note.text) for note in task.notes] == [("bob", "first\nsecond line")]
    assert mirrored.text("deep/new.md") is not None


def test_a_task_deleted_on_the_branch(mirrored: Bench) -> None:
    """A file removed there, unchanged here, is a deletion with a tombstone, everywhere."""
    mirrored.put("db.md", document("db"))
    mirrored.engine.finish_branch()
    mirrored.write_back()
    commit(mirrored, {"tasks/db.md": None})
    mirrored.engine.finish_branch()
    mirrored.write_back()

    assert (mirrored.ids(), mirrored.text("db.md")) == (["auth"], None)
    assert mirrored.call("restore", id="db").unwrap()["id"] == "db"


def test_an_edit_wins_over_a_deletion(mirrored: Bench) -> None:
    """Removed there and edited here: the task stays, is on the branch again, and a notice says so."""
    mirrored.put("db.md", document("db"))
    mirrored.engine.finish_branch()
    mirrored.call("set", id="db", values={"priority": "high"})
    commit(mirrored, {"tasks/db.md": None})
    mirrored.engine.finish_branch()

    assert "priority: high" in mirrored.on_branch()["tasks/db.md"]
    assert [notice.task for notice in mirrored.problems("notice")] == ["db"]


def test_a_deletion_here_stands(mirrored: Bench) -> None:
    """Deleted here and untouched there: it stays deleted. Edited there meanwhile: it is back."""
    for id in ("db", "api"):
        mirrored.put(f"{id}.md", document(id))
    mirrored.engine.finish_branch()
    mirrored.call("rm", id="db")
    mirrored.call("rm", id="api")
    rewrite(mirrored, "tasks/db.md", ("name: Db", "name: Data"))
    mirrored.engine.finish_branch()

    assert (mirrored.ids(), mirrored.task("db").name) == (["auth", "db"], "Data")
    assert set(mirrored.on_branch()) == {AUTH, "tasks/db.md"}


def test_many_deletions_are_held(mirrored: Bench) -> None:
    """Somebody empties the branch: nothing is deleted, all is put back, and a person is asked."""
    mirrored.put("db.md", document("db"))
    mirrored.engine.finish_branch()
    before = mirrored.on_branch()
    commit(mirrored, {AUTH: None, "tasks/db.md": None})
    mirrored.engine.finish_branch()

    [hold] = mirrored.holds()
    assert (hold.worktree, hold.tasks) == ("@branch", ("auth", "db"))
    assert (mirrored.ids(), mirrored.on_branch()) == (["auth", "db"], before)


def test_a_task_moved_on_the_branch(mirrored: Bench) -> None:
    """A file moved to another directory there is the same task at another path."""
    text = mirrored.on_branch()[AUTH]
    commit(mirrored, {AUTH: None, "tasks/core/auth.md": text})
    mirrored.engine.finish_branch()
    mirrored.write_back()

    assert (mirrored.task("auth").file, mirrored.text("auth.md")) == ("core/auth.md", None)
    assert set(mirrored.on_branch()) == {"tasks/core/auth.md"}


def test_a_broken_file_on_the_branch(mirrored: Bench) -> None:
    """A file that cannot be read is listed, the task keeps its last good state and is written again."""
    before = mirrored.on_branch()
    commit(mirrored, {AUTH: "---\nid: auth\n<<<<<<< x\n---\n", "tasks/other.md": document("other")})
    mirrored.engine.finish_branch()

    [problem] = mirrored.problems()
    assert (problem.worktree, problem.path, problem.task) == ("@branch", "auth.md", "auth")
    assert (mirrored.on_branch()[AUTH], mirrored.ids()) == (before[AUTH], ["auth", "other"])
    rewrite(mirrored, AUTH, ("priority: low", "priority: high"))
    mirrored.engine.finish_branch()
    assert (mirrored.problems(), mirrored.task("auth").priority) == ([], "high")


def test_a_claim_of_this_clone_is_not_ended_there(mirrored: Bench) -> None:
    """While somebody here works on a task, a status typed there is a conflict, and the claim goes on."""
    mirrored.call("claim", id="auth")
    mirrored.engine.finish_branch()
    rewrite(mirrored, AUTH, ("status: in-progress", "status: completed"))
    mirrored.engine.finish_branch()

    task = mirrored.task("auth")
    assert (task.status, task.claim is not None) == (Status.IN_PROGRESS, True)
    assert [(c.field, c.file) for c in mirrored.conflicts()] == [("status", "completed")]
    assert "status: in-progress" in mirrored.on_branch()[AUTH]


def test_a_blocked_task_is_no_status_of_its_own(mirrored: Bench) -> None:
    """What is shown as blocked by a dependency is no status that anybody set; to unblock it is no news."""
    mirrored.put("db.md", document("db", depends_on="[auth]"))
    mirrored.engine.finish_branch()
    rewrite(mirrored, "tasks/db.md", ("name: Db", "name: Data"))
    mirrored.engine.finish_branch()

    assert (mirrored.task("db").status, mirrored.task("db").name) == (Status.PENDING, "Data")


def test_other_files_on_the_branch_stay(mirrored: Bench) -> None:
    """What is no task there is left alone, also when the branch is written anew."""
    first = tip(mirrored)
    commit(mirrored, {"README.md": "Hello.\n", "tasks/img.svg": "<svg/>\n"})
    mirrored.engine.finish_branch()
    commit(mirrored, {"README.md": "Hello again.\n"}, first)
    mirrored.engine.finish_branch()

    assert mirrored.git(mirrored.top, "show", f"{REF}:README.md") == "Hello again.\n"
    assert AUTH in mirrored.on_branch()


def test_a_reset_branch_brings_nothing_back(mirrored: Bench) -> None:
    """Whoever moves the branch back brings no old value back, and no deleted task."""
    mirrored.put("db.md", document("db"))
    mirrored.engine.finish_branch()
    old = tip(mirrored)
    mirrored.call("set", id="auth", values={"priority": "high"})
    mirrored.call("rm", id="db")
    mirrored.engine.finish_branch()
    mirrored.git(mirrored.top, "update-ref", REF, old)
    mirrored.engine.finish_branch()

    assert (mirrored.task("auth").priority, mirrored.ids()) == ("high", ["auth"])
    assert set(mirrored.on_branch()) == {AUTH}
    assert mirrored.conflicts() == []


def test_an_edit_on_a_reset_branch_is_taken(mirrored: Bench) -> None:
    """What was edited on top of an older commit is news, and nothing else of it is."""
    old = tip(mirrored)
    mirrored.call("set", id="auth", values={"risk": "high"})
    mirrored.engine.finish_branch()
    text = mirrored.git(mirrored.top, "show", f"{old}:{AUTH}").replace("One.", "One!")
    theirs = commit(mirrored, {AUTH: text}, old)
    mirrored.engine.finish_branch()

    task = mirrored.task("auth")
    assert (task.risk, task.body.startswith("One!"), mirrored.conflicts()) == ("high", True, [])
    assert mirrored.git(mirrored.top, "merge-base", theirs, REF).strip() == theirs


def test_an_unrelated_history_conflicts(mirrored: Bench) -> None:
    """Without anything in common, what differs is a conflict and nothing is written over."""
    text = mirrored.on_branch()[AUTH].replace("priority: low", "priority: high")
    commit(mirrored, {AUTH: text, "tasks/new.md": document("new")}, None)
    mirrored.engine.finish_branch()

    assert [(c.field, c.index, c.file) for c in mirrored.conflicts()] == [("priority", "low", "high")]
    assert (mirrored.ids(), mirrored.task("auth").priority) == (["auth", "new"], "low")


def test_a_store_that_dies_while_taking(bench: Bench) -> None:
    """At whichever step the store dies, all of it is taken once when it is back."""
    bench.put("auth.md", document("auth"))
    bench.engine.finish_branch()
    for step in itertools.count():
        text = document(f"t{step}", body="Body.\n")
        commit(bench, {f"tasks/t{step}.md": text, AUTH: document("auth", name=f"Name {step}")})
        bench.db.steps_left = step
        died = False
        try:
            bench.engine.mirror()
        except StoreFailed:
            died = True
        bench.db.steps_left = None
        bench.engine.finish_branch()
        assert (bench.task("auth").name, f"t{step}" in bench.ids()) == (f"Name {step}", True)
        assert (bench.conflicts(), bench.errands(MIRROR)) == ([], [])
        if not died:
            break

    assert step > 3
    names = [entry.new for entry in bench.journal("auth") if entry.field == "name"]
    assert names == [f"Name {number}" for number in range(step + 1)]


def test_it_settles(mirrored: Bench) -> None:
    """After others' changes were taken there is nothing left to do, and nothing is written."""
    rewrite(mirrored, AUTH, ("One.", "One!"))
    commit(mirrored, {"tasks/new.md": document("new")})
    for _ in ("taken", "written back", "found as written"):
        mirrored.settle()
    before, at = mirrored.db.writes, tip(mirrored)
    mirrored.settle()

    assert (mirrored.db.writes, tip(mirrored)) == (before, at)
    with mirrored.db.read() as view:
        assert view.meta(TIP) == at
