"""A throw-away repository with three worktrees and real processes, for `taskd demo`.

Everything lies in one directory below the temp dir. Git is the user's, its configuration is not, and
nothing that leads to another repository is passed on. Leaving the stage ends the daemon and takes the
directory away, whatever happened on it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from taskd import client
from taskd.daemon import control
from taskd.errors import TaskdError

T = TypeVar("T")

MAIN: Final = "main"
LINKED: Final = ("api", "web")
PATIENCE: Final = 20.0  # seconds for one command or one thing to be seen; only a fault meets it
LOOK_AGAIN: Final = 0.001  # seconds between looks at a file: what is measured is milliseconds

#: variables that would lead commands out of the stage, or make them say who calls
_LEADING_OUT: Final = re.compile(r"GIT_.*|TASKD_.*|XDG_(CONFIG_HOME|RUNTIME_DIR)|NOTIFY_SOCKET|LISTEN_.*")

_SHOWN: Final = {
    "GIT_AUTHOR_NAME": "taskd demo",
    "GIT_AUTHOR_EMAIL": "demo@example.invalid",
    "GIT_COMMITTER_NAME": "taskd demo",
    "GIT_COMMITTER_EMAIL": "demo@example.invalid",
    "GIT_CONFIG_NOSYSTEM": "1",
}


class NotSeenError(TaskdError):
    """the demo expected to see {what}, and did not"""  # noqa: D400 - it is the message

    code = "not-seen"
    hint = "please report it, with what was told up to here"


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended: what it printed, its exit code, how long it took in seconds."""

    out: str
    err: str
    code: int
    seconds: float


@dataclass(slots=True)
class Stage:
    """The place a demo plays in."""

    root: Path
    program: Sequence[str]
    env: Mapping[str, str]
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def worktrees(self) -> list[Path]:
        """The main worktree and the linked ones."""
        return [self.root / name for name in (MAIN, *LINKED)]

    def build(self) -> None:
        """Make the repository and its worktrees, with two commits."""
        main = self.root / MAIN
        self.git(self.root, "init", "-q", "-b", "main", MAIN)
        for number in (1, 2):
            (main / "code.txt").write_text(f"version {number}\n", encoding="utf-8")
            self.git(main, "add", "code.txt")
            self.git(main, "commit", "-q", "-m", f"version {number}")
        for name in LINKED:
            self.git(main, "worktree", "add", "-q", "-b", name, f"../{name}")

    def git(self, directory: Path, *words: str) -> Done:
        """Run git to its end; NotSeenError when it fails."""
        return _successful(self._run(directory, ["git", *words]))

    def taskd(self, directory: Path, *words: str) -> Done:
        """Run taskd to its end; NotSeenError when it fails."""
        return _successful(self._run(directory, [*self.program, *words]))

    def together(self, directories: Sequence[Path], commands: Sequence[Sequence[str]]) -> list[Done]:
        """Run several taskd commands at once, each in its directory, to their ends."""
        begun = time.monotonic()
        pairs = zip(directories, commands, strict=True)
        started = [self._start(directory, [*self.program, *words]) for directory, words in pairs]
        return [self._finish(process, begun) for process in started]

    def wait_for(self, condition: Callable[[], T], what: str) -> T:
        """The first true value of `condition`; NotSeenError when it stays false."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise NotSeenError(what=what)
            time.sleep(LOOK_AGAIN)
        return value

    def daemon(self) -> int | None:
        """The pid of the daemon that serves this repository."""
        return control.running_pid(client.find_home(self.root / MAIN, self.env))

    def kill_daemon(self) -> None:
        """`kill -9`, and wait until it is gone."""
        pid = self.daemon()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self.wait_for(lambda: self.daemon() is None, "the end of the daemon")

    def clear(self) -> None:
        """End every process and take the directory away."""
        for process in self.children:
            process.kill()
            process.communicate()
        with contextlib.suppress(
            TaskdError, OSError
        ):  # there may be no repository yet, or no daemon any more
            self.kill_daemon()
        deadline = time.monotonic() + PATIENCE
        while self.root.exists() and time.monotonic() < deadline:
            shutil.rmtree(self.root, ignore_errors=True)  # git may still be writing for the killed daemon
            time.sleep(LOOK_AGAIN)

    def _run(self, directory: Path, words: Sequence[str]) -> Done:
        return self._finish(self._start(directory, words), time.monotonic())

    def _start(self, directory: Path, words: Sequence[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            words,
            cwd=directory,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self.children.append(process)
        return process

    def _finish(self, process: subprocess.Popen[str], begun: float) -> Done:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            told = " ".join(map(str, process.args)) if isinstance(process.args, list) else str(process.args)
            raise NotSeenError(what=f"the end of `{told}`") from None
        self.children.remove(process)
        return Done(out, err, process.returncode, time.monotonic() - begun)


def _successful(done: Done) -> Done:
    if done.code != 0:
        raise NotSeenError(what=f"success; exit code {done.code}: {done.err.strip()}")
    return done


@contextlib.contextmanager
def stage_set(program: Path) -> Iterator[Stage]:
    """A stage that is gone afterwards, also when the demo fails, is interrupted or told to end."""
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    root = Path(tempfile.mkdtemp(prefix="taskd-demo-")).resolve()
    stage = Stage(root, _command(program), _environment(root))
    try:
        for name in ("run", "config"):
            (root / name).mkdir(mode=0o700)
        (root / "gitconfig").touch()
        yield stage
    finally:
        with _deaf():
            stage.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """A second Ctrl-C does not keep us from tidying up."""
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _command(program: Path) -> list[str]:
    return [str(program)] if program.exists() else [sys.executable, "-P", "-m", "taskd"]


def _environment(root: Path) -> dict[str, str]:
    strange = {*client.SESSIONS}
    kept = {k: v for k, v in os.environ.items() if not _LEADING_OUT.fullmatch(k) and k not in strange}
    places = {
        "GIT_CONFIG_GLOBAL": str(root / "gitconfig"),
        "GIT_CEILING_DIRECTORIES": str(root),
        "XDG_CONFIG_HOME": str(root / "config"),
        "XDG_RUNTIME_DIR": str(root / "run"),
        "TMPDIR": str(root),
    }
    return {**kept, **_SHOWN, **places}
