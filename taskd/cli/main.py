"""The full program: runs a command in this process, or for a caller of the daemon."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from taskd import client, frames
from taskd.cli.app import internal_error, run_command
from taskd.cli.session import Session, Terminal
from taskd.errors import TaskdError


def main(argv: Sequence[str]) -> int:
    """Run a command line in this process; the exit code."""
    from taskd.cli import process, verbs  # noqa: F401, PLC0415 - they register themselves

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    columns = os.get_terminal_size(1).columns if sys.stdout.isatty() else 0
    session = Session(
        Path.cwd(), os.environ, Terminal(sys.stdout.isatty(), columns, colour), sys.stdin.buffer.read
    )
    try:
        return run_command(argv, session, _writer(1), _writer(2))
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:
        return 130


def run_for(
    call: frames.Call, submit: client.Submit, send: Callable[[bytes, bytes], None], log: Callable[..., object]
) -> int:
    """Run a command line inside the daemon for the caller that sent it."""
    from taskd.cli import process, verbs  # noqa: F401, PLC0415 - they register themselves

    colour = call.out_tty and not call.env.get("NO_COLOR")
    session = Session(
        Path(call.cwd),
        call.env,
        Terminal(call.out_tty, call.columns, colour),
        lambda: call.stdin,
        daemon=submit,
    )
    try:
        return run_command(call.argv, session, lambda data: send(b"O", data), lambda data: send(b"E", data))
    except OSError:
        raise
    except Exception as error:
        log("command.failed", argv=list(call.argv[:2]))
        told: TaskdError = internal_error(error)
        send(b"E", f"taskd: {told.message}\n  {told.advice}\n".encode("utf-8", "backslashreplace"))
        return int(told.kind)


def _writer(number: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(number, view) :]

    return write
