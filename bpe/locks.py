"""Locks on files: they end with the process that holds them, however it ends, and so tell its work from a dead one's.

The locks are flock's. Where there are none (other systems, some network file systems) nothing is locked, and nothing
counts as abandoned.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

HERE = f"{zlib.crc32(socket.gethostname().encode()):08x}"
"This machine, in the names of what is being made."
FOREIGN_SECONDS = 86_400
"What another machine made counts as abandoned after so long: some file systems show a lock on its own machine alone."
_open: weakref.WeakSet[FileIO] = weakref.WeakSet()


def _let_go() -> None:
    """A forked worker does not hold its parent's locks: it may outlive it."""
    for stream in list(_open):
        stream.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def hold(path: Path | str, *, wait: bool = False) -> FileIO | None:
    """Open a file, made where there is none, and lock it until it is closed; None where another process has it.

    wait: for the other one to let go. Who holds a lock file removes it before letting go. Another that opened it
    earlier would then lock what is no longer there, beside a third with a new one: so it looks, and opens it again.
    """
    while True:
        stream = FileIO(path, "ab")
        _open.add(stream)
        locked = _lock(stream, wait=wait)
        if locked is None or (locked and still_there(stream, path)):
            return stream
        stream.close()
        if not locked:
            return None


def _lock(stream: FileIO, *, wait: bool = False) -> bool | None:
    """Lock an open file. False: another process has it. None: it cannot be locked here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def still_there(stream: IO[bytes] | FileIO, path: Path | str) -> bool:
    """Whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold a lock file for a while and remove it; gives False where another process holds it."""
    stream = hold(path)
    if stream is None:
        yield False
        return
    with stream:
        try:
            yield True
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def remove_abandoned(path: Path, machine: str, remove: Callable[[], object]) -> None:
    """Call `remove` where the process that held `path` locked is dead. machine: HERE, of where `path` was made."""
    with contextlib.suppress(OSError), FileIO(path, "r+b") as stream:
        _open.add(stream)
        recent = time.time() - os.fstat(stream.fileno()).st_mtime < FOREIGN_SECONDS
        if (machine == HERE or not recent) and _lock(stream) and still_there(stream, path):
            remove()
