"""Where a directory belongs, which worktrees there are, and what git is doing in them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from taskd.errors import GitFailed, NotARepository
from taskd.repo import worktrees
from taskd.repo.git import Git
from taskd.repo.worktrees import (
    Repository,
    Worktree,
    find_common_dir,
    gate_locks,
    index_stamp,
    list_worktrees,
    locate,
    remember_main,
    under_way,
)

RunGit = Callable[..., str]


@pytest.fixture
def linked(repository: Path, git: RunGit, tmp_path: Path) -> Path:
    """A linked worktree of the repository, on the branch `feature`."""
    path = tmp_path / "feature"
    git(repository, "worktree", "add", "-q", "-b", "feature", path)
    return path


def listed(directory: Path) -> dict[str, Worktree]:
    """The worktrees of the repository around a directory, by key."""
    with Git(directory) as door:
        return {tree.key: tree for tree in list_worktrees(door, locate(directory)[0])}


def states(directory: Path) -> dict[str, str]:
    """The state of each worktree, by key."""
    return {key: tree.state for key, tree in listed(directory).items()}


def test_the_main_worktree(repository: Path) -> None:
    """At the top of an ordinary repository."""
    common = repository / ".git"

    assert locate(repository) == (
        Repository(common, repository, "sha1"),
        Worktree("main", repository, common, "main", "active", "refs/heads/main", is_main=True),
    )


def test_a_linked_worktree(repository: Path, linked: Path) -> None:
    """A linked worktree belongs to the same repository and has a key of its own."""
    found, tree = locate(linked)

    assert found == locate(repository)[0]
    assert tree is not None
    assert (tree.key, tree.path, tree.git_dir, tree.state, tree.branch, tree.is_main) == (
        "feature",
        linked,
        repository / ".git/worktrees/feature",
        "active",
        "refs/heads/feature",
        False,
    )


def test_every_directory_gives_the_same_answer(repository: Path, linked: Path) -> None:
    """S-04: subdirectories, symbolic links and git dirs lead to the worktree they belong to."""
    (repository / "a/b").mkdir(parents=True)
    (linked / "c").mkdir()
    link = repository.parent / "link"
    link.symlink_to(repository / "a")
    common = repository / ".git"

    for places, expected in (
        ((repository / "a/b", link, link / "b", common, common / "objects"), locate(repository)),
        ((linked / "c", common / "worktrees/feature"), locate(linked)),
    ):
        assert [locate(place) for place in places] == [expected] * len(places)
        assert {find_common_dir(place) for place in places} == {common}


def test_variables_do_not_change_the_answer(
    repository: Path, linked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called from a hook of another worktree, the directory decides."""
    expected = locate(linked)
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repository))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(linked))

    (linked / "sub").mkdir()
    assert locate(linked / "sub") == expected


def test_outside_of_a_repository(tmp_path: Path) -> None:
    """S-07: no repository, no directory, a file: one clear error."""
    (tmp_path / "file").touch()
    (tmp_path / ".git").mkdir()  # an empty one makes no repository

    for place in (tmp_path, tmp_path / "gone", tmp_path / "file", Path("https:/github.com/a/b")):
        with pytest.raises(NotARepository, match="is not in a git repository"):
            locate(place)
        assert find_common_dir(place) is None


def test_a_worktree_whose_repository_is_gone(repository: Path, linked: Path) -> None:
    """A `.git` file that leads nowhere makes no repository either."""
    shutil.rmtree(repository)

    with pytest.raises(NotARepository):
        locate(linked)
    assert find_common_dir(linked) is None


def test_a_repository_that_git_refuses(repository: Path) -> None:
    """What git says of a repository that it will not open reaches the user."""
    (repository / ".git/config").write_text("[core]\n\trepositoryformatversion = 99\n")

    with pytest.raises(GitFailed, match="repo version"):
        locate(repository)


def test_a_bare_repository(tmp_path: Path, repository: Path, git: RunGit) -> None:
    """A bare repository has no worktree, its linked ones do."""
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", repository, bare)
    assert locate(bare) == (Repository(bare, None, "sha1"), None)

    git(bare, "worktree", "add", "-q", tmp_path / "tree", "main")
    found, tree = locate(tmp_path / "tree")

    assert found == locate(bare)[0] == Repository(bare, None, "sha1")
    assert tree is not None
    assert (tree.key, tree.path, tree.is_main) == ("tree", tmp_path / "tree", False)
    assert locate(bare)[1] is None
    assert list(listed(bare)) == ["tree"]
    assert find_common_dir(tmp_path / "tree") == find_common_dir(bare / "objects") == bare


def test_a_bare_repository_called_dot_git(tmp_path: Path, repository: Path, git: RunGit) -> None:
    """The directory around a bare `.git` is no main worktree, also seen from a linked one."""
    bare = tmp_path / "project/.git"
    git(tmp_path, "clone", "-q", "--bare", repository, bare)
    git(bare, "worktree", "add", "-q", tmp_path / "project/tree", "main")

    for place in (bare.parent, bare, bare.parent / "tree"):
        assert locate(place)[0] == Repository(bare, None, "sha1")


def test_a_separate_git_dir(tmp_path: Path, git: RunGit) -> None:
    """With --separate-git-dir the main worktree is known where git knows it, and wherever it was noted."""
    main, common, tree = tmp_path / "main", tmp_path / "separate.git", tmp_path / "tree"
    git(tmp_path, "init", "-q", "-b", "main", "--separate-git-dir", common, main)
    git(main, "commit", "-q", "--allow-empty", "-m", "x")
    git(main, "worktree", "add", "-q", tree)
    found, here = locate(main)
    assert found == Repository(common, main, "sha1")
    assert here == Worktree("main", main, common, "main", "active", "refs/heads/main", is_main=True)
    assert locate(tree)[0].main is None

    remember_main(found)
    remember_main(found)

    assert locate(tree)[0] == locate(common)[0] == found
    assert locate(common)[1] == here
    assert find_common_dir(main) == find_common_dir(tree) == common


def test_a_note_about_a_main_worktree_that_moved(tmp_path: Path, git: RunGit) -> None:
    """A note that is no longer true is not believed."""
    main, common = tmp_path / "main", tmp_path / "separate.git"
    git(tmp_path, "init", "-q", "--separate-git-dir", common, main)
    remember_main(locate(main)[0])
    main.rename(tmp_path / "moved")

    assert locate(common)[0].main is None


def test_nested_repositories(repository: Path, make_repo: Callable[..., Path]) -> None:
    """S-04: in a repository within a repository the inner one counts."""
    inner = make_repo(repository / "vendor/inner")
    (inner / "deep").mkdir()

    assert locate(inner / "deep")[0] == Repository(inner / ".git", inner, "sha1")
    assert locate(repository / "vendor")[0].main == repository
    assert find_common_dir(inner / "deep") == inner / ".git"


def test_a_submodule(repository: Path, make_repo: Callable[..., Path], tmp_path: Path, git: RunGit) -> None:
    """A submodule is a repository of its own, also seen from a worktree of its own."""
    source = make_repo(tmp_path / "source")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", source, "lib")
    git(repository / "lib", "worktree", "add", "-q", tmp_path / "lib2")
    common = repository / ".git/modules/lib"

    for place in (repository / "lib", tmp_path / "lib2", common):
        assert locate(place)[0] == Repository(common, repository / "lib", "sha1")
        assert find_common_dir(place) == common


def test_sha256(tmp_path: Path, git: RunGit) -> None:
    """A repository with the longer hash says so."""
    git(tmp_path, "init", "-q", "--object-format=sha256", "repo")

    assert locate(tmp_path / "repo")[0].object_format == "sha256"


def test_unborn_and_detached_heads(tmp_path: Path, repository: Path, git: RunGit) -> None:
    """S-24: before the first commit there is a branch, with a detached HEAD there is none."""
    git(tmp_path, "init", "-q", "-b", "trunk", "unborn")
    git(repository, "checkout", "-q", "--detach")

    assert [listed(place)["main"].branch for place in (tmp_path / "unborn", repository)] == [
        "refs/heads/trunk",
        None,
    ]


@pytest.mark.parametrize("name", ["a b", "line\nbreak", "trailing\n", "no\udcfftext", "-dash", "ä:*?"])
def test_odd_paths(repository: Path, tmp_path: Path, git: RunGit, name: str) -> None:
    """Worktrees work under every name that a directory can have."""
    path = tmp_path / "odd" / name
    path.parent.mkdir()
    git(repository, "worktree", "add", "-q", "-b", "odd", path)
    (path / "sub").mkdir()

    found, tree = locate(path / "sub")

    assert found == locate(repository)[0]
    assert tree is not None
    assert (tree.path, tree.state, tree.branch) == (path, "active", "refs/heads/odd")
    assert listed(repository)[tree.key] == tree
    assert tree.key.encode()
    assert find_common_dir(path / "sub") == repository / ".git"


def test_a_repository_under_an_odd_path(make_repo: Callable[..., Path], tmp_path: Path, git: RunGit) -> None:
    """Neither does the main worktree need a tidy name."""
    top = make_repo(tmp_path / "x\ny\n\udcff")
    git(top, "worktree", "add", "-q", tmp_path / "tree")

    assert locate(top)[0] == locate(tmp_path / "tree")[0] == Repository(top / ".git", top, "sha1")
    assert states(top) == {"main": "active", "tree": "active"}


def test_keys_that_are_taken(repository: Path, tmp_path: Path, git: RunGit) -> None:
    """A linked worktree called `main` or `workspace` is not taken for those."""
    for name in ("workspace", "main", "zebra", "alpha"):
        git(repository, "worktree", "add", "-q", "--detach", tmp_path / "trees" / name)

    assert list(listed(repository)) == ["main", "alpha", "worktrees/main", "worktrees/workspace", "zebra"]
    assert listed(repository)["main"].path == repository


def test_a_moved_worktree_stays_itself(repository: Path, linked: Path, git: RunGit, tmp_path: Path) -> None:
    """Moved with git or by hand and repaired: key and identity stay, the path follows."""
    before = listed(repository)["feature"]
    git(repository, "worktree", "move", linked, tmp_path / "moved")
    moved = listed(repository)["feature"]
    (tmp_path / "moved").rename(tmp_path / "by-hand")
    git(tmp_path / "by-hand", "worktree", "repair")
    repaired = listed(repository)["feature"]

    assert [tree.path for tree in (moved, repaired)] == [tmp_path / "moved", tmp_path / "by-hand"]
    assert {(tree.identity, tree.state) for tree in (before, moved, repaired)} == {
        (before.identity, "active")
    }


def test_a_worktree_moved_by_hand(repository: Path, linked: Path, tmp_path: Path) -> None:
    """Before it is repaired the list calls it missing; who stands in it is told where it is."""
    identity = listed(repository)["feature"].identity
    linked.rename(tmp_path / "by-hand")

    tree = locate(tmp_path / "by-hand")[1]

    assert states(repository)["feature"] == "missing"
    assert tree is not None
    assert (tree.key, tree.path, tree.state, tree.identity) == (
        "feature",
        tmp_path / "by-hand",
        "active",
        identity,
    )


def test_the_whole_repository_moved(repository: Path, linked: Path, git: RunGit, tmp_path: Path) -> None:
    """After a move of the main worktree and a repair everything is found in its new place."""
    top = tmp_path / "elsewhere"
    repository.rename(top)
    git(top, "worktree", "repair")

    assert locate(linked)[0] == Repository(top / ".git", top, "sha1")
    assert states(linked) == {"main": "active", "feature": "active"}


def test_another_worktree_under_an_old_name(repository: Path, linked: Path, git: RunGit) -> None:
    """Removed and made again under the same name, it is another worktree."""
    before = listed(repository)["feature"]
    git(repository, "worktree", "remove", linked)
    git(repository, "worktree", "add", "-q", linked, "feature")
    after = listed(repository)["feature"]

    assert (before.key, before.path) == (after.key, after.path)
    assert before.identity != after.identity


def test_missing_and_locked_worktrees(repository: Path, git: RunGit, tmp_path: Path) -> None:
    """A directory that is gone is missing; locked and gone it is expected back; locked and there, active."""
    for name in ("here", "gone", "unplugged", "headless", "away"):
        git(repository, "worktree", "add", "-q", "--detach", tmp_path / name)
    git(repository, "worktree", "lock", "--reason", "on a\nstick\nbranch refs/heads/x", tmp_path / "here")
    git(repository, "worktree", "lock", tmp_path / "unplugged")
    shutil.rmtree(tmp_path / "gone")
    shutil.rmtree(tmp_path / "unplugged")
    (tmp_path / "headless/.git").unlink()
    git(repository, "worktree", "remove", tmp_path / "away")

    assert states(repository) == {
        "main": "active",
        "gone": "missing",
        "headless": "missing",
        "here": "active",
        "unplugged": "locked",
    }
    assert listed(repository)["here"].branch is None


def test_a_worktree_in_the_place_of_one_that_is_gone(
    repository: Path, linked: Path, git: RunGit, tmp_path: Path
) -> None:
    """Of two on record under one path only the one that is there is active, each with its own branch."""
    git(repository, "worktree", "add", "-q", "-b", "second", tmp_path / "second")
    shutil.rmtree(linked)
    (tmp_path / "second").rename(linked)
    git(linked, "worktree", "repair")

    found = {key: (tree.state, tree.path, tree.branch) for key, tree in listed(repository).items()}

    assert found == {
        "main": ("active", repository, "refs/heads/main"),
        "feature": ("missing", linked, "refs/heads/feature"),
        "second": ("active", linked, "refs/heads/second"),
    }
    tree = locate(linked)[1]
    assert tree is not None
    assert tree.key == "second"


def test_rubbish_among_the_records(repository: Path, linked: Path) -> None:
    """Files and half-made directories where git keeps its records disturb nobody."""
    records = repository / ".git/worktrees"
    (records / "file").touch()
    (records / "empty").mkdir()

    assert states(linked) == {"main": "active", "feature": "active"}


def test_a_record_that_is_being_written(repository: Path, linked: Path) -> None:
    """A new worktree is none before git has written its record: until then it would seem another one."""
    pointer = repository / ".git/worktrees/feature/commondir"
    text = pointer.read_text()
    pointer.write_text("")
    before = states(repository)
    pointer.write_text(text)

    assert (before, states(repository)) == ({"main": "active"}, {"main": "active", "feature": "active"})
    assert linked.is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_a_worktree_one_may_not_look_into(repository: Path, linked: Path) -> None:
    """A worktree behind a closed directory is missing, and the others are listed."""
    linked.rename(linked.parent / "moved")
    linked.mkdir(mode=0o700)
    git_dir = repository / ".git/worktrees/feature"
    os.seteuid(65534)
    try:
        assert not worktrees._serves(linked, git_dir)  # noqa: SLF001 - git itself would see less still
    finally:
        os.seteuid(0)


def test_an_older_git_without_z(
    repository: Path, linked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git before 2.36, which has no `worktree list -z`, gives the same list."""
    expected = listed(repository)
    old = tmp_path / "bin/git"
    old.parent.mkdir()
    real = shutil.which("git")
    old.write_text(f'#!/bin/sh\ncase "$*" in *"list --porcelain -z") exit 129;; esac\nexec {real} "$@"\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}{os.pathsep}{os.environ['PATH']}")

    assert listed(linked) == expected


@pytest.mark.usefixtures("linked")
def test_gate_locks_name_what_is_running(repository: Path) -> None:
    """Each worktree has locks of its own; a directory and taskd's own files are none."""
    common, admin = repository / ".git", repository / ".git/worktrees/feature"
    (common / "taskd").mkdir()
    (common / "taskd/write.lock").touch()
    (common / "odd.lock").mkdir()
    for name in ("index.lock", "HEAD.lock"):
        (common / name).touch()
    (admin / "locked").touch()

    assert gate_locks(common) == [common / "HEAD.lock", common / "index.lock"]
    assert gate_locks(admin) == []
    assert gate_locks(admin / "gone") == []


def stop_at_conflict(repository: Path, git: RunGit) -> None:
    """Make the branches `main` and `other` change one line differently, main in two commits."""
    for branch, texts in (("other", ["other\n"]), ("main", ["main\n", "again\n"])):
        git(repository, "checkout", "-q", "-B", branch, "main")
        for text in texts:
            (repository / "README.md").write_text(text)
            git(repository, "commit", "-q", "-a", "-m", text)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("merge", "other"), "merge"),
        (("rebase", "other"), "rebase"),
        (("rebase", "--apply", "other"), "rebase"),
        (("cherry-pick", "other"), "cherry-pick"),
        (("revert", "main~1"), "revert"),
        (("bisect", "start"), "bisect"),
        (("log",), None),
    ],
)
def test_under_way(repository: Path, git: RunGit, command: tuple[str, ...], expected: str | None) -> None:
    """A command that stopped half-way is named, until it is given up."""
    stop_at_conflict(repository, git)

    git(repository, *command, check=False)

    assert under_way(repository / ".git") == expected


def test_under_way_between_two_picks(repository: Path, git: RunGit) -> None:
    """A series of picks whose conflict was just committed is still under way."""
    stop_at_conflict(repository, git)
    git(repository, "checkout", "-q", "other")
    git(repository, "cherry-pick", "main~1", "main", check=False)
    git(repository, "commit", "-q", "-a", "-m", "settled")

    assert under_way(repository / ".git") == "cherry-pick"


def test_under_way_is_each_worktrees_own(repository: Path, linked: Path, git: RunGit) -> None:
    """A bisect in one worktree is none in the other."""
    git(linked, "bisect", "start")

    assert [under_way(locate(place)[1].git_dir) for place in (repository, linked)] == [None, "bisect"]  # type: ignore[union-attr] # both are worktrees


def test_index_stamp_tells_that_git_wrote(repository: Path, git: RunGit) -> None:
    """The stamp stays while git only looks, and changes when it writes the index."""
    git_dir = repository / ".git"
    before = index_stamp(git_dir)
    git(repository, "log")
    assert index_stamp(git_dir) == before is not None

    (repository / "new").touch()
    git(repository, "add", "new")

    assert index_stamp(git_dir) != before
    assert index_stamp(repository) is None


def test_looking_writes_nothing(repository: Path, linked: Path) -> None:
    """Locating and listing leave every file of the git dir as it was."""

    def picture() -> dict[str, tuple[int, int]]:
        found = [path.stat() for path in sorted((repository / ".git").rglob("*"))]
        return {str(number): (stat.st_ino, stat.st_mtime_ns) for number, stat in enumerate(found)}

    before = picture()

    for place in (repository, linked):
        listed(place)
        remember_main(locate(place)[0])  # git knows it by itself here

    assert picture() == before


def test_no_git_is_needed_to_find_the_common_dir(
    repository: Path, linked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way to the daemon starts no process."""
    monkeypatch.setattr(subprocess, "Popen", None)
    (linked / "deep").mkdir()

    assert find_common_dir(linked / "deep") == repository / ".git"
