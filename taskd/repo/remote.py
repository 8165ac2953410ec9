"""The workspace branch of a remote: fetched into a ref of our own, pushed to, and nothing else touched.

Fetching moves no ref but `refs/taskd/remote`, writes no FETCH_HEAD and brings no tags; pushing names an
address instead of a remote, since git would move that remote's tracking ref. Nobody is asked for anything:
what needs a person to type fails, with git's own reason. How a server is reached is the user's own
configuration, as with their `git fetch`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from taskd.errors import GitFailed
from taskd.repo.branch import DEFAULT_REF
from taskd.repo.git import Git

SEEN: Final = "refs/taskd/remote"  # what the remote said last; keeps it from being pruned
NETWORK_SECONDS: Final = 60.0  # for one fetch or push; a server that takes longer is asked again later
LAZY: Final = {"GIT_NO_LAZY_FETCH": "0"}

QUIET: Final = (
    *("-c", "fetch.prune=false"),
    *("-c", "fetch.writeCommitGraph=false"),
    *("-c", "fetch.recurseSubmodules=false"),
    *("-c", "push.followTags=false"),
    *("-c", "push.recurseSubmodules=no"),
)
FETCH: Final = (
    "fetch",
    *("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"),
    *("--no-recurse-submodules", "--no-prune", "--refmap="),
)
PUSH: Final = ("push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags")
#: what a server says to a push that somebody else's came before
BEATEN: Final = re.compile(
    r"\[rejected\]|cannot lock ref|failed to update ref|incorrect old value|reference already exists"
)
PASSWORD: Final = re.compile(r"(?<=://)[^/@\s]+@")


class Remote:
    """One branch of one remote. Any thread may call, one at a time."""

    def __init__(self, git: Git, name: str, ref: str = DEFAULT_REF) -> None:
        """`name` is a remote of the repository or an address; `git` stands at the top of a work tree.

        ValueError for a name that git would take for an option.
        """
        if not name or name.startswith("-"):
            reason = f"no remote can be called {name!r}"
            raise ValueError(reason)
        self.git, self.name, self.ref = git, name, ref

    def fetch(self) -> str | None:
        """The commit its branch is at now, with everything in it; None when it has no such branch.

        GitFailed when it cannot be reached, and when it does not answer in time.
        """
        try:
            self._run(*FETCH, self.name, f"+{self.ref}:{SEEN}")
        except GitFailed:
            if self._has_branch():
                raise
            return None
        return self.git.text("rev-parse", "--verify", "--end-of-options", f"{SEEN}^{{commit}}")

    def push(self, tip: str) -> bool:
        """Have its branch be at `tip`; False when it is somewhere that `tip` does not come after.

        Never forced. GitFailed as `fetch`, and when the remote refuses.
        """
        done = self._run(*PUSH, self._address(), f"{tip}:{self.ref}", allow=(0, 1))
        told = done[1] + done[2]
        if done[0] and not BEATEN.search(told):
            raise GitFailed(command=f"push {self.shown}", status=done[0], stderr=_safe(told.strip()))
        return done[0] == 0

    def complete(self, tip: str) -> None:
        """Get what a partial clone has left away of the files at `tip`."""
        listed = self.git.text("rev-list", "--objects", "--missing=print", "--no-walk", tip, env={})
        missing = [line[1:] for line in listed.splitlines() if line.startswith("?")]
        if missing:
            names = "".join(f"{name}\n" for name in missing).encode()
            self._run("-c", "fetch.negotiationAlgorithm=noop", *FETCH, "--stdin", self.name, stdin=names)

    def _has_branch(self) -> bool:
        """Whether there is such a branch; GitFailed when the remote does not say."""
        return self._run("ls-remote", "--quiet", self.name, self.ref)[1] != ""

    def _address(self) -> str:
        found = self.git.run("remote", "get-url", "--push", self.name, allow=range(256))
        return found.stdout.decode().removesuffix("\n") if found.status == 0 else self.name

    def _run(self, *arguments: str, allow: Iterable[int] = (0,), stdin: bytes = b"") -> tuple[int, str, str]:
        """Run git against the remote; a failure names the remote without a password."""
        try:
            done = self.git.run(
                *QUIET, *arguments, allow=tuple(allow), stdin=stdin, env=LAZY, timeout=NETWORK_SECONDS
            )
        except GitFailed as error:
            facts = {key: _safe(str(value)) for key, value in error.facts.items()}
            facts["command"] = f"{_verb(arguments)} {self.shown}"
            raise GitFailed(**facts) from None
        return done.status, done.stdout.decode(errors="replace"), done.stderr

    @property
    def shown(self) -> str:
        """Its name, without a password."""
        return _safe(self.name)


def tracked_branch(git: Git, branch: str, names: Sequence[str]) -> str | None:
    """The commit at which git last saw a branch of one of these remotes, the first that has it."""
    for name in names:
        ref = f"refs/remotes/{name}/{branch}"
        found = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", ref, allow=range(256))
        if found.status == 0:
            return found.stdout.decode().strip()
    return None


def remote_names(git: Git) -> list[str]:
    """The remotes of a repository, `origin` first."""
    return sorted(git.text("remote").split(), key=lambda name: (name != "origin", name))


def _verb(arguments: Sequence[str]) -> str:
    return next(word for word in arguments if word in ("fetch", "push", "ls-remote"))


def _safe(text: str) -> str:
    return PASSWORD.sub("…@", text)
