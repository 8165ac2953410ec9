"""What is cheap to look at once a second, and changes when a worktree comes, moves or goes.

Looked at for ever by a daemon that has nothing to do: plain system calls, about ten a worktree.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from taskd.engine.site import Place


def record_facts(common_dir: Path) -> tuple[object, ...]:
    """What changes when a worktree comes, moves or goes; some stats, no git.

    A worktree is on record before it is there, so the `.git` each record leads to is looked at too; and
    that is there before git has written the rest of the record, without which the worktree is none yet.
    """
    records = f"{common_dir}/worktrees"
    try:
        names = sorted(os.listdir(records))  # noqa: PTH208 - Path.iterdir takes three times as long
    except OSError:
        names = []
    return (_mtime(records), *(_facts_of(f"{records}/{name}") for name in names))


def place_facts(places: Iterable[Place]) -> tuple[object, ...]:
    """What changes when a worktree that is served is taken away or exchanged by hand."""
    return tuple((root, _identity(os.path.dirname(root))) for root in (str(place.root) for place in places))  # noqa: PTH120 - likewise


def _facts_of(record: str) -> tuple[object, ...]:
    # commondir is there before it is written
    parts = [_mtime(f"{record}/{name}") for name in ("gitdir", "commondir")]
    there = [os.path.lexists(f"{record}/{name}") for name in ("HEAD", "locked")]
    return (record, _led_to(record), *parts, *there)


def _led_to(record: str) -> tuple[int, ...] | None:
    try:
        with open(f"{record}/gitdir", "rb", buffering=0) as file:  # noqa: PTH123 - likewise
            target = os.path.join(record, os.fsdecode(file.read().rstrip()))  # noqa: PTH118 - likewise
        found = os.stat(target)  # noqa: PTH116 - likewise
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _mtime(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - likewise
    except OSError:
        return None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        facts = os.stat(path)  # noqa: PTH116 - likewise
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
