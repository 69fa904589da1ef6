"""Raw line <-> pieces: normalise, tokenise, cut into subwords; and all the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from bpe.codes import MergeTable
from bpe.errors import UserError
from bpe.segment import Segmenter, desegment
from bpe.textfiles import atomic_write, write_text
from nmt.protection import PROTECTED_WORD
from nmt.tokenization import Tokenizer, clean, import_package, make_tokenizer

Side = Literal["source", "target"]
SIDES: tuple[Side, Side] = ("source", "target")

TEXT_FILE, CODES_FILE, SENTENCEPIECE_FILE = "text.json", "bpe.codes", "sentencepiece.model"
FORMAT, FORMAT_VERSION = "nmt-text", 1


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """What a text pipeline is made of; the content of text.json."""

    source: str
    "Source language code; chooses Moses' rules."
    target: str
    "Target language code."
    tokenizer: str = "moses"
    "moses or none. sentencepiece reads raw text, so it goes with none."
    subwords: str = "bpe"
    "bpe, sentencepiece, or none: words are pieces already (models converted without their merges)."
    protect: tuple[str, ...] = ()
    "What is kept whole (see `nmt.protection`). A sentencepiece model has learned it; here it is a note."
    source_pieces: tuple[str, ...] | None = field(default=None, repr=False)
    "The pieces BPE may make on the source side (a frequency threshold's result); None: all."
    target_pieces: tuple[str, ...] | None = field(default=None, repr=False)
    "The same on the target side."

    def language(self, side: Side) -> str:
        """The language code of a side."""
        return self.source if side == "source" else self.target

    def make_tokenizer(self, side: Side, where: object = "prep.protect") -> Tokenizer:
        """The tokenizer of a side. where: names the place in an error about `protect`."""
        protect = () if self.subwords == "sentencepiece" else self.protect
        return make_tokenizer(self.tokenizer, self.language(side), protect, where)

    def allowed(self, side: Side) -> frozenset[str] | None:
        """The pieces BPE may make on a side; None: all."""
        pieces = self.source_pieces if side == "source" else self.target_pieces
        return None if pieces is None else frozenset(pieces)


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


class SegmentedText:
    """Text whose words are pieces already."""

    def pieces(self, words: list[str]) -> list[str]:
        """The words."""
        return words

    def words(self, pieces: Sequence[str]) -> list[str]:
        """Words of pieces that end in `@@` where a word goes on."""
        return desegment(list(pieces)).split()


class SentencePieceSubwords:
    """A sentencepiece model, BPE or unigram, of the text of both sides."""

    def __init__(self, model: bytes, where: object = "") -> None:
        sentencepiece = import_package("sentencepiece", "this text pipeline")
        try:
            self.processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, OSError, ValueError):
            raise UserError(
                "not a sentencepiece model", where=where, hint="restore the file or prepare again"
            ) from None

    def pieces(self, words: list[str]) -> list[str]:
        """Pieces of the words with one space between each two."""
        pieces: list[str] = self.processor.encode(" ".join(words), out_type=str)
        return pieces

    def words(self, pieces: Sequence[str]) -> list[str]:
        """Words of pieces; an unknown piece is ' ⁇ '."""
        return clean(self.processor.decode(list(pieces))).split()


class TextPipeline:
    """Both directions for both sides. Safe to use from several threads: its caches hold what each would work out anew.

    options: what it is made of. subwords: a `MergeTable`, the bytes of a sentencepiece model, or None for text whose
    words are pieces already.
    """

    def __init__(self, options: TextOptions, subwords: MergeTable | bytes | None, *, where: object = "") -> None:
        self.options = options
        self.subwords = subwords
        self._tokenizers: dict[Side, Tokenizer] = {side: options.make_tokenizer(side, where) for side in SIDES}
        self._subwords: dict[Side, Subwords]
        if isinstance(subwords, bytes):
            shared = SentencePieceSubwords(subwords, where)
            self._subwords = dict.fromkeys(SIDES, shared)
        elif subwords is None:
            self._subwords = dict.fromkeys(SIDES, SegmentedText())
        else:
            whole = PROTECTED_WORD if options.protect else None
            self._subwords = {side: BpeSubwords(subwords, options.allowed(side), whole) for side in SIDES}

    def words(self, line: str, side: Side) -> list[str]:
        """A raw line's words: tokens of Moses, or what stands between spaces."""
        return self._tokenizers[side].words(line)

    def pieces_of_words(self, words: list[str], side: Side) -> list[str]:
        """Pieces of tokenised words."""
        return self._subwords[side].pieces(words) if words else []

    def pieces(self, line: str, side: Side) -> list[str]:
        """A raw line's pieces; none for a blank line. No piece is empty or holds whitespace."""
        return self.pieces_of_words(self.words(line, side), side)

    def text(self, pieces: Sequence[str], side: Side) -> str:
        """Raw text of pieces, on one line: subwords joined, tokens detokenised."""
        return self._tokenizers[side].text(self._subwords[side].words(pieces))

    def save(self, folder: Path | str) -> None:
        """Write text.json and bpe.codes or sentencepiece.model into a folder."""
        folder = Path(folder)
        if isinstance(self.subwords, bytes):
            with atomic_write(folder / SENTENCEPIECE_FILE) as stream:
                stream.write(self.subwords)
        elif self.subwords is not None:
            self.subwords.save(folder / CODES_FILE)
        body = {"format": FORMAT, "version": FORMAT_VERSION} | asdict(self.options)
        if not self.options.protect:  # as folders were before there was such an option
            del body["protect"]
        write_text(folder / TEXT_FILE, json.dumps(body, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path | str) -> TextPipeline:
        """Read what `save` wrote; missing, damaged and foreign files are UserErrors, missing packages too."""
        folder = Path(folder)
        options = _read_options(folder / TEXT_FILE)
        if options.subwords == "none":
            return cls(options, None, where=folder / TEXT_FILE)
        if options.subwords == "bpe":
            return cls(options, MergeTable.load(folder / CODES_FILE), where=folder / TEXT_FILE)
        path = folder / SENTENCEPIECE_FILE
        try:
            return cls(options, path.read_bytes(), where=path)
        except OSError as error:
            raise UserError(f"cannot be read ({error.strerror})", where=path, hint="copy the whole folder") from None

    @staticmethod
    def files(folder: Path | str) -> list[Path]:
        """The files of a saved pipeline in a folder: what has to be copied to carry it elsewhere."""
        names = (TEXT_FILE, CODES_FILE, SENTENCEPIECE_FILE)
        return [Path(folder) / name for name in names if (Path(folder) / name).is_file()]


def _read_options(path: Path) -> TextOptions:
    try:
        body = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise UserError("no such file", where=path, hint="check the path, or copy the whole folder") from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise UserError("damaged: not JSON", where=path, hint="restore the file or prepare again") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise UserError("does not describe a text pipeline", where=path, hint="check the path")
    if body.get("version") != FORMAT_VERSION:
        found = f"format version {body.get('version')!r}, but this program reads version {FORMAT_VERSION}"
        raise UserError(found, where=path, hint="prepare again, or install the version that wrote it")
    return _options_from(body, path)


def _options_from(body: Mapping[str, Any], path: Path) -> TextOptions:
    texts = {name: body.get(name) for name in ("source", "target", "tokenizer", "subwords")}
    lists = {"protect": body.get("protect", [])}
    lists |= {name: body.get(name) for name in ("source_pieces", "target_pieces")}
    valid = all(isinstance(value, str) for value in texts.values())
    valid = valid and all(value is None or isinstance(value, list) for value in lists.values())
    valid = valid and all(isinstance(text, str) for value in lists.values() for text in value or ())
    if (
        not valid
        or texts["tokenizer"] not in ("moses", "none")
        or texts["subwords"] not in ("bpe", "sentencepiece", "none")
    ):
        raise UserError("damaged: a key is missing or wrong", where=path, hint="restore the file or prepare again")
    pieces = {name: None if value is None else tuple(value) for name, value in lists.items()}
    return TextOptions(**texts, **pieces)  # type: ignore[arg-type]
