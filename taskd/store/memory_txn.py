"""Writing the index in memory: every change of `Txn`, made on copies of the tables it touches."""

from __future__ import annotations

import copy
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from taskd.core.task import ContextItem, Feedback, Note, Participant, PrivateNote, Task
from taskd.core.texts import text_hash
from taskd.errors import Fenced, IdTaken, NotFound, Stale
from taskd.store.base import Base, Conflict, Entry, Errand, Hold, Intent, Problem, Txn, WorktreeRow
from taskd.store.memory_view import MemoryView, State
from taskd.store.values import (
    bare,
    demand_hours,
    jsoned,
    settled_problems,
    unkeepable_number,
    unkeepable_text,
    without_records,
)

_RECORDS: Final = ("notes", "participants", "context", "private_notes", "feedback")
_NUMBERS: Final = range(-(2**63), 2**63)


class MemoryTxn(MemoryView, Txn):
    """One write in the making, on its own copies."""

    def __init__(self, state: State, now: str) -> None:
        """Begin with `state`, whose tables are shared with snapshots and not to be changed."""
        super().__init__(copy.copy(state), now)
        self._owned: set[str] = set()

    def _table(self, name: str) -> Any:  # noqa: ANN401 - a table of any of the types of State
        """A table to change: this write's own copy."""
        state = self._state
        if name not in self._owned:
            setattr(state, name, dict(getattr(state, name)))
            self._owned.add(name)
        return getattr(state, name)

    def _number(self, kind: str) -> int:
        """The next number of a kind."""
        counters = self._table("counters")
        counters[kind] = counters.get(kind, 0) + 1
        return int(counters[kind])

    def take(self) -> State:
        """The state as this write leaves it."""
        return self._state

    def demand_epoch(self, ours: int) -> None:
        """Fenced unless the index's epoch is still `ours`."""
        if (epoch := self._state.counters.get("epoch", 0)) != ours:
            raise Fenced(epoch=epoch, ours=ours)

    def skip_ahead(self, number: int) -> None:
        """Give out no journal number and no claim token up to `number` any more."""
        counters = self._table("counters")
        counters["journal"] = max(number, counters.get("journal", 0))
        tasks = self._table("tasks")
        tasks.update({id: replace(task, fence=max(number, task.fence)) for id, task in tasks.items()})

    def raise_epoch(self) -> int:
        """Make every earlier epoch old."""
        return self._number("epoch")

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """A part that is undone alone."""
        before, self._kept = self._state, copy.copy(self._state)
        self._owned = set()
        try:
            yield
        except BaseException:
            self._kept = before
            raise
        finally:
            self._owned = set()

    def put(self, new: Task, old: Task | None) -> None:
        """Insert a task, or update it from `old`."""
        if old is not None and new.id != old.id:
            reason = f"put cannot make {old.id} into {new.id}; rename does"
            raise ValueError(reason)
        stored = self._state.tasks.get(new.id)
        if old is None:
            self._demand_free(new.id)
        elif stored is None or stored.revision != old.revision:
            raise Stale(task=new.id)
        demand_hours(new)
        extra = MappingProxyType(json.loads(jsoned(new.extra)))
        records: dict[str, Any] = {name: getattr(stored, name, ()) for name in _RECORDS}
        self._store(replace(bare(_plain(new)), extra=extra, **records), old)

    def _store(self, new: Task, old: Task | None) -> None:
        heads = self._table("heads")
        if old is None or (new.revision, new.text) != (old.revision, old.text):
            heads.pop((new.id, new.revision, new.text), None)
            heads[new.id, new.revision, new.text] = None
        if old is not None and old.deleted_at is None and new.deleted_at is not None:
            new = without_records(new)
            for conflict in self.conflicts(new.id):
                self.drop_conflict(conflict.id)
        self._table("tasks")[new.id] = new

    def _demand_free(self, id: str) -> None:
        if self.taken([id]):
            raise IdTaken(id=id)

    def rename(self, old: str, new: str) -> None:
        """Give a task another id. NotFound without the task; a former name of its own may come back."""
        if old not in self._state.tasks:
            raise NotFound(old)
        if new == old:
            return
        if self._canonical(new) != old:
            self._demand_free(new)
        self._rename_tasks(old, _plain(new))
        aliases = {alias: new if task == old else task for alias, task in self._state.aliases.items()}
        self._state.aliases = {alias: task for alias, task in aliases.items() if alias != new} | {old: new}
        self._rename_records(old, new)
        self._rename_errands(old, new)

    def _rename_tasks(self, old: str, new: str) -> None:
        tasks = {}
        for task in self._state.tasks.values():
            edges = tuple(slug for slug in task.depends_on if not (slug == old and new in task.depends_on))
            tasks[new if task.id == old else task.id] = replace(
                task,
                id=new if task.id == old else task.id,
                depends_on=tuple(new if slug == old else slug for slug in edges),
                parent=new if task.parent == old else task.parent,
            )
        self._state.tasks = tasks

    def _rename_records(self, old: str, new: str) -> None:
        state = self._state
        heads = ((new if id == old else id, revision, text) for id, revision, text in state.heads)
        state.heads = dict.fromkeys(heads)
        state.heard = dict.fromkeys((new if id == old else id, text) for id, text in state.heard)
        for name in ("bases", "intents", "conflicts"):
            table = getattr(state, name)
            renamed = {
                key: replace(value, task=new) if value.task == old else value for key, value in table.items()
            }
            setattr(state, name, renamed)
        state.problems = {
            place: tuple(replace(p, task=new) if p.task == old else p for p in problems)
            for place, problems in state.problems.items()
        }
        state.holds = {
            id: replace(hold, tasks=tuple(new if task == old else task for task in hold.tasks))
            for id, hold in state.holds.items()
        }

    def _rename_errands(self, old: str, new: str) -> None:
        """One errand a target is enough, the later of the two."""
        errands: dict[tuple[str, str], int] = {}
        for (target, task), seq in self._state.errands.items():
            place = (target, new if task == old else task)
            errands[place] = max(seq, errands.get(place, 0))
        self._state.errands = errands

    def _add(self, task: str, name: str, record: object) -> None:
        """Append a record to a task."""
        self._set(task, name, (*getattr(self._demand_task(task), name), _plain(record)))

    def _set(self, task: str, name: str, records: Iterable[Any]) -> None:
        changes: dict[str, Any] = {name: tuple(records)}
        self._table("tasks")[task] = replace(self._demand_task(task), **changes)

    def _demand_task(self, id: str) -> Task:
        if (task := self._state.tasks.get(id)) is None:
            raise NotFound(id)
        return task

    def add_note(self, task: str, note: Note) -> None:
        """Append a note."""
        self._add(task, "notes", note)

    def add_private_note(self, task: str, note: PrivateNote) -> None:
        """Append a private note."""
        self._add(task, "private_notes", note)

    def add_feedback(self, task: str, feedback: Feedback) -> None:
        """Append feedback."""
        self._add(task, "feedback", feedback)

    def put_participant(self, task: str, participant: Participant) -> None:
        """Add a participant, or change the role; when they joined stays."""
        known = {present.name: present for present in self._demand_task(task).participants}
        before = known.get(participant.name, participant)
        known[participant.name] = replace(_plain(participant), joined_at=before.joined_at)
        self._set(task, "participants", sorted(known.values(), key=lambda one: (one.joined_at, one.name)))

    def put_context(self, task: str, item: ContextItem) -> None:
        """Set one shared key."""
        known = {present.key: present for present in self._demand_task(task).context}
        known[item.key] = _plain(item)
        self._set(task, "context", (known[key] for key in sorted(known)))

    def record(self, entries: Sequence[Entry]) -> int:
        """Append to the journal; the number of the last entry, of the journal's last without entries."""
        journal = self._table("journal")
        for entry in entries:
            old, new = _json_value(entry.old), _json_value(entry.new)
            seq = self._number("journal")
            journal[seq] = replace(_plain(entry), old=old, new=new, seq=seq)
        return self._state.counters.get("journal", 0)

    def keep(self, text: bytes) -> str:
        """Keep a text."""
        name = text_hash(text)
        self._table("texts")[name] = bytes(text)
        return name

    def hear(self, task: str, text: str) -> None:
        """Know a text of a task."""
        self._demand_task(task)
        self._table("heard")[_plain(task), _plain(text)] = None

    def put_base(self, base: Base) -> None:
        """Set the base of one replica."""
        _plain(replace(base, stamp=None))  # a stamp may have numbers of any size
        self._table("bases")[base.worktree, base.path] = base

    def carry(self, worktree: str, path: str, text: str) -> None:
        """Note down what a replica carries."""
        before = [one for one in self.carried(worktree, path) if one != text]
        self._table("carried")[_plain(worktree), _plain(path)] = (*before, _plain(text))

    def drop_carried(self, worktree: str, path: str) -> None:
        """Forget what a replica has carried."""
        self._table("carried").pop((worktree, path), None)

    def drop_base(self, worktree: str, path: str) -> None:
        """Forget one replica, but for what it has carried."""
        self._table("bases").pop((worktree, path), None)

    def drop_bases(self, worktree: str) -> None:
        """Forget every replica of a worktree."""
        for table in ("bases", "carried"):
            for where in [key for key in self._table(table) if key[0] == worktree]:
                self._table(table).pop(where)

    def open_intent(self, intent: Intent) -> int:
        """Put an intent on record."""
        id = self._number("intents")
        self._table("intents")[id] = replace(_plain(intent), id=id)
        return id

    def close_intent(self, id: int) -> None:
        """The intent is over."""
        self._table("intents").pop(id, None)

    def put_conflict(self, conflict: Conflict) -> int:
        """Open a conflict; of an equal one the other two values are brought up to date."""
        values = {name: _json_value(getattr(conflict, name)) for name in ("base", "index", "file")}
        new: Conflict = replace(_plain(conflict), **values)
        same = [known for known in self.conflicts() if _conflict_key(known) == _conflict_key(new)]
        id, since = (same[0].id, same[0].since) if same else (self._number("conflicts"), new.since)
        self._table("conflicts")[id] = replace(new, id=id, since=since)
        return id

    def drop_conflict(self, id: int) -> None:
        """The conflict is settled."""
        self._table("conflicts").pop(id, None)

    def put_problems(self, worktree: str, path: str, problems: Sequence[Problem]) -> bool:
        """Set the problems of one file."""
        old = self._state.problems.get((worktree, path), ())
        new = settled_problems(worktree, path, old, map(_plain, problems), self.now())
        if new == old:
            return False
        self._table("problems")[worktree, path] = new
        return True

    def put_hold(self, hold: Hold) -> int:
        """Open a hold in place of the worktree's earlier one; the same again is the same hold."""
        for known in self.holds():
            if known.worktree == hold.worktree:
                if (known.tasks, known.reason) == (hold.tasks, hold.reason):
                    return known.id
                self.drop_hold(known.id)
        id = self._number("holds")
        self._table("holds")[id] = replace(_plain(hold), id=id)
        return id

    def drop_hold(self, id: int) -> None:
        """The hold was answered."""
        self._table("holds").pop(id, None)

    def enqueue(self, target: str, tasks: Iterable[str]) -> None:
        """Put tasks at the end of the queue."""
        for task in tasks:
            self._table("errands")[_plain(target), _plain(task)] = self._number("errands")

    def dequeue(self, errands: Iterable[Errand]) -> None:
        """Take errands off that are still the same."""
        queue = self._table("errands")
        for errand in errands:
            if queue.get((errand.target, errand.task)) == errand.seq:
                del queue[errand.target, errand.task]

    def put_worktree(self, row: WorktreeRow) -> None:
        """Know a worktree."""
        self._table("worktrees")[row.key] = _plain(row)

    def drop_worktree(self, key: str) -> None:
        """Forget a worktree and what was known of its files."""
        self._table("worktrees").pop(key, None)
        self.drop_bases(key)
        for problem in self.problems(key):
            self._table("problems").pop((key, problem.path), None)
        for hold in self.holds():
            if hold.worktree == key:
                self.drop_hold(hold.id)

    def put_meta(self, key: str, value: str | None) -> None:
        """Set or clear a setting."""
        if value is None:
            self._table("meta").pop(key, None)
        else:
            self._table("meta")[_plain(key)] = _plain(value)

    def put_reply(self, request: str, reply: str) -> None:
        """Remember the first answer to a request."""
        self._table("replies").setdefault(_plain(request), _plain(reply))


def _conflict_key(conflict: Conflict) -> tuple[str, str, str, str]:
    return conflict.task, conflict.field, conflict.worktree, jsoned(conflict.file, canonical=True)


def _json_value(value: object) -> object:
    """A JSON value as it comes back from its text: tuples are lists, keys are texts."""
    return json.loads(jsoned(value, canonical=False))


def _plain(value: Any) -> Any:  # noqa: ANN401 - gives back what it was given
    """The same value. BadValue when a store on disk could not keep it: lone surrogates, too large numbers."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise unkeepable_text(error) from error
    elif isinstance(value, int) and value not in _NUMBERS:
        raise unkeepable_number()
    elif isinstance(value, (tuple, list)):
        _ = [_plain(part) for part in value]
    elif isinstance(value, Mapping):
        _ = [_plain(part) for item in value.items() for part in item]
    elif is_dataclass(value):
        _ = [_plain(getattr(value, each.name)) for each in fields(value)]
    return value
