"""What a text pipeline is made of, and text.json, the file that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from bpe.errors import UserError
from bpe.textfiles import write_text
from nmt.text.languages import code_of, literal_code
from nmt.text.normalization import MOSES_WITH_NUMBERS, NORMALIZATIONS
from nmt.text.placeholders import Numbering
from nmt.text.tokenization import NumberingTokenizer, Tokenizer, make_numbering_tokenizer, make_tokenizer

Side = Literal["source", "target"]
SIDES: tuple[Side, Side] = ("source", "target")

TEXT_FILE = "text.json"
FORMAT, FORMAT_VERSION = "nmt-text", 4
"The latest, of folders with sentencepiece models of their own for each side."
NUMBERED_VERSION = 3
"Of folders where protected strings have numbers."
UNNUMBERED_VERSION = 2
"Of folders where protected strings are pieces themselves, and of those that protect none."
OLD_VERSION = 1
"Of folders that know neither choice of normalisation nor bytes: moses implied both of its steps, as they were then."
WORDS = {
    "tokenizer": ("reversible", "moses", "none"),
    "subwords": ("bpe", "sentencepiece", "none"),
    "source_normalize": (*NORMALIZATIONS, MOSES_WITH_NUMBERS),
    "target_normalize": (*NORMALIZATIONS, MOSES_WITH_NUMBERS),
}
RULES: dict[Side, str] = {"source": "source_rules", "target": "target_rules"}
"Not in files that were made before, nor where a tag's first part says the same: such a part is then the code."
LISTS = ("protect", "source_pieces", "target_pieces")


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """What a text pipeline is made of; the content of text.json."""

    source: str
    "Source language, as the user calls it."
    target: str
    "Target language."
    tokenizer: str = "reversible"
    "reversible, moses or none. sentencepiece reads raw text, so reversible only escapes what it could not give back."
    subwords: str = "bpe"
    "bpe, sentencepiece, or none: words are pieces already (models converted without their merges)."
    protect: tuple[str, ...] = ()
    "What is kept whole (see `nmt.text.protection`)."
    numbers: tuple[tuple[str, int], ...] | None = None
    """How many numbers each kind of protected string has (see `nmt.text.placeholders`).

    None: there are no numbers, and protected strings are pieces themselves; those of sentencepiece its model knows.
    """
    source_normalize: str = "none"
    "Normalisation of the source (see `nmt.text.normalization`)."
    target_normalize: str = "none"
    "Normalisation of the target."
    byte_fallback: bool = False
    "Whether what has no piece is spelt in bytes (see `bpe.fallback`)."
    rare_characters: str = field(default="", repr=False)
    "Characters of the training text that are spelt in bytes. sentencepiece's model knows its own: here it is a note."
    source_pieces: tuple[str, ...] | None = field(default=None, repr=False)
    "The pieces there are on the source side; None: all that the merges make."
    target_pieces: tuple[str, ...] | None = field(default=None, repr=False)
    "The same on the target side."
    source_rules: str = ""
    "Code of the language whose rules of tokenisation apply; empty: what the source's tag means (`nmt.text.languages`)."
    target_rules: str = ""
    "The same of the target."
    separate: bool = False
    "Each side has a sentencepiece model of its own, and a source may begin with a target code (`>>fra<<`)."

    def __post_init__(self) -> None:
        for side in SIDES:
            object.__setattr__(self, RULES[side], self.rules(side) or code_of(self.language(side)))

    def language(self, side: Side) -> str:
        """The language of a side, as the user calls it."""
        return self.source if side == "source" else self.target

    def rules(self, side: Side) -> str:
        """The code of the language whose rules a side is tokenised by."""
        return self.source_rules if side == "source" else self.target_rules

    def make_tokenizer(self, side: Side, where: object = "prep.protect") -> Tokenizer:
        """The tokenizer of a side, without numbers. where: names the place in an error about `protect`."""
        normalize = self.source_normalize if side == "source" else self.target_normalize
        if self.subwords == "sentencepiece":
            name = "escaping" if self.tokenizer == "reversible" else self.tokenizer
            return make_tokenizer(name, self.rules(side), normalize=normalize)
        return make_tokenizer(self.tokenizer, self.rules(side), self.protect, normalize=normalize, where=where)

    def make_numbering_tokenizer(self, side: Side) -> NumberingTokenizer:
        """The tokenizer of a side where protected strings are numbered."""
        normalize = self.source_normalize if side == "source" else self.target_normalize
        name = self.tokenizer
        if self.subwords == "sentencepiece":
            name = "escaping" if name == "reversible" else "cleaning"
        return make_numbering_tokenizer(name, self.rules(side), normalize)

    def make_numbering(self, where: object = "prep.protect") -> Numbering | None:
        """What numbers protected strings; None: they have no numbers."""
        return None if self.numbers is None else Numbering(self.protect, dict(self.numbers), where)

    def allowed(self, side: Side) -> frozenset[str] | None:
        """The pieces there are on a side; None: all."""
        pieces = self.source_pieces if side == "source" else self.target_pieces
        return None if pieces is None else frozenset(pieces)

    def save(self, folder: Path) -> None:
        """Write text.json: as it always was, if nothing in it is new."""
        body = asdict(self)
        if not self.protect:
            del body["protect"]
        for side in SIDES:
            if self.rules(side) == literal_code(self.language(side)):
                del body[RULES[side]]
        del body["numbers"], body["separate"]
        version = UNNUMBERED_VERSION
        if self.separate:
            body["separate"], version = True, FORMAT_VERSION
        elif self.numbers is not None:
            body["numbers"], version = dict(self.numbers), NUMBERED_VERSION
        elif self == _as_of_old(self):
            body = {name: value for name, value in body.items() if name not in _NEW}
            version = OLD_VERSION
        body = {"format": FORMAT, "version": version} | body
        write_text(folder / TEXT_FILE, json.dumps(body, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> TextOptions:
        """Read text.json; a missing, damaged or foreign file is a UserError."""
        return _options_from(_read(folder / TEXT_FILE), folder / TEXT_FILE)


_NEW = (
    "source_normalize",
    "target_normalize",
    "byte_fallback",
    "rare_characters",
    "source_rules",
    "target_rules",
    "separate",
)


def old_normalization(tokenizer: str) -> str:
    """What a tokenizer did before it split, when there was no choice."""
    return MOSES_WITH_NUMBERS if tokenizer == "moses" else "none"


def _as_of_old(options: TextOptions) -> TextOptions | None:
    """The options that a file of the old version can hold of these."""
    if options.tokenizer == "reversible" or options.numbers is not None or options.separate:
        return None
    kept = {one.name: getattr(options, one.name) for one in fields(options) if one.name not in _NEW}
    old = old_normalization(options.tokenizer)
    kept |= {RULES[side]: literal_code(options.language(side)) for side in SIDES}
    return TextOptions(**kept, source_normalize=old, target_normalize=old)


def _read(path: Path) -> dict[str, Any]:
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
    if body.get("version") not in (OLD_VERSION, UNNUMBERED_VERSION, NUMBERED_VERSION, FORMAT_VERSION):
        found = f"format version {body.get('version')!r}, but this program reads versions 1 to {FORMAT_VERSION}"
        raise UserError(found, where=path, hint="prepare again, or install the version that wrote it")
    return body


def _options_from(body: Mapping[str, Any], path: Path) -> TextOptions:
    if body["version"] == OLD_VERSION:
        old = old_normalization(str(body.get("tokenizer")))
        body = {**body, "source_normalize": old, "target_normalize": old, "byte_fallback": False, "rare_characters": ""}
    rules = {name: body.get(name, literal_code(str(body.get(side)))) for side, name in RULES.items()}
    names = ("source", "target", "rare_characters", *WORDS)
    lists = {name: body.get(name, [] if name == "protect" else None) for name in LISTS}
    valid = all(isinstance(body.get(name), str) for name in names) and isinstance(body.get("byte_fallback"), bool)
    valid = valid and all(isinstance(code, str) for code in rules.values())
    valid = valid and all(value is None or isinstance(value, list) for value in lists.values())
    valid = valid and all(isinstance(text, str) for value in lists.values() for text in value or ())
    numbers = body.get("numbers") if body["version"] == NUMBERED_VERSION else None
    valid = valid and (body["version"] != NUMBERED_VERSION or _are_numbers(numbers))
    separate = body.get("separate") is True if body["version"] == FORMAT_VERSION else False
    valid = valid and (body["version"] != FORMAT_VERSION or (separate and body["subwords"] == "sentencepiece"))
    if not valid or not all(body[name] in words for name, words in WORDS.items()):
        raise UserError("damaged: a key is missing or wrong", where=path, hint="restore the file or prepare again")
    pieces = {name: None if value is None else tuple(value) for name, value in lists.items()}
    return TextOptions(
        **{name: body[name] for name in names},
        byte_fallback=body["byte_fallback"],
        numbers=None if numbers is None else tuple(numbers.items()),
        separate=separate,
        **rules,
        **pieces,  # type: ignore[arg-type]
    )


def _are_numbers(numbers: object) -> bool:
    return isinstance(numbers, dict) and all(isinstance(most, int) and most > 0 for most in numbers.values())
