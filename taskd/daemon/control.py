"""Starting, stopping and looking at a daemon from outside its process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from taskd import client, local
from taskd.daemon import service
from taskd.daemon.logs import human_line, last_lines, log_file
from taskd.errors import StoreFailed, Unreachable

START_LIMIT: Final = 30.0  # seconds until a started daemon must answer; a first scan is not part of it
STOP_LIMIT: Final = 10.0  # seconds a daemon may take to end; it promises 5
LOOK_AGAIN: Final = 0.02  # seconds between looks

human = human_line


@dataclass(frozen=True, slots=True)
class Started:
    """A running daemon: its pid, and whether this call started it."""

    pid: int
    fresh: bool


def start(home: local.Home, environ: Mapping[str, str]) -> Started:
    """Have a daemon running; it answers when this returns."""
    home.require_set_up()
    running = running_pid(home)
    if running is not None and client.connect(home) is not None:
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
        connection = client.connect(home)
        if connection is not None:
            connection.close()
            pid = running_pid(home)
            if pid is not None:
                return Started(pid, fresh=pid == process.pid)
        if process.poll() not in (None, 0):
            break
        time.sleep(LOOK_AGAIN)
    said = (home.state_dir / "logs" / "start.log").read_text(encoding="utf-8", errors="replace").strip()
    reason = said.splitlines()[-1] if said else "it did not answer in time"
    raise Unreachable(repo=str(home.top), reason=f"the daemon did not start: {reason}")


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
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT
    while time.monotonic() < deadline:
        if running_pid(home) != pid:
            return pid
        time.sleep(LOOK_AGAIN)
    raise StoreFailed(reason=f"the daemon (pid {pid}) did not end within {STOP_LIMIT:g} s")


def log_lines(home: local.Home, count: int) -> list[str]:
    """The newest lines of the daemon's log, as JSON lines."""
    home.require_set_up()
    return last_lines(log_file(home.state_dir), count)


def follow_log(home: local.Home, shown: list[str], write: Callable[[str], object], *, raw: bool) -> None:
    """Write the log as it grows, through rotations, until interrupted."""
    path = log_file(home.state_dir)
    for line in shown:
        write((line if raw else human_line(line)) + "\n")
    file, rest = path.open(encoding="utf-8", errors="replace"), ""
    file.seek(0, os.SEEK_END)
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: file.close())  # noqa: PLW0108 - the file of that moment, after rotations
        while True:
            chunk = file.read()
            if not chunk and _is_rotated(path, file.fileno()):
                file.close()
                file = path.open(encoding="utf-8", errors="replace")
                continue
            *whole, rest = (rest + chunk).split("\n")
            for line in whole:
                write((line if raw else human_line(line)) + "\n")
            if not chunk:
                time.sleep(0.2)


def _is_rotated(path: Path, descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_ino != os.fstat(descriptor).st_ino
    return False


def install_service(
    home: local.Home, program: Path, environ: Mapping[str, str], *, start: bool
) -> dict[str, Any]:
    """Write and start the service; what was done and what could not be."""
    directory = Path(environ.get("HOME", "/"))
    report = service.install(home.top, home.repository.common_dir, program, home=directory, start=start)
    return _told(report)


def uninstall_service(home: local.Home, environ: Mapping[str, str]) -> dict[str, Any]:
    """Stop the service and take its files away."""
    directory = Path(environ.get("HOME", "/"))
    return _told(service.uninstall(home.top, home.repository.common_dir, home=directory))


def service_status(home: local.Home, environ: Mapping[str, str]) -> dict[str, Any]:
    """Whether the service is installed, enabled and running."""
    directory = Path(environ.get("HOME", "/"))
    return _told(service.status(home.top, home.repository.common_dir, home=directory))


def _told(report: service.ServiceReport) -> dict[str, Any]:
    return {
        "manager": report.manager,
        "unit": report.unit,
        "state": report.state,
        "files": [str(path) for path in report.files],
        "changed": [str(path) for path in report.changed],
        "undone": [{"reason": undone.reason, "command": undone.command} for undone in report.undone],
        "hints": list(report.hints),
    }
