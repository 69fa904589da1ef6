"""The folder in which a result is made, beside its place, and the way into that place.

A run that was killed leaves nothing that looks finished; the next run removes what it did leave.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from bpe.textfiles import no_space


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A folder beside the result, removed whatever happens; those that killed runs left here are removed too."""
    start = f".{beside.name}.part-{re.sub('[^A-Za-z0-9]', '', socket.gethostname())}-"
    folder = beside.parent / f"{start}{os.getpid()}"
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        for old in beside.parent.glob(f"{start}*"):
            if not _alive(old.name.rpartition("-")[2]):
                shutil.rmtree(old, ignore_errors=True)
        folder.mkdir()
        yield folder
    except OSError as error:
        raise no_space(error, error.filename or beside) from None
    finally:
        _remove(folder, beside.parent / f"{start}old-{os.getpid()}")


def _remove(folder: Path, aside: Path) -> None:
    """Remove a folder that tasks on other machines may still be writing to: under its new name they do not find it."""
    with suppress(OSError):
        folder = folder.rename(aside)
    shutil.rmtree(folder, ignore_errors=True)


def _alive(process: str) -> bool:
    """Whether a process of this machine runs that could be using a scratch folder; a name not ours counts as one."""
    if not process.isdigit():
        return True
    if int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Write a scratch file beside its place and rename it: a task that is done twice, even at once, leaves one result.

    Unlike `atomic_write` it makes no folder, so that a task that was given up cannot bring a removed one back.
    """
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with open(beside, "wb") as stream:
            yield stream
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def put_in_place(result: Path, folder: Path) -> None:
    """Rename the result to where it belongs; what was there is kept until then."""
    old = result.with_name("old")
    if folder.is_dir():
        os.rename(folder, old)
    try:
        os.rename(result, folder)
    except OSError:
        with suppress(OSError):
            os.rename(old, folder)
        raise
