"""A deleted task's records: kept in the journal when they go, brought back when the task is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from taskd.core.change import snapshot
from taskd.core.task import ContextItem, Feedback, Note, Participant, PrivateNote, Task
from taskd.store.base import Txn

#: what a snapshot has of them; private notes are no business of who reads the journal
RECORDS: Final = ("notes", "participants", "context", "feedback")
PRIVATE: Final = "private_notes"


def obituary(txn: Txn, task: Task) -> object:
    """All of a task that is about to be deleted, as JSON; of private notes only the hash of a kept text."""
    whole = txn.task(task.id) or task
    told = snapshot(replace(task, **{name: getattr(whole, name) for name in RECORDS}))
    if not whole.private_notes or not isinstance(told, dict):
        return told
    private = json.dumps([asdict(note) for note in whole.private_notes]).encode()
    return {**told, PRIVATE: txn.keep(private)}


def bring_back(txn: Txn, id: str) -> None:
    """Give a restored task the records it had when it was deleted."""
    ends = [entry.old for entry in txn.journal(id) if entry.field == "*" and entry.new is None]
    if not ends or not isinstance(ends[-1], Mapping):
        return
    told: Mapping[str, Any] = ends[-1]
    for note in told.get("notes", ()):
        txn.add_note(id, Note(**note))
    for participant in told.get("participants", ()):
        txn.put_participant(id, Participant(**participant))
    for item in told.get("context", ()):
        txn.put_context(id, ContextItem(**item))
    for feedback in told.get("feedback", ()):
        txn.add_feedback(id, Feedback(**feedback))
    if PRIVATE in told:
        for note in json.loads(txn.text(told[PRIVATE])):
            txn.add_private_note(id, PrivateNote(**note))
