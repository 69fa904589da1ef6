"""Masks of Bayesian dropout (Gal and Ghahramani, 2016): drawn once for a sequence, the same at all its steps.

A mask holds 0 where a number is left out, and 1 / (1 - rate) elsewhere, which keeps the mean.

Shapes: T steps, B sequences.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class BayesianRates:
    """How likely something is left out: x, i, h and o of the paper's code."""

    word: float = 0.0
    input: float = 0.0
    hidden: float = 0.0
    output: float = 0.0
    by_word: bool = False
    "A dropped word is dropped at all its places in a sequence; otherwise each place is drawn by itself."


def bernoulli_mask(shape: tuple[int, ...], rate: float, like: Tensor) -> Tensor | None:
    """A mask of numbers in the type and on the device of `like`; None where nothing is dropped."""
    if not rate:
        return None
    return like.new_empty(shape).bernoulli_(1 - rate).div_(1 - rate)


def word_mask(words: Tensor, rate: float, like: Tensor, *, by_word: bool) -> Tensor | None:
    """One number for each word read: [T, B] ids -> [T, B, 1].

    by_word: as Gal and Ghahramani mean it (section 4.2), rows of the embedding matrix are dropped, so that a word has
    one number in a sequence. Otherwise the numbers of equal words differ, as in Press & Wolf's code.
    """
    mask = bernoulli_mask(tuple(words.shape), rate, like)
    if mask is not None and by_word:
        first = (words[:, None] == words[None]).to(torch.uint8).argmax(1)  # where each word comes first, [T, B]
        mask = mask.gather(0, first)
    return None if mask is None else mask[:, :, None]
