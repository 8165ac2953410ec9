"""What a text was made from: the text that it is merged over."""

from __future__ import annotations

from dataclasses import dataclass

from taskd.core.document import Document, read
from taskd.core.news import nearest
from taskd.core.render import authored_text
from taskd.core.task import Task
from taskd.core.texts import text_hash
from taskd.engine.provenance import Provenance
from taskd.engine.site import BRANCH, WORKSPACE, Place
from taskd.errors import DocumentError
from taskd.store.base import Base, Txn


@dataclass(frozen=True, slots=True)
class Ancestry:
    """Finds ancestors for texts of one place. Without `git` nothing there is git's."""

    place: Place
    txn: Txn
    git: Provenance | None

    def authored(self, text: bytes) -> bytes:
        """What people wrote of a text that stands in the place."""
        return authored_text(text) if self.place.key == WORKSPACE else text

    def versions(self, id: str) -> list[Document]:
        """Every text the task has had, in the index or in any worktree, oldest first."""
        texts = (self.txn.text(hash) for hash in self.txn.versions(id))
        return [found for text in texts if (found := read_or_none(text)) is not None]

    def nearest_known(
        self, document: Document, head: Task, base: Document | None, *, typed: bool
    ) -> Document | None:
        """Of all that the task has ever said, and a base, what a text is most likely to be made from."""
        last = read_or_none(self.txn.text(head.text))
        found = [one for one in (*self.versions(head.id), last, base) if one is not None]
        return found[nearest(document, found, typed=typed)] if found else None

    def of_news(self, id: str, former: Base | None, path: str) -> Document | None:
        """What git's text at a path was made from."""
        others = [b for b in self.txn.bases_of(id) if b.worktree not in (self.place.key, WORKSPACE, BRANCH)]
        assert self.git is not None  # noqa: S101 - only what git brought has an ancestor there
        text = self.git.ancestor(path, former, lambda hash: self.txn.known(id, hash), others)
        return None if text is None else read_or_none(text)

    def of_edit(
        self, id: str, document: Document, former: Base | None, path: str
    ) -> tuple[Document | None, bool]:
        """What an edit was made from, and whether it is that very text and an older one.

        An editor may still hold any text that the replica has carried since it was last saved by hand.
        """
        last = None if former is None or former.text is None else former.text
        if last is None and self.git is not None and self.git.tracked:
            return None, False  # it was away: what git has put there since may be any text
        hashes = [*self.txn.carried(self.place.key, path), *([] if last is None else [last])]
        carried = [self.authored(self.txn.text(hash)) for hash in hashes]
        documents = [read_or_none(text) for text in (*self._put_back(id, document, former, path), *carried)]
        found = [one for one in documents if one is not None and self._is_of(id, one)]
        if not found:
            return None, False
        chosen = found[nearest(document, found)] if len(found) > 1 else found[0]
        return chosen, (last is None or chosen is not found[-1]) and chosen.text == document.text

    def of_first_sight(self, head: Task, document: Document) -> Document | None:
        """What a file was made from that was given a name git does not know before anybody looked here."""
        follows = self.git is not None and bool(self.git.tracked)
        return self.nearest_known(document, head, None, typed=True) if follows else None

    def passed_by(self, id: str, former: Base | None, path: str) -> bytes | None:
        """What was committed at a path after its last look and before an edit of it; None if nothing was."""
        text = None if self.git is None else self.git.edited(path, former)
        document = None if text is None else read_or_none(text)
        return document.text if document is not None and self._is_of(id, document) else None

    def _put_back(self, id: str, document: Document, former: Base | None, path: str) -> list[bytes]:
        """What a reset may have put back before it was edited; in its place the same again was typed."""
        text = None if self.git is None else self.git.put_back(former)
        if text is None or not self.txn.known(id, text_hash(text)):
            return []
        typed = text == document.text and former is not None and former.path == path
        return [] if typed else [text]

    def _is_of(self, id: str, document: Document) -> bool:
        """Whether a text that a file has carried was this task's: another one's may have been there."""
        written = document.values.get("id")
        return written is None or written == id or id in self.txn.resolve(str(written))


def read_or_none(text: bytes) -> Document | None:
    """The document in a text, None for one that has no or no valid one."""
    try:
        return read(text)
    except DocumentError:
        return None
