"""The verbs that look and write. Each turns words into one operation and its data into something to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from taskd import wire
from taskd.cli import show
from taskd.cli.app import CallError, Seconds, Verbs, taskd
from taskd.cli.session import Session, Shown, Terminal

pass_session = click.pass_obj
force_option = click.option("--force", is_flag=True, help="Although somebody else has claimed it.")

#: options of `add` that are authored fields of the same name
_FIELDS: Final = ("scope", "risk", "impact", "level", "priority", "assignee", "due", "estimate", "parent")

_SEVERAL: Final = ("tags", "depends_on")


def one_task(data: Any, said: str = "") -> Shown:  # noqa: ANN401 - JSON
    """Show a task: what happened to it in `said`, piped just its id; without `said` all of it."""

    def text(terminal: Terminal) -> str:
        if not said:
            return show.task_detail(data, terminal)
        return f"{said}\n" if terminal.tty else f"{data['id']}\n"

    return Shown("task", data, text)


def _tasks(data: Any) -> Shown:  # noqa: ANN401 - JSON
    return Shown("tasks", data, lambda terminal: show.task_list(data, terminal))


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `list` and `ready` share."""
    for option in reversed(
        (
            click.option("--tag", multiple=True, help="Has this tag (repeat: all of them)."),
            click.option("--assignee", metavar="NAME", help="Is assigned to this person."),
            click.option("--path", metavar="DIR", help="Lies in this directory or below it."),
            click.option("--priority", multiple=True, help="Has this priority (repeat: one of them)."),
            click.option("--parent", metavar="ID", help="Belongs to this task."),
            click.option(
                "--search", metavar="WORDS", help="Has all these words in name, body, tags or notes."
            ),
            click.option(
                "--sort", default="rank", show_default=True, help="rank, id, name, created, updated, …"
            ),
            click.option("--limit", type=click.IntRange(1), metavar="N", help="At most this many."),
            click.option("--after", metavar="ID", help="Continue behind this task."),
        )
    ):
        command = option(command)
    return command


@taskd.command(
    "add",
    examples=(
        'taskd add "Write the parser" --priority high --tag core',
        'taskd add "Test it" --depends-on write-the-parser --body @notes.md',
    ),
)
@click.argument("name")
@click.option("--id", "id_", metavar="ID", help="The id (else one is made from the name).")
@click.option("--path", default="", metavar="DIR", help="Directory below the tasks directory.")
@click.option("--depends-on", multiple=True, metavar="ID", help="A task that has to be completed first.")
@click.option("--parent", metavar="ID", help="The task it belongs to.")
@click.option("--scope", help="single, narrow, moderate, broad, system")
@click.option("--risk", help="trivial, low, medium, high, critical")
@click.option("--impact", help="isolated, component, phase, project")
@click.option("--level", help="planning, decomposition, implementation, review, research")
@click.option("--priority", help="low, medium, high, critical")
@click.option("--tag", "tags", multiple=True, help="A tag (repeat for more).")
@click.option("--assignee", metavar="NAME", help="Who is to do it.")
@click.option("--due", metavar="DATE", help="A date, or a time like 2026-01-31T10:00:00Z.")
@click.option("--estimate", metavar="HOURS", help="What it will take.")
@click.option("--criterion", multiple=True, metavar="TEXT", help="A success criterion (repeat for more).")
@click.option("--body", metavar="TEXT", help="The text; `-` reads standard input, `@FILE` a file.")
@click.option("--file", is_flag=True, help="Tracked layout: make the file in this worktree.")
@pass_session
def add(session: Session, /, name: str, **given: Any) -> Shown:  # noqa: ANN401 - click's
    """Make a task."""
    values: dict[str, object] = {key: given[key] for key in _FIELDS if given[key] is not None}
    values |= {key: list(given[key]) for key in _SEVERAL if given[key]}
    if given["criterion"]:
        values["success_criteria"] = list(given["criterion"])
    if given["body"] is not None:
        values["body"] = session.read_argument(given["body"])
    made = wire.Add(name, given["id_"], given["path"], values, given["file"])
    data = session.call("add", made)
    return one_task(data, f"added {data['id']}")


@taskd.command(
    "list",
    examples=(
        "taskd list --status in-progress --status blocked",
        "taskd list --ready --priority high --json",
    ),
)
@click.option("--status", multiple=True, help="Has this status (repeat: one of them).")
@click.option("--ready", is_flag=True, help="Could be claimed now.")
@click.option("--blocked", is_flag=True, help="Waits for something.")
@click.option("--mine", is_flag=True, help="Is claimed by the caller.")
@click.option("--unassessed", is_flag=True, help="Lacks scope, risk, impact or level.")
@_filters
@pass_session
def list_(session: Session, /, **given: Any) -> Shown:  # noqa: ANN401 - click's
    """List tasks."""
    return _tasks(session.call("list", wire.List(**given)))


@taskd.command("ready", examples=("taskd ready --tag core --limit 5",))
@_filters
@pass_session
def ready(session: Session, /, **given: Any) -> Shown:  # noqa: ANN401 - click's
    """List what can be claimed now, best first."""
    return _tasks(session.call("list", wire.List(ready=True, **given)))


@taskd.command("show", examples=("taskd show parser", "taskd show par --json"))
@click.argument("id_", metavar="ID")
@pass_session
def show_(session: Session, id_: str) -> Shown:
    """Show one task with everything that belongs to it."""
    return one_task(session.call("show", wire.One(id_)))


@taskd.command(
    "set",
    examples=(
        "taskd set parser priority=high tags+=core estimate=3",
        "taskd set parser due=             takes the value out",
        "taskd set parser body=@notes.md   reads a file, @- standard input",
    ),
    epilog="Values: scope single, narrow, moderate, broad, system; risk trivial, low, medium, high, "
    "critical; impact isolated, component, phase, project; level planning, decomposition, "
    "implementation, review, research; priority low, medium, high, critical; due a date or a time; "
    "estimate hours; tags and depends_on lists with commas, also with += and -=.",
)
@click.argument("id_", metavar="ID")
@click.argument("assignments", metavar="FIELD=VALUE…", nargs=-1, required=True)
@force_option
@pass_session
def set_(session: Session, /, id_: str, assignments: Sequence[str], *, force: bool) -> Shown:
    """Set authored fields, or keys of your own."""
    values, adding, removing = dict[str, object](), dict[str, list[str]](), dict[str, list[str]]()
    for word in assignments:
        key, equals, value = word.partition("=")
        if not equals or not key.rstrip("+-"):
            raise CallError(reason=f"{word!r} is not FIELD=VALUE", command="taskd set")
        if key.endswith(("+", "-")):
            table = adding if key.endswith("+") else removing
            table.setdefault(key[:-1], []).extend(_split(value))
        else:
            values[key] = _value(session, key, value)
    given = wire.Set(id_, values, _tuples(adding), _tuples(removing), force)
    data = session.call("set", given)
    named = dict.fromkeys((*values, *adding, *removing))
    return one_task(data, f"set {', '.join(named)} of {data['id']}")


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


@taskd.group("dep", cls=Verbs)
def dep() -> None:
    """Change what a task waits for."""


@dep.command("add", examples=("taskd dep add printer parser   the printer waits for the parser",))
@click.argument("id_", metavar="ID")
@click.argument("on", metavar="ON")
@force_option
@pass_session
def dep_add(session: Session, /, id_: str, on: str, *, force: bool) -> Shown:
    """Make ID wait for ON."""
    data = session.call("dep.add", wire.Edge(id_, on, force))
    return one_task(data, f"{data['id']} depends on {', '.join(data['depends_on'])}")


@dep.command("rm", examples=("taskd dep rm printer parser",))
@click.argument("id_", metavar="ID")
@click.argument("on", metavar="ON")
@force_option
@pass_session
def dep_rm(session: Session, /, id_: str, on: str, *, force: bool) -> Shown:
    """Let ID wait for ON no longer."""
    data = session.call("dep.rm", wire.Edge(id_, on, force))
    return one_task(data, f"{data['id']} does not wait for {on} any more")


@taskd.command("rm", examples=("taskd rm parser",))
@click.argument("id_", metavar="ID")
@force_option
@pass_session
def rm(session: Session, /, id_: str, *, force: bool) -> Shown:
    """Delete a task. `taskd restore` brings it back; its id is never used again.

    Files that git tracks stay where they are; they do not bring the task back unless edited by hand.
    """
    data = session.call("rm", wire.Remove(id_, force))
    left = ", ".join(f"{file['path']} stays in {file['worktree']}" for file in data["files"])
    remarks = [f"{left}: taskd does not write there; edited by hand it restores the task"] if left else []
    if data["blocks"]:
        remarks.append(f"{', '.join(data['blocks'])} waits for it until it is restored or `taskd dep rm`")
    shown = one_task(data, f"deleted {data['id']}; `taskd restore {data['id']}` brings it back")
    return Shown(shown.kind, data, shown.text, remarks=tuple(remarks))


@taskd.command("restore", examples=("taskd restore parser",))
@click.argument("id_", metavar="ID")
@pass_session
def restore(session: Session, id_: str) -> Shown:
    """Bring a deleted task back as it was."""
    data = session.call("restore", wire.Remove(id_))
    return one_task(data, f"restored {data['id']}")


@taskd.command("history", examples=("taskd history parser", "taskd history --limit 20"))
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The newest so many.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ", help="What came after this entry.")
@pass_session
def history(session: Session, id_: str | None, limit: int | None, after: int) -> Shown:
    """Show who changed what, where, when: of one task or of all."""
    data = session.call("history", wire.History(id_, after, limit))
    return Shown("history", data, lambda terminal: show.history_list(data, terminal))


@taskd.command("sync", examples=("taskd sync && git log -1 taskd/workspace",))
@click.option("--timeout", type=Seconds(), default=30.0, show_default=True, metavar="SECONDS")
@pass_session
def sync(session: Session, timeout: float) -> Shown:
    """Take in everything saved so far, write it everywhere, mirror it.

    The exit code is 1 when two files have the same id.
    """
    data = session.call("sync", wire.Sync(timeout))
    found = session.call("problems") if data["problems"] else []
    shown = {**data, "problems": found}
    remarks = [f"{_counted(len(found), 'problems')}; see `taskd problems`"] if found else []
    waiting = [kind for kind in ("conflicts", "holds") if data[kind]]
    remarks += [f"{_counted(data[kind], kind)} open; see `taskd {kind}`" for kind in waiting]
    told = f"in step: {data['tasks']} tasks, worktrees {', '.join(data['worktrees'])}\n"
    return Shown("sync", shown, lambda _: told, code=1 if data["duplicates"] else 0, remarks=tuple(remarks))


def _counted(count: int, nouns: str) -> str:
    return f"{count} {nouns.removesuffix('s') if count == 1 else nouns}"
