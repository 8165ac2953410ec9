"""Killed anywhere, it ends the same: the law of docs/laws.md on real daemons, killed by SIGKILL."""

from __future__ import annotations

import functools
import random
import shutil
import signal
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from taskd import wire
from taskd.local import open_store
from taskd.repo.crash import STEPS
from taskd.repo.replicas import TEMP_PREFIX

pytest.register_assert_rewrite("tests.system.crash_help")

from tests.system.crash_help import TREES, Git, Script, World, document  # noqa: E402 - rewritten first

TEN: Final = 10  # times each step is to be hit in a soak
#: seconds the scripts keep a daemon busy
BUSY: Final = {"shared": 2.0, "tracked": 0.8}
STEPS_OF_RECOVERY: Final = ("recover.settled", "recover.before-discard")
#: steps on ways that need somebody else at the branch
STEPS_OF_OTHERS: Final = tuple(
    step for step in STEPS if step.startswith(("branch.tak", "branch.brought", "remote."))
)
STEPS_OF_SCRIPT: Final = tuple(step for step in STEPS if step not in (*STEPS_OF_RECOVERY, *STEPS_OF_OTHERS))
#: steps on the way of what a command writes into its caller's own file
STEPS_OF_FILES: Final = tuple(
    step for step in STEPS_OF_SCRIPT if step.startswith(("command.", "intent.", "exchange.", "create."))
)
#: the seven steps of a saved file, before and after its commit
SEVEN: Final = STEPS_OF_SCRIPT[: STEPS_OF_SCRIPT.index("branch.mirrored") + 1]
TASKS: Final = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "zeta",
)


def busy_shared(world: World) -> None:
    """Saves in three worktrees and commands, in the shared layout. Every step only happens once."""
    world.add_line("alpha.md", "A line from main.")
    world.save("new-one.md", document("new-one", depends_on="[from-cli]"), "one")
    world.taskd("add", "From the command line", "--id", "from-cli", "--priority", "high", at="two")
    world.rename_over("beta.md", document("beta", priority="critical"), "two")
    world.call("claim", wire.Claim("gamma"), "one", "agent")
    world.move("delta.md", "deep/er/delta.md")
    world.save("lambda.md", document("lambda", tags="[a, typed]"), "one")
    world.call("set", wire.Set("lambda", {"priority": "low"}))
    world.save("zeta.md", document("zeta", status="in-progress"), "two")
    world.call("status", wire.Move("eta", "in-progress"), actor="agent")
    world.taskd("done", "theta", "--summary", "finished")
    world.call("add", wire.Add("Second", "second", "deep", {"depends_on": ["from-cli"], "body": "Body.\n"}))
    world.call("claim", wire.Claim("nu"), "two", "agent")
    world.call("sync")
    world.git(world.top, "worktree", "add", "-q", "-b", "three", world.base / "three")
    world.add_line("alpha.md", "A line from two.", "two")
    world.save(
        "nu.md", document("nu", status="completed", risk="high")
    )  # the status is refused, the risk not
    world.file("iota.md", "one").unlink()
    world.call("rm", wire.Remove("kappa"))
    world.call("release", wire.Lease("gamma"), "one", "agent")
    world.move("deep/er/delta.md", "delta.md", "one")
    world.save("second.md", document("third"), "two")
    world.taskd("done", "from-cli")
    world.call("dep.add", wire.Edge("mu", "eta"))


def busy_tracked(world: World) -> None:
    """The same where git tracks the task files: commands write in their caller's own worktree only."""
    world.add_line("alpha.md", "A line from main.")
    world.save("new-one.md", document("new-one", depends_on="[from-cli]"), "one")
    world.taskd("add", "From the command line", "--id", "from-cli", "--file", at="two")
    world.rename_over("beta.md", document("beta", priority="critical"), "two")
    world.call("claim", wire.Claim("gamma"), "one", "agent")
    world.call("set", wire.Set("delta", {"priority": "low"}, {"tags": ("set",)}), "one")
    world.save("zeta.md", document("zeta", status="in-progress"), "two")
    world.taskd("done", "theta", "--summary", "finished", at="one")
    world.call("set", wire.Set("iota", {"risk": "high"}), "two")
    world.call("sync")
    world.call("set", wire.Set("iota", {"body": "Another text.\n"}), "one")
    world.git(world.base / "two", "commit", "-q", "-a", "-m", "some tasks")
    world.save("beta.md", document("beta", priority="low"), "one")  # a conflict: two said something else
    world.add_line("iota.md", "A line from main.")
    world.call("rm", wire.Remove("kappa"))
    world.call("dep.add", wire.Edge("mu", "eta"), "two")
    world.taskd("set", "lambda", "priority=high", "risk=medium", at="main")


def brief(world: World) -> None:
    """A few saves and commands, none of them by the command line, which would itself recover."""
    world.add_line("alpha.md", "A line from main.")
    world.save("new-one.md", document("new-one"), "one")
    world.call("set", wire.Set("beta", {"priority": "low"}))
    world.call("add", wire.Add("Second", "second"))


SCRIPTS: Final[dict[str, Script]] = {"shared": busy_shared, "tracked": busy_tracked, "brief": brief}


def run(world: World, script: Script) -> dict[str, object]:
    """Run the script to its end, whatever happens to the daemon; what is the case then."""
    try:
        world.start()
        script(world)
        world.call("sync")
    finally:
        world.stop()
    return world.state()


def killed(world: World, script: Script, after: float) -> dict[str, object]:
    """The same with a daemon that is killed some seconds after it was ready."""

    def disturbed(world: World) -> None:
        world.kill_later(after)
        script(world)

    return run(world, disturbed)


NewWorld = Callable[..., World]


@pytest.fixture(scope="module")
def new_world(tmp_path_factory: pytest.TempPathFactory, git: Git) -> NewWorld:
    """`new_world(script)` makes a repository that is set up for a script, without a daemon."""
    base = tmp_path_factory.mktemp("crash")

    def make(script: str = "shared") -> World:
        layout = "tracked" if script == "tracked" else "shared"
        world = World(Path(tempfile.mkdtemp(dir=base)), git, layout)
        world.make(TASKS)
        return world

    return make


@pytest.fixture(scope="module")
def undisturbed(new_world: NewWorld) -> Callable[[str], dict[str, object]]:
    """`undisturbed(script)`: the state after the script when no daemon dies."""
    return functools.cache(lambda script: run(new_world(script), SCRIPTS[script]))


def passes(step: str) -> tuple[int, ...]:
    """At which passes of a step to die: the first, and of the seven steps another one too."""
    return (1, 2 + zlib.crc32(step.encode()) % 3) if step in SEVEN else (1,)


@pytest.mark.parametrize("step", STEPS_OF_SCRIPT)
def test_killed_at(step: str, new_world: NewWorld, undisturbed: Callable[[str], dict[str, object]]) -> None:
    """Killed at a step the daemon leaves, once it runs again, the end state of the undisturbed run."""
    expected = undisturbed("shared")
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(lambda number: run_to_death(new_world(), step, number), passes(step)))

    for world, found in ended:
        assert world.deaths == [-signal.SIGKILL], world.output()
        assert found == expected, world.output()


def run_to_death(world: World, step: str, number: int) -> tuple[World, dict[str, object]]:
    """Run the script with a daemon that dies at one pass of a step."""
    world.crashes = [f"{step}:{number}"]
    return world, run(world, busy_shared)


@pytest.mark.parametrize("step", STEPS_OF_FILES)
def test_killed_tracked(
    step: str, new_world: NewWorld, undisturbed: Callable[[str], dict[str, object]]
) -> None:
    """Where git tracks task files, what a command set is in its caller's file although it was killed."""
    expected = undisturbed("tracked")
    world = new_world("tracked")
    world.crashes = [step]
    found = run(world, busy_tracked)

    assert world.deaths == [-signal.SIGKILL], world.output()
    assert found == expected, world.output()


@pytest.mark.parametrize("first", ["exchange.after-swap", "create.before-link"])
@pytest.mark.parametrize("second", STEPS_OF_RECOVERY)
def test_killed_recovering(
    first: str, second: str, new_world: NewWorld, undisturbed: Callable[[str], dict[str, object]]
) -> None:
    """Killed again while it recovers from having been killed, it ends the same."""
    expected = undisturbed("brief")
    world = new_world("brief")
    world.crashes = [first, second]
    found = run(world, brief)

    assert world.deaths == [-signal.SIGKILL] * 2
    assert found == expected, world.output()


@pytest.mark.parametrize("seed", range(6))
def test_killed_any_time(
    seed: int, new_world: NewWorld, undisturbed: Callable[[str], dict[str, object]]
) -> None:
    """Killed at a moment that chance chose, it ends the same."""
    layout = ("shared", "tracked")[seed % 2]
    expected = undisturbed(layout)
    world = new_world(layout)
    found = killed(world, SCRIPTS[layout], random.Random(seed).uniform(0, BUSY[layout]))

    assert found == expected, world.output()


def late_line(world: World) -> None:
    """An editor that had the old file open writes into it while no daemon runs."""
    for temp in world.base.rglob(f"{TEMP_PREFIX}*alpha.md"):
        with temp.open("ab") as file:
            file.write(b"A late line.\n")


@pytest.mark.parametrize("step", ["exchange.after-swap", "exchange.before-unlink"])
@pytest.mark.parametrize("number", [1, 2])
def test_late_edit(step: str, number: int, new_world: NewWorld) -> None:
    """What an editor wrote into a file that had just been swapped out is in the task after the restart."""
    world = new_world()
    world.crashes, world.meanwhile = [f"{step}:{number}"], lambda: late_line(world)
    run(world, lambda world: world.save("alpha.md", document("alpha", priority="critical")))
    texts = {world.file("alpha.md", tree).read_bytes() for tree in TREES}

    assert world.deaths == [-signal.SIGKILL]
    assert texts == {document("alpha", "A late line.\n", priority="critical")}


def everything_said(world: World) -> str:
    """Every head, conflict and journal entry in one text."""
    with open_store(world.home).read() as view:
        heads = [view.task(id) for id in view.live()]
        return repr((heads, view.conflicts(), view.journal()))


def mayhem(world: World, chance: random.Random) -> list[str]:
    """Save the same tasks in all worktrees, each file once, while the daemon is killed over and over."""
    saves = [(id, tree) for id in TASKS for tree in TREES]
    chance.shuffle(saves)
    marks = []
    for number, (id, tree) in enumerate(saves):
        marks.append(f"Mark {number} of {id} in {tree}.")
        if number % 3:
            world.add_line(f"{id}.md", marks[-1], tree)
        else:
            world.rename_over(f"{id}.md", document(id, f"{marks[-1]}\n"), tree)
        if number % 5 == 0:
            world.call("sync")
            world.kill_later(chance.uniform(0, 0.1))
        world.call("set", wire.Set(chance.choice(TASKS), {"estimate": str(number)}), tree)
    return marks


@pytest.mark.parametrize("seed", range(2))
def test_nothing_lost(seed: int, new_world: NewWorld) -> None:
    """Every line that was saved is in a head, a conflict or the journal, and all worktrees agree."""
    world = new_world()
    marks = list[str]()
    run(world, lambda world: marks.extend(mayhem(world, random.Random(seed))))
    said = everything_said(world)

    assert [mark for mark in marks if mark not in said] == []
    assert world.state()["files of one"] == world.state()["files of main"] == world.state()["files of two"]
    assert len(world.deaths) >= 3


def without_daemon(world: World, step: str) -> dict[str, object]:
    """Two commands in their own processes, each killed at a step and then run again."""
    commands = (("add", "A new task", "--id", "new", "--file"), ("set", "alpha", "priority=high"))
    codes = [
        world.taskd_alone(f"request-{words[0]}", *words, at="one", crash_at=crash_at)
        for words in commands
        for crash_at in (step, "")
    ]
    assert set(codes) == ({0, -signal.SIGKILL} if step else {0})
    assert world.taskd_alone("request-sync", "sync") == 0
    return world.state()


@pytest.mark.parametrize(
    ("step", "layout"),
    [
        ("command.committed", "tracked"),
        ("intent.open", "shared"),
        ("exchange.after-swap", "tracked"),
        ("create.after-link", "shared"),
    ],
)
def test_command_killed(step: str, layout: str, new_world: NewWorld) -> None:
    """A command that works without the daemon and is killed ends the same when it is called again."""
    assert without_daemon(new_world(layout), step) == without_daemon(new_world(layout), "")


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_soak(new_world: NewWorld, undisturbed: Callable[[str], dict[str, object]]) -> None:
    """Every step is hit ten times and chance has a hundred tries, and it always ends the same."""
    jobs = [(layout, step) for layout in BUSY for step in (*STEPS_OF_SCRIPT, *["any time"] * 5)]
    with ThreadPoolExecutor(4) as pool:
        hits = list(pool.map(lambda job: soak_step(job[0], job[1], new_world, undisturbed(job[0])), jobs))
    counts = Counter[tuple[str, str]]()
    for job, count in zip(jobs, hits, strict=True):
        counts[job] += count
    sys.stdout.write(f"\n\n| step | shared | tracked |\n|---|---|---|\n{table(counts)}\n")

    assert [step for step in STEPS_OF_SCRIPT if counts["shared", step] < TEN] == []


def soak_step(layout: str, step: str, new_world: NewWorld, expected: dict[str, object]) -> int:
    """Have the daemon die at a step ten times, at as many of its passes as there are; how often it did."""
    hits = number = tries = 0
    while hits < TEN and tries < 2 * TEN:
        tries, number = tries + 1, number + 1
        world = new_world(layout)
        if step == "any time":
            found = killed(world, SCRIPTS[layout], random.uniform(0, BUSY[layout]))
        else:
            world.crashes = [f"{step}:{number}"]
            found = run(world, SCRIPTS[layout])
        assert found == expected, f"{layout} {step}:{number}\n{world.output()}"
        hits += len(world.deaths)
        number = number if world.deaths else 0  # it has no such pass: begin again
        shutil.rmtree(world.base)
    return hits


def table(counts: Counter[tuple[str, str]]) -> str:
    """The rows of docs/crashes.md."""
    steps = dict.fromkeys(step for _, step in counts)
    return "\n".join(f"| `{step}` | {counts['shared', step]} | {counts['tracked', step]} |" for step in steps)
