"""Conflicts are values: kept with all three sides, shown, and settled by a person's word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from taskd import wire
from taskd.engine.site import TRACKED
from taskd.store.base import Conflict, Entry
from tests.engine.bench import NOON, Bench, document


def clash(bench: Bench, main: Mapping[str, str], alpha: Mapping[str, str], **base: str) -> list[Conflict]:
    """A task `a` that says `base`, edited in two worktrees at once; the conflicts."""
    bench.add_worktree("alpha")
    bench.put("a.md", document("a", **base))
    bench.write_back()
    for key, fields in (("main", main), ("alpha", alpha)):
        body = fields.get("body", base.get("body", ""))
        bench.put("a.md", document("a", **{**base, **fields, "body": body}), key)
    return bench.conflicts()


def error(reply: wire.Reply) -> tuple[object, object]:
    """The exit code and the word of an error."""
    assert reply.error is not None, reply.data
    return reply.error["exit"], reply.error["code"]


def resolve(bench: Bench, id: str, take: str, **more: Any) -> wire.Reply:  # noqa: ANN401 - parameters
    """Settle a conflict from the main worktree."""
    reply = bench.call("resolve", "carol", id=id, take=take, **more)
    assert reply.error is None, reply.error
    return reply


def settling(bench: Bench) -> Entry:
    """The one journal entry that tells of a conflict settled."""
    (found,) = [entry for entry in bench.journal("a") if entry.field == "conflict"]
    return found


def is_whole(bench: Bench) -> bool:
    """Whether the head's text says what the task's fields say."""
    bench.put("b.md", bench.head("a").replace("id: a", "id: b", 1))
    left, right = bench.task("a"), bench.task("b")
    names = ("name", "priority", "tags", "depends_on", "body", "extra", "estimate", "success_criteria")
    return all(getattr(left, name) == getattr(right, name) for name in names)


def test_s31_both_versions_are_kept_and_shown(bench: Bench) -> None:
    """S-31: two worktrees set one field; the first stands, the other is one command away."""
    (conflict,) = clash(bench, {"priority": "high"}, {"priority": "low"}, priority="medium")

    listed = [bench.call("conflicts", id=word).data for word in (None, "a", str(conflict.id))]

    assert (
        listed
        == [
            [
                {
                    "id": conflict.id,
                    "task": "a",
                    "field": "priority",
                    "base": "medium",
                    "index": "high",
                    "file": "low",
                    "worktree": "alpha",
                    "since": NOON,
                }
            ]
        ]
        * 3
    )
    assert bench.task("a").priority == "high"
    assert error(bench.call("conflicts", id="nobody")) == (4, "not-found")


def test_s31_the_index_stands(bench: Bench) -> None:
    """S-31: who takes the index changes no task; the loser's value is in the journal, with who and where."""
    (conflict,) = clash(bench, {"priority": "high"}, {"priority": "low"})
    revision = bench.task("a").revision
    reply = resolve(bench, str(conflict.id), "index")

    entry = settling(bench)
    assert isinstance(reply.data, dict)
    assert (reply.data["priority"], reply.data["conflicts"]) == ("high", 0)
    assert (bench.conflicts(), bench.task("a").revision) == ([], revision)
    assert (entry.actor, entry.worktree, entry.cause) == ("carol", "main", "resolve")
    assert entry.old == {
        "id": conflict.id,
        "field": "priority",
        "worktree": "alpha",
        "base": None,
        "index": "high",
        "file": "low",
        "since": NOON,
    }
    assert entry.new == {"take": "index", "value": "high"}


#: field, what main and alpha say about it in their files, what the task says when alpha's is taken
VALUES: list[tuple[str, str, str, object]] = [
    ("name", "Main", "Alpha", "Alpha"),
    ("priority", "high", "low", "low"),
    ("estimate", "1.5", "2", 2.0),
    ("due", "2030-01-01", "2031-01-01", "2031-01-01"),
    ("body", "main\n", "alpha\n", "alpha\n"),
]


@pytest.mark.parametrize(("field", "main", "alpha", "value"), VALUES, ids=[row[0] for row in VALUES])
def test_s31_the_files_value_is_taken(bench: Bench, field: str, main: str, alpha: str, value: object) -> None:
    """S-31: the file's value becomes the caller's change: in the head's text, the journal, and every file."""
    clash(bench, {field: main}, {field: alpha})
    resolve(bench, "a", "file", field=field)
    bench.settle()

    change = next(entry for entry in bench.journal("a") if (entry.field, entry.new) == (field, value))
    assert (getattr(bench.task("a"), field), bench.conflicts()) == (value, [])
    assert (change.actor, change.cause) == ("carol", "resolve")
    assert bench.text("a.md") == bench.text("a.md", "alpha") == bench.head("a")
    assert settling(bench).new == {"take": "file", "value": value}
    assert is_whole(bench)


def test_s31_lists_and_unknown_keys(bench: Bench) -> None:
    """S-31: a list with an order, a key of one's own, one called like the body: each can be settled."""
    front = {"success_criteria": "[x]", "team": "x", "body ": "x", "stack": "[x]"}
    sides = [{key: text.replace("x", side) for key, text in front.items()} for side in ("m", "a")]
    found = clash(bench, sides[0], sides[1], **front)
    assert {row.field for row in found} == {"success_criteria", "team", "frontmatter.body", "stack"}

    for row in found:
        resolve(bench, str(row.id), "file")

    task = bench.task("a")
    assert [item.criterion for item in task.success_criteria] == ["a"]
    assert dict(task.extra) == {"team": "a", "body": "a", "stack": ["a"]}
    assert (bench.conflicts(), is_whole(bench)) == ([], True)


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [("priority", "critical", "critical"), ("priority", None, None), ("body", "new\n", "new\n")],
)
def test_another_value_is_taken(bench: Bench, field: str, value: str | None, wanted: object) -> None:
    """A third value settles a conflict too, none at all as well."""
    sides = {"priority": ("high", "low"), "body": ("main\n", "alpha\n")}[field]
    clash(bench, {field: sides[0]}, {field: sides[1]})
    resolve(bench, "a", "value", field=field, value=value)

    assert (getattr(bench.task("a"), field), bench.conflicts()) == (wanted, [])
    assert is_whole(bench)


def test_an_index_that_moved_on(bench: Bench) -> None:
    """Whatever the index says by now, the file's value goes in, and the journal has both."""
    clash(bench, {"priority": "high"}, {"priority": "low"})
    bench.call("set", id="a", values={"priority": "critical"})
    resolve(bench, "a", "file", field="priority")

    last = [entry for entry in bench.journal("a") if entry.field == "priority"][-1]
    assert (last.old, last.new, bench.task("a").priority) == ("critical", "low", "low")


def test_a_conflict_is_settled_once(bench: Bench) -> None:
    """Who comes second is told that there is no such conflict; so is who names a wrong field or number."""
    (conflict,) = clash(bench, {"priority": "high"}, {"priority": "low"})
    resolve(bench, str(conflict.id), "index")
    calls: list[dict[str, Any]] = [
        {"id": str(conflict.id), "take": "file"},
        {"id": "a", "field": "priority", "take": "file"},
        {"id": "a", "field": "nonsense", "take": "file"},
        {"id": "nobody", "field": "priority", "take": "file"},
    ]

    assert [error(bench.call("resolve", **call)) for call in calls] == [(4, "not-found")] * 4
    assert error(bench.call("resolve", id="1", take="mine")) == (2, "usage")
    assert bench.task("a").priority == "high"


def test_several_files_about_one_field(bench: Bench) -> None:
    """With two losers the file to take is named by its conflict; the index settles both."""
    bench.add_worktree("beta")
    bench.add_worktree("alpha")
    bench.put("a.md", document("a"))
    bench.write_back()
    for key, word in (("main", "high"), ("alpha", "low"), ("beta", "medium")):
        bench.put("a.md", document("a", priority=word), key)
    first, second = bench.conflicts()
    unclear = bench.call("resolve", id="a", field="priority", take="file")
    resolve(bench, str(second.id), "file")
    taken, left = bench.task("a").priority, bench.conflicts()
    resolve(bench, "a", "index", field="priority")

    assert error(unclear) == (2, "usage")
    assert f"{first.id} (alpha), {second.id} (beta)" in str(unclear.error)
    assert (taken, [row.id for row in left]) == ("medium", [first.id])
    assert (bench.task("a").priority, bench.conflicts()) == ("medium", [])


def test_an_edge_that_closes_a_cycle(bench: Bench) -> None:
    """Such an edge stays out as long as it would close one, and goes in when it does not any more."""
    bench.put("b.md", document("b", depends_on="[a]"))
    bench.put("a.md", document("a"))
    bench.put("a.md", document("a", depends_on="[b]"))
    (conflict,) = bench.conflicts()
    early = bench.call("resolve", id="a", field="dependsOn", take="file")
    bench.call("dep.rm", id="b", on="a")
    resolve(bench, "a", "file", field="dependsOn")

    assert conflict.field == "depends_on"
    assert error(early) == (5, "cycle")
    assert (bench.task("a").depends_on, bench.conflicts()) == (("b",), [])


def test_an_edge_to_nobody_is_taken_as_the_file_has_it(bench: Bench) -> None:
    """A file may wait for what is not there yet; typing it at a command is refused."""
    bench.put("a.md", document("a"))
    with bench.db.write() as txn:
        number = txn.put_conflict(Conflict("a", "depends_on", "main", [], [], ["ghost"], NOON))
    typed = bench.call("resolve", id=str(number), take="value", value="ghost")
    resolve(bench, str(number), "file")

    assert error(typed) == (4, "not-found")
    assert bench.task("a").depends_on == ("ghost",)


def test_a_value_that_nobody_understands_stays_refused(bench: Bench) -> None:
    """`priority: urgent` is no priority, whoever takes it; the conflict stays."""
    clash(bench, {"priority": "high"}, {"priority": "urgent"}, priority="low")
    reply = bench.call("resolve", id="a", field="priority", take="file")

    assert error(reply) == (5, "refused")
    assert "choose one of low, medium" in str(reply.error)
    assert (bench.task("a").priority, len(bench.conflicts())) == ("high", 1)


def test_a_value_that_cannot_be_typed_is_wrong_usage(bench: Bench) -> None:
    """What somebody types is checked as `set` checks it."""
    clash(bench, {"estimate": "1"}, {"estimate": "2"})

    assert error(bench.call("resolve", id="a", field="estimate", take="value", value="soon")) == (
        2,
        "bad-value",
    )


def text_conflict(bench: Bench, file: str, index: str | None = None) -> int:
    """A conflict about a whole document."""
    values = (None, index or bench.head("a"), file)
    with bench.db.write() as txn:
        return txn.put_conflict(Conflict("a", "text", "alpha", *values, since=NOON))


def test_a_whole_document_is_taken(bench: Bench) -> None:
    """What was written beside the values, comments say, comes in with the file's whole document."""
    bench.put("a.md", document("a", priority="low"))
    mine = document("a", priority="high", team="red").replace("---\n", "---\n# why\n", 1)
    number = text_conflict(bench, mine)
    resolve(bench, str(number), "file")

    task = bench.task("a")
    assert (bench.head("a"), task.priority, dict(task.extra)) == (mine, "high", {"team": "red"})
    assert settling(bench).new == {"take": "file", "value": mine}


def test_a_whole_document_under_an_old_id(bench: Bench) -> None:
    """A task that was renamed meanwhile keeps its new id."""
    bench.put("a.md", document("a"))
    number = text_conflict(bench, "---\nid: old  # was\nname: A\n---\n")
    resolve(bench, str(number), "file")

    assert (bench.head("a"), bench.ids()) == ("---\nid: a  # was\nname: A\n---\n", ["a"])


def test_a_whole_document_that_is_none_or_closes_a_cycle(bench: Bench) -> None:
    """A text that would not read back, or whose edges close a cycle, is refused and stays a conflict."""
    bench.put("a.md", document("a"))
    bench.put("b.md", document("b", depends_on="[a]"))
    number = text_conflict(bench, document("a", depends_on="[b]"))
    before = bench.everything()
    replies = [
        bench.call("resolve", id=str(number), take="file"),
        bench.call("resolve", id=str(number), take="value", value="no frontmatter"),
        bench.call("resolve", id=str(number), take="value", value="---\nid: [\n---\n"),
    ]

    assert [error(reply) for reply in replies] == [(5, "cycle"), (5, "refused"), (5, "refused")]
    assert (bench.everything(), len(bench.conflicts())) == (before, 1)


def test_a_key_called_text_is_no_whole_document(bench: Bench) -> None:
    """An unknown key `text` has a name of its own in a conflict."""
    (conflict,) = clash(bench, {"text": "main"}, {"text": "alpha"})
    resolve(bench, "a", "file", field="frontmatter.text")

    assert conflict.field == "frontmatter.text"
    assert (dict(bench.task("a").extra), settling(bench).new) == (
        {"text": "alpha"},
        {"take": "file", "value": "alpha"},
    )


def test_a_claimed_task_is_its_holders(bench: Bench) -> None:
    """Nobody settles a conflict of a task that another has claimed, unless by force."""
    clash(bench, {"priority": "high"}, {"priority": "low"})
    bench.call("claim", "bob", id="a")
    refused = bench.call("resolve", "carol", id="a", field="priority", take="file")
    resolve(bench, "a", "file", field="priority", force=True)

    assert error(refused) == (5, "claimed")
    assert (bench.task("a").priority, settling(bench).cause) == ("low", "resolve --force")


def test_s12_a_deleted_tasks_conflicts_are_in_the_journal(bench: Bench) -> None:
    """S-12: a conflict goes with its task, and what both sides said stays in the journal."""
    clash(bench, {"priority": "high"}, {"priority": "low"})
    bench.call("rm", "carol", id="a")

    entry = settling(bench)
    assert isinstance(entry.old, dict)
    assert (entry.old["index"], entry.old["file"], entry.new) == ("high", "low", None)
    assert (bench.conflicts(), entry.actor, entry.cause) == ([], "carol", "rm")


def test_the_callers_untracked_file_follows(make_bench: Callable[..., Bench]) -> None:
    """In the tracked layout a file of the caller's that git does not have says what was taken."""
    bench = make_bench(layout=TRACKED)
    clash(bench, {"priority": "high"}, {"priority": "low"})
    resolve(bench, "a", "file", field="priority")

    assert "priority: low" in (bench.text("a.md") or "")
    bench.settle()
    assert (bench.task("a").priority, bench.conflicts()) == ("low", [])
