"""What one document of one replica means for the index, rule by rule of the merge rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskd.core import weave
from taskd.core.document import Document, edit_all, read
from taskd.core.reconcile import Clash, Context, Head, Plan, reconcile
from taskd.core.task import Criterion, Status, Task
from taskd.errors import Uneditable

NOW = "2026-03-01T12:00:00.000Z"
TEXT = b"""---
id: a
name: Alpha  # the first
depends_on: [b]
# how bad
risk: low
tags: [x, y]
success_criteria:
  - one
  - two
team: red
---
Body.

End.
"""


def document(text: bytes) -> Document:
    """The document a text is."""
    found = read(text)
    assert found is not None
    return found


def never_merges(_base: bytes, ours: bytes, _theirs: bytes) -> tuple[bytes, bool]:
    """A merger to which all lines collide and which shows nothing."""
    return ours, False


def context(**more: object) -> Context:
    """Alice saves a file, nothing is in the way, and lines never merge."""
    given: dict[str, object] = {
        "now": NOW,
        "participant": "alice",
        "merger": never_merges,
        "blocked_by": lambda _ids: (),
        "reaches": lambda _start, _goal: False,
        "status_by": lambda: None,
        **more,
    }
    return Context(**given)  # type: ignore[arg-type]


def head_of(text: bytes) -> Head:
    """The head that a text made when it was first seen."""
    plan = reconcile(None, document(text), None, context(), "a")
    return Head(plan.task, plan.text)


def merged(index: bytes, file: bytes, base: bytes = TEXT, **more: object) -> Plan:
    """What comes of a file, when the index went from the same base elsewhere."""
    return reconcile(document(base), document(file), head_of(index), context(**more), "a")


def swap(*pairs: tuple[str, str], text: bytes = TEXT) -> bytes:
    """The text with some words replaced, each of which stands there."""
    told = text.decode()
    for old, new in pairs:
        assert old in told
        told = told.replace(old, new)
    return told.encode()


# -- first sight, nothing new, fast forward


def test_first_sight_takes_everything_once() -> None:
    """The document is the task: fields, unknown keys, cycles, status; not other runtime fields."""
    text = swap(("id: a", "id: a\nstatus: DONE\nclaim: bob\nmodified: 2026-01-01"), ("[b]", "[a, b]"))

    plan = reconcile(None, document(text), None, context(reaches=lambda *_: True), "a")

    assert plan.task == Task(
        id="a",
        name="Alpha",
        file="",
        depends_on=("a", "b"),
        risk="low",
        tags=("x", "y"),
        success_criteria=(Criterion("one"), Criterion("two")),
        modified="2026-01-01",
        body="Body.\n\nEnd.\n",
        extra={"team": "red"},
        status=Status.COMPLETED,
    )
    assert (plan.text, plan.clashes, [refusal.field for refusal in plan.refusals]) == (text, (), ["claim"])


@pytest.mark.parametrize(("waits", "status"), [((), Status.BLOCKED), (("b",), Status.PENDING)])
def test_blocked_at_first_sight(waits: tuple[str, ...], status: Status) -> None:
    """It is by hand only if no dependency explains it."""
    blocked = document(swap(("id: a", "id: a\nstatus: blocked")))

    plan = reconcile(None, blocked, None, context(blocked_by=lambda _: waits), "a")

    assert plan.task.status is status


def test_an_unknown_status_is_none() -> None:
    """A word nobody knows leaves a new task pending."""
    plan = reconcile(None, document(swap(("id: a", "id: a\nstatus: wibble"))), None, context(), "a")

    assert plan.task.status is Status.PENDING


def test_a_file_that_says_what_it_said_says_nothing() -> None:
    """However the index moved on, an old file is silent; what it cannot say is still reported."""
    text = swap(("id: a", "id: a\nnotes: x"))
    moved = replace(head_of(swap(("low", "high"))), text=b"whatever")

    plan = reconcile(document(text), document(text), moved, context(), "a")

    assert (plan.task, plan.text, plan.clashes) == (moved.task, b"whatever", ())
    assert [refusal.field for refusal in plan.refusals] == ["notes"]


def test_fast_forward_keeps_every_byte() -> None:
    """Comments, order and spaces of the saved file are the new head's."""
    file = swap(("low", " high   # oh"), ("[x, y]", "[y,  x]"), ("# how bad\n", ""))

    plan = merged(TEXT, file)

    assert (plan.text, plan.clashes, plan.task.risk, plan.task.tags) == (file, (), "high", ("y", "x"))
    assert plan.task.modified == NOW


def test_fast_forward_reads_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The common case parses the new document, and nothing else."""
    head, base, file = head_of(TEXT), document(TEXT), document(swap(("low", "high")))
    monkeypatch.setattr(weave, "read", None)

    assert reconcile(base, file, head, context(), "a").task.risk == "high"


# -- both sides moved


def test_a_stale_field_says_nothing() -> None:
    """An edit of one field leaves what the index changed in others."""
    plan = merged(swap(("low", "high")), swap(("red", "blue")))

    assert (plan.task.risk, plan.task.extra, plan.clashes) == ("high", {"team": "blue"}, ())
    assert plan.text == swap(("low", "high"), ("red", "blue"))


def test_two_values_of_one_field_clash() -> None:
    """The index keeps its own, the conflict has all three."""
    plan = merged(swap(("low", "high")), swap(("low", "critical")))

    assert (plan.task.risk, plan.clashes) == ("high", (Clash("risk", "low", "high", "critical"),))


def test_unknown_keys_clash_one_by_one() -> None:
    """Each key is a value of its own; one taken out is a change too."""
    plan = merged(swap(("team: red", "team: blue\nnew: 1")), swap(("team: red\n", "other: 2\n")))

    assert plan.task.extra == {"team": "blue", "new": "1", "other": "2"}
    assert plan.clashes == (Clash("team", "red", "blue", None),)


def test_lists_under_unknown_keys_merge_by_items() -> None:
    """Two changes at two places of a list are no conflict."""
    base = swap(("red", "[r, s, t]"))

    plan = merged(swap(("[r,", "[q,"), text=base), swap(("t]", "u]"), text=base), base)

    assert (plan.task.extra, plan.clashes) == ({"team": ["q", "s", "u"]}, ())


def test_sets_merge_by_elements() -> None:
    """Both sides' additions and removals count."""
    plan = merged(swap(("[x, y]", "[x, z]"), ("[b]", "[b, c]")), swap(("[x, y]", "[w, y]"), ("[b]", "[]")))

    assert (plan.task.tags, plan.task.depends_on, plan.clashes) == (("z", "w"), ("c",), ())


def test_criteria_ticked_on_both_sides_are_both_ticked() -> None:
    """Criteria have an order and merge by their items."""
    met = [swap((f"- {word}", f"- criterion: {word}\n    met: true")) for word in ("one", "two")]

    plan = merged(*met)

    assert [part.met for part in plan.task.success_criteria] == [True, True]
    assert plan.clashes == ()


def test_bodies_merge_by_lines() -> None:
    """Where the merger finds no collision the body has both changes; its text is the new text's."""
    plan = merged(
        swap(("Body.", "BODY.")),
        swap(("End.", "END.")),
        merger=lambda _base, ours, _theirs: (ours.replace(b"End.", b"END."), True),
    )

    assert (plan.task.body, plan.clashes) == ("BODY.\n\nEND.\n", ())
    assert plan.text == swap(("Body.", "BODY."), ("End.", "END."))


def test_bodies_that_collide_are_kept_apart() -> None:
    """The index keeps its body, the conflict has the three texts, nobody sees a marker."""
    plan = merged(swap(("Body.", "Ours.")), swap(("Body.", "Theirs.")))

    assert plan.task.body == "Ours.\n\nEnd.\n"
    assert plan.clashes == (Clash("body", "Body.\n\nEnd.\n", "Ours.\n\nEnd.\n", "Theirs.\n\nEnd.\n"),)


def test_modified_is_the_later_one() -> None:
    """It never conflicts, and an older one does not come back."""
    old, early, late = (swap(("id: a", f"id: a\nmodified: 2026-01-0{day}")) for day in (1, 2, 3))

    assert merged(late, early, old).task.modified == "2026-01-03"
    assert merged(early, late, old).task.modified == "2026-01-03"
    assert merged(late, swap(("low", "high"), text=early), old).task.modified == NOW
    assert merged(early, swap(("low", "high"), text=late), old).task.modified == "2026-01-03"


# -- values that nobody understands


def test_a_slip_of_the_pen_takes_nothing_away() -> None:
    """A misspelled value leaves the task what it had, and the file as it was typed."""
    file = swap(("[b]", "[Not A Slug]"), ("low", "high"))

    plan = merged(TEXT, file)

    assert (plan.task.depends_on, plan.task.risk, plan.text, plan.clashes) == (("b",), "high", file, ())


def test_a_slip_is_mended() -> None:
    """Correcting it is an edit like any other, since nobody else changed the field."""
    slip = swap(("[b]", "[Not A Slug]"), ("risk", "estimate: soon\nrisk"))
    first = merged(TEXT, slip)
    mended = swap(("[b]", "[b, c]"), ("risk", "estimate: 3\nrisk"))

    plan = reconcile(document(slip), document(mended), Head(first.task, slip), context(), "a")

    assert (plan.task.depends_on, plan.task.estimate, plan.clashes) == (("b", "c"), 3.0, ())


def test_a_slip_that_the_index_got_over_says_nothing() -> None:
    """A command set the field meanwhile: the slip is over, a correction of it conflicts."""
    slip = swap(("risk", "estimate: soon\nrisk"))
    index = swap(("risk", "estimate: 5\nrisk"))

    silent = merged(index, swap(("low", "high"), text=slip), slip)
    late = merged(index, swap(("risk", "estimate: 3\nrisk")), slip)

    assert (silent.task.estimate, silent.task.risk, silent.clashes) == (5.0, "high", ())
    assert (late.task.estimate, late.clashes) == (5.0, (Clash("estimate", None, 5.0, 3.0),))


def test_a_slip_that_a_removal_meets_goes() -> None:
    """Taking the line out takes the value, also where the head's text has the slip."""
    slip = swap(("[x, y]", "{k: v}"))
    first = merged(TEXT, slip)
    removed = swap(("tags: [x, y]\n", ""))

    head = Head(first.task, swap(("red", "blue"), text=slip))
    plan = reconcile(document(slip), document(removed), head, context(), "a")

    assert (plan.task.tags, document(plan.text).values.get("tags")) == ((), None)


# -- edges


def test_an_edge_that_closes_a_cycle_is_taken_out() -> None:
    """It is a conflict; the rest of the edit goes in, comments too."""
    file = swap(("[b]", "[b, c, d]"), ("low", "high  # really"))

    plan = merged(TEXT, file, reaches=lambda start, goal: (start, goal) == ("c", "a"))

    assert (plan.task.depends_on, plan.task.risk) == (("b", "d"), "high")
    assert plan.clashes == (Clash("depends_on", ("b",), ("b",), ("b", "c", "d")),)
    assert plan.text == swap(("[b]", "[b, d]"), ("low", "high  # really"))


def test_old_cycles_are_tolerated() -> None:
    """Only an edge that is new is looked at; one to itself is a cycle too."""
    file = swap(("[b]", "[b, a]"), ("low", "high"))

    plan = merged(TEXT, file, reaches=lambda *_: True)

    assert (plan.task.depends_on, plan.task.risk) == (("b",), "high")


# -- without an ancestor


def test_without_a_base_a_document_only_adds() -> None:
    """What is empty is filled, what differs clashes, nothing is overwritten."""
    file = swap(
        ("low", "high"), ("[x, y]", "[z]"), ("team: red", "new: 1\nestimate: 2"), ("[b]", "[Not A Slug]")
    )

    plan = reconcile(None, document(file), head_of(TEXT), context(), "a")

    assert (plan.task.tags, plan.task.depends_on, plan.task.estimate) == (("x", "y", "z"), ("b",), 2.0)
    assert (plan.task.risk, plan.task.extra) == ("low", {"team": "red", "new": "1"})
    assert plan.clashes == (Clash("risk", None, "low", "high"),)


def test_without_a_base_no_name_is_no_other_name() -> None:
    """A document that is called by its id says nothing about the name, and takes one."""
    bare = b"---\nid: a\nmodified: 2026-01-01\n---\n"

    named = reconcile(None, document(bare), head_of(TEXT), context(), "a")
    naming = reconcile(None, document(TEXT), head_of(bare), context(), "a")

    assert (named.task.name, named.clashes, named.task.modified) == ("Alpha", (), "2026-01-01")
    assert (naming.task.name, naming.task.body) == ("Alpha", "Body.\n\nEnd.\n")


# -- writing beside the values


def test_a_comment_alone_is_kept() -> None:
    """A comment is merged by lines, and it changes no field and no time."""
    file = swap(("# how bad", "# how bad is it"))
    index = swap(("red", "blue"))

    plan = merged(index, file, merger=lambda *_: (swap(("red", "blue"), ("bad", "bad is it")), True))

    assert (plan.text, plan.clashes) == (swap(("red", "blue"), ("bad", "bad is it")), ())
    assert plan.task == head_of(index).task


def test_a_comment_survives_a_collision_elsewhere() -> None:
    """Where some lines collide, the others are merged all the same."""
    file = swap(("# how bad", "# how bad is it"), ("red", "green"))
    shown = swap(
        (
            "team: red",
            "<<<<<<< ours\nteam: blue\n||||||| base\nteam: red\n=======\nteam: green\n>>>>>>> theirs",
        ),
        ("# how bad", "# how bad is it"),
    )

    plan = merged(swap(("red", "blue")), file, merger=lambda *_: (shown, False))

    assert plan.text == swap(("red", "blue"), ("bad", "bad is it"))
    assert [clash.field for clash in plan.clashes] == ["team"]


def test_a_comment_that_finds_no_place_is_a_conflict() -> None:
    """Rather than dropped it is kept with the whole text it stood in."""
    file, index = swap(("# how bad", "# very")), swap(("# how bad", "# not at all"))

    plan = merged(index, file)

    assert plan.text == index
    assert plan.clashes == (Clash("text", TEXT.decode(), index.decode(), file.decode()),)


def test_without_a_base_comments_are_not_dropped_either() -> None:
    """A document of unknown descent with other comments is kept whole."""
    file = swap(("# how bad", "# very"))

    plan = reconcile(None, document(file), head_of(TEXT), context(), "a")

    assert plan.clashes == (Clash("text", None, TEXT.decode(), file.decode()),)


def test_a_merge_that_cannot_be_read_is_not_believed() -> None:
    """Whatever the line merger makes, the new text is a document that says what stands."""
    plan = merged(
        swap(("low", "high")), swap(("red", "blue")), merger=lambda *_: (b"---\nid: [\n---\n", True)
    )

    assert plan.text == swap(("low", "high"), ("red", "blue"))


def test_a_merge_under_another_id_is_set_right() -> None:
    """The head's text has the head's id."""
    wrong = swap(("id: a", "id: z"), ("low", "high"), ("red", "blue"))

    plan = merged(swap(("low", "high")), swap(("red", "blue")), merger=lambda *_: (wrong, True))

    assert plan.text == swap(("low", "high"), ("red", "blue"))


def test_a_key_called_like_the_body_is_merged() -> None:
    """An unknown key of that name is a value like any other, apart from the body."""
    base = swap(("team: red", "body: key"))

    plan = merged(
        swap(("low", "high"), text=base), swap(("body: key", "body: other\nzeta: 1"), text=base), base
    )

    assert (plan.task.extra, plan.task.risk) == ({"body": "other", "zeta": "1"}, "high")
    assert plan.clashes == ()


def test_what_cannot_be_edited_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field is tried by itself before it is given up."""

    def refuse(text: bytes, changes: dict[str, object]) -> bytes:
        if "risk" in changes:
            raise Uneditable(path="", field="risk", reason="it cannot")
        return edit_all(text, changes)

    monkeypatch.setattr(weave, "edit_all", refuse)

    plan = merged(swap(("[x, y]", "[x]")), swap(("low", "high"), ("red", "blue")))

    assert (plan.task.risk, plan.task.extra) == ("low", {"team": "blue"})
    assert plan.clashes == (Clash("risk", "low", "low", "high"),)


# -- requests


def test_a_granted_status_keeps_the_file() -> None:
    """The steps are told, and the head's text is the file as it was typed."""
    base, file = swap(("id: a", "id: a\nstatus: TODO")), swap(("id: a", "id: a\nstatus: done # at last"))

    plan = merged(base, file, base)

    assert [step.status for step in plan.steps] == [Status.IN_PROGRESS, Status.COMPLETED]
    assert (plan.task, plan.text) == (plan.steps[-1], file)
    assert plan.task.modified is None


def test_a_refused_status_changes_nothing() -> None:
    """The index is as it was, text included, but for what else was edited."""
    base = swap(("id: a", "id: a\nstatus: pending"))
    asked = swap(("pending", "completed"), text=base)

    alone = merged(base, asked, base, status_edits="ignore")
    beside = merged(base, swap(("low", "high"), text=asked), base, status_edits="ignore")

    assert (alone.task, alone.text, alone.steps) == (head_of(base).task, base, ())
    assert [refusal.field for refusal in alone.refusals] == ["status"]
    assert (beside.task.risk, beside.text) == ("high", swap(("low", "high"), text=base))


def test_a_renamed_id_is_taken_from_the_file() -> None:
    """The task was renamed in the index before; the file's id line is the new text's."""
    renamed = Head(replace(head_of(TEXT).task, id="z"), TEXT)

    plan = reconcile(document(TEXT), document(swap(("id: a", "id: z"))), renamed, context(), "z")

    assert (plan.task.id, plan.text, plan.clashes) == ("z", swap(("id: a", "id: z")), ())


# -- what nobody typed here


def test_what_git_brought_asks_for_nothing() -> None:
    """A status in a document that git brought is neither granted nor refused; the rest is merged."""
    base = swap(("id: a", "id: a\nstatus: pending"))
    brought = swap(("pending", "completed"), ("low", "high"), text=base)

    plan = merged(base, brought, base, brought=True)

    assert (plan.task.status, plan.steps, plan.refusals) == (Status.PENDING, (), ())
    assert (plan.task.risk, plan.text) == ("high", swap(("low", "high"), text=base))


def test_what_git_brought_can_conflict() -> None:
    """Changed here and brought differently from there: the index keeps its own, and both are told."""
    plan = merged(swap(("low", "high")), swap(("low", "medium")), brought=True)

    assert (plan.task.risk, plan.clashes) == ("high", (Clash("risk", "low", "high", "medium"),))
