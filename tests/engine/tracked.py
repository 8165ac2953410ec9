"""A repository whose task files git carries, what people do in it, and taskd looking at it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.engine.bench import Bench, document

IDS: Final = ("a", "b", "c")
FILES: Final = {f"tasks/{id}.md": document(id, body="\none\ntwo\nthree\n") for id in IDS}


def add_worktree(bench: Bench, name: str) -> None:
    """A linked worktree on a branch of its name."""
    bench.git(bench.top, "worktree", "add", "-q", "-b", name, bench.top.parent / name)
    bench.engine.site.look_around()


def top_of(bench: Bench, key: str = "main") -> Path:
    """The top of a worktree."""
    tree = bench.place(key).worktree
    assert tree is not None
    return tree.path


def run(bench: Bench, *arguments: object, key: str = "main", check: bool = True) -> None:
    """A git command in a worktree."""
    bench.git(top_of(bench, key), *arguments, check=check)


def commit(bench: Bench, message: str, key: str = "main") -> None:
    """Commit everything that stands in a worktree."""
    run(bench, "add", "-A", key=key)
    run(bench, "commit", "-q", "-m", message, key=key)


def remove(bench: Bench, *ids: str, key: str = "main", message: str = "removed") -> None:
    """Remove files by `git rm`, and commit."""
    run(bench, "rm", "-q", *(f"tasks/{id}.md" for id in ids), key=key)
    run(bench, "commit", "-q", "-m", message, key=key)


def settle(bench: Bench) -> None:
    """Look at every place, decide about what is missing as after the grace, and carry out what follows."""
    with bench.engine.working():
        bench.engine.site.look_around()
        for place in list(bench.engine.site.places.values()):
            sighted = bench.engine.look_at(place)
            assert sighted is not None
            if sighted.absent:
                bench.engine.decide_absence(place, sighted.absent)
        bench.engine.finish()


def move(bench: Bench, old: str, new: str, how: str, key: str = "main") -> None:
    """Rename a file or directory of the tasks, one way or another."""
    tasks = bench.place(key).root
    if how.startswith("git"):
        run(bench, "mv", f"tasks/{old}", f"tasks/{new}", key=key)
    else:
        (tasks / old).rename(tasks / new)
    if "committed" in how:
        run(bench, "commit", "-q", "-m", "moved", key=key)
    if "edited" in how:
        bench.edit(new, "two", "EDITED", key)


def commit_beside(bench: Bench, key: str = "main") -> None:
    """A commit that has nothing to do with tasks."""
    with (top_of(bench, key) / f"code-{key}.txt").open("a") as file:
        file.write("more\n")
    commit(bench, "code", key)
