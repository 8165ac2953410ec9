"""Line merges in which keys do not collide."""

from __future__ import annotations

from taskd.core.reading import Reading, opened
from taskd.core.seams import with_seams
from tests.laws.lines import merge_lines


def reading(text: str) -> Reading:
    """A text as a document."""
    found = opened(text.encode())
    assert found is not None
    return found


def test_neighbours() -> None:
    """Changes of neighbouring keys merge cleanly, though their lines touch; nothing else comes of it."""
    texts = (
        "---\n# which\nid: a\nrisk: low\ntags:\n- x\n---\n",
        "---\n# which\nid: a\nrisk: high # !\ntags:\n- x\n---\n",
        "---\n# which\nid: a\nrisk: low\ntags:\n- y\n---\n",
    )
    base, ours, theirs = map(reading, texts)
    merge = with_seams(merge_lines, (base, ours, theirs))

    assert merge(*(text.encode() for text in texts)) == (
        b"---\n# which\nid: a\nrisk: high # !\ntags:\n- y\n---\n",
        True,
    )


def test_key_by_another_spelling() -> None:
    """A key is the same under each of its spellings."""
    texts = ("---\nid: a\ndependsOn: [x]\n---\n", "---\nid: b\ndependsOn: [x]\n---\n")
    new = "---\nid: a\ndepends_on: [x]\n---\n"
    merge = with_seams(merge_lines, [reading(text) for text in (*texts, new)])

    assert merge(*(text.encode() for text in (*texts, new))) == (b"---\nid: b\ndepends_on: [x]\n---\n", True)


def test_other_texts() -> None:
    """Texts that are no documents, and documents between braces, are merged as they are."""
    braces = "---\n{id: a, risk: low}\n---\n"
    merge = with_seams(merge_lines, [reading(braces)])

    assert merge(b"a\n", b"b\n", b"a\n") == (b"b\n", True)
    assert merge(braces.encode(), b"x\n", braces.encode()) == (b"x\n", True)
