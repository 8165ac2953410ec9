"""One commit in the language of `git fast-import`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

COMMITTER: Final = "taskd"
EMAIL: Final = "taskd@localhost"

CRUD: Final = "".join(map(chr, range(33))) + ".,:;\"\\'<>"  # git takes these off both ends of a name
UNWRITABLE: Final = re.compile(r"[\x00-\x20\x7f<>]+")  # and has no way to write these inside of one
ESCAPED: Final = re.compile(rb'[\x00-\x1f"\\\x7f]')


@dataclass(frozen=True, slots=True)
class Joining:
    """What makes a commit join two histories: the tip of the other one, and files brought from there.

    A file is (mode, blob id), None where it goes.
    """

    commit: str
    files: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)


def import_stream(
    head: bytes,
    parent: str | None,
    files: Mapping[str, bytes | None],
    *,
    clear: bool,
    joining: Joining | None = None,
) -> Iterator[bytes]:
    """One commit, which git answers with its id, and after which it forgets the branch again.

    `head` is a `commit_head`; of `files` None removes one; with `clear` they are all there will be, but
    for those of `joining`.
    """
    yield b"commit refs/taskd/new\nmark :1\n" + head
    if parent is not None:
        yield b"from %s\n" % parent.encode()
    if joining is not None:
        yield (b"from %s\n" if parent is None else b"merge %s\n") % joining.commit.encode()
    if clear or (joining is not None and parent is None):
        yield b"deleteall\n"
    for path, brought in (joining.files if joining is not None else {}).items():
        line = b"D %s\n" if brought is None else b"M %s %s %%s\n" % tuple(map(str.encode, brought))
        yield line % _quoted(path)
    # removals first: a file may give way to a directory of its name
    yield from (b"D %s\n" % _quoted(path) for path, text in files.items() if text is None)
    for path, text in files.items():
        if text is not None:
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (_quoted(path), len(text), text)
    yield b"\nget-mark :1\nreset refs/taskd/new\n\ndone\n"


def commit_head(message: str, author: str, when: datetime) -> bytes:
    """Who, when and why, safe whatever the name and the message hold. ValueError for a naive time."""
    if when.utcoffset() is None:
        reason = f"a commit needs a time with a time zone: {when}"
        raise ValueError(reason)
    seconds = max(0, int(when.timestamp()))
    name = UNWRITABLE.sub(" ", author).strip(CRUD).encode("utf-8", "replace") or b"unknown"
    text = message.replace("\0", "\ufffd").rstrip("\n").encode("utf-8", "replace") + b"\n"
    author_line = b"author %s <%s> %d +0000\n" % (name, EMAIL.encode(), seconds)
    committer_line = f"committer {COMMITTER} <{EMAIL}> {seconds} +0000\n".encode()
    return author_line + committer_line + b"data %d\n%s\n" % (len(text), text)


def check_path(path: str) -> None:
    """ValueError for a path that leads out of the tree, or into a git dir once it is checked out."""
    parts = path.split("/")
    if "\0" in path or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        reason = f"git takes no such path: {path!r}"
        raise ValueError(reason)


def _quoted(path: str) -> bytes:
    """A path in double quotes, with C's octal escapes."""
    return b'"%s"' % ESCAPED.sub(lambda found: b"\\%03o" % ord(found[0]), os.fsencode(path))


def blob_id(text: bytes, like: str) -> str:
    """The id git gives a blob, in the hash that the id `like` is written in."""
    algorithm = "sha256" if len(like) == 64 else "sha1"  # noqa: PLR2004 - hex digits of a SHA-256
    return hashlib.new(algorithm, b"blob %d\0%s" % (len(text), text), usedforsecurity=False).hexdigest()
