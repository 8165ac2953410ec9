"""Configuration in layers: environment, this clone, the repository, the user, defaults.

Earlier layers win. Unknown keys warn; a value of the wrong type is an error that names the file and
the line. Where `taskd init` has written a setting that says where task files lie, that stands: the
files are there, and another layer's word would not move them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from taskd.errors import ConfigError

DEFAULT: Final = "default"


def _setting(default: object, *choices: str, least: float = 0.0) -> Any:  # noqa: ANN401 - a dataclass field
    return field(default=default, metadata={"choices": choices, "least": least})


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, typed. A `__` in a name is a dot in the key: `mirror__remote` is `mirror.remote`."""

    #: the tasks directory, relative to the top of each worktree
    tasks_dir: str = _setting("tasks")
    #: where task files live; fixed by `taskd init`
    layout: str = _setting("", "", "shared", "tracked")
    #: the workspace branch
    branch: str = _setting("taskd/workspace")
    store__backend: str = _setting("sqlite", "sqlite")
    store__url: str = _setting("")
    #: which replicas show live state
    write_back: str = _setting("auto", "auto", "always", "never")
    #: what is written back
    propagate: str = _setting("all", "runtime", "all")
    #: what a status typed into a file means
    status_edits: str = _setting("request", "request", "ignore")
    #: seconds of quiet after the last touch before files are read
    settle: float = _setting(0.05)
    #: seconds a claim lasts without a sign of life
    lease: float = _setting(900.0, least=1.0)
    #: seconds after which every worktree is looked at, events or none
    scan_interval: float = _setting(900.0, least=1.0)
    #: name or address of the remote whose workspace branch is kept in step with ours
    mirror__remote: str = _setting("")
    #: seconds between two looks at that remote
    mirror__fetch_interval: float = _setting(60.0, least=1.0)
    #: the least seconds between two commits on the workspace branch
    mirror__interval: float = _setting(0.2)
    auto_complete_parents: bool = _setting(default=False)
    require_criteria: bool = _setting(default=False)
    log__level: str = _setting("info", "debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, where each came from, and what was odd on the way.

    `chosen` tells whether `taskd init` has chosen a layout in this clone.
    """

    config: Config
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    chosen: bool = False

    def rows(self) -> list[dict[str, object]]:
        """`[{key, value, source}]`, every key once."""
        return [
            {"key": key, "value": getattr(self.config, name), "source": self.sources[key]}
            for key, name in KEYS.items()
        ]


KEYS: Final[Mapping[str, str]] = {row.name.replace("__", "."): row.name for row in fields(Config)}
_ROWS: Final = {row.name: row for row in fields(Config)}

ENVIRONMENT: Final = "environment"
LONGEST: Final = 366 * 86400.0  # seconds; what is meant to be longer than a year is a slip of the keyboard

#: what `taskd init` fixes; another value for it elsewhere is told, and not taken
FIXED: Final = ("layout", "tasks_dir")

#: environment variables with a name of their own, to their settings
_VARIABLES: Final[Mapping[str, str]] = {
    "TASKD_DATABASE_URL": "store.url",
    "TASKD_BACKEND": "store.backend",
    **{"TASKD_" + name.replace("__", "_").upper(): key for key, name in KEYS.items()},
}

#: environment variables that are no settings but facts of a call
_FACTS: Final = ("TASKD_ACTOR", "TASKD_SESSION", "TASKD_NO_DAEMON", "TASKD_CRASH_AT")


@dataclass(frozen=True, slots=True)
class _Layer:
    """One source of settings: its name, its raw values by key, and the place of a key for people."""

    source: str
    values: Mapping[str, object]
    place: Callable[[str], str]


def load(environ: Mapping[str, str], common_dir: Path | None, top: Path | None) -> Loaded:
    """Read every layer. `common_dir` and `top` are the clone's and the main worktree's directories.

    ConfigError for a file that is no TOML and for a value that its setting cannot take.
    """
    layers = list(_layers(environ, common_dir, top))
    clone = str(clone_file(common_dir)) if common_dir else ""
    fixed = {key for layer in layers if layer.source == clone for key in layer.values if key in FIXED}
    values, sources, warnings = dict[str, Any](), dict[str, str](), list(unknown_variables(environ))
    for layer in layers:
        for key, raw in layer.values.items():
            name = KEYS.get(key)
            if name is None:
                warnings.append(f"{layer.place(key)}: there is no setting {key!r}{_meant(key, KEYS)}")
                continue
            value = _checked(layer, key, name, raw)
            if key in fixed and layer.source != clone:
                warnings.append(f"{layer.place(key)}: {key} is fixed by `taskd init`, this one is not taken")
            elif name not in values:
                values[name], sources[key] = value, layer.source
    told = {key: sources.get(key, DEFAULT) for key in KEYS}
    return Loaded(Config(**values), told, tuple(warnings), "layout" in fixed)


def clone_file(common_dir: Path) -> Path:
    """The file of this clone's own settings."""
    return common_dir / "taskd" / "config.toml"


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """What is to be said of `TASKD_*` variables that mean nothing, by name."""
    known = (*_VARIABLES, *_FACTS)
    strange = sorted(name for name in environ if name.startswith("TASKD_") and name not in known)
    return [f"environment: there is no setting {name}{_meant(name, known)}" for name in strange]


def check_environment(environ: Mapping[str, str]) -> None:
    """ConfigError when a variable has a value that its setting cannot take."""
    layer = _environment(environ)
    for key, raw in layer.values.items():
        _checked(layer, key, KEYS[key], raw)


def tasks_directory(word: str, source: str) -> str:
    """The tasks directory as it is kept, `a/b`; ConfigError when it cannot be one.

    It is a path below the top of each worktree that stands in git's own files as it is, so it has no
    letters that mean something there.
    """
    parts = word.removesuffix("/").split("/")
    if not all(re.fullmatch(r"[\w][\w .+@-]*", part) and part == part.strip() for part in parts):
        raise ConfigError(
            source=source,
            reason=f"tasks_dir must be a directory below the top of a worktree, like tasks, not {word!r}",
        )
    return "/".join(parts)


def _meant(word: str, known: Mapping[str, str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _layers(environ: Mapping[str, str], common_dir: Path | None, top: Path | None) -> Iterator[_Layer]:
    yield _environment(environ)
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    files = [clone_file(common_dir)] if common_dir else []
    files += [top / ".taskd.toml"] if top else []
    for path in (*files, Path(home) / "taskd" / "config.toml"):
        if path.is_file():
            yield _file(path)


def _environment(environ: Mapping[str, str]) -> _Layer:
    """The variables that are set; an empty one is not."""
    variables = {key: name for name, key in reversed(list(_VARIABLES.items())) if environ.get(name)}
    values = {key: environ[name] for key, name in variables.items()}
    return _Layer(ENVIRONMENT, values, lambda key: f"{ENVIRONMENT}, {variables[key]}")


def _file(path: Path) -> _Layer:
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = dict(_flat(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        source = f"{path}:{line[1] if line else text.count(chr(10)) + 1}"
        raise ConfigError(source=source, reason=f"this is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise ConfigError(source=str(path), reason="this is not UTF-8") from None
    except OSError as error:
        raise ConfigError(source=str(path), reason=f"it cannot be read: {error.strerror}") from None
    return _Layer(str(path), values, lambda key: f"{path}:{_line_of(text, key)}")


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and prefix + key not in KEYS:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _line_of(text: str, key: str) -> int:
    """The line on which a key is given its value: the first that makes it appear.

    TOML readers tell no lines, and a key can be written in many ways (dotted, quoted, in a table, in
    an inline one). So the reader itself is asked about ever longer beginnings of the text.
    """
    lines, begun = text.splitlines(), 0
    for number in range(1, len(lines) + 1):
        try:
            found = dict(_flat(tomllib.loads("\n".join(lines[:number]))))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a value of several lines
        if key in found:
            return begun + 1
        begun = number
    return 1


def _checked(layer: _Layer, key: str, name: str, raw: object) -> object:
    """The value a setting takes; ConfigError with its place when it takes no such."""
    row = _ROWS[name]
    wanted = type(row.default)
    value = _from_word(raw, wanted) if layer.source == ENVIRONMENT else raw
    if wanted is float and type(value) is int:
        value = float(value)
    if reason := _complaint(row, value):
        raise ConfigError(source=layer.place(key), reason=f"{key} must be {reason}, not {_shown(raw)}")
    return tasks_directory(str(value), layer.place(key)) if key == "tasks_dir" else value


def _complaint(row: Field[Any], value: object) -> str | None:
    """What the value would have to be, None when it is that."""
    wanted, choices, least = type(row.default), row.metadata["choices"], row.metadata["least"]
    if type(value) is not wanted:
        return _NOUN[wanted]
    if choices and value not in choices:
        return f"one of {', '.join(choice for choice in choices if choice)}"
    if isinstance(value, float) and not least <= value <= LONGEST:
        return f"between {least:g} and {LONGEST:.0f} seconds"
    if row.name == "branch" and not _BRANCH.fullmatch(str(value)):
        return "a branch name such as taskd/workspace"
    if row.name == "mirror__remote" and str(value).startswith("-"):
        return "the name or the address of a remote"
    return None


_NOUN: Final = {str: "a text", float: "a number of seconds", bool: "true or false"}

#: stricter than git-check-ref-format(1): words of letters, digits, `_`, `-`, joined by `.` or `/`
_BRANCH: Final = re.compile(r"\w[\w-]*(?:[./]\w[\w-]*)*(?<!\.lock)")

_BOOLEANS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _from_word(raw: object, wanted: type) -> object:
    word = str(raw)
    if wanted is bool:
        return _BOOLEANS.get(word.lower(), word)
    if wanted is float:
        try:
            return float(word)
        except ValueError:
            return word
    return word


def _shown(raw: object) -> str:
    """A value as people write it in TOML."""
    if isinstance(raw, bool):
        return str(raw).lower()
    return "a table" if isinstance(raw, Mapping) else repr(raw)
