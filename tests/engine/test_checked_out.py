"""A worktree that has the workspace branch checked out goes along, or the branch waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskd.engine.site import MIRROR
from taskd.errors import BranchHeld
from tests.engine.bench import REF, Bench, document


@pytest.fixture
def shown(bench: Bench) -> Path:
    """A worktree that shows the workspace branch, on which there are two tasks."""
    bench.put("auth.md", document("auth", body="One.\n"))
    bench.put("db.md", document("db"))
    bench.engine.finish_branch()
    bench.git(bench.top, "worktree", "add", "-q", bench.top.parent / "shown", "taskd/workspace")
    bench.engine.site.look_around()
    return bench.top.parent / "shown"


def status(bench: Bench, tree: Path) -> str:
    """What git says of the worktree."""
    return bench.git(tree, "status", "--porcelain", "--untracked-files=all")


def touched(file: Path) -> tuple[int, int, int]:
    """Which file it is and when it was last changed; that it was read does not count."""
    found = file.stat()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def test_a_clean_one_is_brought_along(bench: Bench, shown: Path) -> None:
    """Index and files follow the branch; a file that did not change is not touched."""
    before = touched(shown / "tasks/db.md")
    bench.call("status", id="auth", status="in-progress")
    bench.call("add", name="New", id="new")
    bench.settle()

    assert "status: in-progress" in (shown / "tasks/auth.md").read_text()
    assert (shown / "tasks/new.md").exists()
    assert status(bench, shown) == ""
    assert touched(shown / "tasks/db.md") == before


def test_its_files_are_no_replicas(bench: Bench, shown: Path) -> None:
    """What it shows is nobody's edit: no conflict, no problem, no write back, no base."""
    bench.settle()
    (shown / "tasks/auth.md").write_text("---\nid: auth\nname: Typed\n---\n")
    bench.settle()

    assert (bench.conflicts(), bench.problems(), bench.problems("refusal")) == ([], [], [])
    assert bench.task("auth").name == "Auth"
    with bench.db.read() as view:
        assert view.bases("shown") == []


def test_what_is_committed_there_is_taken(bench: Bench, shown: Path) -> None:
    """An edit made and committed in it is an edit of the task."""
    file = shown / "tasks/auth.md"
    file.write_text(file.read_text().replace("One.", "Two."))
    bench.git(shown, "commit", "-q", "-a", "-m", "edited")
    bench.settle()

    assert bench.task("auth").body == "Two.\n"
    assert status(bench, shown) == ""


@pytest.mark.parametrize("how", ["edited", "staged", "merging", "locked by git"])
def test_a_dirty_one_holds_the_branch(bench: Bench, shown: Path, how: str) -> None:
    """Changes in it stay as they are, the branch waits, a problem says why; then it goes on."""
    file, own = shown / "tasks/auth.md", shown / "own.txt"
    if how == "edited":
        file.write_text(file.read_text().replace("One.", "Mine."))
    elif how == "staged":
        own.write_text("mine\n")
        bench.git(shown, "add", "own.txt")
    elif how == "merging":
        (bench.top / ".git/worktrees/shown/MERGE_HEAD").write_text("0" * 40)
    else:
        (bench.top / ".git/worktrees/shown/index.lock").touch()
    before, text = bench.git(bench.top, "rev-parse", REF), file.read_text()
    bench.call("status", id="db", status="in-progress")
    with pytest.raises(BranchHeld):
        bench.engine.mirror()

    [problem] = bench.problems()
    assert (problem.worktree, str(shown) in problem.reason) == ("@branch", True)
    assert (bench.git(bench.top, "rev-parse", REF), file.read_text()) == (before, text)
    assert "db" in bench.errands(MIRROR)

    for name in ("MERGE_HEAD", "index.lock"):
        (bench.top / ".git/worktrees/shown" / name).unlink(missing_ok=True)
    bench.git(shown, "commit", "-q", "-a", "-m", "mine", check=False)
    bench.settle()
    assert (bench.problems(), status(bench, shown)) == ([], "")
    assert "status: in-progress" in (shown / "tasks/db.md").read_text()
    assert bench.task("auth").body == ("Mine.\n" if how == "edited" else "One.\n")


def test_an_untracked_file_in_the_way(bench: Bench, shown: Path) -> None:
    """A file of somebody's own where a new task would go is not written over."""
    (shown / "tasks/new.md").write_text("mine\n")
    bench.call("add", name="New", id="new")
    with pytest.raises(BranchHeld):
        bench.engine.mirror()

    assert (shown / "tasks/new.md").read_text() == "mine\n"
    (shown / "tasks/new.md").unlink()
    bench.settle()
    assert ((shown / "tasks/new.md").exists(), status(bench, shown)) == (True, "")


def test_a_worktree_that_is_gone_holds_nothing(bench: Bench, shown: Path) -> None:
    """A directory that was simply removed keeps nobody waiting; a locked worktree does."""
    shown.rename(shown.with_name("away"))
    bench.call("status", id="db", status="in-progress")
    bench.engine.mirror()
    bench.git(bench.top, "worktree", "lock", shown)
    bench.call("status", id="auth", status="in-progress")

    with pytest.raises(BranchHeld):
        bench.engine.mirror()


def test_switching_there_and_back(bench: Bench) -> None:
    """A worktree that was switched to the branch and back has its live files again, and nobody is asked."""
    bench.put("auth.md", document("auth"))
    bench.put("db.md", document("db"))
    place = bench.add_worktree("one")
    bench.settle()
    top = place.root.parent
    bench.git(top, "switch", "-q", "--ignore-other-worktrees", "taskd/workspace")
    bench.settle()
    bench.git(top, "switch", "-q", "--detach", "main")
    for _ in range(2):
        bench.engine.sync(5, lambda _: None)

    assert bench.text("auth.md", "one") == bench.text("auth.md")
    assert (bench.holds(), bench.ids(), bench.conflicts()) == ([], ["auth", "db"], [])


def test_no_filter_is_run(bench: Bench, shown: Path) -> None:
    """Where files go through a program of the configuration, it is not run: the branch waits."""
    trace = bench.top.parent / "ran"
    bench.git(bench.top, "config", "filter.evil.smudge", f"touch {trace}; cat")
    bench.git(bench.top, "config", "filter.evil.clean", f"touch {trace}; cat")
    (bench.top / ".git/info/attributes").write_text("*.md filter=evil\n")
    (shown / "tasks/auth.md").touch()
    bench.call("status", id="db", status="in-progress")

    with pytest.raises(BranchHeld, match="filter"):
        bench.engine.mirror()
    assert not trace.exists()
