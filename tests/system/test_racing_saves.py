"""Saves that race with write backs: what somebody saved is never gone.

Most saves of a hot loop are replaced by the next save of the same editor, microseconds later, and nobody
but it could say what they were. The others are those that matter: when the editor looks again, something
else stands in the file, written by taskd. Such a save has to be in a text that the index keeps, in the
journal or in a conflict. And the last one has to be the task's, or in a conflict.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from taskd import wire
from taskd.client import connect, find_home
from tests.system.project import Project, task_text

EDITOR: Final = Path(__file__).with_name("racing_editor.py")
TURN: Final = re.compile(rb"^turn: (\d+)$", re.MULTILINE)
PAUSE: Final = 0.005  # seconds between two commands
LINE_PAUSE: Final = 1.0  # seconds between two lines of the other editor, each for another task

Make = Callable[..., Project]


@dataclass
class Race:
    """One task in a race: its name, the lines that another editor added, and what was seen of it."""

    id: str
    saves: int
    log: Path
    editor: subprocess.Popen[bytes]
    lines: list[str] = field(default_factory=list)
    steps: int = 0

    def written(self, sign: str) -> set[int]:
        """The saves after which others wrote: `+` saw its own number still there, `-` did not."""
        return {int(line[1:]) for line in self.log.read_text().split() if line.startswith(sign)} - {0}


def begin_race(project: Project, id: str, saves: int, seed: int) -> Race:
    """An editor begins to save a task's file in the worktree `one`."""
    log = project.base / f"{id}.log"
    words: list[str | Path] = [EDITOR, project.file(f"{id}.md", "one"), str(saves), str(seed), log]
    return Race(id, saves, log, subprocess.Popen([sys.executable, *words]))


def add_line(project: Project, race: Race) -> None:
    """Another editor adds a line in another worktree, by rename."""
    path = project.file(f"{race.id}.md", "two")
    race.lines.append(f"Line {len(race.lines)} of another.")
    draft = path.with_name(f".{race.id}.other.swp")
    draft.write_bytes(path.read_bytes() + f"{race.lines[-1]}\n".encode())
    draft.replace(path)


@contextlib.contextmanager
def commands(project: Project) -> Iterator[Callable[[str, Race], None]]:
    """A way to call operations fast."""
    connection = connect(find_home(project.top))
    assert connection is not None
    caller = wire.Caller("bob", "bob", str(project.tree("two")))
    try:
        yield lambda op, race: connection.submit(wire.Call(op, {"id": race.id}, caller)).unwrap()
    finally:
        connection.close()


def run_races(project: Project, races: list[Race]) -> float:
    """Change the tasks by commands and another editor until all editors are done; the seconds it took."""
    began = next_line = time.monotonic()
    try:
        with commands(project) as call:
            while running := [race for race in races if race.editor.poll() is None]:
                for race in running:
                    call(("claim", "release")[race.steps % 2], race)
                    race.steps += 1
                    time.sleep(PAUSE)
                if time.monotonic() > next_line:
                    next_line = time.monotonic() + LINE_PAUSE
                    add_line(project, min(races, key=lambda race: len(race.lines)))
    finally:
        for race in races:
            race.editor.kill()
    assert [race.editor.wait() for race in races] == [0] * len(races)
    return time.monotonic() - began


def kept_turns(project: Project, race: Race) -> set[int]:
    """Every turn of a task that is in a kept text, in the journal or in a conflict."""
    mark = f"id: {race.id}\n".encode()
    with contextlib.closing(sqlite3.connect(project.state / "index.db")) as conn:
        texts = [row[0] for row in conn.execute("SELECT text FROM texts") if mark in row[0]]
        asked = ("SELECT old, new FROM journal", "SELECT file_value, index_value FROM conflicts")
        rows = [
            row
            for sql in asked
            for row in conn.execute(f"{sql} WHERE task = ? AND field = 'turn'", (race.id,))
        ]
    told = {int(value.strip('"')) for row in rows for value in row if value.strip('"').isdigit()}
    return told | {int(turn) for text in texts for turn in TURN.findall(text)}


def check_race(project: Project, race: Race) -> None:
    """Nothing of one race is lost, and nothing came of itself."""
    task = project.show(race.id)
    conflicts = [row for row in project.taskd("conflicts") if row["task"] == race.id]
    said = [task["body"], *(str(row["file"]) for row in conflicts)]
    causes = {row["cause"] for row in project.taskd("history", race.id) if row["field"] == "status"}

    assert race.written("-") - kept_turns(project, race) == set()
    assert str(race.saves) in {task["extra"]["turn"], *(str(row["file"]) for row in conflicts)}
    assert [line for line in race.lines if not any(f"{line}\n" in text for text in said)] == []
    assert causes <= {"claim", "release"}


def race_all(project: Project, editors: int, saves: int) -> str:
    """Run races, check them, and tell how they went."""
    for number in range(editors):
        project.save(f"race{number}.md", task_text(f"race{number}", "First.\n", turn="0"), "one")
    project.start()
    project.sync()
    races = [begin_race(project, f"race{number}", saves, number) for number in range(editors)]
    seconds = run_races(project, races)
    project.sync()
    project.sync()
    for race in races:
        check_race(project, race)
    left = [path.name for path in project.file("", "one").iterdir() if not path.name.startswith("race")]
    assert left == []
    seen, gone = (sum(len(race.written(sign)) for race in races) for sign in "+-")
    assert seen > 0
    steps, lines = sum(race.steps for race in races), sum(len(race.lines) for race in races)
    return (
        f"{editors * saves} saves by {editors} editors in {seconds:.0f} s; {steps} changes of status and "
        f"{lines} lines by others; taskd wrote after {seen + gone} of the saves, {gone} of which it had not "
        f"read before and all of which it kept; {len(project.taskd('conflicts'))} conflicts"
    )


def test_racing_saves(new_project: Make) -> None:
    """Editors that save all the time, by rename and in place, lose no save to a write back."""
    race_all(new_project(), editors=2, saves=150)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_racing_saves_soak(new_project: Make) -> None:
    """The same of 20,000 saves."""
    sys.stdout.write(f"\n{race_all(new_project(), editors=2, saves=10_000)}\n")
