"""The records below a body: progress, participants and notes as markdown, and read back from it.

What is read back is what was shown: a note keeps its lines, but not white space at its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from taskd.core.block import parts_of, showable
from taskd.core.sections import detach
from taskd.core.task import Note, Participant, Task

SECTIONS_MARGIN: Final = 4 << 10  # bytes for headings, markers and line ends of two bytes

_EOL: Final = re.compile(r"\r\n|\n|\r")
_HEADING: Final = re.compile(r"## (Progress|Participants|Notes)")
_PARTICIPANT: Final = re.compile(r"- (.*) \((.*), (\S+)\)")
_NOTE: Final = re.compile(r"- (\S+) \*\*(.*?)\*\*: (.*)")
_INDENT: Final = "  "  # what makes a line part of the list item above it


@dataclass(frozen=True, slots=True)
class Records:
    """What the rendered part of a document says."""

    notes: tuple[Note, ...] = ()
    participants: tuple[Participant, ...] = ()


def records_text(task: Task, room: int) -> str:
    """What stands below the body, in markdown; the oldest notes give way where `room`, in bytes, ends."""
    parts = []
    if task.progress:
        told = f"{task.progress.percent} % {_line(task.progress.text)}".rstrip()
        parts.append(f"## Progress\n\n{told} ({_line(task.progress.by)}, {task.progress.at})\n")
    if task.participants:
        names = "\n".join(_participant(one) for one in task.participants)
        parts.append(f"## Participants\n\n{names}\n")
    if task.notes:
        left = room - SECTIONS_MARGIN - sum(len(part.encode()) for part in parts)
        parts.append("\n".join(["## Notes", "", *_notes(task, left), ""]))
    return "\n".join(parts)


def records_of(text: bytes) -> Records:
    """What a complete text shows below its body; what nobody rendered so is left out."""
    parts = parts_of(text)
    lines = _EOL.split(detach(parts.tail)[1])[1:-1] if parts is not None else []
    notes, participants = list[Note](), list[Participant]()
    for heading, item in _items(lines):
        note = _read_note(item) if heading == "Notes" else None
        one = _PARTICIPANT.fullmatch(item[0]) if heading == "Participants" else None
        if note is not None:
            notes.append(note)
        if one is not None and _is_time(one[3]):
            participants.append(Participant(_unescaped(one[1]), _unescaped(one[2]), one[3]))
    return Records(tuple(notes), tuple(participants))


def shown_note(note: Note) -> Note:
    """The note as `records_of` gives it back: two notes that are shown alike are one."""
    [(_, item)] = _items(_note(note).split("\n"))
    return _read_note(item) or note


def _participant(one: Participant) -> str:
    return f"- {_line(one.name)} ({_line(one.role)}, {one.joined_at})"


def _notes(task: Task, room: int) -> list[str]:
    """The newest notes that fit into so many bytes, oldest first, in one order in every clone."""
    lines = list[str]()
    for note in sorted(task.notes, key=lambda note: (note.at, note.by, note.text), reverse=True):
        line = _note(note)
        room -= len(line.encode()) + 1
        if room < 0:
            lines.append(f"- … and {len(task.notes) - len(lines)} earlier ones: `taskd show {task.id}`")
            break
        lines.append(line)
    return lines[::-1]


def _note(note: Note) -> str:
    first, *rest = _EOL.split(_escaped(note.text).rstrip())
    more = [f"{_INDENT}{line}" if line else "" for line in rest]
    return "\n".join([f"- {note.at} **{_line(note.by)}**: {first}", *more])


def _items(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The list items below each heading, an item being its lines without their indentation."""
    heading, item = "", list[str]()
    for line in [*lines, "- "]:
        if item and (not line or line.startswith(_INDENT)):
            item.append(line.removeprefix(_INDENT))
            continue
        if item:
            yield heading, item
        found = _HEADING.fullmatch(line)
        heading, item = found[1] if found else heading, [line] if line.startswith("- ") else []


def _read_note(item: list[str]) -> Note | None:
    found = _NOTE.fullmatch(item[0])
    if found is None or not _is_time(found[1]):
        return None
    text = "\n".join([found[3], *item[1:]]).rstrip()
    return Note(found[1], _unescaped(found[2]), _unescaped(text))


def _is_time(word: str) -> bool:
    try:
        datetime.fromisoformat(word)
    except ValueError:
        return False
    return True


def _line(text: str) -> str:
    """Free text on one line of markdown."""
    return _escaped(re.sub(r"\s+", " ", text))


def _escaped(text: str) -> str:
    """Text that cannot end the rendered part, nor hide what follows in it."""
    return showable(text).replace("<!--", "&lt;!--")


def _unescaped(text: str) -> str:
    return text.replace("&lt;!--", "<!--")
