"""The socket: who may connect, and how requests come in and answers go out.

The serving loop owns the listening socket and the connections of API clients, whose writing calls it
carries out together (one transaction for all that came in at once). A command line (`A`) is handed to
a thread of its own, since rendering and slow terminals must not hold up others. Nobody waits for a
slow client: what does not fit into its socket is kept for it, no more calls of its are heard until it
has read that, and it is dropped when it reads nothing for `SEND_LIMIT` seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from taskd import __version__, frames, wire
from taskd.errors import StoreFailed, TaskdError

CONNECTIONS: Final = 256  # at once; more are turned away, so that no client can use up descriptors
RECEIVE_LIMIT: Final = 10.0  # seconds a command line may take to arrive
SEND_LIMIT: Final = 10.0  # seconds a client may take to read some of its answer
LOOK: Final = 1.0  # seconds between looks at clients that do not read
WORKERS: Final = 16  # command lines worked on at once

Submit = Callable[[wire.Call], wire.Reply]

#: runs a command line for the caller that sent it; what is printed goes to the third, faults to the last
RunCommand = Callable[[frames.Call, Submit, Callable[[bytes, bytes], None], Callable[..., object]], int]


@dataclass(slots=True)
class Request:
    """A call and the way its reply goes back."""

    call: wire.Call
    answer: Callable[[wire.Reply], None]


@dataclass(slots=True)
class _Api:
    """A connection of an API client: bytes received so far, and bytes it has not taken yet."""

    sock: socket.socket
    held: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)
    #: when some of `unsent` was taken last, monotonic seconds
    moved: float = 0.0
    dead: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)  # answers come from several threads

    def send(self, data: bytes) -> None:
        """Have the kernel take what it can, and keep the rest."""
        with self.lock:
            if not self.unsent:
                self.moved = time.monotonic()
            self.unsent += data
            self._push()

    def flush(self) -> None:
        """Send more of the rest."""
        with self.lock:
            self._push()

    def is_lost(self) -> bool:
        """Whether it hung up, or takes nothing any more."""
        return self.dead or (bool(self.unsent) and time.monotonic() - self.moved > SEND_LIMIT)

    def _push(self) -> None:
        try:
            while self.unsent:
                sent = self.sock.send(self.unsent)
                del self.unsent[:sent]
                self.moved = time.monotonic()
        except BlockingIOError:
            return
        except OSError:
            self.dead = True


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, in a directory that is ours alone, readable by us alone.

    A file left there by a dead daemon is replaced: the caller holds the daemon's lock.
    """
    _private_directory(path.parent)
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        sock.bind(str(path))
    finally:
        os.umask(old)
    sock.listen(CONNECTIONS)
    sock.settimeout(0)
    return sock


def _private_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = directory.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise StoreFailed(reason=f"{directory} is not a directory of ours; the socket cannot live there")
    directory.chmod(0o700)


def write_endpoint(state_dir: Path, path: Path, *, unlink: bool) -> Callable[[], None]:
    """Tell clients where the socket is, in one rename; what takes that back, and with `unlink` the socket.

    Another daemon's is left alone: it may have taken over meanwhile.
    """
    temp, place = state_dir / ".endpoint.json", state_dir / "endpoint.json"
    temp.write_text(json.dumps({"socket": str(path), "pid": os.getpid()}) + "\n", encoding="utf-8")
    temp.replace(place)
    ours = [(file, _inode(file)) for file in ([place, path] if unlink else [place])]

    def forget() -> None:
        for file, inode in ours:
            if _inode(file) == inode:
                file.unlink(missing_ok=True)

    return forget


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def peer_uid(sock: socket.socket) -> int:
    """The user at the other end, as the kernel tells."""
    if sys.platform == "linux":
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    # struct xucred of <sys/ucred.h>: version, uid, …; LOCAL_PEERCRED is 1 on level 0
    return int(struct.unpack_from("II", sock.getsockopt(0, 1, 76))[1])


class Server:
    """The daemon's socket as a part of its work loop. Only `wake` may be called from other threads."""

    def __init__(
        self, listening: socket.socket, submit: Submit, run_command: RunCommand, fault: Callable[..., object]
    ) -> None:
        """`submit` carries out a call from any thread; `fault` is told of faults of ours."""
        self._listening = listening
        self._submit, self._run_command, self._fault = submit, run_command, fault
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, selectors.EVENT_READ, None)
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.settimeout(0)
        self._wake_out.settimeout(0)
        self._selector.register(self._wake_out, selectors.EVENT_READ, None)
        self._workers = ThreadPoolExecutor(WORKERS, "taskd-command")
        self._apis: dict[int, _Api] = {}
        self._commands = 0
        self._count = threading.Lock()

    def wake(self) -> None:
        """Have the loop look at its queue now."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is awake; closed: it is going
            self._wake_in.send(b"\0")

    def waker(self) -> int:
        """The descriptor that does the same when something is written to it."""
        return self._wake_in.fileno()

    def wait(self, timeout: float | None) -> list[Request]:
        """Wait for something to happen; the API calls that came in."""
        found = list[Request]()
        for key, events in self._selector.select(self._patience(timeout)):
            if key.fileobj is self._listening:
                self._accept()
            elif key.fileobj is self._wake_out:
                self._drain()
            else:
                if events & selectors.EVENT_WRITE:
                    key.data.flush()
                if events & selectors.EVENT_READ:
                    found += self._receive(key.data)
        return found

    def _patience(self, timeout: float | None) -> float | None:
        """How long to wait at most; clients that take nothing are dropped, the others' rests looked after."""
        waiting = False
        for api in list(self._apis.values()):
            if api.is_lost():
                self._drop(api)
                continue
            events = selectors.EVENT_WRITE if api.unsent else selectors.EVENT_READ
            waiting = waiting or bool(api.unsent)
            if self._selector.get_key(api.sock).events != events:
                self._selector.modify(api.sock, events, api)
        return timeout if not waiting else min(LOOK, LOOK if timeout is None else timeout)

    def close(self) -> None:
        """Turn newcomers away, let commands under way finish, let go of every connection."""
        self._selector.unregister(self._listening)
        self._listening.close()
        self._workers.shutdown(wait=True)
        for api in list(self._apis.values()):
            self._drop(api)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_out.recv(4096):
                pass

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if peer_uid(sock) not in (os.getuid(), 0) or len(self._apis) + self._commands >= CONNECTIONS:
            sock.close()
            return
        sock.settimeout(0)
        api = _Api(sock)
        self._apis[sock.fileno()] = api
        self._selector.register(sock, selectors.EVENT_READ, api)

    def _receive(self, api: _Api) -> list[Request]:
        """Take what has arrived on a connection: a command goes to a thread, calls are returned."""
        try:
            if not api.held and api.sock.recv(5, socket.MSG_PEEK)[4:5] != b"R":
                self._hand_over(api)
                return []
            data = api.sock.recv(1 << 18)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self._drop(api)
            return []
        api.held += data
        return self._calls(api)

    def _calls(self, api: _Api) -> list[Request]:
        found = list[Request]()
        while len(api.held) >= 5:  # noqa: PLR2004 - length and kind
            end = int.from_bytes(api.held[:4], "big") + 4
            if end - 4 > frames.LIMIT or api.held[4:5] != b"R":
                self._drop(api)
                return found
            if len(api.held) < end:
                break
            found += self._request(api, bytes(api.held[5:end]))
            del api.held[:end]
        return found

    def _request(self, api: _Api, payload: bytes) -> list[Request]:
        try:
            call = wire.unpack_call(payload)
        except TaskdError as error:
            self._send(api, wire.failed(error))
            return []
        return [Request(call, lambda reply: self._send(api, reply))]

    def _send(self, api: _Api, reply: wire.Reply) -> None:
        api.send(frames.pack(b"J", wire.pack_reply(reply)))
        if api.unsent or api.dead:
            self.wake()  # it may be another thread's answer, and the loop has to look after the rest

    def _drop(self, api: _Api) -> None:
        if self._apis.pop(api.sock.fileno(), None) is not None:
            self._selector.unregister(api.sock)
            api.sock.close()

    def _hand_over(self, api: _Api) -> None:
        self._apis.pop(api.sock.fileno())
        self._selector.unregister(api.sock)
        api.sock.settimeout(SEND_LIMIT)
        with self._count:
            self._commands += 1
        self._workers.submit(self._serve_command, api.sock)

    def _serve_command(self, sock: socket.socket) -> None:
        """Run one command line for its caller. Whatever fails in it is told to the caller."""
        try:
            request = frames.read_request(sock, time.monotonic() + RECEIVE_LIMIT)
            if not isinstance(request, frames.Call):
                return  # nothing, or a call cut in the middle of its first bytes: it is sent again
            if request.version != __version__:
                sock.sendall(frames.pack(b"L", b""))
                return

            def send(kind: bytes, data: bytes) -> None:
                for frame in frames.pack_stream(kind, data):
                    sock.sendall(frame)

            code = self._run_command(request, self._submit, send, self._fault)
            sock.sendall(frames.pack(b"X", str(code).encode()))
        except frames.FrameError:
            with contextlib.suppress(OSError):
                sock.sendall(frames.pack(b"L", b""))
        except OSError:
            return  # the caller went away; its command is done all the same
        finally:
            sock.close()
            with self._count:
                self._commands -= 1
