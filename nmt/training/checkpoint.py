"""last/: everything an interrupted run needs to go on as if it had not been interrupted.

The folder is written beside its place and swapped in by two renames; a run killed between them finds the older one.
Until the first save last.begun stands in its place: a model folder that has neither was not left by a run.
Random draws are functions of the seed and the update (see `nmt.training.loop`), so the state is small and exact.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bpe.errors import UserError
from bpe.textfiles import no_space, write_text
from nmt.folder.weights import read_tensors, save_tensors
from nmt.layers.tying import unique_parameters
from nmt.models.interface import TrainableModel
from nmt.tasks.interface import Carried
from nmt.training.progress import TrainingProgress

WEIGHTS, OPTIMIZER, AVERAGE, STATE = "weights.safetensors", "optimizer.safetensors", "average.safetensors", "state.json"
CARRIED = "task.safetensors"
"What the task carries from update to update; there where it carries anything."
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """What last/ holds: tensors by name, each storage once, and the progress.

    average: of an EMA, or empty. carried: what the task carries from update to update, or empty.
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    average: dict[str, Tensor]
    carried: dict[str, Tensor]
    metadata: dict[str, str]
    progress: TrainingProgress


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write last/; the old one stays whole until the new one is."""
    new, old = _beside(folder, "new"), _beside(folder, "old")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        save_tensors(new / WEIGHTS, checkpoint.weights, checkpoint.metadata)
        save_tensors(new / OPTIMIZER, checkpoint.optimizer, {})
        if checkpoint.average:
            save_tensors(new / AVERAGE, checkpoint.average, checkpoint.metadata)
        if checkpoint.carried:
            save_tensors(new / CARRIED, checkpoint.carried, {})
        state = {"version": FORMAT_VERSION, **dataclasses.asdict(checkpoint.progress)}
        write_text(new / STATE, json.dumps(state, indent=1) + "\n")
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
        remove_beside(folder)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise no_space(error, folder) from None
    except UserError:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f"{folder.name}.{word}")


def remove_beside(folder: Path) -> None:
    """Remove what stands beside last/ while it is written, or was left by a kill; what is needed without it stays."""
    shutil.rmtree(_beside(folder, "new"), ignore_errors=True)
    if folder.exists():
        shutil.rmtree(_beside(folder, "old"), ignore_errors=True)
        _beside(folder, "begun").unlink(missing_ok=True)


def mark_begun(folder: Path) -> None:
    """Note that a run has begun which has saved nothing yet. folder: where it will."""
    write_text(_beside(folder, "begun"), "nothing is saved yet\n")


def is_begun(folder: Path) -> bool:
    """Whether a run has begun here that has saved nothing yet."""
    return _beside(folder, "begun").exists() and find_checkpoint(folder) is None


def forget(folder: Path) -> None:
    """Remove last/ and all that stands beside it."""
    for path in (folder, _beside(folder, "new"), _beside(folder, "old")):
        shutil.rmtree(path, ignore_errors=True)
    _beside(folder, "begun").unlink(missing_ok=True)


def find_checkpoint(folder: Path) -> Path | None:
    """last/, or the one before it if a run was killed while they were swapped, or None."""
    old = _beside(folder, "old")
    if not folder.exists() and old.exists():
        with contextlib.suppress(OSError):
            old.rename(folder)
    return folder if folder.exists() else None


def check_belongs(checkpoint: Checkpoint, model: TrainableModel, carried: Carried, folder: Path) -> None:
    """Raise a UserError unless the tensors read from `folder` are this model's: tying mode, names and shapes.

    carried: what the task carries at the start of a run.
    """
    wanted = {name: parameter.shape for name, parameter in unique_parameters(model).items()}
    owners = {name.rpartition(".")[0] for name in checkpoint.optimizer}
    foreign = ""
    if checkpoint.metadata.get("tying") != model.embeddings.tying.value or _shapes(checkpoint.weights) != wanted:
        foreign = WEIGHTS
    elif checkpoint.average and _shapes(checkpoint.average) != wanted:
        foreign = AVERAGE
    elif not owners <= wanted.keys():
        foreign = OPTIMIZER
    elif _shapes(checkpoint.carried) != _shapes(carried):
        foreign = CARRIED
    if foreign:
        hint = f"restore {folder} from a copy, or start over with --force"
        raise UserError("belongs to another model", where=folder / foreign, hint=hint)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read last/; a damaged one is a UserError that says how to go on without it."""
    hint = f"restore {folder} from a copy, or start over with --force"
    try:
        weights, metadata = read_tensors(folder / WEIGHTS)
        optimizer, _ = read_tensors(folder / OPTIMIZER)
        average = read_tensors(folder / AVERAGE)[0] if (folder / AVERAGE).exists() else {}
        carried = read_tensors(folder / CARRIED)[0] if (folder / CARRIED).exists() else {}
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if state.pop("version", None) != FORMAT_VERSION:
            raise UserError("a checkpoint of another version", where=folder / STATE, hint=hint)
        return Checkpoint(weights, optimizer, average, carried, metadata, TrainingProgress(**state))
    except UserError as error:
        raise UserError(error.problem, where=error.where, hint=hint) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"damaged checkpoint ({error})", where=folder / STATE, hint=hint) from None
