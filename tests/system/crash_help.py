"""A repository whose daemon is killed while a script of saves and commands runs, and what came of it.

The script is the same every time. Commands that get no answer are asked again with the same request
id, as a careful client does; a dead daemon is started again when the script next wants something of
it, so saves also happen while nobody watches.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from taskd import client, wire
from taskd.errors import Unreachable
from taskd.local import open_store
from taskd.repo.crash import VARIABLE
from taskd.store.base import Entry, View

PATIENCE: Final = 60.0  # seconds until a script gives up; undisturbed it takes two
TREES: Final = ("main", "one", "two")
_SCRIPT: Final = Path(sys.executable).parent / "taskd"
TASKD: Final = (str(_SCRIPT),) if _SCRIPT.is_file() else (sys.executable, "-P", "-m", "taskd")
TRY_AGAIN: Final = (6, 75)  # exit codes: it may or may not have been done

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")

Git = Callable[..., str]
Script = Callable[["World"], None]


def document(id: str, body: str = "", **fields: str) -> bytes:
    """A task file with its fields far enough apart for two of them to be changed at once."""
    known = {"id": id, "name": f"Task {id}", "priority": "medium", "risk": "low", "tags": "[a]", **fields}
    rows = "".join(f"{key}: {value}\n# about {key}\n" for key, value in known.items())
    return f"---\n{rows}---\nText of {id}.\n{body}".encode()


@dataclass
class World:
    """One repository with the worktrees `main`, `one` and `two`, and its daemon."""

    base: Path
    git: Git
    layout: str = "shared"
    #: how the daemons that were ended ended
    deaths: list[int] = field(default_factory=list)
    #: steps at which the next daemons are to die
    crashes: list[str] = field(default_factory=list)
    #: what happens between a death and the next start, once
    meanwhile: Callable[[], None] | None = None
    daemon: subprocess.Popen[bytes] | None = None
    _home: client.Home | None = None
    _requests: int = 0
    _killer: threading.Timer | None = None

    @property
    def top(self) -> Path:
        """The main worktree."""
        return self.base / "main"

    @property
    def home(self) -> client.Home:
        """The repository as the client finds it, once it is set up."""
        if self._home is None:
            self._home = client.find_home(self.top)
        return self._home

    def make(self, tasks: Sequence[str]) -> None:
        """Make the repository, set it up, and take in the tasks."""
        self.top.mkdir(parents=True)
        self.git(self.top, "init", "-q", "-b", "main")
        for id in tasks:
            self.save(f"{id}.md", document(id))
        if self.layout == "tracked":
            self.git(self.top, "add", "-A")
        self.git(self.top, "commit", "-q", "--allow-empty", "-m", "begin")
        for name in TREES[1:]:
            self.git(self.top, "worktree", "add", "-q", "-b", name, self.base / name)
        client.install(client.find_home(self.top), self.layout, None, dry_run=False)

    # -- what the script does

    def file(self, name: str, tree: str = "main") -> Path:
        """A path below the tasks directory of a worktree."""
        return self.base / tree / "tasks" / name

    def save(self, name: str, text: bytes, tree: str = "main") -> None:
        """Save a file in place."""
        path = self.file(name, tree)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)

    def add_line(self, name: str, line: str, tree: str = "main") -> None:
        """Append a line to a file's body, as `>>` does."""
        with self.file(name, tree).open("ab") as file:
            file.write(f"{line}\n".encode())

    def rename_over(self, name: str, text: bytes, tree: str = "main") -> None:
        """Save a file as vim and most editors do: written beside it and renamed over it."""
        path = self.file(name, tree)
        temp = path.with_name(f".{path.name}.swp~")
        temp.write_bytes(text)
        temp.replace(path)

    def move(self, old: str, new: str, tree: str = "main") -> None:
        """Rename a file."""
        target = self.file(new, tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.file(old, tree).rename(target)

    def call(self, op: str, params: object | None = None, at: str = "main", actor: str = "script") -> Any:  # noqa: ANN401 - JSON
        """Carry out an operation over the socket, asking again until there is an answer."""
        self._requests += 1
        who = wire.Caller(actor, actor, str(self.base / at), request_id=f"request-{self._requests}")
        call = wire.Call(op, wire.parameters(params or wire.Nothing()), who)
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline, f"no answer to {call}"
            reply = self._ask(call)
            if reply is not None and not (reply.error and reply.error["exit"] in TRY_AGAIN):
                return reply.unwrap()

    def _ask(self, call: wire.Call) -> wire.Reply | None:
        self.ensure()
        connection = client.connect(self.home)
        if connection is None:
            return None
        try:
            return connection.submit(call)
        except Unreachable:
            return None
        finally:
            connection.close()

    def taskd(self, *words: str, at: str = "main") -> None:
        """Run the command line, again while it does not know whether it was done."""
        self._requests += 1
        argv = [*TASKD, "--json", "--actor", "script", "--request-id", f"request-{self._requests}", *words]
        deadline = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(
                argv, cwd=self.base / at, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            if done.returncode not in TRY_AGAIN:
                assert done.returncode == 0, done.stderr.decode()
                return
            assert time.monotonic() < deadline, done.stderr.decode()
            self.ensure()

    def taskd_alone(self, request: str, *words: str, at: str = "main", crash_at: str = "") -> int:
        """Run the command line without a daemon, to die at a step; its exit code."""
        return subprocess.run(
            [*TASKD, "--json", "--actor", "script", "--request-id", request, *words],
            cwd=self.base / at,
            env={**os.environ, "TASKD_NO_DAEMON": "1", VARIABLE: crash_at},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        ).returncode

    # -- the daemon

    def start(self) -> None:
        """Start the daemon, to die at the next of the steps given."""
        armed = {VARIABLE: self.crashes.pop(0)} if self.crashes else {}
        armed |= {"TASKD_SETTLE": "0.02", "TASKD_MIRROR_INTERVAL": "0.05", "PYTHONFAULTHANDLER": "1"}
        with (self.base / "daemon.out").open("ab") as output:
            self.daemon = subprocess.Popen(
                [sys.executable, "-P", "-m", "taskd", "-C", str(self.top), "daemon", "run"],
                cwd=self.base,
                env={**os.environ, **armed},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._await_ready(self.daemon)

    def kill_later(self, seconds: float) -> None:
        """Have the daemon killed after a while."""
        assert self.daemon is not None
        self._killer = threading.Timer(seconds, self.daemon.kill)
        self._killer.start()

    def ensure(self) -> None:
        """Start the daemon again if it died."""
        assert self.daemon is not None
        if self.daemon.poll() is not None:
            self.deaths.append(self.daemon.returncode)
            assert self.daemon.returncode == -signal.SIGKILL, self.output()
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is not None:
                meanwhile()
            self.start()

    def _await_ready(self, daemon: subprocess.Popen[bytes]) -> None:
        """Wait until the daemon answers or is dead."""
        deadline = time.monotonic() + PATIENCE
        while daemon.poll() is None:
            if f'"pid": {daemon.pid}}}' in _text(self.home.state_dir / "endpoint.json"):
                return
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.005)

    def stop(self) -> None:
        """End the daemon in order."""
        if self._killer is not None:
            self._killer.cancel()
            self._killer.join()
        if self.daemon is not None:
            self.daemon.terminate()
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.send_signal(signal.SIGABRT)  # and so it tells where its threads are
                self.daemon.wait()
                raise AssertionError(self.output()) from None

    def output(self) -> str:
        """What daemons wrote to standard error, and the end of their log."""
        log = _text(self.top / ".git/taskd/logs/daemon.jsonl").splitlines()
        return "\n".join([_text(self.base / "daemon.out"), *log[-40:]])

    # -- what came of it

    def state(self) -> dict[str, object]:
        """Everything that must not depend on when the daemon died; the daemon is stopped."""
        with open_store(self.home).read() as view:
            found = self._index(view)
        for name in (*TREES, "three"):
            found[f"files of {name}"] = _files(self.base / name / "tasks")
        found["files of the workspace"] = _files(self.home.workspace)
        found["branch"] = self._branch()
        return found

    def _index(self, view: View) -> dict[str, object]:
        ids = {entry.task for entry in view.journal()}
        tasks = {id: view.task(id) for id in sorted(ids)}
        return {
            "tasks": {id: task and _timeless(_fields(task)) for id, task in tasks.items()},
            "journal": Counter(_told(entry) for entry in view.journal()),
            "intents": view.intents(),
            "errands": [*view.errands("replicas"), *view.errands("branch")],
            "conflicts": sorted(repr(replace(row, since="", id=0)) for row in view.conflicts()),
            "problems": sorted(_timeless(replace(row, since="")) for row in view.problems()),
            "holds": sorted(repr(replace(row, since="", id=0)) for row in view.holds()),
        }

    def _branch(self) -> dict[str, str]:
        ref = "refs/heads/taskd/workspace"
        names = self.git(self.top, "ls-tree", "-r", "-z", "--name-only", ref).split("\0")[:-1]
        texts = {
            name: _timeless_text(self.git(self.top, "cat-file", "blob", f"{ref}:{name}")) for name in names
        }
        # tasks of one age are listed in the order in which they came, which saves and commands race for
        texts["BOARD.md"] = "\n".join(sorted(texts.get("BOARD.md", "").splitlines()))
        return texts


def _fields(task: Any) -> dict[str, object]:  # noqa: ANN401 - a task, whose mapping asdict cannot copy
    values = asdict(replace(task, extra={}))
    silent = ("revision", "text")  # two saves that are read at once are one revision
    return {
        **{name: value for name, value in values.items() if name not in silent},
        "extra": dict(task.extra),
    }


def _told(entry: Entry) -> str:
    values = [
        {k: v for k, v in value.items() if k != "text"} if isinstance(value, Mapping) else value
        for value in (entry.old, entry.new)
    ]
    if entry.field == "text":
        values = []
    told = (entry.task, entry.field, values, entry.actor, entry.worktree, entry.cause)
    return _timeless_text(repr(told))


def _timeless(value: object) -> str:
    return _timeless_text(repr(value))


def _timeless_text(text: str) -> str:
    return _TIME.sub("<time>", text)


def _files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): _timeless_text(path.read_text(encoding="utf-8"))
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
