"""Two clones and a bare repository between them: both come to the same tree, then to silence."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from taskd.core.claims import FAR
from taskd.core.task import MergeInfo, Note, Participant, Progress, Status
from taskd.engine.accept import touch
from taskd.errors import BadValue, Blocked, StoreFailed
from taskd.repo.git import Git
from taskd.repo.remote import SEEN, Remote
from taskd.store.base import Conflict
from tests.engine.bench import NOON, REF, Bench, document

MakeBench = Callable[..., Bench]
AUTH = "tasks/auth.md"


@pytest.fixture
def bare(tmp_path: Path, git: Callable[..., str]) -> Path:
    """The repository between the clones; empty."""
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    return tmp_path / "bare.git"


def joined(bench: Bench, bare: Path) -> Bench:
    """The bench with a remote."""
    bench.engine.branching.remote = Remote(Git(bench.top), str(bare), REF)
    return bench


@pytest.fixture
def pair(make_bench: MakeBench, bare: Path) -> tuple[Bench, Bench]:
    """Two clones that have the task `auth` in common."""
    one, two = (joined(make_bench(at=name), bare) for name in ("one", "two"))
    one.put("auth.md", document("auth", body="One.\n\nTwo.\n\nThree.\n", priority="low"))
    agree(one, two)
    return one, two


def agree(*benches: Bench) -> None:
    """A round each, and one more for the first, who may not have heard the last."""
    for bench in (*benches, benches[0]):
        assert bench.engine.branching.agree(), bench.engine.branching.disagreement


def tip(bench: Bench) -> str:
    """Where the branch is."""
    return bench.git(bench.top, "rev-parse", REF).strip()


def note(bench: Bench, id: str, text: str, by: str) -> None:
    """Add a note, as a command will."""
    with bench.db.write() as txn:
        txn.add_note(id, Note(NOON, by, text))
        touch(txn, id)


def assert_same(one: Bench, two: Bench) -> None:
    """Both say the same of everything, and have nothing left to do."""
    assert one.on_branch() == two.on_branch()
    assert tip(one) == tip(two)
    assert one.ids() == two.ids()
    before = one.db.writes, two.db.writes, tip(one)
    for _ in range(2):
        agree(one, two)
    assert (one.db.writes, two.db.writes, tip(one)) == before


def test_what_is_made_here_is_there(pair: tuple[Bench, Bench]) -> None:
    """A task with its status and its notes goes to the other clone, into its files too."""
    one, two = pair
    one.call("status", id="auth", status="in-progress")
    note(one, "auth", "first\n\n  second <!-- line", "alice")
    agree(one, two)
    two.write_back()

    task = two.task("auth")
    assert (task.status, task.started) == (Status.IN_PROGRESS, one.task("auth").started)
    assert [(n.by, n.text) for n in task.notes] == [("alice", "first\n\n  second <!-- line")]
    assert two.text("auth.md") == one.head("auth").replace("Auth\n", "Auth\nstatus: in-progress\n")
    assert_same(one, two)


def test_edits_notes_and_statuses_on_both_sides(pair: tuple[Bench, Bench]) -> None:
    """What both did while apart stands in both, each note once, by one commit with both histories."""
    one, two = pair
    one.call("set", id="auth", values={"risk": "high"})
    one.call("add", name="From one", id="one")
    note(one, "auth", "of one", "alice")
    two.call("set", id="auth", values={"priority": "high"})
    two.call("add", name="From two", id="two")
    note(two, "auth", "of two", "bob")
    two.call("status", id="auth", status="in-progress")
    agree(one, two)

    for bench in (one, two):
        task = bench.task("auth")
        assert (task.risk, task.priority, task.status) == ("high", "high", Status.IN_PROGRESS)
        assert {n.text for n in task.notes} == {"of one", "of two"}
        assert bench.ids() == ["auth", "one", "two"]
        assert bench.conflicts() == []
    assert len(one.git(one.top, "rev-list", "--merges", REF).split()) == 1
    assert_same(one, two)


def test_the_same_changed_differently(pair: tuple[Bench, Bench]) -> None:
    """Who merges keeps their own value and all three as a conflict; both come to that value."""
    one, two = pair
    one.call("set", id="auth", values={"priority": "high"})
    two.call("set", id="auth", values={"priority": "critical"})
    agree(one, two)

    [conflict] = two.conflicts()
    assert (conflict.field, conflict.base, conflict.index, conflict.file, conflict.worktree) == (
        "priority",
        "low",
        "critical",
        "high",
        "@remote",
    )
    assert [bench.task("auth").priority for bench in pair] == ["critical", "critical"]
    assert_same(one, two)


def test_two_statuses(pair: tuple[Bench, Bench]) -> None:
    """Two different statuses are a conflict like any other; the loser is brought there by lawful steps."""
    one, two = pair
    one.call("status", id="auth", status="completed")
    two.call("status", id="auth", status="blocked", reason="no key")
    agree(one, two)

    assert [(c.field, c.base, c.index, c.file) for c in two.conflicts()] == [
        ("status", "pending", "blocked", "completed")
    ]
    assert [bench.task("auth").status for bench in pair] == [Status.BLOCKED] * 2
    steps = [(e.old, e.new) for e in one.journal("auth") if e.field == "status"][-2:]
    assert steps == [("completed", "pending"), ("pending", "blocked")]
    assert_same(one, two)


def test_a_claim_is_known_there(pair: tuple[Bench, Bench]) -> None:
    """Who asks in the other clone learns who has the task; released here, it is free there."""
    one, two = pair
    one.call("claim", id="auth")
    agree(one, two)

    claim = two.task("auth").claim
    assert claim is not None
    assert (claim.holder, claim.worktree) == ("alice", f"{FAR}main")
    refused = two.call("claim", id="auth", actor="alice").error or {}
    assert (refused["code"], refused["holder"], refused["worktree"]) == ("claimed", "alice", f"{FAR}main")
    assert_same(one, two)
    one.call("release", id="auth")
    agree(one, two)
    assert two.call("claim", actor="bob", id="auth").unwrap()["claim"]["holder"] == "bob"


def test_two_claims_at_once(pair: tuple[Bench, Bench]) -> None:
    """Of two claims made while apart the one made first stands in both, and the loser is told."""
    one, two = pair
    two.times.pass_by(5)
    one.call("claim", id="auth")
    two.call("claim", id="auth", actor="bob")
    agree(one, two)

    claims = [bench.task("auth").claim for bench in pair]
    assert [claim and claim.holder for claim in claims] == ["alice", "alice"]
    assert "claim" in {c.field for c in two.conflicts()}
    assert_same(one, two)


def test_two_claims_the_other_way_round(pair: tuple[Bench, Bench]) -> None:
    """It does not depend on who merges: the one who merges may be the first, too."""
    one, two = pair
    one.times.pass_by(5)
    one.call("claim", id="auth")
    two.call("claim", id="auth", actor="bob")
    agree(one, two)

    claims = [bench.task("auth").claim for bench in pair]
    assert [claim and claim.holder for claim in claims] == ["bob", "bob"]
    assert "claim" in {c.field for c in one.conflicts() + two.conflicts()}
    assert_same(one, two)


def test_deletions(pair: tuple[Bench, Bench]) -> None:
    """Deleted in one, deleted in both; edited in the other meanwhile, it is back in both."""
    one, two = pair
    for id in ("db", "api"):
        one.call("add", name=id, id=id)
    agree(one, two)
    one.call("rm", id="db")
    one.call("rm", id="api")
    two.call("set", id="api", values={"priority": "high"})
    agree(one, two)

    assert (one.ids(), two.ids()) == (["api", "auth"], ["api", "auth"])
    assert [bench.task("api").priority for bench in pair] == ["high", "high"]
    assert_same(one, two)


def test_all_deleted_by_commands_is_no_accident(pair: tuple[Bench, Bench]) -> None:
    """Many tasks deleted by commands of another clone are deleted here, without a question."""
    one, two = pair
    for number in range(8):
        one.call("add", name=f"T{number}", id=f"t{number}")
    agree(one, two)
    for number in range(8):
        one.call("rm", id=f"t{number}")
    agree(one, two)

    assert (two.ids(), two.holds()) == (["auth"], [])
    assert_same(one, two)


def test_a_person_who_empties_the_remote(pair: tuple[Bench, Bench], bare: Path) -> None:
    """Somebody pushes a commit that removes every task: it is held, and put back for all."""
    one, two = pair
    empty = one.git(one.top, "commit-tree", "-m", "oops", "-p", REF, "HEAD^{tree}").strip()
    one.git(one.top, "push", "-q", bare, f"{empty}:{REF}")
    agree(one, two)

    assert [len(bench.holds()) for bench in pair] == [1, 0]
    assert [bench.ids() for bench in pair] == [["auth"], ["auth"]]
    assert_same(one, two)


def test_dependents_follow(pair: tuple[Bench, Bench]) -> None:
    """What waits for a task in one clone is ready in the other when that is done there."""
    one, two = pair
    one.call("add", name="db", id="db", values={"depends_on": ["auth"]})
    agree(one, two)
    assert "status: blocked" in two.on_branch()["tasks/db.md"]
    two.call("status", id="auth", status="completed")
    agree(two, one)

    assert one.call("claim", id="db").unwrap()["status"] == "in-progress"
    agree(one, two)
    assert_same(one, two)


def test_unrelated_clones_meet(make_bench: MakeBench, bare: Path) -> None:
    """Two clones that each made the branch on their own: what both have is kept, what differs conflicts."""
    one, two = (joined(make_bench(at=name), bare) for name in ("one", "two"))
    one.put("auth.md", document("auth", priority="low"))
    two.put("auth.md", document("auth", priority="high"))
    two.put("db.md", document("db"))
    agree(one, two)

    assert [(c.field, c.index, c.file) for c in two.conflicts()] == [("priority", "high", "low")]
    assert [bench.task("auth").priority for bench in pair_of(one, two)] == ["high", "high"]
    assert_same(one, two)


def pair_of(*benches: Bench) -> tuple[Bench, ...]:
    """Some benches."""
    return benches


def test_a_push_that_came_too_late(pair: tuple[Bench, Bench]) -> None:
    """S-22: while we merged somebody else pushed: fetched, merged and pushed again, nothing forced."""
    one, two = pair
    one.call("set", id="auth", values={"risk": "high"})
    two.call("set", id="auth", values={"priority": "high"})
    remote = one.engine.branching.remote
    assert remote is not None
    first = iter([two.engine.branching.agree])
    pushing = remote.push

    def push(commit: str) -> bool:
        for rival in first:
            assert rival()
        return pushing(commit)

    remote.push = push  # type: ignore[assignment]  # as another clone would come between
    agree(one, two)

    assert [(b.task("auth").risk, b.task("auth").priority) for b in pair] == [("high", "high")] * 2
    assert_same(one, two)


def test_a_remote_that_is_not_there(pair: tuple[Bench, Bench], bare: Path) -> None:
    """A remote out of reach is told, fails nothing, and is caught up with later."""
    one, two = pair
    bare.rename(bare.with_name("away.git"))
    reply = one.call("set", id="auth", values={"risk": "high"})
    one.engine.finish_branch()

    assert reply.unwrap()["risk"] == "high"
    assert not one.engine.branching.agree()
    assert "does not appear to be a git repository" in (one.engine.branching.disagreement or "")
    bare.with_name("away.git").rename(bare)
    agree(one, two)
    assert (two.task("auth").risk, one.engine.branching.disagreement) == ("high", None)


def test_a_remote_that_lost_the_branch(pair: tuple[Bench, Bench], bare: Path) -> None:
    """The branch deleted at the remote, or the whole remote made anew: it is pushed again."""
    one, two = pair
    one.git(bare, "update-ref", "-d", REF)
    agree(one, two)
    assert one.git(bare, "rev-parse", REF).strip() == tip(one)
    shutil.rmtree(bare)
    one.git(one.top, "init", "-q", "--bare", bare)
    agree(one, two)

    assert one.git(bare, "rev-parse", REF).strip() == tip(one)
    assert_same(one, two)


def test_a_remote_that_was_rewritten(pair: tuple[Bench, Bench], bare: Path) -> None:
    """The remote's branch moved back, by force: nothing stale comes back, and it is caught up again."""
    one, two = pair
    old = tip(one)
    one.call("set", id="auth", values={"priority": "high"})
    agree(one, two)
    one.git(bare, "update-ref", REF, old)
    agree(one, two)

    assert [bench.task("auth").priority for bench in pair] == ["high", "high"]
    assert (one.conflicts(), two.conflicts()) == ([], [])
    assert_same(one, two)


def test_our_branch_was_deleted(pair: tuple[Bench, Bench]) -> None:
    """Our own branch deleted and made anew: it has both histories, and nobody has a conflict."""
    one, two = pair
    one.git(one.top, "update-ref", "-d", REF)
    one.git(one.top, "gc", "-q", "--prune=now")
    one.call("set", id="auth", values={"priority": "high"})
    agree(one, two)

    assert [bench.task("auth").priority for bench in pair] == ["high", "high"]
    assert (one.conflicts(), two.conflicts()) == ([], [])
    assert_same(one, two)


def test_other_files_are_joined(pair: tuple[Bench, Bench]) -> None:
    """Files of people's own on the branch travel, too."""
    one, two = pair
    blob = one.git(one.top, "hash-object", "-w", "--stdin", input="Hello.\n").strip()
    env = {"GIT_INDEX_FILE": str(one.top / ".git/other-index")}
    one.git(one.top, "read-tree", REF, env=env)
    one.git(one.top, "update-index", "--add", "--cacheinfo", f"100755,{blob},run.sh", env=env)
    tree = one.git(one.top, "write-tree", env=env).strip()
    mine = one.git(one.top, "commit-tree", "-m", "run", "-p", REF, tree).strip()
    one.git(one.top, "update-ref", REF, mine)
    two.call("set", id="auth", values={"risk": "high"})
    agree(two, one)

    listed = [bench.git(bench.top, "ls-tree", REF, "run.sh").split() for bench in pair]
    assert listed == [["100755", "blob", blob, "run.sh"]] * 2
    assert_same(one, two)


def test_no_ref_of_the_users_moves(pair: tuple[Bench, Bench], bare: Path) -> None:
    """With a remote called by its name, only our own refs move; there is no FETCH_HEAD, and no tag comes."""
    one, two = pair
    one.git(one.top, "remote", "add", "origin", bare)
    one.engine.branching.remote = Remote(Git(one.top), "origin", REF)
    one.git(one.top, "push", "-q", "origin", "main")
    one.git(bare, "tag", "v1", "main")
    two.call("set", id="auth", values={"risk": "high"})
    agree(two, one)
    one.call("set", id="auth", values={"priority": "high"})
    before = one.git(one.top, "for-each-ref", "--format=%(refname)").split()
    agree(one, two)

    assert one.git(one.top, "for-each-ref", "--format=%(refname)").split() == before
    assert before == ["refs/heads/main", REF, "refs/remotes/origin/main", SEEN]
    assert not (one.top / ".git/FETCH_HEAD").exists()


def test_gc_between_any_two_steps(pair: tuple[Bench, Bench]) -> None:
    """Pruning everything that no ref holds, at any moment, loses nothing."""
    one, two = pair
    for number in range(3):
        one.call("set", id="auth", values={"priority": ("low", "high", "medium")[number]})
        note(two, "auth", f"note {number}", "bob")
        for bench in (one, two, one):
            bench.git(bench.top, "gc", "-q", "--prune=now")
            bench.engine.finish_branch()
            bench.git(bench.top, "gc", "-q", "--prune=now")
            assert bench.engine.branching.agree()
            bench.git(bench.top, "pack-refs", "--all")

    assert [len(bench.task("auth").notes) for bench in pair] == [3, 3]
    assert (one.conflicts(), two.conflicts()) == ([], [])
    assert_same(one, two)


def test_a_store_that_dies_while_agreeing(pair: tuple[Bench, Bench]) -> None:
    """Whenever the store dies, both come to the same end, and everything is there once."""
    one, two = pair
    for number, step in enumerate(itertools.count(0, 4)):  # every fourth of its steps
        one.call("set", id="auth", values={"name": f"Name {step}"})
        note(two, "auth", f"note {step}", "bob")
        agree_one(one)
        two.db.steps_left = step
        died = False
        try:
            agree_one(two)
        except StoreFailed:
            died = True
        two.db.steps_left = None
        agree(two, one)
        assert [bench.task("auth").name for bench in pair] == [f"Name {step}"] * 2
        assert [len(bench.task("auth").notes) for bench in pair] == [number + 1] * 2
        if not died:
            break

    assert step > 3
    assert (one.conflicts(), two.conflicts()) == ([], [])
    assert_same(one, two)


def agree_one(bench: Bench) -> None:
    """One round of one clone."""
    assert bench.engine.branching.agree()


def test_a_conflict_is_settled_everywhere(pair: tuple[Bench, Bench]) -> None:
    """What the other clone had said is one command away, by lawful steps, and goes to both."""
    one, two = pair
    one.call("status", id="auth", status="completed")
    two.call("status", id="auth", status="blocked", reason="no key")
    agree(one, two)
    told = two.call("resolve", id="auth", field="status", take="file").unwrap()
    agree(two, one)

    assert (told["status"], two.conflicts()) == ("completed", [])
    assert [bench.task("auth").status for bench in pair] == [Status.COMPLETED] * 2
    assert_same(one, two)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("reason", "why", "why"),
        ("actual_hours", 2.5, 2.5),
        ("actual_hours", None, None),
        ("progress", {"percent": 4, "text": "", "at": NOON, "by": "bob"}, Progress(4, "", NOON, "bob")),
        ("merge", {"commit": "abc"}, MergeInfo("abc")),
        (
            "participants",
            {"name": "eve", "role": "author", "joined_at": NOON},
            Participant("eve", "author", NOON),
        ),
        ("path", "deep", "deep/auth.md"),
        ("path", "", "auth.md"),
    ],
)
def test_any_runtime_field_is_settled(bench: Bench, field: str, value: object, expected: object) -> None:
    """Whatever another clone had said of a runtime field can be made to stand."""
    bench.put("auth.md", document("auth"))
    with bench.db.write() as txn:
        txn.put_conflict(Conflict("auth", field, "@remote", None, None, value, NOON))
    bench.call("resolve", id="auth", field=field, take="file").unwrap()

    task = bench.task("auth")
    found = {"path": task.file, "participants": next(iter(task.participants), None)}
    assert found.get(field, getattr(task, field)) == expected
    assert bench.conflicts() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("claim", {"holder": "bob"}),
        ("status", "wibble"),
        ("actual_hours", "soon"),
        ("merge", "x"),
        ("merge", {"x": 1}),
    ],
)
def test_what_cannot_be_settled_so(bench: Bench, field: str, value: object) -> None:
    """A value that the field cannot have is refused, and the conflict stays."""
    bench.put("auth.md", document("auth"))
    with bench.db.write() as txn:
        txn.put_conflict(Conflict("auth", field, "@remote", None, None, value, NOON))

    reply = bench.call("resolve", id="auth", field=field, take="file")
    assert (reply.error or {})["code"] == BadValue.code
    assert len(bench.conflicts()) == 1


def test_a_status_that_has_to_wait(bench: Bench) -> None:
    """Taking a status does not begin a task that waits for others."""
    bench.put("db.md", document("db"))
    bench.put("auth.md", document("auth", depends_on="[db]"))
    with bench.db.write() as txn:
        txn.put_conflict(Conflict("auth", "status", "@remote", "pending", "pending", "completed", NOON))

    reply = bench.call("resolve", id="auth", field="status", take="file")
    assert (reply.error or {})["code"] == Blocked.code
