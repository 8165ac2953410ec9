"""What every store means by the words of the port: live, finished, order, equal, and what can be kept.

The stores differ in how they keep a value, never in what it means; that part stands here once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from taskd.core.query import SORTS, Query
from taskd.core.task import NO_EXTRA, Status, Task
from taskd.errors import BadValue
from taskd.store.base import Problem

#: place of each priority in `rank` order; a word we do not know stands before "not assessed"
RANKS: Final[Mapping[str | None, int]] = {"critical": 0, "high": 1, "medium": 2, "low": 3, None: 5}
UNKNOWN_RANK: Final = 4

#: place of each effective status in `status` order: what moves first, what is over last
STATUS_PLACES: Final[Mapping[str, int]] = {
    Status.IN_PROGRESS.value: 0,
    Status.PENDING.value: 1,
    Status.BLOCKED.value: 2,
    Status.FAILED.value: 3,
    Status.COMPLETED.value: 4,
}

_LOWERED: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def system_clock() -> str:
    """The time now, ISO 8601 UTC with milliseconds and `Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_live(task: Task) -> bool:
    """Whether the task is neither deleted nor archived."""
    return task.deleted_at is None and task.archived_at is None


def is_finished(task: Task | None) -> bool:
    """Whether a dependency on it is met: it exists, archived or not, and is completed."""
    return task is not None and task.deleted_at is None and task.status is Status.COMPLETED


def is_held(task: Task, now: str) -> bool:
    """Whether a claim of the task is live at `now`; at its `expires` it is not."""
    return task.claim is not None and task.claim.expires > now


def rank_of(priority: str | None) -> int:
    """The place of a priority in `rank` order, 0 first."""
    return RANKS.get(priority, UNKNOWN_RANK)


def lowered(name: str) -> str:
    """A name as sorting sees it: ASCII capitals as small letters, as SQLite's NOCASE does."""
    return name.translate(_LOWERED)


def demand_sort(query: Query) -> None:
    """BadValue unless `query.sort` is an order that exists."""
    if query.sort not in SORTS:
        raise BadValue(field="sort", value=query.sort, reason=f"it is one of {', '.join(SORTS)}")


def search_words(search: str | None) -> list[str]:
    """The words of a search, folded so that case does not matter."""
    return (search or "").casefold().split()


def path_prefix(path: str | None) -> str:
    """A directory as `Query.path` means it, without slashes around; "" is the whole tree."""
    return (path or "").strip("/")


def bare(task: Task) -> Task:
    """The task as `put` stores it: a tombstone has no edges of its own and nobody's claim."""
    if task.deleted_at is None or not (task.depends_on or task.claim):
        return task
    return replace(task, depends_on=(), claim=None)


def without_records(task: Task) -> Task:
    """The task without its append-only records."""
    return replace(task, notes=(), participants=(), context=(), private_notes=(), feedback=())


def jsoned(value: object, *, canonical: bool = False) -> str:
    """A JSON value as text; `canonical` makes equal values equal texts. BadValue for NaN and infinity."""
    try:
        return json.dumps(
            value,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            sort_keys=canonical,
            default=_as_dict,
        )
    except ValueError as error:
        raise BadValue(field="value", value=ascii(value)[:80], reason=str(error)) from error


def _as_dict(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    reason = f"{type(value).__name__} is no JSON value"
    raise TypeError(reason)


def extra_of(text: str) -> Mapping[str, object]:
    """Unknown keys read back from their JSON text, not to be changed."""
    return NO_EXTRA if text == "{}" else MappingProxyType(json.loads(text))


def demand_hours(task: Task) -> None:
    """BadValue when an estimate or an actual is no number that can be kept (NaN would become NULL)."""
    for name, hours in (("estimate", task.estimate), ("actual_hours", task.actual_hours)):
        if hours is not None and hours - hours != 0:
            raise BadValue(field=name, value=hours, reason="it is not a finite number of hours")


def unkeepable_text(error: UnicodeEncodeError) -> BadValue:
    """The refusal of a text with a lone surrogate, which no store and no document can hold."""
    return BadValue(
        field="text",
        value=ascii(error.object)[:80],
        reason="it holds a lone surrogate (a byte that is no UTF-8), which cannot be kept",
    )


def unkeepable_number() -> BadValue:
    """The refusal of a whole number beyond 64 bits."""
    return BadValue(field="number", value="beyond 64 bits", reason="numbers are kept in 64 bits")


def settled_problems(
    worktree: str, path: str, old: Sequence[Problem], new: Iterable[Problem], now: str
) -> tuple[Problem, ...]:
    """The problems a file has now, sorted, each once, with the `since` it had before.

    The same trouble on another line is still the same trouble; `since` is `now` where nobody says.
    """
    since = {_trouble(problem): problem.since for problem in reversed(old)}
    placed = (replace(problem, worktree=worktree, path=path) for problem in new)
    dated = (replace(p, since=since.get(_trouble(p)) or p.since or now) for p in placed)
    return tuple(sorted(dict.fromkeys(dated), key=problem_place))


def problem_place(problem: Problem) -> tuple[str, str, int, str, str, str, str, str, str]:
    """Where a problem stands in a list: by worktree, path and line."""
    p = problem
    place = (p.worktree, p.path, p.line or 0, p.kind, p.reason, p.remedy)
    return (*place, p.task or "", p.field or "", p.since)


def _trouble(problem: Problem) -> tuple[str, str, str | None, str | None]:
    return problem.kind, problem.reason, problem.task, problem.field
