"""How a task is shown: its text in a worktree, its complete text, its JSON, the messages of commits.

Two texts of a task are rendered (docs/decisions/0006). A worktree's replica is what people wrote with the live
status in it, nothing more, since every rewrite under an open editor is noise. The complete text, of
the workspace directory and branch, carries the other runtime fields in a block of its own at the
end of the frontmatter and notes and progress below the body; `authored_text` takes both out again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from taskd.core.change import plain
from taskd.core.document import edit, read, with_sections
from taskd.core.fields import AUTHORED, status_of
from taskd.core.lifecycle import effective
from taskd.core.sections import BEGIN
from taskd.core.task import Status, Task
from taskd.errors import DocumentError, Uneditable

#: first line of the block of runtime fields in a complete text
RUNTIME_MARK: Final = b"# taskd: kept by the index; edits of the lines below are not taken"

_BLOCK: Final = re.compile(rb"^" + re.escape(RUNTIME_MARK) + rb"\r?\n(?:.*\n)*?(?=---[ \t]*\r?$|---\Z)", re.M)
#: a block-style frontmatter: its first line's end, and then no `{` before anything else
_OPENING: Final = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*(\r?\n)(?!(?:[ \t]*(?:#.*)?\r?\n)*[ \t]*\{)")
_PLAIN_STATUS: Final = re.compile(rb"^status:[ \t]*([A-Za-z_-]+)[ \t]*\r?$", re.M)
_CLOSING: Final = re.compile(rb"^---[ \t]*\r?$", re.M)

#: runtime fields of the block, in this order; status stands where its author put it
_BLOCK_FIELDS: Final = (
    "reason",
    "started",
    "completed",
    "claim",
    "progress",
    "completion_summary",
    "actual_hours",
    "merge",
)


def replica_text(text: bytes, task: Task) -> bytes:
    """The head's text as a worktree shows it: with the stored status, if that is another."""
    return _with_status(text, task.status)


def complete_text(text: bytes, task: Task, blocked_by: Sequence[str]) -> bytes:
    """The head's text with every runtime field and the records: what the workspace shows."""
    shown = _with_status(text, effective(task, tuple(blocked_by)))
    return _with_sections(_with_block(shown, _block_lines(task, blocked_by)), _sections(task))


def authored_text(text: bytes) -> bytes:
    """A complete text without what taskd rendered into it."""
    return _with_sections(_BLOCK.sub(b"", text, count=1), "")


def _with_sections(text: bytes, sections: str) -> bytes:
    return with_sections(text, sections) if sections or BEGIN.encode() in text else text


def _with_status(text: bytes, status: Status) -> bytes:
    """The text with another status, by the document's own edit where it is not plain to see."""
    found = _plain_status(text)
    if found is not None:
        start, end, shown = found
        if shown is status:
            return text
        if end:
            return text[:start] + status.value.encode() + text[end:]
    try:
        document = read(text)
        if document is None or document.runtime.get("status", Status.PENDING) == status:
            return text
        return edit(text, "status", status.value)
    except (DocumentError, Uneditable):
        return text


def _plain_status(text: bytes) -> tuple[int, int, Status] | None:
    """Where a document has its status (0, 0: nowhere) and which; None: it takes parsing to tell.

    Nearly every document has it on one plain line or nowhere, and rendering ten thousand of them is
    spared the parsing.
    """
    end = text.find(b"\n---", 3)
    mentions = text.count(b"status", 0, max(end, 0))
    if mentions == 0:
        return 0, 0, Status.PENDING
    found = _PLAIN_STATUS.search(text, 0, end + 1)
    shown = status_of(found[1].decode()) if found and mentions == 1 else None
    return (found.start(1), found.end(1), shown) if found and shown else None


def _block_lines(task: Task, blocked_by: Sequence[str]) -> list[str]:
    values = {name: plain(getattr(task, name)) for name in _BLOCK_FIELDS}
    if values["claim"] is not None:
        values["claim"] = {k: v for k, v in _items(values["claim"]) if k not in ("token", "expires")}
    if task.status is Status.PENDING and blocked_by:
        values["blocked_by"] = list(blocked_by)
    # JSON is YAML's flow style; ASCII, so that any name and any text is one safe line.
    return [f"{name}: {json.dumps(value)}" for name, value in values.items() if value is not None]


def _items(value: object) -> Iterable[tuple[str, object]]:
    return value.items() if isinstance(value, Mapping) else ()


def _with_block(text: bytes, lines: Sequence[str]) -> bytes:
    """The text with the lines as the last of its frontmatter; a flow-style frontmatter has no lines."""
    opening = _OPENING.match(text)
    if not lines or opening is None:
        return text
    text = _without_keys(text, [line.partition(":")[0] for line in lines])
    closing = _CLOSING.search(text, opening.end(1))
    if closing is None:
        return text
    newline = opening[1]
    block = newline.join([RUNTIME_MARK, *(line.encode() for line in lines), b""])
    return text[: closing.start()] + block + text[closing.start() :]


def _without_keys(text: bytes, names: Sequence[str]) -> bytes:
    """The text without runtime keys that its author wrote, since ours take their place."""
    present = [name for name in names if re.search(rb"^%b[ \t]*:" % name.encode(), text, re.M)]
    try:
        document = read(text) if present else None
        for name in present:
            if document is not None and name in document.runtime:
                text = edit(text, name, None)
    except (DocumentError, Uneditable):
        return text
    return text


def _sections(task: Task) -> str:
    parts = []
    if task.notes:
        notes = "\n".join(f"- {note.at} **{_line(note.by)}**: {_line(note.text)}" for note in task.notes)
        parts.append(f"## Notes\n\n{notes}\n")
    if task.participants:
        names = "\n".join(f"- {_line(p.name)} ({_line(p.role)})" for p in task.participants)
        parts.append(f"## Participants\n\n{names}\n")
    return "\n".join(parts)


def _line(text: str) -> str:
    """Free text on one line of markdown that cannot end the rendered section."""
    return re.sub(r"\s+", " ", text).replace("<!--", "&lt;!--")


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
    if field == "claim":
        return "released" if new is None else "claimed"
    if field in ("body", "text") or isinstance(old, (list, dict)) or isinstance(new, (list, dict)):
        return f"{field} changed"
    return f"{_word(old)} → {_word(new)}" if field == "status" else f"{field}: {_word(old)} → {_word(new)}"


def _word(value: object) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= 40 else text[:39] + "…"  # noqa: PLR2004 - a subject line has 72 columns
