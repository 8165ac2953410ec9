"""What others have put on the workspace branch: which files, by whom, and since when."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from taskd.repo.commits import COMMITTER, EMAIL
from taskd.repo.git import Git

WALK_SECONDS: Final = 300.0  # a first look at a long history on a slow disk
NONE: Final = range(1, 256)  # git's answers to: no such commit, no such ancestor
MARK: Final = b"\x01\x02\x01"  # what a commit begins with in a listing; git takes it for no part of a name
OURS: Final = f"{COMMITTER} <{EMAIL}>"
FORM: Final = "%x01%x02%x01%cn <%ce>%x00%an%x00"


@dataclass(frozen=True, slots=True)
class Changed:
    """One file that differs between two commits: its blob in each, None where there is none."""

    path: str
    before: str | None
    after: str | None
    mode: str  # in the later one, six octal digits


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its first parent (None for a root), whether taskd made it, and its message."""

    name: str
    parent: str | None
    is_taskd: bool
    message: str

    def trailer(self, key: str) -> str | None:
        """What the last line `key: …` of the message says."""
        lines = [line for line in self.message.splitlines() if line.startswith(f"{key}: ")]
        return lines[-1].partition(": ")[2] if lines else None


@dataclass(frozen=True, slots=True)
class Told:
    """Who wrote what: the author of the newest commit on each path, and whether all were taskd's own."""

    authors: Mapping[str, str] = field(default_factory=dict)
    ours: bool = True


def exists(git: Git, commit: str) -> bool:
    """Whether a commit can be read."""
    return git.run("cat-file", "-e", f"{commit}^{{commit}}", allow=range(256)).status == 0


def is_ancestor(git: Git, old: str, new: str) -> bool:
    """Whether one commit is the other or comes before it."""
    return git.run("merge-base", "--is-ancestor", old, new, allow=range(256)).status == 0


def common_commit(git: Git, theirs: str, heard: Iterable[str | None]) -> str | None:
    """The newest commit of the history of `theirs` that is in that of one of `heard` too."""
    known = [commit for commit in heard if commit is not None and exists(git, commit)]
    if not known:
        return None
    found = git.run("merge-base", theirs, *known, allow=(0, *NONE))
    return found.stdout.decode().partition("\n")[0].strip() or None


def changed_files(git: Git, old: str | None, new: str) -> list[Changed]:
    """Every file that differs; all of `new` where there is no `old`."""
    if old is None:
        return list(_all_files(git, new))
    flags = ("-r", "-z", "--raw", "--no-renames", "--full-index", "--no-ext-diff", "--no-textconv")
    told = git.run("diff-tree", *flags, old, new, timeout=WALK_SECONDS).stdout.split(b"\0")
    return [_changed(told[i].decode(), os.fsdecode(told[i + 1])) for i in range(0, len(told) - 1, 2)]


def _changed(facts: str, path: str) -> Changed:
    _, mode, before, after, _ = facts.split(" ")
    return Changed(path, _blob(before), _blob(after), mode)


def _blob(name: str) -> str | None:
    return None if set(name) == {"0"} else name


def _all_files(git: Git, commit: str) -> Iterator[Changed]:
    listed = git.run("ls-tree", "-r", "-z", "--full-tree", commit, timeout=WALK_SECONDS).stdout
    for row in listed.split(b"\0")[:-1]:
        facts, _, path = row.partition(b"\t")
        mode, _, blob = facts.decode().split(" ")
        yield Changed(os.fsdecode(path), None, blob, mode)


def blobs_below(git: Git, tip: str, directory: str, limit: int) -> list[tuple[str, str]]:
    """Path and blob of every version of the files below a directory in a history, the newest first."""
    flags = ("-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "--format=")
    told = git.run("log", *flags, tip, "--", directory, timeout=WALK_SECONDS).stdout.split(b"\0")
    rows = zip(told[0::2], told[1::2], strict=False)
    found = ((os.fsdecode(path), _blob(facts.decode().strip().split(" ")[3])) for facts, path in rows)
    return [(path, blob) for path, blob in found if blob is not None][:limit]


def commits_since(git: Git, old: str | None, new: str) -> list[Commit]:
    """The commits that `new` has and `old` has not, the newest first."""
    since = [] if old is None else [f"^{old}"]
    form = "--format=%H%x00%P%x00%cn <%ce>%x00%B%x00"
    told = git.run("log", form, "--topo-order", new, *since, "--", timeout=WALK_SECONDS).stdout
    parts = told.decode(errors="replace").split("\0")
    rows = zip(parts[0::4], parts[1::4], parts[2::4], parts[3::4], strict=False)
    return [
        Commit(name.strip(), parents.partition(" ")[0] or None, who == OURS, message)
        for name, parents, who, message in rows
    ]


def who_wrote(git: Git, old: str | None, new: str) -> Told:
    """Who wrote the commits that `new` has and `old` has not."""
    since = [] if old is None else [f"^{old}"]
    flags = ("-z", "--name-only", "--no-renames", "--no-ext-diff")
    told = git.run("log", f"--format={FORM}", *flags, new, *since, "--", timeout=WALK_SECONDS).stdout
    authors, ours = dict[str, str](), True
    for part in told.split(MARK)[1:]:
        committer, author, paths = part.split(b"\0", 2)
        ours = ours and committer.decode(errors="replace") == OURS
        for path in paths.strip(b"\0\n").split(b"\0"):
            authors.setdefault(os.fsdecode(path), author.decode(errors="replace").strip())
    return Told(authors, ours)
