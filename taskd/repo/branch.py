"""The workspace branch: files committed to a ref without checkout, index, hook, signature or editor.

A commit is two processes. `git fast-import` writes blobs, trees and the commit, and moves no ref: its own
test (does the new tip contain the old one) would bring back a branch that somebody has reset or deleted
meanwhile. `git update-ref` then moves the ref if, and only if, it is still where it was read.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from taskd.errors import BranchMoved, GitFailed
from taskd.repo import checkout
from taskd.repo.commits import COMMITTER, EMAIL, Joining, blob_id, check_path, commit_head, import_stream
from taskd.repo.crash import point
from taskd.repo.git import Git
from taskd.repo.worktrees import Worktree

DEFAULT_REF: Final = "refs/heads/taskd/workspace"
IDENTITY: Final = {"GIT_COMMITTER_NAME": COMMITTER, "GIT_COMMITTER_EMAIL": EMAIL}

GIT_DIR: Final = "taskd/import"  # below the common dir
IMPORT_SECONDS: Final = 300.0  # 10,000 files take 0.6 s here; a slow disk may take a hundred times that
LOOSE_LIMIT: Final = 100  # files; fewer become loose objects, since fifty packs slow every git command down

#: two processes that publish at once wait for each other's ref lock instead of failing
PATIENT: Final = ("-c", "core.filesRefLockTimeout=2000", "-c", "core.packedRefsTimeout=2000")
#: `A.md` and `a.md` are two files also where the user's disk takes them for one
IMPORT: Final = ("-c", "core.ignoreCase=false")
PACKED: Final = ("-c", "fastimport.unpackLimit=0")
#: fast-import makes a pack in any case; one that is unpacked at once need not be squeezed nor synced
LOOSE: Final = (
    *("-c", "fastimport.unpackLimit=1000000000"),
    *("-c", "pack.compression=0"),
    *("-c", "core.looseCompression=1"),
    *("-c", "core.fsync=none"),  # as is git's way with loose objects; a rebuild mends what a power cut took
)

LEGIBLE: Final = re.compile(rb"ref:|[0-9a-f]{40}")


class Branch:
    """One branch that only taskd commits to. One thread at a time may call; any number of processes."""

    def __init__(
        self,
        git: Git,
        ref: str = DEFAULT_REF,
        worktrees: Callable[[], Iterable[Worktree]] = tuple,
    ) -> None:
        """Work on the full name `ref` in the repository of `git`, whose worktrees may have it checked out."""
        self.git = git
        self.ref = ref
        self._worktrees = worktrees
        self._listing: tuple[str, dict[str, str]] | None = None  # the files of one commit

    def tip(self) -> str | None:
        """The commit that the ref names, whether or not its objects can be read.

        None when there is no such ref, or nothing legible in it. GitFailed when the name stands for
        another branch (a symbolic ref): committing to it would move that one.
        """
        form = "--format=%(refname)%00%(objectname)%00%(symref)"
        for line in self.git.text("for-each-ref", form, "--", self.ref).splitlines():
            name, tip, target = line.split("\0")
            if name == self.ref and target:
                raise GitFailed(command=f"for-each-ref {name}", status=0, stderr=f"it stands for {target}")
            if name == self.ref:
                return tip
        return None

    def facts(self) -> tuple[object, ...]:
        """What changes when the ref moves, however git keeps it; a few stats, no git."""
        places = (self.ref, "packed-refs", "reftable/tables.list")
        return tuple(_facts_of(self._common_dir / place) for place in places)

    def files(self, prefix: str = "") -> dict[str, str]:
        """The path and blob id of every file at the tip whose path begins with `prefix`."""
        tip = self.tip()
        found = {} if tip is None else self._files_at(tip)
        return {path: blob for path, blob in found.items() if path.startswith(prefix)}

    def read(self, path: str) -> bytes | None:
        """The bytes of one file at the tip, None when there is none. GitFailed when it is damaged."""
        blob = self.files().get(path)
        return None if blob is None else self._blob(blob)

    def publish(  # noqa: PLR0913 - what a commit consists of
        self,
        changes: Mapping[str, bytes | None],
        message: str,
        *,
        expect: str | None,
        author: str,
        when: datetime,
        rebuild: bool = False,
        joining: Joining | None = None,
    ) -> str:
        """Commit changes (None removes a file) on top of `expect`; the new tip.

        The tip has to be `expect` (None: no branch yet), now and until the ref moves; otherwise
        BranchMoved, and nothing has happened. When nothing differs there is no commit and `expect` comes
        back. `author` is a name, `when` an aware time. With `rebuild` the changes are all the files there
        will be, damage at the tip is mended, and a history that has gaps is left behind. With `joining`
        there is a commit in any case, with both histories behind it. ValueError for a path that git does
        not take, GitFailed for whatever git cannot do; BranchHeld when a worktree that has the branch
        checked out cannot be brought along.
        """
        head = commit_head(message, author, when)
        for path in changes:
            check_path(path)
        if self.tip() != expect:
            raise BranchMoved(ref=self.ref)
        if rebuild:
            return self._rebuild(changes, head, expect, joining)
        return self._extend(changes, head, expect, joining)

    def advance(self, tip: str, expect: str | None) -> None:
        """Have the branch at a commit that is there already. BranchMoved, BranchHeld as `publish`."""
        if self.tip() != expect:
            raise BranchMoved(ref=self.ref)
        self._follow(tip, expect)

    def checked_out_in(self, worktrees: Iterable[Worktree]) -> list[Worktree]:
        """Those worktrees that have this branch checked out, or are in the middle of rebasing it."""
        return [tree for tree in worktrees if self.ref in (tree.branch, *_rebased(tree.git_dir))]

    def _extend(
        self, changes: Mapping[str, bytes | None], head: bytes, expect: str | None, joining: Joining | None
    ) -> str:
        before = {} if expect is None else self._files_at(expect)
        different = {
            path: text
            for path, text in changes.items()
            if before.get(path) != (None if text is None else blob_id(text, expect or ""))
        }
        if expect is not None and not different and joining is None:
            return expect
        self._demand_clean(expect)
        tip = self._write_commit(head, expect, different, clear=False, joining=joining)
        self._follow(tip, expect)
        if joining is None:
            self._remember(tip, before, different)
        return tip

    def _rebuild(
        self, changes: Mapping[str, bytes | None], head: bytes, expect: str | None, joining: Joining | None
    ) -> str:
        wanted = {path: text for path, text in changes.items() if text is not None}
        whole = expect is not None and self.is_whole(expect)
        if expect is not None and whole and joining is None and self._holds(expect, wanted):
            return expect
        self._demand_clean(expect)
        tip = self._write_commit(head, expect if whole else None, wanted, clear=True, joining=joining)
        self.git.objects().close()  # a new process looks into the new pack first
        if not self._holds(tip, wanted, exactly=joining is None):
            reason = "damaged objects are in the way; `git fsck` names them"
            raise GitFailed(command="fast-import", status=0, stderr=reason)
        self._follow(tip, expect)
        return tip

    def _showing(self) -> list[Worktree]:
        """The worktrees to be brought along; one that is gone and not locked has left."""
        return [tree for tree in self.checked_out_in(self._worktrees()) if tree.state != "missing"]

    def _demand_clean(self, expect: str | None) -> None:
        """BranchHeld before anything is written, where a worktree could not be brought along."""
        for tree in self._showing():
            checkout.demand_clean(self.git, tree, expect, self.ref, self._notes)

    def _follow(self, tip: str, expect: str | None) -> None:
        """Move the ref, and with it the worktrees that have the branch checked out."""
        with checkout.brought_along(self.git, self._showing(), (expect, tip), self.ref, self._notes):
            point("branch.before-swap")
            self._swap(tip, expect)

    @property
    def _notes(self) -> Path:
        return self._common_dir / "taskd" / "brought-along"

    def _write_commit(
        self,
        head: bytes,
        parent: str | None,
        files: Mapping[str, bytes | None],
        *,
        clear: bool,
        joining: Joining | None = None,
    ) -> str:
        """Put a commit and all that is new in it into the object database; its id."""
        # in a pack the good copy of an object is found before a damaged loose one
        packed = clear or len(files) > LOOSE_LIMIT
        stream = b"".join(import_stream(head, parent, files, clear=clear, joining=joining))
        options = ("--quiet", "--done", "--date-format=raw")
        with self._own_git_dir() as env:
            return self.git.text(
                *IMPORT,
                *(PACKED if packed else LOOSE),
                "fast-import",
                *options,
                stdin=stream,
                env=env,
                timeout=IMPORT_SECONDS,
            )

    @contextlib.contextmanager
    def _own_git_dir(self) -> Iterator[dict[str, str]]:
        """A git dir of our own over the repository's objects: git's crash reports go there, and go."""
        place = self._common_dir / GIT_DIR
        try:
            _make_git_dir(place)
        except OSError as error:
            raise GitFailed(command="fast-import", status="not started", stderr=str(error)) from error
        try:
            yield {"GIT_DIR": str(place), "GIT_COMMON_DIR": str(self._common_dir)}
        except GitFailed:
            for report in place.glob("fast_import_crash_*"):
                report.unlink(missing_ok=True)
            raise

    def _swap(self, tip: str, expect: str | None) -> None:
        """Move the ref from `expect` to `tip`, whoever else may be at it."""
        command = (
            "update-ref",
            "-m",
            "taskd: publish",
            "--no-deref",
            self.ref,
            tip,
            expect or "0" * len(tip),
        )
        for _ in ("first", "after an illegible ref was taken away"):
            moved = self.git.run(*PATIENT, *command, env=IDENTITY, allow=range(256))
            if moved.status == 0:
                return
            if self.tip() != expect:
                raise BranchMoved(ref=self.ref)
            if expect is not None or not self._clear_illegible():
                break
        raise GitFailed(command=f"update-ref {self.ref}", status=moved.status, stderr=moved.stderr)

    def _clear_illegible(self) -> bool:
        """Take away a ref file without an id in it, as a power cut leaves it; whether there was one.

        Git itself refuses to. Done while holding the lock that git takes to write it, so a ref that
        somebody mends at the same moment stays.
        """
        file = self._common_dir / self.ref
        lock = file.with_name(file.name + ".lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        except OSError:
            return False
        try:
            illegible = file.is_file() and LEGIBLE.match(file.read_bytes()) is None
            if illegible:
                file.unlink()
            return illegible
        finally:
            lock.unlink()

    def is_whole(self, commit: str) -> bool:
        """Whether the commit, its history and everything in it exist."""
        walk = ("rev-list", "--objects", "--quiet", commit)
        return self.git.run(*walk, allow=range(-64, 256), timeout=IMPORT_SECONDS).status == 0

    def _holds(self, commit: str, wanted: Mapping[str, bytes], *, exactly: bool = True) -> bool:
        """Whether the commit consists of these files (and others, unless `exactly`) that can be read."""
        try:
            found = self._list_files(commit)
            whole = found.keys() == wanted.keys() if exactly else found.keys() >= wanted.keys()
            return whole and all(self._blob(found[path]) == text for path, text in wanted.items())
        except GitFailed:
            return False

    def _files_at(self, commit: str) -> dict[str, str]:
        if self._listing is None or self._listing[0] != commit:
            self._listing = commit, self._list_files(commit)
        return self._listing[1]

    def _list_files(self, commit: str) -> dict[str, str]:
        listed = self.git.run("ls-tree", "-r", "-z", "--full-tree", commit).stdout
        rows = (entry.partition(b"\t") for entry in listed.split(b"\0") if entry)
        facts = ((row[0].split(b" "), row[2]) for row in rows)
        return {os.fsdecode(path): blob.decode() for (_, kind, blob), path in facts if kind == b"blob"}

    def _remember(self, tip: str, before: dict[str, str], changes: Mapping[str, bytes | None]) -> None:
        """Know the files of the new tip without asking, unless a file and a directory took turns."""
        after = dict(before)
        for path, text in changes.items():
            if text is None:
                del after[path]
            else:
                after[path] = blob_id(text, tip)
        directories = _directories(after) if after.keys() - before.keys() else set()
        self._listing = None if directories & after.keys() else (tip, after)

    def _blob(self, blob: str) -> bytes:
        text = self.git.objects().blob(blob)
        if text is None:
            raise GitFailed(command=f"cat-file {blob}", status=0, stderr="the object is missing")
        return text

    @cached_property
    def _common_dir(self) -> Path:
        return Path(os.path.realpath(self.git.directory / self.git.text("rev-parse", "--git-common-dir")))


def _make_git_dir(place: Path) -> None:
    """Put there what makes a directory a git dir beside a common dir: a HEAD."""
    if not (place / "HEAD").is_file():
        place.parent.mkdir(mode=0o700, exist_ok=True)
        place.mkdir(mode=0o700, exist_ok=True)
        aside = place / f"HEAD.{os.getpid()}"
        aside.write_bytes(b"ref: refs/heads/none\n")
        aside.replace(place / "HEAD")


def _facts_of(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _directories(paths: Iterable[str]) -> set[str]:
    """Every directory that some path lies in."""
    found: set[str] = set()
    for directory in {path.rpartition("/")[0] for path in paths}:
        parts = directory.split("/")
        found.update("/".join(parts[:end]) for end in range(1, len(parts) + 1))
    return found


def _rebased(git_dir: Path) -> Iterator[str]:
    """The branch that a rebase in this worktree will move when it ends."""
    for place in ("rebase-merge", "rebase-apply"):
        with contextlib.suppress(FileNotFoundError):
            yield os.fsdecode((git_dir / place / "head-name").read_bytes()).strip()
