"""Shallow fusion against every possible translation, written out: the translation model's own steps and, in NumPy, the
language model's equations."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nmt.config import Config, LanguageConfig, ModelConfig, SearchConfig
from nmt.folder.language import LanguageBundle
from nmt.models.build import VocabularySizes, build_model
from nmt.models.ensemble import Ensemble
from nmt.models.fusion import FusedModel
from nmt.models.inference import for_search
from nmt.models.interface import START, SearchModel, TranslationModel
from nmt.models.language import LanguageModel
from nmt.models.language_build import build_language_model
from nmt.search import arrivals
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.search.sampling import sample
from nmt.text.vocabulary import EOS, PAD, UNK, TargetView
from nmt.text.words import WordVocabulary
from nmt.translate.fusion import JoiningModel
from nmt.tying import Tying
from tests.numerics.test_search import BASE, SOURCES, VOCABULARY, Written, check, make_model, member, score
from tests.numerics.test_search import best as best_alone

pytestmark = pytest.mark.numeric
ROWS = WordVocabulary.of_target(VOCABULARY)
WEIGHT = 0.6


@pytest.fixture(autouse=True)
def short_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "SPARE_PIECES", 3)


@cache
def make_language(architecture: str, tying: str = "tied", seed: int = 0) -> LanguageModel:
    """One for all tests that ask for it: none may change it."""
    sizes: dict[str, Any] = {"lstm": {"layers": 2}, "rhn": {"depth": 3}}[architecture]
    config = LanguageConfig(
        architecture=architecture, tying=tying, embedding_size=4, hidden_size=5, projection=True, **sizes
    )
    model = build_language_model(config, ROWS.size, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.9, generator=generator)
    return model


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


class Equations:
    """A language model's step in NumPy, over a batch."""

    def __init__(self, model: LanguageModel) -> None:
        self.of = {name: each.detach().double().numpy() for name, each in model.state_dict().items()}
        self.lstm = model.architecture == "lstm"

    def start(self, count: int) -> list[np.ndarray]:
        return [np.zeros((count, 5)) for _ in range(4 if self.lstm else 1)]

    def step(self, words: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Log-probabilities of the next word, [N, C], and the state."""
        x = self.of["embeddings.input"][words]
        if self.lstm:
            after = []
            for layer in range(2):
                h, c = state[2 * layer : 2 * layer + 2]
                w, u, b = (self.of[f"lstm.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih"))
                i, f, g, o = np.split(x @ w.T + h @ u.T + b, 4, axis=1)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                x = sigmoid(o) * np.tanh(c)
                after += [x, c]
        else:
            (s,) = state
            for depth in range(3):
                gates = s @ self.of["rhn.recurrent_weight"][depth].T + self.of["rhn.bias"][depth]
                h, t = np.split(gates + (x @ self.of["rhn.input_weight"].T if depth == 0 else 0), 2, axis=1)
                s = (np.tanh(h) - s) * sigmoid(t) + s
            x, after = s, [s]
        x = x @ self.of["projection.weight"].T + self.of["projection.bias"]
        scores = x @ self.of["embeddings.output"].T + self.of["embeddings.output_bias"]
        return scores - np.log(np.exp(scores).sum(1, keepdims=True)), after


def row_of(piece: int, view: TargetView) -> int:
    """By the name of a target id."""
    name = "" if piece == UNK else VOCABULARY.piece_of(int(view.to_union(np.array(piece))))
    return ROWS.encode([name])[0]


def language_log_probs(model: LanguageModel, view: TargetView, pieces: Sequence[int]) -> list[float]:
    """Of target ids and of the end."""
    equations, found = Equations(model), []
    state, before = equations.start(1), 0
    for row in [*(row_of(piece, view) for piece in pieces), 0]:
        log_probs, state = equations.step(np.array([before]), state)
        found.append(float(log_probs[0, row]))
        before = row
    return found


def view_of(model: SearchModel) -> TargetView:
    if isinstance(model, Ensemble):
        return model.target_view
    return VOCABULARY.target_view(model.num_targets == VOCABULARY.size)


def beside(model: SearchModel, language: LanguageModel, weight: float = WEIGHT) -> SearchModel:
    return FusedModel(model, language, joining(language).rows(view_of(model)), weight)


def joining(language: LanguageModel, weight: float = WEIGHT) -> JoiningModel:
    return JoiningModel(LanguageBundle(Path(), Config(), ROWS, None, language, {}), weight, VOCABULARY)


@cache
def language_totals(model: LanguageModel, view: TargetView, sequences: tuple[tuple[int, ...], ...]) -> list[float]:
    """Of many targets, those of one length at once, </s> included."""
    equations, totals = Equations(model), dict.fromkeys(sequences, 0.0)
    for length in {len(each) for each in sequences}:
        alike = [each for each in sequences if len(each) == length]
        table = np.array([[0, *(row_of(piece, view) for piece in each), 0] for each in alike])
        state, places = equations.start(len(alike)), np.arange(len(alike))
        sums = np.zeros(len(alike))
        for step in range(length + 1):
            log_probs, state = equations.step(table[:, step], state)
            sums += log_probs[places, table[:, step + 1]]
        totals.update(zip(alike, sums.tolist(), strict=True))
    return [totals[each] for each in sequences]


def best(
    model: SearchModel, language: LanguageModel, source: np.ndarray, config: SearchConfig, prefix: tuple[int, ...] = ()
) -> list[Written]:
    """All allowed translations, the best first by both models."""
    alone = sorted(best_alone(model, source, config, prefix), key=lambda each: each.pieces)
    totals = language_totals(language, view_of(model), tuple(each.pieces for each in alone))
    pairs = zip(alone, totals, strict=True)
    both = [replace(each, log_prob=each.log_prob + WEIGHT * total) for each, total in pairs]
    return sorted(both, key=lambda each: -score(each, config))


CONFIG = replace(BASE, max_length=3)


@cache
def make_transformer() -> TranslationModel:
    config = ModelConfig(
        architecture="transformer",
        tying="decoder",
        embedding_size=4,
        dropout=0,
        layers=1,
        heads=2,
        feedforward_size=6,
    )
    model = build_model(config, VocabularySizes.of(VOCABULARY), seed=1).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.9, generator=generator)
    return model


@pytest.mark.parametrize(("architecture", "tied"), [("lstm", "tied"), ("lstm", "untied"), ("rhn", "tied")])
@pytest.mark.parametrize("translation", [*(mode.value for mode in Tying), "ensemble", "transformer"])
def test_search_finds_what_is_best_by_both_models(translation: str, architecture: str, tied: str) -> None:
    language = make_language(architecture, tied)
    readable: SearchModel
    if translation == "ensemble":
        readable = Ensemble([member(make_model("untied")), member(make_model("three-way", seed=1))])
    else:
        readable = make_transformer() if translation == "transformer" else make_model(translation)
    copied = readable if isinstance(readable, Ensemble) else for_search(readable, "float32")  # type: ignore[arg-type]
    for way, batch_tokens in ((readable, 8), (copied, 4096)):
        config = replace(CONFIG, batch_tokens=batch_tokens)
        found = beam_search(beside(way, language), SOURCES, config, Wanted(num_best=4))
        for source, hypotheses in zip(SOURCES, found, strict=True):
            check(hypotheses, best(readable, language, source, config), config)
    alone = beam_search(readable, SOURCES, CONFIG, Wanted(num_best=4))
    assert [[h.pieces for h in each] for each in found] != [[h.pieces for h in each] for each in alone], "no effect"


OPTIONS: dict[str, dict[str, Any]] = {
    "gnmt with coverage": {"length_normalization": "gnmt", "coverage_penalty": 0.4},
    "no normalisation": {"length_penalty": 0.0},
    "minimum": {"min_length": 3},
    "no piece twice": {"no_repeat_ngram": 1},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_rule_on_both_models_together(option: str) -> None:
    model, language = make_model("three-way", seed=3), make_language("lstm")
    config = replace(CONFIG, batch_tokens=8, **OPTIONS[option])
    found = beam_search(beside(model, language), SOURCES, config, Wanted(num_best=3))
    for source, hypotheses in zip(SOURCES, found, strict=True):
        check(hypotheses, best(model, language, source, config), config)


def test_what_the_language_model_does_not_know_can_be_given() -> None:
    """Ids of the union: 5 is of the source alone, <unk> to the language model."""
    model, language = make_model("three-way", seed=1), make_language("lstm")
    prefixes = [(4,), (), (5, 4), (UNK, 5), (5,)]
    wanted = Wanted(num_best=2, prefixes=prefixes, source_only=range(5, 6))
    found = beam_search(beside(model, language), SOURCES, replace(CONFIG, batch_tokens=8), wanted)
    for source, prefix, hypotheses in zip(SOURCES, prefixes, found, strict=True):
        expected = best(model, language, source, CONFIG, prefix)
        check(hypotheses, [each for each in expected if 5 not in each.pieces[len(prefix) :]], CONFIG)


@pytest.mark.parametrize("batch_tokens", [8, 4096])
def test_beside_a_shortlist_the_language_model_has_all_its_rows(batch_tokens: int) -> None:
    """The translation model scores as if no other piece existed; whatever else is in the batch changes nothing."""
    model, language = make_model("three-way", seed=2), make_language("rhn")
    lists = {3: [2, 3, 6], 4: [2, 3, 4], 5: [2, 4, 6]}

    def shortlist(source: np.ndarray) -> np.ndarray:
        return np.unique(np.concatenate([lists[row] for row in source.tolist()]))

    config = replace(CONFIG, batch_tokens=batch_tokens)
    found = beam_search(beside(model, language), SOURCES, config, Wanted(num_best=3, shortlist=shortlist))
    for source, hypotheses in zip(SOURCES, found, strict=True):
        biased, only = deepcopy(model), shortlist(source).tolist()
        with torch.no_grad():
            for row in range(VOCABULARY.size):
                if row not in only:
                    biased.embeddings.output_bias[row] = -1e9
        check(hypotheses, best(biased, language, source, config), config)


def follow_both(
    model: TranslationModel, language: LanguageModel, source: np.ndarray, hypothesis: Hypothesis
) -> tuple[list[float], list[float]]:
    """What each model says of a hypothesis, step by step."""
    ids = torch.tensor([[*source.tolist(), EOS]])
    labels = [*hypothesis.pieces, *([EOS] if hypothesis.finished else [])]
    own, previous = [], START
    with torch.inference_mode():
        memory = model.encode(ids, torch.tensor([ids.size(1)]))
        state = model.initial_state(memory)
        for piece in labels:
            step = model.step(memory, state, torch.tensor([[previous]]), model.output())
            own.append(step.log_probs[0, 0, piece].item())
            state, previous = step.state, piece
    return own, language_log_probs(language, view_of(model), hypothesis.pieces)[: len(labels)]


@pytest.mark.parametrize("way", ["beam", "penalty", "sampling", "cut"])
def test_each_models_share_is_told_apart(way: str) -> None:
    model, language = make_model("three-way", seed=4), make_language("lstm", "untied")
    config = replace(CONFIG, beam=3, batch_tokens=8, repetition_penalty=1.5 if way == "penalty" else 1.0)
    config = replace(config, min_length=3 if way in ("penalty", "cut") else 0)
    wanted, both = Wanted(num_best=2, attention=True), joining(language)
    searched = beside(model, language)
    found = (sample if way == "sampling" else beam_search)(searched, SOURCES, config, wanted)
    apart = both.taken_apart(found, view_of(model))
    every = [(source, each) for source, some in zip(SOURCES, apart, strict=True) for each in some]
    for source, each in every:
        own, theirs = follow_both(model, language, source, each)
        assert each.log_probs == pytest.approx(own, abs=1e-4)
        assert each.log_prob == pytest.approx(sum(own), abs=1e-4)
        assert each.language_log_prob == pytest.approx(sum(theirs), abs=1e-4)
        total = each.log_prob + each.penalty + WEIGHT * each.language_log_prob
        assert each.score == pytest.approx(total / len(own) ** config.length_penalty, abs=1e-4)
    assert way != "penalty" or any(each.penalty for _, each in every)
    assert way != "cut" or not all(each.finished for _, each in every)


def test_draws_go_by_both_models() -> None:
    """The likeliest piece of each step, by the equations."""
    model, language = make_model("untied", seed=6), make_language("rhn", "untied")
    view, config = view_of(model), replace(CONFIG, sampling=True, top_k=1)
    for source, [found] in zip(SOURCES, sample(beside(model, language), SOURCES, config, Wanted()), strict=True):
        for number, piece in enumerate([*found.pieces, *([EOS] if found.finished else [])]):
            ids, given = torch.tensor([[*source.tolist(), EOS]]), found.pieces[:number]
            memory, previous = model.encode(ids, torch.tensor([ids.size(1)])), torch.tensor([[START]])
            state = model.initial_state(memory)
            for each in given:
                state = model.step(memory, state, previous, model.output()).state
                previous = torch.tensor([[each]])
            own = model.step(memory, state, previous, model.output()).log_probs[0, 0].detach().double().numpy()
            equations = Equations(language)
            read = [0, *(row_of(each, view) for each in given)]
            theirs, after = equations.step(np.array(read[:1]), equations.start(1))
            for row in read[1:]:
                theirs, after = equations.step(np.array([row]), after)
            added = [theirs[0, 0 if target == EOS else row_of(target, view)] for target in range(PAD + 1, view.size)]
            assert int((own[PAD + 1 :] + WEIGHT * np.array(added)).argmax()) + 1 == piece


def test_an_empty_batch_of_translations_has_no_scores() -> None:
    assert joining(make_language("lstm")).score_pieces([]) == []
    assert [len(each) for each in joining(make_language("lstm")).score_pieces([[], ["a", "?"]])] == [1, 3]


def test_a_model_in_training_cannot_join() -> None:
    language = deepcopy(make_language("lstm"))
    rows = torch.from_numpy(ROWS.rows_of(np.arange(VOCABULARY.target_size)))
    assert not FusedModel(make_model("untied"), language, rows, 1.0).training
    assert FusedModel(make_model("untied"), language.train(), rows, 1.0).training


def test_rows_are_those_of_the_target_view_in_their_order() -> None:
    """b of the view of untied models has the id 4: <pad>, <unk>, </s>, a, b, d."""
    assert [ROWS.name(int(row)) for row in ROWS.rows_of(np.arange(1, 6))] == ["<unk>", "<eos>", "a", "b", "d"]
