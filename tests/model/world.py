"""A repository with its worktrees, the engine that keeps them, and the judge who looks on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from taskd import wire
from taskd.engine.engine import Engine
from taskd.engine.site import SHARED, WORKSPACE, Place, main_first
from taskd.errors import StoreFailed
from taskd.repo import crash
from taskd.store.base import Entry
from tests.engine.bench import Database, Times
from tests.model.hands import Hands, wait_past
from tests.model.oracle import BrokenLaw, Found, Oracle, Row, Said, Shown, Step
from tests.model.texts import IN, OUT, compose, put, read, set_value, shown

ROUNDS: Final = 2  # looks; what was missing is looked at once more before it counts as gone


class Killed(BaseException):
    """The process died at a numbered step."""


@dataclass
class Buffer:
    """A file open in an editor, as it was when it was opened."""

    tree: str
    path: str
    text: str


@dataclass
class World:
    """Everything a history works on. Trees are worktrees by name, and the workspace directory."""

    hands: Hands
    layout: str
    db: Database
    times: Times
    #: whether the workspace branch is written
    mirrors: bool
    #: makes an engine that knows only what is in the index, as a new process does
    make_engine: Callable[[], Engine]
    oracle: Oracle = field(default_factory=Oracle)
    buffers: list[Buffer] = field(default_factory=list)
    #: how often git wrote in a tree other than by committing what people made there
    foreign: dict[str, int] = field(default_factory=dict)
    #: tasks that somebody took away by hand or by a command
    removed: set[str] = field(default_factory=set)
    #: texts as taskd last left or found them
    fresh: dict[tuple[str, str], str] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    #: what each file has said since somebody last saved it by hand, oldest first
    carried: dict[tuple[str, str], list[Said]] = field(default_factory=dict)
    #: files saved by hand since the last look, how often git had been there, and what was saved
    saved: dict[tuple[str, str], tuple[int, Said]] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)
    #: whether looks follow from events; None: as a history has it
    by_events: bool | None = None
    #: whether taskd is to die before each look, and at which numbered steps in turn
    deaths: Iterator[str] | None = None
    #: what stands at the end, as values to compare
    ending: object = None
    #: the order in which trees are looked at
    order: Callable[[list[str]], list[str]] = list
    _words: int = 0
    _seq: int = 0
    _engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine; a new one if the last was killed."""
        if self._engine is None:
            self._engine = self.make_engine()
            self._engine.site.epoch = self.db.take_over()
            with self._engine.working():
                self._engine.start()
            self.oracle.judge(self._found(self._news()), rested=False)
        return self._engine

    def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self._engine.close()

    # -- files

    def root(self, tree: str) -> Path:
        """The tasks directory of a tree."""
        if tree == WORKSPACE:
            return self.hands.paths["main"] / ".git" / "taskd" / "workspace" / "tasks"
        return self.hands.paths[tree] / "tasks"

    def trees(self) -> list[str]:
        """Every place with task files."""
        return [*self.hands.paths, WORKSPACE]

    def files(self, tree: str) -> dict[str, str]:
        """The task files of a tree by their paths."""
        root, found = str(self.root(tree)), dict[str, str]()
        for path in self.paths(tree):
            with open(f"{root}/{path}") as file:  # noqa: PTH123 - a third of the time would go into Path
                found[path] = file.read()
        return found

    def paths(self, tree: str) -> list[str]:
        """The paths of the task files of a tree."""
        root, found = str(self.root(tree)), list[str]()
        for directory, _, names in os.walk(root):
            below = directory[len(root) + 1 :]
            found += [f"{below}/{name}" if below else name for name in names if _is_task(name)]
        return sorted(found)

    def readable(self, tree: str) -> dict[str, Said]:
        """What the files of a tree say, but for those that are in no state to be edited, and copies."""
        found = self._documents(tree)
        ids = Counter(said.id for said in found.values())
        return {path: said for path, said in found.items() if ids[said.id] == 1}

    def _documents(self, tree: str) -> dict[str, Said]:
        busy = tree != WORKSPACE and self.hands.under_way(tree) is not None
        waiting = self.hands.unmerged(tree) if busy else frozenset()
        texts = {path: read(text) for path, text in self.files(tree).items() if path not in waiting}
        return {path: said for path, said in texts.items() if said is not None and said.id}

    def text(self, tree: str, path: str) -> str:
        """What stands in a file; empty when it is not there."""
        file = self.root(tree) / path
        return file.read_text() if file.is_file() else ""

    def word(self) -> str:
        """A word that was never used."""
        self._words += 1
        return f"v{self._words}"

    # -- people at work

    def save(self, tree: str, path: str, text: str, *, rename: bool = False) -> None:
        """Save a file as an editor does, in place or by a rename."""
        file = self.root(tree) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if tree != WORKSPACE:
            self.hands.pause(tree)
        if file.exists():
            wait_past(file.stat().st_ctime_ns)
        target = file.with_name(f".{file.name}.swp") if rename else file
        target.write_text(text)
        if rename:
            target.replace(file)
        self.buffers = [b for b in self.buffers if (b.tree, b.path) != (tree, path)]
        if (said := read(text)) is not None:
            self.saved[tree, path] = self.foreign.get(tree, 0), said
        self.note(f"save {tree}/{path}")

    def type(
        self, tree: str, path: str, text: str, edits: Sequence[tuple[str, str, bool]], *, rename: bool = False
    ) -> None:
        """Make edits (slot, value, whether the value is new) to `text` and save that at a path."""
        id, old = (read(text) or read(set_value(text, "id", path.removesuffix(".md")))).id, text  # type: ignore[union-attr]
        before = self.text(tree, path)
        for slot, value, unique in edits:
            over = [*shown(old, slot), *shown(before, slot)]
            text = put(text, slot, value)
            if value not in over:
                said = self.oracle.say(id, slot, value, over, tree, self.foreign.get(tree, 0), unique=unique)
                if value in shown(self.fresh.get((tree, path), ""), slot) and (tree, path) in self.fresh:
                    self.oracle.unsay(said)
                self.note(f"type {tree}/{path} {slot}: {'/'.join(map(str, over))} -> {value}")
        self.save(tree, path, text, rename=rename)

    def commit(self, tree: str, *, amend: bool) -> None:
        """Commit by hand, which makes what git had put there its author's own word, or may make it."""
        self.git(tree, self.hands.commit(tree, amend=amend), "commit", foreign=False)
        for path in self.hands.committed(tree) & self.readable(tree).keys():
            said = self.readable(tree)[path]
            head = self.oracle.heads.get(said.id)
            for slot in {*said.slots, *head.slots} if head else ():
                value, stands = said.at(slot), head.at(slot) if head else None
                if value is not None and value != stands and value in self.oracle.values(said.id, slot, OUT):
                    over = [stands]
                    self.oracle.unsay(self.oracle.say(said.id, slot, value, over, tree, unique=False))

    def rename(self, tree: str, path: str, new: str) -> None:
        """Give a file another name."""
        target = self.root(tree) / new
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root(tree) / path).rename(target)
        for known in (self.carried, self.fresh, self.saved):
            if (tree, path) in known:
                known[tree, new] = known.pop((tree, path))  # type: ignore[attr-defined]
        self.note(f"move {tree}/{path} to {new}")

    def new_task(self, tree: str, directory: str = "") -> str:
        """Write a new task file; its id."""
        id = f"t{self.word()[1:]}"
        values = [self.word() for _ in range(3)]
        for slot, value in zip(("name", "assignee", "team"), values, strict=True):
            self.oracle.say(id, slot, value, [None], tree, self.foreign.get(tree, 0))
        self.save(tree, f"{directory}{id}.md", compose(id, *values))
        return id

    def git(self, tree: str, done: bool, what: str, *, foreign: bool = True) -> bool:  # noqa: FBT001 - git's answer
        """Note that git was at a tree."""
        self.note(f"git {what} in {tree}: {'done' if done else 'refused'}")
        if foreign:
            self.foreign[tree] = self.foreign.get(tree, 0) + 1
        return done

    def call(self, op: str, tree: str, actor: str = "alice", **params: object) -> wire.Reply:
        """A command from a tree."""
        directory = self.hands.paths.get(tree, self.hands.paths["main"])
        caller = wire.Caller(actor, actor, str(directory))
        engine, held = self.engine, self._claim_of(str(params.get("id")))
        reply = engine.execute([wire.Call(op, params, caller)])[0]
        if op == "claim" and reply.error is None and held not in (None, actor):
            raise BrokenLaw(f"I10 {params['id']}: given to {actor}, {held} has it")
        told = reply.error["code"] if reply.error else "done"
        self.note(f"taskd {op} {params} in {tree} by {actor}: {told}")
        self._hear_command(op)
        return reply

    def _claim_of(self, id: str) -> str | None:
        """Who holds a task now."""
        with self.db.read() as view:
            task = view.task(id)
            claim = None if task is None else task.claim
            return claim.holder if claim is not None and claim.expires > view.now() else None

    def _hear_command(self, op: str) -> None:
        news = self._news()
        for entry in news:
            if entry.field == "status" and not entry.cause.startswith(op):
                raise BrokenLaw(f"I3 {op} made a step for {entry.cause}")
        self.oracle.judge(self._found(news), rested=False)

    def note(self, line: str) -> None:
        """Remember what was done, to be told when a law breaks."""
        self.trace.append(line)

    # -- taskd at work

    def settle(self, *, mirror: bool = False, touched: bool = False) -> None:
        """Have taskd look at everything and carry out what follows; then judge."""
        if self.deaths is not None:
            self.die(point=next(self.deaths))
        touched = touched if self.by_events is None else self.by_events
        self.listen()
        before, texts = self.stamps(), self._texts()
        self.note("settle" + (" by events" if touched else ""))
        self.work(mirror=mirror, touched=touched)
        self.judge()
        self._judge_bytes(before, texts)

    def listen(self) -> None:
        """Show the judge what stands in files."""
        files_of = {tree: self.readable(tree) for tree in self.trees()}
        places = {
            tree: Shown(
                self.foreign.get(tree, 0),
                list(files.values()),
                self._doubtful(tree, files),
                [said for path, said in self._documents(tree).items() if path not in files],
            )
            for tree, files in files_of.items()
        }
        for (tree, path), (foreign, said) in list(self.saved.items()):
            if path in files_of.get(tree, ()):
                # Where git was at work since, nobody can tell that the save was by hand.
                kept = self.carried.get((tree, path), []) if foreign != self.foreign.get(tree, 0) else []
                self.carried[tree, path] = [*kept, said, files_of[tree][path]]
                del self.saved[tree, path]
        with self.db.read() as view:
            dead = {id for id in self.removed if (task := view.task(id)) is not None and task.deleted_at}
        self.oracle.listen(places, dead)

    def _doubtful(self, tree: str, files: dict[str, Said]) -> frozenset[tuple[str, str, str]]:
        """Values that an older text of the same file had, where the file is as near to that as to its last.

        Nobody can tell whether they were typed again or never gone: an editor may have held the old text.
        """
        found = set[tuple[str, str, str]]()
        for path, said in files.items():
            *olds, last = self.carried.get((tree, path), [said])
            near = [old for old in olds if distance(said, old) <= distance(said, last) + 1]
            back = {
                **said.slots,
                **{slot: OUT for slot in last.slots if ":" in slot and slot not in said.slots},
            }
            found |= {
                (said.id, s, v) for old in near for s, v in back.items() if v == old.at(s) != last.at(s)
            }
        return frozenset(found)

    def _carry(self) -> None:
        """Remember what each file has said since somebody last saved it by hand."""
        for tree in self.trees():
            for path, said in self.readable(tree).items():
                carried = self.carried.setdefault((tree, path), [])
                if not carried or carried[-1] != said:
                    carried.append(said)

    def work(self, *, mirror: bool = False, touched: bool = False) -> None:
        """What the daemon does once its waiting is over."""
        engine = self.engine
        with engine.working():
            engine.site.look_around()
            engine.retry()
            if touched:
                self._hear_touches(engine)
            for _ in range(ROUNDS):
                self._look(engine)
                for key, path in engine.gates.take_merged():
                    engine.ingest(engine.site.places[key], [path])
                engine.fill_all()
                engine.finish_replicas()
            engine.look_again()
            if mirror and self.mirrors:
                engine.finish_branch()
        self.fresh = {(tree, path): text for tree in self.trees() for path, text in self.files(tree).items()}
        self._carry()

    def _look(self, engine: Engine) -> None:
        missing = list[tuple[Place, list[str]]]()
        for key in self.order(sorted(engine.site.places, key=main_first)):
            place = engine.site.places[key]
            sighted = engine.look_at(place)
            if sighted is not None and sighted.absent:
                missing.append((place, sighted.absent))
        for place, paths in missing:
            engine.decide_absence(place, paths)

    def _hear_touches(self, engine: Engine) -> None:
        """Take in what a watcher would have told of, file by file."""
        for key in self.order(sorted(engine.site.places, key=main_first)):
            if key in self.trees():
                files = self.files(key)
                changed = [path for path, text in files.items() if self.fresh.get((key, path)) != text]
                gone = [path for tree, path in self.fresh if tree == key and path not in files]
                for path in (*changed, *gone):
                    engine.ingest(engine.site.places[key], [path])

    def judge(self) -> None:
        """Compare the index with what was said."""
        self.oracle.judge(self._found(self._news()))
        self._judge_claims()

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Every task file, and git's own index of each worktree, with its age and inode."""
        files = {
            f"{tree}/{path}": self.root(tree) / path for tree in self.trees() for path in self.paths(tree)
        }
        found = {name: file.stat() for name, file in {**files, **self.hands.indexes()}.items()}
        return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in found.items()}

    def _texts(self) -> dict[str, tuple[str, str]]:
        """The text and status of each head."""
        with self.db.read() as view:
            return {id: (t.text, t.status.value) for id in view.live() if (t := view.task(id)) is not None}

    def _judge_bytes(self, before: dict[str, tuple[int, int]], texts: dict[str, tuple[str, str]]) -> None:
        """I8: nobody said anything, and no byte changed; what git tracks is never written."""
        after, now = self.stamps(), self._texts()
        moved = {id for id in now if texts.get(id) != now[id]}
        silent = moved & texts.keys() - self.oracle.heard_lately() - self.removed
        if silent:
            raise BrokenLaw(f"I8 the head of {', '.join(sorted(silent))} changed, and nobody said anything")
        ours = {name for name in before if name.startswith(f"{WORKSPACE}/") or self.layout == SHARED}
        for name in sorted(before.keys() - ours | {name for name in before if name.startswith("index of ")}):
            if before[name] != after.get(name):
                raise BrokenLaw(f"I8 {name} was written, which is not ours")
        self.oracle.rest()

    def _news(self) -> list[Entry]:
        with self.db.read() as view:
            news = view.journal(after=self._seq)
        self._seq = news[-1].seq if news else self._seq
        return news

    def _found(self, news: Sequence[Entry]) -> Found:
        with self.db.read() as view:
            live = view.live()
            heads = {id: said for id in live if (said := _said_by(view.text, view.task(id))) is not None}
            rows = [Row(c.task, c.field, c.worktree, str(c.index), str(c.file)) for c in view.conflicts()]
        gone = frozenset(self.oracle.heads) - frozenset(live)
        if not gone <= self.removed:
            raise BrokenLaw(f"I1 {', '.join(sorted(gone - self.removed))} deleted, which nobody asked for")
        steps = [
            Step(entry.task, str(entry.old), str(entry.new), entry.cause, entry.worktree)
            for entry in news
            if entry.field == "status"
        ]
        for entry in news:
            if entry.field == "*" and entry.old is None and isinstance(entry.new, dict):
                self.oracle.statuses.setdefault(entry.task, str(entry.new.get("status", "pending")))
        return Found(heads, rows, steps, gone)

    def _judge_claims(self) -> None:
        """I10: tokens only grow, and a claim that was given is still the holder's until it ends."""
        with self.db.read() as view:
            tasks = [task for id in view.live() if (task := view.task(id)) is not None]
        for task in tasks:
            if task.fence < self.fences.get(task.id, 0):
                raise BrokenLaw(f"I10 {task.id}: token {task.fence} after {self.fences[task.id]}")
            self.fences[task.id] = task.fence
            if task.claim is not None and task.claim.token != task.fence:
                raise BrokenLaw(f"I10 {task.id}: claimed with {task.claim.token}, {task.fence} was given")

    # -- what goes wrong

    def die(self, *, steps: int | None = None, point: str = "", passing: int = 1) -> bool:
        """Have taskd work until it dies, at a step of the store or at a numbered one; whether it did."""
        saved, carried = dict(self.saved), {place: list(said) for place, said in self.carried.items()}
        self.listen()
        self.saved, self.carried = saved, carried  # whether it was heard before the end, nobody knows
        self.note(f"die at {point or 'step'} {steps if steps is not None else passing}")
        self.db.steps_left = steps
        try:
            with acting_at(point, passing, self._kill):
                self.work(mirror=True)
        except (Killed, StoreFailed):
            if self._engine is not None:
                self._engine.site.git.close()
            self._engine = None
            self.oracle.doubt()
            return True
        finally:
            self.db.steps_left = None
            self.oracle.judge(self._found(self._news()), rested=False)
            self._freshen()
        return False

    def _freshen(self) -> None:
        """What is in the index by now was heard, though the look did not come to its end."""
        for tree in self.trees():
            for path, said in self.readable(tree).items():
                head = self.oracle.heads.get(said.id)
                if head is not None and head.slots == said.slots:
                    self.fresh[tree, path] = self.text(tree, path)

    def _kill(self) -> None:
        raise Killed

    def race(self, point: str, passing: int, act: Callable[[], None]) -> None:
        """Have taskd work, and somebody act when it passes a numbered step."""
        self.listen()
        self.note(f"work, and at {point} {passing}:")
        with acting_at(point, passing, act):
            self.work()
        self.note("(end of work)")
        self.oracle.judge(self._found(self._news()), rested=False)


def _is_task(name: str) -> bool:
    return name.endswith(".md") and name[0] != "."


def distance(first: Said, second: Said) -> int:
    """In how many slots two texts differ."""
    told = [{**one.slots, "status": one.status} for one in (first, second)]
    return sum(told[0].get(slot) != told[1].get(slot) for slot in told[0].keys() | told[1].keys())


def _said_by(text: Callable[[str], bytes], task: object) -> Said | None:
    from taskd.core.task import Task  # noqa: PLC0415

    assert isinstance(task, Task)
    said = read(text(task.text).decode())
    if said is None:
        raise BrokenLaw(f"I8 the head of {task.id} cannot be read: {text(task.text)!r}")
    slots = {"name": task.name, "assignee": task.assignee, "team": task.extra.get("team")}
    fields = {key: str(value) for key, value in slots.items() if value is not None}
    fields |= {f"tag:{tag}": IN for tag in task.tags}
    fields |= {slot: IN for slot in said.slots if slot.startswith("line:")}
    if fields != said.slots:
        raise BrokenLaw(f"I8 {task.id}: the head's text says {said.slots}, its fields {fields}")
    return Said(task.id, task.status.value, fields)


@contextmanager
def acting_at(point: str, passing: int, act: Callable[[], None]) -> Iterator[None]:
    """The block, in which something happens once when a numbered step is passed that often."""
    left, before = [passing], crash.point

    def pass_by(step: str) -> None:
        left[0] -= step == point
        if step == point and left[0] == 0:
            act()

    crash.point = pass_by
    try:
        yield
    finally:
        crash.point = before
