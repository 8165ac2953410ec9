"""Steps 3 to 5: what stands in touched replicas is read, decided about, and committed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from taskd.core.texts import text_hash
from taskd.engine import provenance
from taskd.engine.accept import touch
from taskd.engine.provenance import Provenance
from taskd.engine.site import Place, Site
from taskd.engine.taker import Ingested, Taker, stamp_of
from taskd.repo import crash, replicas

BATCH: Final = 100  # files a transaction; a command waits for one batch at most


def ingest(site: Site, place: Place, paths: Sequence[str], now_ns: int) -> Ingested:
    """Take in the documents at `paths` of a place. The caller holds the write lock.

    * A file that cannot be read, or is no valid document, changes nothing and is listed as a problem.
    * A file that is not there though it had a base is reported as absent; nothing follows from it here.
    * The outcome does not depend on how the paths are cut into batches.
    """
    gone = [path for path in paths if not os.path.lexists(place.root / path)]
    standing = [path for path in paths if path not in set(gone)] if gone else list(paths)
    report = Ingested(absent=gone)
    git = provenance.look(site, place) if standing else None
    for start in range(0, len(standing), BATCH):
        found = read_replicas(place, standing[start : start + BATCH], now_ns, report)
        site.log.debug("replica.read", worktree=place.key, files=len(found))
        crash.point("replica.read")
        site.beat()
        report.add(_commit(site, place, found, now_ns, gone, git))
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
    git: Provenance | None,
) -> Ingested:
    report = Ingested()
    news = _with_news(site, place, found)
    if git is not None:
        _ask_git(site, place, git, news)
        if git.is_over():  # it was at work while the files were read: they are looked at when it is done
            report.again += [item.path for item in news]
            return report
    if not news:
        return report
    with site.writing() as txn:
        for item in news:
            Taker(site, place, txn, now_ns, report, gone, git).take(item)
        crash.point("index.committing")
    crash.point("index.committed")
    if report.changed:
        site.log.info("index.committed", worktree=place.key, tasks=len(report.changed))
    return report


def _ask_git(
    site: Site, place: Place, git: Provenance, news: Sequence[replicas.Reading | replicas.Trouble]
) -> None:
    readings = [item for item in news if isinstance(item, replicas.Reading)]
    with site.db.read() as view:
        bases = {item.path: view.base(place.key, item.path) for item in readings}
    git.prepare(readings, bases)


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
            or base.stamp != stamp_of(item)
        ]


def ingest_text(site: Site, place: Place, path: str, text: bytes, over: str | None, now_ns: int) -> None:
    """Take in an edit that is no longer in its place; `over` is the hash of the text it was made from.

    The replica's base is afterwards what it was before: the file in place says something else.
    """
    with site.writing() as txn:
        present = txn.base(place.key, path)
        if over is not None and present is not None:
            txn.put_base(replace(present, text=over, stamp=None))
        reading = replicas.Reading(path, text, (0, 0, len(text), 0, 0), racy=True)
        Taker(site, place, txn, now_ns, Ingested(), ()).take(reading)
        txn.carry(place.key, path, txn.keep(text))  # an editor may still hold it
        if present is not None:
            txn.put_base(replace(present, stamp=None))
            if present.task is not None:
                touch(txn, present.task)
