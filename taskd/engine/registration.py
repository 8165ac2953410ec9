"""Making taskd git's merge driver for task files of this clone, and undoing that.

Two files of git's, both local and common to all worktrees: `config` says what the driver is,
`info/attributes` which files it is for. What is registered never trusts the driver: a taskd that is gone,
broken or killed leaves what git does without it.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from taskd.engine.blocks import has_block, read_file, with_block, without_block, write_file, write_or_remove
from taskd.errors import LockTimeout
from taskd.repo.worktrees import Repository

MARK: Final = "# taskd: merges task files field by field"
PATIENCE: Final = 2.0  # seconds another git may hold the lock of the configuration; it takes milliseconds

_PATTERN_LINE: Final = re.compile(rb"[^\n]*\n")
#: the section with whatever keys it has by now
_SECTION: Final = re.compile(rb'\[merge "taskd"\]\n(?:[ \t]+[^\n]*(?:\n|\Z))*')

#: what git has sh run, for each file; `{taskd}` is the program. In words:
#: taskd merges in a copy. Only its exit status together with its word is success, for a broken
#: interpreter ends with 1 too, and an emptied script with 0. Else git merges by lines; what it leaves
#: unmerged without markers (binary files) stays ours, as it does without a driver. When not even that is
#: possible, %A is taken away, and git stops before it changes anything.
_LINE: Final = """\
t=%A.taskd; r=; trap 'rm -f $t $t.*' 0; \
cp %A $t && r=$({taskd} merge-driver %O $t %B %L %P %S %X %Y); \
case "$?$r" in 0merged) mv -f $t %A && exit 0;; 1conflict) mv -f $t %A && exit 1;; esac; \
echo taskd did not merge %P, git does >&2; \
e=$(LC_ALL=C git merge-file -p --marker-size=%L -L ours -L base -L theirs %A %O %B 2>&1 >$t); s=$?; \
[ $s = 0 ] && mv -f $t %A && exit 0; \
[ $s -lt 128 ] && [ -s $t ] && mv -f $t %A && exit 1; \
echo "$e" >&2; case $e in *binary*) exit 1;; esac; \
rm -f %A; exit 1"""


def files(repository: Repository) -> tuple[Path, Path]:
    """The two files that `register` writes."""
    return repository.common_dir / "config", repository.common_dir / "info" / "attributes"


def command_line(program: Sequence[str]) -> str:
    """What git is told to run, when `program` are the words that start taskd."""
    return _LINE.format(taskd=shlex.join(program).replace("%", "%%"))


def register(repository: Repository, tasks_dir: str, program: Sequence[str]) -> None:
    """Have git merge task files with taskd. Files that say so already are not written."""
    config, attributes = files(repository)
    section, pattern = _section(program), _pattern(tasks_dir)
    _edit_config(config, lambda text: _with_block(text, _SECTION, section))
    attributes.parent.mkdir(exist_ok=True)
    text = read_file(attributes)
    if (new := _with_block(text, _PATTERN_LINE, pattern)) != text:
        write_file(attributes, new)


def unregister(repository: Repository) -> bool:
    """Take the lines out again, all other bytes as they were; whether any were there."""
    config, attributes = files(repository)
    text = read_file(attributes)
    if (bare := without_block(text, MARK, _PATTERN_LINE)) != text:
        write_or_remove(attributes, bare)
    return _edit_config(config, lambda text: without_block(text, MARK, _SECTION)) or bare != text


def _with_block(text: bytes, ours: re.Pattern[bytes], lines: str) -> bytes:
    if has_block(text, MARK, lines):
        return text
    return with_block(without_block(text, MARK, ours), MARK, lines)


def _section(program: Sequence[str]) -> str:
    """The section of git's configuration; between quotes, only these characters need an escape."""
    value = command_line(program)
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        value = value.replace(character, escape)
    return f'[merge "taskd"]\n\tname = task files, field by field\n\tdriver = "{value}"\n'


def _pattern(tasks_dir: str) -> str:
    """The line of the attributes; of what a tasks directory's name may have, only a blank needs quotes."""
    pattern = f"/{tasks_dir}/**/*.md"
    return f'"{pattern}" merge=taskd\n' if " " in pattern else f"{pattern} merge=taskd\n"


def _edit_config(config: Path, edit: Callable[[bytes], bytes]) -> bool:
    """Change git's configuration; whether it changed. As git does it: the lock file becomes the new one."""
    path = Path(os.path.realpath(config))
    lock = path.with_name(f"{path.name}.lock")
    _take(lock)
    try:
        text = read_file(path)
        if (new := edit(text)) != text:
            write_file(path, new, lock)
            return True
    except BaseException:
        lock.unlink()
        raise
    lock.unlink()
    return False


def _take(lock: Path) -> None:
    """Make the lock file, or LockTimeout."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            if time.monotonic() > deadline:
                raise LockTimeout(path=str(lock), seconds=PATIENCE) from None
            time.sleep(0.02)
        else:
            return
