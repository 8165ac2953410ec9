"""What is cheap to look at once a second, and changes when a worktree comes, moves or goes."""

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
    records = sorted((common_dir / "worktrees").glob("*/gitdir"))
    return (
        _mtime(common_dir / "worktrees"),
        *((str(record), _led_to(record), _parts_of(record)) for record in records),
    )


def _parts_of(record: Path) -> tuple[object, ...]:
    parts = tuple((record.parent / name).exists() for name in ("HEAD", "locked"))
    return (*parts, _mtime(record.parent / "commondir"))  # it is there before it is written


def _led_to(record: Path) -> tuple[int, ...] | None:
    try:
        found = (record.parent / os.fsdecode(record.read_bytes().rstrip())).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def place_facts(places: Iterable[Place]) -> tuple[object, ...]:
    """What changes when a worktree that is served is taken away or exchanged by hand."""
    return tuple((str(place.root), _identity(place.root.parent)) for place in places)


def _mtime(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
