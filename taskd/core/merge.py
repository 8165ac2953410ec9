"""Three-way merges of single values: B the base, D the index's value, F the file's.

One side changed: its change stands. Both to the same: fine. Both differently: the index's value
stands and the merge says so; it never asks a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher

from taskd.core.fields import LIST_LIMIT

#: (base, ours, theirs) -> (merged, clean); lines, as `git merge-file --diff3` does it: where it is not
#: clean, the merged text has conflict markers
LineMerger = Callable[[bytes, bytes, bytes], tuple[bytes, bool]]

#: what stands at one place of a list: in a gap any number of items, in an item's place one or none
Slot = tuple[object, ...]


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


def union(base: Sequence[str], index: Sequence[str], file: Sequence[str]) -> Merged:
    """A set in written order: what F added and removed since B, done to D; never clashes."""
    plain = scalar(base, index, file)
    if not plain.clash:
        return plain
    removed = set(base) - set(file)
    kept = [item for item in index if item not in removed]
    added = [item for item in file if item not in base and item not in kept]
    return Merged((*kept, *added))


def latest(base: object, index: object, file: object) -> Merged:
    """A derived time: F==B keeps D, else the later of D and F stands; an absent one is the earliest."""
    if file == base or not isinstance(file, str):
        return Merged(index)
    later = not isinstance(index, str) or _instant(file) > _instant(index)
    return Merged(file if later else index)


def _instant(text: str) -> datetime:
    """An authored time as a moment: a day begins at midnight, a time without zone is UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def lines(base: str, index: str, file: str, merger: LineMerger) -> Merged:
    """A text by its lines; both changed the same lines: D stays and they clash."""
    plain = scalar(base, index, file)
    if not plain.clash:
        return plain
    merged, clean = merger(base.encode(), index.encode(), file.encode())
    return Merged(merged.decode()) if clean else plain


def ordered(base: Sequence[object], index: Sequence[object], file: Sequence[object]) -> Merged:
    """A list by its items, each place merged as one value; D stays where one place clashes.

    What both sides put into the same gap clashes too: nobody knows which comes first. Comparing takes
    the square of the lengths, so very long lists are one value.
    """
    plain = scalar(base, index, file)
    if not plain.clash or max(len(base), len(index), len(file)) > LIST_LIMIT:
        return plain
    ours, theirs = slots(base, index), slots(base, file)
    places = zip(_resting(base), ours, theirs, strict=True)
    merged = [scalar(*place) for place in places]
    if any(place.clash for place in merged):
        return plain
    items = [item for place in merged if isinstance(place.value, tuple) for item in place.value]
    return Merged(items if isinstance(index, list) else tuple(items))


def _resting(base: Sequence[object]) -> list[Slot]:
    """The slots of a list: a gap before each item, the item, and the gap behind the last."""
    slots: list[Slot] = [()]
    for item in base:
        slots += [(item,), ()]
    return slots


def slots(base: Sequence[object], new: Sequence[object]) -> list[Slot]:
    """What stands in each slot of the base afterwards."""
    placed = _resting(base)
    before, after = [repr(item) for item in base], [repr(item) for item in new]
    for tag, start, end, first, last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        news = list(new[first:last])
        for place in range(start, end):
            placed[2 * place + 1] = tuple(news[:1])
            news = news[1:]
        placed[2 * end] = tuple(news)
    return placed
