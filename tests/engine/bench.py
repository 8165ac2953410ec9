"""An engine on a real repository, with an index in memory, a clock to be set, and a store that can die."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from taskd import wire
from taskd.core.claims import later
from taskd.core.task import Task
from taskd.engine import setup
from taskd.engine.engine import Engine
from taskd.engine.site import MIRROR, REPLICAS, SHARED, Place, Rules, Site
from taskd.engine.taker import Ingested
from taskd.errors import StoreFailed
from taskd.repo.branch import Branch
from taskd.repo.git import Git
from taskd.repo.history import History
from taskd.repo.lock import FileLock
from taskd.repo.worktrees import Repository, list_worktrees
from taskd.store.base import Base, Conflict, Entry, Hold, Intent, Problem
from taskd.store.memory import MemoryDatabase
from taskd.store.memory_txn import MemoryTxn
from taskd.store.memory_view import MemoryView

NOON: Final = "2026-03-01T12:00:00.000Z"
REF: Final = "refs/heads/taskd/workspace"


class Database(MemoryDatabase):
    """Counts what it writes. `steps_left` is how many steps of transactions it does before it dies."""

    #: calls that changed something
    writes = 0
    steps_left: int | None = None

    @contextmanager
    def write(self, epoch: int | None = None) -> Generator[MemoryTxn]:
        """A serial write that can die."""
        with super().write(epoch) as txn:
            yield cast("MemoryTxn", _Mortal(txn, self))
            self.step()

    def step(self) -> None:
        """Do one more step, or have died."""
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise StoreFailed(reason="the disk is gone")


@dataclass
class _Mortal:
    """A transaction of which each call is a step of its database."""

    txn: MemoryTxn
    database: Database

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transaction has
        found = getattr(self.txn, name)
        if name == "savepoint":
            return found

        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on
            self.database.step()
            outcome = found(*arguments, **options)
            self.database.writes += not hasattr(MemoryView, name) and outcome is not False
            return outcome

        return call


@dataclass
class Times:
    """The store's clock stands still until it is set; files look `ahead` seconds older than they are."""

    now: str = NOON
    ahead: float = 10.0

    def __call__(self) -> str:
        """The store's time."""
        return self.now

    def nanoseconds(self) -> int:
        """The wall time by which the age of a file is judged."""
        return time.time_ns() + int(self.ahead * 1e9)

    def pass_by(self, seconds: float) -> None:
        """Let the store's time pass."""
        self.now = later(self.now, seconds)


@dataclass
class Events:
    """A log that remembers what it was told."""

    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def debug(self, event: str, **facts: object) -> None:
        """Remember it."""
        self.told.append((event, facts))

    info = warning = exception = debug

    def names(self) -> list[str]:
        """The events told, in order."""
        return [event for event, _ in self.told]


@dataclass
class Bench:
    """What a test of the engine works at. Places are named by their keys; `main` is meant unless named."""

    top: Path
    git: Callable[..., str]
    engine: Engine
    db: Database
    times: Times
    log: Events

    # -- files

    def place(self, key: str = "main") -> Place:
        """A place by its key."""
        return self.engine.site.places[key]

    def add_worktree(self, name: str) -> Place:
        """A new worktree beside the main one, known to the engine."""
        self.git(self.top, "worktree", "add", "-q", "--detach", self.top.parent / name)
        self.engine.site.look_around()
        return self.place(name)

    def file(self, path: str, key: str = "main") -> Path:
        """Where a replica lies."""
        return self.place(key).root / path

    def save(self, path: str, text: str | bytes, key: str = "main") -> Path:
        """Save a file as an editor would that writes in place."""
        file = self.file(path, key)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def text(self, path: str, key: str = "main") -> str | None:
        """What a file says, None when it is not there."""
        file = self.file(path, key)
        return file.read_text() if file.exists() else None

    def edit(self, path: str, old: str, new: str, key: str = "main") -> None:
        """Replace a part of a file that is there."""
        file = self.file(path, key)
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    # -- the engine at work

    def take(self, *paths: str, key: str = "main") -> Ingested:
        """Take in some files of a place."""
        with self.engine.working():
            return self.engine.ingest(self.place(key), paths)

    def put(self, path: str, text: str, key: str = "main") -> None:
        """Save a file and take it in."""
        self.save(path, text, key)
        self.take(path, key=key)

    def write_back(self) -> None:
        """Bring every replica to what the index says."""
        with self.engine.working():
            self.engine.finish_replicas()

    def settle(self) -> None:
        """Look at every place and carry out everything that follows, the branch too."""
        with self.engine.working():
            for place in list(self.engine.site.places.values()):
                self.engine.look_at(place)
            self.engine.finish()

    def call(self, op: str, actor: str = "alice", key: str = "main", **params: object) -> wire.Reply:
        """One call from a place's worktree, by a participant whose session has the same name."""
        return self.engine.execute([self.asked(op, actor, key, **params)])[0]

    def asked(self, op: str, actor: str = "alice", key: str = "main", **params: object) -> wire.Call:
        """A call that is yet to be carried out."""
        tree = self.place(key).worktree
        caller = wire.Caller(actor, actor, str(tree.path if tree else self.top))
        return wire.Call(op, params, caller)

    # -- the index

    def task(self, id: str) -> Task:
        """A task that has to be there."""
        with self.db.read() as view:
            task = view.task(id)
        assert task is not None
        return task

    def ids(self) -> list[str]:
        """The live tasks."""
        with self.db.read() as view:
            return view.live()

    def head(self, id: str) -> str:
        """The text of a task's head."""
        with self.db.read() as view:
            return view.text(self.task(id).text).decode()

    def base(self, path: str, key: str = "main") -> Base | None:
        """The base of one replica."""
        with self.db.read() as view:
            return view.base(key, path)

    def journal(self, id: str | None = None) -> list[Entry]:
        """What was accepted."""
        with self.db.read() as view:
            return view.journal(id)

    def problems(self, kind: str = "problem") -> list[Problem]:
        """What is listed about files."""
        with self.db.read() as view:
            return [problem for problem in view.problems() if problem.kind == kind]

    def conflicts(self) -> list[Conflict]:
        """Changes that could not both stand."""
        with self.db.read() as view:
            return view.conflicts()

    def intents(self) -> list[Intent]:
        """Intents that are open."""
        with self.db.read() as view:
            return view.intents()

    def holds(self) -> list[Hold]:
        """Holds that are open."""
        with self.db.read() as view:
            return view.holds()

    def errands(self, target: str) -> list[str]:
        """The tasks with an errand."""
        assert target in (REPLICAS, MIRROR)
        with self.db.read() as view:
            return [errand.task for errand in view.errands(target)]

    def everything(self) -> tuple[object, ...]:
        """What the index has of tasks, replicas and errands, to be compared."""
        with self.db.read() as view:
            tasks = [view.task(id) for id in view.live()]
            bases = [view.bases(key) for key in self.engine.site.places]
            errands = view.errands(REPLICAS), view.errands(MIRROR)
            return tasks, view.journal(), bases, view.problems(), view.intents(), errands

    def commits(self) -> list[str]:
        """The messages on the workspace branch, newest first."""
        found = self.git(self.top, "log", "-z", "--format=%B", REF, check=False)
        return [message.strip() for message in found.split("\0") if message.strip()]

    def on_branch(self) -> dict[str, str]:
        """The task files on the workspace branch."""
        listed = self.git(self.top, "ls-tree", "-r", "-z", "--name-only", REF, "tasks/").split("\0")
        return {path: self.git(self.top, "cat-file", "blob", f"{REF}:{path}") for path in listed if path}


def open_bench(top: Path, git: Callable[..., str], rules: Rules) -> Bench:
    """Put an engine together for a repository, and let it look around; nothing is taken in yet."""
    common = top / ".git"
    (common / "taskd").mkdir()
    times, log = Times(), Events()
    db = Database(times)
    repository = Repository(common, top, "sha1")
    if rules.layout == SHARED:
        setup.set_exclude(repository, rules.tasks_dir)
    door = Git(common, scratch=common / "taskd" / "scratch")
    lock = FileLock(common / "taskd" / "write.lock")
    history = History(door, rules.tasks_dir)
    site = Site(repository, common / "taskd", rules, db, door, history, lock, log)
    branch = Branch(door, REF, lambda: list_worktrees(door, repository))
    engine = Engine(site, branch, FileLock(common / "taskd" / "mirror.lock"), times.nanoseconds)
    bench = Bench(top, git, engine, db, times, log)
    with engine.working():
        engine.start()
    return bench


def document(id: str, name: str | None = None, body: str = "", **fields: str) -> str:
    """A task file."""
    lines = [f"id: {id}", f"name: {name or id.title()}", *(f"{key}: {text}" for key, text in fields.items())]
    return "\n".join(["---", *lines, "---", body])
