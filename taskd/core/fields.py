"""The field table: for each field of a task its kind, owner, merge rule, aliases and values.

Everything that reads, merges, shows or stores a field looks here. YAML scalars arrive as strings
(`0012`, `on`, `1.10` as written) and are typed by `typed`.
"""

from __future__ import annotations

import enum
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from taskd.core.task import Criterion, Status

NAME_LIMIT: Final = 500  # characters; a longer title is a body in disguise
ID_LIMIT: Final = 100  # characters; with `.md` it fits every file system's 255 bytes many times
SLUG_LENGTH: Final = 48  # characters of an id made from a title; it has to be typed
LIST_LIMIT: Final = 1000  # entries of a tags, depends_on or criteria list; more is a mistake

_SLUG: Final = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Kind(enum.Enum):
    """What a value of the field looks like."""

    SLUG = "slug"
    TEXT = "text"
    ENUM = "enum"
    SLUGS = "slugs"
    WORDS = "words"
    HOURS = "hours"
    TIME = "time"
    CRITERIA = "criteria"
    BODY = "body"
    RECORD = "record"


class Owner(enum.Enum):
    """Who has the say: documents or the index."""

    AUTHORED = "authored"
    RUNTIME = "runtime"


class Merge(enum.Enum):
    """How two changes of the field are brought together (section 4.2 of the design)."""

    #: one side's change wins, two different ones conflict
    SCALAR = "scalar"
    #: additions and removals of both sides
    SET = "set"
    #: by lines, three-way
    LINES = "lines"
    #: the later of the two, never a conflict
    LATEST = "latest"
    #: does not merge: the index decides
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the table. `default` is what an absent key means."""

    name: str
    kind: Kind
    owner: Owner
    merge: Merge
    aliases: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    default: object = None


def _authored(name: str, kind: Kind, merge: Merge = Merge.SCALAR, **more: object) -> Field:
    return Field(name, kind, Owner.AUTHORED, merge, **more)  # type: ignore[arg-type]


def _runtime(name: str, kind: Kind, **more: object) -> Field:
    return Field(name, kind, Owner.RUNTIME, Merge.INDEX, **more)  # type: ignore[arg-type]


SCOPES: Final = ("single", "narrow", "moderate", "broad", "system")
RISKS: Final = ("trivial", "low", "medium", "high", "critical")
IMPACTS: Final = ("isolated", "component", "phase", "project")
LEVELS: Final = ("planning", "decomposition", "implementation", "review", "research")
PRIORITIES: Final = ("low", "medium", "high", "critical")

#: in the order in which taskd writes them into a new document
FIELDS: Final[Mapping[str, Field]] = {
    field.name: field
    for field in (
        _authored("id", Kind.SLUG),
        _authored("name", Kind.TEXT, aliases=("title",)),
        _runtime("status", Kind.ENUM, values=tuple(Status), default=Status.PENDING),
        _authored("depends_on", Kind.SLUGS, Merge.SET, aliases=("dependsOn", "depends-on"), default=()),
        _authored("parent", Kind.SLUG),
        _authored("scope", Kind.ENUM, values=SCOPES),
        _authored("risk", Kind.ENUM, values=RISKS),
        _authored("impact", Kind.ENUM, values=IMPACTS),
        _authored("level", Kind.ENUM, values=LEVELS),
        _authored("priority", Kind.ENUM, values=PRIORITIES),
        _authored("tags", Kind.WORDS, Merge.SET, default=()),
        _authored("assignee", Kind.TEXT),
        _authored("due", Kind.TIME),
        _authored("estimate", Kind.HOURS),
        _authored("success_criteria", Kind.CRITERIA, aliases=("successCriteria",), default=()),
        _authored("created", Kind.TIME),
        _authored("modified", Kind.TIME, Merge.LATEST),
        _authored("body", Kind.BODY, Merge.LINES, default=""),
        _runtime("reason", Kind.TEXT),
        _runtime("started", Kind.TIME),
        _runtime("completed", Kind.TIME),
        _runtime("claim", Kind.RECORD),
        _runtime("notes", Kind.RECORD),
        _runtime("progress", Kind.RECORD),
        _runtime("participants", Kind.RECORD),
        _runtime("context", Kind.RECORD),
        _runtime("private_notes", Kind.RECORD),
        _runtime("feedback", Kind.RECORD),
        _runtime("completion_summary", Kind.TEXT),
        _runtime("actual_hours", Kind.HOURS),
        _runtime("merge", Kind.RECORD),
        _runtime("blocked_by", Kind.RECORD),
    )
}

#: every spelling of a key that is read, to its field
KEYS: Final[Mapping[str, Field]] = {
    key: field for field in FIELDS.values() for key in (field.name, *field.aliases)
}

AUTHORED: Final = tuple(f.name for f in FIELDS.values() if f.owner is Owner.AUTHORED)

#: the names of unknown keys that are called like something else: the body, and the text as a whole
NAMESAKES: Final[Mapping[str, str]] = {"frontmatter.body": "body", "frontmatter.text": "text"}

_STATUS_SPELLINGS: Final[Mapping[str, Status]] = {
    "todo": Status.PENDING,
    "to-do": Status.PENDING,
    "open": Status.PENDING,
    "ready": Status.PENDING,
    "new": Status.PENDING,
    "doing": Status.IN_PROGRESS,
    "wip": Status.IN_PROGRESS,
    "started": Status.IN_PROGRESS,
    "active": Status.IN_PROGRESS,
    "inprogress": Status.IN_PROGRESS,
    "done": Status.COMPLETED,
    "complete": Status.COMPLETED,
    "closed": Status.COMPLETED,
    "finished": Status.COMPLETED,
    "error": Status.FAILED,
    "on-hold": Status.BLOCKED,
    "waiting": Status.BLOCKED,
}


def folded(word: str) -> str:
    """`IN_PROGRESS`, `In Progress` and `in-progress` are one spelling."""
    return re.sub(r"[\s_]+", "-", word.strip().lower())


def status_of(word: str) -> Status | None:
    """The status a spelling means, or None."""
    spelled = folded(word)
    if spelled in _STATUS_SPELLINGS:
        return _STATUS_SPELLINGS[spelled]
    return Status(spelled) if spelled in tuple(Status) else None


def is_slug(word: str) -> bool:
    """Whether a word can be an id: lower-case words of letters and digits joined by `-`, `_` or `.`."""
    return len(word) <= ID_LIMIT and _SLUG.fullmatch(word) is not None


def slug_of(title: str) -> str:
    """The id a title suggests: its first words in kebab case without accents, `task` if none is left."""
    plain = unicodedata.normalize("NFKD", title.lower())
    words = re.findall(r"[a-z0-9]+", "".join(c for c in plain if not unicodedata.combining(c)))
    slug = ""
    for word in words:
        longer = f"{slug}-{word}" if slug else word[:SLUG_LENGTH]
        if len(longer) > SLUG_LENGTH:
            break
        slug = longer
    return slug or "task"


def typed(field: Field, raw: object) -> object:
    """The value that a raw YAML value (str, list, dict; "" and null words are absent) stands for.

    ValueError with the reason when it cannot be one. An unknown enum word is returned as written:
    whether a value is `expected` is asked apart.
    """
    if is_null(raw):
        return field.default
    return _TYPED[field.kind](field, raw)


def is_null(raw: object) -> bool:
    """Whether a raw value says nothing: absent, empty, `~` or `null`."""
    return raw is None or (isinstance(raw, str) and raw.strip() in {"", "~", "null", "Null", "NULL"})


def expected(field: Field, value: object) -> bool:
    """Whether an enum's value is one of the table's; other kinds always are."""
    return field.kind is not Kind.ENUM or value is None or value in field.values


def _text(field: Field, raw: object) -> str:
    if not isinstance(raw, str):
        reason = f"{field.name} must be a text, not a {_noun(raw)}"
        raise ValueError(reason)  # noqa: TRY004 - the caller reports it as a value
    if _CONTROL.search(raw):
        reason = f"{field.name} has a control character in it"
        raise ValueError(reason)
    if field.name == "name" and len(raw) > NAME_LIMIT:
        reason = f"name is longer than {NAME_LIMIT} characters"
        raise ValueError(reason)
    return raw


def _slug(field: Field, raw: object) -> str:
    word = _text(field, raw).strip()
    if not is_slug(word):
        reason = f"{field.name} {word[:40]!r} is no id (lower-case letters and digits, joined by -, _ or .)"
        raise ValueError(reason)
    return word


def _enum(field: Field, raw: object) -> str:
    word = _text(field, raw)
    if field.name == "status":
        return status_of(word) or word
    return folded(word) if folded(word) in field.values else word


def _words(field: Field, raw: object) -> tuple[str, ...]:
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, (list, tuple)):
        reason = f"{field.name} must be a list, not a {_noun(raw)}"
        raise ValueError(reason)  # noqa: TRY004 - the caller reports it as a value
    if len(parts) > LIST_LIMIT:
        reason = f"{field.name} has more than {LIST_LIMIT} entries"
        raise ValueError(reason)
    words = (_text(field, part).strip() for part in parts if not is_null(part))
    return tuple(dict.fromkeys(word for word in words if word))


def _slugs(field: Field, raw: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_slug(field, word) for word in _words(field, raw)))


def _hours(field: Field, raw: object) -> float:
    word = _text(field, str(raw) if isinstance(raw, (int, float)) else raw).strip()
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*h?", word)
    if match is None or not math.isfinite(hours := float(match[1])):
        reason = f"{field.name} must be hours like 1.5, not {word[:40]!r}"
        raise ValueError(reason)
    return hours


def _time(field: Field, raw: object) -> str:
    word = _text(field, raw).strip()
    try:
        date.fromisoformat(word) if len(word) <= len("2026-01-01") else datetime.fromisoformat(word)
    except ValueError:
        wanted = "a date like 2026-01-31 or a time like 2026-01-31T10:00:00Z"
        reason = f"{field.name} must be {wanted}, not {word[:40]!r}"
        raise ValueError(reason) from None
    return word


def _criteria(field: Field, raw: object) -> tuple[Criterion, ...]:
    parts = raw if isinstance(raw, (list, tuple)) else [raw]
    if len(parts) > LIST_LIMIT:
        reason = f"{field.name} has more than {LIST_LIMIT} entries"
        raise ValueError(reason)
    return tuple(_criterion(field, part) for part in parts if not is_null(part))


def _criterion(field: Field, raw: object) -> Criterion:
    if isinstance(raw, Criterion):
        return raw
    if isinstance(raw, str):
        return Criterion(_text(field, raw))
    if not isinstance(raw, Mapping) or is_null(raw.get("criterion")):
        reason = f"each of {field.name} must be a text or have a key `criterion`"
        raise ValueError(reason)
    measurable, met = raw.get("measurable"), raw.get("met")
    return Criterion(
        _text(field, raw["criterion"]),
        None if is_null(measurable) else _text(field, measurable),
        met is True or (isinstance(met, str) and met.strip().lower() in {"true", "yes", "on", "x"}),
    )


def _as_is(_field: Field, raw: object) -> object:
    return raw


def _noun(raw: object) -> str:
    if isinstance(raw, Mapping):
        return "mapping"
    return "list" if isinstance(raw, (list, tuple)) else "text"


_TYPED: Final = {
    Kind.SLUG: _slug,
    Kind.TEXT: _text,
    Kind.ENUM: _enum,
    Kind.SLUGS: _slugs,
    Kind.WORDS: _words,
    Kind.HOURS: _hours,
    Kind.TIME: _time,
    Kind.CRITERIA: _criteria,
    Kind.BODY: _as_is,
    Kind.RECORD: _as_is,
}
