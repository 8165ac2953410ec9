"""What an operation works with: the open transaction, who calls from where, and the rules."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from taskd.core.claims import Claimant, check_holder, is_live
from taskd.core.render import task_data
from taskd.core.task import Task
from taskd.engine.accept import Origin, accept
from taskd.engine.callers import Pulled
from taskd.engine.site import Place, Rules, Site
from taskd.errors import AmbiguousId, NotFound
from taskd.store.base import Txn


@dataclass(slots=True)
class Desk:
    """One call being carried out. Operations that only read are handed a view in place of `txn`."""

    txn: Txn
    site: Site
    who: Claimant
    cause: str
    token: int | None = None
    #: the place of the worktree the call was made in
    place: Place | None = None
    #: (task, authored fields by name) to write into the document of the caller's own worktree
    authored: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    #: files to be brought to the head once this is committed
    pulled: list[Pulled] = field(default_factory=list)

    @property
    def rules(self) -> Rules:
        """The settings in force."""
        return self.site.rules

    def find(self, word: str) -> Task:
        """The task, without its records, that an id, an alias or a unique beginning of an id means."""
        found = self.txn.resolve(word)
        if len(found) == 1 or word in found:
            id = word if word in found else found[0]
            task = self.txn.many([id]).get(id)
            if task is not None and task.deleted_at is None:
                return task
        if len(found) > 1:
            raise AmbiguousId(id=word, candidates=", ".join(found))
        near = difflib.get_close_matches(word, self.txn.live(), 1) if len(word) > 1 else []
        raise NotFound(word, near[0] if near else "")

    def find_own(self, word: str, *, force: bool) -> Task:
        """The task to change; refused when it is another's and `force` is not given."""
        task = self.find(word)
        check_holder(task, self.who, now=self.txn.now(), token=self.token, force=force)
        return task

    def origin(self, *, forced: bool = False, cause: str | None = None) -> Origin:
        """What the journal says of this call; `cause` instead of the operation's name."""
        told = cause or (f"{self.cause} --force" if forced else self.cause)
        return Origin(self.who.actor, self.who.session, self.who.worktree, told)

    def accept(self, old: Task | None, *versions: Task, forced: bool = False) -> Task:
        """Make the last version the head, with everything that follows from it."""
        return accept(self.txn, old, versions, self.origin(forced=forced), self.txn.now())

    def blocked_by(self, task: Task) -> tuple[str, ...]:
        """The unfinished dependencies of the stored task."""
        return self.txn.blockers([task.id])[task.id]

    def tell(self, id: str) -> dict[str, object]:
        """The JSON shape of one task, complete, and how many open conflicts it has."""
        task = self.txn.task(id)
        if task is None:
            raise NotFound(id)
        conflicts = len(self.txn.conflicts(id))
        files = [
            {"worktree": base.worktree, "path": base.path, "state": _state(base.text, task)}
            for base in self.txn.bases_of(id)
            if not base.worktree.startswith("@")
        ]
        told = task_data(
            self._without_lapsed(task),
            blocked_by=self.blocked_by(task),
            blocks=self.txn.dependents([id])[id],
            files=files,
        )
        return {**told, "conflicts": conflicts}

    def tell_all(self, tasks: Sequence[Task]) -> list[dict[str, object]]:
        """The JSON shape of many tasks, without records and files."""
        ids = [task.id for task in tasks]
        blockers, dependents = self.txn.blockers(ids), self.txn.dependents(ids)
        conflicts = Counter(conflict.task for conflict in self.txn.conflicts())
        return [
            {
                **task_data(
                    self._without_lapsed(task), blocked_by=blockers[task.id], blocks=dependents[task.id]
                ),
                "conflicts": conflicts[task.id],
            }
            for task in tasks
        ]

    def _without_lapsed(self, task: Task) -> Task:
        live = task.claim is None or is_live(task.claim, self.txn.now())
        return task if live else replace(task, claim=None)


def _state(text: str | None, task: Task) -> str:
    """Whether a replica says what the head says: `current`, or `differs` (status or older text)."""
    return "current" if text == task.text else "differs"
