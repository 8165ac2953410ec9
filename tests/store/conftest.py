"""What the tests of every store use."""

from __future__ import annotations

import pytest

from tests.store.samples import Clock

pytest.register_assert_rewrite(
    "tests.store.contract",
    "tests.store.contract_tasks",
    "tests.store.contract_graph",
    "tests.store.contract_queries",
    "tests.store.contract_records",
    "tests.store.contract_isolation",
)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until it is set."""
    return Clock()
