"""One task of a branch that others wrote to, brought into an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from taskd.core.change import plain
from taskd.core.claims import FAR_LEASE, is_far, is_live, later
from taskd.core.document import Document, read
from taskd.core.fields import is_slug
from taskd.core.joining import Joined, join_live
from taskd.core.live import Complete, Live, opened, says_same, with_live
from taskd.core.plan import Clash, Context, Head, Plan
from taskd.core.reconcile import reconcile
from taskd.core.records import shown_note
from taskd.core.render import complete_text
from taskd.core.request import without_request
from taskd.core.task import Note, Participant, Status, Task
from taskd.engine.accept import Origin, accept, touch
from taskd.engine.site import MIRROR, REPLICAS, Site
from taskd.engine.taker import is_done
from taskd.errors import DocumentError
from taskd.store.base import Conflict, Entry, Problem, Txn, View


@dataclass(frozen=True, slots=True)
class Source:
    """Where others' writing is taken from.

    `key` names it in bases, conflicts and the journal, `name` tells people. `common` is the newest commit
    that was heard before, None if nothing was. `far`: claims in it were made in another clone.
    """

    key: str
    name: str
    commit: str
    common: str | None
    far: bool = True


@dataclass(frozen=True, slots=True)
class Item:
    """One task there: its file now and in the common commit; paths below the tasks directory."""

    path: str
    text: bytes
    former_path: str | None = None
    former: bytes | None = None
    author: str = ""


@dataclass(slots=True)
class Joiner:
    """Takes items into an open transaction."""

    site: Site
    source: Source
    txn: Txn
    #: tasks that changed
    changed: set[str] = field(default_factory=set)

    def join(self, item: Item) -> str:
        """Take one task in; its id here. DocumentError for a text that is no task."""
        theirs = opened(item.text, self.unfinished)
        if theirs is None:
            reason = "it has no frontmatter"
            raise DocumentError(reason, 1, "put the `---` block with id and name back at the top")
        id, task = self._find(id_of(theirs.document, item.path))
        base = None if item.former is None else opened(item.former, self.unfinished)
        self.txn.put_problems(self.source.key, item.path, remarked(self.source.key, item, theirs, id))
        if task is None:
            self._add(id, theirs, item)
        elif task.deleted_at is None:
            self._merge(task, base, theirs, item)
        elif self._is_news(base, theirs):
            self._restore(task, theirs, item)
        else:
            touch(self.txn, id)  # so that the branch lets go of it, too
        # where git or an editor puts this text back some day, it says nothing
        self.txn.hear(id, self.txn.keep(theirs.document.text))
        return id

    def remove(self, id: str, author: str) -> None:
        """Delete a task that others deleted."""
        task = self.txn.task(id)
        if task is not None:
            gone = replace(task, deleted_at=self.txn.now(), claim=None)
            accept(self.txn, task, (gone,), self._origin(author), self.txn.now())
            self.changed.add(id)

    def unfinished(self, depends_on: tuple[str, ...]) -> tuple[str, ...]:
        """Those dependencies that are not met."""
        found = self.txn.many(depends_on)
        return tuple(on for on in depends_on if on not in found or not is_done(found[on]))

    # -- which task is it, and is it news?

    def _find(self, id: str) -> tuple[str, Task | None]:
        """The task of that id, or of which it was one once."""
        task = self.txn.task(id)
        if task is None and self.txn.taken([id]):
            names = self.txn.resolve(id)
            id = names[0] if names else id
            task = self.txn.task(id)
        return id, task

    def _is_news(self, base: Complete | None, theirs: Complete) -> bool:
        """Whether a file of a task that is deleted here was written by somebody who meant it."""
        if base is None:
            return self.source.common is not None
        return not says_same(base, theirs)

    # -- what follows?

    def _add(self, id: str, theirs: Complete, item: Item) -> None:
        if not is_slug(id):
            reason = f"{id!r} is no id"
            raise DocumentError(reason, 1, "write `id:` with lower-case letters, digits, -, _ or .")
        now = self.txn.now()
        plan = reconcile(None, theirs.document, None, self._context(item.author, now), id)
        directory = item.path.rpartition("/")[0]
        file = f"{directory}/{id}.md" if directory else f"{id}.md"
        task = replace(plan.task, status=Status.PENDING, text=self.txn.keep(plan.text), file=file)
        self._put(None, task, join_live(None, Live(), theirs.live, held=False), item, now)
        waiting = self.txn.dependents([id])[id]
        self.txn.enqueue(MIRROR, waiting)
        self.txn.enqueue(REPLICAS, waiting)

    def _restore(self, task: Task, theirs: Complete, item: Item) -> None:
        """Somebody changed or restored what was deleted here: what they wrote stands."""
        now = self.txn.now()
        accept(self.txn, task, (replace(task, deleted_at=None),), self._origin(item.author), now)
        back = self.txn.task(task.id)
        if back is not None:
            self._merge(back, complete_of(self.txn, back), theirs, item)

    def _merge(self, task: Task, base: Complete | None, theirs: Complete, item: Item) -> None:
        now, ours = self.txn.now(), complete_of(self.txn, task)
        if base is not None and says_same(base, theirs) and item.former_path == item.path:
            return
        plan = self._authored(task, base, theirs, item, now)
        held = task.claim is not None and is_live(task.claim, now) and not is_far(task.claim)
        live = join_live(None if base is None else base.live, ours.live, theirs.live, held=held)
        text = task.text if plan.text == self.txn.text(task.text) else self.txn.keep(plan.text)
        file, clash = _moved(task, item)
        self._put(task, replace(plan.task, text=text, file=file), live, item, now)
        for one in (*plan.clashes, *live.clashes, *clash):
            self._keep_clash(task.id, one, now)

    def _authored(self, task: Task, base: Complete | None, theirs: Complete, item: Item, now: str) -> Plan:
        """The document's part, decided as for any replica; its status is none of that."""
        text = self.txn.text(task.text)
        old = None if base is None else _plainly(base.document, text)
        new = _plainly(theirs.document, text)
        return reconcile(old, new, Head(task, text), self._context(item.author, now), task.id)

    def _context(self, author: str, now: str) -> Context:
        return Context(
            now=now,
            participant=author,
            merger=self.site.git.merge_file,
            blocked_by=self.unfinished,
            reaches=self.txn.reaches,
            status_by=lambda: None,
            brought=True,
        )

    def _put(self, old: Task | None, task: Task, live: Joined, item: Item, now: str) -> None:
        """Make it the head, with the steps of its status and with its records."""
        lease = later(now, FAR_LEASE if self.source.far else self.site.rules.lease)
        versions = with_live(task, live.status, live.taken, now=now, lease=lease, far=self.source.far)
        origin = self._origin(item.author)
        head = accept(self.txn, old, versions if old else versions[-1:], origin, now)
        records = self._add_records(head.id, old, live)
        entries = [
            Entry(head.id, name, None, plain(one), now, *_who(origin), origin.cause, head.revision)
            for name, one in records
        ]
        if entries:
            self.txn.record(entries)
            touch(self.txn, head.id)
        if entries or old is None or head.revision != old.revision:
            self.changed.add(head.id)

    def _add_records(self, id: str, old: Task | None, live: Joined) -> list[tuple[str, Note | Participant]]:
        known = {shown_note(note) for note in old.notes} if old else set[Note]()
        notes = [note for note in dict.fromkeys(live.notes) if note not in known]
        for note in notes:
            self.txn.add_note(id, note)
        for participant in live.participants:
            self.txn.put_participant(id, participant)
        return [*(("note", note) for note in notes), *(("participant", one) for one in live.participants)]

    def _keep_clash(self, id: str, clash: Clash, since: str) -> None:
        values = (plain(clash.base), plain(clash.index), plain(clash.file))
        self.txn.put_conflict(Conflict(id, clash.field, self.source.key, *values, since=since))

    def _origin(self, author: str) -> Origin:
        name = self.source.name
        return Origin(author or name, name, self.source.key, f"merge of {name}")


def complete_of(view: View, task: Task) -> Complete:
    """What the index's version of a task is shown as, understood."""
    text = complete_text(view.text(task.text), task, view.blockers([task.id])[task.id])
    shown = opened(text, lambda _: ())
    assert shown is not None  # noqa: S101 - the head's text was read when it became that
    return shown


def id_of(document: Document, path: str) -> str:
    """The id that a document on the branch is of: its own, else its file's name."""
    written = document.values.get("id")
    return written if isinstance(written, str) else path.rpartition("/")[2].removesuffix(".md")


def remarked(key: str, item: Item, theirs: Complete, id: str) -> Sequence[Problem]:
    """What is to be said about a document that could be read."""
    return [
        Problem(key, item.path, remark.line, remark.reason, remark.remedy, id, remark.field)
        for remark in theirs.document.remarks
    ]


def _plainly(document: Document, like: bytes) -> Document:
    """The document with the status that another text says: what is shown there was never typed."""
    text = without_request(document.text, like)
    found = document if text == document.text else read(text)
    return found or document


def _moved(task: Task, item: Item) -> tuple[str, list[Clash]]:
    """Where the task's document lies from now on: a move on one side only is followed."""
    there, here = item.path.rpartition("/")[0], task.path
    before = here if item.former_path is None else item.former_path.rpartition("/")[0]
    if there in (before, here):
        return task.file, []
    if here != before:
        return task.file, [Clash("path", before, here, there)]
    name = task.file.rpartition("/")[2]
    return f"{there}/{name}" if there else name, []


def _who(origin: Origin) -> tuple[str, str, str]:
    return origin.actor, origin.session, origin.worktree
