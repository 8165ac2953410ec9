"""The documentation tells the truth where a machine can tell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

import taskd

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PAGES: Final = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
DECISIONS: Final = sorted(REPOSITORY.glob("docs/decisions/*.md"))
SCREEN: Final = 60  # lines of a decision, at most: one screen
NAMED: Final = re.compile(r"`((?:taskd|tests|docs|benchmarks|systemd|launchd|\.ci)/[\w./@-]+)`")
TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
LINK: Final = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def name_of(page: Path) -> str:
    """The page as it is called in a test's id."""
    return str(page.relative_to(REPOSITORY))


def rows_under(heading: str, page: Path) -> list[list[str]]:
    """The cells of the first table under a `## ` heading, without its head."""
    section = page.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("| ").split(" |")] for row in rows[2:]]


def project() -> dict[str, object]:
    """The project table of pyproject.toml."""
    table = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_names_is_there(page: Path) -> None:
    """Every file a page names or links to exists."""
    text = page.read_text()
    named = {path: REPOSITORY / path for path in NAMED.findall(text) if path != "taskd/workspace"}
    linked = {path: page.parent / path for path in LINK.findall(text)}

    assert [path for path, place in (named | linked).items() if not place.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    """A page that says what happens names a test of it, and that test exists."""
    named = TEST.findall(page.read_text())

    assert [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^ *def {name}\(", (REPOSITORY / path).read_text(), re.MULTILINE)
    ] == []


def test_each_row_of_how_it_decides_names_its_test() -> None:
    """Whatever git or a hand can do to a file, a test shows what comes of it."""
    rows = rows_under("What happens to a file", REPOSITORY / "docs" / "how-it-decides.md")

    assert [row for row in rows if len(row) != 4 or not TEST.search(row[-1])] == []
    assert len(rows) > 30


FAULTS: Final = REPOSITORY / "docs" / "faults.md"


@pytest.mark.parametrize("heading", re.findall(r"^## (.*)$", FAULTS.read_text(), re.MULTILINE))
def test_each_fault_names_its_test(heading: str) -> None:
    """Whatever can go wrong below us, a test shows what taskd does then."""
    rows = rows_under(heading, FAULTS)

    assert [row for row in rows if len(row) != 3 or not TEST.search(row[-1])] == []
    assert len(rows) > 5


def test_eight_promises_are_tested() -> None:
    """Each promise is one sentence or two and names at least one test."""
    rows = rows_under("The eight promises", REPOSITORY / "docs" / "laws.md")

    assert [(len(row), "`tests/" in row[-1]) for row in rows] == [(2, True)] * 8


def test_laws_name_their_tests() -> None:
    """Every other law names its test too."""
    rows = rows_under("Laws of the parts", REPOSITORY / "docs" / "laws.md")

    assert [row for row in rows if "`tests/" not in row[-1]] == []


def test_glossary_has_one_entry_a_word() -> None:
    """Words stand in order and once, so that a second word for an idea is noticed."""
    text = (REPOSITORY / "docs" / "glossary.md").read_text()
    words = re.findall(r"^\| ([a-z ]+) \|", text, re.MULTILINE)[1:]

    assert words == sorted(set(words))


def test_decisions_are_numbered() -> None:
    """Decisions are numbered without gaps, so that a number names one for ever."""
    assert [page.name[:4] for page in DECISIONS] == [f"{n:04}" for n in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_decision_has_its_four_parts(page: Path) -> None:
    """A decision says in one screen what was to decide, what could be, what is, and what it costs."""
    text = page.read_text()
    heads = [line.partition(",")[0] for line in text.splitlines() if line.startswith("## ")]
    wanted = ["## Context", "## Options", "## Choice", "## Cost"]

    assert (text.startswith(f"# {page.name[:4]} "), [h for h in heads if h in wanted]) == (True, wanted)
    assert text.count("\n") <= SCREEN


@pytest.mark.parametrize("end", ["taskd demo", "pytest"])
def test_readme_has_the_commands_that_ci_runs(end: str) -> None:
    """The README has exactly one set-up command of each kind, and .ci/run takes it from there."""
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    found = [line for line in lines if re.fullmatch(rf"python3 -m venv \.venv && .*{end}", line)]
    script = (REPOSITORY / ".ci" / "run").read_text()

    assert (len(found), f"readme_command '{end}'" in script) == (1, True)


def test_ci_script_is_sound() -> None:
    """.ci/run can be run: it is executable and its syntax is right."""
    script = REPOSITORY / ".ci" / "run"
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)

    assert (os.access(script, os.X_OK), done.returncode, done.stderr) == (True, 0, "")


def test_readme_names_only_verbs_there_are() -> None:
    """Every command in the README is one that `taskd --help` lists."""
    text = (REPOSITORY / "README.md").read_text()
    named = set(re.findall(r"^taskd ([a-z]+)", text, re.MULTILINE)) | set(
        re.findall(r"`taskd ([a-z]+)", text)
    )
    script = Path(sys.prefix) / "bin" / "taskd"
    listed = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=30, check=True).stdout

    assert {verb for verb in named if not re.search(rf"\b{verb}\b", listed)} == set()


def test_short_way_says_the_version() -> None:
    """The script that may import nothing repeats the version, and it is the same one."""
    script = (REPOSITORY / "taskd" / "cli" / "scripts" / "taskd").read_text()

    assert re.findall(r'^VERSION = b"(.*)"$', script, re.MULTILINE) == [taskd.__version__]


def test_every_dependency_is_weighed() -> None:
    """No library comes in without a line in decision 0005."""
    wanted = {re.split(r"[>=<\[]", str(line))[0].lower() for line in project()["dependencies"]}  # type: ignore[attr-defined]
    page = (REPOSITORY / "docs" / "decisions" / "0005-dependencies.md").read_text()
    weighed = {line.split()[1].lower() for line in page.splitlines() if line.startswith("| ")}

    assert wanted - weighed == set()
