"""A model folder as a function from pairs of lines to log-probabilities: forced decoding.

from nmt.scorer import Scorer
Scorer.load("model").score(["Hello world."], ["Hallo Welt."])
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.bundle import Bundle, load_bundle
from nmt.data.batching import Batch, BatchMaker
from nmt.data.corpus import ParallelIds
from nmt.device import pick_device
from nmt.vocabulary import PAD

BATCH_TOKENS = 2048
"Padded positions of a side in one batch at most, unless one pair alone has more."
MAX_SCORES = 2**24
"Scores (positions x target rows) held at a time: 64 MiB in float32."


class Scorer:
    """Scores given translations. Keeps no state between calls."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @classmethod
    def load(cls, folder: Path | str, *, device: str = "auto") -> Scorer:
        """Load a model folder on a device. Raises UserError where either is not there."""
        return cls(load_bundle(Path(folder), pick_device(device)))

    def score(self, sources: Sequence[str], targets: Sequence[str], *, segmented: bool = False) -> list[list[float]]:
        """Natural log-probabilities of each target's pieces and, last, of </s>, given its source.

        segmented: lines are pieces with a space between each two. Otherwise they are raw text. Raises UserError where
        the numbers of lines differ.
        """
        if len(sources) != len(targets):
            raise UserError(f"{len(sources):,} sources for {len(targets):,} targets", hint="one target for each source")
        text, encode = self.bundle.text, self.bundle.vocabulary.encode
        source = [encode(line.split() if segmented else text.pieces(line, "source")) for line in sources]
        target = [encode(line.split() if segmented else text.pieces(line, "target")) for line in targets]
        pairs = ParallelIds(*ragged(source), *ragged(target))
        maker = BatchMaker(pairs, self.bundle.source_view, self.bundle.target_view)
        result: list[list[float]] = [[] for _ in sources]
        device = self.bundle.model.embeddings.output.device
        for rows in batches([max(len(s), len(t)) + 1 for s, t in zip(source, target, strict=True)]):
            for row, log_probs in zip(rows, self._score(maker.make(rows).to(device)), strict=True):
                result[row] = log_probs
        return result

    @torch.inference_mode()
    def _score(self, batch: Batch) -> list[list[float]]:
        """Log-probabilities of a batch's real target positions, sentence by sentence."""
        values = self._label_log_probs(self.bundle.model.readout(batch), batch.target_labels())
        mask = batch.target_mask.t()
        grid = torch.zeros(mask.shape, device=mask.device)
        grid[mask] = values
        lengths = batch.target_lengths.tolist()
        return [row[:length] for row, length in zip(grid.t().tolist(), lengths, strict=True)]

    def _label_log_probs(self, readout: Tensor, labels: Tensor) -> Tensor:
        """[N, E] readouts and [N] labels -> [N] log-probabilities, a chunk of rows at a time."""
        matrices = self.bundle.model.embeddings
        rows = max(1, MAX_SCORES // len(matrices.output))
        parts = []
        for start in range(0, len(labels), rows):
            scores = matrices.scores(readout[start : start + rows]).float()
            scores[:, PAD] = -torch.inf  # no piece
            log_probs = torch.log_softmax(scores, -1)
            parts.append(log_probs.gather(1, labels[start : start + rows, None])[:, 0])
        return torch.cat(parts)


def ragged(lines: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lists of ids as flat ids and n + 1 offsets."""
    offsets = np.array([0, *accumulate(len(line) for line in lines)], dtype=np.int64)
    return np.fromiter(chain.from_iterable(lines), dtype=np.int32, count=int(offsets[-1])), offsets


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of like length together, at most BATCH_TOKENS padded positions a batch unless one alone has more."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    groups: list[list[int]] = []
    for index in order:
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= BATCH_TOKENS:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
