"""Sampling against the exact distribution, greedy search, forced scoring and itself in other batches."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.folder.bundle import load_bundle
from nmt.models.interface import Step
from nmt.search import sampling
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.search.sampling import likeliest, nucleus, pick, sample, whole_sums
from nmt.translate.scorer import Scorer
from tests.tiny_model import make_model_folder

pytestmark = pytest.mark.numeric
PAD, EOS, ROWS = 0, 2, 7


@dataclass
class ChainMemory:
    """first: [B], the first source id."""

    first: Tensor
    mask: Tensor

    def select(self, sentences: Tensor) -> ChainMemory:
        return ChainMemory(self.first[sentences], self.mask[sentences])

    def narrow(self, size: int) -> ChainMemory:
        return ChainMemory(self.first, self.mask[:, :size])


class ChainState:
    """Nothing: a chain knows its last piece alone."""

    def select(self, sentences: Tensor | None, hypotheses: Tensor) -> ChainState:
        return self


class Chain:
    """A Markov chain: the next piece follows from the first source piece and the last target piece."""

    device, num_targets, training = torch.device("cpu"), ROWS, False

    def __init__(self, seed: int = 1) -> None:
        scores = torch.randn(ROWS, ROWS + 1, ROWS, generator=torch.Generator().manual_seed(seed))
        scores[..., PAD] = -torch.inf
        self.scores = scores
        self.rows: list[int] = []

    def encode(self, source: Tensor, source_lengths: Tensor) -> ChainMemory:
        return ChainMemory(source[:, 0], torch.arange(source.size(1)) < source_lengths[:, None])

    def initial_state(self, memory: ChainMemory) -> ChainState:
        return ChainState()

    def output(self, targets: Tensor | None = None) -> Tensor:
        return torch.arange(ROWS) if targets is None else targets

    def step(self, memory: ChainMemory, state: Any, previous: Tensor, output: Tensor) -> Step:
        self.rows.append(len(previous))
        attention = (memory.mask / memory.mask.sum(1, keepdim=True))[:, None].expand(-1, previous.size(1), -1)
        scores = self.scores[memory.first[:, None], previous + 1][..., output]
        return Step(scores.log_softmax(2), state, attention)

    def probabilities(self, first: int, previous: int) -> list[float]:
        values: list[float] = self.scores[first, previous + 1].double().softmax(0).tolist()
        return values


def config(**values: Any) -> SearchConfig:
    return SearchConfig(**{"max_length_ratio": 1.0, "allow_unknown": True, **values})


def draws(
    model: Any, sources: Sequence[Sequence[int]], settings: SearchConfig, **wanted: Any
) -> list[list[Hypothesis]]:
    return sample(model, [np.array(source, dtype=np.int64) for source in sources], settings, Wanted(**wanted))


def truncated(probabilities: list[float], settings: SearchConfig) -> list[float]:
    """Temperature, top-k and top-p in plain Python."""
    powers = [value ** (1 / settings.temperature) for value in probabilities]
    order = sorted(range(ROWS), key=lambda row: -powers[row])[: settings.top_k or ROWS]
    total, sum_so_far, kept = sum(powers[row] for row in order), 0.0, []
    for row in order:
        if sum_so_far < settings.top_p * total:
            kept.append(row)
        sum_so_far += powers[row]
    return [powers[row] / sum(powers[k] for k in kept) if row in kept else 0.0 for row in range(ROWS)]


@pytest.mark.parametrize(
    "values",
    [{}, {"temperature": 0.5}, {"temperature": 2.0, "top_k": 4}, {"top_p": 0.8}, {"top_k": 5, "top_p": 0.9, "seed": 7}],
)
def test_frequencies_are_those_of_the_distribution(values: dict[str, Any]) -> None:
    settings, model, count = config(max_length=2, **values), Chain(), 20_000
    [found] = draws(model, [[4, 3]], settings, num_best=count)
    expected: dict[tuple[int, ...], float] = defaultdict(float)
    for pair in itertools.product(range(ROWS), repeat=2):
        chance = truncated(model.probabilities(4, -1), settings)[pair[0]]
        if pair[0] != EOS:
            chance *= truncated(model.probabilities(4, pair[0]), settings)[pair[1]]
            expected[pair[:1] if pair[1] == EOS else pair] += chance
    expected[()] = truncated(model.probabilities(4, -1), settings)[EOS]
    seen = Counter(drawn.pieces for drawn in found)
    assert seen.total() == count
    assert set(seen) <= {pieces for pieces, chance in expected.items() if chance > 0}
    likely = {pieces: count * chance for pieces, chance in expected.items() if count * chance >= 5}
    chi_square = sum((seen[pieces] - mean) ** 2 / mean for pieces, mean in likely.items())
    assert len(likely) >= 5
    assert chi_square < len(likely) + 3 * math.sqrt(2 * len(likely))


SCORES = [[0.1, 0.9, 0.9, 0.2, 0.9], [1.0, 0.5, 0.5, 0.25, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 100])
def test_top_k_keeps_exactly_k_and_the_first_of_equal_ones(count: int) -> None:
    mask = likeliest(torch.tensor(SCORES), count)
    for kept, scores in zip(mask.tolist(), SCORES, strict=True):
        order = sorted(range(5), key=lambda column: (-scores[column], column))
        assert [column for column in range(5) if kept[column]] == sorted(order[:count])


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (1e-9, [3]),
        (0.5, [3]),
        (0.51, [1, 3]),
        (0.75, [1, 3]),
        (0.76, [1, 2, 3]),
        (0.875, [1, 2, 3]),
        (0.9, [0, 1, 2, 3]),
    ],
)
def test_top_p_keeps_the_fewest_that_have_that_much(
    share: float, kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torch.tensor([[0.0625, 0.25, 0.125, 0.5, 0.0625]], dtype=torch.float64)
    for asked in (True, False):
        monkeypatch.setattr(sampling, "answers_at_once", lambda _, asked=asked: asked)
        assert nucleus(weights.log(), weights, share)[0].nonzero()[:, 0].tolist() == kept
        assert nucleus(weights.log(), 8 * weights, share)[0].nonzero()[:, 0].tolist() == kept


def test_sums_in_whole_numbers_are_those_of_exact_ones_in_any_order() -> None:
    weights = torch.rand(4, 1000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sums = whole_sums(weights)
    torch.testing.assert_close(sums / sampling.SUMMED_UNIT, weights.cumsum(1), rtol=1e-9, atol=1e-9)
    for order in (torch.arange(1000).flip(0), torch.randperm(1000, generator=torch.Generator().manual_seed(3))):
        assert torch.equal(whole_sums(weights[:, order])[:, -1], sums[:, -1])


@pytest.mark.parametrize("first", [1, 3, 1000, None])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999999])
def test_top_p_is_that_of_a_full_sort(first: int | None, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    if first is None:
        monkeypatch.setattr(sampling, "answers_at_once", lambda _: False)
    else:
        monkeypatch.setattr(sampling, "FIRST_SORTED", first)
    scores = torch.randn(20, 300, generator=torch.Generator().manual_seed(1), dtype=torch.float64).mul(20).round() / 10
    weights = scores.exp()
    for kept, own, all_weights in zip(nucleus(scores, weights, share), scores.tolist(), weights.tolist(), strict=True):
        order, expected, so_far = sorted(range(300), key=lambda column: (-own[column], column)), [], 0.0
        for column in order:
            if so_far < share * math.fsum(all_weights):
                expected.append(column)
            so_far += all_weights[column]
        assert kept.nonzero()[:, 0].tolist() == sorted(expected)


def test_a_random_number_picks_the_column_whose_interval_holds_it() -> None:
    probabilities = torch.tensor([0.0, 0.25, 0.0, 0.5, 0.25, 0.0])
    uniforms = [0.0, 0.249999, 0.250001, 0.749999, 0.750001, 1 - 2**-53]
    rows = probabilities.log().expand(len(uniforms), -1)
    picked = pick(rows, torch.tensor(uniforms, dtype=torch.float64), config())
    assert picked.tolist() == [1, 1, 3, 3, 4, 4]
    assert pick(rows, torch.ones(6), config()).tolist() == [4] * 6  # float32 may round a number up to 1


@pytest.mark.parametrize("temperature", [1e-3, 1e-300])
def test_the_colder_the_closer_to_greedy(temperature: float) -> None:
    sources = [[4, 3], [5, 6, 3, 3], [3], [6, 3, 3]]
    model: Any = Chain()
    greedy = beam_search(model, [np.array(source) for source in sources], config(beam=1))
    found = draws(Chain(), sources, config(temperature=temperature), num_best=3)
    assert [[one.pieces for one in list_] for list_ in found] == [[best.pieces] * 3 for [best] in greedy]
    assert [one.log_prob for [one, *_] in found] == pytest.approx([best.log_prob for [best] in greedy], abs=1e-5)
    assert draws(Chain(), sources, config(top_k=1)) == [list_[:1] for list_ in found]


SOURCES = [[4, 3, 5], [3], [], [5] * 9, [4, 3, 5], [6, 3], [3, 4, 5, 6], [5, 5]]


def pieces(found: list[list[Hypothesis]]) -> list[list[tuple[int, ...]]]:
    return [[drawn.pieces for drawn in list_] for list_ in found]


def test_draws_follow_from_seed_sentence_and_draw_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = pieces(draws(Chain(), SOURCES, config(), num_best=3))
    assert pieces(draws(Chain(), SOURCES, config(), num_best=3)) == usual
    assert pieces(draws(Chain(), SOURCES, config(seed=2), num_best=3)) != usual
    assert usual[0] != usual[4]  # the same source
    assert pieces(draws(Chain(), SOURCES, config(batch_tokens=1), num_best=3)) == usual
    numbers = range(len(SOURCES))
    backwards = draws(Chain(), SOURCES[::-1], config(), num_best=3, numbers=numbers[::-1])
    assert pieces(backwards)[::-1] == usual
    blocks = [draws(Chain(), SOURCES[s], config(), num_best=3, numbers=numbers[s]) for s in (slice(4), slice(4, 8))]
    assert pieces(blocks[0] + blocks[1]) == usual
    for few, more in zip(pieces(draws(Chain(), SOURCES, config(), num_best=2)), usual, strict=True):
        assert not Counter(few) - Counter(more)
    for name, value in (("MAX_SCORES", 1), ("LEAVE_SHARE", 1), ("LEAVE_SHARE", 1000)):
        monkeypatch.setattr(sampling, name, value)
        assert pieces(draws(Chain(), SOURCES, config(), num_best=3)) == usual


def test_finished_rows_leave_and_each_sentence_is_reported_once() -> None:
    model, done = Chain(), list[int]()
    draws(model, SOURCES, config(max_length_ratio=5.0), num_best=3, progress=done.append)
    assert sum(done) == len(SOURCES)
    assert model.rows[0] == 3 * (len(SOURCES) - 1)
    assert model.rows == sorted(model.rows, reverse=True)
    assert model.rows[-1] < model.rows[0] / 2


def test_lists_are_sorted_and_hold_what_was_drawn_twice_twice() -> None:
    [found] = draws(Chain(), [[4]], config(max_length=2), num_best=200)
    keys = [(not one.finished, -one.score) for one in found]
    assert keys == sorted(keys)
    assert {one.finished for one in found} == {True, False}
    assert len({one.pieces for one in found}) < len(found) == 200


def test_lengths_prefixes_and_repetitions() -> None:
    settings = config(min_length=3, max_length=5, no_repeat_ngram=2)
    prefixes = [[], [3, 4, 3, 4], [5], [6, 6, 6, 6, 6, 6, 6]]
    found = draws(Chain(), [[4, 3]] * 4, settings, num_best=100, prefixes=prefixes)
    for prefix, list_ in zip(prefixes, found, strict=True):
        for one in list_:
            assert one.pieces[: len(prefix)] == tuple(prefix)
            assert 3 <= len(one.pieces) <= max(5, len(prefix))
            pairs = list(itertools.pairwise(one.pieces))[max(0, len(prefix) - 1) :]
            assert len(set(pairs)) == len(pairs)
        assert any(one.finished for one in list_)
    assert {one.pieces for one in found[3]} == {(6,) * 7}


def forced(model: Chain, first: int, drawn: Hypothesis) -> float:
    """Log-probability of a hypothesis in plain Python."""
    steps = itertools.pairwise([-1, *drawn.pieces, *([EOS] if drawn.finished else [])])
    return sum(math.log(model.probabilities(first, before)[piece]) for before, piece in steps)


def test_log_probabilities_are_the_models_own() -> None:
    settings = config(temperature=3.0, top_k=4, top_p=0.9, min_length=1, no_repeat_ngram=2, length_penalty=0.5)
    for [first, *_], list_ in zip(SOURCES[3:], draws(Chain(), SOURCES[3:], settings, num_best=5), strict=True):
        for one in list_:
            assert one.log_prob == pytest.approx(forced(Chain(), first, one), abs=1e-4)
            assert one.score == pytest.approx(one.log_prob / (len(one.pieces) + one.finished) ** 0.5)


def test_a_shortlist_is_all_there_is_to_draw() -> None:
    def shortlist(source: np.ndarray) -> np.ndarray:
        return np.array([EOS, source[0]])

    batch, prefixes = [[4, 3], [6], [5, 5]], [[], [3, 3], []]
    together = draws(Chain(), batch, config(), num_best=20, prefixes=prefixes, shortlist=shortlist)
    assert [set(itertools.chain(*(one.pieces for one in list_))) for list_ in together] == [{4}, {3, 6}, {5}]
    for number, (source, prefix) in enumerate(zip(batch, prefixes, strict=True)):
        wanted = {"prefixes": [prefix], "shortlist": shortlist, "numbers": [number]}
        [alone] = draws(Chain(), [source], config(), num_best=20, **wanted)
        assert [one.pieces for one in alone] == [one.pieces for one in together[number]]
        assert [one.log_prob for one in alone] == pytest.approx([one.log_prob for one in together[number]], abs=1e-5)


def test_attention_and_probabilities_of_each_piece() -> None:
    for source, [drawn] in zip(SOURCES, draws(Chain(), SOURCES, config(), attention=True), strict=True):
        if source:
            assert drawn.attention is not None
            assert drawn.attention.shape == (len(drawn.pieces), len(source) + 1)
            assert torch.allclose(drawn.attention.sum(1), torch.ones(len(drawn.pieces)))
            assert drawn.log_probs is not None
            assert len(drawn.log_probs) == len(drawn.pieces) + drawn.finished
            assert sum(drawn.log_probs) == pytest.approx(drawn.log_prob)
    assert draws(Chain(), [[3]], config())[0][0].log_probs is None


def test_nothing_is_drawn_for_nothing() -> None:
    model = Chain()
    empty = Hypothesis(pieces=(), log_prob=0.0, score=0.0)
    assert draws(model, [[], []], config(), num_best=4) == [[empty], [empty]]
    assert draws(model, [], config()) == []
    assert model.rows == []


def test_probabilities_that_are_not_numbers_are_an_error() -> None:
    model = Chain()
    model.scores.fill_(math.nan)
    with pytest.raises(UserError, match="NaN"):
        draws(model, [[3]], config(top_k=2, top_p=0.5))
    with pytest.raises(UserError, match="1 or more"):
        draws(model, [[3]], config(), num_best=0)
    with pytest.raises(UserError, match="finite"):
        draws(model, [[3]], config(temperature=math.inf))


@pytest.mark.parametrize("tying", ["untied", "three-way"])
def test_the_scorer_gives_what_was_drawn_the_same_probability(tying: str, tmp_path: Path) -> None:
    bundle = load_bundle(make_model_folder(tmp_path / "model", tying=tying), torch.device("cpu"))
    words = ["a b c", "d e f g h", "x"]
    union = [np.array(bundle.vocabulary.encode(line.split()), dtype=np.int64) for line in words]
    found = sample(bundle.model, [bundle.source_view.from_union(ids) for ids in union], config(), Wanted(num_best=4))
    for line, list_ in zip(words, found, strict=True):
        rows = [bundle.target_view.to_union(np.array(one.pieces, dtype=np.int64)).tolist() for one in list_]
        texts = [" ".join(bundle.vocabulary.decode(ids)) for ids in rows]
        scored = Scorer(bundle).score([line] * len(texts), texts, segmented=True)
        sums = [sum(values if one.finished else values[:-1]) for values, one in zip(scored, list_, strict=True)]
        assert sums == pytest.approx([one.log_prob for one in list_], abs=1e-4)
