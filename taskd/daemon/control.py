"""Starting, stopping and looking at a daemon from outside its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from taskd import client, local, wire
from taskd.daemon import logs, service
from taskd.errors import Refused, TaskdError, Unreachable

START_LIMIT: Final = 30.0  # seconds until a started daemon must answer; a first scan is not part of it
STOP_LIMIT: Final = 10.0  # seconds a daemon may take to end; it promises 5
LOOK_AGAIN: Final = 0.02  # seconds between looks
FOLLOW_AGAIN: Final = 0.2  # seconds between looks at a log that is followed

human, event = logs.human_line, logs.event


@dataclass(frozen=True, slots=True)
class Started:
    """A running daemon: its pid, and whether this call started it."""

    pid: int
    fresh: bool


def start(home: local.Home, environ: Mapping[str, str]) -> Started:
    """Have a daemon running; it answers when this returns."""
    home.require_set_up()
    running = running_pid(home)
    if running is not None and _answers(home):
        return Started(running, fresh=False)
    home.state_dir.mkdir(mode=0o700, exist_ok=True)
    (home.state_dir / "logs").mkdir(mode=0o700, exist_ok=True)
    with (home.state_dir / "logs" / "start.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "taskd", "-C", str(home.top), "daemon", "run"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={key: value for key, value in environ.items() if key not in ("NOTIFY_SOCKET", "LISTEN_PID")},
            cwd=home.repository.common_dir,
            start_new_session=True,
        )
    return _await_answer(home, process)


def _await_answer(home: local.Home, process: subprocess.Popen[bytes]) -> Started:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if _answers(home) and (pid := running_pid(home)) is not None:
            return Started(pid, fresh=pid == process.pid)
        if process.poll() not in (None, 0):
            break
        time.sleep(LOOK_AGAIN)
    said = (home.state_dir / "logs" / "start.log").read_text(encoding="utf-8", errors="replace").strip()
    reason = said.splitlines()[-1] if said else "it did not answer in time"
    raise Unreachable(repo=str(home.top), reason=f"the daemon did not start: {reason}")


def _answers(home: local.Home) -> bool:
    connection = client.connect(home)
    if connection is not None:
        connection.close()
    return connection is not None


def running_pid(home: local.Home) -> int | None:
    """The pid of the daemon that holds the repository's lock."""
    lock = home.daemon_lock
    holder = lock.holder() if lock.is_held() else None
    return int(holder) if holder is not None else None


def stop(home: local.Home) -> int | None:
    """End the daemon and wait until it has; its pid, None if none was running.

    The lock tells who it is, so no stranger with a recycled pid is ever signalled.
    """
    pid = running_pid(home)
    if pid is None:
        return None
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return pid
    except PermissionError:
        raise Refused(reason=f"the daemon (pid {pid}) belongs to another user") from None
    deadline = time.monotonic() + STOP_LIMIT
    while time.monotonic() < deadline:
        if running_pid(home) != pid:
            return pid
        time.sleep(LOOK_AGAIN)
    raise TaskdError(reason=f"the daemon (pid {pid}) did not end within {STOP_LIMIT:g} s")


def status(home: local.Home) -> dict[str, Any]:
    """What the daemon says of itself; Unreachable when none answers."""
    connection = client.connect(home)
    if connection is None:
        pid = running_pid(home)
        told = "none is running" if pid is None else f"process {pid} holds the lock and does not answer"
        raise Unreachable(repo=str(home.top), reason=told)
    try:
        facts: dict[str, Any] = connection.submit(wire.Call("daemon.status")).unwrap()
    finally:
        connection.close()
    return facts


def log_lines(home: local.Home, count: int) -> list[str]:
    """The newest lines of the daemon's log, as JSON lines."""
    home.require_set_up()
    return logs.last_lines(logs.log_file(home.state_dir), count)[0]


def follow_log(home: local.Home, count: int, write: Callable[[str], object]) -> NoReturn:
    """Write the newest lines of the log, then what comes, through rotations, until interrupted."""
    home.require_set_up()
    for line in logs.follow(logs.log_file(home.state_dir), count, FOLLOW_AGAIN):
        write(line)
    raise AssertionError


def install_service(
    home: local.Home, program: Path, environ: Mapping[str, str], *, start: bool
) -> dict[str, Any]:
    """Write and start the service; what was done and what could not be."""
    directory = Path(environ.get("HOME", "/"))
    report = service.install(home.top, home.repository.common_dir, program, home=directory, start=start)
    return report.as_data()


def uninstall_service(home: local.Home, environ: Mapping[str, str]) -> dict[str, Any]:
    """Stop the service and take its files away."""
    directory = Path(environ.get("HOME", "/"))
    return service.uninstall(home.top, home.repository.common_dir, home=directory).as_data()


def service_status(home: local.Home, environ: Mapping[str, str]) -> dict[str, Any]:
    """Whether the service is installed, enabled and running."""
    directory = Path(environ.get("HOME", "/"))
    return service.status(home.top, home.repository.common_dir, home=directory).as_data()
