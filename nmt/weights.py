"""Weights in safetensors: each storage once, under its canonical name, with the tying mode beside it.

A file never loads into a model of another mode: untied values would silently win or lose in a tied matrix.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bpe.errors import UserError
from bpe.textfiles import atomic_write
from nmt.layers.tying import aliases, load_unique, unique_parameters
from nmt.models.interface import TranslationModel

FORMAT, FORMAT_VERSION = "nmt-weights", "1"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors atomically: the old file stays until the new one is whole."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(ready, dict(metadata))
    with atomic_write(path) as stream:
        stream.write(data)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; a missing or damaged one is a UserError."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError("no such file", where=path, hint="is this a model folder that nmt-train wrote?") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"truncated or not a safetensors file ({error})", where=path, hint="restore it from a copy"
        ) from None


def weight_tensors(model: TranslationModel) -> dict[str, Tensor]:
    """The model's weights, each storage once."""
    return {name: parameter.detach() for name, parameter in unique_parameters(model).items()}


def weight_metadata(model: TranslationModel, **extra: object) -> dict[str, str]:
    """What stands beside the weights: format, tying mode, which names are aliases, and what the caller adds."""
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "tying": model.embeddings.tying.value,
        "aliases": json.dumps(aliases(model), sort_keys=True),
        **{name: str(value) for name, value in extra.items()},
    }


def load_weights(path: Path, model: TranslationModel) -> dict[str, str]:
    """Load a weights file into a model of the same tying mode and sizes; returns the file's metadata."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT or metadata.get("version") != FORMAT_VERSION:
        raise UserError("not a weights file of this toolkit's version", where=path)
    mode = model.embeddings.tying.value
    if metadata.get("tying") != mode:
        raise UserError(
            f"weights tied {metadata.get('tying')!r} do not fit a model tied {mode!r}",
            where=path,
            hint=f"set model.tying to {metadata.get('tying')!r}; modes are never converted silently",
        )
    wanted = {name: tuple(parameter.shape) for name, parameter in unique_parameters(model).items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        name = next(n for n in sorted(wanted | found) if wanted.get(n) != found.get(n))
        raise UserError(
            f"{name} is {found.get(name, 'missing')}, the configuration says {wanted.get(name, 'not there')}",
            where=path,
            hint="config.yaml, vocabulary.json and the weights belong together; restore the folder",
        )
    load_unique(model, tensors)
    model.embeddings.assert_tied()
    return metadata
