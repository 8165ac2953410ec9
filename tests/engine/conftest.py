"""What the tests of the engine work at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.engine.bench")

from taskd.engine.site import Rules  # noqa: E402 - after the module that is to be rewritten is named
from tests.engine.bench import Bench, open_bench  # noqa: E402 - rewritten first


@pytest.fixture
def make_bench(
    tmp_path: Path, make_repo: Callable[..., Path], git: Callable[..., str]
) -> Iterator[Callable[..., Bench]]:
    """`make_bench(files={}, at="repo", **rules)`: an engine on a repository with these files committed."""
    with ExitStack() as stack:

        def make(files: Mapping[str, str] | None = None, at: str = "repo", **rules: str) -> Bench:
            top = make_repo(tmp_path.resolve() / at / "top", files)
            bench = open_bench(top, git, Rules(**rules))  # type: ignore[arg-type]  # no test sets a number
            stack.enter_context(closing(bench.engine))
            return bench

        yield make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """An engine on a repository in the shared layout, with one worktree."""
    return make_bench()
