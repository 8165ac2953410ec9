"""The layers of configuration, as a user's files and variables make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from taskd.config import KEYS, Loaded, check_environment, clone_file, load, tasks_directory
from taskd.errors import ConfigError


class Layers:
    """A clone, a main worktree and a user's home with configuration files."""

    def __init__(self, root: Path) -> None:
        """Make the three directories."""
        self.common, self.top, self.user = root / "git", root / "top", root / "config"
        self.clone = clone_file(self.common)
        self.repository, self.personal = self.top / ".taskd.toml", self.user / "taskd" / "config.toml"
        for path in (self.clone, self.repository, self.personal):
            path.parent.mkdir(parents=True, exist_ok=True)

    def load(self, environ: Mapping[str, str] | None = None) -> Loaded:
        """Read them all."""
        return load({"XDG_CONFIG_HOME": str(self.user), **(environ or {})}, self.common, self.top)

    def complaint(self, environ: Mapping[str, str] | None = None) -> str:
        """What the error says that reading them raises."""
        with pytest.raises(ConfigError) as caught:
            self.load(environ)
        return caught.value.message


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    """Empty layers."""
    return Layers(tmp_path)


def test_defaults(layers: Layers) -> None:
    """Without any file everything has a value, and says that it is the default."""
    loaded = layers.load()

    assert {row["source"] for row in loaded.rows()} == {"default"}
    assert [row["key"] for row in loaded.rows()] == list(KEYS)
    assert (loaded.warnings, loaded.chosen) == ((), False)


def test_order_of_layers(layers: Layers) -> None:
    """Environment beats clone beats repository beats user, each for the keys it names."""
    layers.personal.write_text("lease = 10\nsettle = 1\nscan_interval = 11\nlog.level = 'debug'\n")
    layers.repository.write_text("lease = 20\nsettle = 2\nscan_interval = 22\n")
    layers.clone.write_text("lease = 30\nsettle = 3\n")

    config = layers.load({"TASKD_LEASE": "40"}).config

    assert (config.lease, config.settle, config.scan_interval, config.log__level) == (40, 3, 22, "debug")


def test_sources_are_told(layers: Layers) -> None:
    """Every value says where it comes from."""
    layers.personal.write_text("settle = 1\n")
    layers.repository.write_text("[mirror]\nremote = 'origin'\n")

    sources = layers.load({"TASKD_LEASE": "40"}).sources

    assert (sources["lease"], sources["settle"], sources["mirror.remote"], sources["branch"]) == (
        "environment",
        str(layers.personal),
        str(layers.repository),
        "default",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lease = 'long'", 1),
        ("# a comment\n\n  lease='long'", 3),
        ("log.level = 3", 1),
        ("log . level = 3", 1),
        ('"log"."level" = 3', 1),
        ("[log]\n\nlevel = 3", 3),
        ("[ log ] # here\n'level' = 3", 2),
        ("log = { level = 3 }", 1),
        ("[mirror]\ninterval = 1\n[log]\nlevel = true", 4),
        ("[mirror]\nremote = '''\nlevel = 3\n'''\n[log]\nlevel = 3", 6),
        ("log.level = [\n 'a',\n 'b',\n]\nsettle = 1", 1),
        ("settle = 1\n\nlog.level = '''\na\n'''", 3),
        ("\ufefflog.level = 3", 1),
        ("settle = 1\r\nlog.level = 3\r\n", 2),
        ("[log.level]\nx = 1", 1),
        ("require_criteria = 1", 1),
        ("auto_complete_parents = 'true'", 1),
        ("lease = true", 1),
        ("lease = 0", 1),
        ("lease = -1", 1),
        ("settle = nan", 1),
        ("settle = inf", 1),
        ("settle = 1e300", 1),
        ("write_back = 'sometimes'", 1),
        ("store.backend = 'oracle'", 1),
        ("branch = ''", 1),
        ("branch = 'a..b'", 1),
        ("branch = 'a.lock'", 1),
        ("branch = '-x'", 1),
        ("branch = 'a b'", 1),
        ("tasks_dir = '../x'", 1),
    ],
)
def test_wrong_value_names_line(layers: Layers, text: str, line: int) -> None:
    """A value that a setting cannot take is refused with the file and the line, however it is spelled."""
    layers.repository.write_bytes(text.encode())

    assert layers.complaint().startswith(f"{layers.repository}:{line}: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [("lease = \n", 1), ("settle = 1\nlease\n", 2), ("settle = 1\nlease = '", 2), ("a=1\na=2", 2)],
)
def test_no_toml_names_line(layers: Layers, text: str, line: int) -> None:
    """A file that is no TOML is refused with the line where it stops being one."""
    layers.clone.write_text(text)

    assert layers.complaint().startswith(f"{layers.clone}:{line}: this is not TOML")


def test_no_text(layers: Layers) -> None:
    """A file of bytes that are no UTF-8 is refused by name."""
    layers.clone.write_bytes(b"branch = '\xff'")

    assert layers.complaint() == f"{layers.clone}: this is not UTF-8"


def test_wrong_variable_is_named(layers: Layers) -> None:
    """A variable with a wrong value is refused by its own name."""
    assert layers.complaint({"TASKD_LOG_LEVEL": "loud"}) == (
        "environment, TASKD_LOG_LEVEL: log.level must be one of debug, info, warning, error, not 'loud'"
    )


def test_hidden_mistake_is_told(layers: Layers) -> None:
    """A wrong value is refused even where another layer has the say: it is wrong all the same."""
    layers.personal.write_text("lease = 'long'")

    assert layers.complaint({"TASKD_LEASE": "40"}).startswith(f"{layers.personal}:1: ")


@pytest.mark.parametrize(
    ("variable", "word", "key", "value"),
    [
        ("TASKD_SETTLE", "0.5", "settle", 0.5),
        ("TASKD_SETTLE", "", "settle", 0.05),
        ("TASKD_REQUIRE_CRITERIA", "yes", "require_criteria", True),
        ("TASKD_REQUIRE_CRITERIA", "False", "require_criteria", False),
        ("TASKD_MIRROR_REMOTE", "origin", "mirror.remote", "origin"),
        ("TASKD_BACKEND", "sqlite", "store.backend", "sqlite"),
        ("TASKD_STORE_BACKEND", "sqlite", "store.backend", "sqlite"),
        ("TASKD_DATABASE_URL", "postgres:///x", "store.url", "postgres:///x"),
    ],
)
def test_variables(layers: Layers, variable: str, word: str, key: str, value: object) -> None:
    """Every setting has a variable; an empty one counts as not set."""
    loaded = layers.load({variable: word})

    assert (getattr(loaded.config, KEYS[key]), loaded.warnings) == (value, ())


def test_unknown_keys_warn_once(layers: Layers) -> None:
    """A key that is no setting is told once, with its place and what was probably meant."""
    layers.repository.write_text("settle = 1\n\n[mirror]\nremotes = 'x'\n")
    layers.personal.write_text("zzz = 1\n")

    assert layers.load().warnings == (
        f"{layers.repository}:4: there is no setting 'mirror.remotes'; did you mean mirror.remote?",
        f"{layers.personal}:1: there is no setting 'zzz'",
    )


def test_unknown_variable_is_told(layers: Layers) -> None:
    """A variable that begins like ours and means nothing is told; facts of a call are known."""
    facts = {
        "TASKD_ACTOR": "x",
        "TASKD_SESSION": "x",
        "TASKD_NO_DAEMON": "1",
        "TASKD_CRASH_AT": "",
        "FOO": "x",
    }

    assert layers.load({"TASKD_LEASES": "1", **facts}).warnings == (
        "environment: there is no setting TASKD_LEASES; did you mean TASKD_LEASE?",
    )


def test_what_init_fixed_stays(layers: Layers) -> None:
    """Where task files lie is fixed by init: another word for it is told and not taken."""
    layers.clone.write_text("layout = 'shared'\ntasks_dir = 'todo'\n")
    layers.repository.write_text("layout = 'tracked'\n")

    loaded = layers.load({"TASKD_TASKS_DIR": "elsewhere"})

    assert (loaded.config.layout, loaded.config.tasks_dir, loaded.chosen) == ("shared", "todo", True)
    assert loaded.warnings == (
        "environment, TASKD_TASKS_DIR: tasks_dir is fixed by `taskd init`, this one is not taken",
        f"{layers.repository}:1: layout is fixed by `taskd init`, this one is not taken",
    )


def test_repository_proposes_a_layout(layers: Layers) -> None:
    """A layout in the repository's file is what init will choose, and does not set a clone up."""
    layers.repository.write_text("layout = 'tracked'\n")

    loaded = layers.load()

    assert (loaded.config.layout, loaded.chosen) == ("tracked", False)


@pytest.mark.parametrize("word", ["tasks", "docs/tasks", "docs/tasks/", "my tasks", "Aufgäben", "a.b+c@d-e"])
def test_good_directories(word: str) -> None:
    """A directory below the top is taken as it is."""
    assert tasks_directory(word, "x") == word.removesuffix("/")


@pytest.mark.parametrize(
    "word",
    [
        "",
        ".",
        "..",
        "../x",
        "a/../b",
        "/abs",
        ".git",
        "a/.b",
        "*",
        "a?",
        "[x]",
        "!x",
        "#x",
        "a\nb",
        "a//b",
        "a\\b",
        " a",
        "a ",
        "a/ b",
    ],
)
def test_bad_directories(word: str) -> None:
    """What would lead out of the worktree, into git's own files, or mean something in them, is refused."""
    with pytest.raises(ConfigError, match="tasks_dir must be"):
        tasks_directory(word, "x")


def test_environment_checked_alone() -> None:
    """Variables can be judged without any repository, as the daemon does for its callers."""
    check_environment({"TASKD_LEASE": "5", "TASKD_FOO": "x"})

    with pytest.raises(ConfigError, match="TASKD_LEASE"):
        check_environment({"TASKD_LEASE": "soon"})


def test_unreadable_file(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read is an error that says so, not a silent default."""
    layers.clone.write_text("lease = 3\n")
    real: Callable[..., Any] = Path.read_text

    def denied(path: Path, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as Path.read_text has them
        if path == layers.clone:
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **more)

    monkeypatch.setattr(Path, "read_text", denied)  # root, as whom tests may run, reads everything

    assert layers.complaint() == f"{layers.clone}: it cannot be read: Permission denied"
