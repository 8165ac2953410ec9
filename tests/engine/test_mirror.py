"""Step 7: the workspace branch says what the index says, in commits that tell what happened."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from taskd.engine.mirror import BODY_LIMIT, SUBJECT_LIMIT, message
from taskd.engine.moved import TIP
from taskd.engine.recall import journal_mark
from taskd.engine.site import MIRROR
from taskd.errors import BranchMoved, StoreFailed
from taskd.repo.branch import Branch
from taskd.store.base import Entry
from tests.engine.bench import NOON, REF, Bench, document


def mirror(bench: Bench) -> None:
    """Mirror until nothing is left."""
    while bench.engine.mirror():
        pass


def tip(bench: Bench) -> str:
    """Where the branch is."""
    return bench.git(bench.top, "rev-parse", REF).strip()


def entry(task: str = "auth", field: str = "status", **facts: Any) -> Entry:  # noqa: ANN401 - of any field
    """A line of the journal."""
    least = {"old": "pending", "new": "in-progress", "at": NOON, "actor": "alice", "session": "alice"}
    return Entry(task, field, **(least | {"worktree": "main", "cause": "claim"} | facts))


def test_the_first_commit_has_every_task(bench: Bench) -> None:
    """The branch holds every live task, complete, and a board; a person's branches are as they were."""
    bench.put("core/auth.md", document("auth"))
    bench.put("db.md", document("db", depends_on="[auth]"))
    bench.call("claim", id="auth")
    mirror(bench)

    files = bench.on_branch()
    assert set(files) == {"tasks/core/auth.md", "tasks/db.md"}
    assert "status: in-progress" in files["tasks/core/auth.md"]
    assert "status: blocked" in files["tasks/db.md"]
    assert "db" in bench.git(bench.top, "cat-file", "blob", f"{REF}:BOARD.md")
    assert len(bench.commits()) == 1
    assert bench.git(bench.top, "status", "--porcelain") == ""


def test_one_change_is_one_commit(bench: Bench) -> None:
    """A claim is told in the subject, with trailers that programs can read, by who made it."""
    bench.put("auth.md", document("auth"))
    bench.put("db.md", document("db"))
    mirror(bench)
    bench.call("status", id="auth", status="blocked", reason="no key")
    mirror(bench)

    first, _ = bench.commits()
    subject, *_, task, actor, worktree, journal = first.splitlines()
    assert subject == "auth: pending → blocked (alice)"
    assert (task, actor, worktree) == ("Task: auth", "Actor: alice", "Worktree: main")
    assert journal == f"Journal: {journal_mark(bench.journal()[-1])}"
    assert bench.git(bench.top, "log", "-1", "--format=%an", REF).strip() == "alice"
    changed = bench.git(bench.top, "diff", "--name-only", f"{REF}~", REF).split()
    assert changed == ["BOARD.md", "tasks/auth.md"]


def test_no_change_is_no_commit(bench: Bench) -> None:
    """Errands that come to nothing make no commit, and are done."""
    bench.put("auth.md", document("auth"))
    mirror(bench)
    before = tip(bench)
    with bench.db.write() as txn:
        txn.enqueue(MIRROR, ["auth"])
    mirror(bench)

    assert (tip(bench), bench.errands(MIRROR), bench.engine.unmirrored()) == (before, [], False)


def test_what_is_deleted_or_moved_leaves_its_place(bench: Bench) -> None:
    """A deleted task's file goes from the branch; a moved one is at its new place only."""
    for id in ("auth", "db"):
        bench.put(f"{id}.md", document(id))
    mirror(bench)
    bench.call("rm", id="db")
    bench.file("core").mkdir()
    bench.file("auth.md").rename(bench.file("core/auth.md"))
    bench.take("auth.md", "core/auth.md")
    mirror(bench)

    assert set(bench.on_branch()) == {"tasks/core/auth.md"}


def test_dependents_show_what_they_wait_for(bench: Bench) -> None:
    """When a task is done, what waited for it is shown as pending too."""
    bench.put("auth.md", document("auth"))
    bench.put("db.md", document("db", depends_on="[auth]"))
    mirror(bench)
    bench.call("status", id="auth", status="done")
    mirror(bench)

    assert "status: blocked" not in bench.on_branch()["tasks/db.md"]


@pytest.mark.parametrize("damage", ["deleted", "emptied", "reset"])
def test_a_branch_that_somebody_moved_is_rebuilt(bench: Bench, damage: str) -> None:
    """Whatever was done to the branch, it says again what the index says, with a later change too."""
    bench.put("auth.md", document("auth"))
    mirror(bench)
    bench.put("db.md", document("db"))
    mirror(bench)
    files = bench.on_branch()
    empty = bench.git(bench.top, "commit-tree", "-m", "emptied", "-p", REF, "HEAD^{tree}").strip()
    what = {"deleted": ("-d", REF), "emptied": (REF, empty), "reset": (REF, f"{REF}~")}[damage]
    bench.git(bench.top, "update-ref", *what)
    bench.engine.finish_branch()

    assert bench.on_branch() == files
    with bench.db.read() as view:
        assert view.meta(TIP) == tip(bench)
    bench.put("new.md", document("new"))
    bench.engine.finish_branch()
    assert set(bench.on_branch()) == {*files, "tasks/new.md"}


def test_a_commit_of_somebody_else_stays_in_the_history(bench: Bench) -> None:
    """A commit that somebody put on the branch is not forced over: ours comes after it."""
    bench.put("auth.md", document("auth"))
    mirror(bench)
    theirs = bench.git(bench.top, "commit-tree", "-m", "theirs", "-p", REF, "HEAD^{tree}").strip()
    bench.git(bench.top, "update-ref", REF, theirs)
    bench.engine.finish_branch()

    assert bench.git(bench.top, "merge-base", theirs, REF).strip() == theirs
    assert set(bench.on_branch()) == {"tasks/auth.md"}


class Contested(Branch):
    """A branch that somebody else commits to just before we do, so many times."""

    rivals = 0

    def publish(self, changes: Mapping[str, bytes | None], message: str, **options: Any) -> str:  # noqa: ANN401 - handed on
        """Publish, after the rival."""
        if self.rivals:
            self.rivals -= 1
            tree = self.git.text("rev-parse", f"{self.ref}^{{tree}}")
            who = {
                f"GIT_{role}_{what}": "rival"
                for role in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            }
            rival = self.git.text("commit-tree", "-m", "rival", "-p", self.ref, tree, env=who)
            self.git.text("update-ref", self.ref, rival)
        return super().publish(changes, message, **options)


@pytest.mark.parametrize("rivals", [2, 5])
def test_a_branch_that_moves_meanwhile_is_read_again(bench: Bench, rivals: int) -> None:
    """Somebody's commit in the very moment is no failure; who never stops is backed off from."""
    bench.put("auth.md", document("auth"))
    mirror(bench)
    branch = Contested(bench.engine.branch.git, REF)
    branch.rivals = rivals
    bench.engine.branching.branch = branch
    bench.put("db.md", document("db"))

    if rivals == 5:
        with pytest.raises(BranchMoved):
            bench.engine.mirror()
        assert bench.errands(MIRROR) == ["db"]
    bench.engine.finish_branch()

    assert set(bench.on_branch()) == {"tasks/auth.md", "tasks/db.md"}
    assert bench.errands(MIRROR) == []


def test_a_store_that_dies_after_the_branch_moved(bench: Bench) -> None:
    """At whichever step the store dies, the branch is right when it is back."""
    bench.put("auth.md", document("auth"))
    mirror(bench)
    for step in itertools.count():
        bench.put(f"t{step}.md", document(f"t{step}"))
        bench.db.steps_left = step
        died = False
        try:
            mirror(bench)
        except StoreFailed:
            died = True
        bench.db.steps_left = None
        bench.engine.finish_branch()
        assert set(bench.on_branch()) == {"tasks/auth.md", *(f"tasks/t{n}.md" for n in range(step + 1))}
        assert bench.errands(MIRROR) == []
        if not died:
            break

    assert step > 2


def test_a_message_of_one_change() -> None:
    """One change is its own subject."""
    expected = "auth: pending → in-progress (alice)\n\nTask: auth\nActor: alice\nWorktree: main\n"
    assert message([entry()], 1) == expected


def test_a_message_of_several_changes_of_one_task() -> None:
    """Several changes of one task are told one by one, below the first."""
    told = message([entry(), entry(field="claim", old=None, new={"holder": "alice"})], 1).splitlines()
    assert told[:4] == [
        "auth: pending → in-progress (alice)",
        "",
        "auth: pending → in-progress (alice)",
        "auth: claimed (alice)",
    ]


def test_a_message_of_a_burst() -> None:
    """A burst is told by its number of tasks and its beginning, each trailer once, no line too long."""
    news = [entry(f"task-{number:03}", actor="alice\nbob") for number in range(BODY_LIMIT + 1)]
    subject, _, *body = message(news, len(news)).splitlines()

    assert subject.startswith("51 tasks: task-000: pending → in-progress (alice bob)")
    assert len(subject) <= SUBJECT_LIMIT
    assert (body[BODY_LIMIT], body.count("Actor: alice bob")) == ("…", 1)


def test_a_message_without_news() -> None:
    """A branch that is only remade says so."""
    assert message([], 3) == "3 tasks mirrored\n"
