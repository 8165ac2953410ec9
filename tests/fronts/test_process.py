"""The verbs about taskd itself: setting up, the daemon's process, its log, settings."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskd import client
from taskd.daemon import control
from tests.fronts.conftest import Cli
from tests.system.project import TASKD, Project, make_project, wait_for


@pytest.fixture
def fresh(make_repo: Callable[..., Path], git: Callable[..., str]) -> Cli:
    """A repository with a linked worktree, not set up."""
    top = make_repo()
    git(top, "worktree", "add", "-q", "../other")
    return Cli(top, {"TASKD_ACTOR": "alice"})


@pytest.fixture
def served(tmp_path: Path, git: Callable[..., str]) -> Iterator[Project]:
    """A project whose daemons are ended afterwards, whoever started them."""
    project = make_project(tmp_path / "served", git, "shared")
    yield project
    if pid := control.running_pid(client.find_home(project.top)):
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: control.running_pid(client.find_home(project.top)) is None)


def tidy(top: Path, git: Callable[..., str]) -> str:
    """What `git status` says."""
    return git(top, "status", "--porcelain=v2", "--untracked-files=all")


def test_init_says_what_it_did(fresh: Cli) -> None:
    """`init` names the layout, what it means, every file it wrote, and the next step."""
    printed = fresh("init")

    assert printed.code == 0
    assert printed.out.splitlines() == [
        "shared layout: tasks/ is kept out of git and holds the same live files in every worktree",
        f"wrote {fresh.at}/.git/taskd/config.toml",
        f"wrote {fresh.at}/.git/config",
        f"wrote {fresh.at}/.git/info/attributes",
        f"wrote {fresh.at}/.git/info/exclude",
        "git merges task files field by field, with taskd",
        "0 tasks in the index",
        "next: `taskd daemon start`, or `taskd service install` to have it always",
    ]


def test_init_takes_in_what_is_there(fresh: Cli) -> None:
    """Task files that are there already are in the index when `init` returns, and in every worktree."""
    (fresh.at / "tasks").mkdir()
    (fresh.at / "tasks" / "old.md").write_text("---\nname: Old\n---\n")

    report = fresh.json("init")

    assert (report["layout"], report["tasks"], report["tasks_dir"]) == ("shared", 1, "tasks")
    assert (fresh.at.parent / "other" / "tasks" / "old.md").exists()


def test_init_finds_tracked_files(fresh: Cli, git: Callable[..., str]) -> None:
    """Where git tracks task files the layout is tracked, and git sees no difference."""
    (fresh.at / "tasks").mkdir()
    (fresh.at / "tasks" / "old.md").write_text("---\nname: Old\n---\n")
    git(fresh.at, "add", "-A")
    git(fresh.at, "commit", "-qm", "tasks")

    assert fresh.json("init")["layout"] == "tracked"
    assert (tidy(fresh.at, git), [row["id"] for row in fresh.json("list")]) == ("", ["old"])
    assert fresh("init", "--shared").code == 5


def test_init_again(fresh: Cli) -> None:
    """Calling it again is harmless; asking for something else is refused and changes nothing."""
    fresh("init")
    fresh("add", "x", "--id", "kept")
    settings = (fresh.at / ".git/taskd/config.toml").read_text()

    codes = [
        fresh(*words.split()).code
        for words in ("init", "init --shared", "init --tracked", "init --tasks-dir d")
    ]

    assert codes == [0, 0, 5, 5]
    assert (fresh.at / ".git/taskd/config.toml").read_text() == settings
    assert [row["id"] for row in fresh.json("list")] == ["kept"]


def test_other_directory(fresh: Cli, git: Callable[..., str]) -> None:
    """Tasks can live elsewhere below the top, in every worktree alike."""
    fresh("init", "--tasks-dir", "docs/tasks/")
    fresh("add", "x", "--id", "there")

    assert [(tree / "docs/tasks/there.md").exists() for tree in (fresh.at, fresh.at.parent / "other")] == [
        True,
        True,
    ]
    assert (tidy(fresh.at, git), fresh.json("where")["tasks_dir"]) == ("", "docs/tasks")


def test_pattern_that_defeats_us(fresh: Cli) -> None:
    """A pattern that would show task files to git is found, said, and nothing is set up."""
    (fresh.at / ".gitignore").write_text("!/tasks/\n")

    printed = fresh("init")

    assert (printed.code, "begins with !" in printed.err) == (5, True)
    assert fresh("list").code == 2


def test_uninit_leaves_the_files(fresh: Cli, git: Callable[..., str]) -> None:
    """`uninit` gives the files back to git as they are; `init` takes the index up again."""
    fresh("init")
    fresh("add", "x", "--id", "kept", "--priority", "high")
    fresh("claim", "kept")

    printed = fresh("uninit")
    seen = tidy(fresh.at, git)
    fresh("init")

    assert (printed.code, "git sees tasks/ again" in printed.out, "kept.md" in seen) == (0, True, True)
    assert fresh.json("show", "kept")["claim"]["holder"] == "alice"
    assert fresh("uninit").code == fresh("uninit").code == 0


def test_bare_with_worktrees(tmp_path: Path, make_repo: Callable[..., Path], git: Callable[..., str]) -> None:
    """A bare repository works from its worktrees."""
    git(tmp_path, "clone", "-q", "--bare", make_repo(), "b.git")
    for name in ("one", "two"):
        git(tmp_path / "b.git", "worktree", "add", "-q", "-b", name, f"../{name}")
    cli = Cli(tmp_path / "one", {"TASKD_ACTOR": "alice"})

    codes = [cli(*words.split()).code for words in ("init", "add x --id bare", "claim bare")]

    assert codes == [0, 0, 0]
    assert (tmp_path / "two/tasks/bare.md").exists()
    assert [cli.json("list", at=tmp_path / name)[0]["id"] for name in ("one", "two", "b.git")] == ["bare"] * 3


def test_where(fresh: Cli) -> None:
    """`where` answers the same from every worktree and directory, before and after init."""
    before = fresh.json("where")
    fresh("init")
    (fresh.at / "deep").mkdir()

    after = [
        fresh.json("where", at=place) for place in (fresh.at, fresh.at / "deep", fresh.at.parent / "other")
    ]

    assert after == [{**before, "layout": "shared"}] * 3
    assert set(before) == {"repo", "common_dir", "tasks_dir", "layout", "store", "socket", "workspace"}
    assert (before["layout"], before["repo"]) == (None, str(fresh.at))


def test_config_list(fresh: Cli) -> None:
    """`config list` gives every setting with its value and source."""
    fresh("init")
    (fresh.at / ".taskd.toml").write_text("lease = 60\nlaese = 3\n")

    rows = {row["key"]: row for row in fresh.json("config", "list")}
    printed = fresh("config", "list", "--sources", env={"TASKD_SETTLE": "1"})

    assert rows["lease"] == {"key": "lease", "value": 60.0, "source": f"{fresh.at}/.taskd.toml"}
    assert (rows["layout"]["source"], rows["branch"]["source"]) == (
        f"{fresh.at}/.git/taskd/config.toml",
        "default",
    )
    assert "settle\t1.0\tenvironment\n" in printed.out
    assert f"{fresh.at}/.taskd.toml:2: there is no setting 'laese'; did you mean lease?" in printed.err


def test_unknown_setting_warns_once(fresh: Cli) -> None:
    """A setting nobody knows is told on standard error, once a command, and nothing else changes."""
    fresh("init")
    (fresh.at / ".taskd.toml").write_text("laese = 3\n")

    told = [fresh(*words.split()) for words in ("sync", "add x --id warned", "where", "daemon stop")]

    assert [one.code for one in told] == [0] * 4
    assert {one.err for one in told} == {
        f"taskd: {fresh.at}/.taskd.toml:1: there is no setting 'laese'; did you mean lease?\n"
    }


def test_wrong_setting_stops_every_verb(fresh: Cli) -> None:
    """A setting that cannot be is an error of every verb, with file and line, and nothing is done."""
    fresh("init")
    (fresh.at / ".taskd.toml").write_text("\nlease = 'long'\n")

    printed = [
        fresh(*words.split()) for words in ("add x --id no", "list", "sync", "daemon start", "config list")
    ]

    assert {(one.code, one.out) for one in printed} == {(2, "")}
    assert {one.err.splitlines()[0] for one in printed} == {
        f"taskd: {fresh.at}/.taskd.toml:2: lease must be a number of seconds, not 'long'"
    }


def test_daemon_life(served: Project) -> None:
    """Start, status, restart and stop do what they say, and say so again when it is done already."""
    told = [
        served.run("daemon", word)
        for word in ("start", "start", "status", "restart", "stop", "stop", "status")
    ]
    first, again, status, restarted, stopped, none, unreachable = told

    assert [one.code for one in told] == [0, 0, 0, 0, 0, 0, 6]
    assert (first.data["started"], again.data) == (True, {"pid": first.data["pid"], "started": False})
    assert restarted.data["pid"] != first.data["pid"]
    assert (stopped.data, none.data) == (
        {"pid": restarted.data["pid"], "stopped": True},
        {"pid": None, "stopped": False},
    )
    assert (status.data["pid"], unreachable.error["code"]) == (first.data["pid"], "unreachable")
    assert set(status.data) == {
        "pid",
        "uptime",
        "worktrees",
        "queue",
        "last_scan",
        "mirror",
        "store",
        "memory",
    }


def test_twenty_starts(served: Project) -> None:
    """Twenty started at once: one lives, every caller is told its pid, and nobody fails."""
    started = [served.started("daemon", "start") for _ in range(20)]
    answers = [json.loads(process.communicate(timeout=100)[0])["data"] for process in started]

    assert {process.returncode for process in started} == {0}
    assert len({answer["pid"] for answer in answers}) == 1
    assert sum(answer["started"] for answer in answers) == 1


def test_looking_ends_nothing(served: Project) -> None:
    """Any number of `daemon status` beside a `daemon stop` leave each other alone."""
    served.run("daemon", "start")
    lookers = [served.started("daemon", "status") for _ in range(4)]

    stopped = served.run("daemon", "stop")

    assert [
        process.communicate(timeout=60) is not None and process.returncode in (0, 6, 75)
        for process in lookers
    ] == [True] * 4
    assert (stopped.code, stopped.data["stopped"]) == (0, True)


def test_environment_of_a_caller(served: Project) -> None:
    """A setting in the caller's environment is told to be without effect on the daemon that runs."""
    served.run("daemon", "start")

    answer = served.run("config", "list", env={"TASKD_LEASE": "60"})

    assert (answer.code, "lease is set in your environment" in answer.stderr) == (0, True)


def test_terminal_of_a_caller(served: Project) -> None:
    """What the daemon renders fits the caller: piped it is plain and joined by tabs."""
    served.run("daemon", "start")
    served.run("add", "Plain", "--id", "plain")

    done = subprocess.run(
        [*TASKD, "list"], cwd=served.top, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "plain\tpending\t-\t-\tPlain\t\n"


def test_logs(served: Project) -> None:
    """The log is shown in lines for people, as events for programs, newest last, as many as asked for."""
    served.run("daemon", "start")
    served.run("daemon", "stop")
    cli = Cli(served.top)

    events: list[dict[str, Any]] = cli.json("daemon", "logs", "-n", "1000")
    printed = cli("daemon", "logs", "-n", "2").out.splitlines()

    assert (events[-1]["event"], "daemon.ready" in {event["event"] for event in events}) == (
        "daemon.stopped",
        True,
    )
    assert [
        re.fullmatch(r"\d{4}-\d\d-\d\d [\d:.]{12} info +[a-z.]+ .*", line) is not None for line in printed
    ] == [
        True,
        True,
    ]


def test_logs_followed(served: Project) -> None:
    """`daemon logs -f` goes on with what comes, and ends at Ctrl-C without a word."""
    following = subprocess.Popen(
        [*TASKD, "daemon", "logs", "-f"],
        cwd=served.top,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    served.run("daemon", "start")

    seen = following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, errors = following.communicate(timeout=60)

    assert (bool(seen.strip()), following.returncode, errors) == (True, 130, "")


def test_no_log_yet(fresh: Cli) -> None:
    """Before the first daemon the log is empty, and that is no error."""
    fresh("init")

    assert (fresh("daemon", "logs").out, fresh.json("daemon", "logs")) == ("", [])
