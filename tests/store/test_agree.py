"""Memory and SQLite answer every question alike, whatever was done before.

The store in memory stands in for SQLite wherever something else is tested; here is why it may.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from taskd.core.query import SORTS, Query
from taskd.core.task import (
    Claim,
    ContextItem,
    Criterion,
    Feedback,
    MergeInfo,
    Note,
    Participant,
    PrivateNote,
    Progress,
    Status,
    Task,
)
from taskd.errors import TaskdError
from taskd.store.base import Base, Conflict, Entry, Hold, Intent, Problem, Stamp, Txn, View, WorktreeRow
from taskd.store.memory import MemoryDatabase
from taskd.store.sqlite import SqliteDatabase
from tests.store.samples import Clock

IDS: Final = ("a", "ab", "abc", "b", "b.c", "c")
TIMES: Final = tuple(f"2026-01-01T00:00:0{n}.000Z" for n in range(6))
TEXTS: Final = ("t1", "t2", "t3")

ids = st.sampled_from(IDS)
times = st.sampled_from(TIMES)
short = st.text("aAüÜßK\u212a%_ ", max_size=4)
words = st.one_of(st.none(), st.sampled_from(("low", "high", "critical", "Odd")))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), short),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(short, inner, max_size=2)),
    max_leaves=4,
)
claims = st.builds(Claim, ids, short, short, st.integers(1, 9), times, times)

#: values for some of the fields that `put` stores
changes = st.fixed_dictionaries(
    {},
    optional={
        "name": short,
        "file": st.sampled_from(("a.md", "x/a.md", "x/y/a.md", "x-y/a.md", "x_y/a.md")),
        "depends_on": st.lists(ids, max_size=3).map(tuple),
        "parent": st.one_of(st.none(), ids),
        "scope": words,
        "risk": words,
        "priority": words,
        "tags": st.lists(short, max_size=2).map(tuple),
        "assignee": words,
        "due": st.one_of(st.none(), times),
        "estimate": st.one_of(st.none(), st.floats(0, 9)),
        "success_criteria": st.lists(st.builds(Criterion, short, words, st.booleans()), max_size=2).map(
            tuple
        ),
        "created": st.one_of(st.none(), times),
        "body": short,
        "extra": st.dictionaries(short, json_values, max_size=2),
        "status": st.sampled_from(Status),
        "reason": words,
        "claim": st.one_of(st.none(), claims),
        "progress": st.one_of(st.none(), st.builds(Progress, st.integers(0, 100), short, times, ids)),
        "merge": st.one_of(st.none(), st.builds(MergeInfo, short, words)),
        "text": st.sampled_from(TEXTS),
        "created_at": times,
        "updated_at": times,
        "deleted_at": st.one_of(st.none(), times),
        "archived_at": st.one_of(st.none(), st.none(), times),
    },
)
queries = st.builds(
    Query,
    statuses=st.lists(st.sampled_from((*Status, "odd")), max_size=2).map(tuple),
    tags=st.lists(short, max_size=1).map(tuple),
    assignee=words,
    path=st.one_of(st.none(), st.sampled_from(("", "x", "x/y", "x/", "x_", "%"))),
    priorities=st.lists(st.sampled_from(("low", "high", "Odd")), max_size=2).map(tuple),
    parent=st.one_of(st.none(), st.none(), ids),
    ready=st.booleans(),
    holder=st.one_of(st.none(), st.none(), ids),
    unassessed=st.booleans(),
    search=st.one_of(st.none(), short),
    deleted=st.sampled_from((False, False, True)),
    sort=st.sampled_from(SORTS),
    limit=st.one_of(st.none(), st.integers(0, 4)),
    after=st.one_of(st.none(), st.none(), ids),
)

Act = Callable[[Txn], object]


def outcome(act: Callable[[], object]) -> object:
    """What an act gives, or the refusal it ends with."""
    try:
        return act()
    except TaskdError as error:
        return type(error), error.facts


def everything(view: View) -> dict[str, object]:
    """Every question of a view that has few enough askings, answered."""
    return {
        "now": view.now(),
        "task": [view.task(id) for id in IDS],
        "extra order": [list(task.extra) for id in IDS if (task := view.task(id))],
        "all": view.tasks(Query()),
        "dead": view.tasks(Query(deleted=True)),
        "many": view.many(IDS),
        "count": view.count(),
        "live": view.live(),
        "lapsed": view.lapsed(),
        "resolve": [view.resolve(word) for word in ("", "a", "ab", "b", "b.", "c", "z")],
        "taken": view.taken([*IDS, "z"]),
        "blockers": view.blockers([*IDS, "z"]),
        "dependents": view.dependents([*IDS, "z"]),
        "reaches": [view.reaches(start, goal) for start in IDS for goal in (*IDS, "z")],
        "children": [view.children(id) for id in IDS],
        "head": [view.head(id, revision) for id in IDS for revision in range(4)],
        "known": [view.known(id, text) for id in IDS for text in TEXTS],
        "base": [view.base("w", "p1"), view.base("v", "p2")],
        "bases": [view.bases("v"), view.bases("w")],
        "bases_of": [view.bases_of(id) for id in IDS],
        "journal": view.journal(),
        "history": [view.journal(id) for id in IDS],
        "pages": [view.journal(after=2, limit=2), view.journal("a", limit=1, newest=True)],
        "intents": view.intents(),
        "conflicts": [view.conflicts(), *map(view.conflicts, IDS)],
        "problems": [view.problems(), view.problems("w")],
        "holds": view.holds(),
        "errands": [view.errands("branch"), view.errands("replicas", 1)],
        "worktrees": view.worktrees(),
        "meta": [view.meta("k"), view.meta("l")],
        "reply": view.reply("r"),
    }


class Stores(RuleBasedStateMachine):
    """The same done to both; the same answered by both."""

    @initialize()
    def open(self) -> None:
        """Two empty indexes with one clock."""
        self.clock = Clock(TIMES[0])
        self.place = Path(tempfile.mkdtemp())
        self.memory = MemoryDatabase(self.clock)
        self.sqlite = SqliteDatabase(self.place / "index.db", clock=self.clock)

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "sqlite"):
            self.sqlite.close()
            shutil.rmtree(self.place)

    def both(self, act: Act) -> None:
        """Do it in a write to each; it gives or refuses the same."""

        def on_memory() -> object:
            with self.memory.write() as txn:
                return act(txn)

        def on_sqlite() -> object:
            with self.sqlite.write() as txn:
                return act(txn)

        assert outcome(on_memory) == outcome(on_sqlite)

    @invariant()
    def agree(self) -> None:
        """Every answer is the same."""
        with self.memory.read() as left, self.sqlite.read() as right:
            told, expected = everything(right), everything(left)
        assert told == expected

    @rule(query=queries)
    def ask(self, query: Query) -> None:
        """A query finds the same in both, or is refused the same."""
        with self.memory.read() as left, self.sqlite.read() as right:
            assert outcome(lambda: right.tasks(query)) == outcome(lambda: left.tasks(query))

    @rule(time=times)
    def pass_time(self, time: str) -> None:
        """The clock says something else."""
        self.clock.now = time

    @rule(id=ids, fields=changes)
    def insert(self, id: str, fields: dict[str, Any]) -> None:
        """A new task, if the id is free."""
        self.both(lambda txn: txn.put(Task(id, **({"name": id, "file": "f.md"} | fields)), None))

    @rule(id=ids, fields=changes, by=st.integers(0, 1), fail=st.booleans())
    def update(self, id: str, fields: dict[str, Any], by: int, *, fail: bool) -> None:
        """A change from the revision stored, or from one that is not."""

        def act(txn: Txn) -> None:
            old = txn.task(id)
            if old is not None:
                new = replace(old, revision=old.revision + by, **fields)
                txn.put(new, replace(old, revision=-1) if fail else old)

        self.both(act)

    @rule(id=ids, first=changes, second=changes, third=changes)
    def update_in_parts(
        self, id: str, first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
    ) -> None:
        """Three changes of one task, of which the second is undone."""

        def step(txn: Txn, fields: dict[str, Any]) -> None:
            old = txn.task(id)
            if old is not None:
                txn.put(replace(old, revision=old.revision + 1, **fields), old)

        def act(txn: Txn) -> None:
            step(txn, first)
            try:
                with txn.savepoint():
                    step(txn, second)
                    txn.rename(id, "abc")
                    raise LookupError  # noqa: TRY301 - the savepoint is what it is raised through
            except (LookupError, TaskdError):
                step(txn, third)

        self.both(act)

    @rule(old=ids, new=ids)
    def rename(self, old: str, new: str) -> None:
        """Another id."""
        self.both(lambda txn: txn.rename(old, new))

    @rule(id=ids, at=times, text=short)
    def add_records(self, id: str, at: str, text: str) -> None:
        """One more record of each kind."""

        def act(txn: Txn) -> None:
            txn.add_note(id, Note(at, text, text))
            txn.add_private_note(id, PrivateNote(at, text, text))
            txn.add_feedback(id, Feedback(at, text, 1, 2, text))
            txn.put_participant(id, Participant(text, at, at))
            txn.put_context(id, ContextItem(text, at, at, text))

        self.both(act)

    @rule(id=ids, old=json_values, new=json_values, number=st.integers(0, 2))
    def record(self, id: str, old: object, new: object, number: int) -> None:
        """Some more journal."""
        row = Entry(id, "name", old, new, TIMES[0], "x", "s", "w", "c", 1)
        self.both(lambda txn: txn.record([row] * number))

    @rule(
        worktree=st.sampled_from("wv"),
        path=st.sampled_from(("p1", "p2")),
        task=st.one_of(st.none(), ids),
        stamp=st.one_of(st.none(), st.builds(Stamp, *[st.integers(-5, 2**65)] * 5)),
    )
    def put_base(self, worktree: str, path: str, task: str | None, stamp: Stamp | None) -> None:
        """A replica says something."""
        self.both(lambda txn: txn.put_base(Base(worktree, path, task, task, stamp)))

    @rule(worktree=st.sampled_from("wv"), path=st.sampled_from(("p1", "p2")), how=st.integers(0, 2))
    def forget(self, worktree: str, path: str, how: int) -> None:
        """A replica or a whole worktree is gone."""

        def act(txn: Txn) -> None:
            (
                lambda: txn.drop_base(worktree, path),
                lambda: txn.drop_bases(worktree),
                lambda: txn.drop_worktree(worktree),
            )[how]()

        self.both(act)

    @rule(id=ids, worktree=st.sampled_from("wv"), value=json_values, base=json_values)
    def clash(self, id: str, worktree: str, value: object, base: object) -> None:
        """A conflict, an intent and a hold."""

        def act(txn: Txn) -> tuple[int, int, int]:
            return (
                txn.put_conflict(Conflict(id, "name", worktree, base, value, value, txn.now())),
                txn.open_intent(Intent(worktree, "p1", id, None, "t", txn.now())),
                txn.put_hold(Hold(worktree, (id, "a"), "gone", txn.now())),
            )

        self.both(act)

    @rule(number=st.integers(0, 5))
    def settle(self, number: int) -> None:
        """A conflict, an intent and a hold are over, if they ever were."""

        def act(txn: Txn) -> None:
            txn.drop_conflict(number)
            txn.close_intent(number)
            txn.drop_hold(number)

        self.both(act)

    @rule(
        worktree=st.sampled_from("wv"),
        path=st.sampled_from(("p1", "p2")),
        rows=st.lists(
            st.tuples(st.one_of(st.none(), st.integers(1, 3)), st.sampled_from(("r1", "r2")), ids), max_size=3
        ),
    )
    def put_problems(self, worktree: str, path: str, rows: list[tuple[int | None, str, str]]) -> None:
        """What is wrong with a file now."""
        problems = [Problem(worktree, path, line, reason, "m", id) for line, reason, id in rows]
        self.both(lambda txn: txn.put_problems(worktree, path, problems))

    @rule(
        goal=st.sampled_from(("branch", "replicas")),
        tasks=st.lists(ids, max_size=3),
        done=st.integers(0, 3),
    )
    def queue(self, goal: str, tasks: list[str], done: int) -> None:
        """Some errands more, some of those before fewer."""

        def act(txn: Txn) -> None:
            doing = txn.errands(goal, done)
            txn.enqueue(goal, tasks)
            txn.dequeue(doing)

        self.both(act)

    @rule(key=st.sampled_from("kl"), value=st.one_of(st.none(), short))
    def set_up(self, key: str, value: str | None) -> None:
        """A setting, a reply and a worktree."""

        def act(txn: Txn) -> None:
            txn.put_meta(key, value)
            txn.put_reply("r", value or "")
            txn.put_worktree(WorktreeRow(key, value or "", "i", "s"))

        self.both(act)


TestAgree = Stores.TestCase
TestAgree.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
