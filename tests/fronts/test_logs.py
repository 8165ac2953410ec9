"""The daemon's log read from outside: lines for people, the newest ones, through rotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskd.daemon.logs import KEPT, LENGTH, SIZE, event, follow, human_line, last_lines, log_file, logging_to

LINE = {"files": 2, "event": "replica.written", "level": "info", "timestamp": "2026-01-02T03:04:05.678901Z"}


def test_line_for_people() -> None:
    """A line says when, how grave, what, and the facts."""
    assert human_line(json.dumps(LINE)) == "2026-01-02 03:04:05.678 info    replica.written files=2"
    assert human_line(json.dumps(LINE), times=False) == "replica.written files=2"


@pytest.mark.parametrize("line", ["", "no json", "[1]", "3", "{"])
def test_odd_line(line: str) -> None:
    """A line that is no event is shown as it is."""
    assert (human_line(line), event(line)) == (line, {"event": line})


def test_facts_drive_no_terminal() -> None:
    """A fact cannot drive the terminal it is shown on, and a long one is cut."""
    shown = human_line(json.dumps({**LINE, "reason": "\x1b[2J" + "x" * 5000}))

    assert (shown.isprintable(), len(shown) < 300) == (True, True)


@pytest.mark.parametrize("count", [1, 3, 10, 100])
def test_newest_lines(tmp_path: Path, count: int) -> None:
    """The newest whole lines are given, also across the last rotation, however long they are."""
    path = tmp_path / "daemon.jsonl"
    (tmp_path / "daemon.jsonl.1").write_text("".join(f"old {n}\n" for n in range(5)))
    path.write_text("".join(f"new {n} {'x' * 5000}\n" for n in range(3)) + "half a li")
    every = [*(f"old {n}" for n in range(5)), *(f"new {n} {'x' * 5000}" for n in range(3))]

    lines, end = last_lines(path, count)

    assert lines == every[-count:]
    assert path.read_bytes()[end:] == b"half a li"


def test_no_file(tmp_path: Path) -> None:
    """Where no log is there are no lines."""
    assert last_lines(tmp_path / "none", 5) == ([], 0)


def test_followed_through_rotation(tmp_path: Path) -> None:
    """Every line comes once and in order: those there, half ones once whole, those after a rotation."""
    path = tmp_path / "daemon.jsonl"
    path.write_text("one\ntw")
    lines = follow(path, 10, 0.001)
    seen = [next(lines)]

    with path.open("a") as file:
        file.write("o\nthree\n")
    seen += [next(lines), next(lines)]
    with path.open("a") as file:
        file.write("four\n")
    path.rename(tmp_path / "daemon.jsonl.1")
    path.write_text("five\n")
    seen += [next(lines), next(lines)]
    lines.close()

    assert seen == ["one", "two", "three", "four", "five"]


def test_faults_tell_no_bodies(tmp_path: Path) -> None:
    """A fault is logged with its traceback, and without what stood in the variables: task texts, mostly."""
    body = ["what somebody wrote"]
    with logging_to(tmp_path, "info", {}) as log:
        try:
            _ = body[1]
        except IndexError:
            log.exception("turn.failed", part="x", text="y" * (2 * LENGTH))
    (line,) = log_file(tmp_path).read_text().splitlines()

    assert event(line)["exception"][0]["exc_type"] == "IndexError"
    assert "test_faults_tell_no_bodies" in line
    assert (body[0] in line, len(event(line)["text"])) == (False, LENGTH + 1)


def test_the_log_is_bounded(tmp_path: Path) -> None:
    """However much happens, the log and its former files are of a limited size."""
    with logging_to(tmp_path, "info", {}) as log:
        for number in range((KEPT + 3) * SIZE // LENGTH):
            log.info("event", number=number, text="z" * LENGTH)
    sizes = [path.stat().st_size for path in log_file(tmp_path).parent.iterdir()]

    assert len(sizes) == KEPT + 1
    assert max(sizes) <= SIZE
