"""Training: passes over the text, the learning rate falling linearly, what is drawn for the next piece meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from bpe.errors import UserError
from bpe.progress import Progress
from nmt.config import Word2VecConfig
from nmt.word2vec.skipgram import SkipGram, new_model, step
from nmt.word2vec.windows import BLOCK, CHUNK_WORDS, Blocks, chunks, draw_blocks, keep_probabilities, noise_distribution
from nmt.word2vec.words import WordText

LEAST_RATE = 1e-4
"Of the first learning rate: it falls no lower."
LONGEST_STEP = 1.0
"""Learning rate times the pairs of an update that have the most frequent noise word, on average, at most.

All pairs of an update are learned from at the values before it. Where a row is in too many of them, their steps go too
far together, and the next update's still farther.
"""
MOST_BLOCKS = 32
"Of an update: more are hardly faster."


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Blocks of a chunk, and how much of the whole training lies before it and with it, 0 to 1."""

    blocks: Blocks
    before: float
    after: float


def train(text: WordText, options: Word2VecConfig, *, tied: bool, seed: int, label: str, quiet: bool) -> SkipGram:
    """A model of the text. The same seed, text and options give the same bits, on the same kind of processor.

    Untied and tied models of a seed start with the same input matrix and are shown the same pairs and noise words.
    UserError where the numbers grow beyond all bounds, which a learning rate too high makes them do.
    """
    starts, draws = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    model = new_model(len(text.words), options.size, tied=tied, random=starts)
    batch = blocks_of_an_update(text.counts, options)
    with Progress(label, options.passes * len(text.ids), unit="words", quiet=quiet) as progress:
        for piece in ahead(pieces(text, options, draws)):
            climb(model, piece, batch, options.learning_rate)
            check(model, piece, options.learning_rate)
            progress.advance(round((piece.after - piece.before) * options.passes * len(text.ids)))
    return model


def blocks_of_an_update(counts: np.ndarray, options: Word2VecConfig) -> int:
    """As many as LONGEST_STEP allows at the first learning rate: few where a word is a large part of the text."""
    most = float(np.diff(noise_distribution(counts), prepend=0).max())
    pairs = BLOCK * (options.window + 1) * options.negatives * most  # of one block: a window has window + 1 on average
    return max(1, min(MOST_BLOCKS, int(LONGEST_STEP / (options.learning_rate * pairs))))


def pieces(text: WordText, options: Word2VecConfig, random: np.random.Generator) -> Iterator[Piece]:
    """All that is to be learned from, in its order."""
    keep = keep_probabilities(text.counts, options.subsample)
    noise = noise_distribution(text.counts)
    total, done = options.passes * len(text.ids), 0
    for _ in range(options.passes):
        left = len(text.ids)
        for ids, lines in chunks(text, random, keep):
            length = min(CHUNK_WORDS, left)
            left -= length
            if len(ids):
                blocks = draw_blocks(
                    ids, lines, window=options.window, negatives=options.negatives, noise=noise, random=random
                )
                yield Piece(blocks=blocks, before=done / total, after=(done + length) / total)
            done += length


def ahead(source: Iterator[Piece]) -> Iterator[Piece]:
    """The same pieces; the next one is drawn in a thread of its own while the last one is learned from."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, None)
        while (piece := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield piece


def climb(model: SkipGram, piece: Piece, batch: int, learning_rate: float) -> None:
    """Learn from a piece, `batch` blocks an update. The blocks of an update come from all over the piece."""
    stride = math.ceil(len(piece.blocks) / batch)
    for number in range(stride):
        done = piece.before + (piece.after - piece.before) * number / stride
        step(model, piece.blocks.picked(number, stride), learning_rate * max(LEAST_RATE, 1 - done))


def check(model: SkipGram, piece: Piece, learning_rate: float) -> None:
    """UserError unless the rows that were last changed are finite."""
    if not bool(torch.isfinite(model.inputs[piece.blocks.contexts[0]]).all()):
        raise UserError(
            f"the vectors grew beyond all bounds after {piece.after:.0%} of the training",
            where="word2vec.learning_rate",
            hint=f"choose a lower one than {learning_rate:g}",
        )
