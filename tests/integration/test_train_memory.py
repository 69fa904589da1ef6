"""Too little memory is found before the first update, wherever it shows, and looking for it changes no number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import nmt.tasks.translation.validation
from bpe.errors import UserError
from nmt.cli import train
from nmt.config import Config, ModelConfig, PathsConfig, TrainingConfig
from nmt.tasks.translation.task import TranslationTask
from nmt.tasks.translation.validation import TranslationValidator, together
from nmt.training.loop import Trainer
from nmt.training.optimizers import Adam, optimizer_tensors
from nmt.training.reporting import Reporter
from nmt.training.step import Updater
from tests.integration.test_train_command import arguments, assert_same_run, refused
from tests.tiny_corpus import make_prepared


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"), pairs=200)


def trainer_of(prepared: Path, folder: Path, **settings: Any) -> Trainer:
    config = Config(
        paths=PathsConfig(prepared=str(prepared), model=str(folder)),
        model=ModelConfig(embedding_size=8, hidden_size=10, dropout=0.2),
        training=TrainingConfig(precision="float32", batch_tokens=120, max_updates=1, **settings),
    )
    task = TranslationTask(config)
    return Trainer(task.build(), task, Reporter.silent())


REFUSALS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory"),
]


def fail(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int = 1, error: BaseException = REFUSALS[2]
) -> None:
    """Memory is refused at one call, from 1, of owner.name."""
    plain: Callable[..., Any] = getattr(owner, name)
    calls: list[int] = []

    def failing(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise error
        return plain(*given, **named)

    monkeypatch.setattr(owner, name, failing)


PLACES: list[tuple[str, object, str, int, str]] = [
    ("states", Adam, "step", 1, "training.optimizer: the states of adam do not fit in memory beside"),
    ("batch", Updater, "loss", 1, "training.batch_tokens: the largest batch does not fit in memory ("),
    ("second batch", Updater, "loss", 2, "training.batch_tokens: the largest batch does not fit in memory ("),
    ("step", Adam, "step", 2, "training.batch_tokens: the largest batch does not fit in memory ("),
    ("average", Updater, "_swap", 1, "training.ema: the moving average and the weights do not fit in memory together;"),
    (
        "references",
        nmt.tasks.translation.validation,
        "chunked_cross_entropy",
        1,
        "validation: the largest batch of the validation does not fit in memory (",
    ),
    *(
        (
            name,
            nmt.tasks.translation.validation,
            called,
            call,
            "training.validation_beam: the validation's search does not fit in memory (beam 2); lower it, or choose",
        )
        for name, called, call in (("copy", "searchable", 1), ("short", "beam_search", 1), ("long", "beam_search", 2))
    ),
]


@pytest.mark.parametrize(("owner", "name", "call", "expected"), [p[1:] for p in PLACES], ids=[p[0] for p in PLACES])
def test_memory_that_is_refused_is_one_line_and_no_harm(
    owner: object, name: str, call: int, expected: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(prepared, tmp_path / "model", update_every=2)
    before = numbers(trainer)
    fail(monkeypatch, owner, name, call)
    with pytest.raises(UserError) as raised:
        trainer.run()
    assert str(raised.value).startswith(expected)
    assert "\n" not in str(raised.value)
    assert numbers(trainer) == before
    assert not (tmp_path / "model").exists()


def numbers(trainer: Trainer) -> dict[str, bytes]:
    """Of the weights, the average and the optimizer's states but zeros, which are those of no update."""
    updater = trainer.updater
    assert all(parameter.grad is None for parameter in updater.parameters.values())
    states = optimizer_tensors(updater.optimizer, list(updater.parameters))
    named = {**{f"average.{name}": value for name, value in updater.average.items()}, **updater.parameters}
    named |= {name: state for name, state in states.items() if bool(state.any())}
    return {name: tensor.detach().numpy().tobytes() for name, tensor in named.items()}


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error)[:20])
def test_a_refusal_is_known_by_what_it_says(
    error: BaseException,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail(monkeypatch, nmt.tasks.translation.validation, "beam_search", error=error)
    line = refused(arguments(prepared, tmp_path / "model"), capsys)
    assert line.startswith("training.validation_beam: ")
    assert not (tmp_path / "model/last").exists()


def test_another_error_is_no_refusal(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, Updater, "loss", error=RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        trainer_of(prepared, tmp_path / "model")._try_memory()


@pytest.mark.parametrize(("every", "expected"), [(1, [False]), (2, [False, True]), (7, [False, True])])
def test_the_largest_batch_is_tried_beside_states_and_gradients(
    every: int, expected: list[bool], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(prepared, tmp_path / "model", update_every=every)
    updater, plain = trainer.updater, Updater.loss
    gradients: list[bool] = []

    def loss(self: Updater, batch: Any, carried: Any) -> Any:
        assert all(len(updater.optimizer.state[parameter]) == 3 for parameter in updater.parameters.values())
        gradients.append(any(parameter.grad is not None for parameter in updater.parameters.values()))
        return plain(self, batch, carried)

    monkeypatch.setattr(Updater, "loss", loss)
    trainer._try_memory()
    assert gradients == expected


def test_parts_are_tried_as_parts(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain = Updater.loss

    def loss(self: Updater, part: Any, carried: Any) -> Any:
        sizes.append(part.num_target_tokens)
        return plain(self, part, carried)

    monkeypatch.setattr(Updater, "loss", loss)
    trainer_of(prepared, tmp_path / "model", part_tokens=40)._try_memory()
    assert len(sizes) > 2
    assert max(sizes) < 60


@pytest.mark.parametrize("tokens", [1, 40, 10**6])
def test_as_many_are_searched_as_a_real_search_takes_at_once(
    tokens: int, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validator = trainer_of(prepared, tmp_path / "model").validator
    assert validator is not None
    for sources in (sorted(validator._sources(), key=len), sorted(validator._sources(), key=len, reverse=True)):
        some = together(sources, tokens)
        padded = [(n + 1) * max(len(source) + 1 for source in sources[: n + 1]) for n in range(len(sources))]
        assert len(some) == max(1, sum(size <= tokens for size in padded))


@pytest.mark.parametrize("optimizer", ["adam", "adadelta"])
def test_looking_for_memory_changes_no_bit_of_a_run(
    optimizer: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that never looks, in one go, and one that does, and again when it is continued."""
    settings = ["--quiet", "--set", f"training.optimizer={optimizer}", "--set", "training.validate_every=4"]
    for parts in ([8], [4, 8]):
        if len(parts) == 1:
            monkeypatch.setattr(Updater, "try_largest", lambda *_: None)
            monkeypatch.setattr(TranslationValidator, "try_largest", lambda *_: None)
        for limit in parts:
            wanted = arguments(prepared, tmp_path / str(len(parts)), *settings, "--max-updates", str(limit))
            assert train.main(wanted) == 0
        monkeypatch.undo()
    assert_same_run(tmp_path / "1", tmp_path / "2")
