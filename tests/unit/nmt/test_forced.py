"""Following given translations step by step, against scoring them in one pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nmt.models.interface import START
from nmt.search.forced import Followed, follow
from nmt.text.vocabulary import EOS, PAD
from nmt.translate.scorer import Scorer
from tests.tiny_model import make_model_folder

pytestmark = pytest.mark.numeric
TYINGS = ("untied", "decoder", "three-way")
SOURCES = ["a cat", "the dog sat", "", "b", "zebra, quick fox.", "ab cd ef gh", "x"]
TARGETS = ["ein", "der hund", "y", "", "ja, nein. wo", "abc", "a b c d e f"]


@pytest.fixture(scope="module", params=TYINGS)
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    folder = make_model_folder(tmp_path_factory.mktemp("model") / "model", tying=request.param)
    return Scorer.load(folder, device="cpu")


def ids(scorer: Scorer) -> tuple[list[np.ndarray], list[list[int]]]:
    """The sentences in ids of the model's views."""
    bundle = scorer.bundle

    def union(line: str, side: str) -> np.ndarray:
        pieces = bundle.text.pieces(line, side)  # type: ignore[arg-type]
        return np.array(bundle.vocabulary.encode(pieces), dtype=np.int64)

    sources = [bundle.source_view.from_union(union(line, "source")) for line in SOURCES]
    return sources, [bundle.target_view.from_union(union(line, "target")).tolist() for line in TARGETS]


def followed(scorer: Scorer, **options: int) -> list[Followed]:
    return follow(scorer.bundle.model, *ids(scorer), **options)


@pytest.mark.parametrize("batch_sentences", [1, 3, 32])
def test_log_probabilities_are_the_scorers(scorer: Scorer, batch_sentences: int) -> None:
    for found, expected in zip(
        followed(scorer, batch_sentences=batch_sentences), scorer.score(SOURCES, TARGETS), strict=True
    ):
        assert found.log_probs == pytest.approx(expected, abs=1e-5)


def test_attention_has_a_row_for_each_step_and_no_padding(scorer: Scorer) -> None:
    sources, targets = ids(scorer)
    for found, alone, source, target in zip(
        followed(scorer), followed(scorer, batch_sentences=1), sources, targets, strict=True
    ):
        assert found.attention.shape == (len(target) + 1, len(source) + 1)
        assert found.attention.sum(1).tolist() == pytest.approx([1.0] * (len(target) + 1), abs=1e-5)
        torch.testing.assert_close(found.attention, alone.attention)


@torch.inference_mode()
def test_runners_up_are_the_likeliest_pieces_of_each_step(scorer: Scorer) -> None:
    model = scorer.bundle.model
    for found, source, target in zip(followed(scorer, runners_up=4), *ids(scorer), strict=True):
        memory = model.encode(torch.tensor([[*source.tolist(), EOS]]), torch.tensor([len(source) + 1]))
        state, previous, output = model.initial_state(memory), START, model.output()
        assert len(found.runners_up) == len(target) + 1
        for best, log_prob, piece in zip(found.runners_up, found.log_probs, [*target, EOS], strict=True):
            step = model.step(memory, state, torch.tensor([[previous]]), output)
            row = step.log_probs[0, 0].tolist()
            expected = sorted(range(len(row)), key=lambda index: -row[index])[:4]
            assert [index for index, _ in best] == expected
            assert [value for _, value in best] == pytest.approx([row[index] for index in expected], abs=1e-5)
            assert log_prob == pytest.approx(row[piece], abs=1e-5)
            state, previous = step.state, piece


def test_runners_up_are_never_more_than_the_pieces(scorer: Scorer) -> None:
    rows = scorer.bundle.model.num_targets
    for found in followed(scorer, runners_up=10 * rows):
        for best in found.runners_up:
            assert sorted(index for index, _ in best) == [row for row in range(rows) if row != PAD]
    assert followed(scorer)[0].runners_up == ((),) * len(followed(scorer)[0].log_probs)


def test_nothing_to_follow(scorer: Scorer) -> None:
    assert follow(scorer.bundle.model, [], []) == []
    with pytest.raises(AssertionError, match="one target"):
        follow(scorer.bundle.model, [], [[3]])
