"""Lines of taskd's own in a file that is git's or somebody's: put in, and taken out again to the byte."""

from __future__ import annotations

import re
from pathlib import Path


def with_block(text: bytes, mark: str, lines: str) -> bytes:
    """The text with a block at its end: the line `mark`, which begins no other, and `lines`."""
    # the line end before it ends an unfinished last line, or sets our lines apart
    return text + f"\n{mark}\n{lines}".encode(errors="surrogateescape")


def has_block(text: bytes, mark: str, lines: str) -> bool:
    """Whether the text has this very block."""
    return f"{mark}\n{lines}".encode(errors="surrogateescape") in text


def without_block(text: bytes, mark: str, ours: re.Pattern[bytes]) -> bytes:
    """The text as it was before; `ours` matches the lines that belong to the block."""
    before, found, after = text.partition(f"{mark}\n".encode())
    if not found:
        return text
    block = ours.match(after)
    rest = after[block.end() :] if block else after
    if not rest or before == b"\n" or before.endswith(b"\n\n"):
        before = before.removesuffix(b"\n")
    return before + rest


def read_file(path: Path) -> bytes:
    """All of a file; nothing when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def write_file(path: Path, text: bytes, temp: Path | None = None) -> None:
    """One rename, so that nobody ever sees half of the file; who may read and write it stays."""
    temp = temp or path.with_name(f".taskd-{path.name}")
    temp.write_bytes(text)
    if path.exists():
        temp.chmod(path.stat().st_mode & 0o777)
    temp.replace(path)


def write_or_remove(path: Path, text: bytes) -> None:
    """Write a file; one without a text goes, for then it was made for our block alone."""
    if text:
        write_file(path, text)
    else:
        path.unlink()
