"""The laws of what git brings, over histories of a task of which some versions are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from taskd.core import news, reconcile
from taskd.core.authored import authored, authored_of, unread
from taskd.core.document import Document, edit_all
from taskd.core.fields import FIELDS, Merge
from taskd.core.plan import Head, Plan
from tests.laws.cases import (
    ID,
    context,
    document_of,
    first_head,
    moved,
    runtime_of,
    texts,
    touches,
    worked_on,
)

LAW = settings(max_examples=100)

#: fields that hold one value, and one that nobody else has typed for each
UNIQUE = {"name": "Unique", "risk": "unique", "assignee": "unique", "team": "unique", "due": "2099-01-01"}


@dataclass(frozen=True)
class History:
    """Versions of a task that are known, the last of them the index's, and one that git brings.

    What it was made from is one of the known ones.
    """

    known: tuple[Document, ...]
    ancestor: Document
    brought: Document
    head: Head

    def news(self) -> tuple[Document | None, tuple[str, ...]]:
        """What is left of it."""
        return news.silenced(self.brought, self.ancestor, self.known, ID)

    def plan(self) -> Plan:
        """What is decided about it."""
        left, _ = self.news()
        base = self.ancestor if left is not None else None
        return reconcile.reconcile(base, left or self.brought, self.head, context(brought=True), ID)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A line of versions, and a document mixed of what they say and of something more."""
    head = first_head(draw(texts()))
    known = [document_of(head.text)]
    for _ in range(draw(st.integers(1, 3))):
        known.append(document_of(worked_on(known[-1].text, draw(st.lists(touches(), max_size=3)))))
        head = moved(head, known[-1])
    ancestor = draw(st.sampled_from(known))
    text = ancestor.text
    for version in draw(st.lists(st.sampled_from(known), max_size=2)):
        says = {**version.values, **version.extra}
        names = draw(st.frozensets(st.sampled_from(sorted(set(says) - {"id"})), max_size=3))
        text = worked_on(text, [(name, says[name]) for name in sorted(names)])
    for name in draw(st.frozensets(st.sampled_from(["tags", "depends_on"]))):
        every = sorted({item for version in known for item in version.values.get(name, ())})  # type: ignore[attr-defined]
        some = draw(st.lists(st.sampled_from([*every, "new"]), unique=True, max_size=4))
        text = worked_on(text, [(name, tuple(some))])
    text = worked_on(text, draw(st.lists(touches(), max_size=2)))
    return History(tuple(known), ancestor, document_of(text), head)


Law = Callable[[History], None]


def said_of(document: Document) -> dict[str, object]:
    """What a document says of each field that holds one value; those not understood are left out."""
    merges = {name: field.merge for name, field in FIELDS.items()}
    return {
        name: value
        for name, value in authored(document, ID).items()
        if merges.get(name, Merge.SCALAR) is Merge.SCALAR
        and not isinstance(value, (list, tuple))
        and name not in {"id", *unread(document)}
    }


# -- the laws


def old_says_nothing(history: History) -> None:
    """A value that a known version had is not put into the index by a document that git brought."""
    if history.news()[0] is None:
        return
    plan = history.plan()
    before, stands = authored_of(history.head.task), authored_of(plan.task)
    versions = [authored(version, ID) for version in history.known]

    for name, value in said_of(history.brought).items():
        if any(version.get(name) == value for version in versions):
            assert stands.get(name) == before.get(name), name


def silenced_says_nothing(history: History) -> None:
    """What was set back says what the ancestor says; all else says what it said."""
    left, silent = history.news()
    if left is None:
        return
    before, told, after = (authored(one, ID) for one in (history.ancestor, history.brought, left))

    single = said_of(history.brought).keys() & set(silent)
    assert {name: after.get(name) for name in single} == {name: before.get(name) for name in single}
    assert {name: after.get(name) for name in told.keys() - set(silent)} == {
        name: told[name] for name in told.keys() - set(silent)
    }


def old_elements_say_nothing(history: History) -> None:
    """Nor is an element of a set that a known version had added by one."""
    if history.news()[0] is None:
        return
    plan = history.plan()

    for name in ("tags", "depends_on"):
        had = {item for version in history.known for item in version.values.get(name, ())}  # type: ignore[attr-defined]
        added = set(getattr(plan.task, name)) - set(getattr(history.head.task, name))
        assert not added & had


def all_known_is_silent(history: History) -> None:
    """Any known version, brought over any other, changes nothing but what it lacks of the ancestor."""
    for version in history.known:
        one = replace(history, brought=version)
        if one.news()[0] is None:
            continue
        plan = one.plan()
        lost = {line for line in lines(one.ancestor) if line not in lines(version)}
        assert [clash.field for clash in plan.clashes if clash.field in said_of(version)] == []
        assert set(plan.task.body.splitlines()) <= set(history.head.task.body.splitlines())
        assert set(history.head.task.body.splitlines()) - set(plan.task.body.splitlines()) <= lost


def unique_speaks(history: History) -> None:
    """A value that nobody has said before is in the index, or in a conflict with it."""
    wanted = {name: value for name, value in UNIQUE.items() if name not in unread(history.brought)}
    one = replace(history, brought=document_of(edit_all(history.brought.text, wanted)))
    plan = one.plan()
    stands = authored_of(plan.task)

    told = {clash.field: clash.file for clash in plan.clashes}
    assert {name: told.get(name, stands.get(name)) for name in wanted} == wanted


def runtime_stays(history: History) -> None:
    """Nothing that the index keeps is changed by what git brought, whatever status stands in it."""
    text = worked_on(history.brought.text, [("status", "completed")])
    plan = replace(history, brought=document_of(text)).plan()

    before, after = (document_of(one.text).runtime.get("status") for one in (history.head, plan))
    assert (runtime_of(plan), plan.steps, after) == (runtime_of(history.head), (), before)


def lines(document: Document) -> list[str]:
    """The lines of a document's body."""
    return str(document.values["body"]).splitlines()


LAWS: list[Law] = [
    old_says_nothing,
    silenced_says_nothing,
    old_elements_say_nothing,
    all_known_is_silent,
    unique_speaks,
    runtime_stays,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_holds(law: Law) -> None:
    """Whatever the history, the law holds."""

    @LAW
    @given(histories())
    def run(history: History) -> None:
        law(history)

    run()


OFF: list[tuple[Law, object, str, object]] = [
    (old_says_nothing, news, "_news_of", lambda _name, said, _before, _had: said),
    (silenced_says_nothing, news, "_news_of", lambda _name, said, _before, _had: said and None),
    (old_elements_say_nothing, news, "_new_items", lambda _before, said, _had: said),
    (all_known_is_silent, news, "_new_lines", lambda _before, said, _known: said),
    (unique_speaks, news, "_news_of", lambda _name, _said, before, _had: before),
    (runtime_stays, reconcile, "without_request", lambda text, _: text),
]


def search(law: Law) -> Callable[[], None]:
    """A search for a history in which a law does not hold."""

    @settings(max_examples=2000, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    @given(histories())
    def run(history: History) -> None:
        law(history)

    return run


@pytest.mark.timeout(600)  # as long as it takes to find one; seconds on a machine that does nothing else
@pytest.mark.parametrize(
    ("law", "module", "rule", "broken"), OFF, ids=lambda part: getattr(part, "__name__", str(part))
)
def test_law_bites(
    monkeypatch: pytest.MonkeyPatch, law: Law, module: object, rule: str, broken: object
) -> None:
    """With one rule off, a history is found in which the law is broken."""
    monkeypatch.setattr(module, rule, broken)

    with pytest.raises(AssertionError):
        search(law)()
