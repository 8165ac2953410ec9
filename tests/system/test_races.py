"""One winner, and no change lost: many real processes at once, with the daemon, without it, as it dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from taskd.core.query import Query
from taskd.core.task import Task
from taskd.local import open_store

pytest.register_assert_rewrite("tests.system.crash_help")

from tests.system.crash_help import TASKD, TREES, Git, World  # noqa: E402 - rewritten first

WORKER: Final = Path(__file__).with_name("race_worker.py")
PATIENCE: Final = 100.0  # seconds for all that work at once
#: tasks to drain and processes that do it, small here and in full with `-m soak`
SMALL: Final = (200, 8)
FULL: Final = pytest.param(1000, 16, marks=[pytest.mark.soak, pytest.mark.timeout(900)])

NewWorld = Callable[..., World]


@pytest.fixture
def new_world(tmp_path: Path, git: Git) -> Iterator[NewWorld]:
    """`new_world(count, layout)` makes a repository with so many tasks; a daemon that it starts is ended."""
    made = list[World]()

    def make(count: int, layout: str = "shared") -> World:
        made.append(World(tmp_path / "w", git, layout))
        made[-1].make([f"task-{number:04}" for number in range(count)])
        return made[-1]

    yield make
    for world in made:
        world.stop()


@contextlib.contextmanager
def workers(world: World, specs: Sequence[dict[str, Any]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that have all begun and work from now on."""
    found = [
        subprocess.Popen(
            [sys.executable, "-P", str(WORKER), json.dumps({"alone": False, **spec})],
            cwd=world.base,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for spec in specs
    ]
    try:
        for worker in found:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in found:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        yield found
    finally:
        for worker in found:
            worker.kill()
            worker.communicate()


def replies(found: Sequence[subprocess.Popen[str]]) -> list[list[dict[str, Any]]]:
    """What each of the processes was answered."""
    said = [worker.communicate(timeout=PATIENCE)[0] for worker in found]
    assert [worker.returncode for worker in found] == [0] * len(found)
    return [json.loads(text) for text in said]


def drainers(world: World, count: int, *, alone: bool = False) -> list[dict[str, Any]]:
    """Processes of different worktrees that claim until nothing is left; with `alone` every other one.

    Those with the daemon are so much faster that they pause then, or nothing would be left for the others.
    """
    return [
        {
            "directory": str(world.base / TREES[number % len(TREES)]),
            "actor": f"agent-{number}",
            "alone": alone and number % 2 == 1,
            "drain": True,
            "pause": 0.2 if alone and number % 2 == 0 else 0,
        }
        for number in range(count)
    ]


def tasks_of(world: World) -> list[Task]:
    """Every live task as the index has it."""
    with open_store(world.home).read() as view:
        return view.tasks(Query(sort="id"))


def holders(world: World) -> dict[str, str]:
    """Who holds each claimed task."""
    return {task.id: task.claim.holder for task in tasks_of(world) if task.claim is not None}


def claims(specs: Sequence[dict[str, Any]], said: Sequence[list[dict[str, Any]]]) -> list[tuple[str, str]]:
    """(task, actor) of every claim that a process was told it has."""
    return sorted(
        (row["data"]["id"], spec["actor"]) for spec, rows in zip(specs, said, strict=True) for row in rows
    )


def wait_for_claims(world: World, count: int) -> None:
    """Wait until so many tasks are claimed."""
    deadline = time.monotonic() + PATIENCE
    while len(holders(world)) < count:
        assert time.monotonic() < deadline, f"not {count} claims within {PATIENCE} s"
        time.sleep(0.01)


@pytest.mark.parametrize(("count", "processes"), [SMALL, FULL])
def test_drain(count: int, processes: int, new_world: NewWorld) -> None:
    """Many processes that claim the next task get every task once, none twice, and none is left."""
    world = new_world(count)
    world.start()
    specs = drainers(world, processes)
    with workers(world, specs) as found:
        said = replies(found)

    assert claims(specs, said) == sorted(holders(world).items())
    assert len(holders(world)) == count


@pytest.mark.parametrize(("count", "processes"), [SMALL, FULL])
def test_drain_killed(count: int, processes: int, new_world: NewWorld) -> None:
    """The same when the daemon is killed and started again, twice, in the middle of it."""
    world = new_world(count)
    world.start()
    specs = drainers(world, processes)
    with workers(world, specs) as found:
        for share in (count // 3, 2 * count // 3):
            wait_for_claims(world, share)
            assert world.daemon is not None
            world.daemon.kill()
            world.daemon.wait()
            world.ensure()
        said = replies(found)

    assert world.deaths == [-signal.SIGKILL] * 2
    assert claims(specs, said) == sorted(holders(world).items())
    assert len(holders(world)) == count


@pytest.mark.parametrize(("count", "processes"), [SMALL, FULL])
def test_drain_mixed(count: int, processes: int, new_world: NewWorld) -> None:
    """The same when half of the processes do not use the daemon."""
    world = new_world(count)
    world.start()
    specs = drainers(world, processes, alone=True)
    with workers(world, specs) as found:
        said = replies(found)

    assert claims(specs, said) == sorted(holders(world).items())
    assert len(holders(world)) == count
    assert min(sum(len(rows) for rows in said[half::2]) for half in (0, 1)) > 0


def test_worktree_in_the_making(new_world: NewWorld) -> None:
    """A new worktree that is looked at before git has written all of its record is served all the same."""
    world = new_world(2)
    world.start()
    assert world.daemon is not None
    world.daemon.send_signal(signal.SIGSTOP)
    world.git(world.top, "worktree", "add", "-q", "-b", "three", world.base / "three")
    last = world.top / ".git/worktrees/three/commondir"
    text = last.read_text()
    last.unlink()
    world.daemon.send_signal(signal.SIGCONT)
    world.call("sync")
    last.touch()
    world.call("sync")
    last.write_text(text)
    world.call("sync")

    assert sorted(path.name for path in world.file("", "three").iterdir()) == ["task-0000.md", "task-0001.md"]


def commands(world: World, rows: Sequence[Sequence[str]], alone_every: int) -> list[dict[str, Any]]:
    """Run command lines all at once, each so-manieth without the daemon; the data of each."""
    begun = [
        subprocess.Popen(
            [*TASKD, "--json", *words],
            cwd=world.base / TREES[number % len(TREES)],
            env={**os.environ, "TASKD_NO_DAEMON": str(int(number % alone_every == 0))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, words in enumerate(rows)
    ]
    ended = [(process.communicate(timeout=PATIENCE), process.returncode) for process in begun]
    assert [(said[1], code) for said, code in ended if code] == []
    return [json.loads(said[0])["data"] for said, _ in ended]


def test_drain_commands(new_world: NewWorld) -> None:
    """Forty command lines at once claim forty different tasks."""
    world = new_world(40)
    world.start()
    rows = [["--actor", f"agent-{number}", "claim", "--next"] for number in range(40)]

    assert sorted(task["id"] for task in commands(world, rows, 8)) == [task.id for task in tasks_of(world)]


@pytest.mark.parametrize("every", [10, pytest.param(2, marks=pytest.mark.soak)])
def test_fields_at_once(every: int, new_world: NewWorld) -> None:
    """Fifty processes set different fields and keys of one task at once, and all fifty are in the index."""
    world = new_world(1)
    world.start()
    known = {"priority": "high", "risk": "low", "scope": "broad", "assignee": "Ann", "estimate": "3"}
    wanted = known | {f"key{number}": f"value {number}" for number in range(45)}
    commands(world, [["set", "task-0000", f"{key}={value}"] for key, value in wanted.items()], every)
    task = tasks_of(world)[0]
    found = {name: getattr(task, name) for name in known} | dict(task.extra)

    assert found == {**wanted, "estimate": 3.0}


def test_one_file_at_once(new_world: NewWorld) -> None:
    """Where commands write in their caller's own file, twenty at once are all in that file."""
    world = new_world(1, "tracked")
    world.start()
    commands(world, [["-C", str(world.base / "one"), "add", "New", "--file"]], 2)
    rows = [["-C", str(world.base / "one"), "set", "new", f"key{number}=value"] for number in range(20)]
    commands(world, rows, 7)
    world.call("sync")
    text = world.file("new.md", "one").read_text()

    assert [number for number in range(20) if f"key{number}: value\n" not in text] == []


@pytest.mark.parametrize("every", [20, pytest.param(2, marks=pytest.mark.soak)])
def test_adds_at_once(every: int, new_world: NewWorld) -> None:
    """S-08: a hundred processes that add a task of the same name at once make a hundred tasks."""
    world = new_world(1)
    world.start()
    made = commands(world, [["add", "The same name"] for _ in range(100)], every)

    assert len({task["id"] for task in made}) == 100
    assert {task["id"] for task in made} == {task.id for task in tasks_of(world)} - {"task-0000"}
