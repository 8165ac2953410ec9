"""Real repositories for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from taskd.repo.branch import DEFAULT_REF, Branch
from taskd.repo.git import Git


@pytest.fixture
def repository(make_repo: Callable[..., Path]) -> Path:
    """The main worktree of a repository with one commit."""
    return make_repo(files={"README.md": "hello\n"})


@pytest.fixture
def door(repository: Path) -> Iterator[Git]:
    """The door to git of that repository, closed afterwards."""
    with Git(repository) as opened:
        yield opened


@pytest.fixture
def hostile(repository: Path, tmp_path: Path, git: Callable[..., str]) -> Path:
    """The repository with a configuration that runs, signs, asks and refuses wherever it can.

    Whatever of it runs leaves its name in the file that this fixture gives.
    """
    trace = tmp_path / "ran"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "pre-commit", "commit-msg", "post-index-change", "fsmonitor"):
        hook = hooks / name
        hook.write_text(f"#!/bin/sh\necho {name} >> '{trace}'\nexit 1\n")
        hook.chmod(0o755)
    settings = {
        "core.hooksPath": str(hooks),
        "core.fsmonitor": str(hooks / "fsmonitor"),
        "commit.gpgSign": "true",
        "gpg.program": "/bin/false",
        "user.useConfigOnly": "true",
        "core.editor": "/bin/false",
        "gc.auto": "1",
    }
    for key, value in settings.items():
        git(repository, "config", key, value)
    return trace


@pytest.fixture
def branch(door: Git) -> Branch:
    """The workspace branch of the repository, not yet there."""
    return Branch(door)


@pytest.fixture(scope="session")
def publish() -> Callable[..., str]:
    """`publish(branch, changes, expect=None, rebuild=False)`: author, time and message do not matter."""

    def call(
        branch: Branch,
        changes: Mapping[str, bytes | None],
        expect: str | None = None,
        *,
        rebuild: bool = False,
    ) -> str:
        noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        return branch.publish(changes, "message", expect=expect, author="Alice", when=noon, rebuild=rebuild)

    return call


@pytest.fixture(scope="session")
def contents(git: Callable[..., str]) -> Callable[[Path], dict[str, str]]:
    """`contents(directory)`: the files of the workspace branch as real git tells them."""

    def read(directory: Path) -> dict[str, str]:
        listed = git(directory, "ls-tree", "-r", "-z", "--name-only", DEFAULT_REF).split("\0")[:-1]
        return {path: git(directory, "cat-file", "blob", f"{DEFAULT_REF}:{path}") for path in listed}

    return read


@pytest.fixture(scope="session")
def history(git: Callable[..., str]) -> Callable[[Path], list[str]]:
    """`history(directory)`: the commits of the workspace branch, newest first."""
    return lambda directory: git(directory, "rev-list", DEFAULT_REF).split()


@pytest.fixture(scope="session")
def is_sound(git: Callable[..., str]) -> Callable[[Path], bool]:
    """`is_sound(directory)`: whether git's own check has nothing to complain about."""
    return lambda directory: git(directory, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
