"""What a document says, and what is remarked on."""

from __future__ import annotations

import pytest

from taskd.core.reading import Document, Remark, read
from taskd.core.task import Criterion, Status
from taskd.errors import DocumentError


def _document(front: str, body: str = "") -> Document:
    document = read(f"---\n{front}---\n{body}".encode())
    assert document is not None
    return document


def _remarks(front: str) -> list[tuple[int, str, str | None]]:
    return [(remark.line, remark.reason, remark.field) for remark in _document(front).remarks]


def test_a_readme_is_no_document() -> None:
    """A file without frontmatter is left alone."""
    assert read(b"# Tasks\n") is None


def test_every_authored_field_is_typed() -> None:
    """Lists, hours, criteria and texts come out as the field table says."""
    document = _document(
        "id: a-1\ntitle: Fix it\ndependsOn: [b, c, b]\nparent: p\nscope: Narrow\nrisk: LOW\nimpact: phase\n"
        "level: review\npriority: high\ntags: x, y\nassignee: bob\ndue: 2026-01-31\nestimate: 1.5h\n"
        "successCriteria:\n  - works\n  - criterion: fast\n    measurable: 1 s\n    met: yes\n"
        "created: 2026-01-01T10:00:00Z\nmodified: 2026-01-02\n",
        "# Body\r\ntext\r",
    )

    assert document.values == {
        "id": "a-1",
        "name": "Fix it",
        "depends_on": ("b", "c"),
        "parent": "p",
        "scope": "narrow",
        "risk": "low",
        "impact": "phase",
        "level": "review",
        "priority": "high",
        "tags": ("x", "y"),
        "assignee": "bob",
        "due": "2026-01-31",
        "estimate": 1.5,
        "success_criteria": (Criterion("works"), Criterion("fast", "1 s", met=True)),
        "created": "2026-01-01T10:00:00Z",
        "modified": "2026-01-02",
        "body": "# Body\ntext\n",
    }
    assert document.remarks == ()


@pytest.mark.parametrize("word", ["0012", "on", "1.10", "2026-01-01", "12_000", "1e5"])
def test_an_id_is_what_was_written(word: str) -> None:
    """No YAML reader's idea of numbers, dates or truth changes an id."""
    assert _document(f"id: {word}\n").values["id"] == word


@pytest.mark.parametrize(
    "front", ["id:\nname: n\n", "id: ~\nname: n\nrisk: null\ntags:\n", 'name: n\nid: ""\n']
)
def test_a_key_without_a_value_is_absent(front: str) -> None:
    """A template's empty keys say nothing."""
    assert _document(front).values == {"name": "n", "body": ""}


def test_an_empty_list_is_present() -> None:
    """`depends_on: []` is a statement."""
    assert _document("id: a\ndepends_on: []\n").values["depends_on"] == ()


def test_unknown_keys_come_as_written() -> None:
    """Strings, lists and mappings of strings, with `body`, `path`, `content` and odd names among them."""
    document = _document(
        "id: a\nteam: {lead: 0012, on: [yes, ~]}\nbody: x\npath: y\ncontent: z\nself: 1\n1: 2\n<<: w\n"
    )

    assert document.extra == {
        "team": {"lead": "0012", "on": ["yes", "~"]},
        "body": "x",
        "path": "y",
        "content": "z",
        "self": "1",
        "1": "2",
        "<<": "w",
    }
    assert document.values["body"] == ""


@pytest.mark.parametrize(
    ("word", "status"), [("IN_PROGRESS", Status.IN_PROGRESS), ("Done", Status.COMPLETED), ("later", "later")]
)
def test_runtime_keys_are_kept_apart(word: str, status: str) -> None:
    """Status is understood in its spellings, the others are only listed."""
    document = _document(f"id: a\nstatus: {word}\nstarted: x\nnotes: [y]\nactual_hours:\n")

    assert document.runtime == {"status": status, "started": "x", "notes": ["y"], "actual_hours": ""}


def test_an_empty_status_is_absent() -> None:
    """`status:` asks for nothing."""
    assert _document("id: a\nstatus:\n").runtime == {}


@pytest.mark.parametrize("tail", ["", "\n"])
def test_the_rendered_part_is_not_body(tail: str) -> None:
    """What taskd shows at the end of a file is never read back."""
    body = f"text\n<!-- taskd: begin, rendered; edits here are not kept -->\nx\n<!-- taskd: end -->{tail}"

    assert _document("id: a\n", body).values["body"] == "text" + tail


def test_a_byte_order_mark_hides_nothing() -> None:
    """A file saved with one is read like any other."""
    document = read(b"\xef\xbb\xbf---\r\nid: a\r\n---\r\nx")

    assert document is not None
    assert document.values == {"id": "a", "body": "x"}


@pytest.mark.parametrize(
    "front", ["", "# none\n", "status: done\n", "id:\nname: ~\n", "name: # later\n", "Name: x\n"]
)
def test_a_document_that_names_no_task_is_an_error(front: str) -> None:
    """A file with frontmatter is never skipped in silence."""
    with pytest.raises(DocumentError, match=r":1: frontmatter without id or name"):
        _document(front)


@pytest.mark.parametrize(
    ("front", "line", "reason"),
    [
        ("name: n\nid: Not A Slug\n", 3, "id 'Not A Slug' is no id"),
        ("id: [a]\n", 2, "id must be a text, not a list"),
        ("id: a\nname: [a, b]\n", 3, "name must be a text, not a list"),
        ("id: a\ntitle:\n  x: y\n", 3, "name must be a text, not a mapping"),
        ("id: a\n\nname: " + "n" * 501 + "\n", 4, "name is longer than 500 characters"),
        ("id: a\ndepends_on: [b]\ndependsOn: [c]\n", 4, "dependsOn and depends_on are the same field"),
        ("id: a\nname: b\ntitle: b\n", 4, "title and name are the same field"),
    ],
)
def test_what_would_make_it_another_task_stops_the_document(front: str, line: int, reason: str) -> None:
    """An id or name nobody can understand is not guessed at."""
    with pytest.raises(DocumentError) as caught:
        _document(front)

    assert (caught.value.line, caught.value.reason[: len(reason)]) == (line, reason)


@pytest.mark.parametrize(
    ("front", "line", "field"),
    [
        ("id: a\nestimate: abc\n", 3, "estimate"),
        ("id: a\nestimate: nan\n", 3, "estimate"),
        ("id: a\nestimate: -.inf\n", 3, "estimate"),
        ("id: a\ndue: tomorrow\n", 3, "due"),
        ("id: a\nparent: No Slug\n", 3, "parent"),
        ("id: a\ntags: {x: y}\n", 3, "tags"),
        ("id: a\ndepends_on:\n  - b\n  - No Slug\n", 5, "depends_on"),
        ("id: a\ndepends_on: [b,\n  No Slug]\n", 4, "depends_on"),
        ("id: a\nsuccess_criteria:\n  - x\n  - measurable: y\n", 5, "success_criteria"),
        ("id: a\ntags: [" + ", ".join(str(n) for n in range(1001)) + "]\n", 3, "tags"),
    ],
)
def test_a_value_that_cannot_be_typed_is_remarked_on_and_left_out(front: str, line: int, field: str) -> None:
    """One bad value does not stop the task, and is not taken for an empty one."""
    document = _document(front)

    assert field not in document.values
    assert [(remark.line, remark.field) for remark in document.remarks] == [(line, field)]


def test_a_status_that_is_no_word_is_kept_raw() -> None:
    """Whatever stands there is shown, not dropped."""
    document = _document("id: a\nstatus: [done]\n")

    assert document.runtime == {"status": ["done"]}
    assert [remark.field for remark in document.remarks] == ["status"]


@pytest.mark.parametrize(
    ("front", "reason", "field"),
    [
        ("id: a\nrisk: scary\n", "risk 'scary' is not one of trivial, low, medium, high, critical", "risk"),
        (
            "id: a\nstatus: later\n",
            "status 'later' is not one of pending, in-progress, completed, failed, blocked",
            "status",
        ),
    ],
)
def test_an_unknown_word_is_kept_and_the_known_ones_are_named(front: str, reason: str, field: str) -> None:
    """A team's own word survives, and its author learns what taskd knows."""
    assert _remarks(front) == [(3, f"{reason}; it is kept as written", field)]


@pytest.mark.parametrize(
    ("line", "name", "cut"),
    [
        ("name: fix #12 now", "fix", "#12 now"),
        ("name: fix: it #12", "fix: it", "#12"),
        ("title: x\t# y", "x", "# y"),
    ],
)
def test_a_hash_that_cuts_a_text_off_is_pointed_at(line: str, name: str, cut: str) -> None:
    """The text is what YAML says, and its author is told."""
    document = _document(f"id: a\n{line}\n")

    assert document.values["name"] == name
    assert f"name ends before `{cut}`, which is a comment to YAML" in [r.reason for r in document.remarks]


@pytest.mark.parametrize("line", ['name: "fix" # now', "name: fix#12", "assignee: # who?", "parent: p # q"])
def test_an_ordinary_comment_is_not_remarked_on(line: str) -> None:
    """Comments where they cannot be meant otherwise are nobody's mistake."""
    assert _remarks(f"id: a\n{line}\n") == []


def test_a_name_that_is_all_comment_is_pointed_at() -> None:
    """`name: #12` says nothing to YAML, but its author meant something."""
    assert _remarks("id: a\nname: #12\n") == [
        (3, "name ends before `#12`, which is a comment to YAML", "name")
    ]


def test_a_careless_text_is_read_and_the_quoted_form_offered() -> None:
    """`name: it's: broken` is the name, and the remedy can be copied."""
    document = _document("id: a\nname: it's: broken\n")

    assert document.values["name"] == "it's: broken"
    assert document.remarks == (
        Remark(
            3,
            "name has characters that mean something else to YAML; it is read as the text",
            "put it in quotes: name: 'it''s: broken'",
            "name",
        ),
    )


def test_remarks_come_in_the_order_of_the_lines() -> None:
    """They are read beside the file."""
    assert [line for line, *_ in _remarks("risk: x\nid: a\ndue: y\nscope: z\n")] == [2, 4, 5]
