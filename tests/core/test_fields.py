"""The field table: what each field takes, and what it says of what it does not."""

from __future__ import annotations

import pytest

from taskd.core.fields import (
    AUTHORED,
    FIELDS,
    KEYS,
    LIST_LIMIT,
    Kind,
    Owner,
    expected,
    is_slug,
    slug_of,
    status_of,
    typed,
)
from taskd.core.task import Criterion, Status

TYPED = [
    ("id", "0012", "0012"),
    ("id", " a-b.c_d ", "a-b.c_d"),
    ("name", "on", "on"),
    ("name", "~", None),
    ("name", "", None),
    ("risk", "High", "high"),
    ("risk", "quite high", "quite high"),
    ("scope", "null", None),
    ("status", "IN_PROGRESS", Status.IN_PROGRESS),
    ("status", "wibble", "wibble"),
    ("tags", "a, b,,a", ("a", "b")),
    ("tags", ["a", "~", " b ", " ", "a"], ("a", "b")),
    ("tags", (), ()),
    ("depends_on", "a", ("a",)),
    ("depends_on", ["a", "b", "a"], ("a", "b")),
    ("estimate", "1.5h", 1.5),
    ("estimate", ".5", 0.5),
    ("estimate", 2, 2.0),
    ("due", "2026-01-31", "2026-01-31"),
    ("due", " 2026-01-31T10:00:00Z ", "2026-01-31T10:00:00Z"),
    ("success_criteria", "it works", (Criterion("it works"),)),
    (
        "success_criteria",
        ["a", {"criterion": "b", "measurable": "m", "met": "yes"}],
        (Criterion("a"), Criterion("b", "m", met=True)),
    ),
    (
        "success_criteria",
        [{"criterion": "b", "met": True}, "", {"criterion": "c", "met": "no"}],
        (Criterion("b", met=True), Criterion("c")),
    ),
    ("success_criteria", (Criterion("a"),), (Criterion("a"),)),
    ("body", "a\nb", "a\nb"),
    ("claim", {"x": ["y"]}, {"x": ["y"]}),
]

REFUSED = [
    ("id", "Not A Slug", "is no id"),
    ("id", "a" * 101, "is no id"),
    ("id", ["a"], "must be a text, not a list"),
    ("name", {"a": "b"}, "must be a text, not a mapping"),
    ("name", "a\x07b", "control character"),
    ("name", "x" * 501, "longer than 500"),
    ("tags", {"a": "b"}, "must be a list, not a mapping"),
    ("tags", ["x"] * (LIST_LIMIT + 1), "more than 1000 entries"),
    ("tags", [["x"]], "must be a text, not a list"),
    ("depends_on", ["a", "B C"], "is no id"),
    ("estimate", "soon", "must be hours like 1.5"),
    ("estimate", "9" * 400, "must be hours like 1.5"),
    ("estimate", "-1", "must be hours like 1.5"),
    ("due", "tomorrow", "must be a date like 2026-01-31"),
    ("due", "2026-01-31T25:00:00Z", "must be a date like 2026-01-31"),
    ("success_criteria", ["x"] * (LIST_LIMIT + 1), "more than 1000 entries"),
    ("success_criteria", [{"measurable": "m"}], "must be a text or have a key `criterion`"),
    ("success_criteria", [["x"]], "must be a text or have a key `criterion`"),
]


@pytest.mark.parametrize(("name", "raw", "value"), TYPED)
def test_a_value_is_typed_by_its_field(name: str, raw: object, value: object) -> None:
    """What YAML gives as text becomes what the field is, and nothing is guessed beyond that."""
    assert typed(FIELDS[name], raw) == (FIELDS[name].default if value is None else value)


@pytest.mark.parametrize(("name", "raw", "reason"), REFUSED)
def test_a_value_that_is_none_says_why(name: str, raw: object, reason: str) -> None:
    """The reason names the field and what it takes."""
    with pytest.raises(ValueError, match=reason):
        typed(FIELDS[name], raw)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", Status.PENDING),
        ("TODO", Status.PENDING),
        ("in progress", Status.IN_PROGRESS),
        ("IN-PROGRESS", Status.IN_PROGRESS),
        ("DONE", Status.COMPLETED),
        (" failed ", Status.FAILED),
        ("on_hold", Status.BLOCKED),
        ("wibble", None),
    ],
)
def test_statuses_are_known_in_many_spellings(word: str, status: Status | None) -> None:
    """People and other tools write statuses their way."""
    assert status_of(word) is status


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Fix: the Login!", "fix-the-login"),
        ("日本", "task"),
        ("x" * 60, "x" * 48),
        ("a" * 47 + " b", "a" * 47),
    ],
)
def test_a_title_suggests_an_id(title: str, slug: str) -> None:
    """An id made from a title is one, however odd the title."""
    assert slug_of(title) == slug
    assert is_slug(slug)


def test_unexpected_words_are_told_from_expected_ones() -> None:
    """Only enums have words they expect, and not assessed is always fine."""
    assert expected(FIELDS["risk"], "high")
    assert expected(FIELDS["risk"], None)
    assert not expected(FIELDS["risk"], "quite high")
    assert expected(FIELDS["name"], "anything")


def test_assessments_are_nullable() -> None:
    """Not assessed is never defaulted to a value."""
    names = ("scope", "risk", "impact", "level", "priority")

    assert [FIELDS[name].default for name in names] == [None] * 5


def test_every_key_leads_to_one_field() -> None:
    """Aliases are read, and each field has one owner."""
    assert KEYS["dependsOn"] is KEYS["depends_on"]
    assert KEYS["title"] is FIELDS["name"]
    assert {name for name in FIELDS if FIELDS[name].owner is Owner.AUTHORED} == set(AUTHORED)
    assert [name for name in AUTHORED if FIELDS[name].kind is Kind.RECORD] == []
