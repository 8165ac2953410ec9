"""The verbs about tasks. Each turns words into one operation and its data into something to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from taskd import wire
from taskd.cli import show
from taskd.cli.app import Verbs, taskd
from taskd.cli.session import Session, Shown, Terminal, lines
from taskd.errors import UsageError

pass_session = click.pass_obj

#: options of `add` that are authored fields of the same name
_FIELDS: Final = ("scope", "risk", "impact", "level", "priority", "assignee", "due", "estimate", "parent")

_SEVERAL: Final = ("tags", "depends_on")


def _task(data: Any, said: str = "") -> Shown:  # noqa: ANN401 - JSON
    def text(terminal: Terminal) -> str:
        if not said:
            return show.task_detail(data, terminal)
        return f"{said}\n" if terminal.tty else f"{data['id']}\n"

    return Shown("task", data, text)


def _tasks(data: Any) -> Shown:  # noqa: ANN401 - JSON
    return Shown("tasks", data, lambda terminal: show.task_list(data, terminal))


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `list` and `ready` share."""
    for option in (
        click.option("--tag", multiple=True, help="Has this tag (repeat: all of them)."),
        click.option("--assignee", help="Is assigned to this person."),
        click.option("--path", help="Lies in this directory or below it."),
        click.option("--priority", multiple=True, help="Has this priority (repeat: one of them)."),
        click.option("--parent", help="Belongs to this task."),
        click.option("--search", metavar="WORDS", help="Has all these words in name, body, tags or notes."),
        click.option("--sort", default="rank", show_default=True, help="rank, id, name, created, updated, …"),
        click.option("--limit", type=click.IntRange(1), help="At most this many."),
        click.option("--after", metavar="ID", help="Continue behind this task."),
    ):
        command = option(command)
    return command


@taskd.command("add")
@click.argument("name")
@click.option("--id", "id_", metavar="ID", help="The id (else one is made from the name).")
@click.option("--path", default="", help="Directory below the tasks directory.")
@click.option("--depends-on", multiple=True, metavar="ID", help="A task that has to be completed first.")
@click.option("--parent", metavar="ID", help="The task it belongs to.")
@click.option("--scope", help="single, narrow, moderate, broad, system")
@click.option("--risk", help="trivial, low, medium, high, critical")
@click.option("--impact", help="isolated, component, phase, project")
@click.option("--level", help="planning, decomposition, implementation, review, research")
@click.option("--priority", help="low, medium, high, critical")
@click.option("--tag", "tags", multiple=True, help="A tag (repeat for more).")
@click.option("--assignee", metavar="NAME")
@click.option("--due", metavar="DATE")
@click.option("--estimate", metavar="HOURS")
@click.option("--criterion", multiple=True, metavar="TEXT", help="A success criterion (repeat for more).")
@click.option("--body", metavar="TEXT", help="The text; `-` reads standard input, `@FILE` a file.")
@click.option("--file", is_flag=True, help="Tracked layout: make the file in this worktree.")
@pass_session
def add(session: Session, /, name: str, **given: Any) -> Shown:  # noqa: ANN401 - click's
    """Make a task.

    \b
      taskd add "Write the parser" --priority high --tag core
      taskd add "Test it" --depends-on write-the-parser --body @notes.md
    """
    values: dict[str, object] = {key: given[key] for key in _FIELDS if given[key] is not None}
    values |= {key: list(given[key]) for key in _SEVERAL if given[key]}
    if given["criterion"]:
        values["success_criteria"] = list(given["criterion"])
    if given["body"] is not None:
        values["body"] = session.read_argument(given["body"])
    made = wire.Add(name, given["id_"], given["path"], values, given["file"])
    data = session.call("add", made)
    return _task(data, f"added {data['id']}")


@taskd.command("list")
@click.option("--status", multiple=True, help="Has this status (repeat: one of them).")
@click.option("--ready", is_flag=True, help="Could be claimed now.")
@click.option("--blocked", is_flag=True, help="Waits for something.")
@click.option("--mine", is_flag=True, help="Is claimed by the caller.")
@click.option("--unassessed", is_flag=True, help="Lacks scope, risk, impact or level.")
@_filters
@pass_session
def list_(session: Session, /, **given: Any) -> Shown:  # noqa: ANN401 - click's
    """List tasks.

    \b
      taskd list --status in-progress --status blocked
      taskd list --ready --priority high --json
    """
    return _tasks(session.call("list", wire.List(**given)))


@taskd.command("ready")
@_filters
@pass_session
def ready(session: Session, /, **given: Any) -> Shown:  # noqa: ANN401 - click's
    """List what can be claimed now, best first."""
    return _tasks(session.call("list", wire.List(ready=True, **given)))


@taskd.command("show")
@click.argument("id_", metavar="ID")
@pass_session
def show_(session: Session, id_: str) -> Shown:
    """Show one task with everything that belongs to it."""
    return _task(session.call("show", wire.One(id_)))


@taskd.command("set")
@click.argument("id_", metavar="ID")
@click.argument("assignments", metavar="FIELD=VALUE…", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Although somebody else has claimed it.")
@pass_session
def set_(session: Session, id_: str, assignments: Sequence[str], force: bool) -> Shown:  # noqa: FBT001 - click's
    """Set authored fields, or keys of your own.

    \b
      taskd set parser priority=high tags+=core estimate=3
      taskd set parser due=            (takes the value out)
      taskd set parser body=@notes.md  (@- reads standard input)
    """
    values, adding, removing = dict[str, object](), dict[str, list[str]](), dict[str, list[str]]()
    for word in assignments:
        key, equals, value = word.partition("=")
        if not equals or not key.rstrip("+-"):
            raise UsageError(reason=f"{word!r} is not FIELD=VALUE")
        if key.endswith(("+", "-")):
            table = adding if key.endswith("+") else removing
            table.setdefault(key[:-1], []).extend(_split(value))
        else:
            values[key] = _value(session, key, value)
    given = wire.Set(id_, values, _tuples(adding), _tuples(removing), force)
    data = session.call("set", given)
    return _task(data, f"set {', '.join((*values, *adding, *removing))} of {data['id']}")


def _value(session: Session, key: str, value: str) -> object:
    if not value:
        return None
    if key in _SEVERAL:
        return _split(value)
    return session.read_argument(value) if value.startswith("@") else value


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _tuples(table: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(items) for key, items in table.items()}


@taskd.command("status")
@click.argument("id_", metavar="ID")
@click.argument("status_", metavar="STATUS")
@click.option("--reason", metavar="TEXT", help="Why it is blocked, or failed.")
@click.option("--force", is_flag=True, help="Although somebody else has claimed it.")
@pass_session
def status(session: Session, id_: str, status_: str, reason: str | None, force: bool) -> Shown:  # noqa: FBT001 - click's
    """Bring a task to a status by a lawful transition.

    \b
      taskd status parser in-progress
      taskd status parser blocked --reason "waits for the vendor"
    """
    data = session.call("status", wire.Move(id_, status_, reason, force=force))
    return _task(data, f"{data['id']} is {data['status']}")


@taskd.command("claim")
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--next", "next_", is_flag=True, help="The best task that is ready.")
@click.option("--resume", is_flag=True, help="With --next: one you hold already comes first.")
@click.option("--ttl", type=float, metavar="SECONDS", help="How long the claim lasts without a sign of life.")
@click.option("--tag", multiple=True, help="With --next: has this tag.")
@click.option("--path", help="With --next: lies there.")
@click.option("--priority", multiple=True, help="With --next: has this priority.")
@click.option("--assignee", help="With --next: is assigned to this person.")
@click.option("--parent", help="With --next: belongs to this task.")
@click.option("--force", is_flag=True, help="Take it from whoever holds it; the journal tells.")
@pass_session
def claim(session: Session, /, id_: str | None, next_: bool, **given: Any) -> Shown:  # noqa: ANN401, FBT001 - click's
    """Take a task for yourself alone. Exactly one of any number of callers gets it.

    \b
      taskd claim parser
      taskd claim --next --tag core
    """
    data = session.call("claim", wire.Claim(id_, next_, **given))
    held = data["claim"]
    return _task(data, f"{held['holder']} has {data['id']} until {held['expires']} (token {held['token']})")


@taskd.command("renew")
@click.argument("id_", metavar="ID")
@click.option("--ttl", type=float, metavar="SECONDS")
@pass_session
def renew(session: Session, id_: str, ttl: float | None) -> Shown:
    """Prolong your claim."""
    data = session.call("renew", wire.Lease(id_, ttl))
    return _task(data, f"{data['id']} is yours until {data['claim']['expires']}")


@taskd.command("release")
@click.argument("id_", metavar="ID")
@click.option("--force", is_flag=True, help="Although somebody else has claimed it.")
@pass_session
def release(session: Session, id_: str, force: bool) -> Shown:  # noqa: FBT001 - click's
    """Give a task back: it is pending again."""
    data = session.call("release", wire.Lease(id_, force=force))
    return _task(data, f"{data['id']} is {data['status']} again")


def _mover(name: str, status_: str, doc: str, *, reason: bool, op: str = "status") -> None:
    """Register a verb that is a transition to one status."""

    @taskd.command(name, help=doc)
    @click.argument("id_", metavar="ID")
    @click.option("--reason", metavar="TEXT", hidden=not reason, help="Why.")
    @click.option("--force", is_flag=True, help="Although somebody else has claimed it.")
    @pass_session
    def move(session: Session, id_: str, reason: str | None, force: bool) -> Shown:  # noqa: FBT001 - click's
        data = session.call(op, wire.Move(id_, status_, reason, force=force))
        return _task(data, f"{data['id']} is {data['status']}")


_mover("fail", "failed", "Say that a task was tried and given up, for now.", reason=True)
_mover("block", "blocked", "Stop a task for a stated reason (--reason).", reason=True, op="block")
_mover("unblock", "", "Let a task that was blocked by hand go on.", reason=False, op="unblock")
_mover("reopen", "", "Take a completed or failed task up again.", reason=False, op="reopen")


@taskd.command("done")
@click.argument("id_", metavar="ID")
@click.option("--summary", metavar="TEXT", help="What was done.")
@click.option("--actual-hours", type=float, metavar="H", help="What it took.")
@click.option("--force", is_flag=True, help="Although somebody else has claimed it.")
@pass_session
def done(session: Session, id_: str, summary: str | None, actual_hours: float | None, force: bool) -> Shown:  # noqa: FBT001 - click's
    """Complete a task.

    \b
      taskd done parser --summary "handles CRLF" --actual-hours 2.5
    """
    data = session.call("status", wire.Move(id_, "completed", None, summary, actual_hours, force))
    return _task(data, f"{data['id']} is completed")


@taskd.group("dep", cls=Verbs)
def dep() -> None:
    """Change what a task waits for."""


@dep.command("add")
@click.argument("id_", metavar="ID")
@click.argument("on", metavar="ON")
@click.option("--force", is_flag=True, help="Although somebody else has claimed it.")
@pass_session
def dep_add(session: Session, id_: str, on: str, force: bool) -> Shown:  # noqa: FBT001 - click's
    """Make ID wait for ON."""
    data = session.call("dep.add", wire.Edge(id_, on, force))
    return _task(data, f"{data['id']} depends on {', '.join(data['depends_on'])}")


@dep.command("rm")
@click.argument("id_", metavar="ID")
@click.argument("on", metavar="ON")
@click.option("--force", is_flag=True, help="Although somebody else has claimed it.")
@pass_session
def dep_rm(session: Session, id_: str, on: str, force: bool) -> Shown:  # noqa: FBT001 - click's
    """Let ID wait for ON no longer."""
    data = session.call("dep.rm", wire.Edge(id_, on, force))
    return _task(data, f"{data['id']} does not wait for {on} any more")


@taskd.command("rm")
@click.argument("id_", metavar="ID")
@click.option("--force", is_flag=True, help="Although somebody else has claimed it.")
@pass_session
def rm(session: Session, id_: str, force: bool) -> Shown:  # noqa: FBT001 - click's
    """Delete a task. `taskd restore` brings it back; its id is never used again."""
    data = session.call("rm", wire.Remove(id_, force))
    return _task(data, f"deleted {data['id']}; `taskd restore {data['id']}` brings it back")


@taskd.command("restore")
@click.argument("id_", metavar="ID")
@pass_session
def restore(session: Session, id_: str) -> Shown:
    """Bring a deleted task back as it was."""
    data = session.call("restore", wire.Remove(id_))
    return _task(data, f"restored {data['id']}")


@taskd.command("history")
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--limit", type=click.IntRange(1), help="The newest so many.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ", help="What came after this entry.")
@pass_session
def history(session: Session, id_: str | None, limit: int | None, after: int) -> Shown:
    """Show who changed what, where, when: of one task or of all."""
    data = session.call("history", wire.History(id_, after, limit))
    return Shown("history", data, lambda terminal: show.history_list(data, terminal))


@taskd.command("problems")
@pass_session
def problems(session: Session) -> Shown:
    """List the files that could not be taken as they are: where, why, and what mends it."""
    data = session.call("problems")
    return Shown("problems", data, lambda terminal: show.problem_list(data, terminal))


@taskd.command("conflicts")
@pass_session
def conflicts(session: Session) -> Shown:
    """List changes that could not both stand; both are kept."""
    data = session.call("conflicts")

    def text(terminal: Terminal) -> str:
        rows = [(str(r["id"]), (r["task"], "bold"), r["field"], r["worktree"], r["since"]) for r in data]
        return show.table(("ID", "TASK", "FIELD", "WORKTREE", "SINCE"), rows, terminal)

    return Shown("conflicts", data, text)


@taskd.command("holds")
@pass_session
def holds(session: Session) -> Shown:
    """List deletions that were held because they looked like an accident."""
    data = session.call("holds")

    def text(terminal: Terminal) -> str:
        rows = [(str(r["id"]), r["worktree"], str(len(r["tasks"])), r["reason"], r["since"]) for r in data]
        return show.table(("ID", "WORKTREE", "TASKS", "REASON", "SINCE"), rows, terminal)

    return Shown("holds", data, text)


@taskd.command("sync")
@click.option("--timeout", type=float, default=30.0, show_default=True, metavar="SECONDS")
@pass_session
def sync(session: Session, timeout: float) -> Shown:
    """Take in everything saved so far, write it everywhere and mirror it, then return."""
    data = session.call("sync", wire.Sync(timeout))
    found = session.call("problems") if data["problems"] else []
    data = {**data, "problems": found}
    duplicates = sum("belongs to" in row["reason"] for row in found)
    remarks = (f"{len(found)} problems; see `taskd problems`",) if found else ()

    def text(terminal: Terminal) -> str:
        told = f"{data['tasks']} tasks in {len(data['worktrees'])} worktrees are in step"
        return f"{told}\n" if terminal.tty else lines([told])

    return Shown("sync", data, text, code=1 if duplicates else 0, remarks=remarks)
