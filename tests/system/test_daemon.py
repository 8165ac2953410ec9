"""The daemon as a process: one of it, its beginning and end, worktrees that come and go, what it watches."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.system.project import FULL, PATIENCE, TREES, Git, Project, locked, task_text, wait_for

END_LIMIT: Final = 10.0  # seconds for the end of a daemon, which promises 5 on a machine that is not busy
MANY: Final = 9_000  # files, at three events each more than the 16,384 that the kernel keeps

Make = Callable[..., Project]


def worktrees(project: Project) -> list[str]:
    """The worktrees that the daemon says it serves."""
    found: list[str] = project.taskd("daemon", "status")["worktrees"]
    return found


def ids(project: Project) -> set[str]:
    """The ids of all tasks."""
    return {task["id"] for task in project.taskd("list")}


def save_some(project: Project, count: int, tree: str = "main") -> list[str]:
    """Save some tasks and have them everywhere; their ids."""
    names = [f"t{number}" for number in range(count)]
    for name in names:
        project.save(f"{name}.md", task_text(name), tree)
    project.sync()
    return names


def is_removed(directory: Path) -> bool:
    """Remove a directory as far as that is possible while somebody works in it; whether it is gone."""
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


def test_twenty_at_once(new_project: Make) -> None:
    """Of twenty daemons started at once one lives; the others say so and exit with 0."""
    project = new_project()
    racers = [
        subprocess.Popen(
            [*FULL, "-C", str(project.top), "daemon", "run"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(20)
    ]
    try:
        wait_for(lambda: sum(racer.poll() is None for racer in racers) == 1, seconds=2 * PATIENCE)
        (winner,) = [racer for racer in racers if racer.poll() is None]
        wait_for(lambda: project.run("daemon", "status").code == 0)
        pid = project.taskd("daemon", "status")["pid"]
    finally:
        for racer in racers:
            racer.terminate()
    told = [(racer.communicate()[1], racer.wait(END_LIMIT)) for racer in racers if racer is not winner]

    winner.communicate(timeout=END_LIMIT)
    assert pid == winner.pid
    assert [text for text, code in told if code] == []
    assert all(f"already (pid {pid})" in text for text, _ in told)


def test_start_stop_restart(new_project: Make) -> None:
    """It is started once, restarted as another process, and stopped without a trace but its log."""
    project = new_project()
    try:
        first, again = project.taskd("daemon", "start"), project.taskd("daemon", "start", at="one")
        status = project.taskd("daemon", "status", at="two")
        other = project.taskd("daemon", "restart")
        logs = project.taskd("daemon", "logs")
    finally:
        stopped = project.taskd("daemon", "stop")
    once_more = project.taskd("daemon", "stop")

    assert (first["started"], again) == (True, {**again, "pid": first["pid"], "started": False})
    assert set(status) == {
        "pid", "uptime", "worktrees", "queue", "last_scan", "mirror", "store", "memory",
    }  # fmt: skip
    assert (status["pid"], status["worktrees"]) == (first["pid"], ["main", "one", "two"])
    assert other["pid"] != first["pid"]
    assert (stopped["pid"], stopped["stopped"], once_more["stopped"]) == (other["pid"], True, False)
    assert any("daemon.ready" in str(line) for line in logs)
    assert project.run("daemon", "status").code == 6
    assert not (project.state / "endpoint.json").exists()
    assert not Path(project.taskd("where")["socket"]).exists()


def test_survives_its_predecessor(new_project: Make) -> None:
    """After `kill -9` commands go on without it, and the next daemon takes over what it left."""
    project = new_project()
    project.start()
    project.taskd("add", "Before", "--id", "before")
    assert project.daemon is not None
    project.daemon.kill()
    project.daemon.wait()
    project.taskd("add", "Between", "--id", "between")
    project.start()

    assert ids(project) == {"before", "between"}


SAVER = """
import itertools, pathlib, sys, time
root = pathlib.Path(sys.argv[1])
for number in itertools.count():
    (root / f"s{number}.md").write_text(f"---\\nid: s{number}\\nname: Saved {number}\\n---\\n")
    time.sleep(0.005)
"""


def test_sigterm_while_busy(new_project: Make) -> None:
    """Told to end while files are saved it finishes what it accepted, in files and branch, and loses none."""
    project = new_project()
    project.start()
    project.taskd("add", "First", "--id", "a0")
    saver = subprocess.Popen([sys.executable, "-c", SAVER, str(project.file("", "one"))])
    try:
        wait_for(lambda: len(list(project.file("", "two").glob("s*.md"))) > 50)
        for number in range(1, 6):
            project.taskd("add", "Accepted", "--id", f"a{number}")
        daemon = project.daemon
        assert daemon is not None
        daemon.terminate()
        code = daemon.wait(END_LIMIT)
    finally:
        saver.kill()
        saver.wait()
    accepted = [f"a{number}.md" for number in range(6)]
    found = [[project.file(name, tree).exists() for name in accepted] for tree in (*TREES, "live")]
    mirrored = [bool(project.mirrored(name)) for name in accepted]
    whole = {
        path.stem for path in project.file("", "one").glob("s*.md") if path.read_text().endswith("---\n")
    }
    project.start()
    project.sync()

    assert code == 0
    assert (found, mirrored) == ([[True] * 6] * 4, [True] * 6)
    assert whole <= ids(project)


def test_ends_with_its_repository(new_project: Make) -> None:
    """When the repository is removed the daemon ends by itself, and brings nothing of it back."""
    project = new_project()
    project.start()
    daemon = project.daemon
    assert daemon is not None
    wait_for(lambda: is_removed(project.top))

    assert daemon.wait(PATIENCE) == 0
    assert not project.top.exists()


class TestWorktrees:
    """Worktrees come and go while the daemon runs; one daemon for all of these tests."""

    def test_new_one_is_filled(self, shared: Project, tmp_path: Path) -> None:
        """A new worktree has every task at once, and what is saved there is everywhere."""
        shared.taskd("add", "Known", "--id", "known")
        three = tmp_path / "three"
        shared.git(shared.top, "worktree", "add", "-q", "-b", "three", three)
        wait_for((three / "tasks/known.md").exists)
        (three / "tasks/from-three.md").write_text(task_text("from-three"))
        shared.await_text("from-three.md", "from-three", (*TREES, "live"))

        assert "three" in worktrees(shared)
        assert shared.git(three, "status", "--porcelain") == ""

    def test_new_one_is_heard(self, tracked: Project, tmp_path: Path) -> None:
        """In the tracked layout a new worktree gets nothing, and what is saved there counts."""
        four = tmp_path / "four"
        tracked.git(tracked.top, "worktree", "add", "-q", "-b", "four", four)
        wait_for(lambda: "four" in worktrees(tracked))
        (four / "tasks/from-four.md").write_text(task_text("from-four"))
        tracked.await_text("from-four.md", "from-four")

        assert [path.name for path in (four / "tasks").iterdir() if path.name != "from-four.md"] == [
            "seed.md"
        ]

    @pytest.mark.parametrize("how", ["git", "by hand"])
    def test_removed_one_deletes_nothing(self, project: Project, tmp_path: Path, how: str) -> None:
        """A removed worktree is served no longer, and no task goes with it."""
        name = f"gone-{how.replace(' ', '-')}"
        gone = tmp_path / name
        project.git(project.top, "worktree", "add", "-q", "-b", name, gone)
        wait_for(lambda: name in worktrees(project))
        (gone / "tasks").mkdir(exist_ok=True)
        for number in range(3):
            (gone / f"tasks/{name}-{number}.md").write_text(task_text(f"{name}-{number}"))
        project.sync()
        if how == "git":
            project.git(project.top, "worktree", "remove", "--force", gone)
        else:
            shutil.rmtree(gone)
        wait_for(lambda: name not in worktrees(project))
        project.sync()

        assert {f"{name}-{number}" for number in range(3)} <= ids(project)
        assert [hold for hold in project.taskd("holds") if hold["worktree"] == name] == []

    def test_moved_one_is_followed(self, project: Project, tmp_path: Path) -> None:
        """A moved worktree is the same one in another place."""
        name = f"moved-{int(project.file('seed.md').exists())}"
        before, after = tmp_path / "before", tmp_path / "after"
        project.git(project.top, "worktree", "add", "-q", "-b", name, before)
        wait_for(lambda: "before" in worktrees(project))
        (before / "tasks").mkdir(exist_ok=True)
        (before / f"tasks/{name}.md").write_text(task_text(name))
        project.sync()
        project.git(project.top, "worktree", "move", before, after)
        (after / f"tasks/{name}.md").write_text(task_text(name, "After the move.\n"))
        project.await_text(f"{name}.md", "After the move.")
        project.sync()

        assert project.show(name, at=after)["body"] == "After the move.\n"
        assert [row["path"] for row in project.show(name)["files"] if row["worktree"] == "before"] == [
            f"{name}.md"
        ]


class TestRemovals:
    """What follows from files that are gone, in the shared layout."""

    def test_one_file_is_a_deletion(self, new_project: Make) -> None:
        """A single file removed by hand in any worktree deletes the task everywhere; it can be restored."""
        project = new_project()
        project.start()
        save_some(project, 8)
        project.file("t0.md", "two").unlink()
        wait_for(lambda: not any(project.file("t0.md", tree).exists() for tree in (*TREES, "live")))
        project.sync()

        assert ids(project) == {f"t{number}" for number in range(1, 8)}
        assert project.mirrored("t0.md") == ""
        assert project.taskd("holds") == []
        project.taskd("restore", "t0")
        project.await_text("t0.md", "Task t0", (*TREES, "live"))

    @pytest.mark.parametrize("how", ["rm -rf tasks", "rm -rf tasks/*", "git clean -qfdx"])
    def test_many_at_once_are_held(self, new_project: Make, how: str) -> None:
        """A directory that vanishes or is cleaned deletes nothing: it is held, told, and filled again."""
        project = new_project()
        project.start()
        names = save_some(project, 8)
        subprocess.run(["sh", "-c", how], cwd=project.tree("one"), check=True, env=os.environ)
        wait_for(lambda: all(project.file(f"{name}.md", "one").exists() for name in names))
        project.sync()

        assert ids(project) == set(names)
        assert [(hold["worktree"], sorted(hold["tasks"])) for hold in project.taskd("holds")] == [
            ("one", names)
        ]
        assert [project.file(f"{name}.md", "two").read_text() for name in names] == [
            task_text(n) for n in names
        ]
        project.save("t0.md", task_text("t0", "Still heard.\n"), "one")
        project.await_text("t0.md", "Still heard.", TREES)

    def test_tracked_files_delete_nothing(self, new_project: Make) -> None:
        """In the tracked layout a linked worktree without its files deletes nothing, and is left so."""
        project = new_project(
            "tracked", files={f"t{number}.md": task_text(f"t{number}") for number in range(8)}
        )
        project.start()
        shutil.rmtree(project.file("", "one"))
        project.sync()

        assert ids(project) == {"seed", *(f"t{number}" for number in range(8))}
        assert not project.file("", "one").exists()
        project.git(project.tree("one"), "checkout", "-q", "--", "tasks")
        project.save("t0.md", task_text("t0", "Back again.\n"), "one")
        project.await_text("t0.md", "Back again.")


def test_stopped_while_9000_files_come(new_project: Make) -> None:
    """Events that the kernel could not keep are made up for: no file is missed, and watching goes on."""
    project = new_project("tracked")
    project.start()
    project.sync()
    daemon = project.daemon
    assert daemon is not None
    daemon.send_signal(signal.SIGSTOP)
    for number in range(MANY):
        place = "new" if number % 2 else "."
        project.save(f"{place}/f{number}.md", f"---\nid: f{number}\nname: F\n---\n", "one")
    daemon.send_signal(signal.SIGCONT)
    counts = project.taskd("sync", "--timeout", "100")
    project.save("new/later.md", task_text("later"), "one")
    project.await_text("new/later.md", "later")

    assert counts["tasks"] == MANY + 1
    assert counts["problems"] == []


@pytest.fixture
def manager() -> Iterator[tuple[socket.socket, str]]:
    """A service manager: its socket, and the address to give to the daemon."""
    path = f"{os.environ['XDG_RUNTIME_DIR']}/{uuid.uuid4().hex[:12]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(PATIENCE)
        yield listener, path
    Path(path).unlink()


def hear(listener: socket.socket) -> str:
    """The next message to the service manager."""
    return listener.recv(4096).decode()


def is_silent(listener: socket.socket, seconds: float) -> bool:
    """Whether nothing is said for a while; what was said before is dropped."""
    listener.settimeout(0)
    try:
        while listener.recv(4096):
            pass
    except BlockingIOError:
        listener.settimeout(seconds)
    try:
        listener.recv(4096)
    except TimeoutError:
        return True
    finally:
        listener.settimeout(PATIENCE)
    return False


def test_service_manager_is_told(new_project: Make, manager: tuple[socket.socket, str]) -> None:
    """It says when it is ready and when it ends, and pings while it works, not when its loop is stuck."""
    project, (listener, address) = new_project(), manager
    project.launch(NOTIFY_SOCKET=address, WATCHDOG_USEC="1200000")
    ready, pings = hear(listener), [hear(listener) for _ in range(5)]
    with locked(project.state / "write.lock"):
        project.save("stuck.md", task_text("stuck"))
        wait_for(lambda: is_silent(listener, 1.2), "no pings for as long as the manager waits")
        answered = project.run("list").code
    again = hear(listener)
    project.await_text("stuck.md", "stuck", ("two",))
    project.stop()
    last = again
    while last == "WATCHDOG=1":
        last = hear(listener)

    assert (ready.startswith("READY=1\nSTATUS="), str(project.top) in ready) == (True, True)
    assert (pings, answered, again) == (["WATCHDOG=1"] * 5, 0, "WATCHDOG=1")
    assert last == "STOPPING=1"


def test_two_repositories(new_project: Make, git: Git) -> None:
    """Two daemons of two repositories know nothing of each other."""
    first, second = new_project(name="first"), new_project(name="second")
    first.start()
    second.start()
    first.save("mine.md", task_text("mine"))
    second.save("yours.md", task_text("yours"))
    first.sync()
    second.sync()
    found = ids(first), ids(second)
    first.stop()
    second.taskd("done", "yours")
    second.sync()

    assert found == ({"mine"}, {"yours"})
    assert not second.file("mine.md", "one").exists()
    assert second.show("yours", at="two")["status"] == "completed"
    assert git(first.top, "ls-tree", "-r", "--name-only", "taskd/workspace").split() == [
        "BOARD.md",
        "tasks/mine.md",
    ]


def test_lock_file_removed(new_project: Make) -> None:
    """A daemon whose lock file is removed locks a new one: a second daemon does not get in."""
    project = new_project()
    project.start()
    (project.state / "daemon.lock").unlink()
    wait_for((project.state / "daemon.lock").exists)
    wait_for(lambda: "lock.renewed" in {row["event"] for row in project.events()})
    second = project.started("daemon", "run")
    told = second.communicate(timeout=PATIENCE)[1]

    assert second.returncode == 0
    assert "already" in told
    assert project.taskd("daemon", "status")["pid"] == (project.daemon.pid if project.daemon else None)


def test_two_daemons(new_project: Make) -> None:
    """Where a second daemon got in all the same, the first ends by itself and takes nothing of it away."""
    project = new_project()
    project.start()
    first = project.daemon
    assert first is not None
    lock = project.state / "daemon.lock"
    first.send_signal(signal.SIGSTOP)
    lock.unlink()
    second = project.launch()
    endpoint = project.state / "endpoint.json"
    wait_for(lambda: json.loads(endpoint.read_text())["pid"] == second.pid)
    first.send_signal(signal.SIGCONT)
    code = first.wait(PATIENCE)
    project.await_daemon()
    project.taskd("add", "After", "--id", "after")
    project.sync()

    assert code == 0
    assert json.loads(endpoint.read_text())["pid"] == second.pid
    assert ids(project) == {"after"}
