"""Where taskd is called: outside of repositories, and in all kinds of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import FULL, Answer, Git, Project, run_taskd, task_text, wait_for

#: a verb of each kind: reading, writing, setting up, the daemon's
VERBS = (
    ["list"],
    ["show", "x"],
    ["add", "x"],
    ["claim", "--next"],
    ["sync"],
    ["problems"],
    ["daemon", "start"],
)


def everything(root: Path) -> dict[str, bytes | None]:
    """Every path below a directory with the bytes of the files; git's own index comes and goes."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def refusals(directory: Path, verbs: tuple[list[str], ...]) -> list[tuple[int, str]]:
    """Exit and error code of each verb there; each has to say what to do about it."""
    answers = [run_taskd(words, directory) for words in verbs]
    assert [
        answer for answer in answers if not (answer.error.get("message") and answer.error.get("hint"))
    ] == []
    return [(answer.code, answer.error["code"]) for answer in answers]


def good(directory: Path, *words: str) -> Any:  # noqa: ANN401 - JSON
    """What a command says that has to succeed."""
    answer = run_taskd(words, directory)
    assert answer.code == 0, answer
    return answer.data


def test_outside_of_a_repository(tmp_path: Path) -> None:
    """Outside of a repository every verb says so, exits with 2 and writes nothing."""
    verbs = (*VERBS, ["init"], ["uninit"], ["where"], ["daemon", "run"])

    assert refusals(tmp_path, verbs) == [(2, "no-repository")] * len(verbs)
    assert everything(tmp_path) == {}


def test_directory_that_is_not_there(tmp_path: Path) -> None:
    """-C with a directory that does not exist is refused by that name."""
    answer = run_taskd(["-C", tmp_path / "nowhere", "list"], tmp_path)

    assert answer.code == 2
    assert "nowhere" in answer.error["message"]


def test_bare_without_worktrees(tmp_path: Path, git: Git) -> None:
    """In a bare repository without worktrees there is no place for task files: it says so, writes nothing."""
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    before = everything(tmp_path)
    verbs = (*VERBS, ["init"])

    assert refusals(tmp_path / "bare.git", verbs) == [(2, "no-worktree")] * len(verbs)
    assert everything(tmp_path) == before


def test_not_set_up(make_repo: Callable[..., Path]) -> None:
    """Before `taskd init` every verb names it, and writes nothing."""
    repo = make_repo(files={"tasks/a.md": task_text("a")})
    before = everything(repo)

    assert refusals(repo, VERBS) == [(2, "not-set-up")] * len(VERBS)
    assert run_taskd(["init", "--dry-run"], repo).data["layout"] == "tracked"
    assert everything(repo) == before


def test_without_tasks_directory(make_repo: Callable[..., Path], git: Git) -> None:
    """A repository without a tasks directory can be set up: nothing to list, and no file to commit."""
    repo = make_repo()
    good(repo, "init")

    assert good(repo, "list") == []
    assert good(repo, "sync")["tasks"] == 0
    assert git(repo, "status", "--porcelain") == ""
    good(repo, "add", "First", "--id", "first")
    assert (repo / "tasks/first.md").exists()


def test_uninit_leaves_files(make_repo: Callable[..., Path], git: Git) -> None:
    """Taken out again, taskd leaves the files, and git sees them as before."""
    repo = make_repo()
    (repo / "tasks").mkdir()
    (repo / "tasks/a.md").write_text(task_text("a"))
    before = git(repo, "status", "--porcelain")
    good(repo, "init", "--shared")
    good(repo, "status", "a", "in-progress")
    good(repo, "uninit")

    assert git(repo, "status", "--porcelain") == before
    assert "status: in-progress" in (repo / "tasks/a.md").read_text()
    assert run_taskd(["list"], repo).error["code"] == "not-set-up"
    good(repo, "init", "--shared")
    assert good(repo, "show", "a")["status"] == "in-progress"


def served(
    top: Path, base: Path, git: Git, check: Callable[[Project], None], *, init: str = "--shared"
) -> None:
    """Set a repository up, run its daemon, and look whether the main things work there."""
    project = Project(base, git, served=top)
    answer: Answer = run_taskd(["init", init], top)
    assert answer.code == 0, answer
    try:
        project.launch()
        wait_for(lambda: run_taskd(["daemon", "status"], top).code == 0)
        check(project)
    finally:
        project.stop()


def test_bare_with_worktrees(tmp_path: Path, git: Git, make_repo: Callable[..., Path]) -> None:
    """A bare repository with worktrees works like any other, called from wherever."""
    git(tmp_path, "clone", "-q", "--bare", make_repo(), "bare.git")
    for name in ("one", "two"):
        git(tmp_path / "bare.git", "worktree", "add", "-q", "-b", name, tmp_path / name)

    def check(_: Project) -> None:
        (tmp_path / "one/tasks/a.md").write_text(task_text("a"))
        wait_for((tmp_path / "two/tasks/a.md").exists)
        assert [t["id"] for t in good(tmp_path / "bare.git", "list")] == ["a"]
        good(tmp_path / "two", "status", "a", "in-progress")
        wait_for(lambda: "in-progress" in (tmp_path / "one/tasks/a.md").read_text())
        assert git(tmp_path / "one", "status", "--porcelain") == ""

    served(tmp_path / "one", tmp_path, git, check)


def test_separate_git_dir(tmp_path: Path, git: Git) -> None:
    """A git dir in another place is no obstacle, called from the worktree or from a linked one."""
    (tmp_path / "top").mkdir()
    git(tmp_path, "init", "-q", "-b", "main", "--separate-git-dir", tmp_path / "place", tmp_path / "top")
    git(tmp_path / "top", "commit", "-q", "--allow-empty", "-m", "begin")
    git(tmp_path / "top", "worktree", "add", "-q", "-b", "one", tmp_path / "one")

    def check(_: Project) -> None:
        (tmp_path / "one/tasks/a.md").write_text(task_text("a"))
        wait_for((tmp_path / "top/tasks/a.md").exists)
        answers = [good(tmp_path / name, "show", "a") for name in ("top", "one", "place")]
        assert answers == [answers[0]] * 3
        assert good(tmp_path / "one", "where")["repo"] == str(tmp_path / "top")
        assert (tmp_path / "place/taskd/index.db").exists()

    served(tmp_path / "top", tmp_path, git, check)


def test_sha256(tmp_path: Path, git: Git) -> None:
    """A repository with SHA-256 names is mirrored as well."""
    git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", "top")
    git(tmp_path / "top", "commit", "-q", "--allow-empty", "-m", "begin")

    def check(_: Project) -> None:
        good(tmp_path / "top", "add", "First", "--id", "first")
        good(tmp_path / "top", "sync")
        shown = git(tmp_path / "top", "show", "taskd/workspace:tasks/first.md")
        assert "name: First" in shown
        assert len(git(tmp_path / "top", "rev-parse", "taskd/workspace").strip()) == 64

    served(tmp_path / "top", tmp_path, git, check)


def test_unborn_and_detached_head(tmp_path: Path, git: Git) -> None:
    """Neither a branch without a commit nor a detached HEAD is touched or in the way."""
    git(tmp_path, "init", "-q", "-b", "trunk", "top")
    top = tmp_path / "top"

    def check(_: Project) -> None:
        good(top, "add", "First", "--id", "first")
        good(top, "sync")
        assert git(top, "symbolic-ref", "HEAD").strip() == "refs/heads/trunk"
        assert git(top, "rev-parse", "--verify", "-q", "HEAD", check=False) == ""
        git(top, "commit", "-q", "--allow-empty", "-m", "begin")
        git(top, "switch", "-q", "--detach")
        head = git(top, "rev-parse", "HEAD")
        good(top, "status", "first", "in-progress")
        good(top, "sync")
        assert (git(top, "rev-parse", "HEAD"), git(top, "branch", "--show-current")) == (head, "")
        assert "status: in-progress" in (top / "tasks/first.md").read_text()
        assert git(top, "status", "--porcelain") == ""

    served(top, tmp_path, git, check)


def test_nested_repository(new_project: Callable[..., Project], git: Git) -> None:
    """A repository inside of a worktree is another one; what lies in it is not ours."""
    project = new_project()
    project.start()
    inner = project.top / "inner"
    git(project.top, "init", "-q", "-b", "main", inner)
    hidden = project.file("module")
    git(project.top, "init", "-q", "-b", "main", hidden)
    (hidden / "theirs.md").write_text(task_text("theirs"))
    project.taskd("add", "Ours", "--id", "ours")
    project.sync()

    assert refusals(inner, (["list"], ["add", "x"])) == [(2, "not-set-up")] * 2
    assert [task["id"] for task in project.taskd("list")] == ["ours"]
    assert run_taskd(["init"], inner).code == 0
    assert run_taskd(["list"], inner).data == []
    assert [task["id"] for task in project.taskd("list")] == ["ours"]


def test_shared_refused_where_git_tracks(make_repo: Callable[..., Path]) -> None:
    """Where git tracks task files the shared layout is refused with the reason, and nothing is written."""
    repo = make_repo(files={"tasks/a.md": task_text("a")})
    before = everything(repo)
    answer = run_taskd(["init", "--shared"], repo)

    assert (answer.code, answer.error["code"]) == (5, "refused")
    assert "tasks/" in answer.error["message"]
    assert {path for path in everything(repo) if path not in before} == set()


def test_shared_refused_where_git_looks(make_repo: Callable[..., Path], git: Git) -> None:
    """A pattern that brings task files back to git's sight is named, and `init` leaves no trace."""
    repo = make_repo(files={".gitignore": "!/tasks/\n!/tasks/**\n"})
    before = everything(repo)
    answer = run_taskd(["init", "--shared"], repo)

    assert (answer.code, answer.error["code"]) == (5, "refused")
    assert ".gitignore" in answer.error["message"]
    assert git(repo, "status", "--porcelain") == ""
    after = everything(repo)
    assert {path for path in after if path not in before} == set()
    assert after.get(".git/info/exclude") == before.get(".git/info/exclude")


def test_called_from_a_hook(new_project: Callable[..., Project], git: Git, tmp_path: Path) -> None:
    """GIT_DIR and the like, as hooks have them, do not lead to another repository."""
    project = new_project()
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", other)
    env = {
        "GIT_DIR": str(other / ".git"),
        "GIT_INDEX_FILE": str(other / ".git/index"),
        "GIT_WORK_TREE": str(other),
    }
    project.start(**env)
    project.taskd("add", "From a hook", "--id", "hook", env=env)
    project.sync()

    assert project.alone("show", "hook", env=env)["name"] == "From a hook"
    assert "From a hook" in project.mirrored("hook.md")
    assert not (other / ".git/taskd").exists()


@pytest.mark.parametrize("name", ["a b", "it's", 'qu"ote', "ünï", "-dash", "new\nline", "per%cent$HOME"])
def test_odd_places(tmp_path: Path, git: Git, name: str) -> None:
    """Repositories and worktrees may lie in directories of any name."""
    top, one = tmp_path / name / "top", tmp_path / name / "one"
    top.mkdir(parents=True)
    git(top, "init", "-q", "-b", "main")
    git(top, "commit", "-q", "--allow-empty", "-m", "begin")
    git(top, "worktree", "add", "-q", "-b", "one", one)
    good(top, "init", "--shared")
    good(one, "add", "First", "--id", "first")
    good(top, "sync")

    assert [(path / "tasks/first.md").exists() for path in (top, one)] == [True, True]
    assert git(one, "status", "--porcelain") == ""


def test_long_path(tmp_path: Path, git: Git) -> None:
    """A repository deep down has a daemon all the same: its socket's path does not grow with it."""
    top = tmp_path.joinpath(*(["d" * 60] * 4), "top")
    top.mkdir(parents=True)
    git(top, "init", "-q", "-b", "main")
    git(top, "commit", "-q", "--allow-empty", "-m", "begin")

    def check(_: Project) -> None:
        assert len(os.fsencode(good(top, "where")["socket"])) < 104
        good(top, "add", "First", "--id", "first")

    served(top, tmp_path, git, check)


def test_program_is_the_same(new_project: Callable[..., Project]) -> None:
    """`python -m taskd` and the script give the same answers."""
    project = new_project()
    project.alone("add", "First", "--id", "first")

    assert run_taskd(["show", "first"], project.top, program=FULL) == project.run("show", "first")
