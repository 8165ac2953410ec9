"""The full program: runs a command in this process."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from taskd.cli import answers, process, verbs, work  # noqa: F401 - they register themselves
from taskd.cli.app import run_command
from taskd.cli.session import Session, Terminal


def main(argv: Sequence[str]) -> int:
    """Run a command line in this process; the exit code."""
    try:
        session = Session(Path.cwd(), os.environ, _terminal(), sys.stdin.buffer.read, _writer(1))
        return run_command(argv, session, _writer(2), traceback.print_exception)
    except FileNotFoundError:
        _writer(2)(b"taskd: the directory this was called in is gone\n")
        return 2
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:
        return 130


def _terminal() -> Terminal:
    try:
        columns = os.get_terminal_size(1).columns
    except OSError:
        return Terminal()
    return Terminal(tty=True, columns=columns, colour=not os.environ.get("NO_COLOR"))


def _writer(number: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(number, view) :]

    return write
