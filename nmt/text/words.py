"""The vocabulary of a language model: one row for each word or piece of its text, and one for the end of a line.

Rows are ordered <eos> | by falling frequency, words of one frequency by name. In a text of words <eos> and <unk> are
words as others are, as in Mikolov's Penn Treebank; in a text of subwords no piece can spell <eos>, and none is unknown.

The target side of a translation model's vocabulary (`nmt.text.vocabulary`) is ordered <eos> | pieces | <unk>: the rows
of its target view in their order, without <pad>, and without the pieces that only the source has. </s> is <eos>.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bpe.errors import UserError
from bpe.textfiles import write_text
from nmt.text.vocabulary import NUM_SPECIALS, UNK, Vocabulary

END = 0
"The row of the end of a line."
END_NAME, UNKNOWN_NAME = "<eos>", "<unk>"
FORMAT, FORMAT_VERSION = "nmt-words", 1


class UnknownWord(Exception):
    """A word that has no row, in a vocabulary without <unk>."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


@dataclass(frozen=True)
class WordVocabulary:
    """Rows of a language model."""

    words: tuple[str, ...]
    "Of row 1 on, each once."
    subwords: bool = False
    "Whether they are pieces of words (see `nmt.text.pipeline`)."
    target: bool = False
    "Whether they are the pieces of a translation model's targets; what is none of them has the last row, <unk>."

    @classmethod
    def of_target(cls, vocabulary: Vocabulary) -> WordVocabulary:
        """The target side of a translation model's vocabulary, the same whichever of its matrices are tied."""
        return cls(vocabulary.side("target"), subwords=True, target=True)

    @classmethod
    def from_counts(
        cls, counts: Counter[str], most: int = 0, *, unknown: bool = False, min_count: int = 1
    ) -> WordVocabulary:
        """Words of a text by how often they occur. most: rows at most, <eos> and <unk> counted; 0: no limit.

        unknown: <unk> has a row even if the text does not say it; so it has where words are left out. min_count: words
        that occur less often are left out.
        """
        order = sorted((word for word in counts if word != END_NAME), key=lambda word: (-counts[word], word))
        rare = any(0 < count < min_count for count in counts.values())
        if (most and len(order) + 1 > most) or unknown or rare:
            order = [word for word in order if word != UNKNOWN_NAME]
            often = sum(counts[word] >= min_count for word in order)  # they come first
            kept = order[: min(often, most - 2) if most else often]
            unknowns = _unknown(counts, order[len(kept) :])
            place = sum(counts[word] > unknowns for word in kept)
            order = [*kept[:place], UNKNOWN_NAME, *kept[place:]]
        return cls(tuple(order))

    @property
    def size(self) -> int:
        """Rows, <eos> and <unk> counted."""
        return 1 + len(self.words) + self.target

    @cached_property
    def _rows(self) -> dict[str, int]:
        rows = {word: row for row, word in enumerate(self.words, 1)}
        return rows if self.subwords else rows | {END_NAME: END}

    @property
    def unknown(self) -> int | None:
        """The row of <unk>; None: there is none."""
        if self.target:
            return self.size - 1
        return None if self.subwords else self._rows.get(UNKNOWN_NAME)

    def name(self, row: int) -> str:
        """The word of a row."""
        if self.target and row == self.unknown:
            return UNKNOWN_NAME
        return self.words[row - 1] if row else END_NAME

    def encode(self, words: Iterable[str]) -> list[int]:
        """Rows of words, without the end of the line. Raises UnknownWord."""
        rows, unknown = self._rows, self.unknown
        found = []
        for word in words:
            row = rows.get(word, unknown)
            if row is None:
                raise UnknownWord(word)
            found.append(row)
        return found

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """Rows of target ids of any shape, of the view that untied models have; where this is a target's vocabulary."""
        assert self.unknown is not None
        rows = np.where(ids < NUM_SPECIALS, END, ids - NUM_SPECIALS + 1)
        return np.where(ids == UNK, self.unknown, rows).astype(ids.dtype, copy=False)

    def line(self, words: Iterable[str]) -> np.ndarray:
        """Rows of a line's words and of its end, [words + 1] int32."""
        return np.array([*self.encode(words), END], dtype=np.int32)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the rows and their order, in hexadecimal."""
        described = [self.words, self.subwords, *(["target"] if self.target else [])]
        parts = json.dumps(described, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(parts.encode("ascii")).hexdigest()

    def save(self, path: Path | str) -> None:
        """Write the file atomically."""
        body = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "subwords": self.subwords,
            **({"target": True} if self.target else {}),
            "words": self.words,
        }
        write_text(path, json.dumps(body, ensure_ascii=False, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> WordVocabulary:
        """Read what `save` wrote; a missing, damaged or foreign file is a UserError."""
        try:
            body = json.loads(Path(path).read_bytes().decode("utf-8"))
        except FileNotFoundError:
            raise UserError("no such file", where=path, hint="check the path") from None
        except OSError as error:
            raise UserError(f"cannot be read ({error.strerror})", where=path) from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise _damaged(path, f"not JSON ({error})") from None
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise UserError("not a vocabulary that nmt-lm prep wrote", where=path, hint="check the path")
        words = body.get("words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise _damaged(path, "it lacks words, or they are no text")
        vocabulary = cls(tuple(words), subwords=body.get("subwords") is True, target=body.get("target") is True)
        if len(set(words)) != len(words):
            raise _damaged(path, "a word is listed twice")
        if body.get("fingerprint") != vocabulary.fingerprint:
            raise _damaged(path, "its rows are not those it was written with")
        return vocabulary


def _unknown(counts: Counter[str], left_out: Iterable[str]) -> int:
    """How often <unk> occurs where these words are left out."""
    return counts[UNKNOWN_NAME] + sum(counts[word] for word in left_out)


def _damaged(path: Path | str, why: str) -> UserError:
    return UserError(f"damaged vocabulary: {why}", where=path, hint="restore the file from where it was copied")
