"""New documents, and the rendered part of documents."""

from __future__ import annotations

import pytest

from taskd.core.document import Document, compose, edit, edit_all, read, with_sections
from taskd.core.task import Criterion, Status
from taskd.errors import Uneditable


def test_a_new_document_is_written_in_the_tables_order() -> None:
    """Two people's new tasks look alike."""
    text = compose(
        {
            "body": "# Why\n",
            "success_criteria": (Criterion("works", "tests pass"), Criterion("fast")),
            "estimate": 2.0,
            "tags": ("a", "12:30"),
            "name": "fix: it",
            "id": "on",
            "status": Status.PENDING,
            "due": "2026-01-31",
            "risk": None,
        },
        {"team": {"lead": "bob"}, "retries": "3"},
    )

    assert text.decode() == (
        '---\nid: "on"\nname: "fix: it"\nstatus: pending\ndepends_on: []\ntags: [a, "12:30"]\n'
        "due: 2026-01-31\nestimate: 2\nsuccess_criteria:\n  - criterion: works\n    measurable: tests pass\n"
        "  - fast\nteam:\n  lead: bob\nretries: 3\n---\n# Why\n"
    )


def test_a_new_document_says_what_it_was_made_of() -> None:
    """Reading gives back every value, the unknown keys too."""
    document = read(compose({"id": "a", "depends_on": ["b"]}, {"x": [1, {"y": "null"}]}))

    assert document is not None
    assert document.values == {"id": "a", "depends_on": ("b",), "body": ""}
    assert document.extra == {"x": ["1", {"y": "null"}]}


def test_zero_hours_are_an_estimate() -> None:
    """Nothing to do is not the same as not estimated."""
    assert b"estimate: 0\n" in compose({"id": "a", "estimate": 0.0})


@pytest.mark.parametrize(
    ("values", "extra"),
    [
        ({"risk": "low"}, {}),
        ({"id": "No Slug"}, {}),
        ({"id": "a", "estimate": float("nan")}, {}),
        ({"id": "a", "body": "<<<<<<< a\n>>>>>>> b\n"}, {}),
        ({"id": "a", "name": "\ud800"}, {}),
        ({"id": "a"}, {"name": "x"}),
        ({"id": "a"}, {"x": "\x00"}),
        ({"id": "a", "colour": "red"}, {"colour": "blue"}),
    ],
)
def test_what_could_not_be_read_back_is_not_composed(
    values: dict[str, object], extra: dict[str, object]
) -> None:
    """No document is made that taskd itself would complain about."""
    with pytest.raises(Uneditable):
        compose(values, extra)


def test_an_unknown_value_is_written_as_an_unknown_key() -> None:
    """Whatever a caller hands over is not dropped in silence."""
    document = read(compose({"id": "a", "colour": "red"}))

    assert document is not None
    assert document.extra == {"colour": "red"}


def test_sections_replace_the_sections_that_were_there() -> None:
    """The rendered part is always the present one, once, at the end."""
    once = with_sections(b"---\r\nid: a\r\n---\r\nbody\r\n", "## Notes\none")

    assert with_sections(once, "two\n") == (
        b"---\r\nid: a\r\n---\r\nbody\r\n<!-- taskd: begin, rendered; edits here are not kept -->\r\n"
        b"two\r\n<!-- taskd: end -->\r\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        b"---\nid: a\n---",
        b"---\nid: a\n---\n",
        b"\xef\xbb\xbf---\r\nid: a\r\n---\r\nb",
        b"---\rid: a\r---\r\r",
    ],
)
def test_sections_come_off_without_a_trace(text: bytes) -> None:
    """Taking the rendered part out gives the original bytes."""
    assert with_sections(with_sections(text, "x\n"), "") == text


def test_sections_never_make_a_document_unreadable() -> None:
    """Notes with conflict markers, colour codes or our own markers are shown, not obeyed."""
    sections = "<<<<<<< a\n=======\n>>>>>>> b\n\x1b[31m\x00\n<!-- taskd: end -->\n<!-- taskd: begin, x"

    document = read(with_sections(b"---\nid: a\n---\nbody", sections))

    assert document is not None
    assert document.values["body"] == "body"


@pytest.mark.parametrize("text", [b"# readme\n", b"", b"---\nid: \x00\n---\n"])
def test_sections_are_for_documents(text: bytes) -> None:
    """A file that is no document is not written to."""
    with pytest.raises(Uneditable, match="body of"):
        with_sections(text, "x")


def test_the_door_opens_to_the_rooms_behind_it() -> None:
    """One import reads, edits and tells what was found."""
    document = read(edit(edit_all(b"---\nid: a\n---\n", {"risk": "low"}), "risk", "high"))

    assert isinstance(document, Document)
    assert document.values["risk"] == "high"
