"""The verbs about tasks, in a real repository: what each does, refuses and answers, and in which shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskd.cli.session import Terminal
from tests.fronts.conftest import Cli
from tests.system.project import Project

TTY = Terminal(tty=True, columns=100, colour=False)
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"

#: the keys of a task in JSON, which programs rely on
TASK_KEYS = (
    "id name status path depends_on parent scope risk impact level priority tags assignee due estimate "
    "success_criteria created modified body started completed completion_summary actual_hours revision ready "
    "blocked_by blocks claim notes progress extra files created_at updated_at"
)

EVERY_VALUE = (
    "--id every --path a/b --priority high --scope narrow --risk low --impact phase --level review --tag t1 "
    "--tag t2 --assignee Bo --due 2030-01-31 --estimate 1.5 --criterion tested --body Text. --parent up"
)


@pytest.fixture
def task(cli: Cli, request: pytest.FixtureRequest) -> str:
    """The id of a task of this test's own."""
    name = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")
    made: str = cli.json("add", name)["id"]
    return made


def test_add_answers_with_the_task(cli: Cli) -> None:
    """`add` gives the whole task, every value as it was given."""
    made = cli.json("add", "Every value", *EVERY_VALUE.split())

    assert set(made) >= set(TASK_KEYS.split())
    given = {"path": "a/b", "priority": "high", "tags": ["t1", "t2"], "due": "2030-01-31", "estimate": 1.5}
    assert {key: made[key] for key in given} == given
    assert (made["status"], made["ready"], made["claim"], made["revision"]) == ("pending", True, None, 1)
    assert [item["criterion"] for item in made["success_criteria"]] == ["tested"]


def test_add_is_a_file_everywhere(cli: Cli, project: Project) -> None:
    """In the shared layout a task added by a command is a file in every worktree."""
    cli("add", "On disk", "--id", "on-disk")

    assert [project.file("on-disk.md", tree).exists() for tree in ("main", "one", "two", "live")] == [
        True
    ] * 4


def test_add_reads_its_body(cli: Cli, tmp_path: Path) -> None:
    """A body comes from standard input, from a file beside the caller, or as it is."""
    (tmp_path / "notes.md").write_text("From a file.\n")

    bodies = [
        cli.json("add", "b1", "--body", "-", stdin=b"From a pipe.\n")["body"],
        cli.json("add", "b2", "--body", f"@{tmp_path}/notes.md")["body"],
        cli.json("add", "b3", "--body", "As it is.")["body"],
    ]

    assert [body.strip() for body in bodies] == ["From a pipe.", "From a file.", "As it is."]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["", "--id", "bad"], 2, "a task needs a name"),
        (["x", "--id", "Bad Id"], 2, "lower-case letters"),
        (["x", "--id", "bad", "--path", "../up"], 2, "a directory below"),
        (["x", "--id", "bad", "--priority", "urgent"], 2, "choose one of low, medium, high, critical"),
        (["x", "--id", "bad", "--due", "soon"], 2, "must be a date"),
        (["x", "--id", "bad", "--estimate", "long"], 2, "must be hours"),
        (["x", "--id", "bad", "--depends-on", "nobody"], 4, "no task 'nobody'"),
        (["x", "--id", "bad", "--body", "@nowhere"], 2, "No such file"),
        (["x", "--id", "bad", "--body", "-"], 2, "standard input is not UTF-8"),
    ],
)
def test_add_refuses(cli: Cli, words: list[str], code: int, said: str) -> None:
    """What cannot be is refused with the reason, and no task is made."""
    printed = cli("add", *words, stdin=b"\xff")

    assert (printed.code, printed.out, said in printed.err) == (code, "", True)
    assert cli("show", "bad").code == 4


def test_ids_are_taken_once(cli: Cli, task: str) -> None:
    """An id asked for twice is refused; one made from the same name gets a suffix."""
    again = cli("add", "x", "--id", task, "--json")
    other = cli.json("add", task.replace("-", " "))["id"]

    assert (again.code, again.error["code"]) == (5, "id-taken")
    assert (other.startswith(f"{task}-"), other != task) == (True, True)


def test_show_takes_a_prefix(cli: Cli) -> None:
    """The unique beginning of an id is enough; a shared one names the candidates."""
    for name in ("prefix-one", "prefix-two"):
        cli("add", name)

    unclear = cli("show", "prefix", "--json")

    assert cli.json("show", "prefix-o")["id"] == "prefix-one"
    assert (unclear.code, unclear.error["code"]) == (2, "ambiguous")
    assert "prefix-one" in unclear.error["candidates"]


NAMING = """show X; set X risk=low; status X completed; claim X; renew X; release X; done X; fail X;
block X --reason y; unblock X; reopen X; rm X; restore X; history X; dep add X y; dep rm X y"""


@pytest.mark.parametrize("line", NAMING.split(";"))
def test_unknown_id(cli: Cli, line: str) -> None:
    """Every verb that names a task says when there is none, with exit code 4."""
    printed = cli(*line.replace("X", "nobody-there").split())

    assert (printed.code, printed.out, "no task 'nobody-there'" in printed.err) == (4, "", True)


def test_set_changes_fields(cli: Cli, task: str) -> None:
    """`set` sets, adds to, takes from and empties; own keys stay as written."""
    cli("set", task, "priority=high", "tags=a,b", "estimate=2", "ticket=0012", "name=Other name")
    done = cli.json("set", task, "priority=", "tags+=c", "tags-=a", "estimate=3.5")

    assert (done["priority"], done["tags"], done["estimate"]) == (None, ["b", "c"], 3.5)
    assert (done["extra"], done["name"], done["revision"]) == ({"ticket": "0012"}, "Other name", 3)


def test_set_body(cli: Cli, task: str) -> None:
    """A body is read from standard input."""
    assert cli.json("set", task, "body=@-", stdin=b"New.\n")["body"].strip() == "New."


@pytest.mark.parametrize(
    "word", ["status=completed", "claim=x", "risk=huge", "due=x", "tags+=\x07", "id=y", "a b=c"]
)
def test_set_refuses(cli: Cli, task: str, word: str) -> None:
    """What belongs to the index or is no value of the field is refused, and nothing changes."""
    before = cli.json("show", task)

    printed = cli("set", task, "level=review", word)

    assert (printed.code in (2, 5), printed.out) == (True, "")
    assert cli.json("show", task) == before


def test_lifecycle(cli: Cli, task: str) -> None:
    """A task goes through its life by verbs, and each answers with its status."""
    steps: list[tuple[list[str], str]] = [
        (["status", task, "in-progress"], "in-progress"),
        (["block", task, "--reason", "vendor"], "blocked"),
        (["unblock", task], "in-progress"),
        (["fail", task, "--reason", "no luck"], "failed"),
        (["reopen", task], "pending"),
        (["done", task, "--summary", "at last", "--actual-hours", "2"], "completed"),
        (["reopen", task], "pending"),
        (["status", task, "DONE"], "completed"),
    ]

    assert [cli.json(*words)["status"] for words, _ in steps] == [status for _, status in steps]


@pytest.mark.parametrize(
    "words", [["release"], ["renew"], ["unblock"], ["reopen"], ["status", "", "pending"]], ids=lambda w: w[0]
)
def test_unlawful(cli: Cli, words: list[str], request: pytest.FixtureRequest) -> None:
    """A transition that is not lawful is refused with exit code 5, and nothing changes."""
    task = cli.json("add", f"unlawful {request.node.callspec.id}")["id"]

    printed = cli(*([word or task for word in words] if "" in words else [*words, task]), "--json")

    assert (printed.code, printed.error["code"] in ("unlawful", "not-holder")) == (5, True)
    assert cli.json("show", task)["revision"] == 1


def test_unlawful_names_the_lawful(cli: Cli, task: str) -> None:
    """The refusal names the statuses that can be asked for instead."""
    cli("done", task)

    error = cli("fail", task, "--json").error

    assert (error["status"], error["wanted"], error["lawful"]) == ("completed", "failed", "pending")


def test_claim_is_exclusive(cli: Cli, task: str) -> None:
    """A claim shows its holder; others are refused for everything but looking, unless they force."""
    claim = cli.json("claim", task)["claim"]
    others = {"TASKD_ACTOR": "bob", "TASKD_SESSION": "two"}
    verbs: list[list[str]] = [
        ["claim", task],
        ["set", task, "risk=low"],
        ["done", task],
        ["release", task],
        ["rm", task],
    ]

    codes = [cli(*words, env=others).code for words in verbs]
    forced = cli.json("release", task, "--force", env=others)

    assert (set(claim), claim["holder"]) == (
        {"holder", "session", "worktree", "token", "since", "expires"},
        "alice",
    )
    assert (codes, forced["claim"], forced["status"]) == ([5] * 5, None, "pending")
    assert "--force" in cli.json("history", task)[-1]["cause"]


def test_claim_renewed_and_released(cli: Cli, task: str) -> None:
    """The holder prolongs its claim by renewing or claiming again, and gives it back."""
    first = cli.json("claim", task, "--ttl", "60")["claim"]
    second = cli.json("renew", task, "--ttl", "600")["claim"]
    third = cli.json("claim", task)["claim"]
    freed = cli.json("release", task)

    assert first["expires"] < second["expires"] < third["expires"]
    assert first["token"] == second["token"] == third["token"]
    assert (freed["claim"], freed["status"]) == (None, "pending")


def test_claim_next(cli: Cli) -> None:
    """`claim --next` takes the best ready task among those the filters leave; with none, exit code 3."""
    for priority in ("low", "critical", "high"):
        cli("add", priority, "--id", f"nx-{priority}", "--priority", priority, "--tag", "nx")

    taken = [cli.json("claim", "--next", "--tag", "nx")["id"] for _ in range(3)]
    none = cli("claim", "--next", "--tag", "nx", "--json")
    resumed = cli.json("claim", "--next", "--tag", "nx", "--resume")["claim"]["holder"]

    assert taken == ["nx-critical", "nx-high", "nx-low"]
    assert (none.code, none.error["code"], resumed) == (3, "nothing", "alice")
    for name in taken:
        cli("release", name)


def test_dependencies(cli: Cli) -> None:
    """Who waits is shown as blocked and cannot begin; completing what it waits for sets it free."""
    for name in ("dep-a", "dep-b"):
        cli("add", name)

    waiting = cli.json("dep", "add", "dep-b", "dep-a")
    codes = [cli(*words.split()).code for words in ("claim dep-b", "done dep-b", "dep add dep-a dep-b")]
    blocked = [row["id"] for row in cli.json("list", "--blocked")]
    cli("done", "dep-a")
    free = cli.json("show", "dep-b")

    assert (waiting["status"], waiting["blocked_by"], codes) == ("blocked", ["dep-a"], [5, 5, 5])
    assert ("dep-b" in blocked, free["status"], free["ready"]) == (True, "pending", True)
    assert cli.json("dep", "rm", "dep-b", "dep-a")["depends_on"] == []


def test_rm_and_restore(cli: Cli, task: str, project: Project) -> None:
    """A deleted task is gone from lists and files, keeps its id, and comes back as it was."""
    before = cli.json("set", task, "risk=low")
    cli("rm", task)
    gone = (
        cli("show", task).code,
        cli("add", "x", "--id", task).code,
        project.file(f"{task}.md", "one").exists(),
    )
    back = cli.json("restore", task)

    assert gone == (4, 5, False)
    assert (back["risk"], back["name"], project.file(f"{task}.md", "one").exists()) == (
        "low",
        before["name"],
        True,
    )


def test_list_filters(cli: Cli) -> None:
    """Filters narrow a list, all of them at once; nothing found is an empty list and exit code 0."""
    cli("add", "lf1", "--tag", "lf", "--priority", "high", "--path", "deep/er", "--assignee", "Kim")
    cli("add", "lf2", "--tag", "lf", "--tag", "x", "--body", "Needle.")

    def found(*words: str) -> list[str]:
        return [row["id"] for row in cli.json("list", "--tag", "lf", *words)]

    assert found() == ["lf1", "lf2"]
    assert [found("--tag", "x"), found("--path", "deep"), found("--assignee", "Kim")] == [
        ["lf2"],
        ["lf1"],
        ["lf1"],
    ]
    assert [found("--search", "needle"), found("--priority", "low"), found("--limit", "1")] == [
        ["lf2"],
        [],
        ["lf1"],
    ]
    assert found("--sort", "id", "--after", "lf1") == ["lf2"]
    assert cli("list", "--tag", "none-has-it").out == ""


def test_list_mine(cli: Cli, task: str) -> None:
    """`list --mine` shows what the caller has claimed."""
    cli("claim", task)

    assert task in [row["id"] for row in cli.json("list", "--mine")]
    assert cli.json("list", "--mine", "--actor", "nobody") == []


def test_list_agrees_with_show(cli: Cli, task: str) -> None:
    """A task in a list has the same keys and values as shown alone, but for files and records."""
    shown = cli.json("show", task)
    (listed,) = [row for row in cli.json("list") if row["id"] == task]

    assert {**listed, "files": None} == {**shown, "files": None}
    assert {(file["worktree"], file["path"], file["state"]) for file in shown["files"]} >= {
        ("main", f"{task}.md", "current"),
        ("one", f"{task}.md", "current"),
    }


def test_history_tells_all(cli: Cli, task: str) -> None:
    """The journal says who changed which field from what to what, where and by which command."""
    cli("set", task, "risk=low", "--actor", "zoe")
    entry = cli.json("history", task)[-1]

    assert set(entry) >= {"seq", "at"}
    assert [entry[key] for key in ("task", "field", "old", "new")] == [task, "risk", None, "low"]
    assert [entry[key] for key in ("actor", "worktree", "cause")] == ["zoe", "main", "set"]


def test_history_in_parts(cli: Cli, task: str) -> None:
    """The newest entries, or those behind one."""
    for risk in ("low", "medium", "high"):
        cli("set", task, f"risk={risk}")
    seqs = [row["seq"] for row in cli.json("history", task)]

    assert [row["seq"] for row in cli.json("history", task, "--limit", "2")] == seqs[-2:]
    assert [row["seq"] for row in cli.json("history", task, "--after", str(seqs[1]))] == seqs[2:]


def test_request_id(cli: Cli) -> None:
    """A retry with the same request id gets the first answer, and nothing is done twice."""
    first = cli.json("add", "Only once", "--request-id", "once-1")
    second = cli.json("add", "Only once", "--request-id", "once-1")

    assert first == second
    assert len([row for row in cli.json("list") if row["name"] == "Only once"]) == 1


@pytest.fixture
def lone(tmp_path: Path, make_repo: Callable[..., Path]) -> Cli:
    """A repository of its own, for what would disturb others."""
    cli = Cli(make_repo(tmp_path / "lone"), {"TASKD_ACTOR": "alice"})
    cli("init")
    return cli


def test_problems_shape(lone: Cli) -> None:
    """A file that cannot be taken is listed with line, reason and remedy; everything else goes on."""
    (lone.at / "tasks" / "broken.md").write_text("---\nid: broken\nid: twice\n---\n")
    (lone.at / "tasks" / "good.md").write_text("---\nname: Good\n---\n")

    synced = lone("sync", "--json")
    (problem,) = lone.json("problems")

    assert {key: problem[key] for key in ("worktree", "path")} == {"worktree": "main", "path": "broken.md"}
    assert (problem["line"] > 0, bool(problem["reason"]), bool(problem["remedy"])) == (True, True, True)
    assert (synced.code, [row["path"] for row in synced.data["problems"]]) == (0, ["broken.md"])
    assert [row["id"] for row in lone.json("list")] == ["good"]


def test_sync_tells_duplicates(lone: Cli) -> None:
    """Two files with one id make `sync` exit with 1, say so, and the rest is synced all the same."""
    lone("add", "Twin", "--id", "twin")
    (lone.at / "tasks" / "copy.md").write_text((lone.at / "tasks" / "twin.md").read_text())
    (lone.at / "tasks" / "other.md").write_text("---\nname: Other\n---\n")

    printed = lone("sync")

    assert (printed.code, "1 problem; see `taskd problems`" in printed.err) == (1, True)
    assert [row["id"] for row in lone.json("list", "--sort", "id")] == ["other", "twin"]


@pytest.mark.parametrize("verb", ["conflicts", "holds", "problems"])
def test_nothing_to_tell(lone: Cli, verb: str) -> None:
    """Where there is nothing to tell, a terminal says so; a pipe gets nothing, a program an empty list."""
    printed: list[Any] = [lone(verb, terminal=TTY).out, lone(verb).out, lone.json(verb)]

    assert printed == [f"no {verb}\n", "", []]


def test_said_on_a_terminal(cli: Cli, task: str) -> None:
    """A person is told what happened in a sentence; a script gets the id."""
    assert cli("set", task, "risk=low", "tags+=x", terminal=TTY).out == f"set risk, tags of {task}\n"
    assert cli("claim", task, terminal=TTY).out.startswith(f"{task} is yours until 2")
    assert cli("done", task).out == f"{task}\n"
