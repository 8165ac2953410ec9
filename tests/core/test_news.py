"""Of what git brings only news speaks, and an edit is held against the text it was made from."""

from __future__ import annotations

import pytest

from taskd.core import news
from taskd.core.document import Document, edit_all, read
from taskd.core.news import nearest, silenced
from taskd.core.task import Criterion
from taskd.errors import Uneditable

TEXT = b"""---
id: a
name: Alpha
risk: low  # so far
depends_on: [b]
tags: [x]
team: red
links: [p]
---
one
two
three
"""


def document(*changes: tuple[str, str], text: bytes = TEXT) -> Document:
    """The document, with words replaced."""
    for old, new in changes:
        assert old.encode() in text
        text = text.replace(old.encode(), new.encode())
    found = read(text)
    assert found is not None
    return found


def heard(
    brought: Document, *known: Document, ancestor: Document | None = None
) -> tuple[Document, tuple[str, ...]]:
    """What is left of a document and what is set back; the ancestor is a known version too."""
    before = ancestor or document()
    left, silent = silenced(brought, before, [before, *known], "a")
    assert left is not None
    return left, silent


# -- what speaks


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("risk: low", "risk: high"),
        ("depends_on: [b]", "depends_on: [b, c]"),
        ("tags: [x]", "tags: []"),
        ("team: red", "team: blue"),
        ("team: red", "team: red\nzeta: 1"),
        ("links: [p]", "links: [p, q]"),
        ("two", "TWO"),
        ("three\n", "three\nfour\n"),
        ("two\n", ""),
    ],
)
def test_what_nobody_has_said_speaks(old: str, new: str) -> None:
    """A value, element, item or line that no version had is kept, byte for byte as git brought it."""
    brought = document((old, new))

    assert heard(brought) == (brought, ())


def test_a_document_that_says_what_its_ancestor_says() -> None:
    """Another comment or order of keys is no field, and so nothing to set back."""
    brought = document(("  # so far", ""))

    assert heard(brought, document(("low", "high"))) == (brought, ())


# -- what has been said before


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("risk: low", "risk: high", "risk"),
        ("name: Alpha", "name: Omega", "name"),
        ("depends_on: [b]", "depends_on: [b, c]", "depends_on"),
        ("tags: [x]", "tags: [x, y]", "tags"),
        ("team: red", "team: blue", "team"),
        ("team: red\n", "", "team"),
        ("links: [p]", "links: [p, q]", "links"),
        ("links: [p]", "links: {k: v}", "links"),
        ("links: [p]", "links: [p, {k: v}]", "links"),
        ("two", "TWO", "body"),
        ("three\n", "three\nfour\n", "body"),
    ],
)
def test_what_was_said_before_is_set_back(old: str, new: str, field: str) -> None:
    """A value that any known version had says nothing: the field is as the ancestor has it."""
    superseded = document((old, new))

    left, silent = heard(superseded, superseded)

    assert (left.values, left.extra) == (document().values, document().extra)
    assert silent == (field,)


def test_only_the_old_part_is_set_back() -> None:
    """News beside an old value stands, and so does the comment beside the old value."""
    known = document(("low", "high"), ("red", "blue"))

    left, silent = heard(document(("low", "high"), ("red", "blue"), ("[x]", "[x, new]")), known)

    assert (left.text, silent) == (document(("[x]", "[x, new]")).text, ("risk", "team"))


def test_a_key_that_was_there_once() -> None:
    """A key that some version had and the ancestor has not is taken out again."""
    known = document(("team: red", "team: red\nassignee: bob"))

    left, silent = heard(document(("team: red", "team: red\nassignee: bob\ndue: 2026-05-01")), known)

    assert (left.values.get("assignee"), left.values["due"], silent) == (None, "2026-05-01", ("assignee",))


def test_a_document_without_a_name() -> None:
    """A document without a name is called by its id, and that is no news."""
    nameless = document(("name: Alpha\n", ""))

    left, silent = heard(nameless, nameless)

    assert (left.values["name"], silent) == ("Alpha", ("name",))


def test_elements_of_a_set_speak_one_by_one() -> None:
    """An old element goes, a new one stays, and one that git took out since the ancestor is out."""
    known = document(("[x]", "[x, old]"))

    left, silent = heard(document(("[x]", "[old, new]")), known)

    assert (left.values["tags"], silent) == (("new",), ("tags",))


def test_items_of_a_list_speak_one_by_one() -> None:
    """A list with an order in which something is new says nothing of what it had before."""
    criteria = "success_criteria: [one, {}]\nteam: red"
    before = document(("team: red", "success_criteria: [one]\nteam: red"))
    known = document(("team: red", criteria.format("old")))
    brought = document(("team: red", criteria.format("old, new")))

    left, silent = heard(brought, known, ancestor=before)

    assert left.values["success_criteria"] == (Criterion("one"), Criterion("new"))
    assert silent == ("success_criteria",)


def test_a_list_where_another_value_stood() -> None:
    """A list that takes the place of a text is news, but for items that a version had."""
    before, known = document(("[p]", "none")), document()

    left, silent = heard(document(("[p]", "[p, q]")), known, ancestor=before)

    assert (left.extra["links"], silent) == (["q"], ("links",))


def test_lines_of_a_body_speak_by_the_passage() -> None:
    """A passage with one new line stands; one of old lines only is as the ancestor has it."""
    known = document(("one", "ONE"), ("three", "THREE"))

    left, silent = heard(document(("one", "ONE"), ("three", "THREE\nfour")), known)

    assert (left.values["body"], silent) == ("one\ntwo\nTHREE\nfour\n", ("body",))


def test_a_last_line_without_its_end() -> None:
    """Whether the last line ends in a newline makes no other line of it."""
    left, silent = heard(document(("three\n", "three")), document(("two", "TWO")))

    assert (left.values["body"], silent) == (document().values["body"], ("body",))


def test_elements_of_sets_count_one_by_one() -> None:
    """A buffer with a tag of its own is nearer to what it was made from than to what others made of that."""
    before = document()
    after = document(("tags: [", "tags: [theirs, "), ("team: red", "team: blue"))
    buffer = document(("tags: [", "tags: [mine, "), ("team: red", "team: green"))

    assert nearest(buffer, [before, after]) == 0


def test_lines_in_the_place_of_others_count_twice() -> None:
    """Two lines typed where somebody else has put one are nearer to the text without that."""
    before = document()
    after = document(("one", "one\ntheirs"))
    buffer = document(("one", "one\nmine\nmine too"))

    assert nearest(buffer, [before, after]) == 0


def test_a_key_called_body_is_a_key() -> None:
    """A frontmatter key of that name is not the body, and is set back by itself."""
    known = document(("team: red", "team: red\nbody: key"))

    assert heard(known, known) == (document(), ("frontmatter.body",))


def test_a_field_that_cannot_be_edited_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """When an old value cannot be taken out, nothing of the document can be told to be news."""

    def refuse(_text: bytes, changes: dict[str, object]) -> bytes:
        raise Uneditable(path="", field=next(iter(changes)), reason="it cannot")

    monkeypatch.setattr(news, "edit_all", refuse)
    superseded = document(("low", "high"))

    assert silenced(superseded, document(), [document(), superseded], "a") == (None, ("risk",))


def test_a_value_that_nobody_understands() -> None:
    """It says nothing: not in the document, and not in a version, as if the field had been empty there."""
    garbled, estimated = (document(("red", f"red\nestimate: {hours}")) for hours in ("soon", "2"))
    silenced_here = heard(
        document(("red", "red\nestimate: soon"), ("low", "high")), document(("low", "high"))
    )

    assert silenced_here == (garbled, ("risk",))
    assert heard(document(), garbled, ancestor=estimated) == (document(), ())


@pytest.mark.parametrize("field", ["estimate: 2", "tags: [y]"])
def test_an_ancestor_that_nobody_understands(field: str) -> None:
    """An old value over a garbled one cannot be set back, since that would clear the field."""
    key = field.partition(":")[0]
    text = TEXT.replace(b"tags: [x]\n", b"")
    garbled, superseded, news_of = (
        document(("team", f"{line}\nteam"), text=text) for line in (f"{key}: {{k: v}}", field, "estimate: 7")
    )

    assert silenced(superseded, garbled, [garbled, superseded], "a") == (None, (key,))
    assert silenced(superseded, garbled, [garbled], "a") == (superseded, ())
    assert silenced(news_of, news_of, [garbled], "a") == (news_of, ())


# -- what it was made from


def test_the_nearest_is_what_differs_least() -> None:
    """An edit is held against the text from which the fewest fields and lines differ."""
    first = document()
    second = document(("low", "high"), ("two", "TWO"))

    assert nearest(document(("red", "blue")), [first, second]) == 0
    assert nearest(document(("low", "high"), ("two", "TWO"), ("red", "blue")), [first, second]) == 1


def test_of_texts_equally_near_the_last_counts() -> None:
    """What the replica carried last is what an editor most likely had open."""
    first, second = document(("low", "medium")), document(("low", "critical"))

    assert nearest(document(("low", "high")), [first, second]) == 1
    assert nearest(document(("low", "high")), [second, first, first]) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [("risk: low", "risk: low\nstatus: done"), ("team: red", "team: blue"), ("one", "1"), ("one\n", "")],
)
def test_everything_a_document_says_counts(old: str, new: str) -> None:
    """Runtime fields, unknown keys and each line of the body make a text another one."""
    other = document((old, new))

    assert (nearest(document(), [document(), other]), nearest(other, [document(), other])) == (0, 1)


def test_old_values_are_seldom_typed_again() -> None:
    """A text that says what another candidate says was made from that one, rather than typed after it."""
    first = document()
    second = document(("low", "high"), ("[x]", "[x, y]"), ("two", "two\ntheirs"))

    for mine in (("one", "ONE"), ("three\n", "three\nmine\n")):
        assert nearest(document(mine), [second, first, second]) == 1
        assert nearest(document(("low", "high"), ("[x]", "[x, y]"), mine), [second, first]) == 0


def test_a_word_of_few_is_typed_again() -> None:
    """A status or a priority that stood there once is as likely typed as one that did not."""
    first = document(("risk: low", "risk: high\nstatus: failed"), ("one", "one\ngone"))
    second = document()

    assert nearest(document(("risk: low", "risk: low\nstatus: failed")), [first, second]) == 1


def test_git_brings_rather_than_takes() -> None:
    """What git put there was made from a text of which little is missing in it; so it takes nothing out."""
    first = document()
    second = document(("[x]", "[x, y, z]"), ("two", "two\ntheirs"))
    brought = document(("[x]", "[x, a, b]"), ("one", "one\nuno\nuna"))

    assert nearest(brought, [first, second], typed=False) == 0
    assert nearest(second, [first, second], typed=False) == 1


def test_many_lines_weigh_more_than_one_field() -> None:
    """A body typed anew is farther away than a field."""
    edited = document(("one\ntwo\nthree\n", "uno\ndue\ntre\n"))

    assert nearest(edited, [document(), document(("low", "high"), text=edited.text)]) == 1


def test_nothing_to_choose_from() -> None:
    """Without a candidate there is no nearest."""
    with pytest.raises(ValueError, match="empty"):
        nearest(document(), [])


def test_the_result_can_be_edited_again() -> None:
    """What is left is a whole document: setting the silenced field gives the brought text again."""
    known = document(("low", "high"))

    left, _ = heard(known, known)

    assert edit_all(left.text, {"risk": "high"}) == known.text
