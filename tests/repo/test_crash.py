from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import taskd
from taskd.repo.crash import STEPS, VARIABLE, point

PACKAGE = Path(taskd.__file__).parent
THREE_TIMES = """
from taskd.repo.crash import point
for n in (1, 2, 3):
    point("create.before-link"), point("other")
    print(n, flush=True)
"""


def passed(value: str) -> tuple[int, str]:
    """How a process ends that passes a step three times, and what it said."""
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), VARIABLE: value}
    done = subprocess.run([sys.executable, "-c", THREE_TIMES], env=env, stdout=subprocess.PIPE, check=False)
    return done.returncode, done.stdout.decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("create.before-link", (-signal.SIGKILL, "")),
        ("create.before-link:3", (-signal.SIGKILL, "1\n2\n")),
        ("create.before-link:4", (0, "1\n2\n3\n")),
        ("create", (0, "1\n2\n3\n")),
        ("", (0, "1\n2\n3\n")),
    ],
)
def test_dies_at_the_step(value: str, expected: tuple[int, str]) -> None:
    """A process dies where the variable says, at the pass that it says, and nowhere else."""
    assert passed(value) == expected


def test_unarmed() -> None:
    """Without the variable nothing happens."""
    point("create.before-link")

    assert VARIABLE not in os.environ


def test_every_point_is_listed() -> None:
    """Every point in the code stands in the list of steps, and the other way round."""
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "crash.py")
    used = set(re.findall(r'\b(?:point\(|step=)"([^"]+)"', code))

    assert used == set(STEPS)
