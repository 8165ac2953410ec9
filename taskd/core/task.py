"""Tasks and what belongs to them, as frozen values.

Times are ISO 8601 in UTC with milliseconds and `Z` where taskd made them; authored times stay as
their author wrote them. Hours are decimal hours. `None` in an assessment means not assessed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

NO_EXTRA: Final[Mapping[str, object]] = MappingProxyType({})


class Status(enum.StrEnum):
    """Where a task stands."""

    #: nobody has begun
    PENDING = "pending"
    #: somebody works on it
    IN_PROGRESS = "in-progress"
    #: done
    COMPLETED = "completed"
    #: tried and given up, for now
    FAILED = "failed"
    #: cannot go on, for a stated reason
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One success criterion; `measurable` says how to tell, `met` whether it was ticked."""

    criterion: str
    measurable: str | None = None
    met: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A participant's exclusive right to a task until `expires`."""

    holder: str
    session: str
    worktree: str
    token: int
    since: str
    expires: str


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on a task; notes are only ever appended."""

    at: str
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is, 0 to 100, as last reported."""

    percent: int
    text: str
    at: str
    by: str


@dataclass(frozen=True, slots=True)
class Participant:
    """Who takes part in a task, and as what."""

    name: str
    role: str
    joined_at: str


@dataclass(frozen=True, slots=True)
class ContextItem:
    """One shared key of a task."""

    key: str
    value: str
    at: str
    by: str


@dataclass(frozen=True, slots=True)
class PrivateNote:
    """A note that only its author is shown; never mirrored."""

    at: str
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """A rating of finished work; quality and timeliness from 1 to 5."""

    at: str
    by: str
    quality: int
    timeliness: int
    notes: str


@dataclass(frozen=True, slots=True)
class MergeInfo:
    """The commit that brought the work in."""

    commit: str
    date: str | None = None
    author: str | None = None
    pr: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the index has it: the authored fields of its document and the runtime fields.

    `file` is the document's place relative to the tasks directory, `/` separated; `path` is the
    directory part of it, `""` at the top. `text` is the hash of the head's document.
    """

    id: str
    name: str
    file: str
    # -- authored
    depends_on: tuple[str, ...] = ()
    parent: str | None = None
    scope: str | None = None
    risk: str | None = None
    impact: str | None = None
    level: str | None = None
    priority: str | None = None
    tags: tuple[str, ...] = ()
    assignee: str | None = None
    due: str | None = None
    estimate: float | None = None
    success_criteria: tuple[Criterion, ...] = ()
    created: str | None = None
    modified: str | None = None
    body: str = ""
    extra: Mapping[str, object] = field(default_factory=lambda: NO_EXTRA)
    # -- runtime
    status: Status = Status.PENDING
    #: why it is blocked by hand, or why it failed
    reason: str | None = None
    started: str | None = None
    completed: str | None = None
    claim: Claim | None = None
    #: the highest claim token ever given for this task
    fence: int = 0
    progress: Progress | None = None
    completion_summary: str | None = None
    actual_hours: float | None = None
    merge: MergeInfo | None = None
    #: loaded only where asked for (`View.task`)
    notes: tuple[Note, ...] = ()
    participants: tuple[Participant, ...] = ()
    context: tuple[ContextItem, ...] = ()
    private_notes: tuple[PrivateNote, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    # -- the index's own
    revision: int = 0
    text: str = ""
    created_at: str = ""
    updated_at: str = ""
    #: when it was deleted; a tombstone stays so that its id is never handed out again
    deleted_at: str | None = None
    archived_at: str | None = None

    @property
    def path(self) -> str:
        """The directory below tasks/, `""` at the top."""
        return self.file.rpartition("/")[0]
