"""The command line's frame: global options, which every verb takes too, and how a command is run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from taskd.cli.session import Session, Shown
from taskd.errors import TaskdError, UsageError

SCHEMA: Final = 1  # of the JSON that commands print; raised when a shape changes incompatibly

CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Put an option's value into the session, if it was given."""

    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's
        if value in (None, False, ()):
            return
        session = context.ensure_object(Session) if context.obj is None else context.obj
        if name == "directories":
            session.directories.extend(value)
        else:
            setattr(session, name, value)

    return keep


def _globals(*, hidden: bool) -> list[click.Option]:
    def option(*names: str, to: str, **more: Any) -> click.Option:  # noqa: ANN401 - click's
        return click.Option(names, expose_value=False, hidden=hidden, callback=_keep(to), **more)

    return [
        option("-C", to="directories", multiple=True, metavar="DIR", help="Act as if typed in DIR."),
        option("--json", to="json", is_flag=True, help="Print one JSON object, for programs."),
        option("--actor", to="actor", metavar="NAME", help="Who calls (else TASKD_ACTOR, the worktree)."),
        option("--session", to="session", metavar="S", help="The caller's session (else TASKD_SESSION)."),
        option("--token", to="token", type=int, metavar="N", help="Only if the claim still has this token."),
        option("--request-id", to="request_id", metavar="R", help="A retry with this gets the first answer."),
    ]


class Verb(click.Command):
    """A command that takes the global options behind its name too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's
        """As click's, with the global options added."""
        kwargs["params"] = [*(kwargs.get("params") or []), *_globals(hidden=True)]
        kwargs["context_settings"] = {**CONTEXT, **(kwargs.get("context_settings") or {})}
        super().__init__(*args, **kwargs)


class Verbs(click.Group):
    """A group of verbs that says what was probably meant."""

    command_class = Verb

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; UsageError with the nearest one's name when there is none."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.commands, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(reason=f"there is no verb {args[0]!r}{meant}")
        return super().resolve_command(ctx, args)


Verbs.group_class = Verbs


@click.group("taskd", cls=Verbs, context_settings=CONTEXT, params=_globals(hidden=False))
@click.version_option(package_name="taskd", message="taskd %(version)s")
def taskd() -> None:
    """Keep the tasks of all worktrees of a repository in one live index."""


def run_command(
    argv: Sequence[str],
    session: Session,
    out: Callable[[bytes], None],
    err: Callable[[bytes], None],
) -> int:
    """Run one command line; what it prints goes to `out` and `err`, the exit code is returned."""
    session.json = "--json" in argv  # known even when the rest cannot be understood
    try:
        shown = taskd.main(list(argv), "taskd", standalone_mode=False, obj=session)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.UsageError as error:
        reason = error.format_message().rstrip(".")
        return _tell_error(UsageError(reason=reason[:1].lower() + reason[1:]), session, err)
    except click.Abort:
        return 130
    except TaskdError as error:
        return _tell_error(error, session, err)
    if not isinstance(shown, Shown):
        return 0
    if session.json:
        out(_envelope(shown.kind, "data", shown.data))
    else:
        out(shown.text(session.terminal).encode("utf-8", "surrogateescape"))
    for remark in shown.remarks:
        err(f"taskd: {remark}\n".encode("utf-8", "surrogateescape"))
    return shown.code


def _tell_error(error: TaskdError, session: Session, err: Callable[[bytes], None]) -> int:
    if session.json:
        err(_envelope("error", "error", error.as_data()))
    else:
        told = f"taskd: {error.message}\n" + (f"  {error.advice}\n" if error.advice else "")
        err(told.encode("utf-8", "backslashreplace"))
    return int(error.kind)


def _envelope(kind: str, key: str, body: object) -> bytes:
    text = json.dumps({"schema": SCHEMA, "kind": kind, key: body}, default=str)
    return text.encode() + b"\n"


def internal_error(error: BaseException) -> TaskdError:
    """A fault of ours as an error people are told."""
    return TaskdError(reason=f"{type(error).__name__}: {error}")

