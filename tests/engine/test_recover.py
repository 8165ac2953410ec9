"""Whatever a killed process left behind, nothing is lost and the files end as if it had not died."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from taskd.core.texts import text_hash
from taskd.engine.site import TRACKED, WORKSPACE
from taskd.errors import StoreFailed
from taskd.store.base import Intent
from tests.engine.bench import NOON, Bench, document

OLD: Final = document("auth", "Log in", body="how\nand\nwhy\n")
NEW: Final = document("auth", "Log in", body="how\nand\nwhy\n", priority="high")
LATE: Final = OLD + "late\n"
BOTH: Final = NEW + "late\n"
#: temp names: a text on its way in or swapped out, and a file that was moved out of its place
TEMP: Final = ".taskd-0123456789abcdef-auth.md"
MOVED: Final = ".taskd-0123456789abcdef+auth.md"


@pytest.fixture
def dying(bench: Bench) -> Bench:
    """An engine that died while it wrote a change of `auth` to worktree alpha: the intent is open."""
    bench.add_worktree("alpha")
    bench.put("auth.md", OLD)
    bench.put("other.md", document("other"))
    bench.settle()
    bench.put("auth.md", NEW)
    intend(bench, OLD, NEW)
    return bench


def intend(bench: Bench, expected: str | None, wanted: str | None, key: str = "alpha") -> None:
    """Put on record that a file is about to be written."""
    with bench.db.write() as txn:
        kept = wanted and txn.keep(wanted.encode())
        txn.open_intent(Intent(key, "auth.md", "auth", expected and text_hash(expected.encode()), kept, NOON))


def restart(bench: Bench) -> None:
    """What a daemon does first, and then everything that follows."""
    bench.engine.site.epoch = bench.db.take_over()
    with bench.engine.working():
        bench.engine.start()
    bench.settle()


def files(bench: Bench, key: str = "alpha") -> dict[str, str]:
    """Every file of a place, temp files too, but for the task that nobody touches."""
    found = {path.name: path.read_text() for path in bench.place(key).root.rglob("*") if path.is_file()}
    return {name: text for name, text in found.items() if name != "other.md"}


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        pytest.param({"auth.md": OLD}, NEW, id="nothing was done"),
        pytest.param({"auth.md": OLD, TEMP: ""}, NEW, id="the temp file was made"),
        pytest.param({"auth.md": OLD, TEMP: NEW[:-6]}, NEW, id="half of the text was written"),
        pytest.param({"auth.md": OLD, TEMP: NEW}, NEW, id="all of the text was written"),
        pytest.param({"auth.md": NEW, TEMP: OLD}, NEW, id="the names were swapped"),
        pytest.param({"auth.md": NEW}, NEW, id="the old text is gone"),
        pytest.param({MOVED: OLD}, NEW, id="the old file was moved away"),
        pytest.param({MOVED: OLD, TEMP: NEW}, NEW, id="it was moved away for the new one"),
        pytest.param({"auth.md": LATE}, BOTH, id="somebody saved before the swap"),
        pytest.param({"auth.md": BOTH}, BOTH, id="somebody saved after the swap"),
        pytest.param({"auth.md": LATE, TEMP: NEW}, BOTH, id="somebody saved as the new text was ready"),
        pytest.param({"auth.md": NEW, TEMP: LATE}, BOTH, id="what was swapped out is an edit"),
        pytest.param({MOVED: LATE}, BOTH, id="what was moved away is an edit"),
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_write(left: dict[str, str], expected: str, times: int, dying: Bench) -> None:
    """At whatever point of a write it died: every text saved is in the file, and nothing else is left."""
    dying.file("auth.md", "alpha").unlink()
    for name, text in left.items():
        dying.save(name, text, "alpha")

    for _ in range(times):
        restart(dying)

    assert files(dying) == {"auth.md": expected}
    assert (dying.head("auth"), dying.text("auth.md")) == (expected, expected)
    assert (dying.intents(), dying.errands("replicas"), dying.problems(), dying.conflicts()) == (
        [],
        [],
        [],
        [],
    )
    assert [entry.field for entry in dying.journal("auth")] == [
        "*",
        "priority",
        *["body"] * (expected == BOTH),
    ]


@pytest.mark.parametrize("left", [{}, {TEMP: ""}, {TEMP: NEW[:20]}, {TEMP: NEW}, {"auth.md": NEW}])
def test_a_new_file(left: dict[str, str], dying: Bench) -> None:
    """The same of a file that was to be made."""
    dying.add_worktree("beta")
    for name, text in left.items():
        dying.save(name, text, "beta")
    intend(dying, None, NEW, "beta")
    with dying.engine.working():
        dying.engine.fill_all()

    restart(dying)

    assert files(dying, "beta") == {"auth.md": NEW}
    assert (dying.intents(), dying.problems(), dying.conflicts()) == ([], [], [])


@pytest.mark.parametrize(
    ("left", "lives"),
    [
        pytest.param({"auth.md": OLD}, False, id="nothing was done"),
        pytest.param({MOVED: OLD}, False, id="it was moved away"),
        pytest.param({}, False, id="it is gone"),
        pytest.param({MOVED: LATE}, True, id="what was moved away is an edit"),
        pytest.param({"auth.md": LATE}, True, id="somebody saved it"),
    ],
)
def test_a_removal(left: dict[str, str], lives: bool, bench: Bench) -> None:  # noqa: FBT001 - a column of the table
    """The same of a deleted task's file, gone in the end, unless an edit restores it."""
    bench.add_worktree("alpha")
    bench.put("auth.md", OLD)
    bench.put("other.md", document("other"))
    bench.settle()
    bench.call("rm", id="auth")
    bench.file("auth.md", "alpha").unlink()
    for name, text in left.items():
        bench.save(name, text, "alpha")
    intend(bench, OLD, None)

    restart(bench)

    assert files(bench) == ({"auth.md": LATE} if lives else {})
    assert bench.text("auth.md") == (LATE if lives else None)
    assert (bench.task("auth").deleted_at is None, bench.intents()) == (lives, [])


def test_a_file_that_is_open(dying: Bench) -> None:
    """A swapped-out file that an editor still has open stays, and is taken in when it is closed."""
    dying.save("auth.md", NEW, "alpha")
    with dying.save(TEMP, OLD, "alpha").open("a") as editor:
        restart(dying)
        left = set(files(dying))
        editor.write("late\n")
    with dying.engine.working():
        dying.engine.look_again()
    dying.settle()

    assert left == {"auth.md", TEMP}
    assert files(dying) == {"auth.md": BOTH}


def test_a_file_that_was_emptied(dying: Bench) -> None:
    """An editor that had emptied the file when it was swapped out, and writes it now, loses nothing."""
    dying.save("auth.md", NEW, "alpha")
    with dying.save(TEMP, "", "alpha").open("a") as editor:
        restart(dying)
        editor.write(LATE)
    with dying.engine.working():
        dying.engine.look_again()
    dying.settle()

    assert files(dying) == {"auth.md": BOTH}
    assert (dying.problems(), dying.conflicts()) == ([], [])


def test_an_edit_without_intent(dying: Bench) -> None:
    """A displaced edit whose intent was closed before the daemon died is found when it starts."""
    dying.save("auth.md", NEW, "alpha")
    restart(dying)
    dying.save(TEMP, BOTH, "alpha")

    restart(dying)

    assert files(dying) == {"auth.md": BOTH}


def test_what_a_command_wrote(make_bench: Callable[..., Bench]) -> None:
    """What a command set is written to its caller's file, though nothing but the intent stood behind it."""
    bench = make_bench(layout=TRACKED)
    bench.put("auth.md", OLD)
    bench.settle()
    intend(bench, OLD, NEW, "main")

    restart(bench)

    assert (bench.text("auth.md"), bench.intents()) == (NEW, [])
    assert bench.base("auth.md") is not None


def test_what_a_command_wrote_over(make_bench: Callable[..., Bench]) -> None:
    """Saved meanwhile, the file is heard and not written over."""
    bench = make_bench(layout=TRACKED)
    bench.put("auth.md", OLD)
    bench.settle()
    bench.save("auth.md", LATE)
    intend(bench, OLD, NEW, "main")

    restart(bench)

    assert (bench.text("auth.md"), bench.head("auth"), bench.intents()) == (LATE, LATE, [])


def test_a_worktree_that_is_gone(dying: Bench) -> None:
    """Intents of a worktree that is gone are closed, and the others are carried on with."""
    place = dying.place("alpha")
    assert place.worktree is not None
    dying.git(dying.top, "worktree", "remove", "--force", place.worktree.path)

    restart(dying)

    assert (dying.intents(), dying.text("auth.md", WORKSPACE)) == ([], NEW)


def test_zeros(dying: Bench) -> None:
    """A file of nothing but zeros, as a power cut leaves it, is written anew."""
    dying.save("auth.md", "\0" * 40, "alpha")

    restart(dying)

    assert (files(dying), dying.problems()) == ({"auth.md": NEW}, [])


def test_a_file_that_was_removed_meanwhile(dying: Bench) -> None:
    """A file that somebody removed before it was written is missed, not written anew in silence."""
    dying.file("auth.md", "alpha").unlink()

    with dying.engine.working():
        dying.engine.start()
        sighted = dying.engine.scan(dying.place("alpha"))

    assert (sighted.absent, dying.intents()) == (["auth.md"], [])


@pytest.mark.parametrize("step", range(0, 24, 2))
def test_a_store_that_dies_meanwhile(step: int, dying: Bench) -> None:
    """A process that dies while it recovers leaves no more than the one before it."""
    dying.save("auth.md", NEW, "alpha")
    dying.save(TEMP, LATE, "alpha")
    dying.db.steps_left = step
    with pytest.raises(StoreFailed):
        restart(dying)
    dying.db.steps_left = None

    restart(dying)

    assert files(dying) == {"auth.md": BOTH}
    assert (dying.text("auth.md"), dying.intents(), dying.conflicts()) == (BOTH, [], [])
