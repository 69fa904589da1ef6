"""Pieces that are counted are written as often as they are to be: the rule alone, and searched by it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from nmt.config import SearchConfig
from nmt.models.interface import START, SearchModel
from nmt.search.beam import beam_search
from nmt.search.counting import Amiss, counted_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.search.rules import Owed, keep_to_counts
from nmt.search.sampling import sample
from nmt.text.vocabulary import EOS
from tests.unit.nmt.test_beam import ToyModel, sources

pytestmark = pytest.mark.numeric
ROWS, COUNTED = 9, (4, 7)


def ruled(log_probs: list[float], counts: Sequence[int], left: int) -> set[int]:
    """The pieces that one hypothesis may go on with."""
    table = torch.tensor([[log_probs]])
    owed = Owed(torch.tensor(COUNTED), torch.tensor([[counts]]), torch.tensor([left]))
    found = keep_to_counts(table.clone(), None, owed)
    assert torch.equal(found[found.isfinite()], table[found.isfinite()])
    return set(found.isfinite().nonzero()[:, 2].tolist())


@pytest.fixture(params=[True, False], ids=["asked", "unasked"])
def _asking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU, whose tensors are asked for their numbers, and as elsewhere."""
    monkeypatch.setattr("nmt.search.rules.answers_at_once", lambda _: request.param)


@pytest.mark.usefixtures("_asking")
def test_pieces_follow_as_often_as_owed_and_the_end_when_nothing_is() -> None:
    falling = [-float(piece) for piece in range(1, ROWS + 1)]
    everything = set(range(ROWS))
    assert ruled(falling, (0, 0), 9) == everything - {4, 7}
    assert ruled(falling, (0, -1), 9) == everything - {4, 7}
    assert ruled(falling, (1, 0), 9) == everything - {7, EOS}
    assert ruled(falling, (1, 2), 4) == everything - {EOS}
    assert ruled(falling, (1, 2), 3) == {4, 7}
    ending = [-9.0, -9.0, -1.0, *[-9.0] * (ROWS - 3)]
    assert ruled(ending, (0, 1), 9) == {7}
    assert ruled(ending, (0, 0), 9) == everything - {4, 7}


@pytest.mark.usefixtures("_asking")
def test_only_scored_columns_and_the_rows_named_are_touched() -> None:
    ids = torch.tensor([EOS, 3, 7])
    table = torch.full((2, 1, 3), -1.0)
    owed = Owed(torch.tensor(COUNTED), torch.tensor([[[0, 0]], [[0, 0]]]), torch.tensor([5, 5]))
    found = keep_to_counts(table, ids, owed, rows=torch.tensor([True, False]))
    assert found[:, 0].isfinite().tolist() == [[True, True, False], [True, True, True]]


@pytest.mark.parametrize("ids", [None, [EOS, 3, 4, 5, 8]])
def test_a_device_that_is_not_asked_keeps_to_the_same_counts(
    ids: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(3)
    table = torch.randn(6, 5, ROWS if ids is None else len(ids), generator=generator).log_softmax(2)
    columns = None if ids is None else torch.tensor(ids)
    counts = torch.randint(-1, 3, (6, 5, len(COUNTED)), generator=generator)
    owed = Owed(torch.tensor(COUNTED), counts, torch.tensor([9, 3, 2, 1, 9, 9]))
    for rows in (None, torch.tensor([True, True, True, True, True, False])):
        found = []
        for asked in (True, False):
            monkeypatch.setattr("nmt.search.rules.answers_at_once", lambda _, asked=asked: asked)
            found.append(keep_to_counts(table.clone(), columns, owed, rows=rows))
        assert torch.equal(*found)
        assert not torch.equal(found[0], table)


def every(model: SearchModel, source: np.ndarray, quota: Counter[int], limit: int) -> dict[tuple[int, ...], float]:
    """Every translation that the rule allows, and its log-probability, one hypothesis at a time."""
    with torch.inference_mode():
        memory = model.encode(torch.tensor([[*source.tolist(), EOS]]), torch.tensor([len(source) + 1]))
        output, found = model.output(), {}
        waiting = [((), 0.0, model.initial_state(memory))]
        while waiting:
            pieces, total, state = waiting.pop()
            previous = torch.tensor([[pieces[-1] if pieces else START]])
            step = model.step(memory, state, previous, output)
            log_probs, owed = step.log_probs[0, 0].tolist(), quota - Counter(pieces)
            ends = owed and (
                log_probs[EOS] >= max(_allowed(log_probs, owed).values()) or limit - len(pieces) <= owed.total()
            )
            for piece, own in _allowed(log_probs, owed).items():
                if piece == EOS and not owed:
                    found[pieces] = total + own
                elif piece != EOS and len(pieces) < limit and (piece in owed or not ends):
                    waiting.append(((*pieces, piece), total + own, step.state))
    return found


def _allowed(log_probs: list[float], owed: Counter[int]) -> dict[int, float]:
    return {
        piece: own
        for piece, own in enumerate(log_probs)
        if own > -math.inf and (piece not in COUNTED or owed[piece] > 0)
    }


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_best_translation_that_keeps_to_its_counts(seed: int) -> None:
    model, limit = ToyModel(ROWS, seed), 3
    found_sources = sources(seed, ROWS, [3, 2, 3, 1])
    quotas = [Counter({4: 1}), Counter({4: 1, 7: 2}), Counter(), Counter({7: 1})]
    config = SearchConfig(beam=700, length_penalty=0.0, max_length=limit, allow_unknown=True)
    results = beam_search(model, found_sources, config, Wanted(counted=COUNTED, quotas=quotas, num_best=5))
    for source, quota, found in zip(found_sources, quotas, results, strict=True):
        expected = sorted(every(model, source, quota, limit).items(), key=lambda item: -item[1])[:5]
        finished = [one for one in found if one.finished][: len(expected)]
        assert [one.pieces for one in finished] == [pieces for pieces, _ in expected]
        assert [one.log_prob for one in finished] == pytest.approx([own for _, own in expected], abs=1e-5)
        assert all(kept(one, quota) for one in found)


def kept(found: Hypothesis, quota: Counter[int]) -> bool:
    return Counter(piece for piece in found.pieces if piece in COUNTED) == quota


@pytest.mark.parametrize("search", [beam_search, sample])
@pytest.mark.parametrize(
    "values", [{}, {"max_length": 1}, {"no_repeat_ngram": 1}, {"repetition_penalty": 3.0}, {"min_length": 9}]
)
def test_counts_hold_with_every_other_rule_and_in_any_company(search, values) -> None:  # type: ignore[no-untyped-def]
    model, generator = ToyModel(ROWS, 5), np.random.default_rng(1)
    given = sources(3, ROWS, generator.integers(1, 9, 40).tolist())
    quotas = [Counter({4: int(a), 7: int(b)}) + Counter() for a, b in generator.integers(0, 3, (40, 2))]
    prefixes = [[7, 3] if quota[7] else [] for quota in quotas]
    config = SearchConfig(beam=3, batch_tokens=24, max_length_ratio=1.5, allow_unknown=True, **values)
    for wanted in (Wanted(counted=COUNTED, quotas=quotas), Wanted(counted=COUNTED, quotas=quotas, prefixes=prefixes)):
        found = search(model, given, config, wanted)
        assert all(kept(each[0], quota) for each, quota in zip(found, quotas, strict=True))
        if wanted.prefixes:
            assert all(list(each[0].pieces[: len(own)]) == own for each, own in zip(found, prefixes, strict=True))


def test_only_what_is_amiss_is_searched_again() -> None:
    asked: list[list[int]] = []

    def search(some: Sequence[np.ndarray], wanted: Wanted) -> list[list[Hypothesis]]:
        asked.append([int(source[0]) for source in some])
        if wanted.quotas is None:
            return [[Hypothesis(pieces=(4, 4, int(source[0])), log_prob=0.0, score=0.0)] for source in some]
        assert wanted.numbers == [1]
        assert wanted.prefixes == [[5]]
        return [[Hypothesis(pieces=(7,), log_prob=-1.0, score=-1.0)] for _ in some]

    quotas = [Counter({4: 2}), Counter({7: 1})]
    wanted = Wanted(counted=COUNTED, quotas=quotas, prefixes=[[], [5]])
    found, amiss = counted_search(search, [np.array([0]), np.array([1])], wanted)
    assert asked == [[0, 1], [1]]
    assert [each[0].pieces for each in found] == [(4, 4, 0), (7,)]
    assert amiss == [Amiss(0, 0), Amiss(1, 2)]
