"""What is drawn at random: words that stay, windows, noise words; laid out as blocks of neighbouring words.

word2vec takes one pair of words after the other. Here `BLOCK` words that follow each other share their context words
and their noise words, so that all their scores are one small matrix product (as within one window in Ji et al., 2016,
pWord2Vec). Which pairs there are, and the expected update, are word2vec's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from nmt.word2vec.words import WordText

BLOCK = 4
"Words in the middle of a block. More are faster; but they share one draw of noise, whose steps then become too long."
CHUNK_WORDS = 30_000
"Running words that are drawn for at a time."


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Blocks of a piece of text. B blocks, C = BLOCK + 2 windows context places, R = BLOCK + negatives rows to score.

    contexts: words, [B, C]; a place without a word has any, and no weight. targets: the words in the middle, then the
    noise words, [B, R]. weights: in how many pairs a context word meets a target, [B, C, R]: 0 or 1 for a word in the
    middle, for a noise word the pairs whose own word it is not.
    """

    contexts: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor

    def __len__(self) -> int:
        return len(self.contexts)

    def picked(self, number: int, stride: int) -> Blocks:
        """Every stride-th block from `number` on: such blocks lie far apart and have few words in common."""
        return Blocks(
            contexts=self.contexts[number::stride],
            targets=self.targets[number::stride],
            weights=self.weights[number::stride],
        )


def keep_probabilities(counts: np.ndarray, subsample: float) -> np.ndarray:
    """How likely a running word stays, [V]: sqrt(t / f) + t / f, at most 1; f its share of the text, t `subsample`.

    The formula of the original program, which the paper (Mikolov et al., 2013b, section 2.3) has without t / f.
    subsample 0: all stay.
    """
    if not subsample:
        return np.ones(len(counts))
    relative = subsample * counts.sum() / counts
    kept: np.ndarray = np.minimum(1.0, np.sqrt(relative) + relative)
    return kept


def noise_distribution(counts: np.ndarray) -> np.ndarray:
    """Cumulative probabilities of the noise words, [V]: counts to the power of 3/4 (section 2.2)."""
    powers = np.cumsum(counts.astype(np.float64) ** 0.75)
    return np.asarray(powers / powers[-1])


def chunks(text: WordText, random: np.random.Generator, keep: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Words and lines of each CHUNK_WORDS running words, those that stay. Windows do not reach into the next chunk."""
    for start in range(0, len(text.ids), CHUNK_WORDS):
        ids, lines = text.ids[start : start + CHUNK_WORDS], text.lines[start : start + CHUNK_WORDS]
        stay = random.random(len(ids)) < keep[ids]
        yield ids[stay].astype(np.int64), lines[stay]


def draw_blocks(
    ids: np.ndarray, lines: np.ndarray, *, window: int, negatives: int, noise: np.ndarray, random: np.random.Generator
) -> Blocks:
    """The blocks of a piece of text, [M] words and the lines that they stand in.

    Each word's window is drawn uniformly from 1 to `window` and ends where its line does; a block has `negatives` noise
    words, drawn from the cumulative `noise`.
    """
    num_blocks = -(-len(ids) // BLOCK)
    size = num_blocks * BLOCK
    reach = random.integers(1, window + 1, size=size)
    noise_words = np.minimum(np.searchsorted(noise, random.random((num_blocks, negatives)), "right"), len(noise) - 1)
    words = np.pad(ids, (window, window + size - len(ids)))
    places = np.pad(lines.astype(np.int64), (window, window + size - len(ids)), constant_values=-1)
    starts = np.arange(num_blocks)[:, None] * BLOCK
    around = starts + np.arange(BLOCK + 2 * window)  # places of the context words in the padded text
    middle = starts + np.arange(BLOCK)
    distance = np.abs(np.arange(BLOCK + 2 * window)[:, None] - window - np.arange(BLOCK))
    near = (distance > 0) & (distance <= reach[middle][:, None])
    line = places[window:][middle]
    pairs = near & (places[around][:, :, None] == line[:, None]) & (line >= 0)[:, None]
    centres = words[window:][middle]
    return Blocks(
        contexts=torch.from_numpy(words[around]),
        targets=torch.from_numpy(np.concatenate((centres, noise_words), axis=1)),
        weights=_weights(pairs, centres, noise_words),
    )


def _weights(pairs: np.ndarray, centres: np.ndarray, noise_words: np.ndarray) -> torch.Tensor:
    """[B, C, BLOCK] whether there is a pair -> Blocks.weights: a noise word that is the pair's own word is left out."""
    paired = torch.from_numpy(pairs).float()
    other = torch.from_numpy(centres[:, :, None] != noise_words[:, None]).float()
    return torch.cat((paired, torch.bmm(paired, other)), dim=2)
