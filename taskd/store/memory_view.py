"""The index in dictionaries: its state, and every question of `View` answered from one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from taskd.core.query import Query
from taskd.core.task import Status, Task
from taskd.errors import NotFound, StoreFailed
from taskd.store.base import Base, Conflict, Entry, Errand, Hold, Intent, Problem, View, WorktreeRow
from taskd.store.values import (
    STATUS_PLACES,
    demand_sort,
    is_finished,
    is_held,
    is_live,
    lowered,
    path_prefix,
    problem_place,
    rank_of,
    search_words,
    without_records,
)


@dataclass(slots=True)
class State:
    """One state of the index. A table that snapshots may share is copied before it is changed."""

    tasks: dict[str, Task] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    #: (task, revision, text), in the order they were put
    heads: dict[tuple[str, int, str], None] = field(default_factory=dict)
    heard: dict[tuple[str, str], None] = field(default_factory=dict)
    carried: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    bases: dict[tuple[str, str], Base] = field(default_factory=dict)
    journal: dict[int, Entry] = field(default_factory=dict)
    intents: dict[int, Intent] = field(default_factory=dict)
    conflicts: dict[int, Conflict] = field(default_factory=dict)
    problems: dict[tuple[str, str], tuple[Problem, ...]] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    errands: dict[tuple[str, str], int] = field(default_factory=dict)
    worktrees: dict[str, WorktreeRow] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    #: the last number given out of each kind, and the epoch
    counters: dict[str, int] = field(default_factory=dict)


class MemoryView(View):
    """One state of the index, to read."""

    def __init__(self, state: State, now: str) -> None:
        """Answer from `state`; `now` is the moment by which claims are judged."""
        self._kept: State | None = state
        self._now = now

    @property
    def _state(self) -> State:
        if self._kept is None:
            raise StoreFailed(reason="this view of it is over")
        return self._kept

    def end(self) -> None:
        """Answer nothing from now on."""
        self._kept = None

    def now(self) -> str:
        """The moment this view was opened."""
        return self._now

    def task(self, id: str) -> Task | None:
        """The task with all its records."""
        return self._state.tasks.get(id)

    def tasks(self, query: Query) -> list[Task]:
        """The tasks that match. NotFound when nobody has the id `query.after`."""
        demand_sort(query)
        found = [task for task in self._state.tasks.values() if self._matches(task, query)]
        limit = len(found) if query.limit is None else max(0, query.limit)
        return [without_records(task) for task in self._behind(found, query)[:limit]]

    def _behind(self, found: list[Task], query: Query) -> list[Task]:
        """In order, from behind the cursor on."""
        if query.after is None:
            return self._ordered(found, query.sort)
        last = self._state.tasks.get(self._canonical(query.after))
        if last is None:
            raise NotFound(query.after)
        others = [task for task in found if task.id != last.id]
        ordered = self._ordered([*others, last], query.sort)
        return ordered[ordered.index(last) + 1 :]

    def _ordered(self, tasks: list[Task], sort: str) -> list[Task]:
        by_id = sorted(tasks, key=lambda task: task.id)
        return sorted(by_id, key=lambda task: _KEYS[sort](self, task), reverse=sort == "updated")

    def _matches(self, task: Task, query: Query) -> bool:
        wanted = task.deleted_at is not None if query.deleted else is_live(task)
        return wanted and all(test(self, task, query) for test in _TESTS)

    def _effective(self, task: Task) -> str:
        waits = task.status is Status.PENDING and self._unmet(task)
        return Status.BLOCKED.value if waits else task.status.value

    def _unmet(self, task: Task) -> tuple[str, ...]:
        tasks = self._state.tasks
        slugs = (slug for slug in task.depends_on if not is_finished(tasks.get(self._canonical(slug))))
        return tuple(dict.fromkeys(slugs))

    def _canonical(self, name: str) -> str:
        return self._state.aliases.get(name, name)

    def _live(self) -> list[Task]:
        return [task for task in self._state.tasks.values() if is_live(task)]

    def _has_word(self, task: Task, word: str) -> bool:
        texts = (task.name, task.body, *task.tags, *(note.text for note in task.notes))
        return any(word in text.casefold() for text in texts)

    def many(self, ids: Iterable[str], *, whole: bool = False) -> dict[str, Task]:
        """These tasks."""
        tasks = self._state.tasks
        found = {id: tasks[id] for id in ids if id in tasks}
        return found if whole else {id: without_records(task) for id, task in found.items()}

    def count(self) -> dict[Status, int]:
        """How many live tasks have each stored status, zero included."""
        counts = dict.fromkeys(Status, 0)
        for task in self._live():
            counts[task.status] += 1
        return counts

    def live(self) -> list[str]:
        """The ids of all live tasks."""
        return sorted(task.id for task in self._live())

    def lapsed(self) -> list[str]:
        """The live tasks with a claim that is over."""
        return sorted(task.id for task in self._live() if task.claim and not is_held(task, self._now))

    def resolve(self, prefix: str, limit: int = 10) -> list[str]:
        """The live tasks that a word may mean; a name that is taken means its task and no other."""
        if self.taken([prefix]):
            found = [id for id in self.live() if id == self._canonical(prefix)]
        else:
            found = [id for id in self.live() if id.startswith(prefix)]
        return found[: max(0, limit)]

    def taken(self, ids: Iterable[str]) -> set[str]:
        """Those that some task, tombstone or alias has."""
        return {id for id in ids if id in self._state.tasks or id in self._state.aliases}

    def blockers(self, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The unmet dependencies of each."""
        found = ((id, self._state.tasks.get(self._canonical(id))) for id in ids)
        return {id: self._unmet(task) if task else () for id, task in found}

    def dependents(self, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The live tasks that depend on each, under any of its names."""
        edges = [(task.id, {self._canonical(slug) for slug in task.depends_on}) for task in self._live()]
        names = ((id, self._canonical(id)) for id in ids)
        return {id: tuple(sorted(task for task, on in edges if name in on)) for id, name in names}

    def reaches(self, start: str, goal: str) -> bool:
        """Whether `goal` is found by following edges from `start`; rings are walked once."""
        goal, seen, ahead = self._canonical(goal), set[str](), [self._canonical(start)]
        while ahead:
            if (id := ahead.pop()) == goal:
                return True
            task = None if id in seen else self._state.tasks.get(id)
            seen.add(id)
            ahead += [self._canonical(slug) for slug in task.depends_on] if task else []
        return False

    def children(self, id: str) -> tuple[str, ...]:
        """The live tasks whose parent it is, under any of its names."""
        wanted = self._canonical(id)
        parents = ((task.id, task.parent) for task in self._live())
        return tuple(sorted(task for task, parent in parents if parent and self._canonical(parent) == wanted))

    def head(self, task: str, revision: int) -> str | None:
        """The text hash of one past version; the later one when a revision was put twice."""
        texts = [text for id, number, text in self._state.heads if (id, number) == (task, revision)]
        return texts[-1] if texts else None

    def known(self, task: str, text: str) -> bool:
        """Whether the text is a known one of the task."""
        return text in self.versions(task)

    def versions(self, task: str) -> list[str]:
        """Every known text of the task."""
        had = {text for id, _, text in self._state.heads if id == task}
        return sorted(had | {text for id, text in self._state.heard if id == task})

    def text(self, hash: str) -> bytes:
        """A kept text."""
        return self._state.texts[hash]

    def base(self, worktree: str, path: str) -> Base | None:
        """The base of one replica."""
        return self._state.bases.get((worktree, path))

    def carried(self, worktree: str, path: str) -> list[str]:
        """The texts a replica has carried."""
        return list(self._state.carried.get((worktree, path), ()))

    def bases(self, worktree: str) -> list[Base]:
        """Every base of a worktree."""
        return [base for place, base in sorted(self._state.bases.items()) if place[0] == worktree]

    def bases_of(self, task: str) -> list[Base]:
        """Every base of a task."""
        places = sorted(place for place, base in self._state.bases.items() if base.task == task)
        return [self._state.bases[place] for place in places]

    def journal(
        self, task: str | None = None, after: int = 0, limit: int | None = None, *, newest: bool = False
    ) -> list[Entry]:
        """Entries of all, or of one task under any name it had."""
        entries = [entry for seq, entry in self._state.journal.items() if seq > after]
        if task is not None:
            id = self._canonical(task)
            entries = [entry for entry in entries if self._canonical(entry.task) == id]
        wanted = len(entries) if limit is None else max(0, limit)
        return entries[max(0, len(entries) - wanted) :] if newest else entries[:wanted]

    def intents(self) -> list[Intent]:
        """Every open intent."""
        return [intent for _, intent in sorted(self._state.intents.items())]

    def conflicts(self, task: str | None = None) -> list[Conflict]:
        """Every open conflict, of one task or of all."""
        found = [conflict for _, conflict in sorted(self._state.conflicts.items())]
        return [conflict for conflict in found if task in {None, conflict.task}]

    def problems(self, worktree: str | None = None) -> list[Problem]:
        """Every problem, refusal and notice."""
        found = [p for problems in self._state.problems.values() for p in problems]
        return sorted((p for p in found if worktree in {None, p.worktree}), key=problem_place)

    def holds(self) -> list[Hold]:
        """Every open hold."""
        return [hold for _, hold in sorted(self._state.holds.items())]

    def errands(self, target: str, limit: int | None = None) -> list[Errand]:
        """What is still to be done."""
        found = [Errand(*place, seq) for place, seq in self._state.errands.items() if place[0] == target]
        ordered = sorted(found, key=lambda errand: errand.seq)
        return ordered if limit is None else ordered[: max(0, limit)]

    def worktrees(self) -> list[WorktreeRow]:
        """Every worktree known."""
        return [row for _, row in sorted(self._state.worktrees.items())]

    def meta(self, key: str) -> str | None:
        """One setting."""
        return self._state.meta.get(key)

    def reply(self, request: str) -> str | None:
        """The answer given to a request."""
        return self._state.replies.get(request)


def _is_ready(view: MemoryView, task: Task, _query: Query) -> bool:
    # the class's own: the questions a query asks of one task belong to it
    return view._effective(task) == Status.PENDING and not is_held(task, view.now())  # noqa: SLF001 - see above


def _is_below(task: Task, query: Query) -> bool:
    prefix = path_prefix(query.path)
    return not prefix or f"{task.path}/".startswith(f"{prefix}/")


def _is_holder(view: MemoryView, task: Task, query: Query) -> bool:
    return task.claim is not None and task.claim.holder == query.holder and is_held(task, view.now())


_TESTS: Final[tuple[Callable[[MemoryView, Task, Query], bool], ...]] = (
    lambda view, task, query: not query.ready or _is_ready(view, task, query),
    lambda view, task, query: not query.statuses or view._effective(task) in query.statuses,  # noqa: SLF001 - as above
    lambda _, task, query: set(query.tags) <= set(task.tags),
    lambda _, task, query: query.assignee in {None, task.assignee},
    lambda _, task, query: _is_below(task, query),
    lambda _, task, query: not query.priorities or task.priority in query.priorities,
    lambda _, task, query: query.parent in {None, task.parent},
    lambda view, task, query: query.holder is None or _is_holder(view, task, query),
    lambda _, task, query: not query.unassessed or None in {task.scope, task.risk, task.impact, task.level},
    lambda view, task, query: all(view._has_word(task, word) for word in search_words(query.search)),  # noqa: SLF001 - as above
)

#: what each order compares before the id
_KEYS: Final[dict[str, Callable[[MemoryView, Task], Any]]] = {
    "rank": lambda _, task: (rank_of(task.priority), task.created_at),
    "id": lambda _, task: task.id,
    "name": lambda _, task: lowered(task.name),
    "created": lambda _, task: task.created_at if task.created is None else task.created,
    "updated": lambda _, task: task.updated_at,
    "priority": lambda _, task: rank_of(task.priority),
    "due": lambda _, task: (task.due is None, task.due or ""),
    "status": lambda view, task: STATUS_PLACES[view._effective(task)],  # noqa: SLF001 - as above
}
