"""The kernels of a step of search, run by Triton's interpreter, against what stands beside them."""

from __future__ import annotations

import importlib
import os

import numpy as np
import pytest
import torch
from torch import Tensor

from nmt.config import ModelConfig, SearchConfig
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import START, SearchModel
from nmt.models.rnn.model import RNNModel
from nmt.search.arrivals import padded_sources
from nmt.search.beam import beam_search
from nmt.search.frontier import Ended
from nmt.search.request import Wanted
from nmt.search.topk import top_continuations

pytest.importorskip("triton", reason="Triton is not installed (it has wheels for Linux alone)")
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip(
        "kernels are not interpreted where there is a GPU: test_cuda.py has it run them", allow_module_level=True
    )

ROWS = 70


def model_of() -> RNNModel:
    torch.manual_seed(1)
    model = build_model(ModelConfig(embedding_size=5, hidden_size=6, dropout=0.0), VocabularySizes(ROWS, ROWS, ROWS))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.7)
    assert isinstance(model, RNNModel)
    return model.eval()


def with_kernels(patch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        patch.setattr(f"{module}.uses_kernels", lambda *_: True)


@pytest.mark.parametrize(("rows", "count"), [(200, 2), (ROWS, 1), (129, 3)])
def test_the_best_continuations_are_those_of_torch(rows: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(rows)
    scores, log_probs = torch.randn(2, 3), torch.randn(2, 3, rows + 2)[:, :, :rows]
    expected = (scores[:, :, None] + log_probs).flatten(1).topk(count)
    with_kernels(monkeypatch, "nmt.search.topk")
    values, parents, columns = top_continuations(scores, log_probs, count)
    assert torch.equal(values, expected.values)
    assert torch.equal(parents * rows + columns, expected.indices)


def test_what_is_no_number_is_found_and_what_is_no_hypothesis_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with_kernels(monkeypatch, "nmt.search.topk")
    log_probs = torch.full((1, 2, 150), -torch.inf)
    log_probs[0, 1, 149] = -3.0
    values, parents, columns = top_continuations(torch.tensor([[0.0, -1.0]]), log_probs, 2)
    assert values.tolist() == [[-4.0, -torch.inf]]
    assert (parents[0, 0], columns[0, 0]) == (1, 149)
    log_probs[0, 0, 3] = torch.nan
    assert top_continuations(torch.zeros(1, 2), log_probs, 2)[0].isnan()[0, 0]


def test_ended_hypotheses_are_merged_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)

    def ended(size: int) -> Ended:
        scores = torch.randn(3, size).sort(1, descending=True).values
        scores[1, 1:] = -torch.inf
        steps = torch.arange(3)[:, None].expand(3, size)
        return Ended(scores, torch.randn(3, size), torch.rand(3, size), steps, torch.randint(9, (3, size)))

    old, new = ended(4), ended(3)
    old = Ended(old.scores, old.log_probs, old.coverage, old.steps.contiguous(), old.parents)
    expected = old.merged(new)
    with_kernels(monkeypatch, "nmt.search.frontier")
    found = old.merged(new)
    there = expected.scores != -torch.inf
    for name in ("scores", "log_probs", "coverage", "steps", "parents"):
        assert torch.equal(getattr(found, name)[there], getattr(expected, name)[there]), name
    assert torch.equal(found.scores, expected.scores)


def walked(model: SearchModel, *, chosen: bool = False) -> list[Tensor]:
    """Log-probabilities and attention of three steps of two sentences with two hypotheses each."""
    source, lengths = padded_sources([np.array([4, 5, 6, 7]), np.array([8])], torch.device("cpu"))
    memory = model.encode(source, lengths)
    state = model.initial_state(memory).select(None, torch.zeros(2, 2, dtype=torch.int64))
    output = model.output(torch.tensor([2, 5, 9])) if chosen else model.output()
    previous, found = torch.full((2, 2), START), []
    for number in range(3):
        step = model.step(memory, state, previous, output)
        found += [step.log_probs, step.attention]
        state, previous = step.state, torch.tensor([[3, 4], [5, 6 + number]])
    return found


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bf16", 5e-2)])
@pytest.mark.parametrize("chosen", [False, True])
def test_the_copy_steps_as_the_model_does(
    precision: str, tolerance: float, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nmt.models.rnn.kernel_search import KernelRNN

    model = model_of()
    with torch.no_grad():
        expected = walked(model, chosen=chosen)
        with_kernels(monkeypatch, "nmt.models.rnn.model")
        found = walked(KernelRNN(model, precision), chosen=chosen)
    for mine, right in zip(found, expected, strict=True):
        there = right > -torch.inf
        assert torch.equal(mine > -torch.inf, there)
        torch.testing.assert_close(mine[there], right[there], rtol=tolerance, atol=tolerance)


def test_beam_search_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, config = model_of(), SearchConfig(beam=2, max_length=4)
    sources, wanted = [np.array([4, 5, 6]), np.array([7])], Wanted(num_best=2)
    expected = beam_search(model, sources, config, wanted)
    with_kernels(
        monkeypatch, *("nmt.models.rnn.model", "nmt.models.rnn.search", "nmt.search.topk", "nmt.search.frontier")
    )
    copy = importlib.import_module("nmt.models.inference").for_search(model)
    assert type(copy).__name__ == "KernelRNN"
    for mine, right in zip(beam_search(copy, sources, config, wanted), expected, strict=True):
        assert [each.pieces for each in mine] == [each.pieces for each in right]
        assert [each.score for each in mine] == pytest.approx([each.score for each in right], rel=1e-4)
