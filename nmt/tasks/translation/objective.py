"""What a batch of pairs costs, and how it is divided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bpe.errors import UserError
from nmt.config import TrainingConfig
from nmt.data.batching import Batch
from nmt.data.filling import FilledBatch, filled
from nmt.layers.cross_entropy import chunked_cross_entropy
from nmt.models.interface import TranslationModel
from nmt.tasks.interface import Carried, Loss, Objective


class TranslationObjective(Objective[Batch]):
    """Label-smoothed cross entropy of the targets; nothing is carried from batch to batch."""

    fills = True

    def __init__(self, settings: TrainingConfig) -> None:
        self.smoothing, self.by_sentence = settings.label_smoothing, settings.normalization == "sentences"

    def loss(self, model: TranslationModel, batch: Batch, carried: Carried) -> Loss:
        """See Objective.loss."""
        readout, matrix = model.embeddings.scoring(model.readout(batch))
        costs = chunked_cross_entropy(
            readout,
            matrix,
            model.embeddings.output_bias,
            batch.target_labels(),
            self.smoothing,
            model.compute_dtype,
        )
        count = batch.divisor if isinstance(batch, FilledBatch) else self.count(batch)
        return Loss(costs.smoothed / count, costs.smoothed.detach(), costs.cross_entropy, {})

    def num_tokens(self, batch: Batch) -> int:
        """Real target pieces, </s> included."""
        return batch.num_target_tokens

    def count(self, batch: Batch) -> int:
        """Pairs or target pieces, as training.normalization says."""
        return len(batch.pairs) if self.by_sentence else batch.num_target_tokens

    def share_of(self, batch: Batch, rank: int, size: int) -> Batch | None:
        """See Objective.share_of."""
        return share_of(batch, rank, size)

    def filled(self, batch: Batch) -> Batch:
        """See Objective.filled."""
        return filled(batch, self.count(batch))

    def describe(self, batches: Sequence[Batch]) -> str:
        """How many pairs, and which."""
        pairs = [row for batch in batches for row in batch.pairs]
        shown = ", ".join(str(row + 1) for row in pairs[:5])
        return f"{len(pairs)} pairs, numbers {shown} ... of the prepared training data"

    def too_large(self, batch: Batch) -> UserError:
        """See Objective.too_large."""
        positions = f"{batch.source.numel()} source and {batch.target.numel()} target positions"
        return UserError(
            f"the largest batch does not fit in memory ({len(batch.pairs)} pairs, {positions})",
            where="training.batch_tokens",
            hint="lower training.batch_tokens or training.max_length",
        )


def share_of(batch: Batch, rank: int, size: int) -> Batch | None:
    """The pairs of a batch that one of `size` workers computes, next to each other, about as many tokens as the others.

    None where there are fewer pairs than workers and none is left for this one.
    """
    if size == 1:
        return batch
    lengths = batch.lengths.sum(0)
    ends = lengths.cumsum()
    owners = (2 * ends - lengths) * size // (2 * ends[-1])  # by the middle of each pair
    start, end = np.searchsorted(owners, [rank, rank + 1]).tolist()
    return batch.part(start, end) if start < end else None
