"""What others put on the workspace branch, by hand or from another clone, is taken into the index.

A document on the branch is a replica like any other, and its base is what stood in the newest commit that
was heard before. Each task is merged over that, field by field, the runtime fields too; what is not news
says nothing. Done twice, as after a crash, it comes to the same: what was heard is on record as bases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from taskd.core.live import Complete, opened, says_same
from taskd.core.render import branch_path, complete_text
from taskd.core.task import Task
from taskd.core.texts import text_hash
from taskd.engine.absence import HOLD_ABOVE, HOLD_SHARE
from taskd.engine.accept import touch
from taskd.engine.joiner import Item, Joiner, Source, complete_of, id_of
from taskd.engine.site import BRANCH, MIRROR, Site
from taskd.errors import DocumentError, GitFailed, TaskdError
from taskd.repo import crash
from taskd.repo.others import Told, changed_files, who_wrote
from taskd.repo.replicas import is_task_path
from taskd.store.base import Base, Hold, Problem, Txn

BATCH: Final = 100  # tasks a transaction; a command waits for one batch at most
ROOT: Final = "tasks/"  # where tasks stand on the branch, whatever the tasks directory is called
FILE_MODES: Final = ("100644", "100755")


@dataclass(slots=True)
class Taken:
    """What came of it: tasks that changed, tasks whose files there were looked at, texts by path."""

    changed: set[str] = field(default_factory=set)
    heard: set[str] = field(default_factory=set)
    texts: dict[str, bytes] = field(default_factory=dict)


def take(site: Site, source: Source, finish: Callable[[Txn, Taken], None]) -> Taken:
    """Take in what is news at `source`; `finish` is called in the last transaction.

    GitFailed when something of it cannot be read: then what was taken so far stays taken, and the rest
    is taken when this is called again.
    """
    items, gone = _sort(site, source)
    told = who_wrote(site.git, source.common, source.commit) if source.common else Told()
    taken = Taken(texts={ROOT + item.path: item.text for item in items})
    for start in range(0, len(items), BATCH):
        with site.writing() as txn:
            joiner = Joiner(site, source, txn, taken.changed)
            for item in items[start : start + BATCH]:
                _take_item(site, joiner, _by(item, told), taken)
            crash.point("branch.taking")
        site.beat()
    with site.writing() as txn:
        _take_gone(site, Joiner(site, source, txn, taken.changed), gone, told, taken)
        finish(txn, taken)
    crash.point("branch.taken")
    if taken.changed:
        site.log.info("branch.taken", source=source.name, commit=source.commit, tasks=len(taken.changed))
    return taken


def settle_branch(txn: Txn, taken: Taken) -> None:
    """Leave errands for those tasks only of which the branch, as it is now, does not say what it should."""
    for id in taken.heard:
        touch(txn, id)
    errands = txn.errands(MIRROR)
    tasks, blockers = txn.many([e.task for e in errands], whole=True), txn.blockers([e.task for e in errands])
    done = [
        errand
        for errand in errands
        if errand.task not in tasks or _stands(txn, tasks[errand.task], blockers[errand.task], taken)
    ]
    txn.dequeue(done)


def _stands(txn: Txn, task: Task, blocked_by: tuple[str, ...], taken: Taken) -> bool:
    """Whether the branch says of a task what it should."""
    there = [base for base in txn.bases_of(task.id) if base.worktree == BRANCH]
    if task.deleted_at or task.archived_at:
        return not there
    path = branch_path(task)
    if [base.path for base in there] != [path]:
        return False
    text = complete_text(txn.text(task.text), task, blocked_by)
    return there[0].text == text_hash(text) or _are_alike(text, taken.texts.get(path))


def _are_alike(text: bytes, there: bytes | None) -> bool:
    try:
        ours, theirs = opened(text), None if there is None else opened(there)
    except DocumentError:
        return False
    return ours is not None and theirs is not None and says_same(ours, theirs)


# -- what is there


def _sort(site: Site, source: Source) -> tuple[list[Item], list[Item]]:
    """The files that were written, and those that are gone (with no text), since the common commit."""
    changed = [
        one
        for one in changed_files(site.git, source.common, source.commit)
        if one.path.startswith(ROOT) and is_task_path(one.path.removeprefix(ROOT))
    ]
    before = {one.path: blob_text(site, one.before) for one in changed if one.before}
    former = {id: path for path, text in before.items() if (id := id_in(text, path)) is not None}
    items, standing = list[Item](), set[str]()
    for one in changed:
        if one.after is None or one.mode not in FILE_MODES:
            continue
        text = blob_text(site, one.after)
        id = id_in(text, one.path)
        old = one.path if id is None or former.get(id) is None or one.path in before else former[id]
        items.append(_item(one.path, text, old if old in before else None, before))
        standing |= {one.path, old}
    gone = [_item(path, b"", path, before) for path in before if path not in standing]
    return items, gone


def _item(path: str, text: bytes, former: str | None, before: Mapping[str, bytes]) -> Item:
    old = None if former is None else former.removeprefix(ROOT)
    return Item(path.removeprefix(ROOT), text, old, before.get(former or ""))


def blob_text(site: Site, name: str) -> bytes:
    """The bytes of a blob; GitFailed when it is missing."""
    text = site.git.objects().blob(name)
    if text is None:
        raise GitFailed(command=f"cat-file {name}", status=0, stderr="the object is missing")
    return text


def id_in(text: bytes, path: str) -> str | None:
    """The id of the task that a text at a path is of, None where it is of none."""
    try:
        found = opened(text)
    except DocumentError:
        return None
    return None if found is None else id_of(found.document, path)


# -- what follows


def _take_item(site: Site, joiner: Joiner, item: Item, taken: Taken) -> None:
    """Take one file in, unless it was heard before."""
    txn, key, hash = joiner.txn, joiner.source.key, text_hash(item.text)
    heard = txn.base(key, ROOT + item.path)
    if heard is not None and heard.text == hash and heard.task is not None:
        taken.heard.add(heard.task)
        return
    found = _join(site, joiner, item)
    if isinstance(found, DocumentError):
        _reject(site, joiner, item, found, taken)
        return
    taken.heard.add(found)
    for base in txn.bases_of(found):
        if base.worktree == key:
            txn.drop_base(key, base.path)
    txn.put_base(Base(key, ROOT + item.path, found, hash, None))


def _join(site: Site, joiner: Joiner, item: Item) -> str | DocumentError:
    """The task that one file is of; a fault with one never stops the others."""
    try:
        with joiner.txn.savepoint():
            return joiner.join(item)
    except DocumentError as error:
        return error
    except TaskdError as error:
        return DocumentError(error.message, 1, error.advice)
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        site.log.exception("plan.failed", worktree=joiner.source.key, path=item.path)
        reason = f"taskd could not take this file in ({type(error).__name__}: {error})"
        return DocumentError(reason, 1, "the index keeps its last good state; report this")


def _by(item: Item, told: Told) -> Item:
    author = told.authors.get(ROOT + item.path, "")
    return Item(item.path, item.text, item.former_path, item.former, author)


def _reject(site: Site, joiner: Joiner, item: Item, error: DocumentError, taken: Taken) -> None:
    """The index keeps its last good state; the text stays in the history of the branch."""
    txn, key = joiner.txn, joiner.source.key
    former = None if item.former is None else id_in(item.former, item.former_path or "")
    if former is not None:
        taken.heard.add(former)
    txn.drop_base(key, ROOT + item.path)
    problem = Problem(key, item.path, error.line, error.reason, error.remedy, former, since=txn.now())
    if txn.put_problems(key, item.path, [problem]):
        site.log.warning("problem.found", worktree=key, path=item.path, line=error.line, reason=error.reason)


def _take_gone(site: Site, joiner: Joiner, gone: Sequence[Item], told: Told, taken: Taken) -> None:
    """Tasks whose files were removed there are deleted, but for those that were changed here."""
    going = list(_going(joiner, gone, taken))
    if not going:
        return
    txn, source = joiner.txn, joiner.source
    if not told.ours and _is_suspicious(site, txn, source, len(going)):
        tasks = tuple(sorted(id for id, _ in going))
        reason = f"{len(tasks)} tasks went from {source.name} at once"
        txn.put_hold(Hold(source.key, tasks, reason, txn.now()))
        site.log.warning("deletion.held", worktree=source.key, tasks=len(tasks))
        return
    for id, path in going:
        joiner.remove(id, told.authors.get(ROOT + path, ""))


def _going(joiner: Joiner, gone: Sequence[Item], taken: Taken) -> Iterator[tuple[str, str]]:
    txn, key = joiner.txn, joiner.source.key
    for item in gone:
        base = _former(item, joiner)
        id = None if base is None else id_of(base.document, item.path)
        txn.drop_base(key, ROOT + item.path)
        txn.put_problems(key, item.path, [])
        task = None if id is None else txn.task(id)
        if id is None or base is None or task is None or task.deleted_at or id in taken.heard:
            continue
        taken.heard.add(id)
        if says_same(base, complete_of(txn, task)):
            yield id, item.path
        else:
            reason = f"{id} was deleted in {joiner.source.name}, and changed here: it stays"
            remedy = f"`taskd rm {id}` deletes it everywhere"
            notice = Problem(key, item.path, None, reason, remedy, id, kind="notice", since=txn.now())
            txn.put_problems(key, item.path, [notice])


def _former(item: Item, joiner: Joiner) -> Complete | None:
    try:
        return None if item.former is None else opened(item.former, joiner.unfinished)
    except DocumentError:
        return None


def _is_suspicious(site: Site, txn: Txn, source: Source, going: int) -> bool:
    """Whether so many are going, or all, that a person is asked."""
    if going > HOLD_ABOVE and going > HOLD_SHARE * len(txn.live()):
        return True
    left = changed_files(site.git, None, source.commit)
    return not any(one.path.startswith(ROOT) for one in left)
