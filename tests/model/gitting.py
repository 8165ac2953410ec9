"""What people do with git in a worktree that draws choose."""

from __future__ import annotations

from typing import Final

from taskd.engine.site import SHARED, TRACKED
from tests.model.draw import Draw
from tests.model.texts import read
from tests.model.world import World

MAIN: Final = "main"


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
            side = draw.of(["ours", "theirs"])
            world.git(tree, world.hands.settle(tree, path, side), f"settle {path} {side}")
            world.adopt(tree, {path})
        world.git(tree, world.hands.go_on(tree), "go on")
        if world.hands.under_way(tree) is None:
            return
    world.git(tree, world.hands.abort(tree), "abort")


def git_stash(world: World, draw: Draw) -> None:
    """Put changes away."""
    tree, deep = draw.of(list(world.hands.paths)), draw.chance(20)
    if world.hands.under_way(tree) is None:
        world.git(tree, world.hands.stash(tree, deep=deep), f"stash {'-a' if deep else ''}")
        world.oracle.stash(tree)


def git_pop(world: World, draw: Draw) -> None:
    """Take them out again, maybe somewhere else."""
    tree = draw.of(list(world.hands.paths))
    if world.hands.under_way(tree) is None:
        before = world.readable(tree)
        world.git(tree, world.hands.pop(tree), "stash pop")
        for path, file in world.readable(tree).items():
            if before.get(path) != file:  # edited on top before a look it may have been typed as well
                world.oracle.excuse(file, file.slots)
                world.oracle.ask(file.id, file.status or "pending", world.at(tree), maybe=True)
        if world.layout != TRACKED:  # of a worktree that was emptied it may bring only some files back
            missing = {path for place, path in world.fresh if place == tree} - set(world.paths(tree))
            said = [read(world.fresh[tree, path]) for path in missing]
            world.removed |= {one.id for one in said if one is not None}
        for path in sorted(world.hands.unmerged(tree)):  # it stops like a merge, and nothing is under way
            world.git(tree, world.hands.settle(tree, path, draw.of(["ours", "theirs"])), f"settle {path}")
            world.adopt(tree, {path})
        if world.layout != SHARED:  # a removal that was put away is taken out by who pops it
            world.removed |= {before[path].id for path in before.keys() - world.readable(tree).keys()}


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
    # it takes no lock, so it cannot be told from `rm`; of several files where all are shared it is held
    if world.layout != SHARED or len(before) == 1:
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
