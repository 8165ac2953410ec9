"""Configuration in layers: environment, this clone, the repository, the user, defaults.

Earlier layers win. Unknown keys warn; a value of the wrong type is an error that names the file and
the line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from taskd.errors import ConfigError

DEFAULT: Final = "default"


def _setting(default: object, *choices: str, unit: str = "") -> Any:  # noqa: ANN401 - a dataclass field
    return field(default=default, metadata={"choices": choices, "unit": unit})


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
    #: quiet after the last touch before files are read
    settle: float = _setting(0.05, unit="s")
    #: how long a claim lasts without a sign of life
    lease: float = _setting(900.0, unit="s")
    #: how often every worktree is looked at, events or none
    scan_interval: float = _setting(900.0, unit="s")
    mirror__remote: str = _setting("")
    #: the least time between two commits on the workspace branch
    mirror__interval: float = _setting(0.2, unit="s")
    auto_complete_parents: bool = _setting(default=False)
    require_criteria: bool = _setting(default=False)
    log__level: str = _setting("info", "debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, where each came from, and what was odd on the way."""

    config: Config
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, object]]:
        """`[{key, value, source}]`, every key once."""
        return [
            {"key": key, "value": getattr(self.config, name), "source": self.sources[key]}
            for key, name in KEYS.items()
        ]


KEYS: Final[Mapping[str, str]] = {row.name.replace("__", "."): row.name for row in fields(Config)}
_ROWS: Final = {row.name: row for row in fields(Config)}

#: environment variables that are no settings but facts of a call
_NOT_SETTINGS: Final = frozenset(
    {
        "TASKD_ACTOR",
        "TASKD_SESSION",
        "TASKD_NO_DAEMON",
        "TASKD_CRASH_AT",
        "TASKD_DATABASE_URL",
        "TASKD_BACKEND",
    }
)


def load(environ: Mapping[str, str], common_dir: Path | None, top: Path | None) -> Loaded:
    """Read every layer. `common_dir` and `top` are the clone's and the main worktree's directories."""
    values, sources, warnings = dict[str, Any](), dict[str, str](), list[str]()
    for source, layer in _layers(environ, common_dir, top):
        for key, raw in layer.items():
            name = KEYS.get(key)
            if name is None:
                warnings.append(f"{source}: there is no setting {key!r}")
            elif name not in values:
                values[name] = _checked(source, key, name, raw)
                sources[key] = source
    return Loaded(Config(**values), {key: sources.get(key, DEFAULT) for key in KEYS}, tuple(warnings))


def clone_file(common_dir: Path) -> Path:
    """The file of this clone's own settings."""
    return common_dir / "taskd" / "config.toml"


def _layers(
    environ: Mapping[str, str], common_dir: Path | None, top: Path | None
) -> Iterator[tuple[str, Mapping[str, object]]]:
    yield "environment", dict(_from_environment(environ))
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    files = [clone_file(common_dir)] if common_dir else []
    files += [top / ".taskd.toml"] if top else []
    for path in (*files, Path(home) / "taskd" / "config.toml"):
        if path.is_file():
            yield str(path), dict(_flat(_parse(path)))


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    if url := environ.get("TASKD_DATABASE_URL"):
        yield "store.url", url
    if backend := environ.get("TASKD_BACKEND"):
        yield "store.backend", backend
    for key, name in KEYS.items():
        variable = "TASKD_" + name.replace("__", "_").upper()
        if variable in environ and variable not in _NOT_SETTINGS:
            yield key, environ[variable]


def _parse(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(source=str(path), reason=f"this is not TOML: {error}") from None


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _checked(source: str, key: str, name: str, raw: object) -> object:
    row = _ROWS[name]
    wanted = type(row.default)
    value = _from_word(raw, wanted) if source == "environment" else raw
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not wanted:
        raise ConfigError(source=_place(source, key), reason=f"{key} must be {_NOUN[wanted]}, not {raw!r}")
    choices = row.metadata["choices"]
    if choices and value not in choices:
        allowed = ", ".join(choice for choice in choices if choice)
        raise ConfigError(source=_place(source, key), reason=f"{key} must be one of {allowed}, not {raw!r}")
    if wanted is float and not 0 <= float(str(value)) < float("inf"):
        raise ConfigError(source=_place(source, key), reason=f"{key} must not be negative or infinite")
    return value


_NOUN: Final = {str: "a text", float: "a number of seconds", bool: "true or false"}


def _from_word(raw: object, wanted: type) -> object:
    word = str(raw)
    if wanted is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(word, word)
    if wanted is float:
        try:
            return float(word)
        except ValueError:
            return word
    return word


def _place(source: str, key: str) -> str:
    """The source with the line of the key, found in the text (TOML readers do not tell lines)."""
    if source == "environment":
        return f"environment, {key}"
    last = re.escape(key.rpartition(".")[2])
    lines = Path(source).read_text(encoding="utf-8").splitlines()
    number = next((n for n, line in enumerate(lines, 1) if re.match(rf"\s*[\w.\"]*{last}\"?\s*=", line)), 1)
    return f"{source}:{number}"
