"""Commits, branches and reflogs in memory: as much of git as taskd asks about.

Paths are relative to the tasks directory; nothing else is kept of a tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from taskd.repo.history import Move, Written
from taskd.repo.worktrees import Worktree

Tree = Mapping[str, str]  # path to blob


@dataclass(frozen=True)
class Commit:
    """One commit; `tree` maps paths to blobs."""

    id: str
    parents: tuple[str, ...]
    tree: Tree


@dataclass
class Checkout:
    """What git knows of one worktree."""

    git_dir: Path
    top: Path
    branch: str | None
    commit: str
    index: dict[str, str | None]
    reflog: list[Move] = field(default_factory=list)
    #: mtimes of files as the index remembers them
    times: dict[str, int] = field(default_factory=dict)
    under_way: str | None = None
    #: of each unmerged path the blobs of base, ours and theirs
    stages: dict[str, tuple[str | None, str | None, str | None]] = field(default_factory=dict)
    #: the other side of a merge; the commits a rebase has still to pick
    other: str | None = None
    todo: list[str] = field(default_factory=list)
    #: where HEAD was before what is under way
    before: tuple[str | None, str] | None = None


@dataclass
class Stash:
    """Changes put away: of each path its text before and after, and untracked files.

    `when` is in seconds; `commits` are what git keeps it in: one of what it knew of, one of the rest.
    """

    changes: dict[str, tuple[str | None, str | None]]
    untracked: dict[str, str]
    when: int
    commits: tuple[str, ...]


@dataclass
class Graph:
    """A repository."""

    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    stashes: list[Stash] = field(default_factory=list)
    stashed_ns: int = 0

    def keep(self, text: bytes) -> str:
        """Keep a text; its blob."""
        blob = blob_of(text)
        self.blobs[blob] = text
        return blob

    def commit(self, tree: Tree, *parents: str) -> str:
        """Make a commit; each is another one."""
        id = hashlib.sha1(f"commit {len(self.commits)}".encode(), usedforsecurity=False).hexdigest()
        self.commits[id] = Commit(id, parents, dict(tree))
        return id

    def ancestors(self, commit: str) -> Iterator[str]:
        """The commit and all that it came from, nearest first."""
        seen, waiting = {commit}, [commit]
        while waiting:
            id = waiting.pop(0)
            yield id
            news = [parent for parent in self.commits[id].parents if parent not in seen]
            seen |= set(news)
            waiting += news

    def line(self, commit: str) -> Iterator[str]:
        """The commit and its first parents."""
        yield commit
        while parents := self.commits[commit].parents:
            commit = parents[0]
            yield commit

    def merge_base(self, one: str, other: str) -> str | None:
        """A nearest common ancestor."""
        reached = set(self.ancestors(one))
        return next((id for id in self.ancestors(other) if id in reached), None)


def blob_of(text: bytes) -> str:
    """The id git gives to a text."""
    return hashlib.sha1(b"blob %d\0%s" % (len(text), text), usedforsecurity=False).hexdigest()


@dataclass
class MemoryHistory:
    """What taskd asks of git, told from a graph."""

    graph: Graph
    checkouts: Mapping[Path, Checkout]

    def head(self, worktree: Worktree) -> str | None:
        """The commit it stands on; if its branch was moved elsewhere, that one."""
        here = self.checkouts[worktree.git_dir]
        return here.commit if here.branch is None else self.graph.branches[here.branch]

    def moves(self, worktree: Worktree) -> tuple[Move, ...]:
        """The reflog."""
        return tuple(self.checkouts[worktree.git_dir].reflog)

    def tree(self, commit: str) -> Tree:
        """A commit's tree."""
        return self.graph.commits[commit].tree

    def staged(self, worktree: Worktree) -> Mapping[str, str | None]:
        """The index."""
        return dict(self.checkouts[worktree.git_dir].index)

    def written(self, worktree: Worktree, paths: Sequence[str]) -> Mapping[str, Written]:
        """The entries of the index."""
        here = self.checkouts[worktree.git_dir]
        found = {path: blob for path in paths if (blob := here.index.get(path)) is not None}
        return {path: Written(blob, here.times.get(path, 0)) for path, blob in found.items()}

    def has_file(self, commit: str, path: str) -> bool:
        """Whether a commit has it."""
        return path in self.graph.commits[commit].tree

    def stashes(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """The stashes, newest first."""
        return tuple((stash.when, stash.commits) for stash in reversed(self.graph.stashes))

    def last_stash_ns(self) -> int:
        """When one was made or popped last."""
        return self.graph.stashed_ns

    def count_moves(self, worktree: Worktree) -> int:
        """The length of the reflog."""
        return len(self.checkouts[worktree.git_dir].reflog)

    def left_out(self, _worktree: Worktree) -> frozenset[str]:
        """Nothing: no checkout is sparse."""
        return frozenset()

    def texts(self, _worktree: Worktree, blobs: Mapping[str, str]) -> Mapping[str, bytes]:
        """The texts of blobs."""
        return {path: self.graph.blobs[blob] for path, blob in blobs.items()}

    def has_text(self, _worktree: Worktree, text: bytes) -> bool:
        """Whether a text was kept."""
        return blob_of(text) in self.graph.blobs

    def is_blob(self, text: bytes, blob: str) -> bool:
        """Whether a text is a blob."""
        return blob_of(text) == blob

    def versions(self, commit: str, path: str) -> Iterator[str]:
        """The blobs of a path, newest first."""
        for order in (self.graph.line, self.graph.ancestors):
            for id in order(commit):
                blob = self.graph.commits[id].tree.get(path)
                if blob is not None:
                    yield blob

    def merge_base(self, one: str, other: str) -> str | None:
        """Where two commits parted."""
        return self.graph.merge_base(one, other)

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether one came from the other."""
        return old in set(self.graph.ancestors(new))

    def last_command_ns(self, worktree: Worktree) -> int:
        """When git last ran there: its index is written by every command that takes a lock."""
        return (worktree.git_dir / "index").stat().st_mtime_ns

    def under_way(self, worktree: Worktree) -> str | None:
        """What has been begun."""
        return self.checkouts[worktree.git_dir].under_way
