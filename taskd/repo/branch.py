"""The workspace branch: files committed to a ref without checkout, index, hook, signature or editor.

A commit is two processes. `git fast-import` writes blobs, trees and the commit, and moves no ref: its own
test (does the new tip contain the old one) would bring back a branch that somebody has reset or deleted
meanwhile. `git update-ref` then moves the ref if, and only if, it is still where it was read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from taskd.errors import BranchMoved, GitFailed
from taskd.repo.git import Git
from taskd.repo.worktrees import Worktree

DEFAULT_REF: Final = "refs/heads/taskd/workspace"
COMMITTER: Final = "taskd"
EMAIL: Final = "taskd@localhost"
IDENTITY: Final = {"GIT_COMMITTER_NAME": COMMITTER, "GIT_COMMITTER_EMAIL": EMAIL}

GIT_DIR: Final = "taskd/import"  # below the common dir
IMPORT_SECONDS: Final = 300.0  # 10,000 files take 0.6 s here; a slow disk may take a hundred times that
LOOSE_LIMIT: Final = 100  # files; fewer become loose objects, since fifty packs slow every git command down
NO_LIMIT: Final = 1_000_000_000

#: two processes that publish at once wait for each other's ref lock instead of failing
PATIENT: Final = ("-c", "core.filesRefLockTimeout=2000", "-c", "core.packedRefsTimeout=2000")
#: `A.md` and `a.md` are two files also where the user's disk takes them for one
IMPORT: Final = ("-c", "core.ignoreCase=false", "-c", "core.looseCompression=1")

CRUD: Final = "".join(map(chr, range(33))) + ".,:;\"\\'<>"  # git takes these off both ends of a name
UNWRITABLE: Final = re.compile(r"[\x00-\x20\x7f<>]+")  # and has no way to write these inside of one
LEGIBLE: Final = re.compile(rb"ref:|[0-9a-f]{40}")
ESCAPED: Final = re.compile(rb'[\x00-\x1f"\\\x7f]')


class Branch:
    """One branch that only taskd commits to. One thread at a time may call; any number of processes."""

    def __init__(self, git: Git, ref: str = DEFAULT_REF) -> None:
        """Work on the full name `ref` in the repository of `git`."""
        self.git = git
        self.ref = ref
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

    def files(self, prefix: str = "") -> dict[str, str]:
        """The path and blob id of every file at the tip whose path begins with `prefix`."""
        tip = self.tip()
        found = {} if tip is None else self._files_at(tip)
        return {path: blob for path, blob in found.items() if path.startswith(prefix)}

    def read(self, path: str) -> bytes | None:
        """The bytes of one file at the tip, None when there is none. GitFailed when it is damaged."""
        blob = self.files().get(path)
        return None if blob is None else self._blob(blob)

    def publish(
        self,
        changes: Mapping[str, bytes | None],
        message: str,
        *,
        expect: str | None,
        author: str,
        when: datetime,
        rebuild: bool = False,
    ) -> str:
        """Commit changes (None removes a file) on top of `expect`; the new tip.

        The tip has to be `expect` (None: no branch yet), now and until the ref moves; otherwise
        BranchMoved, and nothing has happened. When nothing differs there is no commit and `expect` comes
        back. `author` is a name, `when` an aware time. With `rebuild` the changes are all the files there
        will be, damage at the tip is mended, and a history that has gaps is left behind. ValueError for a
        path that git does not take, GitFailed for whatever git cannot do.
        """
        head = _commit_head(message, author, when)
        for path in changes:
            _check_path(path)
        if self.tip() != expect:
            raise BranchMoved(ref=self.ref)
        return self._rebuild(changes, head, expect) if rebuild else self._extend(changes, head, expect)

    def checked_out_in(self, worktrees: Iterable[Worktree]) -> list[Worktree]:
        """Those worktrees that have this branch checked out, or are in the middle of rebasing it."""
        return [tree for tree in worktrees if self.ref in (tree.branch, *_rebased(tree.git_dir))]

    def _extend(self, changes: Mapping[str, bytes | None], head: bytes, expect: str | None) -> str:
        before = {} if expect is None else self._files_at(expect)
        different = {
            path: text
            for path, text in changes.items()
            if before.get(path) != (None if text is None else _blob_id(text, expect or ""))
        }
        if expect is not None and not different:
            return expect
        tip = self._write_commit(head, expect, different, clear=False)
        self._swap(tip, expect)
        self._remember(tip, before, different)
        return tip

    def _rebuild(self, changes: Mapping[str, bytes | None], head: bytes, expect: str | None) -> str:
        wanted = {path: text for path, text in changes.items() if text is not None}
        whole = expect is not None and self._is_whole(expect)
        if expect is not None and whole and self._holds(expect, wanted):
            return expect
        tip = self._write_commit(head, expect if whole else None, wanted, clear=True)
        self.git.objects().close()  # a new process looks into the new pack first
        if not self._holds(tip, wanted):
            reason = "damaged objects are in the way; `git fsck` names them"
            raise GitFailed(command="fast-import", status=0, stderr=reason)
        self._swap(tip, expect)
        return tip

    def _write_commit(
        self, head: bytes, parent: str | None, files: Mapping[str, bytes | None], *, clear: bool
    ) -> str:
        """Put a commit and all that is new in it into the object database; its id."""
        # in a pack the good copy of an object is found before a damaged loose one
        packed = clear or len(files) > LOOSE_LIMIT
        limit, level = (0, 1) if packed else (NO_LIMIT, 0)  # packing is in vain for what is unpacked again
        tuned = ("-c", f"fastimport.unpackLimit={limit}", "-c", f"pack.compression={level}")
        stream = b"".join(_import_stream(head, parent, files, clear=clear))
        options = ("--quiet", "--done", "--date-format=raw")
        with self._own_git_dir() as env:
            return self.git.text(
                *IMPORT, *tuned, "fast-import", *options, stdin=stream, env=env, timeout=IMPORT_SECONDS
            )

    @contextlib.contextmanager
    def _own_git_dir(self) -> Iterator[dict[str, str]]:
        """A git dir of our own over the repository's objects: git's crash reports go there, and go."""
        place = self._common_dir / GIT_DIR
        if not (place / "HEAD").is_file():
            place.parent.mkdir(mode=0o700, exist_ok=True)
            place.mkdir(mode=0o700, exist_ok=True)
            aside = place / f"HEAD.{os.getpid()}"
            aside.write_bytes(b"ref: refs/heads/none\n")
            aside.replace(place / "HEAD")
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

    def _is_whole(self, commit: str) -> bool:
        """Whether the commit, its history and everything in it exist."""
        walk = ("rev-list", "--objects", "--quiet", commit)
        return self.git.run(*walk, allow=range(-64, 256), timeout=IMPORT_SECONDS).status == 0

    def _holds(self, commit: str, wanted: Mapping[str, bytes]) -> bool:
        """Whether the commit consists of exactly these files and each of them can be read."""
        try:
            found = self._list_files(commit)
            return found.keys() == wanted.keys() and all(
                self._blob(found[path]) == text for path, text in wanted.items()
            )
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
                after[path] = _blob_id(text, tip)
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


def _import_stream(
    head: bytes, parent: str | None, files: Mapping[str, bytes | None], *, clear: bool
) -> Iterator[bytes]:
    """One commit in the language of fast-import, which answers with its id and forgets the branch again."""
    yield b"commit refs/taskd/new\nmark :1\n" + head
    if parent is not None:
        yield b"from %s\n" % parent.encode()
    if clear:
        yield b"deleteall\n"
    # removals first: a file may give way to a directory of its name
    yield from (b"D %s\n" % _quoted(path) for path, text in files.items() if text is None)
    for path, text in files.items():
        if text is not None:
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (_quoted(path), len(text), text)
    yield b"\nget-mark :1\nreset refs/taskd/new\n\ndone\n"


def _commit_head(message: str, author: str, when: datetime) -> bytes:
    if when.utcoffset() is None:
        reason = f"a commit needs a time with a time zone: {when}"
        raise ValueError(reason)
    seconds = max(0, int(when.timestamp()))
    name = UNWRITABLE.sub(" ", author).strip(CRUD).encode("utf-8", "replace") or b"unknown"
    text = message.replace("\0", "\ufffd").rstrip("\n").encode("utf-8", "replace") + b"\n"
    author_line = b"author %s <%s> %d +0000\n" % (name, EMAIL.encode(), seconds)
    committer_line = f"committer {COMMITTER} <{EMAIL}> {seconds} +0000\n".encode()
    return author_line + committer_line + b"data %d\n%s\n" % (len(text), text)


def _check_path(path: str) -> None:
    parts = path.split("/")
    if "\0" in path or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        reason = f"git takes no such path: {path!r}"
        raise ValueError(reason)


def _quoted(path: str) -> bytes:
    """A path in double quotes, with C's octal escapes."""
    return b'"%s"' % ESCAPED.sub(lambda found: b"\\%03o" % ord(found[0]), os.fsencode(path))


def _blob_id(text: bytes, like: str) -> str:
    """The id of a blob in the hash that the id `like` is written in."""
    algorithm = "sha256" if len(like) == 64 else "sha1"  # noqa: PLR2004 - hex digits of a SHA-256
    return hashlib.new(algorithm, b"blob %d\0%s" % (len(text), text), usedforsecurity=False).hexdigest()


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
