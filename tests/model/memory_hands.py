"""Git as people use it, in memory: files are real ones, everything else is not."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from taskd.repo.git import Git, Result
from taskd.repo.history import Move
from taskd.repo.worktrees import REFUSED
from tests.laws.lines import merge_lines
from tests.model.hands import now_stamped
from tests.model.memory_git import Checkout, Stash, Tree
from tests.model.memory_trees import MemoryTrees


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


class MemoryHands(MemoryTrees):
    """Git's verbs."""

    def commit(self, tree: str, *, amend: bool) -> bool:
        """Everything that stands there, and that git sees, in a new commit."""
        here = self.here(tree)
        seen = set(here.index) if self.ignores else self.standing(here)
        kept = {path: blob for path in seen if (blob := self.keep_at(here, path)) is not None}
        old = self.commit_of(here)
        parents = self.graph.commits[old].parents if amend else (old,)
        for path in {*here.index, *kept}:
            if here.index.get(path) != kept.get(path):
                self.enter(here, path, kept.get(path))
        what = "commit (amend): work" if amend else "commit: work"
        self.move(here, self.graph.commit(kept, *parents), what)
        return self.locked(here)

    def switch(self, tree: str, branch: str, *, force: bool, new: bool) -> bool:
        """Another branch, or a new one here."""
        here = self.at_work(tree)
        if here.under_way or any(blob is None for blob in here.index.values()):
            return False
        if new:
            self.graph.branches[branch] = self.commit_of(here)
        target = self.graph.branches[branch]
        if not self.go(here, self.graph.commits[target].tree, force=force):
            return False
        here.branch = branch
        self.move(here, target, f"checkout: moving to {branch}")
        return self.locked(here)

    def merge(self, tree: str, verb: str, branch: str) -> bool:
        """By the verb."""
        here, other = self.at_work(tree), self.graph.branches[branch]
        if any(blob is None for blob in here.index.values()) or here.index != self.head_of(here):
            return False
        if verb == "merge":
            return self._merge(here, other, branch)
        if verb == "rebase":
            return self._rebase(here, other)
        here.before, here.todo = (here.branch, self.commit_of(here)), [other]
        return self._pick_all(here, "cherry-pick")

    def _merge(self, here: Checkout, other: str, branch: str) -> bool:
        mine = self.commit_of(here)
        base = self.graph.merge_base(mine, other)
        if base == other:
            return True
        if base == mine:
            if not self.go(here, self.graph.commits[other].tree, force=False):
                return False
            self.move(here, other, f"merge {branch}: Fast-forward")
            return self.locked(here)
        if not self._apply(
            here, self.graph.commits[base].tree if base else {}, self.graph.commits[other].tree
        ):
            return False
        here.before, here.other = (here.branch, mine), other
        if here.stages:
            here.under_way = "merge"
        else:
            self._end_merge(here, f"merge {branch}: Merge made by the 'ort' strategy.")
        self.locked(here)
        return not here.stages

    def _end_merge(self, here: Checkout, what: str) -> None:
        tree = {path: blob for path, blob in here.index.items() if blob is not None}
        assert here.other is not None
        self.move(here, self.graph.commit(tree, self.commit_of(here), here.other), what)
        here.under_way = here.other = None

    def _apply(self, here: Checkout, base: Tree, theirs: Tree) -> bool:
        """Bring what `theirs` has changed since `base` here; False where files are in the way."""
        ours = self.head_of(here)
        news = {p for p in base.keys() | theirs.keys() if base.get(p) != theirs.get(p) != ours.get(p)}
        if news & (self.dirty(here) | self.untracked(here)):
            return False
        for path in sorted(news):
            self._apply_one(here, path, base.get(path), ours.get(path), theirs.get(path))
        return True

    def _apply_one(
        self, here: Checkout, path: str, base: str | None, ours: str | None, theirs: str | None
    ) -> None:
        if ours == base:
            self.write(here, path, None if theirs is None else self.graph.blobs[theirs])
            self.enter(here, path, theirs)
            return
        texts = [b"" if blob is None else self.graph.blobs[blob] for blob in (base, ours, theirs)]
        merged, clean = merge_lines(texts[0], texts[1], texts[2])
        clean = clean and None not in (base, ours, theirs)
        self.write(here, path, merged if clean or theirs is not None else texts[1])
        self.enter(here, path, self.graph.keep(merged))
        if not clean:
            here.index[path] = None
            here.stages[path] = (base, ours, theirs)

    def _rebase(self, here: Checkout, other: str) -> bool:
        mine = self.commit_of(here)
        reached = set(self.graph.ancestors(other))
        if other in set(self.graph.ancestors(mine)):
            return True
        if self.dirty(here):
            return False
        todo = [id for id in self.graph.line(mine) if id not in reached][::-1]
        todo = [id for id in todo if len(self.graph.commits[id].parents) == 1]
        if not self.go(here, self.graph.commits[other].tree, force=False):
            return False
        here.before, here.todo = (here.branch, mine), todo
        here.branch = None
        self.move(here, other, "rebase (start): checkout")
        return self._pick_all(here, "rebase")

    def _pick_all(self, here: Checkout, verb: str) -> bool:
        """Pick what is to be picked; stop at the first that does not go."""
        while here.todo:
            commit = self.graph.commits[here.todo[0]]
            base = self.graph.commits[commit.parents[0]].tree if commit.parents else {}
            here.under_way = verb
            if not self._apply(here, base, commit.tree):
                self.locked(here)
                return False
            if here.stages:
                self.locked(here)
                return False
            self._end_pick(here, verb)
        return self._end_picking(here, verb)

    def _end_pick(self, here: Checkout, verb: str) -> None:
        tree = {path: blob for path, blob in here.index.items() if blob is not None}
        what = "rebase (pick): work" if verb == "rebase" else "cherry-pick: work"
        self.move(here, self.graph.commit(tree, self.commit_of(here)), what)
        here.todo.pop(0)

    def _end_picking(self, here: Checkout, verb: str) -> bool:
        here.under_way = None
        if verb == "rebase" and here.before is not None and here.before[0] is not None:
            commit, here.branch = here.commit, here.before[0]
            self.move(here, commit, f"rebase (finish): returning to refs/heads/{here.branch}")
        return self.locked(here)

    def go_on(self, tree: str) -> bool:
        """Commit what was merged, and go on with the rest."""
        here = self.at_work(tree)
        verb = here.under_way
        if verb is None or here.stages:
            return False
        if verb == "merge":
            self._end_merge(here, "commit (merge): Merge")
            return self.locked(here)
        self._end_pick(here, verb)
        return self._pick_all(here, verb)

    def settle(self, tree: str, path: str, side: str | None) -> bool:
        """One side's text, or what stands there, as the merged one."""
        here = self.at_work(tree)
        sides = here.stages.pop(path, None)
        if sides is None:
            return False
        if side is not None:
            blob = sides[1] if side == "ours" else sides[2]
            self.write(here, path, None if blob is None else self.graph.blobs[blob])
        self.enter(here, path, self.keep_at(here, path))
        return self.locked(here)

    def abort(self, tree: str) -> bool:
        """Back to where it began."""
        here = self.at_work(tree)
        if here.under_way is None or here.before is None:
            return False
        branch, commit = here.before
        head = self.head_of(here)
        for path in sorted({p for p in {**head, **here.index} if head.get(p) != here.index.get(p)}):
            self.write(here, path, self.graph.blobs[head[path]] if path in head else None)
            self.enter(here, path, head.get(path))
        self.go(here, self.graph.commits[commit].tree, force=here.under_way == "rebase")
        what = "rebase (abort): returning" if here.under_way == "rebase" else "reset: moving to HEAD"
        here.branch, here.under_way, here.other, here.todo = branch, None, None, []
        here.stages.clear()
        self.move(here, commit, what)
        return self.locked(here)

    def stash(self, tree: str, *, deep: bool) -> bool:
        """Changes away, HEAD's files back."""
        here, changes = self.at_work(tree), dict[str, tuple[str | None, str | None]]()
        if any(blob is None for blob in here.index.values()):
            return False
        head = self.head_of(here)
        for path in sorted(self.dirty(here)):
            changes[path] = head.get(path), self.keep_at(here, path)
        untracked = {path: self.keep_at(here, path) or "" for path in self.untracked(here)} if deep else {}
        if not changes and not untracked:
            return False
        kept = {**head, **{path: blob for path, (_, blob) in changes.items() if blob is not None}}
        commits = [self.graph.commit(kept, self.commit_of(here))]
        commits += [self.graph.commit(untracked)] if untracked else []
        self.graph.stashes.append(Stash(changes, untracked, int(time.time()), tuple(commits)))
        self.graph.stashed_ns = now_stamped()
        for path in untracked:
            self.write(here, path, None)
        self.go(here, head, force=True)
        here.reflog.append(Move(self.commit_of(here), "reset: moving to HEAD"))
        return self.locked(here)

    def pop(self, tree: str) -> bool:
        """The last stash onto what is there."""
        here = self.at_work(tree)
        if not self.graph.stashes or any(blob is None for blob in here.index.values()):
            return False
        stash, head = self.graph.stashes[-1], self.head_of(here)
        if (stash.changes.keys() | stash.untracked.keys()) & (self.dirty(here) | self.untracked(here)):
            return False
        if stash.untracked.keys() & here.index.keys():
            return False
        for path, blob in stash.untracked.items():
            self.write(here, path, self.graph.blobs[blob])
        for path, (base, theirs) in stash.changes.items():
            before = head.get(path)
            self._apply_one(here, path, base, before, theirs)
            if here.index.get(path) is not None and before is not None:
                here.index[path], here.times[path] = before, 0  # pop leaves what it brings unstaged
        if not here.stages:
            self.graph.stashes.pop()
            self.graph.stashed_ns = now_stamped()
        self.locked(here)
        return not here.stages

    def take_path(self, tree: str, commit: str | None, path: str) -> bool:
        """One file from the index or from a branch."""
        here = self.at_work(tree)
        blob = (
            here.index.get(path)
            if commit is None
            else self.graph.commits[self.graph.branches[commit]].tree.get(path)
        )
        if blob is None:
            return False
        self.write(here, path, self.graph.blobs[blob])
        self.enter(here, path, blob)
        here.stages.pop(path, None)
        return self.locked(here)

    def reset(self, tree: str, back: int) -> bool:
        """HEAD and files so many commits back."""
        here = self.at_work(tree)
        line = list(self.graph.line(self.commit_of(here)))
        if back >= len(line):
            return False
        for path in [path for path, blob in here.index.items() if blob is None]:
            here.index[path] = ""
        self.go(here, self.graph.commits[line[back]].tree, force=True)
        here.stages.clear()
        if here.under_way in ("merge", "cherry-pick"):
            here.under_way, here.other, here.todo = None, None, []
        self.move(here, line[back], f"reset: moving to HEAD~{back}")
        return self.locked(here)

    def clean(self, tree: str, *, ignored: bool) -> bool:
        """Untracked files away; it takes no lock."""
        here = self.here(tree)
        if ignored or not self.ignores:
            for path in self.untracked(here):
                self.write(here, path, None)
            if self.ignores and not here.index:
                shutil.rmtree(here.top / "tasks", ignore_errors=True)
        return True

    def collect(self) -> bool:
        """Nothing is garbage here."""
        return True
