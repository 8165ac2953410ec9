"""Files that cannot be taken as they are: listed with line, reason and remedy, and nobody is held up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system.project import TREES, Git, Project, make_project, serving, task_text, wait_for

TICKS: Final = 2.5  # seconds of the daemon's life that see every part of its loop come by


def front(*lines: str) -> str:
    """A file whose frontmatter has these lines behind id and name."""
    return "---\nid: {id}\nname: Bad {id}\n" + "".join(f"{line}\n" for line in lines) + "---\nText.\n"


@dataclass(frozen=True)
class Bad:
    """A text (`{id}` stands for the task), the line complained about, and words of the reason."""

    text: str | bytes
    line: int | None
    reason: str

    def text_for(self, id: str) -> bytes:
        """The bytes to save."""
        text = self.text.encode() if isinstance(self.text, str) else self.text
        return text.replace(b"{id}", id.encode())


def nested(levels: int) -> list[str]:
    """Mappings in mappings, in block style."""
    return [f"{' ' * level}k:" for level in range(levels)]


LAUGHS: Final = [
    "a: &a [x, x, x, x]",
    "b: &b [*a, *a, *a, *a]",
    "c: &c [*b, *b, *b, *b]",
    "d: [*c, *c, *c, *c]",
]

#: files of which nothing is taken
REFUSED: Final = {
    "latin1": Bad(front().encode() + b"caf\xe9\n", 6, "0xe9 is not UTF-8"),
    "cut-character": Bad(front().encode() + "é".encode()[:1], 6, "middle of a character"),
    "utf16": Bad(front().encode("utf-16"), 1, "UTF-16"),
    "empty": Bad(b"", 1, "is empty"),
    "blank": Bad(b"\n \n", 1, "is empty"),
    "half": Bad("---\nid: {id}\nname: Ha", 1, "not closed"),
    "huge": Bad(front() + "x" * (1 << 20), None, "bytes"),
    "huge-front": Bad(front(f"note: {'x' * (65 << 10)}"), 1, "larger than 64 KiB"),
    "deep-flow": Bad(front("deep: " + "[" * 30_000), 4, "nesting"),
    "deeper-flow": Bad(front("deep: " + "[" * 70_000), 1, "larger than 64 KiB"),
    "deep-block": Bad(front(*nested(200)), None, "nesting"),
    "laughs": Bad(front(*LAUGHS), 4, "anchor"),
    "recursive": Bad(front("a: &a [*a]"), 4, "anchor"),
    "tag": Bad(front("a: !!python/object/apply:os.system [id]"), 4, "tag"),
    "binary": Bad(front("a: !!binary aGk="), 4, "tag"),
    "key-twice": Bad(front("risk: low", "risk: high"), 5, "risk"),
    "field-twice": Bad(front("dependsOn: []", "depends_on: []"), 5, "same field"),
    "list": Bad("---\n- id\n- name\n---\n", 2, "list"),
    "scalar": Bad("---\njust words\n---\n", 2, ""),
    "gone": Bad("# Only text\n", 1, "frontmatter is gone"),
    "no-name": Bad("---\nrisk: low\n---\n", 1, "without id or name"),
    "bad-id": Bad("---\nid: Not a Slug!\nname: x\n---\n", 2, "id"),
    "markers-above": Bad("<<<<<<< ours\n---\nid: {id}\nname: x\n---\n", 1, "conflict markers"),
    "markers-front": Bad(
        "---\nid: {id}\n<<<<<<< ours\nname: a\n=======\nname: b\n>>>>>>> theirs\n---\n", 3, "conflict markers"
    ),
    "markers-body": Bad(front() + "<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n", 6, "conflict markers"),
    "nul": Bad(front() + "a\x00b\n", 6, "U+0000"),
    "escape": Bad(front("assignee: a\x1b[2Jb"), 4, "U+001B"),
    "unseen": Bad(front("assignee: a\u2028b"), 4, "U+2028"),
    "open-list": Bad(front("depends_on: [a, b"), 4, ""),
    "open-quote": Bad(front('x: "never closed'), 4, ""),
    "tabs": Bad(front("x:", "\ty: 1"), 5, ""),
}

#: files that are taken with a remark about one field: its line, reason, and what the field is then
REMARKED: Final = {
    "comment": (Bad(front().replace("Bad {id}", "fix #12 now"), 3, "comment"), "name", "fix"),
    "colon": (Bad(front().replace("Bad {id}", "fix: bug"), 3, "text"), "name", "fix: bug"),
    "at": (Bad(front("assignee: @bob"), 4, "text"), "assignee", "@bob"),
    "enum": (Bad(front("risk: huge"), 4, "not one of"), "risk", "huge"),
    "nan": (Bad(front("estimate: .nan"), 4, ""), "estimate", None),
    "inf": (Bad(front("estimate: -.inf"), 4, ""), "estimate", None),
    "words-for-hours": (Bad(front("estimate: soon"), 4, ""), "estimate", None),
}

#: files that are odd and all right: unknown keys and what is told of them
WELCOME: Final[dict[str, tuple[bytes, dict[str, object]]]] = {
    "bom": (b"\xef\xbb\xbf" + front("k: v").encode(), {"k": "v"}),
    "crlf": (front("k: v").replace("\n", "\r\n").encode(), {"k": "v"}),
    "python-names": (
        front("content: a", "handler: b", "self: c", "metadata: d").encode(),
        {"content": "a", "handler": "b", "self": "c", "metadata": "d"},
    ),
    "yaml-11": (
        front("a: 0012", "b: 1:30", "c: no", "d: 3.10", "e: 2026-01-01", "f: 12_000", "g: on").encode(),
        {"a": "0012", "b": "1:30", "c": "no", "d": "3.10", "e": "2026-01-01", "f": "12_000", "g": "on"},
    ),
    "rules-in-body": (front("k: v").encode() + b"\n---\n\nTitle\n=======\n\n---\n", {"k": "v"}),
}


@dataclass
class Gallery:
    """One project into which everything was saved, and what was seen before, meanwhile and after."""

    project: Project
    good: dict[str, Any] = field(default_factory=dict)
    bad: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    copies: dict[str, bytes] = field(default_factory=dict)
    restless: list[dict[str, Any]] = field(default_factory=list)
    journal: tuple[int, int] = (0, 0)
    mended: dict[str, Any] = field(default_factory=dict)
    left: list[dict[str, Any]] = field(default_factory=list)
    bystander: str = ""
    pids: set[int] = field(default_factory=set)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, git: Git) -> Iterator[Gallery]:
    """Every file is good, then bad, then mended; meanwhile a bystander is edited."""
    base = tmp_path_factory.mktemp("content")
    with serving(make_project(base / "p", git, "shared"), TASKD_LOG_LEVEL="debug") as project:
        found = Gallery(project)
        save_good(found)
        save_bad(found)
        watch_rest(found)
        save_mended(found)
        yield found


def tasks_of(project: Project) -> dict[str, Any]:
    """Every task as the index has it, without the times that others' changes move."""
    return {task["id"]: task for task in project.taskd("list")}


def save_good(gallery: Gallery) -> None:
    """Save a good version of every file in the worktree `one`."""
    for name in (*REFUSED, *REMARKED):
        gallery.project.save(f"{name}.md", task_text(name, risk="medium"), "one")
    gallery.project.save("bystander.md", task_text("bystander"), "two")
    gallery.project.sync()
    for name in REFUSED:
        gallery.project.taskd("status", name, "in-progress")
    gallery.project.sync()
    gallery.good = tasks_of(gallery.project)


def save_bad(gallery: Gallery) -> None:
    """Save the bad ones over them, new odd ones beside them, and edit the bystander."""
    project = gallery.project
    for name, bad in (*REFUSED.items(), *((name, row[0]) for name, row in REMARKED.items())):
        project.save(f"{name}.md", bad.text_for(name), "one")
    for name, (text, _) in WELCOME.items():
        project.save(f"{name}.md", text.replace(b"{id}", name.encode()), "one")
    project.save("bystander.md", task_text("bystander", "Edited meanwhile.\n"), "two")
    project.save("README.md", "# No task\n", "one")
    project.await_text("bystander.md", "Edited meanwhile.", TREES)
    wait_for(lambda: len({row["path"] for row in project.problems()}) >= len(REFUSED) + len(REMARKED))
    project.sync()
    gallery.bad = tasks_of(project)
    for row in project.problems():
        gallery.problems.setdefault(row["path"], []).append(row)
    gallery.copies = {
        f"{n}/{tree}": project.file(f"{n}.md", tree).read_bytes() for n in REFUSED for tree in TREES
    }
    gallery.bystander = project.show("bystander")["body"]


def watch_rest(gallery: Gallery) -> None:
    """Note what the daemon does while nothing happens."""
    project = gallery.project
    status = project.taskd("daemon", "status")
    events, rows = len(project.events()), len(project.journal())
    wait_for(lambda: project.taskd("daemon", "status")["uptime"] > status["uptime"] + TICKS)
    gallery.restless = project.events()[events:]
    gallery.journal = (rows, len(project.journal()))
    gallery.pids = {status["pid"], project.taskd("daemon", "status")["pid"]}


def save_mended(gallery: Gallery) -> None:
    """Save a good version of every file again."""
    project = gallery.project
    for name in (*REFUSED, *REMARKED):
        project.save(f"{name}.md", task_text(name, "Mended.\n", risk="low"), "one")
    project.sync()
    gallery.mended = tasks_of(project)
    gallery.left = project.problems()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_is_listed(gallery: Gallery, name: str) -> None:
    """A file that cannot be taken is listed once, with its worktree, path, line, reason and remedy."""
    bad, rows = REFUSED[name], gallery.problems.get(f"{name}.md", [])

    assert [(row["worktree"], row["path"]) for row in rows] == [("one", f"{name}.md")]
    assert bad.reason in rows[0]["reason"]
    assert rows[0]["remedy"]
    assert rows[0]["line"] == bad.line or bad.line is None


@pytest.mark.parametrize("name", REFUSED)
def test_refused_changes_nothing(gallery: Gallery, name: str) -> None:
    """The last good state of its task stays, in the index and in the files of the other worktrees."""
    assert gallery.bad[name] == gallery.good[name]
    assert gallery.copies[f"{name}/one"] == REFUSED[name].text_for(name)
    for tree in ("main", "two"):
        assert b"risk: medium" in gallery.copies[f"{name}/{tree}"]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_can_be_mended(gallery: Gallery, name: str) -> None:
    """Once it is mended it is off the list, and what it says is taken."""
    assert [row for row in gallery.left if row["path"] == f"{name}.md"] == []
    assert (gallery.mended[name]["body"], gallery.mended[name]["risk"]) == ("Mended.\n", "low")


@pytest.mark.parametrize("name", REMARKED)
def test_remarked_is_taken(gallery: Gallery, name: str) -> None:
    """A file with one doubtful field is taken, and the field is remarked on with its line."""
    bad, key, value = REMARKED[name]
    rows = gallery.problems.get(f"{name}.md", [])

    assert [(row["line"], row["field"]) for row in rows] == [(bad.line, key)]
    assert bad.reason in rows[0]["reason"]
    assert rows[0]["remedy"]
    assert gallery.bad[name][key] == value
    assert [row for row in gallery.left if row["path"] == f"{name}.md"] == []


@pytest.mark.parametrize("name", WELCOME)
def test_odd_is_welcome(gallery: Gallery, name: str) -> None:
    """A byte order mark, CRLF, any key and any value are no problem, and come out as they were written."""
    text, extra = WELCOME[name]

    assert gallery.problems.get(f"{name}.md", []) == []
    assert gallery.bad[name]["extra"] == extra
    copies = [gallery.project.file(f"{name}.md", tree).read_bytes() for tree in TREES]
    assert copies == [text.replace(b"{id}", name.encode())] * 3


def test_others_sync_meanwhile(gallery: Gallery) -> None:
    """Everything else goes on: a bystander's edit arrives, and a README is neither task nor problem."""
    assert gallery.bystander == "Edited meanwhile.\n"
    assert "README.md" not in gallery.problems
    assert "readme" not in gallery.bad


def test_daemon_rests(gallery: Gallery) -> None:
    """The daemon neither dies nor goes round in circles about files that it cannot take."""
    assert gallery.restless == []
    assert gallery.journal[0] == gallery.journal[1]
    assert len(gallery.pids) == 1


def commit_elsewhere(git: Git, tree: Path, branch: str, path: Path, text: str) -> None:
    """Put a text on a branch as somebody far away does: no worktree here ever shows it."""
    index = {"GIT_INDEX_FILE": str(tree.parent / "elsewhere.index")}
    blob = git(tree, "hash-object", "-w", "--stdin", input=text).strip()
    git(tree, "read-tree", branch, env=index)
    git(tree, "update-index", "--cacheinfo", f"100644,{blob},{path.relative_to(tree)}", env=index)
    files = git(tree, "write-tree", env=index).strip()
    commit = git(tree, "commit-tree", files, "-p", branch, "-m", branch).strip()
    git(tree, "update-ref", f"refs/heads/{branch}", commit)


def test_merge_conflict_of_git(tracked: Project) -> None:
    """While a merge of git is not settled the task keeps its state; the settled text is taken."""
    git, one = tracked.git, tracked.tree("one")
    path = tracked.save("torn.md", task_text("torn", "Line.\n"), "one")
    git(one, "add", path)
    git(one, "commit", "-q", "-m", "torn")
    git(one, "branch", "side")
    path.write_text(task_text("torn", "Ours.\n"))
    git(one, "commit", "-q", "-a", "-m", "ours")
    tracked.sync()
    commit_elsewhere(git, one, "side", path, task_text("torn", "Theirs.\n"))
    before = tracked.show("torn")["body"]
    git(one, "-c", "merge.conflictStyle=merge", "merge", "-q", "side", check=False)
    assert b"<<<<<<<" in path.read_bytes()
    listed = wait_for(lambda: tracked.problems("torn.md"))
    meanwhile = tracked.show("torn")["body"]
    path.write_text(task_text("torn", "Ours and theirs.\n"))
    git(one, "commit", "-q", "-a", "-m", "settled")
    tracked.sync()

    assert [(row["line"], "conflict markers" in row["reason"]) for row in listed] == [(5, True)]
    assert meanwhile == before
    assert tracked.show("torn")["body"] == "Ours and theirs.\n"
    assert tracked.problems("torn.md") == []
