"""Saves as editors and tools make them, against the running daemon."""

from __future__ import annotations

import contextlib
import mmap
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.system.project import TREES, Project, fill_up, task_text, tiny_disk, wait_for

OLD: Final = b"Text one."
NEW: Final = b"Text two."
PAUSE: Final = 0.2  # seconds between the two halves of a slow save: longer than files have to be quiet
CHUNK_PAUSE: Final = 0.02  # seconds between the ten parts of a download

Save = Callable[[Path], object]


def changed(path: Path) -> bytes:
    """What is to be saved."""
    return path.read_bytes().replace(OLD, NEW)


def vim(path: Path, *settings: str) -> None:
    """Vim writes a new file and leaves the old one as a backup; below /tmp only when it is told to."""
    words = [word for setting in ("backupskip=", *settings) for word in ("--cmd", f"set {setting}")]
    command = ["vim", "-u", "NONE", "-N", "-es", *words, "-c", "%s/Text one/Text two/", "-c", "wq", str(path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=30)


def vim_default(path: Path) -> None:
    """With a backup that is taken away afterwards, as vim does by default."""
    vim(path, "writebackup", "backupcopy=auto")


def vim_in_place(path: Path) -> None:
    """Truncated and written."""
    vim(path, "writebackup", "backupcopy=yes")


def vim_without_backup(path: Path) -> None:
    """Truncated and written, with no copy of the old text anywhere."""
    vim(path, "nowritebackup", "nobackup")


def vim_linked_backup(path: Path) -> None:
    """The old file renamed and kept as `x.md~`."""
    vim(path, "backup", "backupcopy=no")


def nano(path: Path) -> None:
    """Typed at a terminal: replace, save, leave."""
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        ["nano", "--ignorercfiles", path.name],
        cwd=path.parent,
        env={**os.environ, "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    with os.fdopen(screen, "r+b", buffering=0) as keyboard:
        drawn = b""
        while b"Text one" not in drawn:
            drawn += keyboard.read(65536)
        keyboard.write(b"\x1cText one\rText two\ra\x0f\r\x18")
        with contextlib.suppress(OSError):  # how a terminal ends that nobody has open any more
            while keyboard.read(65536):
                pass
    process.wait(10)


def sed(path: Path) -> None:
    """A temp file renamed over."""
    subprocess.run(["sed", "-i.orig", "s/Text one/Text two/", path], check=True)
    path.with_name(f"{path.name}.orig").unlink()


def perl(path: Path) -> None:
    """A new file under the old name, the old one removed before."""
    subprocess.run(["perl", "-pi", "-e", "s/Text one/Text two/", path], check=True)


def emacs(path: Path) -> None:
    """A lock that is a link to nowhere, an auto-save, the old file renamed to a backup, a new one written."""
    text, lock, auto = changed(path), path.with_name(f".#{path.name}"), path.with_name(f"#{path.name}#")
    lock.symlink_to("someone@host.1234:1700000000")
    auto.write_bytes(text)
    path.rename(path.with_name(f"{path.name}~"))
    path.write_bytes(text)
    auto.unlink()
    lock.unlink()


def shell_redirection(path: Path) -> None:
    """Truncated, and written after a pause."""
    script = f'text=$(sed "s/Text one/Text two/" "$0"); {{ sleep {PAUSE}; printf "%s\\n" "$text"; }} > "$0"'
    subprocess.run(["sh", "-c", script, path], check=True)


def rename_over(path: Path) -> None:
    """`mv`."""
    new = path.with_name("draft.txt")
    new.write_bytes(changed(path))
    new.replace(path)


def rename_from_elsewhere(path: Path) -> None:
    """`mv` from outside of the tasks directory, with the times of an older file."""
    new = path.parent.parent / "draft.txt"
    new.write_bytes(changed(path))
    os.utime(new, (1_000_000_000, 1_000_000_000))
    new.replace(path)


def same_time_and_size(path: Path) -> None:
    """`cp -p`, `rsync -t` and `tar` put the old time on a text of the same size."""
    old = path.stat()
    path.write_bytes(changed(path))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def python_write_text(path: Path) -> None:
    """In place, in one go."""
    path.write_text(changed(path).decode())


def jetbrains(path: Path) -> None:
    """Safe write: a temp file, the old one moved away, the new one in its place, the old one removed."""
    new, old = path.with_name(f"{path.name}___jb_tmp___"), path.with_name(f"{path.name}___jb_old___")
    new.write_bytes(changed(path))
    path.rename(old)
    time.sleep(PAUSE)
    new.rename(path)
    old.unlink()


def vs_code(path: Path) -> None:
    """Truncated to nothing, then written."""
    text = changed(path)
    with path.open("r+b") as file:
        file.truncate(0)
        time.sleep(PAUSE)
        file.write(text)


def ten_chunks(path: Path) -> None:
    """As a slow download writes."""
    text = changed(path)
    size = len(text) // 9
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(text), size):
            file.write(text[start : start + size])
            time.sleep(CHUNK_PAUSE)


def mapped(path: Path) -> None:
    """Through memory: closing the file is the only event there is."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        at = memory.find(OLD)
        memory[at : at + len(NEW)] = NEW


def needs(program: str, save: Save) -> object:
    """A save that is left out where its program is not installed."""
    missing = pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")
    return pytest.param(save, marks=missing, id=save.__name__)


SAVES: Final = [
    needs("vim", vim_default),
    needs("vim", vim_in_place),
    needs("vim", vim_without_backup),
    needs("vim", vim_linked_backup),
    needs("perl", perl),
    needs("nano", nano),
    pytest.param(sed, marks=pytest.mark.skipif(sys.platform != "linux", reason="GNU sed"), id="sed"),
    *(
        pytest.param(save, id=save.__name__)
        for save in (
            emacs,
            shell_redirection,
            rename_over,
            rename_from_elsewhere,
            same_time_and_size,
            python_write_text,
            jetbrains,
            vs_code,
            ten_chunks,
            mapped,
        )
    ),
]


def prepared(project: Project, id: str) -> Path:
    """A task in progress whose file lies in the worktree `one`, committed there in the tracked layout."""
    path = project.save(f"{id}.md", task_text(id, "Text one.\n"), "one")
    if project.file("seed.md").exists():
        project.git(project.tree("one"), "add", path)
        project.git(project.tree("one"), "commit", "-q", "-m", id)
    project.sync()
    project.taskd("status", id, "in-progress")
    project.sync()
    return path


def places(project: Project) -> tuple[str, ...]:
    """Where an edit has to arrive."""
    return ("live",) if project.file("seed.md").exists() else (*TREES, "live")


@pytest.mark.parametrize("save", SAVES)
def test_saves_arrive(project: Project, save: Save) -> None:
    """Whatever way a file is saved, the edit is one change of that task, and nothing else changes."""
    id = f"ed-{getattr(save, '__name__', '').replace('_', '-')}-{int(project.file('seed.md').exists())}"
    path = prepared(project, id)
    wanted = changed(path)
    save(path)
    project.await_text(f"{id}.md", NEW, places(project))
    project.sync()

    task = project.show(id)
    assert (task["body"], task["status"]) == ("Text two.\n", "in-progress")
    assert path.read_bytes() == wanted
    assert project.problems(f"{id}.md") == []
    fields = [row["field"] for row in project.taskd("history", id)]
    assert (fields.count("body"), fields.count("deleted_at")) == (1, 0) or save is ten_chunks


def test_hard_link_found_by_scan(project: Project, tmp_path: Path) -> None:
    """A write through another name of the file makes no event; the next scan finds it."""
    id = f"ed-link-{int(project.file('seed.md').exists())}"
    path = prepared(project, id)
    (tmp_path / "other").hardlink_to(path)
    other = tmp_path / "other"
    other.write_bytes(changed(other))
    project.sync()

    assert project.show(id)["body"] == "Text two.\n"
    assert [NEW in project.file(f"{id}.md", tree).read_bytes() for tree in places(project)] == [True] * len(
        places(project)
    )


def test_helper_files_are_no_tasks(shared: Project) -> None:
    """Swap files, backups, locks and drafts of editors are neither tasks nor problems."""
    root = shared.file("helpers", "one")
    root.mkdir(parents=True)
    names = [".x.md.swp", ".x.md.un~", "x.md~", "#x.md#", "x.md.bak", "x.md.AbC123", ".goutputstream-X",
             "x.md___jb_tmp___", "4913"]  # fmt: skip
    for name in names:
        (root / name).write_text(task_text("helper"))
    (root / ".#x.md").symlink_to("someone@host.1234:1")
    shared.save("helpers/real.md", task_text("ed-real"), "one")
    shared.await_text("helpers/real.md", "ed-real", TREES)
    shared.sync()

    assert [task["id"] for task in shared.taskd("list", "--path", "helpers")] == ["ed-real"]
    assert [row for row in shared.problems() if "helpers" in row["path"]] == []


def test_many_files_at_once(shared: Project) -> None:
    """200 files written at once are 200 tasks, in a few commits, and stand in every worktree."""
    before = int(shared.git(shared.top, "rev-list", "--count", "refs/heads/taskd/workspace"))
    for number in range(200):
        shared.save(f"many/ed-{number:03}.md", task_text(f"ed-many-{number:03}"), "two")
    shared.sync()

    made = int(shared.git(shared.top, "rev-list", "--count", "refs/heads/taskd/workspace")) - before
    assert len(shared.taskd("list", "--path", "many")) == 200
    assert [len(list(shared.file("many", tree).glob("*.md"))) for tree in (*TREES, "live")] == [200] * 4
    assert made <= 10


def test_typing_without_pause(shared: Project) -> None:
    """A file that is saved at every keystroke is read now and then, and at the end as it was left."""
    path = prepared(shared, "ed-keys")
    text = path.read_bytes()
    for number in range(100):
        path.write_bytes(text.replace(OLD, b"x" * number + b"\n" + OLD))
        time.sleep(0.005)
    shared.await_text("ed-keys.md", b"x" * 99 + b"\n" + OLD, TREES)

    assert shared.show("ed-keys")["body"] == "x" * 99 + "\nText one.\n"
    assert shared.taskd("conflicts") == []


@pytest.mark.parametrize(
    "name",
    ["x (conflicted copy 2026-03-01).md", "x.sync-conflict-20260301-120000-ABCDEF.md", "x 2.md", "x (1).md"],
)
def test_conflict_copies(project: Project, name: str) -> None:
    """A second file that a syncing service makes is listed; the task stays with the first, and goes on."""
    layout = int(project.file("seed.md").exists())
    id = f"ed-copy-{layout}-{sum(map(ord, name))}"
    path = prepared(project, id)
    copy = path.with_name(name.replace("x", id, 1))
    copy.write_bytes(changed(path))
    rows = wait_for(lambda: [row for row in project.problems() if row["path"] == copy.name])
    path.write_bytes(path.read_bytes() + b"More.\n")
    project.await_text(f"{id}.md", b"More.")

    assert [(row["worktree"], bool(row["remedy"])) for row in rows] == [("one", True)]
    assert project.show(id)["body"] == "Text one.\nMore.\n"
    assert not project.file(copy.name, "two").exists()
    copy.unlink()
    project.sync()
    assert project.problems(copy.name) == []


def test_a_file_that_stays_empty(project: Project) -> None:
    """What an editor emptied and did not write leaves the task as it was, and is listed."""
    id = f"ed-empty-{int(project.file('seed.md').exists())}"
    path = prepared(project, id)
    wanted = changed(path)
    path.write_bytes(b"")
    (row,) = wait_for(lambda: project.problems(f"{id}.md"))
    task, elsewhere = project.show(id), project.file(f"{id}.md", "live").read_bytes()
    path.write_bytes(wanted)
    project.await_text(f"{id}.md", NEW)
    project.sync()

    assert (row["worktree"], "is empty" in row["reason"], bool(row["remedy"])) == ("one", True, True)
    assert (task["body"], task["status"], OLD in elsewhere) == ("Text one.\n", "in-progress", True)
    assert project.problems(f"{id}.md") == []


def test_an_editor_on_a_full_disk(new_project: Callable[..., Project], tmp_path: Path) -> None:
    """An editor that empties a file on a full disk takes the text from nobody else."""
    with tiny_disk(tmp_path / "disk", "256k") as disk:
        project = new_project()
        project.git(project.top, "worktree", "add", "-q", "-b", "far", disk / "far")
        project.save("a.md", task_text("a", "Text one.\n"))
        project.start()
        project.sync()
        path = disk / "far/tasks/a.md"
        ballast = fill_up(disk)
        with path.open("wb", buffering=0) as file:  # which frees the page it had, and somebody else takes it
            with (disk / "more").open("wb", buffering=0) as more, contextlib.suppress(OSError):
                more.write(b"x" * 8192)
            with contextlib.suppress(OSError):
                file.write(task_text("a", "Text two.\n").encode())
        wait_for(lambda: project.problems("a.md"))
        bodies = project.show("a")["body"], project.file("a.md", "two").read_bytes()
        ballast.unlink()
        project.save("a.md", task_text("a", "Text two.\n"), "two")
        project.await_text("a.md", NEW, ("main",))
        project.stop()

        assert bodies == ("Text one.\n", task_text("a", "Text one.\n").encode())
