"""What has to hold when a history is over and nobody does anything any more."""

from __future__ import annotations

from typing import Final

from taskd.core.change import snapshot
from taskd.core.render import replica_text
from taskd.engine.site import SHARED
from tests.model.sayings import breaks
from tests.model.texts import read
from tests.model.world import World

ROUNDS: Final = 3  # settles after which nothing may be left to be done
TOLD: Final = ("name", "assignee", "team", "tags", "body", "status", "file")


def judge_end(world: World) -> None:
    """Finish what git left open, and hold every law against the end."""
    for tree in world.hands.paths:
        if world.hands.under_way(tree) is not None:
            world.git(tree, world.hands.abort(tree), "abort")
    world.settle(mirror=True)
    judge_rest(world)
    judge_repeats(world)
    judge_journal(world)
    judge_replicas(world)
    world.ending = ending_of(world)


def ending_of(world: World) -> dict[str, object]:
    """What stands at the end: the same of two histories that have to come to the same."""
    with world.db.read() as view:
        tasks = {
            id: (task.status.value, view.text(task.text)) for id in view.live() if (task := view.task(id))
        }
        journal = [(entry.task, entry.field, str(entry.old), str(entry.new)) for entry in view.journal()]
        rows = [(row.task, row.field, row.worktree, str(row.file)) for row in view.conflicts()]
    files = {tree: world.files(tree) for tree in world.trees()}
    return {"tasks": tasks, "journal": sorted(journal), "rows": sorted(rows), "files": files}


def judge_rest(world: World) -> None:
    """I4: with nothing to do, nothing is done."""
    for _ in range(ROUNDS):
        world.settle(mirror=True)
    before = (world.db.writes, world.stamps(), tip(world))
    world.settle(mirror=True)
    after = (world.db.writes, world.stamps(), tip(world))
    if before != after:
        changed = [f"{a} became {b}" for a, b in zip(before, after, strict=True) if a != b]
        breaks("I4", f"no rest: {changed}")


def judge_repeats(world: World) -> None:
    """I6: what was taken in once more changes nothing."""
    for _ in range(2):  # once to note down on which commit what is merely listed was seen
        writes = world.db.writes
        with world.engine.working():
            for key, place in world.engine.site.places.items():
                if key in world.trees():
                    world.engine.ingest(place, sorted(world.files(key)))
    world.judge()
    if world.db.writes != writes:
        breaks("I6", "taking everything in once more wrote something")


def judge_journal(world: World) -> None:
    """I9: the journal from its beginning tells the state."""
    told = dict[str, dict[str, object]]()
    with world.db.read() as view:
        for entry in view.journal():
            if entry.field == "*":
                told[entry.task] = _flat(entry.new)
            else:
                told.setdefault(entry.task, {})[entry.field] = entry.new
        known = {id: _flat(snapshot(task)) for id in view.live() if (task := view.task(id)) is not None}
    for id, fields in known.items():
        for name in TOLD:
            if (fields.get(name) or None) != (told[id].get(name) or None):
                breaks("I9", f"{id}: {name} is {fields.get(name)}, the journal says {told[id].get(name)}")


def _flat(values: object) -> dict[str, object]:
    """A snapshot with its unknown keys beside the others."""
    known = dict(values) if isinstance(values, dict) else {}
    extra = known.pop("extra", {})
    return {**known, **(extra if isinstance(extra, dict) else {})}


def judge_replicas(world: World) -> None:
    """In the shared layout all copies end as one; nothing of ours is left lying about."""
    for tree in world.trees():
        left = [str(path) for path in world.root(tree).rglob(".taskd-*")]
        if left:
            breaks("I4", f"left behind: {left}")
    if world.layout != SHARED:
        return
    with world.db.read() as view:
        live, listed = (
            set(view.live()),
            {(problem.worktree, problem.path) for problem in view.problems() if problem.kind == "problem"},
        )
        heads = {id: replica_text(view.text(task.text), task) for id in live if (task := view.task(id))}
    for tree in world.hands.paths:
        files = {path: text for path, text in world.files(tree).items() if (tree, path) not in listed}
        said = {said.id: text for text in files.values() if (said := read(text)) is not None}
        for id in sorted(live):
            if said.get(id) != heads[id].decode():
                breaks("I9", f"{id} in {tree} says {said.get(id)!r} and not {heads[id]!r}")


def tip(world: World) -> str | None:
    """Where the workspace branch stands."""
    return world.engine.branch.tip() if world.mirrors else None
