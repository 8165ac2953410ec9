"""YAML's complaints in plain words."""

from __future__ import annotations

import pytest
import yaml

from taskd.core.complaints import explained
from taskd.core.guard import split
from taskd.core.outline import LOADER


@pytest.mark.parametrize(
    ("front", "line", "reason", "remedy"),
    [
        ("id: a\nx: b: c\n", 3, "a second `: ` in an unquoted value", "put the value in quotes"),
        ("id: a\n\tx: b\n", 3, "a tab where YAML wants spaces", "indent with spaces"),
        ("id: a\nx: `b`\n", 3, "an unquoted value begins with ```", "put the value in quotes"),
        ("id: a\nx: 'b\n\n\n", 3, "a quote is opened here and never closed", "close the quote"),
        ("id: a\nx: {b: c\n\n\n", 3, "a mapping is opened here with { and not closed", "close it with }"),
        ("id: a\nx: - b\n", 3, "YAML cannot read it", "correct this line by hand"),
    ],
)
def test_a_complaint_names_the_line_a_person_has_to_look_at(
    front: str, line: int, reason: str, remedy: str
) -> None:
    """Not where the parser gave up, but where the mistake begins."""
    parts = split(f"---\n{front}---\n".encode())
    assert parts is not None
    with pytest.raises(yaml.YAMLError) as caught:
        list(yaml.parse(parts.front, Loader=LOADER))

    error = explained(parts, caught.value)

    assert (error.line, error.reason, error.remedy) == (line, reason, remedy)


def test_a_complaint_without_a_place_is_put_on_the_first_key() -> None:
    """Whatever the parser raises becomes a problem with a line."""
    parts = split(b"---\nid: a\n---\n")
    assert parts is not None

    assert explained(parts, yaml.YAMLError("odd")).line == 2
