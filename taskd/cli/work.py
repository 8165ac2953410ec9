"""The verbs of those who do the work: claims and transitions."""

from __future__ import annotations

from typing import Any

import click

from taskd import wire
from taskd.cli.app import CallError, Seconds, taskd
from taskd.cli.session import Session, Shown
from taskd.cli.verbs import force_option, one_task, pass_session


@taskd.command(
    "status",
    examples=(
        "taskd status parser in-progress",
        'taskd status parser blocked --reason "waits for the vendor"',
    ),
)
@click.argument("id_", metavar="ID")
@click.argument("status_", metavar="STATUS")
@click.option("--reason", metavar="TEXT", help="Why it is blocked, or failed.")
@force_option
@pass_session
def status(session: Session, /, id_: str, status_: str, reason: str | None, *, force: bool) -> Shown:
    """Bring a task to a status by a lawful transition."""
    data = session.call("status", wire.Move(id_, status_, reason, force=force))
    return one_task(data, f"{data['id']} is {data['status']}")


@taskd.command("claim", examples=("taskd claim parser", "taskd claim --next --tag core"))
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--next", "next_", is_flag=True, help="The best task that is ready.")
@click.option("--resume", is_flag=True, help="With --next: one you hold already comes first.")
@click.option("--ttl", type=Seconds(), metavar="SECONDS", help="How long it lasts without a sign of life.")
@click.option("--tag", multiple=True, help="With --next: has this tag.")
@click.option("--path", metavar="DIR", help="With --next: lies there.")
@click.option("--priority", multiple=True, help="With --next: has this priority.")
@click.option("--assignee", metavar="NAME", help="With --next: is assigned to this person.")
@click.option("--parent", metavar="ID", help="With --next: belongs to this task.")
@click.option("--force", is_flag=True, help="Take it from whoever holds it; the journal tells.")
@pass_session
def claim(session: Session, /, id_: str | None, *, next_: bool, **given: Any) -> Shown:  # noqa: ANN401 - click's
    """Take a task for yourself alone. Exactly one of any number of callers gets it."""
    if (id_ is None) is not next_:
        raise CallError(reason="name a task, or say --next for the best one", command="taskd claim")
    data = session.call("claim", wire.Claim(id_, next_, **given))
    return one_task(data, f"{data['id']} is yours {_lease(data)}")


def _lease(data: Any) -> str:  # noqa: ANN401 - JSON
    """Until when; a lease of milliseconds may be over before its holder is told."""
    held = data["claim"]
    return f"until {held['expires']} (token {held['token']})" if held else "no more: its lease is over"


@taskd.command("renew", examples=("taskd renew parser --ttl 3600",))
@click.argument("id_", metavar="ID")
@click.option("--ttl", type=Seconds(), metavar="SECONDS", help="How long it lasts without a sign of life.")
@pass_session
def renew(session: Session, id_: str, ttl: float | None) -> Shown:
    """Prolong your claim."""
    data = session.call("renew", wire.Lease(id_, ttl))
    return one_task(data, f"{data['id']} is yours {_lease(data)}")


@taskd.command("release", examples=("taskd release parser",))
@click.argument("id_", metavar="ID")
@force_option
@pass_session
def release(session: Session, /, id_: str, *, force: bool) -> Shown:
    """Give a task back: it is pending again."""
    data = session.call("release", wire.Lease(id_, force=force))
    return one_task(data, f"{data['id']} is {data['status']} again")


@taskd.command("done", examples=('taskd done parser --summary "takes CRLF" --actual-hours 2.5',))
@click.argument("id_", metavar="ID")
@click.option("--summary", metavar="TEXT", help="What was done.")
@click.option("--actual-hours", type=float, metavar="H", help="What it took.")
@force_option
@pass_session
def done(
    session: Session, /, id_: str, summary: str | None, actual_hours: float | None, *, force: bool
) -> Shown:
    """Complete a task."""
    data = session.call("status", wire.Move(id_, "completed", None, summary, actual_hours, force))
    return one_task(data, f"{data['id']} is completed")


@taskd.command("fail", examples=('taskd fail parser --reason "the grammar is ambiguous"',))
@click.argument("id_", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Why.")
@force_option
@pass_session
def fail(session: Session, /, id_: str, reason: str | None, *, force: bool) -> Shown:
    """Say that a task was tried and given up, for now."""
    data = session.call("status", wire.Move(id_, "failed", reason, force=force))
    return one_task(data, f"{data['id']} is failed")


@taskd.command("block", examples=('taskd block parser --reason "waits for the vendor"',))
@click.argument("id_", metavar="ID")
@click.option("--reason", metavar="TEXT", required=True, help="Why it cannot go on.")
@force_option
@pass_session
def block(session: Session, /, id_: str, reason: str, *, force: bool) -> Shown:
    """Stop a task for a stated reason."""
    data = session.call("block", wire.Move(id_, "blocked", reason, force=force))
    return one_task(data, f"{data['id']} is blocked")


@taskd.command("unblock", examples=("taskd unblock parser",))
@click.argument("id_", metavar="ID")
@force_option
@pass_session
def unblock(session: Session, /, id_: str, *, force: bool) -> Shown:
    """Let a task that was blocked by hand go on."""
    data = session.call("unblock", wire.Move(id_, force=force))
    return one_task(data, f"{data['id']} is {data['status']}")


@taskd.command("reopen", examples=("taskd reopen parser",))
@click.argument("id_", metavar="ID")
@force_option
@pass_session
def reopen(session: Session, /, id_: str, *, force: bool) -> Shown:
    """Take a completed or failed task up again."""
    data = session.call("reopen", wire.Move(id_, force=force))
    return one_task(data, f"{data['id']} is {data['status']}")
