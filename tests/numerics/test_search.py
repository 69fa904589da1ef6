"""Search against every possible translation, written out: all tying modes, and every way of searching them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch

from nmt.config import ModelConfig, SearchConfig
from nmt.models.build import VocabularySizes, build_model
from nmt.models.ensemble import Ensemble, Member
from nmt.models.inference import for_search
from nmt.models.interface import START, SearchModel, TranslationModel
from nmt.search import arrivals
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.text.vocabulary import EOS, PAD, Vocabulary
from nmt.tying import Tying

pytestmark = pytest.mark.numeric
VOCABULARY = Vocabulary(both=("a", "b"), source_only=("c",), target_only=("d",))
SOURCES = [np.array(ids) for ids in ([3, 4], [5], [4, 5, 3], [3], [5, 5])]
BASE = SearchConfig(beam=4000, length_penalty=0.7, max_length_ratio=0.5, allow_unknown=True)


@pytest.fixture(autouse=True)
def short_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "SPARE_PIECES", 3)


@cache
def make_model(tying: str, seed: int = 0) -> TranslationModel:
    """One for all tests that ask for it: none may change it."""
    config = ModelConfig(tying=tying, embedding_size=5, hidden_size=6, dropout=0)
    model = build_model(config, VocabularySizes.of(VOCABULARY), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.9, generator=generator)
    return model


def member(model: TranslationModel) -> Member:
    shared = model.embeddings.tying.shares_source
    return Member(model, VOCABULARY.source_view(shared), VOCABULARY.target_view(shared))


@dataclass(frozen=True)
class Written:
    """A translation written out, with what scores are made of."""

    pieces: tuple[int, ...]
    log_prob: float
    attention: np.ndarray
    "Summed over the steps, </s> among them, [S]."


@cache
@torch.inference_mode()
def every_translation(model: SearchModel, source: tuple[int, ...], limit: int) -> list[Written]:
    """All sequences of up to `limit` pieces that end: one step takes all those of one length, plainly, one piece on."""
    ids = torch.tensor([[*source, EOS]])
    memory = model.encode(ids, torch.tensor([ids.size(1)]))
    output = model.output()
    state, level, found = model.initial_state(memory), [Written((), 0.0, np.zeros(ids.size(1)))], []
    for length in range(limit + 1):
        previous = torch.tensor([[each.pieces[-1] if each.pieces else START for each in level]])
        step = model.step(memory, state, previous, output)
        after = list(zip(level, step.log_probs[0].tolist(), step.attention[0].numpy(), strict=True))
        found += [Written(at.pieces, at.log_prob + row[EOS], at.attention + attended) for at, row, attended in after]
        if length < limit:
            rows = [row for row in range(step.log_probs.size(-1)) if row not in (PAD, EOS)]
            level = [
                Written((*at.pieces, row), at.log_prob + log_probs[row], at.attention + attended)
                for at, log_probs, attended in after
                for row in rows
            ]
            parents = torch.arange(len(after)).repeat_interleave(len(rows))
            state = step.state.select(torch.tensor([0]), parents[None])
    return found


def score(written: Written, config: SearchConfig) -> float:
    """The published formulas."""
    length = len(written.pieces) + 1
    scale = (5 + length) / 6 if config.length_normalization == "gnmt" else length
    coverage = sum(math.log(min(1.0, total)) for total in written.attention[:-1])
    return written.log_prob / scale**config.length_penalty + config.coverage_penalty * coverage


def repeats(pieces: Sequence[int], size: int) -> bool:
    windows = [tuple(pieces[i : i + size]) for i in range(len(pieces) - size + 1)]
    return len(set(windows)) < len(windows)


def best(model: SearchModel, source: np.ndarray, config: SearchConfig, prefix: tuple[int, ...] = ()) -> list[Written]:
    """All allowed translations, the best first. A given beginning is beyond the rules."""
    limit = max(arrivals.max_pieces(len(source), config), len(prefix))
    found = every_translation(model, tuple(source.tolist()), limit)
    found = [each for each in found if each.pieces[: len(prefix)] == prefix]
    found = [each for each in found if len(each.pieces) >= config.min_length]
    if config.no_repeat_ngram:
        found = [each for each in found if not repeats(each.pieces, config.no_repeat_ngram)]
    return sorted(found, key=lambda each: -score(each, config))


def check(found: list[Hypothesis], expected: list[Written], config: SearchConfig) -> None:
    assert [hypothesis.pieces for hypothesis in found] == [each.pieces for each in expected[: len(found)]]
    assert [hypothesis.score for hypothesis in found] == pytest.approx(
        [score(each, config) for each in expected[: len(found)]], abs=1e-5
    )
    assert all(hypothesis.finished for hypothesis in found)


@pytest.mark.parametrize("tying", [mode.value for mode in Tying])
@pytest.mark.parametrize("way", ["together", "alone", "refilled", "ensemble of one", "copy for search"])
def test_every_way_of_searching_finds_what_exhaustive_search_finds(tying: str, way: str) -> None:
    model = make_model(tying)
    searched: SearchModel = model
    if way == "ensemble of one":
        searched = Ensemble([member(model)])
    elif way == "copy for search":
        searched = for_search(model, "float32")
    config = replace(BASE, batch_tokens=8 if way == "refilled" else 4096)
    wanted = Wanted(num_best=4)
    if way == "alone":
        found = [beam_search(searched, [source], config, wanted)[0] for source in SOURCES]
    else:
        found = beam_search(searched, SOURCES, config, wanted)
    for source, hypotheses in zip(SOURCES, found, strict=True):
        assert len(hypotheses) == 4
        check(hypotheses, best(model, source, config), config)


def test_places_that_become_free_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    model, widths = deepcopy(make_model("three-way")), []
    plain = model.step

    def step(memory: object, state: object, previous: torch.Tensor, output: object) -> object:
        widths.append((len(previous), bool((previous == START).any()), bool((previous != START).any())))
        return plain(memory, state, previous, output)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "step", step)
    beam_search(model, SOURCES * 6, replace(BASE, beam=3, batch_tokens=32))
    assert any(begins and goes_on for _, begins, goes_on in widths), "no new sentence beside one at work"


OPTIONS = {
    "gnmt": {"length_normalization": "gnmt", "length_penalty": 1.3},
    "no normalisation": {"length_penalty": 0.0},
    "coverage": {"coverage_penalty": 0.8},
    "gnmt with coverage": {"length_normalization": "gnmt", "coverage_penalty": 0.4},
    "minimum": {"min_length": 3},
    "maximum": {"max_length": 2},
    "exactly": {"min_length": 2, "max_length": 2},
    "no piece twice": {"no_repeat_ngram": 1},
    "no pair twice": {"no_repeat_ngram": 2, "min_length": 4},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("tying", ["untied", "three-way"])
@pytest.mark.parametrize("batch_tokens", [8, 4096])
def test_options_find_the_best_translation_that_keeps_to_them(tying: str, option: str, batch_tokens: int) -> None:
    model = make_model(tying, seed=3)
    config = replace(BASE, batch_tokens=batch_tokens, **OPTIONS[option])  # type: ignore[arg-type]
    found = beam_search(model, SOURCES, config, Wanted(num_best=3))
    usual = beam_search(model, SOURCES, replace(BASE, batch_tokens=batch_tokens), Wanted(num_best=3))
    for source, hypotheses in zip(SOURCES, found, strict=True):
        check(hypotheses, best(model, source, config), config)
    assert [[h.pieces for h in each] for each in found] != [[h.pieces for h in each] for each in usual], "no effect"


@pytest.mark.parametrize("rule", [{}, {"no_repeat_ngram": 1}, {"min_length": 3}])
def test_translations_begin_with_what_is_given(rule: dict[str, int]) -> None:
    model = make_model("decoder", seed=1)
    config = replace(BASE, batch_tokens=8, **rule)  # type: ignore[arg-type]
    prefixes = [(4,), (), (3, 4), (5, 3, 4), (3,)]
    found = beam_search(model, SOURCES, config, Wanted(num_best=2, prefixes=prefixes))
    for source, prefix, hypotheses in zip(SOURCES, prefixes, found, strict=True):
        check(hypotheses, best(model, source, config, prefix), config)


def test_a_given_beginning_longer_than_the_limit_is_written_whole() -> None:
    [[found]] = beam_search(make_model("decoder"), SOURCES[:1], BASE, Wanted(prefixes=[(3, 4) * 10]))
    assert found.pieces[:20] == (3, 4) * 10


def test_nothing_left_to_write_ends_even_where_a_minimum_is_asked() -> None:
    config = replace(BASE, no_repeat_ngram=1, min_length=20)
    for [found] in beam_search(make_model("untied"), SOURCES, config):
        assert found.finished
        assert len(found.pieces) == len(set(found.pieces)) < 20


@pytest.mark.parametrize("batch_tokens", [8, 4096])
def test_a_shortlist_is_as_if_no_other_piece_existed(batch_tokens: int) -> None:
    model = make_model("three-way", seed=2)
    lists = {3: [2, 3, 6], 4: [2, 3, 4], 5: [2, 4, 6]}

    def shortlist(source: np.ndarray) -> np.ndarray:
        return np.unique(np.concatenate([lists[row] for row in source.tolist()]))

    config = replace(BASE, batch_tokens=batch_tokens)
    found = beam_search(model, SOURCES, config, Wanted(num_best=3, shortlist=shortlist))
    for source, hypotheses in zip(SOURCES, found, strict=True):
        biased, only = deepcopy(model), shortlist(source).tolist()
        with torch.no_grad():
            for row in range(VOCABULARY.size):
                if row not in only:
                    biased.embeddings.output_bias[row] = -1e9
        check(hypotheses, best(biased, source, config), config)


@pytest.mark.parametrize("batch_tokens", [8, 4096])
def test_details_of_pieces_are_those_of_the_steps(batch_tokens: int) -> None:
    model = make_model("untied", seed=5)
    config = replace(BASE, beam=3, batch_tokens=batch_tokens)
    found = beam_search(model, SOURCES, config, Wanted(num_best=2, attention=True))
    for source, hypotheses in zip(SOURCES, found, strict=True):
        ids = torch.tensor([[*source.tolist(), EOS]])
        memory, output = model.encode(ids, torch.tensor([ids.size(1)])), model.output()
        for hypothesis in hypotheses:
            state, previous = model.initial_state(memory), torch.tensor([[START]])
            assert hypothesis.log_probs is not None
            assert hypothesis.attention is not None
            labels = [*hypothesis.pieces, EOS][: len(hypothesis.log_probs)]
            assert len(hypothesis.log_probs) == len(hypothesis.pieces) + hypothesis.finished
            for number, piece in enumerate(labels):
                step = model.step(memory, state, previous, output)
                state, previous = step.state, torch.tensor([[piece]])
                assert hypothesis.log_probs[number] == pytest.approx(step.log_probs[0, 0, piece].item(), abs=1e-5)
                if number < len(hypothesis.pieces):
                    assert torch.allclose(hypothesis.attention[number], step.attention[0, 0], atol=1e-6)
            assert sum(hypothesis.log_probs) == pytest.approx(hypothesis.log_prob, abs=1e-5)
