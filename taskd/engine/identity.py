"""Which task a document is of: by its `id`, by what it was, by its name, or by the file it was moved from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from taskd.core.document import Document
from taskd.core.fields import is_slug, slug_of
from taskd.core.texts import text_hash
from taskd.engine.accept import touch
from taskd.engine.site import BRANCH, SHARED, WORKSPACE, Place, Site
from taskd.errors import DocumentError
from taskd.repo import replicas
from taskd.store.base import Base, Txn


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds the tasks of one place's documents. `gone` are the paths of the batch that are not there."""

    site: Site
    place: Place
    txn: Txn
    now_ns: int
    gone: Sequence[str]

    def find_id(self, document: Document, base: Base | None, item: replicas.Reading) -> str:
        """The task's id. DocumentError when it would be taken from the name and another file has it."""
        written = document.values.get("id")
        if isinstance(written, str):
            return written
        if base is not None and base.task is not None:
            return base.task
        stem = PurePosixPath(item.path).stem
        implied = stem if is_slug(stem) else slug_of(stem)
        moved = self._moved_from(item)
        if moved is not None:
            return moved
        owner = self.txn.many([implied]).get(implied)
        alive = owner is not None and owner.deleted_at is None
        if owner is not None and alive and owner.file != item.path and self._holds(implied):
            reason = f"the id {implied!r}, taken from the file name, belongs to {owner.file}"
            raise DocumentError(reason, 1, "write another `id:` into this file")
        return implied

    def find_former(
        self, id: str, document: Document, base: Base | None, item: replicas.Reading, *, by_hand: bool
    ) -> Base | None:
        """The base to merge over: this path's, or that of the path the file was moved from.

        An id typed over another renames the task, if nobody else has either. DocumentError when another
        file of this place is the task already.
        """
        if base is not None and base.task == id:
            return base
        others = [b for b in self.txn.bases_of(id) if b.worktree == self.place.key and b.path != item.path]
        for other in others:
            if replicas.read(self.place.root, other.path, now_ns=self.now_ns) is not None:
                line = line_of(document, b"id")
                reason = f"the id {id!r} belongs to {other.path} already"
                raise DocumentError(reason, line, "give this file an `id` of its own, or delete the copy")
        if others:
            for text in self.txn.carried(self.place.key, others[0].path):
                self.txn.carry(self.place.key, item.path, text)
            self.txn.drop_base(self.place.key, others[0].path)
            self.txn.put_problems(self.place.key, others[0].path, [])
            return others[0]
        if by_hand and base is not None and base.task is not None and self._is_new_name(base.task, id):
            self.txn.rename(base.task, id)
            touch(self.txn, id)
            return replace(base, task=id)
        return None

    def _holds(self, id: str) -> bool:
        return any(base.worktree == self.place.key for base in self.txn.bases_of(id))

    def _moved_from(self, item: replicas.Reading) -> str | None:
        """The task of an id-less file that was renamed: same inode or same text, old name just gone."""
        for path in self.gone:
            base = self.txn.base(self.place.key, path)
            if base is not None and base.task is not None and _is_same_file(base, item):
                return base.task
        return None

    def _is_new_name(self, old: str, new: str) -> bool:
        """Whether an id typed over another renames the task: nobody has it, no other file the old one."""
        elsewhere = {b.worktree for b in self.txn.bases_of(old)} - {self.place.key, WORKSPACE, BRANCH}
        ours = self.site.rules.layout == SHARED or not elsewhere
        return ours and not self.txn.taken([new])


def line_of(document: Document, key: bytes) -> int:
    """The line on which a key stands, 1 without it."""
    lines = document.text.splitlines()
    return next((n for n, line in enumerate(lines, 1) if line.startswith(key + b":")), 1)


def _is_same_file(base: Base, item: replicas.Reading) -> bool:
    inode = base.stamp.ino if base.stamp is not None else None
    return base.text == text_hash(item.text) or inode == item.stamp[1]
