"""The gradient of a language model's vocabulary rows by their role (Press & Wolf, 2017, section 3).

As input, a row is updated where its word is read; as output, in every update. A tied row has the sum of both.

Shapes: C words of the vocabulary, E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nmt.data.streams import Streams, TextBatch
from nmt.layers.word_cross_entropy import word_cross_entropy
from nmt.models.language import LanguageModel, LanguageState


@dataclass(frozen=True)
class RoleGradients:
    """Of the cost of one batch."""

    input: Tensor
    "[C, E]: through what the model reads."
    output: Tensor
    "[C, E]: through the scores."


@dataclass(frozen=True, kw_only=True)
class RoleLikeness:
    """How like a tied matrix's gradient is to what each of its roles gives, as cosines; means over some batches."""

    all_output: float
    "Of a row with what the output gives it, mean over all rows; 1 where the word was not read."
    all_input: float
    "Of a row with what the input gives it, mean over all rows; 0 where the word was not read, which gives nothing."
    read_output: float
    "As all_output, over the rows of the words that were read."
    read_input: float
    "As all_input, over the rows of the words that were read."
    matrix_output: float
    "Of the whole matrix with the output's part."
    matrix_input: float
    "Of the whole matrix with the input's part."
    input_share: float
    "Share of the rows that the input's part changes."
    output_share: float
    "Share of the rows that the output's part changes."
    norms: float
    "Length of the input's part by that of the output's."


def role_gradients(model: LanguageModel, batch: TextBatch, state: LanguageState) -> RoleGradients:
    """Two passes backward, one use of the matrix detached in each. state: before the batch. Penalties are left out."""
    matrices, labels = model.embeddings, batch.labels.flatten()
    with torch.enable_grad():
        rows, _ = model.features(batch.words, state)
        flat, output, bias = rows.flatten(0, 1), matrices.output, matrices.output_bias.detach()
        scale = 1 / batch.words.shape[1]
        as_input = word_cross_entropy(flat, output.detach(), bias, labels, scale=scale)
        as_output = word_cross_entropy(flat.detach(), output, bias, labels, scale=scale)
        (of_input,) = torch.autograd.grad(as_input, matrices.input)
        (of_output,) = torch.autograd.grad(as_output, output)
    return RoleGradients(of_input, of_output)


def likeness(found: RoleGradients) -> RoleLikeness:
    """Of one batch of a tied model."""
    both = found.input + found.output
    read = found.input.any(1)
    rows = [torch.cosine_similarity(both, part, dim=1) for part in (found.output, found.input)]
    whole = [torch.cosine_similarity(both.flatten(), part.flatten(), dim=0) for part in (found.output, found.input)]
    return RoleLikeness(
        all_output=float(rows[0].mean()),
        all_input=float(rows[1].mean()),
        read_output=float(rows[0][read].mean()),
        read_input=float(rows[1][read].mean()),
        matrix_output=float(whole[0]),
        matrix_input=float(whole[1]),
        input_share=float(read.float().mean()),
        output_share=float(found.output.any(1).float().mean()),
        norms=float(found.input.norm() / found.output.norm()),
    )


def sampled_likeness(model: LanguageModel, streams: Streams, number: int) -> RoleLikeness:
    """The mean over `number` batches spread over a text, the state of each coming from the batch before it.

    The model is left in evaluation mode, so that nothing is dropped.
    """
    model.eval().requires_grad_(True)
    found = [likeness(role_gradients(model, *_at(model, streams, place))) for place in spread(len(streams), number)]
    names = RoleLikeness.__dataclass_fields__
    return RoleLikeness(**{name: sum(getattr(each, name) for each in found) / len(found) for name in names})


def spread(length: int, number: int) -> Sequence[int]:
    """Places of batches: at most `number`, evenly from the second to the last; the first alone where there is no other.

    Each needs one before it.
    """
    if length < 2:
        return [0]
    number = min(number, length - 1)
    return [1 + (2 * each + 1) * (length - 1) // (2 * number) for each in range(number)]


def _at(model: LanguageModel, streams: Streams, place: int) -> tuple[TextBatch, LanguageState]:
    state = model.initial_state(streams.number)
    if place:
        with torch.no_grad():
            _, state = model.features(streams.batch(place - 1).to(model.device).words, state)
    return streams.batch(place).to(model.device), tuple(part.detach() for part in state)
