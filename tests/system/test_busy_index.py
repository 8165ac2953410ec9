"""S-41: an index that somebody else keeps busy when the daemon starts ends nobody."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from taskd import local
from taskd.daemon.notify import Notifier
from taskd.daemon.run import open_patiently
from taskd.errors import Kind, StoreBusy
from taskd.store import sqlite_files
from tests.engine.bench import Events
from tests.system.project import Project

INDEX = ".git/taskd/index.db"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for another process's write takes no half minute."""
    monkeypatch.setattr(sqlite_files, "PATIENCE", 0.1)
    monkeypatch.setattr(sqlite_files, "BUSY_TIMEOUT", 0.05)


def held(project: Project) -> sqlite3.Connection:
    """The index, kept busy by somebody."""
    somebody = sqlite3.connect(project.top / INDEX, isolation_level=None, check_same_thread=False)
    somebody.execute("BEGIN EXCLUSIVE")
    return somebody


@pytest.mark.usefixtures("impatient")
def test_s41_a_busy_index_is_waited_for(new_project: Callable[..., Project]) -> None:
    """The daemon says that it is degraded, tries again, and serves as soon as it can."""
    project, log = new_project(), Events()
    somebody = held(project)
    later = threading.Timer(0.6, lambda: somebody.execute("ROLLBACK"))
    later.start()
    with closing(open_patiently(local.find_home(project.top, os.environ), log, Notifier())) as engine:
        counted = engine.counts()["tasks"]
    later.join()
    somebody.close()

    assert counted == 0
    ((event, facts),) = [row for row in log.told if row[0] == "daemon.degraded"]
    assert (event, facts["again_in"]) == ("daemon.degraded", 1.0)
    assert "busy" in str(facts["reason"])


@pytest.mark.usefixtures("impatient")
def test_s41_a_command_says_so(new_project: Callable[..., Project]) -> None:
    """A command without the daemon gives up after its time, with an error that says to try again."""
    project = new_project()
    somebody = held(project)
    with closing(local.open_engine(local.find_home(project.top))) as engine:
        with pytest.raises(StoreBusy) as caught:
            engine.site.db.take_over()
        somebody.close()

    assert (caught.value.kind, caught.value.code) == (Kind.TRY_AGAIN, "store-busy")
