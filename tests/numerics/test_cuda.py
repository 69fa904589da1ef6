"""CUDA against the CPU; skipped where there is no device. All of them: scripts/test -m cuda"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nmt.cli import train
from nmt.config import ModelConfig, SearchConfig, TrainingConfig
from nmt.data.batching import BatchMaker
from nmt.data.corpus import PreparedCorpus
from nmt.layers.triton.available import kernels_told, what_is_missing
from nmt.layers.tying import unique_parameters
from nmt.models.build import VocabularySizes, build_model
from nmt.models.inference import for_search
from nmt.models.interface import START
from nmt.search.arrivals import padded_sources
from nmt.search.beam import beam_search
from nmt.tasks.translation.objective import TranslationObjective
from nmt.training import graphs
from nmt.training.graphs import CudaRecorder
from nmt.training.optimizers import make_optimizer, optimizer_tensors
from nmt.training.step import Updater
from nmt.tying import Tying
from tests.tiny_corpus import make_prepared

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"))


def maker_of(corpus: PreparedCorpus, mode: Tying = Tying.THREE_WAY) -> BatchMaker:
    shared, vocabulary = mode.shares_source, corpus.vocabulary
    return BatchMaker(corpus.split("train"), vocabulary.source_view(shared), vocabulary.target_view(shared))


def updater_of(
    corpus: PreparedCorpus, mode: Tying, device: str, precision: str, *, dropout: float = 0.0, optimizer: str = "adam"
) -> Updater:
    torch.manual_seed(1)
    config = ModelConfig(tying=mode.value, embedding_size=16, hidden_size=24, dropout=dropout)
    model = build_model(config, VocabularySizes.of(corpus.vocabulary)).to(device)
    model.embeddings.assert_tied()
    settings = TrainingConfig(precision=precision, optimizer=optimizer)
    return Updater(model, settings, TranslationObjective(settings))


@pytest.mark.parametrize("mode", Tying)
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bf16", 5e-2)])
def test_loss_and_gradients_equal_the_cpus(mode: Tying, precision: str, tolerance: float, prepared: Path) -> None:
    corpus = PreparedCorpus.open(prepared)
    batch = maker_of(corpus, mode).make(list(range(40)))
    gradients, losses = [], []
    for device, kind in (("cpu", "float32"), ("cuda", precision)):
        updater = updater_of(corpus, mode, device, kind)
        loss = updater.loss(batch.to(torch.device(device))).loss
        loss.backward()
        losses.append(loss.item())
        gradients.append({name: p.grad.cpu() for name, p in updater.parameters.items() if p.grad is not None})
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)
    for name, expected in gradients[0].items():
        error = (gradients[1][name] - expected).norm() / expected.norm().clamp_min(1e-6)
        assert error < 10 * tolerance, name


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bf16", 5e-2)])
def test_kernels_compute_what_stands_beside_them(precision: str, tolerance: float, prepared: Path) -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    corpus, found = PreparedCorpus.open(prepared), []
    batch = maker_of(corpus).make(list(range(40))).to(torch.device("cuda"))
    for missing in ("left out", ""):
        with kernels_told(missing):
            updater = updater_of(corpus, Tying.THREE_WAY, "cuda", precision)
            loss = updater.loss(batch).loss
            loss.backward()
            found.append([loss.detach(), *(p.grad for p in updater.parameters.values() if p.grad is not None)])
    for expected, mine in zip(*found, strict=True):
        assert float((mine - expected).norm()) <= tolerance * max(float(expected.norm()), 1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "adadelta", "sgd"])
def test_updates_played_again_give_the_bits_of_those_made_call_by_call(
    optimizer: str, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    corpus, found, said = PreparedCorpus.open(prepared), [], list[str]()
    made = [maker_of(corpus).make(list(range(start, start + 20))) for start in (0, 40)]
    for most in (graphs.MOST_SHAPES, 0):
        monkeypatch.setattr(graphs, "MOST_SHAPES", most)
        updater = updater_of(corpus, Tying.THREE_WAY, "cuda", "bf16", dropout=0.2, optimizer=optimizer)
        updater.record(CudaRecorder(), said.append)
        batches = [updater.objective.filled(batch).to(torch.device("cuda")) for batch in made]
        for number in range(1, 9):
            updater.begin([batches[number % 2]], number)
        results = updater.read()
        assert all(result.finite for result in results)
        found.append([*updater.parameters.values(), *updater.average.values()])
        assert updater.graphs is not None
        assert bool(updater.graphs.recordings) == bool(most)
    assert said == []
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["adam", "adadelta"])
def test_a_step_is_left_out_to_the_bit_and_nobody_waits_for_the_device(name: str) -> None:
    config = TrainingConfig(optimizer=name, learning_rate=0.1)
    values = {key: torch.nn.Parameter(torch.ones(size, device="cuda")) for key, size in (("a", 1000), ("b", 7))}
    optimizer = make_optimizer(values, config)

    def step(gradient: float, refused: float) -> dict[str, torch.Tensor]:
        for parameter in values.values():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.found_inf = torch.full((), refused, device="cuda")  # type: ignore[attr-defined]
        torch.cuda.set_sync_debug_mode("error" if optimizer.state else "default")
        try:
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        named = {key: parameter.detach() for key, parameter in values.items()}
        return {
            key: value.cpu().clone() for key, value in {**named, **optimizer_tensors(optimizer, list(values))}.items()
        }

    before = [step(0.5, 0.0), step(-0.25, 0.0)][-1]
    after = step(float("nan"), 1.0)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert float(after["a.step"]) == 2
    assert not torch.equal(step(0.5, 0.0)["a"], after["a"])


def test_search_gives_the_cpus_translations(prepared: Path) -> None:
    corpus = PreparedCorpus.open(prepared)
    pairs, found = corpus.split("valid"), []
    for device in ("cpu", "cuda"):
        model = updater_of(corpus, Tying.THREE_WAY, device, "float32").model.eval()
        with torch.no_grad():
            for parameter in unique_parameters(model).values():
                parameter.mul_(3)
        sources = [pairs.source(i) for i in range(len(pairs))]
        found.append([best[0].pieces for best in beam_search(model, sources, SearchConfig(beam=4))])
    agreeing = sum(one == other for one, other in zip(*found, strict=True))
    assert agreeing >= 0.9 * len(pairs)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bf16", 5e-2)])
def test_the_copy_for_search_steps_as_the_model_does(precision: str, tolerance: float, prepared: Path) -> None:
    corpus = PreparedCorpus.open(prepared)
    model = updater_of(corpus, Tying.THREE_WAY, "cuda", "float32").model.eval()
    source, lengths = padded_sources([corpus.split("valid").source(i) for i in range(5)], model.device)
    previous = torch.full((5, 1), START, device=model.device)
    found = []
    for searched in (model, for_search(model, precision)):
        memory, output = searched.encode(source, lengths), searched.output()
        step = searched.step(memory, searched.initial_state(memory), previous, output)
        found.append(step.log_probs[..., 1:])
    torch.testing.assert_close(*found, rtol=tolerance, atol=tolerance)


def test_a_run_in_two_parts_equals_one_in_one(prepared: Path, tmp_path: Path) -> None:
    small = [
        "--prepared", str(prepared), "--device", "cuda", "--batch-tokens", "200", "--quiet",
        "--set", "model.embedding_size=16", "--set", "model.hidden_size=24", "--set", "training.validate_every=20",
        "--set", "training.tensorboard=false",
    ]  # fmt: skip
    for folder, limits in (("whole", ["40"]), ("parts", ["20", "40"])):
        for limit in limits:
            assert train.main([*small, "--model", str(tmp_path / folder), "--max-updates", limit]) == 0
    left, right = (load_file(tmp_path / name / "last/weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(left[name], right[name]) for name in left)
