"""Cases for the laws of reconciling: a base, what the index made of it since, and what a file says.

Documents are composed and then worked on the way people and agents do: fields set, comments put
beside them, lines thrown out, a value garbled, a body rewritten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from taskd.core.authored import with_authored
from taskd.core.claims import later
from taskd.core.document import Document, compose, edit, read
from taskd.core.fields import AUTHORED, FIELDS
from taskd.core.reconcile import Context, Head, Plan, reconcile
from taskd.core.render import replica_text
from taskd.core.task import Claim, Criterion, Status
from taskd.errors import DocumentError, Uneditable
from tests.laws.lines import merge_lines

ID = "t1"
NOW = "2026-03-01T12:00:00.000Z"
PEOPLE = ("alice", "bob")

SLUGS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=3, unique=True).map(tuple)
CRITERIA = st.lists(
    st.builds(Criterion, st.sampled_from(["x", "y", "z"]), st.none() | st.just("m"), st.booleans()),
    max_size=3,
).map(tuple)
BODIES = st.lists(st.sampled_from(["one", "two", "", "- three", "four"]), max_size=5).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)
VALUES: dict[str, st.SearchStrategy[object]] = {
    "name": st.sampled_from(["Alpha", "Beta", "it's: so", ID]),
    "depends_on": SLUGS,
    "parent": st.sampled_from([None, "a", "b"]),
    "risk": st.sampled_from([None, "low", "high", "odd one"]),
    "tags": SLUGS,
    "assignee": st.sampled_from([None, "alice", "bob"]),
    "due": st.sampled_from([None, "2026-05-01", "2026-05-02T10:00:00+02:00"]),
    "estimate": st.sampled_from([None, 1.0, 2.5]),
    "success_criteria": CRITERIA,
    "modified": st.sampled_from([None, "2026-01-01", "2026-01-02T01:00:00+03:00", "2026-01-02T00:00:00Z"]),
    "body": BODIES,
}
UNKNOWN: dict[str, st.SearchStrategy[object]] = {
    "team": st.sampled_from([None, "red", "blue", "0012"]),
    "links": st.lists(st.sampled_from(["p", "q", "r"]), max_size=3) | st.none() | st.just({"k": "v"}),
    "body-of": st.sampled_from([None, "x"]),
}
#: lines that people also write: keys of the index, a key called body, values nobody understands
ODD_LINES = st.sampled_from(
    ["claim: bob", "notes: see below", "reason: why not", "started: 2026-01-01", "body: a key", "body: other"]
)
GARBLED = st.sampled_from(["estimate: soon", "depends_on: [Not A Slug]", "tags: {k: v}", "due: tomorrow"])


@dataclass(frozen=True)
class Case:
    """One moment: what the replica said, what it says, and how the index stands."""

    base: Document
    document: Document
    head: Head
    context: Context

    def plan(self) -> Plan:
        """What is decided."""
        return reconcile(self.base, self.document, self.head, self.context, ID)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """A document, in one of the shapes editors leave behind."""
    chosen = draw(st.fixed_dictionaries({}, optional=VALUES))
    extra = {key: value for key, value in draw(st.fixed_dictionaries({}, optional=UNKNOWN)).items() if value}
    text = compose({**chosen, "id": ID}, extra)
    text = worked_on(text, draw(st.lists(touches(quiet=True), max_size=2)))
    if draw(st.booleans()):
        text = text.replace(b"\n", b"\r\n")
    if draw(st.booleans()):
        text = b"\xef\xbb\xbf" + text
    return text


@st.composite
def touches(draw: st.DrawFn, *, quiet: bool = False) -> tuple[str, object]:
    """One thing done to a document; quiet ones say nothing about a field or the status."""
    kinds = (
        ["comment", "beside"]
        if quiet
        else ["comment", "beside", "set", "set", "set", "drop", "odd", "garble"]
    )
    kind = draw(st.sampled_from(kinds))
    if kind == "set":
        name = draw(st.sampled_from([*VALUES, *UNKNOWN]))
        return name, draw({**VALUES, **UNKNOWN}[name])
    note = st.tuples(st.integers(0, 12), st.sampled_from(["# why", "# who, when", "# a: b"]))
    lines = {"comment": note, "beside": note, "drop": st.integers(0, 12), "odd": ODD_LINES, "garble": GARBLED}
    return f"!{kind}", draw(lines[kind])


def worked_on(text: bytes, touched: list[tuple[str, object]]) -> bytes:
    """The document after some touches; one that would break it is left out."""
    for kind, value in touched:
        try:
            new = _touch(text, kind, value)
            text = new if read(new) is not None else text
        except (DocumentError, Uneditable):
            continue
    return text


def _touch(text: bytes, kind: str, value: object) -> bytes:
    if not kind.startswith("!"):
        return edit(text, kind, value)
    eol = "\r\n" if "\r\n" in text.decode() else "\n"
    lines = text.decode().split(eol)
    closing = lines.index("---", 1)
    if isinstance(value, str):
        key = value.partition(":")[0]
        lines[1:closing] = [*(line for line in lines[1:closing] if not line.startswith(key + ":")), value]
    elif isinstance(value, tuple):
        at = 1 + value[0] % max(closing - 1, 1)
        if kind == "!comment":
            lines.insert(at, value[1])
        else:
            lines[at] += f"  {value[1]}"
    elif isinstance(value, int):
        del lines[1 + value % max(closing - 1, 1)]
    return eol.join(lines).encode()


def context(*, merger: object = None, unfinished: frozenset[str] = frozenset(), **more: object) -> Context:
    """A context in which nothing is in the way, with what is given."""
    given: dict[str, object] = {
        "now": NOW,
        "participant": "alice",
        "merger": merger or merge_lines,
        "blocked_by": lambda ids: tuple(id for id in ids if id in unfinished),
        "reaches": lambda _start, _goal: False,
        "status_by": lambda: None,
        **more,
    }
    return Context(**given)  # type: ignore[arg-type]


@st.composite
def contexts(draw: st.DrawFn) -> Context:
    """Any surroundings: who last changed the status, what is unfinished, what leads back here."""
    cyclic = draw(st.frozensets(st.sampled_from(["a", "b"]), max_size=1))
    author = draw(st.sampled_from([*PEOPLE, None]))
    return context(
        unfinished=draw(st.frozensets(st.sampled_from(["c", "d"]))),
        reaches=lambda start, _goal: start in cyclic,
        status_by=lambda: author,
        status_edits=draw(st.sampled_from(["request", "request", "request", "ignore"])),
    )


@st.composite
def heads(draw: st.DrawFn, first: Head) -> Head:
    """The head after commands: another status, perhaps a claim."""
    status = draw(st.sampled_from(Status))
    begun = status not in (Status.PENDING, Status.BLOCKED)
    task = replace(first.task, status=status, started=NOW if begun else None)
    if status is Status.IN_PROGRESS and draw(st.booleans()):
        expires = later(NOW, draw(st.sampled_from([-5.0, 60.0])))
        claim = Claim(draw(st.sampled_from(PEOPLE)), "s", "w", 1, NOW, expires)
        task = replace(task, claim=claim, fence=1)
    return shown(Plan(task, first.text))


def shown(plan: Plan) -> Head:
    """The head that a plan makes, as replicas show it."""
    return Head(plan.task, replica_text(plan.text, plan.task))


def moved(head: Head, document: Document) -> Head:
    """The head after a command wrote this document."""
    task = with_authored(head.task, document)
    return shown(
        Plan(replace(task, modified=head.task.modified if task == head.task else NOW), document.text)
    )


def document_of(text: bytes) -> Document:
    """The document a text is known to be."""
    document = read(text)
    assert document is not None
    return document


def first_head(text: bytes) -> Head:
    """The head a document makes when it is first seen."""
    return shown(reconcile(None, document_of(text), None, context(), ID))


def fields_of(plan_or_head: Plan | Head) -> dict[str, object]:
    """The authored fields and unknown keys of a version, but for the derived `modified`."""
    task = plan_or_head.task
    known = {name: getattr(task, name) for name in AUTHORED if name != "modified"}
    return {**known, **{f"extra {key}": value for key, value in task.extra.items()}}


def runtime_of(plan_or_head: Plan | Head) -> dict[str, object]:
    """The runtime fields of a version."""
    task = plan_or_head.task
    return {name: getattr(task, name) for name in FIELDS if name not in AUTHORED and hasattr(task, name)}


@st.composite
def cases(draw: st.DrawFn, *, status: bool = True) -> Case:
    """A base, what commands and other replicas made of it, and a file that was worked on.

    With `status` the file may ask for one, and the index may have moved.
    """
    text = draw(texts())
    before = first_head(text)
    if status:
        before = draw(heads(before))
    base = document_of(before.text)
    around = draw(contexts())
    news = worked_on(base.text, draw(st.lists(touches(), max_size=5)))
    head = moved(before, document_of(news))
    if status and draw(st.booleans()):
        head = draw(heads(head))
    file = worked_on(base.text, draw(st.lists(touches(), min_size=1, max_size=5)))
    if status and draw(st.booleans()):
        file = worked_on(file, [("status", draw(st.sampled_from([*Status, "wibble", None])))])
    return Case(base, document_of(file), head, around)
