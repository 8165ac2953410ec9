"""Values as YAML text: what edits put into a file and new documents are made of.

A word is quoted wherever some YAML reader would make something else of it, also the old ones to
which `on`, `12:30`, `0012` and `2026-01-01` are no texts. Nothing is ever folded over lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Final

from taskd.core.fields import Field, Kind
from taskd.core.task import Criterion

#: what must be written as an escape: controls, YAML's own line ends, byte order marks
_ESCAPED: Final = re.compile('["\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]')
_UNQUOTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SHORT: Final[Mapping[str, str]] = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

_PLAIN: Final = re.compile(r"[\w/(+.](?:.*[^\s:])?", re.DOTALL)
_SYNTAX: Final = re.compile(r":\s|\s#")
_FLOW_SYNTAX: Final = re.compile(r"[,\[\]{}:?#]")
#: what some YAML takes for a number, a time, a truth or nothing; rather a little too much
_OTHER: Final = re.compile(
    r"[-+.]?[0-9][0-9a-foxtz_.,:+\- ]*|[-+]?\.(?:inf|nan)|\.+|"
    r"y|n|yes|no|on|off|true|false|null|none|nan|inf",
    re.IGNORECASE,
)

_CRITERION_KEYS: Final = tuple(key.name for key in fields(Criterion))
#: kinds whose words other readers may take for what they look like
_OPEN_KINDS: Final = (Kind.HOURS, Kind.TIME, Kind.RECORD)


def is_careful(field: Field | None) -> bool:
    """Whether a field's words are texts to every reader; an unknown key's stay as typed."""
    return field is not None and field.kind not in _OPEN_KINDS


def scalar(value: object, style: str = "", *, flow: bool = False, careful: bool = True) -> str:
    """A text as YAML, in the style it had (`""`, `'`, `"`) if that can hold it, else double-quoted.

    `flow` means between brackets; `careful` also quotes what looks like a number, time or truth.
    """
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if style == "'" and not _UNQUOTABLE.search(text):
        return "'" + text.replace("'", "''") + "'"
    if style != '"' and _is_plain(text, flow=flow, careful=careful):
        return text
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _is_plain(text: str, *, flow: bool, careful: bool) -> bool:
    if not _PLAIN.fullmatch(text) or _UNQUOTABLE.search(text) or _SYNTAX.search(text):
        return False
    if flow and _FLOW_SYNTAX.search(text):
        return False
    return not (careful and _OTHER.fullmatch(text))


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    return _SHORT.get(char) or (f"\\x{ord(char):02x}" if char <= "\xff" else f"\\u{ord(char):04x}")


def literal(text: str, indent: str, eol: str) -> str | None:
    """A text of several lines as a `|` block without its last line end; None if that cannot hold it."""
    lines = text.removesuffix("\n").split("\n")
    unsafe = any(_UNQUOTABLE.search(line) or (line and not line.strip()) for line in lines)
    if unsafe or len(lines) == 1 or not lines[-1] or lines[0][:1] in {"", " "}:
        return None
    header = "|" if text.endswith("\n") else "|-"
    return eol.join([header, *(indent + line if line else "" for line in lines)])


def inline(data: object, *, careful: bool, flow: bool = False) -> str:
    """Any data on one line: a text, `[a, b]` or `{a: b}`."""
    if isinstance(data, Mapping):
        pairs = (f"{scalar(key, flow=True)}: {inline(data[key], careful=careful, flow=True)}" for key in data)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(inline(part, careful=careful, flow=True) for part in data) + "]"
    return scalar(data, flow=flow, careful=careful)


def entry(key: str, data: object, indent: str, *, careful: bool, tall: bool = False) -> list[str]:
    """A key with its value as lines. Mappings get a line a key; lists one an item if `tall` or deep."""
    head = f"{indent}{scalar(key)}:"
    if isinstance(data, Mapping) and data:
        return [head, *(line for k in data for line in entry(k, data[k], indent + "  ", careful=careful))]
    if isinstance(data, list) and data and (tall or any(isinstance(part, (list, Mapping)) for part in data)):
        return [head, *(line for part in data for line in item(part, f"{indent}  - ", careful=careful))]
    return [f"{head} {inline(data, careful=careful)}"]


def item(data: object, prefix: str, style: str = "", *, careful: bool) -> list[str]:
    """One item of a block list as lines; `prefix` is its indentation with the dash."""
    if isinstance(data, Mapping) and data:
        hang = " " * len(prefix)
        lines = [line for key in data for line in entry(key, data[key], hang, careful=careful)]
        return [prefix + lines[0].removeprefix(hang), *lines[1:]]
    if isinstance(data, (list, Mapping)):
        return [prefix + inline(data, careful=careful)]
    return [prefix + scalar(data, style, careful=careful)]


def raw_of(value: object) -> object:
    """A value as the str, list or dict that reading its YAML would give."""
    if isinstance(value, Mapping):
        return {str(key): raw_of(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [raw_of(part) for part in value]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return _number(value)
    return "" if value is None else str(value)


def data_of(field: Field | None, value: object) -> object:
    """A field's typed value as the data that is written for it."""
    if field is not None and field.kind is Kind.CRITERIA and isinstance(value, tuple):
        return [_criterion(part) for part in value]
    return raw_of(value)


def with_unknown(data: object, raw: object) -> object:
    """Criteria with the keys of theirs that taskd does not know, as they stand beside the same text."""
    if not isinstance(data, list) or not isinstance(raw, list):
        return data
    told = [part if isinstance(part, dict) else {"criterion": part} for part in data]
    more = {
        str(part.get("criterion")): {key: part[key] for key in part if key not in _CRITERION_KEYS}
        for part in raw
        if isinstance(part, dict)
    }
    unknown = [more.get(str(part["criterion"]), {}) for part in told]
    return [
        {**full, **extra} if extra else part for part, full, extra in zip(data, told, unknown, strict=True)
    ]


def _number(value: float) -> str:
    """Hours and counts in plain digits: 1.5, 3, 0.0000001."""
    digits = f"{Decimal(repr(value)):f}"
    return digits.removesuffix(".0")


def _criterion(value: Criterion) -> object:
    if value.measurable is None and not value.met:
        return value.criterion
    said: dict[str, object] = {"criterion": value.criterion}
    if value.measurable is not None:
        said["measurable"] = value.measurable
    if value.met:
        said["met"] = True
    return said
