from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import taskd
from taskd.core.texts import text_hash
from taskd.repo import exchange, openat, rename
from taskd.repo.crash import STEPS, VARIABLE
from taskd.repo.exchange import (
    TEMP_PREFIX,
    create,
    discard,
    in_use,
    leftovers,
    origin,
    remove,
    replace,
    settle,
)
from taskd.repo.replicas import read, scan, stamp_of

ROUNDS = 700  # replacements under each of three editors

# Each editor adds a line of its own and never takes one away, so every line must be somewhere at the end.
EDITOR = """
import os, random, sys, time
kind, path = sys.argv[1:]
saves = 0
print("ready", flush=True)
held = None
while not os.path.exists(path + ".stop"):
    line = b"saved %d\\n" % saves
    try:
        if kind == "rename":
            with open(path, "rb") as file:
                text = file.read()
            with open(path + ".new", "wb") as file:
                file.write(text + line)
            os.rename(path + ".new", path)
        elif kind == "in place":
            with open(path, "r+b") as file:
                text = file.read()
                file.seek(0)
                file.truncate()
                file.write(text + line)
        else:
            if saves % 40 == 0:
                opened = os.open(path, os.O_WRONLY | os.O_APPEND)
                if held is not None:
                    os.close(held)
                held = opened
            os.write(held, line)
    except FileNotFoundError:  # where names cannot be swapped, there is nothing for an instant
        continue
    saves += 1
    time.sleep(random.random() * 0.001)  # faster, and the file outgrows what is read at every look
print(saves, flush=True)
"""
WRITE = """
import sys
from pathlib import Path
from taskd.repo import exchange, rename
from taskd.core.texts import text_hash
root, verb, system = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if system == "steps":
    rename._function = lambda: None
if verb == "replace":
    exchange.replace(root, "d/a.md", text_hash(b"old"), b"new")
elif verb == "create":
    exchange.create(root, "d/new.md", b"new")
else:
    exchange.remove(root, "d/a.md", text_hash(b"old"))
"""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A replica with one file."""
    (tmp_path / "tasks" / "d").mkdir(parents=True)
    (tmp_path / "tasks" / "d" / "a.md").write_bytes(b"old")
    return tmp_path / "tasks"


@pytest.fixture(params=["swap", "steps"], autouse=True)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs here as it is, and as on a system that cannot swap names."""
    if request.param == "steps":
        monkeypatch.setattr(rename, "_function", lambda: None)
    return str(request.param)


@pytest.fixture
def watched_rename(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """`watched_rename(act)` lets an editor act in the last instant before the file is exchanged."""

    def arrange(act: Callable[[], object]) -> None:
        acts = [act]

        def before(step: str) -> None:
            if step == "exchange.before-swap" and acts:
                acts.pop()()

        monkeypatch.setattr(exchange, "point", before)

    return arrange


def old(root: Path, text: bytes = b"old") -> str:
    """The hash that the file has, or should have."""
    assert root.is_dir()
    return text_hash(text)


def names(root: Path) -> list[str]:
    """Every file below the root, temp files included."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_replace(root: Path) -> None:
    """A file that is as expected is replaced; mode and place stay, no temp file does."""
    file = root / "d" / "a.md"
    file.chmod(0o640)
    outcome = replace(root, "d/a.md", old(root), b"new")

    assert (outcome.kind, file.read_bytes(), names(root)) == ("written", b"new", ["d/a.md"])
    assert (stat.S_IMODE(file.stat().st_mode), outcome.stamp) == (0o640, stamp_of(file.stat()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner_stays(root: Path) -> None:
    """A file that belongs to somebody else still does after root's daemon wrote it."""
    file = root / "d" / "a.md"
    os.chown(file, 65534, 65533)
    replace(root, "d/a.md", old(root), b"new")

    assert (file.read_bytes(), file.stat().st_uid, file.stat().st_gid) == (b"new", 65534, 65533)


def test_replace_unexpected(root: Path) -> None:
    """A file that holds something else is left alone, and what it holds is told."""
    file = root / "d" / "a.md"
    outcome = replace(root, "d/a.md", old(root, b"older"), b"new")

    assert (outcome.kind, outcome.text, outcome.stamp) == ("unexpected", b"old", stamp_of(file.stat()))
    assert (file.read_bytes(), names(root)) == (b"old", ["d/a.md"])


@pytest.mark.parametrize("path", ["d/b.md", "no/a.md", "d/a.md/b.md"])
def test_absent(root: Path, path: str) -> None:
    """What is not there is neither replaced nor removed."""
    kinds = replace(root, path, old(root), b"new").kind, remove(root, path, old(root)).kind

    assert (kinds, names(root)) == (("absent", "absent"), ["d/a.md"])


def test_edit_in_the_last_instant(root: Path, watched_rename: Callable[[Callable[[], object]], None]) -> None:
    """An edit saved by rename between the last look and the exchange is not lost."""
    file = root / "d" / "a.md"

    def save() -> None:
        (root / "x").write_bytes(b"edit")
        (root / "x").rename(file)

    watched_rename(save)
    outcome = replace(root, "d/a.md", old(root), b"new")

    if outcome.kind == "displaced":
        assert (outcome.text, file.read_bytes(), outcome.aside) == (b"edit", b"new", names(root)[0])
        assert outcome.aside is not None
        assert (origin(outcome.aside), leftovers(root)) == ("d/a.md", [(outcome.aside, b"edit")])
        assert settle(root, outcome.aside, text_hash(b"edit")) is None
    else:  # seen in time, where files are moved one by one
        assert (outcome.kind, outcome.text, file.read_bytes()) == ("unexpected", b"edit", b"edit")
    assert names(root) == ["d/a.md"]


def test_removed_in_the_last_instant(
    root: Path, watched_rename: Callable[[Callable[[], object]], None]
) -> None:
    """A file removed between the last look and the exchange stays removed."""
    watched_rename((root / "d" / "a.md").unlink)

    assert (replace(root, "d/a.md", old(root), b"new").kind, names(root)) == ("absent", [])


def test_directory_in_the_last_instant(
    root: Path, watched_rename: Callable[[Callable[[], object]], None]
) -> None:
    """Something that is no file, put in place in the last instant, is there again at the end."""
    file = root / "d" / "a.md"

    def put_directory() -> None:
        file.unlink()
        (file / "below").mkdir(parents=True)

    watched_rename(put_directory)
    outcome = replace(root, "d/a.md", old(root), b"new")

    assert (outcome.kind, outcome.text, (file / "below").is_dir(), names(root)) == (
        "unexpected",
        None,
        True,
        [],
    )


def test_trouble_between_the_steps(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fails after the old file was moved away, it is moved back."""
    place, failures = rename.place, [OSError(errno.EIO, "Input/output error")]

    def fail_once(fd: int, old: str, new: str) -> None:
        if failures:
            raise failures.pop()
        place(fd, old, new)

    monkeypatch.setattr(rename, "swap", lambda *_: False)
    monkeypatch.setattr(rename, "place", fail_once)
    with pytest.raises(OSError, match="Input/output"):
        replace(root, "d/a.md", old(root), b"new")

    assert ((root / "d" / "a.md").read_bytes(), names(root)) == (b"old", ["d/a.md"])


@linux_only
def test_linger_for_an_open_editor(root: Path) -> None:
    """While an editor has the old file open it is kept, and what it writes there later is found."""
    with (root / "d" / "a.md").open("ab") as editor:
        outcome = replace(root, "d/a.md", old(root), b"new", linger=True)
        assert outcome.aside is not None
        assert (outcome.kind, in_use(root, outcome.aside)) == ("written", True)
        editor.write(b" and more")
    after = in_use(root, outcome.aside), settle(root, outcome.aside, old(root))

    assert (after, names(root)) == ((False, b"old and more"), ["d/a.md"])


@linux_only
def test_linger_is_short_without_editor(root: Path) -> None:
    """Nothing is kept when the system vouches that nobody has the file open for writing."""
    with (root / "d" / "a.md").open("rb"):
        outcome = replace(root, "d/a.md", old(root), b"new", linger=True)

    assert (outcome.kind, outcome.aside, names(root)) == ("written", None, ["d/a.md"])


@linux_only
def test_settle_unchanged(root: Path) -> None:
    """An old file that nobody wrote to goes without a word, and only once."""
    with (root / "d" / "a.md").open("ab"):
        aside = replace(root, "d/a.md", old(root), b"new", linger=True).aside
    assert aside is not None

    assert [settle(root, aside, old(root)) for _ in range(2)] == [None, None]
    assert (names(root), in_use(root, aside)) == (["d/a.md"], False)


@pytest.mark.parametrize("kind", ["rename", "in place", "kept open"])
def test_no_save_is_lost(root: Path, kind: str) -> None:
    """Against an editor that saves all the time, every saved line is in place or was handed out."""
    file = root / "d" / "a.md"
    file.write_bytes(b"first line\n")
    env = {**os.environ, "PYTHONPATH": str(Path(taskd.__file__).parents[1])}
    argv = [sys.executable, "-c", EDITOR, kind, str(file)]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as editor:
        assert editor.stdout is not None
        assert editor.stdout.readline() == "ready\n"
        try:
            kinds, handed_out, asides = replace_often(root)
        finally:
            Path(f"{file}.stop").touch()
        saves = int(editor.stdout.readline())
    handed_out += [text for aside, known in asides if (text := settle(root, aside, known)) is not None]
    Path(f"{file}.stop").unlink()
    found = set(b"".join([file.read_bytes(), *handed_out]).splitlines())

    assert {b"saved %d" % save for save in range(saves)} - found == set()
    assert kinds.count("written") + kinds.count("displaced") > 0
    assert [name for name in names(root) if TEMP_PREFIX in name] == []


def replace_often(root: Path) -> tuple[list[str], list[bytes], list[tuple[str, str]]]:
    """Add lines by `replace`: the outcomes, the texts handed out, the asides with the hash they had."""
    kinds: list[str] = []
    handed_out: list[bytes] = []
    asides: list[tuple[str, str]] = []
    for number in range(ROUNDS):
        text = (root / "d" / "a.md").read_bytes()
        outcome = replace(root, "d/a.md", text_hash(text), text + b"ours %d\n" % number, linger=True)
        kinds.append(outcome.kind)
        handed_out += [outcome.text] if outcome.kind == "displaced" and outcome.text is not None else []
        if outcome.aside is not None:
            asides.append((outcome.aside, text_hash(text if outcome.text is None else outcome.text)))
    return kinds, handed_out, asides


def test_create(root: Path) -> None:
    """A new file appears with its directories, with the modes that the umask says."""
    mask = os.umask(0o027)
    outcome = create(root, "x/y/b.md", b"new")
    os.umask(mask)

    file = root / "x" / "y" / "b.md"
    assert (outcome.kind, file.read_bytes(), outcome.stamp) == ("written", b"new", stamp_of(file.stat()))
    assert [oct(path.stat().st_mode & 0o777) for path in (file, file.parent)] == ["0o640", "0o750"]
    assert names(root) == ["d/a.md", "x/y/b.md"]


def test_create_exists(root: Path) -> None:
    """What is there already is told and left alone; a link there is not followed."""
    (root / "d" / "l.md").symlink_to(root / "target")
    kinds = [create(root, path, b"new") for path in ("d/a.md", "d/l.md")]

    assert [(outcome.kind, outcome.text) for outcome in kinds] == [("exists", b"old"), ("exists", None)]
    assert (names(root), (root / "d" / "a.md").read_bytes()) == (["d/a.md", "d/l.md"], b"old")


def test_create_without_root(root: Path) -> None:
    """A root that is not there, an unmounted disk perhaps, is not made."""
    with pytest.raises(FileNotFoundError):
        create(root / "gone", "a.md", b"new")
    assert not (root / "gone").exists()


def test_create_below_file(root: Path) -> None:
    """A file in the way of a directory is an error, and the file stays."""
    with pytest.raises(NotADirectoryError):
        create(root, "d/a.md/b.md", b"new")
    assert (root / "d" / "a.md").read_bytes() == b"old"


def test_remove(root: Path) -> None:
    """A file that is as expected goes, with the directories that held nothing else; the root stays."""
    create(root, "x/y/z/b.md", b"new")
    create(root, "x/c.md", b"c")
    kinds = [
        remove(root, path, text_hash(text)).kind
        for path, text in (("x/y/z/b.md", b"new"), ("d/a.md", b"old"))
    ]

    assert (kinds, names(root)) == (["written", "written"], ["x/c.md"])
    assert sorted(path.name for path in root.rglob("*") if path.is_dir()) == ["x"]


def test_remove_unexpected(root: Path) -> None:
    """A file that holds something else is not removed."""
    outcome = remove(root, "d/a.md", old(root, b"older"))

    assert (outcome.kind, outcome.text, names(root)) == ("unexpected", b"old", ["d/a.md"])


def test_put_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit saved in the last instant before a removal is put back."""
    file = root / "d" / "a.md"
    move_away = exchange._move_away  # noqa: SLF001 - the instant lies before this call
    monkeypatch.setattr(exchange, "_move_away", lambda spot: (file.write_bytes(b"edit"), move_away(spot))[1])
    outcome = remove(root, "d/a.md", old(root))

    assert (outcome.kind, outcome.text, file.read_bytes()) == ("unexpected", b"edit", b"edit")
    assert (names(root), outcome.stamp) == (["d/a.md"], stamp_of(file.stat()))


def test_put_back_into_taken_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the place was taken before an edit could be put back, both texts are kept."""
    file = root / "d" / "a.md"

    def edit_and_save_anew(step: str) -> None:
        if step == "remove.after-rename":
            next((root / "d").iterdir()).write_bytes(b"edit")
            file.write_bytes(b"anew")

    monkeypatch.setattr(exchange, "point", edit_and_save_anew)
    outcome = remove(root, "d/a.md", old(root))

    assert (outcome.kind, outcome.text, file.read_bytes()) == ("displaced", b"edit", b"anew")
    assert leftovers(root) == [(outcome.aside, b"edit")]


@linux_only
def test_remove_with_open_editor(root: Path) -> None:
    """What an editor writes into a file removed under it is found, and the directory goes afterwards."""
    with (root / "d" / "a.md").open("ab") as editor:
        outcome = remove(root, "d/a.md", old(root), linger=True)
        assert outcome.aside is not None
        editor.write(b" and more")
    text = settle(root, outcome.aside, old(root))

    assert (outcome.kind, text, list(root.iterdir())) == ("written", b"old and more", [])


def test_linked_parent(tmp_path: Path, root: Path) -> None:
    """No write goes through a linked directory, wherever that leads."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.md").write_bytes(b"old")
    (root / "l").symlink_to(tmp_path / "outside")

    acts: list[Callable[[], object]] = [
        lambda: replace(root, "l/a.md", old(root), b"new"),
        lambda: create(root, "l/b.md", b"new"),
        lambda: create(root, "l/x/b.md", b"new"),
        lambda: remove(root, "l/a.md", old(root)),
    ]
    for act in acts:
        with pytest.raises(openat.LinkMet):
            act()
    assert names(tmp_path / "outside") == ["a.md"]
    assert (tmp_path / "outside" / "a.md").read_bytes() == b"old"


def test_linked_file(tmp_path: Path, root: Path) -> None:
    """A linked file is neither replaced nor removed, nor is what it points to."""
    (tmp_path / "target").write_bytes(b"old")
    (root / "l.md").symlink_to(tmp_path / "target")
    kinds = replace(root, "l.md", old(root), b"new").kind, remove(root, "l.md", old(root)).kind

    assert (kinds, (tmp_path / "target").read_bytes()) == (("unexpected", "unexpected"), b"old")
    assert (root / "l.md").is_symlink()


@pytest.mark.parametrize("path", ["../a.md", "/a.md", "d//a.md", "d/../a.md", "."])
def test_paths_stay_below(root: Path, path: str) -> None:
    """A path that leads out of the root is an error of the caller."""
    acts: list[Callable[[], object]] = [
        lambda: replace(root, path, old(root), b"n"),
        lambda: create(root, path, b"n"),
    ]
    for act in acts:
        with pytest.raises(ValueError, match="not a path below a root"):
            act()
    with pytest.raises(ValueError, match="not a temp file of ours"):
        discard(root, "d/a.md")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB with a root in it."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root and Linux")
    disk = tmp_path / "disk"
    disk.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(argv, check=False, capture_output=True).returncode:
        pytest.skip("this system does not let us mount")
    (disk / "tasks").mkdir()
    yield disk / "tasks"
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk(small_disk: Path) -> None:
    """On a full disk the file stays as it was, nothing half-written is left, and the error says why."""
    create(small_disk, "a.md", b"old")
    acts: list[Callable[[], object]] = [
        lambda: replace(small_disk, "a.md", old(small_disk), b"x" * 100_000),
        lambda: create(small_disk, "x/y/b.md", b"x" * 100_000),
    ]
    for act in acts:
        with pytest.raises(OSError, match="No space left") as caught:
            act()
        assert caught.value.errno == errno.ENOSPC

    assert ((small_disk / "a.md").read_bytes(), names(small_disk)) == (b"old", ["a.md"])
    assert [path.name for path in small_disk.iterdir()] == ["a.md"]


def test_read_only_disk(small_disk: Path) -> None:
    """On a disk that has become read-only the error says so and nothing changes."""
    create(small_disk, "a.md", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk.parent)], check=True)
    acts: list[Callable[[], object]] = [
        lambda: replace(small_disk, "a.md", old(small_disk), b"new"),
        lambda: create(small_disk, "b.md", b"new"),
        lambda: remove(small_disk, "a.md", old(small_disk)),
    ]
    for act in acts:
        with pytest.raises(OSError, match="Read-only file system"):
            act()

    assert (names(small_disk), leftovers(small_disk)) == (["a.md"], [])


KILLS = [
    *(("replace", step) for step in STEPS if step.startswith("exchange.")),
    *(("create", step) for step in STEPS if step.startswith("create.")),
    *(("remove", step) for step in STEPS if step.startswith("remove.")),
]


@pytest.mark.parametrize(("verb", "step"), KILLS)
def test_killed(root: Path, verb: str, step: str, system: str) -> None:
    """Killed at any step, each text is whole in its place or a leftover, and going on ends as undisturbed."""
    env = {**os.environ, "PYTHONPATH": str(Path(taskd.__file__).parents[1]), VARIABLE: step}
    done = subprocess.run([sys.executable, "-c", WRITE, str(root), verb, system], env=env, check=False)
    left = leftovers(root)
    texts = {(root / name).read_bytes() for name in names(root)}
    for temp, text in left:
        assert text in ({b"old", b"new", b""} if step == "exchange.temp-made" else {b"old", b"new"})
        discard(root, temp)
    again = {
        "replace": lambda: replace(root, "d/a.md", old(root), b"new"),
        "create": lambda: create(root, "d/new.md", b"new"),
        "remove": lambda: remove(root, "d/a.md", old(root)),
    }[verb]().kind

    assert (done.returncode, texts - {b"old", b"new", b""}) == (-signal.SIGKILL, set())
    assert again in {"written", "exists", "unexpected", "absent"}
    assert {name: (root / name).read_bytes() for name in names(root)} == {
        "replace": {"d/a.md": b"new"},
        "create": {"d/a.md": b"old", "d/new.md": b"new"},
        "remove": {},
    }[verb]


def test_leftovers_put_back(root: Path) -> None:
    """A file that was moved out of its place when the process died is back, unless its place is taken."""
    (root / "d" / "a.md").rename(root / "d" / f"{TEMP_PREFIX}0123456789abcdef+a.md")
    (root / "d" / f"{TEMP_PREFIX}0123456789abcdef+b.md").write_bytes(b"moved")
    (root / "d" / "b.md").write_bytes(b"anew")
    (root / ".git").mkdir()
    (root / ".git" / f"{TEMP_PREFIX}0123456789abcdef-c.md").write_bytes(b"not ours")

    assert leftovers(root) == [(f"d/{TEMP_PREFIX}0123456789abcdef+b.md", b"moved")]
    assert ((root / "d" / "a.md").read_bytes(), (root / "d" / "b.md").read_bytes()) == (b"old", b"anew")
    assert leftovers(root / "gone") == []


def test_long_name(root: Path) -> None:
    """A name as long as the system allows can be written too; only its origin is not told."""
    name = "x" * 252 + ".md"
    create(root, name, b"old")
    outcome = replace(root, name, old(root), b"new")

    assert (outcome.kind, (root / name).read_bytes(), names(root)) == ("written", b"new", ["d/a.md", name])
    assert origin(TEMP_PREFIX + "0123456789abcdef-") is None


def test_temps_are_no_tasks(root: Path) -> None:
    """Nobody takes a temp file for a task: no scan finds it, and no reading."""
    temp = f"d/{TEMP_PREFIX}0123456789abcdef-a.md"
    (root / temp).write_bytes(b"new")

    assert (list(scan(root).files), read(root, temp, now_ns=0)) == (["d/a.md"], None)
