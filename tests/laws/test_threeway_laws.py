"""The laws of merging three texts of a task, and each law seen to bite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from taskd.core import authored, merge, threeway
from taskd.core.document import Document, read
from taskd.core.fields import FIELDS, Merge
from taskd.core.task import Status
from taskd.core.threeway import Mergers
from taskd.errors import DocumentError, Uneditable
from tests.laws.cases import ID, document_of, texts, touches, worked_on
from tests.laws.lines import merge_lines

LAW = settings(max_examples=150)

MERGERS = Mergers(merge_lines, merge_lines)


@dataclass(frozen=True)
class Three:
    """A text and what two people made of it."""

    base: bytes
    ours: bytes
    theirs: bytes

    def merged(self) -> tuple[bytes, bool]:
        """The merge."""
        return threeway.merge_texts(self.base, self.ours, self.theirs, ID, MERGERS)

    def swapped(self) -> Three:
        """The same from the other side."""
        return Three(self.base, self.theirs, self.ours)


Law = Callable[[Three], None]


@st.composite
def threes(draw: st.DrawFn) -> Three:
    """Any base, worked on by two people; sometimes a status is typed."""
    base = draw(texts())
    sides = list[bytes]()
    for _ in range(2):
        status = st.tuples(st.just("status"), st.sampled_from(Status))
        touched = [*draw(st.lists(touches(), max_size=5)), *draw(st.lists(status, max_size=1))]
        sides.append(worked_on(base, touched))
    return Three(base, *sides)


def chosen(text: bytes, *, theirs: bool) -> Document | None:
    """The document when one side is taken at every conflict; None if it cannot be read."""
    kept, part = list[bytes](), b""
    for line in text.splitlines(keepends=True):
        if line.startswith((b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>")):
            part = line[:1].replace(b">", b"")
        elif part in (b"", b"=" if theirs else b"<"):
            kept.append(line)
    try:
        return read(b"".join(kept))
    except DocumentError:
        return None


def said(document: Document) -> dict[str, object]:
    """What a document says of each field, runtime fields too, but for values that nobody understands."""
    fields = {**authored.authored(document, ID), **document.runtime}
    return {name: value for name, value in fields.items() if name not in authored.unread(document)}


def is_plain(name: str) -> bool:
    """Whether a field is one value that merges as such."""
    return name not in FIELDS or FIELDS[name].merge is Merge.SCALAR


def one_side_alone(three: Three) -> None:
    """What one side left alone is the other side's, byte by byte."""
    assert threeway.merge_texts(three.base, three.base, three.theirs, ID, MERGERS) == (three.theirs, True)
    assert threeway.merge_texts(three.base, three.ours, three.base, ID, MERGERS) == (three.ours, True)


def each_side_is_there(three: Three) -> None:
    """Taking one side at every conflict gives a text in which everything is that this side changed."""
    text, _ = three.merged()
    base = said(document_of(three.base))
    for side, theirs in ((three.ours, False), (three.theirs, True)):
        taken, wanted = chosen(text, theirs=theirs), said(document_of(side))
        if taken is None:
            continue  # lines that git put together
        found = said(taken)
        for name, value in wanted.items():
            if is_plain(name) and value != base.get(name) and not isinstance(value, (list, tuple, dict)):
                assert found.get(name) == value, name
        lines = set(str(wanted["body"]).splitlines()) - set(str(base["body"]).splitlines())
        assert lines <= set(str(found["body"]).splitlines())


def words_stay(three: Three) -> None:
    """No comment that either side wrote is lost, and no value that nobody understands."""
    text, _ = three.merged()
    for word in (b"# why", b"# who, when", b"# a: b", b": soon", b"Not A Slug", b"{k: v}", b"tomorrow"):
        if word in three.ours + three.theirs and word not in three.base:
            assert word in text


def sets_take_both(three: Three) -> None:
    """A clean merge has what each side put into a set, and lacks what one took out."""
    text, clean = three.merged()
    found = chosen(text, theirs=False) if clean else None
    if found is None:
        return
    base, stands = said(document_of(three.base)), said(found)
    for side in (said(document_of(three.ours)), said(document_of(three.theirs))):
        for name in {"tags", "depends_on"} & side.keys() & base.keys() & stands.keys():
            before, after, now = (set(words[name]) for words in (base, side, stands))  # type: ignore[call-overload]
            assert (after - before <= now, (before - after) & now) == (True, set()), name


def runtime_is_no_conflict(three: Three) -> None:
    """People who change what the index keeps are never in conflict about it: both changed it, ours stands."""
    ours = worked_on(three.base, [("status", Status.COMPLETED), ("!odd", "reason: mine")])
    theirs = worked_on(three.base, [("status", Status.FAILED), ("!odd", "claim: bob")])

    text, clean = threeway.merge_texts(three.base, ours, theirs, ID, MERGERS)

    mine, other, stands = (document_of(text).runtime for text in (ours, theirs, text))
    assert (clean, stands) == (True, {**other, **mine, "claim": other.get("claim")})


def sides_are_alike(three: Three) -> None:
    """Where both ways round are clean, both come to the same authored fields."""
    ways = [way.merged() for way in (three, three.swapped())]
    documents = [chosen(text, theirs=False) for text, clean in ways if clean]
    if len(documents) < len(ways) or None in documents:
        return
    told = [{n: v for n, v in said(d).items() if n in FIELDS and is_plain(n)} for d in documents if d]

    assert told[0] == told[1]


LAWS: list[Law] = [
    one_side_alone,
    each_side_is_there,
    words_stay,
    sets_take_both,
    runtime_is_no_conflict,
    sides_are_alike,
]


@pytest.mark.parametrize("law", LAWS)
def test_law(law: Law) -> None:
    """The law holds for every base and what two people make of it."""
    LAW(given(threes())(law))()


# -- each law bites: with one rule off it is seen to fail


def takes_theirs(_base: object, _ours: object, theirs: object) -> merge.Merged:
    """The other side always wins."""
    return merge.Merged(theirs)


def keeps_ours(_base: object, ours: object, _theirs: object) -> merge.Merged:
    """The other side is not heard."""
    return merge.Merged(ours)


OFF: list[tuple[Law, object, str, object]] = [
    (one_side_alone, threeway, "merge_texts", lambda _base, ours, *_: (ours, True)),
    (each_side_is_there, merge, "scalar", keeps_ours),
    (each_side_is_there, merge, "scalar", takes_theirs),
    (each_side_is_there, threeway, "_marked", lambda text, *_: (text, False)),
    (words_stay, threeway, "_is_garbled", lambda _: False),
    (words_stay, threeway, "_has_comments", lambda *_: True),
    (sets_take_both, merge, "union", keeps_ours),
    (runtime_is_no_conflict, threeway, "_kept_by_index", lambda *_: {}),
    (sides_are_alike, merge, "scalar", takes_theirs),
]


@pytest.mark.parametrize(
    ("law", "module", "rule", "broken"), OFF, ids=lambda part: getattr(part, "__name__", str(part))
)
def test_law_bites(
    monkeypatch: pytest.MonkeyPatch, law: Law, module: object, rule: str, broken: object
) -> None:
    """With one safety rule off, a case is found in which the law is broken."""
    monkeypatch.setattr(module, rule, broken)

    @settings(max_examples=2000, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    @given(threes())
    def run(three: Three) -> None:
        law(three)

    with pytest.raises((AssertionError, Uneditable)):
        run()
