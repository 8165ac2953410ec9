"""What a killed process left: open intents, temp files, displaced edits.

True at the end: no intent is open, no temp file of ours is left, every text that was in one is in the
index or kept, and each base says what its replica was last known to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from taskd.core.texts import text_hash
from taskd.engine.accept import touch
from taskd.engine.ingest import ingest_text
from taskd.engine.site import Place, Site
from taskd.engine.writeback import Displaced
from taskd.repo import asides, crash, replicas
from taskd.store.base import Base, Intent, Txn


def recover(site: Site, now_ns: int, *, sweep: bool) -> int:
    """Settle everything a dead process left; how many intents. The caller holds the write lock.

    Who holds it knows that every open intent is a dead process's. Temp files are looked for where
    there are such intents, with `sweep` everywhere: for a daemon that starts, since no living
    process keeps one then.
    """
    with site.db.read() as view:
        intents = view.intents()
    if not intents and not sweep:
        return 0
    suspects = {intent.worktree for intent in intents}
    found = {
        place.key: asides.leftovers(place.root)
        for place in site.places.values()
        if sweep or place.key in suspects
    }
    if intents:
        _settle_intents(site, intents, now_ns)
        crash.point("recover.settled")
    for key, leftovers in found.items():
        _take_leftovers(site, site.places[key], leftovers, {(i.worktree, i.path): i for i in intents}, now_ns)
    if intents:
        site.log.info("recovered", intents=len(intents))
    return len(intents)


def _settle_intents(site: Site, intents: list[Intent], now_ns: int) -> None:
    """Close each intent by what its file says now.

    * What was to be written: it was; the base follows.
    * What was expected: it was not; the errand, still on record, does it again.
    * Anything else: somebody saved. Whether before or after our write, nobody knows: of the two texts it
      may have been made from, the nearer one is the base.
    """
    with site.writing() as txn:
        for intent in intents:
            place = site.places.get(intent.worktree)
            if place is not None:
                _settle_intent(txn, place, intent, now_ns)
            txn.close_intent(intent.id)
            touch(txn, intent.task)


def _settle_intent(txn: Txn, place: Place, intent: Intent, now_ns: int) -> None:
    reading = replicas.read(place.root, intent.path, now_ns=now_ns)
    where = (intent.worktree, intent.path)
    base = txn.base(*where)
    if reading is None:
        if intent.wanted is None:
            txn.drop_base(*where)
        return
    if isinstance(reading, replicas.Trouble):
        return
    hash = text_hash(reading.text)
    if hash == intent.wanted or not reading.text.strip(b"\0"):
        # Nothing but zeros is what a power cut leaves of a write that was not synced: written over again.
        txn.keep(reading.text)
        txn.put_base(Base(*where, intent.task, hash, None))
    elif hash != intent.expected and intent.wanted is not None and intent.expected is not None:
        near = _nearer(reading.text, txn.text(intent.expected), txn.text(intent.wanted))
        chosen = intent.expected if near else intent.wanted
        txn.put_base(Base(*where, intent.task, chosen, None))
    elif base is not None:
        txn.put_base(replace(base, stamp=None))


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
) -> None:
    """Temp files: texts that are kept anyway go, any other is an edit that was displaced."""
    for temp, text in leftovers:
        path = asides.origin(temp)
        if path is not None and not _is_kept(site, text):
            intent = intents.get((place.key, path))
            site.log.warning("edit.displaced", worktree=place.key, path=path)
            ingest_text(site, place, path, text, intent.expected if intent else None, now_ns)
        crash.point("recover.before-discard")
        asides.discard(place.root, temp)


def _is_kept(site: Site, text: bytes) -> bool:
    with site.db.read() as view:
        try:
            view.text(text_hash(text))
        except KeyError:
            return False
        return True


def take_displaced(site: Site, edit: Displaced, now_ns: int) -> None:
    """Take in an edit that a write back found in its way, then let its file go."""
    if edit.text is not None:
        site.log.info("edit.displaced", worktree=edit.place.key, path=edit.path)
        ingest_text(site, edit.place, edit.path, edit.text, edit.expected, now_ns)
        settle_aside(site, edit.place, edit.aside, text_hash(edit.text), now_ns)


def settle_aside(site: Site, place: Place, aside: str, expected: str, now_ns: int) -> bool:
    """Let a swapped-out file go once nobody has it open; what was still written into it is taken in.

    False while it is in use.
    """
    if asides.in_use(place.root, aside):
        return False
    text = asides.settle(place.root, aside, expected)
    path = asides.origin(aside)
    if text is not None and path is not None:
        site.log.info("edit.displaced", worktree=place.key, path=path)
        ingest_text(site, place, path, text, expected, now_ns)
    return True
