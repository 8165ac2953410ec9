"""Merging texts by lines with git, for a process that has no time for the whole door (`repo/git.py`).

`git merge-file` asks no repository, starts no program and leaves nothing behind; it is the one command of
git that is not started there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from taskd.core.merge import LineMerger
from taskd.errors import GitFailed

CONFLICTS: Final = range(128)  # it exits with the number of conflicts, 127 meaning more


def line_merger(place: Path, *options: str) -> LineMerger:
    """A merger by `git merge-file` with options of its own.

    The texts lie in files that begin with `place` meanwhile. It raises GitFailed where git cannot merge
    them (one holds a NUL), OSError where they cannot be written or git cannot be started.
    """

    def merge(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
        files = [place.with_name(f"{place.name}.{side}") for side in ("ours", "base", "theirs", "merged")]
        try:
            for file, text in zip(files, (ours, base, theirs, b""), strict=True):
                write_file(file, text)
            status = _run(["git", "merge-file", "-p", *options, *map(str, files[:3])], files[3])
            return files[3].read_bytes(), status == 0
        finally:
            for file in files:
                file.unlink(missing_ok=True)

    return merge


def replace_file(path: Path, temp: Path, text: bytes) -> None:
    """Give a file another text, durably and in one rename; its mode stays. `temp` is in its directory."""
    try:
        write_file(temp, text, stat.S_IMODE(path.stat().st_mode), durable=True)
        temp.rename(path)
    finally:
        temp.unlink(missing_ok=True)


def write_file(path: Path, text: bytes, mode: int = 0o600, *, durable: bool = False) -> None:
    """Make a file with a text; a link of that name is not followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _run(command: list[str], output: Path) -> int:
    """Run a command with its output in a file; its exit status, or GitFailed."""
    output_to = (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_TRUNC, 0o600)
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=[output_to])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in CONFLICTS:
        raise GitFailed(command=" ".join(command[:2]), status=status, stderr="the texts cannot be merged")
    return status
