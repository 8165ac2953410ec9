"""Conflicts that are over because a file that git tracks has come to say what the index says.

Somebody typed that over what had lost, or merged: then what had lost is in the file's history. Of a file
that taskd writes it would prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskd.core.authored import authored, authored_of
from taskd.core.change import plain
from taskd.core.document import Document, read
from taskd.core.task import Task
from taskd.engine.accept import Origin, settled
from taskd.engine.provenance import Provenance
from taskd.errors import DocumentError
from taskd.store.base import Conflict, Txn


@dataclass(frozen=True, slots=True)
class Saying:
    """What the file at a path says now, and what it said before if somebody saved it by hand."""

    path: str
    document: Document
    before: Document | None


def end_conflicts(txn: Txn, git: Provenance, head: Task, saying: Saying) -> None:
    """Take the conflicts off that are over; all their values go into the journal."""
    key = git.worktree.key
    told, stands = authored(saying.document, head.id), authored_of(head)
    for row in txn.conflicts(head.id):
        agrees = row.field in stands and plain(told.get(row.field)) == plain(stands[row.field])
        if row.worktree == key and agrees and _has_ended(git, row, saying):
            answer = {"take": "index", "value": plain(stands[row.field])}
            txn.record([settled(row, answer, Origin(key, key, key, "git"), txn.now())])
            txn.drop_conflict(row.id)


def _has_ended(git: Provenance, row: Conflict, saying: Saying) -> bool:
    """Whether what had lost was typed over, or is in the history that is checked out."""
    if saying.before is not None and _says(row, saying.before):
        return True
    return any(_says(row, version) for text in git.versions(saying.path) if (version := _read_or_none(text)))


def _says(row: Conflict, document: Document) -> bool:
    return plain(authored(document, row.task).get(row.field)) == row.file


def _read_or_none(text: bytes) -> Document | None:
    try:
        return read(text)
    except DocumentError:
        return None
