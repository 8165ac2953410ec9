"""Front ends as they are called: in this process for the many cases, as real processes where that matters."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.system.project")

from taskd.cli import answers, process, verbs, work  # noqa: E402, F401 - they register themselves
from taskd.cli.app import run_command  # noqa: E402 - rewritten first
from taskd.cli.session import Session, Terminal  # noqa: E402 - rewritten first
from tests.system.project import Project, make_project  # noqa: E402 - rewritten first

PIPED = Terminal()


@dataclass(frozen=True)
class Printed:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:  # noqa: ANN401 - JSON
        """The data of a command that was called with --json."""
        return json.loads(self.out)["data"]

    @property
    def error(self) -> dict[str, Any]:
        """The error of a command that was called with --json."""
        (line,) = self.err.splitlines()
        envelope: dict[str, Any] = json.loads(line)
        assert (envelope["schema"], envelope["kind"], self.out) == (1, "error", "")
        found: dict[str, Any] = envelope["error"]
        return found


@dataclass
class Cli:
    """The command line in this process, without a daemon. `at` is where commands are typed."""

    at: Path
    env: dict[str, str] = field(default_factory=dict)

    def __call__(
        self,
        *words: str | Path,
        at: Path | None = None,
        terminal: Terminal = PIPED,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Printed:
        """Run one command line; a fault of ours fails the test."""
        out, err, faults = list[bytes](), list[bytes](), list[Exception]()
        environ = {**os.environ, "TASKD_NO_DAEMON": "1", **self.env, **(env or {})}
        session = Session(at or self.at, environ, terminal, lambda: stdin, out.append)
        code = run_command([str(word) for word in words], session, err.append, faults.append)
        if faults:
            raise faults[0]
        return Printed(code, b"".join(out).decode(), b"".join(err).decode())

    def json(self, *words: str | Path, **more: Any) -> Any:  # noqa: ANN401 - JSON
        """The data of a command that has to succeed."""
        printed = self("--json", *words, **more)
        assert printed.code == 0, printed.err
        return printed.data


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, git: Callable[..., str]) -> Project:
    """A project in the shared layout with three worktrees, for all tests of a module: use ids of your own."""
    return make_project(tmp_path_factory.mktemp("fronts") / "p", git, "shared")


@pytest.fixture(scope="module")
def cli(project: Project) -> Cli:
    """The command line in the project's main worktree, as alice."""
    return Cli(project.top, {"TASKD_ACTOR": "alice", "TASKD_SESSION": "one"})
