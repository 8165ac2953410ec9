"""Steps 3 to 5: what stands in touched replicas is read, decided about, and committed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Final

from taskd.core.change import plain
from taskd.core.document import Document, read
from taskd.core.fields import is_slug, slug_of
from taskd.core.reconcile import Context, Head, Plan, reconcile
from taskd.core.render import authored_text, replica_text
from taskd.core.task import Task
from taskd.core.texts import text_hash
from taskd.engine.accept import Origin, accept, touch
from taskd.engine.site import MIRROR, REPLICAS, SHARED, WORKSPACE, Place, Site
from taskd.errors import DocumentError, NotYet, TaskdError
from taskd.repo import crash, replicas
from taskd.store.base import Base, Conflict, Problem, Stamp, Txn

UNFINISHED_GRACE: Final = 2.0  # seconds an empty or half-written file is given before it is a problem
BATCH: Final = 100  # files a transaction; a command waits for one batch at most


@dataclass(slots=True)
class Ingested:
    """What came of a batch: tasks that changed, paths to look at again, paths that are gone."""

    changed: set[str] = field(default_factory=set)
    #: tasks that a file was not known to be of, so nothing could be written over it
    placed: set[str] = field(default_factory=set)
    again: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def add(self, other: Ingested) -> None:
        """Take another batch's outcome in."""
        self.changed |= other.changed
        self.placed |= other.placed
        self.again += other.again
        self.absent += other.absent


def ingest(site: Site, place: Place, paths: Sequence[str], now_ns: int) -> Ingested:
    """Take in the documents at `paths` of a place. The caller holds the write lock.

    * A file that cannot be read, or is no valid document, changes nothing and is listed as a problem.
    * A file that is not there though it had a base is reported as absent; nothing follows from it here.
    * The outcome does not depend on how the paths are cut into batches.
    """
    gone = [path for path in paths if not os.path.lexists(place.root / path)]
    standing = [path for path in paths if path not in set(gone)] if gone else list(paths)
    report = Ingested(absent=gone)
    for start in range(0, len(standing), BATCH):
        found = read_replicas(place, standing[start : start + BATCH], now_ns, report)
        site.log.debug("replica.read", worktree=place.key, files=len(found))
        crash.point("replica.read")
        site.beat()
        report.add(_commit(site, place, found, now_ns, gone))
    with site.db.read() as view:  # what was moved, or removed by ourselves, has no base any more
        report.absent = [path for path in report.absent if view.base(place.key, path) is not None]
    return report


def read_replicas(
    place: Place, paths: Iterable[str], now_ns: int, report: Ingested
) -> list[replicas.Reading | replicas.Trouble]:
    """The bytes of each path, or why there are none; absent ones go into the report."""
    found = list[replicas.Reading | replicas.Trouble]()
    for path in paths:
        reading = replicas.read(place.root, path, now_ns=now_ns)
        if reading is None:
            report.absent.append(path)
        else:
            found.append(reading)
    return found


def _commit(
    site: Site,
    place: Place,
    found: Sequence[replicas.Reading | replicas.Trouble],
    now_ns: int,
    gone: Sequence[str],
) -> Ingested:
    report = Ingested()
    news = _with_news(site, place, found)
    if not news:
        return report
    with site.writing() as txn:
        for item in news:
            _Taker(site, place, txn, now_ns, report, gone).take(item)
        crash.point("index.committing")
    crash.point("index.committed")
    if report.changed:
        site.log.info("index.committed", worktree=place.key, tasks=len(report.changed))
    return report


def _with_news(
    site: Site, place: Place, found: Sequence[replicas.Reading | replicas.Trouble]
) -> list[replicas.Reading | replicas.Trouble]:
    """What the index does not know yet; our own writes come back as events and are nothing new."""
    with site.db.read() as view:
        listed = {problem.path for problem in view.problems(place.key)}
        return [
            item
            for item in found
            if isinstance(item, replicas.Trouble)
            or item.path in listed
            or (base := view.base(place.key, item.path)) is None
            or base.text != text_hash(item.text)
            or base.stamp != _stamp(item)
        ]


@dataclass(slots=True)
class _Taker:
    """Takes one replica's document into an open transaction."""

    site: Site
    place: Place
    txn: Txn
    now_ns: int
    report: Ingested
    #: paths of the same batch that are not there any more
    gone: Sequence[str]

    def take(self, item: replicas.Reading | replicas.Trouble) -> None:
        """Take one reading in; a fault with one file never stops the others."""
        if isinstance(item, replicas.Trouble):
            self._list_trouble(item)
            return
        try:
            with self.txn.savepoint():
                self._take_reading(item)
        except NotYet as error:
            self._wait_for(item, error)
        except DocumentError as error:
            self._reject(item, error)
        except TaskdError as error:
            self._reject(item, DocumentError(error.message, 1, error.advice))
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            self.site.log.exception("plan.failed", worktree=self.place.key, path=item.path)
            reason = f"taskd could not take this file in ({type(error).__name__}: {error})"
            self._reject(item, DocumentError(reason, 1, "the index keeps its last good state; report this"))

    def _take_reading(self, item: replicas.Reading) -> None:
        base = self.txn.base(self.place.key, item.path)
        hash = text_hash(item.text)
        if base is not None and base.text == hash:
            self._look_over(base, item)
            return
        text = authored_text(item.text) if self.place.key == WORKSPACE else item.text
        document = read(text)
        if document is None:
            self._no_task(base, item)
            return
        id = self._id_of(document, base, item)
        former = self._former_place(id, document, base, item)
        self._settle(id, document, former, item)

    # -- which task is it?

    def _id_of(self, document: Document, base: Base | None, item: replicas.Reading) -> str:
        written = document.values.get("id")
        if isinstance(written, str):
            return written
        if base is not None and base.task is not None:
            return base.task
        stem = PurePosixPath(item.path).stem
        implied = stem if is_slug(stem) else slug_of(stem)
        moved = self._moved_from(item)
        if moved is not None:
            return moved
        owner = self.txn.many([implied]).get(implied)
        if (
            owner is not None
            and owner.deleted_at is None
            and owner.file != item.path
            and self._holds(implied)
        ):
            reason = f"the id {implied!r}, taken from the file name, belongs to {owner.file}"
            raise DocumentError(reason, 1, "write another `id:` into this file")
        return implied

    def _holds(self, id: str) -> bool:
        return any(base.worktree == self.place.key for base in self.txn.bases_of(id))

    def _moved_from(self, item: replicas.Reading) -> str | None:
        """The task of an id-less file that was renamed: same inode or same text, old name just gone."""
        for path in self.gone:
            base = self.txn.base(self.place.key, path)
            if base is not None and base.task is not None and _is_same_file(base, item):
                return base.task
        return None

    def _stands(self, path: str) -> bool:
        return replicas.read(self.place.root, path, now_ns=self.now_ns) is not None

    def _former_place(
        self, id: str, document: Document, base: Base | None, item: replicas.Reading
    ) -> Base | None:
        """The base to merge over: this path's, or that of the path the file was moved from.

        Raises when another file of this place is the task already.
        """
        if base is not None and base.task == id:
            return base
        others = [b for b in self.txn.bases_of(id) if b.worktree == self.place.key and b.path != item.path]
        for other in others:
            if self._stands(other.path):
                line = _line_of(document, b"id")
                reason = f"the id {id!r} belongs to {other.path} already"
                raise DocumentError(reason, line, "give this file an `id` of its own, or delete the copy")
        if others:
            self.txn.drop_base(self.place.key, others[0].path)
            self.txn.put_problems(self.place.key, others[0].path, [])
            return others[0]
        if base is not None and base.task is not None and self._is_new_name(base.task, id):
            self.txn.rename(base.task, id)
            touch(self.txn, id)
            return replace(base, task=id)
        return None

    def _is_new_name(self, old: str, new: str) -> bool:
        """Whether an id typed over another renames the task: nobody has it, no other file the old one."""
        elsewhere = {b.worktree for b in self.txn.bases_of(old)} - {self.place.key, WORKSPACE, "@branch"}
        ours = self.site.rules.layout == SHARED or not elsewhere
        return ours and not self.txn.taken([new])

    # -- what follows?

    def _settle(self, id: str, document: Document, former: Base | None, item: replicas.Reading) -> None:
        head = self.txn.task(id)
        if head is not None and head.deleted_at is not None:
            head = self._lift_tombstone(head, former, item)
            if head is None:
                return
        base = None if former is None or former.text is None else self._base_document(former.text)
        hash = text_hash(document.text)
        if head is not None and (base is None or self._is_tracked(item)) and self.txn.known(id, hash):
            self._rest(id, item)
            self.txn.enqueue(REPLICAS, [id])
            return
        now = self.txn.now()
        origin = self._origin(head, now)
        plan = reconcile(base, document, self._head(head), self._context(id, origin.actor, now), id)
        self.site.log.debug("plan.made", task=id, worktree=self.place.key, clashes=len(plan.clashes))
        crash.point("plan.made")
        self._carry_in(head, plan, former, item, origin, now)
        self._list(item, document, plan, id)

    def _base_document(self, hash: str) -> Document | None:
        text = self.txn.text(hash)
        try:
            return read(authored_text(text) if self.place.key == WORKSPACE else text)
        except DocumentError:
            return None

    def _head(self, task: Task | None) -> Head | None:
        """The head as replicas show it, so that an untouched live status is no difference."""
        return None if task is None else Head(task, replica_text(self.txn.text(task.text), task))

    def _origin(self, head: Task | None, now: str) -> Origin:
        """Edits are the claim holder's where the claim was made in this worktree, else the worktree's."""
        claim = head.claim if head is not None else None
        if claim is not None and claim.worktree == self.place.key and claim.expires > now:
            return Origin(claim.holder, claim.session, self.place.key, "edit")
        return Origin(self.place.key, self.place.key, self.place.key, "edit")

    def _context(self, id: str, participant: str, now: str) -> Context:
        return Context(
            now=now,
            participant=participant,
            merger=self.site.git.merge_file,
            blocked_by=self._unfinished,
            reaches=self.txn.reaches,
            status_by=lambda: last_status_actor(self.txn, id),
            status_edits=self.site.rules.status_edits,
        )

    def _unfinished(self, depends_on: tuple[str, ...]) -> tuple[str, ...]:
        found = self.txn.many(depends_on)
        return tuple(on for on in depends_on if on not in found or not is_done(found[on]))

    def _carry_in(
        self,
        head: Task | None,
        plan: Plan,
        former: Base | None,
        item: replicas.Reading,
        origin: Origin,
        now: str,
    ) -> None:
        task = replace(plan.task, file=self._file(plan.task.id, head, former, item))
        text = self._text_of(head, plan)
        steps = [replace(step, file=task.file, text=text) for step in plan.steps]
        first = replace(task, text=text)
        if steps and head is not None:
            first = _as_it_stood(first, head)
        new = accept(self.txn, head, (first, *steps), origin, now)
        if head is None or new.revision != head.revision:
            self.report.changed.add(new.id)
            if head is None:
                self._announce_dependents(new.id)
        self._rest(new.id, item)
        for clash in plan.clashes:
            values = (plain(clash.base), plain(clash.index), plain(clash.file))
            self.txn.put_conflict(Conflict(new.id, clash.field, self.place.key, *values, since=now))
        if text_hash(replica_text(plan.text, new)) != text_hash(item.text):
            self.txn.enqueue(REPLICAS, [new.id])

    def _text_of(self, head: Task | None, plan: Plan) -> str:
        """The hash of the plan's text; that of the head's own if only the live status was shown in it."""
        if head is not None and plan.text == replica_text(self.txn.text(head.text), head):
            return head.text
        return self.txn.keep(plan.text)

    def _announce_dependents(self, id: str) -> None:
        waiting = self.txn.dependents([id])[id]
        self.txn.enqueue(MIRROR, waiting)
        self.txn.enqueue(REPLICAS, waiting)

    def _file(self, id: str, head: Task | None, former: Base | None, item: replicas.Reading) -> str:
        """Where the task's document lies from now on: it follows the last rename by hand."""
        if self.place.key == WORKSPACE:
            directory = item.path.rpartition("/")[0]
            moved = head is None or former is None or former.path.rpartition("/")[0] != directory
            name = head.file.rpartition("/")[2] if head else f"{id}.md"
            there = f"{directory}/{name}" if directory else name
            return there if moved or head is None else head.file
        if head is None or (former is not None and former.path != item.path):
            return item.path
        return head.file

    def _rest(self, id: str, item: replicas.Reading) -> None:
        """The replica has been heard: its base is what it says now."""
        hash, before = self.txn.keep(item.text), self.txn.base(self.place.key, item.path)
        if before is None or before.task != id:
            self.report.placed.add(id)
        self.txn.put_base(Base(self.place.key, item.path, id, hash, _stamp(item)))

    def _lift_tombstone(self, head: Task, former: Base | None, item: replicas.Reading) -> Task | None:
        """A deleted task's document, edited or written anew by hand, restores it; an old copy does not."""
        old_copy = self.txn.known(head.id, text_hash(item.text))
        if old_copy or (former is None and self._is_tracked(item)):
            self._rest(head.id, item)
            self._note(item, head.id, f"{head.id} was deleted; this file is an old copy of it")
            return None
        now = self.txn.now()
        back = accept(self.txn, head, (replace(head, deleted_at=None),), self._origin(head, now), now)
        return self.txn.task(back.id)

    def _is_tracked(self, item: replicas.Reading) -> bool:
        """Whether git may have put the file there."""
        return item.path in self.site.tracked(self.place)

    def _note(self, item: replicas.Reading, id: str, reason: str) -> None:
        remedy = f"`taskd restore {id}` brings the task back"
        notice = Problem(
            self.place.key, item.path, None, reason, remedy, id, kind="notice", since=self.txn.now()
        )
        self.txn.put_problems(self.place.key, item.path, [notice])

    # -- files that are no news, no tasks, or no good

    def _look_over(self, base: Base, item: replicas.Reading) -> None:
        """The file says what it said: only its age is noted, and that it is in order again."""
        if base.stamp != _stamp(item):
            self.txn.put_base(replace(base, stamp=_stamp(item)))
        self._clear(item.path)

    def _clear(self, path: str) -> None:
        kept = [p for p in self.txn.problems(self.place.key) if p.path == path]
        if any(problem.kind == "problem" and problem.field is None for problem in kept):
            self.txn.put_problems(self.place.key, path, [p for p in kept if p.kind != "problem"])

    def _no_task(self, base: Base | None, item: replicas.Reading) -> None:
        if base is not None and base.task is not None:
            reason, remedy = "the frontmatter is gone", "put the `---` block with id and name back at the top"
            raise DocumentError(reason, 1, remedy)
        self.txn.put_base(Base(self.place.key, item.path, None, None, _stamp(item)))
        self.txn.put_problems(self.place.key, item.path, [])

    def _wait_for(self, item: replicas.Reading, error: NotYet) -> None:
        """An empty or half-written file is given a moment before it is called broken."""
        age = (self.now_ns - item.stamp[3]) / 1e9
        if age < UNFINISHED_GRACE:
            self.report.again.append(item.path)
        else:
            self._reject(item, error)

    def _reject(self, item: replicas.Reading, error: DocumentError) -> None:
        base = self.txn.base(self.place.key, item.path)
        known = base or Base(self.place.key, item.path, None, None, None)
        if base is None or base.stamp != _stamp(item):  # it is looked at in every scan: once is written
            self.txn.put_base(replace(known, stamp=_stamp(item)))
        self._list_problem(item.path, error.line, error.reason, error.remedy, known.task)

    def _list_trouble(self, item: replicas.Trouble) -> None:
        if item.unstable:
            self.report.again.append(item.path)
        self._list_problem(item.path, item.line, item.reason, item.remedy, None)

    def _list_problem(self, path: str, line: int | None, reason: str, remedy: str, task: str | None) -> None:
        problem = Problem(self.place.key, path, line, reason, remedy, task, since=self.txn.now())
        if self.txn.put_problems(self.place.key, path, [problem]):
            self.site.log.warning(
                "problem.found", worktree=self.place.key, path=path, line=line, reason=reason
            )

    def _list(self, item: replicas.Reading, document: Document, plan: Plan, id: str) -> None:
        where, since = (self.place.key, item.path), self.txn.now()
        rows = [
            Problem(*where, remark.line, remark.reason, remark.remedy, id, remark.field, since=since)
            for remark in document.remarks
        ]
        rows += [
            Problem(
                *where,
                _line_of(document, refusal.field.encode()),
                refusal.reason,
                refusal.remedy,
                id,
                refusal.field,
                "refusal",
                since,
            )
            for refusal in plan.refusals
        ]
        self.txn.put_problems(*where, rows)


def ingest_text(site: Site, place: Place, path: str, text: bytes, over: str | None, now_ns: int) -> None:
    """Take in an edit that is no longer in its place; `over` is the hash of the text it was made from.

    The replica's base is afterwards what it was before: the file in place says something else.
    """
    with site.writing() as txn:
        present = txn.base(place.key, path)
        if over is not None and present is not None:
            txn.put_base(replace(present, text=over, stamp=None))
        reading = replicas.Reading(path, text, (0, 0, len(text), 0, 0), racy=True)
        _Taker(site, place, txn, now_ns, Ingested(), ()).take(reading)
        txn.keep(text)
        if present is not None:
            txn.put_base(replace(present, stamp=None))
            if present.task is not None:
                touch(txn, present.task)


def last_status_actor(txn: Txn, id: str) -> str | None:
    """Who made the last change of a task's status."""
    recent = txn.journal(id, limit=50, newest=True)
    return next((entry.actor for entry in reversed(recent) if entry.field in ("status", "*")), None)


def is_done(task: Task) -> bool:
    """Whether a dependency on this task is met."""
    return task.status == "completed" and task.deleted_at is None


def _as_it_stood(task: Task, head: Task) -> Task:
    """The task before its first step: what people wrote is new, how it stands is not."""
    return replace(
        task,
        status=head.status,
        reason=head.reason,
        started=head.started,
        completed=head.completed,
        claim=head.claim,
    )


def _stamp(item: replicas.Reading) -> Stamp | None:
    """The stamp to trust at the next scan; None for a file touched so lately that it could change unseen."""
    return None if item.racy else Stamp(*item.stamp)


def _is_same_file(base: Base, item: replicas.Reading) -> bool:
    inode = base.stamp.ino if base.stamp is not None else None
    return base.text == text_hash(item.text) or inode == item.stamp[1]


def _line_of(document: Document, key: bytes) -> int:
    lines = document.text.splitlines()
    return next((n for n, line in enumerate(lines, 1) if line.startswith(key + b":")), 1)
