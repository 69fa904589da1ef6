"""A model folder as a function from pairs of lines to log-probabilities: forced decoding.

from nmt.translate.scorer import Scorer
Scorer.load("model").score(["Hello world."], ["Hallo Welt."])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.data.batching import BatchMaker
from nmt.data.corpus import ParallelIds
from nmt.device import pick_device
from nmt.folder.bundle import Bundle, load_bundle
from nmt.search.expansion import check_numbers
from nmt.text.vocabulary import PAD
from nmt.translate.alike import batches
from nmt.translate.searcher import check_same
from nmt.translate.segments import source_prefix

MAX_SCORES = 2**24
"Scores (positions x target rows) held at a time: 64 MiB in float32."


Pieces = Sequence[Sequence[str]]
"Pieces of several texts, each without </s>."


@dataclass(frozen=True)
class _Member:
    """A model, and what scores the target rows that all members have."""

    bundle: Bundle
    rows: Tensor | None
    "[V] its rows of these; None: they are all of its own."

    def readouts(self, pairs: ParallelIds, rows: Sequence[int]) -> Tensor:
        """Decoder features of the pairs' target positions, [N, E], step by step. pairs: in union ids."""
        maker = BatchMaker(pairs, self.bundle.source_view, self.bundle.target_view)
        return self.bundle.model.readout(maker.make(rows).to(self.bundle.model.device))

    @cached_property
    def matrix(self) -> tuple[Tensor, Tensor]:
        """Output weight and bias, [V, E] and [V]."""
        tables = self.bundle.model.embeddings
        weight, bias = tables.output_matrix().detach(), tables.output_bias.detach()
        return (weight, bias) if self.rows is None else (weight[self.rows], bias[self.rows])

    def log_probs(self, readout: Tensor, labels: Tensor) -> Tensor:
        """[N, E] readouts and [N] labels, ids of the shared view -> [N] log-probabilities, a chunk at a time."""
        size, parts = max(1, MAX_SCORES // len(self.matrix[1])), []
        for start in range(0, len(labels), size):
            scores = functional.linear(readout[start : start + size], *self.matrix).float()
            scores[:, PAD] = -torch.inf  # no piece
            log_probs = torch.log_softmax(scores, -1)
            parts.append(log_probs.gather(1, labels[start : start + size, None])[:, 0])
        return torch.cat(parts)


class Scorer:
    """Scores given translations with a model, or with several as one. Keeps no state between calls.

    Several are an ensemble as in search (`nmt.models.ensemble`): the probabilities of each piece are averaged, over the
    target rows that all members have.
    """

    def __init__(self, bundle: Bundle, *, ensemble: Sequence[Bundle] = (), search: SearchConfig | None = None) -> None:
        """ensemble: models to average with. search: what may say how sources begin; None: the model folder's own.

        Raises UserError where the models do not go with the first.
        """
        self.bundle = bundle
        self._source_prefix = source_prefix(bundle.vocabulary, search or bundle.config.search)
        for other in ensemble:
            check_same(bundle, other)
        bundles = (bundle, *ensemble)
        self.target_view = min((one.target_view for one in bundles), key=lambda view: view.size)
        "What target ids mean: the smallest of the members' views."
        self._members = [_Member(one, self._rows(one)) for one in bundles]

    def _rows(self, bundle: Bundle) -> Tensor | None:
        if bundle.target_view == self.target_view:
            return None
        return torch.from_numpy(self.target_view.rows_in(bundle.target_view)).to(bundle.model.device)

    @classmethod
    def load(cls, *folders: Path | str, device: str = "auto") -> Scorer:
        """Load a model folder, or several as an ensemble, on a device. Raises UserError where one is not there."""
        first, *others = (load_bundle(Path(folder), pick_device(device)) for folder in folders)
        return cls(first, ensemble=others)

    def score(self, sources: Sequence[str], targets: Sequence[str], *, segmented: bool = False) -> list[list[float]]:
        """Natural log-probabilities of each target's pieces and, last, of </s>, given its source.

        segmented: lines are pieces with a space between each two. Otherwise they are raw text. Raises UserError where
        the numbers of lines differ.
        """
        if len(sources) != len(targets):
            raise UserError(f"{len(sources):,} sources for {len(targets):,} targets", hint="one target for each source")
        pairs = [self.pieces(*pair, segmented) for pair in zip(sources, targets, strict=True)]
        return self.score_pieces([source for source, _ in pairs], [target for _, target in pairs])

    def pieces(self, source: str, target: str, segmented: bool = False) -> tuple[list[str], list[str]]:
        """The pieces of a source and its target; see `score`."""
        if segmented:
            return source.split(), target.split()
        first, second = self.bundle.text.pieces_of_pair(source, target)
        own = self.bundle.text.target_code(source)[0]
        return [*self._source_prefix, *first] if first and not own else first, second

    def score_pieces(self, sources: Pieces, targets: Pieces) -> list[list[float]]:
        """Natural log-probabilities of each target's pieces and, last, of </s>, given its source's pieces.

        Pieces that a side does not have count as unknown. Raises UserError where the model's numbers are none.
        """
        encode = self.bundle.vocabulary.encode
        source, target = [encode(pieces) for pieces in sources], [encode(pieces) for pieces in targets]
        target_ids, target_offsets = ragged(target)
        known = self.target_view.to_union(self.target_view.from_union(target_ids))  # the same for all members
        pairs = ParallelIds(*ragged(source), known, target_offsets)
        result: list[list[float]] = [[] for _ in sources]
        for rows in batches([max(len(s), len(t)) + 1 for s, t in zip(source, target, strict=True)]):
            for row, log_probs in zip(rows, self._score(pairs, rows), strict=True):
                check_numbers(log_probs)
                result[row] = log_probs
        return result

    @torch.inference_mode()
    def _score(self, pairs: ParallelIds, rows: Sequence[int]) -> list[list[float]]:
        """Log-probabilities of a batch's real target positions, sentence by sentence."""
        batch = BatchMaker(pairs, self.bundle.source_view, self.target_view).make(rows).to(self.bundle.model.device)
        labels, members = batch.target_labels(), self._members
        found = [member.log_probs(member.readouts(pairs, rows), labels) for member in members]
        values = torch.logsumexp(torch.stack(found), 0) - math.log(len(members)) if len(members) > 1 else found[0]
        mask = batch.target_mask.t()
        grid = torch.zeros(mask.shape, device=mask.device)
        grid[mask] = values
        lengths = batch.target_lengths.tolist()
        return [row[:length] for row, length in zip(grid.t().tolist(), lengths, strict=True)]


def ragged(lines: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lists of ids as flat ids and n + 1 offsets."""
    offsets = np.array([0, *accumulate(len(line) for line in lines)], dtype=np.int64)
    return np.fromiter(chain.from_iterable(lines), dtype=np.int32, count=int(offsets[-1])), offsets
