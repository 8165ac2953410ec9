"""Everything that can happen in a history: people, git, commands, and taskd at work or dying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from taskd.engine.site import SHARED, WORKSPACE
from taskd.repo.crash import STEPS
from tests.model.oracle import LAWFUL
from tests.model.texts import IN, OUT, SCALARS, Said, read, set_value
from tests.model.world import Buffer, World

T = TypeVar("T")

#: numbered steps of a command or a look that a process can die at in here
DEADLY: Final = tuple(step for step in STEPS if step not in ("replica.touched", "touches.settled", "turn"))
#: those in the middle of writing files
WRITING: Final = tuple(
    step for step in STEPS if step.split(".")[0] in ("exchange", "create", "remove", "intent", "replica")
)
ACTORS: Final = ("alice", "bob")
MAIN: Final = "main"
OPERATIONS: Final = ("status", "claim", "release", "block", "unblock", "reopen", "renew")


@dataclass
class Draw:
    """Numbers that choose, in order; when they run out, zeros."""

    numbers: Sequence[int]
    at: int = 0

    def number(self) -> int:
        """The next number."""
        self.at += 1
        return self.numbers[self.at - 1] if self.at <= len(self.numbers) else 0

    def of(self, some: Sequence[T]) -> T:
        """One of some."""
        return some[self.number() % len(some)]

    def chance(self, percent: int) -> bool:
        """Whether something of that chance happens; it does not for zero, so that shrinking avoids it."""
        return self.number() % 100 >= 100 - percent


Act = Callable[[World, Draw], object]


# -- people


def edit(world: World, draw: Draw) -> None:
    """Change one or a few things in a file."""
    tree = draw.of(world.trees())
    files = world.readable(tree)
    if files:
        path = draw.of(sorted(files))
        text = world.text(tree, path)
        world.type(tree, path, text, _edits(world, draw, files[path]), rename=draw.chance(50))


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
    if gone:
        world.type(tree, path, world.text(tree, path), [(draw.of(gone), IN, False)])


def type_status(world: World, draw: Draw) -> None:
    """Write another status into a file."""
    tree = draw.of(world.trees())
    files = world.readable(tree)
    if not files:
        return
    path = draw.of(sorted(files))
    said, status = files[path], draw.of(list(LAWFUL))
    if status != said.status:
        world.oracle.ask(said.id, status, tree, world.foreign.get(tree, 0))
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
    world.note(f"save the old buffer of {buffer.tree}/{buffer.path}")
    world.type(buffer.tree, buffer.path, buffer.text, edits, rename=draw.chance(50))


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
    said = world.oracle.say(task, slot, value, over, "command")
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
        world.call("rm", MAIN, id=task, force=True)


def command_restore(world: World, draw: Draw) -> None:
    """Bring a deleted task back."""
    gone = sorted(world.removed)
    if gone:
        world.call("restore", MAIN, id=draw.of(gone))


def _task(world: World, draw: Draw) -> str | None:
    with world.db.read() as view:
        live = [id for id in view.live() if id in world.oracle.heads]
    return draw.of(live) if live else None


def let_time_pass(world: World, draw: Draw) -> None:
    """Half an hour goes by; leases run out."""
    world.times.pass_by(60.0 * draw.of([1, 30]))
    world.engine.sweep()
    world.judge()


# -- git


def git_commit(world: World, draw: Draw) -> None:
    """Commit what is there."""
    tree = draw.of(list(world.hands.paths))
    if world.hands.under_way(tree) is None:
        (world.hands.paths[tree] / f"code-{draw.number() % 3}").write_text(world.word())
        world.commit(tree, amend=draw.chance(20))


def git_switch(world: World, draw: Draw) -> None:
    """Switch to another branch, or to a new one."""
    tree = draw.of(list(world.hands.paths))
    new = draw.chance(20)
    branch = world.word() if new else draw.of(world.hands.branches())
    done = world.hands.switch(tree, branch, force=draw.chance(20), new=new)
    world.git(tree, done, f"switch {branch}")


def git_merge(world: World, draw: Draw) -> None:
    """Merge, rebase or cherry-pick; if it stops, perhaps go on at once."""
    tree, verb = draw.of(list(world.hands.paths)), draw.of(["merge", "merge", "rebase", "cherry-pick"])
    branch = draw.of(world.hands.branches())
    if world.hands.under_way(tree) is None:
        world.git(tree, world.hands.merge(tree, verb, branch), f"{verb} {branch}")
        if draw.chance(50):
            git_finish(world, draw, tree)


def git_finish(world: World, draw: Draw, tree: str | None = None) -> None:
    """Settle the conflicts of a command under way and let it go on, or give it up."""
    tree = tree or draw.of(list(world.hands.paths))
    if world.hands.under_way(tree) is None:
        return
    if draw.chance(30):
        world.git(tree, world.hands.abort(tree), "abort")
        return
    for _ in range(20):  # a rebase may stop at each commit
        for path in sorted(world.hands.unmerged(tree)):
            world.git(tree, world.hands.settle(tree, path, draw.of(["ours", "theirs"])), f"settle {path}")
        world.git(tree, world.hands.go_on(tree), "go on")
        if world.hands.under_way(tree) is None:
            return
    world.git(tree, world.hands.abort(tree), "abort")


def git_stash(world: World, draw: Draw) -> None:
    """Put changes away."""
    tree, deep = draw.of(list(world.hands.paths)), draw.chance(20)
    if world.hands.under_way(tree) is None:
        world.git(tree, world.hands.stash(tree, deep=deep), f"stash {'-a' if deep else ''}")


def git_pop(world: World, draw: Draw) -> None:
    """Take them out again, maybe somewhere else."""
    tree = draw.of(list(world.hands.paths))
    if world.hands.under_way(tree) is None:
        world.git(tree, world.hands.pop(tree), "stash pop")
        for path in sorted(world.hands.unmerged(tree)):  # it stops like a merge, and nothing is under way
            world.git(tree, world.hands.settle(tree, path, draw.of(["ours", "theirs"])), f"settle {path}")


def git_take_path(world: World, draw: Draw) -> None:
    """A file as the index, or another branch, has it."""
    tree = draw.of(list(world.hands.paths))
    files = world.readable(tree)
    if files:
        path, commit = draw.of(sorted(files)), draw.of([None, *world.hands.branches()])
        world.git(tree, world.hands.take_path(tree, commit, path), f"checkout {commit} -- {path}")


def git_reset(world: World, draw: Draw) -> None:
    """Throw changes, and perhaps a commit, away."""
    tree = draw.of(list(world.hands.paths))
    back = draw.number() % 2
    world.git(tree, world.hands.reset(tree, back), f"reset --hard ~{back}")


def git_clean(world: World, draw: Draw) -> None:
    """Throw untracked files away."""
    tree, ignored = draw.of(list(world.hands.paths)), draw.chance(40)
    before = world.readable(tree)
    world.git(tree, world.hands.clean(tree, ignored=ignored), f"clean {'-x' if ignored else ''}")
    if world.layout != SHARED:  # it takes no lock, so it cannot be told from `rm`
        world.removed |= {before[path].id for path in before.keys() - world.readable(tree).keys()}


def git_add_tree(world: World, draw: Draw) -> None:
    """A new worktree."""
    if len(world.hands.paths) < 4:
        tree = draw.of(["three", "four"])
        if tree not in world.hands.paths:
            branch = tree not in world.hands.branches()
            world.git(
                tree,
                world.hands.add_tree(tree, draw.of(world.hands.branches()), branch=branch),
                "worktree add",
            )


def git_move_tree(world: World, draw: Draw) -> None:
    """A worktree at another place."""
    tree = draw.of([tree for tree in world.hands.paths if tree != MAIN])
    path = world.hands.paths[MAIN].parent / world.word()
    world.git(tree, world.hands.move_tree(tree, path), "worktree move", foreign=False)


def git_remove_tree(world: World, draw: Draw) -> None:
    """A worktree taken away."""
    trees = [tree for tree in world.hands.paths if tree != MAIN]
    if len(trees) > 1:
        tree = draw.of(trees)
        world.git(tree, world.hands.remove_tree(tree), "worktree remove")
        world.buffers = [buffer for buffer in world.buffers if buffer.tree != tree]


def git_collect(world: World, draw: Draw) -> None:
    """Garbage collection."""
    world.git(draw.of([MAIN]), world.hands.collect(), "gc", foreign=False)


# -- taskd


def settle(world: World, draw: Draw) -> None:
    """Taskd looks at everything."""
    world.settle(mirror=draw.chance(20), touched=draw.chance(40))


def die(world: World, draw: Draw) -> None:
    """Taskd dies somewhere on its way and is started again."""
    if draw.chance(50):
        world.die(steps=draw.number() % 40)
    else:
        world.die(point=draw.of(DEADLY), passing=1 + draw.number() % 3)
    if draw.chance(50):
        world.settle()


def race(world: World, draw: Draw) -> None:
    """Somebody saves a file in the middle of taskd's writing."""
    point, passing = draw.of(WRITING), 1 + draw.number() % 3

    def save() -> None:
        first = len(world.oracle.utterances)
        edit(world, draw)
        for said in world.oracle.utterances[first:]:
            world.oracle.race(said)

    edit(world, draw)
    world.race(point, passing, save)
    world.settle()


COMMON: Final[Mapping[str, tuple[Act, int]]] = {
    "edit": (edit, 18),
    "type element again": (type_element_again, 2),
    "type status": (type_status, 5),
    "write new": (write_new, 2),
    "open buffer": (open_buffer, 4),
    "save buffer": (save_buffer, 5),
    "rename file": (rename_file, 1),
    "remove file": (remove_file, 1),
    "set": (command_set, 3),
    "command": (command, 6),
    "rm": (command_rm, 1),
    "restore": (command_restore, 1),
    "time": (let_time_pass, 1),
    "settle": (settle, 20),
    "die": (die, 4),
    "race": (race, 4),
}
GIT: Final[Mapping[str, tuple[Act, int]]] = {
    "commit": (git_commit, 8),
    "switch": (git_switch, 5),
    "merge": (git_merge, 6),
    "finish": (git_finish, 4),
    "stash": (git_stash, 3),
    "pop": (git_pop, 4),
    "take path": (git_take_path, 3),
    "reset": (git_reset, 2),
    "clean": (git_clean, 2),
    "add tree": (git_add_tree, 1),
    "move tree": (git_move_tree, 1),
    "remove tree": (git_remove_tree, 1),
    "gc": (git_collect, 1),
}
ACTS: Final[Mapping[str, tuple[Act, int]]] = {**COMMON, **GIT}


@dataclass(frozen=True)
class Happening:
    """One step of a history: what, and the numbers that choose the rest."""

    kind: str
    numbers: tuple[int, ...]

    def happen(self, world: World) -> None:
        """Let it happen."""
        ACTS[self.kind][0](world, Draw(self.numbers))
