"""The index damaged, lost or put back from another day, under the real daemon and without one."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import TREES, Project, read_or_empty, task_text, tiny_disk, wait_for

Make = Callable[..., Project]
Harm = Callable[[Path], object]


def flip_bytes(index: Path) -> None:
    """Every page but the first has bytes in it that are others."""
    with index.open("r+b") as file:
        for at in range(4096, index.stat().st_size, 4096):
            file.seek(at)
            file.write(b"\xff" * 128)


def truncate(index: Path) -> None:
    """The second half is gone."""
    with index.open("r+b") as file:
        file.truncate(index.stat().st_size // 2)


def empty(index: Path) -> None:
    """Nothing is left in it."""
    index.write_bytes(b"")


def remove(index: Path) -> None:
    """It is gone, and with it all that lay beside it."""
    for path in index.parent.glob("index.db*"):
        path.unlink()


HARMS = [flip_bytes, truncate, empty, remove]


def index_of(project: Project) -> Path:
    """The index."""
    return project.state / "index.db"


def lived_in(project: Project, size: int = 0) -> Project:
    """Three tasks, one of them claimed, and a copy of the index; `size` more tasks of 700 KB, no daemon."""
    for name in ("a", "b", "c"):
        project.save(f"{name}.md", task_text(name, "One.\n"))
    for number in range(size):
        project.save(f"big{number}.md", task_text(f"big{number}", "long line of words\n" * 40_000))
    project.alone("claim", "a", "--ttl", "18000")
    project.alone("sync")  # which makes the copy that is due
    assert len(copies(project)) == 1
    return project


def served(project: Project) -> Project:
    """The same with its daemon."""
    project.start()
    return project


def copies(project: Project) -> list[Path]:
    """The copies of its index."""
    return sorted((project.state / "backups").glob("index-*.db"))


def seen(project: Project) -> int:
    """How far its journal is known to have been."""
    return int(read_or_empty(project.state / "index.seen") or 0)


def told(project: Project, event: str) -> list[dict[str, Any]]:
    """What the log says under a name."""
    return [row for row in project.events() if row["event"] == event]


def texts(project: Project) -> dict[str, bytes]:
    """Every task file in every worktree."""
    return {
        f"{tree}/{name}": read_or_empty(project.file(f"{name}.md", tree)) for tree in TREES for name in "abc"
    }


def answers_again(project: Project) -> None:
    """Wait until the daemon has begun anew."""
    wait_for(lambda: told(project, "daemon.again"))
    wait_for(lambda: project.run("daemon", "status").code == 0)


@pytest.mark.parametrize("harm", HARMS)
def test_harmed_while_stopped(new_project: Make, harm: Harm) -> None:
    """However the index is harmed while nobody runs: at the next start all tasks are there, none deleted."""
    project = lived_in(new_project())
    before = texts(project)
    harm(index_of(project))
    project.start()
    counts = project.sync()

    assert (counts["tasks"], counts["conflicts"], counts["holds"]) == (3, 0, 0)
    assert texts(project) == before
    assert (project.show("a")["status"], project.show("a")["claim"]["holder"]) == ("in-progress", "main")
    assert [row["field"] for row in project.journal() if row["task"] == "@index"] == ["index"]
    (rescued,) = told(project, "index.rescued")
    assert "the copy index-" in rescued["reason"]
    assert harm is remove or len(list(project.state.glob("index.db.2*"))) >= 1


@pytest.mark.parametrize("harm", [flip_bytes, truncate])
def test_harmed_while_served(new_project: Make, harm: Harm) -> None:
    """Damage that the daemon meets while it runs: it begins anew by itself, with a copy, and serves on."""
    project = served(lived_in(new_project(), size=5))
    assert project.daemon is not None
    pid = project.daemon.pid
    harm(index_of(project))
    met = project.run("list", "--search", "words")
    answers_again(project)
    counts = project.sync()
    project.save("d.md", task_text("d"), "one")
    project.await_text("d.md", "Task d", ("two",))

    assert met.code in (0, 75)  # it may have met it before us, or not yet
    assert counts["tasks"] == 8
    assert project.taskd("daemon", "status")["pid"] == pid
    assert project.show("b")["body"] == "One.\n"


def test_removed_while_served_loses_nothing(new_project: Make) -> None:
    """Removed under the daemon, the index it still has open is saved: the last change and claim are there."""
    project = served(lived_in(new_project()))
    project.taskd("claim", "b", "--ttl", "18000")
    project.taskd("set", "b", "assignee=somebody")
    remove(index_of(project))
    answers_again(project)
    task = project.show("b")

    assert (task["assignee"], task["claim"]["holder"]) == ("somebody", "main")


def test_an_edit_nobody_heard_of(new_project: Make) -> None:
    """What was saved in the time a lost index knew and its copy does not is in a head or in a conflict."""
    project = lived_in(new_project())
    project.save("b.md", task_text("b", "Two.\n"), "one")
    project.alone("sync")
    project.save("c.md", task_text("c", "Three.\n"), "two")
    (project.state / "index.db").write_bytes(b"\0" * 65536)
    project.start()
    project.sync()
    heads = [project.show(name)["body"] for name in "bc"]
    conflicts = {(row["task"], row["file"]) for row in project.taskd("conflicts")}

    assert heads[0] == "Two.\n"  # the workspace branch knew of it
    assert ("c", "Three.\n") in conflicts | {("c", heads[1])}
    assert [project.show(name)["status"] for name in "bc"] == ["pending"] * 2


def test_the_branch_remembers(new_project: Make) -> None:
    """What happened after the copy is on the workspace branch: status, claim, tasks made and removed."""
    project = lived_in(new_project())
    project.alone("claim", "b", "--ttl", "18000")
    project.alone("add", "New one", "--id", "new")
    project.alone("rm", "c")
    project.alone("sync")
    flip_bytes(index_of(project))
    project.start()
    project.sync()

    assert {row["id"]: row["status"] for row in project.taskd("list")} == {
        "a": "in-progress",
        "b": "in-progress",
        "new": "pending",
    }
    assert project.show("b")["claim"]["holder"] == project.show("a")["claim"]["holder"]
    assert project.taskd("conflicts") == []
    assert not project.file("c.md", "two").exists()


def test_put_back_by_hand(new_project: Make) -> None:
    """An index from before, put back by somebody, deletes nothing and takes no task back from the files."""
    project = lived_in(new_project())
    kept = project.state / "mine.db"
    with contextlib.closing(sqlite3.connect(index_of(project))) as conn:
        conn.execute("VACUUM INTO ?", (str(kept),))
    project.save("later.md", task_text("later"), "one")
    project.save("b.md", task_text("b", "Two.\n"), "one")
    project.alone("sync")
    remove(index_of(project))
    shutil.copy(kept, index_of(project))
    project.start()
    project.sync()
    shown = project.show("b")["body"], [row["file"] for row in project.taskd("conflicts")]

    assert "later" in {row["id"] for row in project.taskd("list")}
    assert "Two.\n" in (shown[0], *shown[1])
    assert project.file("later.md", "two").read_text() == task_text("later")
    assert [row["task"] for row in project.journal() if row["task"] == "@index"] == ["@index"]


def test_log_removed(new_project: Make) -> None:
    """The index without its log after a crash is an older one, and is not believed about files."""
    project = served(lived_in(new_project()))
    project.save("later.md", task_text("later"), "one")
    project.taskd("set", "b", "assignee=somebody")
    project.sync()
    wait_for(
        lambda: (
            (project.state / "index.seen").read_text().strip().lstrip("0")
            == str(project.journal()[-1]["seq"])
        )
    )
    assert project.daemon is not None
    project.daemon.kill()
    project.daemon.wait()
    (project.state / "index.db-wal").unlink()
    project.start()
    counts = project.sync()

    assert counts["tasks"] == 4
    assert project.file("later.md", "two").read_text() == task_text("later")
    assert [row["task"] for row in project.journal() if row["task"] == "@index"] == ["@index"]


@pytest.mark.parametrize("harm", [empty, remove])
def test_lost_without_a_daemon(new_project: Make, harm: Harm) -> None:
    """A command that works alone finds the copy too, and says on standard error what it did."""
    project = lived_in(new_project())
    harm(index_of(project))
    answer = project.run("list", env={"TASKD_NO_DAEMON": "1"})

    assert (answer.code, len(answer.data)) == (0, 3)
    assert "index.rescued" in answer.stderr


def test_damaged_without_a_daemon(new_project: Make) -> None:
    """A command that meets damage says so and to try again; the next one has the copy."""
    project = lived_in(new_project())
    flip_bytes(index_of(project))
    first = project.run("list", env={"TASKD_NO_DAEMON": "1"})
    again = project.run("list", env={"TASKD_NO_DAEMON": "1"})

    assert (first.code, first.error["code"]) == (75, "store-damaged")
    assert (again.code, len(again.data)) == (0, 3)


def test_lost_without_a_copy(new_project: Make) -> None:
    """Where there is no copy a new index begins from the files: all tasks, with the status in them."""
    project = lived_in(new_project())
    before = texts(project)
    shutil.rmtree(project.state / "backups")
    flip_bytes(index_of(project))
    project.start()
    counts = project.sync()

    assert counts["tasks"] == 3
    assert texts(project) == before
    assert project.show("a")["status"] == "in-progress"
    assert "no sound copy" in told(project, "index.rescued")[0]["reason"]


def test_the_daily_copy(new_project: Make) -> None:
    """The daemon makes the copy by itself, which is a sound index of its own and nobody else's business."""
    project = new_project()
    project.alone("add", "First")
    project.start()
    (copy,) = wait_for(lambda: copies(project))
    with contextlib.closing(sqlite3.connect(copy)) as conn:
        tasks = conn.execute("SELECT count(*) FROM tasks").fetchone()[0]
        sound = conn.execute("PRAGMA integrity_check").fetchone()[0]

    assert (tasks, sound, copy.stat().st_mode & 0o777) == (1, "ok", 0o600)
    assert all("backups" not in text for text in project.status().values())


def test_no_room_for_a_copy(new_project: Make, tmp_path: Path) -> None:
    """A copy that does not fit is told and left, older ones stay, and everything else goes on."""
    project = lived_in(new_project())
    for path in copies(project):
        path.rename(tmp_path / path.name)
    (project.state / "backups").rmdir()
    with tiny_disk(project.state / "backups", "64k") as place:
        project.start()
        wait_for(lambda: told(project, "index.not-copied"))
        project.taskd("set", "b", "risk=high")
        left = list(place.iterdir())
        project.stop()

    assert "full" in told(project, "index.not-copied")[0]["reason"]
    assert left == []
    assert project.alone("show", "b")["risk"] == "high"
