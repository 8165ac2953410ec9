"""The workspace branch: what is committed and how it is named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from taskd.errors import BranchMoved
from taskd.repo.branch import Branch
from taskd.repo.git import Git
from taskd.repo.worktrees import list_worktrees, locate

RunGit = Callable[..., str]
Publish = Callable[..., str]
Contents = Callable[[Path], dict[str, str]]
History = Callable[[Path], list[str]]
IsSound = Callable[[Path], bool]
REF = "refs/heads/taskd/workspace"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_the_first_commit_is_a_root(
    branch: Branch,
    repository: Path,
    publish: Publish,
    contents: Contents,
    history: History,
    is_sound: IsSound,
) -> None:
    """The branch begins by itself, with nothing of the user's history in it."""
    assert branch.tip() is None
    assert branch.files() == {}

    tip = publish(branch, {"tasks/a.md": b"A\n", "tasks/sub/b.md": b"B", "BOARD.md": b"", "gone": None})

    assert branch.tip() == tip
    assert history(repository) == [tip]
    assert contents(repository) == {"tasks/a.md": "A\n", "tasks/sub/b.md": "B", "BOARD.md": ""}
    assert is_sound(repository)


def test_changes_build_on_the_tip(
    branch: Branch, repository: Path, publish: Publish, contents: Contents, history: History
) -> None:
    """What is not named stays; None removes, and empty directories go."""
    first = publish(branch, {"tasks/a.md": b"A", "tasks/b.md": b"B", "tasks/sub/c.md": b"C"})

    second = publish(branch, {"tasks/a.md": b"A2", "tasks/sub/c.md": None, "tasks/d.md": b"D"}, first)

    assert history(repository) == [second, first]
    assert contents(repository) == {"tasks/a.md": "A2", "tasks/b.md": "B", "tasks/d.md": "D"}


def test_files_and_bytes_are_read_back(
    branch: Branch, repository: Path, git: RunGit, publish: Publish
) -> None:
    """The listing names blobs by git's own ids, whoever asks."""
    publish(branch, {"tasks/a.md": b"A", "other/b.md": b"\x00\xff"})
    blob = git(repository, "rev-parse", f"{REF}:tasks/a.md").strip()

    for reader in (branch, Branch(branch.git)):
        assert reader.files("tasks/") == {"tasks/a.md": blob}
        assert set(reader.files()) == {"tasks/a.md", "other/b.md"}
        assert [reader.read(path) for path in ("other/b.md", "none", "tasks")] == [b"\x00\xff", None, None]


def test_no_commit_when_nothing_differs(branch: Branch, repository: Path, publish: Publish) -> None:
    """S-27: publishing what is there already writes nothing at all."""
    tip = publish(branch, {"tasks/a.md": b"A", "tasks/b.md": b"B"})
    objects = sorted((repository / ".git").rglob("*"))

    for again in (branch, Branch(branch.git)):
        assert publish(again, {"tasks/a.md": b"A", "none.md": None, "tasks": None}, tip) == tip
        assert publish(again, {}, tip) == tip
        assert publish(again, {"tasks/a.md": b"A", "tasks/b.md": b"B"}, tip, rebuild=True) == tip
    assert sorted((repository / ".git").rglob("*")) == objects


def test_many_commits_in_a_row(
    branch: Branch, repository: Path, git: RunGit, publish: Publish, contents: Contents, history: History
) -> None:
    """Each commit is the child of the one before, and the remembered listing stays true."""
    tip = publish(branch, {f"tasks/{number}.md": b"begin" for number in range(20)})
    for number in range(20):
        tip = publish(branch, {f"tasks/{number}.md": b"%d" % number, f"new/{number}.md": b"x"}, tip)

    assert len(history(repository)) == 21
    assert {
        path: git(repository, "rev-parse", f"{REF}:{path}").strip() for path in branch.files()
    } == branch.files()
    assert set(contents(repository)) == set(branch.files())


def test_a_file_becomes_a_directory_and_back(
    branch: Branch, repository: Path, publish: Publish, contents: Contents
) -> None:
    """A task that makes way for a directory of its name, said or unsaid, leaves no ghost."""
    tip = publish(branch, {"tasks/x": b"file", "y": b"y"})
    for changes in (
        {"tasks/x/a.md": b"in", "tasks/x": None},
        {"tasks/x/a.md": None, "tasks/x": b"file"},
        {"tasks/x/b/c.md": b"unsaid"},
        {"tasks": b"unsaid"},
        {"tasks/a.md": b"A"},
    ):
        tip = publish(branch, changes, tip)
        assert set(contents(repository)) == set(branch.files())

    assert contents(repository) == {"tasks/a.md": "A", "y": "y"}


@pytest.mark.parametrize(
    "text",
    [
        "-rf --help",
        "$(touch pwned) `touch pwned`; touch pwned",
        "quotes \" ' \\",
        "two\nlines\n\nTask: forged\ndata 5\nreset refs/heads/main\n",
        "<nobody@nowhere> 0 +0000",
        "nul\0 and no text \udcff and ünicode 🦀",
        "",
        "\n",
        "a" * 100_000,
    ],
)
def test_hostile_names_and_messages(
    branch: Branch, repository: Path, git: RunGit, text: str, is_sound: IsSound
) -> None:
    """S-25: whatever a title or a participant is called, it is text in one commit and nothing else."""
    before = git(repository, "rev-parse", "main")

    tip = branch.publish({"a.md": b"x"}, text, expect=None, author=text, when=NOON)

    raw = git(repository, "cat-file", "commit", tip)
    headers, _, message = raw.partition("\n\n")
    assert [line.split(" ")[0] for line in headers.splitlines()] == ["tree", "author", "committer"]
    assert message.rstrip("\n") == text.replace("\0", "\ufffd").replace("\udcff", "?").rstrip("\n")
    assert git(repository, "log", "-1", "--format=%ae %cn %ce %at", tip).split() == [
        "taskd@localhost",
        "taskd",
        "taskd@localhost",
        str(int(NOON.timestamp())),
    ]
    assert git(repository, "rev-parse", "main") == before
    assert not list(repository.rglob("pwned"))
    assert is_sound(repository)


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        ("Alice", "Alice"),
        ("Zoë 🦀 O'Neil", "Zoë 🦀 O'Neil"),
        ("agent\n7 <a@b>\t.", "agent 7 a@b"),
        ("  ", "unknown"),
        ("<>", "unknown"),
        ("-n", "-n"),
    ],
)
def test_authors_are_named(branch: Branch, repository: Path, git: RunGit, author: str, expected: str) -> None:
    """The author of a commit is who did it, as far as git can write the name."""
    branch.publish({"a.md": b"x"}, "m", expect=None, author=author, when=NOON)

    assert git(repository, "log", "-1", "--format=%an", REF).strip() == expected


def test_times_are_kept(branch: Branch, repository: Path, git: RunGit) -> None:
    """A time from any zone is the same moment; one before 1970 becomes 1970; one without zone is refused."""
    late = NOON.astimezone(timezone(timedelta(hours=-9)))
    tip = branch.publish({"a": b"1"}, "m", expect=None, author="A", when=late)
    branch.publish({"a": b"2"}, "m", expect=tip, author="A", when=NOON.replace(year=1960))

    assert git(repository, "log", "--format=%at", REF).split() == ["0", str(int(NOON.timestamp()))]
    with pytest.raises(ValueError, match="time zone"):
        branch.publish({"a": b"3"}, "m", expect=tip, author="A", when=NOON.replace(tzinfo=None))


ODD = [
    "sp ace.md",
    'qu"ote.md',
    "back\\slash.md",
    "line\nbreak.md",
    "tab\t.md",
    "ünï 🦀.md",
    "\udcff\udcfe.md",
    "-x",
    "*?[",
    "\x7f\x01",
]


def test_odd_paths(branch: Branch, repository: Path, publish: Publish, contents: Contents) -> None:
    """Every name that a file can have is written, read, changed and removed under that name."""
    texts = {f"tasks/{name}": os.fsencode(name) for name in ODD}
    tip = publish(branch, texts)
    assert {path: Branch(branch.git).read(path) for path in texts} == texts
    assert set(contents(repository)) == set(texts) == set(branch.files())

    tip = publish(branch, dict.fromkeys(texts, b"changed"), tip)
    publish(branch, dict.fromkeys(texts), tip)

    assert contents(repository) == {} == branch.files()


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "../a", "a/./b", ".git/config", "a/.GIT/x", "a\0b"])
def test_paths_that_git_does_not_take(branch: Branch, path: str, publish: Publish) -> None:
    """A path that leads out of the tree, or into a git dir once checked out, is refused before anything."""
    with pytest.raises(ValueError, match="no such path"):
        publish(branch, {path: b"x", "good": b"y"})

    assert branch.tip() is None


def test_names_that_differ_in_case(
    branch: Branch, repository: Path, git: RunGit, publish: Publish, contents: Contents
) -> None:
    """Two names are two files, also where the user's disk would not tell them apart."""
    git(repository, "config", "core.ignoreCase", "true")
    tip = publish(branch, {"tasks/A.md": b"A"})

    publish(branch, {"tasks/a.md": b"a"}, tip)

    assert contents(repository) == {"tasks/A.md": "A", "tasks/a.md": "a"}


def test_packed_refs(
    branch: Branch, repository: Path, git: RunGit, publish: Publish, contents: Contents
) -> None:
    """Refs that git has packed are read and moved like others."""
    tip = publish(branch, {"a": b"1"})
    git(repository, "pack-refs", "--all", "--prune")
    assert branch.tip() == tip

    tip = publish(branch, {"a": b"2"}, tip)

    assert [branch.tip(), contents(repository)] == [tip, {"a": "2"}]


def test_gc_between_commits(
    branch: Branch, repository: Path, git: RunGit, publish: Publish, contents: Contents, is_sound: IsSound
) -> None:
    """`git gc --prune=now` between any two steps takes nothing away."""
    tip = publish(branch, {f"{number}": b"%d" % number for number in range(200)})
    for number in range(4):
        git(repository, "gc", "-q", "--prune=now")
        tip = publish(branch, {"0": b"round %d" % number, f"new{number}": b"x"}, tip)
        assert branch.read("0") == b"round %d" % number

    assert is_sound(repository)
    assert len(contents(repository)) == 204


def test_sha256(tmp_path: Path, git: RunGit, publish: Publish, contents: Contents) -> None:
    """Repositories with the longer hash work the same, the silence included."""
    git(tmp_path, "init", "-q", "--object-format=sha256", "repo")
    with Git(tmp_path / "repo") as door:
        branch = Branch(door)
        first = publish(branch, {"a": b"1", "b": b"2"})
        second = publish(branch, {"a": b"2"}, first)

        assert len(second) == 64
        assert publish(branch, {"a": b"2"}, second) == second
        assert branch.files()["b"] == hashlib.sha256(b"blob 1\x002").hexdigest()
        with pytest.raises(BranchMoved):
            publish(branch, {"a": b"3"}, first)
        assert publish(branch, {"a": b"4"}, second, rebuild=True) != second
        assert contents(tmp_path / "repo") == {"a": "4"}


@pytest.mark.parametrize("state", ["detached", "unborn", "bare", "linked", "subdirectory"])
def test_wherever_it_is_called(
    make_repo: Callable[..., Path],
    git: RunGit,
    state: str,
    publish: Publish,
    contents: Contents,
    history: History,
) -> None:
    """S-24: detached and unborn heads, bare repositories, linked worktrees, subdirectories."""
    top = make_repo(commit=state != "unborn")
    place = {
        "linked": top.parent / "linked",
        "subdirectory": top / "sub",
        "bare": top.parent / "bare.git",
    }.get(state, top)
    if state == "detached":
        git(top, "checkout", "-q", "--detach")
    elif state == "linked":
        git(top, "worktree", "add", "-q", place)
    elif state == "subdirectory":
        place.mkdir()
    elif state == "bare":
        git(top.parent, "init", "-q", "--bare", place)
    with Git(place) as door:
        branch = Branch(door)
        publish(branch, {"a": b"2"}, publish(branch, {"a": b"1"}))

    seen_from = top if state == "subdirectory" else place
    assert contents(seen_from) == {"a": "2"}
    assert len(history(seen_from)) == 2


def test_few_files_stay_loose_and_many_are_packed(
    branch: Branch, repository: Path, git: RunGit, publish: Publish
) -> None:
    """A day of small commits makes no heap of packs, and a first commit no heap of files."""
    git(repository, "config", "fastimport.unpackLimit", "1")

    def counted() -> dict[str, int]:
        lines = git(repository, "count-objects", "-v").splitlines()
        return {name: int(number) for name, number in (line.split(": ") for line in lines)}

    before = counted()
    tip = publish(branch, {f"{number}": b"%d" % number for number in range(500)})
    first = counted()
    for number in range(5):
        tip = publish(branch, {"0": b"round %d" % number}, tip)
    after = counted()

    assert [first[key] - before[key] for key in ("count", "packs", "in-pack")] == [0, 1, 502]
    assert [after[key] - first[key] for key in ("count", "packs")] == [5 * 3, 0]


def test_worktrees_that_have_it_checked_out(
    branch: Branch, repository: Path, git: RunGit, tmp_path: Path, publish: Publish
) -> None:
    """Who looks at the branch in a worktree, or is rebasing it, is found."""
    tip = publish(branch, {"a": b"2"}, publish(branch, {"a": b"1"}))
    git(repository, "worktree", "add", "-q", tmp_path / "looking", "taskd/workspace")
    git(repository, "worktree", "add", "-q", "--detach", tmp_path / "elsewhere", tip)

    def found() -> list[str]:
        return [tree.key for tree in branch.checked_out_in(list_worktrees(branch.git, locate(repository)[0]))]

    assert found() == ["looking"]
    git(
        tmp_path / "looking",
        "-c",
        "sequence.editor=sed -i -e 's/^pick/edit/'",
        "rebase",
        "-q",
        "-i",
        "--root",
    )
    assert locate(tmp_path / "looking")[1].branch is None  # type: ignore[union-attr] # it is a worktree
    assert found() == ["looking"]
    git(repository, "worktree", "remove", "--force", tmp_path / "looking")
    assert found() == []


def test_another_branch_by_another_name(door: Git, repository: Path, git: RunGit, publish: Publish) -> None:
    """The name of the branch is the user's choice; one that begins alike is not mistaken for it."""
    git(repository, "branch", "tasks/live/old")
    mine = Branch(door, "refs/heads/tasks/liv")

    tip = publish(mine, {"a": b"1"})

    assert [mine.tip(), Branch(door, "refs/heads/tasks/live").tip(), Branch(door).tip()] == [tip, None, None]


def test_the_log_of_the_branch_is_kept(
    branch: Branch, repository: Path, git: RunGit, publish: Publish
) -> None:
    """Every place where the branch has been is in its reflog, under taskd's name."""
    tip = publish(branch, {"a": b"1"})
    publish(branch, {"a": b"2"}, tip)

    lines = git(repository, "reflog", "show", "--format=%gn <%ge> %gs", REF).splitlines()

    assert lines == ["taskd <taskd@localhost> taskd: publish"] * 2
