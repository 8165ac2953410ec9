"""Step 6: replicas say what the index says, and nothing that was saved meanwhile is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from taskd.core.texts import text_hash
from taskd.engine.engine import Engine
from taskd.engine.recover import take_displaced
from taskd.engine.site import REPLICAS, TRACKED, WORKSPACE
from taskd.engine.writeback import Displaced
from taskd.errors import StoreFailed
from tests.engine.bench import Bench, document


def fill(bench: Bench) -> None:
    """Have every place given what it has not."""
    with bench.engine.working():
        bench.engine.fill_all()
        bench.engine.finish_replicas()


def helper_files(bench: Bench) -> list[str]:
    """Temp files of ours, anywhere."""
    roots = [place.root for place in bench.engine.site.places.values()]
    return [file.name for root in roots for file in root.rglob(".taskd-*")]


def test_a_saved_file_stands_in_every_worktree(bench: Bench) -> None:
    """What is saved in one worktree stands in all the others and in the workspace directory."""
    bench.add_worktree("alpha")
    bench.put("core/auth.md", document("auth"), "alpha")
    bench.write_back()

    assert bench.text("core/auth.md") == document("auth")
    assert bench.file("core/auth.md", WORKSPACE).exists()
    assert (bench.errands(REPLICAS), bench.intents(), helper_files(bench)) == ([], [], [])


def test_a_new_worktree_is_filled(bench: Bench) -> None:
    """A worktree that appears is given every live task, and no deleted one."""
    for id in ("a", "b", "gone"):
        bench.put(f"{id}.md", document(id))
    bench.call("rm", id="gone")
    bench.write_back()
    bench.add_worktree("alpha")
    fill(bench)

    assert sorted(file.name for file in bench.place("alpha").root.iterdir()) == ["a.md", "b.md"]


def test_a_renamed_file_moves_everywhere(bench: Bench) -> None:
    """A rename in one worktree is one in the others; directories left empty go with it."""
    bench.add_worktree("alpha")
    bench.put("old/auth.md", document("auth"))
    bench.write_back()
    bench.file("new").mkdir()
    bench.file("old/auth.md").rename(bench.file("new/auth.md"))
    bench.take("old/auth.md", "new/auth.md")
    bench.write_back()

    for key in ("alpha", WORKSPACE):
        assert bench.file("new/auth.md", key).exists()
        assert not bench.file("old", key).exists()


def test_a_live_status_stands_in_the_files(bench: Bench) -> None:
    """A status set by a command is in the files; no other byte of them changes."""
    bench.put("auth.md", document("auth", status="pending  # mine"))
    bench.call("claim", id="auth")
    bench.write_back()

    assert bench.text("auth.md") == document("auth", status="in-progress  # mine")


def test_tracked_files_are_left_alone(make_bench: Callable[..., Bench]) -> None:
    """In the tracked layout no file in a worktree changes; the workspace directory has the live state."""
    text = document("auth", status="pending")
    bench = make_bench({"tasks/auth.md": text}, layout=TRACKED)
    bench.take("auth.md")
    bench.call("claim", id="auth")
    bench.call("add", name="New", id="new")
    bench.write_back()

    assert (bench.text("auth.md"), bench.text("new.md")) == (text, None)
    assert "status: in-progress" in (bench.text("auth.md", WORKSPACE) or "")
    assert bench.file("new.md", WORKSPACE).exists()
    assert bench.git(bench.top, "status", "--porcelain") == ""


def test_a_tracked_path_in_a_shared_layout_is_left_alone(bench: Bench) -> None:
    """A path that git tracks in one worktree is not written there, and shared between the others."""
    place = bench.add_worktree("alpha")
    bench.save("auth.md", document("auth", "Theirs"), "alpha")
    assert place.worktree is not None
    bench.git(place.worktree.path, "add", "-f", "tasks/auth.md")
    bench.put("auth.md", document("auth", "Ours"))
    bench.write_back()

    assert bench.text("auth.md", "alpha") == document("auth", "Theirs")
    assert bench.file("auth.md", WORKSPACE).exists()


def test_write_back_never(make_bench: Callable[..., Bench]) -> None:
    """With write_back = "never" no file is written at all, and no errand waits for it."""
    bench = make_bench(write_back="never")
    bench.put("auth.md", document("auth"))
    bench.call("status", id="auth", status="done")
    bench.write_back()

    assert bench.text("auth.md") == document("auth")
    assert (bench.text("auth.md", WORKSPACE), bench.errands(REPLICAS)) == (None, [])


def test_write_back_always(make_bench: Callable[..., Bench]) -> None:
    """With write_back = "always" tracked files show the live status too."""
    bench = make_bench({"tasks/auth.md": document("auth")}, layout=TRACKED, write_back="always")
    bench.take("auth.md")
    bench.call("claim", id="auth")
    bench.write_back()

    assert "status: in-progress" in (bench.text("auth.md") or "")


def test_propagate_runtime(make_bench: Callable[..., Bench]) -> None:
    """With propagate = "runtime" other worktrees learn a status, no edits, new tasks or deletions."""
    bench = make_bench(propagate="runtime")
    bench.add_worktree("alpha")
    for key in ("main", "alpha"):
        bench.put("auth.md", document("auth", status="pending"), key)
    bench.edit("auth.md", "name: Auth", "name: Sign in")
    bench.put("db.md", document("db"))
    bench.take("auth.md")
    bench.call("claim", id="auth")
    bench.write_back()
    shown = bench.text("auth.md", "alpha"), bench.text("db.md", "alpha")
    bench.call("rm", "alice", id="auth")
    bench.write_back()

    assert shown == (document("auth", status="in-progress"), None)
    assert bench.file("auth.md", "alpha").exists()
    assert not bench.file("auth.md", WORKSPACE).exists()


def test_what_the_disk_refuses_is_done_later(bench: Bench) -> None:
    """A replica that cannot be written is listed, does not stop the others, and is written when it can be."""
    bench.add_worktree("alpha")
    bench.add_worktree("beta")
    obstacle = bench.place("alpha").root
    obstacle.write_text("in the way")
    bench.put("auth.md", document("auth"))
    bench.write_back()
    with bench.engine.working():
        idle = bench.engine.behind(), bench.engine.write_back(), bench.errands(REPLICAS)
    listed = [(problem.worktree, problem.path, problem.task) for problem in bench.problems()]
    obstacle.unlink()
    bench.engine.retry()
    bench.write_back()
    bench.settle()

    assert (listed, idle) == ([("alpha", "auth.md", "auth")], (False, False, ["auth"]))
    assert bench.text("auth.md", "beta") == document("auth")
    assert bench.text("auth.md", "alpha") == document("auth")
    assert (bench.problems(), bench.errands(REPLICAS), bench.intents()) == ([], [], [])


def test_a_file_in_the_way_is_heard_first(bench: Bench) -> None:
    """A file that nobody heard of yet stands where a task is to be written: its words are merged."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth"))
    bench.save("auth.md", document("auth", tags="[web]", priority="high"), "alpha")
    bench.write_back()

    assert (bench.task("auth").tags, bench.task("auth").priority) == (("web",), "high")
    assert bench.text("auth.md") == bench.head("auth")
    assert bench.text("auth.md", "alpha") == bench.head("auth")


def test_another_task_in_the_way_stays(bench: Bench) -> None:
    """Two tasks that want one path in different worktrees overwrite nothing, and writing comes to an end."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth"))
    bench.save("auth.md", document("other"), "alpha")
    bench.write_back()

    assert bench.ids() == ["auth", "other"]
    assert bench.text("auth.md") == document("auth")
    assert bench.text("auth.md", "alpha") == document("other")


def test_an_edit_that_nobody_heard_of_is_not_overwritten(bench: Bench) -> None:
    """A file that was saved since it was last read is read before it is written."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth", body="one\ntwo\nthree\n"))
    bench.write_back()
    bench.edit("auth.md", "three", "THREE", "alpha")
    bench.put("auth.md", document("auth", body="ONE\ntwo\nthree\n"))
    bench.write_back()

    assert bench.task("auth").body == "ONE\ntwo\nTHREE\n"
    assert [bench.text("auth.md", key) for key in ("main", "alpha")] == [bench.head("auth")] * 2


def displaced(bench: Bench, text: str) -> Displaced:
    """An edit of main's auth.md that write back has just swapped out for the index's version."""
    aside = ".taskd-0123456789abcdef-auth.md"
    bench.file(aside).write_text(text)
    base = text_hash(document("auth").encode())
    return Displaced(bench.place(), "auth.md", aside, text.encode(), base)


def test_a_displaced_edit_is_taken_in(bench: Bench) -> None:
    """An edit saved in the instant of a write back is merged over what its author had seen."""
    bench.put("auth.md", document("auth"))
    bench.call("set", id="auth", values={"priority": "high"})
    bench.write_back()
    edit = displaced(bench, document("auth", "Sign in"))
    with bench.engine.working():
        left = take_displaced(bench.engine.site, edit, bench.times.nanoseconds())
    bench.write_back()

    assert (bench.task("auth").name, bench.task("auth").priority, left) == ("Sign in", "high", [])
    assert (bench.conflicts(), helper_files(bench)) == ([], [])
    assert bench.text("auth.md") == bench.head("auth")


def test_a_displaced_file_that_is_being_saved_is_waited_for(bench: Bench) -> None:
    """An editor that still has the old file open is waited for; what it writes last is taken in."""
    bench.put("auth.md", document("auth"))
    edit = displaced(bench, "")
    with bench.engine.working(), bench.file(edit.aside).open("w") as editor:
        left = take_displaced(bench.engine.site, edit, bench.times.nanoseconds())
        bench.engine.lingering += left
        bench.engine.look_again()
        waiting = list(bench.engine.lingering)
        editor.write(document("auth", "Sign in"))
    with bench.engine.working():
        bench.engine.look_again()
    bench.write_back()

    assert (len(left), waiting) == (1, left)
    assert (bench.engine.lingering, bench.task("auth").name) == ([], "Sign in")
    assert helper_files(bench) == []


def test_many_files_are_written_in_rounds(bench: Bench) -> None:
    """More errands than a round holds are all done."""
    bench.add_worktree("alpha")
    paths = [f"t{number:03}.md" for number in range(230)]
    for path in paths:
        bench.save(path, document(path[:-3]))
    bench.take(*paths)
    with bench.engine.working():
        more = bench.engine.write_back()
    bench.write_back()

    assert (more, bench.errands(REPLICAS)) == (True, [])
    assert sorted(file.name for file in bench.place("alpha").root.iterdir()) == paths


def test_a_store_that_dies_while_files_are_written(bench: Bench) -> None:
    """At whichever step the store dies, the files and the index agree when it is back."""
    bench.add_worktree("alpha")
    bench.put("auth.md", document("auth", body="0\n"))
    bench.write_back()

    for step in itertools.count(1):
        bench.put("auth.md", document("auth", body=f"{step}\n"))
        bench.db.steps_left = step
        died = False
        try:
            bench.write_back()
        except StoreFailed:
            died = True
        bench.db.steps_left = None
        bench.settle()
        texts = [bench.text("auth.md", key) for key in ("main", "alpha")]
        assert texts == [document("auth", body=f"{step}\n")] * 2
        assert (bench.intents(), bench.conflicts(), helper_files(bench)) == ([], [], [])
        if not died:
            break

    assert step > 5


def test_what_others_add_meanwhile_is_theirs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command without the daemon ends, however much the busy daemon beside it adds in the meantime."""
    bench.put("auth.md", document("auth"))
    bench.put("db.md", document("db"))
    rounds = itertools.count(1)
    own = Engine.write_back

    def while_others_work(engine: Engine) -> bool:
        assert next(rounds) < 10
        more = own(engine)
        with bench.db.write() as txn:
            txn.enqueue(REPLICAS, ["db"])
        return more

    monkeypatch.setattr(Engine, "write_back", while_others_work)
    bench.write_back()

    assert bench.errands(REPLICAS) == ["db"]
