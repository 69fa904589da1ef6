"""Section 3 of the paper on a tiny model: which rows an update changes, and that a tied row's gradient is a sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from nmt.config import LanguageConfig
from nmt.data.streams import Streams, TextBatch
from nmt.models.language import LanguageModel
from nmt.models.language_build import build_language_model
from nmt.reproduce.language.roles import RoleGradients, likeness, role_gradients, sampled_likeness, spread

pytestmark = pytest.mark.numeric
WORDS = np.array([3, 1, 4, 1, 5, 3, 2, 6, 5, 3, 5, 8, 1, 7, 3, 2], dtype=np.int32)
"Word 8 is the last of a stream, so that it is predicted and never read; 0 and 9 are neither."
NUM_WORDS = 10


def model_of(tying: str) -> LanguageModel:
    config = LanguageConfig(tying=tying, embedding_size=4, layers=2, streams=2, unroll=7)
    return build_language_model(config, NUM_WORDS, seed=2).to(torch.float64)


def batch() -> TextBatch:
    words = WORDS.copy()
    words[[7, 11]] = 8, 6
    return Streams(words, 2, 7).batch(0)


def gradients(model: LanguageModel) -> dict[str, torch.Tensor]:
    """By plain autograd through all scores."""
    of = batch()
    rows, _ = model.features(of.words, model.initial_state(2))
    scores = model.embeddings.scores(rows).flatten(0, 1)
    cost = functional.cross_entropy(scores, of.labels.flatten(), reduction="sum") / 2
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(cost, parameters), strict=True))


def test_an_update_changes_the_input_rows_that_were_read_and_every_output_row() -> None:
    found = gradients(model_of("untied"))
    read = set(batch().words.flatten().tolist())
    assert 8 not in read
    assert set(found["embeddings.input"].any(1).nonzero().flatten().tolist()) == read
    assert found["embeddings.output"].any(1).all()


def test_a_tied_rows_gradient_is_the_sum_of_both_roles() -> None:
    tied, untied = model_of("tied"), model_of("untied")
    untied.load_state_dict({**tied.state_dict(), "embeddings.output": tied.embeddings.input.detach()})
    apart, together = gradients(untied), gradients(tied)
    expected = apart["embeddings.input"] + apart["embeddings.output"]
    torch.testing.assert_close(together["embeddings.input"], expected, rtol=1e-12, atol=1e-14)
    unread = ~apart["embeddings.input"].any(1)
    assert unread.sum() == NUM_WORDS - len(set(batch().words.flatten().tolist()))
    torch.testing.assert_close(together["embeddings.input"][unread], apart["embeddings.output"][unread])


@pytest.mark.parametrize("tying", ["tied", "untied"])
def test_roles_are_taken_apart(tying: str) -> None:
    model = model_of(tying)
    found = role_gradients(model, batch(), model.initial_state(2))
    whole = gradients(model)
    if tying == "tied":
        torch.testing.assert_close(found.input + found.output, whole["embeddings.input"], rtol=1e-12, atol=1e-14)
    else:
        torch.testing.assert_close(found.input, whole["embeddings.input"], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(found.output, whole["embeddings.output"], rtol=1e-12, atol=1e-14)


def test_likeness_by_hand() -> None:
    as_input = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0]])
    as_output = torch.tensor([[1.0, 1.0], [0.0, 4.0], [0.0, 2.0]])
    found = likeness(RoleGradients(as_input, as_output))  # sums: (1, 1), (3, 4), (0, 3)
    assert found.all_output == pytest.approx((1 + 0.8 + 1) / 3)
    assert found.all_input == pytest.approx((0 + 0.6 + 1) / 3)
    assert found.read_output == pytest.approx((0.8 + 1) / 2)
    assert found.read_input == pytest.approx((0.6 + 1) / 2)
    assert found.matrix_output == pytest.approx((2 + 16 + 6) / (36 * 22) ** 0.5)
    assert found.matrix_input == pytest.approx((9 + 3) / (36 * 10) ** 0.5)
    assert (found.input_share, found.output_share) == (pytest.approx(2 / 3), 1)
    assert found.norms == pytest.approx((10 / 22) ** 0.5)


def test_batches_are_spread_and_each_has_one_before_it() -> None:
    assert spread(1, 4) == [0]
    assert spread(2, 4) == [1]
    assert spread(5, 4) == [1, 2, 3, 4]
    assert spread(101, 2) == [26, 76]
    for length in range(2, 40):
        places = spread(length, 7)
        assert len(set(places)) == len(places) == min(7, length - 1)
        assert min(places) >= 1
        assert max(places) < length


def test_a_sample_is_the_mean_over_its_batches() -> None:
    model = model_of("tied")
    streams = Streams(np.random.default_rng(1).integers(0, NUM_WORDS, 2 * 22).astype(np.int32), 2, 7)
    found = sampled_likeness(model, streams, 5)
    parts = []
    for place in (1, 2):
        _, state = model.features(streams.batch(place - 1).words, model.initial_state(2))
        state = tuple(part.detach() for part in state)
        parts.append(likeness(role_gradients(model, streams.batch(place), state)))
    assert found.read_output == pytest.approx((parts[0].read_output + parts[1].read_output) / 2)
    assert found.norms == pytest.approx((parts[0].norms + parts[1].norms) / 2)
