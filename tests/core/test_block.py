"""The block of runtime fields in a complete text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskd.core.block import RUNTIME_MARK, VALUE_LIMIT, block_lines, with_block, without_block
from taskd.core.document import read
from taskd.core.task import Claim, MergeInfo, Progress, Status, Task

TASK = Task(id="a", name="a", file="a.md")
MARK = RUNTIME_MARK.encode()


def test_a_task_that_nobody_touched_has_no_block() -> None:
    """Most documents are shown as they were written."""
    assert block_lines(TASK, ()) == []
    assert with_block(b"---\nid: a\n---\n", []) == b"---\nid: a\n---\n"


def test_each_runtime_field_is_one_line() -> None:
    """Everything is shown but a claim's token and end: renewing a lease is no news."""
    task = replace(
        TASK,
        status=Status.IN_PROGRESS,
        started="then",
        claim=Claim("bob", "s", "w", 7, "then", "later"),
        progress=Progress(40, 'half "done"', "now", "bob"),
        actual_hours=0.0,
        merge=MergeInfo("c0ffee"),
    )

    assert block_lines(task, ("b",)) == [
        'started: "then"',
        'claim: {"holder": "bob", "session": "s", "worktree": "w", "since": "then"}',
        'progress: {"percent": 40, "text": "half \\"done\\"", "at": "now", "by": "bob"}',
        "actual_hours: 0.0",
        'merge: {"commit": "c0ffee", "date": null, "author": null, "pr": null}',
    ]
    assert block_lines(TASK, ("b",)) == ['blocked_by: ["b"]']


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("two\nlines\t😀", "two\nlines\t😀"),
        ("bell\x07 and half\udc80", "bell\ufffd and half\ufffd"),
        ("\x85\u2028\ufeff", "\x85\u2028\ufeff"),
        ("x" * 3000, "x" * (VALUE_LIMIT - 1) + "…"),
    ],
)
def test_any_reason_can_be_shown(reason: str, shown: str) -> None:
    """Whatever people put into a reason, the document stays readable."""
    task = replace(TASK, status=Status.FAILED, reason=reason)

    document = read(with_block(b"---\nid: a\n---\n", block_lines(task, ())))

    assert document is not None
    assert document.runtime["reason"] == shown


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (b"---\nid: a\n---\nb", b"---\nid: a\n" + MARK + b'\nreason: "r"\n---\nb'),
        (
            b"\xef\xbb\xbf---\r\nid: a\r\n---\r\n---\r\n",
            b"\xef\xbb\xbf---\r\nid: a\r\n" + MARK + b'\r\nreason: "r"\r\n---\r\n---\r\n',
        ),
        (b"---\n\n# c\n  id: a\n...\n", b"---\n\n# c\n  id: a\n  " + MARK + b'\n  reason: "r"\n...\n'),
        (b"---\nreason: mine\nid: a\n---\n", b"---\nid: a\n" + MARK + b'\nreason: "r"\n---\n'),
        (b"---\n{id: a}\n---\n", b"---\n{id: a}\n---\n"),
        (b"---\nid: a\nreason: x\ny: [\n---\n", b"---\nid: a\nreason: x\ny: [\n---\n"),
        (b"no frontmatter", b"no frontmatter"),
        (b"---\nid: a\n", b"---\nid: a\n"),
        (b"---\n---\n", b"---\n---\n"),
    ],
)
def test_the_block_ends_the_frontmatter(text: bytes, whole: bytes) -> None:
    """It is written the way the file is, in place of keys of the same name, and never into the body."""
    assert with_block(text, ['reason: "r"']) == whole


def test_a_frontmatter_at_its_limits_is_left_alone() -> None:
    """A block that would make the document unreadable is not shown; where there is room it is."""
    near, far = (b"---\nid: a\n" + b"x: " + b"y" * size + b"\n---\n" for size in (20_000, 65_500))

    assert MARK in with_block(near, ['reason: "r"'])
    assert with_block(far, ['reason: "r"']) == far
    anchored = b'---\nid: a\nx: "\\\\"\n---\n'
    assert MARK in with_block(anchored, ['reason: "r"'])


def test_only_our_own_lines_are_taken_out() -> None:
    """Keys that somebody added below the mark are theirs; entries of ours go with their lines."""
    ours = "reason: >\n  more\n\n  still\n"
    front = f"id: a\nreason: above\n{RUNTIME_MARK}\n{ours}team: x\nclaim:\n- y\n  reason: z\n# c\n"

    assert without_block(front) == "id: a\nreason: above\nteam: x\n# c\n"


def test_nested_keys_of_the_same_name_are_not_ours() -> None:
    """Below the mark too, only keys at the mark's own indentation are the index's."""
    front = f"  id: a\n  {RUNTIME_MARK}\n  started: x\n  team:\n    reason: mine\n"

    assert without_block(front) == "  id: a\n  team:\n    reason: mine\n"
