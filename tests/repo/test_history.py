"""What git did in a worktree, told by real git: heads, reflogs, trees, indexes, filters and histories."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from taskd.repo.git import Git
from taskd.repo.history import REFLOG_LIMIT, History, Move
from taskd.repo.worktrees import Worktree, list_worktrees, locate

RunGit = Callable[..., str]
FILE = "tasks/a.md"


class Case:
    """A repository with one committed task file, and its history as taskd asks for it."""

    def __init__(self, top: Path, git: RunGit, stack: ExitStack) -> None:
        """Open the door to git in the common dir, as taskd does."""
        self.top, self.git = top, git
        self.repository = locate(top)[0]
        self.door = stack.enter_context(Git(self.repository.common_dir))
        self.history = History(self.door, "tasks")

    def run(self, *arguments: object, at: Path | None = None) -> str:
        """A git command in a worktree, the main one unless named."""
        return self.git(at or self.top, *arguments).strip()

    def tree(self, key: str = "main") -> Worktree:
        """A worktree as it is on record."""
        return next(tree for tree in list_worktrees(self.door, self.repository) if tree.key == key)

    def commit(self, text: str, path: str = FILE, at: Path | None = None, *how: str) -> str:
        """Save a file and commit it; the commit."""
        file = (at or self.top) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.run("add", "-A", at=at)
        self.run("commit", "-q", "-m", text.strip() or "empty", *how, at=at)
        return self.rev(at=at)

    def rev(self, what: str = "HEAD", at: Path | None = None) -> str:
        """The id of an object."""
        return self.run("rev-parse", what, at=at)

    def blob(self, text: str) -> str:
        """The id a text has as a blob."""
        return self.git(self.top, "hash-object", "--stdin", input=text).strip()

    def said(self, key: str = "main") -> list[str]:
        """What each move since the first two was, without what follows the colon."""
        return [re.split(r"[:(]", move.what)[0].strip() for move in self.history.moves(self.tree(key))]


@pytest.fixture
def open_case(git: RunGit) -> Iterator[Callable[[Path], Case]]:
    """`open_case(top)`: the history of a repository, closed afterwards."""
    with ExitStack() as stack:
        yield lambda top: Case(top, git, stack)


@pytest.fixture
def case(make_repo: Callable[..., Path], open_case: Callable[[Path], Case]) -> Case:
    """A repository with one task file that says `one`."""
    return open_case(make_repo(files={FILE: "one\n", "README.md": "hello\n"}))


# -- heads


def test_heads_of_worktrees(case: Case, tmp_path: Path) -> None:
    """Each worktree stands on a commit of its own, on a branch or detached, under any name."""
    first = case.rev()
    case.commit("two\n")
    case.run("worktree", "add", "-q", "-b", "topic", tmp_path / "on a branch", first)
    case.run("worktree", "add", "-q", "--detach", tmp_path / "détaché", first)
    trees = list_worktrees(case.door, case.repository)

    assert [case.history.head(tree) for tree in trees] == [case.rev(), first, first]


def test_a_head_that_moves_while_it_is_asked_for(case: Case) -> None:
    """The reader stays open, and sees each new commit at once."""
    for text in ("two\n", "three\n"):
        assert case.history.head(case.tree()) == case.rev()
        case.commit(text)
    assert case.history.head(case.tree()) == case.rev()


def test_before_the_first_commit(make_repo: Callable[..., Path], open_case: Callable[[Path], Case]) -> None:
    """An unborn branch has no head and no moves, and nothing fails."""
    case = open_case(make_repo(commit=False))

    assert (case.history.head(case.tree()), case.history.moves(case.tree())) == (None, ())
    assert (case.history.staged(case.tree()), case.history.left_out(case.tree())) == ({}, frozenset())


# -- moves


def test_commits_are_moves_by_hand(case: Case) -> None:
    """The first commit, later ones and amended ones are this worktree's own hand."""
    commits = [case.rev(), case.commit("two\n"), case.commit("three\n", FILE, None, "--amend")]

    moves = case.history.moves(case.tree())
    assert [(move.commit, move.by_hand) for move in moves] == [(commit, True) for commit in commits]
    assert [move.is_first for move in moves] == [True, False, False]


@pytest.mark.parametrize(
    ("commands", "forward"),
    [
        (["merge -q topic"], True),
        (["merge -q --no-edit --no-ff topic"], True),
        (["pull -q --no-rebase . topic"], True),
        (["cherry-pick topic"], True),
        (["revert --no-edit HEAD"], True),
        (["switch -q topic"], False),
        (["switch -q --detach topic"], False),
        (["reset -q --hard topic"], False),
        (["rebase -q topic"], False),
    ],
)
def test_all_other_moves_are_gits(case: Case, commands: list[str], *, forward: bool) -> None:
    """What merges, pulls, switches, resets and rebases bring was not typed here."""
    case.run("switch", "-q", "-c", "topic")
    case.commit("topic\n", "tasks/topic.md")
    case.run("switch", "-q", "main")
    before = len(case.history.moves(case.tree()))
    for command in commands:
        case.run(*command.split())

    since = case.history.moves(case.tree())[before:]
    assert ([move.by_hand for move in since], since[-1].commit) == ([False] * len(since), case.rev())
    assert all(move.is_forward for move in since) is forward


@pytest.mark.parametrize("how", [["rebase", "-q", "topic"], ["pull", "-q", "--rebase", ".", "topic"]])
def test_replayed_commits_are_gits(case: Case, how: list[str]) -> None:
    """Commits that a rebase replays are not new work on the branch: the old head is not behind them."""
    case.run("switch", "-q", "-c", "topic")
    case.commit("topic\n", "tasks/topic.md")
    case.run("switch", "-q", "main")
    old = case.commit("here\n", "tasks/here.md")
    before = len(case.history.moves(case.tree()))
    case.run(*how)

    since = case.history.moves(case.tree())[before:]
    assert ([move.by_hand for move in since], since[-1].commit) == ([False] * len(since), case.rev())
    assert case.history.is_ancestor(old, case.rev()) is False


def test_the_end_of_a_merge_is_no_hand(case: Case) -> None:
    """A merge that was resolved is recorded as `commit (merge)`: most of what it brings is others'."""
    case.run("switch", "-q", "-c", "topic")
    case.commit("topic\n")
    case.run("switch", "-q", "main")
    case.commit("here\n")
    case.git(case.top, "merge", "topic", check=False)
    case.commit("both\n")

    last = case.history.moves(case.tree())[-1]
    assert (last.commit, last.by_hand, last.is_forward) == (case.rev(), False, True)


def test_a_worktree_without_reflog(case: Case) -> None:
    """Where no reflog is kept there are no moves, whatever was committed."""
    case.run("config", "core.logAllRefUpdates", "false")
    shutil.rmtree(case.top / ".git/logs")
    case.commit("two\n")

    assert case.history.moves(case.tree()) == ()


def test_moves_of_a_new_worktree(case: Case, tmp_path: Path) -> None:
    """A new worktree's reflog is its own; that git filled it is no hand's work."""
    case.commit("two\n")
    case.run("worktree", "add", "-q", "-b", "topic", tmp_path / "topic")
    made = case.history.moves(case.tree("topic"))
    mine = case.commit("three\n", FILE, tmp_path / "topic")

    assert (made[-1].commit, any(move.by_hand for move in made)) == (case.rev(), False)
    assert case.history.moves(case.tree("topic"))[-1] == Move(mine, "commit: three")
    assert mine not in [move.commit for move in case.history.moves(case.tree())]


def test_a_reflog_of_many_moves(case: Case) -> None:
    """Only so many of the newest are looked at: who did more was away for long."""
    log = case.top / ".git/logs/HEAD"
    entry = log.read_text().splitlines()[-1].partition("\t")[0].split(" ", 2)
    lines = [f"{case.rev()} {case.rev()} {entry[2]}\tcommit: {n}\n" for n in range(REFLOG_LIMIT + 5)]
    log.write_text("".join(lines))

    moves = case.history.moves(case.tree())
    assert (len(moves), moves[-1].what) == (REFLOG_LIMIT, f"commit: {REFLOG_LIMIT + 4}")


# -- trees and indexes


def test_a_tree_has_only_the_tasks(case: Case) -> None:
    """Every path below the tasks directory, whatever its name, with its blob; nothing else."""
    names = ["tasks/with blank.md", "tasks/ünï/日本.md", 'tasks/"quoted".md', "tasks/new\nline.md"]
    for name in names:
        case.commit(name, name)

    assert case.history.tree(case.rev()) == {
        "a.md": case.blob("one\n"),
        **{name.removeprefix("tasks/"): case.blob(name) for name in names},
    }


def test_a_name_that_is_no_text(case: Case) -> None:
    """Bytes of a name that are no UTF-8 come back as Python decodes file names."""
    name = os.fsdecode(b"\xff\xfe.md")
    try:
        case.commit("odd\n", f"tasks/{name}")
    except OSError:
        pytest.skip("this file system takes no such name")

    assert case.history.tree(case.rev())[name] == case.blob("odd\n")


def test_a_tree_without_tasks(case: Case) -> None:
    """A commit in which the directory does not exist has no files, and that is no error."""
    case.run("rm", "-q", "-r", "tasks")
    case.run("commit", "-q", "-m", "gone")

    assert (case.history.tree(case.rev()), case.history.staged(case.tree())) == ({}, {})


def test_tasks_at_the_top(case: Case) -> None:
    """The tasks directory may be the repository's top."""
    history = History(case.door, ".")

    assert set(history.tree(case.rev())) == {FILE, "README.md"}
    assert history.staged(case.tree()) == history.tree(case.rev())
    assert history.texts(case.tree(), history.tree(case.rev())) == {FILE: b"one\n", "README.md": b"hello\n"}


def test_what_is_staged(case: Case) -> None:
    """The index has what was added, and None for what waits to be merged."""
    case.commit("before\n", "tasks/c.md")
    case.run("switch", "-q", "-c", "topic")
    case.commit("topic\n")
    case.run("switch", "-q", "main")
    case.commit("here\n")
    case.git(case.top, "merge", "topic", check=False)
    (case.top / "tasks/b.md").write_text("new\n")
    case.run("add", "tasks/b.md")

    assert case.history.under_way(case.tree()) == "merge"
    assert case.history.staged(case.tree()) == {
        "a.md": None,
        "b.md": case.blob("new\n"),
        "c.md": case.blob("before\n"),
    }


@pytest.mark.parametrize("index", [[], ["--sparse-index"]])
def test_a_sparse_checkout_leaves_out(case: Case, index: list[str]) -> None:
    """Files that a sparse checkout keeps away are told apart from those that somebody removed."""
    case.commit("two\n", "tasks/deep/b.md")
    assert case.history.left_out(case.tree()) == frozenset()
    case.run("sparse-checkout", "set", "--cone", *index, "tasks/other")
    (case.top / FILE).unlink()

    assert case.history.left_out(case.tree()) == {"deep/b.md"}
    assert "deep/b.md" in case.history.staged(case.tree())


def test_whether_a_commit_has_a_file(case: Case) -> None:
    """A path is in a commit or not; in one that was pruned it is not."""
    first = case.rev()
    second = case.commit("two\n", "tasks/new\nline.md")

    asked = [(c, p) for c in (first, second, "1" * 40) for p in ("a.md", "new\nline.md")]
    assert [case.history.has_file(*pair) for pair in asked] == [True, False, True, True, False, False]


def test_what_is_stashed(case: Case) -> None:
    """Each stash, newest first, with the commits that have the files it took."""
    assert case.history.stashes() == ()
    for text in ("edited", "new"):
        (case.top / "tasks" / f"{text}.md").write_text(text)
        (case.top / FILE).write_text(text)
        case.run("stash", "-q", "--include-untracked" if text == "new" else "--all")
    (case.top / FILE).write_text("last")
    case.run("stash", "-q")

    stashes = case.history.stashes()
    assert [len(commits) for _, commits in stashes] == [1, 2, 2]
    assert [case.history.has_file(commits[-1], "new.md") for _, commits in stashes] == [False, True, False]
    assert all(abs(when - time.time()) < 600 for when, _ in stashes)
    case.run("stash", "drop", "-q")
    assert len(case.history.stashes()) == 2


@pytest.mark.parametrize("how", ["push", "pop", "drop", "apply"])
def test_when_stashes_were_changed(case: Case, how: str) -> None:
    """To make, pop or drop a stash is noticed, whatever else is stashed; to apply one leaves no sign."""
    for text in ("one", "two", "three"):
        (case.top / FILE).write_text(text)
        case.run("stash", "-q")
    before = case.history.last_stash_ns()
    file = case.top / FILE
    while time.clock_gettime_ns(time.CLOCK_REALTIME) <= before + 10**7:
        time.sleep(0.001)
    file.write_text("four" if how == "push" else file.read_text())
    case.run("stash", how, "-q")

    assert (case.history.last_stash_ns() > before) is (how != "apply")
    assert case.history.last_stash_ns() >= file.stat().st_ctime_ns or how != "pop"


def test_how_many_moves_there_were(case: Case, tmp_path: Path) -> None:
    """Each entry of a worktree's own reflog counts; where none is kept there is no number."""
    case.run("worktree", "add", "-q", "-b", "alpha", tmp_path / "alpha")
    first = [case.history.count_moves(case.tree(key)) for key in ("main", "alpha")]
    case.commit("more")
    case.run("reset", "-q", "--hard", "HEAD~1")
    later = [case.history.count_moves(case.tree(key)) for key in ("main", "alpha")]
    (case.repository.common_dir / "logs" / "HEAD").unlink()

    assert (first[0] or 0) + 2 == later[0]
    assert first[1] == later[1]
    assert case.history.count_moves(case.tree()) is None


# -- texts


def test_texts_that_git_has(case: Case) -> None:
    """What was ever added is git's, with whatever line ends; what only stands in a file is not."""
    case.commit("one\ntwo\n")
    (case.top / FILE).write_text("typed\n")
    case.run("status")
    tree = case.tree()

    has = [case.history.has_text(tree, text) for text in (b"one\ntwo\n", b"one\r\ntwo\r\n", b"typed\n")]
    assert has == [True, True, False]
    case.run("config", "filter.odd.smudge", "cat")
    assert case.history.has_text(tree, b"typed\n")


def test_texts_as_git_would_write_them(case: Case) -> None:
    """A blob's text at a path is what a checkout writes there, also where a name has blanks in it."""
    case.commit("two  \n", "tasks/with  blank ü.md")
    case.commit("no end", "tasks/no-end.md")
    case.commit("", "tasks/empty.md")
    case.commit("like an answer\nend-1 missing\n0 blob 0\n", "tasks/odd.md")
    blobs = case.history.tree(case.rev())

    assert case.history.texts(case.tree(), blobs) == {
        path: (case.top / "tasks" / path).read_bytes() for path in blobs
    }
    assert len(blobs) == 5


def test_a_text_under_a_name_of_two_lines(case: Case) -> None:
    """A line break in a name, which git's protocol cannot carry, is no hindrance."""
    case.commit("two\n", "tasks/new\nline.md")
    blobs = case.history.tree(case.rev())

    assert case.history.texts(case.tree(), blobs) == {"a.md": b"one\n", "new\nline.md": b"two\n"}


def test_no_texts_are_asked_for(case: Case) -> None:
    """Nothing to ask is nothing to wait for."""
    assert case.history.texts(case.tree(), {}) == {}


def test_a_blob_that_is_not_there(case: Case) -> None:
    """An object that was pruned is left out, the others are told."""
    blobs = {"a.md": "1" * 40, "b.md": case.blob("one\n"), "new\nline.md": "2" * 40}

    assert case.history.texts(case.tree(), blobs) == {"b.md": b"one\n"}


@pytest.mark.parametrize(
    ("rule", "text", "written"),
    [
        ("text eol=crlf", b"one\n", b"one\r\n"),
        ("ident", b"$Id$\n", None),
        ("working-tree-encoding=UTF-16LE", b"one\n", "one\n".encode("utf-16-le")),
    ],
)
def test_texts_through_filters(case: Case, rule: str, text: bytes, written: bytes | None) -> None:
    """What attributes make of a text on its way to the disk is in it, as it is in the file."""
    (case.top / ".gitattributes").write_text(f"*.md {rule}\n")
    (case.top / FILE).write_bytes(text)
    case.run("rm", "-q", "--cached", FILE)
    case.door.run(
        "-C", str(case.top), "update-index", "--add", "--cacheinfo", f"100644,{_put(case, text)},{FILE}"
    )
    case.run("add", ".gitattributes")
    case.run("commit", "-q", "-m", "filter")
    (case.top / FILE).unlink()
    case.run("checkout", "-q", "--", FILE)

    found = case.history.texts(case.tree(), case.history.tree(case.rev()))
    assert found == {"a.md": (case.top / FILE).read_bytes()}
    assert found["a.md"] == written or (written is None and found["a.md"] != text)


def test_no_filter_of_the_configuration_is_run(case: Case, tmp_path: Path) -> None:
    """A program that the configuration names as a filter is not started to learn what git would write."""
    trace = tmp_path / "ran"
    for key in ("smudge", "process"):
        case.run("config", f"filter.shout.{key}", f"touch '{trace}'; tr a-z A-Z")
    case.run("config", "filter.shout.required", "true")
    (case.top / ".gitattributes").write_text("*.md filter=shout\n")

    found = case.history.texts(case.tree(), case.history.tree(case.rev()))
    assert (found, trace.exists()) == ({"a.md": b"one\n"}, False)


def _put(case: Case, text: bytes) -> str:
    return case.door.run("hash-object", "-w", "--stdin", stdin=text).stdout.decode().strip()


def test_a_text_that_is_its_blob(case: Case) -> None:
    """Whether a text is a blob as it stands is told without asking git."""
    assert case.history.is_blob(b"one\n", case.blob("one\n"))
    assert not case.history.is_blob(b"one", case.blob("one\n"))


# -- histories


def test_versions_of_a_path(case: Case) -> None:
    """Every text a path had, newest first, also from before it was removed and made again."""
    case.commit("two\n")
    case.run("rm", "-q", FILE)
    case.run("commit", "-q", "-m", "gone")
    case.commit("three\n")
    case.commit("other\n", "tasks/b.md")

    found = list(dict.fromkeys(case.history.versions(case.rev(), "a.md")))
    assert found == [case.blob(text) for text in ("three\n", "two\n", "one\n")]


@pytest.mark.parametrize("config", [[], ["log.diffMerges", "combined"], ["log.diffMerges", "off"]])
def test_versions_through_a_merge(case: Case, config: list[str]) -> None:
    """The line of the branch comes first, what was merged into it after, however merges are shown."""
    if config:
        case.run("config", *config)
    case.run("switch", "-q", "-c", "topic")
    case.commit("topic\n")
    case.run("switch", "-q", "main")
    case.commit("here\n")
    case.git(case.top, "merge", "topic", check=False)
    case.commit("both\n")

    found = list(dict.fromkeys(case.history.versions(case.rev(), "a.md")))
    assert found == [case.blob(text) for text in ("both\n", "here\n", "one\n", "topic\n")]


def test_versions_of_an_odd_path(case: Case) -> None:
    """A path is a path and no pattern."""
    case.commit("star\n", "tasks/*.md")
    case.commit("magic\n", "tasks/:(glob)b.md")

    assert list(dict.fromkeys(case.history.versions(case.rev(), "*.md"))) == [case.blob("star\n")]
    assert list(dict.fromkeys(case.history.versions(case.rev(), ":(glob)b.md"))) == [case.blob("magic\n")]
    assert list(case.history.versions(case.rev(), "not-there.md")) == []


def test_where_two_commits_parted(case: Case) -> None:
    """The merge base, and which of two commits came from the other."""
    first = case.rev()
    case.run("switch", "-q", "-c", "topic")
    topic = case.commit("topic\n")
    case.run("switch", "-q", "main")
    here = case.commit("here\n")

    assert case.history.merge_base(topic, here) == first
    assert [case.history.is_ancestor(first, here), case.history.is_ancestor(topic, here)] == [True, False]


def test_histories_with_nothing_in_common(case: Case) -> None:
    """An orphan branch parted nowhere, and a commit that was pruned is nobody's ancestor."""
    here = case.rev()
    case.run("switch", "-q", "--orphan", "other")
    other = case.commit("other\n")

    assert (case.history.merge_base(here, other), case.history.merge_base(here, "1" * 40)) == (None, None)
    assert case.history.is_ancestor("1" * 40, here) is False


# -- repositories of every kind


def test_a_repository_with_sha256(git: RunGit, tmp_path: Path, open_case: Callable[[Path], Case]) -> None:
    """Longer object names are names like any other."""
    top = tmp_path / "long"
    git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", top)
    case = open_case(top)
    first, second = case.commit("one\n"), case.commit("two\n")

    assert (len(first), case.history.head(case.tree())) == (64, second)
    assert [move.commit for move in case.history.moves(case.tree())] == [first, second]
    assert case.history.tree(second) == {"a.md": case.blob("two\n")}
    assert case.history.texts(case.tree(), case.history.tree(first)) == {"a.md": b"one\n"}
    assert case.history.is_blob(b"two\n", case.blob("two\n"))
    assert list(dict.fromkeys(case.history.versions(second, "a.md"))) == [
        case.blob("two\n"),
        case.blob("one\n"),
    ]


def test_after_packing_and_pruning(case: Case) -> None:
    """`git gc --prune=now` and packed refs between two questions change no answer."""
    commits = [case.rev(), case.commit("two\n"), case.commit("three\n")]

    def answers() -> tuple[object, ...]:
        trees = [case.history.tree(commit) for commit in commits]
        texts = [case.history.texts(case.tree(), tree) for tree in trees]
        return case.history.head(case.tree()), case.history.moves(case.tree()), trees, texts

    before = answers()
    case.run("pack-refs", "--all")
    case.run("gc", "-q", "--prune=now")

    assert answers() == before


def test_a_commit_that_was_pruned(case: Case) -> None:
    """What nobody can reach any more is gone from the moves as well, and nothing fails."""
    lost = case.commit("two\n")
    case.run("reset", "-q", "--hard", "HEAD~1")
    assert case.history.merge_base(lost, case.rev()) == case.rev()
    case.run("reflog", "expire", "--expire-unreachable=now", "--all")
    case.run("gc", "-q", "--prune=now")

    assert case.history.head(case.tree()) == case.rev()
    assert lost not in [move.commit for move in case.history.moves(case.tree())]
    assert case.history.merge_base(lost, case.rev()) is None


def test_a_shallow_clone(case: Case, git: RunGit, tmp_path: Path, open_case: Callable[[Path], Case]) -> None:
    """History that was not fetched is the end of history."""
    case.commit("two\n")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{case.top}", tmp_path / "shallow")
    shallow = open_case(tmp_path / "shallow")

    assert shallow.history.head(shallow.tree()) == case.rev()
    assert list(dict.fromkeys(shallow.history.versions(case.rev(), "a.md"))) == [case.blob("two\n")]
    assert shallow.history.merge_base(case.rev("HEAD~1"), case.rev()) is None
    assert not any(move.by_hand for move in shallow.history.moves(shallow.tree()))


def test_a_git_dir_elsewhere(git: RunGit, tmp_path: Path, open_case: Callable[[Path], Case]) -> None:
    """A git dir made with --separate-git-dir answers as any other."""
    top = tmp_path / "top"
    git(tmp_path, "init", "-q", "-b", "main", f"--separate-git-dir={tmp_path / 'elsewhere'}", top)
    case = open_case(top)
    first = case.commit("one\n")

    assert case.repository.common_dir == tmp_path.resolve() / "elsewhere"
    assert (case.history.head(case.tree()), case.history.staged(case.tree())) == (
        first,
        case.history.tree(first),
    )
    assert case.history.texts(case.tree(), case.history.tree(first)) == {"a.md": b"one\n"}


# -- when


@pytest.mark.parametrize("key", ["main", "topic"])
@pytest.mark.parametrize(
    "command", ["add -A", "stash -q", "checkout HEAD -- tasks", "restore --source=HEAD -- tasks"]
)
def test_when_the_last_command_ended(case: Case, tmp_path: Path, key: str, command: str) -> None:
    """Each command that writes files ends after the last of them, by the same clock; asking is none."""
    case.run("worktree", "add", "-q", "-b", "topic", tmp_path / "topic")
    top, tree = (tmp_path / "topic" if key == "topic" else case.top), case.tree(key)
    before = case.history.last_command_ns(tree)
    (top / FILE).write_text("typed\n")

    assert (top / FILE).stat().st_ctime_ns >= before
    case.run(*command.split(), at=top)
    ended = case.history.last_command_ns(tree)
    assert ended >= (top / FILE).stat().st_ctime_ns
    case.history.moves(tree)
    case.history.staged(tree)
    case.history.texts(tree, case.history.tree(case.rev()))
    assert case.history.last_command_ns(tree) == ended
