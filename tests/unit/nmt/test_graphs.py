"""Updates that are recorded and played again, on the CPU: `tests.tape` stands in for CUDA graphs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bpe.errors import UserError
from nmt.cli import train
from nmt.config import ModelConfig, TrainingConfig
from nmt.data.batching import Batch
from nmt.data.filling import SENTENCES, SOURCE_STEPS, TARGET_STEPS, filled
from nmt.layers.roles import gradients_by_role
from nmt.models.build import VocabularySizes, build_model
from nmt.tasks.interface import Objective
from nmt.tasks.translation.objective import TranslationObjective
from nmt.text.vocabulary import EOS, PAD
from nmt.training import graphs
from nmt.training.graphs import CALLED_BEFORE, graphs_wanted
from nmt.training.optimizers import optimizer_tensors
from nmt.training.step import StepResult, Updater
from tests.tape import TapeRecorder, as_on_cuda
from tests.tiny_corpus import make_prepared

ROWS = 20
MODELS = {
    "rnn": ModelConfig(embedding_size=6, hidden_size=8),
    "transformer": ModelConfig(architecture="transformer", embedding_size=8, layers=1, heads=2, feedforward_size=12),
}


@pytest.fixture(autouse=True)
def _loss_as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_cuda(monkeypatch)


def batch_of(lengths: list[int], seed: int = 1) -> Batch:
    """Pairs of so many pieces on both sides."""
    sizes, chance = torch.tensor(lengths), torch.Generator().manual_seed(seed)
    ids = torch.randint(3, ROWS, (2, len(lengths), max(lengths)), generator=chance)
    inside = torch.arange(max(lengths)) < sizes[:, None]
    source, target = (torch.where(inside, one, PAD) for one in ids)
    for one in (source, target):
        one[torch.arange(len(lengths)), sizes - 1] = EOS
    return Batch.of(source, sizes, target, sizes, tuple(range(len(lengths))))


def updater_of(architecture: str = "rnn", dropout: float = 0.0, **settings: Any) -> Updater:
    torch.manual_seed(1)
    model = build_model(replace(MODELS[architecture], dropout=dropout), VocabularySizes(ROWS, ROWS, ROWS))
    config = TrainingConfig(precision="float32", **settings)
    return Updater(model, config, TranslationObjective(config), deferred=True)


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("normalization", ["tokens", "sentences"])
def test_a_batch_filled_up_costs_the_same(architecture: str, normalization: str) -> None:
    found = []
    for fills in (False, True):
        updater, batch = updater_of(architecture, normalization=normalization), batch_of([5, 2, 3])
        objective = updater.objective
        loss = updater.loss(objective.filled(batch) if fills else batch)
        loss.loss.backward()  # type: ignore[no-untyped-call]
        grads = torch.cat([p.grad.flatten() for p in updater.parameters.values() if p.grad is not None])
        found.append([loss.loss.detach(), loss.smoothed, loss.cross_entropy, grads])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6)


def test_a_batch_filled_up_has_one_of_few_shapes_and_says_what_is_real() -> None:
    batch = filled(batch_of([5, 2, 3]), 10)
    assert batch.source.shape == (SENTENCES, 2 * SOURCE_STEPS)
    assert batch.target.shape == (SENTENCES, 3 * TARGET_STEPS)
    assert batch.num_target_tokens == 10
    assert batch.pairs == (0, 1, 2)
    assert batch.source_lengths.tolist() == [5, 2, 3, 1, 1, 1, 1, 1]
    labels = batch.target_labels()
    assert int((labels != PAD).sum()) == 10
    assert labels.numel() == batch.scored(torch.zeros(70, 1)).numel() == SENTENCES * 3 * TARGET_STEPS
    assert float(batch.divisor) == 10
    moved = batch.to(torch.device("meta"))
    assert all(tensor.is_meta for tensor in moved.tensors())


class NeverRecorder:
    def record(self, function: Callable[[], None]) -> Callable[[], object]:
        raise AssertionError("nothing was to be recorded")


RECIPES = {
    "adam": {"optimizer": "adam", "ema": 0.9, "label_smoothing": 0.1, "dropout": 0.3, "warmup_updates": 5},
    "adadelta": {"optimizer": "adadelta", "learning_rate": 1.0, "ema": 0.0, "schedule": "constant"},
    "sgd": {"optimizer": "sgd", "schedule": "cosine", "max_updates": 20, "warmup_updates": 0},
}


def trained(updater: Updater, recorder: Any) -> tuple[dict[str, Tensor], list[StepResult]]:
    """All that updates change and tell: two shapes in turns, and in the middle an update that must not be made."""
    updater.record(recorder, lambda _: None)
    batches = [
        updater.objective.filled(batch_of(lengths, seed)) for seed in range(4) for lengths in ([5, 2, 3], [9, 8])
    ]
    batches[5] = replace(batches[5], divisor=torch.tensor(torch.nan))
    for number, batch in enumerate(batches, 1):
        updater.begin([batch], number)
    states = optimizer_tensors(updater.optimizer, list(updater.parameters))
    values = {name: parameter.detach() for name, parameter in updater.parameters.items()}
    average = {f"average.{name}": tensor for name, tensor in updater.average.items()}
    return {**values, **states, **average, "refused": updater.refused}, updater.read()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("architecture", MODELS)
def test_updates_played_again_give_the_bits_of_those_made_call_by_call(
    recipe: str, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"skip_nonfinite": 1, **RECIPES[recipe]}
    recorder = TapeRecorder()
    played, told = trained(updater_of(architecture, **settings), recorder)  # type: ignore[arg-type]
    assert recorder.count == 2
    monkeypatch.setattr(graphs, "MOST_SHAPES", 0)
    called, expected = trained(updater_of(architecture, **settings), NeverRecorder())  # type: ignore[arg-type]
    assert played.keys() == called.keys()
    for name in called:
        assert torch.equal(played[name], called[name]), name
    assert [result.finite for result in told] == [number != 6 for number in range(1, 9)]
    assert [r for r in told if r.finite] == [r for r in expected if r.finite]
    assert len({result.loss for result in told if result.finite}) == 7


class GradientWatch:
    """Catches the gradients by role of every update that is watched."""

    kind = "tying"

    def __init__(self, updater: Updater) -> None:
        self.embeddings, self.seen = updater.model.embeddings, list[list[Tensor]]()

    def catching(self) -> AbstractContextManager[Sequence[Tensor]]:
        return gradients_by_role(self.embeddings)

    def note(self, caught: Sequence[Tensor]) -> None:
        self.seen.append([tensor.clone() for tensor in caught])

    def figures(self) -> Mapping[str, float]:
        return {}

    def at_validation(self) -> Mapping[str, float | None]:
        return {}


def test_an_update_that_is_watched_is_made_call_by_call_to_the_same_bits() -> None:
    settings: dict[str, Any] = {"skip_nonfinite": 1, "log_every": 3, **RECIPES["adam"]}
    plain, _ = trained(updater_of(**settings), TapeRecorder())
    updater, recorder = updater_of(**settings), TapeRecorder()
    updater.watch = watch = GradientWatch(updater)
    watched, _ = trained(updater, recorder)
    assert recorder.count == 2
    assert all(torch.equal(watched[name], plain[name]) for name in plain)
    assert len(watch.seen) == 2
    assert all(float(tensor.norm()) > 0 for tensor in watch.seen[0])  # the other update is the one that is refused


def test_a_shape_is_recorded_once_it_came_often_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_SHAPES", 1)
    updater, recorder = updater_of(), TapeRecorder()
    updater.record(recorder, lambda _: None)
    often, rare = (updater.objective.filled(batch_of(lengths)) for lengths in ([3, 2], [9, 4]))
    for number in range(CALLED_BEFORE):
        updater.begin([often], 2 * number + 1)
        updater.begin([rare], 2 * number + 2)
    assert recorder.count == 0
    updater.begin([often], 9)
    assert recorder.count == 1
    updater.begin([rare], 10)  # no more than one is recorded
    updater.begin([often], 11)
    assert recorder.count == 1
    assert all(result.finite for result in updater.read())


class Refusing:
    calls = 0

    def record(self, function: Callable[[], None]) -> Callable[[], object]:
        self.calls += 1
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore lines")


def test_what_cannot_be_recorded_is_said_once_and_launched_call_by_call() -> None:
    updater, recorder, said = updater_of(), Refusing(), list[str]()
    updater.record(recorder, said.append)
    for number in range(1, 6):
        updater.begin([updater.objective.filled(batch_of([3, 2]))], number)
    assert recorder.calls == len(said) == 1
    assert said[0].endswith("operation not permitted when stream is capturing")
    assert all(result.finite for result in updater.read())


def test_graphs_share_their_memory_and_let_other_threads_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of torch.cuda; that it does so, test_cuda.py says where there is a GPU."""
    asked: list[dict[str, Any]] = []
    inside: list[bool] = []

    class Graph:
        def replay(self) -> str:
            return "played"

    @contextlib.contextmanager
    def recording(graph: Graph, **options: Any) -> Iterator[None]:
        asked.append({"graph": graph, **options})
        inside.append(True)
        yield
        inside.clear()

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (7, 0))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    recorder, called = graphs.CudaRecorder(), list[bool]()
    plays = [recorder.record(lambda: called.append(bool(inside))) for _ in range(2)]
    assert called == [True, True]
    assert [play() for play in plays] == ["played", "played"]
    assert [(each["pool"], each["capture_error_mode"]) for each in asked] == 2 * [((7, 0), "thread_local")]
    assert asked[0]["graph"] is not asked[1]["graph"]


CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    ("settings", "device", "workers", "told"),
    [
        ({}, torch.device("cpu"), 1, "the device is cpu"),
        ({}, CUDA, 2, "there are 2 workers"),
        ({"update_every": 2}, CUDA, 1, "training.update_every is above 1"),
        ({"part_tokens": 100}, CUDA, 1, "training.part_tokens divides batches"),
        ({"fast": False}, CUDA, 1, "training.fast is false"),
        ({"precision": "bf16"}, CUDA, 1, "the GPU does not multiply bfloat16"),
        ({}, CUDA, 1, "no Triton"),
    ],
)
def test_graphs_are_refused_in_a_line_where_they_cannot_be(
    settings: dict[str, Any], device: torch.device, workers: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "what_is_missing", lambda: "no Triton" if told == "no Triton" else "")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))

    def wanted(key: str) -> bool:
        config = TrainingConfig(cuda_graphs=key, **settings)
        objective: Objective[Batch] = TranslationObjective(config)
        return graphs_wanted(config, device, workers, objective)

    assert not wanted("off")
    assert not wanted("auto")
    with pytest.raises(UserError, match=f"cannot be on: {told}"):
        wanted("on")


def test_graphs_are_used_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "what_is_missing", lambda: "")
    config = TrainingConfig()
    assert graphs_wanted(config, CUDA, 1, TranslationObjective(config))


def test_nmt_train_refuses_them_on_a_cpu_before_it_makes_a_folder(
    tmp_path: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--prepared", str(prepared), "--model", str(tmp_path / "model"), "--device", "cpu"]
    assert train.main([*options, "--set", "training.cuda_graphs=on"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "training.cuda_graphs" in line
    assert "cannot be on: the device is cpu" in line
    assert not (tmp_path / "model").exists()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("graphs"), pairs=120)


@pytest.fixture
def recorders(monkeypatch: pytest.MonkeyPatch) -> list[TapeRecorder]:
    """nmt-train as on CUDA, but on the CPU, with tapes in the place of graphs."""
    made: list[TapeRecorder] = []

    def recorder() -> TapeRecorder:
        made.append(TapeRecorder())
        return made[-1]

    monkeypatch.setattr("nmt.training.loop.graphs_wanted", lambda *_: True)
    monkeypatch.setattr("nmt.training.loop.CudaRecorder", recorder)
    monkeypatch.setattr("nmt.training.loop.Updater", functools.partial(Updater, deferred=True))
    return made


def test_a_run_in_two_parts_equals_one_in_one(prepared: Path, tmp_path: Path, recorders: list[TapeRecorder]) -> None:
    small = [
        "--prepared", str(prepared), "--device", "cpu", "--threads", "1", "--batch-tokens", "200", "--quiet",
        "--set", "model.embedding_size=8", "--set", "model.hidden_size=8", "--set", "training.validate_every=6",
        "--set", "training.tensorboard=false", "--set", "training.validation_metric=cost",
        "--set", "training.precision=float32",
    ]  # fmt: skip
    for folder, limits in (("whole", ["12"]), ("parts", ["7", "12"])):
        for limit in limits:
            assert train.main([*small, "--model", str(tmp_path / folder), "--max-updates", limit]) == 0
    assert len(recorders) == 3
    assert recorders[0].count > 0
    left, right = (load_file(tmp_path / name / "last/weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(left[name], right[name]) for name in left)
