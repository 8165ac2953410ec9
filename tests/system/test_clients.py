"""Clients that are slow, broken or hostile hold up nobody but themselves."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest

from taskd import frames, wire
from tests.system.project import Project, task_text, wait_for

SOON: Final = 5.0  # seconds in which another caller has its answer; a slow client may take 10
NOBODY: Final = 65534  # a user that has nothing to do with us


def dial(project: Project, way: str = "") -> socket.socket:
    """A connection to the daemon; `way` is where it listens, when that is known."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    try:
        sock.connect(way or project.taskd("where")["socket"])
    except OSError:
        sock.close()
        raise
    return sock


def call(project: Project, op: str, **params: object) -> bytes:
    """A call as it goes over the socket."""
    caller = wire.Caller("eve", "eve", str(project.top))
    return frames.pack(b"R", wire.pack_call(wire.Call(op, params, caller)))


@pytest.fixture(scope="module")
def busy(shared: Project) -> Project:
    """A project with so many words in it that a list of them fills any socket."""
    for number in range(12):
        shared.save(f"long{number}.md", task_text(f"long{number}", "word " * 20_000))
    shared.sync()
    return shared


@contextlib.contextmanager
def answered_soon(project: Project) -> Iterator[None]:
    """Whatever happens inside the block, others are answered, and their changes are made."""
    yield
    began = time.monotonic()
    project.taskd("set", "long0", f"estimate={began:.3f}")
    assert len(project.taskd("list", "--path", "")) >= 12
    assert time.monotonic() - began < SOON


def test_a_client_that_does_not_read(busy: Project) -> None:
    """Who asks and asks and reads nothing is dropped in the end, and nobody waits for it."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(dial(busy)) for _ in range(5)]
        with answered_soon(busy):
            for sock in slow:
                sock.sendall(call(busy, "list") * 20)
        wait_for(lambda: all(is_dropped(sock) for sock in slow), seconds=40)


def is_dropped(sock: socket.socket) -> bool:
    """Whether the other end has hung up, as far as that can be told without reading all."""
    try:
        sock.send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def test_a_slow_reader_gets_everything(busy: Project) -> None:
    """Who reads slowly gets every answer whole and in order, once it has asked."""
    with dial(busy) as sock, answered_soon(busy):
        sock.sendall(call(busy, "list") * 3 + call(busy, "show", id="long3"))
        replies = []
        for _ in range(4):
            time.sleep(0.3)
            frame = frames.read_frame(sock, 1 << 30)
            assert frame is not None
            replies.append(wire.unpack_reply(frame[1]).unwrap())

    assert [len(reply) for reply in replies[:3]] == [len(replies[0])] * 3
    assert replies[3]["id"] == "long3"


@pytest.mark.parametrize(
    "bytes_sent",
    [
        pytest.param(b"\xff\xff\xff\xffR", id="a frame of 4 GiB"),
        pytest.param(b"\0\0\0\x05Rnope", id="no JSON"),
        pytest.param(frames.pack(b"R", b"[" * 100_000), id="deep JSON"),
        pytest.param(frames.pack(b"R", b'{"op": 3}'), id="no call"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="a browser"),
        pytest.param(os.urandom(4096), id="noise"),
        pytest.param(b"\0", id="one byte and silence"),
        pytest.param(b"", id="silence"),
    ],
)
def test_nonsense(busy: Project, bytes_sent: bytes) -> None:
    """Whatever is sent, the daemon lives and serves others meanwhile."""
    with contextlib.ExitStack() as stack, answered_soon(busy):
        for _ in range(8):
            sock = stack.enter_context(dial(busy))
            with contextlib.suppress(OSError):  # it hung up in the middle of it
                sock.sendall(bytes_sent)
    assert busy.daemon is not None
    assert busy.daemon.poll() is None


def test_more_clients_than_there_is_room_for(busy: Project) -> None:
    """So many connections that no more are taken leave the daemon alive, and it serves when they are gone."""
    way = busy.taskd("where")["socket"]
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            with contextlib.suppress(OSError):
                stack.enter_context(dial(busy, way))
    with answered_soon(busy):
        assert busy.run("daemon", "status").code == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user(busy: Project) -> None:
    """Another user can neither see nor use the socket, the index or the workspace directory."""
    way = busy.taskd("where")["socket"]
    script = (
        "import os, socket, sys\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "tries = 0\n"
        "try:\n    socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
        "except PermissionError:\n    tries += 1\n"
        "for path in sys.argv[2:]:\n"
        "    try:\n        os.stat(path)\n"
        "    except PermissionError:\n        tries += 1\n"
        "sys.exit(tries)\n"
    )
    words = [sys.executable, "-I", "-c", script, way, busy.state / "index.db", busy.file("long0.md", "live")]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd="/")

    assert (done.returncode, done.stderr) == (3, "")
