"""An editor that saves one file again and again, for tests: `racing_editor.py FILE SAVES SEED LOG`.

Each save reads the file, sets the key `turn` to the number of the save and writes all of it, in place or
by rename: most of them at once, some at the moment in which taskd is about to write the file. LOG gets a
line for each save that was not as it was when the editor looked again, since somebody else had written the
file: with `+` when its number was still in it, with `-` when it was not.
"""

from __future__ import annotations

import random
import re
import sys
import time
from pathlib import Path
from typing import Final

from taskd.repo.replicas import TEMP_PREFIX

TURN: Final = re.compile(rb"^turn: (\d+)$", re.MULTILINE)
SETTLED: Final = 0.06  # seconds after which a save has been read
PATIENCE: Final = 0.3  # seconds to wait for something to be written
LOOK: Final = 0.0001  # seconds between two looks
MOMENT: Final = 0.002  # seconds; about what a write back takes from its temp file to its end
CHANCE: Final = 0.15  # of such a rest after a save; else the next one follows at once


def save(path: Path, text: bytes, *, in_place: bool) -> None:
    """Save as editors do."""
    if in_place:
        path.write_bytes(text)
        return
    draft = path.with_name(f".{path.name}.draft.swp")
    draft.write_bytes(text)
    draft.replace(path)


def rest(directory: Path, chance: random.Random) -> None:
    """Wait until the save has settled and something is about to be written beside it, or not at all."""
    if chance.random() > CHANCE:
        return
    time.sleep(SETTLED)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if any(path.name.startswith(TEMP_PREFIX) for path in directory.iterdir()):
            time.sleep(chance.random() * MOMENT)
            return
        time.sleep(LOOK)


def main(name: str, saves: str, seed: str, log: str) -> None:
    """Save, and note what others wrote."""
    path, chance, last, mine = Path(name), random.Random(int(seed)), 0, b""
    with Path(log).open("w", encoding="ascii") as written:
        for number in range(1, int(saves) + 1):
            text = path.read_bytes()
            found = TURN.search(text)
            assert found is not None, text
            if text != mine:
                written.write(f"{'+' if int(found[1]) == last else '-'}{last}\n")
            mine = TURN.sub(b"turn: %d" % number, text)
            save(path, mine, in_place=chance.random() < 0.5)
            last = number
            rest(path.parent, chance)


if __name__ == "__main__":
    main(*sys.argv[1:])
