"""The guard and the few fixtures that every room uses.

A test lives in a temp dir of its own session: home, configuration, git identity and runtime dir are
there. Touching the real home, the real git configuration or this repository's own `.git` raises
`ScoldingError`, here by an audit hook, in child processes by an environment that does not lead there. At
the end no process of the session may be alive and nothing may lie in the temp dir.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import hypothesis
import hypothesis.configuration
import pytest

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PASSED_ON: Final = ("PATH", "LANG", "TZ", "CI", "LD_LIBRARY_PATH")
PASSED_ON_PREFIXES: Final = ("PYTHON", "PYTEST_", "COV", "HYPOTHESIS_", "VIRTUAL_ENV")
LAST_BREATH: Final = 2.0  # seconds a process may need to end after the test that ended it
IDENTITY: Final = {
    "GIT_AUTHOR_NAME": "Test Author",
    "GIT_AUTHOR_EMAIL": "author@example.invalid",
    "GIT_COMMITTER_NAME": "Test Committer",
    "GIT_COMMITTER_EMAIL": "committer@example.invalid",
}

#: audited events that name paths, to the places of the paths among their arguments
PATHS_OF: Final[Mapping[str, tuple[int, ...]]] = {
    "open": (0,),
    "os.chdir": (0,),
    "os.chflags": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.link": (0, 1),
    "os.listdir": (0,),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.scandir": (0,),
    "os.setxattr": (0,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.utime": (0,),
    "shutil.rmtree": (0,),
    "sqlite3.connect": (0,),
}


class ScoldingError(AssertionError):
    """A test reached for something real."""


@dataclass
class Guard:
    """Which places are out of bounds, and who went there all the same."""

    places: dict[str, str | None]
    home: str
    breaches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the innermost place first: it has the say about what lies below it."""
        ordered = sorted(self.places.items(), key=lambda item: -len(item[0]))
        self._ordered = [(place, place.rstrip("/") + "/", name) for place, name in ordered]

    def retire(self) -> None:
        """Let everything pass: an audit hook cannot be taken off again."""
        self._ordered = []

    def verdict(self, path: object) -> str | None:
        """What out of bounds `path` lies in, None when it may be touched. A descriptor may."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return None
        try:
            absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - Path.absolute() keeps `..`
        except FileNotFoundError:
            return None  # relative to a directory that is gone leads nowhere
        for place, below, name in self._ordered:
            if absolute == place or absolute.startswith(below):
                return name
        return None

    def scold(self, what: str, by: str) -> None:
        """Remember the breach, in case the code under test swallows the error, and raise it."""
        self.breaches.append(f"a test touched {what} ({by}); use the fixtures of tests/conftest.py")
        raise ScoldingError(self.breaches[-1])

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Judge one audited event of the interpreter."""
        if event == "subprocess.Popen":
            self.judge_child(*arguments)
        for place in PATHS_OF.get(event, ()):
            name = self.verdict(arguments[place])
            if name is not None:
                self.scold(name, f"{event} {os.fsdecode(arguments[place])}")

    def judge_child(self, program: object, _args: object, cwd: object, env: object) -> None:
        """Children are not audited: look at where they start and what home they are shown."""
        shown = env.get("HOME") if isinstance(env, Mapping) else None
        if shown is not None and os.fsdecode(shown) == self.home:
            self.scold("the real home", f"a child process with HOME={self.home}")
        name = Path(os.fsdecode(program)).name if isinstance(program, (str, bytes, os.PathLike)) else ""
        start = os.fsdecode(cwd) if isinstance(cwd, (str, bytes, os.PathLike)) else "."
        if name in {"git", "taskd", "git-taskd"} and Path(os.path.realpath(start)).is_relative_to(REPOSITORY):
            self.scold("this repository's own .git", f"{name} run in {start}")


def own_git_dirs() -> list[Path]:
    """`.git` of this checkout and, in a linked worktree, the directories it points to."""
    marker = REPOSITORY / ".git"
    if not marker.is_file():
        return [marker]
    linked = (REPOSITORY / marker.read_text().removeprefix("gitdir:").strip()).resolve()
    return [marker, linked, linked.parent.parent] if linked.parent.name == "worktrees" else [marker, linked]


def out_of_bounds(home: Path) -> dict[str, str | None]:
    """The real places, and inside them those that running Python needs (None: allowed)."""
    needed = [REPOSITORY, *map(Path, (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path))]
    places: dict[str, str | None] = {str(path.absolute()): None for path in needed}
    places |= {str(path.resolve()): None for path in needed}
    if home != Path("/"):
        places |= {str(home): "the real home", str(home.resolve()): "the real home"}
    settings = (home / ".gitconfig", home / ".config/git", Path("/etc/gitconfig"))
    places |= dict.fromkeys(map(str, settings), "the real git configuration")
    return places | dict.fromkeys(map(str, own_git_dirs()), "this repository's own .git")


@dataclass(frozen=True)
class Session:
    """The temp dir of this run of pytest and what was the case outside."""

    root: Path
    outside: dict[str, str]
    guard: Guard

    @property
    def temp(self) -> Path:
        """What $TMPDIR names: empty before and after."""
        return self.root / "temp"

    @property
    def nowhere(self) -> Path:
        """Where every test starts; a relative path leads here and not into the checkout."""
        return self.root / "cwd"


def clean_environment(root: Path, outside: Mapping[str, str]) -> dict[str, str]:
    """An environment in which home, configuration and runtime dir are below `root`."""
    kept = {k: v for k, v in outside.items() if k in PASSED_ON or k.startswith(PASSED_ON_PREFIXES)}
    return kept | {
        "HOME": f"{root}/home",
        "TMPDIR": f"{root}/temp",
        "XDG_CACHE_HOME": f"{root}/home/.cache",
        "XDG_CONFIG_HOME": f"{root}/home/.config",
        "XDG_DATA_HOME": f"{root}/home/.local/share",
        "XDG_STATE_HOME": f"{root}/home/.local/state",
        "XDG_RUNTIME_DIR": f"{root}/run",
        # files, not /dev/null: git writes a configuration by renaming over it, and as root it may
        "GIT_CONFIG_GLOBAL": f"{root}/home/.gitconfig",
        "GIT_CONFIG_SYSTEM": f"{root}/gitconfig",
        "GIT_CEILING_DIRECTORIES": str(root.parent),
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }


def open_session() -> Session:
    """Make the temp dir, move this process's environment into it and set the guard."""
    outside = dict(os.environ)
    root = Path(tempfile.mkdtemp(prefix="taskd-")).resolve()
    for name in ("home", "temp", "run", "cwd"):
        (root / name).mkdir(mode=0o700)
    for name in ("home/.gitconfig", "gitconfig"):
        (root / name).touch()
    os.environ.clear()
    os.environ.update(clean_environment(root, outside))
    tempfile.tempdir = None  # asks $TMPDIR again
    signal.signal(signal.SIGTERM, orderly_end(os.getpid()))
    # A run in the background has Ctrl-C ignored, and so would have every child whose end by it is tested
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return Session(root, outside, set_guard(root))


def orderly_end(owner: int) -> Callable[[int, object], None]:
    """A handler that lets a terminated run tidy up; a forked child just ends."""

    def end(number: int, _frame: object) -> None:
        if os.getpid() == owner:
            pytest.exit("terminated", returncode=128 + number)
        os._exit(128 + number)

    return end


def join_session() -> Session:
    """In a worker of pytest-xdist: the temp dir and environment are those of its controller."""
    root = Path(os.environ["TMPDIR"]).parent
    return Session(root, dict(os.environ), set_guard(root))


def set_guard(root: Path) -> Guard:
    """Begin to audit this process."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    guard = Guard(out_of_bounds(home) | {str(root): None}, str(home))
    sys.addaudithook(guard.audit)
    return guard


def is_worker(config: pytest.Config) -> bool:
    """Whether this is a worker of pytest-xdist, which neither opens nor closes the session."""
    return hasattr(config, "workerinput")


SESSION: Final = pytest.StashKey[Session]()


def pytest_configure(config: pytest.Config) -> None:
    """Open the session before the first test module is imported."""
    session = config.stash[SESSION] = join_session() if is_worker(config) else open_session()
    if not config.option.basetemp:
        config.option.basetemp = str(session.root / "t")
    hypothesis.configuration.set_hypothesis_home_dir(session.root / "hypothesis")
    gate = "CI" in os.environ  # the gate asks the same of every change; surprises are for runs by hand
    hypothesis.settings.register_profile(
        "taskd", database=None, deadline=None, print_blob=True, derandomize=gate
    )
    hypothesis.settings.load_profile("taskd")


@pytest.hookimpl(trylast=True)  # after the workers of pytest-xdist have been sent home
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when it leaves a process or a file behind."""
    if is_worker(session.config):
        return
    ours = session.config.stash[SESSION]
    left = [*leftover_processes(ours.root), *leftover_files(ours)]
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.write("".join(f"\nleft behind: {line}" for line in left), red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the temp dir away and put the environment back."""
    if is_worker(config):
        return
    session = config.stash[SESSION]
    os.environ.clear()
    os.environ.update(session.outside)
    tempfile.tempdir = None
    session.guard.retire()  # rmtree works with names relative to a descriptor, which the audit cannot see
    for directory, names, _ in os.walk(session.root):
        for inner in (Path(directory, name) for name in names):
            if not inner.is_symlink():
                inner.chmod(0o700)  # tests take permissions away
    shutil.rmtree(session.root)


def leftover_files(session: Session) -> list[str]:
    """What lies in $TMPDIR and in the working directory of the tests."""
    return [str(path) for place in (session.temp, session.nowhere) for path in sorted(place.iterdir())]


def leftover_processes(root: Path) -> list[str]:
    """End the processes of the session that are still alive, and say which they were."""
    deadline = time.monotonic() + LAST_BREATH
    while (alive := session_processes(root)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"process {pid}: {command}" for pid, command in alive.items()]


def session_processes(root: Path) -> dict[int, str]:
    """Every living process that has a home below `root` or is our child, with its command line.

    By environment first: a daemon has another parent, and keeps its home all the same.
    """
    found = linux_processes(root) if sys.platform == "linux" else listed_processes(root)
    return {
        pid: command for pid, command in found.items() if pid != os.getpid() and not ends_with_us(command)
    }


def ends_with_us(command: str) -> bool:
    """Whether it is one of the helpers of multiprocessing or the `ps` that made the list."""
    return "multiprocessing." in command or command.startswith("ps axeww")


def linux_processes(root: Path) -> dict[int, str]:
    """The same from /proc."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile, or is not ours
            if entry.name.isdigit() and belongs_here(entry, root):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = command.decode(errors="replace")
    return found


def belongs_here(entry: Path, root: Path) -> bool:
    """Whether the process of this /proc entry is ours and no zombie."""
    state, parent = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:2]
    ours = int(parent) == os.getpid() or b"HOME=" + os.fsencode(root) in (entry / "environ").read_bytes()
    return ours and state != b"Z"


def listed_processes(root: Path) -> dict[int, str]:
    """The same from `ps`, for systems without /proc."""
    argv = ["ps", "axeww", "-o", "pid=,ppid=,stat=,command="]
    listing = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=True).stdout
    rows = [line.split(maxsplit=3) for line in listing.splitlines()]
    return {
        int(pid): command
        for pid, parent, state, command in (row for row in rows if len(row) == 4)
        if (int(parent) == os.getpid() or f"HOME={root}" in command) and not state.startswith("Z")
    }


@pytest.fixture
def guard(pytestconfig: pytest.Config) -> Guard:
    """The guard of this session, for the tests about it."""
    return pytestconfig.stash[SESSION].guard


@pytest.fixture(autouse=True)
def _guarded(pytestconfig: pytest.Config) -> Iterator[None]:
    """Start the test outside the checkout; afterwards tell of breaches that the code swallowed."""
    session = pytestconfig.stash[SESSION]
    os.chdir(session.nowhere)
    yield
    os.chdir(session.nowhere)
    breaches, session.guard.breaches[:] = list(session.guard.breaches), []
    assert breaches == []


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """`wait_until(condition, seconds=10, what="")` gives the first true value of `condition()`."""

    def wait(condition: Callable[[], Any], seconds: float = 10, what: str = "") -> Any:  # noqa: ANN401 - whatever the condition gives
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or condition}"
            time.sleep(0.01)
        return value

    return wait


@pytest.fixture(scope="session")
def git() -> Callable[..., str]:
    """`git(directory, *arguments, input=None, env=None, check=True)` runs real git there; its stdout.

    The identity comes from the environment of this one call, so nothing that taskd starts has one.
    """

    def run(
        directory: Path,
        *arguments: str | Path,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> str:
        done = subprocess.run(
            ["git", *map(str, arguments)],
            cwd=directory,
            env={**os.environ, **IDENTITY, **(env or {})},
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or not check, f"git {arguments}: {done.stderr}{done.stdout}"
        return done.stdout

    return run


@pytest.fixture
def make_repo(tmp_path: Path, git: Callable[..., str]) -> Callable[..., Path]:
    """`make_repo(path=tmp_path/"repo", files={name: text}, commit=True)` makes a repository; its top.

    The branch is `main`. Without `files` the commit is an empty one; with commit=False HEAD is unborn.
    """

    def make(
        path: Path | None = None, files: Mapping[str, str | bytes] | None = None, *, commit: bool = True
    ) -> Path:
        top = path or tmp_path / "repo"
        top.mkdir(parents=True)
        git(top, "init", "-q", "-b", "main")
        for name, text in (files or {}).items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(text.encode() if isinstance(text, str) else text)
        if commit:
            git(top, "add", "-A")
            git(top, "commit", "-q", "--allow-empty", "-m", "begin")
        return top

    return make
