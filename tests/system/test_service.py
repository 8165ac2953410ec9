"""Unit files for systemd and launchd: the shipped ones and those written for a repository."""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskd.daemon.service import (
    Launchd,
    Place,
    ServiceReport,
    escape_path,
    install,
    quote_word,
    status,
    uninstall,
)
from taskd.errors import Refused, UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = [REPOSITORY / "systemd/taskd@.service", REPOSITORY / "systemd/taskd@.socket"]
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here"
)

PLAIN_ODD = ["plain", "with space", "100% $HOME ${HOME} $$ %h", "größe", "-dash", ".dot", "a.service/b"]
VERY_ODD = ["q\"u'o`te", "back\\slash\\", "new\nline", " both ends ", os.fsdecode(b"latin\xe9"), "ü" * 99]
#: what launchd.plist(5) says of each key we use
KEY_TYPES: dict[str, type] = {
    "Label": str,
    "ProgramArguments": list,
    "WorkingDirectory": str,
    "EnvironmentVariables": dict,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nobody has set XDG_CONFIG_HOME."""
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The top of a repository."""
    (tmp_path / "repo" / ".git" / "taskd").mkdir(parents=True)
    return tmp_path / "repo"


@pytest.fixture
def taskd(tmp_path: Path) -> Path:
    """An installed taskd."""
    return make_program(tmp_path / "venv/bin/taskd", "exit 0")


def make_program(path: Path, body: str) -> Path:
    """Make a program of a few lines of sh."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


Managers = Callable[[str], Path]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Managers:
    """`manager(body)`: systemctl and launchctl write what they are asked into a file, then do `body`."""

    def make(body: str) -> Path:
        log = tmp_path / "asked"
        log.touch()
        for name in ("systemctl", "launchctl"):
            make_program(tmp_path / "bin" / name, f'echo "$*" >>{shlex.quote(str(log))}\n{body}')
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        return log

    return make


def asked(log: Path) -> list[str]:
    """What the service manager was asked since the last time, its state apart."""
    lines = log.read_text().splitlines()
    log.write_text("")
    return [line for line in lines if "is-active" not in line and "print" not in line]


def verify(*files: Path, user: bool = True) -> tuple[str, int]:
    """What systemd-analyze has to say about unit files, and its exit code."""
    argv = ["systemd-analyze", *(["--user"] if user else []), "verify", *map(str, files)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, errors="replace")
    return done.stdout + done.stderr, done.returncode


@needs_systemd
@pytest.mark.parametrize("user", [True, False])
def test_shipped_units_verify(user: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """There is nothing systemd has to say about the unit files as they are shipped."""
    assert verify(*SHIPPED, user=user) == ("", 0)


@needs_systemd
@pytest.mark.parametrize("name", PLAIN_ODD + VERY_ODD)
def test_installed_units_verify(tmp_path: Path, home: Path, name: str) -> None:
    """Nor about installed units, whatever the repository and taskd are called."""
    top = tmp_path / name
    top.mkdir(parents=True)
    taskd = make_program(tmp_path / "venv" / name / "taskd", "exit 0")

    report = install(top, top / ".git", taskd, platform="linux", home=home, start=False)

    assert len(report.files) == 2
    assert verify(*report.files) == ("", 0)


@needs_systemd
def test_wrong_program_is_noticed(home: Path, top: Path, tmp_path: Path) -> None:
    """The silence of the tests above means something: a taskd that is not there is told."""
    report = install(top, top / ".git", tmp_path / "n o/taskd", platform="linux", home=home, start=False)

    complaint, _ = verify(*report.files)
    assert f"Command {tmp_path}/n o/taskd is not executable" in complaint


@pytest.mark.skipif(not shutil.which("systemd-escape"), reason="there is no systemd-escape here")
@settings(max_examples=20)
@given(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=30))
def test_escaped_as_systemd(names: list[bytes]) -> None:
    """The instance is named as `systemd-escape --path` names it, so people find it."""
    cleaned = [name.translate(None, b"\0\n").replace(b"..", b".") for name in names]
    paths = [b"/" + name for name in cleaned if os.path.normpath(b"/" + name) == b"/" + name]
    done = subprocess.run(["systemd-escape", "--path", "/", *paths], capture_output=True, check=True)

    assert (
        " ".join(escape_path(Path(os.fsdecode(path))) for path in (b"/", *paths))
        == done.stdout.decode().strip()
    )


@given(
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f"), min_size=1)
)
def test_quoted_word_is_itself(text: str) -> None:
    """A quoted word, read by the rules systemd took from the shell, is the word."""
    assert shlex.split(quote_word(text).replace("%%", "%")) == [text]


def test_quoted_bytes() -> None:
    """Line ends and bytes in no encoding are written as numbers."""
    assert quote_word(os.fsdecode(b"a\nb\xe9")) == r'"a\x0ab\xe9"'


def test_service_content(home: Path, top: Path, taskd: Path) -> None:
    """The installed unit is the shipped one with our program in it; nothing else is made up."""
    report = install(top, top / ".git", taskd, platform="linux", home=home, start=False)

    shipped, installed = (path.read_text().splitlines() for path in (SHIPPED[0], report.files[0]))
    assert [pair for pair in zip(shipped, installed, strict=True) if pair[0] != pair[1]] == [
        ("ExecStart=:/usr/bin/env taskd -C %f daemon run", f"ExecStart=:{taskd} -C %f daemon run")
    ]


def test_socket_content(home: Path, top: Path, taskd: Path) -> None:
    """The socket unit listens where the daemon would, in the runtime directory of the user."""
    report = install(top, top / ".git", taskd, platform="linux", home=home, start=False)

    (line,) = [line for line in report.files[1].read_text().splitlines() if line.startswith("ListenStream=")]
    key = Place(top, top / ".git", home).key
    assert line == f"ListenStream={os.environ['XDG_RUNTIME_DIR']}/taskd/{key}.sock"


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_install_twice(home: Path, top: Path, taskd: Path, manager: Managers, platform: str) -> None:
    """Installing again changes no file and restarts nothing."""
    log = manager('case "$*" in *print*) echo "state = running";; *is-active*) echo active;; esac')
    first = install(top, top / ".git", taskd, platform=platform, home=home)
    asked(log)

    second = install(top, top / ".git", taskd, platform=platform, home=home)

    assert (len(first.changed) > 0, second.changed, second.state) == (True, (), "active")
    assert [line for line in asked(log) if "restart" in line or "boot" in line] == []


def test_two_repositories(home: Path, tmp_path: Path, taskd: Path) -> None:
    """Two repositories, with different versions of taskd, have nothing in common."""
    other = make_program(tmp_path / "other/taskd", "exit 0")
    first = install(tmp_path / "a", tmp_path / "a/.git", taskd, platform="linux", home=home, start=False)
    second = install(tmp_path / "b", tmp_path / "b/.git", other, platform="linux", home=home, start=False)

    uninstall(tmp_path / "b", tmp_path / "b/.git", platform="linux", home=home)

    assert (set(first.files) & set(second.files), [path.exists() for path in first.files]) == (
        set(),
        [True, True],
    )


def test_systemd_started(home: Path, top: Path, taskd: Path, manager: Managers) -> None:
    """Installing enables and starts the service; a new taskd restarts it; uninstalling ends it all."""
    log = manager('case "$*" in *is-active*) echo active;; esac')
    git = top / ".git"

    report = install(top, git, taskd, platform="linux", home=home)
    begun = asked(log)
    install(top, git, make_program(taskd.with_name("new"), "exit 0"), platform="linux", home=home)
    renewed = asked(log)
    uninstall(top, git, platform="linux", home=home)
    ended = asked(log)

    unit, socket = report.unit, report.unit.replace(".service", ".socket")
    assert (report.state, report.undone) == ("active", ())
    started = ["enable {}", "daemon-reload", "try-restart {}", "start {}"]
    stopped = [f"stop {socket} {{}}", f"disable {socket} {{}}", "daemon-reload", "reset-failed {}"]
    assert begun == renewed == [f"--user {verb.format(unit)}" for verb in started]
    assert ended == [f"--user {verb.format(unit)}" for verb in stopped]


@pytest.mark.skipif(not shutil.which("systemctl"), reason="there is no systemctl here")
def test_without_bus(home: Path, top: Path, taskd: Path) -> None:
    """Without a user bus the daemon is set up for the next login, and the report says what is left to do."""
    report = install(top, top / ".git", taskd, platform="linux", home=home)

    (undone,) = report.undone
    wanted = home / ".config/systemd/user/default.target.wants" / report.unit
    assert (report.state, wanted.resolve()) == ("unknown", report.files[0])
    assert report.as_data() == {
        "manager": "systemd",
        "unit": report.unit,
        "files": [str(path) for path in report.files],
        "changed": [str(path) for path in report.files],
        "state": "unknown",
        "undone": [{"reason": undone.reason, "command": undone.command}],
        "hints": list(report.hints),
    }
    assert (
        undone.command
        == f"systemctl --user daemon-reload && systemctl --user start {shlex.quote(report.unit)}"
    )
    assert "bus" in undone.reason


@pytest.mark.skipif(not shutil.which("systemctl"), reason="there is no systemctl here")
def test_uninstall_without_bus(home: Path, top: Path, taskd: Path) -> None:
    """Without a user bus nothing of the service stays behind, and the report says it may still run."""
    install(top, top / ".git", taskd, platform="linux", home=home)

    report = uninstall(top, top / ".git", platform="linux", home=home)

    assert [path for path in (home / ".config").rglob("*") if not path.is_dir()] == []
    assert (report.state, len(report.changed)) == ("absent", 2)
    assert report.undone[0].command.startswith("systemctl --user stop ")


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_no_manager_program(
    home: Path, top: Path, taskd: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """Where the service manager's program is missing, the files are written and the rest is said."""
    monkeypatch.setenv("PATH", str(taskd.parent))

    report = install(top, top / ".git", taskd, platform=platform, home=home)

    assert [path.exists() for path in report.files] == [True] * len(report.changed)
    assert {undone.reason for undone in report.undone} <= {
        "there is no systemctl here",
        "there is no launchctl here",
    }
    assert (len(report.undone) > 0, report.state) == (True, "unknown")


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_absent(home: Path, top: Path, manager: Managers, platform: str) -> None:
    """Where nothing was installed, there is nothing to see and nothing to remove, and nobody is asked."""
    log = manager("exit 1")
    git = top / ".git"

    reports: list[ServiceReport] = [
        status(top, git, platform=platform, home=home),
        uninstall(top, git, platform=platform, home=home),
    ]

    assert [(report.state, report.files, report.undone) for report in reports] == [("absent", (), ())] * 2
    assert log.read_text() == ""


def test_failure_told(home: Path, top: Path, taskd: Path, manager: Managers) -> None:
    """When systemd cannot start the daemon, the report says so in systemd's words, with the command."""
    manager('case "$2" in start) echo "Job failed." >&2; exit 1;; is-active) echo failed; exit 3;; esac')

    report = install(top, top / ".git", taskd, platform="linux", home=home)

    assert [(undone.reason, undone.command) for undone in report.undone] == [
        ("Job failed.", f"systemctl --user start {shlex.quote(report.unit)}")
    ]
    assert report.state == "failed"


def test_shipped_plist() -> None:
    """The shipped plist has the keys launchd knows, each of its type."""
    plist = plistlib.loads((REPOSITORY / "launchd/dev.taskd.plist").read_bytes())

    assert {key: type(value) for key, value in plist.items()} == KEY_TYPES
    assert (plist["KeepAlive"], plist["RunAtLoad"]) == ({"SuccessfulExit": False}, True)
    assert plist["ProcessType"] in {"Background", "Standard", "Adaptive", "Interactive"}


@pytest.mark.parametrize("name", ["plain", "a & b <c> 'd' \"e\" ]]>", "größe", "100% $HOME \\"])
def test_installed_plist(tmp_path: Path, home: Path, manager: Managers, name: str) -> None:
    """The installed plist, read back, names exactly this taskd and this repository, whatever their names."""
    manager("exit 1")
    top, taskd = tmp_path / name, tmp_path / "bin of" / name

    report = install(top, top / ".git", taskd, platform="darwin", home=home)

    plist = plistlib.loads(report.files[0].read_bytes())
    assert {key: type(value) for key, value in plist.items()} == KEY_TYPES
    assert plist["ProgramArguments"] == [str(taskd), "-C", str(top), "daemon", "run"]
    assert (plist["WorkingDirectory"], f"{plist['Label']}.plist") == (str(top), report.files[0].name)
    assert Path(plist["StandardErrorPath"]).parent.is_dir()


@pytest.mark.skipif(not shutil.which("plutil"), reason="there is no plutil here")
def test_plist_lint(home: Path, top: Path, taskd: Path) -> None:
    """Apple has nothing to say about the plists."""
    report = install(top, top / ".git", taskd, platform="darwin", home=home, start=False)

    files = [REPOSITORY / "launchd/dev.taskd.plist", *report.files]
    subprocess.run(["plutil", "-lint", "-s", *files], check=True)


def test_launchd_finds_git(home: Path, top: Path, taskd: Path, manager: Managers) -> None:
    """The daemon that launchd starts finds the git that is used here, and the system's programs."""
    manager("exit 1")
    git = make_program(top.parent / "bin/git", "exit 0")

    report = install(top, top / ".git", taskd, platform="darwin", home=home)

    path = plistlib.loads(report.files[0].read_bytes())["EnvironmentVariables"]["PATH"]
    assert (path.split(":")[0], path.endswith(":/usr/bin:/bin:/usr/sbin:/sbin")) == (str(git.parent), True)


def test_launchd_started(home: Path, top: Path, taskd: Path, manager: Managers) -> None:
    """Installing loads the agent; a new taskd loads it again; uninstalling unloads it."""
    loaded = top / "loaded"
    log = manager(f"""case "$1" in
        print) test -e {loaded} && echo "	state = running";;
        bootstrap) touch {loaded};;
        bootout) rm {loaded};;
    esac""")
    git = top / ".git"

    report = install(top, git, taskd, platform="darwin", home=home)
    begun = asked(log)
    install(top, git, taskd.with_name("new"), platform="darwin", home=home)
    renewed = asked(log)
    uninstall(top, git, platform="darwin", home=home)
    ended = asked(log)

    bootstrap = f"bootstrap gui/{os.getuid()} {report.files[0]}"
    bootout = f"bootout gui/{os.getuid()}/{report.unit}"
    assert (report.state, begun, renewed, ended) == ("active", [bootstrap], [bootout, bootstrap], [bootout])


def test_label_is_the_repository(home: Path, tmp_path: Path) -> None:
    """Every worktree of a repository leads to the same agent, and another repository to another."""
    labels = [Launchd(Place(tmp_path / top, tmp_path / git, home)).unit for top, git in ("ag", "bg", "ah")]

    assert (labels[0] == labels[1], labels[0] != labels[2]) == (True, True)


@pytest.mark.parametrize(
    ("platform", "name"),
    [("darwin", "bell\a"), ("darwin", os.fsdecode(b"latin\xe9")), ("linux", "x" * 200 + "\n" + "ü" * 20)],
)
def test_unspeakable_path(tmp_path: Path, home: Path, taskd: Path, platform: str, name: str) -> None:
    """A path that a unit file cannot hold is refused in a sentence, and nothing is written."""
    top = tmp_path / name

    with pytest.raises(Refused, match="cannot be told of"):
        install(top, top / ".git", taskd, platform=platform, home=home)
    assert not home.exists()


def test_other_platform(home: Path, top: Path, taskd: Path) -> None:
    """Where there is neither systemd nor launchd, the sentence says what there is instead."""
    with pytest.raises(UsageError, match="taskd daemon start"):
        install(top, top / ".git", taskd, platform="freebsd14", home=home)


def test_config_home(
    home: Path, top: Path, taskd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XDG_CONFIG_HOME is where systemd looks, and so do we."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    report = install(top, top / ".git", taskd, platform="linux", home=home, start=False)

    assert {path.parent for path in report.files} == {tmp_path / "config/systemd/user"}
