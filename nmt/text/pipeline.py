"""Raw line <-> pieces: normalise, tokenise, cut into subwords; and all the way back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from bpe.codes import MergeTable
from bpe.errors import UserError
from bpe.fallback import FALLBACK_PIECES, FallbackSegmenter, spelt_out
from bpe.segment import Segmenter, desegment
from bpe.textfiles import atomic_write
from nmt.packages import import_package
from nmt.text.options import SIDES, TEXT_FILE, Side, TextOptions
from nmt.text.placeholders import NumberedString, Strings, put_back
from nmt.text.protection import PROTECTED_WORD, Span, is_protected
from nmt.text.reversible import SENTENCEPIECE_SPACE as SPACE
from nmt.text.tokenization import NumberingTokenizer, Tokenizer, clean, comes_back
from nmt.text.vocabulary import SPECIAL_NAMES, UNK

__all__ = ["SENTENCEPIECE_BYTES", "SIDES", "SPACE", "SentencePieceSubwords", "Side", "TextOptions", "TextPipeline"]

SENTENCEPIECE_BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
"How sentencepiece writes bytes."
CODES_FILE, SENTENCEPIECE_FILE = "bpe.codes", "sentencepiece.model"
SEPARATE_FILES: Mapping[Side, str] = {"source": "source.spm", "target": "target.spm"}
"As Hugging Face calls them in folders of MarianMT."
TARGET_CODE = re.compile(r">>[^\s<>]+<<")
"Names the language to translate into, at the beginning of a source."


class Subwords(Protocol):
    """Words <-> pieces of one side."""

    def pieces(self, words: list[str]) -> list[str]:
        """Pieces of words without whitespace."""

    def words(self, pieces: Sequence[str]) -> list[str]:
        """Words of pieces, also of a sequence that no text would give."""


class BpeSubwords:
    """Byte pair encoding with one merge table for both sides. whole: a regular expression of words it never cuts."""

    def __init__(self, merges: MergeTable, allowed: frozenset[str] | None = None, whole: str | None = None) -> None:
        self.segmenter = Segmenter(merges, allowed, () if whole is None else (whole,))

    def pieces(self, words: list[str]) -> list[str]:
        """Pieces of words."""
        return [piece for word in words for piece in self.segmenter.segment_word(word)]

    def words(self, pieces: Sequence[str]) -> list[str]:
        """Words of pieces."""
        return desegment(list(pieces)).split()


class BpeWithBytes:
    """The same where what has no piece is spelt in bytes. rare: characters that have none."""

    def __init__(self, merges: MergeTable, allowed: frozenset[str] | None, rare: str, protects: bool) -> None:
        self.segmenter = FallbackSegmenter(merges, allowed, rare, is_protected if protects else lambda word: False)

    def pieces(self, words: list[str]) -> list[str]:
        """Pieces of words."""
        return [piece for word in words for piece in self.segmenter.segment_word(word)]

    def words(self, pieces: Sequence[str]) -> list[str]:
        """Words of pieces; bytes that are not UTF-8 read U+FFFD."""
        return desegment(spelt_out(pieces)).split()


class SegmentedText:
    """Text whose words are pieces already."""

    def pieces(self, words: list[str]) -> list[str]:
        """The words."""
        return words

    def words(self, pieces: Sequence[str]) -> list[str]:
        """Words of pieces that end in `@@` where a word goes on."""
        return desegment(list(pieces)).split()


class SentencePieceSubwords:
    """A sentencepiece model, BPE or unigram, of the text of both sides.

    exact: white space other than spaces stays in the text. allowed: the pieces there are; others are spelt in
    characters, or in bytes, which the model must have; None: all.
    """

    def __init__(
        self, model: bytes, where: object = "", *, exact: bool = False, allowed: frozenset[str] | None = None
    ) -> None:
        sentencepiece = import_package("sentencepiece", "this text pipeline")
        self._exact, self._allowed = exact, allowed
        try:
            self.processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, OSError, ValueError):
            raise UserError(
                "not a sentencepiece model", where=where, hint="restore the file or prepare again"
            ) from None

    def pieces(self, words: list[str]) -> list[str]:
        """Pieces of the words with one space between each two."""
        return self.known(self.processor.encode(" ".join(words), out_type=str))

    def piece_list(self) -> list[str]:
        """All pieces that the model may cut text into."""
        processor = self.processor
        return [
            processor.id_to_piece(number)
            for number in range(processor.get_piece_size())
            if not (processor.is_control(number) or processor.is_unknown(number) or processor.is_unused(number))
        ]

    def known(self, pieces: list[str]) -> list[str]:
        """The pieces, those that are not there spelt in others."""
        allowed = self._allowed
        if allowed is None or allowed.issuperset(pieces):
            return pieces
        return [known for piece in pieces for known in ([piece] if piece in allowed else self._spell(piece, allowed))]

    def words(self, pieces: Sequence[str]) -> list[str]:
        """Words of pieces; an unknown piece is ' ⁇ '."""
        text: str = self.processor.decode(list(pieces))
        return [word for word in text.split(" ") if word] if self._exact else clean(text).split()

    @staticmethod
    def _spell(piece: str, allowed: frozenset[str]) -> list[str]:
        """A piece that is not there in characters and bytes."""
        spelt: list[str] = []
        for character in piece:
            spelt += (
                [character]
                if character in allowed
                else (SENTENCEPIECE_BYTES[byte] for byte in character.encode("utf-8"))
            )
        return spelt


@dataclass(frozen=True)
class SeparateModels:
    """A sentencepiece model for each side, as OPUS-MT's models have them."""

    source: bytes
    target: bytes

    def of(self, side: Side) -> bytes:
        """That of a side."""
        return self.source if side == "source" else self.target


class MarianSubwords(SentencePieceSubwords):
    """One side of these, as Hugging Face's MarianTokenizer reads and writes text."""

    def pieces(self, words: list[str]) -> list[str]:
        """Pieces of the words; a target code before them is one."""
        text = " ".join(words)
        code = TARGET_CODE.match(text)
        return [code[0], *super().pieces([text[code.end() :]])] if code else super().pieces([text])

    def words(self, pieces: Sequence[str]) -> list[str]:
        """Words of pieces, of which the model may lack some; unknown ones are left out."""
        text: str = self.processor.decode([piece for piece in pieces if piece != SPECIAL_NAMES[UNK]])
        return clean(text.replace(SPACE, " ")).split()


@dataclass(frozen=True)
class Reading:
    """A source line as the model reads it."""

    words: list[str]
    strings: Strings = ()
    "What its numbered placeholders stand for."


class TextPipeline:
    """Both directions for both sides. Safe to use from several threads: its caches hold what each would work out anew.

    options: what it is made of. subwords: a `MergeTable`, the bytes of a sentencepiece model, one for each side, or
    None for text whose words are pieces already.
    """

    def __init__(
        self, options: TextOptions, subwords: MergeTable | bytes | SeparateModels | None, *, where: object = ""
    ) -> None:
        self.options = options
        self.subwords = subwords
        self.numbering = options.make_numbering(where)
        "What numbers protected strings; None: they have no numbers."
        self._numbering_tokenizers: Mapping[Side, NumberingTokenizer] = (
            {side: options.make_numbering_tokenizer(side) for side in SIDES} if self.numbering else {}
        )
        self._tokenizers: Mapping[Side, Tokenizer] = self._numbering_tokenizers or {
            side: options.make_tokenizer(side, where) for side in SIDES
        }
        self._subwords: dict[Side, Subwords] = {side: self._make_subwords(side, where) for side in SIDES}

    def _make_subwords(self, side: Side, where: object) -> Subwords:
        options, allowed = self.options, self.options.allowed(side)
        if isinstance(self.subwords, bytes):
            exact = options.tokenizer == "reversible"
            known = allowed if options.byte_fallback else None
            return SentencePieceSubwords(self.subwords, where, exact=exact, allowed=known)
        if isinstance(self.subwords, SeparateModels):
            return MarianSubwords(self.subwords.of(side), where)
        if self.subwords is None:
            return SegmentedText()
        if options.byte_fallback:
            return BpeWithBytes(self.subwords, allowed, options.rare_characters, bool(options.protect))
        return BpeSubwords(self.subwords, allowed, PROTECTED_WORD if options.protect else None)

    def words(self, line: str, side: Side, spans: Sequence[Span] = ()) -> list[str]:
        """A raw line's words: the tokens of its tokenizer, marks of what touches included.

        spans: of what numbered placeholders stand for.
        """
        return self._numbering_tokenizers[side].words(line, spans) if spans else self._tokenizers[side].words(line)

    def read(self, line: str, terms: Sequence[NumberedString] = ()) -> Reading:
        """A raw source line's words, its protected strings numbered. terms: of a glossary, to be numbered too."""
        if self.numbering is None:
            return Reading(self.words(line, "source"))
        spans, strings = self.numbering.all(line, terms)
        return Reading(self.words(line, "source", spans), strings)

    def target_code(self, line: str) -> tuple[str, str]:
        """The target code that a source line begins with, '' where there is none, and the rest of the line."""
        code = TARGET_CODE.match(line.lstrip()) if isinstance(self.subwords, SeparateModels) else None
        return (code[0], line.lstrip()[code.end() :]) if code else ("", line)

    def pieces_of_pair(self, source: str, target: str) -> tuple[list[str], list[str]]:
        """The pieces of a pair of raw lines, as preparation cuts them: the strings that both have are numbered."""
        if self.numbering is None:
            return self.pieces(source, "source"), self.pieces(target, "target")
        spans = self.numbering.shared(source, target)
        words = (self.words(line, side, own) for line, side, own in zip((source, target), SIDES, spans, strict=True))
        first, second = (self.pieces_of_words(own, side) for own, side in zip(words, SIDES, strict=True))
        return first, second

    def pieces_of_target(self, line: str, strings: Strings) -> list[str]:
        """The pieces of a target line to a source with these strings."""
        spans = self.numbering.of_source(line, strings) if self.numbering and strings else []
        return self.pieces_of_words(self.words(line, "target", spans), "target")

    def pieces_of_target_alone(self, line: str) -> list[str]:
        """The pieces of a target line without a source: strings are numbered as if the source had all of them, too."""
        return self.pieces_of_target(line, self.numbering.all(line)[1] if self.numbering else ())

    def sentencepiece(self, side: Side) -> SentencePieceSubwords:
        """The subwords of a side of sentencepiece."""
        subwords = self._subwords[side]
        assert isinstance(subwords, SentencePieceSubwords)
        return subwords

    def pieces_of_words(self, words: list[str], side: Side) -> list[str]:
        """Pieces of tokenised words."""
        if self.numbering is not None:
            words = list(map(self.numbering.known, words))
        return self._subwords[side].pieces(words) if words else []

    def pieces(self, line: str, side: Side) -> list[str]:
        """A raw line's pieces; none for a blank line. No piece is empty or holds whitespace.

        Protected strings that have numbers are text here: a line alone does not say which of them are to have one.
        """
        return self.pieces_of_words(self.words(line, side), side)

    def text(self, pieces: Sequence[str], side: Side, strings: Strings = ()) -> str:
        """Raw text of pieces, on one line: subwords joined, tokens detokenised.

        strings: what numbered placeholders stand for.
        """
        words = self._subwords[side].words(pieces)
        if strings:
            words = put_back(words, strings, self._numbering_tokenizers[side].spelt)
        return self._tokenizers[side].text(words)

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The pieces that stand for numbered strings."""
        return self.numbering.words if self.numbering is not None else ()

    @property
    def always_known(self) -> frozenset[str]:
        """Pieces that every vocabulary must hold: to spell what has none, and for protected strings."""
        numbered = frozenset(self.placeholders)
        if not self.options.byte_fallback:
            return numbered
        if isinstance(self.subwords, bytes):
            return numbered.union(SENTENCEPIECE_BYTES, (SPACE,))
        return numbered | FALLBACK_PIECES

    def of_pieces(self, source: Collection[str], target: Collection[str]) -> TextPipeline:
        """The same with these pieces and no others."""
        pieces = {"source_pieces": tuple(sorted(source)), "target_pieces": tuple(sorted(target))}
        return TextPipeline(replace(self.options, **pieces), self.subwords)  # type: ignore[arg-type]

    def comes_back(self, line: str, side: Side) -> bool:
        """Whether the words of a line give it again, runs of spaces and those at its ends left aside."""
        return comes_back(self._tokenizers[side], line)

    def save(self, folder: Path | str) -> None:
        """Write text.json and bpe.codes, sentencepiece.model, or source.spm and target.spm into a folder."""
        folder = Path(folder)
        if isinstance(self.subwords, bytes):
            with atomic_write(folder / SENTENCEPIECE_FILE) as stream:
                stream.write(self.subwords)
        elif isinstance(self.subwords, SeparateModels):
            for side, name in SEPARATE_FILES.items():
                with atomic_write(folder / name) as stream:
                    stream.write(self.subwords.of(side))
        elif self.subwords is not None:
            self.subwords.save(folder / CODES_FILE)
        self.options.save(folder)

    @classmethod
    def load(cls, folder: Path | str) -> TextPipeline:
        """Read what `save` wrote; missing, damaged and foreign files are UserErrors, missing packages too."""
        folder = Path(folder)
        options = TextOptions.load(folder)
        if options.subwords == "none":
            return cls(options, None, where=folder / TEXT_FILE)
        if options.subwords == "bpe":
            return cls(options, MergeTable.load(folder / CODES_FILE), where=folder / TEXT_FILE)
        if options.separate:
            return cls(
                options, SeparateModels(*(_read(folder / name) for name in SEPARATE_FILES.values())), where=folder
            )
        path = folder / SENTENCEPIECE_FILE
        return cls(options, _read(path), where=path)

    @staticmethod
    def files(folder: Path | str) -> list[Path]:
        """The files of a saved pipeline in a folder: what has to be copied to carry it elsewhere."""
        names = (TEXT_FILE, CODES_FILE, SENTENCEPIECE_FILE, *SEPARATE_FILES.values())
        return [Path(folder) / name for name in names if (Path(folder) / name).is_file()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path, hint="copy the whole folder") from None
