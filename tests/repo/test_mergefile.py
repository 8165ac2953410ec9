"""Merging lines with git, without the whole door."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskd.errors import GitFailed
from taskd.repo.git import Git
from taskd.repo.mergefile import line_merger, replace_file

TEXTS = (b"1\n2\n3\n4\n5\n", b"1\n2\n3\n4\nfive\n", b"one\n2\n3\n4\nFIVE")


def test_as_the_door_does(tmp_path: Path) -> None:
    """It merges exactly as the engine's merger does, and leaves nothing behind."""
    merge = line_merger(tmp_path / "x", "--diff3", "-L", "ours", "-L", "base", "-L", "theirs")

    with Git(tmp_path) as git:
        assert [merge(*TEXTS), merge(TEXTS[0], TEXTS[0], TEXTS[2])] == [
            git.merge_file(*TEXTS),
            git.merge_file(TEXTS[0], TEXTS[0], TEXTS[2]),
        ]
    assert list(tmp_path.iterdir()) == []


def test_binary(tmp_path: Path) -> None:
    """What git cannot merge by lines is an error, and nothing is left behind."""
    with pytest.raises(GitFailed):
        line_merger(tmp_path / "x")(b"\0a", b"\0b", b"\0c")

    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Somebody's link under the temp name leads nowhere: the file it points to stays."""
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "temp").symlink_to(tmp_path / "precious")

    with pytest.raises(OSError, match="temp"):
        replace_file(tmp_path / "file", tmp_path / "temp", b"new")

    assert ((tmp_path / "file").read_bytes(), (tmp_path / "precious").read_bytes()) == (b"old", b"precious")
