"""Commands inside the daemon: one after the other, many at once, and a queue drained by many."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier

from benchmarks.registry import Bench, Figure, Row, measurement, timed
from benchmarks.repository import TASKD, Call, Repository, calling, count_of, make_repository, serving
from taskd import wire

CLIENTS = 8
EACH = 400  # commands of one client
WORKERS = 16
READY = 1000


@measurement("commands")
def time_commands(bench: Bench) -> Iterator[Row]:
    """A status change over the socket, durable when it is answered: alone, and from 8 clients at once."""
    repository = make_repository(bench.new_dir(), 100)
    with serving(repository):
        with calling(repository) as call:
            turns = itertools.count()
            alone = timed(lambda: change(call, 0, next(turns)), 500)
        yield Row("one command, durable", alone, bench.floor("sqlite-commit"), limit=2)
        yield Row(f"{CLIENTS} clients together", together(repository), least=1500)


def change(call: Call, task: int, turn: int) -> None:
    """Change a status to and fro."""
    call("status", wire.Move(f"task-{task:05}", ("in-progress", "pending")[turn % 2]))


def together(repository: Repository) -> Figure:
    """Commands a second of clients in processes of their own."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(CLIENTS + 1)
    clients = [spawn.Process(target=be_client, args=(repository, n, barrier)) for n in range(CLIENTS)]
    for process in clients:
        process.start()
    barrier.wait()
    begin = time.perf_counter()
    for process in clients:
        process.join()
    return count_of([CLIENTS * EACH / (time.perf_counter() - begin)], "/s")


def be_client(repository: Repository, number: int, barrier: Barrier) -> None:
    """Send commands about a task of one's own, as fast as they are answered."""
    with calling(repository, f"client-{number}") as call:
        barrier.wait()
        for turn in range(EACH):
            change(call, number * 3, turn)


@measurement("drain")
def time_drain(bench: Bench) -> Iterator[Row]:
    """16 workers, each command a process of its own, claim 1,000 ready tasks until none is left."""
    repository = make_repository(bench.new_dir(), READY * 3 // 2)
    with serving(repository):
        begin = time.perf_counter()
        with ThreadPoolExecutor(WORKERS) as pool:
            claimed = [
                task
                for tasks in pool.map(lambda n: be_worker(repository, n), range(WORKERS))
                for task in tasks
            ]
        seconds = time.perf_counter() - begin
    twice = sum(count - 1 for count in Counter(claimed).values())
    yield Row(f"{WORKERS} workers: `claim --next`", count_of([len(claimed) / seconds], "/s"))
    yield Row(
        f"{WORKERS} workers: tasks claimed of {READY:,}", count_of([len(set(claimed))], "tasks"), least=READY
    )
    yield Row(f"{WORKERS} workers: tasks claimed twice", count_of([twice], "tasks"), limit=0)


def be_worker(repository: Repository, number: int) -> list[str]:
    """Claim until nothing is left; the ids."""
    env = {**os.environ, "TASKD_ACTOR": f"worker-{number}", "TASKD_SESSION": f"worker-{number}"}
    claimed = list[str]()
    while True:
        done = subprocess.run(
            [TASKD, "--json", "claim", "--next"],
            cwd=repository.top,
            env=env,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            if done.returncode != 3:  # 3: nothing is left
                raise RuntimeError(done.stderr.decode())
            return claimed
        claimed.append(json.loads(done.stdout)["data"]["id"])
