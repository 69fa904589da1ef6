"""Preparation: the section prep."""

from __future__ import annotations

from dataclasses import dataclass

from nmt.config.checks import choice, require
from nmt.text.normalization import NORMALIZATIONS
from nmt.text.protection import Patterns

DROPPED = ("held-out", "held-out-source", "identical", "entities", "unprintable", "language", "shifted")


@dataclass(frozen=True, kw_only=True)
class PrepConfig:
    """Preparation: which text, how it is tokenised and cut into subwords, what is dropped."""

    source: str | None = None
    "Source language code (the suffix of the corpus files); None: found from the folder."
    target: str | None = None
    "Target language code; None: found from the folder."
    joint_bpe: int = 32_000
    "Merges of the one joint BPE. Table 8 uses 89,500. Fewer are learned when the text runs out of frequent pairs."
    sentencepiece: int | None = None
    "Number of sentencepiece pieces beside bytes, learned on raw text of both sides; replaces joint_bpe when given."
    sentencepiece_model: str = "unigram"
    "What sentencepiece learns: unigram or bpe."
    tokenizer: str = "reversible"
    "reversible: fine tokens that join exactly. moses: Moses' tokens, some lost in joining. none: split at spaces."
    source_normalize: str = "none"
    "Before tokenising the source: none, nfc, nfkc (Unicode's forms), or moses (punctuation to ASCII, as Moses does)."
    target_normalize: str = "none"
    "The same for the target. Whatever it changes no translation can hold."
    protect: tuple[str, ...] = ()
    "What comes out as it went in, by number: placeholders, urls, tags, all, or regular expressions (docs/text.md)."
    min_character_count: int = 10
    "Characters rarer than this in the training text are spelt in bytes, as is all that it lacks; 0: no bytes."
    min_frequency: int = 2
    "A pair of symbols must occur this often to be merged (subword-nmt's --min-frequency)."
    source_threshold: int = 0
    "Pieces rarer than this on the source side are cut smaller (subword-nmt's --vocabulary-threshold); 0: keep all."
    target_threshold: int = 0
    "The same on the target side."
    bpe_dropout: bool = False
    "The vocabulary also holds every piece that leaving out merges can make, for training.bpe_dropout to draw from all."
    min_length: int = 1
    "Training pairs with fewer pieces than this on a side are dropped."
    max_length: int = 250
    "Training pairs with more pieces than this on a side are dropped."
    max_ratio: float = 9.0
    "Training pairs in which one side has more than this times the other's pieces are dropped (below 10: kept)."
    deduplicate: bool = False
    "Drop training pairs seen before (by 64-bit hash, 8 bytes of memory a pair)."
    max_word_length: int = 0
    "Training pairs with a word of more characters, between white space, are dropped; 0: none."
    min_alphabetic: float = 0.0
    "Training pairs in which less of a side's characters than this share are letters, spaces aside, are dropped."
    drop: tuple[str, ...] = ()
    "Findings that drop training pairs and are not only counted: held-out (in valid or test too), held-out-source,"
    " identical (source and target), entities, unprintable (characters), language, shifted (sides)."
    detect_languages: bool = False
    "Count pairs that are surely in another language than they should be, by the package py3langid."
    unescape_entities: bool = False
    "Turn HTML's and Moses' entities, as &apos; and &#124;, into characters, on both sides of all splits."
    check_sides: bool = True
    "Refuse text whose sides look equal or swapped. Turn it off for copying tasks."

    def __post_init__(self) -> None:
        require(self.joint_bpe >= 0, "prep.joint_bpe", self.joint_bpe, "0 or more")
        require(
            self.sentencepiece is None or self.sentencepiece >= 10, "prep.sentencepiece", self.sentencepiece, ">= 10"
        )
        choice("prep.sentencepiece_model", self.sentencepiece_model, ("unigram", "bpe"))
        choice("prep.tokenizer", self.tokenizer, ("reversible", "moses", "none"))
        choice("prep.source_normalize", self.source_normalize, NORMALIZATIONS)
        choice("prep.target_normalize", self.target_normalize, NORMALIZATIONS)
        Patterns(self.protect)
        without_merges = self.bpe_dropout and self.sentencepiece is not None
        require(not without_merges, "prep.bpe_dropout", True, "false: sentencepiece has no merges")
        require(self.min_character_count >= 0, "prep.min_character_count", self.min_character_count, "0 or more")
        require(self.min_frequency >= 1, "prep.min_frequency", self.min_frequency, "1 or more")
        require(self.source_threshold >= 0, "prep.source_threshold", self.source_threshold, "0 or more")
        require(self.target_threshold >= 0, "prep.target_threshold", self.target_threshold, "0 or more")
        require(self.min_length >= 1, "prep.min_length", self.min_length, "1 or more")
        limit = f"prep.min_length ({self.min_length}) or more"
        require(self.max_length >= self.min_length, "prep.max_length", self.max_length, limit)
        require(self.max_ratio >= 1, "prep.max_ratio", self.max_ratio, "1 or more")
        require(self.max_word_length >= 0, "prep.max_word_length", self.max_word_length, "0 or more")
        require(0 <= self.min_alphabetic <= 1, "prep.min_alphabetic", self.min_alphabetic, "0 to 1")
        for word in self.drop:
            choice("prep.drop", word, DROPPED)
