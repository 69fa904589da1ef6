"""The probability of the next word, in scoring: of the model as it is, or averaged over dropout masks.

Monte Carlo dropout (Gal and Ghahramani, 2016, section 3): masks are drawn as in training, and probabilities, not
scores, are averaged over the draws. Every draw carries a state of its own through the text.

Shapes: T steps, B streams.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nmt.layers.word_cross_entropy import word_log_probs
from nmt.models.language import LanguageModel, LanguageState


@torch.no_grad()
def next_word_log_probs(
    model: LanguageModel, inputs: Tensor, labels: Tensor, states: Sequence[LanguageState]
) -> tuple[Tensor, list[LanguageState]]:
    """log p(label), [T, B], and the states after the last word. inputs, labels: [T, B] int64.

    states: one for each draw. A model in eval mode draws nothing and needs one state; one in training mode draws from
    torch's generator for each state, and the mean of their probabilities is given.
    """
    total: Tensor | None = None
    after: list[LanguageState] = []
    for state in states:
        rows, last = model.features(inputs, state)
        matrices = model.embeddings
        found = word_log_probs(
            rows.flatten(0, 1), matrices.output, matrices.output_bias, labels.flatten(), model.compute_dtype
        ).view_as(labels)
        total = found if total is None else torch.logaddexp(total, found)
        after.append(last)
    assert total is not None, "no state"
    return total - math.log(len(states)), after
