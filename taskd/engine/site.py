"""What the engine works with: one repository, its index, its places, and the rules in force there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from taskd.core.claims import LEASE
from taskd.errors import GitFailed
from taskd.repo.git import Git
from taskd.repo.history import Move, Written
from taskd.repo.lock import FileLock
from taskd.repo.worktrees import MAIN, Repository, Worktree, head_branch, index_stamp, list_worktrees
from taskd.store.base import TaskDatabase, Txn, WorktreeRow

#: key of the place that is the workspace directory
WORKSPACE: Final = "workspace"
#: worktree key under which bases record what stands on the workspace branch
BRANCH: Final = "@branch"
#: the same of the remote's branch, while that is being taken in
REMOTE: Final = "@remote"

#: errand targets
REPLICAS: Final = "replicas"
MIRROR: Final = "branch"

SHARED: Final = "shared"
TRACKED: Final = "tracked"


class Log(Protocol):
    """Where events of the engine go: a name in the design's words and facts, never a task's body."""

    def debug(self, event: str, **facts: object) -> object:
        """For those who look closely."""

    def info(self, event: str, **facts: object) -> object:
        """Something happened."""

    def warning(self, event: str, **facts: object) -> object:
        """Something a person should know."""

    def exception(self, event: str, **facts: object) -> object:
        """A fault of ours, with its traceback."""


class History(Protocol):
    """What git did, as far as the engine asks; `repo.history.History` says more of each."""

    def head(self, worktree: Worktree) -> str | None:
        """The commit a worktree stands on."""

    def moves(self, worktree: Worktree) -> Sequence[Move]:
        """The reflog of its HEAD, oldest first."""

    def tree(self, commit: str) -> Mapping[str, str]:
        """The blob of every path in a commit."""

    def has_file(self, commit: str, path: str) -> bool:
        """Whether a path is in a commit."""

    def stashes(self) -> Sequence[tuple[int, tuple[str, ...]]]:
        """When each stash was made, in seconds, and the commits that have its files."""

    def last_stash_ns(self) -> int:
        """When a stash was made, popped or dropped last, at the latest; 0 where no ref was ever logged."""

    def count_moves(self, worktree: Worktree) -> int | None:
        """How many entries the reflog of its HEAD has, None where none can be counted."""

    def staged(self, worktree: Worktree) -> Mapping[str, str | None]:
        """The blob of every path in its index, None where it is unmerged."""

    def written(self, worktree: Worktree, paths: Sequence[str]) -> Mapping[str, Written]:
        """What git last wrote at some paths, by the index: blob and mtime."""

    def left_out(self, worktree: Worktree) -> frozenset[str]:
        """The paths a sparse checkout leaves out."""

    def texts(self, worktree: Worktree, blobs: Mapping[str, str]) -> Mapping[str, bytes]:
        """What git would write at each path for its blob."""

    def has_text(self, worktree: Worktree, text: bytes) -> bool:
        """Whether git has a text, or may have it under filters: what it has not it did not write."""

    def is_blob(self, text: bytes, blob: str) -> bool:
        """Whether a text is that blob as it is."""

    def versions(self, commit: str, path: str) -> Iterator[str]:
        """The blobs of a path in the history of a commit, newest first."""

    def merge_base(self, one: str, other: str) -> str | None:
        """Where two commits parted."""

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether the new commit came from the old one."""

    def last_command_ns(self, worktree: Worktree) -> int:
        """When the newest git command took or let go of a lock."""

    def under_way(self, worktree: Worktree) -> str | None:
        """Which command of several steps has been begun."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings the engine goes by; the keys of section 9 of the design."""

    layout: str = SHARED
    tasks_dir: str = "tasks"
    branch: str = "taskd/workspace"
    write_back: str = "auto"
    propagate: str = "all"
    status_edits: str = "request"
    lease: float = LEASE


@dataclass(frozen=True, slots=True)
class Place:
    """A tasks directory that holds replicas: a worktree's, or the workspace directory."""

    key: str
    root: Path
    worktree: Worktree | None = None


@dataclass(slots=True)
class Site:
    """One repository under taskd's care.

    `lock` is the write lock: who holds it may change the index and replicas, and may take every
    open intent for one of a dead process. `epoch` is the daemon's; None for a process without one.
    """

    repository: Repository
    state_dir: Path
    rules: Rules
    db: TaskDatabase
    git: Git
    history: History
    lock: FileLock
    log: Log
    epoch: int | None = None
    #: called between the parts of long work, for who watches that it goes on
    beat: Callable[[], None] = lambda: None
    places: dict[str, Place] = field(default_factory=dict)
    _tracked: dict[str, tuple[object, frozenset[str]]] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        """The workspace directory's tasks."""
        return self.state_dir / "workspace" / "tasks"

    @contextmanager
    def writing(self) -> Iterator[Txn]:
        """A write transaction of this process."""
        with self.db.write(self.epoch) as txn:
            yield txn

    def look_around(self) -> list[Place]:
        """Learn which worktrees there are now; the places that are new since the last look."""
        trees = list_worktrees(self.git, self.repository)
        found = {
            tree.key: Place(tree.key, tree.path / self.rules.tasks_dir, tree)
            for tree in trees
            if tree.state == "active"
        }
        found[WORKSPACE] = Place(WORKSPACE, self.workspace)
        new = [place for key, place in found.items() if _differs(self.places.get(key), place)]
        self.places = found
        self._remember_worktrees(found, trees)
        return new

    def place_of(self, directory: Path) -> Place | None:
        """The place whose worktree holds a directory, the innermost if they nest."""
        below = f"{directory}/"
        inside = [
            place
            for place in self.places.values()
            if place.worktree is not None and below.startswith(f"{place.worktree.path}/")
        ]
        return max(inside, key=lambda place: len(str(place.root)), default=None)

    def is_standing(self, place: Place) -> bool:
        """Whether what holds a place is there: its worktree with the `.git` in it, or our own directory.

        Who makes a directory asks first: a worktree that is being removed must not come back in part.
        """
        holder = self.state_dir if place.worktree is None else place.worktree.path / ".git"
        return os.path.lexists(holder)

    def shows_branch(self, place: Place) -> bool:
        """Whether a place's worktree has the workspace branch checked out.

        Its files are what the branch says then: they speak by being committed, and are no replicas.
        """
        tree = place.worktree
        return tree is not None and head_branch(tree.git_dir) == f"refs/heads/{self.rules.branch}"

    def tracked(self, place: Place) -> frozenset[str]:
        """The paths below a place's root that git tracks there; read anew when its index changed.

        Every path, where git cannot tell: then nothing there is touched, and no other place is held up.
        """
        if place.worktree is None:
            return frozenset()
        stamp = index_stamp(place.worktree.git_dir)
        known = self._tracked.get(place.key)
        if known is None or known[0] != stamp:
            paths = self._ask_tracked(place.worktree)
            known = self._tracked[place.key] = (stamp, paths)
        return known[1]

    def _ask_tracked(self, worktree: Worktree) -> frozenset[str]:
        try:
            return self.git.tracked(worktree.path, self.rules.tasks_dir)
        except GitFailed as error:
            self.log.warning("worktree.unreadable", worktree=worktree.key, reason=error.message)
            return _Everything()

    def _remember_worktrees(self, found: Mapping[str, Place], trees: Sequence[Worktree]) -> None:
        """Keep the worktree rows in step; a new worktree under an old name starts without bases.

        Rows of worktrees that are only missing (locked, unmounted) stay, as such: absence is not
        deletion, and when they are back they are given what was written meanwhile. Those that git does
        not know any more go.
        """
        with self.db.read() as view:
            rows = {row.key: row for row in view.worktrees()}
        known = {WORKSPACE, *(tree.key for tree in trees)}
        away = {tree.key: _row_of(tree) for tree in trees if tree.key in rows.keys() - found.keys()}
        fresh = {key: _row(place) for key, place in found.items()} | away
        if all(rows.get(key) == row for key, row in fresh.items()) and rows.keys() <= known:
            return
        with self.writing() as txn:
            for key in rows.keys() - known:
                txn.drop_worktree(key)
            for key, row in fresh.items():
                _remember(txn, rows.get(key), row)


def _remember(txn: Txn, before: WorktreeRow | None, now: WorktreeRow) -> None:
    if before is not None and before.identity != now.identity:
        txn.drop_worktree(now.key)
    elif before is not None and before.state != now.state == "active":
        txn.enqueue(REPLICAS, [base.task for base in txn.bases(now.key) if base.task])
    txn.put_worktree(now)


def main_first(key: str) -> tuple[bool, str]:
    """The order in which places are looked at: what differs elsewhere is told from the main worktree."""
    return key != MAIN, key


class _Everything(frozenset[str]):
    """The set that every path is in."""

    def __contains__(self, _: object) -> bool:
        return True


def _differs(before: Place | None, now: Place) -> bool:
    """Whether it is another place than before: new, moved, or another worktree under an old name."""
    if before is None or before.root != now.root:
        return True
    return (before.worktree and before.worktree.identity) != (now.worktree and now.worktree.identity)


def _row(place: Place) -> WorktreeRow:
    tree = place.worktree
    if tree is None:
        return WorktreeRow(place.key, str(place.root), "", "active")
    return _row_of(tree)


def _row_of(tree: Worktree) -> WorktreeRow:
    return WorktreeRow(tree.key, str(tree.path), tree.identity, tree.state)
