"""The frames: whole or refused, never misread."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.frames import (
    LIMIT,
    STDIN_LIMIT,
    Call,
    FrameError,
    pack,
    pack_call,
    pack_stream,
    read_frame,
    read_request,
    unpack_call,
)

Pair = tuple[socket.socket, socket.socket]

names = st.binary(min_size=1, max_size=12).filter(lambda raw: b"\0" not in raw and b"=" not in raw)
words = st.binary(max_size=30).filter(lambda raw: b"\0" not in raw)


def as_text(raw: bytes) -> str:
    """What Python makes of bytes from the command line."""
    return raw.decode("utf-8", "surrogateescape")


calls = st.builds(
    Call,
    version=words.map(as_text),
    cwd=words.map(as_text),
    out_tty=st.booleans(),
    err_tty=st.booleans(),
    in_tty=st.booleans(),
    columns=st.integers(0, 10_000),
    env=st.dictionaries(names.map(as_text), words.map(as_text), max_size=5),
    argv=st.lists(words.map(as_text), max_size=6).map(tuple),
    stdin=st.binary(max_size=100),
    uid=st.integers(0, (1 << 32) - 1),
)


def send_away(data: bytes) -> socket.socket:
    """A socket from which `data` and then the end can be read."""
    writer, reader = socket.socketpair()

    def write() -> None:
        with writer, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            writer.sendall(data)

    threading.Thread(target=write).start()
    return reader


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=300)), max_size=6))
def test_frames_survive(frames: list[tuple[bytes, bytes]]) -> None:
    """Whatever bytes are sent in frames arrive as the same frames, and then the end is seen."""
    with send_away(b"".join(pack(kind, payload) for kind, payload in frames)) as sock:
        arrived = [read_frame(sock, LIMIT) for _ in range(len(frames) + 1)]

    assert arrived == [*frames, None]


@given(calls)
def test_call_survives(call: Call) -> None:
    """A command line arrives as typed: odd encodings, newlines, empty words and all."""
    with send_away(pack_call(call)) as sock:
        assert read_request(sock) == call
        assert read_request(sock) is None


@given(st.binary(max_size=200))
def test_garbage_refused(garbage: bytes) -> None:
    """Random bytes on the socket are refused with a FrameError, or are a request; nothing else."""
    with send_away(garbage) as sock, contextlib.suppress(FrameError):
        assert isinstance(read_request(sock), Call | bytes | None)


@given(st.binary(max_size=120).map(lambda tail: b"1\0" + tail))
def test_garbled_call_refused(payload: bytes) -> None:
    """A garbled command line is refused, or says again what it says: never half of it."""
    try:
        call = unpack_call(payload)
    except FrameError:
        return
    assert unpack_call(pack_call(call)[5:]) == call


@given(calls, st.data())
def test_cut_call_refused(call: Call, data: st.DataObject) -> None:
    """A request that is cut off anywhere is never taken for a shorter one."""
    whole = pack_call(call)
    cut = data.draw(st.integers(1, len(whole) - 1))

    with send_away(whole[:cut]) as sock, pytest.raises(FrameError):
        read_request(sock)


def test_big_frame_refused(pair: Pair) -> None:
    """A frame longer than the limit is refused before a byte of it is kept."""
    ours, theirs = pair
    theirs.sendall((LIMIT + 1).to_bytes(4, "big"))

    with pytest.raises(FrameError, match=str(LIMIT + 1)):
        read_frame(ours, LIMIT)


def test_largest_frame_taken() -> None:
    """A frame of just the limit is taken."""
    payload = os.urandom(LIMIT - 1)

    with send_away(pack(b"R", payload)) as sock:
        assert read_request(sock) == payload


def test_deadline_holds(pair: Pair) -> None:
    """Whoever sends byte by byte for ever is cut off at the deadline, and the socket blocks as before."""
    ours, theirs = pair
    stop = threading.Event()

    def trickle() -> None:
        theirs.sendall((1000).to_bytes(4, "big"))
        while not stop.wait(0.005):
            theirs.sendall(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    with pytest.raises(FrameError, match="in time"):
        read_frame(ours, LIMIT, deadline=began + 0.1)
    stop.set()
    thread.join()

    assert (time.monotonic() - began < 2, ours.gettimeout()) == (True, None)


def test_reset_is_frame_error(pair: Pair) -> None:
    """A peer that dies with our bytes unread is a FrameError like every other broken talk."""
    ours, theirs = pair
    ours.sendall(b"never read")
    theirs.close()

    with pytest.raises(FrameError):
        read_frame(ours, LIMIT)


def test_long_output_split() -> None:
    """Output of any length is sent in frames within the limit, and is whole when put together."""
    data = os.urandom(3 * LIMIT + 17)
    frames = list(pack_stream(b"O", data))

    assert b"".join(frame[5:] for frame in frames) == data
    assert max(map(len, frames)) == LIMIT + 4


def test_stdin_in_pieces() -> None:
    """Standard input longer than a frame arrives whole."""
    call = Call(version="1", cwd="/", argv=("add", "-"), stdin=os.urandom(2 * LIMIT + 1))

    with send_away(pack_call(call)) as sock:
        assert read_request(sock) == call


def test_stdin_bounded() -> None:
    """Standard input beyond its limit is refused however it is cut into frames."""
    piece = pack(b"I", bytes(LIMIT - 1))

    with (
        send_away(piece * (STDIN_LIMIT // LIMIT + 1)) as sock,
        pytest.raises(FrameError, match=str(STDIN_LIMIT)),
    ):
        read_request(sock)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"2\0" + b"0.1\0/\0out=1\0000",
        b"1\0" + b"0.1\0/\0out=1",
        b"1\0" + b"0.1\0/\0out=1\0\xc2\xb2",
        b"1\0" + b"0.1\0/\0out=1\0-1",
        b"1\0" + b"0.1\0/\0out=1\0" + b"9" * 5000,
        b"1\0" + b"0.1\0/\0out=1\0002\0A=1",
        b"1\0" + b"0.1\0/\0out=1\0001\0=1",
        b"1\0" + b"0.1\0/\0out=1\0001\0A",
        b"1\0" + b"0.1\0/\0columns=wide\0000",
    ],
)
def test_bad_call_refused(payload: bytes) -> None:
    """A call of another protocol, cut off or with nonsense for numbers is refused in a sentence."""
    with pytest.raises(FrameError, match="what came over the socket is no request"):
        unpack_call(payload)


@pytest.mark.parametrize(
    "call",
    [
        Call(version="1", cwd="/", argv=("a\0b",)),
        Call(version="1", cwd="/", env={"": "x"}),
        Call(version="1", cwd="/", env={"A=B": "x"}),
        Call(version="1", cwd="/", argv=("x" * LIMIT,)),
        Call(version="1", cwd="/", stdin=bytes(STDIN_LIMIT + 1)),
        Call(version="1", cwd="\ud800"),
    ],
)
def test_impossible_call_refused(call: Call) -> None:
    """What no command line can hold is refused when it is packed, not misread at the other end."""
    with pytest.raises(FrameError):
        pack_call(call)


@pytest.mark.parametrize("frames", [pack(b"Z", b""), pack(b"I", b"x") + pack(b"R", b"{}"), pack(b"I", b"x")])
def test_unknown_request_refused(frames: bytes) -> None:
    """Frames that make no request are refused."""
    with send_away(frames) as sock, pytest.raises(FrameError):
        read_request(sock)


def test_facts_of_later_versions() -> None:
    """Facts that a later version adds are passed over."""
    call = unpack_call(b"1\x000.1\0/\0out=1,colours=256,err=0\x000\0list")

    assert (call.out_tty, call.err_tty, call.argv) == (True, False, ("list",))
