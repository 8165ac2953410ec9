"""Which of watchdog's events count, and how they become paths."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserverVFS

from taskd.repo.replicas import is_task_path

POLL_INTERVAL: Final = 2.0  # seconds; a stat of every file each time, 3 % of a core for 10,000 of them

#: without OPEN and CLOSE_NOWRITE: our own reads must not look like work. Attributes: made readable again
EVENTS: Final[list[type[FileSystemEvent]]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    FileClosedEvent,
    FileAttribEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
    DirAttribEvent,
]


class Handler(FileSystemEventHandler):
    """Tells the paths of events; whatever else an event claims is not looked at."""

    def __init__(
        self, root: Path, tell: Callable[[str], None], lost: Callable[[], None], *, only_tasks: bool
    ) -> None:
        """Tell paths below `root` as the caller spells it; call `lost` when the root itself is gone."""
        self._root = root
        self._tell = tell
        self._lost = lost
        self._only_tasks = only_tasks
        real = os.path.realpath(root)
        # FSEvents gives paths composed, whatever form the root's was in
        self._forms = tuple(dict.fromkeys((real, unicodedata.normalize("NFC", real))))

    def dispatch(self, event: FileSystemEvent) -> None:
        """Tell both paths of the event."""
        for path in {os.fsdecode(event.src_path), os.fsdecode(event.dest_path)} - {""}:
            if path in self._forms:
                if isinstance(event, DirDeletedEvent):
                    self._lost()
            elif (below := self._below(path)) and self._counts(below, event):
                self._tell(f"{self._root}/{below}")

    def _below(self, path: str) -> str:
        """The path relative to the root."""
        return next((path[len(form) + 1 :] for form in self._forms if path.startswith(form + "/")), "")

    def _counts(self, below: str, event: FileSystemEvent) -> bool:
        if not self._only_tasks:
            return True
        if event.is_directory:
            return not any(part.startswith(".") for part in below.split("/"))
        return is_task_path(below)


def poller() -> BaseObserver:
    """An observer that looks at everything every `POLL_INTERVAL`."""

    def list_directory(path: str | None) -> Iterator[os.DirEntry[str]]:
        return os.scandir(path)

    # lstat: the ready-made PollingObserver follows links, round and round
    return PollingObserverVFS(os.lstat, list_directory, polling_interval=POLL_INTERVAL)
