"""Averaging: each storage once, whatever is tied; recent weights that no stop and no full disk can spoil."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from bpe.errors import UserError
from nmt.config import ModelConfig
from nmt.folder.averaging import RecentWeights, average_files, with_weights
from nmt.folder.weights import load_weights, save_tensors, weight_metadata, weight_tensors
from nmt.layers.tying import unique_parameters
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import TranslationModel
from nmt.tying import Tying

pytestmark = pytest.mark.numeric
MODES = [mode.value for mode in Tying]


def model_of(mode: str, hidden_size: int = 4, seed: int = 1) -> TranslationModel:
    config = ModelConfig(tying=mode, embedding_size=3, hidden_size=hidden_size)
    return build_model(config, VocabularySizes(7, 6, 9), seed=seed)


def save(path: Path, model: TranslationModel, **extra: object) -> Path:
    save_tensors(path, weight_tensors(model), weight_metadata(model, **extra))
    return path


def filled(mode: str, value: float) -> TranslationModel:
    model = model_of(mode)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


@pytest.mark.parametrize("mode", MODES)
def test_zero_and_one_make_a_half(mode: str, tmp_path: Path) -> None:
    paths = [save(tmp_path / str(value), filled(mode, value)) for value in (0.0, 1.0)]
    average = average_files(paths)
    assert all((tensor == 0.5).all() for tensor in average.tensors.values())
    save_tensors(tmp_path / "average", average.tensors, average.metadata)
    model = model_of(mode)
    load_weights(tmp_path / "average", model)  # checks the tie
    assert all((parameter == 0.5).all() for parameter in model.parameters())
    assert len(average.tensors) == len(unique_parameters(model))


@pytest.mark.parametrize("mode", MODES)
def test_the_mean_is_that_of_double_precision(mode: str, tmp_path: Path) -> None:
    models = [model_of(mode, seed=seed) for seed in range(5)]
    average = average_files([save(tmp_path / str(number), model) for number, model in enumerate(models)])
    for name, mean in average.tensors.items():
        each = [unique_parameters(model)[name].detach().numpy().astype(np.float64) for model in models]
        assert mean.dtype == torch.float32
        np.testing.assert_array_equal(mean.numpy(), np.mean(each, axis=0).astype(np.float32), err_msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_one_file_stays_as_it_is_bit_for_bit(mode: str, tmp_path: Path) -> None:
    model = model_of(mode)
    with torch.no_grad():
        first = next(model.parameters()).flatten()
        first[0], first[1], first[2] = -0.0, float("inf"), 1e-42
    for count in (1, 2):
        average = average_files([save(tmp_path / "only", model)] * count)
        for name, parameter in unique_parameters(model).items():
            assert average.tensors[name].numpy().tobytes() == parameter.detach().numpy().tobytes()


def test_other_modes_and_sizes_are_refused_in_one_line(tmp_path: Path) -> None:
    first = save(tmp_path / "first", model_of("untied"))
    tied, larger = save(tmp_path / "tied", model_of("decoder")), save(tmp_path / "larger", model_of("untied", 5))
    with pytest.raises(UserError, match=r"tied: weights tied 'decoder' do not average with .*first, tied 'untied'"):
        average_files([first, tied])
    with pytest.raises(
        UserError, match=r"larger: .* is \(.*\), in .*first it is \(.*\); average checkpoints of models"
    ):
        average_files([first, first, larger])


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    model = model_of("decoder")
    first, tensors = save(tmp_path / "first", model), weight_tensors(model)
    del tensors["embeddings.output_bias"]
    save_tensors(tmp_path / "second", tensors, weight_metadata(model))
    with pytest.raises(UserError, match=r"second: embeddings.output_bias is missing, in .*first it is \("):
        average_files([first, tmp_path / "second"])


@pytest.mark.parametrize("mode", MODES)
def test_a_model_gets_its_own_weights_back(mode: str) -> None:
    model, other = model_of(mode), model_of(mode, seed=2)
    before = {name: parameter.detach().clone() for name, parameter in unique_parameters(model).items()}

    def break_off() -> None:
        with with_weights(model, weight_tensors(other)):
            for name, parameter in unique_parameters(model).items():
                assert parameter.equal(unique_parameters(other)[name])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    for name, parameter in unique_parameters(model).items():
        assert parameter.equal(before[name])
    model.embeddings.assert_tied()


def add(recent: RecentWeights, update: int, value: float) -> None:
    model = filled("three-way", value)
    recent.add(update, weight_tensors(model), weight_metadata(model, update=update))


def names(recent: RecentWeights) -> list[str]:
    return [path.name for path in recent.files()]


def test_the_newest_are_kept_and_averaged(tmp_path: Path) -> None:
    recent = RecentWeights(tmp_path / "recent", 3)
    for number, update in enumerate((90, 100, 1000, 1100)):
        add(recent, update, float(number))
    assert names(recent) == ["100.safetensors", "1000.safetensors", "1100.safetensors"]
    average = recent.average()
    assert all((tensor == 2.0).all() for tensor in average.tensors.values())
    assert average.metadata["updates"] == '["100", "1000", "1100"]'
    assert names(RecentWeights(tmp_path / "recent", 0)) == names(recent)
    add(RecentWeights(tmp_path / "none", 0), 5, 0.0)
    assert not (tmp_path / "none").exists()


def test_a_run_that_went_back_forgets_what_comes_later(tmp_path: Path) -> None:
    """Killed after update 400, it goes on from 200, perhaps with another learning rate."""
    recent = RecentWeights(tmp_path, 3)
    for update in (100, 200, 300, 400):
        add(recent, update, 1.0)
    (tmp_path / ".300.safetensors.abcd1234.part").write_bytes(b"of a run that was killed")
    (tmp_path / "notes.txt").touch()
    add(recent, 300, 2.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["200.safetensors", "300.safetensors", "notes.txt"]
    with safe_open(tmp_path / "300.safetensors", "pt") as file:
        assert float(file.get_tensor("embeddings.output_bias")[0]) == 2.0


def test_a_full_disk_leaves_the_files_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recent = RecentWeights(tmp_path, 2)
    add(recent, 100, 1.0)
    add(recent, 200, 2.0)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for update in (200, 300):
        with pytest.raises(UserError, match=rf"{update}.safetensors: no space left on the device"):
            add(recent, update, 3.0)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
