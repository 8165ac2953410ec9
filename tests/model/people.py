"""What people and agents do: edit, rename, remove, and call commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from taskd.engine.site import WORKSPACE
from tests.model.draw import Draw
from tests.model.places import Buffer
from tests.model.sayings import LAWFUL, At
from tests.model.texts import IN, OUT, SCALARS, Said, read, set_value
from tests.model.world import World

ACTORS: Final = ("alice", "bob")
OPERATIONS: Final = ("status", "claim", "release", "block", "unblock", "reopen", "renew")


def edit(world: World, draw: Draw) -> None:
    """Change one or a few things in a file."""
    tree = draw.of(world.trees())
    files = world.readable(tree)
    if files:
        path = draw.of(sorted(files))
        text = world.text(tree, path)
        edits = _edits(world, draw, files[path])
        # on top of what may have been an old buffer, or what git put there: as in `save_buffer`
        if (tree, path) in world.saved or world.foreign.get(tree, 0) != world.known_foreign.get(tree, 0):
            edits = _new_to(world.carried.get((tree, files[path].id), []), edits)
        old = _new_to(world.carried.get((tree, files[path].id), []), edits)
        edits = [edit for edit in edits if edit[2] or ":" in edit[0] or edit in old]
        world.type(tree, path, text, edits, rename=draw.chance(50))


def _edits(world: World, draw: Draw, said: Said) -> list[tuple[str, str, bool]]:
    return list(
        {edit[0]: edit for _ in range(1 + draw.number() % 2) for edit in _edit(world, draw, said)}.values()
    )


def _edit(world: World, draw: Draw, said: Said) -> list[tuple[str, str, bool]]:
    kind = draw.of(["value", "value", "line", "replace", "tag", "drop tag", "drop line", "again"])
    there = {k: [s for s in said.slots if s.startswith(f"{k}:")] for k in ("tag", "line")}
    if kind == "line" or (kind in ("replace", "drop line") and not there["line"]):
        return [(f"line:{world.word()}", IN, True)]
    if kind == "replace":
        return [(draw.of(there["line"]), OUT, False), (f"line:{world.word()}", IN, True)]
    if kind == "tag" or (kind == "drop tag" and not there["tag"]):
        return [(f"tag:{world.word()}", IN, True)]
    if kind.startswith("drop"):
        return [(draw.of(there[kind.split()[1]]), OUT, False)]
    slot = draw.of(SCALARS)
    if kind == "again":
        old = [value for value in world.oracle.values(said.id, slot) if value != said.at(slot)]
        if old:
            return [(slot, draw.of(old[::-1]), False)]
    return [(slot, world.word(), True)]


def type_element_again(world: World, draw: Draw) -> None:
    """Write a tag or a line that was taken out once more."""
    tree = draw.of(world.trees())
    files = world.readable(tree)
    if not files:
        return
    path = draw.of(sorted(files))
    said = files[path]
    gone = [
        u.slot
        for u in world.oracle.utterances
        if u.task == said.id and u.value == IN and u.state == "heard" and said.at(u.slot) == OUT
    ]
    edits = [(draw.of(gone), IN, False)] if gone else []
    edits = _new_to(world.carried.get((tree, said.id), []), edits)  # else it may be an old buffer's
    if edits:
        world.type(tree, path, world.text(tree, path), edits)


def type_status(world: World, draw: Draw) -> None:
    """Write another status into a file."""
    tree = draw.of(world.trees())
    files = world.readable(tree)
    if not files:
        return
    path = draw.of(sorted(files))
    said, status = files[path], draw.of(list(LAWFUL))
    rewritten = world.foreign.get(tree, 0) != world.known_foreign.get(tree, 0)
    held = [one.status for one in world.carried.get((tree, said.id), [])] if rewritten else []
    if status not in (said.status, *held):  # else it may be an old buffer's
        world.oracle.ask(said.id, status, world.at(tree))
        world.note(f"type {tree}/{path} status: {said.status} -> {status}")
        world.save(tree, path, set_value(world.text(tree, path), "status", status))


def write_new(world: World, draw: Draw) -> None:
    """Write a new task file."""
    world.new_task(draw.of(world.trees()), draw.of(["", "", "sub/"]))


def open_buffer(world: World, draw: Draw) -> None:
    """Open a file in an editor and leave it open."""
    tree = draw.of(world.trees())
    files = [path for path in world.readable(tree) if world.fresh.get((tree, path)) == world.text(tree, path)]
    if files:
        path = draw.of(files)
        world.buffers.append(Buffer(tree, path, world.text(tree, path)))
        world.note(f"open {tree}/{path}")


def save_buffer(world: World, draw: Draw) -> None:
    """Save what was open for a while, with something changed in it or nothing."""
    if not world.buffers:
        return
    buffer = draw.of(world.buffers)
    said = read(buffer.text)
    world.buffers.remove(buffer)
    known = buffer.tree in world.trees() and buffer.path in world.readable(buffer.tree)
    if said is None or not known or world.readable(buffer.tree)[buffer.path].id != said.id:
        return
    edits = _edits(world, draw, said) if draw.chance(80) else []
    now = world.readable(buffer.tree)[buffer.path]
    # What others did too would bring the buffer as near to what stands there as to what it was made from.
    since = [now, *world.carried.get((buffer.tree, said.id), [])]
    edits = [edit for edit in _new_to(since, edits) if edit[2] or ":" in edit[0]]
    world.note(f"save the old buffer of {buffer.tree}/{buffer.path}")
    world.type(buffer.tree, buffer.path, buffer.text, edits, rename=draw.chance(50))


def _new_to(texts: Sequence[Said], edits: Sequence[tuple[str, str, bool]]) -> list[tuple[str, str, bool]]:
    """The edits that bring none of some texts' values."""
    return [(slot, value, new) for slot, value, new in edits if all(t.at(slot) != value for t in texts)]


def rename_file(world: World, draw: Draw) -> None:
    """Give a file another name or directory."""
    tree = draw.of([tree for tree in world.trees() if tree != WORKSPACE])
    files = world.readable(tree)
    if not files:
        return
    path = draw.of(sorted(files))
    directory = draw.of(["", "sub/", "deep/er/"])
    world.rename(tree, path, f"{directory}{files[path].id}-{world.word()}.md")


def remove_file(world: World, draw: Draw) -> None:
    """Take a file away by hand."""
    tree = draw.of([tree for tree in world.trees() if tree != WORKSPACE])
    files = world.readable(tree)
    if files:
        path = draw.of(sorted(files))
        (world.root(tree) / path).unlink()
        world.removed.add(files[path].id)
        world.note(f"rm {tree}/{path}")


# -- commands


def command_set(world: World, draw: Draw) -> None:
    """Set a field by a command."""
    task = _task(world, draw)
    if task is None:
        return
    slot, value = draw.of(SCALARS), world.word()
    over = [world.oracle.heads[task].at(slot)]
    said = world.oracle.say(task, slot, value, over, At("command"))
    world.oracle.command(said)
    reply = world.call("set", draw.of(list(world.hands.paths)), id=task, values={slot: value}, force=True)
    assert reply.error is None, reply.error


def command(world: World, draw: Draw) -> None:
    """Claim, move, release a task."""
    task = _task(world, draw)
    if task is None:
        return
    op, actor = draw.of(OPERATIONS), draw.of(ACTORS)
    params: dict[str, object] = {"id": task}
    if op in ("status", "block"):
        params |= {"reason": "so"}
    if op == "status":
        params |= {"status": draw.of(list(LAWFUL))}
    world.call(op, draw.of(list(world.hands.paths)), actor, **params)


def command_rm(world: World, draw: Draw) -> None:
    """Delete a task by a command."""
    task = _task(world, draw)
    if task is not None:
        world.removed.add(task)
        world.call("rm", "main", id=task, force=True)


def command_restore(world: World, draw: Draw) -> None:
    """Bring a deleted task back."""
    gone = sorted(world.removed)
    if gone:
        world.call("restore", "main", id=draw.of(gone))


def _task(world: World, draw: Draw) -> str | None:
    with world.db.read() as view:
        live = [id for id in view.live() if id in world.oracle.heads]
    return draw.of(live) if live else None


def let_time_pass(world: World, draw: Draw) -> None:
    """Half an hour goes by; leases run out."""
    world.times.pass_by(60.0 * draw.of([1, 30]))
    world.engine.sweep()
    world.judge()
