"""Touched paths become batches: after a moment of quiet, and not while git is at work."""

from __future__ import annotations

from taskd.engine.touches import GATE_CAP, GATE_POLL, GATE_REST, PATIENCE, Touches

SETTLE = 0.05


def test_a_batch_is_what_settled_together() -> None:
    """Paths of one place that are touched in short order are one batch, each path once."""
    touches = Touches(SETTLE)
    for number, path in enumerate(("b.md", "a.md", "b.md")):
        touches.remember("main", path, 10.0 + number * 0.04)

    assert (len(touches), touches.next_due()) == (2, 10.08 + SETTLE)
    assert touches.settled(10.12) == {}
    assert touches.settled(10.14) == {"main": ["a.md", "b.md"]}
    assert (len(touches), touches.next_due()) == (0, None)


def test_places_settle_by_themselves() -> None:
    """Work in one worktree does not hold up another."""
    touches = Touches(SETTLE)
    touches.remember("alpha", "a.md", 10.0)
    touches.remember("main", "a.md", 10.04)

    assert touches.settled(10.06) == {"alpha": ["a.md"]}
    assert touches.settled(10.2) == {"main": ["a.md"]}


def test_patience_has_an_end() -> None:
    """A file that is written without pause is read all the same, half a second after the first touch."""
    touches = Touches(SETTLE)
    for number in range(49):
        touches.remember("main", "log.md", 10.0 + number * 0.01)
    assert touches.settled(10.0 + PATIENCE - 0.01) == {}
    touches.remember("main", "log.md", 10.0 + PATIENCE)

    assert touches.settled(10.0 + PATIENCE) == {"main": ["log.md"]}


def test_an_open_gate_lets_everything_through() -> None:
    """Where git is not at work nothing waits."""
    touches = Touches(SETTLE)

    assert (touches.gate("main", 10.0, locked=False), touches.is_closed("main")) == (False, False)


def test_a_gate_opens_a_moment_after_git_is_done() -> None:
    """Git's files are looked at once its locks have been gone for a moment, not while they come and go."""
    touches = Touches(SETTLE)
    waits = [
        touches.gate("main", 10.0, locked=True),
        touches.gate("main", 10.1, locked=False),
        touches.gate("main", 10.2, locked=True),  # HEAD.lock after index.lock
        touches.gate("main", 10.3, locked=False),
        touches.gate("main", 10.3 + GATE_REST - 0.01, locked=False),
    ]
    closed = touches.is_closed("main")

    assert (waits, closed) == ([True] * 5, True)
    assert not touches.gate("main", 10.3 + GATE_REST + 0.01, locked=False)
    assert not touches.is_closed("main")


def test_a_stale_lock_does_not_stop_edits_for_ever() -> None:
    """A lock that a killed git left is waited for a minute; then edits are taken."""
    touches = Touches(SETTLE)

    assert touches.gate("main", 10.0, locked=True)
    assert touches.gate("main", 10.0 + GATE_CAP - 1, locked=True)
    assert not touches.gate("main", 10.0 + GATE_CAP, locked=True)
    assert not touches.gate("main", 500.0, locked=True)
    assert touches.is_closed("main")


def test_a_batch_that_has_to_wait_is_put_back() -> None:
    """What settled while git is at work is looked at again shortly, with what came in since."""
    touches = Touches(SETTLE)
    touches.remember("main", "a.md", 10.0)
    (batch,) = touches.settled(10.05).values()
    touches.postpone("main", batch, 10.05)

    assert touches.settled(10.05 + GATE_POLL - 0.01) == {}
    touches.remember("main", "b.md", 10.08)
    assert touches.settled(10.05 + PATIENCE) == {"main": ["a.md", "b.md"]}


def test_a_place_that_is_gone_has_no_touches() -> None:
    """A worktree that was removed leaves neither paths nor a gate."""
    touches = Touches(SETTLE)
    touches.remember("alpha", "a.md", 10.0)
    touches.gate("alpha", 10.0, locked=True)

    touches.drop("alpha")

    assert (len(touches), touches.settled(99.0), touches.is_closed("alpha")) == (0, {}, False)
