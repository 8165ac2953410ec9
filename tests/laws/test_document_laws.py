"""The laws of documents, over documents as people, agents and editors leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from taskd.core.document import Document, compose, edit, edit_all, read, with_sections
from taskd.core.edits import said
from taskd.core.fields import FIELDS, Field, Kind, is_null, typed
from taskd.core.guard import split
from taskd.core.sections import BEGIN, END, detach
from taskd.core.task import Criterion, Status
from taskd.errors import DocumentError, Uneditable

# -- values

SLUGS = st.lists(st.sampled_from(["a", "b", "c3", "on", "0", "12", "1e5"]), min_size=1, max_size=3).map(
    "-".join
)
#: everything that means something to YAML, to Python's line splitting, or to nobody
ODD = st.text(
    st.sampled_from("ab 0:#'\"-[]{},&*!|>%@`\\~=?.\n\té日😀\xa0\x85\u2028\ufeff"), min_size=1, max_size=12
)
TEXTS = st.one_of(
    ODD,
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
    st.sampled_from(
        ["on", "no", "12:30", "2026-01-01", "0012", "1e5", "---", "...", "<<", "a: b", "x #y", "- z"]
    ),
).filter(lambda text: not is_null(text))
WORDS = TEXTS.map(str.strip).filter(lambda word: not is_null(word))
HOURS = st.floats(0, 1e6, allow_nan=False).map(lambda hours: round(hours, 3))
CRITERIA = st.builds(Criterion, TEXTS, st.none() | TEXTS, st.booleans())
RAW = st.recursive(
    st.one_of(st.just(""), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
UNKNOWN = st.sampled_from(["team", "zeta", "on", "body-of", "sprint 7", "path"])


def _unique(values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(values, max_size=5, unique=True).map(tuple)


def _values(field: Field) -> st.SearchStrategy[object]:
    """Typed values of a field."""
    by_kind: dict[Kind, st.SearchStrategy[object]] = {
        Kind.SLUG: SLUGS,
        Kind.TEXT: TEXTS,
        Kind.ENUM: st.sampled_from(field.values),
        Kind.SLUGS: _unique(SLUGS),
        Kind.WORDS: _unique(WORDS),
        Kind.HOURS: HOURS,
        Kind.TIME: st.datetimes().map(lambda time: time.isoformat(timespec="seconds") + "Z")
        | st.dates().map(str),
        Kind.CRITERIA: st.lists(CRITERIA, max_size=3).map(tuple),
        Kind.BODY: BODIES,
        Kind.RECORD: RAW,
    }
    return by_kind[field.kind]


BODIES = st.one_of(
    st.text(st.sampled_from("a# -\n`<>=\té\u2028"), max_size=30),
    st.sampled_from(["---\nid: b\n---\n", "Title\n=======\n", "\n\n    code\n", END + "\n", f"{BEGIN}\nx"]),
)
EDITABLE = [name for name, field in FIELDS.items() if field.kind is not Kind.RECORD]


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, object]:
    """One field or unknown key and a value for it, None and the empty tuple among them."""
    name = draw(st.sampled_from(EDITABLE) | UNKNOWN)
    field = FIELDS.get(name)
    values = RAW if field is None else _values(field)
    if field is not None and field.kind is Kind.BODY:
        return name, draw(values)
    return name, draw(values | st.none())


# -- documents


@dataclass(frozen=True)
class Written:
    """A document in the pieces it was made of; `owner` of a piece is its field, None for noise."""

    head: str
    pieces: tuple[tuple[str | None, str], ...]
    foot: str
    body: str

    @property
    def text(self) -> bytes:
        """The document's bytes."""
        return (self.head + "".join(piece for _, piece in self.pieces) + self.foot + self.body).encode()


PLAIN = st.lists(st.sampled_from(["a", "fix", "it", "x2"]), min_size=1, max_size=3).map(" ".join)
NOISE = st.sampled_from(["", "", "\n", "# a note\n", "  \n", "  # indented: {note\n", "#\n\n"])
COMMENT = st.sampled_from(["", "", "  # why", " # it's: [", "   "])


@st.composite
def _scalar(draw: st.DrawFn, value: str) -> str:
    """A value in some style that can hold it."""
    quoted = ["'" + value.replace("'", "''") + "'", json.dumps(value, ensure_ascii=False)]
    return draw(st.sampled_from([value, *quoted]))


@st.composite
def _list_lines(draw: st.DrawFn, key: str, words: list[str]) -> str:
    """A list under a key, between brackets or on lines, with comments."""
    items = [draw(_scalar(word)) for word in words]
    layout = draw(st.sampled_from(["flow", "wide", "block", "flush"]))
    if layout == "flow":
        return f"{key}: [{', '.join(items)}]{draw(COMMENT)}\n"
    if layout == "wide":
        return (
            f"{key}: ["
            + ",".join(f"\n    {item}" for item in items)
            + draw(st.sampled_from(["", ","]))
            + "\n  ]\n"
        )
    indent = "  " if layout == "block" else ""
    lines = [f"{indent}- {item}{draw(COMMENT)}\n" for item in items]
    between = draw(st.sampled_from(["", "", "\n", "  # between\n"]))
    return f"{key}:{draw(COMMENT)}\n" + between.join(lines)


@st.composite
def _value_lines(draw: st.DrawFn, name: str) -> str:
    """A key with a value, in one of the ways people write it."""
    field = FIELDS.get(name)
    if field is None:
        shapes = [
            "{a: [1, 'b c'], d: {}}",
            "\n  a:\n    - b: 1\n      c: x\n    # d\n  e: 0012",
            "|\n  a\n\n   b",
            ">-\n  a\n  b",
            "~",
        ]
        return f"{name}: {draw(st.sampled_from(shapes))}\n"
    key = draw(st.sampled_from([field.name, *field.aliases]))
    if field.kind in {Kind.SLUGS, Kind.WORDS}:
        words = draw(st.lists(SLUGS if field.kind is Kind.SLUGS else PLAIN, min_size=1, max_size=4))
        return draw(_list_lines(key, words))
    if field.kind is Kind.CRITERIA:
        middle = f"- criterion: {draw(PLAIN)} # c\n  measurable: |\n    a\n    b\n"
        return f"{key}:\n- {draw(PLAIN)}\n{middle}- {draw(PLAIN)}\n"
    word = draw(PLAIN if field.kind is Kind.TEXT else _values(field).map(str))
    if field.kind is Kind.TEXT and draw(st.integers(0, 5)) == 0:
        return f"{key}: {draw(st.sampled_from(['fix: bug', '@bob', '%x', '`tick` it']))}\n"
    blank = draw(st.sampled_from([" ", "  "]))
    return f"{key}:{blank}{draw(_scalar(word))}{draw(COMMENT)}\n"


@st.composite
def documents(draw: st.DrawFn, *always: str) -> Written:
    """A valid document: byte order mark, line ends, comments, layouts, unknown keys, odd bodies."""
    names = draw(st.lists(st.sampled_from([*EDITABLE, "team", "zeta"]), unique=True, max_size=9))
    names = ["id" if name == "body" else name for name in names if name not in {"id", "name"}]
    names = list(dict.fromkeys(["name", *always, *names]))
    order = draw(st.permutations(names))
    pieces: list[tuple[str | None, str]] = [(None, draw(NOISE))]
    for name in order:
        pieces += [(name, draw(_value_lines(name))), (None, draw(NOISE))]
    if any(lines.endswith(("|\n  a\n\n   b\n", ">-\n  a\n  b\n")) for _, lines in pieces):
        # a key between a block of text and an indented comment cannot go: the text would take that in
        pieces = [(owner, lines.lstrip(" ") if owner is None else lines) for owner, lines in pieces]
    foot, body = draw(st.sampled_from(["---\n", "--- \n", "...\n"])), draw(BODIES)
    if not body:
        foot = draw(st.sampled_from([foot, foot.rstrip("\n")]))
    eol, bom = draw(st.sampled_from(["\n", "\r\n", "\r"])), draw(st.sampled_from(["", "\ufeff"]))

    def ended(text: str) -> str:
        return text.replace("\n", eol)

    return Written(bom + ended("---\n"), tuple((o, ended(p)) for o, p in pieces), ended(foot), ended(body))


def _read(text: bytes) -> Document:
    document = read(text)
    assert document is not None
    return document


def _told(document: Document) -> dict[str, object]:
    """What a document says, by the names that edits use."""
    return {
        (f"extra {name}" if room == "extra" else name): value
        for (room, name), value in said(document).items()
    }


def _as_told(name: str, value: object) -> tuple[str, object]:
    """Where and as what a change will be read."""
    field = FIELDS.get(name)
    if field is None:
        return f"extra {name}", value
    if field.kind is Kind.HOURS and name == "actual_hours" and value is not None:
        return name, f"{value:.3f}".rstrip("0").rstrip(".")
    if field.kind is Kind.BODY:
        return name, str(value)
    return name, None if value == () else value


def _attempt(act: Callable[[], Document | None]) -> Document | DocumentError | Uneditable | None:
    """What an act gives, or with which of the errors it may end."""
    try:
        return act()
    except (DocumentError, Uneditable) as error:
        return error


# -- laws


@given(documents(), changes())
@settings(max_examples=200)
def test_an_edit_leaves_what_is_not_its_own(written: Written, change: tuple[str, object]) -> None:
    """Setting one field leaves every line of every other one, every comment and every blank as it was."""
    name, value = change
    assume((name, value) != ("name", None))
    front, end = written.head, written.foot + written.body
    ways = [(i, i + 1) for i, (owner, _) in enumerate(written.pieces) if owner == name]
    ways = ways or [(i, i) for i in range(len(written.pieces) + 1)]
    if name == "body":
        ways, end = [(len(written.pieces),) * 2], written.foot.rstrip("\r\n")

    text = edit(written.text, name, value).decode()

    sides = [
        (front + "".join(p for _, p in written.pieces[:i]), "".join(p for _, p in written.pieces[j:]) + end)
        for i, j in ways
    ]
    if name == "body":
        assert text.startswith(sides[0][0] + sides[0][1])
    else:
        assert any(text.startswith(a) and text.endswith(b) and len(text) >= len(a) + len(b) for a, b in sides)


@given(documents(), changes())
@settings(max_examples=200)
def test_an_edit_says_the_new_value_and_nothing_else(written: Written, change: tuple[str, object]) -> None:
    """The result, read again, has the new value there and all the old ones elsewhere."""
    name, value = change
    assume((name, value) != ("name", None))
    key, told = _as_told(name, value)
    expected = {**_told(_read(written.text)), key: told}

    after = _told(_read(edit(written.text, name, value)))

    assert after == {name: value for name, value in expected.items() if value is not None}


@given(documents())
@settings(max_examples=200)
def test_an_edit_to_the_present_values_is_no_edit(written: Written) -> None:
    """What is said already is not written again, not even in nicer quotes."""
    document = _read(written.text)

    assert edit_all(written.text, {**document.values, **document.runtime, **document.extra}) == written.text


@given(documents(), changes())
@settings(max_examples=200)
def test_an_edit_and_its_opposite_restore_every_value(written: Written, change: tuple[str, object]) -> None:
    """Undo by hand is undo."""
    name, value = change
    assume((name, value) != ("name", None))
    before = _read(written.text)
    old = {**before.extra, **before.runtime, **before.values}.get(name)

    after = _read(edit(edit(written.text, name, value), name, old))

    assert said(after) == said(before)


@given(documents("tags"), st.lists(st.tuples(st.integers(0, 3), PLAIN), max_size=6), st.data())
@settings(max_examples=200)
def test_a_list_edit_leaves_the_comments_of_what_stays(
    written: Written, news: list[tuple[int, str]], data: st.DataObject
) -> None:
    """Comments beside and between the items that stay survive items coming and going."""
    old = _read(written.text).values["tags"]
    assert isinstance(old, tuple)
    wanted = [tag for tag in old if tag == old[0] or data.draw(st.booleans())]
    lines = [line for owner, piece in written.pieces if owner == "tags" for line in piece.splitlines()]
    words = [line.partition("#")[0].strip("-\"' ") for line in lines]
    items = [
        line for word, line in zip(words, lines, strict=True) if word in wanted and words.count(word) == 1
    ]
    comments = [line for line in lines if line.lstrip().startswith("#")]
    for at, tag in news:
        if tag not in old and tag not in wanted:
            wanted.insert(min(at, len(wanted)), tag)

    text = edit(written.text, "tags", tuple(wanted)).decode()

    left = text.splitlines()
    assert [line for line in comments if line not in left] == []
    assert [line for line in items if "#" in line and line.partition("#")[2] not in text] == []


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"---\n" + b + b"\n---\n"))
@settings(max_examples=200)
def test_reading_arbitrary_bytes_raises_nothing_unexpected(text: bytes) -> None:
    """No file in a tasks directory can end the daemon."""
    outcome = _attempt(lambda: read(text))

    if isinstance(outcome, DocumentError):
        assert outcome.line >= 1
        assert outcome.reason
        assert outcome.remedy
    else:
        assert outcome is None or (isinstance(outcome, Document) and outcome.text == text)


DAMAGE = st.sampled_from(
    [
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"  - ",
        b": ",
        b" #",
        b'"',
        b"'",
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b"---\n",
        b"|\n",
        b"&a ",
        b"*a ",
        b"!t ",
        b"\xff",
        b"\x00",
        b"\xc3",
        b"id: b\n",
        b"? ",
        b"- ",
        b"~",
        b"@",
        b"<<<<<<< x\n",
        b">>>>>>> y\n",
        "\u2028".encode(),
        b"\xef\xbb\xbf",
        b"...",
    ]
)


@given(
    documents(), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 5), DAMAGE), max_size=4), changes()
)
@settings(max_examples=200)
def test_a_damaged_document_is_read_refused_or_edited_well(
    written: Written, damage: list[tuple[int, int, bytes]], change: tuple[str, object]
) -> None:
    """Whatever a slip of the hand does to a file, an edit of it works or is refused, never approximated."""
    text = written.text
    for at, length, what in damage:
        text = text[:at] + what + text[at + length :]

    before = _attempt(lambda: read(text))
    after = _attempt(lambda: read(edit(text, *change)))

    if isinstance(before, Document):
        assert isinstance(after, Document | Uneditable)
    else:
        assert isinstance(after, Uneditable)


@st.composite
def typed_values(draw: st.DrawFn) -> dict[str, object]:
    """Arbitrary typed values of a task that has an id or a name."""
    names = draw(st.sets(st.sampled_from(EDITABLE))) | {draw(st.sampled_from(["id", "name"]))}
    return {name: draw(_values(FIELDS[name])) for name in names}


@given(typed_values(), st.dictionaries(UNKNOWN, RAW))
@settings(max_examples=200)
def test_composing_and_reading_is_a_round_trip(values: dict[str, object], extra: dict[str, object]) -> None:
    """A new document says exactly what it was made of, whatever titles and tags people think of."""
    document = _read(compose(values, extra))

    expected = {"body": "", **{name: _as_told(name, value)[1] for name, value in values.items()}}
    found = {**document.values, **document.runtime}
    assert {name: value for name, value in found.items() if value != ()} == {
        name: value for name, value in expected.items() if value is not None
    }
    assert document.extra == extra


@given(documents(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | BODIES.filter(bool))
@settings(max_examples=200)
def test_sections_come_and_go_without_a_trace(written: Written, sections: str) -> None:
    """Rendering notes into a document changes nothing it says, and taking them out nothing at all."""
    rendered = with_sections(written.text, sections)

    assert with_sections(rendered, "") == written.text
    assert said(_read(rendered)) == said(_read(written.text))


@given(documents(), ODD, changes())
@settings(max_examples=200)
def test_an_edit_leaves_the_rendered_part_alone(
    written: Written, sections: str, change: tuple[str, object]
) -> None:
    """Notes shown in a file stay there, byte for byte, when a field of it changes."""
    name, value = change
    assume((name, value) != ("name", None))
    rendered = with_sections(written.text, sections)
    before, after = split(rendered), split(edit(rendered, name, value))

    assert before is not None
    assert after is not None
    assert detach(after.tail)[1] == detach(before.tail)[1]


@given(st.sampled_from([f for f in FIELDS.values() if f.kind not in {Kind.BODY, Kind.RECORD}]), st.data())
def test_the_values_drawn_here_are_typed_values(field: Field, data: st.DataObject) -> None:
    """These laws are about the values that the field table gives, and no others."""
    value = data.draw(_values(field))

    raw = str(value) if isinstance(value, Status | float) else value
    assert typed(field, raw) == value
