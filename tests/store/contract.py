"""What every store promises, as tests: `taskd.store.base` sentence by sentence.

A store's own test module derives one class from `StoreContract` and gives it the fixture `database`.
"""

from __future__ import annotations

from tests.store.contract_graph import GraphContract
from tests.store.contract_isolation import IsolationContract
from tests.store.contract_queries import QueryContract
from tests.store.contract_records import RecordContract
from tests.store.contract_tasks import TaskContract


class StoreContract(TaskContract, GraphContract, QueryContract, RecordContract, IsolationContract):
    """Every promise of the port."""
