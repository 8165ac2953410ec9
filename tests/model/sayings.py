"""What is said in a history, what is shown of it, and what a broken law is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from tests.model.texts import OUT, Said

TYPED: Final = "typed"  # nobody has looked since
HEARD: Final = "heard"  # it stood in a file when taskd looked
BURIED: Final = "buried"  # it was in a conflict of a task that was deleted, which ends its conflicts (S-12)
MAYBE: Final = "maybe"  # git was at the file meanwhile: nobody can tell whether it still was typed

#: from each status the ones that one transition leads to
LAWFUL: Final[Mapping[str, tuple[str, ...]]] = {
    "pending": ("in-progress", "blocked"),
    "in-progress": ("completed", "failed", "blocked", "pending"),
    "completed": ("pending",),
    "failed": ("in-progress", "pending"),
    "blocked": ("in-progress", "pending"),
}


class BrokenLawError(AssertionError):
    """What a history showed that must not be; the message begins with the number of the invariant."""


@dataclass(frozen=True)
class At:
    """Where something was typed, and how often git had been there."""

    where: str
    foreign: int = 0


@dataclass
class Utterance:
    """One value typed into one slot of a task, at one place, over what was seen there."""

    number: int
    task: str
    slot: str
    value: str
    at: At
    #: numbers of the utterances that were seen when it was typed, and of those that these had seen
    seen: frozenset[int]
    #: the values that were seen
    over: frozenset[str | None]
    #: no other utterance has this value, so wherever it shows it is this one
    unique: bool
    state: str = TYPED
    #: the look at which it was first heard
    since: int = 0
    #: the look at which it was last heard
    last: int = 0
    #: taskd died at that look, so it may have to be heard again
    doubted: bool = False
    #: it stands in a commit that was made by hand, or in a stash
    committed: bool = False


@dataclass
class Request:
    """A status typed into a file."""

    task: str
    status: str
    at: At
    state: str = TYPED
    #: what was typed there has been put away, and may be read elsewhere
    stashed: bool = False


@dataclass(frozen=True)
class Shown:
    """What stands at one place when taskd looks: how often git was there, and what each file says.

    `first`: it was never looked at before.
    `doubtful` are values that may have come back with a text that an editor held open for long.
    """

    foreign: int
    files: Sequence[Said]
    doubtful: frozenset[tuple[str, str, str]] = frozenset()
    #: files of which there are two with one id: which of them is heard is taskd's affair
    copies: Sequence[Said] = ()
    first: bool = False


@dataclass(frozen=True)
class Row:
    """A conflict: whose, in what, and the three values as text."""

    task: str
    field: str
    worktree: str
    index: str
    file: str


@dataclass(frozen=True)
class Step:
    """A status step of the journal."""

    task: str
    old: str
    new: str
    cause: str
    worktree: str


@dataclass(frozen=True)
class Found:
    """What the index says: heads by task (without deleted ones), conflicts, and what is new in the journal.

    `deleted` are tasks that were there before, `new` the statuses with which tasks came.
    """

    heads: Mapping[str, Said]
    rows: Sequence[Row]
    steps: Sequence[Step] = ()
    deleted: frozenset[str] = frozenset()
    new: Mapping[str, str] = field(default_factory=dict)


def breaks(law: str, what: str) -> NoReturn:
    """Say that a law is broken."""
    message = f"{law} {what}"
    raise BrokenLawError(message)


def is_asked(step: Step, asked: list[Request]) -> bool:
    """Whether a request explains a step; the one that ends a request's way uses it up."""
    for request in asked:
        if request.task == step.task and (request.stashed or request.at.where == step.worktree):
            if request.status == step.new:
                asked.remove(request)
                return True
            if step.new == "in-progress" and request.status in ("completed", "failed"):
                return True
    return False


def is_in(said: Utterance, row: Row) -> bool:
    """Whether a conflict keeps what was said."""
    if row.task != said.task:
        return False
    kind, _, word = said.slot.partition(":")
    if kind not in ("tag", "line"):
        return row.field in (kind, "text") and (said.value in row.file or said.value in row.index)
    if row.field not in ("tags", "body", "text"):
        return False
    return (word not in row.file) if said.value == OUT else (word in row.file or word in row.index)
