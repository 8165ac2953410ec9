"""What a document asks of the index: its status, and nothing else of what the index keeps."""

from __future__ import annotations

from dataclasses import dataclass

from taskd.core import claims, lifecycle
from taskd.core.document import Document, edit, read
from taskd.core.plan import IGNORE, Context, Refusal
from taskd.core.task import Status, Task
from taskd.errors import Uneditable


@dataclass(frozen=True, slots=True)
class Granted:
    """The task after a request; the steps it went through, or why it is as it was."""

    task: Task
    steps: tuple[Task, ...] = ()
    refusal: Refusal | None = None


def grant(base: Document | None, document: Document, task: Task, context: Context) -> Granted:
    """Do what the document's status asks for, if it asks for anything and may.

    * The base's status, none, or a word nobody knows: nothing is asked. Without a base neither.
    * The status people are shown already: nothing to do.
    """
    asked = document.runtime.get("status")
    if base is None or not isinstance(asked, Status) or asked == _status_in(base):
        return Granted(task)
    blocked_by = context.blocked_by(task.depends_on)
    if asked in (task.status, lifecycle.effective(task, blocked_by)):
        return Granted(task)
    refusal = _why_not(_status_in(base), task, asked, blocked_by, context)
    if refusal is not None:
        return Granted(task, refusal=refusal)
    passed = list[Task]()
    for status in lifecycle.steps(task.status, asked):
        task = lifecycle.move(task, status, now=context.now)
        passed.append(task)
    return Granted(task, tuple(passed))


def _status_in(document: Document) -> Status:
    """What a document says of the status; one without, or with a word nobody knows, says pending."""
    said = document.runtime.get("status")
    return said if isinstance(said, Status) else Status.PENDING


def _why_not(
    before: Status, task: Task, asked: Status, blocked_by: tuple[str, ...], context: Context
) -> Refusal | None:
    command = f"`taskd status {task.id} {asked}`"
    if context.status_edits == IGNORE:
        return Refusal("status", "status is changed by commands in this repository", command)
    shown = lifecycle.effective(task, blocked_by)
    if before not in (task.status, shown) and context.status_by() != context.participant:
        reason = f"it is {shown} by now; the file was saved from an older state"
        return Refusal("status", reason, f"{command}, if that is still wanted")
    claim = task.claim
    if claim is not None and claims.is_live(claim, context.now) and claim.holder != context.participant:
        reason = f"{claim.holder} has claimed it until {claim.expires}"
        return Refusal("status", reason, f"ask {claim.holder}, or wait until the claim is over")
    if blocked_by and lifecycle.is_gated(task, asked):
        waits_for = ", ".join(blocked_by)
        return Refusal("status", f"it waits for {waits_for}", f"finish {waits_for} first")
    if not lifecycle.steps(task.status, asked):
        lawful = ", ".join(lifecycle.lawful_from(task.status))
        return Refusal("status", f"from {task.status} it cannot go to {asked}", f"choose one of: {lawful}")
    return None


def without_request(text: bytes, before: bytes) -> bytes:
    """The text with the status that `before` says: a refused request is as if it had not been typed."""
    document = read(before)
    said = None if document is None else document.runtime.get("status")
    try:
        return edit(text, "status", said)
    except Uneditable:
        return text


def ignored_runtime(document: Document) -> tuple[Refusal, ...]:
    """Runtime fields in a document, but for status: reported, and left to the index."""
    reason = "{} is kept by the index; the file's value is not taken"
    return tuple(
        Refusal(name, reason.format(name), "take that line out, and use the command for it")
        for name in document.runtime
        if name != "status"
    )
