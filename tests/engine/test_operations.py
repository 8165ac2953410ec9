"""Commands: one durable transaction for several calls, each answered, each undone alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from taskd import wire
from taskd.core.claims import LEASE
from taskd.engine import operations
from taskd.engine.desk import Desk
from taskd.engine.operations import OPERATIONS
from taskd.engine.site import MIRROR, REPLICAS, TRACKED
from taskd.errors import StoreFailed
from taskd.local import StderrLog
from tests.engine.bench import Bench, document


def code(reply: wire.Reply) -> object:
    """The word of an error, None for an answer."""
    return reply.error["code"] if reply.error is not None else None


def test_every_operation_says_what_it_does() -> None:
    """Each row of the registry has a name of its own and a summary for people."""
    assert all(name == row.name and row.summary for name, row in OPERATIONS.items())


def test_one_failing_call_does_not_undo_the_others(bench: Bench) -> None:
    """Calls that are carried out together succeed and fail each by itself."""
    bench.put("auth.md", document("auth"))
    calls = [
        bench.asked("claim", "alice", id="auth"),
        bench.asked("claim", "bob", id="auth"),
        bench.asked("add", name="New", id="new"),
        bench.asked("add", name="Again", id="new"),
        bench.asked("fly"),
        bench.asked("set", id="auth", nonsense=1),
    ]
    replies = bench.engine.execute(calls)

    assert [code(reply) for reply in replies] == [None, "claimed", None, "id-taken", "usage", "usage"]
    assert replies[1].error is not None
    assert (replies[1].error["holder"], replies[1].error["retry_after"]) == ("alice", int(LEASE))
    assert bench.ids() == ["auth", "new"]


def test_a_call_that_fails_half_way_leaves_nothing(bench: Bench) -> None:
    """What a failing call had done before it failed is undone."""
    bench.put("auth.md", document("auth"))
    before = bench.everything()
    reply = bench.call("add", name="New", id="new", values={"depends_on": ["auth", "nowhere"]})

    assert (code(reply), bench.everything()) == ("not-found", before)


def test_a_fault_of_ours_in_one_call(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that meets a fault is told so; nothing of it stays, and the others are answered."""

    def fail(desk: Desk, p: wire.Add) -> object:
        OPERATIONS["add"].run(desk, p)
        reason = "oops"
        raise ZeroDivisionError(reason)

    rows = {**OPERATIONS, "bad": replace(OPERATIONS["add"], run=fail)}
    monkeypatch.setattr(operations, "OPERATIONS", rows)
    calls = [bench.asked(op, name=name, id=name) for op, name in (("add", "a"), ("bad", "b"), ("add", "c"))]
    replies = bench.engine.execute(calls)

    assert [code(reply) for reply in replies] == [None, "failed", None]
    assert "ZeroDivisionError: oops" in str(replies[1].error)
    assert (bench.ids(), "call.failed" in bench.log.names()) == (["a", "c"], True)
    assert code(bench.engine.answer(bench.asked("bad", name="d"))) == "failed"


def test_a_request_is_carried_out_once(bench: Bench) -> None:
    """Who repeats a call under the same request id, not sure of the answer, gets the first one again."""
    call = bench.asked("add", name="New")
    call = replace(call, caller=replace(call.caller, request_id="r-1"))
    first, again = bench.engine.execute([call, call])
    (later,) = bench.engine.execute([call])

    assert first.data is not None
    assert [again, later] == [first, first]
    assert bench.ids() == ["new"]


def test_a_refused_request_can_be_tried_again(bench: Bench) -> None:
    """A refusal is not remembered: the same request may succeed later."""
    bench.put("auth.md", document("auth"))
    bench.call("claim", "bob", id="auth")
    call = bench.asked("claim", id="auth")
    call = replace(call, caller=replace(call.caller, request_id="r-1"))
    (refused,) = bench.engine.execute([call])
    bench.call("release", "bob", id="auth")
    (granted,) = bench.engine.execute([call])

    assert (code(refused), code(granted)) == ("claimed", None)


def test_a_store_that_dies_answers_nobody(bench: Bench) -> None:
    """At whichever step the store dies, no call of the batch succeeds, and none is half done."""
    bench.put("auth.md", document("auth"))
    before = bench.everything()
    calls = [bench.asked("claim", id="auth"), bench.asked("add", name="New", id="new")]
    for step in itertools.count():
        bench.db.steps_left = step
        try:
            replies = bench.engine.execute(calls)
        except StoreFailed:
            assert bench.everything() == before
        else:
            break

    assert step > 10
    assert [code(reply) for reply in replies] == [None, None]


def test_a_change_leaves_its_errands(bench: Bench) -> None:
    """What a command changed is on record to be written back and mirrored, dependents that show it too."""
    bench.put("auth.md", document("auth"))
    bench.put("db.md", document("db", depends_on="[auth]"))
    bench.settle()
    bench.call("status", id="auth", status="done")

    assert set(bench.errands(REPLICAS)) == set(bench.errands(MIRROR)) == {"auth", "db"}


def test_reading_calls_write_nothing(bench: Bench) -> None:
    """A question is answered from a snapshot, without a writer's lock."""
    bench.put("auth.md", document("auth"))
    writes = bench.db.writes
    asked = [bench.asked("list", mine=True), bench.asked("show", id="au"), bench.asked("history")]
    replies = [bench.engine.answer(call) for call in asked]

    assert [code(reply) for reply in replies] == [None, None, None]
    assert bench.db.writes == writes
    assert code(bench.engine.answer(bench.asked("show", id="nowhere"))) == "not-found"


def test_a_command_writes_its_callers_file(make_bench: Callable[..., Bench]) -> None:
    """In the tracked layout a command that edits a document edits the caller's untracked file, no other."""
    bench = make_bench(layout=TRACKED)
    bench.add_worktree("alpha")
    bench.call("add", name="New", id="new", file=True)
    made = bench.text("new.md")
    bench.call("set", id="new", values={"priority": "high"})
    bench.call("add", name="Other", id="other")

    assert made is not None
    assert bench.text("new.md") == bench.head("new")
    assert "priority: high" in (bench.text("new.md") or "")
    assert [bench.text("other.md"), bench.text("new.md", "alpha")] == [None, None]
    assert bench.intents() == []


def test_a_command_hears_its_callers_file_first(make_bench: Callable[..., Bench]) -> None:
    """A file that was edited a moment before the command keeps both, the edit and what was set."""
    bench = make_bench(layout=TRACKED)
    bench.call("add", name="New", id="new", file=True)
    bench.edit("new.md", "name: New", "name: Newer")
    bench.call("set", id="new", values={"priority": "high"})

    assert (bench.task("new").name, bench.task("new").priority) == ("Newer", "high")
    text = bench.text("new.md") or ""
    assert ("name: Newer" in text, "priority: high" in text) == (True, True)
    assert bench.conflicts() == []


# -- who calls


def test_who_calls(bench: Bench) -> None:
    """As they say; else their worktree's name; in the main one the git user, asked only if it matters."""
    engine = bench.engine
    alpha = bench.add_worktree("alpha")
    main = bench.place()
    nobody, alice = wire.Caller(), wire.Caller("alice", "s-1")
    before = [engine.claimant(nobody, place, named=True).actor for place in (main, alpha, None)]
    bench.git(bench.top, "config", "user.name", "Grace Hopper")
    engine._user_until = 0.0  # noqa: SLF001 - five seconds later
    named = engine.claimant(nobody, main, named=True)

    assert before == ["main", "alpha", "main"]
    assert (named.actor, named.session, named.worktree) == ("Grace Hopper", "main", "main")
    assert engine.claimant(nobody, main, named=False).actor == "main"
    assert engine.claimant(nobody, alpha, named=True).actor == "alpha"
    said = engine.claimant(alice, alpha, named=True)
    assert (said.actor, said.session, said.worktree) == ("alice", "s-1", "alpha")


# -- leases


def test_a_lease_that_ran_out_is_swept(bench: Bench) -> None:
    """A claim nobody renewed is given back, once, and told; one that lives is left alone."""
    bench.put("auth.md", document("auth"))
    bench.put("db.md", document("db"))
    bench.call("claim", "bob", id="auth")
    bench.times.pass_by(LEASE - 1)
    bench.call("claim", id="db")
    early = bench.engine.sweep()
    bench.times.pass_by(2)
    swept = bench.engine.sweep(), bench.engine.sweep()

    assert (early, swept) == ([], (["auth"], []))
    assert (bench.task("auth").claim, bench.task("auth").status) == (None, "pending")
    assert bench.task("db").claim is not None
    last = bench.journal("auth")[-1]
    assert (last.actor, last.cause) == ("bob", "lease ran out")


def test_warnings_without_a_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    """A command without a daemon tells warnings in one line each, on standard error, and nothing else."""
    log = StderrLog()
    log.debug("replica.read", files=1)
    log.info("index.committed", tasks=1)
    log.warning("problem.found", path="auth.md")
    log.warning("branch.failed", reason="no git")
    try:
        raise KeyError("x")  # noqa: TRY301, EM101 - it is caught to be told
    except KeyError:
        log.exception("plan.failed", path="auth.md")

    told = capsys.readouterr()
    assert told.out == ""
    assert (
        told.err
        == "taskd: branch.failed reason=no git\ntaskd: plan.failed path=auth.md error=KeyError('x')\n"
    )


def test_a_clock_that_jumps(bench: Bench) -> None:
    """A wall clock that goes back loses no edit and no order; one that goes ahead only lets claims lapse."""
    bench.put("a.md", document("a", body="One.\n"))
    bench.times.pass_by(-24 * 3600)
    bench.put("a.md", document("a", body="Two.\n"))
    token = bench.call("claim", id="a").unwrap()["claim"]["token"]
    bench.times.pass_by(48 * 3600)
    swept = bench.engine.sweep()
    again = bench.call("claim", "bob", id="a").unwrap()["claim"]["token"]

    numbers = [entry.seq for entry in bench.journal()]
    bodies = [entry.new for entry in bench.journal() if entry.field == "body"]
    assert (bench.task("a").body, bodies) == ("Two.\n", ["Two.\n"])
    assert (numbers, swept, again > token) == (sorted(set(numbers)), ["a"], True)
