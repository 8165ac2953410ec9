"""What the kernel, the clock and the machine do to a daemon that watches files."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.system.project import FULL, PATIENCE, Project, patched, task_text, wait_for

Make = Callable[..., Project]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="about inotify and /proc")
CYCLES: Final = 1000  # saves and commands after which a leak of one each would be plain
FILES: Final = 96  # descriptors that the daemon may have open meanwhile


def pid_of(project: Project) -> int:
    """The daemon's process."""
    assert project.daemon is not None
    return project.daemon.pid


def reasons(project: Project, event: str) -> list[str]:
    """What the log says under a name."""
    return [str(row.get("reason", "")) for row in project.events() if row["event"] == event]


# -- limits of the kernel


def limited(what: str, number: int) -> tuple[str, ...]:
    """The words that start a program in a user namespace with a limit of its own; or skip."""
    script = f'echo {number} > /proc/sys/user/{what} && exec "$@"'
    before = ("unshare", "-Ur", "sh", "-c", script, "sh")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*before, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this system gives no user namespace with a limit of its own")
    return before


@linux_only
@pytest.mark.parametrize(
    ("what", "number", "advice"),
    [
        ("max_inotify_watches", 8, "sudo sysctl fs.inotify.max_user_watches="),
        ("max_inotify_instances", 0, "sudo sysctl fs.inotify.max_user_instances="),
    ],
)
def test_limits_of_inotify(new_project: Make, what: str, number: int, advice: str) -> None:
    """Where the kernel watches no more, the daemon says so, and what mends it, and still hears."""
    project = new_project()
    for name in range(20):
        project.save(f"d{name}/t{name}.md", task_text(f"t{name}"), "one")
    project.launch(*limited(what, number))
    project.await_daemon()
    project.sync()
    for name in range(20):
        project.save(f"d{name}/t{name}.md", task_text(f"t{name}", "Heard.\n"), "one")
    for name in range(20):
        project.await_text(f"d{name}/t{name}.md", "Heard.", ("two",))

    assert any(advice in reason for reason in reasons(project, "watch.limited"))


@linux_only
def test_index_on_a_network(new_project: Make) -> None:
    """Where the index would lie on a network file system the daemon refuses and says why."""
    project = new_project()
    settings = "taskd.repo.inotify.filesystem_of = lambda path, mountinfo=None: 'nfs4'"
    process = project.launch(program=patched(settings))

    assert process.wait(PATIENCE) == 1
    assert "lies on nfs4" in (project.base / "daemon.out").read_text()
    assert project.alone("list") == []


# -- time


@linux_only
def test_a_machine_that_slept(new_project: Make) -> None:
    """After a pause of the process everything is looked at: what made no event is found without waiting."""
    project = new_project()
    path = project.save("a.md", task_text("a", "One.\n"), "one")
    project.launch_patched("taskd.daemon.keeper.TIME_GAP = 1.5")
    project.sync()
    (project.base / "other-name").hardlink_to(path)
    os.kill(pid_of(project), signal.SIGSTOP)
    (project.base / "other-name").write_text(task_text("a", "Two.\n"))  # makes no event in the directory
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "60"], timeout=2.5, check=True)
    os.kill(pid_of(project), signal.SIGCONT)
    project.await_text("a.md", "Two.", ("two",))

    assert "time.gap" in {row["event"] for row in project.events()}


@pytest.mark.parametrize("state", ["running", "stopped", "not running"])
def test_times_put_back(new_project: Make, state: str) -> None:
    """A file whose size and times are those of the text before is heard: `cp -p`, `rsync -t`, `tar`."""
    project = new_project()
    path = project.save("a.md", task_text("a", "One.\n"), "one")
    project.start()
    project.sync()
    if state == "stopped":
        os.kill(pid_of(project), signal.SIGSTOP)
    elif state == "not running":
        project.stop()
    before = path.stat()
    path.write_text(path.read_text().replace("One.", "Two."))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    if state == "stopped":
        os.kill(pid_of(project), signal.SIGCONT)
    elif state == "not running":
        project.start()
    project.await_text("a.md", "Two.", ("two",))

    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert project.show("a")["body"] == "Two.\n"


# -- what must not grow


def resources_of(pid: int) -> dict[str, int]:
    """What a process has open and running."""
    place = Path(f"/proc/{pid}")
    children = (place / "task" / str(pid) / "children").read_text().split()
    return {
        "descriptors": len(list((place / "fd").iterdir())),
        "threads": len(list((place / "task").iterdir())),
        "children": len(children),
    }


def cycle(project: Project, number: int) -> None:
    """One save, and one command now and then."""
    project.save("a.md", task_text("a", f"Text {number}.\n"), "one")
    if number % 20 == 0:
        project.taskd("status", "a", ("in-progress", "pending")[number // 20 % 2])
        project.sync()


@linux_only
def test_nothing_grows(new_project: Make) -> None:
    """After a thousand saves and commands the daemon has no more open than before, and few at any time."""
    project = new_project()
    project.save("a.md", task_text("a"))
    project.start()
    pid = pid_of(project)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FILES, FILES))
    for number in range(100):
        cycle(project, number)
    project.sync()
    before = wait_for(lambda: resources_of(pid))
    for number in range(100, CYCLES + 100):
        cycle(project, number)
    project.sync()
    project.sync()

    wait_for(lambda: all(at_most(pid, name, number) for name, number in before.items()), str(before))
    assert [row["event"] for row in project.events() if row["level"] == "error"] == []
    assert project.show("a")["body"] == f"Text {CYCLES + 99}.\n"


def at_most(pid: int, name: str, number: int) -> bool:
    """Whether a process has no more of something than before; a thread of a pool may still be added."""
    slack = 16 if name == "threads" else 4  # worker threads and reading connections come when first needed
    return resources_of(pid)[name] <= number + slack


@linux_only
def test_programs_it_starts_inherit_nothing(new_project: Make) -> None:
    """No descriptor of the daemon but the first three would stay open in a program that it starts."""
    project = new_project()
    project.start()
    project.taskd("add", "First")
    project.sync()
    place = Path(f"/proc/{pid_of(project)}")
    flags = {
        fd.name: int((place / "fdinfo" / fd.name).read_text().split("flags:")[1].split()[0], 8)
        for fd in (place / "fd").iterdir()
        if fd.name not in ("0", "1", "2")
    }

    assert [name for name, value in flags.items() if not value & os.O_CLOEXEC] == []


def test_log_of_the_index_is_bounded(new_project: Make) -> None:
    """A log that grows since somebody never ends reading is told; when they end it is folded in."""
    project = new_project()
    project.alone("add", "First", "--id", "first")
    project.launch_patched(
        "taskd.daemon.keeper.LOG_LARGE = 200_000", "taskd.daemon.schedule.INTERVALS['checkpoint'] = 0.5"
    )
    reader = sqlite3.connect(f"file:{project.state / 'index.db'}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM tasks").fetchall()
    for number in range(8):
        project.taskd("set", "first", f"body={number} {'x' * 60_000}")
    wait_for(lambda: "index.log-large" in {row["event"] for row in project.events()})
    reader.close()
    wal = project.state / "index.db-wal"
    wait_for(lambda: wal.stat().st_size == 0)

    assert project.show("first")["body"].startswith("7 x")


def test_full_program_name() -> None:
    """The patched daemon of these tests is the real program otherwise."""
    done = subprocess.run(
        [*patched("taskd.daemon.keeper.TIME_GAP = 1.5"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert (
        done.stdout == subprocess.run([*FULL, "--version"], capture_output=True, text=True, check=True).stdout
    )
