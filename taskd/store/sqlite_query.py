"""A `Query` as one SQL statement.

`t` is the task. The walk of `ready` in `rank` order goes along the index `tasks_ready` and stops at the
first hits, however many tasks there are.
"""

# ruff: noqa: S608 - every value is bound; what is put together here are constants of our own

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from taskd.core.query import Query
from taskd.core.task import Status
from taskd.store.sqlite_rows import SELECTED
from taskd.store.values import STATUS_PLACES, demand_sort, path_prefix, search_words

LIVE: Final = "t.deleted_at IS NULL AND t.archived_at IS NULL"

#: the edge `d` leads to a completed task; an alias stands for its task
MET: Final = (
    "EXISTS (SELECT 1 FROM tasks p WHERE p.status = 'completed' AND p.deleted_at IS NULL AND p.id ="
    " coalesce((SELECT a.task FROM aliases a WHERE a.alias = d.depends_on), d.depends_on))"
)
WAITS: Final = f"EXISTS (SELECT 1 FROM dependencies d WHERE d.task = t.id AND NOT {MET})"
HELD: Final = "EXISTS (SELECT 1 FROM claims h WHERE h.task = t.id AND h.expires > :now)"

_PLACES: Final = " ".join(f"WHEN '{status}' THEN {place}" for status, place in STATUS_PLACES.items())
_EFFECTIVE: Final = f"CASE WHEN t.status = 'pending' AND {WAITS} THEN 'blocked' ELSE t.status END"

#: what each order compares, first things first; `updated` shows the latest first
_KEYS: Final = {
    "rank": ("t.priority_rank", "t.created_at", "t.id"),
    "id": ("t.id",),
    "name": ("t.name COLLATE NOCASE", "t.id"),
    "created": ("coalesce(t.created, t.created_at)", "t.id"),
    "updated": ("t.updated_at", "t.id"),
    "priority": ("t.priority_rank", "t.id"),
    "due": ("t.due IS NULL", "coalesce(t.due, '')", "t.id"),
    "status": (f"CASE {_EFFECTIVE} {_PLACES} END", "t.id"),
}
_BACKWARDS: Final = {"updated"}

_UNASSESSED: Final = "(t.scope IS NULL OR t.risk IS NULL OR t.impact IS NULL OR t.level IS NULL)"


def cursor_statement(sort: str) -> str:
    """What to ask for the place of the task `:after` in an order."""
    return f"SELECT {', '.join(_KEYS[sort])} FROM tasks t WHERE t.id = :after"


def statement(query: Query, now: str, behind: Sequence[object] | None) -> tuple[str, dict[str, object]]:
    """The statement and its parameters; `behind` is the place to continue from. BadValue: unknown order."""
    demand_sort(query)
    facts: dict[str, object] = {"now": now}
    tests = [_liveness(query), *_filters(query, facts), *_search(query, facts)]
    if behind is not None:
        tests.append(_behind(query.sort, behind, facts))
    walk = " INDEXED BY tasks_ready" if query.ready and not query.deleted else ""
    facts["limit"] = -1 if query.limit is None else max(0, query.limit)
    sql = (
        f"SELECT {SELECTED} FROM tasks t{walk} LEFT JOIN claims c ON c.task = t.id"
        f" WHERE {' AND '.join(tests)} ORDER BY {_order(query.sort)} LIMIT :limit"
    )
    return sql, facts


def _liveness(query: Query) -> str:
    return "t.deleted_at IS NOT NULL" if query.deleted else LIVE


def _order(sort: str) -> str:
    first, *others = _KEYS[sort]
    return ", ".join([f"{first} DESC" if sort in _BACKWARDS else first, *others])


def _behind(sort: str, behind: Sequence[object], facts: dict[str, object]) -> str:
    keys = _KEYS[sort]
    names = [f":behind{place}" for place in range(len(keys))]
    facts |= {name[1:]: value for name, value in zip(names, behind, strict=True)}
    if sort in _BACKWARDS:
        return f"({keys[0]} < {names[0]} OR ({keys[0]} = {names[0]} AND {keys[1]} > {names[1]}))"
    return f"({', '.join(keys)}) > ({', '.join(names)})"


def _filters(query: Query, facts: dict[str, object]) -> list[str]:
    tests = [f"t.status = 'pending' AND NOT {HELD} AND NOT {WAITS}"] if query.ready else []
    if query.statuses:
        tests.append(_statuses(query.statuses))
    for place, tag in enumerate(query.tags):
        facts[f"tag{place}"] = tag
        tests.append(f"EXISTS (SELECT 1 FROM tags g WHERE g.task = t.id AND g.tag = :tag{place})")
    if query.priorities:
        names = {f"priority{place}": word for place, word in enumerate(query.priorities)}
        facts |= names
        tests.append(f"t.priority IN ({', '.join(f':{name}' for name in names)})")
    for name in ("assignee", "parent"):
        if (value := getattr(query, name)) is not None:
            facts[name] = value
            tests.append(f"t.{name} = :{name}")
    return tests + _others(query, facts)


def _others(query: Query, facts: dict[str, object]) -> list[str]:
    tests = [_UNASSESSED] if query.unassessed else []
    if query.holder is not None:
        facts["holder"] = query.holder
        tests.append("c.holder = :holder AND c.expires > :now")
    if prefix := path_prefix(query.path):
        # "0" is the character behind "/": this is all below the directory, as one range of the index
        facts |= {"path": prefix, "below": f"{prefix}/", "beyond": f"{prefix}0"}
        tests.append("(t.path = :path OR (t.path >= :below AND t.path < :beyond))")
    return tests


def _statuses(wanted: Sequence[str]) -> str:
    """One of these effective statuses: pending but waiting for a dependency is blocked."""
    tests = []
    if plain := [word for word in ("in-progress", "completed", "failed", "blocked") if word in wanted]:
        tests.append(f"t.status IN ({', '.join(repr(word) for word in plain)})")
    if Status.PENDING in wanted and Status.BLOCKED in wanted:
        tests.append("t.status = 'pending'")
    elif Status.PENDING in wanted:
        tests.append(f"(t.status = 'pending' AND NOT {WAITS})")
    elif Status.BLOCKED in wanted:
        tests.append(f"(t.status = 'pending' AND {WAITS})")
    return f"({' OR '.join(tests)})" if tests else "0"


def _search(query: Query, facts: dict[str, object]) -> list[str]:
    words = {f"word{place}": word for place, word in enumerate(search_words(query.search))}
    facts |= words
    return [
        f"(holds_word(t.name, :{word}) OR holds_word(t.body, :{word})"
        f" OR EXISTS (SELECT 1 FROM tags g WHERE g.task = t.id AND holds_word(g.tag, :{word}))"
        f" OR EXISTS (SELECT 1 FROM notes n WHERE n.task = t.id AND holds_word(n.text, :{word})))"
        for word in words
    ]
