"""What has to wait for git, and at the first look at a repository for the main worktree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from taskd.engine.site import Place, Site
from taskd.engine.touches import GATE_CAP, GATE_REST
from taskd.repo.worktrees import MAIN, gate_locks


@dataclass(slots=True)
class Gates:
    """The gates of one repository's places. `clock_ns` tells wall time, as files are stamped."""

    site: Site
    clock_ns: Callable[[], int]
    #: (place key, path) that git waits for somebody to merge, and when git had last run then
    _unmerged: dict[tuple[str, str], int] = field(default_factory=dict)
    _main_heard: bool = False
    _since: float = field(default_factory=time.monotonic)

    def is_closed(self, place: Place) -> bool:
        """Whether a git command is at work in the place's worktree, was a moment ago, or main comes first.

        A switch lets go of one lock before it takes the next: only after a rest is it over. That matters
        where it may have written task files.
        """
        if place.worktree is None:
            return False
        if gate_locks(place.worktree.git_dir) or self._awaits_main(place):
            return True
        ended = self.site.history.last_command_ns(place.worktree) if self.site.tracked(place) else 0
        return 0 <= self.clock_ns() - ended < GATE_REST * 1e9

    def heard(self, place: Place) -> None:
        """A place was looked at as a whole."""
        self._main_heard |= place.key == MAIN

    def await_merge(self, place: Place, paths: Iterable[str]) -> None:
        """These are looked at when git has run again."""
        if place.worktree is not None:
            now = self.site.history.last_command_ns(place.worktree)
            self._unmerged |= {(place.key, path): now for path in paths}

    def take_merged(self) -> list[tuple[str, str]]:
        """Paths (by place) that waited for git to run again, and it has."""
        found = list[tuple[str, str]]()
        for (key, path), then in list(self._unmerged.items()):
            tree = self.site.places[key].worktree if key in self.site.places else None
            if tree is None or self.site.history.last_command_ns(tree) != then:
                del self._unmerged[key, path]
                found += [(key, path)] if tree is not None else []
        return found

    def _awaits_main(self, place: Place) -> bool:
        """Whether nothing was heard of the main worktree yet, from which the others are told apart."""
        if self._main_heard or place.key == MAIN or MAIN not in self.site.places:
            return False
        with self.site.db.read() as view:
            self._main_heard = bool(view.bases(MAIN)) or time.monotonic() - self._since > GATE_CAP
        return not self._main_heard
