"""Operations that only read."""

from __future__ import annotations

from dataclasses import asdict

from taskd import wire
from taskd.core.fields import FIELDS, status_of
from taskd.core.query import SORTS, Query
from taskd.engine.desk import Desk
from taskd.errors import BadValue


def list_tasks(desk: Desk, p: wire.List) -> object:
    """The tasks that match every filter."""
    return desk.tell_all(desk.txn.tasks(query_of(desk, p)))


def query_of(desk: Desk, p: wire.List) -> Query:
    """The query a caller's filters mean; BadValue for words that mean nothing."""
    if p.sort not in SORTS:
        raise BadValue(field="sort", value=p.sort, reason=f"choose one of {', '.join(SORTS)}")
    statuses = tuple(_status(word) for word in p.status) + (("blocked",) if p.blocked else ())
    return Query(
        statuses=statuses,
        tags=p.tag,
        assignee=p.assignee,
        path=p.path.strip("/") if p.path else None,
        priorities=tuple(_priority(word) for word in p.priority),
        parent=p.parent,
        ready=p.ready,
        holder=desk.who.actor if p.mine else None,
        unassessed=p.unassessed,
        search=p.search,
        sort=p.sort,
        limit=p.limit,
        after=p.after,
    )


def show_task(desk: Desk, p: wire.One) -> object:
    """One task with everything that belongs to it."""
    return desk.tell(desk.find(p.id).id)


def show_history(desk: Desk, p: wire.History) -> object:
    """The journal, oldest first."""
    task = _named(desk, p.id) if p.id else None
    newest = p.limit is not None and p.after == 0
    return [asdict(entry) for entry in desk.txn.journal(task, p.after, p.limit, newest=newest)]


def list_problems(desk: Desk, _: wire.Nothing) -> object:
    """What is wrong with which file, and what mends it."""
    return [asdict(problem) for problem in desk.txn.problems() if problem.kind != "notice"]


def _named(desk: Desk, word: str) -> str:
    """A task's id, a deleted one's too: its history outlives it."""
    task = desk.txn.task(word)
    return task.id if task is not None else desk.find(word).id


def _status(word: str) -> str:
    status = status_of(word)
    if status is None:
        raise BadValue(
            field="status", value=word, reason=f"choose one of {', '.join(FIELDS['status'].values)}"
        )
    return status.value


def _priority(word: str) -> str:
    if word not in FIELDS["priority"].values:
        allowed = ", ".join(FIELDS["priority"].values)
        raise BadValue(field="priority", value=word, reason=f"choose one of {allowed}")
    return word
