"""The same question gets the same answer with the daemon and without: verb by verb, in twin repositories."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fronts.conftest import Cli
from tests.system.project import COMMAND_LIMIT, TASKD, Project, make_project, serving

WHO: Final[dict[str, str]] = {"TASKD_ACTOR": "alice", "TASKD_SESSION": "one"}
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
SUFFIX: Final = re.compile(r"same-name-[0-9a-f]{4}")
COMMIT: Final = re.compile(r"\b[0-9a-f]{40}\b")
WAIT: Final = re.compile(r"(retry_after\": |in )\d+")


@dataclass(frozen=True)
class Step:
    """One command: its words, the worktree, its standard input, and what is saved there before it.

    `saved` is a task file's name, a part of it, and what stands in its place then.
    """

    words: tuple[str, ...]
    at: str = "main"
    stdin: str = ""
    saved: tuple[str, str, str] | None = None


def _step(line: str, at: str = "main", stdin: str = "") -> Step:
    return Step(tuple(line.split()), at, stdin)


#: every verb of the command line that is about tasks, as it succeeds and as it is refused
STEPS: Final[Sequence[Step]] = (
    _step("where"),
    _step("config list --sources"),
    _step("list"),
    Step(
        (
            "add",
            "Write the parser",
            "--id",
            "parser",
            "--priority",
            "high",
            "--tag",
            "core",
            "--estimate",
            "3",
        )
    ),
    Step(
        ("add", "Write the printer", "--id", "printer", "--depends-on", "parser", "--body", "-"),
        "one",
        "Body.\n",
    ),
    Step(("add", "Same name")),
    Step(("add", "Same name")),
    _step("add x --id deep --path a/b --assignee bob --due 2030-01-31 --criterion tested"),
    _step("add x --id parser"),
    _step("add x --priority urgent"),
    _step("add x --depends-on nobody"),
    _step("add x --path ../x"),
    _step("add x --unknown"),
    _step("add"),
    Step(("add", "")),
    _step("sync"),
    _step("list"),
    _step("list --status pending --sort name"),
    _step("list --blocked", "two"),
    _step("list --path a --assignee bob"),
    _step("list --search printer"),
    _step("list --unassessed --limit 1 --sort id"),
    _step("list --limit 1 --sort id --after deep"),
    _step("list --status nonsense"),
    _step("list --sort nonsense"),
    _step("ready"),
    _step("show parser"),
    _step("show pars", "two"),
    _step("show p"),
    _step("show nobody"),
    _step("set parser priority=critical tags+=x,y tags-=core risk=low own_key=0012"),
    _step("set parser body=@-", "one", "A new\nbody.\n"),
    _step("set parser own_key= risk="),
    _step("set parser risk=huge"),
    _step("set parser status=done"),
    _step("set parser nonsense"),
    _step("set nobody risk=low"),
    _step("dep add deep printer"),
    _step("dep add parser deep"),
    _step("dep add deep nobody"),
    _step("dep rm deep printer"),
    _step("dep rm deep printer"),
    _step("claim printer"),
    _step("claim parser --actor bob", "one"),
    _step("claim parser"),
    _step("claim parser --json"),
    _step("renew parser --actor bob --ttl 5000", "one"),
    _step("renew parser"),
    _step("set parser risk=high"),
    _step("set parser risk=high --force"),
    _step("status parser completed --token 99 --actor bob", "one"),
    _step("release parser"),
    _step("release parser --actor bob", "one"),
    _step("claim --next --tag x"),
    _step("claim --next --tag nobody-has"),
    _step("claim"),
    _step("claim parser --next"),
    _step("list --mine"),
    _step("block parser"),
    Step(("block", "parser", "--reason", "waits for the vendor")),
    _step("unblock parser"),
    _step("unblock parser"),
    Step(("done", "parser", "--summary", "takes CRLF", "--actual-hours", "2.5")),
    _step("done parser"),
    _step("show printer"),
    _step("status printer in-progress", "two"),
    _step("status printer IN_PROGRESS", "two"),
    _step("status printer nonsense"),
    Step(("fail", "printer", "--reason", "no paper")),
    _step("reopen printer"),
    _step("reopen printer"),
    _step("reopen parser"),
    _step("add x --id gone"),
    _step("rm gone"),
    _step("rm gone"),
    _step("show gone"),
    _step("add x --id gone"),
    _step("restore gone"),
    _step("restore gone"),
    _step("restore nobody"),
    _step("history"),
    _step("history parser --limit 2"),
    _step("history parser --after 9"),
    _step("history nobody"),
    _step("problems"),
    _step("notices"),
    Step(("sync",), "one", saved=("parser.md", "depends_on: []", "depends_on: [printer]")),
    _step("conflicts"),
    _step("conflicts parser", "two"),
    _step("conflicts 1 --json"),
    _step("conflicts nobody"),
    _step("show parser --json"),
    _step("resolve parser depends_on --take file", "one"),
    _step("resolve parser --take index"),
    _step("resolve parser nonsense --take index"),
    _step("resolve 1"),
    _step("resolve 1 --take index", "one"),
    _step("resolve 1 --take index"),
    _step("history parser --limit 1 --json"),
    _step("holds"),
    _step("holds accept"),
    _step("holds accept 7"),
    _step("holds drop 7 --json"),
    _step("take parser --from one"),
    _step("take parser --from nowhere"),
    _step("take parser"),
    _step("pull"),
    _step("pull parser --json", "two"),
    _step("pull nobody"),
    _step("--request-id r1 add x --id once"),
    _step("--request-id r1 add x --id once"),
    _step("nonsense"),
    _step("lst"),
    _step("dep"),
    _step("help claim"),
    _step("--version"),
    _step("list --json"),
    _step("history --json"),
    _step("sync --json"),
)


Printed = tuple[int, str, str]


class Twin:
    """A repository in which every step is taken; `take` runs one and gives exit code and both outputs."""

    def __init__(self, project: Project, take: Callable[[Path, Step], Printed]) -> None:
        """Of a project, with the way commands are run in it."""
        self.project, self._take = project, take

    def take(self, step: Step) -> Printed:
        """Exit code and both outputs, without what differs by nature."""
        if step.saved is not None:
            name, old, new = step.saved
            text = self.project.file(name, step.at).read_text()
            assert old in text
            self.project.save(name, text.replace(old, new), step.at)
        code, out, err = self._take(self.project.tree(step.at), step)
        return code, self.plain(out), self.plain(err)

    def plain(self, text: str) -> str:
        """A text without places, times, commits and made-up suffixes."""
        text = re.sub(r"[\w./-]+\.sock\b", "<socket>", text.replace(str(self.project.base), "<base>"))
        text = COMMIT.sub("<commit>", TIME.sub("<time>", WAIT.sub(r"\1<wait>", text)))
        return _without_files(SUFFIX.sub("same-name-<id>", text))

    def index(self) -> dict[str, Any]:
        """Everything the index holds, in every detail that is to be the same."""
        self.project.sync()
        tasks = json.loads(self.take(_step("list --json"))[1])["data"]
        shown = {
            task["id"]: self.plain(json.dumps(self.project.show(task["id"])))
            for task in tasks
            if "<id>" not in task["id"]
        }
        return {"tasks": tasks, "shown": shown, "history": self.take(_step("history --json"))[1]}

    def files(self) -> dict[str, str]:
        """Every task file of every worktree and of the workspace directory."""
        roots = [self.project.file("", tree) for tree in ("main", "one", "two", "live")]
        paths = [path for root in roots for path in sorted(Path(root).rglob("*.md"))]
        return {self.plain(str(path)): self.plain(path.read_text()) for path in paths}


def _without_files(text: str) -> str:
    """A task's files are written behind its answer when a daemon does it."""
    return re.sub(r'"files": \[[^]]*\]', '"files": []', text)


def _by_daemon(directory: Path, step: Step) -> Printed:
    done = subprocess.run(
        [*TASKD, *step.words],
        cwd=directory,
        env={**os.environ, **WHO},
        input=step.stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def _in_process(directory: Path, step: Step) -> Printed:
    printed = Cli(directory, WHO)(*step.words, stdin=step.stdin.encode())
    return printed.code, printed.out, printed.err


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, git: Callable[..., str]) -> Iterator[tuple[Twin, Twin]]:
    """Two repositories made alike: the first with a daemon, the second without."""
    served = make_project(tmp_path_factory.mktemp("served") / "p", git, "shared")
    alone = make_project(tmp_path_factory.mktemp("alone") / "p", git, "shared")
    with serving(served, TASKD_MIRROR_INTERVAL="0.01"):
        yield Twin(served, _by_daemon), Twin(alone, _in_process)


def test_every_verb_answers_alike(twins: tuple[Twin, Twin]) -> None:
    """Exit code, output and errors of every verb, and then the index and all files, are the same."""
    served, alone = twins
    assert [twin.project.run("daemon", "status").code for twin in twins] == [0, 6]

    differing = [
        (" ".join(step.words), one, two)
        for step in STEPS
        if (one := served.take(step)) != (two := alone.take(step))
    ]

    assert differing == []
    assert served.index() == alone.index()
    assert served.files() == alone.files()


def test_steps_are_the_verbs() -> None:
    """No verb about tasks is left out of the comparison."""
    from taskd.cli import answers, process, verbs, work  # noqa: F401, PLC0415 - they register themselves
    from taskd.cli.app import taskd  # noqa: PLC0415 - as above

    here_only = {"init", "uninit", "daemon", "service", "demo"}
    taken = {word for step in STEPS for word in step.words}

    assert set(taskd.commands) - here_only - taken == set()
