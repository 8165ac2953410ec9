"""What a document and the index's version say, in one shape."""

from __future__ import annotations

from taskd.core.authored import authored, authored_of, unread, with_authored
from taskd.core.document import Document, read
from taskd.core.task import Task

TASK = Task(id="a", name="A", file="x/a.md", estimate=2.0, depends_on=("b",), modified="then")


def document(text: bytes) -> Document:
    """The document a text is."""
    found = read(text)
    assert found is not None
    return found


def test_both_sides_have_one_shape() -> None:
    """A document taken over by a task says the same as the task."""
    found = document(b"---\nid: a\ntags: [x]\nteam: red\nbody: key\ntext: t\n---\nB\n")

    task = with_authored(TASK, found)

    assert authored_of(task) == {**authored(found, "a"), "modified": "then"}
    assert (authored_of(task)["team"], task.body) == ("red", "B\n")
    namesakes = authored_of(task)["frontmatter.body"], authored_of(task)["frontmatter.text"]
    assert namesakes == ("key", "t")
    assert (task.file, task.modified) == ("x/a.md", "then")


def test_a_document_without_a_name_is_called_by_its_id() -> None:
    """Every task has a name to show."""
    assert authored(document(b"---\nid: a\n---\n"), "a")["name"] == "a"


def test_what_nobody_understands_takes_nothing_away() -> None:
    """`estimate: soon` leaves the estimate as it was, a misspelled dependency the dependencies."""
    found = document(b"---\nid: a\nestimate: soon\ndepends_on: [No Slug]\nrisk: odd\n---\n")

    task = with_authored(TASK, found)

    assert unread(found) == {"estimate", "depends_on"}
    assert (task.estimate, task.depends_on, task.risk) == (2.0, ("b",), "odd")
