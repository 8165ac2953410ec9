"""Talking to the service manager, on real sockets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskd.daemon.notify import Notifier, listen_fds

REPOSITORY = Path(__file__).resolve().parents[2]
ABSTRACT = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets")


class Manager:
    """The end of the service manager."""

    def __init__(self, address: str) -> None:
        """Listen at `address`, written as in NOTIFY_SOCKET."""
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.socket.settimeout(5)

    def hear(self) -> str:
        """The next message."""
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["/", pytest.param("@", marks=ABSTRACT)])
def manager(request: pytest.FixtureRequest) -> Iterator[Manager]:
    """A service manager that listens in the file system, and one with an abstract address."""
    path = f"{os.environ['XDG_RUNTIME_DIR']}/{uuid.uuid4().hex[:12]}"
    manager = Manager(path if request.param == "/" else f"@{path[1:]}")
    yield manager
    manager.socket.close()
    Path(path).unlink(missing_ok=True)


def test_messages(manager: Manager) -> None:
    """The manager hears when the daemon is ready, what it does, that it lives and that it ends."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address})

    sent = [notifier.ready("3 worktrees"), notifier.status("scanning"), notifier.ping(), notifier.stopping()]

    assert sent == [True] * 4
    assert [manager.hear() for _ in sent] == [
        "READY=1\nSTATUS=3 worktrees",
        "STATUS=scanning",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_reloading_stamped(manager: Manager) -> None:
    """A reload is told with the moment it began, as the manager demands."""
    before = time.monotonic_ns() // 1000
    Notifier.from_environment({"NOTIFY_SOCKET": manager.address}).reloading()

    kind, _, stamp = manager.hear().partition("\nMONOTONIC_USEC=")
    assert (kind, before <= int(stamp) <= time.monotonic_ns() // 1000) == ("RELOADING=1", True)


def test_status_is_one_line(manager: Manager) -> None:
    """A status with line ends in it cannot say READY, STOPPING or anything else."""
    Notifier.from_environment({"NOTIFY_SOCKET": manager.address}).status("a\nSTOPPING=1\r\nb \udce9")

    assert manager.hear() == "STATUS=a STOPPING=1 b \\udce9"


def test_manager_gone(manager: Manager) -> None:
    """A daemon whose manager is gone goes on serving."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address})
    manager.socket.close()

    assert [notifier.ready("x"), notifier.ping(), notifier.stopping()] == [False] * 3


def test_manager_does_not_listen(manager: Manager) -> None:
    """A manager that takes no more messages holds the daemon up for a second at most."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address})
    while notifier.ping():
        pass

    assert manager.hear() == "WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1", "/" + "x" * 200, "/nowhere/at/all", "/\0"])
def test_no_manager(address: str) -> None:
    """Started by hand, or with an address that is none, the daemon tells nobody and serves."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address} if address else {})

    assert (notifier.ready("x"), notifier.interval) == (False, None)


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "x"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "9" * 400}, None),
        ({}, None),
    ],
)
def test_watchdog_interval(environment: dict[str, str], interval: float | None) -> None:
    """The work loop pings twice as often as the watchdog looks, and only if the watchdog is ours."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/x", **environment})

    assert notifier.interval == interval


CHILD = """
import json, os, sys
from taskd.daemon.notify import listen_fds, passed_socket
os.environ["LISTEN_PID"] = os.environ["LISTEN_PID"].replace("self", str(os.getpid()))
fds, passed = listen_fds(), passed_socket()
about = passed and [passed.fileno(), passed.getblocking()]
print(json.dumps([fds, [os.get_inheritable(fd) for fd in fds], about]))
"""


def activated(count: str, pid: str = "self", sockets: int = 2, *, listening: bool = True) -> list[object]:
    """What a process learns that was started with `sockets` sockets from descriptor 3 on."""
    exec_child = f'exec {" ".join(f"{3 + n}<&0" for n in range(sockets))}; exec "$0" -c "$1"'
    environment = {
        **os.environ,
        "LISTEN_FDS": count,
        "LISTEN_PID": pid,
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    argv = ["sh", "-c", exec_child, sys.executable, CHILD]
    with socket.socket(socket.AF_UNIX) as listener:
        path = Path(os.environ["XDG_RUNTIME_DIR"]) / uuid.uuid4().hex[:12]
        listener.bind(str(path))
        if listening:
            listener.listen()
        done = subprocess.run(
            argv, stdin=listener.fileno(), env=environment, capture_output=True, text=True, check=True
        )
    path.unlink()
    result: list[object] = json.loads(done.stdout)
    return result


def test_sockets_passed() -> None:
    """A daemon started through its socket finds it, and its children do not."""
    assert activated("2") == [[3, 4], [False, False], [3, False]]


def test_other_socket_passed() -> None:
    """A socket on which nobody listens is not listened on."""
    assert activated("1", listening=False) == [[3], [False], None]


@pytest.mark.parametrize(
    ("count", "pid"), [("2", "1"), ("2", ""), ("0", "self"), ("", "self"), ("-1", "self"), ("x", "self")]
)
def test_no_sockets_passed(count: str, pid: str) -> None:
    """Sockets meant for another process, or none, are not taken."""
    assert activated(count, pid) == [[], [], None]


def test_missing_sockets() -> None:
    """Descriptors that were promised and are not open are not believed in."""
    assert activated("99999999999", sockets=1) == [[3], [False], [3, False]]


def test_listen_fds_default() -> None:
    """Started by hand, there is no socket to take over."""
    assert listen_fds() == ()
