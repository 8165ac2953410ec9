"""What people do with git, in real worktrees by real commands."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from taskd.engine import setup
from taskd.repo.worktrees import Repository

UNDER_WAY: Final[Mapping[str, str]] = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
}


class Hands(Protocol):
    """Git as people use it. Trees are named; a verb tells whether git did what it was asked.

    A merge, rebase or cherry-pick that stops leaves the tree with a command under way.
    """

    paths: dict[str, Path]

    def pause(self, tree: str) -> None:
        """Let so much time pass that what is saved next has a later stamp than git's last command there."""

    def branches(self) -> list[str]:
        """Every branch that people made."""

    def under_way(self, tree: str) -> str | None:
        """The command of several steps that is not over yet."""

    def unmerged(self, tree: str) -> frozenset[str]:
        """Task paths with a conflict that nobody called settled."""

    def indexes(self) -> dict[str, Path]:
        """Git's own file about each worktree, as `index of TREE`."""

    def add_tree(self, tree: str, at: str, *, branch: bool) -> bool:
        """A new worktree, at a commit or on a new branch of its own name."""

    def move_tree(self, tree: str, path: Path) -> bool:
        """A worktree at another place."""

    def remove_tree(self, tree: str) -> bool:
        """A worktree taken away, whatever is in it."""

    def commit(self, tree: str, *, amend: bool) -> bool:
        """Everything there is, committed."""

    def committed(self, tree: str) -> frozenset[str]:
        """Task paths that the commit a tree stands on made another."""

    def carried(self, tree: str) -> frozenset[str]:
        """Task paths that git tracks in a tree."""

    def ignore_tasks(self) -> None:
        """Task files that git does not track yet are none of its business from now on."""

    def switch(self, tree: str, branch: str, *, force: bool, new: bool) -> bool:
        """Another branch."""

    def merge(self, tree: str, verb: str, branch: str) -> bool:
        """Merge a branch, rebase onto it, or cherry-pick its tip."""

    def go_on(self, tree: str) -> bool:
        """All conflicts settled: the command under way continues."""

    def settle(self, tree: str, path: str, side: str | None) -> bool:
        """Take one side of a conflict (`ours`, `theirs`), or (None) what stands in the file by now."""

    def abort(self, tree: str) -> bool:
        """Give the command under way up."""

    def stash(self, tree: str, *, deep: bool) -> bool:
        """Put changes away; deep: untracked and ignored files too."""

    def pop(self, tree: str) -> bool:
        """Take the last stash out again."""

    def take_path(self, tree: str, commit: str | None, path: str) -> bool:
        """A task file as a commit has it, or (None) as the index has it."""

    def reset(self, tree: str, back: int) -> bool:
        """`reset --hard` so many commits back."""

    def clean(self, tree: str, *, ignored: bool) -> bool:
        """Untracked files away; ignored ones too."""

    def collect(self) -> bool:
        """Garbage collection."""


@dataclass
class RealHands:
    """Git itself."""

    paths: dict[str, Path]

    def __call__(self, directory: Path, *arguments: str | Path, check: bool = True, **_: object) -> str:
        """Run git; its output. As the fixture of that name does."""
        done = self._run(directory, *map(str, arguments))
        assert done.returncode == 0 or not check, f"git {arguments}: {done.stderr}{done.stdout}"
        return done.stdout

    def _run(self, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **IDENTITY}
        return subprocess.run(
            ["git", *SETTINGS, *arguments],
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _try(self, tree: str, *arguments: str) -> bool:
        return self._run(self.paths[tree], *arguments).returncode == 0

    def _git_dir(self, tree: str) -> Path:
        marker = self.paths[tree] / ".git"
        return marker if marker.is_dir() else Path(marker.read_text().removeprefix("gitdir:").strip())

    def pause(self, tree: str) -> None:
        """Wait for the clock of files to go on."""
        wait_past(self._git_dir(tree).stat().st_mtime_ns)

    def branches(self) -> list[str]:
        """From the files of refs and packed refs."""
        listed = self(self.paths["main"], "for-each-ref", "--format=%(refname:short)", "refs/heads")
        return sorted(set(listed.split()) - {"taskd/workspace"})

    def under_way(self, tree: str) -> str | None:
        """By what lies in the git dir."""
        git_dir = self._git_dir(tree)
        return next((verb for sign, verb in UNDER_WAY.items() if (git_dir / sign).exists()), None)

    def unmerged(self, tree: str) -> frozenset[str]:
        """From the index."""
        listed = self(self.paths[tree], "ls-files", "-u", "-z", "--", "tasks")
        return frozenset(row.partition("\t")[2].removeprefix("tasks/") for row in listed.split("\0") if row)

    def indexes(self) -> dict[str, Path]:
        """The index."""
        found = {f"index of {tree}": self._git_dir(tree) / "index" for tree in self.paths}
        return {name: path for name, path in found.items() if path.exists()}

    def add_tree(self, tree: str, at: str, *, branch: bool) -> bool:
        """`git worktree add`."""
        path = self.paths["main"].parent / tree
        how = ["-b", tree] if branch else ["--detach"]
        if not self._try("main", "worktree", "add", "-q", *how, str(path), at):
            return False
        self.paths[tree] = path
        return True

    def move_tree(self, tree: str, path: Path) -> bool:
        """`git worktree move`."""
        if not self._try("main", "worktree", "move", str(self.paths[tree]), str(path)):
            return False
        self.paths[tree] = path
        return True

    def remove_tree(self, tree: str) -> bool:
        """`git worktree remove --force`."""
        if not self._try("main", "worktree", "remove", "--force", str(self.paths[tree])):
            return False
        del self.paths[tree]
        return True

    def commit(self, tree: str, *, amend: bool) -> bool:
        """`git add -A`, `git commit`."""
        how = ["--amend", "--no-edit"] if amend else ["-m", "work"]
        return self._try(tree, "add", "-A") and self._try(tree, "commit", "-q", *how)

    def committed(self, tree: str) -> frozenset[str]:
        """By comparing it with the one before."""
        how = ("diff-tree", "-r", "--root", "--no-commit-id", "--name-only", "-z", "HEAD", "--", "tasks")
        listed = self(self.paths[tree], *how, check=False)
        return frozenset(path.removeprefix("tasks/") for path in listed.split("\0") if path)

    def carried(self, tree: str) -> frozenset[str]:
        """From the index."""
        listed = self(self.paths[tree], "ls-files", "-z", "--", "tasks")
        return frozenset(path.removeprefix("tasks/") for path in listed.split("\0") if path)

    def ignore_tasks(self) -> None:
        """As `taskd init` does it."""
        top = self.paths["main"]
        setup.set_exclude(Repository(top / ".git", top, "sha1"), "tasks")

    def switch(self, tree: str, branch: str, *, force: bool, new: bool) -> bool:
        """`git switch`."""
        how = ["-c"] if new else ["--ignore-other-worktrees"]
        return self._try(tree, "switch", "-q", *(["-f"] if force else []), *how, branch)

    def merge(self, tree: str, verb: str, branch: str) -> bool:
        """`git merge`, `git rebase`, `git cherry-pick`."""
        how = ["--no-edit"] if verb == "merge" else []
        return self._try(tree, verb, *how, branch)

    def go_on(self, tree: str) -> bool:
        """`--continue`; a step with nothing left in it is skipped."""
        verb = self.under_way(tree)
        if verb is None:
            return False
        if verb == "merge":
            return self._try(tree, "commit", "-q", "--no-edit")
        return self._try(tree, verb, "--continue") or self._try(tree, verb, "--skip")

    def settle(self, tree: str, path: str, side: str | None) -> bool:
        """`git checkout --ours`, `git add`."""
        name = f"tasks/{path}"
        if side is not None and not self._try(tree, "checkout", f"--{side}", "--", name):
            return self._try(tree, "rm", "-q", "--", name)  # that side has no such file
        return self._try(tree, "add", "--", name)

    def abort(self, tree: str) -> bool:
        """`--abort`."""
        verb = self.under_way(tree)
        return verb is not None and self._try(tree, verb, "--abort")

    def stash(self, tree: str, *, deep: bool) -> bool:
        """`git stash`, `git stash -a`."""
        return self._try(tree, "stash", "push", "-q", *(["-a"] if deep else []))

    def pop(self, tree: str) -> bool:
        """`git stash pop`."""
        return self._try(tree, "stash", "pop", "-q")

    def take_path(self, tree: str, commit: str | None, path: str) -> bool:
        """`git checkout X -- path`, `git restore path`."""
        name = f"tasks/{path}"
        if commit is None:
            return self._try(tree, "restore", "--", name)
        return self._try(tree, "checkout", "-q", commit, "--", name)

    def reset(self, tree: str, back: int) -> bool:
        """`git reset --hard HEAD~n`."""
        return self._try(tree, "reset", "-q", "--hard", f"HEAD~{back}")

    def clean(self, tree: str, *, ignored: bool) -> bool:
        """`git clean -fd`, `git clean -fdx`."""
        return self._try(tree, "clean", "-q", "-fdx" if ignored else "-fd")

    def collect(self) -> bool:
        """`git gc --prune=now`."""
        return self._try("main", "gc", "-q", "--prune=now")


IDENTITY: Final = {
    "GIT_AUTHOR_NAME": "Test Author",
    "GIT_AUTHOR_EMAIL": "author@example.invalid",
    "GIT_COMMITTER_NAME": "Test Committer",
    "GIT_COMMITTER_EMAIL": "committer@example.invalid",
    "GIT_EDITOR": "true",
}
#: a conflict shows its base too; no background work; commits are not synced to a disk
SETTINGS: Final = ("-c", "gc.auto=0", "-c", "core.fsync=none", "-c", "advice.detachedHead=false")


def wait_past(stamp: int) -> None:
    """Wait until whatever is written now is stamped later; the kernel's stamps tick every few ms."""
    while now_stamped() <= stamp:
        time.sleep(0.0003)


def now_stamped() -> int:
    """The stamp of a file that is written now, in nanoseconds."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME))
