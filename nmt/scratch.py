"""The folder in which a result is made, beside its place, and the way into that place.

A run that was killed leaves nothing that looks finished; the next run removes what it did leave.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from bpe.locks import FOREIGN_SECONDS, HERE, hold, remove_abandoned
from bpe.textfiles import no_space

LOCK = ".lock"
"Inside of a scratch folder: locked by the process that works there."


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A folder beside the result, removed whatever happens; those that killed runs left here are removed too."""
    with ExitStack() as stack:
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
            remove_scratch(beside)
            yield _make(beside, stack)
        except OSError as error:
            raise no_space(error, error.filename or beside) from None


def remove_scratch(beside: Path) -> None:
    """Remove the scratch folders that killed runs left beside a result; a living one's is locked, and stays."""
    pattern = re.compile(rf"\.{re.escape(beside.name)}\.part-(?P<machine>[^-]*)-.+")
    with suppress(OSError):
        for name in os.listdir(beside.parent):
            found, folder = pattern.fullmatch(name), beside.parent / name
            if found and (folder / LOCK).exists():
                remove_abandoned(folder / LOCK, found["machine"], partial(_remove, folder, beside))
            elif found and time.time() - folder.stat().st_mtime > FOREIGN_SECONDS:
                _remove(folder, beside)  # killed before it was locked, or while it was removed


def _make(beside: Path, stack: ExitStack) -> Path:
    """A new folder, locked until the stack is left, which removes it."""
    while True:
        folder = _unused(beside)
        stack.callback(_remove, folder, beside)
        folder.mkdir()
        with suppress(FileNotFoundError):  # taken for a dead run's before it was locked
            lock = hold(folder / LOCK)
            if lock is not None:
                stack.enter_context(lock)
                return folder


def _unused(beside: Path) -> Path:
    return beside.parent / f".{beside.name}.part-{HERE}-{uuid4().hex}"


def _remove(folder: Path, beside: Path) -> None:
    """Remove a folder that tasks on other machines may still be writing to: under its new name they do not find it."""
    with suppress(OSError):
        folder = folder.rename(_unused(beside))
    shutil.rmtree(folder, ignore_errors=True)


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
