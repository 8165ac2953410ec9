"""The rendered part at the end of a body."""

from __future__ import annotations

import pytest

from taskd.core.sections import BEGIN, END, attach, detach, framed


@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "tail", ["", "\n", "\nbody", "\nbody\n", "\r\nbody\r\n\r\n", f"\nx\n{BEGIN}", f"\n{END}\ny\n"]
)
def test_what_was_attached_comes_off_without_a_trace(tail: str, eol: str) -> None:
    """A missing last newline is missing again, a marker without its partner is text."""
    part = framed("## Notes\n- one\n", eol)

    assert detach(attach(tail, part, eol)) == (tail, part)


def test_a_rendered_part_stands_between_its_markers() -> None:
    """A reader sees where taskd's part begins and ends."""
    assert framed("a\r\nb", "\n") == f"{BEGIN}\na\nb\n{END}"


def test_nothing_rendered_is_nothing_attached() -> None:
    """A task without notes has no empty frame."""
    assert attach("\nbody\n", framed("", "\n"), "\n") == "\nbody\n"


@pytest.mark.parametrize("line", [BEGIN, END, "<<<<<<< HEAD", "=======", ">>>>>>> x", "|||||||"])
def test_a_note_cannot_pretend_to_be_a_marker(line: str) -> None:
    """Somebody's words in a note neither end the rendered part nor look like a merge conflict."""
    assert framed(f"a\n{line}\nb", "\n") == f"{BEGIN}\na\n\\{line}\nb\n{END}"


def test_a_control_character_in_a_note_is_shown_as_unreadable() -> None:
    """A note with colour codes does not make the document unreadable."""
    assert framed("\x1b[31m", "\n") == f"{BEGIN}\n\ufffd[31m\n{END}"


def test_text_behind_the_rendered_part_is_body() -> None:
    """A line added at the end of the file, below the markers, is not lost."""
    assert detach(f"\na\n{BEGIN}\nx\n{END}\nb\n") == ("\na\nb\n", f"{BEGIN}\nx\n{END}")


def test_every_rendered_part_comes_off() -> None:
    """A rendered file pasted below another leaves no second frame."""
    assert detach(f"\na\n{BEGIN}\nx\n{END}\nb\n{BEGIN} \ny\n{END}\n") == ("\na\nb\n", f"{BEGIN} \ny\n{END}")


def test_nested_parts_come_off_as_one() -> None:
    """A rendered part pasted into another goes with it."""
    assert detach(f"\n{BEGIN}\n{BEGIN}\nx\n{END}\n{END}\nb\n")[0] == "\nb\n"


def test_a_beginning_without_an_end_is_text() -> None:
    """Deleting the end marker loses nothing that stands behind the first."""
    assert detach(f"\n{BEGIN}\nx\n{END} not\n") == (f"\n{BEGIN}\nx\n{END} not\n", "")
