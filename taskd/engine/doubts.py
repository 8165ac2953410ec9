"""An index that is older than what happened: a copy in the place of a lost one, or one put back by hand.

What is true after `forget_if_old`: nothing the index says of files is believed any more. So a file that
differs from its task conflicts with it instead of being overwritten, a file that is missing is not missed,
and no number is given out again that was given out in the time the index does not know of.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from taskd.engine.site import Site
from taskd.store.base import COPIED, Entry, Txn, View

#: under this name in place of a task's id the journal tells of the index itself
INDEX: Final = "@index"

_SEEN: Final = "index.seen"  # a file beside the index: the newest journal number that we know of
_WIDTH: Final = 20  # digits; 64 bits have 19


def forget_if_old(site: Site) -> str:
    """Begin anew with all files if the index is an old one; why it is that, empty if it is not.

    To be called before anything else is done with the index; `tell` says it afterwards.
    """
    last = seen(site.state_dir)  # before the snapshot: others go on writing both
    with site.db.read() as view:
        reason = _doubt(view, last)
    if reason:
        with site.writing() as txn:
            _forget(txn)
            txn.skip_ahead(_milliseconds(txn.now()))
            txn.put_meta(COPIED, None)
    return reason


def tell(site: Site, reason: str) -> None:
    """Put on record that the index is an old one."""
    with site.writing() as txn:
        txn.record([Entry(INDEX, "index", None, reason, txn.now(), "taskd", "taskd", "main", "recover")])
    site.log.warning("index.older", reason=reason)
    remember(site)


def remember(site: Site) -> None:
    """Note how far the journal has come, where an older index in the place of this one is found out by it."""
    with site.db.read() as view:
        newest = _newest(view)
    if newest != seen(site.state_dir):
        file = site.state_dir / _SEEN
        temp = file.with_name(f".{_SEEN}")
        with suppress(OSError):  # no room: then an older note has to do
            temp.write_text(f"{newest:0{_WIDTH}}\n", encoding="ascii")
            temp.replace(file)


def is_known(state_dir: Path) -> bool:
    """Whether there has been an index with something in it."""
    return seen(state_dir) > 0


def seen(state_dir: Path) -> int:
    """The newest journal number that is known to have been; 0 if none is."""
    try:
        return int((state_dir / _SEEN).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _doubt(view: View, last: int) -> str:
    """Why the index is not believed; empty when it is."""
    copied, newest = view.meta(COPIED), _newest(view)
    if copied is not None:
        return f"it is a copy made at {copied}; what happened after that is in the files, or lost"
    if newest < last:
        return f"its journal ends at {newest} and was at {last}; what lies between is in the files, or lost"
    return ""


def _forget(txn: Txn) -> None:
    for row in txn.worktrees():
        for base in txn.bases(row.key):
            txn.drop_carried(row.key, base.path)
        txn.drop_bases(row.key)
    for intent in txn.intents():
        txn.close_intent(intent.id)


def _newest(view: View) -> int:
    return max((entry.seq for entry in view.journal(limit=1, newest=True)), default=0)


def _milliseconds(now: str) -> int:
    """More than any number that was given out one by one: the milliseconds since 1970."""
    return int(datetime.fromisoformat(now).timestamp() * 1000)
