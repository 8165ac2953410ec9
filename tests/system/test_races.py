"""Locks, races and simultaneous writers; the numbers are those of the scenarios."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.system.project import TREES, Git, Project, ended, locked


@pytest.mark.parametrize("alone", [False, True], ids=["daemon", "alone"])
def test_s13_one_claim_wins(shared: Project, alone: bool) -> None:  # noqa: FBT001 - a parameter
    """Of many simultaneous claims exactly one succeeds; every other is told by whom and until when."""
    id = f"s13-{alone}".lower()
    shared.taskd("add", "One winner", "--id", id)
    env = {"TASKD_NO_DAEMON": "1"} if alone else {}
    racers = [shared.started("claim", id, at=TREES[n % 3], TASKD_ACTOR=f"agent-{n}", **env) for n in range(8)]
    answers = [ended(racer) for racer in racers]

    winners = [answer.data["claim"]["holder"] for answer in answers if answer.code == 0]
    told = {(a.code, a.error["code"], a.error["holder"]) for a in answers if a.code != 0}
    assert told == {(5, "claimed", winners[0])}
    assert len(winners) == 1
    assert all(a.error["expires"] and a.error["retry_after"] > 0 for a in answers if a.code != 0)


def test_s14_no_lock_against_itself(new_project: Callable[..., Project]) -> None:
    """Verbs that need the lock several times over do not wait for themselves."""
    project = new_project("tracked")
    for verb in (
        ["add", "With file", "--id", "s14", "--file"],
        ["set", "s14", "risk=low"],
        ["status", "s14", "in-progress"],
        ["sync"],
        ["init"],
        ["done", "s14"],
        ["rm", "s14"],
    ):
        assert project.run(*verb, env={"TASKD_NO_DAEMON": "1"}).code == 0, verb


def test_s15_killed_holder_frees_the_lock(shared: Project) -> None:
    """A process that is killed while it holds the lock holds up nobody."""
    code = f"import fcntl,time; f=open({str(shared.state / 'write.lock')!r}, 'r+b'); fcntl.flock(f, 2)"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print(1, flush=True); time.sleep(600)"], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    waiting = shared.started("add", "After the kill", "--id", "s15-kill", TASKD_NO_DAEMON="1")
    holder.kill()
    holder.communicate()

    assert ended(waiting).code == 0


def test_s15_slow_holder_keeps_the_lock(shared: Project) -> None:
    """A lock that is held stays held, however old its file looks."""
    lock = shared.state / "write.lock"
    with locked(lock):
        os.utime(lock, (1, 1))
        waiting = shared.started("add", "Waits", "--id", "s15-slow", TASKD_NO_DAEMON="1")
        assert shared.run("show", "s15-slow").code == 4
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1.0)

    assert ended(waiting).code == 0


def test_s16_repositories_do_not_mix(shared: Project, tracked: Project, tmp_path: Path, git: Git) -> None:
    """Two repositories, and a clone of one, have a state of their own and do not wait for each other."""
    git(tmp_path, "clone", "-q", tracked.top, "main")
    clone = Project(tmp_path, git)
    clone.alone("init", "--tracked")
    shared.taskd("add", "Mine", "--id", "s16")

    with locked(shared.state / "write.lock"):
        clone.alone("add", "Mine too", "--id", "s16-clone")
        tracked.taskd("add", "And mine", "--id", "s16-tracked")
    ids = {
        name: {task["id"] for task in p.taskd("list") if task["id"].startswith("s16")}
        for name, p in {"shared": shared, "tracked": tracked, "clone": clone}.items()
    }
    assert ids == {"shared": {"s16"}, "tracked": {"s16-tracked"}, "clone": {"s16-clone"}}
    assert len({p.taskd("where")["socket"] for p in (shared, tracked, clone)}) == 3


UPDATER: Final = """
import sys
from pathlib import Path
from taskd import client, wire
connection = client.connect(client.find_home(Path(sys.argv[1])))
who = wire.Caller(actor=sys.argv[2], session=None, directory=sys.argv[1], token=None, request_id=None)
for number in range(1, 126):
    given = wire.parameters(wire.Set("s17", {sys.argv[2]: str(number)}))
    connection.submit(wire.Call("set", given, who)).unwrap()
"""


def test_s17_no_update_is_lost(shared: Project) -> None:
    """1,000 updates of one task by 8 processes at once: all are in the journal, the last of each stands."""
    shared.taskd("add", "Eight writers", "--id", "s17")
    names = [f"key{number}" for number in range(8)]
    writers = [
        subprocess.Popen([sys.executable, "-c", UPDATER, str(shared.top), name], env=os.environ)
        for name in names
    ]
    codes = [writer.wait(100) for writer in writers]

    assert codes == [0] * 8
    assert shared.show("s17")["extra"] == dict.fromkeys(names, "125")
    assert len(shared.taskd("history", "s17")) >= 1000


def test_s18_no_cycle_by_racing(shared: Project) -> None:
    """Of two edges that together close a cycle, added at once, one is refused."""
    for pair in range(5):
        a, b = f"s18-a{pair}", f"s18-b{pair}"
        shared.taskd("add", a, "--id", a)
        shared.taskd("add", b, "--id", b)
        env = {"TASKD_NO_DAEMON": "1"} if pair % 2 else {}
        racers = [shared.started("dep", "add", a, b, **env), shared.started("dep", "add", b, a)]
        answers = [ended(racer) for racer in racers]

        assert sorted(answer.code for answer in answers) == [0, 5]
        assert [answer.error["code"] for answer in answers if answer.code] == ["cycle"]


def test_s42_twenty_writers(shared: Project) -> None:
    """Twenty writers at once, half of them without the daemon: none fails, nothing is lost."""
    shared.taskd("add", "Busy", "--id", "s42")
    writers = [
        shared.started(
            "set", "s42", f"w{n}={n}", at=TREES[n % 3], **({"TASKD_NO_DAEMON": "1"} if n % 2 else {})
        )
        for n in range(20)
    ]
    answers = [ended(writer) for writer in writers]

    assert [answer.stderr for answer in answers if answer.code] == []
    assert shared.show("s42")["extra"] == {f"w{n}": str(n) for n in range(20)}
