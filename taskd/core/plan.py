"""What reconciling is given and what it decides, as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from taskd.core.merge import LineMerger
from taskd.core.task import Task

#: what `status_edits` may say
REQUEST: Final = "request"
IGNORE: Final = "ignore"

#: the field of a clash that is about the whole text: what was written beside the fields' values
TEXT: Final = "text"


@dataclass(frozen=True, slots=True)
class Head:
    """The index's present version: the task and the document it reads as."""

    task: Task
    text: bytes


@dataclass(frozen=True, slots=True)
class Context:
    """Everything outside the document that the decision may rest on."""

    now: str
    #: who a change of this replica is ascribed to
    participant: str
    merger: LineMerger
    #: unfinished dependencies of the task as the document has it
    blocked_by: Callable[[tuple[str, ...]], tuple[str, ...]]
    #: whether following depends_on from the first leads to the second
    reaches: Callable[[str, str], bool]
    #: who made the index's last change of status
    status_by: Callable[[], str | None]
    status_edits: str = REQUEST
    #: whether git put the document there: then nobody asks for a status
    brought: bool = False


@dataclass(frozen=True, slots=True)
class Clash:
    """A change of the document that cannot stand beside the index's own.

    `field` is `TEXT`, and the values whole documents, where comments could not be brought in.
    """

    field: str
    base: object
    index: object
    file: object


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request in the document that was not granted."""

    field: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from one document.

    `task` is the new head (revision, text hash and file are the caller's to set) and `text` its
    document; `steps` are the statuses passed through on the way, in order.
    """

    task: Task
    text: bytes
    clashes: tuple[Clash, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    steps: tuple[Task, ...] = field(default=())
