"""Puts an engine together for a repository: the one place that picks store, clock and locks."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from taskd import wire
from taskd.config import Config, Loaded, clone_file, load
from taskd.engine import backups, doubts, registration, setup
from taskd.engine.engine import Engine
from taskd.engine.operations import OPERATIONS
from taskd.engine.site import SHARED, WORKSPACE, Log, Rules, Site
from taskd.engine.touches import GATE_POLL, GATE_REST
from taskd.errors import NotSetUp, NoWorktree, Refused, StoreDamaged, StoreFailed, StoreGone, TaskdError
from taskd.repo.branch import Branch
from taskd.repo.git import Git
from taskd.repo.history import History
from taskd.repo.lock import FileLock
from taskd.repo.remote import Remote
from taskd.repo.worktrees import Repository, Worktree, list_worktrees, locate, remember_main
from taskd.store.base import TaskDatabase
from taskd.store.values import system_clock

GIT_PATIENCE: Final = GATE_REST + 0.1  # seconds a command waits for git to be done with its files
SOCKET_LIMIT: Final = 104  # bytes; what the smallest sockaddr_un (macOS) holds


@dataclass(frozen=True, slots=True)
class Home:
    """Where a repository's state lies and what is configured there."""

    repository: Repository
    worktree: Worktree | None
    loaded: Loaded

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.loaded.config

    @property
    def state_dir(self) -> Path:
        """`<git common dir>/taskd`."""
        return self.repository.common_dir / "taskd"

    @property
    def index(self) -> Path:
        """The SQLite index."""
        return self.state_dir / "index.db"

    @property
    def workspace(self) -> Path:
        """The workspace directory."""
        return self.state_dir / WORKSPACE / "tasks"

    @property
    def daemon_lock(self) -> FileLock:
        """The lock a daemon holds for life."""
        return FileLock(self.state_dir / "daemon.lock")

    @property
    def top(self) -> Path:
        """The directory that stands for the repository: its main worktree, else this worktree."""
        if self.repository.main is not None:
            return self.repository.main
        return self.worktree.path if self.worktree is not None else self.repository.common_dir

    def is_set_up(self) -> bool:
        """Whether `taskd init` was run here."""
        return self.loaded.chosen

    def require_set_up(self) -> None:
        """NotSetUp, or NoWorktree, with the remedy, when it was not."""
        if not self.is_set_up():
            if self.repository.main is None and self.worktree is None:
                raise NoWorktree(path=str(self.repository.common_dir))
            raise NotSetUp(repo=str(self.top))


class StderrLog:
    """Tells warnings on standard error in one line, and nothing else: for commands without a daemon.

    A problem of a file is in the index, and the commands that are about files tell it themselves.
    """

    def debug(self, event: str, **facts: object) -> None:
        """Say nothing."""

    def info(self, event: str, **facts: object) -> None:
        """Say nothing."""

    def warning(self, event: str, **facts: object) -> None:
        """One line."""
        if event == "problem.found":
            return
        told = " ".join(f"{key}={value}" for key, value in facts.items())
        sys.stderr.write(f"taskd: {event} {told}\n")

    def exception(self, event: str, **facts: object) -> None:
        """One line with the exception's own words."""
        self.warning(event, **facts, error=repr(sys.exc_info()[1]))


def find_home(directory: Path, environ: Mapping[str, str] = os.environ) -> Home:
    """The repository a directory belongs to and its settings; nothing is written."""
    repository, worktree = locate(directory)
    return Home(repository, worktree, load(environ, repository.common_dir, repository.main))


def open_engine(home: Home, log: Log | None = None, *, thorough: bool = False) -> Engine:
    """An engine on a repository that is set up. Nothing is scanned yet.

    An index that was lost is replaced by its newest sound copy; with `thorough`, which is for who holds
    the daemon's lock, a damaged one too.
    """
    home.require_set_up()
    home.state_dir.mkdir(mode=0o700, exist_ok=True)
    mend_index(home, log or StderrLog(), thorough=thorough)
    git = Git(home.repository.common_dir, scratch=home.state_dir / "scratch")
    site = Site(
        repository=home.repository,
        state_dir=home.state_dir,
        rules=rules_of(home.config),
        db=open_store(home),
        git=git,
        history=History(git, home.config.tasks_dir),
        lock=FileLock(home.state_dir / "write.lock"),
        log=log or StderrLog(),
    )
    branch = Branch(git, f"refs/heads/{home.config.branch}", lambda: list_worktrees(git, home.repository))
    return Engine(
        site, branch, FileLock(home.state_dir / "mirror.lock"), remote=open_remote(home, branch.ref)
    )


def open_remote(home: Home, ref: str) -> Remote | None:
    """The remote that is configured; its addresses may be relative to the main worktree's top."""
    name = home.config.mirror__remote
    return Remote(Git(home.repository.main or home.repository.common_dir), name, ref) if name else None


def open_store(home: Home) -> TaskDatabase:
    """The index that is configured."""
    from taskd.store.sqlite import SqliteDatabase  # noqa: PLC0415 - only the store in use is imported

    if home.config.store__backend != "sqlite":
        raise StoreFailed(reason=f"there is no store {home.config.store__backend!r}")
    return SqliteDatabase(home.index)


def mend_index(home: Home, log: Log, *, thorough: bool) -> None:
    """Replace a lost or damaged index, as `open_engine` says. StoreGone while a daemon has it open."""
    from taskd.store.sqlite_copies import rescue  # noqa: PLC0415 - only the store in use is imported

    is_there = home.index.exists() and home.index.stat().st_size > 0
    known = doubts.is_known(home.state_dir)
    copies = backups.directory(home.state_dir)
    if is_there and not thorough:
        return
    from taskd.repo import inotify  # noqa: PLC0415 - 30 ms, and seldom needed

    kind = inotify.filesystem_of(os.path.realpath(home.state_dir))
    if inotify.is_remote(kind):
        reason = f"{home.state_dir} lies on {kind}, where locks and shared memory cannot be relied on"
        raise StoreFailed(reason=f"{reason}; keep the repository on a disk of this machine")
    if not thorough and (known or copies.is_dir()) and home.daemon_lock.is_held():
        raise StoreGone(reason=f"{home.index} was removed while a daemon serves it")
    with FileLock(home.state_dir / "write.lock").held():
        done = rescue(home.index, copies, system_clock(), known=known, thorough=thorough)
    if done is not None:
        log.warning("index.rescued", reason=str(done))


def rules_of(config: Config) -> Rules:
    """The engine's part of the settings."""
    return Rules(
        layout=config.layout,
        tasks_dir=config.tasks_dir,
        branch=config.branch,
        write_back=config.write_back,
        propagate=config.propagate,
        status_edits=config.status_edits,
        lease=config.lease,
    )


def socket_place(common_dir: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the daemon of a repository listens: in the user's runtime directory, short and private.

    12 hex digits of BLAKE2b of the common dir's real path name it.
    """
    import hashlib  # noqa: PLC0415 - not on the way of every import
    import tempfile  # noqa: PLC0415 - likewise

    digest = hashlib.blake2b(os.fsencode(os.path.realpath(common_dir)), digest_size=6).hexdigest()
    runtime = environ.get("XDG_RUNTIME_DIR")
    fallback = Path(tempfile.gettempdir()) / f"taskd-{os.getuid()}"
    for base in ([Path(runtime) / "taskd"] if runtime else []) + [fallback]:
        path = base / f"{digest}.sock"
        if len(os.fsencode(path)) < SOCKET_LIMIT:
            return path
    return Path("/tmp") / f"taskd-{os.getuid()}" / f"{digest}.sock"  # noqa: S108 - made 0700, owner checked


def endpoint(state_dir: Path) -> Path | None:
    """The socket a daemon wrote down, if one did."""
    try:
        told = json.loads((state_dir / "endpoint.json").read_text(encoding="utf-8"))
        return Path(told["socket"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Here:
    """Operations carried out in this process, by the same engine and under the same lock as a daemon's.

    Every call first looks at the caller's worktree, so that what was saved there counts; `sync` looks
    at all. Errands are done before the answer is given.
    """

    def __init__(self, home: Home) -> None:
        """Open the engine of a repository that is set up."""
        self._home = home
        self.engine = open_engine(home)

    def close(self) -> None:
        """Let go of the index."""
        self.engine.close()

    def submit(self, call: wire.Call) -> wire.Reply:
        """Carry out one call."""
        try:
            reply = self._sync(call) if call.op == "sync" else self._work(call)
            doubts.remember(self.engine.site)
        except StoreDamaged as error:
            self._mend()
            return wire.failed(error)
        except TaskdError as error:
            return wire.failed(error)
        return reply

    def _work(self, call: wire.Call) -> wire.Reply:
        with self.engine.working():
            self.engine.start()
            self._look(call)
            reply = self._carry_out(call)
            self.engine.finish_replicas()
        self.engine.finish_branch()
        if self.engine.branching.news:
            with self.engine.working():
                self.engine.finish_news()
        return reply

    def _mend(self) -> None:
        """Let the next call find a sound index. What this one did is not known, so it is not done again."""
        if not self._home.daemon_lock.is_held():  # who holds it mends it
            self.engine.close()
            self.engine = open_engine(self._home, thorough=True)

    def first_look(self, timeout: float) -> dict[str, object]:
        """Take in a whole repository: what `init` does last."""
        with self.engine.working():
            self.engine.start()
            return self.engine.sync(timeout, time.sleep)

    def _look(self, call: wire.Call) -> None:
        place = self.engine.site.place_of(Path(call.caller.directory))
        if place is not None:
            self.engine.sweep()
            deadline = time.monotonic() + GIT_PATIENCE
            while self.engine.look_at(place) is None and time.monotonic() < deadline:
                time.sleep(GATE_POLL)

    def _carry_out(self, call: wire.Call) -> wire.Reply:
        row = OPERATIONS.get(call.op)
        if row is not None and row.writes:
            return self.engine.execute([call])[0]
        return self.engine.answer(call)

    def _sync(self, call: wire.Call) -> wire.Reply:
        asked = wire.build(wire.Sync, call.params)
        reply = wire.Reply(self.first_look(asked.timeout))
        backups.back_up_daily(self.engine.site)
        return reply


def install(
    home: Home,
    layout: str | None,
    tasks_dir: str | None,
    *,
    dry_run: bool,
    program: Sequence[str] = ("taskd",),
    timeout: float = 60.0,
) -> dict[str, Any]:
    """Set a repository up and take in what is there; what was found and written.

    Git is told to merge task files with `program`, the words that start taskd. Refused, with nothing
    written, when the layout asked for cannot work. Running it again changes nothing but what is asked for.
    """
    if home.repository.main is None and home.worktree is None:
        raise NoWorktree(path=str(home.repository.common_dir))
    top = home.repository.main or home.top
    directory = tasks_dir or home.config.tasks_dir
    with Git(top) as git:
        wanted = layout or home.config.layout or None
        found = setup.find_layout(git, home.repository, directory, wanted, top)
        report: dict[str, Any] = {
            "layout": found.layout,
            "meaning": found.meaning,
            "tasks_dir": directory,
            "writes": [str(path) for path in found.writes],
            "dry_run": dry_run,
        }
        if dry_run:
            return report
        if found.layout == SHARED:
            setup.set_exclude(home.repository, directory)
            try:
                setup.check_excluded(git, directory)
            except Refused:
                setup.drop_exclude(home.repository)
                raise
    registration.register(home.repository, directory, program)
    remember_main(home.repository)
    setup.write_settings(clone_file(home.repository.common_dir), found.layout, directory)
    ready = find_home(top)
    (ready.state_dir).chmod(0o700)
    here = Here(ready)
    try:
        return {**report, **here.first_look(timeout)}
    finally:
        here.close()


def uninstall(home: Home) -> dict[str, Any]:
    """Undo `install`: git sees the task files again; files, index and branch stay. Idempotent.

    Refused while a daemon runs: it would write into files that git sees.
    """
    if not home.is_set_up():
        return {"said": ["taskd is not set up here; nothing to do"]}
    lock = home.daemon_lock
    if not lock.try_hold():
        raise Refused(reason="a daemon serves this repository; `taskd daemon stop` first")
    try:
        merged = registration.unregister(home.repository)
        clone_file(home.repository.common_dir).unlink(missing_ok=True)
        lifted = setup.drop_exclude(home.repository)
    finally:
        lock.release()
    said = [f"git sees {home.config.tasks_dir}/ again"] if lifted else []
    said += ["git merges task files by itself again"] if merged else []
    said += [
        "the task files in the worktrees stay as they are, live state included",
        f"the workspace branch {home.config.branch} stays",
        f"the index stays in {home.state_dir}; `taskd init` takes it up again",
    ]
    return {"said": said}
