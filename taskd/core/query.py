"""What a caller wants to see, as a value that every store can answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SORTS: Final = ("rank", "id", "name", "created", "updated", "priority", "due", "status")


@dataclass(frozen=True, slots=True)
class Query:
    """Every filter given must hold; an empty query finds every live task.

    `statuses` are effective ones: a pending task with an unfinished dependency counts as blocked.
    `path` matches the directory and everything below it. `after` continues behind the task with
    that id in the order of `sort` (a cursor). `rank` order: priority (critical first, not assessed
    last), age, id.
    """

    statuses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    assignee: str | None = None
    path: str | None = None
    priorities: tuple[str, ...] = ()
    parent: str | None = None
    #: pending, every dependency completed, not claimed (a lapsed claim does not count)
    ready: bool = False
    #: tasks whose live claim this participant holds
    holder: str | None = None
    #: some of scope, risk, impact, level is NULL
    unassessed: bool = False
    #: case-insensitive words that all occur in name, body, tags or notes
    search: str | None = None
    deleted: bool = False
    sort: str = "rank"
    limit: int | None = None
    after: str | None = None
