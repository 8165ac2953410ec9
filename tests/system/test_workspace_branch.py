"""The workspace branch with others: two clones with their daemons, a repository between them, and people."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from taskd.core.task import Note
from taskd.engine.site import MIRROR, REPLICAS
from taskd.repo.crash import STEPS
from taskd.store.sqlite import SqliteDatabase
from tests.system.project import Git, Project, make_project, serving, task_text, wait_for

REF = "refs/heads/taskd/workspace"
#: steps that only a daemon passes which others write beside
STEPS_OF_OTHERS = tuple(step for step in STEPS if step.startswith(("branch.tak", "remote.")))


@pytest.fixture
def bare(tmp_path: Path, git: Git) -> Path:
    """The repository between the clones; empty."""
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    return tmp_path / "bare.git"


@pytest.fixture
def pair(tmp_path: Path, git: Git, bare: Path) -> Iterator[tuple[Project, Project]]:
    """Two projects that agree by way of the bare repository, with a task in common; no daemon yet."""
    made = tuple(make_project(tmp_path / name, git, "shared") for name in ("a", "b"))
    for project in made:
        project.env |= {"TASKD_MIRROR_REMOTE": str(bare), "TASKD_MIRROR_FETCH_INTERVAL": "1"}
    made[0].taskd("add", "Common", "--id", "common")
    for project in made:
        project.taskd("sync")
    yield made[0], made[1]
    for project in made:
        project.stop()


def note(project: Project, id: str, text: str) -> None:
    """Add a note, as a command will."""
    with closing(SqliteDatabase(project.state / "index.db")) as database, database.write() as txn:
        txn.add_note(id, Note(txn.now(), "tester", text))
        txn.enqueue(REPLICAS, [id])
        txn.enqueue(MIRROR, [id])


def are_same(one: Project, two: Project, bare: Path) -> bool:
    """Whether both, and what is between them, are at one commit."""
    return one.tip() == two.tip() == one.git(bare, "rev-parse", REF).strip()


def remote_of(project: Project) -> dict[str, Any]:
    """What the daemon says of the remote."""
    found: dict[str, Any] = project.taskd("daemon", "status")["mirror"]["remote"]
    return found


def await_agreement(project: Project) -> None:
    """Wait until the daemon has been at the remote once more."""
    before = remote_of(project)["agreed"]
    wait_for(lambda: remote_of(project)["agreed"] != before)


def test_two_daemons_and_a_bare_repository(pair: tuple[Project, Project], bare: Path) -> None:
    """Edits, notes and statuses on both sides arrive on the other, in its files too; then silence."""
    one, two = pair
    with serving(one), serving(two):
        one.taskd("status", "common", "in-progress")
        two.taskd("set", "common", "priority=high")
        one.save("from-one.md", task_text("from-one"), "two")
        two.save("from-two.md", task_text("from-two"), "one")
        note(one, "common", "of one\nin two lines")
        note(two, "common", "of two")
        wait_for(lambda: len(one.show("common")["notes"]) == len(two.show("common")["notes"]) == 2)
        wait_for(lambda: len(one.taskd("list")) == len(two.taskd("list")) == 3)
        for project in pair:
            shown = project.show("common")
            assert (shown["status"], shown["priority"]) == ("in-progress", "high")
            assert {n["text"] for n in shown["notes"]} == {"of one\nin two lines", "of two"}
            for name in ("from-one.md", "from-two.md"):
                project.await_text(name, "Text.", ("main", "one", "two", "live"))
        wait_for(lambda: are_same(one, two, bare))
        assert one.taskd("conflicts") == two.taskd("conflicts") == []

        before = one.tip(), len(one.journal()), len(two.journal())
        for project in (one, two, one):  # each looks again, and nothing comes of it
            await_agreement(project)
        assert (one.tip(), len(one.journal()), len(two.journal())) == before
        assert remote_of(one) | {"agreed": 0} == {
            "name": str(bare),
            "failing": False,
            "failures": 0,
            "reason": None,
            "agreed": 0,
        }


def test_s22_somebody_pushed_first(pair: tuple[Project, Project], bare: Path, tmp_path: Path) -> None:
    """S-22: a person pushed to the branch: fetched, merged and pushed again, and both histories stay."""
    one, two = pair
    one.git(tmp_path, "clone", "-q", "-b", "taskd/workspace", bare, "person")
    file = tmp_path / "person/tasks/common.md"
    file.write_text(file.read_text().replace("name: Common", "name: Renamed by hand"))
    one.git(tmp_path / "person", "commit", "-q", "-a", "-m", "by hand")
    theirs = one.git(tmp_path / "person", "rev-parse", "HEAD").strip()
    one.taskd("set", "common", "risk=high", env={"TASKD_MIRROR_REMOTE": ""})
    one.git(tmp_path / "person", "push", "-q", "origin", "HEAD")
    ours = one.tip()
    one.taskd("sync")
    two.taskd("sync")

    for project in pair:
        shown = project.show("common")
        assert (shown["name"], shown["risk"]) == ("Renamed by hand", "high")
    for commit in (ours, theirs):
        assert one.git(bare, "merge-base", commit, REF).strip() == commit
    assert are_same(one, two, bare)


def test_s23_the_branch_is_harmed(pair: tuple[Project, Project], bare: Path) -> None:
    """S-23: deleted or without its objects: made whole from the index, and commands go on meanwhile."""
    one, two = pair
    with serving(one):
        one.git(one.top, "update-ref", "-d", REF)
        assert one.taskd("set", "common", "risk=high")["risk"] == "high"
        wait_for(lambda: "risk: high" in one.mirrored("common.md"))
        victim = one.git(one.top, "rev-parse", f"{REF}:tasks/common.md").strip()
        loose = one.common / "objects" / victim[:2] / victim[2:]
        one.git(one.top, "repack", "-q", "-a", "-d") if not loose.exists() else loose.unlink()
        assert one.taskd("set", "common", "risk=low")["risk"] == "low"
        wait_for(lambda: "risk: low" in one.mirrored("common.md"))
        one.sync()
    two.taskd("sync")

    assert two.show("common")["risk"] == "low"
    assert are_same(one, two, bare)


@pytest.mark.parametrize("how", ["gone", "none", "nowhere"])
def test_s24_without_a_remote(pair: tuple[Project, Project], bare: Path, how: str) -> None:
    """S-24: offline, with a remote that does not exist, or none: all else works, and it is said."""
    one, _ = pair
    bare.rename(bare.with_name("away.git"))
    one.env["TASKD_MIRROR_REMOTE"] = {"gone": str(bare), "none": "", "nowhere": "origin"}[how]
    with serving(one):
        assert one.taskd("set", "common", "risk=high")["risk"] == "high"
        assert one.run("sync").code == 0
        wait_for(lambda: "risk: high" in one.mirrored("common.md"))
        if how == "none":
            assert one.taskd("daemon", "status")["mirror"]["remote"] is None
        else:
            wait_for(lambda: remote_of(one)["failing"])
    assert one.run("set", "common", "risk=low", env={"TASKD_NO_DAEMON": "1"}).code == 0


@pytest.mark.parametrize("step", STEPS_OF_OTHERS)
def test_killed_while_others_are_heard(pair: tuple[Project, Project], bare: Path, step: str) -> None:
    """Killed at any step of taking in and agreeing, and restarted: all is there once, on both sides."""
    one, two = pair
    two.taskd("status", "common", "in-progress")
    note(two, "common", "a note")
    two.taskd("add", "New", "--id", "new")
    two.taskd("sync")
    one.taskd("set", "common", "risk=high", env={"TASKD_MIRROR_REMOTE": ""})
    daemon = one.launch(TASKD_CRASH_AT=step)
    assert daemon.wait(30) == -signal.SIGKILL
    one.daemon = None
    one.taskd("sync")
    two.taskd("sync")

    for project in pair:
        shown = project.show("common")
        assert (shown["status"], shown["risk"], len(shown["notes"])) == ("in-progress", "high", 1)
        assert project.taskd("conflicts") == []
        assert {task["id"] for task in project.taskd("list")} == {"common", "new"}
    steps = [row["new"] for row in one.journal() if row["field"] == "status"]
    assert steps == ["in-progress"]
    assert are_same(one, two, bare)


def test_s27_a_burst_is_pushed_in_few_commits(pair: tuple[Project, Project], bare: Path) -> None:
    """S-27: a hundred changes make few commits here and there, and nothing changed makes none."""
    one, two = pair
    with serving(one):
        before = int(one.git(one.top, "rev-list", "--count", REF))
        for number in range(50):
            one.taskd("set", "common", f"estimate={number + 1}")
        one.sync()
        wait_for(lambda: one.git(bare, "rev-parse", REF).strip() == one.tip())
    two.taskd("sync")

    assert two.show("common")["estimate"] == 50
    assert int(one.git(bare, "rev-list", "--count", REF)) - before < 50
    tip = two.tip()
    two.taskd("sync")
    assert two.tip() == tip


def test_a_fresh_clone_is_set_up(pair: tuple[Project, Project], tmp_path: Path) -> None:
    """`taskd init` in a fresh clone: tasks, statuses and notes are there, and the files in the worktree."""
    one, _ = pair
    one.taskd("status", "common", "in-progress")
    note(one, "common", "kept")
    one.taskd("sync")
    one.git(tmp_path, "clone", "-q", one.top, "fresh")
    fresh = tmp_path / "fresh"
    report = one.taskd("init", at=fresh, env={"TASKD_MIRROR_REMOTE": ""})

    assert (report["layout"], report["tasks"]) == ("shared", 1)
    shown = one.taskd("show", "common", at=fresh)
    assert (shown["status"], [n["text"] for n in shown["notes"]]) == ("in-progress", ["kept"])
    assert "status: in-progress" in text_at(fresh / "tasks/common.md")
    assert one.git(fresh, "status", "--porcelain") == ""


def text_at(path: Path) -> str:
    """What a file says; while git writes it anew it is not there."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def test_a_worktree_that_shows_the_branch(pair: tuple[Project, Project]) -> None:
    """A clean worktree on the branch follows it; a dirty one holds it, and `daemon status` says so."""
    one, _ = pair
    shown = one.base / "shown"
    with serving(one):
        one.git(one.top, "worktree", "add", "-q", shown, "taskd/workspace")
        one.taskd("set", "common", "risk=high")
        wait_for(lambda: "risk: high" in text_at(shown / "tasks/common.md"))
        wait_for(lambda: one.git(shown, "status", "--porcelain") == "")
        (shown / "tasks/common.md").write_text("mine\n")
        one.taskd("set", "common", "risk=low")
        wait_for(lambda: one.taskd("daemon", "status")["mirror"]["failing"])
        assert "not committed" in one.taskd("daemon", "status")["mirror"]["reason"]
        assert (shown / "tasks/common.md").read_text() == "mine\n"
        one.git(shown, "checkout", "-q", "--", ".")
        wait_for(lambda: "risk: low" in text_at(shown / "tasks/common.md"))
        wait_for(lambda: one.problems() == [])


def test_killed_while_a_worktree_is_brought_along(pair: tuple[Project, Project]) -> None:
    """Killed between worktree and branch: that is seen to be taskd's own doing, and it goes on."""
    one, _ = pair
    shown = one.base / "shown"
    one.git(one.top, "worktree", "add", "-q", shown, "taskd/workspace")
    daemon = one.launch(TASKD_CRASH_AT="branch.brought-along")
    one.await_daemon()
    one.run("set", "common", "risk=high")
    assert daemon.wait(30) == -signal.SIGKILL
    one.daemon = None
    assert one.git(shown, "status", "--porcelain") != ""
    one.taskd("set", "common", "priority=low")
    one.taskd("sync")

    assert one.git(shown, "status", "--porcelain") == ""
    assert "priority: low" in text_at(shown / "tasks/common.md")
    assert one.problems() == []


def test_sha256(tmp_path: Path, git: Git) -> None:
    """Repositories whose objects are named by SHA-256 agree like others."""
    git(tmp_path, "init", "-q", "--bare", "--object-format=sha256", "bare.git")
    env = {"TASKD_MIRROR_REMOTE": str(tmp_path / "bare.git")}
    made = list[Project]()
    for name in ("a", "b"):
        project = Project(tmp_path / name, git, env=env)
        git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", project.top)
        git(project.top, "commit", "-q", "--allow-empty", "-m", "begin")
        project.taskd("init", "--shared")
        project.taskd("add", f"From {name}", "--id", name)
        project.taskd("sync")
        made.append(project)
    made[0].taskd("sync")

    assert [len(project.taskd("list")) for project in made] == [2, 2]
    assert made[0].tip() == made[1].tip()
    assert len(made[0].tip()) == 64
