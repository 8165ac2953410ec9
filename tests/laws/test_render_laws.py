"""The laws of the two texts of a task: what is shown is true, and nothing shown is taken for written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from taskd.core import block, render, statusline
from taskd.core.document import edit, read
from taskd.core.lifecycle import effective
from taskd.core.render import authored_text, complete_text, replica_text
from taskd.core.task import Claim, MergeInfo, Note, Participant, Progress, Status, Task
from taskd.errors import DocumentError, Uneditable
from tests.laws.cases import ID, document_of, texts, touches, worked_on

#: what notes and reasons are made of: words of YAML, of markdown, of git, and what no document can hold
PIECES = st.sampled_from(
    [
        *("why", "a: b", "#", "---", "'", '"', "\\", "\n", "\t", "{", "status: failed", "x" * 2500),
        *("<!-- taskd: end -->", "=======", "<<<<<<< x"),
        *("😀", "é", "\x1b", "\x85", "\u2028", "\ufeff", "\udc80"),
    ]
)
FREE = st.lists(PIECES, min_size=1, max_size=4).map("".join)
TIME = "2026-03-01T12:00:00.000Z"

#: shapes of documents that composing does not make
ODD = st.sampled_from(
    [
        b"---\n{id: t1, name: x, status: failed}\n---\nbody\n",
        b"---\rid: t1\rname: x\r---\rbody\r---\rmore",
        b"---\nid: t1\nname: fix: it\n...\nbody",
        b"---  \n  id: t1\n  name: x\n\n---\n---\nid: no\n---\n",
        b"---\n# c\n\n\"name\": 'a'\n? x\n: y\n---",
        b"---\nname: a\nstatus: pending\n  still\n---\n",
        b"---\nname: a\ntags: [a,\nstatus: x\n]\n---\n",
        b'---\nname: a\nteam: "x\n  status: failed\n  y"\n---\n',
        b'---\nname: a\n"st\\x61tus": failed\n---\n',
        b"---\nname: a\nteam: |\n  status: failed\n---\n",
        b"---\nname: a\nstatus: DONE # by whom\n---\n",
        b"---\nname: a\n'status': wibble\n---\n\nstatus: failed\n",
        b"\xef\xbb\xbf---\r\nname: a\r\nteam: it's\r\nstatus: todo\r\n---\r\n---\r\n",
        b"---\nname: a\nteam: |+\n  x\n\n---\nx",
        b"---\n!!map\nname: a\n---\n",
        b"---\nname: a\nclaim: me\nreason:\n- x\nblocked_by: [b]\n---\n",
        b"---\nname: a\n---\n" + block.RUNTIME_MARK.encode() + b"\nreason: x\n---\n",
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """A document in any shape, with keys of the index among its own now and then."""
    text = draw(texts() | ODD)
    if b"\r---" not in text and text.startswith((b"---\n", b"\xef\xbb\xbf---\r\n")) and draw(st.booleans()):
        try:
            text = worked_on(text, draw(st.lists(touches(), max_size=2)))
        except ValueError:
            return text
    return text.rstrip(b"\r\n") if draw(st.booleans()) else text


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    """A task with whatever runtime fields."""
    claim = Claim(draw(FREE), "s", "w", 3, TIME, TIME)
    return Task(
        id=ID,
        name="x",
        file="t1.md",
        status=draw(st.sampled_from(Status)),
        reason=draw(st.none() | FREE),
        started=draw(st.sampled_from([None, TIME])),
        claim=draw(st.sampled_from([None, claim])),
        progress=draw(st.none() | st.builds(Progress, st.integers(0, 100), FREE, st.just(TIME), FREE)),
        actual_hours=draw(st.sampled_from([None, 0.0, 1.5])),
        merge=draw(st.sampled_from([None, MergeInfo("abc", pr="#1")])),
        notes=tuple(draw(st.lists(st.builds(Note, st.just(TIME), FREE, FREE), max_size=3))),
        participants=tuple(draw(st.lists(st.builds(Participant, FREE, FREE, st.just(TIME)), max_size=2))),
    )


WAITS = st.sampled_from([(), ("a", "b")])
Law = Callable[[bytes, Task, tuple[str, ...]], None]


def slowly(text: bytes, status: Status) -> bytes:
    """A document with a status, by parsing alone."""
    try:
        document = read(text)
        if document is None or document.runtime.get("status", Status.PENDING) == status:
            return text
        return edit(text, "status", status.value)
    except (DocumentError, Uneditable):
        return text


# -- the laws


def replica_is_lean(text: bytes, task: Task, _waits: tuple[str, ...]) -> None:
    """A replica is the document with the live status, and rendering it again changes nothing."""
    shown = replica_text(text, task)

    assert shown == slowly(text, task.status)
    assert replica_text(shown, task) == shown


def complete_is_reversible(text: bytes, task: Task, waits: tuple[str, ...]) -> None:
    """Taking the rendered parts out leaves the document, but for the index's own keys."""
    whole = complete_text(text, task, waits)

    back = authored_text(whole)
    shown = slowly(text, effective(task, waits))
    document = read(shown)
    if document is not None and set(document.runtime) <= {"status"}:
        assert back == shown
    else:
        assert without_runtime(back) == without_runtime(shown)


def complete_is_readable(text: bytes, task: Task, waits: tuple[str, ...]) -> None:
    """The complete text says of every authored field what the document says, and the status it shows."""
    whole = document_of(complete_text(text, task, waits))

    document = document_of(text)
    status = whole.runtime.get("status", Status.PENDING)
    assert (whole.values, whole.extra, status) == (document.values, document.extra, effective(task, waits))


def complete_is_settled(text: bytes, task: Task, waits: tuple[str, ...]) -> None:
    """Rendering what was read back from a complete text gives the same complete text."""
    whole = complete_text(text, task, waits)

    assert complete_text(authored_text(whole), task, waits) == whole
    assert complete_text(whole, task, waits) == whole


def without_runtime(text: bytes) -> bytes:
    """A document without the index's keys."""
    names = [name for name in document_of(text).runtime if name != "status"]
    for name in names:
        text = edit(text, name, None)
    return text


LAWS: list[Law] = [replica_is_lean, complete_is_reversible, complete_is_readable, complete_is_settled]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_holds(law: Law) -> None:
    """Whatever the document and the task, the law holds."""

    @settings(max_examples=200)
    @given(documents(), tasks(), WAITS)
    def run(text: bytes, task: Task, waits: tuple[str, ...]) -> None:
        law(text, task, waits)

    run()


OFF: list[tuple[Law, object, str, object]] = [
    (replica_is_lean, statusline, "_plain_status", lambda _: (0, 0, Status.PENDING)),
    (complete_is_reversible, render, "without_block", lambda front: front),
    (complete_is_readable, block, "_inline", str),
    (complete_is_settled, render, "authored_text", lambda text: text),
]


@pytest.mark.parametrize(
    ("law", "module", "rule", "broken"), OFF, ids=lambda part: getattr(part, "__name__", None)
)
def test_law_bites(
    monkeypatch: pytest.MonkeyPatch, law: Law, module: object, rule: str, broken: object
) -> None:
    """With one rule off, a document is found for which the law is broken."""
    statusline.with_status.cache_clear()
    monkeypatch.setattr(module, rule, broken)

    @settings(max_examples=1000, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    @given(documents(), tasks(), WAITS)
    def run(text: bytes, task: Task, waits: tuple[str, ...]) -> None:
        law(text, task, waits)

    with pytest.raises((AssertionError, DocumentError, Uneditable)):
        run()
    statusline.with_status.cache_clear()


@given(texts(), st.integers(0, 3))
def test_keys_added_below_the_block_are_taken(text: bytes, number: int) -> None:
    """A line that somebody adds at the end of a complete frontmatter is theirs, and is not thrown out."""
    task = Task(id=ID, name="x", file="t1.md", status=Status.IN_PROGRESS, started=TIME, reason="r")
    whole = complete_text(text, task, ())
    eol = b"\r\n" if b"\r\n" in whole else b"\n"
    start = whole.index(block.RUNTIME_MARK.encode())
    lines = whole[start:].split(eol)
    lines.insert(1 + number % lines.index(b"---"), b"zeta: [1]")

    document = document_of(authored_text(whole[:start] + eol.join(lines)))

    assert document.extra == {**document_of(text).extra, "zeta": ["1"]}
    assert set(document.runtime) <= {*document_of(text).runtime, "status"}


@settings(max_examples=10)
@given(texts())
def test_a_note_cannot_push_a_document_over_its_limit(text: bytes) -> None:
    """However much is noted, the complete text can be read; the newest notes stay."""
    notes = tuple(Note(TIME, "bob", f"{number} " + "é" * 40_000) for number in range(30))
    task = replace(Task(id=ID, name="x", file="t1.md"), notes=notes)

    whole = complete_text(text, task, ())

    assert document_of(whole).values == document_of(text).values
    assert f"{TIME} **bob**: 29 ".encode() in whole
    assert b"earlier ones: `taskd show t1`" in whole
