"""What git did in a worktree, as far as it tells what put a file there: reflog, trees, index, locks.

Answers come from git alone, and nothing is changed by asking. Paths are relative to the tasks directory
throughout; texts are as git would check them out, filters and line ends included.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskd.repo.commits import blob_id
from taskd.repo.git import Git
from taskd.repo.worktrees import Worktree, under_way

#: reflog messages of commands by which somebody commits what stands in the worktree
BY_HAND: Final = ("commit: ", "commit (initial): ", "commit (amend): ")
#: and of those that go to another branch or back, so that what is missing was not removed
SWITCHING: Final = ("checkout: ", "reset: ", "rebase")

REFLOG_LIMIT: Final = 2000  # entries; who did more since the last look is taken to have been git
VERSIONS_LIMIT: Final = 200  # commits of one path's history
STASH_LIMIT: Final = 20  # stashes; what an older one holds has long been missed
STAGED_FIELDS: Final = 3  # mode, object, stage


#: blob, path, seconds and nanoseconds of an entry that is merged, as `ls-files --debug` shows it
ENTRY: Final = re.compile(rb"\d{6} ([0-9a-f]+) 0\t([^\0]*)\0  ctime: .*\n  mtime: (\d+):(\d+)\n")
NAMED_LIMIT: Final = 50  # paths; for more git lists the whole directory


@dataclass(frozen=True, slots=True)
class Written:
    """An entry of a worktree's index: its blob, and the mtime of the file when that was in it."""

    blob: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Move:
    """One entry of a worktree's reflog: HEAD came to `commit`; `what` is the message git left."""

    commit: str
    what: str

    @property
    def by_hand(self) -> bool:
        """Whether somebody committed here what stood in the worktree."""
        return self.what.startswith(BY_HAND)

    @property
    def is_forward(self) -> bool:
        """Whether it can have been new work on the branch that was checked out."""
        return bool(self.what) and not self.what.startswith(SWITCHING)

    @property
    def is_reset(self) -> bool:
        """Whether files may have been put back that had been changed: a stash leaves this message, too."""
        return self.what.startswith("reset: ")

    @property
    def is_first(self) -> bool:
        """Whether it began a branch: `switch --orphan` leaves no entry of its own."""
        return self.what.startswith("commit (initial): ")


class History:
    """The history of one repository's worktrees. GitFailed where git refuses to tell."""

    def __init__(self, git: Git, tasks_dir: str) -> None:
        """Ask through `git`; `tasks_dir` is relative to the top of a worktree."""
        self._git = git
        #: the reflogs, by git dir, with what tells one state of theirs from the next
        self._moves: dict[Path, tuple[object, tuple[Move, ...]]] = {}
        self._counts: dict[Path, tuple[object, int]] = {}
        self._prefix = "" if tasks_dir in {"", "."} else tasks_dir.rstrip("/") + "/"

    def head(self, worktree: Worktree) -> str | None:
        """The commit a worktree stands on, None before the first."""
        name = "HEAD" if worktree.is_main else f"worktrees/{worktree.git_dir.name}/HEAD"
        return self._git.objects().commit(name)

    def moves(self, worktree: Worktree) -> tuple[Move, ...]:
        """The reflog of a worktree's HEAD, oldest first; empty where none is kept.

        The first is what the oldest entry came from, without a message, if there was something.
        """
        stamp = _stamp(worktree.git_dir / "logs/HEAD")
        known = self._moves.get(worktree.git_dir)
        if known is None or stamp is None or known[0] != stamp:
            known = self._moves[worktree.git_dir] = (stamp, self._ask_moves(worktree))
        return known[1]

    def _ask_moves(self, worktree: Worktree) -> tuple[Move, ...]:
        asked = ("log", "-g", f"--max-count={REFLOG_LIMIT}", "-z", "--format=%H %P%n%gs", "HEAD", "--")
        found = self._in(worktree, *asked, allow=(0, 128)).split(b"\0")
        entries = [os.fsdecode(entry).partition("\n") for entry in found if entry]
        moves = [Move(ids.split(" ")[0], what) for ids, _, what in reversed(entries)]
        parents = entries[-1][0].split(" ")[1:] if entries else []
        return (*(Move(parent, "") for parent in parents[:1] if parent), *moves)

    def count_moves(self, worktree: Worktree) -> int | None:
        """How many entries the reflog of a worktree's HEAD has, None where it is kept in no file."""
        log = worktree.git_dir / "logs/HEAD"
        stamp = _stamp(log)
        known = self._counts.get(worktree.git_dir)
        if stamp is None:
            return None
        if known is None or known[0] != stamp:
            known = self._counts[worktree.git_dir] = (stamp, log.read_bytes().count(b"\n"))
        return known[1]

    def tree(self, commit: str) -> Mapping[str, str]:
        """The blob of every path below the tasks directory in a commit."""
        asked = ("ls-tree", "-r", "-z", "--full-tree", commit, "--", self._prefix or ".")
        return self._blobs(self._git.run(*asked).stdout)

    def has_file(self, commit: str, path: str) -> bool:
        """Whether a path is in a commit; not so where the commit is not there any more."""
        if "\n" in path:  # cannot be asked for in a line
            found = self._git.run("cat-file", "-e", f"{commit}:{self._prefix}{path}", allow=(0, 1, 128))
            return found.status == 0
        return self._git.objects().blob(f"{commit}:{self._prefix}{path}") is not None

    def stashes(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """What `git stash` put away, newest first: when, in seconds, and the commits that have the files.

        These are one for what git knew of, and with `--include-untracked` one for the rest.
        """
        asked = ("log", "-g", f"--max-count={STASH_LIMIT}", "--format=%ct %H %P", "refs/stash", "--")
        listed = self._git.run(*asked, allow=(0, 128)).stdout.decode().splitlines()
        rows = (line.split(" ") for line in listed)
        return tuple((int(when), (stash, *parents[2:])) for when, stash, *parents in rows)

    def last_stash_ns(self) -> int:
        """When a stash was made, popped or dropped last, at the latest; 0 where no ref was ever logged."""
        common = self._git.directory
        signs = ("logs/refs", "logs/refs/stash", "reftable/tables.list")
        return max(stamp[2] if (stamp := _stamp(common / sign)) else 0 for sign in signs)

    def staged(self, worktree: Worktree) -> Mapping[str, str | None]:
        """The blob of every path in a worktree's index; None for one that is not merged yet."""
        listed = self._in(worktree, "ls-files", "-s", "-z", "--", self._prefix or ".")
        found = dict[str, str | None]()
        for entry in listed.split(b"\0"):
            facts, _, path = entry.partition(b"\t")
            parts = facts.decode().split(" ")
            if len(parts) == STAGED_FIELDS:
                found[self._below(path)] = parts[1] if parts[2] == "0" else None
        return found

    def written(self, worktree: Worktree, paths: Sequence[str]) -> Mapping[str, Written]:
        """What git itself last wrote at some paths, or found there unchanged, as its index remembers."""
        asked = (
            [self._prefix + path for path in paths] if len(paths) <= NAMED_LIMIT else [self._prefix or "."]
        )
        listed = self._in(worktree, "ls-files", "-s", "--debug", "-z", "--", *asked) if paths else b""
        return {
            self._below(path): Written(blob.decode(), int(seconds) * 10**9 + int(rest))
            for blob, path, seconds, rest in ENTRY.findall(listed)
        }

    def left_out(self, worktree: Worktree) -> frozenset[str]:
        """The paths that a sparse checkout keeps out of a worktree."""
        listed = self._in(worktree, "ls-files", "-t", "-z", "--", self._prefix or ".")
        return frozenset(self._below(entry[2:]) for entry in listed.split(b"\0") if entry[:1] == b"S")

    def texts(self, worktree: Worktree, blobs: Mapping[str, str]) -> Mapping[str, bytes]:
        """What git would write at each path for its blob; paths whose blob is not there are left out."""
        # git tells the size from before the filters: what ends a text is an object that cannot exist
        end = f"end-{secrets.token_hex(16)}".encode()
        wanted = [path for path in blobs if "\n" not in path]
        asked = [b"%s %s\n%s\n" % (blobs[p].encode(), os.fsencode(self._prefix + p), end) for p in wanted]
        if not blobs:
            return {}
        command = (*self._no_programs(worktree), "cat-file", "--filters")
        answer = self._in(worktree, *command, "--batch", stdin=b"".join(asked))
        found = zip(wanted, answer.split(b"%s missing\n" % end), strict=False)
        parts = ((path, *part.partition(b"\n")) for path, part in found)
        told = {path: text.removesuffix(b"\n") for path, head, _, text in parts if b" blob " in head}
        for path in blobs.keys() - set(wanted):  # a line break cannot be asked for in a line
            one = (*command, f"--path={self._prefix}{path}", blobs[path])
            alone = self._git.run("-C", str(worktree.path), *one, allow=(0, 128, 255))
            told |= {path: alone.stdout} if alone.status == 0 else {}
        return told

    def has_text(self, worktree: Worktree, text: bytes) -> bool:
        """Whether git has a text, as it is or with other line ends; where filters are set up it may."""
        if self._no_programs(worktree):
            return True
        head = self.head(worktree) or ""
        return any(
            self._git.objects().blob(blob_id(one, head)) is not None
            for one in {text, text.replace(b"\r\n", b"\n")}
        )

    def is_blob(self, text: bytes, blob: str) -> bool:
        """Whether a text is that blob as it is, without any filter."""
        return blob_id(text, blob) == blob

    def versions(self, commit: str, path: str) -> Iterator[str]:
        """The blobs a path had in the history of a commit, newest first."""
        # -m asks for the configured way of showing merges, which may be none at all
        log = ("-c", "log.diffMerges=separate", "log")
        raw = ("--format=", "--raw", "--no-abbrev", "-z", "-m", "--no-renames")
        most = f"--max-count={VERSIONS_LIMIT}"
        for order in (("--first-parent",), ()):  # the line of the branch itself comes first
            listed = self._git.run(*log, *raw, most, *order, commit, "--", self._prefix + path).stdout
            for entry in listed.split(b"\0"):
                if entry.startswith(b":"):
                    yield from (blob.decode() for blob in entry.split(b" ")[3:1:-1] if blob.strip(b"0"))

    def merge_base(self, one: str, other: str) -> str | None:
        """Where two commits parted, None when they have nothing in common."""
        found = self._git.run("merge-base", one, other, allow=(0, 1, 128)).stdout.split()
        return found[0].decode() if found else None

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether the new commit came from the old one."""
        return self._git.run("merge-base", "--is-ancestor", old, new, allow=(0, 1, 128)).status == 0

    def last_command_ns(self, worktree: Worktree) -> int:
        """When the newest git command in a worktree took or let go of a lock, by the file system's clock."""
        return worktree.git_dir.stat().st_mtime_ns

    def under_way(self, worktree: Worktree) -> str | None:
        """Which command of several steps has been begun and not ended."""
        return under_way(worktree.git_dir)

    def _no_programs(self, worktree: Worktree) -> list[str]:
        """Options that keep git from running the filters a configuration names; its own stay."""
        asked = ("config", "--name-only", "-z", "--get-regexp", r"^filter\..*\.(smudge|process|required)$")
        keys = self._in(worktree, *asked, allow=(0, 1)).split(b"\0")
        values = {b"required": "false"}
        return [
            word
            for key in keys
            if key
            for word in ("-c", f"{os.fsdecode(key)}={values.get(key.rpartition(b'.')[2], '')}")
        ]

    def _in(
        self, worktree: Worktree, *arguments: str, stdin: bytes = b"", allow: tuple[int, ...] = (0,)
    ) -> bytes:
        return self._git.run("-C", str(worktree.path), *arguments, stdin=stdin, allow=allow).stdout

    def _blobs(self, listed: bytes) -> dict[str, str]:
        rows = (entry.partition(b"\t") for entry in listed.split(b"\0") if entry)
        return {self._below(path): facts.split(b" ")[2].decode() for facts, _, path in rows}

    def _below(self, path: bytes) -> str:
        return os.fsdecode(path).removeprefix(self._prefix)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
