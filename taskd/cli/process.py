"""The verbs about taskd itself: setting up, the daemon's process, the service, settings."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from taskd import client
from taskd.cli import show
from taskd.cli.app import CallError, Verbs, taskd
from taskd.cli.hosted import run_for
from taskd.cli.session import Session, Shown, Terminal, lines
from taskd.config import ENVIRONMENT, Loaded, tasks_directory
from taskd.daemon import control
from taskd.errors import ConfigError

pass_session = click.pass_obj


@taskd.command("init", examples=("taskd init --dry-run", "taskd init --tracked --tasks-dir docs/tasks"))
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--shared", is_flag=True, help="Task files live outside git, the same everywhere.")
@click.option("--tracked", is_flag=True, help="Task files travel with their branches.")
@click.option("--tasks-dir", metavar="D", help="The tasks directory (default: tasks).")
@pass_session
def init(session: Session, /, tasks_dir: str | None, *, dry_run: bool, shared: bool, tracked: bool) -> Shown:
    """Set taskd up in this repository, once for all its worktrees."""
    if shared and tracked:
        raise CallError(reason="choose --shared or --tracked, not both", command="taskd init")
    layout = "shared" if shared else "tracked" if tracked else None
    directory = _directory(tasks_dir) if tasks_dir is not None else None
    home = session.home()
    report = client.install(home, layout, directory, dry_run=dry_run, program=_words())

    def text(_: Terminal) -> str:
        verb = "would write" if dry_run else "wrote"
        told = [f"{report['layout']} layout: {report['meaning']}"]
        told += [f"{verb} {path}" for path in report["writes"]]
        told += [f"git {'would merge' if dry_run else 'merges'} task files field by field, with taskd"]
        if not dry_run:
            told += [f"{report['tasks']} tasks in the index"]
            told += ["next: `taskd daemon start`, or `taskd service install` to have it always"]
        return lines(told)

    return Shown("init", report, text)


def _directory(word: str) -> str:
    try:
        return tasks_directory(word, "--tasks-dir")
    except ConfigError as error:
        raise CallError(reason=error.message, command="taskd init") from None


@taskd.command("uninit")
@pass_session
def uninit(session: Session) -> Shown:
    """Take taskd out of this repository. Task files, index and workspace branch stay."""
    report = client.uninstall(session.home())
    return Shown("uninit", report, lambda _: lines(report["said"]))


@taskd.command("where")
@pass_session
def where(session: Session) -> Shown:
    """Show where things are: repository, index, socket, workspace."""
    facts = client.where(session.home())
    return Shown("where", facts, lambda terminal: show.pairs(facts, terminal))


@taskd.command("demo")
@pass_session
def demo(session: Session) -> Shown:
    """Show what taskd does, live, in a throw-away repository."""
    from taskd.cli import demo as scenes  # noqa: PLC0415 - nobody else needs it

    def write(text: str) -> None:
        if not session.json:
            session.out(text.encode())

    rows = scenes.play(_program(), session.terminal, write)
    return Shown("demo", rows, lambda _: "")


@taskd.group("config", cls=Verbs)
def config() -> None:
    """Look at settings."""


@config.command("list", examples=("taskd config list --sources",))
@click.option("--sources", is_flag=True, help="Also where each value comes from.")
@pass_session
def config_list(session: Session, /, *, sources: bool) -> Shown:
    """List every setting in force."""
    loaded = session.home().loaded
    rows = loaded.rows()

    def text(terminal: Terminal) -> str:
        table = [(str(r["key"]), _word(r["value"]), *((str(r["source"]),) if sources else ())) for r in rows]
        return show.table(("KEY", "VALUE", *(("SOURCE",) if sources else ())), table, terminal)

    return Shown("config", rows, text, remarks=tuple(_out_of_reach(session, loaded)))


def _out_of_reach(session: Session, loaded: Loaded) -> list[str]:
    """What a running daemon cannot know: settings in its caller's environment."""
    if session.daemon is None:
        return []
    keys = [key for key, source in loaded.sources.items() if source == ENVIRONMENT]
    return [f"{key} is set in your environment; the running daemon keeps its own" for key in keys]


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@taskd.group("daemon", cls=Verbs)
def daemon() -> None:
    """Start, stop and look at the daemon of this repository."""


@daemon.command("run")
@pass_session
def daemon_run(session: Session) -> int:
    """Be the daemon, in the foreground (what the service runs)."""
    from taskd.daemon import run  # noqa: PLC0415 - the scheduler and the watcher are only wanted here

    return run.run(session.home(), run_for, session.environ)


@daemon.command("start")
@pass_session
def daemon_start(session: Session) -> Shown:
    """Start the daemon in the background; it is ready when this returns."""
    home = session.home()
    started = control.start(home, session.environ)
    word = "started" if started.fresh else "runs already"
    facts = {"pid": started.pid, "started": started.fresh}
    return Shown("daemon", facts, lambda _: f"{word}, pid {started.pid}\n")


@daemon.command("stop")
@pass_session
def daemon_stop(session: Session) -> Shown:
    """Stop the daemon; what was accepted is finished first."""
    pid = control.stop(session.home())
    told = f"stopped, pid {pid}" if pid is not None else "no daemon was running"
    return Shown("daemon", {"pid": pid, "stopped": pid is not None}, lambda _: f"{told}\n")


@daemon.command("restart")
@pass_session
def daemon_restart(session: Session) -> Shown:
    """Stop the daemon if it runs, then start it."""
    home = session.home()
    home.require_set_up()
    control.stop(home)
    started = control.start(home, session.environ)
    facts = {"pid": started.pid, "started": started.fresh}
    return Shown("daemon", facts, lambda _: f"restarted, pid {started.pid}\n")


@daemon.command("status")
@pass_session
def daemon_status(session: Session) -> Shown:
    """Show whether the daemon runs and how it is."""
    home = session.home()
    home.require_set_up()
    facts = control.status(home)
    return Shown("daemon", facts, lambda terminal: show.pairs(_told(facts), terminal))


def _told(facts: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
    mirror, store = facts["mirror"], facts["store"]
    return {
        "pid": facts["pid"],
        "up": show.ago(facts["uptime"]),
        "worktrees": facts["worktrees"],
        "queue": facts["queue"],
        "last scan": show.clock(facts["last_scan"]),
        "mirror": f"failing: {mirror['reason']}" if mirror["failing"] else "fine",
        **({"remote": _told_remote(mirror["remote"])} if mirror["remote"] else {}),
        "store": f"{store.get('kind')}, {store.get('size', 0) / 1e6:.1f} MB, {store.get('place')}",
        "memory": f"{facts['memory'] / 1e6:.0f} MB",
    }


def _told_remote(remote: Mapping[str, Any]) -> str:
    """How it stands with the remote, in one line."""
    if remote["failing"]:
        return f"{remote['name']}, failing: {remote['reason']}"
    told = "not reached yet" if remote["agreed"] is None else f"the same at {show.clock(remote['agreed'])}"
    return f"{remote['name']}, {told}"


@daemon.command("logs", examples=("taskd daemon logs -f", "taskd daemon logs -n 1000 --json"))
@click.option(
    "-n",
    "--lines",
    "count",
    default=50,
    show_default=True,
    type=click.IntRange(1),
    help="The newest so many.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@pass_session
def daemon_logs(session: Session, /, count: int, *, follow: bool) -> Shown:
    """Show the daemon's log. With --json its events, one a line with -f."""
    home = session.home()
    if follow:

        def write(line: str) -> None:
            session.out(f"{line if session.json else control.human(line)}\n".encode())

        control.follow_log(home, count, write)
    found = control.log_lines(home, count)
    events = [control.event(line) for line in found]
    return Shown("logs", events, lambda _: lines([control.human(line) for line in found]))


@taskd.group("service", cls=Verbs)
def service() -> None:
    """Have the daemon run always, as a systemd or launchd user service."""


@service.command("install")
@click.option("--no-start", is_flag=True, help="Only write the files.")
@pass_session
def service_install(session: Session, /, *, no_start: bool) -> Shown:
    """Install and start the service of this repository."""
    home = session.home()
    home.require_set_up()
    return _service(control.install_service(home, _program(), session.environ, start=not no_start))


@service.command("uninstall")
@pass_session
def service_uninstall(session: Session) -> Shown:
    """Stop the service of this repository and take its files away."""
    return _service(control.uninstall_service(session.home(), session.environ))


@service.command("status")
@pass_session
def service_status(session: Session) -> Shown:
    """Show whether the service is installed and runs."""
    return _service(control.service_status(session.home(), session.environ))


def _service(report: Mapping[str, Any]) -> Shown:
    """A service report; what could not be done is told with the command that does it."""
    facts = {key: report[key] for key in ("manager", "unit", "state", "files", "changed")}
    undone = [f"{row['reason']}; by hand: {row['command']}" for row in report["undone"]]
    shown = {key: value for key, value in facts.items() if value}

    def text(terminal: Terminal) -> str:
        return show.pairs(shown, terminal) + lines(report["hints"])

    return Shown("service", report, text, code=1 if undone else 0, remarks=tuple(undone))


def _words() -> tuple[str, ...]:
    """The words that start this taskd from anywhere: its script, else its Python."""
    program = _program()
    return (str(program),) if program.exists() else (sys.executable, "-P", "-m", "taskd")


def _program() -> Path:
    """The `taskd` beside this Python, else the one on PATH."""
    beside = Path(sys.executable).parent / "taskd"
    return beside if beside.exists() else Path(shutil.which("taskd", path=os.environ.get("PATH")) or beside)
