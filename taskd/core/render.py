"""How a task is shown: its text in a worktree, its complete text, its JSON, the messages of commits.

Two texts of a task are rendered (docs/decisions/0006). A worktree's replica is what people wrote with
the live status in it, nothing more, since every rewrite under an open editor is noise. The complete text, of
the workspace directory and branch, carries the other runtime fields in a block of its own at the
end of the frontmatter and notes and progress below the body; `authored_text` takes both out again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from taskd.core.block import RUNTIME_MARK, block_lines, parts_of, with_block, without_block
from taskd.core.change import plain
from taskd.core.document import with_sections
from taskd.core.fields import AUTHORED
from taskd.core.guard import SIZE_LIMIT
from taskd.core.lifecycle import effective
from taskd.core.records import records_text
from taskd.core.sections import BEGIN
from taskd.core.statusline import with_status
from taskd.core.task import Status, Task


def replica_text(text: bytes, task: Task) -> bytes:
    """The head's text as a worktree shows it: with the stored status, if that is another."""
    return with_status(text, task.status)


def complete_text(text: bytes, task: Task, blocked_by: Sequence[str]) -> bytes:
    """The head's text with every runtime field and the records: what the workspace shows.

    A frontmatter between braces has no lines, so there the block is left out.
    """
    shown = with_status(authored_text(text), effective(task, tuple(blocked_by)))
    whole = with_block(shown, block_lines(task, blocked_by))
    sections = records_text(task, SIZE_LIMIT - len(whole))
    return with_sections(whole, sections) if sections else whole


def authored_text(text: bytes) -> bytes:
    """A complete text without what taskd rendered into it; other keys below the mark are its author's."""
    if RUNTIME_MARK.encode() not in text and BEGIN.encode() not in text:
        return text
    parts = parts_of(text)
    if parts is None:
        return text
    return with_sections(replace(parts, front=without_block(parts.front)).joined(), "")


def task_data(
    task: Task, *, blocked_by: Sequence[str] = (), blocks: Sequence[str] = (), files: object = None
) -> dict[str, object]:
    """The JSON shape of a task (section 8 of the design); private notes are not part of it."""
    status = effective(task, tuple(blocked_by))
    claim = task.claim
    return {
        **{name: plain(getattr(task, name)) for name in AUTHORED},
        "path": task.path,
        "status": status.value,
        "reason": task.reason,
        "started": task.started,
        "completed": task.completed,
        "completion_summary": task.completion_summary,
        "actual_hours": task.actual_hours,
        "merge": plain(task.merge),
        "revision": task.revision,
        "ready": status is Status.PENDING and claim is None,
        "blocked_by": list(blocked_by),
        "blocks": list(blocks),
        "claim": plain(claim),
        "notes": plain(task.notes),
        "progress": plain(task.progress),
        "participants": plain(task.participants),
        "context": {item.key: item.value for item in task.context},
        "feedback": plain(task.feedback),
        "extra": plain(task.extra),
        "files": files if files is not None else [],
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        **({"deleted_at": task.deleted_at} if task.deleted_at else {}),
    }


def branch_path(task: Task) -> str:
    """Where a task stands on the workspace branch."""
    return "/".join(part for part in ("tasks", task.path, f"{task.id}.md") if part)


def change_line(field: str, old: object, new: object) -> str:
    """One change in few words, for a commit's subject."""
    if field == "*":
        return "deleted" if new is None else "added"
    if field == "conflict" and isinstance(old, dict) and "field" in old:
        return f"conflict about {_word(old['field'])} settled"
    if field == "claim":
        return "released" if new is None else "claimed"
    if field in ("body", "text") or isinstance(old, (list, dict)) or isinstance(new, (list, dict)):
        return f"{field} changed"
    return f"{_word(old)} → {_word(new)}" if field == "status" else f"{field}: {_word(old)} → {_word(new)}"


def _word(value: object) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= 40 else text[:39] + "…"  # noqa: PLR2004 - a subject line has 72 columns
