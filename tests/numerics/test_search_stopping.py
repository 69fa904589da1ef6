"""search.stopping: hypotheses that end lose no place, as in Hugging Face and CTranslate2, against plain lists."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from nmt.config import ModelConfig, SearchConfig
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import START, TranslationModel
from nmt.search import arrivals
from nmt.search.beam import beam_search
from nmt.search.live import LiveSearch
from nmt.search.request import Wanted
from nmt.text.vocabulary import EOS, Vocabulary

pytestmark = pytest.mark.numeric
VOCABULARY = Vocabulary(both=tuple("abcdefgh"), source_only=(), target_only=())
SOURCES = [np.array(ids) for ids in ([3, 4], [5], [4, 5, 3, 8], [10], [5, 9, 6], [7, 7], [8, 3, 10])]
BASE = SearchConfig(length_penalty=1.0, max_length_ratio=4.0, allow_unknown=True)
Ended = list[tuple[float, tuple[int, ...]]]


@cache
def make_model(seed: int) -> TranslationModel:
    config = ModelConfig(embedding_size=6, hidden_size=8, dropout=0)
    model = build_model(config, VocabularySizes.of(VOCABULARY), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.6, generator=generator)
        model.embeddings.output_bias[EOS] += 2.5
    return model


@torch.inference_mode()
def plain_search(model: TranslationModel, source: np.ndarray, config: SearchConfig) -> tuple[Ended, bool]:
    """Scores and pieces of what ended, best first; and whether the limit ended the search."""
    ids = torch.tensor([[*source.tolist(), EOS]])
    memory, output = model.encode(ids, torch.tensor([ids.size(1)])), model.output()
    state, living, ended = model.initial_state(memory), [((), 0.0)], []
    limit = arrivals.max_pieces(len(source), config)
    for length in range(limit + 1):
        previous = torch.tensor([[pieces[-1] if pieces else START for pieces, _ in living]])
        step = model.step(memory, state, previous, output)
        continued = [
            (before + value, place, piece)
            for place, ((_, before), row) in enumerate(zip(living, step.log_probs[0].tolist(), strict=True))
            for piece, value in enumerate(row)
            if value != -math.inf
        ]
        top = sorted(continued, reverse=True)[: 2 * config.beam]
        ended += [
            (value / (length + 1), living[place][0]) for value, place, piece in top[: config.beam] if piece == EOS
        ]
        ended = sorted(ended, reverse=True)[: config.beam]
        rest = [(value, place, piece) for value, place, piece in top if piece != EOS][: config.beam]
        state = step.state.select(torch.tensor([0]), torch.tensor([[place for _, place, _ in rest]]))
        living = [((*living[place][0], piece), value) for value, place, piece in rest]
        if len(ended) == config.beam and (config.stopping == "first" or living[0][1] / (length + 1) <= ended[-1][0]):
            return ended, False
    return ended, True


@pytest.mark.parametrize("stopping", ["present", "first"])
@pytest.mark.parametrize("beam", [1, 2, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_the_plain_search(stopping: str, beam: int, seed: int) -> None:
    model, config = make_model(seed), replace(BASE, beam=beam, stopping=stopping)
    plain = [plain_search(model, source, config) for source in SOURCES]
    assert sum(not cut for _, cut in plain) >= 2 or beam == 1
    for batch_tokens in (8, 4096):
        found = beam_search(model, SOURCES, replace(config, batch_tokens=batch_tokens), Wanted(num_best=beam))
        for hypotheses, (expected, _) in zip(found, plain, strict=True):
            finished = [one for one in hypotheses if one.finished]
            assert [one.pieces for one in finished] == [pieces for _, pieces in expected]
            assert [one.score for one in finished] == pytest.approx([score for score, _ in expected], abs=1e-5)
    live = LiveSearch(model, config, Wanted(num_best=beam), longest=4)
    slots, answers = dict(zip(live.add(SOURCES), range(len(SOURCES)), strict=True)), {}
    while len(answers) < len(SOURCES):
        answers |= {slots[slot]: hypotheses for slot, hypotheses in live.step() if slots[slot] not in answers}
    for number, (expected, _) in enumerate(plain):
        assert [one.pieces for one in answers[number] if one.finished] == [pieces for _, pieces in expected]


def test_rules_hold_there_too() -> None:
    """Repetitions, minimal lengths, coverage and given beginnings, whose tensors are as wide."""
    model = make_model(1)
    config = replace(BASE, beam=3, stopping="present", no_repeat_ngram=1, min_length=2, coverage_penalty=0.1)
    config = replace(config, repetition_penalty=1.2)
    wanted = Wanted(num_best=3, prefixes=[[4]] * len(SOURCES), attention=True)
    for hypotheses in beam_search(model, SOURCES, config, wanted):
        assert hypotheses
        for one in hypotheses:
            assert one.pieces[0] == 4
            assert len(set(one.pieces)) == len(one.pieces) >= 2
            assert one.attention is not None
            assert len(one.attention) == len(one.pieces)
