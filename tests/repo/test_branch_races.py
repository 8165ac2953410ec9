"""The workspace branch among others at work: nothing of theirs is overwritten or touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from taskd.errors import BranchMoved, GitFailed
from taskd.repo.branch import Branch
from taskd.repo.commits import Joining
from taskd.repo.git import Git

RunGit = Callable[..., str]
Publish = Callable[..., str]
Contents = Callable[[Path], dict[str, str]]
History = Callable[[Path], list[str]]
IsSound = Callable[[Path], bool]
REF = "refs/heads/taskd/workspace"


class MovedMeanwhile(Branch):
    """A branch that somebody moves at the worst moment: when the commit is written, before the ref is."""

    def __init__(self, git: Git, move: Callable[[], object]) -> None:
        """Call `move` once between the two processes."""
        super().__init__(git)
        self.move = move

    def _write_commit(
        self,
        head: bytes,
        parent: str | None,
        files: Mapping[str, bytes | None],
        *,
        clear: bool,
        joining: Joining | None = None,
    ) -> str:
        written = super()._write_commit(head, parent, files, clear=clear, joining=joining)
        self.move()
        return written


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("how", ["ahead", "back", "away", "aside"])
def test_a_move_between_read_and_swap(
    branch: Branch, repository: Path, git: RunGit, how: str, publish: Publish, *, rebuild: bool
) -> None:
    """Committed to, reset, deleted or replaced at the last moment: what is there then stays there."""
    first = publish(branch, {"a": b"1"})
    second = publish(branch, {"a": b"2"}, first)
    aside = git(repository, "rev-parse", "HEAD").strip()
    moves: dict[str, Callable[[], object]] = {
        "ahead": lambda: publish(branch, {"a": b"3"}, second),
        "back": lambda: git(repository, "update-ref", REF, first),
        "away": lambda: git(repository, "update-ref", "-d", REF),
        "aside": lambda: git(repository, "update-ref", REF, aside),
    }
    seen: list[str | None] = []

    def move() -> None:
        moves[how]()
        seen.append(branch.tip())

    with pytest.raises(BranchMoved):
        publish(MovedMeanwhile(branch.git, move), {"b": b"mine"}, second, rebuild=rebuild)

    assert [branch.tip()] == seen != [second]


def test_a_branch_that_appears_meanwhile(branch: Branch, publish: Publish) -> None:
    """Of two first commits one is the first, and the other is told."""
    with pytest.raises(BranchMoved):
        publish(MovedMeanwhile(branch.git, lambda: publish(branch, {"a": b"1"})), {"b": b"2"})

    assert set(branch.files()) == {"a"}


def test_a_repack_between_write_and_swap(
    branch: Branch,
    repository: Path,
    git: RunGit,
    publish: Publish,
    contents: Contents,
    is_sound: IsSound,
) -> None:
    """`git gc --prune=now` at the worst moment takes the new commit: said so, and the next try succeeds."""
    tip = publish(branch, {"a": b"1"})
    unlucky = MovedMeanwhile(branch.git, lambda: git(repository, "gc", "-q", "--prune=now"))

    with pytest.raises(GitFailed, match="nonexistent object"):
        publish(unlucky, {"a": b"2"}, tip)
    publish(branch, {"a": b"2"}, tip)

    assert contents(repository) == {"a": "2"}
    assert is_sound(repository)


PUBLISHER = """
import pathlib, sys
from datetime import UTC, datetime
from taskd.errors import BranchMoved
from taskd.repo.branch import Branch
from taskd.repo.commits import Joining
from taskd.repo.git import Git
top, name, rounds = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
lost = 0
with Git(top) as door:
    branch = Branch(door)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(rounds):
        while True:
            try:
                changes = {f"{name}.md": b"%d" % number, f"{name}/{number}.md": b"x"}
                now = datetime.now(UTC)
                branch.publish(changes, f"{name} {number}", expect=branch.tip(), author=name, when=now)
                break
            except BranchMoved:
                lost += 1
print(lost)
"""


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own that finds taskd."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_two_processes_publish_at_once(repository: Path, git: RunGit, branch: Branch) -> None:
    """S-17: with a retry after BranchMoved no update is lost, and every commit is in the history."""
    racers = [start_python(PUBLISHER, repository, name, 12) for name in ("one", "two", "three")]
    for racer in racers:
        assert racer.stdout is not None
        racer.stdout.readline()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    moved = [int(racer.communicate(timeout=60)[0]) for racer in racers]

    subjects = git(repository, "log", "--format=%s", "--first-parent", REF).splitlines()
    assert sorted(subjects) == sorted(f"{name} {n}" for name in ("one", "two", "three") for n in range(12))
    assert len(branch.files()) == 3 * 13
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert sum(moved) > 0


def footprint(top: Path, git: RunGit) -> dict[str, object]:
    """Everything of a user's repository that has to stay as it is."""
    git_dir = Path(git(top, "rev-parse", "--absolute-git-dir").strip())
    own = {"index", "HEAD", "ORIG_HEAD", "MERGE_HEAD", "config", "COMMIT_EDITMSG", "index.lock"}
    return {
        "status": git(top, "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--ignored"),
        "stash": git(top, "stash", "list"),
        "refs": [line for line in git(top, "for-each-ref").splitlines() if REF not in line],
        "entries": {path.name for path in git_dir.iterdir()} - {"logs", "taskd"},
        "bytes": {name: (git_dir / name).read_bytes() for name in own if (git_dir / name).is_file()},
        "files": {path.name: path.stat().st_mtime_ns for path in top.iterdir() if path.name != ".git"},
    }


@pytest.fixture
def busy(repository: Path, git: RunGit) -> Iterator[Path]:
    """A worktree in use: a merge half-way, staged, unstaged, untracked and stashed changes, a held index."""
    for branch, text in (("other", "other\n"), ("main", "main\n")):
        git(repository, "checkout", "-q", "-B", branch, "main")
        (repository / "README.md").write_text(text)
        git(repository, "commit", "-q", "-a", "-m", branch)
    (repository / "README.md").write_text("stashed\n")
    git(repository, "stash")
    git(repository, "merge", "other", check=False)
    (repository / "staged").write_text("staged")
    git(repository, "add", "staged")
    (repository / "staged").write_text("unstaged")
    (repository / "untracked").touch()
    lock = repository / ".git/index.lock"
    lock.write_bytes(b"held")
    yield repository
    lock.unlink()


def test_a_users_work_is_left_alone(
    busy: Path, hostile: Path, branch: Branch, git: RunGit, publish: Publish
) -> None:
    """S-20: index, HEAD, stash, refs, files and git dir of a worktree in use stay as they were."""
    settings = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": "/dev/null",
    }

    def run(directory: Path, *arguments: str) -> str:
        return git(directory, *arguments, env=settings)

    before = footprint(busy, run)
    hostile.unlink()  # git itself has just run the monitor

    tip = publish(branch, {f"tasks/{number}.md": b"x" for number in range(300)})
    tip = publish(branch, {"tasks/1.md": b"y"}, tip)
    publish(branch, {"tasks/1.md": b"z"}, tip, rebuild=True)
    with pytest.raises(BranchMoved):
        publish(branch, {"tasks/1.md": b"z"}, tip)

    assert not hostile.exists()
    assert footprint(busy, run) == before
    assert before["status"]
    assert before["stash"]


def test_no_ref_but_its_own_is_ever_there(
    branch: Branch, repository: Path, git: RunGit, publish: Publish
) -> None:
    """Also while a commit is being written there is no helper ref in the repository."""
    names: list[str] = []
    spy = MovedMeanwhile(
        branch.git, lambda: names.extend(git(repository, "for-each-ref", "--format=%(refname)").split())
    )

    publish(spy, {"a": b"2"}, publish(branch, {"a": b"1"}))

    assert names == ["refs/heads/main", REF]


KILLED = """
import pathlib, sys
from datetime import UTC, datetime
from taskd.repo.branch import Branch
from taskd.repo.commits import Joining
from taskd.repo.git import Git
door = Git(pathlib.Path(sys.argv[1]))
branch = Branch(door)
number = 0
while True:
    number += 1
    branch.publish({f"{i}.md": b"%d" % number for i in range(50)}, "m",
                   expect=branch.tip(), author="A", when=datetime.now(UTC))
    print(number, flush=True)
"""


def test_killed_at_any_instant(repository: Path, branch: Branch, publish: Publish, is_sound: IsSound) -> None:
    """`kill -9` of the publisher leaves the branch at one whole commit, and nothing else in the git dir."""
    publish(branch, {f"{number}.md": b"0" for number in range(50)})
    entries = {path.name for path in (repository / ".git").iterdir()}
    for instant in range(12):
        victim = start_python(KILLED, repository)
        assert victim.stdout is not None
        victim.stdout.readline()
        time.sleep(0.003 * instant)  # an instant to kill it at, nothing is waited for
        victim.send_signal(signal.SIGKILL)
        victim.communicate()

        values = set(branch.files().values())  # in one look: a git that it started may still be at work
        assert len(values) == 1

    assert {path.name for path in (repository / ".git").iterdir()} == entries
    assert is_sound(repository)


def test_a_hostile_configuration_neither_runs_nor_stops_it(
    hostile: Path, branch: Branch, repository: Path, git: RunGit, publish: Publish, history: History
) -> None:
    """Signing, failing hooks, monitors, editors, no identity: nothing runs, the commit is made, unsigned."""
    tip = publish(branch, {"a": b"1"})
    tip = publish(branch, {"a": b"2"}, tip)
    publish(branch, {"b": b"3"}, tip, rebuild=True)

    assert not hostile.exists()
    assert "gpgsig" not in git(repository, "cat-file", "commit", REF)
    assert len(history(repository)) == 3


def test_a_held_ref_is_a_failure(branch: Branch, repository: Path, publish: Publish) -> None:
    """A ref lock that nobody takes away is named, and the branch stays."""
    tip = publish(branch, {"a": b"1"})
    lock = repository / ".git" / f"{REF}.lock"
    lock.touch()

    with pytest.raises(GitFailed, match="lock"):
        publish(branch, {"a": b"2"}, tip)

    assert branch.tip() == tip
    assert lock.exists()


def test_a_moved_branch_is_not_overwritten(branch: Branch, publish: Publish) -> None:
    """Who has not seen the newest commit is told so, and nothing changes."""
    first = publish(branch, {"a": b"1"})
    second = publish(Branch(branch.git), {"b": b"2"}, first)

    for expect in (first, None, "0" * 40):
        with pytest.raises(BranchMoved):
            publish(branch, {"a": b"3"}, expect)
        with pytest.raises(BranchMoved):
            publish(branch, {"b": b"2"}, expect, rebuild=True)
    assert branch.tip() == second
