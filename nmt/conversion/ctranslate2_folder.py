"""Our Transformers as CTranslate2's models: a folder that its Translator reads, with or without our text pipeline.

What CTranslate2 has otherwise than we:

- it knows no forbidden pieces of a model's own, so that padding, and whatever `search` forbids (`<unk>`, pieces that
  only the source side has), gets an output bias that makes its probability zero, before the softmax and not behind it;
- no projections round the layers: where embeddings are not as wide as these, the matrices are multiplied with them;
- a table of positions, so that there is a longest text.

Tied matrices are one array here, which CTranslate2 stores, and rounds, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import choice
from nmt.conversion.dl4mt import PADDING_BIAS
from nmt.conversion.exported import describe_export
from nmt.conversion.placing import check_free, placed
from nmt.folder.bundle import Bundle
from nmt.layers.linear import FeedForward, Linear
from nmt.layers.positions import sinusoids
from nmt.layers.transformer import EPSILON, DecoderLayer, EncoderLayer
from nmt.models.transformer.model import Inputs, Stack, TransformerModel
from nmt.packages import import_package
from nmt.search.candidates import forbidden_ids
from nmt.search.request import Wanted
from nmt.shortlist.table import SHORTLIST, Shortlist
from nmt.text.vocabulary import EOS, PAD, SPECIAL_NAMES, UNK

QUANTIZATIONS = ("int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32")
"Of CTranslate2: how weights are stored, and what they are computed in where the machine has it."
POSITIONS = 2048
"Of pieces of a text, on each side."
MAPPING = "vmap.txt"


@dataclass(frozen=True)
class Pieces:
    """How pieces are written, and which are not."""

    name: Callable[[str], str] = str
    "What a piece is called."
    barred: frozenset[str] = frozenset()
    "Those that no translation may hold, besides what the model folder's search settings forbid."


def export_ctranslate2(bundle: Bundle, folder: Path, quantization: str = "float32") -> None:
    """Write a folder for CTranslate2, with what nmt-serve needs beside it, and a shortlist as vmap.txt.

    Raises UserError for models that CTranslate2 does not have, where the package is missing, and where the folder is
    not free.
    """
    check_free(folder, "--output")
    found = Specification(bundle, Pieces())
    with placed(folder) as place:
        found.write(place, quantization)
        bundle.text.save(place)
        describe_export(place, bundle, quantization)


class Specification:
    """A model as CTranslate2 describes it."""

    def __init__(self, bundle: Bundle, pieces: Pieces) -> None:
        """Raises UserError for models that CTranslate2 does not have, and where the package is missing."""
        self.bundle, self.pieces = bundle.plain(), pieces
        self.spec = specification(self.bundle, check_expressible(self.bundle), pieces)

    def write(self, folder: Path, quantization: str) -> None:
        """Into an empty folder, a shortlist as vmap.txt with it; once."""
        choice("--quantization", quantization, QUANTIZATIONS)
        if (Path(self.bundle.folder) / SHORTLIST).exists():
            write_mapping(self.bundle, self.pieces, folder / MAPPING)
        self.spec.validate()
        self.spec.optimize(None if quantization == "float32" else quantization)
        self.spec.save(str(folder))


def check_expressible(bundle: Bundle) -> TransformerModel:
    """The model, if CTranslate2 has the like."""
    model = bundle.model
    if not isinstance(model, TransformerModel):
        hint = "train with --architecture transformer, or export with --to onnx"
        problem = f"CTranslate2 has no models of model.architecture {model.architecture!r}"
        raise UserError(problem, where=bundle.folder, hint=hint)
    options = model.options
    if options.layer.heads != options.decoder_layer.heads:
        problem = (
            f"CTranslate2 has no models of {options.layer.heads} heads in the encoder, {options.decoder_layer.heads}"
        )
        raise UserError(f"{problem} in the decoder", where=bundle.folder, hint="export with --to onnx")
    return model


def specification(bundle: Bundle, model: TransformerModel, pieces: Pieces) -> Any:
    """CTranslate2's description of a model, weights and vocabularies in it."""
    import_package("ctranslate2", "nmt-export --to ctranslate2")
    from ctranslate2.specs import common_spec, transformer_spec

    options, heads = model.options, model.options.layer.heads
    activations = {"relu": "RELU", "gelu": "GELU", "swish": "SWISH"}
    spec = transformer_spec.TransformerSpec.from_config(
        (options.layers, options.decoder_layers),
        heads,
        pre_norm=options.layer.norm == "pre",
        activation=common_spec.Activation[activations[options.layer.activation]],
        alignment_layer=model.attention_layer,
        alignment_heads=heads,
    )
    tables = Tables(bundle, model, pieces.barred)
    spec.encoder.embeddings[0].weight, spec.decoder.embeddings.weight = tables.source, tables.target
    spec.decoder.projection.weight, spec.decoder.projection.bias = tables.output, tables.bias
    spec.decoder.start_from_zero_embedding = tables.zero_start
    for side, stack in ((spec.encoder, model.encoder), (spec.decoder, model.decoder)):
        fill_stack(side, stack, scale=options.scale_embeddings and tables.scaled)
    for layer, ours in zip(spec.encoder.layer, model.encoder_layers, strict=True):
        fill_layer(layer, ours)
    for layer, decoding in zip(spec.decoder.layer, model.decoder_layers, strict=True):
        fill_layer(layer, decoding)
        cross = decoding.cross_attention
        fill_attention(layer.attention, (cross.query, cross.source), cross.outputs)
        fill_norm(layer.attention.layer_norm, decoding.around_cross.norm)
    source, target = token_names(bundle, pieces)
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    spec.config.unk_token, spec.config.eos_token = target[UNK], target[EOS]
    spec.config.bos_token = spec.config.decoder_start_token = target[PAD]
    spec.config.add_source_bos, spec.config.add_source_eos = False, True
    spec.config.layer_norm_epsilon = EPSILON
    return spec


class Tables:
    """The vocabulary matrices and the output bias as arrays; tied ones are the same array.

    Where embeddings are not as wide as the layers, the projections between them are in these matrices, which then are
    no longer tied to the output.
    """

    def __init__(self, bundle: Bundle, model: TransformerModel, barred: frozenset[str]) -> None:
        embeddings = model.embeddings
        arrays: dict[int, np.ndarray] = {}
        encoder, decoder, readout = model.encoder.inputs, model.decoder.inputs, model.readout_projection
        self.scaled = readout is None
        if readout is None:
            names = (embeddings.source_input, embeddings.target_input, embeddings.output)
            self.source, self.target, self.output = (arrays.setdefault(id(one), array(one)) for one in names)
            bias, self.zero_start = embeddings.output_bias.clone(), model.options.start == "zero"
        else:
            source, target = (
                projected(side, table)
                for side, table in ((encoder, embeddings.source_input), (decoder, embeddings.target_input))
            )
            if model.options.start == "zero":
                target[PAD] = projected(
                    decoder, embeddings.target_input.new_zeros(1, embeddings.target_input.shape[1])
                )[0]
            self.source, self.target, self.output = (
                array(source),
                array(target),
                array(embeddings.output @ readout.weight),
            )
            bias, self.zero_start = embeddings.output @ readout.bias + embeddings.output_bias, False
        for ids in forbidden_ids(
            bundle.config.search, Wanted(source_only=bundle.vocabulary.source_only_rows(bundle.target_view))
        ):
            bias[ids.start : ids.stop] = PADDING_BIAS
        pieces, view = bundle.vocabulary.pieces, bundle.target_view
        rows = view.to_union(np.arange(view.size)).tolist()
        bias[[row for row, union in enumerate(rows) if pieces[union] in barred]] = PADDING_BIAS
        bias[PAD] = PADDING_BIAS
        self.bias = array(bias)


def projected(inputs: Inputs, table: Tensor) -> Tensor:
    """Embeddings, [rows, E], as the layers read them, [rows, D]."""
    assert inputs.projection is not None
    return inputs.projection(table * inputs.scale)  # type: ignore[no-any-return]


def fill_stack(spec: Any, stack: Stack, *, scale: bool) -> None:
    """What stands round the layers of a side."""
    spec.scale_embeddings = scale
    spec.position_encodings.encodings = array(positions(stack.inputs))
    if isinstance(stack.norm, torch.nn.LayerNorm):
        fill_norm(spec.layer_norm, stack.norm)


def positions(inputs: Inputs) -> Tensor:
    """Of the first pieces, [POSITIONS, D]."""
    places = torch.arange(POSITIONS)
    return sinusoids(places, inputs.size) if inputs.positions is None else inputs.positions(places)  # type: ignore[no-any-return]


def fill_layer(spec: Any, layer: EncoderLayer | DecoderLayer) -> None:
    """Self-attention and feed-forward."""
    fill_attention(spec.self_attention, (layer.self_attention.inputs,), layer.self_attention.outputs)
    fill_norm(spec.self_attention.layer_norm, layer.around_self.norm)
    feedforward: FeedForward = layer.feedforward
    fill_linear(spec.ffn.linear_0, feedforward.inner)
    fill_linear(spec.ffn.linear_1, feedforward.outer)
    fill_norm(spec.ffn.layer_norm, layer.around_feedforward.norm)


def fill_attention(spec: Any, inputs: Sequence[Linear], outputs: Linear) -> None:
    """The maps before and behind an attention, theirs in the same order."""
    for one, linear in zip(spec.linear, (*inputs, outputs), strict=True):
        fill_linear(one, linear)


def fill_linear(spec: Any, linear: Linear) -> None:
    """Weight, [out, in], and bias."""
    spec.weight, spec.bias = array(linear.weight), array(linear.bias)


def fill_norm(spec: Any, norm: torch.nn.LayerNorm) -> None:
    """A layer norm."""
    spec.gamma, spec.beta = array(norm.weight), array(norm.bias)


def array(tensor: Tensor) -> np.ndarray:
    """A copy in float32, which CTranslate2 may change."""
    return np.array(tensor.detach().float().cpu().numpy())


def token_names(bundle: Bundle, how: Pieces) -> tuple[list[str], list[str]]:
    """The pieces of source and target rows; specials under names that no piece has."""
    pieces = [how.name(piece) for piece in bundle.vocabulary.pieces]
    known = set(pieces[len(SPECIAL_NAMES) :])
    specials = [unused(name, known) for name in SPECIAL_NAMES]
    source = [*specials, *pieces[len(specials) : bundle.source_view.size]]
    view = bundle.target_view
    rows = view.to_union(np.arange(view.size)).tolist()
    return source, [*specials, *(pieces[row] for row in rows[len(specials) :])]


def unused(name: str, known: set[str]) -> str:
    """The name, or one like it that is not known."""
    while name in known:
        name = f"{name[:-1]}_{name[-1]}"
    return name


def write_mapping(bundle: Bundle, pieces: Pieces, path: Path) -> None:
    """The shortlist as CTranslate2 reads it: source piece, tab, target pieces; no source piece: those of any text."""
    view, vocabulary = bundle.target_view, bundle.vocabulary
    shortlist = Shortlist.load(bundle.folder, vocabulary).for_view(view)
    source, target = token_names(bundle, pieces)
    always = shortlist(np.zeros(0, dtype=np.int64)).tolist()
    common = {*always, *(row for row, piece in enumerate(target) if " " in piece)}  # such pieces no text has
    lines = ["\t" + " ".join(target[row] for row in always)]
    for row in range(len(SPECIAL_NAMES), bundle.source_view.size):
        own = [number for number in shortlist(np.array([row])).tolist() if number not in common]
        if own and " " not in source[row]:
            lines.append(f"{source[row]}\t{' '.join(target[number] for number in own)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
