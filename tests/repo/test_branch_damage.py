"""The workspace branch when its ref or its objects are lost, illegible or in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from taskd.errors import BranchMoved, GitFailed
from taskd.repo.branch import Branch

RunGit = Callable[..., str]
Publish = Callable[..., str]
Contents = Callable[[Path], dict[str, str]]
History = Callable[[Path], list[str]]
REF = "refs/heads/taskd/workspace"


def test_a_deleted_branch_is_begun_again(
    branch: Branch, repository: Path, git: RunGit, publish: Publish, contents: Contents, history: History
) -> None:
    """Somebody deletes the branch: it is made anew from all there is."""
    publish(branch, {"a": b"1"})
    git(repository, "update-ref", "-d", REF)
    assert branch.tip() is None

    tip = publish(branch, {"a": b"1", "b": b"2"}, rebuild=True)

    assert history(repository) == [tip]
    assert contents(repository) == {"a": "1", "b": "2"}


@pytest.mark.parametrize("rubbish", ["", "rubbish\n", "0" * 40 + "\n", "\0" * 41])
@pytest.mark.parametrize("rebuild", [False, True])
def test_an_illegible_ref_is_replaced(
    branch: Branch,
    rubbish: str,
    publish: Publish,
    contents: Contents,
    history: History,
    *,
    rebuild: bool,
) -> None:
    """A ref file that a power cut has emptied or filled with rubbish counts as no branch."""
    repository = branch.git.directory
    publish(branch, {"a": b"1"})
    (repository / ".git" / REF).write_text(rubbish)
    assert branch.tip() is None

    tip = publish(branch, {"a": b"2"}, rebuild=rebuild)

    assert history(repository) == [tip]
    assert contents(repository) == {"a": "2"}
    assert not (repository / ".git" / f"{REF}.lock").exists()


def test_an_older_packed_ref_under_an_illegible_one(
    branch: Branch, repository: Path, git: RunGit, publish: Publish, history: History
) -> None:
    """Where git still has an older place of the branch, the history goes on from there."""
    first = publish(branch, {"a": b"1"})
    git(repository, "pack-refs", "--all")
    publish(branch, {"a": b"2"}, first)
    (repository / ".git" / REF).write_text("")

    with pytest.raises(BranchMoved):
        publish(branch, {"a": b"3"}, branch.tip())
    tip = publish(branch, {"a": b"3"}, branch.tip())

    assert history(repository) == [tip, first]


def objects_of(directory: Path, git: RunGit, what: str) -> Path:
    """The loose file of an object."""
    name = git(directory, "rev-parse", what).strip()
    return directory / ".git/objects" / name[:2] / name[2:]


@pytest.mark.parametrize("damage", ["missing", "empty", "rubbish"])
@pytest.mark.parametrize("what", ["", "^{tree}", ":tasks", ":tasks/a.md", "~1", "~1:tasks/a.md"])
def test_damaged_objects_are_mended_by_a_rebuild(
    branch: Branch,
    git: RunGit,
    what: str,
    damage: str,
    publish: Publish,
    contents: Contents,
) -> None:
    """Whatever object of the branch is lost or damaged, a rebuild makes it whole and readable again."""
    repository = branch.git.directory
    files = {"tasks/a.md": b"2", "tasks/b.md": b"B"}
    first = publish(branch, {"tasks/a.md": b"1", "tasks/b.md": b"B"})
    second = publish(branch, files, first)
    victim = objects_of(repository, git, f"{REF}{what}")
    victim.chmod(0o600)
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_bytes(b"" if damage == "empty" else b"rubbish")
    assert branch.tip() == second
    afresh = Branch(branch.git)

    tip = publish(afresh, files, second, rebuild=True)

    assert afresh.tip() == tip
    assert {path: afresh.read(path) for path in files} == files
    assert contents(repository) == {"tasks/a.md": "2", "tasks/b.md": "B"}
    git(repository, "archive", "--format=tar", "-o", repository / "x.tar", tip)


def test_damage_is_an_error_until_then(
    branch: Branch, repository: Path, git: RunGit, publish: Publish
) -> None:
    """Reading a damaged branch fails instead of finding less than there was."""
    publish(branch, {"tasks/a.md": b"1"})
    objects_of(repository, git, f"{REF}:tasks/a.md").unlink()
    with pytest.raises(GitFailed):
        branch.read("tasks/a.md")

    objects_of(repository, git, f"{REF}:tasks").unlink()
    with pytest.raises(GitFailed):
        Branch(branch.git).files()


def test_a_rebuild_keeps_the_history(
    branch: Branch, repository: Path, publish: Publish, contents: Contents, history: History
) -> None:
    """A rebuild of a sound branch is one more commit, with exactly these files."""
    first = publish(branch, {"a": b"1", "stale": b"x"})

    second = publish(branch, {"a": b"2", "gone": None}, first, rebuild=True)

    assert history(repository) == [second, first]
    assert contents(repository) == {"a": "2"}
    assert set(branch.files()) == {"a"}


def test_a_rebuild_to_nothing(branch: Branch, repository: Path, publish: Publish, contents: Contents) -> None:
    """When there are no tasks the branch is empty, and stays silent."""
    tip = publish(branch, {}, publish(branch, {"a": b"1"}), rebuild=True)

    assert contents(repository) == {}
    assert publish(branch, {}, tip, rebuild=True) == tip


def test_a_failure_leaves_nothing_behind(branch: Branch, repository: Path, publish: Publish) -> None:
    """A commit that git cannot write leaves no ref, no crash report and no temporary file."""
    tip = publish(branch, {"a": b"1"})
    objects = repository / ".git/objects"
    (objects / tip[:2] / tip[2:]).unlink()
    before = sorted(path for path in (repository / ".git").rglob("*"))

    with pytest.raises(GitFailed):
        publish(branch, {"a": b"2"}, tip)

    assert sorted(path for path in (repository / ".git").rglob("*")) == before
    assert os.listdir(os.environ["TMPDIR"]) == []  # noqa: PTH208 - names are what is compared


def test_a_name_that_stands_for_another_branch(
    branch: Branch, repository: Path, git: RunGit, publish: Publish
) -> None:
    """A symbolic ref is refused: committing to it would move the user's branch."""
    git(repository, "symbolic-ref", REF, "refs/heads/main")
    before = git(repository, "rev-parse", "main").strip()

    for expect in (None, before):
        with pytest.raises(GitFailed, match="stands for refs/heads/main"):
            publish(branch, {"a": b"1"}, expect)

    assert git(repository, "rev-parse", "main").strip() == before


def test_a_branch_in_the_way(branch: Branch, repository: Path, git: RunGit, publish: Publish) -> None:
    """A user's branch called `taskd` leaves no room for `taskd/workspace`: said so, and left alone."""
    git(repository, "branch", "taskd")

    with pytest.raises(GitFailed, match="refs/heads/taskd"):
        publish(branch, {"a": b"1"})


def test_a_git_dir_that_cannot_be_written(branch: Branch, repository: Path, publish: Publish) -> None:
    """Where taskd's own directory cannot be made, that is the reason given, and no branch begins."""
    (repository / ".git/taskd").write_text("in the way")

    with pytest.raises(GitFailed, match="File exists"):
        publish(branch, {"a": b"1"})

    assert branch.tip() is None
