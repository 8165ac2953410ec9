"""A command run inside the daemon, for the caller that sent it over the socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from taskd import client, frames
from taskd.cli.app import run_command
from taskd.cli.session import Session, Terminal


def run_for(
    call: frames.Call, submit: client.Submit, send: Callable[[bytes, bytes], None], log: Callable[..., object]
) -> int:
    """Run a command line inside the daemon for the caller that sent it; its exit code.

    What is printed goes to `send` with the kind of its frame, faults of ours to `log`.
    """
    session = Session(
        Path(call.cwd),
        call.env,
        Terminal(call.out_tty, call.columns, call.out_tty and not call.env.get("NO_COLOR")),
        lambda: call.stdin,
        lambda data: send(b"O", data),
        daemon=submit,
    )
    return run_command(
        call.argv,
        session,
        lambda data: send(b"E", data),
        lambda error: log("command.failed", verb=list(call.argv[:1]), error=repr(error)),
    )
