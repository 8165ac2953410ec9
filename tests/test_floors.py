"""The house keeps its floors: who may import whom, where each library is let in, what stays pure.

The rules are the two tables of docs/architecture.md; this file only reads and applies them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parent.parent
MODULE_LIMIT: Final = 500  # lines; beyond that a module is two nouns
FUNCTION_LIMIT: Final = 60  # lines, signature and docstring included
PACKAGE: Final = "taskd"

#: modules that reach the disk, the clock, another thread or chance, and what may be had of them in core
IMPURE: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(
        (
            "asyncio",
            "concurrent",
            "fcntl",
            "getpass",
            "glob",
            "logging",
            "mmap",
            "multiprocessing",
            "os",
            "platform",
            "posix",
            "queue",
            "random",
            "secrets",
            "select",
            "selectors",
            "shutil",
            "signal",
            "socket",
            "sqlite3",
            "structlog",
            "subprocess",
            "tempfile",
            "threading",
            "time",
            "urllib",
            "uuid",
        ),
        frozenset[str](),
    ),
    "pathlib": frozenset({"PurePath", "PurePosixPath"}),
}
IMPURE_CALLS: Final = re.compile(
    r"open|input|print|breakpoint|__import__|(\w+\.)*(datetime|date)\.(now|utcnow|today)"
)


@dataclass(frozen=True)
class Rules:
    """`rooms`: what each room may import. `doors`: the only places where a library may be imported."""

    rooms: Mapping[str, tuple[str, ...]]
    doors: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Import:
    """One import in a module: of `target`, dotted, and of which `name` of it (None: all of it)."""

    target: str
    name: str | None
    line: int


def read_rules(page: str) -> Rules:
    """The rules from the tables under `## Floors` and `## Doors` of docs/architecture.md."""
    return Rules(
        {row[0]: _words(row[-1]) for row in table_under("Floors", page)},
        {library: _words(row[-1]) for row in table_under("Doors", page) for library in _words(row[0])},
    )


def table_under(heading: str, page: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = re.split(r"^## ", page.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in row.strip("| ").split("|")] for row in rows[2:]]


def _words(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[\w./]+", cell))


def complaints(sources: Mapping[str, str], rules: Rules) -> list[str]:
    """Everything in the sources (path below the package to text) that breaks a rule."""
    found = []
    for path, source in sources.items():
        tree = ast.parse(source)
        imports = list(imports_of(path, tree, sources))
        found += room_complaints(path, imports, rules)
        found += door_complaints(path, imports, rules)
        found += size_complaints(path, source, tree)
        if room_of(path) == "core":
            found += purity_complaints(path, imports, tree)
    return found + ring_complaints(sources)


def room_of(path: str) -> str:
    """`core` of `core/task.py`, `errors` of `errors.py`."""
    return path.partition("/")[0].removesuffix(".py")


def module_of(path: str) -> str:
    """`taskd.core.task` of `core/task.py`."""
    return ".".join(
        [PACKAGE, *path.removesuffix(".py").removesuffix("__init__").strip("/").split("/")]
    ).strip(".")


def imports_of(path: str, tree: ast.AST, sources: Mapping[str, str]) -> Iterator[Import]:
    """Every import of a module, also lazy ones, those for type checkers and those by name."""
    modules = {module_of(other) for other in sources}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, None, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(path, node)
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                found = Import(inner, None, node.lineno)
                yield found if inner in modules else Import(origin, alias.name, node.lineno)
        elif isinstance(node, ast.Call) and (name := _imported_by_name(node)):
            yield Import(name, None, node.lineno)


def _absolute(path: str, node: ast.ImportFrom) -> str:
    parents = [PACKAGE, *path.split("/")[:-1]]
    up = parents[: len(parents) + 1 - node.level] if node.level else []
    return ".".join([*up, *([node.module] if node.module else [])])


def _imported_by_name(call: ast.Call) -> str | None:
    by_name = ast.unparse(call.func) in {"importlib.import_module", "import_module", "__import__"}
    first = call.args[0] if by_name and call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def room_complaints(path: str, imports: list[Import], rules: Rules) -> list[str]:
    """Imports of our own that the room's rule does not name."""
    room = room_of(path)
    if room not in rules.rooms:
        return [f"{path}: the room {room} has no rule"]
    ours = [
        (one, one.target[len(PACKAGE) + 1 :])
        for one in imports
        if _within(one.target, PACKAGE) and (one.target, one.name) != (PACKAGE, "__version__")
    ]
    allowed = (room, *rules.rooms[room])
    return [
        f"{path}:{one.line}: {room} may not import {target or PACKAGE}"
        for one, target in ours
        if not any(_within(target, place) for place in allowed)
    ]


def door_complaints(path: str, imports: list[Import], rules: Rules) -> list[str]:
    """Libraries that are let in elsewhere only."""
    shut = {
        (one.line, library)
        for one in imports
        for library, places in rules.doors.items()
        if _within(one.target, library) and not any(_inside(path, place) for place in places)
    }
    return [f"{path}:{line}: {lib} is for {', '.join(rules.doors[lib])} only" for line, lib in sorted(shut)]


def _within(module: str, parent: str) -> bool:
    return module == parent or module.startswith(parent + ".")


def _inside(path: str, place: str) -> bool:
    return path == place or path.startswith(place + "/")


def purity_complaints(path: str, imports: list[Import], tree: ast.AST) -> list[str]:
    """What core has no business with: disk, clock, chance, threads, processes, sockets, logs."""
    found = [
        f"{path}:{one.line}: core may not import {one.target}"
        for one in imports
        if (root := one.target.partition(".")[0]) in IMPURE and one.name not in IMPURE[root]
    ]
    calls = ((node, ast.unparse(node.func)) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return found + [
        f"{path}:{call.lineno}: core may not call {name}"
        for call, name in calls
        if IMPURE_CALLS.fullmatch(name)
    ]


def size_complaints(path: str, source: str, tree: ast.AST) -> list[str]:
    """Modules and functions that have grown too long."""
    lines = source.count("\n")
    found = [f"{path}: {lines} lines, {MODULE_LIMIT} at most"] if lines > MODULE_LIMIT else []
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = ((node, (node.end_lineno or 0) - node.lineno + 1) for node in functions)
    return found + [
        f"{path}:{node.lineno}: {node.name} has {length} lines, {FUNCTION_LIMIT} at most"
        for node, length in lengths
        if length > FUNCTION_LIMIT
    ]


def ring_complaints(sources: Mapping[str, str]) -> list[str]:
    """Modules that import each other round about."""
    modules = {module_of(path): path for path in sources}
    edges = {
        path: {
            modules[one.target]
            for one in imports_of(path, ast.parse(source), sources)
            if one.target in modules
        }
        for path, source in sources.items()
    }
    while free := [path for path in edges if not edges[path] & edges.keys() or not _importers(path, edges)]:
        edges = {path: targets for path, targets in edges.items() if path not in free}
    return [f"{', '.join(sorted(edges))}: these import each other round about"] if edges else []


def _importers(path: str, edges: Mapping[str, set[str]]) -> list[str]:
    return [other for other, targets in edges.items() if path in targets]


def house(folder: str) -> dict[str, str]:
    """The sources below a folder of the repository, by path."""
    top = REPOSITORY / folder
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*.py"))}


@pytest.fixture(scope="module")
def rules() -> Rules:
    """The rules as docs/architecture.md has them."""
    return read_rules((REPOSITORY / "docs" / "architecture.md").read_text())


def test_house_keeps_the_rules(rules: Rules) -> None:
    """No module reaches up, around a door, out of core, or grows beyond a screenful of screens."""
    assert complaints(house(PACKAGE), rules) == []


def test_benchmarks_keep_their_size() -> None:
    """The measurements are as readable as what they measure."""
    sources = house("benchmarks")

    assert [c for path, text in sources.items() for c in size_complaints(path, text, ast.parse(text))] == []


def test_table_points_down(rules: Rules) -> None:
    """Every room imports only rooms that stand above it in the table, so there are floors at all."""
    names = list(rules.rooms)
    upward = {
        (room, other)
        for place, room in enumerate(names)
        for other in rules.rooms[room]
        if other.partition(".")[0] not in names[:place]
    }

    assert upward == set()


def test_table_has_no_empty_rooms(rules: Rules) -> None:
    """The architecture page describes the house that stands, not one that is planned."""
    assert {room_of(path) for path in house(PACKAGE)} == set(rules.rooms)


PAGE = """
# A house

## Floors

| room | does | may import |
|---|---|---|
| `errors` | says | - |
| `core` | decides | errors |
| `store` | keeps | errors core |
| `engine` | acts | errors core store.base |
| `cli` | shows | errors |

## Doors

| library | only in |
|---|---|
| sqlite3, sqlite_utils | store |
| git | store/git.py |
"""
HOUSE = {"errors.py": "", "core/task.py": "", "store/base.py": "", "store/sqlite.py": "", "store/git.py": ""}

BAD = [
    ("core/x.py", "from taskd.store import base", "core may not import store.base"),
    ("core/x.py", "import taskd.store.sqlite", "core may not import store.sqlite"),
    ("core/x.py", "from ..store import base", "core may not import store.base"),
    ("core/x.py", "def f():\n    from taskd.cli.main import go", "core may not import cli.main"),
    (
        "core/x.py",
        "if TYPE_CHECKING:\n    from taskd.store.base import Txn",
        "core may not import store.base",
    ),
    ("core/x.py", "import importlib\nimportlib.import_module('taskd.store')", "core may not import store"),
    ("core/x.py", "from taskd import Client", "core may not import taskd"),
    ("core/x.py", "import taskd", "core may not import taskd"),
    ("engine/x.py", "from taskd.store import sqlite", "engine may not import store.sqlite"),
    ("engine/x.py", "from taskd.store import open_store", "engine may not import store"),
    ("attic/x.py", "", "the room attic has no rule"),
    ("attic.py", "", "the room attic has no rule"),
    ("engine/x.py", "import sqlite3", "sqlite3 is for store only"),
    ("cli/x.py", "from sqlite_utils.db import Table", "sqlite_utils is for store only"),
    ("store/x.py", "def f():\n    import git.exc", "git is for store/git.py only"),
    ("core/x.py", "import os", "core may not import os"),
    ("core/x.py", "import os.path", "core may not import os.path"),
    ("core/x.py", "from time import monotonic", "core may not import time"),
    ("core/x.py", "from pathlib import Path", "core may not import pathlib"),
    ("core/x.py", "import pathlib", "core may not import pathlib"),
    ("core/x.py", "import random, uuid", "core may not import uuid"),
    ("core/x.py", "from concurrent.futures import Future", "core may not import concurrent.futures"),
    ("core/x.py", "from datetime import datetime\nt = datetime.now()", "core may not call datetime.now"),
    ("core/x.py", "import datetime\nt = datetime.date.today()", "core may not call datetime.date.today"),
    ("core/x.py", "def f(p):\n    return open(p).read()", "core may not call open"),
    ("core/x.py", "print(1)", "core may not call print"),
    ("core/x.py", "x = 1\n" * 501, "501 lines, 500 at most"),
    ("core/x.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines, 60 at most"),
    ("core/x.py", "class A:\n  async def g(self):\n" + "    x = 1\n" * 60, "g has 61 lines, 60 at most"),
    ("core/x.py", "from taskd.core import x", "these import each other round about"),
]


@pytest.mark.parametrize(("path", "source", "complaint"), BAD, ids=[f"{p}-{c}" for p, _, c in BAD])
def test_each_rule_bites(path: str, source: str, complaint: str) -> None:
    """A source that breaks a rule is found and named with file and rule."""
    found = complaints({**HOUSE, path: source}, read_rules(PAGE))

    assert [(line.startswith(path), complaint in line) for line in found if complaint in line] == [
        (True, True)
    ]


GOOD = [
    ("core/x.py", "from taskd.errors import Refused\nfrom taskd.core.task import Task"),
    ("core/x.py", "from . import task\nfrom pathlib import PurePosixPath\nimport datetime, re"),
    ("core/x.py", "from datetime import datetime\n\ndef f(store):\n    return store.now(), datetime.min"),
    ("engine/x.py", "from taskd.store.base import Txn\nfrom taskd.store import base"),
    ("store/x.py", "import sqlite3, os, time\nfrom taskd.core import task"),
    ("store/git.py", "import git"),
    ("cli/x.py", "import github"),
    ("core/x.py", "from taskd import __version__"),
    ("core/x.py", "x = 1\n" * 500),
    ("core/x.py", "def f():\n" + "    x = 1\n" * 59),
]


@pytest.mark.parametrize(("path", "source"), GOOD)
def test_lawful_sources_pass(path: str, source: str) -> None:
    """What the rules allow is let through."""
    assert complaints({**HOUSE, path: source}, read_rules(PAGE)) == []


def test_ring_through_rooms_is_found() -> None:
    """Two modules that import each other are named, and nobody else."""
    sources = {
        **HOUSE,
        "core/top.py": "from taskd.core import a",
        "core/a.py": "from taskd.core import b",
        "core/b.py": "def f():\n    import taskd.core.a",
    }

    assert complaints(sources, read_rules(PAGE)) == [
        "core/a.py, core/b.py: these import each other round about"
    ]
