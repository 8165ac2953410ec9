"""Real repositories for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
