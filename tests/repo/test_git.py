"""The door to git: what it runs, what it refuses, what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskd.errors import GitFailed
from taskd.repo.git import Git, Result, shown

RunGit = Callable[..., str]


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - Path.iterdir() holds one more of its own


def child_count() -> int:
    """How many children this process has, zombies too; this `ps` is not counted."""
    command = ["ps", "-A", "-o", "ppid=,comm="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    pairs = (line.split(None, 1) for line in listed)
    return sum(parent == str(os.getpid()) and name != "ps" for parent, name in pairs)


def program(place: Path, name: str, script: str) -> Path:
    """An executable shell script."""
    place.mkdir(exist_ok=True)
    file = place / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_status_output_and_errors_come_back(door: Git) -> None:
    """A command's status, bytes and complaints are told apart."""
    done = door.run("rev-parse", "--verify", "--quiet", "HEAD:nothing", allow=(0, 1))

    assert done == Result(1, b"", "")


def test_text_takes_one_newline_off(door: Git) -> None:
    """Output is text without the newline that ends it."""
    assert door.text("cat-file", "blob", "HEAD:README.md") == "hello"


def test_a_failure_names_command_status_and_reason(door: Git) -> None:
    """Who reads the error can type the command and see what git said."""
    with pytest.raises(GitFailed) as failure:
        door.run("rev-parse", "--verify", "no such thing")

    assert failure.value.facts["command"] == "rev-parse --verify 'no such thing'"
    assert failure.value.facts["status"] == 128
    assert "Needed a single revision" in str(failure.value.facts["stderr"])


def test_a_missing_directory_never_leads_elsewhere(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command for a directory that is gone fails, and does not run in the one taskd stands in."""
    monkeypatch.chdir(repository)

    with pytest.raises(GitFailed, match="cannot change to"):
        Git(repository / "gone").run("rev-parse", "--show-toplevel")


def test_variables_of_a_hook_do_not_lead_elsewhere(
    repository: Path, make_repo: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started from a git hook, taskd still works in the repository it was told."""
    other = make_repo(tmp_path / "other")
    for name, value in {"GIT_DIR": other / ".git", "GIT_INDEX_FILE": "/none", "GIT_WORK_TREE": other}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")

    with Git(repository) as door:
        assert door.text("rev-parse", "--show-toplevel") == str(repository)


def test_variables_given_to_one_call_arrive(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a caller sets for one command holds, also where the environment had the same name."""
    monkeypatch.setenv("GIT_DIR", "/nonexistent")

    with Git(repository.parent) as door:
        found = door.text("rev-parse", "--absolute-git-dir", env={"GIT_DIR": str(repository / ".git")})

    assert found == str(repository / ".git")


def test_configuration_of_the_user_is_found(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who keeps the configuration elsewhere is understood."""
    config = tmp_path / "config"
    config.write_text("[user]\n\tname = Alice\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))

    with Git(repository) as door:
        assert door.user_name() == "Alice"


def test_a_user_without_name(door: Git) -> None:
    """Who has set no name has none."""
    assert door.user_name() is None


def test_large_input_and_output_pass_through(door: Git) -> None:
    """Megabytes in and out at the same time neither block nor change."""
    paths = [f"tasks/{number:07}.md" for number in range(200_000)]
    listed = "".join(f"{path}\n" for path in paths).encode()

    done = door.run("check-attr", "--stdin", "text", stdin=listed)

    assert done.stdout.count(b"\n") == len(paths)


def test_a_full_temp_dir_is_a_failure_of_the_command(door: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the input of a command cannot be kept, the command has failed, and can be tried again."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")

    with pytest.raises(GitFailed, match="No such file or directory"):
        door.run("hash-object", "--stdin", stdin=b"x")


def test_stdin_is_never_inherited(repository: Path) -> None:
    """A command that reads its input ends at once when there is none, whatever taskd's own input is."""
    code = "import sys, pathlib; from taskd.repo.git import Git\n"
    code += "print(Git(pathlib.Path(sys.argv[1])).run('hash-object', '--stdin').stdout)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(repository)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        assert child.stdout is not None

        assert b"e69de29" in child.stdout.read()


def test_a_timeout_kills_the_whole_group(
    door: Git, tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    """A command that hangs is ended, together with what it started, and said to be."""
    pid = tmp_path / "pid"
    script = program(tmp_path / "bin", "hang", f"sleep 300 & echo $! > '{pid}'; wait")

    with pytest.raises(GitFailed, match="no end after"):
        door.run("-c", f"alias.hang=!'{script}'", "hang", timeout=0.5)

    assert wait_until(lambda: not alive(int(pid.read_text())), what="the grandchild ends")


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_nothing_is_left_after_a_thousand_runs(door: Git) -> None:
    """A daemon of many days runs out of neither descriptors nor processes nor threads."""
    door.objects().blob("HEAD:README.md")
    door.run("version")
    before = open_descriptors(), child_count(), threading.active_count()

    for number in range(1000):
        door.run("version", stdin=b"x" * (number % 2))

    assert (open_descriptors(), child_count(), threading.active_count()) == before


def test_nothing_is_left_after_close(repository: Path) -> None:
    """Closing ends the one process that stays."""
    Git(repository).run("version")
    before = open_descriptors(), child_count()

    for _ in range(3):
        with Git(repository) as door:
            door.objects().blob("HEAD:README.md")

    assert (open_descriptors(), child_count()) == before


def test_nothing_is_left_after_timeouts(door: Git, tmp_path: Path) -> None:
    """Commands that had to be killed leave nothing open either."""
    script = program(tmp_path / "bin", "hang", "sleep 300")
    door.run("version")
    before = open_descriptors(), child_count()

    for _ in range(3):
        with pytest.raises(GitFailed):
            door.run("-c", f"alias.hang=!'{script}'", "hang", timeout=0.1)

    assert (open_descriptors(), child_count()) == before


def test_without_git_the_error_says_so(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without git the reason is in the error."""
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(GitFailed, match="git is not installed"):
        Git(repository).run("version")


def test_without_git_the_first_import_says_so(repository: Path) -> None:
    """Also in a process that has never run git."""
    code = (
        "import sys, pathlib\nfrom taskd.repo.git import Git\nfrom taskd.errors import GitFailed\n"
        "try: Git(pathlib.Path(sys.argv[1])).run('version')\n"
        "except GitFailed as error: print(error)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PATH": "/nonexistent"}
    command = [sys.executable, "-c", code, str(repository)]

    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)

    assert done.stdout == "git version failed (127): git is not installed, or not on the PATH\n"


def test_the_configuration_of_a_repository_runs_nothing(repository: Path, hostile: Path) -> None:
    """Hooks, file system monitors and signing programs that a repository names are not run."""
    with Git(repository) as door:
        door.run("status", "--porcelain")
        door.run("update-ref", "refs/heads/other", "HEAD")
        door.run("read-tree", "HEAD", env={"GIT_INDEX_FILE": str(repository / ".git/other-index")})

    assert not hostile.exists()


def test_reading_takes_no_lock(door: Git, repository: Path) -> None:
    """Looking at the status leaves the index as it is, to the byte and the time."""
    (repository / "README.md").touch()
    before = (repository / ".git/index").stat()

    door.run("status", "--porcelain")

    assert (repository / ".git/index").stat() == before


def test_version_is_a_tuple(door: Git) -> None:
    """Versions can be compared."""
    assert door.version() >= (2, 20)


def test_check_ignored_names_the_excluded(door: Git, repository: Path) -> None:
    """What the exclude rules leave out is told from what a `!` pattern takes in again."""
    (repository / ".git/info/exclude").write_text("/tasks/\n*.tmp\n!keep.tmp\n")
    paths = ["tasks/a.md", "src/b.md", "x\ny.tmp", "keep.tmp", "b\udcff.tmp", ":(top)*.tmp"]

    assert door.check_ignored(paths) == {"tasks/a.md", "x\ny.tmp", "b\udcff.tmp", ":(top)*.tmp"}


def test_check_ignored_of_nothing(door: Git) -> None:
    """No paths, and paths none of which is ignored, give the empty set."""
    assert [door.check_ignored([]), door.check_ignored(["a"])] == [set(), set()]


def test_tracked_lists_the_index_below_the_tasks(door: Git, repository: Path, git: RunGit) -> None:
    """Files that git tracks are named relative to the tasks directory, odd names and removed ones too."""
    names = ["tasks/a.md", "tasks/sub/b c.md", "tasks/ä\n*.md", "tasksnot/c.md", "tasks/untracked.md"]
    for name in names:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("x")
    git(repository, "add", *names[:-1])
    (repository / "tasks/a.md").unlink()

    assert door.tracked(repository, "tasks") == {"a.md", "sub/b c.md", "ä\n*.md"}


def test_tracked_of_another_worktree(door: Git, repository: Path, git: RunGit, tmp_path: Path) -> None:
    """Each worktree has an index of its own."""
    other = tmp_path / "other"
    git(repository, "worktree", "add", "-q", other)
    (other / "tasks").mkdir()
    (other / "tasks/x.md").write_text("x")
    git(other, "add", ".")

    assert [door.tracked(repository, "tasks"), door.tracked(other, "tasks/")] == [frozenset(), {"x.md"}]


def test_tracked_when_the_tasks_are_everything(door: Git, repository: Path) -> None:
    """The top of the worktree can be the tasks directory."""
    assert door.tracked(repository, ".") == {"README.md"}


def test_merge_file_joins_separate_lines(door: Git) -> None:
    """Two people who change different lines are both heard."""
    base = b"one\ntwo\nthree\nfour\n"

    merged = door.merge_file(base, base.replace(b"one", b"1"), base.replace(b"four", b"4"))

    assert merged == (b"1\ntwo\nthree\n4\n", True)


def test_merge_file_shows_all_three(door: Git) -> None:
    """Two people who change one line get a text with both and what was there, and it is not clean."""
    merged, clean = door.merge_file(b"x\n", b"y\n", b"z\n", ("-a\nb", "base", ""))

    assert not clean
    assert merged == b"<<<<<<< -a b\ny\n||||||| base\nx\n=======\nz\n>>>>>>> -\n"


def test_merge_file_keeps_line_ends(door: Git) -> None:
    """CRLF, a missing final newline and bytes that are no text come through."""
    base = b"a\r\nb\r\nc\r\nd\xff"

    merged = door.merge_file(base, base.replace(b"a", b"A"), base.replace(b"d", b"D"))

    assert merged == (b"A\r\nb\r\nc\r\nD\xff", True)


def test_merge_file_does_not_touch_what_is_no_text(door: Git) -> None:
    """A NUL anywhere: ours stays, and it is not called clean."""
    assert door.merge_file(b"a\n", b"b\n", b"\0") == (b"b\n", False)


def test_merge_file_leaves_no_file(door: Git) -> None:
    """The three texts do not stay in the temp dir."""
    door.merge_file(b"a\n", b"b\n", b"c\n")

    assert os.listdir(os.environ["TMPDIR"]) == []  # noqa: PTH208 - names are what is compared


def test_objects_are_read_by_id_and_by_path(door: Git) -> None:
    """A blob is found under both its names; a tree, a commit and nothing at all are no blobs."""
    specs = [
        "HEAD:README.md",
        "ce013625030ba8dba906f756967f9e9ca394464a",
        "HEAD",
        "HEAD:",
        "HEAD:none",
        "--x",
        "",
    ]

    assert [door.objects().blob(spec) for spec in specs] == [b"hello\n", b"hello\n", *[None] * 5]


def test_objects_of_any_size_in_any_order(door: Git, repository: Path, git: RunGit) -> None:
    """Empty, large, and without final newline: each answer belongs to its question."""
    texts = [b"", b"x" * 3_000_000, b"no newline", b"\n"]
    blobs = []
    for text in texts:
        (repository / "blob").write_bytes(text)
        blobs.append(git(repository, "hash-object", "-w", "blob").strip())

    assert [door.objects().blob(blob) for blob in blobs * 2] == texts * 2


def test_objects_see_what_is_committed_later(door: Git, repository: Path, git: RunGit) -> None:
    """The process that stays does not answer from yesterday."""
    door.objects().blob("HEAD:README.md")
    (repository / "README.md").write_text("changed\n")
    git(repository, "commit", "-q", "-a", "-m", "change")

    assert door.objects().blob("HEAD:README.md") == b"changed\n"


def test_objects_survive_a_repack(door: Git, repository: Path, git: RunGit) -> None:
    """`git gc --prune=now` under an open reader changes nothing for it."""
    assert door.objects().blob("HEAD:README.md") == b"hello\n"
    for round_ in range(3):
        (repository / "README.md").write_text(f"{round_}\n")
        git(repository, "commit", "-q", "-a", "-m", "change")
        git(repository, "gc", "-q", "--prune=now")

        assert [door.objects().blob(f"HEAD{back}:README.md") for back in ("", "~1")] == [
            b"%d\n" % round_,
            b"hello\n" if round_ == 0 else b"%d\n" % (round_ - 1),
        ]


def test_objects_come_back_when_their_process_is_killed(door: Git) -> None:
    """Somebody ends the reader: the next question starts another."""
    door.objects().blob("HEAD:README.md")
    conversation = door.objects()._open  # noqa: SLF001 - there is no other way to its pid
    assert conversation is not None
    os.kill(conversation._process.pid, signal.SIGKILL)  # noqa: SLF001 - see above

    assert door.objects().blob("HEAD:README.md") == b"hello\n"


def test_a_damaged_object_is_no_missing_one(door: Git, repository: Path) -> None:
    """Damage is an error: taken for absence it would delete."""
    file = repository / ".git/objects/ce/013625030ba8dba906f756967f9e9ca394464a"
    file.chmod(0o600)
    file.write_bytes(b"")

    with pytest.raises(GitFailed, match="is empty"):
        door.objects().blob("HEAD:README.md")


def test_objects_outside_of_a_repository(tmp_path: Path) -> None:
    """No repository is an error too."""
    with Git(tmp_path) as door, pytest.raises(GitFailed, match="not a git repository"):
        door.objects().blob("HEAD:README.md")


def test_a_name_with_a_line_break_is_refused(door: Git) -> None:
    """The reader never takes the rest of a name for another question."""
    with pytest.raises(ValueError, match="line break"):
        door.objects().blob("HEAD:a\nHEAD:README.md")


def test_a_reader_that_hangs_is_given_up(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git that never answers costs its timeout, and not the daemon."""
    program(tmp_path / "bin", "git", "exec sleep 300")
    with Git(repository, timeout=0.3) as door:
        door.run("version")  # GitPython runs git when it is imported
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
        begun = time.monotonic()

        with pytest.raises(GitFailed, match="no answer within"):
            door.objects().blob("HEAD:README.md")

        assert time.monotonic() - begun < 30


def test_threads_take_turns_at_the_objects(door: Git, repository: Path, git: RunGit) -> None:
    """Eight threads that ask at once each get the answer to their own question."""
    blobs = {}
    for number in range(8):
        text = f"{number}" * (1 + 40_000 * number)
        blobs[git(repository, "hash-object", "-w", "--stdin", input=text).strip()] = text.encode()
    wrong: list[str] = []

    def ask(blob: str, text: bytes) -> None:
        wrong.extend(blob for _ in range(50) if door.objects().blob(blob) != text)

    threads = [threading.Thread(target=ask, args=pair) for pair in blobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_command_is_shown_as_one_would_type_it() -> None:
    """An error can be printed everywhere and is no longer than a line or two."""
    assert shown(["log", "a b", "\udcff"]) == "log 'a b' '\\udcff'"
    assert len(shown(["x" * 1000])) == 200
