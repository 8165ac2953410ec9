"""The guard of conftest.py bites, and bites only what is real."""

from __future__ import annotations

import os
import pwd
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REAL_HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def scolded(guard: Any) -> Iterator[Callable[[str], Any]]:  # noqa: ANN401 - conftest.py cannot be imported
    """Expect a breach by the name of what was touched; it is taken off the record."""
    yield lambda name: pytest.raises(AssertionError, match=name)
    guard.breaches.clear()


@pytest.mark.parametrize(
    "reach",
    [
        (REAL_HOME / "notes.txt").read_text,
        lambda: (REAL_HOME / ".config" / "taskd").mkdir(parents=True),
        lambda: next(REAL_HOME.iterdir()),
        lambda: os.open(os.fsencode(REAL_HOME / "x"), os.O_CREAT),
        lambda: (Path.cwd() / "a").rename(REAL_HOME / "b"),
        lambda: sqlite3.connect(REAL_HOME / "index.db"),
        (Path.cwd() / ".." / REAL_HOME / "y").touch,
    ],
)
def test_real_home(scolded: Callable[[str], Any], reach: Callable[[], object]) -> None:
    """No test can read or write anything in the home of whoever runs the suite."""
    with scolded("the real home"):
        reach()


@pytest.mark.parametrize(
    "place", [REAL_HOME / ".gitconfig", REAL_HOME / ".config/git/config", "/etc/gitconfig"]
)
def test_git_configuration(scolded: Callable[[str], Any], place: str | Path) -> None:
    """No test can read the user's own git configuration."""
    with scolded("the real git configuration"):
        Path(place).read_bytes()


def test_own_repository(scolded: Callable[[str], Any]) -> None:
    """No test can change the repository it is kept in."""
    with scolded("this repository's own .git"):
        (REPOSITORY / ".git" / "HEAD").read_text()

    with scolded("this repository's own .git"):
        subprocess.run(["git", "status"], cwd=REPOSITORY / "tests", check=False)


def test_home_of_a_child(scolded: Callable[[str], Any]) -> None:
    """No child process is shown the real home."""
    with scolded("the real home"):
        subprocess.run([sys.executable, "-c", ""], env={"HOME": str(REAL_HOME)}, check=False)


def test_swallowed_breach_is_on_record(guard: Any) -> None:  # noqa: ANN401 - conftest.py cannot be imported
    """Code that catches every exception does not hide that it touched the real home."""
    try:
        (REAL_HOME / "x").read_text()
    except Exception:  # noqa: BLE001 - the swallowing is what is tested
        told = list(guard.breaches)
    guard.breaches.clear()

    assert ["the real home" in breach for breach in told] == [True]


def test_python_itself_is_allowed() -> None:
    """The checkout, the interpreter and the temp dir can be read, wherever they lie."""
    assert Path(__file__).read_bytes()
    assert Path(os.__file__).read_bytes()


def test_directory_that_is_gone(tmp_path: Path) -> None:
    """A test may stand in a directory that is removed, and gets the system's own answer."""
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    with pytest.raises(FileNotFoundError):
        Path("a.md").read_text()


def test_tilde_is_elsewhere() -> None:
    """`~` in the test and in its children is a temp dir."""
    told = subprocess.run(["sh", "-c", "echo ~"], capture_output=True, text=True, check=True).stdout

    assert (Path.home() == REAL_HOME, told.strip()) == (False, str(Path.home()))


def test_environment_is_clean() -> None:
    """Nothing of the caller's environment that could steer git or taskd reaches a test."""
    steering = {name for name in os.environ if name.startswith(("TASKD_", "GIT_", "SSH_", "DBUS_", "EDITOR"))}

    assert steering == {
        "GIT_CEILING_DIRECTORIES",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_TERMINAL_PROMPT",
    }


def test_no_identity_unless_asked(make_repo: Callable[..., Path], git: Callable[..., str]) -> None:
    """What taskd runs has no git identity; only the `git` fixture has one, for one call."""
    repo = make_repo(files={"a.txt": "a"})

    told = subprocess.run(["git", "config", "user.name"], cwd=repo, capture_output=True, check=False)

    assert (told.stdout, git(repo, "log", "--format=%an, %cn")) == (b"", "Test Author, Test Committer\n")


def test_outside_is_no_repository(git: Callable[..., str]) -> None:
    """A test starts in a directory that is in no repository."""
    assert git(Path.cwd(), "rev-parse", "--git-dir", check=False) == ""


def test_wait_until_gives_the_value(wait_until: Callable[..., Any]) -> None:
    """Waiting ends with the first true value."""
    values = iter([0, None, "there"])

    assert wait_until(lambda: next(values)) == "there"


def test_wait_until_says_what(wait_until: Callable[..., Any]) -> None:
    """Waiting in vain fails and says for what."""
    with pytest.raises(AssertionError, match=r"not within 0.02 s: the moon to fall"):
        wait_until(lambda: False, seconds=0.02, what="the moon to fall")


SUITES = {
    "a daemon left alive": (
        """
import subprocess
def test_it():
    subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60"], start_new_session=True, stdout=subprocess.DEVNULL)
""",
        "left behind: process [0-9]+: (sh -c )?sleep 60",
    ),
    "a forked child left alive": (
        """
import os, time
def test_it():
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
""",
        "left behind: process [0-9]+: ",
    ),
    "a file left in the temp dir": (
        """
import tempfile
def test_it():
    tempfile.mkdtemp(prefix="forgotten-")
""",
        "left behind: .*forgotten-",
    ),
    "a file left in the working directory": (
        """
from pathlib import Path
def test_it():
    Path("stray").touch()
""",
        "left behind: .*stray",
    ),
    "a breach that the code swallowed": (
        """
import contextlib, os, pwd
def test_it():
    with contextlib.suppress(Exception):
        os.listdir(pwd.getpwuid(os.getuid()).pw_dir)
""",
        "a test touched the real home",
    ),
}


@pytest.mark.parametrize(("suite", "complaint"), SUITES.values(), ids=SUITES)
def test_what_is_left_fails_the_run(tmp_path: Path, suite: str, complaint: str) -> None:
    """A run that leaves something behind, or hides a breach, fails and names it."""
    done = run_suite(tmp_path, suite, "-pno:xdist")

    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert_found(complaint, done.stdout)


def test_workers_are_watched_too(tmp_path: Path) -> None:
    """What a worker of a parallel run leaves alive fails that run."""
    suite, complaint = SUITES["a forked child left alive"]

    done = run_suite(tmp_path, suite, "-n1")

    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert_found(complaint, done.stdout)


@pytest.mark.parametrize("workers", ["-pno:xdist", "-n1"])
def test_clean_run_leaves_nothing(tmp_path: Path, workers: str) -> None:
    """A run that tidies up passes, and its own temp dir is gone."""
    done = run_suite(tmp_path, "def test_it(tmp_path):\n    (tmp_path / 'x').touch()\n", workers)

    assert (done.returncode, done.stderr, list((tmp_path / "outer").iterdir())) == (0, "", [])


def test_terminated_run_leaves_nothing(tmp_path: Path) -> None:
    """A run that is told to end, as when a CI job takes too long, still tidies up."""
    done = run_suite(tmp_path, "import os\ndef test_it():\n    os.kill(os.getpid(), 15)\n", "-pno:xdist")

    assert (done.returncode, list((tmp_path / "outer").iterdir())) == (128 + 15, [])


def run_suite(top: Path, suite: str, workers: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a suite of one file under a copy of the guard, with a temp dir to look into."""
    (top / "tests").mkdir()
    (top / "outer").mkdir()
    (top / "tests" / "conftest.py").write_bytes((REPOSITORY / "tests" / "conftest.py").read_bytes())
    (top / "tests" / "test_it.py").write_text(suite)
    argv = [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", workers, f"--rootdir={top}", "tests"]
    env = {**os.environ, "TMPDIR": str(top / "outer")}
    return subprocess.run(argv, cwd=top, env=env, capture_output=True, text=True, timeout=100, check=False)


def assert_found(pattern: str, text: str) -> None:
    """Fail with the whole text when the pattern is not in it."""
    with pytest.raises(AssertionError, match=pattern):
        raise AssertionError(text)
