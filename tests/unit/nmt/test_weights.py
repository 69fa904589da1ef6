"""Weights files: the safetensors package's format, and the same bytes for the same content, whatever the order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from nmt.folder.weights import DTYPES, read_tensors, save_tensors, serialized

METADATA = {"tying": "decoder", "update": "7", "format": "nmt-weights", "ünï": '"\n\x01 \u2028', "": ""}


def tensors() -> dict[str, Tensor]:
    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "b.weight": torch.randn(3, 5, generator=torch.Generator().manual_seed(1)),
        "a.weight": torch.tensor([[float("nan"), -0.0], [float("inf"), 1e-42]]),
        "transposed": whole.t(),
        "every second": whole[::2, 1:4],
        "scalar": torch.tensor(2.5),
        "one, repeated": torch.ones(1).expand(3),
        "one of stride 0": torch.ones(1).as_strided((1,), (0,)),
        "the last number": whole.reshape(-1)[-1:],
        "no rows": torch.empty(0, 3),
        "wants a gradient": torch.ones(2, requires_grad=True),
    }


def data(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    return b"".join(serialized(tensors, metadata))


def equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()


@pytest.mark.parametrize("metadata", [{}, {"update": "7"}, {"ünï": '"\n\x01 \u2028\x7f'}])
def test_the_bytes_are_those_of_the_package_where_it_has_no_choice(metadata: dict[str, str]) -> None:
    """Its order is drawn at random only among several entries of metadata."""
    ready = {name: tensor.detach().contiguous() for name, tensor in tensors().items()}
    ready |= {"long": torch.tensor([1, -1]), "byte": torch.tensor([1, 2, 3], dtype=torch.uint8)}
    assert data(ready, metadata) == safetensors.torch.save(ready, metadata or None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_package_reads_every_type(dtype: torch.dtype, tmp_path: Path) -> None:
    saved = {"odd": torch.ones(3).to(torch.bool), "x": torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)}
    save_tensors(tmp_path / "file", saved, METADATA)
    found = safetensors.torch.load((tmp_path / "file").read_bytes())
    assert found.keys() == saved.keys()
    assert all(found[name].equal(tensor) and found[name].dtype == tensor.dtype for name, tensor in saved.items())


def test_what_is_saved_is_read_back_to_the_bit(tmp_path: Path) -> None:
    save_tensors(tmp_path / "file", tensors(), METADATA)
    found, metadata = read_tensors(tmp_path / "file")
    assert metadata == METADATA
    assert found.keys() == tensors().keys()
    assert all(equal(found[name], tensor.detach()) for name, tensor in tensors().items())
    with safe_open(tmp_path / "file", "pt") as file:
        assert file.metadata() == METADATA
        assert file.get_slice("b.weight")[1:2].equal(tensors()["b.weight"][1:2])


def test_nothing_is_a_file_too(tmp_path: Path) -> None:
    save_tensors(tmp_path / "file", {}, {})
    assert read_tensors(tmp_path / "file") == ({}, {})


def test_the_order_in_which_things_are_given_does_not_show() -> None:
    back = dict(reversed(tensors().items())), dict(reversed(METADATA.items()))
    assert data(*back) == data(tensors(), METADATA)


def test_other_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """Hashes of text differ from process to process, and so does the order of a set or of the package's map."""
    program = (
        "import sys, torch; from pathlib import Path; from nmt.folder.weights import save_tensors;"
        "names = {f'n{i}' for i in range(20)};"
        "save_tensors(Path(sys.argv[1]), {n: torch.tensor(int(n[1:])) for n in names}, {n: n for n in names})"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed)], check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        )  # fmt: skip
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_tensors_begin_where_their_type_may(tmp_path: Path) -> None:
    mixed = {"a": torch.ones(3, dtype=torch.int8), "b": torch.ones(3), "c": torch.ones(3, dtype=torch.int64)}
    raw = data(mixed, METADATA)
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    assert size % 8 == 0
    for name, tensor in mixed.items():
        assert header[name]["data_offsets"][0] % tensor.element_size() == 0
    assert len(raw) == 8 + size + sum(tensor.numel() * tensor.element_size() for tensor in mixed.values())
