"""The verbs for what taskd leaves to people: conflicts, holds, notices, and files that git carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from taskd import wire
from taskd.cli import show, sides
from taskd.cli.app import CallError, taskd
from taskd.cli.session import Session, Shown, Terminal, lines
from taskd.cli.verbs import force_option, one_task, pass_session


@taskd.command("problems")
@pass_session
def problems(session: Session) -> Shown:
    """List files that could not be taken as they are, and what mends them."""
    data = session.call("problems")
    return Shown("problems", data, lambda terminal: show.problem_list(data, terminal))


@taskd.command("notices", examples=("taskd notices", "taskd notices --json"))
@pass_session
def notices(session: Session) -> Shown:
    """List files that say something old, which was not taken, and the command that takes it."""
    data = session.call("notices")
    return Shown("notices", data, lambda terminal: show.problem_list(data, terminal, "no notices"))


@taskd.command("take", examples=("taskd take parser --from feature-x",))
@click.argument("id_", metavar="ID")
@click.option("--from", "worktree", required=True, metavar="WORKTREE", help="Whose file it is.")
@force_option
@pass_session
def take(session: Session, /, id_: str, worktree: str, *, force: bool) -> Shown:
    """Let a worktree's file speak, old as it may be: what it says differently is your change.

    A status the task had before is not taken: `taskd status` sets it again.
    """
    data = session.call("take", wire.Take(id_, worktree, force))
    remarks = tuple(
        f"{row['field']} was not taken: {row['reason']}; {row['remedy']}" for row in data["refused"]
    )
    shown = one_task(data, f"{data['id']} says what its file in {worktree} says")
    return Shown(shown.kind, data, shown.text, remarks=remarks)


@taskd.command("pull", examples=("taskd pull", "taskd pull parser printer"))
@click.argument("ids", metavar="[ID]…", nargs=-1)
@pass_session
def pull(session: Session, ids: Sequence[str]) -> Shown:
    """Bring task files of this worktree up to date, those that git tracks too; without ID all of them.

    What they say is taken in first. A status is written into those only that show one.
    """
    data = session.call("pull", wire.Pull(tuple(ids)))
    remarks = [f"{row['path']} was not written: {row['reason']}" for row in data if "reason" in row]
    remarks += [
        f"{row['path']}: {', '.join(row['conflicts'])} as the index has it; see `taskd conflicts {row['id']}`"
        for row in data
        if "conflicts" in row
    ]
    code = 1 if any("reason" in row for row in data) else 0
    return Shown("pulled", data, lambda terminal: _pulled(data, terminal), code=code, remarks=tuple(remarks))


def _pulled(rows: Sequence[Mapping[str, Any]], terminal: Terminal) -> str:
    changed = [row for row in rows if row["changed"]]
    if not terminal.tty:
        return lines([f"{row['id']}\t{show.flat(row['path'])}" for row in changed])
    told = [show.flat(row["path"]) for row in changed]
    return lines([*told, f"{len(changed)} of {len(rows)} files brought up to date"])


@taskd.command(
    "conflicts", examples=("taskd conflicts", "taskd conflicts parser", "taskd conflicts 3 --json")
)
@click.argument("id_", metavar="[N|ID]", required=False)
@pass_session
def conflicts(session: Session, id_: str | None) -> Shown:
    """List changes that could not both stand; with a number or a task, show what each side says."""
    data = session.call("conflicts", wire.Conflicts(id_))
    layout = show.conflict_list if id_ is None else sides.conflict_detail
    return Shown("conflicts", data, lambda terminal: layout(data, terminal))


@taskd.command(
    "resolve",
    examples=(
        "taskd resolve 3 --take file                  what the file said goes in",
        "taskd resolve parser priority --take index   what the index says stands",
        "taskd resolve parser body --take @new.md     another value, here from a file",
    ),
    epilog="TEXT can be `@FILE`, or `@-` for standard input; what is not taken stays in `taskd history`.",
)
@click.argument("id_", metavar="N|ID")
@click.argument("field", metavar="[FIELD]", required=False)
@click.option("--take", "take_", required=True, metavar="index|file|TEXT", help="What is to stand.")
@force_option
@pass_session
def resolve(session: Session, /, id_: str, field: str | None, take_: str, *, force: bool) -> Shown:
    """Settle a conflict, by its number or by task and field."""
    if field is None and not id_.isdecimal():
        reason = f"say which field of {id_}, or give the number of a conflict"
        raise CallError(reason=reason, command="taskd resolve")
    known = take_ in ("index", "file")
    value = None if known or not take_ else session.read_argument(take_)
    data = session.call("resolve", wire.Resolve(id_, take_ if known else "value", field, value, force))
    left = data["conflicts"]
    more = f"; {left} more of {data['id']}" if left else ""
    return one_task(data, f"settled{more}")


@taskd.command("holds", examples=("taskd holds", "taskd holds accept 1", "taskd holds drop 1"))
@click.argument("answer", metavar="[accept|drop]", type=click.Choice(["accept", "drop"]), required=False)
@click.argument("number", metavar="[N]", type=int, required=False)
@force_option
@pass_session
def holds(session: Session, /, answer: str | None, number: int | None, *, force: bool) -> Shown:
    """List deletions that wait for your word: they looked like an accident.

    `accept N` deletes the tasks after all, but those whose file is back or that changed since; `drop N`
    lets all of them be.
    """
    if answer is None:
        data = session.call("holds")
        return Shown("holds", data, lambda terminal: show.hold_list(data, terminal))
    if number is None:
        raise CallError(reason=f"say which hold to {answer}", command="taskd holds")
    data = session.call(f"holds.{answer}", wire.Answer(number, force))
    remarks = (
        tuple(f"{row['id']} stays: {row['reason']}" for row in data["kept"]) if answer == "accept" else ()
    )
    return Shown("hold", data, lambda terminal: _answered(data, terminal), remarks=remarks)


def _answered(data: Mapping[str, Any], terminal: Terminal) -> str:
    if not terminal.tty:
        return lines(data["deleted"])
    deleted, kept = len(data["deleted"]), len(data["kept"])
    return f"{deleted} deleted, {kept} left as they are; `taskd restore ID` brings a deleted one back\n"
