"""Worktrees of a repository in memory: their files are real, what git knows of them is not."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from taskd.repo.history import Move
from tests.model.hands import wait_past
from tests.model.memory_git import Checkout, Graph, Tree, blob_of


@dataclass
class MemoryTrees:
    """A graph, and the files of worktrees that stand on it. `ignores`: git does not see task files."""

    paths: dict[str, Path]
    ignores: bool
    graph: Graph = field(default_factory=Graph)
    checkouts: dict[Path, Checkout] = field(default_factory=dict)

    def begin(self) -> None:
        """The main worktree, on a first commit."""
        top = self.paths["main"]
        self.graph.branches["main"] = first = self.graph.commit({})
        (top / ".git" / "objects").mkdir(parents=True)
        (top / ".git" / "refs").mkdir()
        self.check_in(
            Checkout(top / ".git", top, "main", first, {}, [Move(first, "commit (initial): begin")])
        )

    def check_in(self, here: Checkout) -> None:
        """Know a checkout, and leave its records on the disk."""
        self.checkouts[here.git_dir] = here
        (here.git_dir / "HEAD").write_text(f"ref: refs/heads/{here.branch}\n" if here.branch else here.commit)
        self.locked(here)

    def locked(self, here: Checkout) -> bool:
        """Leave the trace of a command that wrote the index."""
        index = here.git_dir / "index"
        index.write_text(str(time.time_ns()))
        return True

    def at(self, top: Path) -> Checkout:
        """The checkout whose top that is."""
        return next(here for here in self.checkouts.values() if here.top == top)

    def here(self, tree: str) -> Checkout:
        """The checkout of a tree."""
        return self.at(self.paths[tree])

    def at_work(self, tree: str) -> Checkout:
        """A checkout in which git begins to write: later than anything that was saved there."""
        here = self.here(tree)
        root = here.top / "tasks"
        wait_past(max(((root / path).stat().st_ctime_ns for path in self.standing(here)), default=0))
        return here

    def head_of(self, here: Checkout) -> Tree:
        """The tree that HEAD has."""
        return self.graph.commits[self.commit_of(here)].tree

    def commit_of(self, here: Checkout) -> str:
        """The commit HEAD stands on."""
        return here.commit if here.branch is None else self.graph.branches[here.branch]

    # -- files

    def text_of(self, here: Checkout, path: str) -> bytes | None:
        """What stands in a file."""
        file = here.top / "tasks" / path
        return file.read_bytes() if file.is_file() else None

    def blob_at(self, here: Checkout, path: str) -> str | None:
        """The blob of what stands in a file."""
        text = self.text_of(here, path)
        return None if text is None else blob_of(text)

    def keep_at(self, here: Checkout, path: str) -> str | None:
        """The same, which git has from now on."""
        text = self.text_of(here, path)
        return None if text is None else self.graph.keep(text)

    def write(self, here: Checkout, path: str, text: bytes | None) -> None:
        """As git does it: the old file goes, a new one comes."""
        file = here.top / "tasks" / path
        file.unlink(missing_ok=True)
        if text is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)

    def enter(self, here: Checkout, path: str, blob: str | None) -> None:
        """Put a path into the index as it stands, or (None) take it out."""
        here.index.pop(path, None)
        here.times.pop(path, None)
        if blob is not None:
            here.index[path] = blob
            file = here.top / "tasks" / path
            here.times[path] = file.stat().st_mtime_ns if file.is_file() else 0

    def standing(self, here: Checkout) -> set[str]:
        """The task files that are there."""
        root = here.top / "tasks"
        return {str(p.relative_to(root)) for p in root.rglob("*.md") if not p.name.startswith(".")}

    def untracked(self, here: Checkout) -> set[str]:
        """Those of them that the index has not."""
        return self.standing(here) - here.index.keys()

    def dirty(self, here: Checkout) -> set[str]:
        """Tracked paths whose file or index is not what HEAD has."""
        head = self.head_of(here)
        paths = here.index.keys() | head.keys()
        return {p for p in paths if not head.get(p) == here.index.get(p) == self.blob_at(here, p)}

    def go(self, here: Checkout, wanted: Tree, *, force: bool) -> bool:
        """Bring index and files to a tree, keeping what was changed elsewhere; whether that could be."""
        head = self.head_of(here)
        moving = {p for p in wanted.keys() | head.keys() if wanted.get(p) != head.get(p)}
        dirty = self.dirty(here)
        if not force and (dirty | self.untracked(here)) & moving:
            return False
        for path in sorted(moving | dirty if force else moving):
            blob = wanted.get(path)
            if self.blob_at(here, path) != blob:
                self.write(here, path, None if blob is None else self.graph.blobs[blob])
            self.enter(here, path, blob)
        return True

    def move(self, here: Checkout, commit: str, what: str) -> None:
        """HEAD, and the branch it is on, to a commit."""
        here.commit = commit
        if here.branch is not None:
            self.graph.branches[here.branch] = commit
        here.reflog.append(Move(commit, what))

    # -- asking

    def pause(self, tree: str) -> None:
        """Wait for the clock of files to go on."""
        wait_past((self.here(tree).git_dir / "index").stat().st_mtime_ns)

    def branches(self) -> list[str]:
        """Sorted by name."""
        return sorted(self.graph.branches)

    def under_way(self, tree: str) -> str | None:
        """As noted."""
        return self.here(tree).under_way

    def unmerged(self, tree: str) -> frozenset[str]:
        """Paths without a stage 0."""
        return frozenset(path for path, blob in self.here(tree).index.items() if blob is None)

    def committed(self, tree: str) -> frozenset[str]:
        """What HEAD has and its parent has not, or otherwise."""
        commit = self.graph.commits[self.commit_of(self.at_work(tree))]
        before = self.graph.commits[commit.parents[0]].tree if commit.parents else {}
        return frozenset(p for p in commit.tree.keys() | before.keys() if commit.tree.get(p) != before.get(p))

    def carried(self, tree: str) -> frozenset[str]:
        """What is in the index."""
        return frozenset(self.here(tree).index)

    def ignore_tasks(self) -> None:
        """What is not in an index stays out of it."""
        self.ignores = True

    def indexes(self) -> dict[str, Path]:
        """The files that stand for indexes."""
        return {f"index of {tree}": self.here(tree).git_dir / "index" for tree in self.paths}

    # -- worktrees

    def add_tree(self, tree: str, at: str, *, branch: bool) -> bool:
        """A record, and the files of a commit."""
        commit, top = self.graph.branches[at], self.paths["main"].parent / tree
        admin = self.paths["main"] / ".git" / "worktrees" / tree
        if top.exists() or admin.exists() or (branch and tree in self.graph.branches):
            return False
        if branch:
            self.graph.branches[tree] = commit
        admin.mkdir(parents=True)
        top.mkdir()
        self.point(admin, top)
        (admin / "commondir").write_text("../..\n")
        self.paths[tree] = top
        here = Checkout(admin, top, tree if branch else None, commit, {}, [Move(commit, "")])
        for path, blob in self.graph.commits[commit].tree.items():
            self.write(here, path, self.graph.blobs[blob])
            self.enter(here, path, blob)
        self.check_in(here)
        return True

    def point(self, admin: Path, top: Path) -> None:
        """Have record and worktree lead to each other."""
        (admin / "gitdir").write_text(f"{top}/.git\n")
        (top / ".git").write_text(f"gitdir: {admin}\n")

    def move_tree(self, tree: str, path: Path) -> bool:
        """A rename, and the record after it."""
        here = self.here(tree)
        self.paths[tree].rename(path)
        here.top = self.paths[tree] = path
        self.point(here.git_dir, path)
        return True

    def remove_tree(self, tree: str) -> bool:
        """The files, then the record."""
        here = self.here(tree)
        shutil.rmtree(here.top)
        shutil.rmtree(here.git_dir)
        del self.checkouts[here.git_dir], self.paths[tree]
        return True
