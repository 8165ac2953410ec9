"""Killed anywhere, it ends the same: the law of docs/laws.md on real daemons, killed by SIGKILL."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from taskd import wire
from taskd.repo.crash import STEPS

pytest.register_assert_rewrite("tests.system.crash_help")

from tests.system.crash_help import Git, Script, World, document  # noqa: E402 - rewritten first

TASKS: Final = ("alpha", "beta", "gamma", "delta", "eta", "theta", "iota", "kappa", "lambda", "mu", "zeta")


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
    world.call("sync")
    world.add_line("alpha.md", "A line from two.", "two")
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
    world.add_line("iota.md", "A line from main.")
    world.call("rm", wire.Remove("kappa"))
    world.call("dep.add", wire.Edge("mu", "eta"), "two")
    world.taskd("set", "lambda", "priority=high", "risk=medium", at="main")


def run(world: World, script: Script) -> dict[str, object]:
    """Run the script to its end, whatever happens to the daemon; what is the case then."""
    try:
        script(world)
        world.call("sync")
    finally:
        world.stop()
    return world.state()
