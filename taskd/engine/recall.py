"""A commit of ours that the index does not know of: taskd died after making it, before writing that down.

What stands in it was the index's own word, so none of it is news; merged like somebody else's it would
clash with what was typed since. A trailer tells it from the commits of others, another clone's taskd among
them: it names the newest journal entry that the index had then.
"""

from __future__ import annotations

import hashlib
from typing import Final

from taskd.core.texts import text_hash
from taskd.engine.moved import JOINING, SEEN, TIP
from taskd.engine.site import BRANCH, REMOTE, Site
from taskd.engine.taking import ROOT, Taken, blob_text, id_in, settle_branch
from taskd.errors import GitFailed
from taskd.repo.others import Commit, changed_files, commits_since, exists
from taskd.repo.replicas import is_task_path
from taskd.store.base import Base, Entry, Txn, View

TRAILER: Final = "Journal"


def journal_mark(entry: Entry) -> str:
    """The trailer's value in a commit that is made while this is the newest entry."""
    facts = (entry.seq, entry.task, entry.field, entry.at, entry.actor, entry.session, entry.revision)
    return f"{entry.seq} {hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def recall(site: Site, tip: str, known: str | None) -> str | None:
    """Remember the commit of ours that came after `known`, if `tip` has one; what is known then.

    A history that is damaged tells nothing here.
    """
    try:
        ours = _find(site, tip, known)
        texts = {} if ours is None else _texts(site, known, ours.name)
    except GitFailed as error:
        site.log.warning("branch.unreadable", tip=tip, reason=error.message)
        return known
    if ours is None:
        return known
    with site.writing() as txn:
        _remember(txn, ours, texts)
    site.log.info("branch.recalled", tip=ours.name, tasks=len(texts))
    return ours.name


def _find(site: Site, tip: str, known: str | None) -> Commit | None:
    if known is not None and not exists(site.git, known):
        return None
    since = commits_since(site.git, known, tip)
    with site.db.read() as view:
        return next((one for one in since if one.parent == known and _is_ours(view, one)), None)


def _is_ours(view: View, commit: Commit) -> bool:
    mark = commit.trailer(TRAILER) if commit.is_taskd else None
    seq = mark.partition(" ")[0] if mark else ""
    if not seq.isdecimal():
        return False
    return [journal_mark(entry) for entry in view.journal(after=int(seq) - 1, limit=1)] == [mark]


def _texts(site: Site, old: str | None, new: str) -> dict[str, bytes | None]:
    """The text of each task's file that the commit wrote, None where it removed one."""
    changed = [one for one in changed_files(site.git, old, new) if one.path.startswith(ROOT)]
    return {
        one.path: None if one.after is None else blob_text(site, one.after)
        for one in changed
        if is_task_path(one.path.removeprefix(ROOT))
    }


def _remember(txn: Txn, ours: Commit, texts: dict[str, bytes | None]) -> None:
    """Write down what was to be written down when the commit had been made."""
    taken = Taken(texts={path: text for path, text in texts.items() if text is not None})
    for path in texts:
        txn.drop_base(BRANCH, path)
    for path, text in taken.texts.items():
        id = id_in(text, path.removeprefix(ROOT))
        if id is not None:
            txn.put_base(Base(BRANCH, path, id, text_hash(text), None))
            taken.heard.add(id)
    settle_branch(txn, taken)
    txn.put_meta(TIP, ours.name)
    txn.put_meta(JOINING, None)
    txn.drop_bases(REMOTE)
    txn.put_meta(SEEN, str(ours.trailer(TRAILER)).partition(" ")[0])
