"""Who typed what over what, and what has to have become of it: the judge of every history.

It knows nothing of how taskd works. It is told each value as it is typed, with what the file showed at
that moment, and is shown what stands in files before taskd looks and what the index says afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from tests.model.sayings import (
    BURIED,
    HEARD,
    LAWFUL,
    MAYBE,
    TYPED,
    At,
    Found,
    Request,
    Row,
    Shown,
    Step,
    Utterance,
    breaks,
    is_asked,
    is_in,
)
from tests.model.texts import Said


@dataclass
class Oracle:
    """The judge. `strict` also calls a value stale that taskd could have known only from git's history."""

    strict: bool = False
    utterances: list[Utterance] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    heads: dict[str, Said] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    looks: int = 0
    #: what happened how often, so that a history of nothing is seen for what it is
    counts: Counter[str] = field(default_factory=Counter)
    #: utterance to the earliest look at which one was heard that had seen it
    _over: dict[int, int] = field(default_factory=dict)
    _maybe_over: set[int] = field(default_factory=set)
    _asked_lately: set[str] = field(default_factory=set)
    _rested: int = 0
    _racing: list[Utterance] = field(default_factory=list)
    _excused: set[tuple[str, str, str | None]] = field(default_factory=set)
    _rows: set[Row] = field(default_factory=set)

    # -- what people do

    def say(
        self,
        task: str,
        slot: str,
        value: str,
        over: Iterable[str | None],
        at: At,
        *,
        unique: bool = True,
    ) -> Utterance:
        """Note a value typed into a slot over the values that its author saw there."""
        shown = set(over)
        known = [u for u in self._about(task, slot) if u.value in shown]
        stands = self.heads[task].at(slot) if task in self.heads else None
        sure = [u for u in known if u.state not in (TYPED, MAYBE) and not u.doubted]
        told = {u.value for u in sure}
        heard = [u for u in known if u in sure or (u.doubted and u.value == stands and u.value not in told)]
        met = [*heard, *(u for u in known if u not in heard and u.at.where == at.where)]
        # whether these had been heard by then, and so stood there, nobody knows
        doubtful = [u for u in known if u not in met and (u.doubted or u.state == MAYBE)]
        self._maybe_over |= {u.number for u in doubtful}
        seen = frozenset(number for u in met for number in (u.number, *u.seen))
        said = Utterance(len(self.utterances), task, slot, value, at, seen, frozenset(shown), unique)
        self.utterances.append(said)
        self._maybe_over |= {said.number} if doubtful else set()
        self.counts["typed" if unique else "typed again"] += 1
        return said

    def ask(self, task: str, status: str, at: At, *, maybe: bool = False) -> None:
        """Note a status typed into a file; `maybe`: it may also count as nothing."""
        self.requests.append(Request(task, status, at, MAYBE if maybe else TYPED))
        self.counts["status typed"] += 1

    def unsay(self, said: Utterance) -> None:
        """What was typed is what stood there when taskd last looked: it may count as nothing at all."""
        self._guess(said)
        said.since = self.looks + 1

    def commit(self, task: str, slot: str, value: str) -> None:
        """What was typed stands in a commit that its author made: there it may be found later."""
        for said in self._about(task, slot):
            said.committed = said.committed or said.value == value

    def excuse(self, file: Said, slots: Iterable[str]) -> None:
        """Git put there what a file says, and somebody committed it: till the next look it may count."""
        self._excused |= {(file.id, slot, file.at(slot)) for slot in slots}

    def pass_by(self, file: Said, where: str) -> None:
        """What was typed into a file there, and stands in it, may count as nothing at all."""
        for said in self.utterances:
            mine = (said.task, said.at.where, said.state) == (file.id, where, TYPED)
            if mine and file.at(said.slot) == said.value and not said.committed:
                self._guess(said)
                said.since = self.looks + 1

    def stash(self, where: str) -> None:
        """What was typed there may come to be read anywhere."""
        for said in self.utterances:
            said.committed = said.committed or (said.at.where == where and said.state == TYPED)
        for request in self.requests:
            request.stashed = request.stashed or request.at.where == where

    def command(self, said: Utterance) -> None:
        """What a command said is heard at once."""
        self._hear(said)

    def race(self, said: Utterance) -> None:
        """What was saved while taskd was at work has to be heard; whom it supersedes may be seen till then.

        If the value is not new, it may be what an editor had from before: nobody can tell.
        """
        if not said.unique:
            self._guess(said)
            return
        said.state, said.since = HEARD, self.looks
        self._racing.append(said)

    def doubt(self) -> None:
        """Taskd died at this look."""
        for said in self.utterances:
            said.doubted = said.doubted or (said.last == self.looks and said.state == HEARD)
        for request in self.requests:
            request.state = TYPED if request.state == HEARD else request.state

    # -- before taskd looks

    def listen(self, places: Mapping[str, Shown], deleted: AbstractSet[str] = frozenset()) -> None:
        """Find out which of the typed values stand in files now. `deleted` are tasks with a tombstone."""
        self.looks += 1
        copies = _told(file for shown in places.values() for file in shown.copies)
        for said in self.utterances:
            if said.state == TYPED and said.unique and (said.task, said.slot, said.value) in copies:
                self._guess(said)
        for said in self._racing:
            self._hear(said)
        self._racing.clear()
        self._asked_lately |= {request.task for request in self.requests}
        anywhere = _told(file for shown in places.values() for file in shown.files)
        for said in self.utterances:
            if said.state == TYPED or said.doubted:
                home = places.get(said.at.where)
                self._listen_for(said, home, anywhere)
                far = home is None or home.foreign != said.at.foreign or home.first
                found = said.state != TYPED or not said.committed  # else it waits in git
                if said.task in deleted and found and (far or not said.unique):
                    said.state = BURIED  # for all that anybody can tell it is an old copy
        self._join_alike()
        for request in self.requests:
            here = places.get(request.at.where)
            far = here is None or here.foreign != request.at.foreign
            request.state = MAYBE if far or request.state == MAYBE else HEARD

    def _join_alike(self) -> None:
        """The value that stands, typed again elsewhere, is one with it: typed over here, it is typed over."""
        for said in self.utterances:
            if said.since != self.looks or said.task not in self.heads:
                continue
            stands = self.heads[said.task].at(said.slot)
            for other in self._about(said.task, said.slot) if stands in said.over else ():
                if other is not said and other.value == stands and other.state != TYPED:
                    if said.state == HEARD and max(other.since, other.last) < self.looks:
                        self._over.setdefault(other.number, self.looks)
                    elif said.state == HEARD:
                        self._maybe_over.add(said.number)  # both at once: either may stand
                    self._maybe_over.add(other.number)

    def _listen_for(self, said: Utterance, home: Shown | None, anywhere: set[tuple[str, str, str]]) -> None:
        if said.unique:
            if (said.task, said.slot, said.value) in anywhere:
                self._hear(said)
        elif home is None or home.foreign != said.at.foreign:
            self._guess(said)
        elif (said.task, said.slot, said.value) in home.doubtful:
            self.counts["may be a stale editor's"] += 1
            self._guess(said)
        elif any(file.id == said.task and file.at(said.slot) == said.value for file in home.files):
            self._hear(said)
        else:
            self._guess(said)

    def _hear(self, said: Utterance) -> None:
        said.since = said.since or self.looks
        said.state, said.doubted, said.last = HEARD, False, self.looks
        for number in said.seen:
            self._over.setdefault(number, self.looks)
        self.counts["heard"] += 1

    def _guess(self, said: Utterance) -> None:
        if said.doubted:
            return
        said.state, said.since = MAYBE, self.looks
        self._maybe_over |= said.seen

    def heard_lately(self) -> set[str]:
        """Tasks of which something was, or may have been, said at the last look."""
        said = {
            u.task
            for u in self.utterances
            if max(u.since, u.last) > self._rested and u.state in (HEARD, MAYBE)
        }
        return said | self._asked_lately

    def rest(self) -> None:
        """Everything heard so far has been worked off."""
        self._rested, self._asked_lately = self.looks, set()
        self._excused.clear()

    # -- after it

    def judge(self, found: Found, *, rested: bool = True) -> None:
        """Compare the index with what was said. BrokenLawError when it does not follow from it.

        Not `rested`: taskd was interrupted, so not all that was heard needs to be in the index.
        """
        for task, head in found.heads.items():
            self._judge_news(task, head)
        self.heads = {**self.heads, **found.heads}
        for row in set(found.rows) - self._rows:
            self._judge_row(row)
        self._rows = set(found.rows)
        self._bury(found.deleted)
        for said in self.utterances if rested else ():
            self._judge_kept(said, found)
        self._judge_steps(found.steps)
        for task, head in found.heads.items():
            if self.statuses.setdefault(task, head.status or "pending") != head.status:
                breaks("I3", f"{task} is {head.status}, the journal says {self.statuses[task]}")
        self.requests = [request for request in self.requests if not rested or request.state != HEARD]
        self.counts["conflicts"] = max(self.counts["conflicts"], len(found.rows))

    def _judge_news(self, task: str, head: Said) -> None:
        """I2: what is new in a head was typed, and by nobody whose word was superseded."""
        before = self.heads.get(task)
        for slot in sorted({*head.slots, *(before.slots if before else ())}):
            value = head.at(slot)
            if before is not None and before.at(slot) == value:
                continue
            allowed = (task, slot, value) in self._excused
            if not allowed and not any(
                self._may_enter(u) for u in self._about(task, slot) if u.value == value
            ):
                was = before.at(slot) if before else None
                breaks("I2", f"{task}: {slot} went from {was} to {value}, which nobody typed again")
            self.counts["news"] += 1

    def _judge_row(self, row: Row) -> None:
        """I2: nobody has to settle a conflict with a value that was typed over by who saw it."""
        typed = [u for u in self._about(row.task, row.field) if u.value == row.file]
        allowed = (row.task, row.field, row.file) in self._excused
        if typed and not allowed and not any(self._may_enter(said) for said in typed):
            breaks("I2", f"{row.task}: {row.field} {row.file} of {row.worktree} clashes, and is superseded")

    def _may_enter(self, said: Utterance) -> bool:
        if said.state == TYPED and not said.committed:
            return False
        over = self._over.get(said.number)
        # It was heard of only after its successor: without git's history nobody could tell.
        late = over is not None and over < said.since
        return over is None or (late and not self.strict)

    def _bury(self, deleted: frozenset[str]) -> None:
        for said in self.utterances:
            gone = said.state == HEARD and said.task in deleted and said.task in self.heads
            if gone and self.heads[said.task].at(said.slot) != said.value:
                said.state = BURIED

    def _judge_kept(self, said: Utterance, found: Found) -> None:
        """I1: what was heard is in the head, in a conflict, or was typed over by somebody who saw it."""
        if (
            said.state != HEARD
            or said.doubted
            or said.number in self._over
            or said.number in self._maybe_over
        ):
            return
        if said.task not in self.heads or self.heads[said.task].at(said.slot) == said.value:
            return
        if not any(is_in(said, row) for row in found.rows):
            stands = self.heads[said.task].at(said.slot)
            breaks("I1", f"{said.task}: {said.slot} {said.value} of {said.at.where} is lost to {stands}")
        self.counts["kept in a conflict"] += 1

    def _judge_steps(self, steps: Sequence[Step]) -> None:
        """I3: each status step is lawful, follows the one before and has a cause."""
        asked = list(self.requests)
        for step in steps:
            before = self.statuses.get(step.task, "pending")
            if step.old != before or step.new not in LAWFUL[step.old]:
                breaks("I3", f"{step.task}: {step.old} to {step.new} ({step.cause}), it was {before}")
            self.statuses[step.task] = step.new
            if step.cause == "edit" and not is_asked(step, asked):
                breaks("I3", f"{step.task}: {step.old} to {step.new} by nobody, from {step.worktree}")
            self.counts["status steps"] += 1

    def _about(self, task: str, slot: str) -> list[Utterance]:
        return [u for u in self.utterances if u.task == task and u.slot == slot]

    def ever(self, task: str, slot: str, *more: str) -> list[str]:
        """Everything that was heard in a slot or may have been, also of a task that was deleted, and more."""
        return [*(u.value for u in self._about(task, slot) if u.state != TYPED), *more]

    def values(self, task: str, slot: str, *more: str) -> list[str]:
        """Everything ever heard in a slot, oldest first, and more."""
        return [*(u.value for u in self._about(task, slot) if u.state == HEARD), *more]


def _told(files: Iterable[Said]) -> set[tuple[str, str, str]]:
    """Task, slot and value of all that files say."""
    return {(file.id, slot, value) for file in files for slot, value in file.slots.items()}
