"""The table of periodic jobs. A job does nothing but post its name to the work loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler

TICK: Final = "tick"
SWEEP: Final = "sweep"
SCAN: Final = "scan"
RETRY: Final = "retry"
CHECKPOINT: Final = "checkpoint"
REMOTE: Final = "remote"
BACKUP: Final = "backup"

#: seconds between two runs, and why
INTERVALS: Final = {
    TICK: 1.0,  # new worktrees, lost watches, a gap in time: noticed within a second
    SWEEP: 5.0,  # a lapsed claim is no obstacle meanwhile: claims are judged when they are read
    RETRY: 30.0,  # replicas and a branch that could not be written
    BACKUP: 600.0,  # whether the copy of the day is due
    CHECKPOINT: 300.0,  # the write-ahead log goes back into the index
}


@contextmanager
def scheduled(
    post: Callable[[str], None], scan_interval: float, fetch_interval: float | None = None
) -> Iterator[None]:
    """Run the table until the block ends. Missed runs become one late run, never none.

    Intervals in seconds; without one for fetching no remote is looked at.
    """
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler = BackgroundScheduler(timezone="UTC", daemon=True)
    far = {} if fetch_interval is None else {REMOTE: max(1.0, fetch_interval)}
    for name, seconds in {**INTERVALS, SCAN: max(1.0, scan_interval), **far}.items():
        scheduler.add_job(
            post,
            "interval",
            args=[name],
            seconds=seconds,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)
