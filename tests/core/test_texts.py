"""Texts by hash."""

from __future__ import annotations

from taskd.core.texts import text_hash


def test_a_text_has_one_name() -> None:
    """Equal bytes have equal names, other bytes others, and a name is 40 hex digits."""
    assert text_hash(b"a") == text_hash(b"a")
    assert text_hash(b"a") != text_hash(b"a\n")
    assert len(text_hash(b"")) == 40
