"""Beam search against exhaustive search, forced scoring and itself one sentence at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.data.batching import Batch
from nmt.layers.tying import TiedEmbeddings
from nmt.models.interface import START, Step, TranslationModel
from nmt.models.rows import joined_rows, places
from nmt.search import arrivals, beam
from nmt.search.arrivals import max_pieces, plan_batches
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis, ranked
from nmt.search.request import Wanted
from nmt.search.topk import top_continuations
from nmt.tying import Tying

pytestmark = pytest.mark.numeric
EOS = 2
SIZE = 8


@dataclass
class ToyMemory:
    """context: [B, S, E]."""

    context: Tensor
    mask: Tensor

    def select(self, sentences: Tensor) -> ToyMemory:
        return ToyMemory(self.context[sentences], self.mask[sentences])

    def narrow(self, size: int) -> ToyMemory:
        return ToyMemory(self.context[:, :size], self.mask[:, :size])

    def join(self, other: ToyMemory) -> ToyMemory:
        return ToyMemory(joined_rows(self.context, other.context), joined_rows(self.mask, other.mask))


@dataclass
class ToyState:
    """hidden: [B, K, E]."""

    hidden: Tensor

    def select(self, sentences: Tensor | None, hypotheses: Tensor) -> ToyState:
        return ToyState(self.hidden[places(sentences, hypotheses)])

    def join(self, other: ToyState) -> ToyState:
        return ToyState(torch.cat([self.hidden, other.hidden]))


class ToyModel(TranslationModel):
    """The smallest model that reads its source: random weights, one vocabulary of `rows`. Counts what it computes."""

    def __init__(self, rows: int, seed: int, spread: float = 1.0) -> None:
        super().__init__(TiedEmbeddings(Tying.THREE_WAY, rows, rows, SIZE))
        generator = torch.Generator().manual_seed(seed)
        self.recurrent = torch.nn.Parameter(torch.empty(SIZE, SIZE))
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter, std=spread, generator=generator)
        self.asked: list[tuple[int, int]] = []
        self.eval()

    def readout(self, batch: Batch) -> Tensor:
        raise AssertionError("search does not train")

    def encode(self, source: Tensor, source_lengths: Tensor) -> ToyMemory:
        mask = torch.arange(source.size(1)) < source_lengths[:, None]
        return ToyMemory(self.embeddings.source(source), mask)

    def initial_state(self, memory: ToyMemory) -> ToyState:
        weights = memory.mask / memory.mask.sum(1, keepdim=True)
        return ToyState((weights[:, None] @ memory.context).tanh())

    def output(self, targets: Tensor | None = None) -> Tensor:
        return torch.arange(self.num_targets) if targets is None else targets

    def step(self, memory: ToyMemory, state: ToyState, previous: Tensor, output: Tensor) -> Step:
        known = self.embeddings.target(previous.clamp(min=0)) * (previous != START)[..., None]
        hidden = state.hidden @ self.recurrent + known
        energies = (hidden @ memory.context.mT).masked_fill(~memory.mask[:, None], -torch.inf)
        attention = energies.softmax(2)
        hidden = (hidden + attention @ memory.context).tanh()
        scores = self.embeddings.scores(hidden)[..., output]
        scores[..., output == 0] = -torch.inf
        self.asked.append(tuple(scores.shape[:2]))
        return Step(scores.log_softmax(2), ToyState(hidden), attention)


def config(**values: float) -> SearchConfig:
    return SearchConfig(**{"beam": 4, "length_penalty": 0.6, "max_length_ratio": 1.5, "allow_unknown": True, **values})  # type: ignore[arg-type]


def sources(seed: int, rows: int, lengths: Sequence[int]) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(3, rows, length) for length in lengths]


@torch.inference_mode()
def continued(model: ToyModel, source: np.ndarray, pieces: Sequence[int]) -> list[float]:
    """Log-probability of the pieces and each row after them, step by step, one hypothesis at a time."""
    ids = torch.tensor([[*source.tolist(), EOS]])
    memory = model.encode(ids, torch.tensor([ids.size(1)]))
    step, total = model.step(memory, model.initial_state(memory), torch.tensor([[START]]), model.output()), 0.0
    for piece in pieces:
        total += step.log_probs[0, 0, piece].item()
        step = model.step(memory, step.state, torch.tensor([[piece]]), model.output())
    return [total + value for value in step.log_probs[0, 0].tolist()]


def forced(model: ToyModel, source: np.ndarray, pieces: Sequence[int], *, finished: bool = True) -> float:
    """Log-probability of the pieces (and </s>), of which there is at least one."""
    *before, last = [*pieces, *([EOS] if finished else [])]
    return continued(model, source, before)[last]


@torch.inference_mode()
def exhaustive(model: ToyModel, source: np.ndarray, limit: int, penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """Every sequence of up to `limit` pieces with its score, best first. All of one length are one step."""
    ids = torch.tensor([[*source.tolist(), EOS]])
    memory = model.encode(ids, torch.tensor([ids.size(1)]))
    allowed = [piece for piece in range(model.num_targets) if piece not in (0, EOS)]
    state, level = model.initial_state(memory), [(0.0, ())]
    found: list[tuple[float, tuple[int, ...]]] = []
    for length in range(limit + 1):
        previous = torch.tensor([[pieces[-1] if pieces else START for _, pieces in level]])
        step = model.step(memory, state, previous, model.output())
        after = [(*one, row) for one, row in zip(level, step.log_probs[0].tolist(), strict=True)]
        found += [((total + row[EOS]) / (length + 1) ** penalty, pieces) for total, pieces, row in after]
        level = [(total + row[piece], (*pieces, piece)) for total, pieces, row in after for piece in allowed]
        parents = torch.arange(len(after)).repeat_interleave(len(allowed))
        state = step.state.select(torch.tensor([0]), parents[None])
    return sorted(found, reverse=True)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_wide_beam_equals_exhaustive_search(seed: int, penalty: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "SPARE_PIECES", 2)
    model = ToyModel(6, seed)
    batch = sources(seed, 6, [2, 1, 2])
    settings = config(beam=6000, length_penalty=penalty)
    for source, found in zip(batch, beam_search(model, batch, settings, Wanted(num_best=5)), strict=True):
        expected = exhaustive(model, source, max_pieces(len(source), settings), penalty)[:5]
        assert [hypothesis.pieces for hypothesis in found] == [pieces for _, pieces in expected]
        assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in expected], abs=1e-5)
        assert all(hypothesis.finished for hypothesis in found)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_log_probabilities_are_those_of_forced_scoring(width: int) -> None:
    model = ToyModel(150, 3)
    batch = sources(3, 150, [5, 1, 9, 4, 4])
    settings = config(beam=width)
    for source, found in zip(batch, beam_search(model, batch, settings, Wanted(num_best=width)), strict=True):
        assert found
        for hypothesis in found:
            log_prob = forced(model, source, hypothesis.pieces, finished=hypothesis.finished)
            length = len(hypothesis.pieces) + hypothesis.finished
            assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-4)
            assert hypothesis.score == pytest.approx(log_prob / length**settings.length_penalty, abs=1e-4)
            assert not {0, EOS} & set(hypothesis.pieces)


def plain_beam(model: ToyModel, source: np.ndarray, settings: SearchConfig) -> list[tuple[float, tuple[int, ...]]]:
    """The search of one sentence as the module describes it, in lists: what ended, with its scores, best first."""
    limit, rows = max_pieces(len(source), settings), range(1, model.num_targets)
    living: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended: list[tuple[float, tuple[int, ...]]] = []
    for number in range(limit + 1):
        after = [(pieces, continued(model, source, pieces)) for _, pieces in living]
        grown = [(totals[row], (*pieces, row)) for pieces, totals in after for row in rows]
        best = sorted(grown, reverse=True)[: settings.beam - len(ended)]
        ended += [
            (total / (number + 1) ** settings.length_penalty, each[:-1]) for total, each in best if each[-1] == EOS
        ]
        living = [(total, each) for total, each in best if each[-1] != EOS] if number < limit else []
        bound = max((total for total, _ in living), default=-math.inf) / (limit + 1) ** settings.length_penalty
        if bound <= max((score for score, _ in ended), default=-math.inf):
            break
    return sorted(ended, reverse=True)


@pytest.mark.parametrize("width", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_a_narrow_beam_keeps_what_the_description_says(seed: int, width: int) -> None:
    model, settings = ToyModel(9, seed), config(beam=width, max_length_ratio=0.5)
    batch = sources(seed, 9, [3, 1, 4])
    for source, [found] in zip(batch, beam_search(model, batch, settings), strict=True):
        expected = plain_beam(model, source, settings)
        if expected:
            assert (found.pieces, found.finished) == (expected[0][1], True)
            assert found.score == pytest.approx(expected[0][0], abs=1e-5)
        else:
            assert not found.finished


def test_greedy_takes_the_likeliest_piece_until_the_end() -> None:
    model = ToyModel(40, 5)
    for source in sources(5, 40, [3, 6, 2, 8]):
        [[found]] = beam_search(model, [source], config(beam=1))
        pieces: list[int] = []
        for piece in [*found.pieces, EOS][: max_pieces(len(source), config())]:
            assert int(np.argmax(continued(model, source, pieces))) == piece
            pieces.append(piece)


@pytest.mark.parametrize("batch_tokens", [1, 20, 64, 4096])
def test_a_batch_gives_what_each_sentence_gives_alone_in_order(batch_tokens: int) -> None:
    model = ToyModel(150, 1)
    batch = sources(1, 150, [7, 3, 0, 12, 1, 3, 3, 9, 20, 2, 0, 5, 6, 4])
    together = beam_search(model, batch, config(batch_tokens=batch_tokens), Wanted(num_best=3))
    alone = [beam_search(model, [source], config(), Wanted(num_best=3))[0] for source in batch]
    assert [[h.pieces for h in found] for found in together] == [[h.pieces for h in found] for found in alone]
    for found, expected in zip(together, alone, strict=True):
        assert [h.log_prob for h in found] == pytest.approx([h.log_prob for h in expected], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "value"), [("LEAVE_SHARE", 1), ("CHECK_STEPS", {"cpu": 4}), ("MAX_SCORES", {"cpu": 1})]
)
def test_who_shares_a_batch_and_for_how_long_changes_nothing(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = ToyModel(150, 1), sources(1, 150, [7, 3, 12, 1, 3, 9, 20, 2])
    usual = beam_search(model, batch, config(), Wanted(num_best=2))
    monkeypatch.setattr(beam, name, value)
    other = beam_search(model, batch, config(), Wanted(num_best=2))
    assert [[h.pieces for h in found] for found in other] == [[h.pieces for h in found] for found in usual]


def test_finished_sentences_leave_the_batch() -> None:
    model = ToyModel(150, 1)
    finished: list[int] = []
    beam_search(model, sources(1, 150, [7, 3, 12, 1, 3, 9, 20, 2]), config(), Wanted(progress=finished.append))
    rows = [sentences for sentences, _ in model.asked]
    assert rows[0] == 8
    assert rows[-1] < 8
    assert rows == sorted(rows, reverse=True)
    assert sum(finished) == 8
    assert len(finished) > 1


def test_empty_sources_never_reach_the_model() -> None:
    model = ToyModel(20, 0)
    empty = Hypothesis(pieces=(), log_prob=0.0, score=0.0)
    assert beam_search(model, [np.array([], dtype=np.int64)] * 2, config()) == [[empty], [empty]]
    assert beam_search(model, [], config()) == []
    assert model.asked == []


def never_ending(rows: int) -> ToyModel:
    model = ToyModel(rows, 2)
    with torch.no_grad():
        model.embeddings.output_bias[EOS] = -1e4
    return model


def test_what_never_ends_is_cut_at_the_limit() -> None:
    batch = sources(2, 30, [4, 1])
    settings = config(beam=3, max_length_ratio=2.0)
    for source, found in zip(batch, beam_search(never_ending(30), batch, settings, Wanted(num_best=3)), strict=True):
        limit = math.ceil(2.0 * len(source)) + 10
        assert [len(h.pieces) for h in found] == [limit] * 3
        assert not any(h.finished for h in found)
        log_prob = forced(never_ending(30), source, found[0].pieces, finished=False)
        assert found[0].log_prob == pytest.approx(log_prob, abs=1e-3)


def test_attention_has_one_row_for_each_piece_that_sums_to_one() -> None:
    model = ToyModel(50, 4)
    batch = sources(4, 50, [6, 2])
    for source, [found] in zip(batch, beam_search(model, batch, config(), Wanted(attention=True)), strict=True):
        assert found.attention is not None
        assert found.attention.shape == (len(found.pieces), len(source) + 1)
        assert torch.allclose(found.attention[:, : len(source) + 1].sum(1), torch.ones(len(found.pieces)))
        alone = beam_search(model, [source], config(), Wanted(attention=True))[0][0].attention
        assert alone is not None
        assert torch.allclose(alone, found.attention[:, : len(source) + 1], atol=1e-5)


def test_more_translations_than_the_beam_holds_is_an_error() -> None:
    with pytest.raises(UserError, match=r"search\.beam: 5 translations of each sentence asked of a beam of 4"):
        beam_search(ToyModel(20, 0), sources(0, 20, [3]), config(), Wanted(num_best=5))


@pytest.mark.parametrize("setting", ["length_penalty", "max_length_ratio"])
@pytest.mark.parametrize("value", [1e9, math.inf])
def test_settings_beyond_what_can_be_computed_are_errors(setting: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{setting}: .* is out of range: it must be at most 10"):
        beam_search(ToyModel(20, 0), sources(0, 20, [3]), config(**{setting: value}))


def test_probabilities_that_are_not_numbers_are_an_error() -> None:
    model = ToyModel(20, 0)
    with torch.no_grad():
        model.recurrent.fill_(math.nan)
    with pytest.raises(UserError, match="NaN"):
        beam_search(model, sources(0, 20, [3]), config())


@pytest.mark.parametrize("rows", [3, 50, 64, 65, 200, 1000])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_top_continuations_are_those_of_a_full_sort(rows: int, count: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    scores = torch.randn(4, 3, generator=generator)
    scores[1, 2] = -90.0
    log_probs = torch.randn(4, 3, rows, generator=generator).log_softmax(2)
    values, hypotheses, pieces = top_continuations(scores, log_probs, count)
    table = (scores[:, :, None] + log_probs).numpy()
    for row in range(4):
        order = np.argsort(-table[row], axis=None, kind="stable")[:count]
        assert [tuple(pair) for pair in zip(hypotheses[row].tolist(), pieces[row].tolist(), strict=True)] == [
            divmod(int(index), rows) for index in order
        ]
        assert values[row].tolist() == table[row].reshape(-1)[order].tolist()
    wider = torch.nn.functional.pad(log_probs, (0, 24), value=5.0)[:, :, :rows]  # columns between the rows
    for found, expected in zip(top_continuations(scores, wider, count), (values, hypotheses, pieces), strict=True):
        assert torch.equal(found, expected)


def test_batches_hold_every_sentence_once_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(0, 40, 200).tolist()
    batches = list(plan_batches(lengths, 100, 8))
    assert sorted(index for batch in batches for index in batch) == [i for i, n in enumerate(lengths) if n]
    for batch in batches:
        assert len(batch) <= 8
        assert len(batch) == 1 or len(batch) * (max(lengths[index] for index in batch) + 1) <= 100


def test_ranking_puts_finished_first_and_drops_repeated_pieces() -> None:
    cut = Hypothesis(pieces=(5,), log_prob=-1.0, score=-0.1, finished=False)
    low, high = Hypothesis(pieces=(5,), log_prob=-3.0, score=-3.0), Hypothesis(pieces=(6,), log_prob=-1.0, score=-1.0)
    assert ranked([low, cut, high], 3) == [high, low]
