"""Where task files are, what stands in them, and what an editor may still have of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from taskd.engine.site import WORKSPACE
from tests.model.hands import Hands
from tests.model.texts import OUT, Said, read

#: the shared layout in a repository whose branches carry the first tasks, as after a change of layout
MIXED: Final = "mixed"


@dataclass
class Buffer:
    """A file open in an editor, as it was when it was opened."""

    tree: str
    path: str
    text: str


@dataclass(kw_only=True)
class Places:
    """The worktrees by name and the workspace directory."""

    hands: Hands
    layout: str
    buffers: list[Buffer] = field(default_factory=list)
    #: how often git wrote in a tree other than by committing what people made there
    foreign: dict[str, int] = field(default_factory=dict)
    #: the same when taskd looked last
    known_foreign: dict[str, int] = field(default_factory=dict)
    #: texts as taskd last left or found them
    fresh: dict[tuple[str, str], str] = field(default_factory=dict)
    #: what the file of a task in a tree has said since somebody last saved it by hand, oldest first
    carried: dict[tuple[str, str], list[Said]] = field(default_factory=dict)
    #: files saved by hand since the last look, how often git had been there, and what was saved
    saved: dict[tuple[str, str], tuple[int, Said]] = field(default_factory=dict)

    def root(self, tree: str) -> Path:
        """The tasks directory of a tree."""
        if tree == WORKSPACE:
            return self.hands.paths["main"] / ".git" / "taskd" / "workspace" / "tasks"
        return self.hands.paths[tree] / "tasks"

    def trees(self) -> list[str]:
        """Every place with task files."""
        return [*self.hands.paths, WORKSPACE]

    def files(self, tree: str) -> dict[str, str]:
        """The task files of a tree by their paths."""
        root, found = str(self.root(tree)), dict[str, str]()
        for path in self.paths(tree):
            with open(f"{root}/{path}") as file:  # noqa: PTH123 - a third of the time would go into Path
                found[path] = file.read()
        return found

    def paths(self, tree: str) -> list[str]:
        """The paths of the task files of a tree."""
        root, found = str(self.root(tree)), list[str]()
        for directory, _, names in os.walk(root):
            below = directory[len(root) + 1 :]
            found += [f"{below}/{name}" if below else name for name in names if _is_task(name)]
        return sorted(found)

    def readable(self, tree: str) -> dict[str, Said]:
        """What the files of a tree say, but for those that are in no state to be edited, and copies."""
        found = self.documents(tree)
        ids = Counter(said.id for said in found.values())
        return {path: said for path, said in found.items() if ids[said.id] == 1}

    def documents(self, tree: str) -> dict[str, Said]:
        """What the files of a tree say, copies too."""
        busy = tree != WORKSPACE and self.hands.under_way(tree) is not None
        waiting = self.hands.unmerged(tree) if busy else frozenset()
        texts = {path: read(text) for path, text in self.files(tree).items() if path not in waiting}
        return {path: said for path, said in texts.items() if said is not None and said.id}

    def text(self, tree: str, path: str) -> str:
        """What stands in a file; empty when it is not there."""
        file = self.root(tree) / path
        return file.read_text() if file.is_file() else ""

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Every task file, and git's own index of each worktree, with its age and inode."""
        files = {
            f"{tree}/{path}": self.root(tree) / path for tree in self.trees() for path in self.paths(tree)
        }
        found = {name: file.stat() for name, file in {**files, **self.hands.indexes()}.items()}
        return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in found.items()}

    # -- what is remembered of them

    def begin_anew(self, files_of: Mapping[str, Mapping[str, Said]]) -> None:
        """What was saved by hand is all that an editor can have from now on."""
        for (tree, path), (foreign, said) in list(self.saved.items()):
            if path in files_of.get(tree, ()):
                # Where git was at work since, nobody can tell that the save was by hand.
                kept = self.carried.get((tree, said.id), []) if foreign != self.foreign.get(tree, 0) else []
                self.carried[tree, said.id] = [*kept, said, files_of[tree][path]]
                del self.saved[tree, path]

    def doubtful(self, tree: str, files: dict[str, Said]) -> frozenset[tuple[str, str, str]]:
        """Values that an older text of the same file had, where the file is as near to that as to its last.

        Nobody can tell whether they were typed again or never gone: an editor may have held the old text.
        """
        found = set[tuple[str, str, str]]()
        for said in files.values():
            *olds, last = self.carried.get((tree, said.id), [said])
            near = [old for old in olds if distance(said, old) <= distance(said, last) + 1]
            back = {
                **said.slots,
                **{slot: OUT for slot in last.slots if ":" in slot and slot not in said.slots},
            }
            found |= {
                (said.id, s, v) for old in near for s, v in back.items() if v == old.at(s) != last.at(s)
            }
        return frozenset(found)

    def carry(self) -> None:
        """Remember what each file says after a look."""
        self.fresh = {(tree, path): text for tree in self.trees() for path, text in self.files(tree).items()}
        self.remember()

    def remember(self) -> None:
        """Add what files say now to what an editor may have of them."""
        for tree in self.trees():
            for said in self.readable(tree).values():
                carried = self.carried.setdefault((tree, said.id), [])
                if not carried or carried[-1] != said:
                    carried.append(said)

    def freshen(self, heads: Mapping[str, Said]) -> None:
        """What is in the index by now was heard, though the look did not come to its end."""
        self.remember()
        for tree in self.trees():
            for path, said in self.readable(tree).items():
                head = heads.get(said.id)
                if head is not None and head.slots == said.slots:
                    self.fresh[tree, path] = self.text(tree, path)

    def move_memory(self, tree: str, path: str, new: str) -> None:
        """A file has another name."""
        was, now = (tree, path), (tree, new)
        if was in self.fresh:
            self.fresh[now] = self.fresh.pop(was)
        if was in self.saved:
            self.saved[now] = self.saved.pop(was)


def _is_task(name: str) -> bool:
    return name.endswith(".md") and name[0] != "."


def distance(first: Said, second: Said) -> int:
    """In how many slots two texts differ."""
    told = [{**one.slots, "status": one.status} for one in (first, second)]
    return sum(told[0].get(slot) != told[1].get(slot) for slot in told[0].keys() | told[1].keys())
