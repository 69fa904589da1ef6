"""Weights in safetensors: each storage once, under its canonical name, with the tying mode beside it.

A file never loads into a model of another mode: untied values would silently win or lose in a tied matrix.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bpe.errors import UserError
from bpe.textfiles import atomic_write
from nmt.layers.tying import aliases, load_unique, unique_parameters
from nmt.models.interface import TrainableModel

FORMAT, FORMAT_VERSION = "nmt-weights", "1"


DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"Their names in safetensors."


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors atomically: the old file stays until the new one is whole. Equal ones make equal bytes."""
    with atomic_write(path) as stream:
        for part in serialized(tensors, metadata):
            stream.write(part)


def serialized(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, one tensor in memory at a time.

    The safetensors package writes the metadata in an order drawn at random; here it is sorted, so that a hash names
    the content. Format: the header's size (8 bytes, little-endian), the header (JSON, padded with spaces to a multiple
    of 8), the tensors; large items first, which keeps each aligned, and then by name.
    Source: github.com/huggingface/safetensors, README.md, "Format".
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    place = 0
    for name in order:
        tensor = tensors[name]
        end = place + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        values = tensors[name].detach().cpu().contiguous()
        flat = values.as_strided((values.numel(),), (1,))  # a single number may have any stride
        yield flat.view(torch.uint8).numpy().data


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; a missing or damaged one is a UserError."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """What stands beside the tensors of a safetensors file; a missing or damaged one is a UserError."""
    with _opened(path) as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise UserError("no such file", where=path, hint="is this a model folder that nmt-train wrote?") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"truncated or not a safetensors file ({error})", where=path, hint="restore it from a copy"
        ) from None


def weight_tensors(model: TrainableModel) -> dict[str, Tensor]:
    """The model's weights, each storage once."""
    return {name: parameter.detach() for name, parameter in unique_parameters(model).items()}


def weight_metadata(model: TrainableModel, **extra: object) -> dict[str, str]:
    """What stands beside the weights: format, tying mode, which names are aliases, and what the caller adds."""
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "tying": model.embeddings.tying.value,
        "aliases": json.dumps(aliases(model), sort_keys=True),
        **{name: str(value) for name, value in extra.items()},
    }


def load_weights(path: Path, model: TrainableModel, key: str = "model.tying") -> dict[str, str]:
    """Load a weights file into a model of the same tying mode and sizes; returns the file's metadata.

    key: of the configuration, that names the mode.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT or metadata.get("version") != FORMAT_VERSION:
        raise UserError("not a weights file of this toolkit's version", where=path)
    mode = model.embeddings.tying.value
    if metadata.get("tying") != mode:
        raise UserError(
            f"weights tied {metadata.get('tying')!r} do not fit a model tied {mode!r}",
            where=path,
            hint=f"set {key} to {metadata.get('tying')!r}; modes are never converted silently",
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
