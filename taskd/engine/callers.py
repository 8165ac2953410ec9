"""What calls write in their callers' own worktrees, because a person asked and no errand would.

On record as intents in the transaction of the calls, carried out once that is on the disk, or after
a crash by `recover`. A file that says something else by then is heard first, and brought in step after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from taskd.core.document import edit, edit_all, read
from taskd.core.render import replica_text
from taskd.core.task import Task
from taskd.core.texts import text_hash
from taskd.engine.site import SHARED, Place, Site
from taskd.engine.writeback import Write, Written, is_written_back, open_writes, untouchable
from taskd.errors import Missing, Refused, TaskdError, Uneditable, Unheard
from taskd.repo import replicas
from taskd.store.base import Base, Txn, View

#: what a caller is told of one file: `{id, path, changed}`, with `reason` where it could not be written
Row: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Authored:
    """What a command set: fields for the task's document in the caller's place, to be made if `makes`."""

    place: Place
    task: str
    fields: Mapping[str, object]
    makes: bool = False

    def joined(self, later: Authored) -> Authored:
        """Both at once."""
        return replace(later, fields={**self.fields, **later.fields}, makes=self.makes or later.makes)


@dataclass(slots=True)
class Pulled:
    """A file to be brought to the head, whoever else owns it; `row` is what its caller is told."""

    place: Place
    path: str
    task: str
    row: Row
    #: whether a write of it was put on record: somebody may carry it out before us
    opened: bool = False


@dataclass(slots=True)
class Owed:
    """What the calls of one transaction still have to write."""

    authored: list[Authored] = field(default_factory=list)
    pulled: list[Pulled] = field(default_factory=list)

    def open(self, site: Site, txn: Txn) -> list[Write]:
        """Put on record what is not written yet."""
        pulled = [w for one in self.pulled if (w := _pulled_write(site, txn, one)) is not None]
        return _open_authored(site, txn, self.authored) + open_writes(txn, pulled)

    def settle(self, opened: Sequence[Write], done: Written) -> None:
        """Tell the callers what came of it."""
        wanted = {(one.place.key, one.path): one for one in self.pulled}
        for write in opened:
            where = (write.place.key, write.path)
            if where in wanted:
                reason = done.refused.get(where)
                if where in done.surprises:
                    reason = "it was saved again while it was being written; call again"
                _tell(wanted[where].row, changed=reason is None, reason=reason)


def demand_heard(txn: View, place: Place, base: Base) -> bytes:
    """The text of a replica's file, which is the one that was taken in.

    Missing without the file, Refused when it is one that cannot be taken in, Unheard when it is yet to be.
    """
    found = replicas.read(place.root, base.path, now_ns=0)  # its age does not matter: its text is compared
    if found is None:
        reason = f"{base.task} has no file in {place.key}: {base.path} is gone"
        raise Missing(reason=reason, remedy=f"`taskd show {base.task}` lists its files")
    if isinstance(found, replicas.Reading) and text_hash(found.text) == base.text:
        return found.text
    told = [p.reason for p in txn.problems(place.key) if (p.path, p.kind) == (base.path, "problem")]
    if told:
        raise Refused(reason=f"{base.path} in {place.key} could not be taken in: {told[0]}")
    raise Unheard(path=base.path, worktree=place.key, reason="a save of it is being taken in")


def _pulled_write(site: Site, txn: Txn, one: Pulled) -> Write | None:
    task, base = txn.many([one.task]).get(one.task), txn.base(one.place.key, one.path)
    if task is None or task.deleted_at is not None or base is None or base.task != one.task:
        _tell(one.row, changed=False, reason="the task or its file went meanwhile")
        return None
    try:
        text = demand_heard(txn, one.place, base)
    except TaskdError as error:
        _tell(one.row, changed=False, reason=error.message)
        return None
    wanted = _text_for(site, txn, one, task, text)
    _tell(one.row, changed=one.opened or wanted != text, reason=None)
    if wanted == text:
        return None
    one.opened = True
    return Write(one.place, one.path, task.id, base.text, wanted)


def _tell(row: Row, *, changed: bool, reason: str | None) -> None:
    row.pop("reason", None)
    row["changed"] = changed
    if reason is not None:
        row["reason"] = reason


def _text_for(site: Site, view: View, one: Pulled, task: Task, text: bytes) -> bytes:
    """The head for one file: where git has it, a status is shown only if it shows one already."""
    head = view.text(task.text)
    if is_written_back(site, one.place, one.path):
        return replica_text(head, task)
    document = read(text)
    shows = document is not None and "status" in document.runtime
    try:
        return edit(head, "status", task.status.value if shows else None)
    except Uneditable:
        return replica_text(head, task)


def _open_authored(site: Site, txn: Txn, authored: Iterable[Authored]) -> list[Write]:
    """Put on record what commands set in documents that git does not have.

    In the shared layout every worktree is written anyway.
    """
    if site.rules.layout == SHARED:
        return []
    gathered = dict[tuple[str, str], Authored]()
    for one in authored:
        before = gathered.get((one.place.key, one.task))
        if one.place.worktree is not None:
            gathered[one.place.key, one.task] = one if before is None else before.joined(one)
    writes = [w for one in gathered.values() if (w := _authored_write(txn, one)) is not None]
    return open_writes(txn, [w for w in writes if w.path not in untouchable(site, w.place)])


def _authored_write(view: View, one: Authored) -> Write | None:
    task = view.many([one.task]).get(one.task)
    if task is None or task.deleted_at is not None:
        return None
    mine = next((b for b in view.bases_of(one.task) if b.worktree == one.place.key and b.text), None)
    if mine is None or mine.text is None:
        made = replica_text(view.text(task.text), task)
        return Write(one.place, task.file, task.id, None, made) if one.makes else None
    try:
        text = edit_all(view.text(mine.text), one.fields)
    except Uneditable:
        return None
    return None if text_hash(text) == mine.text else Write(one.place, mine.path, task.id, mine.text, text)
