"""Every way taskd can fail, whose fault it is, and what to do about it.

A class's docstring is its message, a template filled with the facts given to the constructor.
`kind` says how a program should take it (the exit code of section 8 of the design), `code` is the
stable word in JSON, `hint` is the next step, and never a destructive one.
"""

from __future__ import annotations

import enum


class Kind(enum.IntEnum):
    """What a failure means to the caller; the value is the exit code."""

    #: taskd or the machine failed
    FAILED = 1
    #: the call itself was wrong
    USAGE = 2
    #: nothing matched, or time ran out
    NOTHING = 3
    #: the thing named does not exist
    NOT_FOUND = 4
    #: the rules say no: claimed, unlawful, blocked, conflict
    REFUSED = 5
    #: a daemon is needed and cannot be reached
    UNREACHABLE = 6
    #: it would work later
    TRY_AGAIN = 75


class TaskdError(Exception):
    """taskd failed: {reason}"""

    kind: Kind = Kind.FAILED
    code: str = "failed"
    hint: str = "see `taskd daemon logs`"

    def __init__(self, **facts: object) -> None:
        """Keep `facts`; they fill the message, the hint and the JSON error."""
        self.facts = facts
        super().__init__((type(self).__doc__ or "").strip().format_map(facts))

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self)

    @property
    def advice(self) -> str:
        """The hint with the facts filled in."""
        return type(self).hint.format_map(self.facts)

    def as_data(self) -> dict[str, object]:
        """The JSON body of the error: code, message, hint and every fact."""
        return {"code": self.code, "message": self.message, "hint": self.advice, **self.facts}


class UsageError(TaskdError):
    """{reason}"""

    kind = Kind.USAGE
    code = "usage"
    hint = "see `taskd --help`"


class BadValue(UsageError):
    """{field} cannot be {value!r}: {reason}"""

    code = "bad-value"
    hint = "see `taskd set --help` for the values each field takes"


class ConfigError(UsageError):
    """{source}: {reason}"""

    code = "config"
    hint = "correct that line; `taskd config list --sources` shows what is in force"


class NotFound(TaskdError):
    """there is no task {id!r}"""

    kind = Kind.NOT_FOUND
    code = "not-found"
    hint = "`taskd list` shows every task{similar}"

    def __init__(self, id: str, similar: str = "") -> None:
        """Name the id nobody has and, if there is one, the id that was probably meant."""
        super().__init__(id=id, similar=f"; did you mean {similar}?" if similar else "")


class Missing(TaskdError):
    """{reason}"""

    kind = Kind.NOT_FOUND
    code = "not-found"
    hint = "{remedy}"


class AmbiguousId(UsageError):
    """{id!r} is the beginning of several ids: {candidates}"""

    code = "ambiguous"
    hint = "type one more letter"


class NothingReady(TaskdError):
    """no task is ready to be claimed"""

    kind = Kind.NOTHING
    code = "nothing"
    hint = "`taskd list --blocked` shows what waits and for what"


class TimedOut(TaskdError):
    """nothing happened within {seconds:g} seconds"""

    kind = Kind.NOTHING
    code = "timeout"
    hint = "call again, or give a longer --timeout"


class Refused(TaskdError):
    """{reason}"""

    kind = Kind.REFUSED
    code = "refused"
    hint = ""


class Unlawful(Refused):
    """{task} cannot go from {status} to {wanted}; from {status} it can go to: {lawful}"""

    code = "unlawful"
    hint = "choose one of: {lawful}"


class Claimed(Refused):
    """{task} is claimed by {holder} in {worktree} until {expires}"""

    code = "claimed"
    hint = "try again in {retry_after} s, take another with `taskd claim --next`, or ask {holder}"


class NotHolder(Refused):
    """{task} is not claimed by {actor}"""

    code = "not-holder"
    hint = "`taskd show {task}` names the holder"


class StaleToken(Refused):
    """the claim with token {token} of {task} is over"""

    code = "stale-token"
    hint = "look at `taskd show {task}` and claim it again"


class Blocked(Refused):
    """{task} is blocked by {blocked_by}"""

    code = "blocked"
    hint = "finish {blocked_by} first, or take the dependency out with `taskd dep rm`"


class Cycle(Refused):
    """{task} cannot depend on {on}: that would close a cycle"""

    code = "cycle"
    hint = "`taskd show {on}` tells what it depends on and what it blocks"


class IdTaken(Refused):
    """the id {id!r} is taken or was used before; ids are never handed out twice"""

    code = "id-taken"
    hint = "leave --id away and taskd makes one"


class Uneditable(Refused):
    """{field} of {path} cannot be edited in place: {reason}"""

    code = "uneditable"
    hint = "edit the file by hand; taskd picks it up"


class NotARepository(UsageError):
    """{path} is not in a git repository"""

    code = "no-repository"
    hint = "change to a worktree of your repository, or name one with -C"


class NoWorktree(UsageError):
    """{path} is a bare repository without worktrees: there is nowhere to keep task files"""

    code = "no-worktree"
    hint = "make one with `git worktree add`, and call taskd there"


class NotSetUp(UsageError):
    """taskd is not set up in {repo}"""

    code = "not-set-up"
    hint = "run `taskd init` once in this repository"


class GitFailed(TaskdError):
    """git {command} failed ({status}): {stderr}"""

    code = "git"
    hint = "run the same git command by hand in that repository to see what it misses"


class BranchMoved(TaskdError):
    """the branch {ref} was moved by somebody else"""

    kind = Kind.TRY_AGAIN
    code = "branch-moved"
    hint = "taskd reads it again and retries by itself"


class BranchHeld(TaskdError):
    """the branch {ref} is checked out in {worktree}, where {reason}"""

    kind = Kind.TRY_AGAIN
    code = "branch-held"
    hint = "commit what is there, or check out another branch there; taskd goes on by itself"


class StoreFailed(TaskdError):
    """the index cannot be used: {reason}"""

    code = "store"
    hint = "the task files are untouched; `taskd daemon logs` tells more"


class StoreBusy(StoreFailed):
    """the index is busy: {reason}"""

    kind = Kind.TRY_AGAIN
    code = "store-busy"
    hint = "another process holds it; try again in a moment"


class StoreDamaged(StoreFailed):
    """the index is damaged: {reason}"""

    kind = Kind.TRY_AGAIN
    code = "store-damaged"
    hint = "taskd puts it aside and goes on with its newest sound copy; call again"


class StoreGone(StoreFailed):
    """the index is gone: {reason}"""

    kind = Kind.TRY_AGAIN
    code = "store-gone"
    hint = "taskd goes on with its newest sound copy; call again"


class Stale(TaskdError):
    """{task} was changed by somebody else at the same moment"""

    kind = Kind.TRY_AGAIN
    code = "stale"
    hint = "call again"


class Fenced(TaskdError):
    """another daemon took over this index (epoch {epoch}, ours {ours})"""

    code = "fenced"
    hint = "`taskd daemon status` shows the one that serves now"


class Unreachable(TaskdError):
    """no daemon answers for {repo}: {reason}"""

    kind = Kind.UNREACHABLE
    code = "unreachable"
    hint = "start it with `taskd daemon start`"


class StillGated(TaskdError):
    """not everything could be taken in within {seconds:g} s: {reason}"""

    kind = Kind.TRY_AGAIN
    code = "gated"
    hint = "a git command is running in that worktree; call `taskd sync` again when it is done"


class Unheard(TaskdError):
    """{path} in {worktree} cannot be read for sure: {reason}"""

    kind = Kind.TRY_AGAIN
    code = "unheard"
    hint = "call again in a moment; `taskd sync` waits until it is taken in"


class LockTimeout(TaskdError):
    """{path} is held by another process for more than {seconds:g} s"""

    kind = Kind.TRY_AGAIN
    code = "locked"
    hint = "call again; `taskd daemon status` shows who works on the index"


class DocumentError(TaskdError):
    """{path}:{line}: {reason}"""

    code = "document"
    hint = "{remedy}"

    def __init__(self, reason: str, line: int, remedy: str, path: str = "") -> None:
        """Say what is wrong on which line (1 is the first), and what mends it."""
        super().__init__(path=path, line=line, reason=reason, remedy=remedy)
        self.reason, self.line, self.remedy = reason, line, remedy


class NotYet(DocumentError):
    """{path}:{line}: {reason}"""

    code = "unfinished"
