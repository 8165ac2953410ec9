"""The command line's frame: options, errors, exit codes, JSON, help."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import taskd as package
from taskd import client, errors
from taskd.cli.app import SECTIONS, taskd
from taskd.cli.session import Terminal
from taskd.errors import TaskdError
from tests.fronts.conftest import Cli
from tests.system.project import TASKD, Project

SCRIPT = Path(package.__file__).parent / "cli" / "scripts" / "taskd"
WIDE = Terminal(tty=True, columns=100, colour=True)


def test_version(cli: Cli) -> None:
    """The version is told in one line."""
    printed = cli("--version")

    assert (printed.code, printed.out, printed.err) == (0, f"taskd {package.__version__}\n", "")


def test_alone(cli: Cli) -> None:
    """Without a verb the help goes to standard error, with the exit code of a usage error."""
    printed = cli()

    assert (printed.code, printed.out, "taskd claim --next" in printed.err) == (2, "", True)


def test_alone_json(cli: Cli) -> None:
    """A program that forgets the verb gets an error object, as always."""
    printed = cli("--json")

    assert (printed.code, printed.error["code"], printed.error["message"]) == (2, "usage", "name a verb")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lst", "there is no verb 'lst'; did you mean 'list'?"),
        ("xyzzy", "there is no verb 'xyzzy'"),
        ("", "there is no verb ''"),
    ],
)
def test_unknown_verb(cli: Cli, word: str, said: str) -> None:
    """A misspelt verb is a usage error that says what was probably meant."""
    printed = cli(word)

    assert (printed.code, printed.out, printed.err) == (2, "", f"taskd: {said}\n  see `taskd --help`\n")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("list --bogus", "taskd list --help"),
        ("dep foo", "taskd dep --help"),
        ("dep add x", "taskd dep add --help"),
        ("sync --timeout soon", "taskd sync --help"),
        ("sync --timeout nan", "taskd sync --help"),
        ("claim x --ttl 1e300", "taskd claim --help"),
        ("claim", "taskd claim --help"),
        ("set x", "taskd set --help"),
        ("set x nonsense", "taskd set --help"),
        ("block x", "taskd block --help"),
        ("init --shared --tracked", "taskd init --help"),
        ("init --tasks-dir ../x", "taskd init --help"),
        ("help nonsense", "taskd --help"),
        ("help dep nonsense", "taskd dep --help"),
        ("--token x list", "taskd --help"),
    ],
)
def test_usage_errors(cli: Cli, words: str, hint: str) -> None:
    """Wrong words are told in one line, with the command whose help tells how they are right."""
    printed = cli(*words.split())

    assert (printed.code, printed.out) == (2, "")
    assert re.fullmatch(rf"taskd: .+\n  see `{hint}`\n", printed.err)


def test_every_verb_helps(cli: Cli) -> None:
    """Every verb tells what it does, by `help VERB` and by `--help`, whole and without a repository."""
    for name, command in taskd.commands.items():
        shown, asked = cli("help", name, at=Path("/")), cli(name, "--help", at=Path("/"))

        assert (shown.code, shown.err, shown.out) == (0, "", asked.out)
        assert (command.help or "").splitlines()[0].rstrip(".") in " ".join(shown.out.split())


def test_help_has_sections(cli: Cli) -> None:
    """The help lists every verb once, by what it is for, each in a whole sentence."""
    text = cli("--help").out
    listed = re.findall(r"^  ([a-z]+)  +[A-Z]", text, re.MULTILINE)

    assert sorted(listed) == sorted(name for name, verb in taskd.commands.items() if not verb.hidden)
    assert [title for title in SECTIONS if f"\n{title}:\n" in text] == list(SECTIONS)
    assert "..." not in text


@pytest.mark.parametrize("where", ["before", "behind"])
def test_global_options(cli: Cli, project: Project, where: str) -> None:
    """Global options stand before the verb or behind it."""
    options = ["-C", str(project.tree("one")), "--json", "--actor", "zoe", "--session", "s9"]
    name = f"global-{where}"
    words = ["add", name] if where == "behind" else []

    printed = cli(*words, *options, *([] if words else ["add", name]), at=project.base)
    entry = cli.json("history", name)[0]

    assert (printed.code, printed.data["id"]) == (0, name)
    assert (entry["actor"], entry["session"], entry["worktree"]) == ("zoe", "s9", "one")


def test_directories_add_up(cli: Cli, project: Project) -> None:
    """Several -C lead on from each other, as with git; one that is not there is told."""
    printed = cli("-C", project.base, "-C", "one", "where", "--json")
    wrong = cli("-C", project.base, "-C", "none", "where")

    assert printed.data["repo"] == str(project.top)
    assert (wrong.code, wrong.err.splitlines()[0]) == (2, f"taskd: there is no directory {project.base}/none")


def test_token_zero_counts(cli: Cli) -> None:
    """A token of 0 is a token: no claim has it, so nothing is done."""
    cli("add", "x", "--id", "tok")

    printed = cli("set", "tok", "risk=low", "--token", "0", "--json")

    assert (printed.code, printed.error["code"]) == (5, "stale-token")


@pytest.mark.parametrize("option", ["--actor", "--session", "--request-id"])
@pytest.mark.parametrize("value", ["", "a\nb", "x" * 300])
def test_bad_names(cli: Cli, option: str, value: str) -> None:
    """Who calls is a name of one line: it stands in commit messages."""
    assert cli(option, value, "list").code == 2


def test_error_shape(cli: Cli) -> None:
    """With --json an error is one object on standard error, and standard output stays empty."""
    printed = cli("show", "nobody", "--json")

    assert (printed.code, printed.error["code"], printed.error["id"]) == (4, "not-found", "nobody")
    assert set(printed.error) >= {"code", "message", "hint"}


def test_json_as_a_value(cli: Cli) -> None:
    """`--json` as the value of an option is a value."""
    printed = cli("add", "x", "--id", "as-value", "--body", "--json")

    assert (printed.code, printed.out) == (0, "as-value\n")


def test_losers_error(cli: Cli) -> None:
    """Who loses a claim learns in fields who holds it, where, until when, and when to come back."""
    cli("add", "x", "--id", "lost")
    won = cli.json("claim", "lost")["claim"]

    printed = cli("claim", "lost", "--json", "--actor", "bob")

    assert (printed.code, printed.error["code"], printed.error["task"]) == (5, "claimed", "lost")
    assert {key: printed.error[key] for key in ("holder", "worktree", "expires")} == {
        key: won[key] for key in ("holder", "worktree", "expires")
    }
    assert 0 < printed.error["retry_after"] <= 900


def test_not_utf8(project: Project) -> None:
    """Arguments in no encoding are refused in a sentence and leave nothing behind, daemon or none."""
    for words in ([b"add", b"\xff\xfe"], [b"show", b"\xff"], [b"--actor", b"\xff", b"list"], [b"\xff"]):
        done = subprocess.run(
            [*map(os.fsencode, TASKD), *words],
            cwd=project.top,
            env={**os.environb, b"TASKD_NO_DAEMON": b"1"},
            capture_output=True,
            timeout=60,
            check=False,
        )

        assert (done.returncode in (2, 4), done.stdout, b"Traceback" in done.stderr) == (True, b"", False)
        assert done.stderr.startswith(b"taskd: ")


def test_unknown_variable_is_told_once(cli: Cli) -> None:
    """A TASKD_ variable that means nothing is told on standard error, once, and harms nothing."""
    printed = cli("sync", env={"TASKD_LEASES": "1"})
    as_json = cli("list", "--json", env={"TASKD_LEASES": "1"})

    assert (printed.code, printed.err.count("TASKD_LEASES")) == (0, 1)
    assert (as_json.code, json.loads(as_json.err)["kind"], isinstance(as_json.data, list)) == (
        0,
        "remark",
        True,
    )


def test_wrong_variable_is_refused(cli: Cli) -> None:
    """A setting in the environment that cannot be taken stops every verb, naming the variable."""
    printed = cli("list", env={"TASKD_LEASE": "soon"})

    assert (printed.code, "TASKD_LEASE" in printed.err) == (2, True)


OUTSIDE = ["list", "init", "where", "sync", "daemon start", "daemon status", "config list", "service status"]


@pytest.mark.parametrize("words", OUTSIDE)
def test_outside_of_a_repository(cli: Cli, tmp_path: Path, words: str) -> None:
    """Outside of a repository every verb says so, with exit code 2, and writes nothing."""
    printed = cli(*words.split(), at=tmp_path)

    assert (printed.code, printed.out) == (2, "")
    assert printed.err.startswith(f"taskd: {tmp_path} is not in a git repository\n")
    assert list(tmp_path.iterdir()) == []


def _everything(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in sorted(root.rglob("*"))}


@pytest.mark.parametrize(
    "words", ["list", "init", "sync", "daemon start", "daemon status", "add x", "uninit"]
)
def test_bare_without_worktrees(cli: Cli, tmp_path: Path, git: Callable[..., str], words: str) -> None:
    """In a bare repository without worktrees there is nowhere to keep files: said, and nothing written."""
    git(tmp_path, "init", "-q", "--bare", "b.git")
    before = _everything(tmp_path)

    printed = cli(*words.split(), at=tmp_path / "b.git")

    assert (printed.code, "Traceback" in printed.err) == (0 if words == "uninit" else 2, False)
    assert ("bare repository without worktrees" in printed.err) is (words != "uninit")
    assert _everything(tmp_path) == before


NOT_SET_UP = (
    "list; add x; claim --next; sync; problems; daemon start; daemon status; daemon restart; daemon logs; "
    "service install; history; show x; set x y=z; rm x"
)


@pytest.mark.parametrize("words", NOT_SET_UP.split("; "))
def test_not_set_up(cli: Cli, make_repo: Callable[..., Path], words: str) -> None:
    """Before `taskd init` every verb names it, and nothing is written, not even by looking."""
    top = make_repo()
    before = _everything(top)

    printed = cli(*words.split(), at=top)

    assert printed.err == f"taskd is not set up in {top}\n  run `taskd init` once in this repository\n"
    assert (printed.code, printed.out, _everything(top)) == (2, "", before)


@pytest.mark.parametrize(
    "words", ["where", "config list", "uninit", "daemon stop", "service status", "init --dry-run"]
)
def test_harmless_before_init(cli: Cli, make_repo: Callable[..., Path], words: str) -> None:
    """What can be answered without being set up is, and writes nothing."""
    top = make_repo()
    before = _everything(top)

    printed = cli(*words.split(), at=top)

    assert (printed.code, printed.err, _everything(top)) == (0, "", before)


def test_reader_gone(project: Project) -> None:
    """`taskd list | head -0` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    env = {**os.environ, "TASKD_NO_DAEMON": "1"}

    argv = [sys.executable, "-m", "taskd", "config", "list"]
    done = subprocess.run(argv, cwd=project.top, env=env, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, b"")


def test_directory_gone(tmp_path: Path) -> None:
    """Called in a directory that was removed meanwhile, taskd says so."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from taskd.cli.main import main; sys.exit(main(['list']))"

    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=gone, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr) == (2, "taskd: the directory this was called in is gone\n")


def test_fault_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is told as one, with exit code 1, and handed to whoever keeps the log."""
    boom = ValueError("boom")

    def fail(*_: object) -> None:
        raise boom

    monkeypatch.setattr(client, "where", fail)

    with pytest.raises(ValueError, match="boom"):
        cli("where")


def _subclasses(kind: type[TaskdError]) -> list[type[TaskdError]]:
    return [kind, *(one for sub in kind.__subclasses__() for one in _subclasses(sub))]


def test_hints_name_real_verbs() -> None:
    """Every command that an error's hint names exists."""
    kinds = [kind for kind in _subclasses(TaskdError) if kind.__module__ == errors.__name__]
    named = {verb for kind in kinds for verb in re.findall(r"`taskd ([a-z]+)", kind.hint)}

    assert named - set(taskd.commands) == set()


def test_session_variables_agree() -> None:
    """The short way in passes on every variable that can say which session calls."""
    tree = ast.parse(SCRIPT.read_text())
    (passed,) = [
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PASSED"
    ]

    # the script passes on everything that begins with TASKD_ besides
    assert [n for n in client.SESSIONS if n.encode() not in passed and not n.startswith("TASKD_")] == []


def test_local_verbs_agree() -> None:
    """The verbs that are about this process and machine are the ones the short way in leaves to it."""
    tree = ast.parse(SCRIPT.read_text())
    (local,) = [
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LOCAL"
    ]

    assert {"init", "uninit", "daemon", "service", "demo", "help"} <= set(local)


def test_python_m(project: Project) -> None:
    """`python -m taskd` is the same program."""
    argv = [sys.executable, "-m", "taskd", "where", "--json"]
    done = subprocess.run(argv, cwd=project.top, capture_output=True, text=True, check=True, timeout=60)

    assert json.loads(done.stdout)["data"]["repo"] == str(project.top)


def test_start_is_lean(project: Project) -> None:
    """A verb in its own process loads nothing it does not need: no tables, no log, no scheduler."""
    env = {**os.environ, "TASKD_NO_DAEMON": "1"}
    argv = [sys.executable, "-X", "importtime", "-m", "taskd", "list"]

    done = subprocess.run(
        argv, cwd=project.top, env=env, capture_output=True, text=True, check=True, timeout=60
    )

    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert loaded & {"rich", "structlog", "apscheduler", "watchdog", "sqlite_utils"} == set()
