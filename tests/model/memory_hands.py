"""Git as people use it, in memory: files are real ones, everything else is not."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskd.repo.git import Git, Result
from taskd.repo.history import Move
from taskd.repo.worktrees import REFUSED
from tests.laws.lines import merge_lines
from tests.model.hands import wait_past
from tests.model.memory_git import Checkout, Graph, Stash, Tree


class Door(Git):
    """The door to git for an engine that has none: it merges texts, and knows what is tracked."""

    def __init__(self, directory: Path, hands: MemoryHands) -> None:
        """Answer for a repository in memory."""
        super().__init__(directory)
        self.hands = hands

    def run(self, *_: str, **__: Any) -> Result:  # noqa: ANN401 - whatever run() takes
        """Refuse, so that worktrees are found by their records."""
        return Result(REFUSED, b"", "")

    def user_name(self) -> str | None:
        """Nobody."""
        return None

    def tracked(self, worktree: Path, _tasks_dir: str) -> frozenset[str]:
        """The paths of the index."""
        return frozenset(self.hands.at(worktree).index)

    def merge_file(self, base: bytes, ours: bytes, theirs: bytes, *_: object) -> tuple[bytes, bool]:
        """Merge by lines."""
        return merge_lines(base, ours, theirs)


@dataclass
class MemoryHands:
    """Git's verbs on a graph and on the files of worktrees. `ignores`: git does not see task files."""

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
        self._check_in(
            Checkout(top / ".git", top, "main", first, {}, [Move(first, "commit (initial): begin")])
        )

    def _check_in(self, here: Checkout) -> None:
        self.checkouts[here.git_dir] = here
        (here.git_dir / "HEAD").write_text(f"ref: refs/heads/{here.branch}\n" if here.branch else here.commit)
        self._locked(here)

    def _locked(self, here: Checkout) -> bool:
        """Leave the trace of a command that wrote the index."""
        index = here.git_dir / "index"
        index.write_text(str(time.time_ns()))
        return True

    def at(self, top: Path) -> Checkout:
        """The checkout whose top that is."""
        return next(here for here in self.checkouts.values() if here.top == top)

    def _here(self, tree: str) -> Checkout:
        return self.at(self.paths[tree])

    def _at_work(self, tree: str) -> Checkout:
        """A checkout in which git begins to write: later than anything that was saved there."""
        here = self._here(tree)
        root = here.top / "tasks"
        wait_past(max(((root / path).stat().st_ctime_ns for path in self._standing(here)), default=0))
        return here

    def _head(self, here: Checkout) -> Tree:
        return self.graph.commits[self._commit_of(here)].tree

    def _commit_of(self, here: Checkout) -> str:
        return here.commit if here.branch is None else self.graph.branches[here.branch]

    # -- files

    def _text(self, here: Checkout, path: str) -> bytes | None:
        file = here.top / "tasks" / path
        return file.read_bytes() if file.is_file() else None

    def _blob(self, here: Checkout, path: str) -> str | None:
        text = self._text(here, path)
        return None if text is None else self.graph.keep(text)

    def _write(self, here: Checkout, path: str, text: bytes | None) -> None:
        """As git does it: the old file goes, a new one comes."""
        file = here.top / "tasks" / path
        file.unlink(missing_ok=True)
        if text is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)

    def _enter(self, here: Checkout, path: str, blob: str | None) -> None:
        """Put a path into the index as it stands, or (None) take it out."""
        here.index.pop(path, None)
        here.times.pop(path, None)
        if blob is not None:
            here.index[path] = blob
            file = here.top / "tasks" / path
            here.times[path] = file.stat().st_mtime_ns if file.is_file() else 0

    def _standing(self, here: Checkout) -> set[str]:
        root = here.top / "tasks"
        return {str(p.relative_to(root)) for p in root.rglob("*.md") if not p.name.startswith(".")}

    def _untracked(self, here: Checkout) -> set[str]:
        return self._standing(here) - here.index.keys()

    def _dirty(self, here: Checkout) -> set[str]:
        """Tracked paths whose file or index is not what HEAD has."""
        head = self._head(here)
        paths = here.index.keys() | head.keys()
        return {p for p in paths if not head.get(p) == here.index.get(p) == self._blob(here, p)}

    def _go(self, here: Checkout, wanted: Tree, *, force: bool) -> bool:
        """Bring index and files to a tree, keeping what was changed elsewhere; whether that could be."""
        head = self._head(here)
        moving = {p for p in wanted.keys() | head.keys() if wanted.get(p) != head.get(p)}
        dirty = self._dirty(here)
        if not force and (dirty | self._untracked(here)) & moving:
            return False
        for path in sorted(moving | dirty if force else moving):
            blob = wanted.get(path)
            if self._blob(here, path) != blob:
                self._write(here, path, None if blob is None else self.graph.blobs[blob])
            self._enter(here, path, blob)
        return True

    def _move(self, here: Checkout, commit: str, what: str) -> None:
        """HEAD, and the branch it is on, to a commit."""
        here.commit = commit
        if here.branch is not None:
            self.graph.branches[here.branch] = commit
        here.reflog.append(Move(commit, what))

    # -- asking

    def pause(self, tree: str) -> None:
        """Wait for the clock of files to go on."""
        wait_past((self._here(tree).git_dir / "index").stat().st_mtime_ns)

    def branches(self) -> list[str]:
        """Sorted by name."""
        return sorted(self.graph.branches)

    def under_way(self, tree: str) -> str | None:
        """As noted."""
        return self._here(tree).under_way

    def unmerged(self, tree: str) -> frozenset[str]:
        """Paths without a stage 0."""
        return frozenset(path for path, blob in self._here(tree).index.items() if blob is None)

    def committed(self, tree: str) -> frozenset[str]:
        """What HEAD has and its parent has not, or otherwise."""
        commit = self.graph.commits[self._commit_of(self._at_work(tree))]
        before = self.graph.commits[commit.parents[0]].tree if commit.parents else {}
        return frozenset(p for p in commit.tree.keys() | before.keys() if commit.tree.get(p) != before.get(p))

    def indexes(self) -> dict[str, Path]:
        """The files that stand for indexes."""
        return {f"index of {tree}": self._here(tree).git_dir / "index" for tree in self.paths}

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
        self._point(admin, top)
        (admin / "commondir").write_text("../..\n")
        self.paths[tree] = top
        here = Checkout(admin, top, tree if branch else None, commit, {}, [Move(commit, "")])
        for path, blob in self.graph.commits[commit].tree.items():
            self._write(here, path, self.graph.blobs[blob])
            self._enter(here, path, blob)
        self._check_in(here)
        return True

    def _point(self, admin: Path, top: Path) -> None:
        (admin / "gitdir").write_text(f"{top}/.git\n")
        (top / ".git").write_text(f"gitdir: {admin}\n")

    def move_tree(self, tree: str, path: Path) -> bool:
        """A rename, and the record after it."""
        here = self._here(tree)
        self.paths[tree].rename(path)
        here.top = self.paths[tree] = path
        self._point(here.git_dir, path)
        return True

    def remove_tree(self, tree: str) -> bool:
        """The files, then the record."""
        here = self._here(tree)
        shutil.rmtree(here.top)
        shutil.rmtree(here.git_dir)
        del self.checkouts[here.git_dir], self.paths[tree]
        return True

    # -- what people do

    def commit(self, tree: str, *, amend: bool) -> bool:
        """Everything that stands there, and that git sees, in a new commit."""
        here = self._here(tree)
        seen = set(here.index) if self.ignores else self._standing(here)
        kept = {path: blob for path in seen if (blob := self._blob(here, path)) is not None}
        old = self._commit_of(here)
        parents = self.graph.commits[old].parents if amend else (old,)
        for path in {*here.index, *kept}:
            if here.index.get(path) != kept.get(path):
                self._enter(here, path, kept.get(path))
        what = "commit (amend): work" if amend else "commit: work"
        self._move(here, self.graph.commit(kept, *parents), what)
        return self._locked(here)

    def switch(self, tree: str, branch: str, *, force: bool, new: bool) -> bool:
        """Another branch, or a new one here."""
        here = self._at_work(tree)
        if here.under_way or any(blob is None for blob in here.index.values()):
            return False
        if new:
            self.graph.branches[branch] = self._commit_of(here)
        target = self.graph.branches[branch]
        if not self._go(here, self.graph.commits[target].tree, force=force):
            return False
        here.branch = branch
        self._move(here, target, f"checkout: moving to {branch}")
        return self._locked(here)

    def merge(self, tree: str, verb: str, branch: str) -> bool:
        """By the verb."""
        here, other = self._at_work(tree), self.graph.branches[branch]
        if any(blob is None for blob in here.index.values()) or here.index != self._head(here):
            return False
        if verb == "merge":
            return self._merge(here, other, branch)
        if verb == "rebase":
            return self._rebase(here, other)
        here.before, here.todo = (here.branch, self._commit_of(here)), [other]
        return self._pick_all(here, "cherry-pick")

    def _merge(self, here: Checkout, other: str, branch: str) -> bool:
        mine = self._commit_of(here)
        base = self.graph.merge_base(mine, other)
        if base == other:
            return True
        if base == mine:
            if not self._go(here, self.graph.commits[other].tree, force=False):
                return False
            self._move(here, other, f"merge {branch}: Fast-forward")
            return self._locked(here)
        if not self._apply(
            here, self.graph.commits[base].tree if base else {}, self.graph.commits[other].tree
        ):
            return False
        here.before, here.other = (here.branch, mine), other
        if here.stages:
            here.under_way = "merge"
        else:
            self._end_merge(here, f"merge {branch}: Merge made by the 'ort' strategy.")
        self._locked(here)
        return not here.stages

    def _end_merge(self, here: Checkout, what: str) -> None:
        tree = {path: blob for path, blob in here.index.items() if blob is not None}
        assert here.other is not None
        self._move(here, self.graph.commit(tree, self._commit_of(here), here.other), what)
        here.under_way = here.other = None

    def _apply(self, here: Checkout, base: Tree, theirs: Tree) -> bool:
        """Bring what `theirs` has changed since `base` into index and files; False when files are in the way."""
        ours = self._head(here)
        news = {p for p in base.keys() | theirs.keys() if base.get(p) != theirs.get(p) != ours.get(p)}
        if news & (self._dirty(here) | self._untracked(here)):
            return False
        for path in sorted(news):
            self._apply_one(here, path, base.get(path), ours.get(path), theirs.get(path))
        return True

    def _apply_one(
        self, here: Checkout, path: str, base: str | None, ours: str | None, theirs: str | None
    ) -> None:
        if ours == base:
            self._write(here, path, None if theirs is None else self.graph.blobs[theirs])
            self._enter(here, path, theirs)
            return
        texts = [b"" if blob is None else self.graph.blobs[blob] for blob in (base, ours, theirs)]
        merged, clean = merge_lines(texts[0], texts[1], texts[2])
        clean = clean and None not in (base, ours, theirs)
        self._write(here, path, merged if clean or theirs is not None else texts[1])
        self._enter(here, path, self.graph.keep(merged))
        if not clean:
            here.index[path] = None
            here.stages[path] = (base, ours, theirs)

    def _rebase(self, here: Checkout, other: str) -> bool:
        mine = self._commit_of(here)
        reached = set(self.graph.ancestors(other))
        if other in set(self.graph.ancestors(mine)):
            return True
        if self._dirty(here):
            return False
        todo = [id for id in self.graph.line(mine) if id not in reached][::-1]
        todo = [id for id in todo if len(self.graph.commits[id].parents) == 1]
        if not self._go(here, self.graph.commits[other].tree, force=False):
            return False
        here.before, here.todo = (here.branch, mine), todo
        here.branch = None
        self._move(here, other, "rebase (start): checkout")
        return self._pick_all(here, "rebase")

    def _pick_all(self, here: Checkout, verb: str) -> bool:
        """Pick what is to be picked; stop at the first that does not go."""
        while here.todo:
            commit = self.graph.commits[here.todo[0]]
            base = self.graph.commits[commit.parents[0]].tree if commit.parents else {}
            here.under_way = verb
            if not self._apply(here, base, commit.tree):
                self._locked(here)
                return False
            if here.stages:
                self._locked(here)
                return False
            self._end_pick(here, verb)
        return self._end_picking(here, verb)

    def _end_pick(self, here: Checkout, verb: str) -> None:
        tree = {path: blob for path, blob in here.index.items() if blob is not None}
        what = "rebase (pick): work" if verb == "rebase" else "cherry-pick: work"
        self._move(here, self.graph.commit(tree, self._commit_of(here)), what)
        here.todo.pop(0)

    def _end_picking(self, here: Checkout, verb: str) -> bool:
        here.under_way = None
        if verb == "rebase" and here.before is not None and here.before[0] is not None:
            commit, here.branch = here.commit, here.before[0]
            self._move(here, commit, f"rebase (finish): returning to refs/heads/{here.branch}")
        return self._locked(here)

    def go_on(self, tree: str) -> bool:
        """Commit what was merged, and go on with the rest."""
        here = self._at_work(tree)
        verb = here.under_way
        if verb is None or here.stages:
            return False
        if verb == "merge":
            self._end_merge(here, "commit (merge): Merge")
            return self._locked(here)
        self._end_pick(here, verb)
        return self._pick_all(here, verb)

    def settle(self, tree: str, path: str, side: str | None) -> bool:
        """One side's text, or what stands there, as the merged one."""
        here = self._at_work(tree)
        sides = here.stages.pop(path)
        if side is not None:
            blob = sides[1] if side == "ours" else sides[2]
            self._write(here, path, None if blob is None else self.graph.blobs[blob])
        self._enter(here, path, self._blob(here, path))
        return self._locked(here)

    def abort(self, tree: str) -> bool:
        """Back to where it began."""
        here = self._at_work(tree)
        if here.under_way is None or here.before is None:
            return False
        branch, commit = here.before
        head = self._head(here)
        for path in sorted({p for p in {**head, **here.index} if head.get(p) != here.index.get(p)}):
            self._write(here, path, self.graph.blobs[head[path]] if path in head else None)
            self._enter(here, path, head.get(path))
        self._go(here, self.graph.commits[commit].tree, force=here.under_way == "rebase")
        what = "rebase (abort): returning" if here.under_way == "rebase" else "reset: moving to HEAD"
        here.branch, here.under_way, here.other, here.todo = branch, None, None, []
        here.stages.clear()
        self._move(here, commit, what)
        return self._locked(here)

    def stash(self, tree: str, *, deep: bool) -> bool:
        """Changes away, HEAD's files back."""
        here, changes = self._at_work(tree), dict[str, tuple[str | None, str | None]]()
        if any(blob is None for blob in here.index.values()):
            return False
        head = self._head(here)
        for path in sorted(self._dirty(here)):
            changes[path] = head.get(path), self._blob(here, path)
        untracked = {path: self._blob(here, path) or "" for path in self._untracked(here)} if deep else {}
        if not changes and not untracked:
            return False
        kept = {**head, **{path: blob for path, (_, blob) in changes.items() if blob is not None}}
        commits = [self.graph.commit(kept, self._commit_of(here))]
        commits += [self.graph.commit(untracked)] if untracked else []
        self.graph.stashes.append(Stash(changes, untracked, int(time.time()), tuple(commits)))
        for path in untracked:
            self._write(here, path, None)
        self._go(here, head, force=True)
        here.reflog.append(Move(self._commit_of(here), "reset: moving to HEAD"))
        return self._locked(here)

    def pop(self, tree: str) -> bool:
        """The last stash onto what is there."""
        here = self._at_work(tree)
        if not self.graph.stashes or any(blob is None for blob in here.index.values()):
            return False
        stash, head = self.graph.stashes[-1], self._head(here)
        if (stash.changes.keys() | stash.untracked.keys()) & (self._dirty(here) | self._untracked(here)):
            return False
        if stash.untracked.keys() & here.index.keys():
            return False
        for path, blob in stash.untracked.items():
            self._write(here, path, self.graph.blobs[blob])
        for path, (base, theirs) in stash.changes.items():
            before = head.get(path)
            self._apply_one(here, path, base, before, theirs)
            if here.index.get(path) is not None and before is not None:
                here.index[path], here.times[path] = before, 0  # pop leaves what it brings unstaged
        if not here.stages:
            self.graph.stashes.pop()
        self._locked(here)
        return not here.stages

    def take_path(self, tree: str, commit: str | None, path: str) -> bool:
        """One file from the index or from a branch."""
        here = self._at_work(tree)
        blob = (
            here.index.get(path)
            if commit is None
            else self.graph.commits[self.graph.branches[commit]].tree.get(path)
        )
        if blob is None:
            return False
        self._write(here, path, self.graph.blobs[blob])
        self._enter(here, path, blob)
        here.stages.pop(path, None)
        return self._locked(here)

    def reset(self, tree: str, back: int) -> bool:
        """HEAD and files so many commits back."""
        here = self._at_work(tree)
        line = list(self.graph.line(self._commit_of(here)))
        if back >= len(line):
            return False
        for path in [path for path, blob in here.index.items() if blob is None]:
            here.index[path] = ""
        self._go(here, self.graph.commits[line[back]].tree, force=True)
        here.stages.clear()
        if here.under_way in ("merge", "cherry-pick"):
            here.under_way, here.other, here.todo = None, None, []
        self._move(here, line[back], f"reset: moving to HEAD~{back}")
        return self._locked(here)

    def clean(self, tree: str, *, ignored: bool) -> bool:
        """Untracked files away; it takes no lock."""
        here = self._here(tree)
        if ignored or not self.ignores:
            for path in self._untracked(here):
                self._write(here, path, None)
            if self.ignores and not here.index:
                shutil.rmtree(here.top / "tasks", ignore_errors=True)
        return True

    def collect(self) -> bool:
        """Nothing is garbage here."""
        return True
