"""How a task is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskd.core.block import RUNTIME_MARK
from taskd.core.render import authored_text, branch_path, change_line, complete_text, replica_text, task_data
from taskd.core.sections import BEGIN
from taskd.core.task import (
    Claim,
    ContextItem,
    Criterion,
    Feedback,
    Note,
    Participant,
    PrivateNote,
    Progress,
    Status,
    Task,
)

TIME = "2026-03-01T12:00:00.000Z"
TEXT = b"---\nid: a\nname: A\n---\n\nBody.\n"
TASK = Task(id="a", name="A", file="api/a.md", body="Body.\n")


def test_a_replica_shows_the_stored_status() -> None:
    """In a worktree a task is what was written, and how it stands."""
    assert replica_text(TEXT, TASK) == TEXT
    assert replica_text(TEXT, replace(TASK, status=Status.FAILED)) == TEXT.replace(
        b"A\n", b"A\nstatus: failed\n"
    )


def test_the_complete_text_shows_everything() -> None:
    """In the workspace there are runtime fields in the frontmatter and records below the body."""
    task = replace(
        TASK,
        started=TIME,
        progress=Progress(40, "half", TIME, "bob"),
        notes=(Note(TIME, "bob", "one\n<!-- two"), Note(TIME, "eve", "three")),
        participants=(Participant("eve", "reviewer", TIME),),
    )

    assert complete_text(TEXT, task, ("b",)).decode() == (
        "---\nid: a\nname: A\nstatus: blocked\n"
        "# taskd: kept by the index; edits of the lines below are not taken\n"
        f'started: "{TIME}"\n'
        f'progress: {{"percent": 40, "text": "half", "at": "{TIME}", "by": "bob"}}\n'
        'blocked_by: ["b"]\n'
        "---\n\nBody.\n"
        "<!-- taskd: begin, rendered; edits here are not kept -->\n"
        f"## Progress\n\n40 % half (bob, {TIME})\n\n"
        f"## Participants\n\n- eve (reviewer, {TIME})\n\n"
        f"## Notes\n\n- {TIME} **bob**: one\n  &lt;!-- two\n- {TIME} **eve**: three\n"
        "<!-- taskd: end -->\n"
    )


def test_only_what_there_is_has_a_section() -> None:
    """A task without notes has no heading for them."""
    task = replace(TASK, participants=(Participant("eve", "reviewer", TIME),))

    shown = f"## Participants\n\n- eve (reviewer, {TIME})\n<!-- taskd: end -->".encode()
    assert shown in complete_text(TEXT, task, ())


def test_the_newest_notes_stay() -> None:
    """Notes that would make a document too large to be read give way, the oldest first."""
    notes = tuple(Note(TIME, "bob", f"{number} " + "x" * 400_000) for number in range(4))

    whole = complete_text(TEXT, replace(TASK, notes=notes), ())

    assert len(whole) < 1 << 20
    assert f"## Notes\n\n- … and 2 earlier ones: `taskd show a`\n- {TIME} **bob**: 2 xxx".encode() in whole


def test_what_is_rendered_is_taken_out_again() -> None:
    """Reading a complete text back gives what was written."""
    task = replace(TASK, reason="r", notes=(Note(TIME, "bob", "hm"),))

    assert authored_text(complete_text(TEXT, task, ())) == TEXT


@pytest.mark.parametrize("text", [b"", b"---\n", b"# readme with " + BEGIN.encode(), BEGIN.encode() + b"\n"])
def test_what_is_no_document_is_left_to_be_reported(text: bytes) -> None:
    """A file that is half written or no task is given on as it is, so that the reader can say so."""
    assert authored_text(text) == text


def test_a_marker_in_a_body_is_no_block() -> None:
    """A body may quote the mark of the block and a rule below it."""
    text = f"---\nid: a\n---\n{RUNTIME_MARK}\nclaim: x\n---\n".encode()

    assert authored_text(text) == text


def test_a_task_has_one_json_shape() -> None:
    """The shape of section 8: everything but private notes, and readiness decided."""
    claim = Claim("bob", "s", "w", 1, TIME, TIME)
    task = replace(
        TASK,
        success_criteria=(Criterion("c"),),
        extra={"team": "red"},
        context=(ContextItem("k", "v", TIME, "bob"),),
        private_notes=(PrivateNote(TIME, "bob", "secret"),),
        feedback=(Feedback(TIME, "bob", 5, 4, "fine"),),
        revision=3,
    )

    data = task_data(task, blocks=["z"])

    assert "secret" not in str(data)
    assert (data["path"], data["status"], data["ready"], data["blocks"]) == ("api", "pending", True, ["z"])
    assert (data["context"], data["extra"], data["files"]) == ({"k": "v"}, {"team": "red"}, [])
    assert "deleted_at" not in data
    assert task_data(replace(task, deleted_at=TIME))["deleted_at"] == TIME
    assert task_data(task, blocked_by=["b"])["status"] == "blocked"
    assert task_data(replace(task, claim=claim))["ready"] is False


@pytest.mark.parametrize(("file", "path"), [("x.md", "tasks/a.md"), ("api/x.md", "tasks/api/a.md")])
def test_a_task_lies_on_the_branch_by_its_id(file: str, path: str) -> None:
    """Whatever the file is called, the branch has it under its id."""
    assert branch_path(replace(TASK, file=file)) == path


@pytest.mark.parametrize(
    ("field", "old", "new", "line"),
    [
        ("*", None, {"id": "a"}, "added"),
        ("*", {"id": "a"}, None, "deleted"),
        ("claim", None, {"holder": "bob"}, "claimed"),
        ("claim", {"holder": "bob"}, None, "released"),
        ("status", "pending", "in-progress", "pending → in-progress"),
        ("risk", None, "high", "risk: – → high"),
        ("name", "x" * 60, "y", f"name: {'x' * 39}… → y"),
        ("tags", [], ["a"], "tags changed"),
        ("team", {"a": "b"}, None, "team changed"),
        ("body", "a", "b", "body changed"),
        ("conflict", {"field": "risk", "file": "low"}, {"take": "index"}, "conflict about risk settled"),
        ("conflict", {"x": "y"}, "z", "conflict changed"),
    ],
)
def test_a_change_is_told_in_few_words(field: str, old: object, new: object, line: str) -> None:
    """Commit subjects say what happened."""
    assert change_line(field, old, new) == line
