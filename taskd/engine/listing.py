"""What people are told about one file: problems, refusals and notices of it, as rows of the index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from taskd.core.document import Document
from taskd.core.plan import Refusal
from taskd.engine.identity import line_of
from taskd.engine.site import Place, Site
from taskd.store.base import Problem, Txn


@dataclass(frozen=True, slots=True)
class Listing:
    """The rows about files of one place, written in an open transaction."""

    site: Site
    place: Place
    txn: Txn

    def reject(self, path: str, line: int | None, reason: str, remedy: str, task: str | None) -> None:
        """The file could not be taken in."""
        problem = Problem(self.place.key, path, line, reason, remedy, task, since=self.txn.now())
        if self.txn.put_problems(self.place.key, path, [problem]):
            self.site.log.warning(
                "problem.found", worktree=self.place.key, path=path, line=line, reason=reason
            )

    def clear(self, path: str) -> None:
        """The file is in order again; what was said about single fields of it stands."""
        kept = [p for p in self.txn.problems(self.place.key) if p.path == path]
        if any(problem.kind == "problem" and problem.field is None for problem in kept):
            self.txn.put_problems(self.place.key, path, [p for p in kept if p.kind != "problem"])

    def notice(self, path: str, id: str, reason: str, remedy: str) -> Problem:
        """Something about the file that is no fault."""
        since = self.txn.now()
        return Problem(self.place.key, path, None, reason, remedy, id, kind="notice", since=since)

    def taken(
        self,
        path: str,
        id: str,
        document: Document | None = None,
        refusals: Iterable[Refusal] = (),
        notices: Iterable[Problem] = (),
    ) -> None:
        """The file was taken in: these are the things to say about it, and no others."""
        where, since = (self.place.key, path), self.txn.now()
        rows = list(notices)
        if document is not None:
            rows += [
                Problem(*where, remark.line, remark.reason, remark.remedy, id, remark.field, since=since)
                for remark in document.remarks
            ]
            rows += [
                Problem(
                    *where,
                    line_of(document, refusal.field.encode()),
                    refusal.reason,
                    refusal.remedy,
                    id,
                    refusal.field,
                    "refusal",
                    since,
                )
                for refusal in refusals
            ]
        self.txn.put_problems(*where, rows)
