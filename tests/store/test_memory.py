"""The store in memory keeps every promise of the port."""

from __future__ import annotations

import pytest

from taskd.store.base import TaskDatabase
from taskd.store.memory import MemoryDatabase
from tests.store.contract import StoreContract
from tests.store.samples import Clock


class TestMemoryStore(StoreContract):
    """The contract, against dictionaries."""

    @pytest.fixture
    def database(self, clock: Clock) -> TaskDatabase:
        """An empty index."""
        return MemoryDatabase(clock)
