"""Worktrees that have the workspace branch checked out go along when it moves, as far as they are clean.

As git does it for a push with `receive.denyCurrentBranch=updateInstead`: index and files are brought to the
new commit first, then the ref moves; only paths that differ are touched. A worktree with changes of its own,
or in which git is at work, is left as it is, and holds the branch where it is.

A process that is killed between the two leaves a worktree that has gone ahead. A note says which tree it was
brought to, so that this is not taken for somebody's changes.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from taskd.errors import BranchHeld, GitFailed
from taskd.repo.crash import point
from taskd.repo.git import Git
from taskd.repo.others import changed_files
from taskd.repo.worktrees import Worktree, gate_locks, under_way


@contextlib.contextmanager
def brought_along(
    git: Git, trees: Sequence[Worktree], tips: tuple[str | None, str], ref: str, notes: Path
) -> Iterator[None]:
    """Worktrees are at the second of the tips, and stay there if the block ends well, else go back.

    BranchHeld, with nothing touched, when one of them cannot go along. `notes` is a file of ours.
    """
    old, new = tips
    if not trees:
        yield
        return
    starts = {tree: demand_clean(git, tree, old, ref, notes) for tree in trees}
    goal = git.text("rev-parse", f"{new}^{{tree}}")
    gone = list[Worktree]()
    try:
        _note_down(notes, trees, goal)
        for tree, start in starts.items():
            _go(git, tree, start, goal, ref)
            gone.append(tree)
        point("branch.brought-along")
        yield
    except Exception:
        for tree in gone:
            _go(git, tree, goal, starts[tree], ref)
        raise
    finally:
        notes.unlink(missing_ok=True)


def demand_clean(git: Git, tree: Worktree, tip: str | None, ref: str, notes: Path) -> str:
    """The tree that index and files of a worktree are at; BranchHeld unless that is the branch's or ours."""
    reason = _occupied(tree)
    if reason is not None:
        return _hold(tree, ref, reason)
    try:
        start = git.text("-C", str(tree.path), "write-tree")
        unsaved = _has_changes(git, tree)
        wanted = git.text("rev-parse", f"{tip}^{{tree}}") if tip else None
    except GitFailed as error:
        return _hold(tree, ref, f"git cannot tell what there is: {error.message}")
    if unsaved:
        return _hold(tree, ref, "files have changes that are not committed")
    is_ours = _noted(notes).get(os.fspath(tree.git_dir)) == start
    if start != wanted and not is_ours and (wanted is not None or _has_files(git, tree)):
        return _hold(tree, ref, "changes are staged that are not committed")
    return start


def _occupied(tree: Worktree) -> str | None:
    """Why a worktree is not to be touched now, whatever its files are."""
    if tree.state != "active":
        return "nothing can be changed now: the worktree is locked, and not there"
    if gate_locks(tree.git_dir):
        return "git is at work"
    command = under_way(tree.git_dir)
    return f"a {command} is under way" if command else None


def _has_changes(git: Git, tree: Worktree) -> bool:
    """Whether files say something else than the index; a file that is only younger says the same."""
    look = (*_in(git, tree), "diff-files", "--quiet", "--ignore-submodules")
    if git.run(*look, allow=(0, 1)).status == 0:
        return False
    git.run(*_in(git, tree), "update-index", "-q", "--refresh", allow=(0, 1))
    return git.run(*look, allow=(0, 1)).status != 0


def _has_files(git: Git, tree: Worktree) -> bool:
    return git.run("-C", str(tree.path), "ls-files", "-z").stdout != b""


def _hold(tree: Worktree, ref: str, reason: str) -> NoReturn:
    raise BranchHeld(ref=ref, worktree=str(tree.path), reason=reason)


def _go(git: Git, tree: Worktree, start: str, goal: str, ref: str) -> None:
    try:
        _demand_room(git, tree, start, goal, ref)
        git.run(*_in(git, tree), "update-index", "-q", "--refresh", allow=(0, 1))
        git.run(*_in(git, tree), "read-tree", "-u", "-m", start, goal)
    except GitFailed as error:
        _hold(tree, ref, f"git cannot bring the files along: {error.message}")


def _demand_room(git: Git, tree: Worktree, start: str, goal: str, ref: str) -> None:
    """BranchHeld where a file that git does not track lies in the way; git itself spares ignored ones not."""
    changed = changed_files(git, start, goal)
    going = {one.path for one in changed if one.after is None}
    for one in changed:
        parts = one.path.split("/") if one.before is None else []
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            place = tree.path / path
            is_way = end < len(parts) and place.is_dir() and not place.is_symlink()
            if os.path.lexists(place) and not is_way and path not in going:
                _hold(tree, ref, f"{path} is in the way")
    if _filtered(git, tree, [one.path for one in changed]):
        _hold(tree, ref, "files go through a filter, a program that taskd does not run")


def _in(git: Git, tree: Worktree) -> list[str]:
    """Options that have git work in a worktree without running the filters a configuration names."""
    return ["-C", str(tree.path), *(word for key in _filters(git) for word in ("-c", f"{key}="))]


def _filters(git: Git) -> list[str]:
    asked = ("config", "--name-only", "-z", "--get-regexp", r"^filter\..*\.(clean|smudge|process|required)$")
    return [os.fsdecode(key) for key in git.run(*asked, allow=(0, 1)).stdout.split(b"\0") if key]


def _filtered(git: Git, tree: Worktree, paths: Sequence[str]) -> bool:
    """Whether a filter is configured for one of these files: without it they would not be what git writes."""
    drivers = {key.removeprefix("filter.").rpartition(".")[0] for key in _filters(git)}
    if not drivers:
        return False
    listed = b"".join(b"%s\0" % os.fsencode(path) for path in paths)
    told = git.run("-C", str(tree.path), "check-attr", "-z", "--stdin", "filter", stdin=listed).stdout
    return any(os.fsdecode(value) in drivers for value in told.split(b"\0")[2::3])


def _note_down(notes: Path, trees: Sequence[Worktree], goal: str) -> None:
    notes.parent.mkdir(mode=0o700, exist_ok=True)
    aside = notes.with_name(f"{notes.name}.{os.getpid()}")
    rows = {os.fsencode(tree.git_dir).hex(): goal for tree in trees}
    aside.write_text(json.dumps(rows), encoding="ascii")
    aside.replace(notes)


def _noted(notes: Path) -> dict[str, str]:
    try:
        rows = json.loads(notes.read_text(encoding="ascii"))
        return {os.fsdecode(bytes.fromhex(key)): str(goal) for key, goal in rows.items()}
    except (OSError, ValueError, AttributeError):
        return {}
