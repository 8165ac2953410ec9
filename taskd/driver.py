"""git's merge driver for task files: `taskd merge-driver %O %A %B %L %P`.

A process of its own for every file that git merges, so it imports next to nothing and asks no daemon and no
index. It ends with 0 (merged), 1 (merged but for conflicts, which stand between markers) or something else
(failed, and nothing was changed). A broken Python ends with 1 too, and an empty script with 0: so the last
thing it does is to say `merged` or `conflict`, and who has registered it believes nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MERGED: Final = "merged"
CONFLICT: Final = "conflict"
FAILED: Final = 70  # EX_SOFTWARE of sysexits.h: neither 0 nor 1, the two that git understands
USAGE: Final = 2
WORDS: Final = 5  # %O %A %B %L %P
SUFFIX: Final = ".taskd"  # everything it writes begins with the name of %A and this
LABELS: Final = ("base", "ours", "theirs")

_USAGE: Final = """\
usage: taskd merge-driver BASE OURS THEIRS MARKER-SIZE PATH [LABEL-OF-BASE LABEL-OF-OURS LABEL-OF-THEIRS]

For git, which calls it with %O %A %B %L %P (%S %X %Y): merges three versions of a task file into OURS.
"""


def main(words: Sequence[str]) -> int:
    """Merge what git names; the exit status."""
    if len(words) < WORDS or not words[3].isdigit():
        sys.stderr.write(_USAGE)
        return USAGE
    try:
        base, ours, theirs = (Path(word) for word in words[:3])
        clean = merge_files(base, ours, theirs, int(words[3]), words[4], words[WORDS:])
        os.write(1, b"%s\n" % (MERGED if clean else CONFLICT).encode())
    except Exception as error:  # noqa: BLE001 - whatever it is, git's own merge is to have its turn
        sys.stderr.write(f"taskd: merge driver: {words[4]}: {error!r}\n")
        return FAILED
    return 0 if clean else 1


def merge_files(base: Path, ours: Path, theirs: Path, size: int, path: str, labels: Sequence[str]) -> bool:
    """Replace the file `ours` by the merge of the three; whether it is clean.

    `size` is the length of conflict markers, `path` what the file is called in the repository.
    """
    from taskd.core.threeway import Mergers, merge_texts  # noqa: PLC0415 - failing to is a failure like others
    from taskd.repo.mergefile import line_merger, replace_file  # noqa: PLC0415 - likewise

    temp = ours.with_name(ours.name + SUFFIX)
    old, mine, other = _labels(labels)
    marking = line_merger(temp, f"--marker-size={size}", "-L", mine, "-L", old, "-L", other)
    texts = (base.read_bytes(), ours.read_bytes(), theirs.read_bytes())
    id = Path(path).name.removesuffix(".md")
    merged, clean = merge_texts(*texts, id, Mergers(line_merger(temp, "--diff3"), marking))
    replace_file(ours, temp, merged)
    return clean


def _labels(given: Sequence[str]) -> list[str]:
    """The labels of base, ours and theirs; a git that does not know %S, %X and %Y leaves them as they are."""
    words = [*given, "", "", ""]
    return [
        " ".join(word.split()) if word and word[:1] != "%" else label
        for word, label in zip(words, LABELS, strict=False)
    ]
