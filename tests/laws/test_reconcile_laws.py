"""The laws of reconciling, over edits of both sides, and each law seen to bite."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from taskd.core import authored, lifecycle, merge, reconcile, request, weave
from taskd.core.authored import authored as said_by
from taskd.core.authored import authored_of
from taskd.core.document import Document
from taskd.core.fields import FIELDS, Merge
from taskd.core.plan import TEXT, Plan
from taskd.core.task import Status
from tests.laws.cases import (
    ID,
    Case,
    cases,
    context,
    document_of,
    fields_of,
    first_head,
    runtime_of,
    shown,
    texts,
    touches,
    worked_on,
)

LAW = settings(max_examples=100)

Law = Callable[[Case], None]


def elements(value: object) -> set[object]:
    """The elements of a set's field, or of a list."""
    return {repr(item) for item in value} if isinstance(value, (list, tuple)) else set()


def is_set(name: str) -> bool:
    """Whether a field merges by its elements."""
    return name in FIELDS and FIELDS[name].merge is Merge.SET


def said(document: Document) -> dict[str, object]:
    """What a document says of each field; those that nobody understands are left out."""
    fields = said_by(document, ID)
    return {name: value for name, value in fields.items() if name not in authored.unread(document)}


def comments(text: bytes) -> set[str]:
    """The comments that the generated touches put into a document."""
    return {word for word in ("# why", "# who, when", "# a: b") if word in text.decode()}


def clashing(plan: Plan) -> set[str]:
    """The fields that clash."""
    return {clash.field for clash in plan.clashes}


# -- the laws


def nothing_without_difference(case: Case) -> None:
    """A document that says what it said changes nothing, and with a comment more nothing but the text."""
    plan = replace(case, document=case.base).plan()
    noted = document_of(worked_on(case.base.text, [("!comment", (1, "# what for"))]))
    beside = replace(case, document=noted).plan()

    assert (plan.task, plan.text, plan.clashes, plan.steps) == (case.head.task, case.head.text, (), ())
    assert (fields_of(beside), beside.steps) == (fields_of(case.head), ())
    assert "# what for" in beside.text.decode() or TEXT in clashing(beside)


def unchanged_says_nothing(case: Case) -> None:
    """A field the file left as it was stays as the index has it, whatever else the file changed."""
    plan = case.plan()
    before, after, ours = said(case.base), said(case.document), authored_of(case.head.task)
    same = {name for name in before.keys() & after.keys() if before[name] == after[name]} - {"modified"}

    stands = authored_of(plan.task)
    assert {name: stands.get(name) for name in same} == {name: ours.get(name) for name in same}
    assert not clashing(plan) & same


def garbled_says_nothing(case: Case) -> None:
    """A value that nobody understands takes nothing away: the task keeps the one it had."""
    plan = case.plan()

    hidden = authored.unread(case.document)
    ours, stands = authored_of(case.head.task), authored_of(plan.task)
    assert {name: stands[name] for name in hidden} == {name: ours[name] for name in hidden}


def nothing_is_lost(case: Case) -> None:
    """Each change of the file is in the new head, in a clash or in a refusal."""
    plan = case.plan()
    before, after, stands = said(case.base), said(case.document), authored_of(plan.task)
    news = {name for name in after if after[name] != before.get(name)} - {"modified", "body"}
    told = {clash.field: clash.file for clash in plan.clashes}

    for name in news - told.keys():
        if is_set(name):
            assert elements(after[name]) - elements(before.get(name)) <= elements(stands[name])
            gone = elements(before.get(name)) - elements(after[name])
            assert not gone & elements(stands[name])
        elif isinstance(stands.get(name), (list, tuple)):
            assert elements(after[name]) - elements(before.get(name)) <= elements(stands[name])
        else:
            assert stands.get(name) == after[name], name
    assert {name: told[name] for name in news & told.keys()} == {
        name: after[name] for name in news & told.keys()
    }
    lines = set(str(after["body"]).splitlines()) - set(str(before["body"]).splitlines())
    assert "body" in told or lines <= set(str(stands["body"]).splitlines())
    fresh = comments(case.document.text) - comments(case.base.text)
    assert TEXT in told or fresh <= comments(plan.text)
    assert set(case.document.runtime) - {"status"} <= {refusal.field for refusal in plan.refusals}


def index_survives(case: Case) -> None:
    """What the index changed since the base is not undone by a document that did not see it."""
    plan = case.plan()
    before, after = said(case.base), said(case.document)
    ours, stands = authored_of(case.head.task), authored_of(plan.task)
    changed = {name for name in ours if name in before and ours[name] != before[name]} - {"modified", "body"}

    for name in changed:
        if is_set(name):
            cyclic = {repr("a"), repr("b")} if name == "depends_on" else set[str]()
            assert elements(ours[name]) - elements(before[name]) - cyclic <= elements(stands[name])
            gone = elements(before[name]) - elements(ours[name])
            assert not gone & elements(stands[name])
        elif isinstance(ours[name], (list, tuple)):
            assert elements(ours[name]) - elements(before[name]) <= elements(stands.get(name)) | elements(
                after.get(name)
            )
        else:
            assert stands.get(name) == ours[name], name
    lines = set(str(ours["body"]).splitlines()) - set(str(before["body"]).splitlines())
    assert lines <= set(str(stands["body"]).splitlines())
    assert comments(case.head.text) - comments(case.base.text) <= comments(plan.text) or TEXT in clashing(
        plan
    )


def text_reads_back(case: Case) -> None:
    """The new text says exactly the new head's authored fields, under its id."""
    plan = case.plan()

    document = document_of(plan.text)
    stands, read = authored_of(plan.task), said(document)
    assert document.values.get("id", ID) == ID
    assert set(stands) - set(read) <= authored.unread(document)
    derived = {"modified"}
    assert {name: stands.get(name) for name in read.keys() - derived} == {
        name: read[name] for name in read.keys() - derived
    }


def settled_is_silent(case: Case) -> None:
    """A replica that follows, the file itself, and the same edit told again change nothing."""
    plan = case.plan()
    head = shown(plan)
    written = document_of(head.text)

    follower = replace(case, base=case.document, document=written, head=head).plan()
    again = replace(case, head=head).plan()

    assert (fields_of(follower), runtime_of(follower)) == (fields_of(plan), runtime_of(plan))
    assert follower.clashes == ()
    assert {refusal.field for refusal in follower.refusals} <= set(written.runtime) - {"status"}
    if not plan.clashes:  # what a list or a body holds twice cannot be told apart a second time
        assert single(fields_of(again)) == single(fields_of(plan))


def only_granted_status(case: Case) -> None:
    """Runtime fields are the index's: only lawful steps to the status asked for touch them."""
    plan = case.plan()
    asked, before = case.document.runtime.get("status"), case.head.task

    if plan.steps:
        path = [before.status, *(step.status for step in plan.steps)]
        assert plan.steps[-1] == plan.task
        assert path[-1] == asked
        assert all(later in lifecycle.LAWFUL[earlier] for earlier, later in pairwise(path))
        assert not (before.claim and before.claim.expires > case.context.now and before.claim.holder == "bob")
        assert asked != case.base.runtime.get("status")
    else:
        assert runtime_of(plan) == runtime_of(case.head)


def asked_is_answered(case: Case) -> None:
    """A status typed into a file is granted, there already, or refused with a reason and a remedy."""
    plan = case.plan()
    asked, before = case.document.runtime.get("status"), case.base.runtime.get("status", Status.PENDING)
    if not isinstance(asked, Status) or asked == before:
        return

    refusals = [refusal for refusal in plan.refusals if refusal.field == "status"]
    waits = case.context.blocked_by(plan.task.depends_on)
    there = (plan.task.status, lifecycle.effective(plan.task, waits))
    if before == "wibble" and asked is Status.PENDING:
        return
    assert (asked in there) is (refusals == [])
    assert all(refusal.reason and refusal.remedy for refusal in refusals)


def without_base_only_adds(case: Case) -> None:
    """A document of unknown descent fills what is empty; nothing the index has is overwritten."""
    plan = reconcile.reconcile(None, case.document, case.head, case.context, ID)
    ours, stands, after = authored_of(case.head.task), authored_of(plan.task), said(case.document)

    for name in ours.keys() - {"modified"}:
        if is_set(name):
            assert elements(ours[name]) <= elements(stands[name])
        elif ours[name] not in (None, "", ()) and not (name == "name" and ours[name] == ID):
            assert stands.get(name) == ours[name]
    silent = (None, "", (), ID)
    told = {name for name in after if after[name] not in silent and stands.get(name) != after[name]}
    kept = {name for name in told if is_set(name)} | {"modified"}
    assert told - kept <= clashing(plan)
    assert plan.steps == ()


def no_new_cycle(case: Case) -> None:
    """An edge that is new and would close a cycle is taken out and told; the rest goes in."""
    plan = case.plan()

    new = set(plan.task.depends_on) - set(case.head.task.depends_on)
    assert not any(on == ID or case.context.reaches(on, ID) for on in new)
    wanted = set(said(case.document).get("depends_on", ())) - set(case.base.values.get("depends_on", ()))  # type: ignore[call-overload]
    assert wanted <= set(plan.task.depends_on) or "depends_on" in clashing(plan)


def order_is_free(case: Case) -> None:
    """Two edits that do not conflict come to the same, whichever is taken in first."""
    other = document_of(case.head.text)
    first = first_head(case.base.text)
    around = context()

    def both(one: Document, two: Document) -> tuple[Plan, Plan]:
        plan = reconcile.reconcile(case.base, one, first, around, ID)
        return plan, reconcile.reconcile(case.base, two, shown(plan), around, ID)

    forth, back = both(case.document, other), both(other, case.document)
    if any(plan.clashes for plan in (*forth, *back)):
        return
    assert loose(fields_of(forth[-1])) == loose(fields_of(back[-1]))


def single(fields: dict[str, object]) -> dict[str, object]:
    """Sets without their order and single values; no lists, no body."""
    ordered = {
        name for name, value in fields.items() if isinstance(value, (list, tuple)) and not is_set(name)
    }
    return {name: value for name, value in loose(fields).items() if name not in {*ordered, "body"}}


def loose(fields: dict[str, object]) -> dict[str, object]:
    """Fields to compare, sets without their order."""
    return {name: elements(value) if is_set(name) else value for name, value in fields.items()}


LAWS: list[Law] = [
    nothing_without_difference,
    unchanged_says_nothing,
    garbled_says_nothing,
    nothing_is_lost,
    index_survives,
    text_reads_back,
    settled_is_silent,
    only_granted_status,
    asked_is_answered,
    without_base_only_adds,
    no_new_cycle,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_holds(law: Law) -> None:
    """Whatever both sides did, the law holds."""

    @LAW
    @given(cases())
    def run(case: Case) -> None:
        law(case)

    run()


@LAW
@given(cases(status=False))
def test_order_of_edits_does_not_matter(case: Case) -> None:
    """Two edits that do not conflict come to the same, whichever is taken in first."""
    order_is_free(case)


@LAW
@given(texts(), st.lists(touches(), max_size=4))
def test_fast_forward_keeps_the_document(text: bytes, touched: list[tuple[str, object]]) -> None:
    """Where the index did not move, the new head is the file, byte by byte."""
    head = first_head(text)
    base = document_of(head.text)
    document = document_of(worked_on(head.text, touched))

    plan = reconcile.reconcile(base, document, head, context(), ID)

    assert (plan.text, plan.clashes) == (document.text, ())


@LAW
@given(texts())
def test_first_sight_takes_the_document(text: bytes) -> None:
    """A document seen first is the task, byte by byte, cycles and status included."""
    document = document_of(worked_on(text, [("status", Status.FAILED), ("depends_on", (ID, "a"))]))
    around = context(reaches=lambda _start, _goal: True)

    plan = reconcile.reconcile(None, document, None, around, ID)

    assert (plan.text, plan.task.status, plan.clashes) == (document.text, Status.FAILED, ())
    assert set(plan.task.depends_on) == {ID, "a"}


# -- each law bites: with one rule off it is seen to fail


def takes_file(_base: object, _index: object, file: object) -> merge.Merged:
    """The later one wins."""
    return merge.Merged(file)


def keeps_index(_base: object, index: object, _file: object) -> merge.Merged:
    """The file is not heard."""
    return merge.Merged(index)


def joins(_base: object, index: Iterable[object], file: Iterable[object]) -> merge.Merged:
    """Nothing is ever taken out of a set."""
    return merge.Merged((*index, *(item for item in file if item not in tuple(index))))


def clashes_alike(base: object, index: object, file: object) -> merge.Merged:
    """Two changes conflict even if they come to the same."""
    return merge.Merged(index, clash=file != base)


OFF: list[tuple[Law, object, str, object]] = [
    (nothing_without_difference, merge, "scalar", takes_file),
    (unchanged_says_nothing, merge, "scalar", takes_file),
    (garbled_says_nothing, reconcile, "unread", lambda _: frozenset()),
    (nothing_is_lost, merge, "scalar", keeps_index),
    (nothing_is_lost, merge, "union", keeps_index),
    (nothing_is_lost, weave, "_off", lambda *_: {}),
    (nothing_is_lost, weave, "_is_torn", lambda *_: False),
    (nothing_is_lost, reconcile, "ignored_runtime", lambda _: ()),
    (index_survives, merge, "scalar", takes_file),
    (index_survives, merge, "union", takes_file),
    (index_survives, merge, "union", joins),
    (text_reads_back, reconcile, "with_authored", lambda task, _: task),
    (settled_is_silent, merge, "scalar", clashes_alike),
    (only_granted_status, request, "_why_not", lambda *_: None),
    (only_granted_status, lifecycle, "steps", lambda _, wanted: (wanted,)),
    (asked_is_answered, request, "_why_not", lambda *_: None),
    (
        without_base_only_adds,
        reconcile,
        "_merge_unrelated",
        lambda name, _, sides: merge.Merged(sides.theirs.get(name)),
    ),
    (no_new_cycle, reconcile, "_closes_cycle", lambda *_: False),
]


def search(law: Law, found: st.SearchStrategy[Case]) -> Callable[[], None]:
    """A search for a case in which a law does not hold."""

    @settings(max_examples=2000, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    @given(found)
    def run(case: Case) -> None:
        law(case)

    return run


@pytest.mark.parametrize(
    ("law", "module", "rule", "broken"), OFF, ids=lambda part: getattr(part, "__name__", str(part))
)
def test_law_bites(
    monkeypatch: pytest.MonkeyPatch, law: Law, module: object, rule: str, broken: object
) -> None:
    """With one safety rule off, a case is found in which the law is broken."""
    monkeypatch.setattr(module, rule, broken)

    with pytest.raises(AssertionError):
        search(law, cases())()


def test_order_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the later edit won, the order would matter."""
    monkeypatch.setattr(merge, "scalar", takes_file)

    with pytest.raises(AssertionError):
        search(order_is_free, cases(status=False))()
