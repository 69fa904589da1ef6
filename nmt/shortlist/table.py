"""The shortlist of a model: which target pieces each source piece suggests, as a file in the model folder.

shortlist.safetensors   targets   int32 union ids, the suggestions of all source pieces in a row, each one's rising
                        offsets   int64, source rows + 1: piece i suggests targets[offsets[i]:offsets[i + 1]]
                        frequent  int32 union ids, rising: the target pieces that any sentence may use
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bpe.errors import UserError
from bpe.progress import Progress
from nmt.config import require
from nmt.data.corpus import ID_TYPE, OFFSET_TYPE, ParallelIds
from nmt.folder.weights import read_tensors, save_tensors
from nmt.shortlist.lexicon import align, associations
from nmt.shortlist.sample import PieceCounts, distinct_pieces, draw
from nmt.text.vocabulary import EOS, NUM_SPECIALS, UNK, TargetView, Vocabulary

SHORTLIST = "shortlist.safetensors"
FORMAT, FORMAT_VERSION = "nmt-shortlist", "1"
BUILD = "run nmt-shortlist --model DIR --prepared DIR"
POOL = 300
"The target pieces most associated with a source piece: those that compete to be among its best."


@dataclass(frozen=True, kw_only=True)
class ShortlistOptions:
    """How large a shortlist is, and what it is learned from."""

    per_piece: int = 10
    "Target pieces that a source piece suggests, besides the frequent ones."
    frequent: int = 4_000
    "The most frequent target pieces; any sentence may use them."
    max_pairs: int = 1_000_000
    "Training pairs to learn from, drawn so that rare pieces are among them; of fewer pairs, all."
    seed: int = 1
    "Seed of the draw."

    def __post_init__(self) -> None:
        for name in ("per_piece", "frequent", "seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(self.max_pairs >= 1, "max_pairs", self.max_pairs, "1 or more")


@dataclass(frozen=True)
class Shortlist:
    """Suggestions for every source piece, in union ids."""

    vocabulary: Vocabulary
    targets: np.ndarray
    "[suggestions] int32: those of all source pieces in a row."
    offsets: np.ndarray
    "[source rows + 1] int64: source piece i suggests targets[offsets[i]:offsets[i + 1]]."
    frequent: np.ndarray
    "[frequent] int32, rising."
    options: ShortlistOptions

    @classmethod
    def build(
        cls,
        pairs: ParallelIds,
        vocabulary: Vocabulary,
        options: ShortlistOptions | None = None,
        *,
        quiet: bool = True,
    ) -> Shortlist:
        """Learn from prepared pairs. quiet: no progress on standard error."""
        options, num_rows = options or ShortlistOptions(), vocabulary.size
        counts = PieceCounts.of(pairs, num_rows)
        frequent = most_frequent(counts.target, options.frequent)
        others = is_target(vocabulary)
        others[frequent] = False  # four fifths of what occurs together, and of no use: any sentence has them
        sample = distinct_pieces(pairs, draw(pairs, counts, options.max_pairs, options.seed), others)
        with Progress("Counting what occurs together", num_rows, unit="pieces", quiet=quiet) as progress:
            lexicon = associations(sample, num_rows, POOL, progress)
        with Progress("Aligning", len(sample), unit="pairs", quiet=quiet) as progress:
            best = align(lexicon, sample, progress).best(options.per_piece)
        sizes = np.bincount(best.sources, minlength=num_rows)[: vocabulary.source_size]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(OFFSET_TYPE)
        return cls(vocabulary, best.targets.astype(ID_TYPE), offsets, frequent, options)

    def save(self, folder: Path) -> Path:
        """Write the file into a model folder, in place of an older one; returns its path."""
        arrays = {"targets": self.targets, "offsets": self.offsets, "frequent": self.frequent}
        metadata = {"format": FORMAT, "version": FORMAT_VERSION, "vocabulary": self.vocabulary.fingerprint}
        metadata["options"] = json.dumps(dataclasses.asdict(self.options))
        save_tensors(folder / SHORTLIST, {name: torch.from_numpy(array) for name, array in arrays.items()}, metadata)
        return folder / SHORTLIST

    @classmethod
    def load(cls, folder: Path | str, vocabulary: Vocabulary) -> Shortlist:
        """Read a model folder's file; a missing, damaged or foreign one is a UserError that says how to make one."""
        path = Path(folder) / SHORTLIST
        if not path.exists():
            raise UserError("this model has no shortlist", where=path, hint=BUILD)
        try:
            tensors, metadata = read_tensors(path)
        except UserError as error:
            raise UserError(error.problem, where=path, hint=f"{BUILD} again") from None
        if metadata.get("format") != FORMAT or metadata.get("version") != FORMAT_VERSION:
            raise UserError("not a shortlist of this toolkit's version", where=path, hint=BUILD)
        if metadata.get("vocabulary") != vocabulary.fingerprint:
            raise UserError("belongs to another vocabulary than the model's", where=path, hint=f"{BUILD} again")
        try:
            arrays = {name: tensors[name].numpy() for name in ("targets", "offsets", "frequent")}
            found = cls(vocabulary, **arrays, options=ShortlistOptions(**json.loads(metadata["options"])))
            found.check()
        except (KeyError, TypeError, ValueError, UserError):
            raise UserError("damaged: its parts do not fit each other", where=path, hint=f"{BUILD} again") from None
        return found

    def check(self) -> None:
        """Raise ValueError unless every suggestion is a target piece, and every source piece has its own."""
        kinds = [array.dtype for array in (self.targets, self.offsets, self.frequent)]
        if kinds != [ID_TYPE, OFFSET_TYPE, ID_TYPE] or len(self.offsets) != self.vocabulary.source_size + 1:
            raise ValueError
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.targets) or (np.diff(self.offsets) < 0).any():
            raise ValueError
        allowed = is_target(self.vocabulary)
        for ids in (self.targets, self.frequent):
            if len(ids) and not (ids.min() >= 0 and ids.max() < len(allowed) and allowed[ids].all()):
                raise ValueError

    def for_view(self, view: TargetView) -> Callable[[np.ndarray], np.ndarray]:
        """Source ids of a sentence, [S] without </s>, as the model sees them -> the ids of `view` it may use.

        These are </s> and UNK, the frequent pieces, the suggestions, and the sentence's own pieces as far as the target
        has them (names and numbers are copied), [N] int64, rising. Safe to call from several threads.
        """
        always = np.zeros(view.size, dtype=bool)
        always[view.from_union(self.frequent)] = True
        always[[EOS, UNK]] = True
        targets = view.from_union(self.targets)
        own = np.where(is_target(self.vocabulary), view.from_union(np.arange(self.vocabulary.size)), UNK)
        nothing = np.full(self.vocabulary.size - self.vocabulary.source_size, self.offsets[-1])
        offsets = np.concatenate([self.offsets, nothing]).tolist()

        def candidates(source: np.ndarray) -> np.ndarray:
            found = always.copy()
            found[own[source]] = True
            for piece in set(source.tolist()):
                found[targets[offsets[piece] : offsets[piece + 1]]] = True
            return np.flatnonzero(found)

        return candidates


def most_frequent(counts: np.ndarray, number: int) -> np.ndarray:
    """The `number` most frequent pieces that occur at all, specials apart, rising int32; of equal ones the first."""
    order = np.argsort(-counts[NUM_SPECIALS:], kind="stable")[:number] + NUM_SPECIALS
    return np.sort(order[counts[order] > 0]).astype(ID_TYPE)


def is_target(vocabulary: Vocabulary) -> np.ndarray:
    """Of each union id, whether it is a piece of the target side, [V] bool; specials are not."""
    view = vocabulary.target_view(shared=False)
    return view.from_union(np.arange(vocabulary.size)) >= NUM_SPECIALS
