"""Text prepared as a model's own was: with its text pipeline and its vocabulary, which may grow by new pieces.

What a model reads and writes is fixed by text.json, its merges or sentencepiece model, and vocabulary.json; the options
that shaped them are in its config.yaml. Which pairs are kept is not a matter of the model, and may be chosen anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bpe.codes import MergeTable
from bpe.errors import UserError
from bpe.fallback import FALLBACK_PIECES
from bpe.segmenter import SEPARATOR
from bpe.textfiles import sha256_of
from nmt.config import PrepConfig
from nmt.configfile import Values, build_config, read_yaml
from nmt.data.corpus import VOCABULARY_FILE
from nmt.prepare.manifest import LearnedSubwords
from nmt.prepare.subword_learning import count_characters
from nmt.prepare.tokenizing import WordCounts
from nmt.text.options import TEXT_FILE
from nmt.text.pipeline import SIDES, Side, TextPipeline
from nmt.text.protection import is_protected
from nmt.text.vocabulary import NUM_SPECIALS, Vocabulary

CONFIG_FILE = "config.yaml"
FREE = frozenset(
    (
        "min_length",
        "max_length",
        "max_ratio",
        "deduplicate",
        "max_word_length",
        "min_alphabetic",
        "drop",
        "detect_languages",
        "check_sides",
    )
)
"Options of preparation that say which pairs are kept; all others say what their pieces are."


def text_hash(folder: Path) -> str:
    """SHA-256 of the files of a folder that say how text is cut, in hexadecimal."""
    listing = "".join(f"{sha256_of(path)}  {path.name}\n" for path in TextPipeline.files(folder))
    return hashlib.sha256(listing.encode("ascii")).hexdigest()


@dataclass(frozen=True)
class LikeModel:
    """The model whose text is the pattern. extend: its vocabulary may grow by pieces of the new text."""

    folder: Path
    prep: PrepConfig
    "The options that its text was prepared with."
    text: TextPipeline
    vocabulary: Vocabulary
    extend: bool = False

    @classmethod
    def read(cls, folder: Path | str, *, extend: bool = False) -> LikeModel:
        """Read a model folder; anything else is a UserError."""
        folder = Path(folder)
        missing = [name for name in (CONFIG_FILE, TEXT_FILE, VOCABULARY_FILE) if not (folder / name).is_file()]
        if missing:
            problem = f"not a model folder (no {missing[0]} in it)" if folder.is_dir() else "no such folder"
            raise UserError(problem, where=folder, hint="name a model folder with --like")
        text = TextPipeline.load(folder)
        prep = build_config(read_yaml(folder / CONFIG_FILE)).prep
        facts: dict[str, Any] = {"source": text.options.source, "target": text.options.target}
        if not text.options.byte_fallback:
            facts["min_character_count"] = 0
        if text.options.subwords == "none":
            facts["joint_bpe"] = 0
        return cls(folder, replace(prep, **facts), text, Vocabulary.load(folder / VOCABULARY_FILE), extend)

    def options(self, wanted: Values) -> Values:
        """The keys of preparation as the model's own text had them, to stand below what the user asked for.

        wanted: the user's keys. One that contradicts what the model reads and writes is a UserError.
        """
        own = {f"prep.{key}": value for key, value in dataclasses.asdict(self.prep).items()}
        asked = build_config(own, wanted).prep
        for key, value in dataclasses.asdict(asked).items():
            if key not in FREE and value != own[f"prep.{key}"]:
                problem = f"{value!r} contradicts the model's text, which was prepared with {own[f'prep.{key}']!r}"
                hint = f"leave it out: --like takes it from {self.folder}"
                raise UserError(problem, where=f"prep.{key}", hint=hint)
        return own

    def described(self) -> dict[str, Any]:
        """For the manifest: which text and which vocabulary were the pattern, and whether it may grow."""
        return {"vocabulary": self.vocabulary.fingerprint, "text": text_hash(self.folder), "extend": self.extend}

    def pipeline(self, counts: WordCounts, prep: PrepConfig) -> tuple[TextPipeline, LearnedSubwords]:
        """The text pipeline for words of new text, and what there was to learn: nothing."""
        words = {word: count for word, count in counts.joint().items() if not is_protected(word)}
        characters = count_characters(words)
        pipeline = self._open(counts, prep, characters) if self.extend else self.text
        merges = pipeline.subwords if isinstance(pipeline.subwords, MergeTable) else None
        pieces = len(self.vocabulary.pieces) - NUM_SPECIALS if merges is None else len(merges)
        learned = LearnedSubwords(
            requested=pieces,
            learned=pieces,
            unit="pieces" if merges is None else "merges",
            characters=len(characters),
            rare_characters=sum(one in characters for one in pipeline.options.rare_characters),
            words=len(words),
            words_too_long=0,
        )
        return pipeline, learned

    def grown(self, counts: Mapping[Side, Mapping[str, int]], uncounted: Mapping[Side, set[str]]) -> Vocabulary:
        """The model's vocabulary with the pieces of new text. uncounted: pieces that it holds whatever their count."""
        if not self.extend:
            return self.vocabulary
        return self.vocabulary.grown(counts["source"], counts["target"], (uncounted["source"], uncounted["target"]))

    def _open(self, counts: WordCounts, prep: PrepConfig, characters: Counter[str]) -> TextPipeline:
        """The pipeline with every piece that its merges make of the new text, as far as thresholds allow it."""
        options = self.text.options
        rare = options.rare_characters
        if options.byte_fallback and isinstance(self.text.subwords, MergeTable):
            candidates = (set(rare) | characters.keys()) - self._letters
            rare = "".join(sorted(one for one in candidates if characters[one] < prep.min_character_count))
        options = replace(options, source_pieces=None, target_pieces=None, rare_characters=rare)
        pipeline = TextPipeline(options, self.text.subwords)
        thresholds: dict[Side, int] = {"source": prep.source_threshold, "target": prep.target_threshold}
        allowed = {
            f"{side}_pieces": self._frequent(pipeline, counts.of(side), side, threshold)
            for side, threshold in thresholds.items()
            if threshold
        }
        return TextPipeline(replace(options, **allowed), self.text.subwords) if allowed else pipeline  # type: ignore[arg-type]

    def _frequent(
        self, pipeline: TextPipeline, words: Mapping[str, int], side: Side, threshold: int
    ) -> tuple[str, ...]:
        """The model's pieces of a side, and those of the words that occur often enough."""
        pieces: Counter[str] = Counter()
        for word, count in words.items():
            for piece in pipeline.pieces_of_words([word], side):
                pieces[piece] += count
        often = {piece for piece, count in pieces.items() if count >= threshold}
        return tuple(sorted(often.union(self.vocabulary.side(side))))

    @cached_property
    def _letters(self) -> set[str]:
        """The characters that the model has pieces of."""
        pieces = (piece for side in SIDES for piece in self.vocabulary.side(side))
        return {
            letter
            for piece in pieces
            if piece not in FALLBACK_PIECES and not is_protected(piece)
            for letter in piece.removesuffix(SEPARATOR)
        }
