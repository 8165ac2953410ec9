"""git merging task files with taskd, with a broken taskd, and without."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from taskd.engine.registration import command_line
from tests.system.project import TASKD, Git, Project, make_project

NAME = 'it\'s $HOME "x" %A.md'

BASE = """---
id: a
name: Alpha
status: pending
risk: low
priority: low
due: 2026-01-01
---
one

two
"""

#: what each side makes of it, and what comes of both
SIDES = {
    "fields": (
        {"risk: low": "risk: high", "pending": "completed"},
        {"priority: low": "priority: high", "two": "Two"},
    ),
    "lines": ({"one": "One"}, {"two": "Two"}),
    "same": ({"due: 2026-01-01": "due: 2026-02-02"}, {"due: 2026-01-01": "due: 2026-03-03"}),
}
WAYS = {
    "merge": "merge -q theirs",
    "rebase": "rebase -q ours",
    "cherry-pick": "cherry-pick theirs",
    "stash pop": "stash pop",
}
IDENTITY = {
    f"GIT_{who}_{what}": word
    for who in ("AUTHOR", "COMMITTER")
    for what, word in (("NAME", "T"), ("EMAIL", "t@example.invalid"))
}
CONFLICT = "<<<<<<< {}\ndue: 2026-02-02\n=======\ndue: 2026-03-03\n>>>>>>> {}\n"


def changed(text: str, swaps: dict[str, str]) -> str:
    """A text with some parts replaced."""
    for old, new in swaps.items():
        assert old in text
        text = text.replace(old, new)
    return text


@dataclass
class Scene:
    """A linked worktree in which the branches `ours` and `theirs` changed one task that `base` has."""

    project: Project
    file: Path
    #: what git printed when it last brought something
    said: str = ""

    @property
    def tree(self) -> Path:
        """Where it happens."""
        return self.project.tree("one")

    def git(self, *words: str | Path, check: bool = True) -> str:
        """Run git in the worktree."""
        return self.project.git(self.tree, *words, check=check)

    def commit(self, branch: str, text: str | bytes, start: str = "base") -> None:
        """A branch with one more commit, which saves this text."""
        self.git("switch", "-q", "-C", branch, start)
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_bytes(text.encode() if isinstance(text, str) else text)
        self.git("add", "-f", ".")
        self.git("commit", "-q", "-m", branch)

    def diverge(self, case: str, base: str = BASE) -> str:
        """Make the branches; what a merge without conflict comes to."""
        ours, theirs = SIDES[case]
        self.commit("base", base, "one")
        self.commit("theirs", changed(base, theirs))
        self.commit("ours", changed(base, ours))
        return changed(changed(base, ours), theirs) if case != "same" else ""

    def bring(self, how: str) -> int:
        """Bring `theirs` to `ours` by one of git's ways; its exit status."""
        if how == "rebase":
            self.git("switch", "-q", "theirs")
        elif how == "stash pop":
            theirs = self.git("rev-parse", "theirs:" + str(self.file.relative_to(self.tree))).strip()
            self.git("switch", "-q", "base")
            self.file.write_text(self.git("cat-file", "-p", theirs))
            self.git("stash")
            self.git("switch", "-q", "ours")
        else:
            self.git("switch", "-q", "ours")
        done = subprocess.run(
            ["git", *WAYS[how].split()],
            cwd=self.tree,
            env={**os.environ, **IDENTITY},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.said = (done.stdout + done.stderr).decode()
        return done.returncode

    def stages(self) -> int:
        """How many entries of unmerged files the index has."""
        return len(self.git("ls-files", "-u").splitlines())

    def strays(self) -> list[str]:
        """Files that a merge left at the top of the worktree."""
        return sorted(path.name for path in self.tree.iterdir() if path.name.startswith("."))

    def use(self, script: str, directory: Path) -> None:
        """Have git call a program of this text as taskd; `TASKD` is the real one."""
        program = directory / "taskd"
        program.write_text("#!/bin/sh\n" + script.replace("TASKD", shlex.join(TASKD)))
        program.chmod(0o755)
        self.git("config", "merge.taskd.driver", command_line([str(program)]))


@pytest.fixture(params=["tracked", "shared"])
def scene(request: pytest.FixtureRequest, new_project: Callable[..., Project]) -> Scene:
    """One in each layout."""
    project = new_project(request.param)
    return Scene(project, project.tree("one") / "tasks" / "deep" / NAME)


@pytest.fixture
def tracked(new_project: Callable[..., Project]) -> Scene:
    """One in the tracked layout."""
    project = new_project("tracked")
    return Scene(project, project.tree("one") / "tasks" / NAME)


@pytest.mark.parametrize("how", WAYS)
def test_different_fields(scene: Scene, how: str) -> None:
    """Two branches that changed different fields of a task come together without a conflict."""
    scene.file.parent.mkdir(parents=True, exist_ok=True)
    wanted = scene.diverge("fields")

    assert (scene.bring(how), scene.file.read_text(), scene.strays()) == (0, wanted, [".git"]), scene.said


@pytest.mark.parametrize(
    ("how", "undo"),
    [
        ("merge", "merge --abort"),
        ("rebase", "rebase --abort"),
        ("cherry-pick", "cherry-pick --abort"),
        ("stash pop", "reset -q --hard"),
    ],
)
def test_same_field(scene: Scene, how: str, undo: str) -> None:
    """Two branches that changed one field differently leave git's ordinary conflict, in that line alone."""
    scene.file.parent.mkdir(parents=True, exist_ok=True)
    scene.diverge("same")

    code = scene.bring(how)

    assert (code, scene.stages(), scene.strays()) == (1, 3, [".git"]), scene.said
    assert scene.file.read_text() == changed(BASE, {"due: 2026-01-01\n": CONFLICT.format("ours", "theirs")})
    scene.git(*undo.split())
    side = 1 if how == "rebase" else 0
    assert (scene.file.read_text(), scene.stages()) == (changed(BASE, SIDES["same"][side]), 0)


def test_settled_conflict(tracked: Scene) -> None:
    """A conflict is settled as any other: choose the lines, add, commit."""
    tracked.diverge("same")
    tracked.bring("merge")
    tracked.file.write_text(changed(BASE, SIDES["same"][1]))
    tracked.git("add", "tasks")
    tracked.git("commit", "-q", "-m", "settled")

    assert tracked.git("status", "--porcelain") == ""


def test_markers_as_configured(tracked: Scene) -> None:
    """Conflict markers have the style and the size that the repository asks for."""
    tracked.diverge("same")
    tracked.git("config", "merge.conflictStyle", "diff3")
    with (tracked.project.common / "info/attributes").open("a") as file:
        file.write("*.md conflict-marker-size=9\n")

    tracked.bring("merge")

    wanted = (
        "<<<<<<<<< ours\ndue: 2026-02-02\n||||||||| base\ndue: 2026-01-01\n"
        "=========\ndue: 2026-03-03\n>>>>>>>>> theirs\n"
    )
    assert tracked.file.read_text() == changed(BASE, {"due: 2026-01-01\n": wanted})


def test_crossing_branches(tracked: Scene) -> None:
    """Branches that have merged each other have two ancestors; statuses do not conflict there either."""
    tracked.diverge("fields")
    tracked.commit("left", changed(BASE, {"pending": "in-progress"}))
    tracked.commit("right", changed(BASE, {"pending": "completed"}))
    tracked.git("tag", "before", "left")
    for branch, other in (("left", "right"), ("right", "before")):
        tracked.git("switch", "-q", branch)
        tracked.git("merge", "-q", "--no-edit", other)
    tracked.commit("ours", tracked.git("cat-file", "-p", "left:tasks/" + NAME).replace("one", "One"), "left")
    tracked.commit(
        "theirs", tracked.git("cat-file", "-p", "right:tasks/" + NAME).replace("two", "Two"), "right"
    )

    assert tracked.bring("merge") == 0, tracked.said
    merged = tracked.file.read_text().replace("in-progress", "completed")
    assert merged == changed(BASE, {"pending": "completed", "one": "One", "two": "Two"})


def test_file_that_is_no_task(tracked: Scene) -> None:
    """A README among the tasks is merged as git merges any text."""
    readme = Scene(tracked.project, tracked.tree / "tasks" / "README.md")
    readme.diverge("lines", "one\n\n\n\ntwo\n")

    assert (readme.bring("merge"), readme.file.read_text()) == (0, "One\n\n\n\nTwo\n")


def test_binary_file(tracked: Scene) -> None:
    """A binary file conflicts, and ours stays in the worktree, as without a driver."""
    for branch, text in (("base", b"\0a\n"), ("theirs", b"\0b\n"), ("ours", b"\0c\n")):
        tracked.commit(branch, text, "one" if branch == "base" else "base")

    assert (tracked.bring("merge"), tracked.file.read_bytes(), tracked.stages()) == (1, b"\0c\n", 3)
    assert "Cannot merge binary" in tracked.said


#: taskds that do not do what they should
BROKEN = {
    "crashing": "exit 1",
    "emptied": "",
    "refusing": "exit 255",
    "killed": "kill -9 $$",
    "without a module": f"exec {shlex.quote(sys.executable)} -c 'import no_such_module'",
    "boasting": "echo merged; exit 1",
    "lying": "echo conflict; exit 0",
    "killed too late": 'TASKD "$@" >/dev/null; kill -9 $$',
    "failing after a half-written file": 'echo half >"$3"; exit 3',
    "on a full disk": 'ulimit -f 0; exec TASKD "$@"',
    "without an output": 'exec TASKD "$@" >&-',
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
def test_broken_taskd(tracked: Scene, tmp_path: Path, script: str) -> None:
    """Whatever is wrong with taskd, git merges by lines, and what collides is its ordinary conflict."""
    tracked.use(script, tmp_path)
    wanted = tracked.diverge("lines")

    assert (tracked.bring("merge"), tracked.file.read_text(), tracked.strays()) == (0, wanted, [".git"])

    tracked.diverge("same")
    assert (tracked.bring("merge"), tracked.stages(), tracked.strays()) == (1, 3, [".git"])
    assert tracked.file.read_text() == changed(BASE, {"due: 2026-01-01\n": CONFLICT.format("ours", "theirs")})
    tracked.git("merge", "--abort")
    assert tracked.file.read_text() == changed(BASE, SIDES["same"][0])


def test_missing_taskd(tracked: Scene, tmp_path: Path) -> None:
    """A taskd that was moved or taken away leaves git's own merge, and git says why."""
    tracked.git("config", "merge.taskd.driver", command_line([str(tmp_path / "gone" / "taskd")]))
    wanted = tracked.diverge("lines")

    assert (tracked.bring("merge"), tracked.file.read_text()) == (0, wanted)
    assert f"taskd did not merge tasks/{NAME}, git does" in tracked.said
    tracked.diverge("fields")
    assert (tracked.bring("merge"), tracked.stages()) == (1, 3)


def test_nothing_can_be_written(tracked: Scene) -> None:
    """Where not even a conflict could be written, git refuses to merge and leaves all as it was."""
    tracked.git("config", "merge.taskd.driver", "ulimit -f 0; " + command_line(TASKD))
    tracked.diverge("same")
    before = tracked.git("rev-parse", "HEAD")

    assert tracked.bring("merge") not in (0, 1)
    assert tracked.git("rev-parse", "HEAD") == before
    assert (tracked.git("status", "--porcelain"), tracked.strays()) == ("", [".git"])
    assert tracked.file.read_text() == changed(BASE, SIDES["same"][0])


def test_place_of_taskd(tracked: Scene, tmp_path: Path) -> None:
    """Whatever the path of taskd is made of, git finds it."""
    odd = tmp_path / 'it\'s a "$HOME" \\ %A;#'
    odd.mkdir()
    (odd / "taskd").symlink_to(TASKD[0])
    tracked.project.taskd("uninit")
    done = subprocess.run(
        [str(odd / "taskd"), "init"], cwd=tracked.tree, capture_output=True, check=False, timeout=60
    )
    tracked.git("config", "merge.taskd.driver", command_line([str(odd / "taskd")]))
    wanted = tracked.diverge("fields")

    assert (done.returncode, tracked.bring("merge"), tracked.file.read_text()) == (0, 0, wanted)


# -- the verb by itself


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, list[str]]:
    """A directory without a repository, and the words that merge the three files in it."""
    for name, text in zip("oab", (BASE, *(changed(BASE, side) for side in SIDES["fields"])), strict=True):
        (tmp_path / name).write_text(text)
    return tmp_path, ["o", "a", "b", "7", "tasks/a.md"]


def drive(
    directory: Path, *words: str, program: tuple[str, ...] = TASKD
) -> subprocess.CompletedProcess[bytes]:
    """Run the verb."""
    command = [*program, *(["merge-driver"] if program == TASKD else []), *words]
    return subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
    )


def test_anywhere(files: tuple[Path, list[str]]) -> None:
    """The verb works outside of any repository; the file is another one afterwards, of the same mode."""
    directory, words = files
    (directory / "a").chmod(0o640)
    before = (directory / "a").stat()

    done = drive(directory, *words)

    after = (directory / "a").stat()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"merged\n", b"")
    assert (directory / "a").read_text() == changed(changed(BASE, SIDES["fields"][0]), SIDES["fields"][1])
    assert (after.st_mode, after.st_ino == before.st_ino) == (before.st_mode, False)
    assert sorted(path.name for path in directory.iterdir()) == ["a", "b", "o"]


def test_labels(files: tuple[Path, list[str]]) -> None:
    """Labels of a git that gives them stand beside the markers."""
    directory, words = files
    (directory / "b").write_text(changed(BASE, {"risk: low": "risk: critical"}))

    done = drive(directory, *words, "v1", "HEAD", "topic (a b)")

    assert (done.returncode, done.stdout) == (1, b"conflict\n")
    assert (
        "<<<<<<< HEAD\nrisk: high\n=======\nrisk: critical\n>>>>>>> topic (a b)\n"
        in (directory / "a").read_text()
    )


@pytest.mark.parametrize(
    ("words", "code"), [("o a b 7", 2), ("o a b x p", 2), ("no a b 7 p", 70), ("o a no 7 p", 70)]
)
def test_wrong_words(files: tuple[Path, list[str]], words: str, code: int) -> None:
    """What cannot be merged is neither 0 nor 1, and changes nothing."""
    directory, _ = files
    before = (directory / "a").read_bytes()

    done = drive(directory, *words.split())

    assert (done.returncode, done.stdout, (directory / "a").read_bytes()) == (code, b"", before)


def test_imports(files: tuple[Path, list[str]]) -> None:
    """A merge waits for it once a file: the big libraries are not imported."""
    directory, words = files
    script = f"import sys; from taskd import driver; driver.main({words!r}); print(*sys.modules)"

    done = drive(directory, program=(sys.executable, "-c", script))

    big = {
        "click",
        "git",
        "structlog",
        "sqlite3",
        "rich",
        "watchdog",
        "apscheduler",
        "subprocess",
        "taskd.cli",
    }
    assert (done.returncode, big & set(done.stdout.decode().split())) == (0, set())


# -- init and uninit


def local_files(project: Project) -> dict[str, bytes | None]:
    """The files of git's that init writes."""
    names = ("config", "info/attributes", "info/exclude")
    return {n: (project.common / n).read_bytes() if (project.common / n).exists() else None for n in names}


CONFIGS = (b"", b"# mine", b"[a]\n\tb = c", b"[a]\r\n\tb = c\r\n\r\n")
ATTRIBUTES = (None, b"# mine", b"*.md text\n", b"\n*.png binary\r\n\n")


@pytest.mark.parametrize("layout", ["tracked", "shared"])
@pytest.mark.parametrize(("config", "attributes"), list(zip(CONFIGS, ATTRIBUTES, strict=True)))
def test_uninit_leaves_no_trace(
    new_project: Callable[..., Project], layout: str, config: bytes, attributes: bytes | None
) -> None:
    """What init wrote into git's files, uninit takes out to the byte, and init twice is init once."""
    project = new_project(layout)
    project.taskd("uninit")
    with (project.common / "config").open("ab") as file:
        file.write(config)
    if attributes is not None:
        (project.common / "info/attributes").write_bytes(attributes)
    before = local_files(project)

    project.taskd("init", f"--{layout}", "--dry-run")
    assert local_files(project) == before
    project.taskd("init", f"--{layout}")
    after = local_files(project)
    project.taskd("init")
    assert local_files(project) == after != before
    project.taskd("uninit")
    assert local_files(project) == before


def test_others_edit_too(tracked: Scene) -> None:
    """Settings and attributes that others wrote meanwhile stay, but for those in taskd's own section."""
    project = tracked.project
    project.taskd("uninit")
    before = local_files(project)
    project.taskd("init")
    tracked.git("config", "merge.taskd.recursive", "text")
    tracked.git("config", "other.key", "value")
    with (project.common / "info/attributes").open("ab") as file:
        file.write(b"*.png binary\n")
    project.taskd("init")

    project.taskd("uninit")

    assert local_files(project) == {
        **before,
        "config": (before["config"] or b"") + b"[other]\n\tkey = value\n",
        "info/attributes": b"*.png binary\n",
    }


def test_locked_configuration(tracked: Scene) -> None:
    """While git's configuration is locked, init changes nothing and says so."""
    tracked.project.taskd("uninit")
    before = local_files(tracked.project)
    lock = tracked.project.common / "config.lock"
    lock.touch()

    answer = tracked.project.run("init")

    assert (answer.code, answer.error["code"], local_files(tracked.project)) == (75, "locked", before)
    assert lock.exists()


def test_linked_configuration(tracked: Scene, tmp_path: Path) -> None:
    """A configuration behind a link stays behind it."""
    config = tracked.project.common / "config"
    tracked.project.taskd("uninit")
    config.rename(tmp_path / "elsewhere")
    config.symlink_to(tmp_path / "elsewhere")

    tracked.project.taskd("init")

    assert (config.is_symlink(), "[merge" in (tmp_path / "elsewhere").read_text()) == (True, True)


def test_directory_with_a_blank(tmp_path: Path, git: Git) -> None:
    """Task files in another directory, with a blank in its name, are merged by taskd too."""
    project = make_project(tmp_path / "p", git, "tracked")
    project.taskd("uninit")
    project.taskd("init", "--shared", "--tasks-dir", "to do/tasks")
    attributes = git(
        project.top, "check-attr", "merge", "to do/tasks/a.md", "to do/tasks/b/c.md", "tasks/a.md"
    )

    assert [line.rpartition(": ")[2] for line in attributes.splitlines()] == ["taskd", "taskd", "unspecified"]


def test_seen_by_every_worktree(tracked: Scene) -> None:
    """One registration serves the main worktree and the linked ones."""
    trees = ("main", "one", "two")
    found = [
        tracked.project.git(tracked.project.tree(t), "check-attr", "merge", "tasks/x/y.md") for t in trees
    ]

    assert found == ["tasks/x/y.md: merge: taskd\n"] * 3
