"""A line merger for the laws, in pure Python: what `git merge-file --diff3` does, near enough.

Two changes collide when no unchanged line stands between them; what both sides did alike does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

Region = tuple[list[bytes], list[bytes], list[bytes]]


def merge_lines(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """The merged text and whether it is clean; where it is not, markers show all three sides."""
    merged, clean = list[bytes](), True
    for old, mine, other in _regions(*(text.splitlines(keepends=True) for text in (base, ours, theirs))):
        if mine in (old, other):
            merged += other
        elif other == old:
            merged += mine
        else:
            clean = False
            merged += [b"<<<<<<< ours\n", *_ended(mine), b"||||||| base\n", *_ended(old)]
            merged += [b"=======\n", *_ended(other), b">>>>>>> theirs\n"]
    return b"".join(merged), clean


def _ended(lines: list[bytes]) -> list[bytes]:
    return [line if line.endswith(b"\n") else line + b"\n" for line in lines]


def _regions(base: list[bytes], ours: list[bytes], theirs: list[bytes]) -> Iterator[Region]:
    """The texts cut at every base line that stands in both others."""
    mine, other = _kept(base, ours), _kept(base, theirs)
    start = (0, 0, 0)
    for line in (*(line for line in range(len(base)) if line in mine and line in other), len(base)):
        last = line == len(base)
        end = (line, len(ours), len(theirs)) if last else (line, mine[line], other[line])
        yield base[start[0] : end[0]], ours[start[1] : end[1]], theirs[start[2] : end[2]]
        if not last:
            yield [base[line]], [base[line]], [base[line]]
            start = (line + 1, mine[line] + 1, other[line] + 1)


def _kept(base: list[bytes], new: list[bytes]) -> dict[int, int]:
    """Lines of the base that stand in a new text, and where."""
    blocks = SequenceMatcher(None, base, new, autojunk=False).get_matching_blocks()
    return {block.a + step: block.b + step for block in blocks for step in range(block.size)}
