"""Held deletions wait for a person's word, and do what it says and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskd.engine.absence import HOLD_ABOVE
from taskd.engine.site import TRACKED, WORKSPACE
from taskd.store.base import Hold
from tests.engine.bench import NOON, Bench, document

PATHS = [f"t{number}.md" for number in range(HOLD_ABOVE + 2)]
IDS = [path[:-3] for path in PATHS]


def hold(bench: Bench) -> Hold:
    """Tasks whose files went all at once, and were put back; the hold."""
    for path in PATHS:
        bench.save(path, document(path[:-3]))
    bench.take(*PATHS)
    bench.write_back()
    bench.times.pass_by(60)
    for path in PATHS:
        bench.file(path).unlink()
    with bench.engine.working():
        bench.engine.decide_absence(bench.place(), PATHS)
    bench.write_back()
    (found,) = bench.holds()
    return found


def answer(bench: Bench, op: str, number: int, **more: Any) -> Any:  # noqa: ANN401 - JSON
    """What a person's word comes to."""
    reply = bench.call(f"holds.{op}", "carol", number=number, **more)
    assert reply.error is None, reply.error
    return reply.data


def test_a_hold_is_accepted(bench: Bench) -> None:
    """Accepted, the tasks are deleted with tombstones, by whoever said so, and their files go again."""
    held = hold(bench)
    told = answer(bench, "accept", held.id)
    bench.write_back()

    assert told == {"id": held.id, "worktree": "main", "deleted": IDS, "kept": []}
    assert (bench.ids(), bench.holds()) == ([], [])
    assert {bench.text(path, key) for path in PATHS for key in ("main", WORKSPACE)} == {None}
    last = bench.journal("t0")[-1]
    assert (last.field, last.new, last.actor, last.cause) == ("*", None, "carol", "hold accepted")
    assert bench.call("restore", id="t0").error is None


def test_a_hold_is_dropped(bench: Bench) -> None:
    """Dropped, everything stays as it is, and nothing is written."""
    held = hold(bench)
    before = bench.everything()
    told = answer(bench, "drop", held.id)

    assert [row["id"] for row in told["kept"]] == IDS
    assert (told["deleted"], bench.everything(), bench.holds()) == ([], before, [])
    assert all(bench.file(path).exists() for path in PATHS)


def test_what_was_changed_since_is_kept(bench: Bench) -> None:
    """Who edits, claims or deletes a held task answers for it: that one is left as it is, and told."""
    held = hold(bench)
    bench.times.pass_by(60)
    bench.edit("t0.md", "name: T0", "name: New")
    bench.take("t0.md")
    bench.call("claim", "bob", id="t1")
    bench.call("rm", id="t2")
    told = answer(bench, "accept", held.id)

    assert told["deleted"] == IDS[3:]
    assert told["kept"] == [
        {"id": "t0", "reason": "it was changed since"},
        {"id": "t1", "reason": "it was changed since"},
        {"id": "t2", "reason": "it was deleted meanwhile"},
    ]
    assert bench.ids() == ["t0", "t1"]


def test_a_claimed_task_is_not_deleted(bench: Bench) -> None:
    """A task that somebody held when its file went stays, unless by force."""
    for path in PATHS[:2]:
        bench.put(path, document(path[:-3]))
    bench.call("claim", "bob", id="t0")
    bench.call("claim", "bob", id="t1")
    with bench.db.write() as txn:
        first = txn.put_hold(Hold("main", ("t0",), "gone", NOON))
        other = txn.put_hold(Hold("alpha", ("t1",), "gone", NOON))
    kept = answer(bench, "accept", first)["kept"]
    forced = answer(bench, "accept", other, force=True)["deleted"]

    assert [(row["id"], "claimed by bob" in row["reason"]) for row in kept] == [("t0", True)]
    assert (forced, bench.ids()) == (["t1"], ["t0"])


def test_a_file_that_came_back_in_the_tracked_layout(make_bench: Callable[..., Bench]) -> None:
    """Where taskd does not write, a file that stands again is somebody's word that the task is to live."""
    bench = make_bench({f"tasks/{path}": document(path[:-3]) for path in PATHS}, layout=TRACKED)
    bench.take(*PATHS)
    with bench.db.write() as txn:
        number = txn.put_hold(Hold("main", tuple(IDS), "gone", NOON))
    for path in PATHS[1:]:
        bench.file(path).unlink()
    told = answer(bench, "accept", number)

    assert told["deleted"] == IDS[1:]
    assert told["kept"] == [{"id": "t0", "reason": "its file is back in main"}]


def test_a_hold_is_answered_once(bench: Bench) -> None:
    """A hold that is not open any more, or never was, is not found."""
    held = hold(bench)
    answer(bench, "drop", held.id)
    replies = [bench.call(f"holds.{op}", number=held.id) for op in ("accept", "drop")]

    assert [reply.error and (reply.error["exit"], reply.error["code"]) for reply in replies] == [
        (4, "not-found")
    ] * 2
    assert bench.ids() == IDS
