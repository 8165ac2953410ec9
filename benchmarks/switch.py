"""Git at work in a repository that carries its task files: nothing of it may be taken for an edit."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.registry import Bench, Row, figure, measurement
from benchmarks.repository import (
    Repository,
    await_true,
    count_of,
    make_repository,
    milliseconds_since,
    serving,
    settle,
)
from taskd.core.texts import text_hash

TASKS = 1000
COMMITS = 50
SWITCHES = 4  # there and back, twice


@measurement("switch")
def time_switches(bench: Bench) -> Iterator[Row]:
    """A switch between branches that differ in 1,000 task files, and a rebase of 50 commits."""
    settled, spurious = time_switching(bench)
    yield Row(f"`git switch`, {TASKS:,} task files differ → settled", figure(settled), limit=3000)
    yield Row("`git switch`: changes in the journal", count_of([spurious], "changes"), limit=0)
    settled, spurious = time_rebase(bench)
    yield Row(f"`git rebase`, {COMMITS} commits with tasks → settled", figure(settled), limit=3000)
    yield Row("`git rebase`: changes in the journal", count_of([spurious], "changes"), limit=0)


def time_switching(bench: Bench) -> tuple[list[float], int]:
    """Milliseconds from the end of each switch until the index is settled, and what the journal has of it."""
    repository = make_repository(bench.new_dir(), TASKS, layout="tracked")
    repository.git("branch", "old")
    with serving(repository), repository.index() as db:
        for n in range(TASKS):
            rewrite(repository.file(0, n), "Changed since.")
        repository.git("commit", "-q", "-a", "-m", "all changed")
        settle(repository)
        before = journal(db)
        branches = ["old", "main"] * (SWITCHES // 2)
        times = [time_git(repository, db, "switch", "-q", branch) for branch in branches]
        return times, journal(db) - before


def time_rebase(bench: Bench) -> tuple[list[float], int]:
    """The same of a rebase of many commits, each of which changes a task and adds a line to one of all."""
    repository = make_repository(bench.new_dir(), TASKS, layout="tracked")
    repository.git("branch", "base")
    with serving(repository), repository.index() as db:
        for n in range(COMMITS):
            rewrite(repository.file(0, n), f"Commit {n}.")
            rewrite(repository.file(0, COMMITS), f"Commit {n}.")
            repository.git("commit", "-q", "-a", "-m", f"{n}")
        settle(repository)
        repository.git("switch", "-q", "base")
        rewrite(repository.file(0, COMMITS + 1), "On the base.")
        repository.git("commit", "-q", "-a", "-m", "base")
        settle(repository)  # or the rebase would be the first to bring it, and rightly be heard
        repository.git("switch", "-q", "main")
        settle(repository)
        before = journal(db)
        return [time_git(repository, db, "rebase", "-q", "base")], journal(db) - before


def time_git(repository: Repository, db: sqlite3.Connection, *command: str) -> float:
    """Milliseconds from the end of a command until the index has heard every file and `sync` says so."""
    repository.git(*command)
    begin = time.perf_counter()
    tasks = repository.top / "tasks"
    wanted = {str(file.relative_to(tasks)): text_hash(file.read_bytes()) for file in tasks.rglob("*.md")}
    await_true(lambda: heard(db) == wanted, "the index", 0.005)
    settle(repository)
    return milliseconds_since(begin)


def heard(db: sqlite3.Connection) -> dict[str, str]:
    """The hash of what each file of the main worktree was last heard saying."""
    return dict(db.execute("SELECT path, text FROM bases WHERE worktree = 'main'"))


def rewrite(file: Path, line: str) -> None:
    """Add a line to a task's body."""
    file.write_text(re.sub(r"\n*\Z", f"\n{line}\n", file.read_text()))


def journal(db: sqlite3.Connection) -> int:
    """How many changes the journal has."""
    found: int = db.execute("SELECT count(*) FROM journal").fetchone()[0]
    return found
