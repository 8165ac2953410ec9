"""Real repositories with real daemons, ended by their pid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.system.project")

from tests.system.project import Git, Project, make_project, serving  # noqa: E402 - rewritten first


@pytest.fixture
def new_project(tmp_path: Path, git: Git) -> Iterator[Callable[..., Project]]:
    """`new_project(layout="shared", name="repo", files=None)` makes a project, ended afterwards."""
    made = list[Project]()

    def make(layout: str = "shared", name: str = "repo", files: dict[str, str] | None = None) -> Project:
        made.append(make_project(tmp_path / name, git, layout, files))
        return made[-1]

    yield make
    for project in made:
        project.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, git: Git) -> Iterator[Project]:
    """A project in the shared layout with its daemon, for all tests of a module: use ids of your own."""
    with serving(make_project(tmp_path_factory.mktemp("shared") / "p", git, "shared")) as project:
        yield project


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, git: Git) -> Iterator[Project]:
    """The same in the tracked layout."""
    with serving(make_project(tmp_path_factory.mktemp("tracked") / "p", git, "tracked")) as project:
        yield project


@pytest.fixture(params=["shared", "tracked"])
def project(request: pytest.FixtureRequest) -> Project:
    """First the one, then the other."""
    found: Project = request.getfixturevalue(request.param)
    return found
