from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import taskd
from taskd.errors import LockTimeout
from taskd.repo.lock import FileLock

HOLD = """
import sys
from pathlib import Path
from taskd.repo.lock import FileLock
with FileLock(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """
import sys
from pathlib import Path
from taskd.repo.lock import FileLock
lock, counter = FileLock(Path(sys.argv[1])), Path(sys.argv[2])
timeout = float(sys.argv[3]) or None
for _ in range(200):
    with lock.held(timeout):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that finds this checkout."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(taskd.__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the lock of the test is."""
    return tmp_path / "lock"


@pytest.fixture
def stranger(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its stdin is closed."""
    with python(HOLD, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def is_free(path: Path) -> bool:
    """Whether a new lock on the path can be had at once."""
    lock = FileLock(path)
    taken = lock.try_hold()
    lock.release()
    return taken


def test_one_holder(path: Path, stranger: subprocess.Popen[str]) -> None:
    """While another process holds the lock, nobody gets it; the answer comes after the time asked for."""
    started = time.monotonic()

    with pytest.raises(LockTimeout) as caught, FileLock(path).held(timeout=0.1):
        pass
    assert (caught.value.facts, is_free(path)) == ({"path": str(path), "seconds": 0.1}, False)
    assert time.monotonic() - started >= 0.1
    assert stranger.poll() is None


def test_waits_for_release(path: Path, stranger: subprocess.Popen[str]) -> None:
    """Who waits gets the lock when the holder is done, with or without a time limit."""
    assert stranger.stdin is not None
    threading.Timer(0.1, stranger.stdin.close).start()

    with FileLock(path).held():
        pass
    with FileLock(path).held(timeout=5):
        assert not is_free(path)


def test_killed_holder_frees(path: Path, stranger: subprocess.Popen[str]) -> None:
    """S-15: a holder killed with SIGKILL frees the lock at once."""
    stranger.kill()
    stranger.wait()

    assert is_free(path)


def test_stopped_holder_keeps(path: Path, stranger: subprocess.Popen[str]) -> None:
    """S-15: a slow but live holder never loses it, however long it does nothing."""
    stranger.send_signal(signal.SIGSTOP)

    with pytest.raises(LockTimeout), FileLock(path).held(timeout=0.3):
        pass
    stranger.send_signal(signal.SIGCONT)


def test_killed_while_waiting(path: Path, stranger: subprocess.Popen[str]) -> None:
    """A process killed while it waits leaves nothing that others would wait for."""
    with python(HOLD, path) as waiting:
        time.sleep(0.05)  # whether it waits by now changes nothing in what must hold
        waiting.kill()
    stranger.kill()
    stranger.wait()

    assert is_free(path)


def test_deleted_file(path: Path, stranger: subprocess.Popen[str]) -> None:
    """When somebody deletes the lock file, the holder can tell, and a newcomer locks the new file."""
    ours = FileLock(path.with_name("ours"))
    assert ours.try_hold()
    before = ours.still_ours()
    path.with_name("ours").unlink()

    assert (before, ours.still_ours(), stranger.poll()) == (True, False, None)
    assert is_free(path.with_name("ours"))
    ours.release()


def test_replaced_while_waiting(path: Path, stranger: subprocess.Popen[str]) -> None:
    """Who waited on a file that was replaced meanwhile ends up with the file that has the name now."""
    lock = FileLock(path)
    got: list[bool] = []

    def wait() -> None:
        with lock.held():
            got.append(lock.still_ours())

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.05)  # most likely it waits on the old inode by now; either way it must end well
    path.unlink()
    path.touch()
    stranger.kill()
    waiter.join(10)

    assert got == [True]


@pytest.mark.parametrize("timeout", [0, 60])
def test_many_processes(tmp_path: Path, path: Path, timeout: float) -> None:
    """S-17: 16 processes that add 1 to a number 200 times each lose no addition."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    workers = [python(COUNT, path, counter, timeout) for _ in range(16)]
    for worker in workers:
        worker.communicate(timeout=100)

    assert ([worker.returncode for worker in workers], counter.read_text()) == ([0] * 16, "3200")


def test_reentrant(path: Path) -> None:
    """S-14: an operation that holds the lock may call another that takes it, and is not kept waiting."""
    lock = FileLock(path)

    with lock.held(), lock.held(timeout=0), lock.held():
        assert not is_free(path)
    assert is_free(path)


def test_threads_exclude_each_other(path: Path) -> None:
    """Threads that share one lock exclude each other like processes."""
    lock, inside, most = FileLock(path), [0], [0]

    def work() -> None:
        for _ in range(100):
            with lock.held(timeout=30):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (most, inside) == ([1], [0])


def test_thread_timeout(path: Path) -> None:
    """A thread waits for another thread of the process no longer than it said, and cannot hold either."""
    lock, answers = FileLock(path), []

    def attempt() -> None:
        answers.append(lock.try_hold())
        try:
            with lock.held(timeout=0.05):
                answers.append(True)
        except LockTimeout:
            answers.append(False)

    with lock.held():
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    with lock.held(timeout=0):
        assert answers == [False, False]


def test_hold_for_life(path: Path) -> None:
    """A lock held for life survives the blocks that use it, and ends with release, from any thread."""
    lock = FileLock(path)
    assert lock.try_hold()
    with lock.held():
        pass
    during = is_free(path)
    again = lock.try_hold()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    lock.release()

    assert (during, again, is_free(path), lock.still_ours()) == (False, True, True, False)


def test_exception_frees(path: Path) -> None:
    """An exception inside the block frees the lock and comes out."""
    lock = FileLock(path)

    with pytest.raises(ZeroDivisionError), lock.held():
        _ = 1 / 0
    assert is_free(path)


def test_children_do_not_inherit(path: Path) -> None:
    """A program started while the lock is held does not keep it alive."""
    lock = FileLock(path)
    assert lock.try_hold()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        lock.release()
        free = is_free(path)
        child.kill()

    assert free


def test_file_is_private_and_kept(path: Path) -> None:
    """The lock file is its owner's alone, and neither emptied nor removed by locking."""
    path.write_bytes(b"x" * 40)
    inode = path.stat().st_ino
    other = FileLock(path.with_name("new"))
    with FileLock(path).held(), other.held():
        pass

    assert (path.stat().st_ino, path.stat().st_size) == (inode, 40)
    assert oct(path.with_name("new").stat().st_mode & 0o777) == "0o600"


def test_holder_is_named(path: Path, stranger: subprocess.Popen[str]) -> None:
    """One can learn which process holds the lock; a dead or unknown one is nobody."""
    lock = FileLock(path)
    while_alive = lock.holder()
    stranger.kill()
    stranger.wait()
    after = lock.holder()
    path.write_text("99999999999")

    assert (while_alive, after, lock.holder()) == (str(stranger.pid), None, None)
    assert FileLock(path.with_name("none")).holder() is None


def test_holding_makes_no_writes(path: Path, wait_until: Callable[..., Any]) -> None:
    """A daemon that takes its lock again and again writes to the disk once."""
    lock = FileLock(path)
    with lock.held():
        pass
    first = path.stat().st_mtime_ns
    wait_until(lambda: time.time_ns() - first > 20_000_000)
    with lock.held():
        pass

    assert path.stat().st_mtime_ns == first


def test_link_is_refused(tmp_path: Path, path: Path) -> None:
    """A symbolic link in the lock's place is not followed; the error says so, and nothing stays locked."""
    path.symlink_to(tmp_path / "target")
    lock = FileLock(path)

    with pytest.raises(OSError, match="symbolic"), lock.held():
        pass
    path.unlink()
    with lock.held(timeout=0):
        assert not (tmp_path / "target").exists()


def test_missing_directory(tmp_path: Path) -> None:
    """When the directory of the lock is gone, taking it says so."""
    lock = FileLock(tmp_path / "gone" / "lock")

    with pytest.raises(FileNotFoundError), lock.held():
        pass
    assert (lock.holder(), lock.still_ours()) == (None, False)


def test_looking_is_not_holding(path: Path, stranger: subprocess.Popen[str]) -> None:
    """Asking whether a lock is held neither takes it nor passes the asker off as its holder."""
    lock = FileLock(path)

    seen = lock.is_held(), lock.holder() == str(stranger.pid)
    stranger.communicate()

    assert (seen, lock.is_held(), lock.holder()) == ((True, True), False, None)


def test_looking_needs_no_file(path: Path) -> None:
    """Where no lock file is, nobody holds it, and none is made by asking."""
    assert (FileLock(path).is_held(), path.exists()) == (False, False)


def test_lookers_do_not_keep_a_holder_out(path: Path) -> None:
    """However often others look, who wants a free lock gets it."""
    path.touch()
    looking = threading.Event()
    lookers = [threading.Thread(target=_look_until, args=(path, looking)) for _ in range(2)]
    for thread in lookers:
        thread.start()

    taken = [FileLock(path) for _ in range(50)]
    results = []
    for lock in taken:
        results.append(lock.try_hold())
        lock.release()
    looking.set()
    for thread in lookers:
        thread.join()

    assert results == [True] * 50


def _look_until(path: Path, over: threading.Event) -> None:
    lock = FileLock(path)
    while not over.is_set():
        lock.is_held()
        time.sleep(0.0005)
