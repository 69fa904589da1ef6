"""What a few steps of a text cost a language model, and the state it carries from there."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bpe.errors import UserError
from nmt.data.streams import TextBatch
from nmt.layers.word_cross_entropy import word_cross_entropy
from nmt.models.language import LanguageModel, LanguageState, detached
from nmt.tasks.interface import Carried, Loss, Objective


class LanguageObjective(Objective[TextBatch]):
    """Cross entropy summed over the steps and averaged over the streams, as in Zaremba et al.'s code; and penalties.

    What is carried is the state of every stream after the last update: truncated backpropagation through time. It is
    zero where the text begins anew.
    """

    def __init__(self, streams: int, weight_decay: float) -> None:
        self.streams, self.weight_decay = streams, weight_decay

    def loss(self, model: LanguageModel, batch: TextBatch, carried: Carried) -> Loss:
        """See Objective.loss."""
        matrices, number = model.embeddings, batch.words.shape[1]
        place = slice(batch.first, batch.first + number)
        before = (
            model.initial_state(number) if batch.begins else tuple(part[..., place, :] for part in carried.values())
        )
        rows, state = model.features(batch.words, tuple(part.contiguous() for part in before))
        flat, labels = rows.flatten(0, 1), batch.labels.flatten()
        mean = word_cross_entropy(
            flat, matrices.output, matrices.output_bias, labels, model.compute_dtype, scale=1 / number
        )
        loss, cost = mean + model.penalty(batch.num_streams), mean.detach() * number
        left = {name: torch.zeros_like(part) for name, part in carried.items()}
        for part, after in zip(left.values(), detached(state), strict=True):
            part[..., place, :] = after
        return Loss(loss, cost, cost, left)

    def start(self, model: LanguageModel) -> Carried:
        """Zeros."""
        return named(model.initial_state(self.streams))

    def num_tokens(self, batch: TextBatch) -> int:
        """Words that are predicted."""
        return batch.labels.numel()

    def count(self, batch: TextBatch) -> int:
        """Streams: the cost is a mean over them and a sum over the steps."""
        return batch.words.shape[1]

    def share_of(self, batch: TextBatch, rank: int, size: int) -> TextBatch | None:
        """Some of the streams."""
        number = batch.words.shape[1]
        first, last = rank * number // size, (rank + 1) * number // size
        if first == last:
            return None
        return batch if size == 1 else batch.streams(first, last)

    def describe(self, batches: Sequence[TextBatch]) -> str:
        """Which words of the streams."""
        first, last = batches[0], batches[-1]
        end = last.step + last.words.shape[0]
        return f"words {first.step + 1:,} to {end:,} of each of {first.num_streams} streams"

    def too_large(self, batch: TextBatch) -> UserError:
        """See Objective.too_large."""
        steps, number = batch.words.shape
        return UserError(
            f"an update does not fit in memory ({number} streams of {steps} steps)",
            where="lm.unroll",
            hint="lower lm.unroll or lm.streams, or set training.part_tokens",
        )


def named(state: LanguageState) -> dict[str, torch.Tensor]:
    """The tensors of a state under names for a file, in order."""
    return {f"state.{number}": part for number, part in enumerate(state)}
