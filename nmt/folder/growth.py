"""Weights of a model for a vocabulary that has grown: old rows keep their values, new ones get the mean of others.

The union's order is `specials | both | only in source | only in target`, so that a new piece moves rows, and a piece
that a second side has now moves itself: rows are found by their pieces. A new row is the mean of the rows of the parts
that spelt the piece before (`nmt.text.parts`), in the same matrix, or of all rows but the specials' where no part is
known. So is its output bias: its first score is the mean of theirs, and its probability at most the largest of theirs.
A tied matrix is one storage, and grows once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nmt.layers.tying import unique_parameters
from nmt.models.interface import EMBEDDINGS, TranslationModel
from nmt.text.parts import PieceParts
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import NUM_SPECIALS, Vocabulary


@dataclass(frozen=True)
class GrownRows:
    """Where the rows of a grown matrix come from. origins: for each, the old rows whose mean it is; none: all."""

    origins: Sequence[Sequence[int]]
    new: int
    "Rows that are a mean."
    without_parts: int
    "Those of them that are the mean of all rows."

    @classmethod
    def of(cls, before: Sequence[str], after: Sequence[str], text: TextPipeline) -> GrownRows:
        """before, after: the pieces of the old and the new rows, specials first."""
        known = {piece: row for row, piece in enumerate(before[NUM_SPECIALS:], NUM_SPECIALS)}
        parts = PieceParts(text, frozenset(known))
        origins = [[row] for row in range(NUM_SPECIALS)]
        origins += [[known[part] for part in parts.of(piece)] for piece in after[NUM_SPECIALS:]]
        new = [row for row, piece in enumerate(after[NUM_SPECIALS:], NUM_SPECIALS) if piece not in known]
        return cls(origins, len(new), sum(not origins[row] for row in new))

    def grown(self, matrix: Tensor) -> Tensor:
        """[old rows, ...] -> [new rows, ...]."""
        mean = matrix[NUM_SPECIALS:].mean(0)
        copied = [row[0] if len(row) == 1 else 0 for row in self.origins]
        result = matrix.index_select(0, torch.tensor(copied))
        for number, row in enumerate(self.origins):
            if len(row) != 1:
                result[number] = matrix[list(row)].mean(0) if row else mean
        return result


@dataclass(frozen=True)
class Growth:
    """How a model's vocabulary has grown: the rows of both views, which are one where the model's are."""

    source: GrownRows
    target: GrownRows
    scored: GrownRows
    "The rows of the target view, which a three-way model may score alone."

    @classmethod
    def of(cls, before: Vocabulary, after: Vocabulary, text: TextPipeline, *, shared: bool) -> Growth:
        """text: the pipeline whose merges both vocabularies are of. shared: whether one matrix has the union's rows."""
        specials = before.pieces[:NUM_SPECIALS]
        views = [((*specials, *before.side(side)), (*specials, *after.side(side))) for side in ("source", "target")]
        source, target = (GrownRows.of(*view, text) for view in views)
        if shared:
            rows = GrownRows.of(before.pieces, after.pieces, text)
            return cls(rows, rows, target)
        return cls(source, target, target)

    @property
    def any(self) -> bool:
        """Whether there is a new row."""
        return bool(self.source.new or self.target.new)

    def weights(self, model: TranslationModel) -> dict[str, Tensor]:
        """A model's weights, each storage once, for the vocabulary that has grown."""
        tensors = {name: parameter.detach() for name, parameter in unique_parameters(model).items()}
        own = self.target if model.embeddings.union_target == model.embeddings.union_source else self.scored
        rows = {"source_input": self.source, "target_input": self.target, "output": self.target, "output_bias": own}
        for role, grown in rows.items():
            if (name := f"{EMBEDDINGS}.{role}") in tensors:
                tensors[name] = grown.grown(tensors[name])
        return tensors
