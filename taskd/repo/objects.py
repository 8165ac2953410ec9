"""Reading git objects through one process that stays: 0.04 ms an object instead of 2 ms a process."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from taskd.errors import GitFailed

COMMAND: Final = "cat-file --batch"
CHUNK: Final = 1 << 16  # bytes a read; what a pipe holds on Linux
COMPLAINT: Final = re.compile(rb"^(error|fatal):", re.MULTILINE)
GONE: Final = "the process ended"

#: id, type and content of an object
Answer: TypeAlias = tuple[str, bytes, bytes]


class Objects:
    """Blobs of one repository. Any thread may call; calls take turns.

    Dropping it without `close` leaves a `git cat-file` process that ends when this process does.
    """

    def __init__(self, launch: Callable[[], subprocess.Popen[bytes]], timeout: float) -> None:
        """`launch` starts `git cat-file --batch`; no answer within `timeout` seconds is a failure."""
        self._launch = launch
        self._timeout = timeout
        self._turn = threading.Lock()
        self._open: _Conversation | None = None

    def close(self) -> None:
        """End the process, as after a `git gc`, whose old packs it would keep on the disk."""
        with self._turn:
            self._hang_up()

    def blob(self, spec: str) -> bytes | None:
        """The bytes of a blob named by id or as `REVISION:PATH`; None when there is no such blob.

        GitFailed when the object is damaged or git does not answer; ValueError for a line break in
        `spec`, which the protocol cannot carry.
        """
        found = self._answer(spec)
        return found[2] if found is not None and found[1] == b"blob" else None

    def commit(self, spec: str) -> str | None:
        """The id of the commit that `spec` names, None when there is none. Errors as `blob`."""
        found = self._answer(spec)
        return found[0] if found is not None and found[1] == b"commit" else None

    def _answer(self, spec: str) -> Answer | None:
        if "\n" in spec:
            reason = f"an object cannot be asked for by a name with a line break: {spec!r}"
            raise ValueError(reason)
        with self._turn:
            stood = self._open is not None
            try:
                return self._ask(spec)
            except GitFailed:
                if not stood:
                    raise
            # it was killed meanwhile, or stood on files that a repack took away: a new one knows better
            return self._ask(spec)

    def _ask(self, spec: str) -> Answer | None:
        if self._open is None:
            self._open = _Conversation(self._launch(), self._timeout)
        try:
            return self._open.ask(spec)
        except BaseException:  # an answer half read would be taken for the next one's
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        if self._open is not None:
            self._open.end()
            self._open = None


class _Conversation:
    """One process and what it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        self._process = process
        self._timeout = timeout
        self._deadline = 0.0
        self._said = bytearray()
        self._complaints = bytearray()
        assert process.stdin is not None  # noqa: S101 - launched with three pipes
        assert process.stdout is not None  # noqa: S101 - see above
        assert process.stderr is not None  # noqa: S101 - see above
        self._stdin, self._stdout = process.stdin, process.stdout.fileno()
        self._ears = selectors.DefaultSelector()
        self._ears.register(process.stdout, selectors.EVENT_READ, self._said)
        # stderr is read along: once its pipe is full, git would wait for ever
        self._ears.register(process.stderr, selectors.EVENT_READ, self._complaints)

    def end(self) -> None:
        self._ears.close()
        end_group(self._process)

    def ask(self, spec: str) -> Answer | None:
        self._deadline = time.monotonic() + self._timeout
        self._complaints.clear()
        self._say(os.fsencode(spec) + b"\n")
        header = self._take_line().rsplit(b" ", 2)
        if len(header) == 3 and header[2].isdigit():  # noqa: PLR2004 - id, type, size
            content = self._take(int(header[2]) + 1)
            return header[0].decode(), header[1], content[:-1]
        # git calls a damaged object missing, too, having complained first
        if COMPLAINT.search(self._complaints):
            raise self._failure(self._complaints.decode(errors="replace").strip())
        return None

    def _say(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended: what it said last is still to be heard
            self._stdin.write(line)
            self._stdin.flush()

    def _take_line(self) -> bytes:
        while (end := self._said.find(b"\n")) < 0:
            self._listen()
        return self._take(end + 1)[:-1]

    def _take(self, size: int) -> bytes:
        while len(self._said) < size:
            self._listen()
        taken = bytes(memoryview(self._said)[:size])
        del self._said[:size]
        return taken

    def _listen(self) -> None:
        """Take in what has come on both pipes, stderr first if both have something."""
        ready = self._ears.select(max(0.0, self._deadline - time.monotonic()))
        if not ready:
            reason = f"no answer within {self._timeout:g} s"
            raise self._failure(reason)
        for key, _ in sorted(ready, key=lambda pair: pair[0].fd == self._stdout):
            heard = os.read(key.fd, CHUNK)
            key.data.extend(heard)
            if not heard and key.fd == self._stdout:
                raise self._failure(self._complaints.decode(errors="replace").strip() or GONE)
            if not heard:
                self._ears.unregister(key.fileobj)

    def _failure(self, reason: str) -> GitFailed:
        status = self._process.poll()
        return GitFailed(command=COMMAND, status="no answer" if status is None else status, stderr=reason)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group if it has not ended, and let go of its pipes."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it ended between the two lines
            os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # a half-written line for a process that is gone
                pipe.close()
    process.wait()
