"""One command being run: where it was typed, what it may use, and what it has to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskd import client, wire
from taskd.errors import UsageError


@dataclass(frozen=True, slots=True)
class Terminal:
    """What is known of the place the output goes to."""

    tty: bool = False
    columns: int = 0
    colour: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What a verb answers: JSON `kind` and `data`, and the text for people. `code` is the exit code."""

    kind: str
    data: object
    text: Callable[[Terminal], str]
    code: int = 0
    #: sentences for standard error
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class Session:
    """The context of one command. Global options fill it before the verb runs."""

    cwd: Path
    environ: Mapping[str, str]
    terminal: Terminal
    stdin: Callable[[], bytes]
    #: prints, for verbs that tell as they go; what others answer is printed for them
    out: Callable[[bytes], None]
    #: how operations are called when this runs inside the daemon; None in a process of its own
    daemon: client.Submit | None = None
    json: bool = False
    actor: str | None = None
    session: str | None = None
    token: int | None = None
    request_id: str | None = None
    directories: list[str] = field(default_factory=list)
    #: sentences for standard error that came up on the way
    remarks: list[str] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """Where the command counts as typed: the working directory, or what `-C` names."""
        place = self.cwd
        for name in self.directories:
            place = place / name
            if not place.is_dir():
                raise UsageError(reason=f"there is no directory {place}")
        return place

    def home(self) -> client.Home:
        """The repository of the command's directory; what is odd about its settings is remarked on."""
        found = client.find_home(self.directory, self.environ)
        self.remarks += found.loaded.warnings
        return found

    def call(self, op: str, params: object | None = None) -> Any:  # noqa: ANN401 - JSON of the operation
        """Carry out an operation and give its data; raises what it refuses."""
        given = params if params is not None else wire.Nothing()
        who = client.caller(
            self.directory,
            self.environ,
            actor=self.actor,
            session=self.session,
            token=self.token,
            request_id=self.request_id,
        )
        request = wire.Call(op, wire.parameters(given), who)
        if self.daemon is not None:
            return self.daemon(request).unwrap()
        with client.operations(self.home(), self.environ) as submit:
            return submit(request).unwrap()

    def read_argument(self, value: str) -> str:
        """A value as given, or `@FILE`'s or (`-`, `@-`) standard input's content."""
        if value in ("-", "@-"):
            return _decode(self.stdin(), "standard input")
        if value.startswith("@"):
            path = self.directory / value[1:]
            try:
                return _decode(path.read_bytes(), str(path))
            except OSError as error:
                raise UsageError(reason=f"{path}: {error.strerror}") from None
        return value


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(reason=f"{name} is not UTF-8") from None


def lines(rows: Sequence[str]) -> str:
    """Rows as a text that ends with a line end, or nothing."""
    return "".join(f"{row}\n" for row in rows)
