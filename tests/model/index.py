"""What the index says, in the judge's words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from taskd.core.task import Task
from taskd.store.base import Entry, View
from tests.engine.bench import Database
from tests.model.sayings import Found, Row, Step, breaks
from tests.model.texts import IN, Said, read


@dataclass
class Index:
    """A look at an index, which remembers how far it has read the journal."""

    db: Database
    fences: dict[str, int] = field(default_factory=dict)
    _seq: int = 0

    def texts(self) -> dict[str, tuple[str, str]]:
        """The text and status of each head."""
        with self.db.read() as view:
            return {id: (t.text, t.status.value) for id in view.live() if (t := view.task(id)) is not None}

    def dead(self, ids: Collection[str]) -> set[str]:
        """Those of the tasks that have a tombstone."""
        with self.db.read() as view:
            return {id for id in ids if (task := view.task(id)) is not None and task.deleted_at}

    def found(self, known: Collection[str]) -> Found:
        """What it says now, and what is new in the journal; of `known` those that are gone."""
        news = self._news()
        with self.db.read() as view:
            heads = {id: _said_by(view, id) for id in view.live()}
            rows = [Row(c.task, c.field, c.worktree, str(c.index), str(c.file)) for c in view.conflicts()]
        steps = [
            Step(entry.task, str(entry.old), str(entry.new), entry.cause, entry.worktree)
            for entry in news
            if entry.field == "status"
        ]
        new = {
            entry.task: str(entry.new.get("status", "pending"))
            for entry in news
            if entry.field == "*" and entry.old is None and isinstance(entry.new, dict)
        }
        return Found(heads, rows, steps, frozenset(known) - heads.keys(), new)

    def _news(self) -> Sequence[Entry]:
        with self.db.read() as view:
            news = view.journal(after=self._seq)
        self._seq = news[-1].seq if news else self._seq
        return news

    def judge_claims(self) -> None:
        """I10: tokens only grow, and a claim has the last one given."""
        with self.db.read() as view:
            tasks = [_task_of(view, id) for id in view.live()]
        for task in tasks:
            if task.fence < self.fences.get(task.id, 0):
                breaks("I10", f"{task.id}: token {task.fence} after {self.fences[task.id]}")
            self.fences[task.id] = task.fence
            if task.claim is not None and task.claim.token != task.fence:
                breaks("I10", f"{task.id}: claimed with {task.claim.token}, {task.fence} was given")


def _task_of(view: View, id: str) -> Task:
    task = view.task(id)
    assert task is not None
    return task


def _said_by(view: View, id: str) -> Said:
    """What a head says, which is what its text says."""
    task = _task_of(view, id)
    text = view.text(task.text).decode()
    said = read(text)
    if said is None:
        breaks("I8", f"the head of {id} cannot be read: {text}")
    slots = {"name": task.name, "assignee": task.assignee, "team": task.extra.get("team")}
    fields = {key: str(value) for key, value in slots.items() if value is not None}
    fields |= {f"tag:{tag}": IN for tag in task.tags}
    fields |= {slot: IN for slot in said.slots if slot.startswith("line:")}
    if fields != said.slots:
        breaks("I8", f"{id}: the head's text says {said.slots}, its fields {fields}")
    return Said(id, task.status.value, fields)
