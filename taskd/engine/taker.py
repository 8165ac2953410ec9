"""What one replica's document means for its task: heard, decided about, and put into the index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from taskd.core.change import plain
from taskd.core.document import Document, read
from taskd.core.news import silenced
from taskd.core.reconcile import Context, Head, Plan, reconcile
from taskd.core.render import replica_text
from taskd.core.task import Task
from taskd.core.texts import text_hash
from taskd.engine import moot
from taskd.engine.accept import Origin, accept
from taskd.engine.ancestry import Ancestry, read_or_none
from taskd.engine.identity import Finder
from taskd.engine.listing import Listing
from taskd.engine.provenance import CTIME, MTIME, Provenance
from taskd.engine.site import MIRROR, REPLICAS, WORKSPACE, Place, Site
from taskd.errors import DocumentError, NotYet, TaskdError
from taskd.repo import crash, replicas
from taskd.store.base import Base, Conflict, Problem, Stamp, Txn

UNFINISHED_GRACE = 2.0  # seconds an empty or half-written file is given before it is a problem


@dataclass(slots=True)
class Ingested:
    """What came of a batch: tasks that changed, paths to look at again, paths that are gone."""

    changed: set[str] = field(default_factory=set)
    #: tasks that a file was not known to be of, so nothing could be written over it
    placed: set[str] = field(default_factory=set)
    again: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    #: paths that git waits for somebody to merge; looked at again when it has run
    unmerged: list[str] = field(default_factory=list)

    def add(self, other: Ingested) -> None:
        """Take another batch's outcome in."""
        self.changed |= other.changed
        self.placed |= other.placed
        self.again += other.again
        self.absent += other.absent
        self.unmerged += other.unmerged


@dataclass(frozen=True, slots=True)
class _Case:
    """One document to decide about: its task's id, what it is merged over, and where it was read."""

    id: str
    document: Document
    former: Base | None
    item: replicas.Reading


@dataclass(slots=True)
class Taker:
    """Takes readings of one place into an open transaction. Without `git` nothing there is git's."""

    site: Site
    place: Place
    txn: Txn
    now_ns: int
    report: Ingested
    #: paths of the same batch that are not there any more
    gone: Sequence[str]
    git: Provenance | None = None
    finder: Finder = field(init=False)
    listing: Listing = field(init=False)
    ancestry: Ancestry = field(init=False)

    def __post_init__(self) -> None:
        """Make what the parts work with."""
        self.finder = Finder(self.site, self.place, self.txn, self.now_ns, self.gone)
        self.listing = Listing(self.site, self.place, self.txn)
        self.ancestry = Ancestry(self.place, self.txn, self.git)

    def take(self, item: replicas.Reading | replicas.Trouble) -> None:
        """Take one reading in; a fault with one file never stops the others."""
        if isinstance(item, replicas.Trouble):
            if item.unstable:
                self.report.again.append(item.path)
            self.listing.reject(item.path, item.line, item.reason, item.remedy, None)
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
        if self.git is not None and self.git.is_unmerged(item.path):
            self.report.unmerged.append(item.path)
            read(self.ancestry.authored(item.text))  # with git's markers in it, it is listed
            return
        base = self._hear_git(self.txn.base(self.place.key, item.path), item)
        if base is not None and base.text == text_hash(item.text):
            self._look_over(base, item)
            return
        document = read(self.ancestry.authored(item.text))
        if document is None:
            self._no_task(base, item)
            return
        id = self.finder.find_id(document, base, item)
        former = self.finder.find_former(id, document, base, item, by_hand=True)
        self._settle(_Case(id, document, self._hear_moved(id, former, item), item))

    # -- what git brought

    def _hear_git(self, base: Base | None, item: replicas.Reading) -> Base | None:
        """Take in what git wrote at the path since it was last looked at; the base from then on.

        What the file says beyond that is an edit. A text of git's that is no valid document is passed by.
        """
        text = None if self.git is None else self.git.by_git(item.path, item, base)
        if text is None or (base is not None and base.text == text_hash(text)):
            return base
        brought = replace(item, text=text)
        try:
            document = read(text)
            if document is None:
                return base
            id = self.finder.find_id(document, base, brought)
            former = self.finder.find_former(id, document, base, brought, by_hand=False)
        except (DocumentError, NotYet):
            if text == item.text:
                raise
            return base
        self._settle_brought(_Case(id, document, former, brought))
        heard = self.txn.base(self.place.key, item.path)
        if heard is not None and text != item.text and self.git is not None:
            heard = replace(self.git.since_then(heard, base), stamp=None)
            self.txn.put_base(heard)
        return heard

    def _hear_moved(self, id: str, former: Base | None, item: replicas.Reading) -> Base | None:
        """Of a file that was moved by hand: what git had written at its old path before."""
        if self.git is None or former is None or former.path == item.path:
            return former
        text = self.git.by_git(former.path, item, former)
        document = None if text is None else read_or_none(text)
        if text is None or document is None or former.text == text_hash(text):
            return former
        self._settle_brought(_Case(id, document, former, replace(item, text=text)))
        return self.txn.base(self.place.key, item.path)

    def _settle_brought(self, case: _Case) -> None:
        id, document, item = case.id, case.document, case.item
        head = self.txn.task(id)
        if head is None:
            origin = self._git_origin()
            self._put_in(None, self._plan(None, document, None, id, origin), case, origin)
            self.listing.taken(item.path, id, document)
        elif head.deleted_at is not None:
            self._leave_deleted(head, item)
        elif self.txn.known(id, text_hash(document.text)):
            self._rest(id, item)
            self._end_conflicts(head, case)
            self.listing.taken(item.path, id, document)
        else:
            self._merge_news(head, self.ancestry.of_news(id, case.former, item.path), case)

    def _merge_news(self, head: Task, base: Document | None, case: _Case) -> None:
        """Merge a document that nobody typed here: only what no known version has said speaks."""
        against = base or read(self._head(head).text)
        known = self.ancestry.versions(head.id)
        news, silent = (None, ()) if against is None else silenced(case.document, against, known, head.id)
        origin, over = self._git_origin(), base if news is not None else None
        plan = self._plan(over, news or case.document, head, head.id, origin, brought=True)
        self._put_in(head, plan, case, origin)
        authored = [name for name in silent if name != "modified"]
        notices = [self._put_back(case.item, head.id, ", ".join(authored))] if authored else []
        self.listing.taken(case.item.path, head.id, case.document, notices=notices)

    def _put_back(self, item: replicas.Reading, id: str, what: str) -> Problem:
        reason = f"git put an older state of {id} back into this file ({what}); the index keeps the newer one"
        remedy = f"`taskd take {id} --from {self.place.key}` makes what the file says count"
        return self.listing.notice(item.path, id, reason, remedy)

    def _leave_deleted(self, head: Task, item: replicas.Reading) -> None:
        self._rest(head.id, item)
        reason = f"{head.id} was deleted; this file is an old copy of it"
        remedy = f"`taskd restore {head.id}` brings the task back"
        self.listing.taken(
            item.path, head.id, notices=[self.listing.notice(item.path, head.id, reason, remedy)]
        )

    def _git_origin(self) -> Origin:
        return Origin(self.place.key, self.place.key, self.place.key, "git")

    # -- what somebody saved

    def _settle(self, case: _Case) -> None:
        id, document, item = case.id, case.document, case.item
        head, known = self.txn.task(id), self.txn.known(id, text_hash(document.text))
        gits = self._may_be_gits(case)
        base, is_older = self.ancestry.of_edit(id, document, case.former, item.path)
        if head is not None and head.deleted_at is not None:
            if gits or known:
                self._leave_deleted(head, item)
                return
            head = self._lift_tombstone(head)
            if case.former is None:  # the file was away, too
                base = self.ancestry.nearest_known(document, head, base, typed=True)
        if head is None:
            self._take_edit(None, base, case)
        elif known and base is None:
            self._rest(id, item)
            self.txn.enqueue(REPLICAS, [id])
        elif is_older or (known and gits):
            self._let_stand(head, document, item)
        elif gits and self.git is not None and self.git.has_text(item):
            self._merge_news(head, self.ancestry.nearest_known(document, head, base, typed=False), case)
        else:
            self._take_edit(head, base or self.ancestry.of_first_sight(head, document), case)

    def _take_edit(self, head: Task | None, base: Document | None, case: _Case) -> None:
        origin = self._origin(head)
        plan = self._plan(base, case.document, head, case.id, origin)
        self._put_in(head, plan, case, origin, by_hand=True)
        self._pass_by(case)
        self.listing.taken(case.item.path, case.id, case.document, plan.refusals)

    def _pass_by(self, case: _Case) -> None:
        """What was committed on the way to an edit, and never looked at, is none of git's news later."""
        text = self.ancestry.passed_by(case.id, case.former, case.item.path)
        if text is not None:
            self.txn.hear(case.id, self.txn.keep(text))

    def _let_stand(self, head: Task, document: Document, item: replicas.Reading) -> None:
        """An older state that nobody typed says nothing: from an editor that had it open, or from git."""
        self._rest(head.id, item)
        self.txn.enqueue(REPLICAS, [head.id])
        shown = read(self._head(head).text)
        same = shown is not None and (shown.values, shown.extra) == (document.values, document.extra)
        notices = [] if same else [self._put_back(item, head.id, "all of it")]
        self.listing.taken(item.path, head.id, document, notices=notices)

    def _may_be_gits(self, case: _Case) -> bool:
        """Whether git may have put the text there; `git mv` only carries out what somebody said."""
        former, item = case.former, case.item
        if self.git is None:
            return False
        moved = former is not None and former.path != item.path and former.text == text_hash(item.text)
        if not self.git.tracked:
            return not moved and self.git.may_be_unstashed(item, former)
        return self.git.may_be_gits(item, former) and not (moved and self.git.is_new(item.path))

    def _lift_tombstone(self, head: Task) -> Task:
        """A deleted task's document, edited or written anew by hand, restores it."""
        back = accept(self.txn, head, (replace(head, deleted_at=None),), self._origin(head), self.txn.now())
        found = self.txn.task(back.id)
        assert found is not None  # noqa: S101 - it was put a line ago
        return found

    def _origin(self, head: Task | None) -> Origin:
        """Edits are the claim holder's where the claim was made in this worktree, else the worktree's."""
        claim = head.claim if head is not None else None
        if claim is not None and claim.worktree == self.place.key and claim.expires > self.txn.now():
            return Origin(claim.holder, claim.session, self.place.key, "edit")
        return Origin(self.place.key, self.place.key, self.place.key, "edit")

    # -- deciding, and putting into the index

    def _plan(
        self,
        base: Document | None,
        document: Document,
        head: Task | None,
        id: str,
        origin: Origin,
        *,
        brought: bool = False,
    ) -> Plan:
        context = Context(
            now=self.txn.now(),
            participant=origin.actor,
            merger=self.site.git.merge_file,
            blocked_by=self._unfinished,
            reaches=self.txn.reaches,
            status_by=lambda: last_status_actor(self.txn, id),
            status_edits=self.site.rules.status_edits,
            brought=brought,
        )
        plan = reconcile(base, document, None if head is None else self._head(head), context, id)
        self.site.log.debug("plan.made", task=id, worktree=self.place.key, clashes=len(plan.clashes))
        crash.point("plan.made")
        return plan

    def _head(self, task: Task) -> Head:
        """The head as replicas show it, so that an untouched live status is no difference."""
        return Head(task, replica_text(self.txn.text(task.text), task))

    def _unfinished(self, depends_on: tuple[str, ...]) -> tuple[str, ...]:
        found = self.txn.many(depends_on)
        return tuple(on for on in depends_on if on not in found or not is_done(found[on]))

    def _put_in(
        self,
        head: Task | None,
        plan: Plan,
        case: _Case,
        origin: Origin,
        *,
        by_hand: bool = False,
    ) -> None:
        now, item = self.txn.now(), case.item
        moved = head is None or by_hand
        task = replace(plan.task, file=self._file(head, case) if moved else plan.task.file)
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
        self._rest(new.id, item, by_hand=by_hand)
        self._end_conflicts(new, case, by_hand=by_hand)
        for clash in plan.clashes:
            values = (plain(clash.base), plain(clash.index), plain(clash.file))
            self.txn.put_conflict(Conflict(new.id, clash.field, self.place.key, *values, since=now))
        if text_hash(replica_text(plan.text, new)) != text_hash(item.text):
            self.txn.enqueue(REPLICAS, [new.id])

    def _end_conflicts(self, head: Task, case: _Case, *, by_hand: bool = False) -> None:
        """End the conflicts that the file's coming to say what the index says has settled."""
        if self.git is not None and case.item.path in self.git.tracked:
            before = self.txn.text(case.former.text) if by_hand and case.former and case.former.text else None
            over = None if before is None else read_or_none(before)
            moot.end_conflicts(self.txn, self.git, head, moot.Saying(case.item.path, case.document, over))

    def _text_of(self, head: Task | None, plan: Plan) -> str:
        """The hash of the plan's text; that of the head's own if only the live status was shown in it."""
        if head is not None and plan.text == replica_text(self.txn.text(head.text), head):
            return head.text
        return self.txn.keep(plan.text)

    def _announce_dependents(self, id: str) -> None:
        waiting = self.txn.dependents([id])[id]
        self.txn.enqueue(MIRROR, waiting)
        self.txn.enqueue(REPLICAS, waiting)

    def _file(self, head: Task | None, case: _Case) -> str:
        """Where the task's document lies from now on: it follows the last rename by hand."""
        path, former = case.item.path, case.former
        if self.place.key == WORKSPACE:
            directory = path.rpartition("/")[0]
            moved = former is None or former.path.rpartition("/")[0] != directory
            name = head.file.rpartition("/")[2] if head else f"{case.id}.md"
            there = f"{directory}/{name}" if directory else name
            return there if moved or head is None else head.file
        if head is None or (former is not None and former.path != path):
            return path
        return head.file

    def _rest(self, id: str, item: replicas.Reading, *, by_hand: bool = False) -> None:
        """The replica has been heard: its base is what it says now."""
        hash, before = self.txn.keep(item.text), self.txn.base(self.place.key, item.path)
        if before is None or before.task != id:
            self.report.placed.add(id)
        if by_hand:
            self.txn.drop_carried(self.place.key, item.path)
        elif before is not None and before.text is not None and before.text != hash:
            self.txn.carry(self.place.key, item.path, before.text)
        if self.place.key != WORKSPACE:
            self.txn.hear(id, hash)
        self.txn.put_base(self._stood(Base(self.place.key, item.path, id, hash, None), item))

    def _stood(self, base: Base, item: replicas.Reading) -> Base:
        """The base with how the file and its worktree stand now."""
        tracked = self.git is not None and item.path in self.git.tracked
        head, blob = (self.git.here, self.git.blob_at(item.path)) if self.git and tracked else (None, None)
        moves = self.git.position if self.git and tracked else None
        seen = item.stamp[CTIME]
        return replace(base, stamp=stamp_of(item), head=head, blob=blob, seen_ns=seen, moves=moves)

    # -- files that are no news, no tasks, or no good

    def _look_over(self, base: Base, item: replicas.Reading) -> None:
        """The file says what it said: only its age is noted, and that it is in order again."""
        saved = base.stamp is not None and base.stamp.mtime_ns != item.stamp[MTIME]
        if saved and not (self.git is not None and self.git.may_be_gits(item, base)):
            self.txn.drop_carried(self.place.key, item.path)  # whoever saved it had this open
        now = self._stood(base, item)
        if now != base:
            self.txn.put_base(now)
        self.listing.clear(item.path)

    def _no_task(self, base: Base | None, item: replicas.Reading) -> None:
        if base is not None and base.task is not None:
            reason, remedy = "the frontmatter is gone", "put the `---` block with id and name back at the top"
            raise DocumentError(reason, 1, remedy)
        self.txn.put_base(Base(self.place.key, item.path, None, None, stamp_of(item)))
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
        if base is None or base.stamp != stamp_of(item):  # it is looked at in every scan: once is written
            self.txn.put_base(replace(known, stamp=stamp_of(item)))
        self.listing.reject(item.path, error.line, error.reason, error.remedy, known.task)


def last_status_actor(txn: Txn, id: str) -> str | None:
    """Who made the last change of a task's status."""
    recent = txn.journal(id, limit=50, newest=True)
    return next((entry.actor for entry in reversed(recent) if entry.field in ("status", "*")), None)


def is_done(task: Task) -> bool:
    """Whether a dependency on this task is met."""
    return task.status == "completed" and task.deleted_at is None


def stamp_of(item: replicas.Reading) -> Stamp | None:
    """The stamp to trust at the next scan; None for a file touched so lately that it could change unseen."""
    return None if item.racy else Stamp(*item.stamp)


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
