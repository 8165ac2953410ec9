"""The operations from outside: over the daemon's socket, or in this process when no daemon runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from taskd import frames, local, wire
from taskd.errors import Refused, Unreachable
from taskd.local import Home, find_home, uninstall

__all__ = [
    "Connection",
    "Home",
    "Submit",
    "caller",
    "connect",
    "find_home",
    "install",
    "operations",
    "uninstall",
    "where",
]

REPLY_LIMIT: Final = 1 << 30  # bytes; a list of every task of a huge repository
CONNECT_LIMIT: Final = 5.0  # seconds a daemon may take to accept

Submit = Callable[[wire.Call], wire.Reply]

#: session variables of the environments agents run in, in the order they are believed
SESSIONS: Final = (
    "TASKD_SESSION",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_SESSION_ID",
    "CODEX_SESSION_ID",
    "CODEX_THREAD_ID",
    "GEMINI_SESSION_ID",
    "CURSOR_SESSION_ID",
    "TMUX_PANE",
    "TERM_SESSION_ID",
)


class Connection:
    """One connection to a daemon; calls go one after the other."""

    def __init__(self, path: Path) -> None:
        """Connect; OSError when nobody answers."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._sock.settimeout(CONNECT_LIMIT)
            self._sock.connect(str(path))
            self._sock.settimeout(None)
        except OSError:
            self._sock.close()
            raise

    def submit(self, call: wire.Call) -> wire.Reply:
        """Carry out one call; Unreachable when the daemon went away before it answered."""
        try:
            self._sock.sendall(frames.pack(b"R", wire.pack_call(call)))
            frame = frames.read_frame(self._sock, REPLY_LIMIT)
        except (OSError, frames.FrameError) as error:  # it died before, or in the middle of, its answer
            raise Unreachable(repo="this repository", reason=str(error)) from None
        if frame is None:
            raise Unreachable(repo="this repository", reason="it went away before it answered")
        return wire.unpack_reply(frame[1])

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


def connect(home: Home) -> Connection | None:
    """A connection to the repository's daemon, None when none answers."""
    path = local.endpoint(home.state_dir)
    if path is None:
        return None
    try:
        return Connection(path)
    except OSError:
        return None


@contextmanager
def operations(home: Home, environ: Mapping[str, str] = os.environ) -> Iterator[Submit]:
    """A way to call operations: the daemon's, or this process's own when none runs."""
    home.require_set_up()
    daemon = connect(home) if environ.get("TASKD_NO_DAEMON", "0") in ("", "0") else None
    if daemon is not None:
        try:
            yield daemon.submit
        finally:
            daemon.close()
        return
    here = local.Here(home)
    try:
        yield here.submit
    finally:
        here.close()


def install(
    home: Home,
    layout: str | None,
    tasks_dir: str | None,
    *,
    dry_run: bool,
    program: Sequence[str] = ("taskd",),
) -> dict[str, Any]:
    """Set a repository up, as `local.install`; again is harmless, as something else is Refused."""
    if home.is_set_up():
        for wanted, has in ((layout, home.config.layout), (tasks_dir, home.config.tasks_dir)):
            if wanted not in (None, has):
                reason = (
                    f"taskd is set up here with the {home.config.layout} layout and {home.config.tasks_dir}/"
                )
                raise Refused(reason=f"{reason}, not {wanted}; `taskd uninit` first, then init again")
    return local.install(home, layout, tasks_dir, dry_run=dry_run, program=program)


def caller(
    directory: Path,
    environ: Mapping[str, str],
    *,
    actor: str | None = None,
    session: str | None = None,
    token: int | None = None,
    request_id: str | None = None,
) -> wire.Caller:
    """Who calls, as options and environment tell; the engine fills in worktree and git user."""
    told = next((environ[name] for name in SESSIONS if environ.get(name)), None)
    return wire.Caller(
        actor=actor if actor is not None else environ.get("TASKD_ACTOR") or None,
        session=session if session is not None else told,
        directory=os.path.realpath(directory),
        token=token,
        request_id=request_id,
    )


def where(home: Home) -> dict[str, object]:
    """Where things are: `{repo, common_dir, tasks_dir, layout, store, socket, workspace}`."""
    place = local.endpoint(home.state_dir) or local.socket_place(home.repository.common_dir)
    return {
        "repo": str(home.top),
        "common_dir": str(home.repository.common_dir),
        "tasks_dir": home.config.tasks_dir,
        "layout": home.config.layout if home.is_set_up() else None,
        "store": str(home.index),
        "socket": str(place),
        "workspace": str(home.workspace),
    }
