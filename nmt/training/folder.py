"""The model folder while it is trained: locked, found in progress, cleared for a new run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import no_space
from nmt.averaging import AVERAGE, RECENT
from nmt.bundle import BEST, CONFIG, MANIFEST, VOCABULARY, read_manifest
from nmt.shortlist.table import SHORTLIST
from nmt.text import TextPipeline
from nmt.training.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from nmt.training.loop import LAST
from nmt.training.reporting import METRICS

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second nmt-train out of the folder; the lock ends with the process, however it ends."""
    if fcntl is None:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = open(folder / LOCK, "w")  # noqa: SIM115 (held until the end)
    except (FileExistsError, NotADirectoryError):
        raise UserError("is a file, not a folder", where=folder, hint="name another with --model") from None
    except OSError as error:
        raise no_space(error, folder) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                "another nmt-train is at work in this folder", where=folder, hint="wait for it, or name another --model"
            ) from None
        except OSError:
            pass  # a file system without locks
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
                folder.rmdir()  # of a run that was refused before it began; a folder with anything in it stays


def in_progress(folder: Path) -> bool:
    """Whether a run has something to lose here: a checkpoint or weights."""
    if not (folder / MANIFEST).exists():
        return False
    return find_checkpoint(folder / LAST) is not None or (folder / BEST).exists()


def last_checkpoint(folder: Path) -> Checkpoint | None:
    """last/, or None for a run that was stopped before its first save."""
    found = find_checkpoint(folder / LAST)
    return load_checkpoint(found) if found else None


def make_room(folder: Path) -> None:
    """Ready for a new run: the model that is there is removed; anything else that is there is a UserError."""
    if (folder / MANIFEST).exists():
        remove_model(folder)
    else:
        check_free(folder)


def remove_model(folder: Path) -> None:
    """Remove what training wrote, and nothing else."""
    read_manifest(folder)
    for name in (LAST, f"{LAST}.new", f"{LAST}.old", RECENT, "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    names = [folder / name for name in (CONFIG, VOCABULARY, BEST, AVERAGE, SHORTLIST, METRICS)]
    for path in [*names, *TextPipeline.files(folder), folder / MANIFEST]:
        path.unlink(missing_ok=True)


def check_free(folder: Path) -> None:
    """A folder that holds other things is not written into; what a run killed at its start left is no hindrance."""
    own = {CONFIG, VOCABULARY, METRICS, "tensorboard", *(path.name for path in TextPipeline.files(folder))}
    if any(path.name not in own and not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError("holds files that are no model", where=folder, hint="name another folder with --model")
