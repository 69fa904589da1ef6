"""What a GPU is given to do by an update, a validation and a search: traced on a device that is not there.

Nothing is computed; that the numbers are right, the other tests say on a CPU, and test_cuda.py on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nmt.config import LanguageConfig, ModelConfig, SearchConfig, TrainingConfig
from nmt.data.batching import Batch
from nmt.data.streams import Streams
from nmt.layers.cross_entropy import chunked_cross_entropy
from nmt.models.build import VocabularySizes, build_empty
from nmt.models.inference import for_search
from nmt.models.interface import SearchModel, Step, TranslationModel
from nmt.models.language_build import build_empty_language_model
from nmt.search.beam import CHECK_STEPS, beam_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.search.sampling import sample
from nmt.tasks.language.objective import LanguageObjective
from nmt.tasks.translation.objective import TranslationObjective
from nmt.training.step import Updater
from tests.pretended_cuda import CUDA, META, Pretence, Trace, pretended_cuda

ROWS, SENTENCES = 500, 6
MODELS = {
    "rnn": ModelConfig(embedding_size=8, hidden_size=12, dropout=0.0),
    "transformer": ModelConfig(
        architecture="transformer", embedding_size=8, layers=2, heads=2, feedforward_size=12, dropout=0.0
    ),
}
STEP_LAUNCHES = {("rnn", True): 18, ("rnn", False): 130, ("transformer", True): 0, ("transformer", False): 0}
"""Of an update, with kernels and without, for one step more of source and target: both encoder directions and the
decoder, forward and backward."""
OTHER_LAUNCHES = {("rnn", True): 190, ("rnn", False): 257, ("transformer", True): 443, ("transformer", False): 477}
"Of an update, whatever its length."
SEARCH_LAUNCHES = {("rnn", True): 55, ("rnn", False): 120, ("transformer", True): 134, ("transformer", False): 165}
"Of a step of beam search, with kernels and without."


def model_of(architecture: str, **settings: Any) -> TranslationModel:
    return build_empty(replace(MODELS[architecture], **settings), VocabularySizes(ROWS, ROWS, ROWS), META)


def batch_of(length: int) -> Batch:
    """Sentences of several lengths, the longest as said, on the processor."""
    lengths = torch.tensor([length, *[length - 1] * (SENTENCES - 1)])
    ids = torch.full((SENTENCES, length), 3)
    return Batch.of(ids, lengths, ids, lengths, tuple(range(SENTENCES)))


def update(architecture: str, length: int, *, kernels: bool = True, **settings: Any) -> tuple[Trace, Pretence]:
    """The trace of a second update, after one in which states were made."""
    trace = Trace()
    model = model_of(architecture, dropout=settings.pop("dropout", 0.0))
    with pretended_cuda(kernels=kernels) as pretence:
        config = TrainingConfig(**settings)
        updater = Updater(model, config, TranslationObjective(config))
        batch = batch_of(length).to(CUDA)
        updater.begin([batch], 1)
        pretence.single_writes = 0
        with trace:
            updater.begin([batch, batch][: settings.get("update_every", 1)], 2)
    return trace, pretence


RECIPES = {
    "adam": {"precision": "bf16", "optimizer": "adam", "ema": 0.999, "label_smoothing": 0.1, "dropout": 0.2},
    "adadelta": {"precision": "float32", "optimizer": "adadelta", "clip_norm": 1.0, "ema": 0.0},
    "parts": {"precision": "bf16", "part_tokens": 12, "update_every": 2, "normalization": "sentences"},
}


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES)
def test_an_update_asks_the_device_for_nothing(architecture: str, settings: dict[str, Any]) -> None:
    trace, pretence = update(architecture, 4, **settings)
    assert trace.waits == {}
    assert pretence.single_writes == 0
    assert trace.launches["mm"] + trace.launches["addmm"] > 0


class TracingRecorder:
    """In the place of CUDA graphs: what is recorded is traced, and nothing is played."""

    def __init__(self) -> None:
        self.trace = Trace()

    def record(self, function: Callable[[], None]) -> Callable[[], object]:
        with self.trace:
            function()
        return lambda: None


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("settings", [RECIPES["adam"], RECIPES["adadelta"]], ids=["adam", "adadelta"])
def test_what_is_recorded_of_an_update_needs_nothing_of_the_host(architecture: str, settings: dict[str, Any]) -> None:
    wanted = {key: value for key, value in settings.items() if key != "dropout"}
    model, recorder = model_of(architecture, dropout=settings.get("dropout", 0.0)), TracingRecorder()
    with pretended_cuda() as pretence:
        config = TrainingConfig(**wanted)
        updater = Updater(model, config, TranslationObjective(config))
        updater.record(recorder, lambda _: None)
        batch = updater.objective.filled(batch_of(5)).to(CUDA)
        with Trace():  # which knows what fused Adam does on meta
            for number in range(1, 4):
                pretence.single_writes = 0
                updater.begin([batch], number)
    trace = recorder.trace
    assert trace.launches.total() > 100
    assert trace.waits == {}
    assert trace.sent == {}
    assert pretence.single_writes == 0


@pytest.mark.parametrize("architecture", ["lstm", "rhn"])
def test_an_update_of_a_language_model_asks_for_nothing(architecture: str) -> None:
    config = LanguageConfig(architecture=architecture, embedding_size=8, dropout=0.2, weight_decay=1e-7)
    model, trace = build_empty_language_model(config, ROWS, META), Trace()
    streams = Streams(np.arange(3, 203), 4, 6)
    with pretended_cuda() as pretence:
        updater = Updater(model, TrainingConfig(precision="bf16"), LanguageObjective(4, config.weight_decay))
        first, second = (streams.batch(number).to(CUDA) for number in range(2))
        updater.begin([first], 1)
        pretence.single_writes = 0
        with trace:
            updater.begin([second], 2)
    assert trace.waits == {}
    assert pretence.single_writes == 0


@pytest.mark.parametrize(("architecture", "kernels"), STEP_LAUNCHES)
def test_an_update_has_no_more_launches_than_budgeted(architecture: str, kernels: bool) -> None:
    traces = [update(architecture, length, kernels=kernels, precision="bf16", ema=0.0)[0] for length in (4, 6)]
    counts = [trace.launches.total() for trace in traces]
    of_a_step = (counts[1] - counts[0]) / 2
    assert of_a_step <= STEP_LAUNCHES[architecture, kernels]
    assert counts[0] - 4 * of_a_step <= OTHER_LAUNCHES[architecture, kernels]
    if kernels:
        assert traces[0].views == traces[1].views


@pytest.mark.parametrize("architecture", MODELS)
def test_a_validation_computes_where_the_model_lies(architecture: str) -> None:
    model, trace = model_of(architecture).eval(), Trace()
    matrices = model.embeddings
    with pretended_cuda() as pretence, model.in_float32(), torch.inference_mode():
        batch = batch_of(5).to(CUDA)
        with trace:
            readout, labels = model.readout(batch), batch.target_labels()
            chunked_cross_entropy(readout, matrices.output, matrices.output_bias, labels, 0.0)
    assert trace.waits == {}
    assert pretence.single_writes == 0


class Enough(Exception):
    """Ends a search between two steps."""


def told(tensor: Tensor) -> Tensor:
    """What the host reads: no score, a place for a hypothesis, nothing that has ended."""
    return torch.zeros(tensor.shape) if tensor.is_floating_point() else torch.full(tensor.shape, 4).neg_()


def traced_steps(
    architecture: str,
    searched: Callable[[SearchModel, list[np.ndarray]], object],
    steps: int = 9,
    *,
    kernels: bool = True,
) -> tuple[Trace, Pretence]:
    """The trace of the steps of a search after its first."""
    model, trace, made = model_of(architecture).eval(), Trace(), 0
    with pretended_cuda(told, kernels=kernels) as pretence:
        with Trace():
            copy = for_search(model, "bf16")
        plain = copy.step

        def step(*arguments: Any) -> Step:
            nonlocal made
            made += 1
            if made == 2:
                trace.__enter__()
                pretence.readings = pretence.single_writes = 0
            if made == steps + 2:
                trace.__exit__(None, None, None)
                raise Enough
            return plain(*arguments)

        copy.step = step  # type: ignore[method-assign]
        with pytest.raises(Enough):
            searched(copy, [np.arange(3, 30) for _ in range(SENTENCES)])
    return trace, pretence


def beam(config: SearchConfig, wanted: Wanted) -> Callable[[SearchModel, list[np.ndarray]], list[list[Hypothesis]]]:
    return lambda model, sources: beam_search(model, sources, config, wanted)


WANTED = {
    "plain": ({}, {}),
    "rules": (
        {"no_repeat_ngram": 2, "repetition_penalty": 1.1, "coverage_penalty": 0.2, "min_length": 9},
        {"source_only": range(7, 9), "prefixes": [[5, 6]] * SENTENCES, "attention": True},
    ),
    "shortlist": (
        {"no_repeat_ngram": 2},
        {"shortlist": lambda _: np.arange(2, 40), "counted": (7, 8), "quotas": [{7: 1}] * SENTENCES},
    ),
}


@pytest.mark.parametrize(("architecture", "kernels"), SEARCH_LAUNCHES)
@pytest.mark.parametrize("kind", WANTED)
def test_a_step_of_beam_search_asks_for_nothing_but_who_is_done(architecture: str, kernels: bool, kind: str) -> None:
    settings, more = WANTED[kind]
    search = beam(SearchConfig(beam=4, **settings), Wanted(**more))  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:  # every hypothesis lives, whatever is read
        patch.setattr("nmt.search.beam._ask", lambda _: ([], [0], 4))
        trace, pretence = traced_steps(architecture, search, kernels=kernels)
    assert trace.waits == {}
    assert pretence.single_writes == 0
    assert pretence.readings <= -(-9 // CHECK_STEPS["cuda"])
    if kind == "plain":
        assert trace.launches.total() / 9 <= SEARCH_LAUNCHES[architecture, kernels]


@pytest.mark.parametrize("settings", [{}, {"top_k": 3}, {"top_p": 0.9}], ids=["all", "top-k", "top-p"])
def test_a_step_of_sampling_asks_for_nothing_but_who_is_done(settings: dict[str, Any]) -> None:
    config = SearchConfig(sampling=True, **settings)
    wanted = Wanted(prefixes=[[5]] * SENTENCES, counted=(7, 8), quotas=[{7: 1}] * SENTENCES)
    trace, pretence = traced_steps("rnn", lambda model, sources: sample(model, sources, config, wanted))
    assert trace.waits == {}
    assert pretence.single_writes == 0
    assert pretence.readings <= -(-9 // CHECK_STEPS["cuda"])
    assert trace.launches["cumsum"] > 0  # of whole numbers: nmt.search.sampling.running_sums
