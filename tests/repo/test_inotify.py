from __future__ import annotations

import sys
from pathlib import Path

import pytest

from taskd.repo import inotify

MOUNTS = """\
22 1 0:21 / / rw - ext4 /dev/sda rw
23 22 0:22 / /home rw shared:1 - nfs4 server:/home rw
24 23 0:23 / /home/me/local\\040disk rw master:1 - xfs /dev/sdb rw
25 22 0:24 / /mnt/c rw - 9p drvfs rw
26 22 0:25 / /mnt/remote rw - fuse.sshfs me@there: rw
27 22 0:26 / /mnt/stick rw - fuseblk /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/repo", ("ext4", False)),
        ("/home", ("nfs4", True)),
        ("/home/me/repo", ("nfs4", True)),
        ("/home/me/local disk/repo", ("xfs", False)),
        ("/homes/repo", ("ext4", False)),
        ("/mnt/c/repo", ("9p", True)),
        ("/mnt/remote", ("fuse.sshfs", True)),
        ("/mnt/stick/repo", ("fuseblk", False)),
    ],
)
def test_remote_file_systems(path: str, expected: tuple[str, bool]) -> None:
    """File systems that change elsewhere are known by the mount that a path lies on."""
    kind = inotify.filesystem_of(path, MOUNTS)

    assert (kind, inotify.is_remote(kind)) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="about /proc")
def test_this_system(tmp_path: Path) -> None:
    """The temp dir of this machine is found on a local file system, and its limits can be read."""
    kind = inotify.filesystem_of(str(tmp_path.resolve()))

    assert (kind != "", inotify.is_remote(kind), inotify.watch_limits() != "") == (True, False, True)


def test_unknown_mounts() -> None:
    """Without a list of mounts nothing is claimed."""
    kind = inotify.filesystem_of("/srv", "")

    assert (kind, inotify.is_remote(kind)) == ("", False)
