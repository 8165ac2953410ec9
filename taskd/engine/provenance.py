"""Is it an edit, or did git bring it? What one batch of files of one worktree has to be judged by.

Only edits speak. A commit made in a worktree is its own hand; every other move of HEAD is git's, and
what the file says beyond the text at the last of these is an edit, committed or not. While a merge or
rebase is under way, stage 0 of the index is what git wrote. Stash, `checkout X -- file` and `restore`
move no HEAD, but they all take a lock: a file last written before a lock in its git dir was let go of
may have been put there by git, one written later was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from taskd.core.texts import text_hash
from taskd.engine.site import History, Place, Site
from taskd.engine.touches import GATE_CAP
from taskd.errors import GitFailed
from taskd.repo import replicas
from taskd.repo.history import Move, Written
from taskd.repo.worktrees import MAIN, Worktree, gate_locks
from taskd.store.base import Base

MTIME, CTIME = 3, 4  # in a reading's stamp
#: from the log of a stash to the last file that it takes away, in nanoseconds
STASHING = 2 * 10**9
#: moves of HEAD, 0.04 ms each; a file that none of the commits they came from has was never committed
MOVES_LOOKED_AT = 100


@dataclass
class Provenance:
    """What git did in one worktree, as it was when `look` was called."""

    history: History
    worktree: Worktree
    tracked: frozenset[str]
    head: str | None
    last_command_ns: int
    #: stage 0 while a command of several steps is under way
    staged: Mapping[str, str | None] | None = None
    #: how many moves of HEAD are on record
    position: int | None = None
    _moves: Sequence[Move] | None = None
    _entries: dict[str, Written | None] = field(default_factory=dict)
    _trees: dict[str, Mapping[str, str]] = field(default_factory=dict)
    #: the commits of all stashes
    _stashed: Sequence[str] | None = None
    #: (path, blob) → what git writes there for it
    _texts: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @property
    def moves(self) -> Sequence[Move]:
        """The reflog, asked for when it is needed."""
        if self._moves is None:
            self._moves = self.history.moves(self.worktree)
        return self._moves

    @cached_property
    def last_stash_ns(self) -> int:
        """When a stash was made, popped or dropped last."""
        return self.history.last_stash_ns()

    def is_over(self) -> bool:
        """Whether git has run since, or runs now: what was read meanwhile cannot be judged by this."""
        if not self.tracked:
            return False
        return is_at_work(self.worktree) or self.last_command_ns != self.history.last_command_ns(
            self.worktree
        )

    @property
    def here(self) -> str | None:
        """The commit whose files stand here: where its branch is, unless that was moved from elsewhere."""
        return self.moves[-1].commit if self.moves and self.head else self.head

    def prepare(self, readings: Sequence[replicas.Reading], bases: Mapping[str, Base | None]) -> None:
        """Ask git at once for every text that these readings will be held against."""
        asked = [one.path for one in readings if one.path in self.tracked and bases.get(one.path)]
        self._ask_entries(asked)
        wanted = dict[str, str]()
        for reading in readings:
            for blob in self._candidates(reading.path, bases.get(reading.path)):
                if self.history.is_blob(reading.text, blob):
                    self._texts[reading.path, blob] = reading.text
                else:
                    wanted[reading.path] = blob
        for path, text in self.history.texts(self.worktree, wanted).items():
            self._texts[path, wanted[path]] = text

    def is_unmerged(self, path: str) -> bool:
        """Whether git waits for somebody to merge the path."""
        return self.staged is not None and path in self.staged and self.staged[path] is None

    def by_git(self, path: str, item: replicas.Reading, base: Base | None) -> bytes | None:
        """What git last wrote at a path since the base was taken; None if it wrote nothing.

        That its index has another entry than then tells of a write that moved no HEAD; but where the file
        is still the one in that entry, it may have been typed and staged.
        """
        moved, rewritten = self._blob_by_git(path, base), self._rewritten(path, base)
        if moved is not None:
            return self._text(path, moved)
        found = None if rewritten is None else self._text(path, rewritten)
        entry = self._entries.get(path)
        staged = entry is not None and entry.mtime_ns == item.stamp[MTIME] and found == item.text
        return None if staged else found

    def since_then(self, heard: Base, base: Base | None) -> Base:
        """The base of a text that git brought, where hands may have committed since it did."""
        made = self._since(base)
        after = next((n for n, move in enumerate(reversed(made)) if not move.by_hand), 0)
        if self.staged is not None or after == 0:
            return heard
        commit = made[-1 - after].commit
        moves = None if self.position is None else self.position - after
        return replace(heard, head=commit, blob=self._blob_once(commit, heard.path), moves=moves)

    def blob_at(self, path: str) -> str | None:
        """What git has for a path now."""
        if path not in self.tracked:
            return None
        if self.staged is not None:
            return self.staged.get(path)
        return self._tree(self.here).get(path) if self.here else None

    def may_be_gits(self, item: replicas.Reading, base: Base | None) -> bool:
        """Whether git may have put a text there that no move of HEAD tells of.

        Not what a commit by hand has brought since the base was taken, nor what was written after the last
        command had ended. A file that was moved since has its old mtime still.
        """
        path = item.path if base is None else base.path
        if path not in self.tracked or _written(item, base) > self.last_command_ns:
            return False
        since = self._since(base)
        if not since or not since[-1].by_hand or self.here is None:
            return True
        blob = self._tree(self.here).get(path)
        if blob is None or not self._committed_by_hand(path, blob, base):
            return True
        return self._text(path, blob) != item.text

    def has_text(self, item: replicas.Reading) -> bool:
        """Whether git has what a file says, without which it cannot have put it there."""
        return self.history.has_text(self.worktree, item.text)

    def put_back(self, base: Base | None) -> bytes | None:
        """What git had at a path when the base was taken, if it may have put that back since.

        A stash or reset may have, and a switch to where there is no such path, of a file that was moved.
        """
        if base is None or base.blob is None:
            return None
        if base.path in self.tracked and not any(move.is_reset for move in self._since(base)):
            return None
        return self._text(base.path, base.blob)

    def edited(self, path: str, base: Base | None) -> bytes | None:
        """What git has for a path by now, and had not when the base was taken: an edit is made over that."""
        blob = self.blob_at(path)
        return None if blob is None or (base is not None and blob == base.blob) else self._text(path, blob)

    def may_be_unstashed(self, item: replicas.Reading, base: Base | None) -> bool:
        """Whether a stash may have put a text there that git knows nothing else of."""
        written = _written(item, base)
        if written > self.last_command_ns:
            return False
        if self.last_stash_ns >= written:
            return True
        if self._stashed is None:
            self._stashed = [commit for _, commits in self.history.stashes() for commit in commits]
        kept = [commit for commit in self._stashed if self.history.has_file(commit, item.path)]
        return any(self._text(item.path, self._tree(commit)[item.path]) == item.text for commit in kept)

    def is_new(self, path: str) -> bool:
        """Whether HEAD has no file of that name."""
        return self.head is None or path not in self._tree(self.head)

    def ancestor(
        self, path: str, base: Base | None, known: Callable[[str], bool], others: Sequence[Base]
    ) -> bytes | None:
        """The text that what git brought was made from: the newest version of the path that is known.

        Else the one where this worktree's history parted from where it was, or from another worktree's
        that has the task; None without any.
        """
        commit = self._last_by_git(base) or self.here
        if commit is None:
            return None
        for blob in self.history.versions(commit, path):
            text = self._text(path, blob)
            if text is not None and known(text_hash(text)):
                return text
        olds = [base.head] if base and base.head else [other.head for other in sorted(others, key=_rank)]
        parted = next((self.history.merge_base(old, commit) for old in olds if old), None)
        found = self._tree(parted).get(path) if parted else None
        return None if found is None else self._text(path, found)

    def versions(self, path: str) -> Iterator[bytes]:
        """The texts a path has had in the history that is checked out here, newest first."""
        for blob in self.history.versions(self.here, path) if self.here else ():
            text = self._text(path, blob)
            if text is not None:
                yield text

    # -- what of it has to do with absence

    def removed_by_hand(
        self, base: Base, is_it: Callable[[bytes], bool], *, gone_ns: int, forward: bool
    ) -> bool:
        """Whether somebody removed a file here, rather than git going elsewhere.

        * HEAD has it: from the worktree.
        * HEAD has had it: by a commit made here; with `forward` also by one that a merge or pull brought
          onto the branch that was checked out. The move that counts is the one by which it went.
        * It never was committed: unless git took it off the index too, or into a stash.
        """
        here = self.here
        if here is None or self.staged is not None:
            return False
        if base.path in self._tree(here):
            return True
        went = self._left_with(base)
        if went is None:
            never = base.head is None or base.path in self.tracked
            return never and not self.is_stashed(base, is_it, gone_ns=gone_ns)
        before, move = went
        if move.by_hand:
            renamed = self._renamed(before, move.commit, is_it)
            if renamed is not None:
                moved = replace(base, path=renamed)
                return self.removed_by_hand(moved, is_it, gone_ns=gone_ns, forward=forward)
            return not move.is_first
        return forward and move.is_forward and self.history.is_ancestor(before, move.commit)

    def _renamed(self, before: str, after: str, is_it: Callable[[bytes], bool]) -> str | None:
        """The new name that a commit gave a file."""
        old = self._tree(before)
        new = {path: blob for path, blob in self._tree(after).items() if path not in old}
        texts = self.history.texts(self.worktree, new)
        return next((path for path, text in texts.items() if is_it(text)), None)

    def is_stashed(self, base: Base, is_it: Callable[[bytes], bool], *, gone_ns: int) -> bool:
        """Whether a stash took a file that went at a time, or before.

        One that was made after the file was last written has it, by whatever name; or none does any more,
        but one was popped or dropped since.
        """
        last = self.last_stash_ns
        if last >= (base.seen_ns or 0) and last + STASHING >= gone_ns:
            return True
        written = base.seen_ns // 10**9 if base.seen_ns is not None else 0
        since = [commits for when, commits in self.history.stashes() if when >= written]
        return any(self._holds(commit, base.path, is_it) for commits in since for commit in commits)

    def _holds(self, commit: str, path: str, is_it: Callable[[bytes], bool]) -> bool:
        if self.history.has_file(commit, path):
            return True
        return any(map(is_it, self.history.texts(self.worktree, self._tree(commit)).values()))

    def _left_with(self, base: Base) -> tuple[str, Move] | None:
        """The newest commit of the reflog that has a file, and the move by which HEAD went on from it."""
        since = self._since(base)[-MOVES_LOOKED_AT:]
        before = [base.head if len(since) < MOVES_LOOKED_AT else None, *(move.commit for move in since)]
        for commit, move in reversed(list(zip(before, since, strict=False))):
            if commit is not None and self.history.has_file(commit, base.path):
                return commit, move
        return None

    def is_left_out(self, path: str) -> bool:
        """Whether a sparse checkout keeps the path out of this worktree."""
        return path in self.history.left_out(self.worktree)

    # -- details

    def _candidates(self, path: str, base: Base | None) -> set[str]:
        found = (self._blob_by_git(path, base), self._rewritten(path, base))
        return {blob for blob in found if blob is not None}

    def _blob_by_git(self, path: str, base: Base | None) -> str | None:
        """What git brought by moving HEAD, or half-way in a command, unless it had that there before."""
        if path not in self.tracked:
            return None
        if self.staged is not None:
            blob = self.staged.get(path)
            return None if base is not None and base.head is not None and blob == base.blob else blob
        return self._brought(path, base)

    def _brought(self, path: str, base: Base | None) -> str | None:
        """The blob that git's last moves of HEAD which changed the path, one after the other, brought."""
        if base is None or base.head is None:
            commit = self._last_by_git(base)
            return None if commit is None else self._tree(commit).get(path)
        since = self._since(base)
        for first, last in reversed(_runs(since)):
            before = self._blob_once(since[first - 1].commit, path) if first else base.blob
            blob = self._tree(since[last].commit).get(path)
            if before != blob:
                return blob
        return None

    def _rewritten(self, path: str, base: Base | None) -> str | None:
        """What git wrote after the base was taken, by its index."""
        if base is None or base.seen_ns is None or path not in self.tracked:
            return None
        if path not in self._entries:  # of a file that was moved away since
            self._ask_entries([path])
        entry = self._entries[path]
        if entry is None:
            return None
        if entry.mtime_ns <= base.seen_ns:
            return None
        return None if self._committed_by_hand(path, entry.blob, base) else entry.blob

    def _ask_entries(self, paths: Sequence[str]) -> None:
        self._entries |= {**dict.fromkeys(paths), **self.history.written(self.worktree, paths)}

    def _committed_by_hand(self, path: str, blob: str, base: Base | None) -> bool:
        """Whether a commit made here since the base was taken has changed a path to a blob."""
        since = self._since(base)
        before = None if base is None else base.head
        if len(since) > MOVES_LOOKED_AT:
            before, since = since[-MOVES_LOOKED_AT - 1].commit, since[-MOVES_LOOKED_AT:]
        for move in since:
            changed = before is None or self._blob_once(before, path) != blob
            if move.by_hand and changed and self._tree(move.commit).get(path) == blob:
                return True
            before = move.commit
        return False

    def _blob_once(self, commit: str, path: str) -> str | None:
        """The blob of a path in a commit that HEAD has left, and that may be pruned by now."""
        try:
            return self._tree(commit).get(path)
        except GitFailed:
            return None

    def _last_by_git(self, base: Base | None) -> str | None:
        """Where git last brought HEAD by itself after a base was taken; None if it did not."""
        if not self.moves and (base is None or base.head is None):
            return self.here  # no reflog: what is checked out was put there by git
        return next((move.commit for move in reversed(self._since(base)) if not move.by_hand), None)

    def _since(self, base: Base | None) -> Sequence[Move]:
        """The moves of HEAD after a base was taken; all of them if that is not on record."""
        commit = None if base is None else base.head
        made = self._made_since(base)
        if made is not None:
            return self.moves[len(self.moves) - made :]
        if commit is not None and commit == self.here:
            return ()
        for index in range(len(self.moves) - 1, -1, -1):
            if self.moves[index].commit == commit:
                return self.moves[index + 1 :]
        if commit is not None and self.here is not None:  # forgotten, or never kept: it was git
            return (*self.moves, Move(self.here, ""))
        return self.moves

    def _made_since(self, base: Base | None) -> int | None:
        """How many moves were made after a base was taken, if the reflog was only added to since."""
        if base is None or base.head is None or base.moves is None or self.position is None:
            return None
        made = self.position - base.moves
        known = 0 <= made < len(self.moves) and self.moves[len(self.moves) - made - 1].commit == base.head
        return made if known else None

    def _tree(self, commit: str) -> Mapping[str, str]:
        if commit not in self._trees:
            self._trees[commit] = self.history.tree(commit)
        return self._trees[commit]

    def _text(self, path: str, blob: str) -> bytes | None:
        if (path, blob) not in self._texts:
            for found, text in self.history.texts(self.worktree, {path: blob}).items():
                self._texts[found, blob] = text
        return self._texts.get((path, blob))


def _written(item: replicas.Reading, base: Base | None) -> int:
    """When a file was written; one that was moved since is as old as it was."""
    return item.stamp[CTIME if base is None or base.path == item.path else MTIME]


def is_at_work(worktree: Worktree) -> bool:
    """Whether a git command holds a lock there that is not left over from a dead one."""
    for lock in gate_locks(worktree.git_dir):
        with suppress(FileNotFoundError):
            if time.time() - lock.stat().st_mtime < GATE_CAP:
                return True
    return False


def look(site: Site, place: Place, *, always: bool = False) -> Provenance | None:
    """What git did in a worktree until now; None outside of one.

    Where it tracks no task file only when its last command ended, unless `always`.
    """
    tracked = site.tracked(place)
    if place.worktree is None:
        return None
    history, tree = site.history, place.worktree
    last = history.last_command_ns(tree)
    if not (tracked or always):
        return Provenance(history, tree, tracked, None, last)
    staged = history.staged(tree) if history.under_way(tree) else None
    position = history.count_moves(tree)
    return Provenance(history, tree, tracked, history.head(tree), last, staged, position)


def _runs(moves: Sequence[Move]) -> list[tuple[int, int]]:
    """The first and last index of each unbroken row of moves that were not by hand."""
    found = list[tuple[int, int]]()
    for index, move in enumerate(moves):
        if move.by_hand:
            continue
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found


def _rank(base: Base) -> tuple[bool, str]:
    """The main worktree first, then by name."""
    return base.worktree != MAIN, base.worktree
