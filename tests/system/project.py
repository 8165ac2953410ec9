"""A repository with three worktrees and its daemon, as the tests of this room use them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

PATIENCE: Final = 45.0  # seconds until a test gives up waiting; on an idle machine things take 0.1 s
COMMAND_LIMIT: Final = 60.0  # seconds one command may take
TREES: Final = ("main", "one", "two")

#: the installed script, which is the short way in; else the full program
_SCRIPT: Final = Path(sys.executable).parent / "taskd"
TASKD: Final = (str(_SCRIPT),) if _SCRIPT.is_file() else (sys.executable, "-m", "taskd")
FULL: Final = (sys.executable, "-P", "-m", "taskd")

#: for a process that may not do what root may: files of mode 000 are closed to it, whoever runs the tests
ORDINARY: Final = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")

Git = Callable[..., str]


def patched(*settings: str) -> tuple[str, ...]:
    """The full program with constants of its modules set otherwise: `module.NAME = value`."""
    modules = [re.match(r"[a-z_.]+(?=\.)", setting) for setting in settings]
    lines = [f"import {module[0]}" for module in modules if module]
    lines += ["import sys", *settings, "from taskd.__main__ import main", "sys.exit(main())"]
    return (sys.executable, "-P", "-c", "\n".join(lines))


@dataclass(frozen=True)
class Answer:
    """What one command line came to: exit code, `data` or `error` of its JSON, and standard error."""

    code: int
    data: Any
    error: dict[str, Any]
    stderr: str


def wait_for(condition: Callable[[], Any], what: str = "", seconds: float = PATIENCE) -> Any:  # noqa: ANN401 - whatever the condition gives
    """The first true value of `condition()`; AssertionError when it stays false."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or condition}"
        time.sleep(0.01)
    return value


def run_taskd(
    words: Sequence[str | Path],
    directory: Path,
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    program: Sequence[str] = TASKD,
) -> Answer:
    """Run the real command line with --json in a directory."""
    done = subprocess.run(
        [*program, "--json", *map(str, words)],
        cwd=directory,
        env={**os.environ, **(env or {})},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT,
        check=False,
    )
    return answer_of(done.returncode, done.stdout, done.stderr)


def answer_of(code: int, stdout: str, stderr: str) -> Answer:
    """The parts of what a command with --json printed."""
    data = json.loads(stdout)["data"] if stdout.strip() else None
    told = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    errors = [line["error"] for line in told if line["kind"] == "error"]
    return Answer(code, data, errors[-1] if errors else {}, stderr)


@dataclass
class Project:
    """A repository with the worktrees `main`, `one` and `two`. `base` holds everything of it."""

    base: Path
    git: Git
    daemon: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)
    #: where its daemon is started, if that is not the main worktree
    served: Path | None = None

    # -- places

    @property
    def top(self) -> Path:
        """The main worktree."""
        return self.base / "main"

    @property
    def common(self) -> Path:
        """The git common dir."""
        return self.top / ".git"

    @property
    def state(self) -> Path:
        """Where taskd keeps its own."""
        return self.common / "taskd"

    @property
    def log_file(self) -> Path:
        """The daemon's log."""
        return self.state / "logs" / "daemon.jsonl"

    def tree(self, name: str = "main") -> Path:
        """The top of a worktree."""
        return self.base / name

    def file(self, name: str, tree: str = "main") -> Path:
        """A path below the tasks directory of a worktree, `live` for the workspace directory."""
        root = self.state / "workspace" / "tasks" if tree == "live" else self.base / tree / "tasks"
        return root / name

    # -- commands

    def run(
        self,
        *words: str | Path,
        at: str | Path = "main",
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> Answer:
        """Run `taskd --json WORDS` in a worktree or directory."""
        directory = at if isinstance(at, Path) else self.tree(at)
        return run_taskd(words, directory, env={**self.env, **(env or {})}, stdin=stdin)

    def taskd(self, *words: str | Path, at: str | Path = "main", **more: Any) -> Any:  # noqa: ANN401 - JSON
        """The data of a command that has to succeed."""
        answer = self.run(*words, at=at, **more)
        assert answer.code == 0, f"taskd {words}: exit {answer.code}: {answer.stderr}"
        return answer.data

    def alone(self, *words: str | Path, at: str | Path = "main", **more: Any) -> Any:  # noqa: ANN401 - JSON
        """The same without the daemon, in the command's own process."""
        env = {"TASKD_NO_DAEMON": "1", **more.pop("env", {})}
        return self.taskd(*words, at=at, env=env, **more)

    def started(self, *words: str | Path, at: str = "main", **env: str) -> subprocess.Popen[str]:
        """A command under way; see `ended`."""
        return subprocess.Popen(
            [*TASKD, "--json", *map(str, words)],
            cwd=self.tree(at),
            env={**os.environ, **self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # -- the daemon

    def start(self, **env: str) -> None:
        """Have the daemon run and answer."""
        self.launch(**env)
        self.await_daemon()

    def launch_patched(self, *settings: str) -> None:
        """Start the daemon with constants set otherwise, as `patched` has them, and wait until it answers."""
        self.launch(program=patched(*settings))
        self.await_daemon()

    def launch(self, *prefix: str, program: Sequence[str] = FULL, **env: str) -> subprocess.Popen[bytes]:
        """Start the daemon's process, behind `prefix` if that is given, without waiting for it."""
        with (self.base / "daemon.out").open("ab") as output:
            self.daemon = subprocess.Popen(
                [*prefix, *program, "-C", str(self.served or self.top), "daemon", "run"],
                cwd=self.base,
                env={**os.environ, **self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return self.daemon

    def await_daemon(self) -> None:
        """Wait until the daemon answers."""
        assert self.daemon is not None
        wait_for(self._answers, "the daemon answers")

    def _answers(self) -> bool:
        assert self.daemon is not None
        assert self.daemon.poll() is None, (self.base / "daemon.out").read_text(errors="replace")
        answer = self.run("daemon", "status")
        return answer.code == 0 and answer.data["pid"] == self.daemon.pid

    def stop(self) -> int:
        """End the daemon by its pid and wait for it; its exit code."""
        if self.daemon is None:
            return 0
        daemon, self.daemon = self.daemon, None
        with contextlib.suppress(ProcessLookupError):
            daemon.send_signal(signal.SIGCONT)
            daemon.terminate()
        try:
            return daemon.wait(15)
        except subprocess.TimeoutExpired:
            daemon.kill()
            return daemon.wait(15)

    # -- what is the case

    def sync(self) -> Any:  # noqa: ANN401 - JSON
        """Everything saved so far is in the index, in every replica and on the branch."""
        answer = self.run("sync")
        assert answer.code in (0, 1), answer.stderr  # 1: duplicates, which some tests make on purpose
        assert answer.data is not None, answer.stderr
        return answer.data

    def show(self, id: str, at: str | Path = "main") -> Any:  # noqa: ANN401 - the field's own name; JSON
        """One task."""
        return self.taskd("show", id, at=at)

    def problems(self, path: str | None = None) -> list[dict[str, Any]]:
        """The problems listed, of one path if it is given."""
        found = self.taskd("problems")
        return [row for row in found if path is None or row["path"] == path]

    def journal(self) -> list[dict[str, Any]]:
        """Every accepted change so far."""
        found: list[dict[str, Any]] = self.taskd("history")
        return found

    def events(self) -> list[dict[str, Any]]:
        """The lines of the daemon's log."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def tip(self) -> str:
        """The newest commit of the workspace branch."""
        return self.git(self.top, "rev-parse", "refs/heads/taskd/workspace").strip()

    def mirrored(self, path: str) -> str:
        """A file of the workspace branch, empty when it is not there."""
        return self.git(self.top, "show", f"refs/heads/taskd/workspace:tasks/{path}", check=False)

    def status(self) -> dict[str, str]:
        """What `git status` says in every worktree."""
        flags = ("--porcelain=v2", "--branch", "--untracked-files=all")
        found = self.git(self.top, "worktree", "list", "--porcelain").splitlines()
        trees = [line.removeprefix("worktree ") for line in found if line.startswith("worktree ")]
        return {tree: self.git(Path(tree), "status", *flags) for tree in trees if Path(tree).is_dir()}

    def save(self, name: str, text: str | bytes, tree: str = "main") -> Path:
        """Save a task file in a worktree, as an editor would that writes in place."""
        path = self.file(name, tree)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def await_text(self, name: str, part: str | bytes, trees: Iterable[str] = ("live",)) -> None:
        """Wait until a file has a text in it, in every one of some places."""
        wanted = part.encode() if isinstance(part, str) else part
        for tree in trees:
            await_bytes(self.file(name, tree), wanted)


def await_bytes(path: Path, wanted: bytes) -> None:
    """Wait until a file has some bytes in it."""
    wait_for(lambda: wanted in read_or_empty(path), f"{wanted!r} in {path}")


def read_or_empty(path: Path) -> bytes:
    """A file's bytes; nothing when there is none."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def ended(process: subprocess.Popen[str]) -> Answer:
    """What a command under way came to."""
    stdout, stderr = process.communicate(timeout=COMMAND_LIMIT)
    return answer_of(process.returncode, stdout, stderr)


def task_text(id: str, body: str = "Text.\n", **fields: str) -> str:
    """A task file."""
    rows = "".join(f"{key}: {value}\n" for key, value in {"id": id, "name": f"Task {id}", **fields}.items())
    return f"---\n{rows}---\n{body}"


def make_project(
    base: Path, git: Git, layout: str, files: Mapping[str, str | bytes] | None = None
) -> Project:
    """A repository below `base`, set up, with two linked worktrees; no daemon yet.

    In the tracked layout `files` (names below tasks/) are committed, in the shared one only saved.
    """
    project = Project(base, git)
    project.top.mkdir(parents=True)
    git(project.top, "init", "-q", "-b", "main")
    (project.top / "README.md").write_text("A project.\n")
    if layout == "tracked":
        save_files(project, {"seed.md": task_text("seed"), **(files or {})})
    git(project.top, "add", "-A")
    git(project.top, "commit", "-q", "-m", "begin")
    if layout == "shared":
        save_files(project, files or {})
    for name in TREES[1:]:
        git(project.top, "worktree", "add", "-q", "-b", name, project.tree(name))
    assert project.taskd("init", f"--{layout}")["layout"] == layout
    return project


def save_files(project: Project, files: Mapping[str, str | bytes]) -> None:
    """Save several task files in the main worktree."""
    for name, text in files.items():
        project.save(name, text)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """The lock file is held by this process inside the block."""
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def serving(project: Project, **env: str) -> Iterator[Project]:
    """The project while its daemon runs."""
    try:
        project.start(**env)
        yield project
    finally:
        project.stop()


@contextlib.contextmanager
def tiny_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of its own."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", place],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill_up(disk: Path) -> Path:
    """Write until there is no room left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return ballast
