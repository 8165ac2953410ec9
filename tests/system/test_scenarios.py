"""What has bitten users of systems that tried this before; the numbers are those of the scenarios."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from taskd import client, wire
from tests.system.project import TREES, Git, Project, locked, run_taskd, task_text, wait_for


@contextmanager
def connected(project: Project) -> Iterator[Callable[..., Any]]:
    """`call(op, params)`: calls over one connection to the daemon, as an API client makes them."""
    connection = client.connect(client.find_home(project.top))
    assert connection is not None
    who = wire.Caller(actor="api", session="api", directory=str(project.top), token=None, request_id=None)
    try:
        yield lambda op, params: connection.submit(wire.Call(op, wire.parameters(params), who)).unwrap()
    finally:
        connection.close()


def commits(project: Project) -> int:
    """How many commits the workspace branch has."""
    return int(project.git(project.top, "rev-list", "--count", "refs/heads/taskd/workspace"))


def test_s01_status_seen_everywhere(project: Project) -> None:
    """A status set in one worktree is the answer in every other at once, without commit or merge."""
    project.taskd("add", "Seen everywhere", "--id", "s01")
    project.taskd("status", "s01", "in-progress", at="one")

    assert [project.show("s01", at=tree)["status"] for tree in TREES] == ["in-progress"] * 3


def test_s01_status_in_the_files(shared: Project) -> None:
    """A status set in one worktree stands in the files of all others, and on the workspace branch."""
    shared.taskd("add", "Seen in files", "--id", "s01-files")
    shared.taskd("status", "s01-files", "in-progress", at="two")

    shared.await_text("s01-files.md", "status: in-progress", (*TREES, "live"))
    wait_for(lambda: "status: in-progress" in shared.mirrored("s01-files.md"))


def test_s01_status_in_a_clone(project: Project, tmp_path: Path) -> None:
    """Whoever clones the workspace branch sees the status, on the board too."""
    project.taskd("add", "Seen in a clone", "--id", "s01-clone")
    project.taskd("status", "s01-clone", "in-progress", at="one")
    project.sync()

    project.git(tmp_path, "clone", "-q", "-b", "taskd/workspace", project.top, "clone")
    assert "status: in-progress" in (tmp_path / "clone/tasks/s01-clone.md").read_text()
    assert "s01-clone" in (tmp_path / "clone/BOARD.md").read_text()


def test_s03_new_file_found_everywhere(project: Project) -> None:
    """A task file made in one worktree is found by list, show, ready and search from every other."""
    project.save("deep/s03.md", task_text("s03", "The body tells of quokkas.\n"), "two")
    project.await_text("deep/s03.md", "quokkas")

    for tree in TREES:
        assert project.show("s03", at=tree)["body"] == "The body tells of quokkas.\n"
        for words in (
            ["list", "--path", "deep"],
            ["ready", "--path", "deep"],
            ["list", "--search", "quokkas"],
        ):
            assert [task["id"] for task in project.taskd(*words, at=tree)] == ["s03"]


def test_s04_same_answer_from_any_directory(project: Project, tmp_path: Path) -> None:
    """Main worktree, linked one, subdirectory, git dir, symbolic link and -C: one and the same answer."""
    project.taskd("add", "Same answer", "--id", "s04", "--tag", "s04")
    (project.tree("one") / "src/deep").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(project.tree("two"))
    places = [*map(project.tree, TREES), project.tree("one") / "src/deep", project.common, link]

    answers = [project.taskd("list", "--tag", "s04", at=place) for place in places]
    answers.append(project.taskd("-C", project.tree("one"), "list", "--tag", "s04", at=tmp_path))
    answers += [project.alone("list", "--tag", "s04", at=place) for place in places]
    assert answers == [answers[0]] * len(answers)
    assert [task["id"] for task in answers[0]] == ["s04"]


def test_s04_outside_is_an_error(tmp_path: Path) -> None:
    """Outside of a repository every verb says so; none answers with an empty list."""
    answers = [run_taskd(words, tmp_path) for words in (["list"], ["show", "x"], ["add", "x"], ["sync"])]

    assert [(answer.code, answer.error["code"]) for answer in answers] == [(2, "no-repository")] * 4
    assert list(tmp_path.iterdir()) == []


def test_s05_no_stale_cache(shared: Project) -> None:
    """What another process writes is in the next answer of a daemon and a client that have run for long."""
    shared.taskd("add", "No cache", "--id", "s05")
    with connected(shared) as call:
        before = call("show", wire.One("s05"))["status"]
        shared.alone("status", "s05", "in-progress", at="one")
        after = call("show", wire.One("s05"))["status"]

    assert (before, after) == ("pending", "in-progress")


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["show", "seed"],
        ["add", "x"],
        ["set", "seed", "risk=low"],
        ["status", "seed", "completed"],
        ["claim", "--next"],
        ["done", "seed"],
        ["dep", "add", "a", "b"],
        ["rm", "seed"],
        ["history"],
        ["problems"],
        ["sync"],
    ],
    ids=lambda words: words[0],
)
def test_s06_one_store_for_all(words: list[str], tracked: Project) -> None:
    """No verb has a store of its own: with one configured that is not there, all refuse, none writes."""
    before = tracked.journal()
    answer = tracked.run(*words, env={"TASKD_NO_DAEMON": "1", "TASKD_BACKEND": "papyrus"})

    assert (answer.code, answer.error["code"]) == (2, "config")
    assert tracked.journal() == before


def test_s07_remotes_are_no_paths(new_project: Callable[..., Project], tmp_path: Path) -> None:
    """Whatever the remotes are called, nothing is read from or written to a path made of their addresses."""
    project = new_project(name="work")
    other = new_project(name="other")
    before = sorted(other.base.rglob("*.md"))
    for name, url in {"origin": "https://example.invalid/a/b.git", "disk": str(other.top)}.items():
        project.git(project.top, "remote", "add", name, url)
    project.alone("add", "Stay here", "--id", "s07")
    project.alone("sync")

    assert project.alone("where")["repo"] == str(project.top)
    assert sorted(other.base.rglob("*.md")) == before
    assert [path for path in tmp_path.rglob("*") if "https:" in path.name or "example" in path.name] == []


def test_s07_main_worktree_unknown(tmp_path: Path, git: Git) -> None:
    """With a git dir that does not know its worktree the answer is an error, and nothing is written."""
    git(tmp_path, "init", "-q", "--separate-git-dir", tmp_path / "place", tmp_path / "top")
    before = sorted((tmp_path / "place").rglob("*"))
    answer = run_taskd(["init"], tmp_path / "place")
    assert answer.code == 2, answer
    assert answer.error["hint"]
    assert sorted((tmp_path / "place").rglob("*")) == before


def test_s21_branch_failure_is_shown_and_retried(shared: Project) -> None:
    """A branch that cannot be written undoes no change, is told by `daemon status`, and is made up for."""
    shared.taskd("add", "Branch fails", "--id", "s21")
    shared.sync()
    lock = shared.common / "refs/heads/taskd/workspace.lock"
    lock.touch()
    try:
        changed = shared.taskd("status", "s21", "in-progress")
        failing = wait_for(lambda: (m := shared.taskd("daemon", "status")["mirror"])["failing"] and m)
        before = shared.mirrored("s21.md")
    finally:
        lock.unlink()

    assert changed["status"] == "in-progress"
    assert failing["reason"]
    assert before
    assert "in-progress" not in before
    wait_for(lambda: "status: in-progress" in shared.mirrored("s21.md"))
    wait_for(lambda: not shared.taskd("daemon", "status")["mirror"]["failing"])


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "quoted" $(touch {trap}) `touch {trap}` ; touch {trap}',
        "--exec=touch {trap}",
        "-rf .",
        "%s %n ${{HOME}} \\",
        "Ünïcödé 任务 🙂",
    ],
)
def test_s25_no_words_are_commands(shared: Project, tmp_path: Path, name: str) -> None:
    """Whatever a task is called, it is text: in commands, in files, in git."""
    trap = tmp_path / "trap"
    shared.sync()
    named = name.format(trap=trap)
    id = shared.taskd("add", "--actor", named[:40], "--", named)["id"]
    shared.taskd("status", id, "in-progress", "--reason", named)
    shared.sync()

    assert shared.show(id)["name"] == named
    told = shared.git(shared.top, "log", "-5", "--format=%B", "refs/heads/taskd/workspace")
    assert f"Actor: {named[:40].strip()}\n" in told
    assert not trap.exists()


def test_s25_trailers_cannot_be_forged(shared: Project) -> None:
    """A line break cannot add a trailer of its own to the commit: in a name it is refused, elsewhere told."""
    shared.sync()
    shared.taskd("add", "Forged", "--id", "s25")
    refused = shared.run("claim", "s25", "--actor", "eve\nActor: root")
    shared.taskd("block", "s25", "--reason", "first\n\nActor: root\nTask: other")
    shared.sync()

    bodies = shared.git(shared.top, "log", "-5", "--format=%B", "refs/heads/taskd/workspace").splitlines()
    assert (refused.code, refused.error["code"]) == (2, "usage")
    assert {"Actor: root", "Task: other"} & set(bodies) == set()
    assert "Actor: root" in shared.show("s25")["reason"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a shell script in place of git")
def test_s26_reading_needs_no_lock_and_no_git(new_project: Callable[..., Project], tmp_path: Path) -> None:
    """Reading verbs are answered while another process holds the lock, and start no git."""
    project, calls, real = new_project(), tmp_path / "calls", shutil.which("git")
    project.alone("add", "Read me", "--id", "s26")
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/git"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {real} "$@"\n')
    fake.chmod(0o755)
    project.start(PATH=f"{fake.parent}:{os.environ['PATH']}")
    project.sync()
    wait_for(lambda: project.taskd("daemon", "status")["queue"] == 0)

    assert calls.exists()
    with locked(project.state / "write.lock"):
        before = calls.read_text()
        read = [
            project.run(*words).code
            for words in (
                ["list"],
                ["show", "s26"],
                ["ready"],
                ["history"],
                ["problems"],
                ["conflicts"],
                ["holds"],
            )
        ]
        after = calls.read_text()
    assert read == [0] * 7
    assert after == before


def test_s27_bursts_make_few_commits(shared: Project) -> None:
    """100 changes in a burst make a few commits with the right end state, and none once nothing changes."""
    shared.taskd("add", "Burst", "--id", "s27")
    shared.sync()
    before = commits(shared)
    with connected(shared) as call:
        for _ in range(50):
            call("status", wire.Move("s27", "in-progress"))
            call("status", wire.Move("s27", "pending"))
        call("status", wire.Move("s27", "in-progress"))
    shared.sync()
    made, tip = commits(shared) - before, shared.tip()
    shared.sync()

    assert 1 <= made <= 20
    assert "status: in-progress" in shared.mirrored("s27.md")
    assert shared.tip() == tip


def test_s28_no_echo(shared: Project) -> None:
    """What the daemon writes is no news to it: while another task goes the whole way, this one rests."""
    shared.save("s28.md", task_text("s28"), "one")
    shared.await_text("s28.md", "s28", TREES)
    shared.taskd("status", "s28", "in-progress")
    shared.sync()
    files = [shared.file("s28.md", tree).stat() for tree in (*TREES, "live")]
    journal, tip = shared.taskd("history", "s28"), shared.tip()
    for number in range(5):
        shared.save("s28-other.md", task_text("s28-other", f"Round {number}.\n"), TREES[number % 3])
        shared.await_text("s28-other.md", f"Round {number}.", TREES)
    shared.sync()

    assert [shared.file("s28.md", tree).stat() for tree in (*TREES, "live")] == files
    assert shared.taskd("history", "s28") == journal
    named = shared.git(
        shared.top, "log", "--format=%H", f"{tip}..refs/heads/taskd/workspace", "--", "tasks/s28.md"
    )
    assert named == ""


def test_s32_broken_files_stop_nobody(project: Project) -> None:
    """Half-written, conflicted, invalid, id-less: each is listed with a reason; all others sync."""
    good = {f"s32-{n}": task_text(f"s32-{n}") for n in range(4)}
    for id, text in good.items():
        project.save(f"{id}.md", text, "one")
    project.sync()
    project.save("s32-0.md", "---\nid: s32-0\nname: half", "one")
    project.save("s32-1.md", "---\nid: s32-1\n<<<<<<< a\nname: a\n=======\nname: b\n>>>>>>> b\n---\n", "one")
    project.save("s32-2.md", "---\nid: s32-2\ndepends_on: [a, b\n---\n", "one")
    project.save("s32-3.md", "---\nrisk: low\n---\n", "one")
    project.save("s32-4.md", task_text("s32-4", risk="huge"), "one")
    project.sync()

    listed = {row["path"]: row for row in project.problems() if row["path"].startswith("s32-")}
    assert sorted(listed) == [f"s32-{n}.md" for n in range(5)]
    assert all(row["reason"] and row["remedy"] and row["worktree"] == "one" for row in listed.values())
    assert [project.show(id)["name"] for id in good] == [f"Task {id}" for id in good]
    assert project.show("s32-4")["risk"] == "huge"


ODD = (
    b"\xef\xbb\xbf---\r\n# who wrote this?\r\nname: 'Odd  one'  # a remark\r\nx-mine: {a: 1,  b: [2, 3]}\r\n"
    b'id: s34\r\ntags: [ b, a ]\r\nEstimate-By: "0012"\r\n\r\n---\r\nBody  \r\n\r\n---\r\nno newline'
)


def test_s34_only_the_field_changes(shared: Project) -> None:
    """Writing one field back leaves every other byte: BOM, CRLF, comments, quotes, order, unknown keys."""
    shared.save("s34.md", ODD, "one")
    shared.await_text("s34.md", b"no newline", TREES)
    shared.taskd("set", "s34", "tags+=c", at="two")
    shared.taskd("status", "s34", "in-progress", at="two")
    shared.sync()

    texts = [shared.file("s34.md", tree).read_bytes() for tree in TREES]
    assert texts == [texts[0]] * 3
    without = b"".join(line for line in texts[0].splitlines(keepends=True) if not line.startswith(b"status:"))
    assert without == ODD.replace(b"[ b, a ]", b"[ b, a, c ]")
    assert shared.show("s34")["extra"]["Estimate-By"] == "0012"


@pytest.mark.parametrize(
    "words",
    [
        ["show", "ghost"],
        ["set", "ghost", "risk=low"],
        ["status", "ghost", "completed"],
        ["claim", "ghost"],
        ["renew", "ghost"],
        ["release", "ghost"],
        ["done", "ghost"],
        ["fail", "ghost"],
        ["block", "ghost", "--reason", "x"],
        ["unblock", "ghost"],
        ["reopen", "ghost"],
        ["dep", "add", "ghost", "ghost2"],
        ["dep", "rm", "ghost", "ghost2"],
        ["rm", "ghost"],
        ["restore", "ghost"],
        ["history", "ghost"],
    ],
    ids=lambda words: words[0],
)
def test_s47_unknown_ids_fail(shared: Project, words: list[str]) -> None:
    """A verb about a task that is not there fails with exit code 4 and changes nothing."""
    before = shared.journal()
    answer = shared.run(*words)

    assert (answer.code, answer.error["code"], answer.data) == (4, "not-found", None)
    assert shared.journal() == before


def test_s47_unlawful_names_the_lawful(shared: Project) -> None:
    """A transition that is not lawful is refused, and the lawful ones are named."""
    shared.taskd("add", "Lawful", "--id", "s47")
    shared.taskd("done", "s47")
    answer = shared.run("status", "s47", "blocked", "--reason", "x")

    assert (answer.code, answer.error["code"]) == (5, "unlawful")
    assert "pending" in answer.error["message"]
    assert shared.show("s47")["status"] == "completed"


def test_s48_identity_is_of_the_call(shared: Project) -> None:
    """Who calls is said by each call; nobody inherits the name of the caller before."""
    for id in ("s48-a", "s48-b", "s48-c"):
        shared.taskd("add", "Whose", "--id", id)
    shared.taskd("claim", "s48-a", "--actor", "alice", at="one")
    second = shared.taskd("claim", "s48-b", at="one")
    third = shared.taskd("claim", "s48-c", at="two", env={"TASKD_ACTOR": "bob"})

    assert [shared.show("s48-a")["claim"]["holder"], second["claim"]["holder"]] == ["alice", "one"]
    assert third["claim"]["holder"] == "bob"
    assert not any(row["value"] in ("alice", "bob") for row in shared.taskd("config", "list"))


def test_s48_same_name_other_session(shared: Project) -> None:
    """The same name from another session is another claimant."""
    shared.taskd("add", "Session", "--id", "s48-d")
    shared.taskd("claim", "s48-d", "--actor", "alice", "--session", "1")
    answer = shared.run("claim", "s48-d", "--actor", "alice", "--session", "2")

    assert (answer.code, answer.error["code"]) == (5, "claimed")
