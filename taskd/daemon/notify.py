"""What the daemon tells the service manager, and what it gets from it: sd_notify and sd_listen_fds.

The protocols are those of sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3). Everything here is
a no-op when no service manager started us, and none of it can make the daemon fail.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile

FIRST_FD = 3  # where passed descriptors begin: SD_LISTEN_FDS_START
PATIENCE = 1.0  # seconds to wait for room in the manager's queue: less than a watchdog's interval


@dataclass(frozen=True, slots=True)
class Notifier:
    """The way to the service manager.

    `address` is None when there is no manager. `interval` is how often to ping, in seconds: half of
    what the watchdog allows, as sd_watchdog_enabled(3) advises; None when no watchdog waits for us.
    """

    address: str | None = None
    interval: float | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; whatever is malformed counts as not set."""
        address = environ.get("NOTIFY_SOCKET", "")
        if address[:1] == "@":
            address = "\0" + address[1:]
        elif address[:1] != "/":
            return cls()
        return cls(address, _watchdog_interval(environ))

    def ready(self, status: str) -> bool:
        """Say that the daemon serves; `status` is the line that `systemctl status` shows.

        This and the methods below tell whether the manager got it.
        """
        return self._send("READY=1", f"STATUS={_one_line(status)}")

    def status(self, text: str) -> bool:
        """Say what the daemon does now, in one line."""
        return self._send(f"STATUS={_one_line(text)}")

    def ping(self) -> bool:
        """Say that the work loop turns."""
        return self._send("WATCHDOG=1")

    def reloading(self) -> bool:
        """Say that the configuration is being read again; `ready` ends it."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> bool:
        """Say that the daemon is on its way out."""
        return self._send("STOPPING=1")

    def _send(self, *lines: str) -> bool:
        if self.address is None:
            return False
        # a socket for each message: the manager may have been restarted, and its socket made anew
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(PATIENCE)
            try:
                sender.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), self.address)
            except (OSError, ValueError):  # gone, full, too long a path: the daemon serves all the same
                return False
        return True


def listen_fds(environ: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """Give the descriptors of the sockets that were opened for us, none when that was not so.

    They are no longer inherited by children. The first that is not open ends the list.
    """
    if _as_number(environ.get("LISTEN_PID")) != os.getpid():
        return ()
    count = _as_number(environ.get("LISTEN_FDS"))
    return tuple(takewhile(_keep, range(FIRST_FD, FIRST_FD + count)))


def passed_socket(environ: Mapping[str, str] = os.environ) -> socket.socket | None:
    """Give the socket to listen on that was opened for us, non-blocking; None when there is none.

    What else was passed is left alone.
    """
    for fd in listen_fds(environ):
        with suppress(OSError):  # a file, a pipe
            passed = socket.socket(fileno=fd)
            if passed.family == socket.AF_UNIX and passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                passed.settimeout(0)
                return passed
            passed.detach()
    return None


def _keep(fd: int) -> bool:
    try:
        os.set_inheritable(fd, False)  # noqa: FBT003 - it has no other form
    except OSError:
        return False
    return True


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    if "WATCHDOG_PID" in environ and _as_number(environ["WATCHDOG_PID"]) != os.getpid():
        return None
    allowed = _as_number(environ.get("WATCHDOG_USEC"))
    return allowed / 2e6 if allowed else None


def _as_number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < len(str(1 << 64)) else 0


def _one_line(text: str) -> str:
    return " ".join(text.split())
