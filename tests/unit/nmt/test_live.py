"""Sentences that come and go one by one are translated as they are when all are there at once."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from nmt.config import SearchConfig
from nmt.folder.bundle import load_bundle
from nmt.search.live import LiveSearch
from nmt.search.request import Wanted
from nmt.text.vocabulary import EOS
from nmt.translate.searcher import Searcher
from tests.tiny_model import make_model_folder

LONGEST = 12


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(make_model_folder(tmp_path_factory.mktemp("live") / "model"), torch.device("cpu"))


def searched(searcher, sources, wanted, *, drop=(), seed=1):
    """Hypotheses by source, a few sources joining at a time."""
    search = LiveSearch(searcher.model, searcher.config, wanted, LONGEST)
    draws, waiting, owners, found = random.Random(seed), list(range(len(sources))), {}, {}
    while waiting or search.at_work:
        count = min(draws.randint(0, 3), len(waiting), search.places(LONGEST) - len(search.at_work))
        if count > 0 or not search.at_work:
            new, waiting = waiting[: max(1, count)], waiting[max(1, count) :]
            owners |= dict(zip(search.add([sources[index] for index in new]), new, strict=True))
        if gone := {slot for slot in search.at_work if owners[slot] in drop and draws.random() < 0.5}:
            search.drop(gone)
        if search.at_work:
            found |= {owners[slot]: hypotheses for slot, hypotheses in search.step()}
    return found, search


@pytest.mark.parametrize(
    ("settings", "attention"),
    [
        ({}, False),
        ({}, True),
        ({"beam": 1}, False),
        ({"coverage_penalty": 0.3, "no_repeat_ngram": 2, "repetition_penalty": 1.2}, True),
        ({"batch_tokens": 20, "min_length": 2}, False),
    ],
)
def test_company_and_order_change_nothing(bundle, settings, attention):
    config = replace(SearchConfig(beam=3, max_length_ratio=1.0), **settings)
    searcher = Searcher.of([bundle], config)
    draws = random.Random(3)
    sources = [torch.randint(4, 40, (draws.randint(1, LONGEST),)).numpy() for _ in range(25)]
    wanted = Wanted(num_best=min(2, config.beam), attention=attention, source_only=searcher.source_only)
    expected, _ = searcher.search(sources, wanted)
    found, search = searched(searcher, sources, wanted)
    assert sorted(found) == list(range(len(sources)))
    assert not search.at_work
    for index, hypotheses in enumerate(expected):
        assert [each.pieces for each in found[index]] == [each.pieces for each in hypotheses]
        assert [each.score for each in found[index]] == pytest.approx([each.score for each in hypotheses], abs=1e-4)
        if attention:
            for one, other in zip(found[index], hypotheses, strict=True):
                torch.testing.assert_close(one.attention, other.attention, atol=1e-4, rtol=1e-4)


def test_shortlists(bundle):
    searcher = Searcher.of([bundle], SearchConfig(beam=3, max_length_ratio=1.0))
    draws = random.Random(3)
    sources = [torch.randint(4, 40, (draws.randint(1, LONGEST),)).numpy() for _ in range(25)]

    def shortlist(source):
        return np.union1d([EOS], np.concatenate([source, source // 2 + 4]))

    wanted = Wanted(num_best=2, shortlist=shortlist, source_only=searcher.source_only)
    expected, _ = searcher.search(sources, wanted)
    found, _ = searched(searcher, sources, wanted)
    for index, hypotheses in enumerate(expected):
        assert [each.pieces for each in found[index]] == [each.pieces for each in hypotheses]


def test_what_is_given_up_leaves_and_frees_its_place(bundle):
    searcher = Searcher.of([bundle], SearchConfig(beam=3, max_length_ratio=1.0))
    sources = [torch.randint(4, 40, (length,)).numpy() for length in (12, 3, 9, 5, 12, 7, 8, 4)]
    wanted = Wanted(source_only=searcher.source_only)
    expected, _ = searcher.search(sources, wanted)
    found, search = searched(searcher, sources, wanted, drop={0, 4, 5})
    assert not search.at_work
    assert set(found) >= {1, 2, 3, 6, 7}
    for index in set(found) - {0, 4, 5}:
        assert found[index][0].pieces == expected[index][0].pieces


def test_the_first_always_finds_room_and_slots_are_used_again(bundle):
    searcher = Searcher.of([bundle], SearchConfig(beam=2, max_length_ratio=1.0, batch_tokens=10))
    search = LiveSearch(searcher.model, searcher.config, Wanted(source_only=searcher.source_only), LONGEST)
    assert search.places(LONGEST) == 1
    [first] = search.add([torch.full((9,), 5).numpy()])
    assert search.places(1) == 1
    search.drop({first})
    assert search.places(1) == 5
    assert search.add([torch.full((2,), 5).numpy()]) == [first]
