"""One field set, every other byte as it was."""

from __future__ import annotations

import pytest

from taskd.core.edits import edit, edit_all
from taskd.core.reading import read
from taskd.errors import Uneditable


@pytest.mark.parametrize(
    ("front", "field", "value"),
    [
        ("id: 'a'\n", "id", "a"),
        ("id: a\ntags: x, y, x\n", "tags", ("x", "y")),
        ("id: a\ntags: [x, y]\n", "tags", ["x", "y"]),
        ("id: a\nstatus: TODO\n", "status", "pending"),
        ("id: a\nstatus: later\n", "status", "later"),
        ("id: a\nestimate: 3.0h\n", "estimate", 3),
        ("id: a\nrisk: ~\n", "risk", None),
        ("id: a\ntags: []\n", "tags", None),
        ("id: a\n", "tags", ()),
        ("id: a\n", "assignee", ""),
        ("id: a\nx: {b: [1]}\n", "x", {"b": [1]}),
        ("id: a\n", "started", None),
        ("id: a\n", "zzz", None),
    ],
)
def test_the_value_that_is_there_gives_the_same_bytes(front: str, field: str, value: object) -> None:
    """An edit that says nothing new writes nothing."""
    text = f"---\n{front}---\nbody".encode()

    assert edit(text, field, value) == text


@pytest.mark.parametrize(
    ("text", "field", "value", "reason"),
    [
        (b"# readme\n", "name", "x", "the file has no frontmatter"),
        (b"", "name", "x", "line 1: the file is empty"),
        (b"---\nid: a\nid: b\n---\n", "name", "x", "line 3: the key 'id' stands here a second time"),
        (
            b"---\nid: a\n---\n",
            "id",
            None,
            "line 1: frontmatter without id or name: nothing says which task this is",
        ),
        (b"---\nid: a\n---\n", "estimate", "soon", "the result would not be read as it should: estimate"),
        (b"---\nid: a\n---\n", "name", "null", "the result would not be read as it should: name"),
        (b"---\nid: a\n---\n", "name", "\ud800", "the value has a character that UTF-8 cannot write"),
        (b"---\nid: a\n---\n", "body", "\ud800", "the value has a character that UTF-8 cannot write"),
        (b"---\nid: a\n---\n", "body", "\x00", "line 4: a control character (U+0000)"),
        (
            b"---\n? id\n: a\n? risk\n: low\n---\n",
            "risk",
            None,
            "something else stands on the line of its key",
        ),
        (b"---\n? id\n: a\n---\n", "name", "x", "something else stands on the line of its key"),
        (b"---\nid: a\n? x\n: b\n---\n", "x", ["c"], "its value does not follow its key"),
        (b"---\n{id: a, x: b # c\n}\n---\n", "x", None, None),
        (
            b"---\n{id: a, # c\n x: b}\n---\n",
            "x",
            None,
            "there may be a comment between the braces where it stands",
        ),
        (
            b"---\nid: a\nteam: |\n  x\nrisk: low\n  # why\n---\n",
            "risk",
            None,
            "the result would not be read as it should: team",
        ),
    ],
)
def test_what_cannot_be_done_safely_is_refused_with_the_reason(
    text: bytes, field: str, value: object, reason: str | None
) -> None:
    """Nothing is approximated: the file stays, and its owner learns why."""
    if reason is None:
        assert edit(text, field, value) == b"---\n{id: a # c\n}\n---\n"
        return
    with pytest.raises(Uneditable) as caught:
        edit(text, field, value)

    assert caught.value.facts == {"path": "", "field": field, "reason": reason}


@pytest.mark.parametrize(
    ("text", "body", "wanted"),
    [
        (b"---\nid: a\n---", "x\ny", b"---\nid: a\n---\nx\ny"),
        (b"---\r\nid: a\r\n---\r\nold\nmixed\r\n", "x\r\ny\n", b"---\r\nid: a\r\n---\r\nx\r\ny\r\n"),
        (b"---\rid: a\r--- \rold", "---\nx\r", b"---\rid: a\r--- \r---\rx\r"),
        (b"---\nid: a\n---\nold\n", None, b"---\nid: a\n---\n"),
    ],
)
def test_a_new_body_takes_the_files_newline_style(text: bytes, body: str | None, wanted: bytes) -> None:
    """Only what follows the closing line changes."""
    assert edit(text, "body", body) == wanted


def test_a_new_body_leaves_the_rendered_part_where_it_is() -> None:
    """The end of the file still shows the notes."""
    part = b"<!-- taskd: begin, rendered; edits here are not kept -->\nx\n<!-- taskd: end -->\n"

    assert edit(b"---\nid: a\n---\nold\n" + part, "body", "new\n") == b"---\nid: a\n---\nnew\n" + part


def test_several_fields_are_set_at_once() -> None:
    """All changes stand in one result, whatever their order."""
    text = edit_all(
        b"---\nid: a\nrisk: low\n---\n",
        {"id": None, "risk": "high", "name": "w", "body": "b", "dependsOn": ["c"]},
    )

    assert text == b"---\nname: w\ndepends_on: [c]\nrisk: high\n---\nb"


def test_of_several_fields_none_is_set_if_one_cannot_be() -> None:
    """A half-done change is never seen."""
    with pytest.raises(Uneditable, match="estimate"):
        edit_all(b"---\nid: a\n---\n", {"risk": "low", "estimate": "soon"})


def test_keys_named_like_the_body_are_not_the_body() -> None:
    """A frontmatter key `body` is an unknown key and survives an edit of the body."""
    document = read(edit(b"---\nid: a\nbody: x\n---\ny", "body", "z"))

    assert document is not None
    assert (document.extra, document.values["body"]) == ({"body": "x"}, "z")


@pytest.mark.parametrize("key", ["body", "text"])
def test_a_key_called_like_the_body_is_set_by_its_own_name(key: str) -> None:
    """An unknown key `body` or `text` is set, added and taken out without touching the body."""
    text = f"---\nid: a\n{key}: old  # why\n---\nBody.\n".encode()
    name = f"frontmatter.{key}"

    assert edit(text, name, "old") == text
    assert edit(text, name, "new") == text.replace(b"old", b"new")
    assert edit(text, name, None) == b"---\nid: a\n---\nBody.\n"
    assert edit(edit(text, name, None), name, "x") == f"---\nid: a\n{key}: x\n---\nBody.\n".encode()
