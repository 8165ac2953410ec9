"""The workspace branch of a remote, fetched and pushed with real git over file paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taskd.errors import GitFailed
from taskd.repo import others
from taskd.repo.branch import DEFAULT_REF, Branch
from taskd.repo.git import Git
from taskd.repo.remote import SEEN, Remote, remote_names, tracked_branch

RunGit = Callable[..., str]
Publish = Callable[..., str]


@pytest.fixture
def bare(tmp_path: Path, git: RunGit) -> Path:
    """An empty repository beside ours."""
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    return tmp_path / "bare.git"


@pytest.fixture
def remote(door: Git, bare: Path) -> Remote:
    """That repository as a remote."""
    return Remote(door, str(bare))


def test_pushed_and_fetched(branch: Branch, remote: Remote, publish: Publish) -> None:
    """What is pushed is what is fetched; before that there is no branch."""
    assert remote.fetch() is None
    tip = publish(branch, {"a": b"1"})

    assert remote.push(tip)
    assert remote.fetch() == tip
    assert remote.push(tip)


def test_never_forced(branch: Branch, remote: Remote, bare: Path, git: RunGit, publish: Publish) -> None:
    """A push that does not come after what is there is told, and changes nothing."""
    first = publish(branch, {"a": b"1"})
    second = publish(branch, {"a": b"2"}, first)
    remote.push(second)
    git(branch.git.directory, "update-ref", DEFAULT_REF, first)
    aside = publish(branch, {"a": b"3"}, first)

    assert not remote.push(aside)
    assert not remote.push(first)
    assert git(bare, "rev-parse", DEFAULT_REF).strip() == second


def test_a_remote_that_refuses(branch: Branch, remote: Remote, bare: Path, publish: Publish) -> None:
    """What the remote's own hook refuses is a failure, with its words."""
    hook = bare / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not here >&2\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(GitFailed, match="not here"):
        remote.push(publish(branch, {"a": b"1"}))


@pytest.mark.parametrize(
    "name", ["origin", "nowhere/at.git", "ext::sh -c true", "https://u:secret@127.0.0.1:1/x"]
)
def test_a_remote_out_of_reach(branch: Branch, name: str, publish: Publish) -> None:
    """A remote that is not there is a failure that names it, without a password; no program is run."""
    remote, tip = Remote(branch.git, name), publish(branch, {"a": b"1"})
    for attempt in (remote.fetch, lambda: remote.push(tip)):
        with pytest.raises(GitFailed) as failed:
            attempt()
        assert "secret" not in str(failed.value)
        assert remote.shown in str(failed.value)


@pytest.mark.parametrize("name", ["", "--upload-pack=touch x"])
def test_an_option_is_no_remote(door: Git, name: str) -> None:
    """What git would take for an option is not handed to it."""
    with pytest.raises(ValueError, match="no remote"):
        Remote(door, name)


def test_nobody_elses_refs_move(
    branch: Branch, repository: Path, bare: Path, git: RunGit, publish: Publish, hostile: Path
) -> None:
    """Tracking refs, tags and FETCH_HEAD stay, no hook is run and nothing signed, whatever is configured."""
    git(repository, "remote", "add", "origin", bare)
    for key in ("fetch.prune", "push.followTags", "push.gpgSign", "fetch.pruneTags"):
        git(repository, "config", key, "true")
    git(repository, "config", "remote.origin.tagOpt", "--tags")
    remote, tip = Remote(branch.git, "origin"), publish(branch, {"a": b"1"})
    for ref in ("refs/remotes/origin/mine", "refs/tags/v1"):
        git(repository, "-c", "core.hooksPath=/dev/null", "update-ref", ref, tip)
    remote.push(tip)
    git(bare, "update-ref", "refs/tags/v2", tip)

    assert remote.fetch() == tip
    refs = git(repository, "for-each-ref", "--format=%(refname)").split()
    assert refs == ["refs/heads/main", DEFAULT_REF, "refs/remotes/origin/mine", "refs/tags/v1", SEEN]
    assert git(bare, "for-each-ref", "--format=%(refname)").split() == [DEFAULT_REF, "refs/tags/v2"]
    assert not (repository / ".git/FETCH_HEAD").exists()
    assert not hostile.exists()


def test_a_partial_clone_is_completed(branch: Branch, tmp_path: Path, git: RunGit, publish: Publish) -> None:
    """What a partial clone has left away is fetched, once."""
    repository = branch.git.directory
    tip = publish(branch, {"a": b"1", "b/c": b"2"})
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git(repository, "config", key, "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{repository}", "part")
    with Git(tmp_path / "part") as door:
        missing = ("rev-list", "--objects", "--missing=print", tip)
        assert door.text(*missing).count("?") == 2
        Remote(door, "origin").complete(tip)

        assert door.text(*missing).count("?") == 0
        Remote(door, str(tmp_path / "nowhere")).complete(tip)


def test_what_git_has_seen(branch: Branch, repository: Path, git: RunGit, publish: Publish) -> None:
    """The tracking refs of the remotes are looked at in order, `origin` first."""
    tip = publish(branch, {"a": b"1"})
    for name in ("alpha", "origin"):
        git(repository, "remote", "add", name, "nowhere")
    names = remote_names(branch.git)
    assert (names, tracked_branch(branch.git, "taskd/workspace", names)) == (["origin", "alpha"], None)
    git(repository, "update-ref", "refs/remotes/alpha/taskd/workspace", tip)

    assert tracked_branch(branch.git, "taskd/workspace", names) == tip


# -- what others wrote


def test_common_commits(branch: Branch, git: RunGit, publish: Publish) -> None:
    """The newest commit that was heard; commits that are gone are passed by."""
    first = publish(branch, {"a": b"1"})
    second = publish(branch, {"a": b"2"}, first)
    git(branch.git.directory, "update-ref", DEFAULT_REF, first)
    aside = publish(branch, {"a": b"3"}, first)
    unrelated = git(branch.git.directory, "rev-parse", "HEAD").strip()

    assert others.common_commit(branch.git, aside, [second, None, "0" * 40]) == first
    assert others.common_commit(branch.git, aside, [unrelated]) is None
    assert others.common_commit(branch.git, aside, [None]) is None
    assert [others.is_ancestor(branch.git, first, one) for one in (first, second, unrelated)] == [
        True,
        True,
        False,
    ]


def test_changed_files(branch: Branch, publish: Publish) -> None:
    """Written, removed and untouched files, whatever they are called."""
    first = publish(branch, {"a": b"1", "b": b"1", "c\n\udcff": b"1"})
    second = publish(branch, {"a": b"2", "b": None, "d": b"1"}, first)
    found = others.changed_files(branch.git, first, second)

    assert [(one.path, bool(one.before), bool(one.after)) for one in found] == [
        ("a", True, True),
        ("b", True, False),
        ("d", False, True),
    ]
    assert [one.path for one in others.changed_files(branch.git, None, first)] == ["a", "b", "c\n\udcff"]
    assert [path for path, _ in others.blobs_below(branch.git, second, "a", 9)] == ["a", "a"]


def test_who_wrote_what(branch: Branch, repository: Path, git: RunGit, publish: Publish) -> None:
    """The newest author of each path, and whether all of it was taskd's own."""
    first = publish(branch, {"a": b"1"})
    second = publish(branch, {"a": b"2"}, first)
    assert others.who_wrote(branch.git, first, second) == others.Told({"a": "Alice"}, ours=True)
    theirs = git(repository, "commit-tree", "-m", "x", "-p", second, "HEAD^{tree}").strip()

    told = others.who_wrote(branch.git, first, theirs)
    assert (told.authors["a"], told.ours) == ("Test Author", False)
    assert others.who_wrote(branch.git, None, theirs).authors["README.md"] == "Test Author"
