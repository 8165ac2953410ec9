"""`taskd demo`: told to the end, on a terminal and piped, and nothing left behind however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskd.cli import demo, stage
from taskd.cli.session import Terminal
from tests.conftest import session_processes
from tests.system.project import TASKD, wait_for

LIMIT = 100  # seconds; it takes four on an idle machine


def run_demo(*words: str, at: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, where there is no repository unless `at` says otherwise."""
    return subprocess.run(
        [*TASKD, "demo", *words],
        cwd=at,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def left_behind() -> list[str]:
    """What lies in the temp dir, and every process that works in there."""
    root = Path(tempfile.gettempdir())
    commands = session_processes(root.parent).values()
    return [str(p) for p in root.glob("taskd-demo-*")] + [c for c in commands if "taskd-demo-" in c]


TOLD = (
    "Set up once",
    "A file saved by hand",
    "claim the same task",
    "kill -9",
    "And git?",
    "nothing is left of it",
)


def test_told_to_the_end() -> None:
    """Piped, it is plain text with every scene, ends with exit code 0, and leaves nothing."""
    done = run_demo()

    assert (done.returncode, done.stderr, "\x1b" in done.stdout) == (0, "", False)
    assert [title for title in TOLD if title not in done.stdout] == []
    assert left_behind() == []


def test_in_colour_on_a_terminal() -> None:
    """On a terminal there is colour, and no line is wider than it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    process = subprocess.Popen([*TASKD, "demo"], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    while chunk := _read(ours):
        text += chunk
    os.close(ours)
    lines = re.sub(r"\x1b\[[\d;]*m", "", text.decode()).splitlines()

    assert (process.wait(LIMIT), b"\x1b[32m" in text, max(map(len, lines)) <= 80) == (0, True, True)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # Linux says so when the other side of a terminal is closed
        return b""


HOSTILE = "[user]\nuseConfigOnly = true\n[commit]\ngpgSign = true\n[core]\nhooksPath = /nowhere\n"


def test_users_world_is_left_alone(
    make_repo: Callable[..., Path], git: Callable[..., str], tmp_path: Path
) -> None:
    """Inside a repository, with variables that lead there and a hostile configuration, all is well.

    With --json it is one object: every thing seen, with the seconds it took.
    """
    top = make_repo()
    seen = _state(top, git)
    settings = tmp_path / "gitconfig"
    settings.write_text(HOSTILE)
    env = {
        "GIT_CONFIG_GLOBAL": str(settings),
        "GIT_DIR": f"{top}/.git",
        "GIT_INDEX_FILE": f"{top}/x",
        "TASKD_LAYOUT": "tracked",
        "TASKD_ACTOR": "me",
    }

    done = run_demo("--json", at=top, **env)
    rows = json.loads(done.stdout)["data"]

    assert (done.returncode, done.stderr, _state(top, git)) == (0, "", seen)
    assert len({row["scene"] for row in rows}) == len(demo.SCENES)
    assert all(row["seconds"] >= 0 and row["seen"] for row in rows)


def _state(top: Path, git: Callable[..., str]) -> tuple[str, list[str]]:
    return git(top, "status", "--porcelain=v2", "--branch"), sorted(map(str, top.rglob("*")))


ENDS = [
    ("Three worktrees", signal.SIGINT),
    ("daemon start", signal.SIGTERM),
    ("kill -9 in the middle", signal.SIGINT),
    ("git status", signal.SIGHUP),
]


@pytest.mark.parametrize(("word", "number"), ENDS)
def test_interrupted(word: str, number: signal.Signals) -> None:
    """Ended by Ctrl-C, `kill` or a closed terminal in the middle of any scene, it tidies up all the same."""
    argv = [sys.executable, "-m", "taskd", "demo"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            break

    process.send_signal(number)
    _, errors = process.communicate(timeout=LIMIT)

    assert (process.returncode, errors) == (128 + number, "")
    assert wait_for(lambda: left_behind() == [], "nothing is left behind")


def test_failing_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene that does not see what it should ends the demo as failed, and everything is tidied up."""

    def see_nothing(place: stage.Stage, story: demo.Story) -> None:
        story.begin("Nothing")
        monkeypatch.setattr(stage, "PATIENCE", 0.2)
        place.wait_for(lambda: False, "something")

    monkeypatch.setattr(demo, "SCENES", (demo.show_worktrees, demo.show_setup, see_nothing))

    with pytest.raises(stage.NotSeenError, match="expected to see something") as caught:
        demo.play(Path(TASKD[0]), Terminal(), lambda _: None)

    assert (caught.value.kind, left_behind()) == (1, [])


@pytest.mark.parametrize(("seconds", "said"), [(0.0123, "12 ms"), (0.9996, "1000 ms"), (1.25, "1.2 s")])
def test_took(seconds: float, said: str) -> None:
    """Short times are told in milliseconds, longer ones in seconds."""
    assert demo.took(seconds) == said


def test_lines_fit() -> None:
    """What is told keeps within the width, the times stand below each other."""
    told = list[str]()
    story = demo.Story(Terminal(tty=True, columns=60), told.append)

    story.seen("short", 0.012)
    story.seen("a little longer", 1.2)
    story.quote("x" * 200)

    assert [len(line) for line in told] == [61, 61, 61]


def test_reading_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal there is a pause behind each scene, in a pipe there is none."""
    slept = list[float]()
    monkeypatch.setattr(demo, "SCENES", (lambda *_: None,))
    monkeypatch.setattr(time, "sleep", slept.append)

    for tty in (True, False):
        demo.play(Path(TASKD[0]), Terminal(tty=tty), lambda _: None)

    assert [pause for pause in slept if pause in (0, demo.READING)][:1] == [demo.READING]
