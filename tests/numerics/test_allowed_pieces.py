"""What translations may hold, and the repetition penalty, against every possible translation written out."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from nmt.config import ModelConfig, SearchConfig
from nmt.models.build import VocabularySizes, build_model
from nmt.models.ensemble import Ensemble, Member
from nmt.models.inference import for_search
from nmt.models.interface import START, SearchModel, TranslationModel
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.search.sampling import sample
from nmt.text.vocabulary import EOS, PAD, UNK, TargetView, Vocabulary

VOCABULARY = Vocabulary(both=("a", "b"), source_only=("c",), target_only=("d",))
SOURCES = [np.array(ids) for ids in ([3, 4], [5], [4, 5, 3], [3], [5, 5])]
LIMIT = 3
BASE = SearchConfig(beam=2000, length_penalty=0.7, max_length=LIMIT)
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "unknown": {"allow_unknown": True},
    "unknown replaced": {"replace_unknown": True},
    "source": {"allow_source_pieces": True},
    "everything": {"allow_unknown": True, "allow_source_pieces": True},
}


@dataclass(frozen=True)
class Case:
    """A model, the sources as it sees them, and what its target ids mean."""

    model: SearchModel
    sources: list[np.ndarray]
    view: TargetView

    @property
    def source_only(self) -> range:
        return VOCABULARY.source_only_rows(self.view)

    def allowed(self, config: SearchConfig) -> set[int]:
        """By the meaning of the pieces: independent of where their rows lie."""
        names = {"a", "b", "d", "</s>"}
        names |= {"c"} if config.allow_source_pieces else set()
        names |= {"<unk>"} if config.allow_unknown or config.replace_unknown else set()
        rows = range(self.view.size)
        return {row for row in rows if VOCABULARY.piece_of(int(self.view.to_union(np.array(row)))) in names}


def member(tying: str, seed: int) -> Member:
    config = ModelConfig(tying=tying, embedding_size=5, hidden_size=6, dropout=0)
    model = build_model(config, VocabularySizes.of(VOCABULARY), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.9, generator=generator)
        model.embeddings.output_bias[UNK] += 1  # what is forbidden by default would be written otherwise
        if tying == "three-way":
            model.embeddings.output_bias[5] += 1
    shared = tying == "three-way"
    return Member(model, VOCABULARY.source_view(shared), VOCABULARY.target_view(shared))


def case(kind: str) -> Case:
    """kind: tying modes with a plus between, or one and how it is searched."""
    modes = kind.removesuffix(" copy").split("+")
    members = [member(tying, seed) for seed, tying in enumerate(modes, 1)]
    if len(members) > 1:
        ensemble = Ensemble(members)
        return Case(ensemble, SOURCES, ensemble.target_view)
    [one] = members
    assert isinstance(one.model, TranslationModel)
    model = for_search(one.model) if kind.endswith("copy") else one.model
    return Case(model, [one.source_view.from_union(ids) for ids in SOURCES], one.target_view)


KINDS = ("untied", "decoder", "three-way", "three-way copy", "three-way+three-way", "three-way+untied")
Table = dict[tuple[int, ...], list[float]]


@torch.inference_mode()
def every_step(model: SearchModel, source: np.ndarray) -> Table:
    """The model's log-probabilities after every beginning of up to LIMIT pieces, one level at a time."""
    ids = torch.tensor([[*source.tolist(), EOS]])
    memory, output, found = model.encode(ids, torch.tensor([ids.size(1)])), model.output(), {}
    state, paths, pieces = model.initial_state(memory), [()], [row for row in range(model.num_targets) if row > EOS]
    pieces.append(UNK)
    for _ in range(LIMIT + 1):
        previous = torch.tensor([[path[-1] if path else START for path in paths]])
        step = model.step(memory, state, previous, output)
        found.update(zip(paths, step.log_probs[0].tolist(), strict=True))
        parents = torch.arange(len(paths)).repeat_interleave(len(pieces))
        state = step.state.select(torch.tensor([0]), parents[None])
        paths = [(*path, piece) for path in paths for piece in pieces]
    return found


def among(table: Table, rows: Sequence[int]) -> Table:
    """The same as if the model had these rows alone."""
    totals = {path: math.log(sum(math.exp(values[row]) for row in rows)) for path, values in table.items()}
    return {
        path: [value - totals[path] if row in rows else -math.inf for row, value in enumerate(values)]
        for path, values in table.items()
    }


@dataclass(frozen=True)
class Written:
    pieces: tuple[int, ...]
    log_prob: float
    "The model's."
    ranked: float
    "With the penalty."
    finished: bool = True

    def score(self, config: SearchConfig) -> float:
        return self.ranked / (len(self.pieces) + self.finished) ** config.length_penalty


def written(table: Table, pieces: tuple[int, ...], config: SearchConfig, given: int = 0) -> Written:
    """A translation that ends, from the definitions; its first pieces were given."""
    own = [table[pieces[:place]][piece] for place, piece in enumerate((*pieces, EOS))]
    ranked = [
        value * (config.repetition_penalty if place >= given and piece in pieces[:place] else 1)
        for place, (value, piece) in enumerate(zip(own, (*pieces, EOS), strict=True))
    ]
    return Written(pieces, sum(own), sum(ranked))


def best(table: Table, allowed: set[int], config: SearchConfig, prefix: tuple[int, ...] = ()) -> list[Written]:
    """All translations of allowed pieces that begin as is asked, the best first."""
    found = [
        written(table, pieces, config, len(prefix))
        for pieces in table
        if pieces[: len(prefix)] == prefix and allowed.issuperset(pieces[len(prefix) :])
    ]
    return sorted((each for each in found if each.log_prob > -math.inf), key=lambda each: -each.score(config))


def check(found: list[Hypothesis], expected: list[Written], config: SearchConfig) -> None:
    expected = expected[: len(found)]
    assert [one.pieces for one in found] == [each.pieces for each in expected]
    assert [one.score for one in found] == pytest.approx([each.score(config) for each in expected], abs=1e-5)
    assert [one.log_prob for one in found] == pytest.approx([each.log_prob for each in expected], abs=1e-5)
    assert [one.penalty for one in found] == pytest.approx([each.ranked - each.log_prob for each in expected], abs=1e-5)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_wide_beam_finds_the_best_of_what_is_allowed(kind: str, setting: str) -> None:
    searched = case(kind)
    config = replace(BASE, batch_tokens=8, **SETTINGS[setting])
    wanted = Wanted(num_best=4, source_only=searched.source_only)
    found = beam_search(searched.model, searched.sources, config, wanted)
    for source, hypotheses in zip(searched.sources, found, strict=True):
        table = every_step(searched.model, source)
        check(hypotheses, best(table, searched.allowed(config), config), config)


def test_the_settings_matter_where_there_are_such_pieces() -> None:
    found = {}
    for kind, setting in itertools.product(("untied", "three-way"), SETTINGS):
        searched, config = case(kind), replace(BASE, **SETTINGS[setting])
        wanted = Wanted(num_best=4, source_only=searched.source_only)
        lists = beam_search(searched.model, searched.sources, config, wanted)
        found[kind, setting] = [one.pieces for list_ in lists for one in list_]
    assert found["untied", "source"] == found["untied", "default"] != found["untied", "unknown"]
    assert found["three-way", "unknown"] == found["three-way", "unknown replaced"]
    assert len({tuple(found["three-way", name]) for name in SETTINGS}) == 4


@pytest.mark.parametrize("batch_tokens", [8, 4096])
@pytest.mark.parametrize("kind", ["untied", "three-way"])
@pytest.mark.parametrize("shortlist", [None, [2, 3, 4], [1, 2, 3, 5]])
def test_a_given_beginning_may_hold_any_piece(kind: str, batch_tokens: int, shortlist: list[int] | None) -> None:
    searched, config = case(kind), replace(BASE, batch_tokens=batch_tokens)
    prefixes = [(UNK,), (), (5, UNK), (5,), (3,)]
    rows = None if shortlist is None else np.array(shortlist)
    named = None if rows is None else lambda source: rows
    wanted = Wanted(num_best=3, source_only=searched.source_only, prefixes=prefixes, shortlist=named)  # type: ignore[arg-type]
    found = beam_search(searched.model, searched.sources, config, wanted)
    for source, prefix, hypotheses in zip(searched.sources, prefixes, found, strict=True):
        table = every_step(searched.model, source)
        if shortlist:
            table = among(table, sorted({*shortlist, *prefix}))
        check(hypotheses, best(table, searched.allowed(config), config, prefix), config)
        assert all(one.pieces[: len(prefix)] == prefix for one in hypotheses)


@pytest.mark.parametrize("options", [{}, {"length_penalty": 0.0}, {"no_repeat_ngram": 2}, {"allow_unknown": True}])
@pytest.mark.parametrize("penalty", [0.5, 1.3, 4.0])
@pytest.mark.parametrize("batch_tokens", [8, 4096])
def test_what_was_written_counts_as_penalised(penalty: float, options: dict[str, Any], batch_tokens: int) -> None:
    searched = case("three-way")
    config = replace(BASE, batch_tokens=batch_tokens, repetition_penalty=penalty, **options)
    prefixes = [(), (), (3, 3), (4,), ()]
    wanted = Wanted(num_best=5, source_only=searched.source_only, prefixes=prefixes, attention=True)
    found = beam_search(searched.model, searched.sources, config, wanted)
    for source, prefix, hypotheses in zip(searched.sources, prefixes, found, strict=True):
        table = every_step(searched.model, source)
        expected = best(table, searched.allowed(config), config, prefix)
        if config.no_repeat_ngram:
            pairs = {each.pieces: [*itertools.pairwise(each.pieces)] for each in expected}
            given = [*itertools.pairwise(prefix)]
            expected = [
                e
                for e in expected
                if all(pairs[e.pieces].count(pair) <= max(1, given.count(pair)) for pair in pairs[e.pieces])
            ]
        check(hypotheses, expected, config)
        for one in hypotheses:
            own = [table[one.pieces[:place]][piece] for place, piece in enumerate((*one.pieces, EOS))]
            assert one.log_probs == pytest.approx(own, abs=1e-5)
    assert any(one.penalty for hypotheses in found for one in hypotheses)


def test_a_narrow_beam_and_cut_translations_count_the_penalty() -> None:
    searched = case("three-way")
    config = replace(BASE, beam=3, repetition_penalty=1.5, min_length=LIMIT + 9, max_length=0, max_length_ratio=0.01)
    found = beam_search(searched.model, searched.sources, config, Wanted(num_best=3, source_only=searched.source_only))
    cut = [one for hypotheses in found for one in hypotheses if not one.finished]
    assert any(one.penalty < 0 for one in cut)
    for one in cut:
        assert one.score == pytest.approx((one.log_prob + one.penalty) / len(one.pieces) ** 0.7, abs=1e-5)


def chances(table: Table, allowed: set[int], config: SearchConfig) -> dict[tuple[tuple[int, ...], bool], float]:
    """How likely each translation is drawn: pieces, and whether </s> ended them."""
    found: dict[tuple[tuple[int, ...], bool], float] = {}

    def visit(pieces: tuple[int, ...], chance: float) -> None:
        powers = {
            row: math.exp(table[pieces][row] * (config.repetition_penalty if row in pieces else 1) / config.temperature)
            for row in allowed
        }
        total = sum(powers.values())
        found[pieces, True] = chance * powers[EOS] / total
        if len(pieces) == LIMIT:
            found[pieces, False] = chance * (1 - powers[EOS] / total)
            return
        for row in allowed - {EOS}:
            visit((*pieces, row), chance * powers[row] / total)

    visit((), 1.0)
    return found


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("three-way", {}),
        ("three-way", {"repetition_penalty": 1.8, "temperature": 2.0}),
        ("three-way", {"repetition_penalty": 0.6}),
        ("three-way", {"allow_source_pieces": True, "allow_unknown": True}),
        ("three-way+untied", {"temperature": 1.5}),
    ],
)
def test_draws_are_as_likely_as_they_should_be(kind: str, values: dict[str, Any]) -> None:
    searched, count = case(kind), 5000
    config = replace(BASE, sampling=True, **values)
    table, allowed = every_step(searched.model, searched.sources[0]), searched.allowed(config)
    wanted = Wanted(num_best=count, source_only=searched.source_only)
    [found] = sample(searched.model, searched.sources[:1], config, wanted)
    expected = chances(table, allowed, config)
    seen = Counter((one.pieces, one.finished) for one in found)
    assert set(seen) <= {name for name, chance in expected.items() if chance > 0}
    likely = {name: count * chance for name, chance in expected.items() if count * chance >= 5}
    chi_square = sum((seen[name] - mean) ** 2 / mean for name, mean in likely.items())
    assert len(likely) > 10
    assert chi_square < len(likely) + 3 * math.sqrt(2 * len(likely))
    for one in found[:: count // 50]:
        if one.finished:
            each = written(table, one.pieces, config)
            assert one.log_prob == pytest.approx(each.log_prob, abs=1e-5)
            assert one.score == pytest.approx(each.score(config), abs=1e-5)


@pytest.mark.parametrize("search", [beam_search, sample])
def test_draws_and_beams_keep_to_shortlist_and_beginning(search: Callable[..., list[list[Hypothesis]]]) -> None:
    searched = case("three-way")
    prefixes = [(5, 1), (), (1,), (), (6,)]
    wanted = Wanted(
        num_best=40,
        source_only=searched.source_only,
        prefixes=prefixes,
        shortlist=lambda source: np.array([1, 2, 4]),
    )
    found = search(searched.model, searched.sources, replace(BASE, beam=40), wanted)
    for prefix, hypotheses in zip(prefixes, found, strict=True):
        for one in hypotheses:
            assert one.pieces[: len(prefix)] == prefix
            assert {4, *(piece for piece in prefix if piece == 6)}.issuperset(one.pieces[len(prefix) :])
            assert PAD not in one.pieces
