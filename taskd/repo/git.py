"""The only door to git: every git process of taskd starts here, and nothing else imports GitPython.

One exception: the merge driver, which git itself waits for, merges lines through `repo/mergefile.py`.

GitPython starts the processes; waiting for them is done here. Its own `execute` cannot take a variable
out of the environment, needs a thread per call to time out and then looks for children with `pgrep`,
reads standard input only from a file, and works in whatever directory the process stands in when the one
it was given is gone. So: variables are taken out by `env -u`, `-C` names the directory, every process
leads a group of its own, and that group is killed when time is up.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from taskd.errors import GitFailed
from taskd.repo.objects import Objects, end_group

if TYPE_CHECKING:
    import git.cmd

#: settings of a repository or its user that would run programs, take locks of their own or prompt
OVERRIDES: Final = (
    "--no-pager",
    "--literal-pathspecs",
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.alternateRefsCommand="),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "commit.gpgSign=false"),
    *("-c", "tag.gpgSign=false"),
    *("-c", "log.showSignature=false"),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "submodule.recurse=false"),
    *("-c", "color.ui=false"),
)

#: nothing asks a person, nothing takes a lock that it can do without
QUIET: Final[Mapping[str, str]] = MappingProxyType(
    {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",  # a partial clone answers "missing", it does not go out to the network
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_EDITOR": "false",
        "GIT_SEQUENCE_EDITOR": "false",
    }
)

#: variables that say where the user's configuration lies and how a server is reached; every other GIT_*
#: (GIT_DIR, GIT_INDEX_FILE, … as git hands them to hooks) would lead into another repository
KEPT: Final = re.compile(r"GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)|GIT_(SSL|HTTP|SSH|PROXY)(_.*)?")

NO_GIT: Final = "git is not installed, or not on the PATH"
NO_STATUS: Final = 127  # what a shell says of a command it cannot start
SHOWN: Final = 200  # characters of a command in an error
CONFLICTS: Final = range(128)  # `git merge-file` exits with the number of conflicts, 127 meaning more


@dataclass(frozen=True, slots=True)
class Result:
    """What a git process left: exit status (negative: the signal that ended it), output, errors."""

    status: int
    stdout: bytes
    stderr: str


class Git:
    """Git in one directory. Any thread may call; close it to end the process that reads objects."""

    def __init__(self, directory: Path, *, timeout: float = 30.0, scratch: Path | None = None) -> None:
        """Work in `directory`; a command that takes longer than `timeout` seconds is killed.

        Files that git is to merge lie below `scratch` meanwhile, else in the temp dir.
        """
        self.scratch = scratch
        self.directory = Path(os.path.abspath(directory))  # noqa: PTH100 - Path.absolute() keeps `..`
        self.timeout = timeout
        self._objects = Objects(self._reader, timeout)

    def __enter__(self) -> Self:
        """Keep it open for the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the process that reads objects; a later call starts another."""
        self._objects.close()

    def clear_scratch(self) -> None:
        """Take away what killed processes left there. No other may be merging now."""
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def objects(self) -> Objects:
        """The reader of objects of this repository, one process for as long as it is open."""
        return self._objects

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        allow: Container[int] = (0,),
        timeout: float | None = None,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> Result:
        """Run one command to its end.

        `env` is added to the environment. GitFailed when the status is not in `allow`, when it takes
        longer than `timeout` seconds (None: as this Git was told), and when git cannot be started.
        """
        try:
            with _stdin_file(stdin) as source:
                process = self._launch(arguments, source, env)
        except OSError as error:  # the temp dir is full
            raise _not_started(arguments, str(error)) from error
        limit = self.timeout if timeout is None else timeout
        stdout, stderr = _wait_for(process, shown(arguments), limit)
        result = Result(process.returncode, stdout, stderr.decode(errors="replace").strip())
        if result.status not in allow:
            raise GitFailed(command=shown(arguments), status=result.status, stderr=result.stderr)
        return result

    def text(self, *arguments: str, **options: Any) -> str:  # noqa: ANN401 - those of run(), unchanged
        """Run one command; its stdout as file names are decoded, without the final newline."""
        return os.fsdecode(self.run(*arguments, **options).stdout.removesuffix(b"\n"))

    def version(self) -> tuple[int, ...]:
        """The version of git, such as (2, 39, 5)."""
        found = re.search(r"\d+(\.\d+)+", self.text("version"))
        return tuple(int(part) for part in found[0].split(".")) if found else ()

    def user_name(self) -> str | None:
        """What `user.name` is set to for this repository."""
        return self.text("config", "--get", "user.name", allow=(0, 1)).strip() or None

    def check_ignored(self, paths: Iterable[str]) -> set[str]:
        """Those of `paths`, relative to the directory, that git's exclude rules leave out."""
        # this one command refuses the literal reading of paths; `./` takes the magic out of a `:`
        listed = b"".join(b"./%s\0" % os.fsencode(path) for path in paths)
        command = ("--no-literal-pathspecs", "check-ignore", "-z", "--stdin")
        found = self.run(*command, stdin=listed, allow=(0, 1))
        return {name.removeprefix("./") for name in _names(found.stdout)}

    def tracked(self, worktree: Path, tasks_dir: str) -> frozenset[str]:
        """The files below `tasks_dir` in the index of a worktree, relative to `tasks_dir`."""
        prefix = "" if tasks_dir in {"", "."} else tasks_dir.rstrip("/") + "/"
        found = self.run("-C", str(worktree), "ls-files", "-z", "--", prefix or ".")
        return frozenset(name.removeprefix(prefix) for name in _names(found.stdout))

    def merge_file(
        self,
        base: bytes,
        ours: bytes,
        theirs: bytes,
        labels: tuple[str, str, str] = ("ours", "base", "theirs"),
    ) -> tuple[bytes, bool]:
        """Merge two texts line by line; the text and whether it is clean.

        Where it is not, conflict markers with `labels` (ours, base, theirs) show all three. Texts that
        hold a NUL do not merge: `ours` comes back, not clean.
        """
        if any(b"\0" in text for text in (base, ours, theirs)):
            return ours, False
        names = [word for label in labels for word in ("-L", " ".join(label.split()) or "-")]
        if self.scratch is not None:
            self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="taskd-merge-", dir=self.scratch) as directory:
            files = [Path(directory, name) for name in ("ours", "base", "theirs")]
            for file, text in zip(files, (ours, base, theirs), strict=True):
                file.write_bytes(text)
            merged = self.run("merge-file", "-p", "--diff3", *names, *map(str, files), allow=CONFLICTS)
        return merged.stdout, merged.status == 0

    def _reader(self) -> subprocess.Popen[bytes]:
        return self._launch(("cat-file", "--batch"), subprocess.PIPE, {})

    def _launch(
        self, arguments: tuple[str, ...], stdin: BinaryIO | int | None, env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        added = {**QUIET, **env}
        command = [*_without_variables(added), "git", "-C", str(self.directory), *OVERRIDES, *arguments]
        try:
            started = _door(self.directory).execute(
                command,
                istream=stdin,
                as_process=True,
                env=added,
                start_new_session=True,  # so that a timeout can kill all of it
            )
        except (OSError, ImportError) as error:
            raise _not_started(arguments, str(error)) from error
        except Exception as error:
            if type(error).__name__ != "GitCommandNotFound":  # its class is known only after the import
                raise
            raise _not_started(arguments, str(error)) from error
        process, started.proc = started.proc, None  # GitPython's wrapper would end it from its destructor
        assert process is not None  # noqa: S101 - the wrapper was made a line ago
        return process


def shown(arguments: Iterable[str]) -> str:
    """A command as a person would type it, printable, cut to a line."""
    words = shlex.join(arguments).encode("utf-8", "backslashreplace").decode()
    return words if len(words) <= SHOWN else words[: SHOWN - 1] + "…"


def _wait_for(process: subprocess.Popen[bytes], command: str, limit: float) -> tuple[bytes, bytes]:
    try:
        return process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        reason = f"killed: no end after {limit:g} s"
        raise GitFailed(command=command, status=-signal.SIGKILL, stderr=reason) from None
    finally:
        end_group(process)


@contextlib.contextmanager
def _stdin_file(content: bytes) -> Iterator[BinaryIO | None]:
    """A nameless file rather than a pipe: git sees all of it even when this process is killed."""
    if not content:
        yield None
        return
    with tempfile.TemporaryFile(prefix="taskd-stdin-") as file:
        file.write(content)
        file.seek(0)
        yield file


def _without_variables(added: Mapping[str, str]) -> list[str]:
    """The beginning of a command that takes the GIT_* variables out; nothing when there are none."""
    names = [
        name
        for name in os.environ
        if name.startswith("GIT_") and name not in added and not KEPT.fullmatch(name)
    ]
    return ["env", *(word for name in names for word in ("-u", name))] if names else []


def _door(directory: Path) -> git.cmd.Git:
    """GitPython, imported late: it costs 50 ms, and raises ImportError where git is not installed."""
    import git.cmd  # noqa: PLC0415 - see above

    return git.cmd.Git(directory)


def _not_started(arguments: Iterable[str], reason: str) -> GitFailed:
    told = NO_GIT if shutil.which("git") is None else reason
    return GitFailed(command=shown(arguments), status=NO_STATUS, stderr=told)


def _names(listed: bytes) -> list[str]:
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]
