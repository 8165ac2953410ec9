"""Where the daemon's events go: a rotated JSON file always, and lines for people or journald."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import queue
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

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
        yield structlog.wrap_logger(logger, processors=_processors(), wrapper_class=_bound(level))
    finally:
        logger.removeHandler(handler)
        listener.stop()
        file.close()


def _bound(level: str) -> Any:  # noqa: ANN401 - structlog makes the class
    return structlog.make_filtering_bound_logger(getattr(logging, level.upper()))


def _processors() -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.dict_tracebacks,
        _bounded,
        structlog.processors.JSONRenderer(serializer=_dump),
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


def human_line(line: str, *, times: bool = True) -> str:
    """A JSON line of the log as people read it."""
    try:
        event = dict(json.loads(line))
    except (ValueError, TypeError):
        return line
    at, level, name = (str(event.pop(key, "")) for key in ("timestamp", "level", "event"))
    facts = " ".join(f"{key}={_short(value)}" for key, value in event.items())
    shown = f"{at[11:23]} {level:<7} " if times else ""
    return f"{shown}{name} {facts}".rstrip()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else text[:199] + "…"  # noqa: PLR2004 - a line for people


def last_lines(path: Path, count: int) -> list[str]:
    """The newest `count` lines of the log, oldest first."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - count * 1024))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
