"""The text of training benchmarks, the same for every tool: ids on disk for ours, words of those ids for the others.

Words are made up from ids (`w17`), so that no tool can cut or merge what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpe.errors import UserError
from bpe.textfiles import write_lines
from nmt.data.corpus import ID_TYPE, OFFSET_TYPE, ParallelIds, PreparedCorpus, ids_file, offsets_file
from nmt.text.pipeline import SIDES
from nmt.text.vocabulary import NUM_SPECIALS

SPREAD, RATIO_SPREAD, SHORTEST, LONGEST = 0.33, 0.2, 2, 60
"Of made-up lines, in pieces: lengths are log-normal, as those of real text nearly are."
OFFSET = 2.7
"The piece of rank r is drawn in proportion to 1 / (r + OFFSET)."
LANGUAGES = ("src", "trg")
NUM_DEV = 4


@dataclass(frozen=True, kw_only=True)
class TrainingText:
    """A folder with train.{src,trg}, dev.{src,trg} (some of the same lines), words, and our ids of the same lines."""

    folder: Path
    about: str
    num_words: int
    num_pairs: int

    @property
    def rows(self) -> int:
        """Of our vocabulary."""
        return self.num_words + NUM_SPECIALS


def made_up(folder: Path, num_words: int, num_pairs: int, median_length: int) -> TrainingText:
    """Made-up pairs; the same arguments give the same text, and lengths do not depend on the vocabulary."""
    random = np.random.default_rng(1)
    source = median_length * np.exp(random.normal(0, SPREAD, num_pairs))
    target = source * np.exp(random.normal(0, RATIO_SPREAD, num_pairs))
    sums = np.cumsum(1 / (np.arange(1, num_words + 1) + OFFSET))
    arrays: list[np.ndarray] = []
    for side in (source, target):
        offsets = np.cumsum([0, *np.clip(np.rint(side), SHORTEST, LONGEST).astype(OFFSET_TYPE)])
        drawn = np.searchsorted(sums, random.random(offsets[-1]) * sums[-1], side="right")
        arrays += [(drawn + NUM_SPECIALS).astype(ID_TYPE), offsets]
    return _write(folder, ParallelIds(*arrays), num_words, "made-up text")


def of_prepared(folder: Path, num_words: int, num_pairs: int, prepared: Path) -> TrainingText:
    """The first training pairs of a prepared folder; a vocabulary larger than its own has rows that do not occur."""
    corpus = PreparedCorpus.open(prepared)
    own = corpus.vocabulary.size - NUM_SPECIALS
    if num_words < own:
        raise UserError(f"its vocabulary has {own:,} pieces, {num_words:,} were asked for", where=prepared)
    pairs = corpus.split("train")
    keep = min(num_pairs, len(pairs))
    ends = pairs.source_offsets[keep], pairs.target_offsets[keep]
    kept = ParallelIds(
        source_ids=pairs.source_ids[: ends[0]],
        source_offsets=pairs.source_offsets[: keep + 1],
        target_ids=pairs.target_ids[: ends[1]],
        target_offsets=pairs.target_offsets[: keep + 1],
    )
    return _write(folder, kept, num_words, str(prepared))


def _write(folder: Path, pairs: ParallelIds, num_words: int, about: str) -> TrainingText:
    words = np.array([f"w{number}" for number in range(num_words)])
    names = np.array(["special"] * NUM_SPECIALS + words.tolist())
    write_lines(folder / "words", words.tolist())
    sides = (pairs.source_ids, pairs.source_offsets), (pairs.target_ids, pairs.target_offsets)
    for side, language, (ids, offsets) in zip(SIDES, LANGUAGES, sides, strict=True):
        np.asarray(ids, dtype=ID_TYPE).tofile(folder / ids_file("train", side))
        np.asarray(offsets, dtype=OFFSET_TYPE).tofile(folder / offsets_file("train", side))
        write_lines(folder / f"train.{language}", _lines(names, ids, offsets))
        write_lines(folder / f"dev.{language}", _lines(names, ids, offsets[: NUM_DEV + 1]))
    num_pairs = len(pairs)
    pieces = [len(ids) / num_pairs for ids, _ in sides]
    about = f"{num_pairs:,} pairs of {pieces[0]:.1f} and {pieces[1]:.1f} pieces, {about}"
    return TrainingText(folder=folder, about=about, num_words=num_words, num_pairs=num_pairs)


def _lines(names: np.ndarray, ids: np.ndarray, offsets: np.ndarray) -> Iterator[str]:
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        yield " ".join(names[ids[start:end]].tolist())
