"""What may go over the wire, and what is refused before any operation sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskd import wire
from taskd.errors import Claimed, UsageError

CALLER = wire.Caller("alice", "s", "/x", 7, "r-1")


def test_call_survives() -> None:
    """A call arrives as it was sent."""
    call = wire.Call("claim", {"id": "x", "ttl": 3.5}, CALLER)

    assert wire.unpack_call(wire.pack_call(call)) == call


def test_reply_survives() -> None:
    """An answer arrives as it was given."""
    assert wire.unpack_reply(wire.pack_reply(wire.Reply([1, None, "ü"]))).unwrap() == [1, None, "ü"]


def test_error_survives() -> None:
    """An error keeps its facts, its exit code and its hint on the way."""
    error = Claimed(task="x", holder="bob", worktree="w", expires="later", retry_after=3)

    with pytest.raises(wire.Remote) as caught:
        wire.unpack_reply(wire.pack_reply(wire.failed(error))).unwrap()

    assert (caught.value.as_data(), caught.value.kind, caught.value.message, caught.value.advice) == (
        error.as_data(),
        error.kind,
        error.message,
        error.advice,
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"3", b"{}", b'{"op": "x", "params": 3}', b'{"op": "x", "caller": {"name": "x"}}',
     b'{"op": "x", "caller": []}', b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_no_call(data: bytes) -> None:
    """Whatever else comes over the socket is refused in a sentence."""
    with pytest.raises(UsageError):
        wire.unpack_call(data)


def _nested(depth: int) -> Any:  # noqa: ANN401 - JSON
    return json.loads("[" * depth + "]" * depth)


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (wire.Add, {}, "missing: name"),
        (wire.Add, {"name": 3}, "name cannot be 3"),
        (wire.Add, {"name": "x", "nome": 1}, "there is no parameter 'nome'"),
        (wire.Add, {"name": "x\udcff"}, "name is not UTF-8"),
        (wire.Add, {"name": "x", "values": {"k": ["\udcff"]}}, "values.k is not UTF-8"),
        (wire.Add, {"name": "x", "values": {"\udcff": 1}}, "a key is not UTF-8"),
        (wire.Add, {"name": "x", "values": {"k": float("nan")}}, "values.k cannot be nan"),
        (wire.Add, {"name": "x", "values": {"k": 1 << 63}}, "values.k is out of range"),
        (wire.Add, {"name": "x", "values": {"k": _nested(50)}}, "values.k is nested"),
        (wire.Add, {"name": "x", "file": 1}, "file cannot be 1"),
        (wire.Claim, {"ttl": float("nan")}, "ttl cannot be nan"),
        (wire.Claim, {"ttl": float("inf")}, "ttl cannot be inf"),
        (wire.Claim, {"ttl": 1 << 2000}, "ttl cannot be inf"),
        (wire.Claim, {"ttl": True}, "ttl cannot be True"),
        (wire.List, {"limit": 1 << 63}, "limit is out of range"),
        (wire.List, {"limit": True}, "limit cannot be True"),
        (wire.List, {"tag": "x"}, "tag cannot be 'x'"),
    ],
)
def test_wrong_parameters(kind: type, values: dict[str, Any], said: str) -> None:
    """A parameter that no store or file could hold as it is never reaches an operation."""
    with pytest.raises(UsageError, match="^" + said.replace("[", "\\[")):
        wire.build(kind, values)


def test_parameters_round() -> None:
    """Parameters sent as what differs from the defaults are built again as they were."""
    given = wire.Set("x", {"due": None}, {"tags": ("a", "b")}, force=True)

    assert wire.build(wire.Set, json.loads(json.dumps(wire.parameters(given)))) == given


@pytest.mark.parametrize("name", ["", " ", "a\nTask: b", "a\x1b[31m", "x" * 201, "\udcff"])
@pytest.mark.parametrize("field", ["actor", "session", "request_id"])
def test_no_name(field: str, name: str) -> None:
    """A caller's name stands in tables and commit trailers: one printable line, or it is refused."""
    named: dict[str, Any] = {field: name}

    with pytest.raises(UsageError, match=field.replace("_", "-")):
        wire.Caller(**named)
