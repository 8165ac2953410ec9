"""The records below a body, shown and read back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskd.core.records import Records, records_of, shown_note
from taskd.core.render import complete_text
from taskd.core.sections import BEGIN, END
from taskd.core.task import Note, Participant, Progress, Task

TIME = "2026-03-01T12:00:00.000Z"
LATER = "2026-03-01T13:00:00.000Z"
TEXT = b"---\nid: a\nname: A\n---\n\nBody.\n"
TASK = Task(id="a", name="A", file="a.md")


def read_back(task: Task) -> Records:
    """What a task's complete text shows of its records."""
    return records_of(complete_text(TEXT, task, ()))


@pytest.mark.parametrize(
    "text",
    [
        "one",
        "one\ntwo",
        "one\n\n- two\n  three",
        "## Notes\n- x",
        "<!-- taskd: end -->",
        "=======",
        "**b**: c",
        "",
    ],
)
def test_a_note_is_read_back(text: str) -> None:
    """Whatever is noted, with its lines, is what is read in another clone."""
    note = Note(TIME, "bob", text)

    assert read_back(replace(TASK, notes=(note,))).notes == (note,)


def test_records_stand_in_one_order() -> None:
    """Notes come by their time wherever they are kept; progress is no record of its own."""
    notes = (Note(LATER, "eve", "second"), Note(TIME, "bob", "first"))
    people = (Participant("eve (e)", "author, reviewer", TIME), Participant("bob", "author", LATER))
    task = replace(TASK, notes=notes, participants=people, progress=Progress(4, "some", TIME, "bob"))

    assert read_back(task) == Records(notes[::-1], people)


def test_a_text_without_records() -> None:
    """A text without a rendered part, or that is no document, has none."""
    assert records_of(TEXT) == records_of(b"") == Records()


def test_what_nobody_rendered_is_left_out() -> None:
    """Lines typed into the rendered part, without a time or out of place, are no records."""
    lines = [
        BEGIN,
        "## Participants",
        "- eve (author)",
        "- eve (author, soon)",
        "## Notes",
        "words",
        "- a note",
        "- soon **bob**: a note",
        f"- {TIME} **bob**: mine",
        "## Other",
        "- … and 2 earlier ones",
        END,
        "",
    ]
    assert records_of(TEXT + "\n".join(lines).encode()) == Records((Note(TIME, "bob", "mine"),))


def test_notes_shown_alike_are_one() -> None:
    """White space at the end, line ends and what no document can hold make no other note."""
    assert shown_note(Note(TIME, "bob", "a\r\nb \n\n")) == Note(TIME, "bob", "a\nb")
    assert shown_note(Note(TIME, "bob\nby", "a\x00")) == Note(TIME, "bob by", "a\ufffd")


def test_a_note_without_a_time_is_itself() -> None:
    """A note that could not be read back is compared as it is."""
    assert shown_note(Note("then", "bob", "a")) == Note("then", "bob", "a")
