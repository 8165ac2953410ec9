"""A new index is filled from the workspace branch, wherever that is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from taskd.core.claims import FAR, is_far
from taskd.core.task import Note, Status
from taskd.engine.accept import touch
from taskd.engine.site import Rules
from taskd.repo.git import Git
from taskd.repo.remote import Remote
from tests.engine.bench import NOON, REF, Bench, document, open_bench

MakeBench = Callable[..., Bench]
SetUp = Callable[[Path], Bench]


@pytest.fixture
def origin(make_bench: MakeBench) -> Bench:
    """A repository with tasks that stand on its branch, one of them claimed."""
    bench = make_bench(at="origin")
    bench.put("core/auth.md", document("auth", body="Body.\n"))
    bench.put("db.md", document("db", depends_on="[auth]"))
    bench.call("claim", id="auth")
    with bench.db.write() as txn:
        txn.add_note("auth", Note(NOON, "alice", "a note\nof two lines"))
        touch(txn, "auth")
    bench.engine.finish_branch()
    return bench


@pytest.fixture
def set_up(git: Callable[..., str]) -> Iterator[SetUp]:
    """`set_up(top)`: an engine on a repository, with an index that is new; closed afterwards."""
    with ExitStack() as stack:

        def make(top: Path) -> Bench:
            bench = open_bench(top, git, Rules())
            stack.enter_context(closing(bench.engine))
            return bench

        yield make


def clone(origin: Bench, path: Path, *options: str) -> Path:
    """Clone a repository with real git."""
    origin.git(path.parent, "clone", "-q", *options, f"file://{origin.top}", path)
    return path


def assert_restored(bench: Bench, origin: Bench) -> None:
    """Everything that the branch tells is in the index and in the files."""
    task = bench.task("auth")
    assert (task.status, task.file, task.started) == (Status.IN_PROGRESS, "core/auth.md", NOON)
    assert [(n.by, n.text) for n in task.notes] == [("alice", "a note\nof two lines")]
    assert bench.task("db").status is Status.PENDING
    bench.engine.sync(5, lambda _: None)
    assert bench.text("core/auth.md") == origin.head("auth").replace("Auth\n", "Auth\nstatus: in-progress\n")
    assert bench.git(bench.top, "rev-parse", REF) == origin.git(origin.top, "rev-parse", REF)
    assert (bench.conflicts(), bench.problems(), bench.git(bench.top, "status", "--porcelain")) == (
        [],
        [],
        "",
    )


@pytest.mark.parametrize(
    "options", [(), ("--depth=1", "--no-single-branch"), ("--filter=blob:none",)], ids=str
)
def test_a_fresh_clone(origin: Bench, tmp_path: Path, set_up: SetUp, options: tuple[str, ...]) -> None:
    """What git cloned along with the rest is enough: index and files are as in the original."""
    origin.git(origin.top, "config", "uploadpack.allowFilter", "true")
    origin.git(origin.top, "config", "uploadpack.allowAnySHA1InWant", "true")
    bench = set_up(clone(origin, tmp_path / "clone", *options))

    claim = bench.task("auth").claim
    assert claim is not None
    assert (claim.holder, claim.session, is_far(claim)) == ("alice", f"{FAR}alice", True)
    assert_restored(bench, origin)


def test_a_remote_is_asked(origin: Bench, tmp_path: Path, set_up: SetUp) -> None:
    """Where git cloned one branch only, the remote that is configured is asked."""
    path = clone(origin, tmp_path / "clone", "--single-branch")
    bench = set_up(path)
    assert bench.ids() == []
    bench.engine.branching.remote = Remote(Git(path), "origin", REF)
    bench.engine.branching.restore()

    assert_restored(bench, origin)


def test_a_lost_index(origin: Bench, set_up: SetUp) -> None:
    """The index of this very clone is lost: the branch has it, and a claim is the claimant's again."""
    state = origin.top / ".git/taskd"
    state.rename(state.with_name("lost"))
    bench = set_up(origin.top)

    claim = bench.task("auth").claim
    assert claim is not None
    assert (claim.holder, claim.session) == ("alice", "alice")
    assert bench.call("renew", id="auth").unwrap()["claim"]["holder"] == "alice"
    assert bench.ids() == ["auth", "db"]


def test_s35_round_trip(origin: Bench, set_up: SetUp) -> None:
    """From the index to the branch and back: every task, edge, status and record is what it was."""
    origin.put("ui.md", document("ui", body="\nB\n", depends_on="[db, auth]", tags="[x, y]", risk="high"))
    origin.call("status", id="ui", status="blocked", reason="no key")
    origin.engine.finish_branch()
    before = [told(origin, id) for id in origin.ids()]
    state = origin.top / ".git/taskd"
    state.rename(state.with_name("lost"))
    bench = set_up(origin.top)

    assert [told(bench, id) for id in bench.ids()] == before


def told(bench: Bench, id: str) -> object:
    """All that a task says."""
    task = bench.task(id)
    edges = (task.depends_on, task.parent, task.file)
    live = (task.status, task.reason, task.started, [(note.by, note.text, note.at) for note in task.notes])
    return task.name, task.body, task.tags, task.risk, edges, live


def test_files_in_the_worktree_are_merged(origin: Bench, tmp_path: Path, set_up: SetUp) -> None:
    """What lies in the fresh worktree comes after the branch: news is added, the rest conflicts."""
    path = clone(origin, tmp_path / "clone")
    (path / "tasks").mkdir()
    (path / "tasks/db.md").write_text(document("db", name="Another", priority="high"))
    (path / "tasks/new.md").write_text(document("new"))
    bench = set_up(path)
    bench.engine.sync(5, lambda _: None)

    task = bench.task("db")
    assert (task.name, task.priority, task.depends_on) == ("Db", "high", ("auth",))
    assert [(c.field, c.index, c.file) for c in bench.conflicts()] == [("name", "Db", "Another")]
    assert bench.ids() == ["auth", "db", "new"]


def test_nothing_to_restore_from(bench: Bench) -> None:
    """In a repository without the branch an index begins empty, and nothing is made."""
    assert bench.ids() == []
    assert bench.git(bench.top, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]


def test_an_index_that_knows_something_is_not_restored(origin: Bench) -> None:
    """Starting once more takes nothing in again: what was deleted here stays deleted."""
    origin.call("rm", id="db")
    with origin.engine.working():
        origin.engine.start()

    assert origin.ids() == ["auth"]
