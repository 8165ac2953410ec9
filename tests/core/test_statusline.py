"""The status line: seen without parsing where it is plain, set in its place."""

from __future__ import annotations

import pytest

from taskd.core import statusline
from taskd.core.statusline import with_status
from taskd.core.task import Status

SHOWN = [
    (b"---\nid: a\n---\n", Status.PENDING, b"---\nid: a\n---\n"),
    (b"---\nid: a\nstatus: TODO # t\n---\n", Status.PENDING, b"---\nid: a\nstatus: TODO # t\n---\n"),
    (b"---\nid: a\nstatus: TODO # t\n---\n", Status.FAILED, b"---\nid: a\nstatus: failed # t\n---\n"),
    (b"---\nid: a\n---\n", Status.FAILED, b"---\nid: a\nstatus: failed\n---\n"),
    (b"---\nid: a\nstatus: wibble\n---\n", Status.FAILED, b"---\nid: a\nstatus: failed\n---\n"),
    (b"---\nid: a\nstatus: done\n  it\n---\n", Status.FAILED, b"---\nid: a\nstatus: failed\n---\n"),
    (b"---\n{id: a, status: done}\n---\n", Status.FAILED, b"---\n{id: a, status: failed}\n---\n"),
    (b"---\n  id: a\n  status: done\n---\n", Status.COMPLETED, b"---\n  id: a\n  status: done\n---\n"),
    (
        b'---\nid: a\nx: "\nstatus: done\n"\n---\n',
        Status.PENDING,
        b'---\nid: a\nx: "\nstatus: done\n"\n---\n',
    ),
    (b"---\nid: a\nx: |\n  status: y\n---\n", Status.PENDING, b"---\nid: a\nx: |\n  status: y\n---\n"),
    (b"---\nid: a\n---\nstatus: done\n", Status.PENDING, b"---\nid: a\n---\nstatus: done\n"),
    (b"# readme\n", Status.FAILED, b"# readme\n"),
    (b"---\nid: a\n", Status.FAILED, b"---\nid: a\n"),
    (b"---\nid: [\n---\nstatus", Status.FAILED, b"---\nid: [\n---\nstatus"),
]


@pytest.mark.parametrize(("text", "status", "shown"), SHOWN)
def test_a_document_shows_a_status(text: bytes, status: Status, shown: bytes) -> None:
    """One word changes and no other byte; what cannot be read is left alone."""
    assert with_status(text, status) == shown


def test_most_documents_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Showing the status of ten thousand ordinary documents costs no YAML."""
    monkeypatch.setattr(statusline, "read", None)
    text = b"---\nid: a\nname: it's\ntags: [x, 'y']\n# c\nsuccess_criteria:\n  - \"z\"\n  - k: {v: w}\n"

    assert with_status(text + b"---\nstatus\n", Status.PENDING) == text + b"---\nstatus\n"
    assert with_status(text + b"status: wip\n---\n", Status.FAILED) == text + b"status: failed\n---\n"
