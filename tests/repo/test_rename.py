from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskd.repo import rename


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """The temp dir, open."""
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture(params=["native", "lacking"])
def _system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C library here, and one without the call, as musl is."""
    if request.param == "lacking":
        monkeypatch.setattr(rename, "_function", lambda: None)


def contents(directory: Path) -> dict[str, str]:
    """What the files of a directory hold."""
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_swap(tmp_path: Path, fd: int) -> None:
    """Two names change places."""
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")

    swapped = rename.swap(fd, "a", "b")
    assert contents(tmp_path) == ({"a": "2", "b": "1"} if swapped else {"a": "1", "b": "2"})


def test_swap_with_nothing(tmp_path: Path, fd: int) -> None:
    """A swap with a missing name changes nothing."""
    (tmp_path / "a").write_text("1")
    with contextlib.suppress(FileNotFoundError):
        assert not rename.swap(fd, "a", "b")  # where swapping is not supported

    assert contents(tmp_path) == {"a": "1"}


@pytest.mark.usefixtures("_system")
def test_place(tmp_path: Path, fd: int) -> None:
    """A file moves to a free name."""
    (tmp_path / "a").write_text("1")
    rename.place(fd, "a", "b")

    assert contents(tmp_path) == {"b": "1"}


@pytest.mark.usefixtures("_system")
def test_place_taken(tmp_path: Path, fd: int) -> None:
    """A name that is taken is left alone."""
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")

    with pytest.raises(FileExistsError):
        rename.place(fd, "a", "b")
    assert contents(tmp_path) == {"a": "1", "b": "2"}


@pytest.mark.usefixtures("_system")
def test_place_directory(tmp_path: Path, fd: int) -> None:
    """A directory moves to a free name, and not over another."""
    (tmp_path / "a" / "below").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    with pytest.raises(FileExistsError):
        rename.place(fd, "a", "b")
    rename.place(fd, "a", "c")

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["b", "c", "c/below"]


def test_place_without_links(tmp_path: Path, fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no hard links either, a file still moves to a free name only."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(rename, "_function", lambda: None)
    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    with pytest.raises(FileExistsError):
        rename.place(fd, "a", "b")
    rename.place(fd, "a", "c")

    assert contents(tmp_path) == {"b": "2", "c": "1"}
