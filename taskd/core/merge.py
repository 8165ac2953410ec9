"""Three-way merges of single values: B the base, D the index's value, F the file's.

One side changed: its change stands. Both to the same: fine. Both differently: the index's value
stands and the merge says so; it never asks a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

#: (base, ours, theirs) -> (merged, clean); lines, as `git merge-file` does it
LineMerger = Callable[[bytes, bytes, bytes], tuple[bytes, bool]]


@dataclass(frozen=True, slots=True)
class Merged:
    """The value that stands; `clash` when the file's change could not be brought in."""

    value: object
    clash: bool = False


def scalar(base: object, index: object, file: object) -> Merged:
    """One value: F==B keeps D; D==B or D==F takes F; else D stays and they clash."""
    if file in (base, index):
        return Merged(index)
    if index == base:
        return Merged(file)
    return Merged(index, clash=True)


def union(base: Iterable[Hashable], index: Iterable[Hashable], file: Iterable[Hashable]) -> Merged:
    """A set in written order: what F added and removed since B, done to D; never clashes."""
    before, written = set(base), tuple(file)
    removed = before - set(written)
    kept = [item for item in index if item not in removed]
    added = [item for item in written if item not in before and item not in kept]
    return Merged((*kept, *added))


def latest(base: object, index: object, file: object) -> Merged:
    """A derived time: the later one; an absent one is the earliest."""
    merged = scalar(base, index, file)
    if not merged.clash:
        return merged
    return Merged(max((value for value in (index, file) if isinstance(value, str)), default=None))


def lines(base: str, index: str, file: str, merger: LineMerger) -> Merged:
    """A text by its lines; both changed the same lines: D stays and they clash."""
    plain = scalar(base, index, file)
    if not plain.clash:
        return plain
    merged, clean = merger(base.encode(), index.encode(), file.encode())
    return Merged(merged.decode()) if clean else plain
