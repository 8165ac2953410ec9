"""Only a change by hand deletes a task, and many at once are held."""

from __future__ import annotations

from collections.abc import Callable

from taskd.engine.absence import GRACE, HOLD_ABOVE, QUIET, Absences
from taskd.engine.site import SHARED, WORKSPACE
from tests.engine.bench import Bench, document


def fill(bench: Bench, count: int) -> list[str]:
    """So many tasks with a file each; their files."""
    paths = [f"t{number:02}.md" for number in range(count)]
    for path in paths:
        bench.save(path, document(path[:-3]))
    bench.take(*paths)
    bench.write_back()
    return paths


def decide(bench: Bench, *paths: str, key: str = "main") -> list[str]:
    """Remove files by hand and decide; the tasks deleted."""
    for path in paths:
        bench.file(path, key).unlink(missing_ok=True)
    with bench.engine.working():
        return bench.engine.decide_absence(bench.place(key), paths)


def test_a_file_removed_by_hand_deletes_its_task(bench: Bench) -> None:
    """Who removes a file in any worktree deletes the task, everywhere; a tombstone stays."""
    bench.add_worktree("alpha")
    fill(bench, 4)

    deleted = decide(bench, "t00.md", key="alpha")
    bench.write_back()

    assert deleted == ["t00"]
    assert bench.task("t00").deleted_at is not None
    assert [bench.text("t00.md", key) for key in ("main", "alpha", WORKSPACE)] == [None, None, None]
    assert bench.ids() == ["t01", "t02", "t03"]


def test_many_at_once_are_held_and_put_back(bench: Bench) -> None:
    """`git clean` deletes no task: a person is asked, and the files are back."""
    paths = fill(bench, 20)
    gone = paths[: HOLD_ABOVE + 1]

    deleted = decide(bench, *gone)
    bench.write_back()

    (hold,) = bench.holds()
    assert (deleted, hold.worktree) == ([], "main")
    assert hold.tasks == tuple(path[:-3] for path in gone)
    assert all(bench.file(path).exists() for path in paths)
    assert len(bench.ids()) == 20


def test_a_directory_that_is_emptied_and_written_to(bench: Bench) -> None:
    """A new task saved where everything has just vanished does not make the loss look small."""
    paths = fill(bench, 3)
    for path in paths:
        bench.file(path).unlink()
    bench.save("new.md", document("new"))
    bench.take("new.md", *paths)

    assert decide(bench, *paths) == []
    assert [hold.tasks for hold in bench.holds()] == [("t00", "t01", "t02")]


def test_a_few_of_many_are_deleted(bench: Bench) -> None:
    """Up to five files can be removed at once without being asked, and more if that is a small share."""
    paths = fill(bench, 40)

    assert decide(bench, *paths[:HOLD_ABOVE]) == [path[:-3] for path in paths[:HOLD_ABOVE]]
    assert decide(bench, *paths[5:12]) == [path[:-3] for path in paths[5:12]]
    assert bench.holds() == []


def test_an_emptied_directory_is_held(bench: Bench) -> None:
    """A tasks directory that is empty or gone is an accident, however few tasks there were."""
    paths = fill(bench, 2)

    assert decide(bench, *paths) == []
    bench.write_back()
    assert [bench.file(path).exists() for path in paths] == [True, True]
    assert len(bench.holds()) == 1


def test_the_last_task_can_be_removed(bench: Bench) -> None:
    """A single task whose file is removed is deleted: one file is no accident."""
    (path,) = fill(bench, 1)

    assert decide(bench, path) == ["t00"]


def test_files_of_the_workspace_are_put_back(bench: Bench) -> None:
    """The workspace directory is a view: removing a file there deletes nothing."""
    (path, _) = fill(bench, 2)

    deleted = decide(bench, path, key=WORKSPACE)
    bench.write_back()

    assert (deleted, bench.ids()) == ([], ["t00", "t01"])
    assert bench.file(path, WORKSPACE).exists()


def test_a_file_that_is_back_means_nothing(bench: Bench) -> None:
    """A save by unlink and create is no deletion."""
    fill(bench, 3)

    with bench.engine.working():
        assert bench.engine.decide_absence(bench.place(), ["t00.md"]) == []
    assert bench.ids() == ["t00", "t01", "t02"]


def test_a_tracked_file_in_the_shared_layout(make_bench: Callable[..., Bench]) -> None:
    """Where files are shared, one that git tracks comes and goes with its branch and deletes no task."""
    bench = make_bench({"tasks/a.md": document("a"), "tasks/b.md": document("b")}, layout=SHARED)
    bench.take("a.md", "b.md")

    assert decide(bench, "a.md") == []
    assert bench.ids() == ["a", "b"]


def test_a_worktree_that_went_takes_no_task_with_it(bench: Bench) -> None:
    """A removed or unmounted worktree is not a removed file."""
    place = bench.add_worktree("alpha")
    paths = fill(bench, 3)
    assert place.worktree is not None
    place.worktree.path.rename(bench.top.parent / "elsewhere")

    assert decide(bench, *paths, key="alpha") == []
    assert len(bench.ids()) == 3


def test_absences_have_a_grace() -> None:
    """A lone file is decided about a second after it went missing."""
    missing = Absences()
    missing.remember("main", ["a.md"], now=100.0)

    assert missing.next_due() == 100.0 + GRACE
    assert missing.due(100.0 + GRACE - 0.01) == {}
    assert missing.due(100.0 + GRACE) == {"main": ["a.md"]}
    assert (len(missing), missing.next_due()) == (0, None)


def test_absences_are_counted_when_no_more_go() -> None:
    """Files that go one after the other are counted together, after two seconds of quiet."""
    missing = Absences()
    for second, path in enumerate(("a.md", "b.md", "c.md")):
        missing.remember("main", [path], now=100.0 + second)
    missing.remember("main", ["a.md", "b.md"], now=103.5)  # known already: not a new start
    missing.remember("alpha", ["a.md"], now=103.0)

    assert missing.due(102.0 + QUIET - 0.01) == {}
    assert missing.due(102.0 + QUIET) == {"main": ["a.md", "b.md", "c.md"], "alpha": ["a.md"]}


def test_a_place_that_is_gone_misses_nothing() -> None:
    """What was missed in a worktree that was removed is forgotten."""
    missing = Absences()
    missing.remember("alpha", ["a.md", "b.md"], now=1.0)
    assert len(missing) == 2

    missing.drop("alpha")

    assert (len(missing), missing.due(1000.0)) == (0, {})
