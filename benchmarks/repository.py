"""What the measurements work on: a repository with worktrees and tasks, and the daemon that serves it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.floors import FOLDERS, document, place_of
from benchmarks.registry import Figure, figure
from taskd import client, wire

TASKD: Final = Path(sys.executable).parent / "taskd"  # the installed script: the short way in
FULL: Final = (sys.executable, "-P", "-m", "taskd")
REF: Final = "refs/heads/taskd/workspace"
Call = Callable[[str, object], Any]

PATIENCE: Final = 600.0  # seconds until a measurement gives up
POLL: Final = 0.0002  # seconds between two looks; adds half of that to what is measured
IDENTITY: Final = ("-c", "user.name=bench", "-c", "user.email=bench@example.invalid")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository below `base`, its main worktree in `main`, linked ones in `tree-1` and so on."""

    base: Path

    @property
    def top(self) -> Path:
        """The main worktree."""
        return self.base / "main"

    @property
    def state(self) -> Path:
        """Where taskd keeps its own."""
        return self.top / ".git" / "taskd"

    def tree(self, number: int) -> Path:
        """A linked worktree, the main one for 0."""
        return self.base / f"tree-{number}" if number else self.top

    def file(self, number: int, task: int) -> Path:
        """A task's file in a worktree."""
        return self.tree(number) / "tasks" / place_of(task)

    def git(self, *words: str | Path) -> str:
        """Run git in the main worktree; what it prints."""
        argv = ["git", *IDENTITY, *map(str, words)]
        return subprocess.run(argv, cwd=self.top, check=True, capture_output=True, text=True).stdout

    def taskd(self, *words: str, at: int = 0, env: Mapping[str, str] | None = None) -> int:
        """Run a command line in a worktree; its exit code. What it prints goes nowhere."""
        return subprocess.run(
            [TASKD, *words],
            cwd=self.tree(at),
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode

    def commits(self) -> int:
        """How many commits the workspace branch has."""
        return int(self.git("rev-list", "--count", REF))

    def tip(self) -> str:
        """What the workspace branch names, read as cheaply as can be."""
        try:
            return (self.top / ".git" / REF).read_text()
        except FileNotFoundError:
            return ""

    def mirrored(self) -> int:
        """How many task files the workspace branch has."""
        return len(self.git("ls-tree", "-r", "--name-only", REF, "tasks/").splitlines())

    @contextlib.contextmanager
    def index(self) -> Iterator[sqlite3.Connection]:
        """The index, to look at."""
        uri = f"file:{self.state / 'index.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            yield db


def make_repository(
    base: Path, tasks: int, *, worktrees: int = 0, layout: str = "shared", set_up: bool = True
) -> Repository:
    """A repository with that many tasks and linked worktrees, with `set_up` taken in by `taskd init`."""
    repository = Repository(base)
    repository.top.mkdir()
    repository.git("init", "-q", "-b", "main")
    if layout == "tracked":
        write_tasks(repository.top / "tasks", tasks)
        repository.git("add", "-A")
    repository.git("commit", "-q", "--allow-empty", "-m", "begin")
    for number in range(1, worktrees + 1):
        repository.git("worktree", "add", "-q", "--detach", repository.tree(number))
    if layout == "shared":
        write_tasks(repository.top / "tasks", tasks)
    if set_up:
        subprocess.run([TASKD, "init", f"--{layout}"], cwd=repository.top, check=True, capture_output=True)
    return repository


def write_tasks(tasks: Path, count: int) -> None:
    """Write task files; every third waits for the one before it, the others are ready."""
    for n in range(min(FOLDERS, count)):
        (tasks / place_of(n)).parent.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        on = f"task-{n - 1:05}" if n % 3 == 2 else ""
        text = re.sub(r"depends_on: \[.*\]", f"depends_on: [{on}]", document(n))
        (tasks / place_of(n)).write_text(text)


@contextlib.contextmanager
def serving(repository: Repository, *, quiet: bool = True, **env: str) -> Iterator[int]:
    """The daemon runs; its pid. With `quiet` it has done all there was to do."""
    with start_daemon(repository, **env) as pid:
        if quiet:
            settle(repository)
        yield pid


@contextlib.contextmanager
def start_daemon(repository: Repository, **env: str) -> Iterator[int]:
    """Have the daemon run and answer."""
    process = subprocess.Popen(
        [*FULL, "-C", str(repository.top), "daemon", "run"],
        cwd=repository.base,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_true(lambda: process.poll() is not None or status(repository) is not None, "the daemon answers")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def status(repository: Repository) -> dict[str, Any] | None:
    """What `daemon status` tells, None while nobody answers."""
    connection = client.connect(client.find_home(repository.top))
    if connection is None:
        return None
    with contextlib.closing(connection):
        found: dict[str, Any] = connection.submit(wire.Call("daemon.status")).unwrap()
        return found


def settle(repository: Repository) -> None:
    """Wait until everything is in the index, in every replica and on the branch."""
    with calling(repository) as call:
        call("sync", wire.Sync(PATIENCE))


@contextlib.contextmanager
def calling(repository: Repository, who: str = "bench") -> Iterator[Call]:
    """`call(op, params)` over one connection to the daemon."""
    connection = client.connect(client.find_home(repository.top))
    if connection is None:
        message = "no daemon answers"
        raise RuntimeError(message)
    caller = wire.Caller(actor=who, session=who, directory=str(repository.top))
    with contextlib.closing(connection):
        yield lambda op, params: connection.submit(wire.Call(op, wire.parameters(params), caller)).unwrap()


def await_true(condition: Callable[[], object], what: str, poll: float = POLL) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            message = f"waited in vain: {what}"
            raise TimeoutError(message)
        time.sleep(poll)


def milliseconds_since(begin: float) -> float:
    """Milliseconds since a `time.perf_counter()`."""
    return (time.perf_counter() - begin) * 1000


def beside_python(work: Callable[[], object], times: int) -> tuple[Figure, Figure]:
    """Milliseconds of a command, and of bare Python started in turns with it, so that load hits both."""
    python = [sys.executable, "-c", "pass"]
    ours, bare = list[float](), list[float]()
    work()
    for _ in range(times):
        for call, samples in ((work, ours), (lambda: subprocess.run(python, check=True), bare)):
            begin = time.perf_counter()
            call()
            samples.append(milliseconds_since(begin))
    return figure(ours), figure(bare)


def count_of(amounts: Iterable[float], unit: str) -> Figure:
    """A figure of something else than time."""
    return figure(list(amounts), unit)
