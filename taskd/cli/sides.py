"""Three texts beside each other: what base, index and file say, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from taskd.cli.session import Terminal, lines
from taskd.cli.show import coloured, flat
from taskd.core.merge import slots

PIPED_WIDTH: Final = 80  # columns, where nobody says how wide the reader's window is
_BESIDE: Final = 60  # columns; narrower, three columns are harder to read than three paragraphs
_GAP: Final = " │ "
_SAME_KEPT: Final = 3  # lines around a difference that are shown though all sides agree in them
_NOTHING: Final = "–"
_STYLES: Final = ("", "green", "yellow")

#: one line of each side
Triple = tuple[str, str, str]


def conflict_detail(conflicts: Sequence[Mapping[str, Any]], terminal: Terminal) -> str:
    """Each conflict with its three values: side by side, one below the other where it is narrow."""
    if not conflicts:
        return "no conflicts\n" if terminal.tty else ""
    return "\n".join(_told(conflict, terminal) for conflict in conflicts)


def _told(conflict: Mapping[str, Any], terminal: Terminal) -> str:
    width = terminal.columns or PIPED_WIDTH
    head = f"conflict {conflict['id']}: {conflict['field']} of {conflict['task']}, since {conflict['since']}"
    names = ("base", "index", f"file in {conflict['worktree']}")
    sides = [value_lines(conflict[name]) for name in ("base", "index", "file")]
    shape = _beside if width >= _BESIDE else _below
    answer = f"taskd resolve {conflict['id']} --take index|file|TEXT"
    rows = [coloured(flat(head), "bold", terminal), *shape(names, sides, width, terminal)]
    return lines([*rows, coloured(f"→ {answer}", "dim", terminal)])


def value_lines(value: object) -> list[str]:
    """A JSON value as lines: a text's own, a list's items, a mapping's keys."""
    if value is None or value in ("", [], {}):
        return [_NOTHING]
    if isinstance(value, str):
        return [flat(line.replace("\t", "    ")) for line in value.rstrip("\n").split("\n")]
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, dict):
        return [flat(f"{key}: {_short(item)}") for key, item in value.items()]
    return [_short(value)]


def _short(value: object) -> str:
    """A value inside another, on one line."""
    if isinstance(value, dict) and isinstance(value.get("criterion"), str):
        return flat(value["criterion"] + (f" ({value['measurable']})" if value.get("measurable") else ""))
    return flat(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _below(
    names: Sequence[str], sides: Sequence[Sequence[str]], width: int, terminal: Terminal
) -> Iterator[str]:
    for name, side in zip(names, sides, strict=True):
        yield coloured(f"{name}:", "dim", terminal)
        yield from (f"  {part}" for line in side for part in wrapped(line, max(width - 2, 1)))


def _beside(
    names: Sequence[str], sides: Sequence[Sequence[str]], width: int, terminal: Terminal
) -> Iterator[str]:
    room = (width - 2 * len(_GAP)) // len(sides)
    yield _row([name.upper() for name in names], ["dim"] * 3, room, terminal)
    for triple in _shortened(aligned(*sides)):
        if triple is None:
            yield coloured("…", "dim", terminal)
            continue
        styles = [style if cell != triple[0] else "" for cell, style in zip(triple, _STYLES, strict=True)]
        for parts in zip_longest(*(wrapped(cell, room) for cell in triple), fillvalue=""):
            yield _row(parts, styles, room, terminal)


def _row(cells: Sequence[str], styles: Sequence[str], room: int, terminal: Terminal) -> str:
    padded = [
        coloured(_padded(cell, room), style, terminal) for cell, style in zip(cells, styles, strict=True)
    ]
    return _GAP.join(padded).rstrip()


def _padded(text: str, room: int) -> str:
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415 - only for the few who look at a conflict

    return text + " " * (room - cell_len(text)) if cell_len(text) <= room else set_cell_size(text, room)


def aligned(base: Sequence[str], index: Sequence[str], file: Sequence[str]) -> list[Triple]:
    """The lines of three texts, the same ones beside each other."""
    rows = list[Triple]()
    resting = [(), *(part for line in base for part in ((line,), ()))]
    for place in zip(resting, slots(base, index), slots(base, file), strict=True):
        rows += [(str(b), str(i), str(f)) for b, i, f in zip_longest(*place, fillvalue="")]
    return rows


def _shortened(rows: Sequence[Triple]) -> Iterator[Triple | None]:
    """The rows near a difference; None stands for those left out between them."""
    near = {
        other
        for number, row in enumerate(rows)
        if len(set(row)) > 1
        for other in range(number - _SAME_KEPT, number + _SAME_KEPT + 1)
    }
    for number, row in enumerate(rows):
        if number in near or not near:
            yield row
        elif number - 1 in near or number == 0:
            yield None


def wrapped(text: str, room: int) -> list[str]:
    """A line cut at blanks, or within a word that is too long, into parts of at most `room` columns."""
    from rich.cells import cell_len, chop_cells  # noqa: PLC0415 - as above

    parts = list[str]()
    for word in text.split(" "):
        longer = f"{parts[-1]} {word}" if parts else word
        if parts and cell_len(longer) <= room:
            parts[-1] = longer
        else:
            parts += chop_cells(word, room) or [""]
    return parts
