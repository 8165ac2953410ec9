"""What a killed process left: open intents, temp files, displaced edits.

True at the end: no intent is open, no temp file of ours is left, every text that was in one is in the
index or kept, and each base says what its replica was last known to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from taskd.core.texts import text_hash
from taskd.engine.accept import touch
from taskd.engine.ingest import ingest_text
from taskd.engine.site import Place, Site
from taskd.engine.writeback import Displaced, Write, Written, carry_out, is_written_back
from taskd.repo import asides, crash, replicas
from taskd.store.base import Base, Intent, Txn

#: place key, path of the temp file, hash of the text that is known of it
Lingering: TypeAlias = tuple[str, str, str]


def recover(site: Site, now_ns: int, *, sweep: bool) -> Written:
    """Settle everything a dead process left. The caller holds the write lock.

    Who holds it knows that every open intent is a dead process's, or a command's that has yet to do
    what it put on record and will find it done. Temp files are looked for where there are such
    intents, with `sweep` everywhere: for a daemon that starts, since no living process keeps one then.
    Each part can be done twice: intents are closed last.
    """
    report = Written()
    with site.db.read() as view:
        intents = view.intents()
    if not intents and not sweep:
        return report
    suspects = {intent.worktree for intent in intents}
    found = {
        place.key: asides.leftovers(place.root)
        for place in site.places.values()
        if sweep or place.key in suspects
    }
    undone = list[Intent]()
    if intents:
        undone = _settle_bases(site, intents, now_ns)
        crash.point("recover.settled")
    known = {(intent.worktree, intent.path): intent for intent in intents}
    for key, leftovers in found.items():
        report.lingering += _take_leftovers(site, site.places[key], leftovers, known, now_ns)
    if intents:
        again = _do_again(site, undone)
        report = replace(again, lingering=again.lingering + report.lingering)
        with site.writing() as txn:
            for intent in intents:
                txn.close_intent(intent.id)
        site.log.info("recovered", intents=len(intents))
    return report


def _do_again(site: Site, undone: list[Intent]) -> Written:
    """Carry out what no errand will."""
    with site.db.read() as view:
        writes = [
            Write(site.places[i.worktree], i.path, i.task, i.expected, view.text(i.wanted), i.id)
            for i in undone
            if i.wanted is not None
        ]
    return carry_out(site, writes)


def _settle_bases(site: Site, intents: list[Intent], now_ns: int) -> list[Intent]:
    """Bring bases in step with what the files of open intents say now; what is still to be done.

    * What was to be written: it was; the base follows.
    * What was expected: it was not; the errand, still on record, does it again, or else we do.
    * Anything else: somebody saved. Whether before or after our write, nobody knows: of the two texts it
      may have been made from, the nearer one is the base.
    """
    undone = list[Intent]()
    with site.writing() as txn:
        for intent in intents:
            touch(txn, intent.task)
            place = site.places.get(intent.worktree)
            if place is None or _settle_base(txn, place, intent, now_ns):
                continue
            if not is_written_back(site, place, intent.path):
                undone.append(intent)
    return undone


def _settle_base(txn: Txn, place: Place, intent: Intent, now_ns: int) -> bool:
    """Whether the intent is settled by that: its file is not as it was before."""
    reading = replicas.read(place.root, intent.path, now_ns=now_ns)
    where = (intent.worktree, intent.path)
    base = txn.base(*where)
    if reading is None:
        if intent.wanted is None:
            txn.drop_base(*where)
        return intent.expected is not None
    if isinstance(reading, replicas.Trouble):
        return True
    hash = text_hash(reading.text)
    known = replace(base or Base(*where, None, None, None), task=intent.task, stamp=None)
    if hash == intent.wanted or not reading.text.strip(b"\0"):
        # Nothing but zeros is what a power cut leaves of a write that was not synced: written over again.
        txn.keep(reading.text)
        if intent.expected not in (None, hash):
            txn.carry(*where, intent.expected or "")
        txn.put_base(replace(known, text=hash))
    elif hash != intent.expected and intent.wanted is not None and intent.expected is not None:
        near = _nearer(reading.text, txn.text(intent.expected), txn.text(intent.wanted))
        chosen = intent.expected if near else intent.wanted
        txn.put_base(replace(known, text=chosen))
    elif base is not None:
        txn.put_base(replace(base, stamp=None))
    return hash != intent.expected


def _nearer(text: bytes, first: bytes, second: bytes) -> bool:
    """Whether the text shares at least as many lines with the first as with the second."""
    lines = set(text.splitlines())
    return len(lines ^ set(first.splitlines())) <= len(lines ^ set(second.splitlines()))


def _take_leftovers(
    site: Site,
    place: Place,
    leftovers: list[tuple[str, bytes]],
    intents: Mapping[tuple[str, str], Intent],
    now_ns: int,
) -> list[Lingering]:
    """Temp files: texts that are kept anyway go, any other is an edit that was displaced.

    Those that an editor still has open are given back, to be looked at again.
    """
    lingering = list[Lingering]()
    for temp, text in leftovers:
        path = asides.origin(temp)
        intent = intents.get((place.key, path or ""))
        known = text_hash(text)
        if not text.strip():  # it was about to be written, by us or an editor: nothing is in it yet
            known = (intent.expected if intent is not None else None) or known
        elif intent is not None and _is_begun(site, intent, text):
            _keep(site, text)
        elif path is not None and not _is_kept(site, known):
            _take_edit(site, place, path, text, intent.expected if intent is not None else None, now_ns)
        crash.point("recover.before-discard")
        if not settle_aside(site, place, temp, known, now_ns):
            lingering.append((place.key, temp, known))
    return lingering


def _is_begun(site: Site, intent: Intent, text: bytes) -> bool:
    """Whether it is the beginning of what we were writing."""
    with site.db.read() as view:
        return intent.wanted is not None and view.text(intent.wanted).startswith(text)


def _keep(site: Site, text: bytes) -> None:
    with site.writing() as txn:
        txn.keep(text)


def _is_kept(site: Site, hash: str) -> bool:
    with site.db.read() as view:
        try:
            view.text(hash)
        except KeyError:
            return False
        return True


def _take_edit(site: Site, place: Place, path: str, text: bytes, over: str | None, now_ns: int) -> None:
    site.log.info("edit.displaced", worktree=place.key, path=path)
    ingest_text(site, place, path, text, over if over and _is_kept(site, over) else None, now_ns)


def take_displaced(site: Site, edit: Displaced, now_ns: int) -> list[Lingering]:
    """Take in an edit that a write back found in its way, then let its file go, unless it is in use."""
    if edit.text is None:
        return []
    expected = edit.expected or ""
    if edit.text.strip():  # else it is being saved: the text is still to come
        _take_edit(site, edit.place, edit.path, edit.text, edit.expected, now_ns)
        expected = text_hash(edit.text)
    is_settled = settle_aside(site, edit.place, edit.aside, expected, now_ns)
    return [] if is_settled else [(edit.place.key, edit.aside, expected)]


def settle_aside(site: Site, place: Place, aside: str, expected: str, now_ns: int) -> bool:
    """Let a swapped-out file go once nobody has it open; what was still written into it is taken in first.

    False while it is in use.
    """
    if asides.in_use(place.root, aside):
        return False
    path = asides.origin(aside)
    for late in (asides.peek, asides.settle):  # before it goes, and what came until the very end
        text = late(place.root, aside, expected)
        if text is not None and text.strip() and path is not None:
            _take_edit(site, place, path, text, expected, now_ns)
            expected = text_hash(text)
    return True
