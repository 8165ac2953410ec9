"""`taskd demo`: what taskd is for, shown with real processes in a throw-away repository.

Every scene does something, waits until it can be seen, and says how long that took. A scene that does
not see what it should raises `NotSeenError`, and the demo ends with exit code 1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from taskd.cli import show
from taskd.cli.session import Terminal
from taskd.cli.stage import LINKED, MAIN, Done, NotSeenError, Stage, stage_set

AGENTS: Final = 8  # processes that want the same task
NOTES: Final = 40  # files saved around the kill
PAUSE: Final = 0.005  # seconds between two of them: a busy agent, or an editor's "save all"
READING: Final = 0.8  # seconds to read a scene in
WIDEST: Final = 92  # columns; longer lines are hard to read
PIPED: Final = 80  # columns when there is no terminal
INDENT: Final = 7  # columns before what is seen: the width of `main $ `

PRINTER: Final = """---
name: Write the printer
depends_on: [parser]
priority: medium
---
Pretty, with two spaces of indent.
"""


@dataclass(slots=True)
class Story:
    """What is told, and for programs what was seen."""

    terminal: Terminal
    write: Callable[[str], object]
    rows: list[dict[str, object]] = field(default_factory=list)
    scene: str = ""
    did: str = ""

    def begin(self, title: str) -> None:
        """A new scene."""
        self.scene = title
        self._line("")
        self._line(show.coloured(title, "bold", self.terminal))

    def do(self, worktree: str, command: str) -> None:
        """What is done, and where."""
        self.did = command
        self._line(show.coloured(f"{worktree:>4} $ ", "dim", self.terminal) + command)

    def seen(self, what: str, seconds: float) -> None:
        """What is seen of it, and how many seconds that took."""
        self.rows.append(
            {"scene": self.scene, "command": self.did, "seen": what, "seconds": round(seconds, 4)}
        )
        gap = " " * max(2, self._width() - INDENT - 2 - len(what) - len(took(seconds)))
        mark = show.coloured("✓", "green", self.terminal)
        self._line(f"{' ' * INDENT}{mark} {what}{gap}{show.coloured(took(seconds), 'dim', self.terminal)}")

    def quote(self, text: str) -> None:
        """Something as it stands in a file, or as a command prints it."""
        room = self._width() - INDENT - 2
        for line in text.splitlines():
            self._line(
                " " * (INDENT + 2) + (line if len(line) <= room or "\x1b" in line else line[: room - 1] + "…")
            )

    def table(self, tasks: Sequence[show.Row]) -> None:
        """Tasks as `taskd list` shows them on a terminal."""
        room = Terminal(tty=True, columns=self._width() - INDENT - 2, colour=self.terminal.colour)
        self.quote(show.task_list(tasks, room))

    def say(self, text: str) -> None:
        """A sentence."""
        self._line(text)

    def _width(self) -> int:
        return min(self.terminal.columns or PIPED, WIDEST)

    def _line(self, text: str) -> None:
        self.write(text.rstrip() + "\n")


def play(program: Path, terminal: Terminal, write: Callable[[str], object]) -> list[dict[str, object]]:
    """Play every scene; what was seen as `[{scene, command, seen, seconds}]`. NotSeenError when one fails.

    On a terminal there is a pause behind each, since people read slower than this runs.
    """
    story, begun = Story(terminal, write), time.monotonic()
    story.say("taskd demo: a throw-away repository, real processes, told as it happens")
    with stage_set(program) as stage:
        for scene in SCENES:
            scene(stage, story)
            time.sleep(READING if terminal.tty else 0)
        root = stage.root
    if root.exists():
        raise NotSeenError(what=f"an empty place where {root} was")
    story.say("")
    story.say(
        f"That took {took(time.monotonic() - begun).strip()}, and nothing is left of it: no process, no file."
    )
    story.say("In a repository of yours: `taskd init`, then `taskd daemon start`.")
    return story.rows


def took(seconds: float) -> str:
    """A span of time as people say it."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def show_worktrees(stage: Stage, story: Story) -> None:
    """A repository with three worktrees."""
    story.begin("Three worktrees of one repository, as three agents use them")
    begun = time.monotonic()
    stage.build()
    for name in LINKED:
        story.do(MAIN, f"git worktree add -b {name} ../{name}")
    story.seen("main, api and web, each on a branch of its own", time.monotonic() - begun)


def show_setup(stage: Stage, story: Story) -> None:
    """Init in the shared layout, and the daemon."""
    main = stage.worktrees[0]
    story.begin("Set up once, for all of them")
    story.do(MAIN, "taskd init")
    done = stage.taskd(main, "init")
    if not done.out.startswith("shared layout"):
        raise NotSeenError(what=f"the shared layout; init said {done.out!r}")
    story.seen("tasks/ is outside git, and live in every worktree", done.seconds)
    story.do(MAIN, "taskd daemon start")
    started = stage.taskd(main, "daemon", "start")
    story.seen(started.out.strip(), started.seconds)


def show_command(stage: Stage, story: Story) -> None:
    """A task added by a command arrives in the files of all worktrees."""
    story.begin("A task added by a command is a file everywhere")
    story.do(MAIN, 'taskd add "Write the parser" --id parser --priority high')
    begun = time.monotonic()
    done = stage.taskd(stage.worktrees[0], "add", "Write the parser", "--id", "parser", "--priority", "high")
    story.seen("done, and safe on the disk", done.seconds)
    _wait_for_text(stage, "parser.md", "name: Write the parser")
    story.seen("tasks/parser.md is in main, api and web", time.monotonic() - begun)


def show_save(stage: Stage, story: Story) -> None:
    """A file saved by hand becomes a task."""
    story.begin("A file saved by hand is a task everywhere")
    story.do("api", "$EDITOR tasks/printer.md")
    story.quote(PRINTER)
    begun = time.monotonic()
    _save(stage.root / "api" / "tasks" / "printer.md", PRINTER)
    _wait_for_text(stage, "printer.md", "Pretty, with two spaces")
    story.seen("in main and web, 50 ms of quiet after the save included", time.monotonic() - begun)
    story.do("web", "taskd list")
    listed, tasks = _listed(stage, stage.root / "web")
    if [(task["id"], task["status"]) for task in tasks] != [("parser", "pending"), ("printer", "blocked")]:
        raise NotSeenError(what=f"parser pending and printer blocked, but {tasks}")
    story.table(tasks)
    story.seen("the printer waits for the parser", listed.seconds)


def show_edit(stage: Stage, story: Story) -> None:
    """An edit in one worktree arrives in the others."""
    story.begin("An edit in one worktree arrives in the others")
    story.do("web", "echo 'Accept CRLF.' >> tasks/parser.md")
    begun = time.monotonic()
    with (stage.root / "web" / "tasks" / "parser.md").open("a", encoding="utf-8") as file:
        file.write("Accept CRLF.\n")
    _wait_for_text(stage, "parser.md", "Accept CRLF.")
    story.seen("the line is in main and api", time.monotonic() - begun)


def show_race(stage: Stage, story: Story) -> None:
    """Of many claims at once exactly one wins, and every loser learns who did."""
    story.begin(f"{AGENTS} agents claim the same task at the same moment")
    story.do("all", "taskd --actor agent-N claim parser")
    places = [stage.worktrees[number % 3] for number in range(AGENTS)]
    words = [("--actor", f"agent-{number + 1}", "claim", "parser") for number in range(AGENTS)]
    ended = stage.together(places, words)
    winners = [number + 1 for number, done in enumerate(ended) if done.code == 0]
    losers = [done for done in ended if done.code == 5]  # noqa: PLR2004 - the exit code for refused
    if len(winners) != 1 or len(losers) != AGENTS - 1:
        raise NotSeenError(what=f"one winner; the exit codes were {[done.code for done in ended]}")
    told = losers[0].err.splitlines()[0].removeprefix("taskd: ")
    if not all(f"claimed by agent-{winners[0]} " in done.err for done in losers):
        raise NotSeenError(what=f"the winner's name in every refusal, such as {told!r}")
    story.seen(f"agent-{winners[0]} has it, and nobody else", max(done.seconds for done in ended))
    story.quote(told)
    story.seen(f"so {len(losers)} are told, with exit code 5", max(done.seconds for done in losers))


def show_switch(stage: Stage, story: Story) -> None:
    """A branch switch changes the code, and nothing of the tasks."""
    web = stage.root / "web"
    story.begin("An old commit brings back old code, and no old task")
    _, before = _listed(stage, web)
    story.do("web", "git switch --detach HEAD~1")
    begun = time.monotonic()
    stage.git(web, "switch", "-q", "--detach", "HEAD~1")
    stage.taskd(web, "sync")
    _, after = _listed(stage, web)
    if (web / "code.txt").read_text(encoding="utf-8") != "version 1\n" or before != after:
        raise NotSeenError(what=f"old code and unchanged tasks; before: {before}, after: {after}")
    story.seen("code.txt is version 1; every task is as it was", time.monotonic() - begun)


def show_kill(stage: Stage, story: Story) -> None:
    """The daemon killed in the middle of work; after a restart nothing is missing."""
    main = stage.worktrees[0]
    story.begin("kill -9 in the middle of work")
    story.do("all", f"{NOTES} files are being saved; after the {NOTES // 2}th: kill -9 {stage.daemon()}")
    begun = time.monotonic()
    for number in range(NOTES):
        text = f"---\nname: Note {number}\npriority: low\n---\nWritten while the daemon dies.\n"
        _save(stage.worktrees[number % 3] / "tasks" / f"note-{number:02}.md", text)
        if number == NOTES // 2:
            stage.kill_daemon()
        time.sleep(PAUSE)
    story.seen("dead; the saving went on", time.monotonic() - begun)
    story.do(MAIN, 'taskd add "Write the manual" --id manual')
    added = stage.taskd(main, "add", "Write the manual", "--id", "manual")
    story.seen("works without a daemon too", added.seconds)
    story.do(MAIN, "taskd daemon start && taskd sync")
    begun = time.monotonic()
    stage.taskd(main, "daemon", "start")
    stage.taskd(main, "sync")
    spent = time.monotonic() - begun
    _check_nothing_lost(stage)
    story.seen(f"{NOTES} of {NOTES} are tasks everywhere; the claim stands", spent)


def show_done(stage: Stage, story: Story) -> None:
    """A status flows to the files, to whoever waits for it, and to the workspace branch."""
    (parser,) = [task for task in _listed(stage, stage.worktrees[0])[1] if task["id"] == "parser"]
    holder, worktree = parser["claim"]["holder"], parser["claim"]["worktree"]
    story.begin("The work is done, and everybody knows")
    story.do(worktree, f'taskd --actor {holder} done parser --summary "takes CRLF"')
    begun = time.monotonic()
    stage.taskd(stage.root / worktree, "--actor", holder, "done", "parser", "--summary", "takes CRLF")
    _wait_for_text(stage, "parser.md", "status: completed")
    story.seen("status: completed, in the files of main, api and web", time.monotonic() - begun)
    story.do("web", "taskd ready --limit 1")
    done, ready = _listed(stage, stage.root / "web", "ready", "--limit", "1")
    if [task["id"] for task in ready] != ["printer"]:
        raise NotSeenError(what=f"the printer ready, but {ready}")
    story.table(ready)
    story.seen("the printer waits no more", done.seconds)
    _show_branch(stage, story)


def _show_branch(stage: Stage, story: Story) -> None:
    main, begun = stage.worktrees[0], time.monotonic()
    log = ("log", "--format=%h %s", "-3", "taskd/workspace")
    story.do(MAIN, "git log --oneline -3 taskd/workspace")
    stage.wait_for(
        lambda: "parser" in stage.git(main, *log).out.partition("\n")[0], "the commit that says so"
    )
    story.quote(stage.git(main, *log).out)
    board = stage.git(main, "show", "taskd/workspace:BOARD.md").out
    story.do(MAIN, "git show taskd/workspace:BOARD.md | head -3")
    story.quote("\n".join(board.splitlines()[:3]))
    story.seen("any git host shows the live board", time.monotonic() - begun)


def show_clean(stage: Stage, story: Story) -> None:
    """Git has seen nothing of all this."""
    story.begin("And git?")
    story.do("all", "git status --short; git stash list")
    begun = time.monotonic()
    for worktree in stage.worktrees:
        said = stage.git(worktree, "status", "--short").out + stage.git(worktree, "stash", "list").out
        if said:
            raise NotSeenError(what=f"a clean status in {worktree.name}; git said {said!r}")
    story.seen("clean everywhere, and no stash", time.monotonic() - begun)
    story.do(MAIN, "taskd daemon stop")
    stopped = stage.taskd(stage.worktrees[0], "daemon", "stop")
    story.seen(stopped.out.strip(), stopped.seconds)


SCENES: Final = (
    show_worktrees,
    show_setup,
    show_command,
    show_save,
    show_edit,
    show_race,
    show_switch,
    show_kill,
    show_done,
    show_clean,
)


def _save(path: Path, text: str) -> None:
    """Save as editors do: aside, then one rename."""
    aside = path.with_name(f".{path.name}.swp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _wait_for_text(stage: Stage, name: str, text: str) -> None:
    files = [worktree / "tasks" / name for worktree in stage.worktrees]
    stage.wait_for(lambda: all(text in _content(file) for file in files), f"{text!r} in every tasks/{name}")


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _listed(stage: Stage, directory: Path, *words: str) -> tuple[Done, list[Any]]:
    done = stage.taskd(directory, *(words or ("list",)), "--json")
    return done, json.loads(done.out)["data"]


def _check_nothing_lost(stage: Stage) -> None:
    _, tasks = _listed(stage, stage.worktrees[0])
    names = [f"note-{number:02}" for number in range(NOTES)]
    wanted = {"parser", "printer", "manual", *names}
    lost = wanted - {task["id"] for task in tasks}
    for worktree in stage.worktrees:
        lost |= {
            f"{worktree.name}: {name}" for name in names if not (worktree / "tasks" / f"{name}.md").exists()
        }
    if lost or not any(task["claim"] for task in tasks if task["id"] == "parser"):
        raise NotSeenError(what=f"everything; missing: {', '.join(sorted(lost)) or 'the claim'}")
