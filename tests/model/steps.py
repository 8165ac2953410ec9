"""Everything that can happen in a history: people, git, commands, and taskd at work or dying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from taskd.repo.crash import STEPS
from tests.model import gitting, people
from tests.model.draw import Act, Draw
from tests.model.world import World

#: numbered steps of a command or a look that a process can die at in here
DEADLY: Final = tuple(step for step in STEPS if step not in ("replica.touched", "touches.settled", "turn"))
#: those in the middle of writing files
WRITING: Final = tuple(
    step for step in STEPS if step.split(".")[0] in ("exchange", "create", "remove", "intent", "replica")
)


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
        people.edit(world, draw)
        for said in world.oracle.utterances[first:]:
            world.oracle.race(said)

    people.edit(world, draw)
    world.race(point, passing, save)
    world.settle()


COMMON: Final[Mapping[str, tuple[Act, int]]] = {
    "edit": (people.edit, 18),
    "type element again": (people.type_element_again, 2),
    "type status": (people.type_status, 5),
    "write new": (people.write_new, 2),
    "open buffer": (people.open_buffer, 4),
    "save buffer": (people.save_buffer, 5),
    "rename file": (people.rename_file, 1),
    "remove file": (people.remove_file, 1),
    "set": (people.command_set, 3),
    "command": (people.command, 6),
    "rm": (people.command_rm, 1),
    "restore": (people.command_restore, 1),
    "time": (people.let_time_pass, 1),
    "settle": (settle, 20),
    "die": (die, 4),
    "race": (race, 4),
}
GIT: Final[Mapping[str, tuple[Act, int]]] = {
    "commit": (gitting.git_commit, 8),
    "switch": (gitting.git_switch, 5),
    "merge": (gitting.git_merge, 6),
    "finish": (gitting.git_finish, 4),
    "stash": (gitting.git_stash, 3),
    "pop": (gitting.git_pop, 4),
    "take path": (gitting.git_take_path, 3),
    "reset": (gitting.git_reset, 2),
    "clean": (gitting.git_clean, 2),
    "add tree": (gitting.git_add_tree, 1),
    "move tree": (gitting.git_move_tree, 1),
    "remove tree": (gitting.git_remove_tree, 1),
    "gc": (gitting.git_collect, 1),
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
