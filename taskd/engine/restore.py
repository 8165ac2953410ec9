"""An index without anything in it is filled from the workspace branch, before any file is looked at.

So a fresh clone begins where the others are: tasks, runtime fields and notes, as far as the branch tells
them. Files that lie in worktrees come afterwards, and are merged like any others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from taskd.core.live import opened
from taskd.engine.joiner import id_of
from taskd.engine.moved import TIP, take_moved
from taskd.engine.site import Site
from taskd.engine.taking import ROOT
from taskd.errors import DocumentError, GitFailed
from taskd.repo.branch import Branch
from taskd.repo.others import blobs_below
from taskd.repo.remote import Remote, remote_names, tracked_branch

HISTORY_LIMIT: Final = 10_000  # texts, the newest; reading and keeping them takes ten seconds


def is_new(site: Site) -> bool:
    """Whether the index has never known anything."""
    with site.db.read() as view:
        return view.meta(TIP) is None and not view.journal(limit=1)


def restore(site: Site, branch: Branch, remote: Remote | None) -> str | None:
    """Fill a new index; the commit it was filled from, None where there is no workspace branch anywhere.

    Looked for in this order: our own branch, the remote that is configured, what git has last seen of
    another remote's. The caller holds the mirror's lock.
    """
    tip, far = branch.tip(), False
    if tip is None:
        tip, far = _find_far(site, branch, remote), True
        if tip is None:
            return None
        branch.advance(tip, None)
    moved = take_moved(site, branch, tip, None, far=far)
    if moved is not None and moved.changed:
        _hear_history(site, tip)
        site.log.info("index.restored", commit=tip)
    return tip


def _hear_history(site: Site, tip: str) -> None:
    """Know what tasks said on the branch before, so that older files in a worktree are seen to be old."""
    try:
        texts = list(_former_texts(site, tip))
    except GitFailed as error:  # a shallow or partial clone has no more of it
        site.log.warning("history.unreadable", commit=tip, reason=error.message)
        return
    with site.writing() as txn:
        known = set(txn.live())
        for id, text in texts:
            if id in known:
                txn.hear(id, txn.keep(text))


def _former_texts(site: Site, tip: str) -> Iterator[tuple[str, bytes]]:
    for path, blob in blobs_below(site.git, tip, ROOT, HISTORY_LIMIT):
        text = site.git.objects().blob(blob)
        try:
            found = None if text is None else opened(text)
        except DocumentError:
            continue
        if found is not None:
            yield id_of(found.document, path), found.document.text


def _find_far(site: Site, branch: Branch, remote: Remote | None) -> str | None:
    try:
        tip = remote.fetch() if remote is not None else None
        names = remote_names(site.git)
        tip = tip or tracked_branch(site.git, branch.ref.removeprefix("refs/heads/"), names)
        if tip is not None:
            for name in names[:1]:
                (remote or Remote(site.git, name, branch.ref)).complete(tip)
    except GitFailed as error:
        site.log.warning("remote.failed", reason=error.message)
        return None
    return tip
