"""Tying by storage identity, through everything that is known to break it elsewhere."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch

from bpe.errors import UserError
from nmt.config import ModelConfig, TrainingConfig
from nmt.folder.ledger import matrix_lines, size_of, sizes_of_modes
from nmt.folder.weights import load_weights, read_tensors, save_tensors, weight_metadata, weight_tensors
from nmt.layers.tying import aliases, load_unique, unique_parameters
from nmt.models.build import VocabularySizes, build_empty, build_model
from nmt.models.interface import TranslationModel
from nmt.tasks.translation.objective import TranslationObjective
from nmt.training.step import Updater
from nmt.tying import Tying

pytestmark = pytest.mark.numeric
SIZES = VocabularySizes(source=30, target=40, union=50)
CPU = torch.device("cpu")


def config(mode: Tying) -> ModelConfig:
    return ModelConfig(tying=mode.value, embedding_size=4, hidden_size=6, dropout=0.0)


def model_of(mode: Tying, seed: int = 1) -> TranslationModel:
    return build_model(config(mode), SIZES, seed=seed)


def pointers(model: TranslationModel) -> tuple[int, int, int]:
    e = model.embeddings
    return e.source_input.data_ptr(), e.target_input.data_ptr(), e.output.data_ptr()


@pytest.mark.parametrize(("mode", "matrices"), [(Tying.UNTIED, 3), (Tying.DECODER, 2), (Tying.THREE_WAY, 1)])
def test_tied_means_one_storage_after_every_step_of_a_models_life(mode: Tying, matrices: int, tmp_path: Path) -> None:
    model = model_of(mode)
    save_tensors(tmp_path / "w.safetensors", weight_tensors(model), weight_metadata(model))
    loaded = build_empty(config(mode), SIZES, CPU)
    load_weights(tmp_path / "w.safetensors", loaded)
    lives = [model, copy.deepcopy(model), model_of(mode).to(torch.float64), loaded]
    lives.append(model_of(mode).to("meta").to_empty(device="cpu"))
    for life in lives:
        life.embeddings.assert_tied()
        assert len(set(pointers(life))) == matrices
        assert sum(name.startswith("embeddings.") for name in unique_parameters(life)) == matrices + 1  # and the bias
    tensors, metadata = read_tensors(tmp_path / "w.safetensors")
    assert len([name for name in tensors if name.startswith("embeddings.")]) == matrices + 1
    assert metadata["tying"] == mode.value
    for name, tensor in unique_parameters(loaded).items():
        assert torch.equal(tensor, tensors[name])


def test_a_tied_matrix_gets_the_gradient_of_all_its_roles() -> None:
    e = model_of(Tying.THREE_WAY).embeddings
    loss = e.source(torch.tensor([5])).sum() + 10 * e.target(torch.tensor([6])).sum() + e.scores(torch.ones(1, 4))[0, 7]
    loss.backward()
    grad = e.source_input.grad
    assert grad is not None
    assert [float(grad[row, 0]) for row in (5, 6, 7, 8)] == [1, 10, 1, 0]


def test_untied_rows_are_independent() -> None:
    e = model_of(Tying.UNTIED).embeddings
    with torch.no_grad():
        e.source_input[5] += 1
    assert not torch.equal(e.source_input[5], e.target_input[5])
    assert not torch.equal(e.target_input, e.output)


def test_modes_start_equal_in_everything_that_is_not_a_vocabulary_matrix() -> None:
    models = [model_of(mode) for mode in Tying]
    for name, parameter in unique_parameters(models[0]).items():
        if not name.startswith("embeddings."):
            for other in models[1:]:
                assert torch.equal(parameter, unique_parameters(other)[name]), name
    assert all("embeddings.output_bias" in unique_parameters(model) for model in models)


@pytest.mark.parametrize(("rule", "deviation", "above"), [("dl4mt", 0.01, 0.01), ("scaled", 0.125, 0.6)])
def test_each_storage_is_initialised_once_and_starts_the_softmax_near_uniform(
    rule: str, deviation: float, above: float
) -> None:
    """N(0, 1), PyTorch's own rule for embeddings, would start far above ln V."""
    config = ModelConfig(embedding_size=64, hidden_size=8, initialization=rule)
    model = build_model(config, VocabularySizes(900, 900, 1000))
    assert model.embeddings.output.detach().std().item() == pytest.approx(deviation, rel=0.02)
    readout = torch.tanh(torch.randn(50, 64, generator=torch.Generator().manual_seed(0)))
    cross_entropy = -torch.log_softmax(model.embeddings.scores(readout).detach(), -1).mean().item()
    assert 0 <= cross_entropy - math.log(1000) < above


def updater_of(**settings: float) -> Updater:
    training = TrainingConfig(**settings)  # type: ignore[arg-type]
    return Updater(model_of(Tying.THREE_WAY), training, TranslationObjective(training))


def test_the_optimizer_sees_each_storage_once() -> None:
    updater = updater_of()
    owned = [p.data_ptr() for group in updater.optimizer.param_groups for p in group["params"]]
    assert len(owned) == len(set(owned))


def test_the_average_keeps_the_tie_and_its_value() -> None:
    """In-place averaging of a state dict that lists a storage three times gives 0.875 for 0 and 1; ours gives 0.5."""
    updater = updater_of(ema=0.5)
    with torch.no_grad():
        for average, parameter in zip(updater.average.values(), updater.parameters.values(), strict=True):
            average.zero_()
            parameter.fill_(1.0)
    updater._follow(1 - updater._decay_of(1_000))
    with updater.averaged():
        updater.model.embeddings.assert_tied()
        assert updater.model.embeddings.output[0, 0].item() == 0.5
        assert updater.model.embeddings.source_input[0, 0].item() == 0.5
    assert updater.model.embeddings.output[0, 0].item() == 1.0


@pytest.mark.parametrize(("saved", "into"), [(a, b) for a in Tying for b in Tying if a is not b])
def test_a_file_of_one_mode_never_loads_into_another(saved: Tying, into: Tying, tmp_path: Path) -> None:
    model = model_of(saved)
    save_tensors(tmp_path / "w.safetensors", weight_tensors(model), weight_metadata(model))
    with pytest.raises(UserError, match=f"tied '{saved.value}' do not fit a model tied '{into.value}'"):
        load_weights(tmp_path / "w.safetensors", model_of(into))


def test_a_file_of_other_sizes_is_refused_by_name(tmp_path: Path) -> None:
    model = model_of(Tying.DECODER)
    tensors = weight_tensors(model) | {"embeddings.source_input": torch.zeros(31, 4)}
    save_tensors(tmp_path / "w.safetensors", tensors, weight_metadata(model))
    with pytest.raises(UserError, match=r"embeddings\.source_input is \(31, 4\), the configuration says \(30, 4\)"):
        load_weights(tmp_path / "w.safetensors", model)


def test_a_truncated_file_is_a_user_error_that_names_it(tmp_path: Path) -> None:
    model, path = model_of(Tying.THREE_WAY), tmp_path / "w.safetensors"
    save_tensors(path, weight_tensors(model), weight_metadata(model))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"w\.safetensors: truncated or not a safetensors file"):
        load_weights(path, model)


def test_loading_in_place_keeps_the_tie() -> None:
    model = model_of(Tying.THREE_WAY)
    load_unique(model, weight_tensors(model_of(Tying.THREE_WAY, seed=2)))
    model.embeddings.assert_tied()


def test_a_broken_tie_is_noticed() -> None:
    model = model_of(Tying.THREE_WAY)
    model.embeddings.output = torch.nn.Parameter(model.embeddings.output.detach().clone())
    with pytest.raises(AssertionError, match="three-way tying broken"):
        model.embeddings.assert_tied()


def test_the_sizes_of_table_8() -> None:
    """Table 1's rounded sizes give Table 8's: 168/122/80 and 165/119/79 million (Press & Wolf, 2017)."""
    paper = ModelConfig(embedding_size=500, hidden_size=1000, dropout=0.0)
    french = sizes_of_modes(paper, VocabularySizes(source=87_000, target=92_000, union=94_000))
    german = sizes_of_modes(paper, VocabularySizes(source=83_000, target=91_000, union=94_000))
    assert [round(size.total / 1e6, 1) for size in french.values()] == [167.9, 121.9, 79.4]
    assert [round(size.total / 1e6, 1) for size in german.values()] == [164.9, 119.4, 79.4]
    assert {size.other for size in (*french.values(), *german.values())} == {32_268_501}


def test_the_ledger_counts_aliases_once() -> None:
    model = model_of(Tying.THREE_WAY)
    assert aliases(model) == dict.fromkeys(["embeddings.target_input", "embeddings.output"], "embeddings.source_input")
    text = "\n".join(matrix_lines(model))
    assert text.count("= embeddings.source_input") == 2
    assert size_of(model).embedding == 50 * 4 + 50
    assert size_of(model_of(Tying.UNTIED)).embedding == 30 * 4 + 2 * 40 * 4 + 40
