"""The batches of training from any position on, with or without BPE-dropout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from nmt.config import TrainingConfig
from nmt.data.batching import Batch, BatchMaker, Budget, EpochPlan
from nmt.data.corpus import PreparedCorpus
from nmt.data.dropout import Lines, PieceDropout
from nmt.data.mixing import MixedFolder, MixedMaker, MixedPlan, Share
from nmt.data.position import Position
from nmt.text.vocabulary import SourceView, TargetView

BLOCK_PAIRS = 32_768
"Pairs that BPE-dropout cuts and sorts by length together: few enough to wait for, enough to find like lengths."
LONGEST_PAIRS = 1_024
"Pairs among which BPE-dropout looks for the largest batch."


def epoch_plan(corpus: PreparedCorpus, settings: TrainingConfig) -> EpochPlan:
    """Which pairs come when: the corpus's own, and those that training.mix adds."""
    budget = Budget(settings.batch_tokens, settings.batch_sentences, settings.max_length)
    if not settings.mix:
        return EpochPlan(corpus.split("train"), budget, settings.seed)
    folders = [MixedFolder(Share.parse(text), corpus) for text in settings.mix]
    return MixedPlan(corpus.split("train"), folders, budget, settings.seed)


class Feed:
    """Batches for one tying mode's views, their order a function of (seed, epoch) alone."""

    def __init__(self, corpus: PreparedCorpus, settings: TrainingConfig, views: tuple[SourceView, TargetView]) -> None:
        self.plan = epoch_plan(corpus, settings)
        self.budget, self.seed, self.views = self.plan.budget, settings.seed, views
        self.pairs: Lines | None = None
        self.maker: BatchMaker | MixedMaker = BatchMaker(corpus.split("train"), *views)
        if isinstance(self.plan, MixedPlan):
            self.pairs, self.maker = self.plan.pairs, MixedMaker(self.plan.pairs, *views)

    def largest(self) -> Batch:
        """The batch that needs the most memory."""
        return self.maker.make(self.plan.largest())

    def stream(self, start: Position) -> Iterator[tuple[Position, Batch]]:
        """Batches with their positions from `start` on, for ever."""
        for epoch, index, rows in self.plan.stream(start.epoch, start.batch):
            yield Position(epoch, 0, index), self.maker.make(rows)


class DropoutFeed(Feed):
    """Batches of words cut anew by BPE-dropout.

    An epoch's pairs are drawn into blocks; each is cut, then sorted and batched by the lengths that came of it, so that
    the budget holds for what is trained, one block is in memory, and a run continues by cutting one block again. Which
    pairs take part goes by their prepared length, the same in every epoch.
    """

    def __init__(self, corpus: PreparedCorpus, settings: TrainingConfig, views: tuple[SourceView, TargetView]) -> None:
        super().__init__(corpus, settings, views)
        self.dropout = PieceDropout(corpus, settings.bpe_dropout, settings.max_length, settings.seed, self.pairs)

    def stream(self, start: Position) -> Iterator[tuple[Position, Batch]]:
        """Batches with their positions from `start` on, for ever."""
        while True:
            for block, rows in enumerate(self.blocks(start.epoch)):
                if block >= start.block:
                    yield from self._block(np.sort(rows), Position(start.epoch, block, start.batch))
                    start = Position(start.epoch, block + 1, 0)
            start = Position(start.epoch + 1, 0, 0)

    def largest(self) -> Batch:
        """The batch that needs the most memory of the longest pairs, cut as they may come."""
        plan, maker = self._cut(self.plan.every.longest(LONGEST_PAIRS), 0, 0)
        return maker.make(plan.largest())

    def blocks(self, epoch: int) -> list[np.ndarray]:
        """The numbers of the epoch's pairs, at random, in blocks of like size."""
        order = self.plan.lengths_in(epoch).rows()
        np.random.Generator(np.random.PCG64([self.seed, epoch])).shuffle(order)
        return np.array_split(order, -(-len(order) // BLOCK_PAIRS))

    def _block(self, rows: np.ndarray, start: Position) -> Iterator[tuple[Position, Batch]]:
        """rows: in the order in which they lie on disk."""
        plan, maker = self._cut(rows, start.epoch, start.block)
        batches = plan.batches(start.epoch, start.block + 1)  # numpy takes 0 for nothing, and that is the blocks' draw
        for index in range(start.batch, len(batches)):
            batch = maker.make(batches[index])
            yield replace(start, batch=index), replace(batch, pairs=tuple(rows[batches[index]].tolist()))

    def _cut(self, rows: np.ndarray, epoch: int, block: int) -> tuple[EpochPlan, BatchMaker]:
        pairs = self.dropout.pairs(rows, epoch, block)
        return EpochPlan(pairs, self.budget, self.seed), BatchMaker(pairs, *self.views)
