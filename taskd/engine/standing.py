"""Which tasks had a file in a place when the first of its files was missed: on record until it is decided.

New files that come meanwhile, and a restart, must not make a directory that was emptied look less empty.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from taskd.engine.site import Place, Site
from taskd.store.base import View

STOOD: Final = "places.stood"


@dataclass(slots=True)
class Standing:
    """The record, read when it is needed first. The caller holds the write lock where it may change."""

    site: Site
    _stood: dict[str, frozenset[str]] = field(default_factory=dict)
    _is_read: bool = False

    def count(self, place: Place, gone: Sequence[str]) -> None:
        """Note what a place has, if files are missing there that it had and nothing is noted yet."""
        if not gone or place.key in self._known():
            return
        with self.site.db.read() as view:
            if all(view.base(place.key, path) is None for path in gone):
                return
            self._stood[place.key] = standing(view, place)
        self._keep()

    def of(self, place: Place) -> frozenset[str] | None:
        """What was noted, None if nothing was."""
        return self._known().get(place.key)

    def forget(self, place: Place) -> None:
        """It is decided about, or nothing is missing after all."""
        if self._known().pop(place.key, None) is not None:
            self._keep()

    def _known(self) -> dict[str, frozenset[str]]:
        if not self._is_read:
            with self.site.db.read() as view:
                kept = json.loads(view.meta(STOOD) or "{}")
            self._stood = {key: frozenset(tasks) for key, tasks in kept.items()}
            self._is_read = True
        return self._stood

    def _keep(self) -> None:
        kept = {key: sorted(tasks) for key, tasks in self._stood.items()}
        with self.site.writing() as txn:
            txn.put_meta(STOOD, json.dumps(kept) if kept else None)


def standing(view: View, place: Place) -> frozenset[str]:
    """The tasks of which a place is known to have a file."""
    return frozenset(base.task for base in view.bases(place.key) if base.task is not None)
