"""Reading the SQLite index: every question of `View`, each answered completely before it returns.

No cursor is left open: one that is would keep its snapshot and make the log grow.
"""

# ruff: noqa: S608 - every value is bound; what is put together here are constants of our own

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from taskd.core.query import Query
from taskd.core.task import ContextItem, Feedback, Note, Participant, PrivateNote, Status, Task
from taskd.errors import NotFound, StoreFailed
from taskd.store.base import Base, Conflict, Entry, Errand, Hold, Intent, Problem, View, WorktreeRow
from taskd.store.sqlite_files import TROUBLE, told
from taskd.store.sqlite_query import LIVE, MET, cursor_statement, statement
from taskd.store.sqlite_rows import SELECTED, Row, base_of, conflict_of, criterion_of, entry_of, task_of
from taskd.store.values import demand_sort, problem_place

_TASKS: Final = f"SELECT {SELECTED} FROM tasks t LEFT JOIN claims c ON c.task = t.id"
_AMONG: Final = "IN (SELECT value FROM json_each(?))"
_BASES: Final = "SELECT worktree, path, task, text, stamp, head, blob, seen_ns, moves FROM bases"
_ENTRIES: Final = (
    "SELECT task, field, old, new, at, actor, session, worktree, cause, revision, seq FROM journal"
)
_CONFLICTS: Final = (
    "SELECT task, field, worktree, base_value, index_value, file_value, since, id FROM conflicts"
)
_PROBLEMS: Final = "SELECT worktree, path, line, reason, remedy, task, field, kind, since FROM problems"


@dataclass(frozen=True, slots=True)
class _Part:
    """Part of a task kept in a table of its own: how it is read of one task, of many, and its values."""

    of_one: str
    of_many: str
    make: Callable[[Row], Any]


def _part(columns: str, table: str, order: str, make: Callable[[Row], Any]) -> _Part:
    asked = f"SELECT task, {columns} FROM {table} WHERE task"
    return _Part(f"{asked} = ? ORDER BY {order}", f"{asked} {_AMONG} ORDER BY task, {order}", make)


#: the sets of a task, by the names of their fields
_SETS: Final[Mapping[str, _Part]] = {
    "depends_on": _part("depends_on", "dependencies", "position", itemgetter(0)),
    "tags": _part("tag", "tags", "position", itemgetter(0)),
    "success_criteria": _part("criterion, measurable, met", "criteria", "position", criterion_of),
}
#: and with them its records, in the order they are told
_WHOLE: Final[Mapping[str, _Part]] = {
    **_SETS,
    "notes": _part("at, by, text", "notes", "id", lambda row: Note(*row)),
    "participants": _part(
        "name, role, joined_at", "participants", "joined_at, name", lambda row: Participant(*row)
    ),
    "context": _part("key, value, at, by", "context", "key", lambda row: ContextItem(*row)),
    "private_notes": _part("at, by, text", "private_notes", "id", lambda row: PrivateNote(*row)),
    "feedback": _part("at, by, quality, timeliness, notes", "feedback", "id", lambda row: Feedback(*row)),
}


#: made once: making an encoder costs more than a short list does, and a command needs twenty lists
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode


class SqliteView(View):
    """One state of the index, seen through one connection that is in a transaction."""

    def __init__(self, conn: sqlite3.Connection, now: str) -> None:
        """Answer through `conn`; `now` is the moment by which claims are judged."""
        self._conn: sqlite3.Connection | None = conn
        self._now = now

    def end(self) -> None:
        """Answer nothing from now on: the connection goes to somebody else."""
        self._conn = None

    def _all(self, sql: str, facts: Any = ()) -> list[Any]:  # noqa: ANN401 - what sqlite3 binds
        """Every row of a statement."""
        conn = self._conn
        if conn is None or not conn.in_transaction:
            raise StoreFailed(reason="this view of it is over, or its write was undone")
        try:
            return conn.execute(sql, facts).fetchall()
        except TROUBLE as error:
            raise told(error) from error

    def _first(self, sql: str, facts: Any = ()) -> Any:  # noqa: ANN401 - a column of any type
        """The first column of the first row, None without rows."""
        rows = self._all(sql, facts)
        return rows[0][0] if rows else None

    def now(self) -> str:
        """The moment this view was opened."""
        return self._now

    def task(self, id: str) -> Task | None:
        """The task with all its records."""
        found = self._filled(self._all(f"{_TASKS} WHERE t.id = ?", (id,)), _WHOLE)
        return found[0] if found else None

    def tasks(self, query: Query) -> list[Task]:
        """The tasks that match. NotFound when nobody has the id `query.after`."""
        demand_sort(query)
        behind = None if query.after is None else self._place(query.after, query.sort)
        return self._filled(self._all(*statement(query, self._now, behind)))

    def _place(self, name: str, sort: str) -> Row:
        """Where a task stands in an order."""
        places: list[Row] = self._all(cursor_statement(sort), {"after": self._canonical([name])[name]})
        if not places:
            raise NotFound(name)
        return places[0]

    def many(self, ids: Iterable[str], *, whole: bool = False) -> dict[str, Task]:
        """These tasks."""
        rows = self._all(f"{_TASKS} WHERE t.id {_AMONG}", (_listed(ids),))
        return {task.id: task for task in self._filled(rows, _WHOLE if whole else _SETS)}

    def _filled(self, rows: list[Row], parts: Mapping[str, _Part] = _SETS) -> list[Task]:
        """Tasks with what is kept in tables of its own, which is read for all of them at once."""
        if not rows:
            return []
        others = self._parts([row[0] for row in rows], parts)
        return [task_of(row, others[row[0]]) for row in rows]

    def _parts(self, ids: list[str], parts: Mapping[str, _Part]) -> dict[str, dict[str, tuple[Any, ...]]]:
        """The parts of each task, by the names of their fields."""
        found: dict[str, dict[str, tuple[Any, ...]]] = {id: dict.fromkeys(parts, ()) for id in ids}
        one = len(ids) == 1
        asked = (ids[0] if one else _listed(ids),)
        for name, part in parts.items():
            grown: dict[str, list[Any]] = defaultdict(list)
            for id, *row in self._all(part.of_one if one else part.of_many, asked):
                grown[id].append(part.make(row))
            for id, items in grown.items():
                found[id][name] = tuple(items)
        return found

    def count(self) -> dict[Status, int]:
        """How many live tasks have each stored status, zero included."""
        found = dict(self._all(f"SELECT t.status, count(*) FROM tasks t WHERE {LIVE} GROUP BY t.status"))
        return {status: found.get(status.value, 0) for status in Status}

    def live(self) -> list[str]:
        """The ids of all live tasks."""
        return _column(self._all(f"SELECT t.id FROM tasks t WHERE {LIVE} ORDER BY t.id"))

    def lapsed(self) -> list[str]:
        """The live tasks with a claim that is over."""
        sql = f"SELECT t.id FROM claims c JOIN tasks t ON t.id = c.task WHERE c.expires <= ? AND {LIVE}"
        return sorted(_column(self._all(sql, (self._now,))))

    def resolve(self, prefix: str, limit: int = 10) -> list[str]:
        """The live tasks that a word may mean; a name that is taken means its task and no other."""
        if self.taken([prefix]):
            sql = f"SELECT t.id FROM tasks t WHERE t.id = ? AND {LIVE}"
            found = _column(self._all(sql, (self._canonical([prefix])[prefix],)))
            return found[: max(0, limit)]
        sql = f"SELECT t.id FROM tasks t WHERE t.id >= ? AND t.id < ? AND {LIVE} ORDER BY t.id LIMIT ?"
        return _column(self._all(sql, (prefix, f"{prefix}\U0010ffff", max(0, limit))))

    def taken(self, ids: Iterable[str]) -> set[str]:
        """Those that some task, tombstone or alias has."""
        wanted = _listed(ids)
        sql = f"SELECT id FROM tasks WHERE id {_AMONG} UNION SELECT alias FROM aliases WHERE alias {_AMONG}"
        return set(_column(self._all(sql, (wanted, wanted))))

    def _canonical(self, ids: Iterable[str]) -> dict[str, str]:
        """Each name's task: itself, unless it is an alias."""
        names = list(ids)
        sql = f"SELECT alias, task FROM aliases WHERE alias {_AMONG}"
        return {name: name for name in names} | dict(self._all(sql, (_listed(names),)))

    def _names(self, canonical: Iterable[str]) -> dict[str, str]:
        """Every name of these tasks, aliases too, to its task."""
        ids = list(canonical)
        sql = f"SELECT alias, task FROM aliases WHERE task {_AMONG}"
        return {id: id for id in ids} | dict(self._all(sql, (_listed(ids),)))

    def blockers(self, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The unmet dependencies of each."""
        canonical = self._canonical(ids)
        found: dict[str, list[str]] = defaultdict(list)
        sql = f"SELECT d.task, d.depends_on FROM dependencies d WHERE d.task {_AMONG} AND NOT {MET}"
        for id, slug in self._all(f"{sql} ORDER BY d.task, d.position", (_listed(canonical.values()),)):
            found[id].append(slug)
        return {name: tuple(dict.fromkeys(found.get(id, ()))) for name, id in canonical.items()}

    def dependents(self, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The live tasks that depend on each, under any of its names."""
        canonical = self._canonical(ids)
        names = self._names(canonical.values())
        found: dict[str, set[str]] = defaultdict(set)
        sql = f"SELECT d.depends_on, t.id FROM dependencies d JOIN tasks t ON t.id = d.task AND {LIVE}"
        for slug, id in self._all(f"{sql} WHERE d.depends_on {_AMONG}", (_listed(names),)):
            found[names[slug]].add(id)
        return {name: tuple(sorted(found.get(id, ()))) for name, id in canonical.items()}

    def reaches(self, start: str, goal: str) -> bool:
        """Whether `goal` is found by following edges from `start`; rings are walked once."""
        canonical = self._canonical([start, goal])
        sql = (
            "WITH RECURSIVE walk (id) AS (SELECT ? UNION SELECT coalesce((SELECT a.task FROM aliases a"
            " WHERE a.alias = d.depends_on), d.depends_on) FROM walk JOIN dependencies d ON d.task = walk.id)"
            " SELECT 1 FROM walk WHERE id = ? LIMIT 1"
        )
        return bool(self._all(sql, (canonical[start], canonical[goal])))

    def children(self, id: str) -> tuple[str, ...]:
        """The live tasks whose parent it is, under any of its names."""
        names = self._names(self._canonical([id]).values())
        sql = f"SELECT t.id FROM tasks t WHERE t.parent {_AMONG} AND {LIVE} ORDER BY t.id"
        return tuple(_column(self._all(sql, (_listed(names),))))

    def head(self, task: str, revision: int) -> str | None:
        """The text hash of one past version; the later one when a revision was put twice."""
        sql = "SELECT text FROM heads WHERE task = ? AND revision = ? ORDER BY id DESC LIMIT 1"
        found: str | None = self._first(sql, (task, revision))
        return found

    def known(self, task: str, text: str) -> bool:
        """Whether the text is a known one of the task."""
        sql = (
            "SELECT 1 FROM heads WHERE task = ?1 AND text = ?2"
            " UNION ALL SELECT 1 FROM heard WHERE task = ?1 AND text = ?2 LIMIT 1"
        )
        return bool(self._all(sql, (task, text)))

    def versions(self, task: str) -> list[str]:
        """Every known text of the task."""
        sql = "SELECT text FROM heads WHERE task = ?1 UNION SELECT text FROM heard WHERE task = ?1 ORDER BY 1"
        return _column(self._all(sql, (task,)))

    def text(self, hash: str) -> bytes:
        """A kept text."""
        rows = self._all("SELECT text FROM texts WHERE hash = ?", (hash,))
        if not rows:
            raise KeyError(hash)
        return bytes(rows[0][0])

    def base(self, worktree: str, path: str) -> Base | None:
        """The base of one replica."""
        rows = self._all(f"{_BASES} WHERE worktree = ? AND path = ?", (worktree, path))
        return base_of(rows[0]) if rows else None

    def carried(self, worktree: str, path: str) -> list[str]:
        """The texts a replica has carried."""
        sql = "SELECT text FROM carried WHERE worktree = ? AND path = ? ORDER BY id"
        return _column(self._all(sql, (worktree, path)))

    def bases(self, worktree: str) -> list[Base]:
        """Every base of a worktree."""
        return [base_of(row) for row in self._all(f"{_BASES} WHERE worktree = ? ORDER BY path", (worktree,))]

    def bases_of(self, task: str) -> list[Base]:
        """Every base of a task."""
        sql = f"{_BASES} WHERE task = ? ORDER BY worktree, path"
        return [base_of(row) for row in self._all(sql, (task,))]

    def journal(
        self, task: str | None = None, after: int = 0, limit: int | None = None, *, newest: bool = False
    ) -> list[Entry]:
        """Entries of all, or of one task under any name it had."""
        facts: tuple[object, ...] = (after, -1 if limit is None else max(0, limit))
        whose = ""
        if task is not None:
            names = self._names(self._canonical([task]).values())
            whose, facts = f"task {_AMONG} AND", (_listed({task, *names}), *facts)
        direction = "DESC" if newest else "ASC"
        sql = f"{_ENTRIES} WHERE {whose} seq > ? ORDER BY seq {direction} LIMIT ?"
        entries = [entry_of(row) for row in self._all(sql, facts)]
        return entries[::-1] if newest else entries

    def intents(self) -> list[Intent]:
        """Every open intent."""
        sql = "SELECT worktree, path, task, expected, wanted, at, id FROM intents ORDER BY id"
        return [Intent(*row) for row in self._all(sql)]

    def conflicts(self, task: str | None = None) -> list[Conflict]:
        """Every open conflict, of one task or of all."""
        whose, facts = ("", ()) if task is None else (" WHERE task = ?", (task,))
        return [conflict_of(row) for row in self._all(f"{_CONFLICTS}{whose} ORDER BY id", facts)]

    def problems(self, worktree: str | None = None) -> list[Problem]:
        """Every problem, refusal and notice."""
        whose, facts = ("", ()) if worktree is None else (" WHERE worktree = ?", (worktree,))
        return sorted((Problem(*row) for row in self._all(_PROBLEMS + whose, facts)), key=problem_place)

    def _problems_of(self, worktree: str, path: str) -> list[Problem]:
        rows = self._all(f"{_PROBLEMS} WHERE worktree = ? AND path = ?", (worktree, path))
        return sorted((Problem(*row) for row in rows), key=problem_place)

    def holds(self) -> list[Hold]:
        """Every open hold."""
        held = defaultdict(list)
        for hold, task in self._all("SELECT hold, task FROM hold_tasks ORDER BY hold, position"):
            held[hold].append(task)
        rows = self._all("SELECT worktree, reason, since, id FROM holds ORDER BY id")
        return [Hold(row[0], tuple(held[row[3]]), *row[1:]) for row in rows]

    def errands(self, target: str, limit: int | None = None) -> list[Errand]:
        """What is still to be done."""
        sql = "SELECT target, task, seq FROM outbox WHERE target = ? ORDER BY seq LIMIT ?"
        return [Errand(*row) for row in self._all(sql, (target, -1 if limit is None else max(0, limit)))]

    def worktrees(self) -> list[WorktreeRow]:
        """Every worktree known."""
        return [WorktreeRow(*row) for row in self._all("SELECT * FROM worktrees ORDER BY key")]

    def meta(self, key: str) -> str | None:
        """One setting."""
        found: str | None = self._first("SELECT value FROM meta WHERE key = ?", (key,))
        return found

    def reply(self, request: str) -> str | None:
        """The answer given to a request."""
        found: str | None = self._first("SELECT reply FROM replies WHERE request = ?", (request,))
        return found


def _listed(ids: Iterable[str]) -> str:
    """Names as the one parameter that json_each takes apart."""
    return _ENCODE(list(ids))


def _column(rows: list[Any]) -> list[str]:
    return [row[0] for row in rows]
