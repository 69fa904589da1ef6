"""Which of our text pipelines Argos Translate can follow, and the files that make it do so.

It has two. With a `sentencepiece.model` it cuts raw text by that and joins pieces, underscores turned into spaces. With
a `bpe.model` it normalises punctuation, tokenises and detokenises by sacremoses, and cuts by subword-nmt's algorithm:
our `moses` with BPE but that its tokens have XML's escapes (`&apos;` for `'`). So the merges and the pieces are written
with these, and merges that come before all others make each escape one symbol; what is cut is then the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bpe.codes import END_OF_WORD, MergeTable
from bpe.errors import UserError
from bpe.fallback import FALLBACK_PIECES
from nmt.conversion.ctranslate2_folder import Pieces
from nmt.folder.bundle import Bundle
from nmt.text.normalization import MOSES_WITH_NUMBERS
from nmt.text.pipeline import SENTENCEPIECE_BYTES, SeparateModels

ESCAPES = {
    "&": "&amp;",
    "|": "&#124;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "[": "&#91;",
    "]": "&#93;",
}
"Moses': what its tokens have for these characters."
_TABLE = str.maketrans(ESCAPES)
SENTENCEPIECE, BPE = "sentencepiece.model", "bpe.model"
HINT = "prepare with --sentencepiece N, or with --tokenizer moses; or export with --to ctranslate2"


@dataclass(frozen=True)
class ArgosText:
    """A text pipeline as Argos has it."""

    file: str
    content: bytes | MergeTable
    pieces: Pieces
    differs: tuple[str, ...]
    "What text it reads or writes otherwise than we, for people."

    def write(self, folder: Path) -> None:
        """The file that it reads."""
        if isinstance(self.content, MergeTable):
            self.content.save(folder / self.file)
        else:
            (folder / self.file).write_bytes(self.content)


def argos_text(bundle: Bundle) -> ArgosText:
    """The pipeline of a model folder; a UserError where Argos would cut ordinary text otherwise."""
    text, options = bundle.text, bundle.text.options
    placeholders = frozenset(text.placeholders)
    differs = ["placeholders, addresses and tags are not protected there"] if options.protect else []
    if bundle.config.search.prefix_source:
        problem = f"Argos Translate cannot put {bundle.config.search.prefix_source} before a source"
        raise UserError(problem, where=bundle.folder, hint="export with --to ctranslate2")
    if isinstance(text.subwords, SeparateModels):
        differs += ["sources that begin with a target code (>>fra<<) are cut otherwise"] * _has_codes(bundle)
        differs += _normalized(options.source_normalize)
        return ArgosText(SENTENCEPIECE, text.subwords.source, Pieces(barred=placeholders), (*differs, UNDERSCORES))
    if isinstance(text.subwords, bytes):
        if options.tokenizer == "moses":
            raise UserError("Argos Translate has no Moses tokens before sentencepiece", where=bundle.folder, hint=HINT)
        differs += _normalized(options.source_normalize)
        differs += _missing(text.sentencepiece("source").piece_list(), bundle)
        return ArgosText(SENTENCEPIECE, text.subwords, Pieces(barred=placeholders), (*differs, UNDERSCORES))
    if not isinstance(text.subwords, MergeTable) or options.tokenizer != "moses":
        kind = options.tokenizer if isinstance(text.subwords, MergeTable) else "no"
        raise UserError(f"Argos Translate cannot follow BPE on {kind} tokens", where=bundle.folder, hint=HINT)
    if options.source_normalize != MOSES_WITH_NUMBERS:
        differs.append(MOSES_NORMALIZED)
    if options.byte_fallback:
        differs.append("characters and pieces that the vocabulary lacks are unknown there, not spelt in bytes")
    elif options.source_pieces is not None:
        differs.append("pieces that the source's vocabulary lacks are unknown there, not cut smaller")
    pieces = Pieces(name=escaped, barred=placeholders | FALLBACK_PIECES)
    return ArgosText(BPE, escaped_merges(text.subwords), pieces, tuple(differs))


UNDERSCORES = "underscores come out as spaces"
MOSES_NORMALIZED = "punctuation is normalised there as Moses does: quotes and dashes become ASCII, 12 500 one word"


def _normalized(name: str) -> list[str]:
    return [] if name == "none" else [f"sources are not normalised there ({name})"]


def _has_codes(bundle: Bundle) -> bool:
    return any(piece.startswith(">>") and piece.endswith("<<") for piece in bundle.vocabulary.side("source"))


def _missing(pieces: list[str], bundle: Bundle) -> list[str]:
    """Of pieces that sentencepiece makes and the source's vocabulary lacks."""
    lacking = set(pieces) - set(bundle.vocabulary.side("source")) - set(SENTENCEPIECE_BYTES)
    if not lacking:
        return []
    return [f"{len(lacking):,} pieces that the source's vocabulary lacks are unknown there, not spelt in others"]


def escaped(piece: str) -> str:
    """A piece of text with Moses' escapes."""
    return piece.translate(_TABLE)


def escaped_merges(merges: MergeTable) -> MergeTable:
    """Merges of escaped text: first those that make each escape one symbol, then the given ones."""
    first: dict[tuple[str, str], None] = {}
    for escape in ESCAPES.values():
        for end in range(1, len(escape)):
            first[escape[:end], escape[end]] = None
        if merges.version != (0, 1):  # where the last symbol of a word says so
            first[escape[:-1], escape[-1] + END_OF_WORD] = None
    rest = ((_escaped_symbol(left), _escaped_symbol(right)) for left, right in merges.merges)
    return MergeTable((*first, *rest), merges.version)


def _escaped_symbol(symbol: str) -> str:
    """A symbol of a merge, whose mark of a word's end is no text."""
    text = symbol.removesuffix(END_OF_WORD)
    return escaped(text) + symbol[len(text) :]
