"""A copy of the index every day, of which the last seven are kept.

A copy is called by how far the journal had come, then by the time: so the newest is told from the others
also when the clock was wrong.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from taskd.core.claims import moment
from taskd.engine import doubts
from taskd.engine.site import Site
from taskd.errors import StoreDamaged, StoreFailed
from taskd.store.base import COPIES

KEPT: Final = 7  # copies
EVERY: Final = 20 * 3600  # seconds; less than a day, for daemons that are started in the morning
_DIGITS: Final = 19  # of a journal number
_FORM: Final = "%Y%m%dT%H%M%SZ"


def directory(state_dir: Path) -> Path:
    """Where the copies lie."""
    return state_dir / "backups"


def back_up_daily(site: Site) -> bool:
    """Make the copy that is due, if one is and anything was changed; whether one was made."""
    with site.db.read() as view:
        now, newest = moment(view.now()), view.journal(limit=1, newest=True)
    if not newest:
        return False  # there is nothing in it yet
    made = [_parts(copy) for copy in copies(site.state_dir)]
    if made and (made[-1][0] == newest[0].seq or abs((now - made[-1][1]).total_seconds()) < EVERY):
        return False
    return back_up(site, newest[0].seq, now)


def save(site: Site) -> bool:
    """Make a copy of an index whose file was removed while it was open; whether that was possible."""
    try:
        return back_up(site, doubts.seen(site.state_dir), datetime.now(UTC))
    except StoreDamaged as error:
        site.log.warning("index.not-copied", reason=error.message)
        return False


def back_up(site: Site, seq: int, now: datetime) -> bool:
    """Make a copy now, and let the oldest go; whether that was possible.

    When it was not that is told, and no older copy goes. StoreDamaged when the index is found to be that.
    """
    target = directory(site.state_dir) / COPIES.replace("*", f"{seq:0{_DIGITS}}-{now.strftime(_FORM)}")
    try:
        if not site.db.back_up(target):
            return False
    except StoreDamaged:
        raise
    except StoreFailed as error:
        site.log.warning("index.not-copied", reason=error.message)
        return False
    site.log.info("index.copied", path=str(target))
    for old in copies(site.state_dir)[:-KEPT]:
        old.unlink(missing_ok=True)
    return True


def copies(state_dir: Path) -> list[Path]:
    """Every copy, the oldest first; what somebody put there under another kind of name is none."""
    return sorted(copy for copy in directory(state_dir).glob(COPIES) if _is_ours(copy))


def _parts(copy: Path) -> tuple[int, datetime]:
    """The journal number and the time in a copy's name."""
    _, seq, made = copy.stem.split("-")
    return int(seq), datetime.strptime(f"{made}+0000", f"{_FORM}%z")


def _is_ours(copy: Path) -> bool:
    try:
        _parts(copy)
    except ValueError:
        return False
    return True
