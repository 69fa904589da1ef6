"""Ensembles of all tying modes against the plain mean of their members' probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from nmt.config import ModelConfig, SearchConfig
from nmt.models.build import VocabularySizes, build_model
from nmt.models.ensemble import Ensemble, Member
from nmt.models.interface import START, SearchModel, TranslationModel
from nmt.search.beam import beam_search
from nmt.search.request import Wanted
from nmt.search.sampling import sample
from nmt.text.vocabulary import EOS, PAD, Vocabulary

pytestmark = pytest.mark.numeric
VOCABULARY = Vocabulary(both=tuple("abcdef"), source_only=tuple("ghij"), target_only=tuple("klmno"))
MODES = ("untied", "decoder", "three-way")


def member(tying: str, seed: int = 1, size: int = 5) -> Member:
    """tying: a mode, and "transformer" behind it where the model is not an RNN."""
    tying, _, transformer = tying.partition(" ")
    sizes: dict[str, object] = {"hidden_size": size + 2}
    if transformer:
        sizes = {"architecture": transformer, "width": 6, "heads": 2, "feedforward_size": 7, "layers": 1}
    config = ModelConfig(tying=tying, embedding_size=size, dropout=0.0, **sizes)  # type: ignore[arg-type]
    model = build_model(config, VocabularySizes.of(VOCABULARY), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.8, generator=generator)
    shared = tying == "three-way"
    return Member(model, VOCABULARY.source_view(shared), VOCABULARY.target_view(shared))


def sources(lengths: Sequence[int]) -> list[np.ndarray]:
    generator = np.random.default_rng(5)
    return [generator.integers(3, VOCABULARY.size, length) for length in lengths]


@torch.inference_mode()
def next_log_probs(model: SearchModel, source: np.ndarray, prefix: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities after a prefix, [V], and attention, [S], step by step."""
    ids = torch.tensor([[*source.tolist(), EOS]])
    memory = model.encode(ids, torch.tensor([ids.size(1)]))
    state, output, previous = model.initial_state(memory), model.output(), START
    for piece in [*prefix, PAD]:
        step = model.step(memory, state, torch.tensor([[previous]]), output)
        state, previous = step.state, piece
    return step.log_probs[0, 0].double().numpy(), step.attention[0, 0].numpy()


MIXED = ("untied", "three-way transformer")


@pytest.mark.parametrize("modes", [("untied", "decoder"), ("three-way", "three-way"), MODES, MIXED])
def test_probabilities_are_the_mean_of_the_members(modes: Sequence[str]) -> None:
    members = [member(tying, seed, size=4 + seed) for seed, tying in enumerate(modes)]
    ensemble = Ensemble(members)
    rows = np.arange(ensemble.num_targets)
    assert (ensemble.num_targets == VOCABULARY.size) == (set(modes) == {"three-way"})
    generator = np.random.default_rng(1)
    for length, source in enumerate(sources([4, 1, 7, 3])):
        prefix = generator.integers(3, ensemble.num_targets, length)
        expected, attention = np.zeros(len(rows)), np.zeros(len(source) + 1)
        for one in members:
            own_rows = one.target_view.from_union(ensemble.target_view.to_union(rows))
            own_prefix = one.target_view.from_union(ensemble.target_view.to_union(prefix))
            log_probs, weights = next_log_probs(one.model, one.source_view.from_union(source), own_prefix.tolist())
            probabilities = np.exp(log_probs)[own_rows]
            if len(own_rows) < one.model.num_targets:
                probabilities /= probabilities.sum()
            expected += probabilities / len(members)
            attention += weights / len(members)
        log_probs, weights = next_log_probs(ensemble, source, prefix.tolist())
        assert log_probs[PAD] == -np.inf
        np.testing.assert_allclose(np.exp(log_probs), expected, atol=1e-6)
        np.testing.assert_allclose(weights, attention, atol=1e-6)


@pytest.mark.parametrize("tying", MODES)
def test_an_ensemble_of_one_is_its_member(tying: str) -> None:
    alone, config = member(tying), SearchConfig(beam=3)
    batch = sources([5, 2, 0, 7, 1, 3])
    expected = beam_search(
        alone.model, [alone.source_view.from_union(ids) for ids in batch], config, Wanted(num_best=3)
    )
    ensemble = Ensemble([alone])
    assert ensemble.target_view == alone.target_view
    assert beam_search(ensemble, batch, config, Wanted(num_best=3)) == expected


def test_the_order_of_members_and_their_repetition_change_nothing() -> None:
    members, config, batch = [member(tying, seed) for seed, tying in enumerate(MODES)], SearchConfig(), sources([5, 2])
    usual = beam_search(Ensemble(members), batch, config, Wanted(num_best=3))
    for others in (members[::-1], members * 2):
        found = beam_search(Ensemble(others), batch, config, Wanted(num_best=3))
        assert [[one.pieces for one in list_] for list_ in found] == [[one.pieces for one in list_] for list_ in usual]
        for list_, expected in zip(found, usual, strict=True):
            assert [one.log_prob for one in list_] == pytest.approx([one.log_prob for one in expected], abs=1e-4)


@pytest.mark.parametrize("modes", [MODES, MIXED])
@pytest.mark.parametrize("search", [beam_search, sample])
def test_a_batch_gives_what_each_sentence_gives_alone(search: object, modes: Sequence[str]) -> None:
    assert callable(search)
    ensemble, config, batch = Ensemble([member(tying) for tying in modes]), SearchConfig(), sources([5, 2, 9, 1, 0, 4])
    together = search(ensemble, batch, config, Wanted(num_best=2, attention=True, numbers=range(6)))
    for number, (source, found) in enumerate(zip(batch, together, strict=True)):
        [alone] = search(ensemble, [source], config, Wanted(num_best=2, attention=True, numbers=[number]))
        assert [one.pieces for one in alone] == [one.pieces for one in found]
        assert [one.log_prob for one in alone] == pytest.approx([one.log_prob for one in found], abs=1e-4)


def forced(model: SearchModel, source: np.ndarray, pieces: Sequence[int], *, finished: bool) -> float:
    labels = [*pieces, *([EOS] if finished else [])]
    return sum(float(next_log_probs(model, source, labels[:place])[0][piece]) for place, piece in enumerate(labels))


@pytest.mark.parametrize("modes", [MODES, MIXED])
def test_what_is_found_has_the_probability_of_forced_scoring(modes: Sequence[str]) -> None:
    ensemble = Ensemble([member(tying, seed) for seed, tying in enumerate(modes)])
    batch = sources([3, 6])
    for source, [found] in zip(batch, beam_search(ensemble, batch, SearchConfig(beam=2)), strict=True):
        log_prob = forced(ensemble, source, found.pieces, finished=found.finished)
        assert found.log_prob == pytest.approx(log_prob, abs=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("modes", [("untied", "decoder"), MODES])
def test_some_rows_are_scored_as_if_there_were_no_others(modes: Sequence[str]) -> None:
    ensemble = Ensemble([member(tying, seed) for seed, tying in enumerate(modes)])
    targets = torch.tensor([1, 2, 5, 9, 10, 13])
    [source] = sources([4])
    ids = torch.tensor([[*source.tolist(), EOS]])
    memory = ensemble.encode(ids, torch.tensor([5]))
    state, start = ensemble.initial_state(memory), torch.tensor([[START]])
    some = ensemble.step(memory, state, start, ensemble.output(targets)).log_probs[0, 0]
    assert some.exp().sum().item() == pytest.approx(1)
    expected = torch.zeros(len(targets))
    for one, own_memory, own_state in zip(ensemble.members, memory.members, state.members, strict=True):
        rows = one.target_view.from_union(ensemble.target_view.to_union(targets.numpy()))
        log_probs: Tensor = one.model.step(own_memory, own_state, start, one.model.output()).log_probs[0, 0, rows]
        expected += log_probs.softmax(0) / len(modes)
    assert torch.allclose(some.exp(), expected, atol=1e-6)


def test_a_member_in_training_is_noticed() -> None:
    members = [member("untied"), member("decoder")]
    assert not Ensemble(members).training
    assert isinstance(members[1].model, TranslationModel)
    members[1].model.train()
    with pytest.raises(AssertionError, match="eval"):
        beam_search(Ensemble(members), sources([2]), SearchConfig())
