"""Scoring with several models against following step by step what search sees of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bpe.errors import UserError
from nmt.folder.bundle import Bundle, load_bundle
from nmt.search.forced import follow
from nmt.translate.scorer import Scorer
from nmt.translate.searcher import Searcher
from tests.tiny_model import make_model_folder

MODES = ("untied", "decoder", "three-way")
SOURCES = [["a@@", "b", "only"], [], ["x", "source", "y@@"], ["one"]]
TARGETS = [["c", "one"], ["a"], ["only", "d@@", "nowhere", "two"], []]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    root = tmp_path_factory.mktemp("models")
    names = {name: (name.split()[0], "rnn") for name in (*MODES, "three-way 2")}
    names |= {f"{mode} transformer": (mode, "transformer") for mode in MODES}
    folders = {
        name: make_model_folder(root / name, tying=tying, seed=seed, architecture=architecture)
        for seed, (name, (tying, architecture)) in enumerate(names.items(), 1)
    }
    return {name: load_bundle(folder, torch.device("cpu")) for name, folder in folders.items()}


TRANSFORMERS = tuple(f"{mode} transformer" for mode in MODES)


@pytest.mark.parametrize(
    "names",
    [
        *(MODES[:1], MODES[2:], MODES[:2], ("three-way", "three-way 2"), MODES),
        *(TRANSFORMERS[:1], TRANSFORMERS[2:], ("three-way", "three-way transformer"), (MODES[0], *TRANSFORMERS)),
    ],
)
def test_one_pass_gives_what_following_gives(names: tuple[str, ...], bundles: dict[str, Bundle]) -> None:
    chosen = [bundles[name] for name in names]
    searcher, encode = Searcher.of(chosen, chosen[0].config.search), chosen[0].vocabulary.encode
    sides = ([np.array(encode(pieces), dtype=np.int64) for pieces in side] for side in (SOURCES, TARGETS))
    sources, targets = next(sides), next(sides)
    followed = follow(
        searcher.model,
        [searcher.source_view.from_union(ids) for ids in sources],
        [searcher.target_view.from_union(ids).tolist() for ids in targets],
    )
    found = Scorer(chosen[0], ensemble=chosen[1:]).score_pieces(SOURCES, TARGETS)
    assert [len(values) for values in found] == [len(pieces) + 1 for pieces in TARGETS]
    for values, expected in zip(found, followed, strict=True):
        assert values == pytest.approx(expected.log_probs, abs=1e-4)


def test_the_order_of_members_and_their_repetition_change_nothing(bundles: dict[str, Bundle]) -> None:
    chosen = [bundles[name] for name in MODES]
    usual = Scorer(chosen[0], ensemble=chosen[1:]).score_pieces(SOURCES, TARGETS)
    for others in (chosen[::-1], chosen * 2):
        found = Scorer(others[0], ensemble=others[1:]).score_pieces(SOURCES, TARGETS)
        assert [math.fsum(values) for values in found] == pytest.approx([math.fsum(v) for v in usual], abs=1e-4)


def test_numbers_that_are_none_are_an_error(tmp_path: Path) -> None:
    scorer = Scorer.load(make_model_folder(tmp_path / "model"), device="cpu")
    with torch.no_grad():
        scorer.bundle.model.embeddings.output_bias.fill_(math.nan)
    with pytest.raises(UserError, match="NaN"):
        scorer.score(["a"], ["b"])
