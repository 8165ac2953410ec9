"""The verbs about taskd itself: setting up, the daemon's process, the service, settings."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from taskd import client, wire
from taskd.cli import show
from taskd.cli.app import Verbs, taskd
from taskd.cli.main import run_for
from taskd.cli.session import Session, Shown, Terminal, lines
from taskd.daemon import control
from taskd.errors import Unreachable

pass_session = click.pass_obj


@taskd.command("init")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--shared", "layout", flag_value="shared", help="Task files live outside git, the same everywhere.")
@click.option("--tracked", "layout", flag_value="tracked", help="Task files travel with their branches.")
@click.option("--tasks-dir", metavar="D", help="The tasks directory (default: tasks).")
@pass_session
def init(session: Session, dry_run: bool, layout: str | None, tasks_dir: str | None) -> Shown:  # noqa: FBT001 - click's
    """Set taskd up in this repository, once for all its worktrees."""
    report = client.install(session.home(), layout, tasks_dir, dry_run=dry_run)

    def text(_: Terminal) -> str:
        verb = "would write" if dry_run else "wrote"
        told = [f"{report['layout']} layout: {report['meaning']}"]
        told += [f"{verb} {path}" for path in report["writes"]]
        if not dry_run:
            told += [f"{report['tasks']} tasks in the index"]
            told += ["next: `taskd daemon start`, or `taskd service install` to have it always"]
        return lines(told)

    return Shown("init", report, text)


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


@taskd.group("config", cls=Verbs)
def config() -> None:
    """Look at settings."""


@config.command("list")
@click.option("--sources", is_flag=True, help="Also where each value comes from.")
@pass_session
def config_list(session: Session, sources: bool) -> Shown:  # noqa: FBT001 - click's
    """List every setting in force."""
    loaded = session.home().loaded
    rows = loaded.rows()

    def text(terminal: Terminal) -> str:
        table = [(str(r["key"]), _word(r["value"]), *((str(r["source"]),) if sources else ())) for r in rows]
        return show.table(("KEY", "VALUE", *(("SOURCE",) if sources else ())), table, terminal)

    return Shown("config", rows, text, remarks=loaded.warnings)


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

    code = run.run(session.home(), run_for, session.environ)
    return sys.exit(code)


@daemon.command("start")
@pass_session
def daemon_start(session: Session) -> Shown:
    """Start the daemon in the background; it is ready when this returns."""
    home = session.home()
    started = control.start(home, session.environ)
    word = "started" if started.fresh else "runs already"
    return Shown("daemon", {"pid": started.pid, "started": started.fresh}, lambda _: f"{word}, pid {started.pid}\n")


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
    control.stop(home)
    started = control.start(home, session.environ)
    return Shown("daemon", {"pid": started.pid, "started": True}, lambda _: f"restarted, pid {started.pid}\n")


@daemon.command("status")
@pass_session
def daemon_status(session: Session) -> Shown:
    """Show whether the daemon runs and how it is."""
    home = session.home()
    home.require_set_up()
    connection = client.connect(home)
    if connection is None:
        raise Unreachable(repo=str(home.top), reason="none is running")
    try:
        facts = connection.submit(wire.Call("daemon.status")).unwrap()
    finally:
        connection.close()
    return Shown("daemon", facts, lambda terminal: show.pairs(_told(facts), terminal))


def _told(facts: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
    mirror = facts["mirror"]
    return {
        "pid": facts["pid"],
        "up": show.ago(facts["uptime"]),
        "worktrees": facts["worktrees"],
        "queue": facts["queue"],
        "last scan": show.clock(facts["last_scan"]),
        "mirror": f"failing: {mirror['reason']}" if mirror["failing"] else "fine",
        "store": facts["store"],
        "memory": f"{facts['memory'] / 1e6:.0f} MB",
    }


@daemon.command("logs")
@click.option("-n", "--lines", "count", default=50, show_default=True, type=click.IntRange(1))
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@pass_session
def daemon_logs(session: Session, count: int, follow: bool) -> Shown:  # noqa: FBT001 - click's
    """Show the daemon's log; with --json the lines as they are."""
    home = session.home()
    found = control.log_lines(home, count)
    if follow:
        control.follow_log(home, found, sys.stdout.write, raw=session.json)
    return Shown("logs", found, lambda _: lines([control.human(line) for line in found]))


@taskd.group("service", cls=Verbs)
def service() -> None:
    """Have the daemon run always, as a systemd or launchd user service."""


@service.command("install")
@click.option("--no-start", is_flag=True, help="Only write the files.")
@pass_session
def service_install(session: Session, no_start: bool) -> Shown:  # noqa: FBT001 - click's
    """Install and start the service of this repository."""
    home = session.home()
    home.require_set_up()
    report = control.install_service(home, _program(), session.environ, start=not no_start)
    return Shown("service", report, lambda terminal: show.pairs(report, terminal))


@service.command("uninstall")
@pass_session
def service_uninstall(session: Session) -> Shown:
    """Stop the service of this repository and take its files away."""
    report = control.uninstall_service(session.home(), session.environ)
    return Shown("service", report, lambda terminal: show.pairs(report, terminal))


@service.command("status")
@pass_session
def service_status(session: Session) -> Shown:
    """Show whether the service is installed and runs."""
    report = control.service_status(session.home(), session.environ)
    return Shown("service", report, lambda terminal: show.pairs(report, terminal))


def _program() -> Path:
    """The `taskd` beside this Python, else the one on PATH."""
    beside = Path(sys.executable).parent / "taskd"
    return beside if beside.exists() else Path(shutil.which("taskd", path=os.environ.get("PATH")) or beside)
