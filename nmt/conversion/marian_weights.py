"""The weights of MarianMT as Hugging Face stores them, under our names.

Their queries, keys and values are three matrices; ours are one, in that order, and keys and values of the source
another. Any name of a tied matrix may be missing. Files are in float32 or float16, and ours in float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.conversion.dl4mt import PADDING_BIAS, union
from nmt.conversion.marian import Settings, Side, Texts
from nmt.folder.weights import read_tensors
from nmt.layers.positions import sinusoids
from nmt.text.vocabulary import EOS, PAD, UNK, Vocabulary
from nmt.tying import Tying

SAFETENSORS, PICKLED = "model.safetensors", "pytorch_model.bin"
SHARED, OUTPUT = "model.shared.weight", "lm_head.weight"
SOURCE, TARGET = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
BIAS = "final_logits_bias"
LAYER = {
    "self_attention.inputs": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention.outputs": ("self_attn.out_proj",),
    "around_self.norm": ("self_attn_layer_norm",),
    "feedforward.inner": ("fc1",),
    "feedforward.outer": ("fc2",),
    "around_feedforward.norm": ("final_layer_norm",),
}
"Ours -> theirs, one below the other, of both sides' layers."
CROSS = {
    "cross_attention.query": ("encoder_attn.q_proj",),
    "cross_attention.source": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross_attention.outputs": ("encoder_attn.out_proj",),
    "around_cross.norm": ("encoder_attn_layer_norm",),
}
"Those that only the decoder's have."
SINUSOID_ERROR = 2e-3
"Tables of positions that are this near to sinusoids are sinusoids in float16."


class Tensors:
    """The tensors of a file, each taken once; `rest` names those that nobody took."""

    def __init__(self, tensors: dict[str, Tensor], path: Path) -> None:
        self.rest = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
        self.path = path

    @classmethod
    def read(cls, folder: Path) -> Tensors:
        """Of a folder. Nothing in it is unpickled but tensors."""
        path = folder / SAFETENSORS
        if path.exists():
            return cls(read_tensors(path)[0], path)
        path = folder / PICKLED
        if not path.exists():
            hint = "download the model's weights too"
            raise UserError(f"has neither {SAFETENSORS} nor {PICKLED}", where=folder, hint=hint)
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged or hostile file makes torch raise
            problem = (
                f"not a file of tensors alone ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
            )
            raise UserError(problem, where=path, hint="it may be damaged; nothing else is unpickled") from None
        if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
            raise UserError("not a file of named tensors", where=path)
        return cls(found, path)

    def take(self, name: str) -> Tensor:
        """A tensor in float32; a missing one is a UserError."""
        if name not in self.rest:
            hint = "is it a MarianMT model whose sizes are those of config.json?"
            raise UserError(f"has no tensor {name!r}", where=self.path, hint=hint)
        return self.rest.pop(name).float()

    def same(self, *names: str) -> Tensor:
        """A matrix that has several names, of which some may be missing; there must be no two of them."""
        there = [name for name in names if name in self.rest]
        if not there:
            return self.take(names[0])
        first, *others = there
        found = self.take(first)
        for other in others:
            if not torch.equal(found, self.take(other)):
                problem = f"{first} and {other} differ, and config.json says that they are one matrix"
                hint = "set share_encoder_decoder_embeddings or tie_word_embeddings to false there"
                raise UserError(problem, where=self.path, hint=hint)
        return found


def vocabulary_of(texts: Texts) -> Vocabulary:
    """The union vocabulary, each part in the order of their ids."""
    return union(texts.source.rows(), texts.target.rows())


def tables_of(tensors: Tensors, settings: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """Source input, target input and output, [rows, E] each; tied ones are one tensor."""
    if settings.tying is Tying.THREE_WAY:
        tables = (tensors.same(SHARED, SOURCE, TARGET, OUTPUT),) * 3
    else:
        shared = tensors.rest.pop(SHARED, None)  # of no use but where another is missing
        for name in (SOURCE, TARGET):
            if shared is not None:
                tensors.rest.setdefault(name, shared)
        source = tensors.take(SOURCE)
        tied = settings.tying is Tying.DECODER
        target = tensors.same(TARGET, OUTPUT) if tied else tensors.take(TARGET)
        tables = (source, target, target if tied else tensors.take(OUTPUT))
    width, (first, second) = settings.number("d_model"), settings.sizes
    for name, table, rows in zip(("source", "target", "output"), tables, (first, second, second), strict=True):
        if table.shape != (rows, width):
            problem = f"the {name} matrix is {tuple(table.shape)}, and config.json says {(rows, width)}"
            raise UserError(problem, where=tensors.path, hint="weights and config.json belong together")
    return tables


def embeddings(tensors: Tensors, settings: Settings, texts: Texts, tying: Tying) -> tuple[dict[str, Tensor], bool]:
    """The vocabulary matrices and the output bias, and whether a translation begins with a zero vector."""
    vocabulary, tables = vocabulary_of(texts), tables_of(tensors, settings)
    shared = tying.shares_source
    source_ids = np.arange(vocabulary.source_view(shared).size)
    view = vocabulary.target_view(shared)
    target_ids = view.to_union(np.arange(view.size))
    source_rows, target_rows = (
        order_of(vocabulary, source_ids, texts.source),
        order_of(vocabulary, target_ids, texts.target),
    )
    start = tables[1][settings.number("decoder_start_token_id", 0)]
    source, target, output = (
        table[rows] for table, rows in zip(tables, (source_rows, target_rows, target_rows), strict=True)
    )
    bias = torch.zeros(len(tables[2])) if BIAS not in tensors.rest else tensors.take(BIAS).reshape(-1)
    bias = bias[target_rows]
    bias[PAD] = PADDING_BIAS
    for table in (source, target, output):
        table[PAD] = start
    found = {"source_input": source, "target_input": target, "output": output, "output_bias": bias}
    kept = {Tying.UNTIED: tuple(found), Tying.DECODER: ("source_input", "target_input", "output_bias")}
    names = kept.get(tying, ("source_input", "output_bias"))
    return {f"embeddings.{name}": found[name] for name in names}, not bool(start.any())


def order_of(vocabulary: Vocabulary, ids: np.ndarray, side: Side) -> Tensor:
    """Their row for each of our rows, whose union ids are given, [rows] int64."""
    theirs = {piece: number for number, piece in enumerate(side.pieces) if piece is not None}
    special = {PAD: side.padding, EOS: side.end, UNK: side.unknown}
    return torch.tensor([special[i] if i in special else theirs[vocabulary.piece_of(i)] for i in ids.tolist()])


def layers(tensors: Tensors, settings: Settings) -> dict[str, Tensor]:
    """Everything in the layers of both sides."""
    found = {}
    for side, parts in (("encoder", LAYER), ("decoder", LAYER | CROSS)):
        for number in range(settings.number(f"{side}_layers")):
            for ours, theirs in parts.items():
                for kind in ("weight", "bias"):
                    pieces = [tensors.take(f"model.{side}.layers.{number}.{name}.{kind}") for name in theirs]
                    found[f"{side}.layers.{number}.{ours}.{kind}"] = torch.cat(pieces)
    return found


def learned_positions(tensors: Tensors, settings: Settings) -> dict[str, Tensor]:
    """Both sides' tables of positions, or nothing where they are sinusoids or not there."""
    size, tables = settings.number("d_model"), {}
    for side in ("encoder", "decoder"):
        name = f"model.{side}.embed_positions.weight"
        if name in tensors.rest:
            tables[side] = tensors.take(name)
    known = {side: sinusoids(torch.arange(len(table)), size) for side, table in tables.items()}
    if all(table.shape == known[side].shape and _near(table, known[side]) for side, table in tables.items()):
        return {}
    longest = max(map(len, tables.values()))
    return {
        f"{side}.inputs.positions.weight": _whole(tables.get(side), longest, size) for side in ("encoder", "decoder")
    }


def _near(table: Tensor, other: Tensor) -> bool:
    return float((table - other).abs().max()) < SINUSOID_ERROR


def _whole(table: Tensor | None, rows: int, size: int) -> Tensor:
    """With so many rows: the last one again, as all later positions share it. No table: sinusoids."""
    if table is None:
        return sinusoids(torch.arange(rows), size)
    return torch.cat([table, table[-1:].expand(rows - len(table), -1)])


def check_rest(tensors: Tensors) -> None:
    """Raise a UserError that names a tensor that nothing of ours stands for."""
    if tensors.rest:
        problem = f"has {min(tensors.rest)}, which MarianMT of config.json's sizes has not"
        raise UserError(problem, where=tensors.path, hint="is it another architecture?")
