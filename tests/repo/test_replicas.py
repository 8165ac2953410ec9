from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import taskd
from taskd.repo import replicas
from taskd.repo.replicas import DEPTH_CAP, SIZE_CAP, TEMP_PREFIX, Reading, Trouble, read, scan, stamp_of

NOBODY = 65534
UNREADABLE = """
import json, os, sys, time
from pathlib import Path
from taskd.repo.replicas import read, scan
os.setuid(int(sys.argv[2]))
root = Path(sys.argv[1])
seen, got = scan(root), read(root, "a.md", now_ns=time.time_ns())
below = read(root, "shut/b.md", now_ns=time.time_ns())
print(json.dumps([sorted(seen.files), seen.complete, seen.unread, seen.root_exists,
                  [t.reason for t in seen.troubles], got.reason, below.reason,
                  seen.absent("shut/b.md"), seen.absent("gone.md")]))
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a replica."""
    (tmp_path / "tasks").mkdir()
    return tmp_path / "tasks"


def now(root: Path, path: str) -> Reading | Trouble | None:
    """The file as read at this moment."""
    return read(root, path, now_ns=time.time_ns())


def reason(root: Path, path: str) -> str:
    """Why the file could not be read."""
    found = now(root, path)
    assert isinstance(found, Trouble), found
    return found.reason


def put(root: Path, path: str, text: bytes = b"x") -> Path:
    """Write a file and the directories above it."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(text)
    return root / path


@pytest.mark.parametrize("name", ["a.md", "Straße.md", "a b.md", "x (conflicted copy).md", "a.b.md", "-.md"])
def test_task_names(name: str) -> None:
    """Markdown files are task files."""
    assert replicas.is_task_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            ".a.md",
            ".md",
            "#a.md#",
            "#a.md",
            ".#a.md",
            "a.md~",
            "a.md.swp",
            ".a.md.swp",
            "4913",
            "a.MD",
            "md",
            "",
        ),
        *("a.md___jb_tmp___", "a.md___jb_old___", "a___jb_tmp___.md", "sedAbC123", "a.md.bak", "a.txt", "a"),
        TEMP_PREFIX + "0123456789abcdef-a.md",
    ],
)
def test_helper_names(name: str) -> None:
    """Backups, swap files, locks and temp files of editors, and our own, are no task files."""
    assert not replicas.is_task_name(name)


@pytest.mark.parametrize(
    "path", [".git/a.md", "x/.obsidian/a.md", "../a.md", "/a.md", "x//a.md", "x.md/a.md", "a/"]
)
def test_no_task_paths(root: Path, path: str) -> None:
    """Nothing in hidden directories, outside the root or in a directory named like a task is a task file."""
    assert (replicas.is_task_path(path), now(root, path)) == (False, None)


def test_read(root: Path) -> None:
    """A file comes with its exact bytes and its stamp."""
    file = put(root, "area/a.md", b"\xef\xbb\xbf---\r\nid: a\r\n---\r\n\xff")

    stamp = stamp_of(file.stat())
    assert now(root, "area/a.md") == Reading("area/a.md", file.read_bytes(), stamp, racy=True)


def test_absent(root: Path) -> None:
    """A file, its directory or the whole root missing, or a file in the directory's place, is absence."""
    put(root, "file")

    paths = ["a.md", "no/a.md", "file/a.md", "x" * 300 + ".md"]
    assert [now(root, path) for path in paths] == [None] * 4
    assert now(root / "gone", "a.md") is None


def test_racy(root: Path) -> None:
    """A stamp is trusted only two seconds after the last change, whatever time the file claims."""
    file = put(root, "a.md")
    changed = file.stat().st_ctime_ns
    os.utime(file, ns=(0, 0))  # a restored old time: the ctime still tells

    def racy(later: int) -> bool:
        found = read(root, "a.md", now_ns=changed + later)
        assert isinstance(found, Reading)
        return found.racy

    assert [racy(later) for later in (10**9, 3 * 10**9, 60 * 10**9)] == [True, False, False]


def test_restored_time_changes_stamp(root: Path) -> None:
    """A change is seen even if size and modification time are put back to what they were."""
    file = put(root, "a.md", b"one")
    before = file.stat()
    first = scan(root).files["a.md"]
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    second = scan(root).files["a.md"]
    assert (first[:4] == second[:4], first == second) == (True, False)


def test_size_cap(root: Path) -> None:
    """A file of one MiB is read, one byte more is a trouble for both reading and scanning."""
    put(root, "fits.md", b"x" * SIZE_CAP)
    put(root, "big.md", b"x" * (SIZE_CAP + 1))

    fits, seen = now(root, "fits.md"), scan(root)
    assert isinstance(fits, Reading)
    assert (len(fits.text), list(seen.files)) == (SIZE_CAP, ["fits.md"])
    assert reason(root, "big.md") == "has 1048577 bytes; more than 1048576 are not read"
    assert (seen.troubles, seen.absent("big.md")) == ([now(root, "big.md")], False)


def test_special_files(root: Path) -> None:
    """A pipe, socket, device or directory in a task's place is named, and never waited for."""
    os.mkfifo(root / "fifo.md")
    (root / "dir.md").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(root)  # the address must be short
        server.bind("sock.md")
        found = {path: reason(root, path) for path in ("fifo.md", "dir.md", "sock.md")}
        seen = scan(root)

    assert found == {
        "fifo.md": "is a named pipe, not a regular file",
        "dir.md": "is a directory named like a task file",
        "sock.md": "is a socket, not a regular file",
    }
    assert {trouble.path: trouble.reason for trouble in seen.troubles} == found
    assert (seen.files, seen.complete, seen.absent("dir.md/a.md")) == ({}, True, False)


@as_root
def test_device(root: Path) -> None:
    """A device is not opened."""
    os.mknod(root / "null.md", 0o020600, os.makedev(1, 3))

    assert reason(root, "null.md") == "is a device, not a regular file"


def test_symbolic_links(tmp_path: Path, root: Path) -> None:
    """Neither a linked file nor anything behind a linked directory is read, wherever the link leads."""
    put(tmp_path, "outside/secret.md")
    put(root, "inside.md")
    (root / "out.md").symlink_to(tmp_path / "outside" / "secret.md")
    (root / "in.md").symlink_to("inside.md")
    (root / "dangling.md").symlink_to("nowhere")
    (root / "dir").symlink_to(tmp_path / "outside")

    seen = scan(root)
    linked = "is a symbolic link, which taskd does not follow"
    assert {trouble.path: trouble.reason for trouble in seen.troubles} == dict.fromkeys(
        ["dangling.md", "dir", "in.md", "out.md"], linked
    )
    assert (list(seen.files), seen.complete, seen.absent("dir/secret.md")) == (["inside.md"], True, False)
    assert [reason(root, path) for path in ("out.md", "in.md", "dangling.md")] == [linked] * 3
    assert reason(root, "dir/secret.md") == "lies behind 'dir', a symbolic link, which taskd does not follow"


def test_linked_root(tmp_path: Path, root: Path) -> None:
    """The root itself may be a link: where the tasks lie is the user's business."""
    put(root, "a.md")
    (tmp_path / "link").symlink_to(root)

    assert isinstance(now(tmp_path / "link", "a.md"), Reading)
    assert list(scan(tmp_path / "link").files) == ["a.md"]


def test_link_swapped_in(tmp_path: Path, root: Path) -> None:
    """A directory that is swapped for a link to another tree, to and fro, never lets the other tree in."""
    put(root, "d/a.md", b"inside")
    put(tmp_path, "outside/a.md", b"outside")
    (root / "l").symlink_to(tmp_path / "outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (root / "d").rename(root / "t")
            (root / "l").rename(root / "d")
            (root / "d").rename(root / "l")
            (root / "t").rename(root / "d")

    thread = threading.Thread(target=swap)
    thread.start()
    found = [now(root, "d/a.md") for _ in range(2000)]
    stop.set()
    thread.join()

    assert {reading.text for reading in found if isinstance(reading, Reading)} == {b"inside"}


@as_root
def test_no_permission(tmp_path: Path, root: Path) -> None:
    """What may not be read is a trouble and never absent; what is below it, nobody vouches for."""
    put(root, "a.md").chmod(0)
    put(root, "shut/b.md")
    (root / "shut").chmod(0)
    for directory in (*tmp_path.parents, tmp_path):
        if directory.stat().st_uid == os.getuid() and not directory.stat().st_mode & 0o001:
            directory.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(Path(taskd.__file__).parents[1])}
    argv = [sys.executable, "-c", UNREADABLE, str(root), str(NOBODY)]
    answer = subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout

    denied = "cannot be read: Permission denied"
    assert answer == (
        f'[["a.md"], false, ["shut"], true, ["{denied}"], "{denied}", "{denied}", false, true]\n'
    )


def test_unstable(root: Path) -> None:
    """A file that is written all the time is reported as being written, or read whole, never torn."""
    file = put(root, "a.md")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for letter in (b"a", b"b"):
                file.write_bytes(letter * 200_000)

    thread = threading.Thread(target=write)
    thread.start()
    found = [now(root, "a.md") for _ in range(200)]
    stop.set()
    thread.join()

    whole = {b"", b"a" * 200_000, b"b" * 200_000}
    torn = [r for r in found if isinstance(r, Reading) and r.text not in whole and len(set(r.text)) > 1]
    others = {(r.reason, r.unstable) for r in found if isinstance(r, Trouble)}
    assert (torn, others - {("is being written", True)}) == ([], set())


def test_scan(root: Path) -> None:
    """A scan finds every task file with the stamp that reading gives, and nothing else."""
    for path in ("a.md", "x/b.md", "x/y/c.md", ".hidden/d.md", "x/.e.md", "x/f.txt", "x/#g.md", "README"):
        put(root, path)
    seen = scan(root)
    readings = {path: now(root, path) for path in seen.files}

    assert sorted(seen.files) == ["a.md", "x/b.md", "x/y/c.md"]
    assert {p: r.stamp for p, r in readings.items() if isinstance(r, Reading)} == seen.files
    assert (seen.troubles, seen.directories, seen.complete, seen.root_exists) == ([], 3, True, True)
    assert (seen.absent("x/z.md"), seen.absent("a.md")) == (True, False)


def test_missing_root(root: Path) -> None:
    """A root that is missing, or is no directory, is told apart from an empty one."""
    put(root, "file")

    exist = [scan(path).root_exists for path in (root / "gone", root / "file", root)]
    assert exist == [False, False, True]


def test_other_repository(root: Path) -> None:
    """Tasks of a submodule or a nested clone are another repository's; about them nothing is claimed."""
    put(root, "sub/.git", b"gitdir: elsewhere")
    put(root, "sub/deep/a.md")
    put(root, "b.md")

    seen = scan(root)
    assert (list(seen.files), seen.unread, seen.complete) == (["b.md"], ("sub",), True)
    assert (seen.troubles, seen.absent("sub/deep/a.md")) == ([], False)
    assert reason(root, "sub/deep/a.md") == "lies in 'sub', where another git repository begins"


def test_repository_at_the_root(root: Path) -> None:
    """The root may be the top of its own repository."""
    put(root, ".git/config")
    put(root, "a.md")

    assert list(scan(root).files) == ["a.md"]


def test_odd_names(root: Path) -> None:
    """Names that no front end could show are reported in a form that can be shown, and not taken."""
    bad = os.fsdecode(b"caf\xe9.md")
    put(root, bad)
    put(root, "a\x1bb.md")
    put(root, os.fsdecode(b"d\xff/x.md"))
    put(root, "gut-ö.md")

    seen = scan(root)
    assert list(seen.files) == ["gut-ö.md"]
    assert [(trouble.path, trouble.reason) for trouble in seen.troubles] == [
        ("a\\x1bb.md", "its name has a control character in it"),
        ("caf\\xe9.md", "its name is not valid UTF-8"),
        ("d\\xff", "its name is not valid UTF-8"),
    ]
    assert (reason(root, bad), seen.absent(bad)) == ("its name is not valid UTF-8", False)
    assert now(root, os.fsdecode(b"gone\xe9.md")) is None


def test_colliding_names(root: Path) -> None:
    """Names that differ only in case or in the form of accents are noted; both are taken."""
    for name in ("a.md", "A.md", "\u00e9.md", "e\u0301.md", "b.md"):
        put(root, name)
    seen = scan(root)
    if len(seen.files) < 5:
        pytest.skip("this file system cannot hold such names side by side")

    assert [(trouble.path, trouble.note) for trouble in seen.troubles] == [
        ("a.md", True),
        ("\u00e9.md", True),
    ]


def test_hard_link(root: Path) -> None:
    """A file with a second name is noted, unless the other one is a temp name of ours."""
    put(root, "a.md")
    os.link(root / "a.md", root / (TEMP_PREFIX + "0123456789abcdef-a.md"))
    put(root, "b.md")
    os.link(root / "b.md", root / "other")

    seen = scan(root)
    assert (sorted(seen.files), [(t.path, t.note) for t in seen.troubles]) == (
        ["a.md", "b.md"],
        [("b.md", True)],
    )


def test_depth(root: Path) -> None:
    """A tree deeper than anybody reads is reported, not followed until descriptors run out."""
    deep = root.joinpath(*(f"d{depth}" for depth in range(DEPTH_CAP + 3)))
    deep.mkdir(parents=True)
    (deep / "a.md").touch()

    seen = scan(root)
    assert (seen.files, [t.reason for t in seen.troubles]) == ({}, ["lies deeper than 32 directories"])
    assert now(root, f"{deep.relative_to(root)}/a.md") is None


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many descriptors are open more than before the test."""
    place = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    before = len(list(place.iterdir()))
    return lambda: len(list(place.iterdir())) - before


def test_no_descriptor_is_left(tmp_path: Path, root: Path, descriptors: Callable[[], int]) -> None:
    """Reading and scanning, with every kind of trouble, leave no descriptor open."""
    put(root, "x/a.md")
    put(root, "sub/.git/config")
    put(root, "sub/a.md")
    (root / "l").symlink_to(tmp_path)
    for _ in range(50):
        scan(root)
        for path in ("x/a.md", "x/no.md", "no/a.md", "sub/a.md", "l/a.md", "x/a.md/b.md"):
            now(root, path)

    assert descriptors() == 0


def test_scan_while_directories_come_and_go(root: Path) -> None:
    """A scan during great changes neither fails nor claims to be incomplete."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            put(root, "x/y/a.md")
            (root / "x/y/a.md").unlink()
            (root / "x/y").rmdir()
            (root / "x").rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    scans = [scan(root) for _ in range(1000)]
    stop.set()
    thread.join()

    assert {(seen.complete, seen.root_exists, len(seen.troubles)) for seen in scans} == {(True, True, 0)}
