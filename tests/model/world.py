"""A repository with its worktrees, the engine that keeps them, and the judge who looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from taskd import wire
from taskd.engine.engine import Engine
from taskd.engine.site import SHARED, TRACKED, WORKSPACE, Place, main_first
from taskd.errors import StoreFailed
from taskd.repo import crash
from tests.engine.bench import Database, Times
from tests.model.hands import wait_past
from tests.model.index import Index
from tests.model.oracle import Oracle
from tests.model.places import MIXED, Places
from tests.model.sayings import At, Found, Shown, breaks
from tests.model.texts import OUT, compose, put, read, set_value, shown

#: commands that take a lock beside the main worktree's own, wherever they are given
IN_COMMON: Final = ("stash", "gc", "worktree")
ROUNDS: Final = 2  # looks; what was missing is looked at once more before it counts as gone


class Killed(BaseException):
    """The process died at a numbered step."""


@dataclass(kw_only=True)
class World(Places):
    """Everything a history works on. Trees are worktrees by name, and the workspace directory."""

    db: Database
    times: Times
    #: whether the workspace branch is written
    mirrors: bool
    #: makes an engine that knows only what is in the index, as a new process does
    make_engine: Callable[[], Engine]
    oracle: Oracle = field(default_factory=Oracle)
    index: Index = field(init=False)
    #: tasks that somebody took away by hand or by a command
    removed: set[str] = field(default_factory=set)
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
    _engine: Engine | None = None

    def __post_init__(self) -> None:
        """Look at the index."""
        self.index = Index(self.db)

    @property
    def engine(self) -> Engine:
        """The engine; a new one if the last was killed."""
        if self._engine is None:
            self._engine = self.make_engine()
            self._engine.site.epoch = self.db.take_over()
            with self._engine.working():
                self._engine.start()
            self.oracle.judge(self._found(), rested=False)
        return self._engine

    def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self._engine.close()

    # -- people at work

    def word(self) -> str:
        """A word that was never used."""
        self._words += 1
        return f"v{self._words}"

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
        before, last = self.text(tree, path), self.fresh.get((tree, path), "")
        for slot, value, unique in edits:
            over = [*shown(old, slot), *shown(before, slot)]
            seen = [*over, *shown(last, slot)]  # it is for its author to remember what stood there
            text = put(text, slot, value)
            if value not in over:
                said = self.oracle.say(id, slot, value, seen, self.at(tree), unique=unique)
                if value in shown(self.fresh.get((tree, path), ""), slot) and (tree, path) in self.fresh:
                    self.oracle.unsay(said)
                self.note(f"type {tree}/{path} {slot}: {'/'.join(map(str, over))} -> {value}")
        self.save(tree, path, text, rename=rename)

    def commit(self, tree: str, *, amend: bool) -> None:
        """Commit by hand, which makes what git had put there its author's own word, or may make it."""
        amended = self.hands.committed(tree) if amend else frozenset()
        self.git(tree, self.hands.commit(tree, amend=amend), "commit", foreign=False)
        files, committed = self.readable(tree), self.hands.committed(tree) | amended
        if self.layout == TRACKED:
            for place, path in self.saved:
                if place == tree and path in files and path not in committed:
                    self.oracle.pass_by(files[path], tree)  # as if git had put back what HEAD has
        for path in committed & files.keys():
            for slot, typed in files[path].slots.items():
                self.oracle.commit(files[path].id, slot, typed)
        self.adopt(tree, committed)

    def adopt(self, tree: str, paths: AbstractSet[str]) -> None:
        """Somebody makes what stands in files their own word, or may make it."""
        files = self.readable(tree)
        for path in paths & files.keys():
            said = files[path]
            head = self.oracle.heads.get(said.id)
            if (said.status or "pending") != self.oracle.statuses.get(said.id, "pending"):
                self.oracle.ask(said.id, said.status or "pending", self.at(tree), maybe=True)
            slots = {*said.slots, *head.slots} if head else set(said.slots)
            self.oracle.excuse(said, slots)
            for slot in slots if head else ():
                value, stands = said.at(slot), head.at(slot) if head else None
                if value is not None and value != stands and value in self.oracle.ever(said.id, slot, OUT):
                    over = [stands]
                    self.oracle.unsay(
                        self.oracle.say(said.id, slot, value, over, self.at(tree), unique=False)
                    )

    def rename(self, tree: str, path: str, new: str) -> None:
        """Give a file another name."""
        target = self.root(tree) / new
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root(tree) / path).rename(target)
        self.move_memory(tree, path, new)
        self.note(f"move {tree}/{path} to {new}")

    def at(self, tree: str) -> At:
        """What is typed there now is typed at."""
        return At(tree, self.foreign.get(tree, 0))

    def new_task(self, tree: str, directory: str = "") -> str:
        """Write a new task file; its id."""
        id = f"t{self.word()[1:]}"
        values = [self.word() for _ in range(3)]
        for slot, value in zip(("name", "assignee", "team"), values, strict=True):
            self.oracle.say(id, slot, value, [None], self.at(tree))
        self.save(tree, f"{directory}{id}.md", compose(id, *values))
        return id

    def git(self, tree: str, done: bool, what: str, *, foreign: bool = True) -> bool:  # noqa: FBT001 - git's answer
        """Note that git was at a tree."""
        self.note(f"git {what} in {tree}: {'done' if done else 'refused'}")
        if foreign:
            self.foreign[tree] = self.foreign.get(tree, 0) + 1
        if what.split(" ", maxsplit=1)[0] in IN_COMMON:
            self.foreign["main"] = self.foreign.get("main", 0) + 1
        return done

    def call(self, op: str, tree: str, actor: str = "alice", **params: object) -> wire.Reply:
        """A command from a tree."""
        directory = self.hands.paths.get(tree, self.hands.paths["main"])
        caller = wire.Caller(actor, actor, str(directory))
        engine, held = self.engine, self._claim_of(str(params.get("id")))
        if op == "set":  # it looks at the file that it writes
            self._listen_in_part()
        reply = engine.execute([wire.Call(op, params, caller)])[0]
        if op == "claim" and reply.error is None and held not in (None, actor):
            breaks("I10", f"{params['id']}: given to {actor}, {held} has it")
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
        found = self._found()
        for step in found.steps:
            if not step.cause.startswith((op, "edit")):
                breaks("I3", f"{op} made a step for {step.cause}")
        self.oracle.judge(found, rested=False)

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
        before, texts = self.stamps(), self.index.texts()
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
                self.doubtful(tree, files),
                [said for path, said in self.documents(tree).items() if path not in files],
                not any(place == tree for place, _ in self.fresh),
            )
            for tree, files in files_of.items()
        }
        self.begin_anew(files_of)
        self.known_foreign = dict(self.foreign)
        self.oracle.listen(places, self.index.dead(self.removed))

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
        self.carry()

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
                for path in (*gone, *changed):
                    engine.ingest(engine.site.places[key], [path])

    def judge(self) -> None:
        """Compare the index with what was said."""
        self.oracle.judge(self._found())
        self.index.judge_claims()

    def _found(self) -> Found:
        """What the index says; tasks are only gone if somebody took them away."""
        found = self.index.found(self.oracle.heads.keys())
        if not found.deleted <= self.removed:
            breaks("I1", f"{', '.join(sorted(found.deleted - self.removed))} deleted, which nobody asked for")
        for task, status in found.new.items():
            self.oracle.statuses.setdefault(task, status)
        return found

    def _judge_bytes(self, before: dict[str, tuple[int, int]], texts: dict[str, tuple[str, str]]) -> None:
        """I8: nobody said anything, and no byte changed; what git tracks is never written."""
        after, now = self.stamps(), self.index.texts()
        moved = {id for id in now if texts.get(id) != now[id]}
        silent = moved & texts.keys() - self.oracle.heard_lately() - self.removed
        if silent:
            breaks("I8", f"the head of {', '.join(sorted(silent))} changed, and nobody said anything")
        ours = {name for name in before if self._is_ours(*name.split("/", 1))}
        for name in sorted(before.keys() - ours | {name for name in before if name.startswith("index of ")}):
            if before[name] != after.get(name):
                breaks("I8", f"{name} was written, which is not ours")
        self.oracle.rest()

    def _is_ours(self, tree: str, path: str = "") -> bool:
        if self.layout == MIXED and tree in self.hands.paths:
            return path not in self.hands.carried(tree)
        return tree == WORKSPACE or self.layout == SHARED

    # -- what goes wrong

    def die(self, *, steps: int | None = None, point: str = "", passing: int = 1) -> bool:
        """Have taskd work until it dies, at a step of the store or at a numbered one; whether it did."""
        self._listen_in_part()
        self.note(f"die at {point or 'step'} {steps if steps is not None else passing}")
        self.db.steps_left = steps
        try:
            with acting_at(point, passing, self._kill):
                self.work(mirror=True)
        except (Killed, StoreFailed):
            if self._engine is not None:
                self._engine.site.git.close()
            self._engine = None
            return True
        finally:
            self.db.steps_left = None
            self.oracle.judge(self._found(), rested=False)
            self.freshen(self.oracle.heads)
        return False

    def _listen_in_part(self) -> None:
        """Show the judge what stands in files; whether taskd comes to hear of it, nobody knows."""
        saved, carried = dict(self.saved), {place: list(said) for place, said in self.carried.items()}
        self.listen()
        self.oracle.doubt()
        self.saved, self.carried = saved, carried

    def _kill(self) -> None:
        raise Killed

    def race(self, point: str, passing: int, act: Callable[[], None]) -> None:
        """Have taskd work, and somebody act when it passes a numbered step."""
        self.listen()
        self.note(f"work, and at {point} {passing}:")
        with acting_at(point, passing, act, self.remember):
            self.work()
        self.note("(end of work)")
        self.oracle.judge(self._found(), rested=False)


@contextmanager
def acting_at(
    point: str, passing: int, act: Callable[[], None], written: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """The block, in which something happens once when a numbered step is passed that often.

    `written` is called whenever a replica was written.
    """
    left, before = [passing], crash.point

    def pass_by(step: str) -> None:
        if step == "replica.written":
            written()
        left[0] -= step == point
        if step == point and left[0] == 0:
            act()

    crash.point = pass_by
    try:
        yield
    finally:
        crash.point = before
