"""The two renames that POSIX lacks: swap two names, and rename only if the new name is free.

Linux has them in `renameat2`, macOS in `renameatx_np`; not every file system supports them. Python has
no call for either, hence ctypes.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
import sys
from collections.abc import Callable
from typing import Final

_SWAP: Final = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS
_EXCLUSIVE: Final = 4 if sys.platform == "darwin" else 1  # RENAME_EXCL, RENAME_NOREPLACE
_FUNCTION: Final = "renameatx_np" if sys.platform == "darwin" else "renameat2"
#: what kernels, C libraries and file systems answer when they cannot do it
_LACKING: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def swap(fd: int, one: str, other: str) -> bool:
    """Swap two names in the directory `fd`, at once for all to see; False where that cannot be done.

    Raises FileNotFoundError when one of them is missing, and any other OSError.
    """
    return _rename(fd, one, other, _SWAP)


def place(fd: int, old: str, new: str) -> None:
    """Rename `old` to `new` in the directory `fd`, replacing nothing. FileExistsError when it is taken."""
    if _rename(fd, old, new, _EXCLUSIVE):
        return
    try:
        os.link(old, new, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # a directory, or a file system without links
        _reserve(fd, old, new)
        os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd)
    else:
        os.unlink(old, dir_fd=fd)


def _reserve(fd: int, old: str, new: str) -> None:
    """Take a free name by something empty of the same kind.

    What is saved over that in the microseconds until it is replaced is lost; such a system offers
    nothing better.
    """
    if stat.S_ISDIR(os.stat(old, dir_fd=fd, follow_symlinks=False).st_mode):
        os.mkdir(new, dir_fd=fd)
    else:
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd))


def _rename(fd: int, old: str, new: str, flag: int) -> bool:
    call = _function()
    if call is None:
        return False
    ctypes.set_errno(0)
    if call(fd, os.fsencode(old), fd, os.fsencode(new), flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in _LACKING:
        return False
    raise OSError(code, os.strerror(code), old, None, new)


@functools.cache
def _function() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The C library's function, None in one that has not got it (musl)."""
    function = getattr(ctypes.CDLL(None, use_errno=True), _FUNCTION, None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    call: Callable[[int, bytes, int, bytes, int], int] = function
    return call
