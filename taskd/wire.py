"""What front ends and the engine say to each other: calls, replies, and each operation's parameters.

A call travels as JSON `{"op": name, "params": {...}, "caller": {...}}`, its answer as
`{"data": ...}` or `{"error": {"code", "message", "hint", "exit", ...}}`.
"""

from __future__ import annotations

import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Final, TypeVar

from taskd.errors import Kind, TaskdError, UsageError

P = TypeVar("P")

PROTOCOL: Final = "1"  # raised when an older client could misread a daemon's answer

NAME_LIMIT: Final = 200  # characters of an actor, session or request id; they stand in tables and commits
DEPTH_LIMIT: Final = 20  # levels of lists and mappings in a value; as in documents
INTEGER_LIMIT: Final = 1 << 63  # what a store's integer column holds is below this


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls and from which directory; the engine finds the worktree and fills in what is None."""

    actor: str | None = None
    session: str | None = None
    directory: str = "."
    token: int | None = None
    request_id: str | None = None

    def __post_init__(self) -> None:
        """UsageError for a name that is none: empty, too long, or of more than one line."""
        for name in ("actor", "session", "request_id"):
            value = getattr(self, name)
            if value is not None and not _is_name(value):
                raise UsageError(reason=f"{name.replace('_', '-')} cannot be {value!r}: a name of one line")


@dataclass(frozen=True, slots=True)
class Call:
    """One operation asked for."""

    op: str
    params: Mapping[str, object] = field(default_factory=dict)
    caller: Caller = Caller()


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer: `data`, or the JSON error with its exit code."""

    data: object = None
    error: Mapping[str, object] | None = None

    def unwrap(self) -> Any:  # noqa: ANN401 - JSON: its shape is the operation's
        """The data; raises what the other side raised, as `Remote`."""
        if self.error is not None:
            raise Remote(self.error)
        return self.data


class Remote(TaskdError):  # noqa: N818 - as in errors.py
    """{message}"""  # noqa: D400 - it is the message

    hint = "{hint}"

    def __init__(self, error: Mapping[str, object]) -> None:
        """Stand for an error of the other side, as its JSON tells it."""
        super().__init__(**{"message": "", "hint": "", **error})
        self.error = error
        self.kind = Kind(int(str(error["exit"])))
        self.code = str(error["code"])

    def as_data(self) -> dict[str, object]:
        """The error as it was told."""
        return {key: value for key, value in self.error.items() if key != "exit"}


def failed(error: TaskdError) -> Reply:
    """The reply that tells an error."""
    return Reply(error={**error.as_data(), "exit": int(error.kind)})


# -- the parameters of the operations


@dataclass(frozen=True, slots=True)
class Nothing:
    """An operation without parameters."""


@dataclass(frozen=True, slots=True)
class Add:
    """A new task. Without `id` one is made from the name; `values` are authored fields by name."""

    name: str
    id: str | None = None
    path: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    #: tracked layout: make the document in the caller's worktree
    file: bool = False


@dataclass(frozen=True, slots=True)
class List:
    """Which tasks are wanted; see `core.query.Query` for the meaning of each filter."""

    status: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    assignee: str | None = None
    path: str | None = None
    priority: tuple[str, ...] = ()
    parent: str | None = None
    ready: bool = False
    blocked: bool = False
    mine: bool = False
    unassessed: bool = False
    search: str | None = None
    sort: str = "rank"
    limit: int | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class One:
    """One task, by id or unique beginning of an id."""

    id: str


@dataclass(frozen=True, slots=True)
class Set:
    """Authored fields to set: to a value (None: NULL); `add` and `remove` work on tags and depends_on."""

    id: str
    values: Mapping[str, object] = field(default_factory=dict)
    add: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remove: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    force: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A transition to `status`; operations that name it themselves ignore the field."""

    id: str
    status: str = ""
    reason: str | None = None
    summary: str | None = None
    actual_hours: float | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim by id, or with `next` of the best ready task among those the filters leave."""

    id: str | None = None
    next: bool = False
    resume: bool = False
    ttl: float | None = None
    tag: tuple[str, ...] = ()
    path: str | None = None
    priority: tuple[str, ...] = ()
    assignee: str | None = None
    parent: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim the caller holds, to renew or give up."""

    id: str
    ttl: float | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency: `id` depends on `on`."""

    id: str
    on: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    """A task to delete (a tombstone stays) or to restore."""

    id: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Conflicts:
    """Open conflicts: all, or those of a task, or (by its number) one."""

    id: str | None = None


@dataclass(frozen=True, slots=True)
class Resolve:
    """An answer to the conflict with the number `id`, or to those about `field` of the task `id`.

    `take` is `index`, `file` or `value`; then `value` is another one, as text, None for NULL.
    """

    id: str
    take: str
    field: str | None = None
    value: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to the hold with this number."""

    number: int
    force: bool = False


@dataclass(frozen=True, slots=True)
class Take:
    """Let the file that `worktree` has of a task speak, old as it may be."""

    id: str
    worktree: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Pull:
    """Bring files of the caller's worktree to the head: of these tasks, of all without `ids`."""

    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """Journal entries of one task or all: those with seq > `after`, or the newest `limit`."""

    id: str | None = None
    after: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """Take in everything saved before the call, within `timeout` seconds."""

    timeout: float = 30.0


# -- as JSON


def parameters(given: Any) -> dict[str, object]:  # noqa: ANN401 - any of the dataclasses above
    """The values of a parameter object that differ from their defaults."""
    return {
        row.name: value
        for row in fields(given)
        if (value := getattr(given, row.name)) != row.default or _is_required(row)
    }


def build(kind: type[P], values: Mapping[str, object]) -> P:
    """A parameter object from JSON values; UsageError naming what does not fit."""
    known = {row.name: row for row in fields(kind)}  # type: ignore[arg-type]  # always a dataclass
    hints = _hints(kind)  # type: ignore[arg-type]  # every dataclass of this module can be hashed
    for name in values:
        if name not in known:
            raise UsageError(reason=f"there is no parameter {name!r}; known are {', '.join(known)}")
    missing = [n for n, row in known.items() if _is_required(row) and n not in values]
    if missing:
        raise UsageError(reason=f"missing: {', '.join(missing)}")
    return kind(**{name: _fit(name, hints[name], value) for name, value in values.items()})


@functools.cache
def _hints(kind: type) -> dict[str, object]:
    return typing.get_type_hints(kind)


def _is_required(row: Any) -> bool:  # noqa: ANN401 - dataclasses.Field is generic in what it holds
    return row.default is MISSING and row.default_factory is MISSING


def _fit(name: str, hint: object, value: object) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _fit(name, next(a for a in arguments if a is not type(None)), value)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_fit(name, arguments[0], item) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        return {_key(key): _fit(f"{name}.{key}", arguments[1], item) for key, item in value.items()}
    if hint is float and type(value) is int:
        value = float(value) if abs(value) < INTEGER_LIMIT else math.inf
    if hint is object or hint is type(value):
        return _sound(name, value)
    raise UsageError(reason=f"{name} cannot be {value!r}")


def _key(key: object) -> str:
    return str(_sound("a key", str(key)))


def _sound(name: str, value: object, depth: int = 0) -> object:
    """A JSON value that every store and every file can hold as it is; UsageError for others."""
    if isinstance(value, str) and not _is_text(value):
        raise UsageError(reason=f"{name} is not UTF-8: {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(reason=f"{name} cannot be {value}: a number is finite")
    if isinstance(value, int) and not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        raise UsageError(reason=f"{name} is out of range")
    if isinstance(value, (list, tuple, Mapping)):
        if depth == DEPTH_LIMIT:
            raise UsageError(reason=f"{name} is nested more than {DEPTH_LIMIT} levels deep")
        items = [*value, *value.values()] if isinstance(value, Mapping) else value
        for item in items:
            _sound(name, item, depth + 1)
    return value


def _is_text(value: str) -> bool:
    """Whether it has a UTF-8 form: a lone surrogate stands for a byte that was none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_name(value: str) -> bool:
    return 0 < len(value) <= NAME_LIMIT and value.isprintable() and bool(value.strip()) and _is_text(value)


def pack_call(call: Call) -> bytes:
    """A call as JSON."""
    body = {"op": call.op, "params": call.params, "caller": asdict(call.caller)}
    return json.dumps(body, default=asdict).encode()


def unpack_call(data: bytes) -> Call:
    """A call from JSON; UsageError when it is none."""
    try:
        body = json.loads(data)
        return Call(str(body["op"]), dict(body.get("params", {})), build(Caller, body.get("caller", {})))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(reason=f"that is no call: {error}") from None


def pack_reply(reply: Reply) -> bytes:
    """A reply as JSON."""
    return json.dumps({"data": reply.data} if reply.error is None else {"error": reply.error}).encode()


def unpack_reply(data: bytes) -> Reply:
    """A reply from JSON."""
    body = json.loads(data)
    return Reply(body.get("data"), body.get("error"))
