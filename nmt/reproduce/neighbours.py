"""Nearest neighbours across the two languages in a three-way model's one matrix.

Only there do the source's and the target's pieces live in one space. Pieces in both languages are left out: their row
is one and the same, whatever the model has learned.

Every cosine but `Alignment.nearest` and `random` is of rows less the mean row of their part: rare pieces share a
direction (as outputs they are mostly pushed away), which alone makes the nearest piece look near.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bpe.errors import UserError
from nmt.evaluate.rankcorrelation import BLOCK_ROWS, unit_rows
from nmt.folder.bundle import Bundle
from nmt.reproduce.embeddings import matrix_values, part_ids
from nmt.text.pipeline import SIDES, Side
from nmt.text.vocabulary import UNK, Vocabulary

MIN_LETTERS = 3
WORD_START = "▁"
"sentencepiece's mark of a piece that begins a word."
PART_OF: dict[Side, str] = {"source": "source_only", "target": "target_only"}
SHUFFLES = 5
SEED = 1


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A piece of the other language and its cosine."""

    piece: str
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """A piece of one language alone, and its nearest pieces of the other language alone, the nearest first."""

    side: Side
    piece: str
    nearest: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How near the two languages' own pieces lie to each other, as mean cosines."""

    num_source: int
    num_target: int
    "Pieces compared: the most frequent ones of the source alone and of the target alone."
    nearest: float
    "Of a source piece and the nearest target piece, rows as they are."
    random: float
    "Of all pairs of a source and a target piece, rows as they are."
    centred_nearest: float
    "As `nearest`, the mean of each part taken away."
    chance: float
    "As `centred_nearest`, the source rows' dimensions shuffled: what a space without any alignment gives."


@dataclass(frozen=True)
class SharedSpace:
    """The rows of the pieces of one language alone.

    pieces: by side, the most frequent first. rows: by side, [pieces, E].
    """

    pieces: dict[Side, tuple[str, ...]]
    rows: dict[Side, np.ndarray]

    @classmethod
    def of(cls, bundle: Bundle) -> SharedSpace:
        """Of a three-way model."""
        assert bundle.model.embeddings.tying.shares_source
        vocabulary, values = bundle.vocabulary, matrix_values(bundle, "source_input")
        return cls(
            {"source": vocabulary.source_only, "target": vocabulary.target_only},
            {side: values[part_ids(vocabulary, part)] for side, part in PART_OF.items()},
        )

    @cached_property
    def centred(self) -> dict[Side, np.ndarray]:
        """The rows less their mean, at length one."""
        return {side: unit_rows(rows - rows.mean(0, dtype=np.float64)) for side, rows in self.rows.items()}

    def neighbourhood(self, side: Side, piece: str, count: int) -> Neighbourhood:
        """The nearest `count` pieces of the other side; of equally near ones the more frequent first."""
        other: Side = "target" if side == "source" else "source"
        cosines = self.centred[other] @ self.centred[side][self.pieces[side].index(piece)]
        order = np.argsort(-cosines, kind="stable")[:count]
        nearest = tuple(Neighbour(piece=self.pieces[other][row], cosine=float(cosines[row])) for row in order)
        return Neighbourhood(side=side, piece=piece, nearest=nearest)

    def alignment(self, limit: int) -> Alignment:
        """Of the `limit` most frequent pieces of each side."""
        source, target = (unit_rows(self.rows[side][:limit]) for side in SIDES)
        centred = [self.centred[side][:limit] for side in SIDES]
        generator = np.random.default_rng(SEED)
        shuffled = [centred[0][:, generator.permutation(source.shape[1])] for _ in range(SHUFFLES)]
        return Alignment(
            num_source=len(source),
            num_target=len(target),
            nearest=mean_nearest(source, target),
            random=float(source.mean(0, dtype=np.float64) @ target.mean(0, dtype=np.float64)),
            centred_nearest=mean_nearest(centred[0], centred[1]),
            chance=float(np.mean([mean_nearest(rows, centred[1]) for rows in shuffled])),
        )


def mean_nearest(source: np.ndarray, target: np.ndarray) -> float:
    """Mean over source rows of the largest dot product with a target row."""
    starts = range(0, len(source), BLOCK_ROWS)
    return float(
        np.concatenate([(source[s : s + BLOCK_ROWS] @ target.T).max(1) for s in starts]).mean(dtype=np.float64)
    )


def is_word(piece: str, *, sentencepiece: bool) -> bool:
    """Whether a piece is letters up to a word's end (BPE) or from its start (sentencepiece), and three at least."""
    body = piece.removeprefix(WORD_START) if sentencepiece else piece
    if len(body) < MIN_LETTERS or (sentencepiece and body == piece):
        return False
    return all(unicodedata.category(letter)[0] in "LM" for letter in body)


def frequent_words(vocabulary: Vocabulary, count: int, *, sentencepiece: bool) -> list[tuple[Side, str]]:
    """The first `count` words of each side alone."""
    found: list[tuple[Side, str]] = []
    for side, part in PART_OF.items():
        words = [piece for piece in getattr(vocabulary, part) if is_word(piece, sentencepiece=sentencepiece)]
        found += [(side, word) for word in words[:count]]
    return found


def sides_of(words: Sequence[str], vocabulary: Vocabulary) -> list[tuple[Side, str]]:
    """The one side that each asked-for piece is on; a UserError for an unknown one and for one on both."""
    parts = {side: frozenset(getattr(vocabulary, part)) for side, part in PART_OF.items()}
    found = []
    for word in words:
        if vocabulary.id_of(word) == UNK:
            near = difflib.get_close_matches(word, (*vocabulary.source_only, *vocabulary.target_only), 4)
            hint = f"near it: {', '.join(near)}" if near else "ask for one that is"
            raise UserError(f"{word!r} is not a piece of one language alone", where="--word", hint=hint)
        side = next((side for side in SIDES if word in parts[side]), None)
        if side is None:
            raise UserError(
                f"{word!r} is a piece of both languages: its neighbours tell nothing about the two",
                where="--word",
                hint="ask for one of a single language",
            )
        found.append((side, word))
    return found
