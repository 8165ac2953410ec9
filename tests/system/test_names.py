"""Names, links, file types and permissions that a tasks directory can have in it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import (
    ORDINARY,
    TREES,
    Git,
    Project,
    fill_up,
    make_project,
    serving,
    task_text,
    tiny_disk,
    wait_for,
)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="this file system takes any bytes as a name")


def suffix(project: Project) -> str:
    """What tells the ids of a test in one layout from those in the other."""
    return "-t" if project.file("seed.md").exists() else "-s"


def live_ids(project: Project) -> set[str]:
    """The ids of all tasks."""
    return {task["id"] for task in project.taskd("list")}


def names_in(project: Project, tree: str) -> list[str]:
    """The names in the tasks directory of a worktree, as they are on disk."""
    return [path.name for path in project.file("", tree).iterdir()]


def files_of(project: Project, id: str) -> list[tuple[str, str]]:
    """Where the documents of a task are in the worktrees."""
    found = [(row["worktree"], row["path"]) for row in project.show(id)["files"]]
    return sorted(row for row in found if row[0] != "workspace")


def test_copy_in_one_worktree(project: Project) -> None:
    """A copied file with the same id is listed with both names; the task and its file stay as they are."""
    id = f"copied{suffix(project)}"
    project.save(f"{id}.md", task_text(id), "one")
    project.sync()
    project.taskd("status", id, "in-progress")
    project.sync()
    before, journal = project.show(id), project.taskd("history", id)
    project.save(f"{id}-copy.md", task_text(id, "A copy.\n"), "one")
    answer = project.run("sync")

    (row,) = project.problems(f"{id}-copy.md")
    assert (answer.code, row["worktree"], row["line"]) == (1, "one", 2)
    assert f"{id}.md" in row["reason"]
    assert row["remedy"]
    assert (project.show(id), project.taskd("history", id)) == (before, journal)
    assert not project.file(f"{id}-copy.md", "two").exists()
    project.save(f"{id}-copy.md", task_text(f"{id}-own", "A copy.\n"), "one")
    project.sync()
    assert project.problems(f"{id}-copy.md") == []
    assert project.show(f"{id}-own")["body"] == "A copy.\n"


def test_one_id_at_two_paths(project: Project) -> None:
    """The same id at two paths in two worktrees is one task, and settles."""
    id = f"two-paths{suffix(project)}"
    project.save(f"here/{id}.md", task_text(id), "one")
    project.save(f"there/{id}.md", task_text(id), "two")
    project.sync()
    places = files_of(project, id)
    project.sync()

    assert [task["id"] for task in project.taskd("list", "--search", id)] == [id]
    assert files_of(project, id) == places
    if suffix(project) == "-t":
        assert places == [("one", f"here/{id}.md"), ("two", f"there/{id}.md")]
    else:
        assert len({path for _, path in places}) == 1
        assert len(places) == len(TREES)
    assert project.problems(f"here/{id}.md") == []


def test_rename_keeps_everything(project: Project) -> None:
    """A renamed file is the same task: status, claim and history go with it, and its path follows."""
    id = f"renamed{suffix(project)}"
    path = project.save(f"{id}.md", task_text(id), "one")
    project.sync()
    project.taskd("claim", id, "--actor", "alice")
    project.sync()
    (path.parent / "deep").mkdir(exist_ok=True)
    path.rename(path.parent / f"deep/{id}-new.md")
    project.sync()

    task = project.show(id)
    assert (task["status"], task["claim"]["holder"], task["path"]) == ("in-progress", "alice", "deep")
    assert ("one", f"deep/{id}-new.md") in files_of(project, id)
    assert not project.file(f"{id}.md", "two").exists()
    assert project.file(f"deep/{id}-new.md", "two").exists() == (suffix(project) == "-s")


def test_rename_without_id(shared: Project) -> None:
    """A file whose id came from its name keeps it when it is renamed."""
    path = shared.save("from-name.md", "---\nname: From name\n---\nText.\n", "one")
    shared.sync()
    shared.taskd("status", "from-name", "in-progress")
    shared.await_text("from-name.md", "in-progress", ("one",))
    path.rename(path.with_name("other-name.md"))
    shared.sync()

    assert shared.show("from-name")["status"] == "in-progress"
    assert shared.run("show", "other-name").code == 4
    assert shared.file("other-name.md", "two").exists()


def test_directory_moved(project: Project) -> None:
    """A moved directory takes its tasks along, with all that belongs to them."""
    ids = [f"moved-{n}{suffix(project)}" for n in range(3)]
    for id in ids:
        project.save(f"old{suffix(project)}/{id}.md", task_text(id), "two")
    project.sync()
    for id in ids:
        project.taskd("status", id, "in-progress")
    project.sync()
    project.file(f"old{suffix(project)}", "two").rename(project.file(f"new{suffix(project)}", "two"))
    project.sync()

    tasks = [project.show(id) for id in ids]
    assert [(t["status"], t["path"]) for t in tasks] == [("in-progress", f"new{suffix(project)}")] * 3
    assert [row["field"] for row in project.taskd("history", ids[0])].count("deleted_at") == 0


def test_case_only_rename(shared: Project) -> None:
    """A rename that changes nothing but the case loses neither file nor task."""
    path = shared.save("case.md", task_text("case"), "one")
    shared.sync()
    path.rename(path.with_name("CASE.md"))
    shared.sync()

    for tree in TREES:
        assert [name for name in names_in(shared, tree) if name.lower() == "case.md"] == ["CASE.md"]
    assert shared.show("case")["body"] == "Text.\n"


def test_composed_and_decomposed(shared: Project) -> None:
    """Names that look the same and are not are two files of two tasks, byte for byte."""
    names = [unicodedata.normalize(form, "äöü") + ".md" for form in ("NFC", "NFD")]
    if sys.platform == "darwin":
        pytest.skip("this file system takes them for one name")
    for name, id in zip(names, ("composed", "decomposed"), strict=True):
        shared.save(name, task_text(id), "one")
    shared.sync()

    assert {"composed", "decomposed"} <= live_ids(shared)
    for tree in TREES:
        assert set(names) <= set(names_in(shared, tree))


@LINUX
@pytest.mark.parametrize(
    ("name", "told"), [(b"caf\xe9.md", "caf\\xe9.md"), (b"a\nb.md", "a\\x0ab.md")], ids=["latin1", "line-end"]
)
def test_unspeakable_names(shared: Project, name: bytes, told: str) -> None:
    """A name that is no text is listed in a form that can be shown; it is not taken, and others are."""
    path = os.fsencode(shared.file("", "one")) + b"/" + name
    Path(os.fsdecode(path)).write_text(task_text("unspeakable"))
    neighbour = f"neighbour-{len(name)}"
    shared.save(f"{neighbour}.md", task_text(neighbour), "one")
    shared.sync()

    assert [(row["worktree"], bool(row["remedy"])) for row in shared.problems(told)] == [("one", True)]
    assert neighbour in live_ids(shared)
    assert "unspeakable" not in live_ids(shared)
    Path(os.fsdecode(path)).unlink()
    shared.sync()
    assert shared.problems(told) == []


def make_directory(path: Path) -> None:
    """A directory, with a file in it."""
    path.mkdir()
    (path / "inner.md").write_text(task_text("inner"))


def make_pipe(path: Path) -> None:
    """A pipe: who opens it waits for the other end."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """A socket; bound by a short name, since a socket's path must be short."""
    here = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.chdir(here)


def make_link(path: Path) -> None:
    """A link to a task file outside of the tasks directory."""
    target = path.parent.parent / f"{path.name}.target"
    target.write_text(task_text(path.stem, "From outside.\n"))
    path.symlink_to(target)


@pytest.mark.parametrize("make", [make_directory, make_pipe, make_socket, make_link])
def test_file_replaced(project: Project, make: Callable[[Path], None]) -> None:
    """A task file that became something else is listed; its task stays, and comes back with a file."""
    id = f"{make.__name__.replace('_', '-')}{suffix(project)}"
    path = project.save(f"{id}.md", task_text(id), "one")
    project.sync()
    path.unlink()
    make(path)
    rows = wait_for(lambda: project.problems(f"{id}.md"))
    project.sync()
    body = project.show(id)["body"]
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.write_text(task_text(id, "Back.\n"))
    project.sync()

    assert [(row["worktree"], bool(row["reason"]), bool(row["remedy"])) for row in rows] == [
        ("one", True, True)
    ]
    assert body == "Text.\n"
    assert "inner" not in live_ids(project)
    assert project.show(id)["body"] == "Back.\n"
    assert project.problems(f"{id}.md") == []


def test_links_are_never_written_through(shared: Project, tmp_path: Path) -> None:
    """Nothing outside of the tasks directory is read or written through a link, of a file or a directory."""
    outside = tmp_path / "outside"
    outside.mkdir()
    text = task_text("linked", "Outside.\n")
    for name in ("linked.md", "dir.md"):
        (outside / name).write_text(text)
    shared.taskd("add", "Linked", "--id", "linked", "--body", "Inside.")
    shared.sync()
    shared.file("linked.md", "two").unlink()
    shared.file("linked.md", "two").symlink_to(outside / "linked.md")
    shared.file("linked-dir", "two").symlink_to(outside)
    shared.taskd("set", "linked", "risk=high")
    shared.taskd("status", "linked", "in-progress")
    shared.sync()

    assert sorted(path.name for path in outside.iterdir()) == ["dir.md", "linked.md"]
    assert [(outside / name).read_text() for name in ("linked.md", "dir.md")] == [text, text]
    assert shared.show("linked")["body"].strip() == "Inside."
    assert "risk: high" in shared.file("linked.md", "one").read_text()
    assert {row["worktree"] for row in shared.problems() if row["path"].startswith("linked")} == {"two"}
    shared.file("linked-dir", "two").unlink()


def test_hard_link_elsewhere_is_left_alone(shared: Project, tmp_path: Path) -> None:
    """Writing a file back does not write into its other names."""
    path = shared.save("hard.md", task_text("hard"), "one")
    shared.sync()
    (tmp_path / "other").hardlink_to(path)
    shared.taskd("set", "hard", "risk=high")
    shared.sync()

    assert "risk: high" in path.read_text()
    assert (tmp_path / "other").read_text() == task_text("hard")


@pytest.fixture
def confined(new_project: Callable[..., Project]) -> Project:
    """A project whose daemon may only what its files' modes say, even if root runs the tests."""
    project = new_project()
    project.launch(*(ORDINARY if os.getuid() == 0 else ()))
    project.await_daemon()
    return project


@pytest.mark.skipif(
    os.getuid() == 0 and shutil.which("setpriv") is None,
    reason="root may everything, and there is no setpriv",
)
class TestPermissions:
    """What may not be read or written."""

    def test_unreadable_file(self, confined: Project) -> None:
        """A file that may not be read is listed; it is not taken for deleted."""
        path = confined.save("closed.md", task_text("closed"), "one")
        confined.save("open.md", task_text("open"), "one")
        confined.sync()
        path.write_text(task_text("closed", "Not to be read.\n"))
        path.chmod(0)
        confined.save("open.md", task_text("open", "Read.\n"), "one")
        rows = wait_for(lambda: confined.problems("closed.md"))
        confined.sync()
        bodies = [confined.show(id)["body"] for id in ("closed", "open")]
        path.chmod(0o600)
        confined.sync()

        assert [(row["worktree"], row["reason"]) for row in rows] == [
            ("one", "cannot be read: Permission denied")
        ]
        assert bodies == ["Text.\n", "Read.\n"]
        assert confined.show("closed")["body"] == "Not to be read.\n"
        assert confined.problems("closed.md") == []

    @pytest.mark.parametrize("directory", ["deep", ""])
    def test_unreadable_directory(self, confined: Project, directory: str) -> None:
        """A directory that may not be read deletes nothing and holds up nobody else."""
        for number in range(8):
            confined.save(f"deep/d{number}.md", task_text(f"d{number}"), "one")
        confined.sync()
        confined.file(directory, "one").chmod(0)
        confined.save("other.md", task_text("other"), "two")
        confined.await_text("other.md", "other", ("main",))
        answer = confined.run("sync")
        alive, holds = live_ids(confined), confined.taskd("holds")
        confined.file(directory, "one").chmod(0o700)
        confined.save("deep/d0.md", task_text("d0", "After.\n"), "one")
        confined.sync()

        assert answer.code in (0, 75)
        assert alive == {*(f"d{number}" for number in range(8)), "other"}
        assert holds == []
        assert confined.show("d0")["body"] == "After.\n"
        assert confined.file("other.md", "one").read_text() == task_text("other")

    def test_unwritable_directory(self, confined: Project) -> None:
        """Where nothing may be written the index is right all the same, and it is made up for."""
        confined.save("w.md", task_text("w"), "one")
        confined.sync()
        confined.file("", "two").chmod(0o500)
        confined.taskd("set", "w", "risk=high")
        rows = wait_for(lambda: confined.problems("w.md"))
        shown = confined.show("w")["risk"]
        confined.file("", "two").chmod(0o700)
        confined.sync()

        assert [(row["worktree"], bool(row["remedy"])) for row in rows] == [("two", True)]
        assert shown == "high"
        assert "risk: high" in confined.file("w.md", "two").read_text()
        assert confined.problems("w.md") == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB."""
    with tiny_disk(tmp_path / "disk", "512k") as place:
        yield place


def test_worktree_on_a_full_disk(disk: Path, new_project: Callable[..., Project]) -> None:
    """A worktree whose disk is full gets nothing; the index and the others do; freed, it is made up for."""
    project = new_project()
    project.git(project.top, "worktree", "add", "-q", "-b", "far", disk / "far")
    project.save("full.md", task_text("full"))
    project.start()
    project.sync()
    ballast = fill_up(disk)
    project.taskd("set", "full", f"body={'long ' * 2000}")
    rows = wait_for(lambda: project.problems("full.md"))
    project.await_text("full.md", "long long", ("main", "one", "two"))
    torn = (disk / "far/tasks/full.md").read_text()
    ballast.unlink()
    project.sync()

    assert [row["worktree"] for row in rows] == ["far"]
    assert torn == task_text("full")
    assert "long long" in (disk / "far/tasks/full.md").read_text()
    assert project.problems("full.md") == []
    assert [path.name for path in (disk / "far/tasks").iterdir()] == ["full.md"]


def test_worktree_on_a_read_only_disk(disk: Path, new_project: Callable[..., Project]) -> None:
    """The same for one that has become read-only."""
    project = new_project()
    project.git(project.top, "worktree", "add", "-q", "-b", "far", disk / "far")
    project.save("fixed.md", task_text("fixed"))
    project.start()
    project.sync()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    project.taskd("set", "fixed", "risk=high")
    rows = wait_for(lambda: project.problems("fixed.md"))
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    project.sync()

    assert [row["worktree"] for row in rows] == ["far"]
    assert "risk: high" in (disk / "far/tasks/fixed.md").read_text()
    assert project.problems("fixed.md") == []


def test_index_on_a_full_disk(tmp_path: Path, git: Git) -> None:
    """With no room for the index a change is refused and said so; reading goes on; freed, all is well."""
    with (
        tiny_disk(tmp_path / "disk", "6m") as place,
        serving(make_project(place / "p", git, "shared")) as project,
    ):
        project.taskd("add", "Before", "--id", "before")
        project.sync()
        ballast = fill_up(place)
        refused = refuse_until_full(project)
        read = project.run("show", "before")
        ballast.unlink()
        project.taskd("status", "before", "in-progress")
        project.sync()

        assert (refused.code, bool(refused.error["message"]), bool(refused.error["hint"])) == (1, True, True)
        assert (read.code, read.data["status"]) == (0, "pending")
        assert "status: in-progress" in project.file("before.md", "two").read_text()
        assert project.taskd("daemon", "status")["mirror"]["failing"] is False


def refuse_until_full(project: Project) -> Any:  # noqa: ANN401 - an answer
    """Change things until one change is refused: the index has some room of its own left."""
    for number in range(200):
        answer = project.run("set", "before", f"body={number} {'x' * 50_000}")
        if answer.code:
            return answer
    raise AssertionError
