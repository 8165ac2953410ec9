"""Each safety rule switched off in turn: the model that watches over histories sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from taskd.core import reconcile
from taskd.core.document import Document
from taskd.core.request import Granted
from taskd.core.task import Status, Task
from taskd.engine import absence, ancestry, taker
from taskd.engine.provenance import Provenance
from taskd.engine.site import SHARED, TRACKED
from taskd.engine.taker import Taker
from taskd.repo import crash, exchange
from taskd.store.memory_txn import MemoryTxn
from tests.model.histories import memory_world
from tests.model.sayings import At, BrokenLawError
from tests.model.texts import IN, put
from tests.model.world import World

Scene = Callable[[World], None]
Switch = Callable[[pytest.MonkeyPatch], None]
FILE: Final = "t1.md"


def change(world: World, tree: str, slot: str, value: str, *, unique: bool = True) -> None:
    """Somebody changes one thing in the first task."""
    world.type(tree, FILE, world.text(tree, FILE), [(slot, value, unique)])


# -- what happens


def dies_before_bases_move(world: World) -> None:
    """A value is written everywhere, taskd dies, and a command sets another."""
    change(world, "main", "name", "v100")
    world.die(point="intent.closing")
    set_by_command(world, "name", "v101")
    world.settle()


def saves_meanwhile(world: World) -> None:
    """Somebody saves a file that taskd is about to write over."""
    change(world, "main", "name", "v100")

    def save() -> None:
        change(world, "one", "line:v101", IN)
        world.oracle.race(world.oracle.utterances[-1])

    world.race("exchange.before-swap", 1, save)
    world.settle()


def asks_for_what_cannot_be(world: World) -> None:
    """A status is typed that does not follow from the present one."""
    world.call("status", "main", id="t1", status="completed")
    world.settle()
    world.oracle.ask("t1", "failed", At("one"))
    world.save("one", FILE, put(world.text("one", FILE), "status", "failed"))
    world.settle()


def has_a_file_of_long_ago(world: World) -> None:
    """Where git has the files, a task is done by a command, and another field is edited in a file."""
    world.call("status", "main", id="t1", status="completed")
    change(world, "one", "name", "v100")
    world.settle()


def goes_back(world: World) -> None:
    """A value is committed on one branch, superseded elsewhere, and an older branch is switched to."""
    world.git("one", world.hands.switch("one", "old", force=False, new=True), "switch")
    change(world, "one", "name", "v100")
    world.commit("one", amend=False)
    world.settle()
    world.git("one", world.hands.switch("one", "main", force=False, new=False), "switch")
    world.settle()


def types_on(world: World) -> None:
    """A value is typed, superseded by a command, and something else is typed in the same file."""
    change(world, "one", "name", "v100")
    world.settle()
    set_by_command(world, "name", "v101")
    change(world, "one", "team", "v102")
    world.settle()


def set_by_command(world: World, slot: str, value: str) -> None:
    """A command sets a field."""
    world.oracle.command(
        world.oracle.say("t1", slot, value, [world.oracle.heads["t1"].at(slot)], At("command"))
    )
    world.call("set", "main", id="t1", values={slot: value})


def merges(world: World) -> None:
    """A branch is merged whose value was superseded meanwhile."""
    change(world, "one", "name", "v100")
    world.commit("one", amend=False)
    world.settle()
    set_by_command(world, "name", "v101")
    change(world, "main", "line:v102", IN)
    world.commit("main", amend=False)
    world.settle()
    assert world.git("main", world.hands.merge("main", "merge", "one"), "merge one")
    world.settle()


def has_it_open(world: World) -> None:
    """An editor has a file open while others change it, and saves."""
    text = world.text("one", FILE)
    change(world, "main", "tag:v100", IN)
    world.settle()
    world.type("one", FILE, text, [("line:v101", IN, True)])
    world.settle()


def takes_all_away(world: World) -> None:
    """`git clean -x` empties a worktree."""
    world.git("one", world.hands.clean("one", ignored=True), "clean -x")
    world.settle()


# -- what is switched off


def no_intents(patch: pytest.MonkeyPatch) -> None:
    """Files are written without a word about it on record."""
    patch.setattr(MemoryTxn, "open_intent", lambda *_: 0)


def no_comparison(patch: pytest.MonkeyPatch) -> None:
    """Files are written whatever they say by now."""

    def overwrite(root: Path, path: str, _expected: str, text: bytes, **_: object) -> exchange.Outcome:
        crash.point("exchange.before-swap")
        (root / path).write_bytes(text)
        return exchange.Outcome("written")

    patch.setattr(exchange, "replace", overwrite)


def plain_status(patch: pytest.MonkeyPatch) -> None:
    """The status in a file is taken like any other field."""

    def grant(_base: object, document: Document, task: Task, _context: object) -> Granted:
        asked = document.runtime.get("status")
        moved = replace(task, status=asked) if isinstance(asked, Status) else task
        return Granted(moved, (moved,) if moved.status != task.status else ())

    patch.setattr(reconcile, "grant", grant)


def git_says_nothing(patch: pytest.MonkeyPatch) -> None:
    """Whatever stands in a file was typed."""
    patch.setattr(Provenance, "by_git", lambda *_: None)
    patch.setattr(Provenance, "may_be_gits", lambda *_: False)


def base_is_gits(patch: pytest.MonkeyPatch) -> None:
    """The base is always what git wrote, and never what was heard."""
    heard = Taker._rest  # noqa: SLF001 - the rule that is switched off lives there

    def rest(self: Taker, id: str, item: object, **options: object) -> None:
        heard(self, id, item, **options)  # type: ignore[arg-type]
        base = self.txn.base(self.place.key, item.path)  # type: ignore[attr-defined]
        if self.git is not None and self.git.head is not None and base is not None:
            blob = self.git.history.tree(self.git.head).get(base.path)
            if blob is not None:
                text = self.git.history.texts(self.git.worktree, {base.path: blob})[base.path]
                self.txn.put_base(replace(base, text=self.txn.keep(text)))

    patch.setattr(Taker, "_rest", rest)


def everything_is_news(patch: pytest.MonkeyPatch) -> None:
    """What git brought speaks whether it is news or not."""
    patch.setattr(taker, "silenced", lambda document, *_: (document, ()))


def newest_is_nearest(patch: pytest.MonkeyPatch) -> None:
    """Every save was made from what the file said last."""
    patch.setattr(ancestry, "nearest", lambda _, candidates, **__: len(candidates) - 1)


def nothing_is_suspicious(patch: pytest.MonkeyPatch) -> None:
    """Whatever is gone was taken away on purpose."""
    patch.setattr(absence, "_is_suspicious", lambda *_: False)


BITES: Final[tuple[tuple[Switch, str, Scene, str], ...]] = (
    (no_intents, SHARED, dies_before_bases_move, "I2"),
    (no_comparison, SHARED, saves_meanwhile, "I1"),
    (plain_status, SHARED, asks_for_what_cannot_be, "I3"),
    (plain_status, TRACKED, has_a_file_of_long_ago, "I3"),
    (git_says_nothing, TRACKED, goes_back, "I2"),
    (base_is_gits, TRACKED, types_on, "I2"),
    (everything_is_news, TRACKED, merges, "I2"),
    (newest_is_nearest, SHARED, has_it_open, "I2"),
    (nothing_is_suspicious, SHARED, takes_all_away, "I1"),
)


@pytest.mark.parametrize(("switch", "layout", "scene", "law"), BITES)
def test_bite(switch: Switch, layout: str, scene: Scene, law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes well with a rule breaks a law without it."""
    with memory_world(layout) as world:
        scene(world)

    switch(monkeypatch)
    with memory_world(layout) as world, pytest.raises(BrokenLawError, match=f"^{law}"):
        scene(world)
