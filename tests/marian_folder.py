"""A folder of MarianMT as Hugging Face stores one, written by hand: random weights, sentencepiece of a few words."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from nmt.folder.weights import save_tensors
from nmt.packages import import_package

WORDS = {
    "source": [
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "red",
        "mat",
        "and",
        "saw",
        "house",
        "trees",
        "while",
        "old",
        "dogs",
        "slept",
        "below",
        "big",
        "windows",
    ],
    "target": [
        "die",
        "katze",
        "sass",
        "auf",
        "einer",
        "roten",
        "matte",
        "und",
        "sah",
        "haus",
        "im",
        "wald",
        "wo",
        "alte",
        "hunde",
        "schliefen",
    ],
}
CODES = (">>deu<<", ">>nld<<")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What varies among these models."""

    share: bool = True
    tie: bool = True
    separate: bool = False
    "A vocabulary for each side."
    activation: str = "swish"
    decoder_layers: int = 2
    decoder_heads: int = 4
    decoder_width: int = 24
    half: bool = False
    pickled: bool = False
    aliases: bool = True
    "The names of tied matrices are all there, and tables of positions."
    end: float = 2.0
    "Added to the bias of </s>, so that translations end."
    seed: int = 1
    extra: Mapping[str, object] = field(default_factory=dict)
    "Of config.json."


def make_marian(folder: Path, kind: Kind, size: int = 16) -> Path:
    """Write the folder; returns it."""
    folder.mkdir(parents=True)
    sides = {side: make_sentencepiece(folder / f"{side}.spm", words) for side, words in WORDS.items()}
    both = sorted({*sides["source"], *sides["target"]})
    names = (
        {"vocab.json": sides["source"], "target_vocab.json": sides["target"]} if kind.separate else {"vocab.json": both}
    )
    rows = max(map(len, names.values())) + len(CODES) + 3
    for name, pieces in names.items():
        spare = [f"spare{number}" for number in range(rows - len(pieces) - len(CODES) - 3)]
        listed = ["</s>", "<unk>", *pieces, *CODES, *spare, "<pad>"]
        write_json(folder / name, {piece: number for number, piece in enumerate(listed)})
    tokenizer = {"source_lang": "eng", "target_lang": "deu", "separate_vocabs": kind.separate}
    write_json(folder / "tokenizer_config.json", tokenizer | {"tokenizer_class": "MarianTokenizer"})
    write_json(folder / "config.json", config(kind, rows, size) | dict(kind.extra))
    search = {"num_beams": 4, "max_length": 200, "bad_words_ids": [[rows - 1]]}
    write_json(folder / "generation_config.json", config_ids(rows) | search)
    tensors = weights(kind, rows, size)
    tensors = {name: tensor.half() for name, tensor in tensors.items()} if kind.half else tensors
    if kind.pickled:
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save_tensors(folder / "model.safetensors", tensors, {"format": "pt"})
    return folder


def config_ids(rows: int) -> dict[str, object]:
    """The specials."""
    return {"pad_token_id": rows - 1, "eos_token_id": 0, "decoder_start_token_id": rows - 1}


def config(kind: Kind, rows: int, size: int) -> dict[str, object]:
    """config.json."""
    sizes = {
        "d_model": size,
        "encoder_layers": 2,
        "decoder_layers": kind.decoder_layers,
        "max_position_embeddings": 256,
    }
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": kind.decoder_heads}
    widths = {"encoder_ffn_dim": 24, "decoder_ffn_dim": kind.decoder_width, "activation_function": kind.activation}
    flags = {"share_encoder_decoder_embeddings": kind.share, "tie_word_embeddings": kind.tie, "scale_embedding": True}
    names = {"model_type": "marian", "architectures": ["MarianMTModel"], "vocab_size": rows, "decoder_vocab_size": rows}
    return {**names, **config_ids(rows), **sizes, **heads, **widths, **flags, "normalize_before": False}


def weights(kind: Kind, rows: int, size: int) -> dict[str, Tensor]:
    """Random numbers under their names; padding's row of the inputs is zero."""
    generator = torch.Generator().manual_seed(kind.seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.25

    tensors: dict[str, Tensor] = {}
    for side, layers, inner in (("encoder", 2, 24), ("decoder", kind.decoder_layers, kind.decoder_width)):
        for number in range(layers):
            start = f"model.{side}.layers.{number}"
            blocks = ("self_attn", "encoder_attn") if side == "decoder" else ("self_attn",)
            shapes = {f"{block}.{part}_proj": (size, size) for block in blocks for part in "qkv"}
            shapes |= {f"{block}.out_proj": (size, size) for block in blocks}
            shapes |= {"fc1": (inner, size), "fc2": (size, inner)}
            for name, shape in shapes.items():
                tensors |= {f"{start}.{name}.weight": normal(*shape), f"{start}.{name}.bias": normal(shape[0])}
            for name in (*(f"{block}_layer_norm" for block in blocks), "final_layer_norm"):
                tensors |= {f"{start}.{name}.weight": 1 + normal(size), f"{start}.{name}.bias": normal(size)}
    tensors |= tables(kind, *(normal(rows, size) for _ in range(3)))
    bias = normal(1, rows)
    bias[0, 0] += kind.end
    return tensors | {"final_logits_bias": bias}


def tables(kind: Kind, source: Tensor, target: Tensor, output: Tensor) -> dict[str, Tensor]:
    """The vocabulary matrices under the names that there are."""
    if kind.tie:
        output = target
    if kind.tie and kind.share:
        source = target
    for table in (source, target):
        table[-1] = 0
    found = {"model.encoder.embed_tokens.weight": source, "model.decoder.embed_tokens.weight": target}
    found |= {"lm_head.weight": output}
    if kind.tie and kind.share:
        found |= {"model.shared.weight": source}
    if kind.aliases:
        return {name: table.clone() for name, table in found.items()}
    missing = {"model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"} if kind.share else set()
    return {
        name: table
        for name, table in found.items()
        if name not in {*missing, *(["lm_head.weight"] if kind.tie else [])}
    }


def make_sentencepiece(path: Path, words: list[str]) -> list[str]:
    """A model of some words; returns its pieces."""
    sentencepiece = import_package("sentencepiece", "this test")
    draw, made = random.Random(1), io.BytesIO()
    lines = (" ".join(draw.choices(words, k=6)) for _ in range(200))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=made, vocab_size=45, hard_vocab_limit=False, minloglevel=2
    )
    path.write_bytes(made.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    return [processor.id_to_piece(number) for number in range(3, processor.get_piece_size())]


def source_lines(count: int) -> list[str]:
    """Lines of the source's words."""
    draw = random.Random(2)
    return [" ".join(draw.choices(WORDS["source"], k=draw.randint(1, 9))) for _ in range(count)]


def write_json(path: Path, body: Mapping[str, object]) -> None:
    path.write_text(json.dumps(body), encoding="utf-8")
