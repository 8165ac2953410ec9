"""Where the daemon's events go: a rotated JSON file always, and lines for people or journald."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import queue
import sys
import time
from collections.abc import Generator, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

SIZE: Final = 4 << 20  # bytes of a log file before it is rotated
KEPT: Final = 3  # rotated files beside the current one
LENGTH: Final = 4096  # characters of one value; a fault with a huge text must not fill the disk

#: systemd's priorities by level, see sd-daemon(3)
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

Event = MutableMapping[str, Any]


def log_file(state_dir: Path) -> Path:
    """The daemon's log."""
    return state_dir / "logs" / "daemon.jsonl"


@contextmanager
def logging_to(state_dir: Path, level: str, environ: Mapping[str, str]) -> Iterator[Any]:
    """A logger whose lines are written by a thread of its own, in order, until the block ends."""
    import structlog.tracebacks  # noqa: PLC0415 - 50 ms, and only a daemon writes the log

    path = log_file(state_dir)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(path, maxBytes=SIZE, backupCount=KEPT, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [file, *_console(environ)]
    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(lines, *handlers)
    logger = logging.getLogger("taskd.daemon")
    logger.propagate = False
    logger.setLevel(level.upper())
    handler = logging.handlers.QueueHandler(lines)
    logger.addHandler(handler)
    logging.raiseExceptions = False
    listener.start()
    try:
        bound = structlog.make_filtering_bound_logger(getattr(logging, level.upper()))
        yield structlog.wrap_logger(
            logger, processors=_processors(structlog.processors, structlog.tracebacks), wrapper_class=bound
        )
    finally:
        logger.removeHandler(handler)
        listener.stop()
        file.close()


def _processors(made: Any, tracebacks: Any) -> list[Any]:  # noqa: ANN401 - modules of structlog
    return [
        made.add_log_level,
        made.TimeStamper(fmt="iso", utc=True),
        # without local variables: among them are the texts of tasks, and nobody reads 100 KB of them
        made.ExceptionRenderer(tracebacks.ExceptionDictTransformer(show_locals=False)),
        _bounded,
        made.JSONRenderer(serializer=_dump),
    ]


def _bounded(_logger: object, _method: str, event: Event) -> Event:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > LENGTH:
            event[key] = value[:LENGTH] + "…"
    return event


def _dump(event: Event, **_: object) -> str:
    return json.dumps(event, default=repr)


def _console(environ: Mapping[str, str]) -> list[logging.Handler]:
    if "JOURNAL_STREAM" not in environ and not sys.stderr.isatty():
        return []
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Journal() if "JOURNAL_STREAM" in environ else _Human())
    return [handler]


class _Human(logging.Formatter):
    """One line a person can read."""

    def format(self, record: logging.LogRecord) -> str:
        return human_line(record.getMessage())


class _Journal(logging.Formatter):
    """One line with systemd's priority in front."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelname.lower(), 6)
        return f"<{priority}>{human_line(record.getMessage(), times=False)}"


def event(line: str) -> dict[str, Any]:
    """A line of the log as what it says; one that is no JSON is its own `event`."""
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):
        return {"event": line}


def human_line(line: str, *, times: bool = True) -> str:
    """A JSON line of the log as people read it."""
    told = event(line)
    at, level, name = (str(told.pop(key, "")) for key in ("timestamp", "level", "event"))
    facts = " ".join(f"{key}={_short(value)}" for key, value in told.items())
    shown = f"{at[:10]} {at[11:23]} {level:<7} " if times and at else ""
    return f"{shown}{name} {facts}".rstrip()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= 200 else shown[:199] + "…"  # noqa: PLR2004 - a line for people


def last_lines(path: Path, count: int) -> tuple[list[str], int]:
    """The newest `count` whole lines, oldest first, and where in the file they end, in bytes.

    The file before the last rotation helps out when there are too few.
    """
    found, end = _tail(path, count)
    if len(found) < count:
        found = _tail(path.with_name(f"{path.name}.1"), count - len(found))[0] + found
    return [line.decode("utf-8", "replace") for line in found], end


def _tail(path: Path, count: int) -> tuple[list[bytes], int]:
    try:
        with path.open("rb") as file:
            data = file.read()  # at most SIZE
    except FileNotFoundError:
        return [], 0
    end = data.rfind(b"\n") + 1
    return data[:end].splitlines()[-count:], end


def follow(path: Path, count: int, pause: float) -> Generator[str, None, None]:
    """The newest lines of the log, then every line as it comes, for ever; a rotation loses none.

    `pause` is the time in seconds between looks. The file need not be there yet.
    """
    found, at = last_lines(path, count)
    yield from found
    while not path.exists():
        time.sleep(pause)
    file, rest = path.open("rb"), b""
    file.seek(at)
    try:
        while True:
            rotated = _is_rotated(path, file)  # asked first: what is read after it is all there will be
            *whole, rest = (rest + file.read()).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
            if rotated:
                file.close()
                file, rest = path.open("rb"), b""
            elif not whole:
                time.sleep(pause)
    finally:
        file.close()


def _is_rotated(path: Path, file: BinaryIO) -> bool:
    """Whether the path leads to another file now; not while there is none, between two renames."""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
