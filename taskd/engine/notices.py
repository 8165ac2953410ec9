"""Notices: files that say something which was not taken, and the word that makes one of them speak."""

from __future__ import annotations

from dataclasses import asdict, replace

from taskd import wire
from taskd.core.authored import authored_of
from taskd.core.change import plain
from taskd.core.document import Document, read
from taskd.core.plan import Context, Head, Plan, Refusal
from taskd.core.reconcile import reconcile
from taskd.core.render import replica_text
from taskd.core.request import without_request
from taskd.core.statusline import with_status
from taskd.core.task import Status, Task
from taskd.core.texts import text_hash
from taskd.engine.callers import demand_heard
from taskd.engine.desk import Desk
from taskd.engine.site import Place
from taskd.errors import Missing
from taskd.store.base import Base, Conflict


def list_notices(desk: Desk, _: wire.Nothing) -> object:
    """Files that say something which was not taken, and the command that takes it."""
    return [asdict(problem) for problem in desk.txn.problems() if problem.kind == "notice"]


def take_file(desk: Desk, p: wire.Take) -> object:
    """Let a worktree's file speak: what it says differently goes in as the caller's change.

    The task, with `refused` (`[{field, reason, remedy}]`) where something could not be taken.
    """
    task = desk.find_own(p.id, force=p.force)
    place, base = _replica(desk, task, p.worktree)
    plan = _planned(desk, task, read(_said(desk, task, base, demand_heard(desk.txn, place, base))))
    new = _carried_in(desk, task, plan, place, force=p.force)
    _drop_notices(desk, base)
    return {**desk.tell(new.id), "refused": [asdict(refusal) for refusal in plan.refusals]}


def _replica(desk: Desk, task: Task, worktree: str) -> tuple[Place, Base]:
    place = desk.site.places.get(worktree)
    if place is None or place.worktree is None:
        known = ", ".join(sorted(key for key, one in desk.site.places.items() if one.worktree is not None))
        raise Missing(reason=f"there is no worktree {worktree!r}", remedy=f"choose one of {known}")
    for base in desk.txn.bases_of(task.id):
        if base.worktree == worktree:
            return place, base
    remedy = f"`taskd show {task.id}` lists its files"
    raise Missing(reason=f"{task.id} has no file in {worktree}", remedy=remedy)


def _said(desk: Desk, task: Task, base: Base, text: bytes) -> bytes:
    """What the file said that was not taken: taskd may have written the head over it since."""
    here = [p for p in desk.txn.problems(base.worktree) if (p.path, p.kind) == (base.path, "notice")]
    ours = _written_since(desk, task, here[-1].since) if here else set()
    if base.text not in ours:
        return text
    heard = [hash for hash in desk.txn.carried(base.worktree, base.path) if hash not in ours]
    return desk.txn.text(heard[-1]) if heard else text


def _written_since(desk: Desk, task: Task, since: str) -> set[str | None]:
    """The hashes of all that taskd may have written into replicas of a task since a moment."""
    later = [entry.revision for entry in desk.txn.journal(task.id) if entry.at > since]
    versions = range(min(later, default=task.revision + 1) - 1, task.revision + 1)
    hashes = {hash for number in versions if (hash := desk.txn.head(task.id, number)) is not None}
    texts = [desk.txn.text(hash) for hash in hashes | {task.text}]
    return {text_hash(with_status(text, status)) for text in texts for status in Status}


def _planned(desk: Desk, task: Task, document: Document | None) -> Plan:
    """What follows when all that the document says differently is taken for an edit of the head."""
    head = Head(task, replica_text(desk.txn.text(task.text), task))
    assert document is not None  # noqa: S101 - it was read when it was taken in
    heard, refusals = _without_old_status(desk, task, head, document)
    plan = reconcile(read(head.text), heard, head, _context(desk), task.id)
    return replace(plan, refusals=(*refusals, *plan.refusals))


def _without_old_status(
    desk: Desk, task: Task, head: Head, document: Document
) -> tuple[Document, tuple[Refusal, ...]]:
    """A status that the task had before is no request: what git put back must not reopen finished work."""
    asked = document.runtime.get("status")
    if asked == task.status or asked not in _former_statuses(desk, task):
        return document, ()
    remedy = f"`taskd status {task.id} {asked}`, if that is wanted"
    refusal = Refusal("status", f"it was {asked} before and is {task.status} by now", remedy)
    return read(without_request(document.text, head.text)) or document, (refusal,)


def _former_statuses(desk: Desk, task: Task) -> set[object]:
    """Every status the task has left."""
    return {entry.old for entry in desk.txn.journal(task.id) if entry.field == "status"}


def _context(desk: Desk) -> Context:
    def unfinished(depends_on: tuple[str, ...]) -> tuple[str, ...]:
        found = desk.txn.many(depends_on)
        return tuple(on for on in depends_on if on not in found or not _is_done(found[on]))

    return Context(
        now=desk.txn.now(),
        participant=desk.who.actor,
        merger=desk.site.git.merge_file,
        blocked_by=unfinished,
        reaches=desk.txn.reaches,
        status_by=lambda: None,  # the file is compared with the head itself, which nobody changed since
        status_edits=desk.rules.status_edits,
    )


def _is_done(task: Task) -> bool:
    return task.status is Status.COMPLETED and task.deleted_at is None


def _carried_in(desk: Desk, task: Task, plan: Plan, place: Place, *, force: bool) -> Task:
    shown = replica_text(desk.txn.text(task.text), task)
    text = task.text if plan.text == shown else desk.txn.keep(plan.text)
    steps = [replace(step, text=text) for step in plan.steps]
    new = desk.accept(task, _as_it_stood(replace(plan.task, text=text), task), *steps, forced=force)
    for clash in plan.clashes:
        values = (plain(clash.base), plain(clash.index), plain(clash.file))
        desk.txn.put_conflict(Conflict(task.id, clash.field, place.key, *values, since=desk.txn.now()))
    if desk.place is None or place.key != desk.place.key:
        before, after = authored_of(task), authored_of(new)
        names = [name for name in before.keys() | after.keys() if name not in ("id", "modified")]
        news = {name: after.get(name) for name in names if before.get(name) != after.get(name)}
        desk.authored += [(task.id, news)] if news else []
    return new


def _as_it_stood(new: Task, old: Task) -> Task:
    """What people wrote is new, how the task stands is not: the steps come after."""
    return replace(
        new,
        status=old.status,
        reason=old.reason,
        started=old.started,
        completed=old.completed,
        claim=old.claim,
    )


def _drop_notices(desk: Desk, base: Base) -> None:
    here = [problem for problem in desk.txn.problems(base.worktree) if problem.path == base.path]
    kept = [problem for problem in here if problem.kind != "notice"]
    desk.txn.put_problems(base.worktree, base.path, kept)
