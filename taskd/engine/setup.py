"""`init` and `uninit`: the only two that write files of git's own, local ones, and say so."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskd.engine import registration
from taskd.engine.blocks import read_file, with_block, without_block, write_file, write_or_remove
from taskd.engine.site import SHARED, TRACKED
from taskd.errors import Refused
from taskd.repo.git import Git
from taskd.repo.worktrees import Repository

_LINE: Final = re.compile(rb"[^\n]*\n")

MARK: Final = "# taskd: task files are shared between worktrees, not committed"


@dataclass(frozen=True, slots=True)
class Setup:
    """What `init` found and is about to do."""

    layout: str
    tasks_dir: str
    tracked: int
    writes: tuple[Path, ...]

    @property
    def meaning(self) -> str:
        """The layout in one sentence."""
        if self.layout == SHARED:
            return f"{self.tasks_dir}/ is kept out of git and holds the same live files in every worktree"
        return f"task files ({self.tracked} tracked now) travel with their branches; taskd leaves them alone"


def find_layout(git: Git, repository: Repository, tasks_dir: str, asked: str | None, top: Path) -> Setup:
    """The layout asked for, else the one the repository has: tracked when git tracks a task file.

    Refused when the shared layout cannot work here.
    """
    tracked = [path for path in git.tracked(top, tasks_dir) if path.endswith(".md")]
    layout = asked or (TRACKED if tracked else SHARED)
    if layout == SHARED and tracked:
        raise Refused(
            reason=f"git tracks {len(tracked)} files in {tasks_dir}/ (such as {min(tracked)}), "
            "so they cannot be shared live between worktrees; use --tracked"
        )
    writes = [repository.common_dir / "taskd" / "config.toml", *registration.files(repository)]
    if layout == SHARED:
        writes.append(exclude_file(repository))
    return Setup(layout, tasks_dir, len(tracked), tuple(writes))


def exclude_file(repository: Repository) -> Path:
    """Git's own list of ignored files for this clone and all its worktrees."""
    return repository.common_dir / "info" / "exclude"


def set_exclude(repository: Repository, tasks_dir: str) -> None:
    """Keep the tasks directory out of git, in every worktree of this clone."""
    path = exclude_file(repository)
    path.parent.mkdir(exist_ok=True)
    bare = without_block(read_file(path), MARK, _LINE)
    write_file(path, with_block(bare, MARK, f"/{tasks_dir}/\n"))


def drop_exclude(repository: Repository) -> bool:
    """Take the lines out again, all other bytes as they were; whether the lines were there."""
    path = exclude_file(repository)
    text = read_file(path)
    kept = without_block(text, MARK, _LINE)
    if kept == text:
        return False
    write_or_remove(path, kept)  # git's own template has comments in it, so it was us who made the file
    return True


def check_excluded(git: Git, tasks_dir: str) -> None:
    """Refused when, in the worktree `git` stands in, a pattern shows task files to git all the same."""
    probe = f"{tasks_dir}/taskd-probe.md"
    if probe not in git.check_ignored([probe]):
        raise Refused(
            reason=f"a pattern in .gitignore (one that begins with !) shows {tasks_dir}/ to git "
            "although it is excluded; take that pattern out, or use --tracked"
        )


def write_settings(path: Path, layout: str, tasks_dir: str) -> None:
    """Write the layout into this clone's settings; other lines of the file stay."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    text = read_file(path).decode(errors="surrogateescape")
    kept = [line for line in text.splitlines() if not re.match(r"\s*(layout|tasks_dir)\s*=", line)]
    chosen = [f"layout = {json.dumps(layout)}", f"tasks_dir = {json.dumps(tasks_dir)}"]
    write_file(path, "".join(f"{line}\n" for line in [*chosen, *kept]).encode(errors="surrogateescape"))
