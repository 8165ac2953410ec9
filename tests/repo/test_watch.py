from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import DirDeletedEvent, FileModifiedEvent, FileMovedEvent

import taskd
from taskd.repo import events, inotify
from taskd.repo.watch import Watcher

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="about inotify")
Wait = Callable[..., Any]

# Says on stdout what it is told; a line on stdin makes it check, and say what that answered.
WATCH = """
import json, sys
from pathlib import Path
from taskd.repo.watch import Watcher
def say(*what):
    sys.stdout.write(json.dumps(what) + "\\n")
    sys.stdout.flush()
watcher = Watcher(lambda path: say("touched", str(path)), lambda root, why: say("doubt", str(root), why))
for root in sys.argv[1:]:
    watcher.watch(Path(root))
say("ready")
for line in sys.stdin:
    say("check", watcher.check())
watcher.close()
"""


class Seen:
    """What a watcher told."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.paths: list[Path] = []
        self.doubts: list[tuple[Path, str]] = []

    def touch(self, path: Path) -> None:
        """The first callback."""
        self.paths.append(path)

    def doubt(self, root: Path, why: str) -> None:
        """The second one."""
        self.doubts.append((root, why))


@pytest.fixture
def seen() -> Seen:
    """What the watcher of the test tells."""
    return Seen()


@pytest.fixture
def watcher(seen: Seen) -> Iterator[Watcher]:
    """A watcher without roots."""
    watcher = Watcher(seen.touch, seen.doubt)
    yield watcher
    watcher.close()


@pytest.fixture
def root(tmp_path: Path, watcher: Watcher) -> Path:
    """A watched directory with one file."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "a.md").write_text("1")
    watcher.watch(tmp_path / "tasks")
    return tmp_path / "tasks"


@pytest.fixture
def settled(root: Path, seen: Seen, wait_until: Wait) -> Callable[[], list[str]]:
    """`settled()` gives every path told so far, relative and once each, when all events have arrived."""
    numbers = itertools.count()

    def settle() -> list[str]:
        last = root / f"last{next(numbers)}.md"
        last.write_text("x")
        wait_until(lambda: last in seen.paths)
        told = [str(path.relative_to(root)) for path in dict.fromkeys(seen.paths)]
        seen.paths.clear()
        return [path for path in told if not path.startswith("last")]

    settle()
    return settle


def truncate_and_write(file: Path) -> None:
    """As the shell, nano and VS Code save."""
    file.write_text("two")


def rename_over(file: Path) -> None:
    """As most careful programs save."""
    (file.parent / ".a.md.tmp").write_text("two")
    (file.parent / ".a.md.tmp").rename(file)


def rename_in(file: Path) -> None:
    """As git and download managers bring a file."""
    (file.parent.parent / "elsewhere").write_text("two")
    (file.parent.parent / "elsewhere").rename(file)


def edit_with_sed(file: Path) -> None:
    """As scripts edit."""
    subprocess.run(["sed", "-i", "s/1/two/", str(file)], check=True)


def edit_with_vim(file: Path, *settings: str) -> None:
    """As vim saves; without 'backupskip', for it is careless below /tmp."""
    if shutil.which("vim") is None:
        pytest.skip("vim is not installed")
    commands = [part for setting in ("backupskip=", *settings) for part in ("--cmd", f"set {setting}")]
    argv = ["vim", "-es", "-u", "NONE", *commands, "-c", "%s/1/two/", "-c", "wq", str(file)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def edit_with_vim_in_place(file: Path) -> None:
    """As vim saves links, or when told to."""
    edit_with_vim(file, "backupcopy=yes", "writebackup")


def save_like_jetbrains(file: Path) -> None:
    """As IDEs with safe write save."""
    (file.parent / "a.md___jb_tmp___").write_text("two")
    file.rename(file.parent / "a.md___jb_old___")
    (file.parent / "a.md___jb_tmp___").rename(file)
    (file.parent / "a.md___jb_old___").unlink()


def write_through_map(file: Path) -> None:
    """As some databases and editors write."""
    import mmap  # noqa: PLC0415 - only here

    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[0:1] = b"2"


@pytest.mark.parametrize(
    "save",
    [
        truncate_and_write,
        rename_over,
        rename_in,
        edit_with_sed,
        edit_with_vim,
        edit_with_vim_in_place,
        save_like_jetbrains,
        pytest.param(write_through_map, marks=linux_only),
        Path.unlink,
    ],
)
def test_saves(root: Path, settled: Callable[[], list[str]], save: Callable[[Path], None]) -> None:
    """However a file is saved or removed, its path is told, and no helper file's."""
    save(root / "a.md")

    assert settled() == ["a.md"]


@linux_only
def test_write_through_hard_link(tmp_path: Path, root: Path, settled: Callable[[], list[str]]) -> None:
    """A write through a hard link elsewhere makes no event: this is what scans on a timer are for."""
    os.link(root / "a.md", tmp_path / "elsewhere")
    settled()
    (tmp_path / "elsewhere").write_text("two")

    assert settled() == []


@linux_only
def test_reading_is_silent(root: Path, settled: Callable[[], list[str]]) -> None:
    """S-28: reading and listing, as we do after every event, make no events."""
    for _ in range(20):
        (root / "a.md").read_bytes()
        list(root.iterdir())

    assert settled() == []


def test_made_readable(root: Path, settled: Callable[[], list[str]]) -> None:
    """A file whose permissions change is told: it may be readable now."""
    (root / "a.md").chmod(0o600)

    assert settled() == ["a.md"]


def test_moves_tell_both_paths(root: Path, settled: Callable[[], list[str]]) -> None:
    """A renamed file is told under both names."""
    (root / "a.md").rename(root / "b.md")

    assert sorted(settled()) == ["a.md", "b.md"]


@linux_only
def test_odd_names(root: Path, settled: Callable[[], list[str]]) -> None:
    """Names that are not valid UTF-8 arrive as Python spells them."""
    name = os.fsdecode(b"caf\xe9.md")
    (root / name).write_text("x")

    assert settled() == [name]


def test_hidden_directories(root: Path, settled: Callable[[], list[str]]) -> None:
    """What happens in hidden directories, an editor's or git's, is not told."""
    (root / ".obsidian").mkdir()
    (root / ".obsidian" / "a.md").write_text("x")

    assert settled() == []


def test_storm_of_directories(root: Path, seen: Seen, wait_until: Wait) -> None:
    """Of files saved in directories made a moment before, none is missed."""
    files = {root / f"d{number % 60}" / "x" / str(number) / "t.md" for number in range(300)}
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("x")

    def all_told() -> bool:
        told = set(seen.paths)
        return all(file in told or told & set(file.parents) - {root} for file in files)

    wait_until(all_told)  # a directory that is told stands for all that is in it


def test_directory_moved_in(tmp_path: Path, root: Path, seen: Seen, wait_until: Wait) -> None:
    """A directory moved in is told with its files, and watched from then on."""
    (tmp_path / "new" / "deep").mkdir(parents=True)
    (tmp_path / "new" / "deep" / "b.md").write_text("x")
    (tmp_path / "new").rename(root / "new")
    wait_until(lambda: {root / "new", root / "new" / "deep" / "b.md"} <= set(seen.paths))
    seen.paths.clear()
    (root / "new" / "deep" / "c.md").write_text("x")

    wait_until(lambda: root / "new" / "deep" / "c.md" in seen.paths)


def test_directory_renamed(root: Path, seen: Seen, wait_until: Wait) -> None:
    """A renamed directory is told under both names, and saves in it under the new one."""
    (root / "old" / "deep").mkdir(parents=True)
    wait_until(lambda: root / "old" / "deep" in seen.paths)
    (root / "old").rename(root / "new")
    wait_until(lambda: {root / "old", root / "new"} <= set(seen.paths))
    (root / "new" / "deep" / "b.md").write_text("x")

    wait_until(lambda: root / "new" / "deep" / "b.md" in seen.paths)


def test_root_appears(tmp_path: Path, watcher: Watcher, seen: Seen, wait_until: Wait) -> None:
    """A root may be missing at first; when it appears it is doubted, so that a scan finds what it has."""
    root = tmp_path / "later"
    watcher.watch(root)
    root.touch()
    before = watcher.check(), watcher.roots()
    root.unlink()
    root.mkdir()
    said = watcher.check()
    (root / "a.md").write_text("x")

    wait_until(lambda: root / "a.md" in seen.paths)
    assert (before, seen.doubts, watcher.check()) == (([], (root,)), [(root, "appeared")], [])
    assert said == [f"{root}: appeared; it is watched again"]


@pytest.mark.parametrize("look_between", [True, False])
def test_root_recreated(
    root: Path, watcher: Watcher, seen: Seen, wait_until: Wait, *, look_between: bool
) -> None:
    """A root that is removed and made again is watched again, and doubted."""
    shutil.rmtree(root)
    wait_until(lambda: (root, "vanished") in seen.doubts)
    if look_between:
        watcher.check()
    root.mkdir()
    wait_until(watcher.check)
    doubts = len(seen.doubts)
    (root / "new.md").write_text("x")

    wait_until(lambda: root / "new.md" in seen.paths)
    assert (doubts >= 2, watcher.check()) == (True, [])


def test_root_moved(tmp_path: Path, root: Path, watcher: Watcher, seen: Seen, wait_until: Wait) -> None:
    """A root that is moved away is lost, one that takes its place is watched instead."""
    root.rename(tmp_path / "moved")
    vanished = watcher.check()
    (tmp_path / "other").mkdir()
    (tmp_path / "other").rename(root)
    watcher.check()
    (tmp_path / "moved" / "lost.md").write_text("x")
    (root / "new.md").write_text("x")

    wait_until(lambda: root / "new.md" in seen.paths)
    assert (vanished, seen.doubts) == ([f"{root}: vanished"], [(root, "vanished"), (root, "appeared")])
    assert root / "lost.md" not in seen.paths


def test_root_replaced(tmp_path: Path, root: Path, watcher: Watcher, seen: Seen, wait_until: Wait) -> None:
    """A root replaced by another directory between two looks is noticed by its identity."""
    root.rename(tmp_path / "moved")
    root.mkdir()
    watcher.check()
    (root / "new.md").write_text("x")

    wait_until(lambda: root / "new.md" in seen.paths)
    assert seen.doubts == [(root, "replaced")]


def test_linked_root(tmp_path: Path, watcher: Watcher, seen: Seen, wait_until: Wait) -> None:
    """A root that is a link is watched where it leads, and paths are told as the root was spelled."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    watcher.watch(tmp_path / "link")
    (tmp_path / "real" / "a.md").write_text("x")

    wait_until(lambda: tmp_path / "link" / "a.md" in seen.paths)


def test_every_name(tmp_path: Path, watcher: Watcher, seen: Seen, wait_until: Wait) -> None:
    """A directory can be watched for all names in it, and none below: a git directory, say."""
    (tmp_path / "below").mkdir()
    watcher.watch(tmp_path, recursive=False, only_tasks=False)
    (tmp_path / "below" / "a.md").write_text("x")
    (tmp_path / "HEAD").write_text("x")

    wait_until(lambda: tmp_path / "HEAD" in seen.paths)
    assert tmp_path / "below" / "a.md" not in seen.paths


def test_handler_exceptions(tmp_path: Path, wait_until: Wait) -> None:
    """A callback that fails does not make the watcher deaf; the roots are doubted until it works again."""
    seen, broken = Seen(), [True]

    def touch(path: Path) -> None:
        if broken:
            raise ValueError(path.name)
        seen.touch(path)

    with contextlib.closing(Watcher(touch, seen.doubt)) as watcher:
        watcher.watch(tmp_path)
        (tmp_path / "a.md").write_text("x")
        said = wait_until(watcher.check)
        broken.clear()
        (tmp_path / "b.md").write_text("x")
        wait_until(lambda: tmp_path / "b.md" in seen.paths)

    assert said == ["what was touched could not be noted: ValueError('a.md')"]
    assert set(seen.doubts) == {(tmp_path, "a touch could not be noted")}


@pytest.mark.parametrize("which", ["dispatcher", "emitter", pytest.param("reader", marks=linux_only)])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_thread(root: Path, watcher: Watcher, seen: Seen, wait_until: Wait, which: str) -> None:
    """Whichever of watchdog's threads dies, the next check replaces it and the roots are doubted."""
    observer: Any = watcher._observers[False]  # noqa: SLF001 - there is no public way to kill a thread
    (emitter,) = observer.emitters
    victim = {"dispatcher": observer, "emitter": emitter, "reader": getattr(observer, "_inotify_fd", None)}[
        which
    ]
    victim._stopped_event.set()  # noqa: SLF001 - it ends after the next event
    (root / "a.md").write_text("two")
    wait_until(lambda: not victim.is_alive())
    said = watcher.check()
    (root / "b.md").write_text("x")

    wait_until(lambda: root / "b.md" in seen.paths)
    assert ([why for _, why in seen.doubts], len(said)) == (
        ["its watch had died" if which == "emitter" else "the watching thread had died"],
        1,
    )


def test_sixteen_roots(tmp_path: Path, watcher: Watcher, seen: Seen, wait_until: Wait) -> None:
    """Sixteen worktrees are watched at once, and told apart."""
    roots = [tmp_path / f"w{number}" / "tasks" for number in range(16)]
    for root in roots:
        root.mkdir(parents=True)
        watcher.watch(root)
    for root in roots:
        (root / "a.md").write_text("x")

    wait_until(lambda: {root / "a.md" for root in roots} <= set(seen.paths))
    assert (watcher.roots(), watcher.check(), seen.doubts) == (tuple(roots), [], [])


def test_nothing_leaks(tmp_path: Path, watcher: Watcher) -> None:
    """Worktrees that come and go leave no descriptor, thread or watch behind."""
    for number in range(3):
        (tmp_path / f"r{number}" / "below").mkdir(parents=True)

    def used() -> tuple[int, int, int]:
        fds = list(Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd").iterdir())
        watches = [line for info in Path("/proc/self/fdinfo").glob("*") for line in lines_of(info)]
        return len(fds), threading.active_count(), len(watches)

    def come_and_go(times: int) -> None:
        for _ in range(times):
            for number in range(3):
                watcher.watch(tmp_path / f"r{number}")
            for number in range(3):
                watcher.unwatch(tmp_path / f"r{number}")

    come_and_go(1)
    before = used()
    come_and_go(200)

    assert used() == before


def lines_of(fdinfo: Path) -> list[str]:
    """The lines of a descriptor that each stand for an inotify watch; proc(5)."""
    with contextlib.suppress(OSError):
        return [line for line in fdinfo.read_text().splitlines() if line.startswith("inotify ")]
    return []


@linux_only
@pytest.mark.usefixtures("root")
def test_children_do_not_inherit() -> None:
    """A program we start does not get the inotify descriptor, which would keep the watches alive."""
    argv = ["ls", "-l", "/proc/self/fd"]
    listing = subprocess.run(argv, close_fds=False, capture_output=True, text=True, check=False).stdout

    assert ("inotify" in listing, "/proc/" in listing) == (False, True)


@linux_only
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can become somebody who may not read, by setpriv",
)
def test_unreadable_directory(tmp_path: Path, wait_until: Wait) -> None:
    """A directory that may not be read is named; once it may, its root is doubted and watched again."""
    root = tmp_path / "tasks"
    (root / "shut").mkdir(parents=True)
    (root / "shut").chmod(0)
    for directory in (*tmp_path.parents, tmp_path):
        if directory.stat().st_uid == os.getuid() and not directory.stat().st_mode & 0o001:
            directory.chmod(0o755)
    with watching(wait_until, root, before=("setpriv", "--reuid=65534", "--clear-groups", "--")) as child:
        before = child.check(wait_until)
        (root / "shut").chmod(0o755)
        after = [child.check(wait_until) for _ in range(2)]
        (root / "shut" / "a.md").write_text("x")

        wait_until(lambda: ["touched", str(root / "shut" / "a.md")] in child.said)
        assert before == [f"{root}/shut: cannot be read, so it is not watched"]
        assert after == [[f"{root}: became readable; it is watched again"], []]


def test_polling(tmp_path: Path, seen: Seen, wait_until: Wait) -> None:
    """Where the system tells nothing, looking again and again does, without following links in circles."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "circle").symlink_to("..")
    (tmp_path / "a.md").write_text("1")
    with contextlib.closing(Watcher(seen.touch, seen.doubt, polling=True)) as watcher:
        watcher.watch(tmp_path)
        (tmp_path / "a.md").write_text("two")
        (tmp_path / "d" / "b.md").write_text("x")

        wait_until(lambda: {tmp_path / "a.md", tmp_path / "d" / "b.md"} <= set(seen.paths))
        assert watcher.check() == []


def test_moved_paths_as_macos_tells_them(tmp_path: Path) -> None:
    """Paths come back in the caller's spelling, from real paths and composed accents too."""
    (tmp_path / "e\u0301").mkdir()
    (tmp_path / "link").symlink_to("e\u0301")
    told: list[str] = []
    handler = events.Handler(tmp_path / "link", told.append, lambda: told.append("lost"), only_tasks=True)
    real = os.path.realpath(tmp_path)
    handler.dispatch(FileMovedEvent(f"{real}/e\u0301/a.md", f"{real}/\u00e9/b.md"))
    handler.dispatch(DirDeletedEvent(f"{real}/\u00e9"))
    handler.dispatch(FileModifiedEvent(f"{real}/elsewhere/c.md"))

    assert sorted(told) == [f"{tmp_path}/link/a.md", f"{tmp_path}/link/b.md", "lost"]


class Child:
    """A watching process, and what it said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Listen to it on a thread, so that it never waits for us."""
        self.process = process
        self.said: list[list[Any]] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(json.loads(line) for line in iter(self.process.stdout.readline, ""))

    def check(self, wait_until: Wait) -> list[str]:
        """What its next check answers."""
        assert self.process.stdin is not None
        answers = [what for what in self.said if what[0] == "check"]
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        wait_until(lambda: len([what for what in self.said if what[0] == "check"]) > len(answers))
        found: list[str] = [what for what in self.said if what[0] == "check"][-1][1]
        return found

    def end(self) -> None:
        """Let it close its watcher and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)
        self._listener.join()


@contextlib.contextmanager
def watching(wait_until: Wait, *roots: Path, before: tuple[str, ...] = ()) -> Iterator[Child]:
    """A process that watches these roots, started by the command `before`."""
    argv = [*before, sys.executable, "-W", "error", "-c", WATCH, *map(str, roots)]
    env = {**os.environ, "PYTHONPATH": str(Path(taskd.__file__).parents[1])}
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        child = Child(process)
        wait_until(lambda: ["ready"] in child.said, 20)
        try:
            yield child
        finally:
            process.send_signal(signal.SIGCONT)
            child.end()


@linux_only
def test_overflow(tmp_path: Path, wait_until: Wait) -> None:
    """When the kernel drops events, every root is doubted, and what comes later is told."""
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
    with watching(wait_until, *roots) as child:
        child.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: "T" in Path(f"/proc/{child.process.pid}/stat").read_text().rpartition(")")[2])
        for number in range(20_000):
            (roots[0] / f"{number}.md").touch()
            if number == 10_000:
                (roots[0] / "made").mkdir()
        (roots[0] / "unseen").mkdir()
        child.process.send_signal(signal.SIGCONT)
        doubts = [["doubt", str(root), "events were lost"] for root in roots]
        wait_until(lambda: all(doubt in child.said for doubt in doubts), 60)
        (roots[0] / "unseen" / "later.md").touch()

        wait_until(lambda: ["touched", str(roots[0] / "unseen" / "later.md")] in child.said, 60)
        assert child.check(wait_until) == []


@pytest.fixture(scope="session")
def namespace() -> tuple[str, ...]:
    """The command that starts a program with room for eight inotify watches."""
    limit = 'echo 8 > /proc/sys/user/max_inotify_watches && exec "$@"'
    before = ("unshare", "-Ur", "sh", "-c", limit, "sh")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*before, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this system gives no user namespace with a limit of its own")
    return before


@linux_only
def test_watch_limit(tmp_path: Path, namespace: tuple[str, ...], wait_until: Wait) -> None:
    """Without watches for every directory, that root is polled, and the line to mend it is said."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    for number in range(20):
        (large / f"d{number}").mkdir(parents=True)
    with watching(wait_until, small, large, before=namespace) as child:
        said = child.check(wait_until)
        files = [small / "a.md", *(large / f"d{number}" / "a.md" for number in range(20))]
        for file in files:
            file.write_text("x")

        wait_until(lambda: all(["touched", str(file)] in child.said for file in files), 20)
        assert [sentence.split(", because")[0] for sentence in said] == [f"{large}: looked at every 2 s"]
        assert "sudo sysctl fs.inotify.max_user_watches=" in said[0]


@linux_only
def test_watch_limit_reached_later(tmp_path: Path, namespace: tuple[str, ...], wait_until: Wait) -> None:
    """When a new directory finds no watch left, its root is doubted and polled from then on."""
    root = tmp_path / "tasks"
    root.mkdir()
    with watching(wait_until, root, before=namespace) as child:
        quiet = child.check(wait_until)
        for number in range(20):
            (root / f"d{number}").mkdir()
        said = wait_until(lambda: child.check(wait_until))
        (root / "d19" / "a.md").write_text("x")

        wait_until(lambda: ["touched", str(root / "d19" / "a.md")] in child.said, 20)
        assert (quiet, ["doubt", str(root), "the watches ran out"] in child.said) == ([], True)
        assert "looked at every 2 s" in said[0]


@linux_only
def test_instance_limit(tmp_path: Path, namespace: tuple[str, ...], wait_until: Wait) -> None:
    """Without an inotify instance everything is polled, and the line to mend it is said."""
    none = tuple(part.replace("echo 8", "echo 0").replace("_watches", "_instances") for part in namespace)
    with watching(wait_until, tmp_path, before=none) as child:
        said = child.check(wait_until)
        (tmp_path / "a.md").write_text("x")

        wait_until(lambda: ["touched", str(tmp_path / "a.md")] in child.said, 20)
        assert "sudo sysctl fs.inotify.max_user_instances=" in said[0]


@linux_only
def test_hooks_fit_watchdog() -> None:
    """The places where we listen exist in the watchdog installed; look at them again before raising this."""
    from watchdog.observers.inotify_c import InotifyFD  # noqa: PLC0415 - Linux only
    from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper  # noqa: PLC0415 - Linux only

    assert version("watchdog").split(".")[0] == "7"
    assert {"add_callback", "handle_event", "is_alive"} <= set(dir(InotifyFD))
    assert isinstance(InotifyMoveEventGrouper.delay, float)


@linux_only
def test_deaf_ear(tmp_path: Path, seen: Seen, wait_until: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should watchdog change under us, so that losses cannot be heard, roots are polled and that is said."""
    monkeypatch.setattr(inotify.Ear, "heard", property(lambda _: 0, lambda *_: None), raising=False)
    with contextlib.closing(Watcher(seen.touch, seen.doubt)) as watcher:
        watcher.watch(tmp_path)
        said = watcher.check()
        (tmp_path / "a.md").write_text("x")
        wait_until(lambda: tmp_path / "a.md" in seen.paths)

    assert (len(said), "this version of watchdog" in said[0], seen.doubts) == (1, True, [])
