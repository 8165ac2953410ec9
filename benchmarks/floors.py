"""The floors: the least that this machine needs for the bare work, without taskd."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.registry import Bench, Figure, figure, floor, timed

MANY = 10_000  # tasks of a large repository, the size that the goals are set for
FOLDERS = 100  # directories they lie in
IN_CLOSE_WRITE = 0x8  # from <sys/inotify.h>

DOCUMENT = """---
id: task-{n:05}
name: Task number {n}
status: pending
depends_on: [task-{before:05}]
priority: high
tags: [bench, "group-{group}"]
estimate: 1.5
created: 2026-01-01T10:00:00Z
---
# Task number {n}

What to do, in a paragraph of ordinary length, so that a file has the size of a file that people write.

- first this
- then that
"""


def document(n: int) -> str:
    """The n-th of the task files that everything is measured with."""
    return DOCUMENT.format(n=n, before=max(n - 1, 0), group=n % 7)


def place_of(n: int) -> str:
    """Where the n-th lies below tasks/."""
    return f"group-{n % FOLDERS:02}/task-{n:05}.md"


def write_documents(tasks: Path, count: int) -> None:
    """Write the first `count` task files."""
    for group in range(min(FOLDERS, count)):
        (tasks / f"group-{group:02}").mkdir(parents=True, exist_ok=True)
    for n in range(count):
        (tasks / place_of(n)).write_text(document(n))


@floor("python")
def bare_python(_bench: Bench) -> Figure:
    """`python -c pass` in a venv."""
    return timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 40)


@floor("sqlite-commit")
def sqlite_commit(bench: Bench) -> Figure:
    """One row, WAL, synchronous=FULL."""
    with contextlib.closing(sqlite3.connect(bench.new_dir() / "floor.db", isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(x TEXT) STRICT")

        def commit() -> None:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO t VALUES ('x')")
            db.execute("COMMIT")

        return timed(commit, 500)


@floor("inotify")
def save_to_event(bench: Bench) -> Figure | None:
    """From the moment before a save to the kernel's event for it; Linux only."""
    if sys.platform != "linux":
        return None
    directory = bench.new_dir()
    with watched(directory) as descriptor:

        def save() -> None:
            (directory / "task.md").write_text("x" * 500)
            select.select([descriptor], [], [], 5)
            os.read(descriptor, 4096)

        return timed(save, 300)


@contextlib.contextmanager
def watched(directory: Path) -> Iterator[int]:
    """An inotify descriptor for the files closed after writing in a directory."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(directory), IN_CLOSE_WRITE) < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@floor("parse")
def parse_documents(bench: Bench) -> Figure:
    """10,000 task files read, split and parsed by yaml's C loader."""
    tasks = bench.new_dir()
    write_documents(tasks, MANY)
    paths = [tasks / place_of(n) for n in range(MANY)]

    def parse() -> None:
        for path in paths:
            yaml.load(path.read_text().split("---\n", 2)[1], yaml.CBaseLoader)  # noqa: S506 - gives strings only

    return timed(parse, 1, warm_up=0)


@floor("scan")
def scan_files(bench: Bench) -> Figure:
    """10,000 files found by os.scandir and looked at by stat."""
    tasks = bench.new_dir()
    write_documents(tasks, MANY)

    def scan() -> None:
        seen = [entry.stat() for folder in os.scandir(tasks) for entry in os.scandir(folder)]
        assert len(seen) == MANY  # noqa: S101 - a floor for something else would mislead

    return timed(scan, 7)


@floor("fast-import")
def fast_import(bench: Bench) -> Figure:
    """One changed of 10,000 files committed by a `git fast-import` of its own."""
    repo = bench.new_dir()
    subprocess.run(["git", "init", "-q", "--bare", repo], check=True)
    everything = "".join(modified(f"tasks/{place_of(n)}", document(n)) for n in range(MANY))
    feed(repo, commit_of(everything, parent=""))
    samples = []
    for n in range(30):
        change = modified(f"tasks/{place_of(n)}", document(n + 1))
        stream = commit_of(change, parent="from refs/heads/floor^0\n")
        begin = time.perf_counter()
        feed(repo, stream)
        samples.append((time.perf_counter() - begin) * 1000)
    return figure(samples)


def commit_of(changes: str, parent: str) -> str:
    """The stream of one commit."""
    who = "committer floor <floor@example.invalid> 1767225600 +0000"
    return f"commit refs/heads/floor\n{who}\ndata 5\nfloor\n{parent}{changes}\ndone\n"


def modified(path: str, text: str) -> str:
    """The part of a stream that puts a file (ASCII) in place."""
    return f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"


def feed(repo: Path, stream: str) -> None:
    """Run a stream through a `git fast-import` in that repository."""
    argv = ["git", "-C", str(repo), "fast-import", "--quiet", "--done"]
    subprocess.run(argv, input=stream.encode(), check=True)
