"""The command line's frame: global options, which every verb takes too, and how a command is run."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from taskd import __version__, config
from taskd.cli.session import Session, Shown
from taskd.errors import TaskdError, UsageError

SCHEMA: Final = 1  # of the JSON that commands print; raised when a shape changes incompatibly

CONTEXT: Final = {"max_content_width": 100}


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Put an option's value into the session, if it was given."""

    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's
        if value is None or value is False or value == ():
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


def _telling(*names: str, shows: Callable[[click.Context], str], about: str) -> click.Option:
    """An option that prints something, where the session prints, and is all of the command."""

    def tell(context: click.Context, _: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's
        if value and not context.resilient_parsing:
            context.obj.out(_encoded(shows(context) + "\n"))
            context.exit()

    return click.Option(names, is_flag=True, is_eager=True, expose_value=False, help=about, callback=tell)


class Helped(click.Command):
    """A command whose help goes where its session prints: in the daemon that is another process."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """`-h` and `--help`."""
        del ctx
        return _telling("-h", "--help", shows=click.Context.get_help, about="Show this and exit.")


class Seconds(click.ParamType[float]):
    """A span of time in seconds: a finite number between 0 and the longest that a setting may be."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's
        """The number; fails with a sentence."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= config.LONGEST:
            self.fail(f"{value!r} is not a number of seconds from 0 to {config.LONGEST:.0f}", param, ctx)
        return seconds


class Verb(Helped):
    """A command that takes the global options behind its name too."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:  # noqa: ANN401 - click's
        """As click's, with the global options added, and examples that the help shows as they are."""
        self.examples = examples
        kwargs["params"] = [*(kwargs.get("params") or []), *_globals(hidden=True)]
        kwargs["context_settings"] = {**CONTEXT, **(kwargs.get("context_settings") or {})}
        super().__init__(*args, **kwargs)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        _write_lines(formatter, "Examples", self.examples)
        super().format_epilog(ctx, formatter)


def _write_lines(formatter: click.HelpFormatter, title: str, rows: Sequence[str]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write("".join(f"  {row}\n" for row in rows))


class Verbs(Helped, click.Group):
    """A group of verbs that says what was probably meant."""

    command_class = Verb

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's
        """As click's, with our word for a subcommand."""
        super().__init__(*args, **{"subcommand_metavar": "VERB …", **kwargs})

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; UsageError with the nearest one's name when there is none."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise no_such_verb(args[0], self, ctx.command_path)
        return super().resolve_command(ctx, args)

    def sections(self) -> Mapping[str, Sequence[str]]:
        """The names of the verbs by the title they are shown under."""
        return {"Verbs": list(self.commands)}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs, with the first sentence of each one's help."""
        del ctx
        for title, names in self.sections().items():
            verbs = {name: self.commands[name] for name in names}
            with formatter.section(title):
                formatter.write_dl([(name, _summary(v)) for name, v in verbs.items() if not v.hidden])


Verbs.group_class = Verbs


class Program(Verbs):
    """The verbs of `taskd` itself, shown in the order in which people come to need them."""

    def sections(self) -> Mapping[str, Sequence[str]]:
        """The verbs by what they are for; one without a place stands with the last."""
        placed = {name for names in SECTIONS.values() for name in names}
        others = [name for name in self.commands if name not in placed]
        return {**SECTIONS, LAST_SECTION: [*SECTIONS[LAST_SECTION], *others]}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, and how to go on."""
        del ctx
        _write_lines(formatter, "Examples", EXAMPLES)
        formatter.write_paragraph()
        formatter.write_text("`taskd help VERB` tells more. Global options may stand behind the verb too.")


SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Look": ("list", "ready", "show", "history"),
    "Write": ("add", "set", "dep", "rm", "restore"),
    "Work": ("claim", "renew", "release", "done", "fail", "block", "unblock", "reopen", "status"),
    "Keep in step": ("sync", "pull", "problems", "conflicts", "resolve", "notices", "take", "holds"),
    "Set up": ("init", "uninit", "daemon", "service", "config", "where", "demo"),
}
LAST_SECTION: Final = "Set up"

EXAMPLES: Final = (
    "taskd init                               once in a repository",
    'taskd add "Write the parser" --priority high',
    "taskd claim --next                       the best ready task, for you alone",
    'taskd done parser --summary "takes CRLF"',
)


def _summary(command: click.Command) -> str:
    """The first sentence of a verb's help, whole."""
    return " ".join((command.help or "").partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")


class CallError(UsageError):
    """{reason}"""  # noqa: D400 - it is the message

    hint = "see `{command} --help`"


def no_such_verb(name: str, group: click.Group, path: str) -> CallError:
    """What to say of a verb that nobody knows."""
    near = difflib.get_close_matches(name, group.commands, 1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return CallError(reason=f"there is no verb {name!r}{meant}", command=path)


@click.group(
    "taskd",
    cls=Program,
    context_settings=CONTEXT,
    params=[
        *_globals(hidden=False),
        _telling("--version", shows=lambda _: f"taskd {__version__}", about="Show the version and exit."),
    ],
)
def taskd() -> None:
    """Keep the tasks of all worktrees of a repository in one live index."""


@taskd.command("help", hidden=True)
@click.argument("verbs", metavar="[VERB]…", nargs=-1)
@click.pass_context
def help_(context: click.Context, verbs: Sequence[str]) -> Shown:
    """Tell more about a verb."""
    assert context.parent is not None  # noqa: S101 - a verb is always called through `taskd`
    here, command = context.parent, context.parent.command
    for name in verbs:
        if not isinstance(command, click.Group) or name not in command.commands:
            raise no_such_verb(
                name, command if isinstance(command, click.Group) else taskd, here.command_path
            )
        command = command.commands[name]
        here = command.context_class(command, info_name=name, parent=here)
    text = command.get_help(here)
    return Shown("help", text, lambda _: text + "\n")


def run_command(
    argv: Sequence[str], session: Session, err: Callable[[bytes], None], fault: Callable[[Exception], object]
) -> int:
    """Run one command line; it prints to `session.out` and `err`, the exit code is returned.

    What fails is told in the form every command has; of a fault of ours `fault` is told too.
    """
    try:
        shown = _run(argv, session)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except BrokenPipeError:
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        if not _wants_json(session, argv):
            err(_encoded(error.format_message() + "\n"))
            return int(UsageError.kind)  # a script that forgets the verb has a mistake
        return _tell_error(CallError(reason=NO_VERB, command="taskd"), session, argv, err)
    except Exception as error:  # noqa: BLE001 - the last resort: whoever called is told, and gets an exit code
        told = _as_error(error)
        if told.code == INTERNAL:
            fault(error)
        return _tell_error(told, session, argv, err)
    for remark in dict.fromkeys(
        [*config.unknown_variables(session.environ), *session.remarks, *shown.remarks]
    ):
        err(_envelope("remark", "message", remark) if session.json else _encoded(f"taskd: {remark}\n"))
    session.out(_envelope(shown.kind, "data", shown.data) if session.json else _encoded(shown.words))
    return shown.code


@dataclass(frozen=True, slots=True)
class _Said(Shown):
    """What is shown, with its text made: faults in making it are those of the command."""

    words: str = ""


def _run(argv: Sequence[str], session: Session) -> _Said:
    config.check_environment(session.environ)
    with taskd.make_context("taskd", list(argv), obj=session) as context:
        shown = taskd.invoke(context)
    if not isinstance(shown, Shown):
        raise click.exceptions.Exit(shown or 0)  # --help and --version give 0, `daemon run` its exit code
    words = "" if session.json else shown.text(session.terminal)
    return _Said(shown.kind, shown.data, shown.text, shown.code, shown.remarks, words)


def _wants_json(session: Session, argv: Sequence[str]) -> bool:
    """Whether errors are to be JSON: asked for, or it looks so where the rest cannot be understood."""
    return session.json or "--json" in argv


INTERNAL: Final = "internal"
NO_VERB: Final = "name a verb"


class FaultError(TaskdError):
    """this is a fault of taskd: {reason}"""  # noqa: D400 - it is the message

    code = INTERNAL
    hint = "please report it; nothing was said to be done that was not"


def _as_error(error: Exception) -> TaskdError:
    """Anything that can be raised, in the form that people and programs are told."""
    if isinstance(error, TaskdError):
        return error
    if isinstance(error, click.UsageError):
        reason = error.format_message().rstrip(".").replace("Missing command", NO_VERB)
        command = error.ctx.command_path if error.ctx else "taskd"
        return CallError(reason=reason[:1].lower() + reason[1:], command=command)
    if isinstance(error, OSError) and error.strerror:
        return TaskdError(reason=f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return FaultError(reason=f"{type(error).__name__}: {error}")


def _tell_error(
    error: TaskdError, session: Session, argv: Sequence[str], err: Callable[[bytes], None]
) -> int:
    if _wants_json(session, argv):
        err(_envelope("error", "error", error.as_data()))
    else:
        name = "" if error.message.startswith("taskd ") else "taskd: "
        err(_encoded(f"{name}{error.message}\n" + (f"  {error.advice}\n" if error.advice else "")))
    return int(error.kind)


def _encoded(text: str) -> bytes:
    """Text for a terminal or a file; what is no text is shown as escapes, never an error."""
    return text.encode("utf-8", "backslashreplace")


def _envelope(kind: str, key: str, body: object) -> bytes:
    text = json.dumps({"schema": SCHEMA, "kind": kind, key: body}, default=str)
    return text.encode() + b"\n"
