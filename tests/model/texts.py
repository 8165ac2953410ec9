"""The task files of the model, read and written without any of taskd's own code.

A file has five plain values, a set of tags and a body of sections with one line a thought. Comments and
headings stand between them, so that git can merge what was written in different places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

#: keys with one value; `team` is a key that taskd does not know
SCALARS: Final = ("name", "assignee", "team")
SECTIONS: Final = ("goal", "plan", "notes", "end")
IN: Final = "in"
OUT: Final = "out"

_WORD: Final = re.compile(r"^- (\S+)$", re.MULTILINE)
_MARKER: Final = re.compile(r"^(<{7}|={7}|>{7}|\|{7})", re.MULTILINE)


@dataclass(frozen=True)
class Said:
    """What a text says: the value in each slot, and its status line.

    Slots are keys of one value, and `tag:x` and `line:x` for each tag and line, whose value is `in`.
    """

    id: str
    status: str | None
    slots: dict[str, str]

    def at(self, slot: str) -> str | None:
        """The value in a slot; an element that is not there is `out`."""
        return self.slots.get(slot, OUT if ":" in slot else None)


def compose(id: str, name: str, assignee: str, team: str) -> str:
    """A new task file."""
    values = {"id": id, "name": name, "status": "pending", "assignee": assignee, "team": team}
    head = [f"{key}: {value}\n# about {key}" for key, value in values.items()]
    body = [f"## {section}\n\n.\n" for section in SECTIONS]
    return "\n".join(["---", *head, "tags: []", "# about tags", "---", *body])


@lru_cache(maxsize=8192)
def read(text: str | None) -> Said | None:
    """What a file says; None when there is none, or when it is in no state to say anything."""
    if text is None or _MARKER.search(text) or not text.startswith("---\n"):
        return None
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    keys = dict(line.split(":", 1) for line in front.splitlines() if re.match(r"[a-z]+:", line))
    values = {key: value.strip() for key, value in keys.items()}
    slots: dict[str, str] = {key: values[key] for key in SCALARS if key in values}
    slots |= {f"tag:{tag}": IN for tag in tags_in(values.get("tags", ""))}
    slots |= {f"line:{word}": IN for word in _WORD.findall(body)}
    return Said(values.get("id", ""), values.get("status"), slots)


def tags_in(written: str) -> list[str]:
    """The tags of a flow sequence."""
    return [tag.strip() for tag in written.strip().strip("[]").split(",") if tag.strip()]


def shown(text: str, slot: str) -> list[str]:
    """Every value a text shows in a slot, on either side of conflict markers too."""
    kind, _, word = slot.partition(":")
    if kind == "tag":
        found = [
            IN if word in tags_in(line) else OUT for line in re.findall(r"^tags: *(.*)$", text, re.MULTILINE)
        ]
    elif kind == "line":
        found = [IN if word in _WORD.findall(text) else OUT]
    else:
        found = [value.strip() for value in re.findall(rf"^{kind}: *(.*)$", text, re.MULTILINE)]
    return list(dict.fromkeys(found))


def set_value(text: str, key: str, value: str) -> str:
    """The text with another value behind a key."""
    return re.sub(rf"^{key}:.*$", f"{key}: {value}", text, count=1, flags=re.MULTILINE)


def put(text: str, slot: str, value: str) -> str:
    """The text with a slot at a value. A line has its section, in which it always stands."""
    kind, _, word = slot.partition(":")
    if kind == "line":
        return _put_line(text, word, value, SECTIONS[int(word[1:]) % len(SECTIONS)])
    if kind != "tag":
        return set_value(text, kind, value)
    tags = [
        tag for tag in tags_in((re.findall(r"^tags:(.*)$", text, re.MULTILINE) or [""])[0]) if tag != word
    ]
    return set_value(text, "tags", f"[{', '.join([*tags, word] if value == IN else tags)}]")


def _put_line(text: str, word: str, value: str, section: str) -> str:
    text = text.replace(f"- {word}\n", "")
    return text.replace(f"## {section}\n\n", f"## {section}\n\n- {word}\n", 1) if value == IN else text
