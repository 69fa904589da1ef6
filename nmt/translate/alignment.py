"""From attention to words: which source word a target word came from, and what to put where a piece is unknown.

Everything here is a function of pieces and attention. T target pieces, S source pieces; attention is [T, S + 1], one
row of source weights for each target piece, the last column </s>: `nmt.translate.translator.Translation` has it so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise

import numpy as np
from torch import Tensor

from bpe.fallback import spelt_out
from bpe.segmenter import SEPARATOR, desegment
from nmt.text.vocabulary import SPECIAL_NAMES, UNK

UNKNOWN = SPECIAL_NAMES[UNK]
"What an unknown target piece reads. An ordinary piece of these very letters cannot be told from it."
SPACE = "▁"
"What sentencepiece writes for the space before a word."


def words_of_pieces(pieces: Sequence[str], subwords: str) -> list[int]:
    """For each piece the number of its word, from 0. Words are what was there before subwords were cut: the tokens of
    the tokenizer (`TextPipeline.words`), so that punctuation is one, and what stands before or after an apostrophe.

    subwords: bpe, sentencepiece or none (each piece is a word), as in `nmt.text.TextOptions`. An unknown piece goes on
    a word of BPE, and is a word of its own for sentencepiece: so it reads in the text that these pieces give.
    """
    begins = (not _joins(before, piece, subwords) for before, piece in pairwise(pieces))
    return list(accumulate(begins, initial=0))[: len(pieces)]


def _joins(before: str, piece: str, subwords: str) -> bool:
    """Whether two neighbours are of one word."""
    if subwords == "bpe":
        return before.endswith(SEPARATOR)
    return subwords == "sentencepiece" and not piece.startswith(SPACE) and UNKNOWN not in (before, piece)


def word_attention(source_pieces: Sequence[str], pieces: Sequence[str], attention: Tensor, subwords: str) -> np.ndarray:
    """Attention of target words to source words and </s>, [target words, source words + 1] float64.

    What a piece gives a word is what it gives all of its pieces; what a word gives is the mean of what its pieces give.
    """
    source, target = words_of_pieces(source_pieces, subwords), words_of_pieces(pieces, subwords)
    weights = _weights(attention, len(pieces), len(source_pieces))
    num_source, num_target = (words[-1] + 1 if words else 0 for words in (source, target))
    summed = np.zeros((len(pieces), num_source + 1))
    np.add.at(summed.T, np.array([*source, num_source]), weights.T)
    result = np.zeros((num_target, num_source + 1))
    np.add.at(result, np.array(target, dtype=np.int64), summed)
    return result / np.bincount(target, minlength=num_target)[:, None]


def _weights(attention: Tensor, num_pieces: int, num_source: int) -> np.ndarray:
    """The attention's rows of pieces in float64; a row of the target's own </s> may follow them."""
    weights = attention.detach().cpu().double().numpy()[:num_pieces]
    assert weights.shape == (num_pieces, num_source + 1), (
        "a row for each piece, a column for each source piece and </s>"
    )
    return weights


def hard_alignment(attention: Tensor) -> list[int | None]:
    """For each row of [T, S + 1] the source piece that has most, the first of equals; None where </s> has most."""
    weights = attention.detach().cpu().double().numpy()
    end = weights.shape[1] - 1
    return [None if best == end else best for best in weights.argmax(1).tolist()]


def pharaoh(
    source_pieces: Sequence[str],
    pieces: Sequence[str],
    attention: Tensor,
    subwords: str,
    *,
    of_pieces: bool = False,
) -> str:
    """A line of alignments as Pharaoh, Moses and fast_align write them: "0-0 1-2", source-target, words from 0.

    Each target word has at most one source word: the one it attends to most, the first of equals, and none where that
    is </s> (see `word_attention`). Sorted by source, then by target. of_pieces: number pieces instead of words.
    """
    table = word_attention(source_pieces, pieces, attention, "none" if of_pieces else subwords)
    end = table.shape[1] - 1
    links = [(source, target) for target, source in enumerate(table.argmax(1).tolist()) if source != end]
    return " ".join(f"{source}-{target}" for source, target in sorted(links))


def replace_unknown(
    pieces: Sequence[str], source_pieces: Sequence[str], attention: Tensor, subwords: str
) -> tuple[str, ...]:
    """The target's pieces with each unknown one replaced by the source word it attends to most, </s> left aside.

    What comes back is for `TextPipeline.text`; its pieces are no longer the attention's rows. The source word comes
    whole: as one piece for BPE, in its own pieces for sentencepiece. Where the unknown piece ends a word of BPE, those
    pieces before it are dropped that attend to the same source word: they are how that word begins. The others stay:
    "Schnee@@ <unk>" for "snow plough" reads "Schneeplough".
    """
    if not source_pieces or UNKNOWN not in pieces:
        return tuple(pieces)
    kind = "bpe" if subwords == "none" else subwords  # words that are pieces already may still go on
    source_words = words_of_pieces(source_pieces, kind)
    best = _weights(attention, len(pieces), len(source_pieces))[:, :-1].argmax(1).tolist()
    attended = [source_words[position] for position in best]
    result: list[str] = []
    for _, word in groupby(range(len(pieces)), words_of_pieces(pieces, kind).__getitem__):
        indices = list(word)
        found = [pieces[index] for index in indices]
        if found[-1] == UNKNOWN:
            wanted = attended[indices[-1]]
            copied = [piece for piece, number in zip(source_pieces, source_words, strict=True) if number == wanted]
            found = [pieces[index] for index in indices[:-1] if attended[index] != wanted]
            found += copied if kind == "sentencepiece" else [desegment(spelt_out(copied)) or UNKNOWN]
        if kind == "sentencepiece" and result and not found[0].startswith(SPACE):
            found.insert(0, SPACE)
        result += found
    return tuple(result)
