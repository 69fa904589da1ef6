"""MarianMT as Hugging Face stores it, such as OPUS-MT's models: a folder's settings and vocabularies in our terms.

    config.json                sizes and flags; what is left out has transformers' default
    model.safetensors          or pytorch_model.bin (see `nmt.conversion.marian_weights`)
    source.spm, target.spm     sentencepiece models that cut text into pieces
    vocab.json                 piece -> id; with separate vocabularies the source's, and target_vocab.json
    tokenizer_config.json      languages, and whether the vocabularies are separate
    generation_config.json     beam and length penalty

Their `</s>`, `<unk>` and `<pad>` have ids anywhere; ours are rows 0 to 2. A translation begins with padding's
embedding, which is zero unless the model was trained on with tied matrices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from nmt.text.pipeline import SEPARATE_FILES, SeparateModels
from nmt.tying import Tying

CONFIG, TOKENIZER, GENERATION = "config.json", "tokenizer_config.json", "generation_config.json"
VOCABULARY, TARGET_VOCABULARY = "vocab.json", "target_vocab.json"
END, UNKNOWN = "</s>", "<unk>"
DEFAULTS: Mapping[str, Any] = {
    "model_type": "marian",
    "vocab_size": 58101,
    "decoder_vocab_size": None,
    "d_model": 1024,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
    "activation_function": "gelu",
    "dropout": 0.1,
    "scale_embedding": False,
    "normalize_before": False,
    "normalize_embedding": False,
    "pad_token_id": 58100,
    "eos_token_id": 0,
    "decoder_start_token_id": 58100,
    "share_encoder_decoder_embeddings": True,
    "tie_word_embeddings": True,
}
"Of transformers' MarianConfig: files leave out what has them."
ACTIVATIONS = {"swish": "swish", "silu": "swish", "relu": "relu", "gelu": "gelu"}
"Theirs -> ours."
FALSE_ONLY = ("normalize_before", "normalize_embedding")
"Of other architectures of the same family: transformers' MarianMT has neither."


@dataclass(frozen=True)
class Settings:
    """config.json, checked value by value."""

    values: Mapping[str, Any]
    path: Path

    @classmethod
    def read(cls, folder: Path) -> Settings:
        """Of a folder; a UserError where it is another model's."""
        path = folder / CONFIG
        found = cls({**DEFAULTS, **read_json(path)}, path)
        if found.values["model_type"] != DEFAULTS["model_type"]:
            problem = f"model_type is {found.values['model_type']!r}, not 'marian'"
            raise UserError(problem, where=path, hint="only MarianMT models (OPUS-MT's) can be read so")
        for name in FALSE_ONLY:
            if found.flag(name):
                raise UserError(f"{name} is true, which MarianMT in transformers does not have", where=path)
        return found

    def number(self, name: str, least: int = 1) -> int:
        """A whole number."""
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"{name} is {value!r}, not a whole number of {least} or more", where=self.path)
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.values[name]
        if not isinstance(value, bool):
            raise UserError(f"{name} is {value!r}, neither true nor false", where=self.path)
        return value

    @property
    def activation(self) -> str:
        """That of the feed-forward, as we call it."""
        value = self.values["activation_function"]
        if value not in ACTIVATIONS:
            hint = f"there are {', '.join(ACTIVATIONS)}"
            raise UserError(f"activation_function is {value!r}, which is not known", where=self.path, hint=hint)
        return ACTIVATIONS[value]

    @property
    def dropout(self) -> float:
        """Of training, should it go on."""
        value = self.values["dropout"]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise UserError(f"dropout is {value!r}, not a number from 0 to below 1", where=self.path)
        return float(value)

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows of the source's and of the target's matrix."""
        source = self.number("vocab_size")
        return source, source if self.values["decoder_vocab_size"] is None else self.number("decoder_vocab_size")

    @property
    def tying(self) -> Tying:
        """What the two flags say; to share without the second ties nothing in transformers."""
        if not self.flag("tie_word_embeddings"):
            return Tying.UNTIED
        return Tying.THREE_WAY if self.flag("share_encoder_decoder_embeddings") else Tying.DECODER


@dataclass(frozen=True)
class Side:
    """The rows of one side. pieces: the piece of each of their ids, None for the three specials."""

    pieces: list[str | None]
    unknown: int
    end: int
    padding: int

    def rows(self) -> list[str]:
        """The pieces alone, in their order."""
        return [piece for piece in self.pieces if piece is not None]


@dataclass(frozen=True)
class Texts:
    """How a folder's model reads and writes text."""

    models: SeparateModels
    source: Side
    target: Side
    shared: bool
    "Both sides have one vocabulary."
    languages: tuple[str | None, str | None]


def read_texts(folder: Path, settings: Settings) -> Texts:
    """The sentencepiece models and vocabularies of a folder."""
    tokenizer = read_json(folder / TOKENIZER) if (folder / TOKENIZER).exists() else {}
    separate = bool(tokenizer.get("separate_vocabs"))
    source, target = (
        read_side(folder / name, size, settings)
        for name, size in zip((VOCABULARY, TARGET_VOCABULARY if separate else VOCABULARY), settings.sizes, strict=True)
    )
    models = SeparateModels(*(read_bytes(folder / name) for name in SEPARATE_FILES.values()))
    languages = tuple(tokenizer.get(name) or None for name in ("source_lang", "target_lang"))
    return Texts(models, source, target, source == target, languages)  # type: ignore[arg-type]


def read_side(path: Path, size: int, settings: Settings) -> Side:
    """A vocabulary file. Rows that it does not name get a name with a space, which no text can spell."""
    ids = read_json(path)
    pieces: list[str | None] = [f"row {number}" for number in range(size)]
    taken = [False] * size
    for piece, number in ids.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < size:
            hint = "vocabulary and weights belong together"
            raise UserError(
                f"{piece!r} has the id {number!r}, and config.json says {size:,} rows", where=path, hint=hint
            )
        if taken[number]:
            raise UserError(f"{piece!r} has the id {number}, as another piece has", where=path)
        pieces[number], taken[number] = piece, True
    for special in (END, UNKNOWN):
        if special not in ids:
            raise UserError(f"has no {special}", where=path, hint="is it a MarianMT model's vocabulary?")
    end, padding = ids[END], settings.number("pad_token_id", 0)
    if end != settings.values["eos_token_id"]:
        problem = f"{END} has the id {end}, and config.json's eos_token_id is {settings.values['eos_token_id']!r}"
        raise UserError(problem, where=path, hint="translations would not end")
    if padding >= size:
        raise UserError(f"pad_token_id is {padding}, and there are {size:,} rows", where=settings.path)
    for number in (end, ids[UNKNOWN], padding):
        pieces[number] = None
    return Side(pieces, ids[UNKNOWN], end, padding)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object; others are UserErrors."""
    try:
        body = json.loads(read_bytes(path).decode("utf-8"))
    except ValueError as error:
        raise UserError(f"not JSON ({error})", where=path) from None
    if not isinstance(body, dict):
        raise UserError("holds no JSON object", where=path)
    return body


def read_bytes(path: Path) -> bytes:
    """A file of the folder."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        hint = "download the whole folder of the model" if path.parent.is_dir() else "check the path"
        raise UserError("no such file", where=path, hint=hint) from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
