"""The model folder while it is trained: locked, found in progress, cleared for a new run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from bpe.errors import UserError
from bpe.locks import exclusive
from bpe.textfiles import no_space, remove_leftovers
from nmt.folder.averaging import AVERAGE, RECENT, RecentWeights
from nmt.folder.bundle import BEST, CONFIG, MANIFEST, VOCABULARY, read_manifest
from nmt.shortlist.table import SHORTLIST
from nmt.text.pipeline import TextPipeline
from nmt.training.checkpoint import Checkpoint, find_checkpoint, forget, is_begun, load_checkpoint, remove_beside
from nmt.training.loop import LAST
from nmt.training.reporting import METRICS

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second nmt-train out of the folder; the lock ends with the process, however it ends."""
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, folder)
        try:
            mine = _enter(folder, stack)
        except (FileExistsError, NotADirectoryError):
            raise UserError("is a file, not a folder", where=folder, hint="name another with --model") from None
        except OSError as error:
            raise no_space(error, folder) from None
        if not mine:
            raise UserError(
                "another nmt-train is at work in this folder", where=folder, hint="wait for it, or name another --model"
            )
        yield


def _enter(folder: Path, stack: contextlib.ExitStack) -> bool:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another run that was refused has just removed it
            return stack.enter_context(exclusive(folder / LOCK))


def _remove_empty(folder: Path) -> None:
    """The folder of a run that was refused before it began; one with anything in it stays."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def in_progress(folder: Path) -> bool:
    """Whether a run can be continued here. Weights that none can continue from are a UserError."""
    if not (folder / MANIFEST).exists():
        return False
    last, weights = find_checkpoint(folder / LAST), weights_of(folder)
    if last is None and weights and not is_begun(folder / LAST):
        raise UserError(
            f"holds {what_it_is(folder)} ({', '.join(weights)}) and no {LAST}/ that training could continue from",
            where=folder,
            hint="name another folder with --model, or remove this model with --force",
        )
    return last is not None or bool(weights)


def weights_of(folder: Path) -> list[str]:
    """Names of what holds weights in a model folder, besides last/."""
    names = [name for name in (BEST, AVERAGE) if (folder / name).exists()]
    return names + [f"{RECENT}/"] * bool(RecentWeights(folder / RECENT, 0).files())


def what_it_is(folder: Path) -> str:
    """Who made the model of a folder, in words."""
    manifest = read_manifest(folder, None)
    if "averaged" in manifest:
        return "an average that nmt-average made"
    return "a model that nmt-convert made" if "converted" in manifest["data"] else "a model"


def last_checkpoint(folder: Path) -> Checkpoint | None:
    """last/, or None for a run that was stopped before its first save."""
    found = find_checkpoint(folder / LAST)
    return load_checkpoint(found) if found else None


def tidy(folder: Path) -> None:
    """Remove what runs that were killed while they wrote left; what another process is writing stays."""
    remove_beside(folder / LAST)
    for place in (folder, folder / LAST, folder / RECENT):
        remove_leftovers(place)


def check_room(folder: Path) -> None:
    """Raise a UserError where a new run may not begin, whatever is asked for: what is there is no model."""
    if (folder / MANIFEST).exists():
        read_manifest(folder, None)
    else:
        check_free(folder)


def make_room(folder: Path) -> None:
    """Ready for a new run: the model that is there is removed; anything else that is there is a UserError."""
    check_room(folder)
    if (folder / MANIFEST).exists():
        remove_model(folder)


def remove_model(folder: Path) -> None:
    """Remove what training wrote, and nothing else."""
    forget(folder / LAST)
    for name in (RECENT, "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    names = [folder / name for name in (CONFIG, VOCABULARY, BEST, AVERAGE, SHORTLIST, METRICS)]
    for path in [*names, *TextPipeline.files(folder), folder / MANIFEST]:
        path.unlink(missing_ok=True)


def check_free(folder: Path) -> None:
    """A folder that holds other things is not written into; what a run killed at its start left is no hindrance."""
    own = {CONFIG, VOCABULARY, METRICS, "tensorboard", *(path.name for path in TextPipeline.files(folder))}
    if any(path.name not in own and not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError("holds files that are no model", where=folder, hint="name another folder with --model")
