"""Which repository a directory belongs to, which worktrees it has, and what git is doing in them.

A worktree is known by its git dir, never by its path: paths move, are taken over by others, and may
hold line breaks and bytes that are no text.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from taskd.errors import GitFailed, NotARepository
from taskd.repo.git import Git

MAIN: Final = "main"
RESERVED: Final = frozenset({MAIN, "workspace"})  # keys that a linked worktree of that name cannot have
REMEMBERED: Final = "taskd/main-worktree"  # below the common dir; see `remember_main`

#: what lies in a git dir while a command of several steps is under way, asked in this order: a rebase
#: that stops has CHERRY_PICK_HEAD as well
SIGNS: Final[Mapping[str, str]] = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}

USAGE: Final = 129  # git's exit status for an option it does not know
REFUSED: Final = 128  # and for nearly everything else


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository: its real common dir, the top of its main worktree, and `sha1` or `sha256`.

    `main` is None when it is bare, and when nothing says where the main worktree is: a git dir made
    with --separate-git-dir does not know (see `remember_main`).
    """

    common_dir: Path
    main: Path | None
    object_format: str


@dataclass(frozen=True, slots=True)
class Worktree:
    """A worktree. `key` stays when it moves; `identity` tells it from a later one under that key.

    `state` is `active`, `missing` (its directory or `.git` file is not there), or `locked` (missing,
    and git was told to keep it, as for a disk that is not always there). `branch` is the full ref,
    None with a detached HEAD.
    """

    key: str
    path: Path
    git_dir: Path
    identity: str
    state: str
    branch: str | None
    is_main: bool


def locate(directory: Path) -> tuple[Repository, Worktree | None]:
    """The repository around a directory and the worktree it is in.

    The innermost one counts; inside a git dir it is the worktree which that git dir serves, None when
    there is none. NotARepository outside of any, and for a directory that does not exist; GitFailed
    when there is one that git refuses to work in, with git's own reason.
    """
    with Git(directory) as git:
        facts = _facts(git)
        common = _real(git.directory / facts.common_dir)
        git_dir, top = _real(Path(facts.git_dir)), _real(Path(facts.top)) if facts.top else None
        main = top if top and git_dir == common else _main_top(git, common)
        repository = Repository(common, main, facts.object_format)
        listed = [tree for tree in list_worktrees(git, repository) if tree.git_dir == git_dir]
    worktree = listed[0] if listed else None
    if worktree and top and worktree.state != "active":
        worktree = replace(worktree, path=top, state="active")  # moved by hand, not yet repaired
    return repository, worktree


def list_worktrees(git: Git, repository: Repository) -> tuple[Worktree, ...]:
    """Every worktree that is on record, the main one first, then by key."""
    records = tuple(_records(repository.common_dir))
    branches = _branches(git, repository, records)
    linked = [_linked(record, branches) for record in records]
    return (*_main(repository, branches), *sorted(linked, key=lambda tree: tree.key))


def remember_main(repository: Repository) -> None:
    """Note down where the main worktree is if its git dir has another name than `.git`.

    Only from inside the main worktree can git tell; the note makes the answer the same everywhere.
    """
    common, main = repository.common_dir, repository.main
    if main is None or common.name == ".git" or _remembered(common) == main:
        return
    note = common / REMEMBERED
    note.parent.mkdir(mode=0o700, exist_ok=True)
    note.write_bytes(os.fsencode(main))


def find_common_dir(directory: Path) -> Path | None:
    """The common dir around a directory, found without git, None outside of a repository.

    As git does it: upwards to the edge of the file system, the first `.git` or bare repository counts.
    """
    here = _real(directory)
    if not here.is_dir():
        return None
    device = here.stat().st_dev
    for place in (here, *here.parents):
        if place.stat().st_dev != device:
            return None
        marker = place / ".git"
        if marker.is_file():
            return _common_of(_pointed(marker))
        for candidate in (marker, place):
            if found := _common_of(candidate):
                return found
    return None


def gate_locks(git_dir: Path) -> list[Path]:
    """The lock files of git commands that run in this worktree now (or were killed), by name."""
    try:
        with os.scandir(git_dir) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".lock") and not entry.is_dir()]
    except FileNotFoundError:
        return []
    return [git_dir / name for name in sorted(names)]


def under_way(git_dir: Path) -> str | None:
    """Which command of several steps has been begun in this worktree and not ended."""
    for sign, command in SIGNS.items():
        if os.path.lexists(git_dir / sign):
            return command
    todo = _read(git_dir / "sequencer/todo")  # between two commits of a series there is no *_HEAD
    if todo is None:
        return None
    return "revert" if todo.startswith(b"revert") else "cherry-pick"


def index_stamp(git_dir: Path) -> tuple[int, ...] | None:
    """What tells one state of the worktree's index from another; None without an index."""
    try:
        found = (git_dir / "index").stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@dataclass(frozen=True, slots=True)
class _Facts:
    """What `git rev-parse` says about a directory; paths as it says them."""

    object_format: str
    git_dir: str
    common_dir: str
    top: str = ""


@dataclass(frozen=True, slots=True)
class _Record:
    """The git dir of a linked worktree, with the path it has on record and its identity."""

    admin: Path
    path: Path
    identity: str


def _facts(git: Git) -> _Facts:
    """Ask in one process, and again one by one if a path with a line break makes that ambiguous."""
    flags = ("--show-object-format", "--absolute-git-dir", "--git-common-dir", "--show-toplevel")
    # outside of a work tree git prints the first three, and then refuses the fourth
    asked = git.run("rev-parse", *flags, allow=(0, REFUSED))
    if not asked.stdout:
        if find_common_dir(git.directory) is None:
            raise NotARepository(path=git.directory)
        raise GitFailed(command="rev-parse", status=asked.status, stderr=asked.stderr)
    known = flags if asked.status == 0 else flags[:-1]
    answers = os.fsdecode(asked.stdout).split("\n")[:-1]
    if len(answers) != len(known):
        answers = [git.text("rev-parse", flag) for flag in known]
    return _Facts(*answers)


def _main_top(git: Git, common: Path) -> Path | None:
    """The top of the main worktree, asked from elsewhere."""
    # from inside the git dir the top is that very directory unless core.worktree says otherwise
    env = {"GIT_DIR": str(common)}
    asked = ("-C", str(common), "rev-parse")
    if git.text(*asked, "--is-bare-repository", env=env) == "true":
        return None
    top = _real(Path(git.text(*asked, "--show-toplevel", env=env)))
    if top != common:
        return top
    return common.parent if common.name == ".git" else _remembered(common)


def _remembered(common: Path) -> Path | None:
    note = _read(common / REMEMBERED)
    if note is None:
        return None
    main = Path(os.fsdecode(note))
    return main if _serves(main, common) else None


def _branches(
    git: Git, repository: Repository, records: tuple[_Record, ...]
) -> Mapping[Path, list[str | None]]:
    """For each path on git's list its branches: of two worktrees under one path one has gone."""
    asked = git.run("worktree", "list", "--porcelain", "-z", allow=(0, USAGE, REFUSED))
    separator = b"\0"
    if asked.status == REFUSED:  # git lists none while it writes the record of a new one, or never ended
        tops = {record.path: record.admin for record in records}
        if repository.main is not None:
            tops[repository.main] = repository.common_dir
        return {top: [head_branch(git_dir)] for top, git_dir in tops.items()}
    if asked.status == USAGE:  # before git 2.36
        asked, separator = git.run("worktree", "list", "--porcelain"), b"\n"
    found: dict[Path, list[str | None]] = {}
    for line in asked.stdout.split(separator):
        word, _, rest = line.partition(b" ")
        if word == b"worktree":
            branches = found.setdefault(_real(Path(os.fsdecode(rest))), [])
            branches.append(None)
        elif word == b"branch":
            branches[-1] = os.fsdecode(rest)
    return found


def _main(repository: Repository, branches: Mapping[Path, list[str | None]]) -> Iterator[Worktree]:
    top, common = repository.main, repository.common_dir
    if top is not None:
        # a git dir that is not called .git is what git lists as the path of the main worktree
        listed = branches.get(top) or branches.get(common)
        state = "active" if _serves(top, common) else "missing"
        yield Worktree(MAIN, top, common, MAIN, state, _branch_of(common, listed), is_main=True)


def _linked(record: _Record, branches: Mapping[Path, list[str | None]]) -> Worktree:
    name = os.fsencode(record.admin.name).decode("utf-8", "backslashreplace")  # a key is text everywhere
    key = f"worktrees/{name}" if name in RESERVED else name
    branch = _branch_of(record.admin, branches.get(record.path))
    state = _state(record.admin, record.path)
    return Worktree(key, record.path, record.admin, record.identity, state, branch, is_main=False)


def _state(admin: Path, path: Path) -> str:
    if _serves(path, admin):
        return "active"
    return "locked" if (admin / "locked").exists() else "missing"


def _branch_of(git_dir: Path, listed: list[str | None] | None) -> str | None:
    """The one of the listed branches that this git dir's HEAD names, if there are several."""
    if listed is None or len(listed) == 1:
        return listed[0] if listed else None
    head = head_branch(git_dir)
    return head if head in listed else None


def head_branch(git_dir: Path) -> str | None:
    """The full name of the branch that a HEAD file names, None for a detached one."""
    word, _, ref = os.fsdecode(_read(git_dir / "HEAD") or b"").partition(":")
    return ref.strip() if word == "ref" else None


def _records(common: Path) -> Iterator[_Record]:
    """What is on record about the linked worktrees."""
    try:
        admins = sorted((common / "worktrees").iterdir())
    except FileNotFoundError:
        return
    for admin in admins:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # removed meanwhile, or no record
            # git takes all white space off the end; the path itself ends in `.git`
            path = (admin / "gitdir").read_bytes().rstrip()
            born = (admin / "commondir").stat()  # written once: moving and repairing leave it alone
            if not born.st_size:  # and written last: before that git is still making the worktree
                continue
            identity = f"{born.st_ino}-{born.st_mtime_ns}"
            yield _Record(admin, _real((admin / os.fsdecode(path)).parent), identity)


def _serves(top: Path, git_dir: Path) -> bool:
    """Whether the `.git` of a directory leads to this git dir."""
    marker = top / ".git"
    try:
        return _real(_pointed(marker) if marker.is_file() else marker) == git_dir and git_dir.is_dir()
    except PermissionError:  # what cannot be looked at is not there to work in
        return False


def _pointed(marker: Path) -> Path:
    """Where a `.git` file leads."""
    target = (_read(marker) or b"").removeprefix(b"gitdir:").strip(b" ").rstrip(b"\r\n")
    return marker.parent / os.fsdecode(target)


def _common_of(git_dir: Path) -> Path | None:
    """The real common dir of a git dir, None if it is no git dir."""
    if not _is_head(git_dir / "HEAD"):
        return None
    pointer = _read(git_dir / "commondir")
    common = git_dir if pointer is None else git_dir / os.fsdecode(pointer.rstrip(b"\r\n"))
    whole = (common / "objects").is_dir() and (common / "refs").is_dir()
    return _real(common) if whole else None


def _is_head(head: Path) -> bool:
    if head.is_symlink():
        return str(head.readlink()).startswith("refs/")
    return re.match(rb"ref:\s*refs/|[0-9a-f]{40}", _read(head) or b"") is not None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
