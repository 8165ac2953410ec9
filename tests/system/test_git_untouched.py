"""S-20: whatever taskd does, git and people's files are afterwards what they were before.

A `Scene` is a repository in the state that people leave theirs in: an unfinished merge, rebase and
cherry-pick, staged, unstaged and untracked changes in every worktree, a stash, packed refs, no identity,
and a configuration whose programs must never run. `look` takes down all of it: the bytes, inode, mode and
times of every file that is not taskd's own, and what git says.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from tests.system.project import COMMAND_LIMIT, TASKD, Project, task_text, wait_for

Git = Callable[..., str]
Facts = dict[str, object]

TREES = ("main", "one", "two", "three")
WORKSPACE = "refs/heads/taskd/workspace"

#: our own looks at the repository carry this, and only then the programs of the scene behave
QUIET = {"SCENE_QUIET": "1", "GIT_OPTIONAL_LOCKS": "0"}
PROGRAM = """#!/bin/sh
[ -n "$SCENE_QUIET" ] || { echo "$0 $*" >>"MARKER"; exit 1; }
case $0 in *filter) exec cat ;; *fsmonitor | *gpg) exit 1 ;; esac
"""
HOOKS = """
    applypatch-msg commit-msg fsmonitor-watchman post-applypatch post-checkout post-commit post-index-change
    post-merge post-rewrite pre-applypatch pre-auto-gc pre-commit pre-merge-commit pre-push pre-rebase
    prepare-commit-msg reference-transaction
"""
ALIASES = "status fast-import update-ref worktree ls-files rev-parse cat-file check-ignore config"
#: settings that run a program, {} being its path
HOSTILE = {
    "core.fsmonitor": "{}",
    "core.pager": "{}",
    "core.editor": "{}",
    "core.askPass": "{}",
    "core.sshCommand": "{}",
    "core.gitProxy": "{}",
    "core.alternateRefsCommand": "{}",
    "sequence.editor": "{}",
    "diff.external": "{}",
    "diff.evil.command": "{}",
    "diff.evil.textconv": "{}",
    "merge.evil.driver": "{} %O %A %B",
    "filter.evil.clean": "{}",
    "filter.evil.smudge": "{}",
    "filter.evil.required": "true",
    "gpg.program": "{}",
    "gpg.ssh.program": "{}",
    "gpg.ssh.defaultKeyCommand": "{}",
    "commit.gpgSign": "true",
    "tag.gpgSign": "true",
    "push.gpgSign": "true",
    "log.showSignature": "true",
    "credential.helper": "!{}",
    "uploadpack.packObjectsHook": "{}",
    "pager.status": "{}",
    "pager.log": "{}",
    "commit.template": "/nowhere/template",
    "init.templateDir": "/nowhere",
    "user.useConfigOnly": "true",
    "gc.auto": "1",
    "gc.autoPackLimit": "1",
    "receive.denyCurrentBranch": "updateInstead",
    **{f"alias.{name}": "!{}" for name in ALIASES.split()},
}

#: files of git's, all local, that `init` writes lines into
LINES_OF_OURS = {
    "tracked": ("config", "info/attributes"),
    "shared": ("config", "info/attributes", "info/exclude"),
}
ATTRIBUTES = "* filter=evil diff=evil merge=evil\n"

#: every verb, with the worktree it is typed in; the test counts them against the command line's own list
VERBS = (
    ("main", "add", "Parser", "--id", "parser", "--body", "Parse it.\n", "--priority", "high"),
    ("one", "add", "Tests", "--id", "tests", "--path", "deep", "--tag", "core"),
    ("two", "add", "Doomed", "--id", "doomed"),
    ("one", "dep", "add", "tests", "parser"),
    ("one", "dep", "rm", "tests", "parser"),
    ("two", "set", "parser", "priority=low", "tags+=x", "custom=1", "body=Another text.\n"),
    ("main", "set", "seed", "priority=low"),
    ("one", "claim", "seed"),
    ("one", "renew", "seed"),
    ("one", "release", "seed"),
    ("three", "claim", "--next", "--tag", "core"),
    ("three", "done", "tests", "--summary", "It works.", "--actual-hours", "1"),
    ("main", "reopen", "tests"),
    ("two", "status", "parser", "in-progress"),
    ("two", "fail", "parser", "--reason", "no"),
    ("two", "block", "seed", "--reason", "waits"),
    ("two", "unblock", "seed"),
    ("main", "rm", "doomed"),
    ("main", "restore", "doomed"),
    ("one", "list"), ("two", "ready"), ("three", "show", "parser"), ("main", "history"),
    ("main", "problems"), ("main", "conflicts"), ("main", "holds"), ("main", "notices"),
    ("one", "where"),
    ("one", "config", "list"), ("main", "service", "status"), ("two", "init"), ("two", "help"),
    ("main", "daemon", "status"), ("main", "daemon", "logs"),
    ("main", "sync"),
)  # fmt: skip
#: those tried without a daemon as well, where each takes half a second
WRITING = ("add", "set", "claim", "done", "rm", "restore", "sync")
#: those that the scenes run by hand: they start and end what the others need
BY_HAND = {"uninit", "demo", "daemon run", "daemon start", "daemon stop", "daemon restart"}
#: those about the machine and no repository, tested where the service is, and those that need a conflict
#: or a notice, or write the caller's files because they are asked to: tested where the answers are
ELSEWHERE = {"service install", "service uninstall", "resolve", "take", "pull"}


class BareProject(Project):
    """A project whose worktrees are all linked, to a bare repository."""

    @property
    def common(self) -> Path:
        """The git common dir."""
        return self.base / "store.git"


@dataclass
class Scene:
    """A project, its layout, the file in which programs leave their mark, and a bystander repository."""

    project: Project
    layout: str
    marker: Path
    bystander: Path
    trees: tuple[str, ...] = TREES

    def git(self, directory: Path, *words: str | Path, **more: Any) -> str:  # noqa: ANN401 - the fixture's
        """Run git there as a bystander would: no program of the scene makes trouble."""
        return self.project.git(directory, *words, env={**QUIET, **more.pop("env", {})}, **more)

    def look(self) -> Facts:
        """Everything there is that is not taskd's own: HEAD, index, reflogs and settings are files of it."""
        facts: Facts = {f"file {path}": state for path, state in self.files()}
        status = ("-c", "core.fsmonitor=false", "status", "--porcelain=v2", "-z", "--branch", "-uall")
        facts |= {f"status {tree}": self.git(self.project.tree(tree), *status) for tree in self.trees}
        common = self.project.common
        refs = self.git(common, "for-each-ref").splitlines()
        facts["refs"] = [line for line in refs if not line.endswith(WORKSPACE)]
        facts["stash"] = self.git(self.project.top, "stash", "list")
        facts["worktrees"] = self.git(common, "worktree", "list", "--porcelain")
        facts["fsck"] = self.git(common, "fsck", "--no-dangling", "--no-progress")
        config = self.git(common, "config", "--list", "--local", "--show-origin").splitlines()
        facts["config"] = [line for line in config if "\tmerge.taskd." not in line]
        facts["marks"] = self.marker.read_text() if self.marker.exists() else ""
        return facts

    def files(self) -> Iterator[tuple[str, object]]:
        """Each file that is not taskd's own, with all that a write would change."""
        for top in dict.fromkeys([*map(self.project.tree, self.trees), self.project.common, self.bystander]):
            for directory, names, files in os.walk(top):
                names[:] = [n for n in names if not self.is_own(Path(directory, n))]
                yield from ((str(p), state(p)) for n in files if not self.is_own(p := Path(directory, n)))

    def is_own(self, path: Path) -> bool:
        """Whether a path is taskd's, or one of the objects, which only become more."""
        common = self.project.common
        below = path.relative_to(common) if path.is_relative_to(common) else None
        if below is None:
            return self.layout == "shared" and path in [self.project.tree(t) / "tasks" for t in self.trees]
        refs = ("refs/heads/taskd", "logs/refs/heads/taskd")
        lines = str(below) in LINES_OF_OURS[self.layout]  # see `lent`
        return lines or below in (Path("taskd"), Path("objects"), *map(Path, refs))

    def objects(self) -> dict[str, object]:
        """The object database."""
        return {str(p): p.read_bytes() for p in (self.project.common / "objects").rglob("*") if p.is_file()}

    def lent(self) -> dict[str, bytes | None]:
        """The files of git's in which taskd has lines of its own until `uninit`."""
        paths = {name: self.project.common / name for name in LINES_OF_OURS["shared"]}
        return {name: path.read_bytes() if path.exists() else None for name, path in paths.items()}

    @contextlib.contextmanager
    def untouched(self, what: str) -> Iterator[None]:
        """Whatever is done in this block changes nothing of git's and nothing of people's."""
        before = self.look()
        yield
        assert changed(before, self.look()) == {}, f"touched by {what}"

    # -- what taskd is asked for

    def run(self, tree: str, *words: str, allow: tuple[int, ...] = (0,), **env: str) -> None:
        """Run one command in a worktree; it has to end as allowed."""
        done = subprocess.run(
            [*TASKD, *words], cwd=self.project.tree(tree), env={**os.environ, **self.project.env, **env},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_LIMIT, check=False,
        )  # fmt: skip
        assert done.returncode in allow, f"{words}: exit {done.returncode}: {done.stderr}{done.stdout}"

    def save_everywhere(self, word: str) -> None:
        """A new task and an edit in every worktree, as people save them."""
        for tree in self.trees:
            name = f"{word}-{tree}"
            self.project.save(f"{name}.md", task_text(name, status="in-progress"), tree)
        known = self.project.file("deep/other.md" if self.layout == "tracked" else "seed.md")
        known.with_suffix(".new").write_text(known.read_text() + f"One line more: {word}.\n")
        known.with_suffix(".new").replace(known)

    @contextlib.contextmanager
    def saving(self, word: str) -> Iterator[None]:
        """Saves happen; from then on nothing but taskd is at work, and it leaves all else as it was."""
        daemon = self.project.daemon
        if daemon is not None:
            daemon.send_signal(signal.SIGSTOP)  # so that the look is at the saves alone
        self.save_everywhere(word)
        before = self.look()
        if daemon is not None:
            daemon.send_signal(signal.SIGCONT)
        yield
        assert changed(before, self.look()) == {}, f"touched after {word} was saved"


def state(path: Path) -> tuple[object, ...]:
    """What any write to a file, or replacing it, would change."""
    facts = path.lstat()
    text = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    digest = hashlib.blake2b(text, digest_size=8).hexdigest()
    return facts.st_ino, oct(facts.st_mode), facts.st_mtime_ns, facts.st_ctime_ns, len(text), digest


def changed(before: Facts, after: Facts) -> dict[str, tuple[object, object]]:
    """What is not as it was."""
    keys = before.keys() | after.keys()
    return {k: (before.get(k), after.get(k)) for k in sorted(keys) if before.get(k) != after.get(k)}


# -- making the scenes


def make_scene(base: Path, git: Git, layout: str, kind: str) -> Scene:
    """A repository in the middle of everything. `kind` is plain, or bare: that one has SHA-256 objects."""
    project = (BareProject if kind == "bare" else Project)(base, git)
    scene = Scene(project, layout, base / "marker", base / "bystander")
    if kind == "bare":
        base.mkdir(parents=True)
        init = ("init", "-q", "-b", "main", "--object-format=sha256")
        git(base, *init, "--bare", "--template=", project.common)
        git(base, *init, "author")
        write_history(git, base / "author", layout)
        git(base / "author", "push", "-q", project.common, "main", "other")
        git(project.common, "worktree", "add", "-q", project.top, "main")
    else:
        project.top.mkdir(parents=True)
        git(project.top, "init", "-q", "-b", "main")
        write_history(git, project.top, layout)
    for tree in TREES[1:]:
        git(project.top, "worktree", "add", "-q", "-b", tree, project.tree(tree), "main")
    make_unfinished(scene)
    git(base, "init", "-q", "bystander")
    git(scene.bystander, "commit", "-q", "--allow-empty", "-m", "begin")
    make_hostile(scene)
    return scene


def write_history(git: Git, top: Path, layout: str) -> None:
    """A branch `other` that conflicts with `main`, in a task file too where those are tracked."""

    def commit(line: str) -> None:
        texts = {"README.md": f"{line}\n", "code.txt": "code\n", ".gitattributes": ATTRIBUTES}
        if layout == "tracked":
            texts |= {f"tasks/{n}.md": task_text(n, f"{line}\n") for n in ("seed", "deep/other")}
        for name, text in texts.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text.replace("id: deep/other", "id: other"))
        git(top, "add", "-A")
        git(top, "commit", "-q", "-m", line)

    (top / "README.md").touch()
    git(top, "checkout", "-q", "-B", "main")
    commit("begin")
    git(top, "checkout", "-q", "-b", "other")
    commit("the other way")
    git(top, "checkout", "-q", "main")
    commit("this way")


def make_unfinished(scene: Scene) -> None:
    """A stash, and in each worktree something half done, with changes in all three stages."""
    git, tree = scene.project.git, scene.project.tree
    (tree("main") / "code.txt").write_text("stashed\n")
    git(tree("main"), "stash")
    git(tree("one"), "merge", "-q", "other", check=False)
    git(tree("two"), "rebase", "-q", "other", check=False)
    git(tree("three"), "cherry-pick", "other", check=False)
    git(scene.project.common, "tag", "-a", "v1", "-m", "a tag", "main")
    git(scene.project.common, "pack-refs", "--all")
    git(scene.project.common, "update-ref", "refs/notes/x", "main")
    for name in TREES:
        folder = "tasks" if scene.layout == "tracked" else "notes"
        (tree(name) / folder).mkdir(exist_ok=True)
        for stage in ("staged", "staged-and-more", "untracked"):
            (tree(name) / folder / f"{stage}.md").write_text(task_text(f"{stage}-{name}"))
        git(tree(name), "add", f"{folder}/staged.md", f"{folder}/staged-and-more.md")
        with (tree(name) / folder / "staged-and-more.md").open("a") as file:
            file.write("More.\n")
        (tree(name) / "code.txt").write_text("unstaged\n")


def make_hostile(scene: Scene) -> None:
    """No identity, and programs for whatever git lets a program do; each leaves a mark and fails."""
    folder = scene.project.base / "programs"
    git, common = scene.git, scene.project.common

    def program(name: str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PROGRAM.replace("MARKER", str(scene.marker)))
        path.chmod(0o755)
        return path

    for key, value in HOSTILE.items():
        name = "filter" if "filter" in key else "gpg" if "gpg" in key else key
        wanted = program("fsmonitor" if "fsmonitor" in key else name)
        git(common, "config", key, value.replace("{}", str(wanted)))
    if (common / "info").exists():
        (common / "info/exclude").write_bytes(b"# odd\r\n*.o\r\nno line end")
    (common / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS.split():
        (common / "hooks" / hook).unlink(missing_ok=True)
        (common / "hooks" / hook).symlink_to(program(f"hooks/{hook}"))
    if scene.layout == "shared":
        git(common, "config", "core.hooksPath", str(folder / "hooks"))
    scene.project.env.update(
        {
            # as in a hook of another repository, or a shell that somebody prepared
            "GIT_DIR": str(scene.bystander / ".git"),
            "GIT_WORK_TREE": str(scene.bystander),
            "GIT_INDEX_FILE": str(scene.bystander / ".git/index"),
            "GIT_EXTERNAL_DIFF": str(program("external")),
            "GIT_EDITOR": str(program("editor")),
            "EDITOR": str(program("editor")),
        }
    )


@pytest.fixture
def new_scene(tmp_path: Path, git: Git) -> Iterator[Callable[..., Scene]]:
    """`new_scene(layout, kind)` makes a scene; its daemon is ended afterwards."""
    made = list[Scene]()

    def make(layout: str, kind: str = "plain") -> Scene:
        made.append(make_scene(tmp_path / "scene", git, layout, kind))
        return made[-1]

    yield make
    for scene in made:
        scene.project.stop()


def set_up(scene: Scene) -> None:
    """`init`, first only to say what it would do."""
    with scene.untouched("init --dry-run"):
        scene.run("one", "init", f"--{scene.layout}", "--dry-run")
    assert not (scene.project.common / "taskd").exists()
    with scene.untouched("init"):
        scene.run("one", "init", f"--{scene.layout}")
    if scene.layout == "shared":
        scene.project.save("seed.md", task_text("seed"))
        scene.run("one", "sync")


def verbs(group: click.Command, name: str = "") -> Iterator[str]:
    """The name of every verb of the command line."""
    if not isinstance(group, click.Group):
        yield name
        return
    for word, command in group.commands.items():
        yield from verbs(command, f"{name} {word}".strip())


def test_every_verb_is_tried() -> None:
    """The scenes leave no verb out, a new one neither."""
    from taskd.cli import process  # noqa: F401, PLC0415 - they register themselves
    from taskd.cli.app import taskd  # noqa: PLC0415 - beside them

    known = set(verbs(taskd))
    tried = {" ".join(words[:end]) for _, *words in VERBS for end in (1, 2)}
    assert known - tried <= BY_HAND | ELSEWHERE


#: see taskd/repo/crash.py
STEPS = ("intent.open", "exchange.after-swap", "branch.before-swap")
LAYOUTS = pytest.mark.parametrize("layout", ["shared", "tracked"])


@LAYOUTS
@pytest.mark.parametrize("alone", [False, True], ids=["daemon", "alone"])
def test_s20_every_verb(new_scene: Callable[..., Scene], layout: str, alone: bool) -> None:  # noqa: FBT001 - a parameter
    """No verb changes git's state or people's files and hooks, or runs a program the repository names."""
    scene = new_scene(layout)
    objects = scene.objects()
    set_up(scene)
    if not alone:
        with scene.untouched("a daemon that starts"):
            scene.run("two", "daemon", "start")
            scene.run("two", "sync")

    with scene.untouched("verbs"):
        for tree, *words in VERBS:
            if words[0] in WRITING or not alone:
                scene.run(tree, *words, TASKD_NO_DAEMON=str(int(alone)))
        scene.run("one", "daemon", "stop")
    assert objects.items() <= scene.objects().items()


@LAYOUTS
def test_s20_saves_and_restarts(new_scene: Callable[..., Scene], layout: str) -> None:
    """Taking in what people save, stopping, restarting and leaving again changes nothing of theirs."""
    scene = new_scene(layout)
    lent, first = scene.lent(), scene.look()
    set_up(scene)
    scene.project.start()
    with scene.saving("served"):
        scene.run("two", "sync")
    scene.project.stop()
    with scene.saving("alone"):
        scene.run("three", "sync")
    with scene.untouched("restarts"):
        scene.run("one", "daemon", "start")
        scene.run("one", "daemon", "restart")
        scene.run("one", "sync")
        scene.run("one", "daemon", "stop")
    scene.run("one", "uninit")

    for tree in TREES if layout == "shared" else ():
        shutil.rmtree(scene.project.tree(tree) / "tasks")  # git sees it again
    saved = {f"status {tree}" for tree in TREES if layout == "tracked"}
    assert [key for key in changed(first, scene.look()) if "/tasks/" not in key and key not in saved] == []
    assert scene.lent() == lent


@LAYOUTS
def test_s20_killed(new_scene: Callable[..., Scene], layout: str) -> None:
    """A daemon killed in the middle, and the recovery of the next one, change nothing of people's."""
    scene = new_scene(layout)
    set_up(scene)

    for step in STEPS:
        with scene.saving(step):
            assert scene.project.launch(TASKD_CRASH_AT=step).wait(30) == -signal.SIGKILL
            scene.project.start()
            scene.run("main", "sync")
            scene.project.stop()
        assert {scene.project.show(f"{step}-{tree}")["status"] for tree in TREES} == {"in-progress"}


@LAYOUTS
def test_s20_bare_repository(new_scene: Callable[..., Scene], layout: str) -> None:
    """The same in a bare repository of SHA-256 objects, all of whose worktrees are linked."""
    scene = new_scene(layout, "bare")
    lent = scene.lent()
    set_up(scene)
    scene.project.start()

    with scene.saving("served"):
        scene.run("one", "sync")
        scene.run("main", "add", "One more", "--id", "more")
        scene.run("two", "claim", "more")
        scene.run("one", "sync")
    assert "status: in-progress" in scene.git(scene.project.common, "show", f"{WORKSPACE}:tasks/more.md")
    scene.project.stop()
    scene.run("one", "uninit")
    assert scene.lent() == lent


@LAYOUTS
def test_s20_index_locked(new_scene: Callable[..., Scene], layout: str) -> None:
    """While git holds the index of a worktree, taskd serves the others and leaves the lock alone."""
    scene = new_scene(layout)
    set_up(scene)
    scene.project.start()
    lock = scene.project.common / "worktrees/three/index.lock"
    lock.touch()

    with scene.saving("locked"):
        wait_for(lambda: scene.project.run("show", "locked-one").code == 0, "the others are served")
        scene.run("three", "claim", "seed", "--json")
        scene.run("three", "sync", "--timeout", "0.5", allow=(75,))
        assert scene.project.run("show", "locked-three").code == 4
    lock.unlink()
    scene.project.sync()
    assert scene.project.show("locked-three")["status"] == "in-progress"


def test_s20_file_on_request(new_scene: Callable[..., Scene]) -> None:
    """In the tracked layout `add --file` makes that one file in the caller's worktree, and nothing else."""
    scene = new_scene("tracked")
    set_up(scene)
    before = scene.look()
    scene.run("three", "add", "With a file", "--id", "filed", "--file")

    path = scene.project.file("filed.md", "three")
    assert set(changed(before, scene.look())) == {f"file {path}", "status three"}
    assert path.read_text().startswith("---\nid: filed\n")


def test_s20_clean_everywhere(new_project: Callable[..., Project]) -> None:
    """In the shared layout `git status` is clean in every worktree, one that comes later too."""
    project = new_project("shared")
    project.start()
    project.git(project.top, "worktree", "add", "-q", project.tree("late"))
    project.save("deep/first.md", task_text("first"), "one")
    project.taskd("add", "Second", "--id", "second", at="two")
    project.await_text("deep/first.md", "first", ("main", "two", "late"))
    project.sync()

    told = project.status()
    assert len(told) == 4
    assert [line for text in told.values() for line in text.splitlines() if not line.startswith("#")] == []
    project.git(project.top, "worktree", "remove", project.tree("late"))  # refuses where it is not
