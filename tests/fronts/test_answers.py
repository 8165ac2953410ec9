"""The verbs for what taskd leaves to people, as they are typed and as they print."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from taskd.cli.session import Terminal
from tests.fronts.conftest import Cli
from tests.system.project import Project, make_project, task_text

TTY = Terminal(tty=True, columns=80)
CONFLICT_KEYS = {"id", "task", "field", "base", "index", "file", "worktree", "since"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, git: Callable[..., str]) -> Project:
    """A project in the tracked layout: files of worktrees stay as people leave them."""
    names = [f"c{number}" for number in range(8)] + ["pulled", "clean", "taken", "gone"]
    files = {f"{name}.md": task_text(name, priority="low") for name in names}
    return make_project(tmp_path_factory.mktemp("answers") / "p", git, "tracked", files)


def clash(cli: Cli, project: Project, id: str) -> int:
    """Two worktrees say something else about a task's priority; the number of the conflict."""
    for tree, word in (("main", "high"), ("one", "critical")):
        project.save(f"{id}.md", task_text(id, priority=word), tree)
        cli("list", at=project.tree(tree))
    (found,) = cli.json("conflicts", id)
    number: int = found["id"]
    return number


def test_conflicts_are_listed_and_shown(cli: Cli, project: Project) -> None:
    """One line each in a list; with a task or a number what each side says, side by side."""
    number = clash(cli, project, "c0")
    listed = cli("conflicts").out.splitlines()
    shown = cli("conflicts", "c0", terminal=TTY).out

    assert [line.split("\t")[:6] for line in listed if "\tc0\t" in line] == [
        [str(number), "c0", "priority", "high", "critical", "one"]
    ]
    rows = [[cell.strip() for cell in line.split("│")] for line in shown.splitlines() if "│" in line]
    assert rows == [["BASE", "INDEX", "FILE IN ONE"], ["low", "high", "critical"]]
    assert f"taskd resolve {number} --take index|file|TEXT" in shown
    assert (cli("conflicts", str(number), terminal=TTY).out, cli("conflicts", "clean").out) == (shown, "")


def test_conflicts_as_data(cli: Cli, project: Project) -> None:
    """Programs get all three values, and the same shape for one, for a task's and for all."""
    number = clash(cli, project, "c1")
    one, of_task, every = (cli.json("conflicts", *words) for words in ([str(number)], ["c1"], []))

    assert (set(one[0]), one, one[0] in every) == (CONFLICT_KEYS, of_task, True)
    assert [one[0][side] for side in ("base", "index", "file")] == ["low", "high", "critical"]
    assert cli.json("show", "c1")["conflicts"] == 1


def test_open_conflicts_are_told(cli: Cli, project: Project) -> None:
    """Who looks at the task or at the whole is told that something waits for an answer."""
    clash(cli, project, "c2")

    assert "1: `taskd conflicts c2`" in cli("show", "c2", terminal=TTY).out
    assert "open; see `taskd conflicts`" in cli("sync").err


@pytest.mark.parametrize(
    ("id", "words", "value"),
    [
        ("c3", "priority --take index", "high"),
        ("c4", "priority --take file", "critical"),
        ("c5", "priority --take medium", "medium"),
        ("c6", "priority --take @-", "low"),
    ],
)
def test_s31_a_conflict_is_settled(cli: Cli, project: Project, id: str, words: str, value: str) -> None:
    """S-31: by task and field, with either side's value or another; once, and the journal tells all of it."""
    clash(cli, project, id)
    settled = cli.json("resolve", id, *words.split(), stdin=b"low")
    again = cli("resolve", id, *words.split(), "--json", stdin=b"low")

    assert (settled["priority"], settled["conflicts"]) == (value, 0)
    assert (again.code, again.error["code"]) == (4, "not-found")
    (entry,) = [row for row in cli.json("history", id) if row["field"] == "conflict"]
    assert (entry["actor"], entry["old"]["file"], entry["new"]["value"]) == ("alice", "critical", value)
    line = next(row for row in cli("history", id).out.splitlines() if "conflict: priority" in row)
    assert "index high, file critical → " in line


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("resolve clean --take index", 2, "say which field of clean"),
        ("resolve 1", 2, "--take"),
        ("resolve 999 --take index", 4, "there is no conflict 999"),
        ("resolve clean nonsense --take index", 4, "there is no conflict about nonsense of clean"),
        ("conflicts nobody", 4, "there is no task 'nobody'"),
        ("holds accept", 2, "say which hold to accept"),
        ("holds keep 1", 2, "'keep' is not one of"),
        ("holds drop 999", 4, "there is no hold 999"),
        ("take clean", 2, "--from"),
        ("take clean --from nowhere", 4, "there is no worktree 'nowhere'"),
        ("pull nobody", 4, "there is no task 'nobody'"),
    ],
)
def test_what_cannot_be_answered(cli: Cli, words: str, code: int, said: str) -> None:
    """A wrong question has an exit code of its kind and says what is wrong."""
    printed = cli(*words.split())

    assert (printed.code, printed.out, said in printed.err) == (code, "", True)


def test_pull_brings_tracked_files_up_to_date(cli: Cli, project: Project) -> None:
    """What main says is in the file of `one` after a pull there; what changed is told."""
    project.save("pulled.md", task_text("pulled", priority="high"))
    cli("list")
    project.save("pulled.md", task_text("pulled", body="Mine.\n", priority="low"), "one")
    pulled = cli("pull", "pulled", at=project.tree("one"))
    again = cli("pull", "pulled", "--json", at=project.tree("one"))

    assert (pulled.code, pulled.out) == (0, "pulled\tpulled.md\n")
    assert project.file("pulled.md", "one").read_text() == task_text(
        "pulled", body="Mine.\n", priority="high"
    )
    assert again.data == [{"id": "pulled", "path": "pulled.md", "changed": False}]
    assert "0 of 1 files brought up to date" in cli("pull", "clean", terminal=TTY).out


def test_pull_says_what_it_could_not_write(cli: Cli, project: Project) -> None:
    """A file that is no document is named, the exit code is 1, and it is left as it is."""
    project.save("clean.md", "---\nid: clean\nid: x\n---\n", "two")
    pulled = cli("pull", "clean", "--json", at=project.tree("two"))

    assert (pulled.code, pulled.data[0]["changed"]) == (1, False)
    assert "clean.md was not written:" in pulled.err
    assert project.file("clean.md", "two").read_text() == "---\nid: clean\nid: x\n---\n"


def test_pull_says_what_is_as_the_index_has_it(cli: Cli, project: Project) -> None:
    """Where the file's value lost, the head is written and the conflict named."""
    clash(cli, project, "c7")
    pulled = cli("pull", "c7", at=project.tree("one"))

    assert (pulled.code, pulled.out) == (0, "c7\tc7.md\n")
    assert "priority as the index has it; see `taskd conflicts c7`" in pulled.err
    assert project.file("c7.md", "one").read_text() == task_text("c7", priority="high")


def test_take_lets_a_file_speak(cli: Cli, project: Project) -> None:
    """The file of another worktree is taken as the caller's change."""
    project.save("taken.md", task_text("taken", priority="high"))
    cli("list")
    taken = cli.json("take", "taken", "--from", "two")

    assert (taken["priority"], taken["refused"]) == ("low", [])
    last = cli.json("history", "taken")[-1]
    assert (last["field"], last["old"], last["new"], last["actor"]) == ("priority", "high", "low", "alice")


def test_rm_says_which_files_stay(cli: Cli, project: Project) -> None:
    """A tracked file of a deleted task stays, does not bring it back, and both are said."""
    cli("add", "Waits", "--id", "waits", "--depends-on", "gone")
    printed = cli("rm", "gone")
    cli("sync")

    assert (printed.code, printed.out) == (0, "gone\n")
    assert "gone.md stays in main" in printed.err
    assert "waits waits for it until it is restored" in printed.err
    assert (project.file("gone.md").exists(), cli("show", "gone").code) == (True, 4)
    assert cli.json("restore", "gone")["id"] == "gone"


def test_notices_are_empty(cli: Cli) -> None:
    """With nothing to notice, people are told so and programs get an empty list."""
    assert (cli("notices", terminal=TTY).out, cli("notices").out) == ("no notices\n", "")
    assert cli.json("notices") == []


def test_s09_holds_are_answered(tmp_path_factory: pytest.TempPathFactory, git: Callable[..., str]) -> None:
    """S-09: a directory that vanished deletes nothing until that is accepted; the ids stay taken."""
    files = {f"t{number}.md": task_text(f"t{number}") for number in range(3)}
    project = make_project(tmp_path_factory.mktemp("holds") / "p", git, "shared", files)
    cli = Cli(project.top, {"TASKD_ACTOR": "alice"})
    shutil.rmtree(project.file(""))
    synced = cli("sync")
    (hold,) = cli.json("holds")
    answer = cli("holds", "accept", str(hold["id"]), terminal=TTY)

    assert "1 hold open; see `taskd holds`" in synced.err
    assert (answer.code, answer.out.partition(";")[0]) == (0, "3 deleted, 0 left as they are")
    assert (cli.json("list"), cli.json("holds")) == ([], [])
    assert [project.file(name, tree).exists() for name in files for tree in ("main", "one")] == [False] * 6
    assert cli("add", "x", "--id", "t0", "--json").error["code"] == "id-taken"
