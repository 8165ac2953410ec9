"""Step 7: the workspace branch is brought to what the index says, by compare-and-swap.

Derived: whatever goes wrong here is retried and can be remade from the index; it never undoes a
change. What stands on the branch is on record as bases under the key `@branch`. What others put there is
taken into the index first (`taskd/engine/taking.py`), so that nothing of theirs is written over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from taskd.core.board import BOARD_FILE, BOARD_QUERIES, board
from taskd.core.claims import moment
from taskd.core.render import branch_path, change_line, complete_text
from taskd.core.texts import text_hash
from taskd.engine.moved import JOINING, SEEN, TIP, foreign_files, joined_history, take_moved
from taskd.engine.recall import TRAILER, journal_mark, recall
from taskd.engine.site import BRANCH, MIRROR, REMOTE, Site
from taskd.repo import crash
from taskd.repo.branch import Branch
from taskd.store.base import Base, Entry, Errand, View

BATCH: Final = 2000  # tasks a commit; a first mirror of 10,000 tasks takes a handful
SUBJECT_LIMIT: Final = 72  # columns of a commit's subject
BODY_LIMIT: Final = 50  # lines of a commit's body; a burst is told by its beginning


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a round did: the tip now, whether errands are left, and whether others' changes were taken."""

    tip: str | None
    tasks: int
    more: bool
    taken: bool = False


def mirror(site: Site, branch: Branch) -> Mirrored:
    """Publish one round of errands. The caller holds the mirror's lock; needs no write lock.

    * The branch as taskd left it: only what changed is written, in time independent of the rest.
    * Somebody committed to it: that is taken into the index, and what differs then is written on top.
    * The branch gone, reset or damaged: every task is written anew on top of what is there.
    """
    tip = branch.tip()
    with site.db.read() as view:
        known = view.meta(TIP)
    taken, rebuild = False, False
    if tip is not None and tip != known:
        known = recall(site, tip, known)
    if tip != known:
        news = tip and take_moved(site, branch, tip, known)
        taken, rebuild = bool(news and news.changed), not news or not news.in_step
    done = _publish(site, branch, tip, rebuild=rebuild)
    return replace(done, taken=taken)


def _publish(site: Site, branch: Branch, tip: str | None, *, rebuild: bool) -> Mirrored:
    with site.db.read() as view:
        errands = view.errands(MIRROR, None if rebuild else BATCH)
        joining = view.meta(JOINING)
        if not errands and not rebuild and not joining:
            return Mirrored(tip, 0, more=False)
        ids = view.live() if rebuild else [errand.task for errand in errands]
        changes, bases = _changes(view, ids)
        changes[BOARD_FILE] = board(
            {name: view.tasks(query) for name, query in BOARD_QUERIES.items()}, view.count(), view.blockers
        ).encode()
        seen = int(view.meta(SEEN) or 0)
        news = view.journal(after=seen, limit=BODY_LIMIT + 1)
        last = view.journal(limit=1, newest=True)
        now = view.now()
        other = joined_history(site, view, branch, joining) if joining else None
    if rebuild and tip is not None:
        changes = foreign_files(site, branch, tip) | changes
    author = news[0].actor if news and len({entry.actor for entry in news}) == 1 else "taskd"
    crash.point("branch.mirroring")
    new = branch.publish(
        changes,
        message(news, len(ids), joined=other is not None, last=last[-1] if last else None),
        expect=tip,
        author=author,
        when=moment(now),
        rebuild=rebuild,
        joining=other,
    )
    crash.point("branch.mirrored")
    _remember(site, new, errands, bases, last, clear=rebuild)
    crash.point("branch.remembered")
    site.log.info("branch.mirrored", tip=new, tasks=len(ids), rebuilt=rebuild)
    return Mirrored(new, len(ids), more=not rebuild and len(errands) == BATCH)


def _changes(view: View, ids: Sequence[str]) -> tuple[dict[str, bytes | None], list[Base]]:
    """Paths to write or (None) remove, and what then stands on the branch for each task."""
    tasks, blockers = view.many(ids, whole=True), view.blockers(ids)
    changes, bases = dict[str, bytes | None](), list[Base]()
    for id in ids:
        for base in view.bases_of(id):
            if base.worktree == BRANCH:
                changes[base.path] = None
    for id in ids:
        task = tasks.get(id)
        if task is None or task.deleted_at or task.archived_at:
            continue
        text = complete_text(view.text(task.text), task, blockers.get(id, ()))
        path = branch_path(task)
        changes[path] = text
        bases.append(Base(BRANCH, path, id, text_hash(text), None))
    return changes, bases


def _remember(
    site: Site,
    tip: str,
    errands: Sequence[Errand],
    bases: Sequence[Base],
    last: Sequence[Entry],
    *,
    clear: bool,
) -> None:
    with site.writing() as txn:
        if clear:
            txn.drop_bases(BRANCH)
        for errand in errands:
            for base in txn.bases_of(errand.task):
                if base.worktree == BRANCH:
                    txn.drop_base(BRANCH, base.path)
        for base in bases:
            txn.put_base(base)
        txn.dequeue(errands)
        txn.put_meta(TIP, tip)
        txn.put_meta(JOINING, None)
        txn.drop_bases(REMOTE)
        if last:
            txn.put_meta(SEEN, str(last[-1].seq))


def message(news: Sequence[Entry], tasks: int, *, joined: bool = False, last: Entry | None = None) -> str:
    """The commit message: what happened, then trailers that programs can read; `last` is the newest entry."""
    told = _happened(news, tasks, joined=joined)
    trailers = [*_trailers(news), *([f"{TRAILER}: {journal_mark(last)}"] if last else [])]
    return "\n\n".join(filter(None, (told, "\n".join(trailers)))) + "\n"


def _happened(news: Sequence[Entry], tasks: int, *, joined: bool) -> str:
    if joined:
        told = _happened(news, tasks, joined=False) if news else "nothing was news on either side"
        return f"merge of the remote's branch\n\n{told}"
    if not news:
        return f"{tasks} tasks mirrored"
    lines = [_told(entry) for entry in news[:BODY_LIMIT]]
    if len(news) == 1:
        return lines[0][:SUBJECT_LIMIT]
    several = len({entry.task for entry in news})
    subject = lines[0] if several == 1 else f"{several} tasks: {lines[0]}"
    more = ["…"] if len(news) > BODY_LIMIT else []
    return "\n".join([subject[:SUBJECT_LIMIT], "", *lines, *more])


def _told(entry: Entry) -> str:
    told = change_line(entry.field, entry.old, entry.new)
    return f"{entry.task}: {_one_line(told)} ({_one_line(entry.actor)})"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _trailers(news: Sequence[Entry]) -> list[str]:
    rows = [("Task", entry.task) for entry in news]
    rows += [("Actor", _one_line(entry.actor)) for entry in news]
    rows += [("Worktree", _one_line(entry.worktree)) for entry in news]
    return [f"{key}: {value}" for key, value in dict.fromkeys(rows)]
