"""The frames that go over the daemon's socket.

A frame is four bytes, big endian, that say how many bytes follow; one byte, its kind; the payload.
From the client: `I` a piece of standard input, `A` a command line with all that is needed to run it
for the caller, `R` a JSON request. From the daemon: `O` and `E` bytes for standard output and standard
error, `X` the exit code in digits (the end), `L` do it yourself, nothing was done here (the end), `J`
JSON. A request is any number of `I` and then one `A`; or one `R`. `cli/scripts/taskd` speaks the same
frames without this module.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from taskd.errors import Kind, TaskdError

PROTOCOL = "1"
LIMIT = 1 << 20  # bytes of kind and payload in a request: what a command line and its environment take
STDIN_LIMIT = 16 << 20  # bytes of standard input with one command: 16 documents of the largest size taken

_HEADER = 4  # bytes that hold the length
_FIXED = 5  # items of a call before its environment: protocol, version, cwd, facts, number of entries


class FrameError(TaskdError):
    """what came over the socket is no request: {reason}"""  # noqa: D400 - it is the message

    kind = Kind.USAGE
    code = "frame"
    hint = "is the other end taskd, and of the same version?"


@dataclass(frozen=True, slots=True)
class Call:
    """A command line and where it was typed.

    Strings are UTF-8 with surrogateescape, so that names in any encoding survive. `argv` is without
    the program's name. `columns` is the width of the terminal, 0 when standard output is none. `uid`
    is what the caller says; the socket knows better.
    """

    version: str
    cwd: str
    out_tty: bool = False
    err_tty: bool = False
    in_tty: bool = False
    columns: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    stdin: bytes = b""
    uid: int = 0


def pack(kind: bytes, payload: bytes) -> bytes:
    """Give one frame of `kind` (one byte)."""
    return (len(payload) + 1).to_bytes(_HEADER, "big") + kind + payload


def pack_stream(kind: bytes, data: bytes) -> Iterator[bytes]:
    """Give `data` in as many frames as LIMIT asks for; none when it is empty."""
    for start in range(0, len(data), LIMIT - 1):
        yield pack(kind, data[start : start + LIMIT - 1])


def read_frame(sock: socket.socket, limit: int, deadline: float | None = None) -> tuple[bytes, bytes] | None:
    """Read the next frame: its kind and payload; None when the other end has closed between frames.

    `limit` is in bytes of kind and payload, `deadline` a moment of `time.monotonic()`. FrameError when
    the frame is empty, longer than that, cut off or late.
    """
    before = sock.gettimeout()
    try:
        header = _receive(sock, _HEADER, deadline)
        if not header:
            return None
        length = int.from_bytes(header.ljust(_HEADER, b"\0"), "big")
        if not 1 <= length <= limit:
            raise FrameError(reason=f"a frame of {length} bytes, 1 to {limit} are taken")
        body = _receive(sock, length, deadline)
        if len(body) < length:
            raise FrameError(reason=f"it ended after {len(body)} of {length} bytes")
    except TimeoutError:
        raise FrameError(reason="it did not arrive in time") from None
    except OSError as problem:
        raise FrameError(reason=str(problem)) from problem
    else:
        return body[:1], body[1:]
    finally:
        sock.settimeout(before)


def read_request(sock: socket.socket, deadline: float | None = None) -> Call | bytes | None:
    """Read one whole request: a Call, the JSON of an `R`, or None when there is no further one.

    FrameError as for `read_frame`, and when the frames make no request. Nothing can have been done by
    then, so `L` is a lawful answer to it.
    """
    stdin = bytearray()
    while frame := read_frame(sock, LIMIT, deadline):
        kind, payload = frame
        if kind == b"A":
            return unpack_call(payload, bytes(stdin))
        if kind == b"R" and not stdin:
            return payload
        if kind != b"I":
            raise FrameError(reason=f"a frame of kind {kind!r}")
        stdin += payload
        if len(stdin) > STDIN_LIMIT:
            raise FrameError(reason=f"more than {STDIN_LIMIT} bytes of standard input")
    if stdin:
        raise FrameError(reason="standard input without a command")
    return None


def pack_call(call: Call) -> bytes:
    """Give the frames of a whole request. FrameError when it holds what no command line can."""
    ttys = f"out={call.out_tty:d},err={call.err_tty:d},in={call.in_tty:d}"
    facts = f"{ttys},columns={call.columns},uid={call.uid}"
    entries = [f"{name}={value}" for name, value in call.env.items()]
    items = [PROTOCOL, call.version, call.cwd, facts, str(len(entries)), *entries, *call.argv]
    if any("\0" in item for item in items) or any("=" in name or not name for name in call.env):
        raise FrameError(reason="a NUL, or an environment variable without a proper name")
    frame = pack(b"A", b"\0".join(_encode(item) for item in items))
    if len(frame) - _HEADER > LIMIT or len(call.stdin) > STDIN_LIMIT:
        raise FrameError(reason=f"a command of {len(frame)} bytes with {len(call.stdin)} of standard input")
    return b"".join([*pack_stream(b"I", call.stdin), frame])


def unpack_call(payload: bytes, stdin: bytes = b"") -> Call:
    """Give the Call in the payload of an `A`. FrameError when it is none, or of another protocol."""
    items = [item.decode("utf-8", "surrogateescape") for item in payload.split(b"\0")]
    if items[0] != PROTOCOL:
        raise FrameError(reason=f"protocol {items[0][:20]!r}, this is {PROTOCOL!r}")
    if len(items) < _FIXED:
        raise FrameError(reason="a call that is cut off")
    _, version, cwd, facts, count = items[:_FIXED]
    split = _FIXED + _as_number(count)
    if split > len(items):
        raise FrameError(reason="a call that is cut off in its environment")
    known = dict(fact.partition("=")[::2] for fact in facts.split(","))
    return Call(
        version=version,
        cwd=cwd,
        out_tty=known.get("out") == "1",
        err_tty=known.get("err") == "1",
        in_tty=known.get("in") == "1",
        columns=_as_number(known.get("columns", "0")),
        env=dict(_as_entry(item) for item in items[_FIXED:split]),
        argv=tuple(items[split:]),
        stdin=stdin,
        uid=_as_number(known.get("uid", "0")),
    )


def _receive(sock: socket.socket, size: int, deadline: float | None) -> bytes:
    """Give `size` bytes, fewer only when the stream ended. TimeoutError after the deadline."""
    data = bytearray()
    while len(data) < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            sock.settimeout(left)
        chunk = sock.recv(min(size - len(data), LIMIT))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def _encode(item: str) -> bytes:
    try:
        return item.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as problem:
        raise FrameError(reason=f"text that is no name of anything: {problem.reason}") from None


def _as_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(1 << 32))):
        raise FrameError(reason=f"{text[:20]!r} where a number belongs")
    return int(text)


def _as_entry(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not (name and equals):
        raise FrameError(reason="an environment variable without a proper name")
    return name, value
