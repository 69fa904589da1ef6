"""The Transformer as ONNX graphs.

    encoder   input_ids, attention_mask -> encoder_hidden_states
    first     encoder_hidden_states, attention_mask -> log_probs, attention, present.L.*
    step      input_ids, attention_mask, past.L.* -> log_probs, attention, present.L.decoder.*

For each decoder layer L there are keys and values of the pieces so far (`decoder.key`, `decoder.value`) and of the
source (`encoder.key`, `encoder.value`, which only `first` makes), [batch, heads, pieces, width / heads].

Shapes: B batch, S source length, T steps, D width of the layers, E embedding, h heads, d = D / h.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nmt.conversion.onnx_graph import Graph, WeightsBeside, added_mask, affine, log_probs
from nmt.layers.transformer import DecoderLayer, EncoderLayer, Sublayer
from nmt.models.transformer.model import Inputs, TransformerModel
from nmt.text.vocabulary import PAD

SOURCE = ("batch", "source")


def transformer_graphs(model: TransformerModel, weights: WeightsBeside) -> list[Graph]:
    """Encoder, first step, later steps."""
    return [encoder_graph(model, weights), decoder_graph(model, weights, first=True), decoder_graph(model, weights)]


def encoder_graph(model: TransformerModel, weights: WeightsBeside) -> Graph:
    """See above."""
    graph = Graph("encoder", weights)
    ids, mask = graph.input("input_ids", SOURCE, integers=True), graph.input("attention_mask", SOURCE, integers=True)
    embedded = graph.node("Gather", graph.weight(model.embeddings.source_input, "embeddings.source_input"), ids)
    length = graph.node("Gather", graph.node("Shape", ids), graph.constant(1))
    positions = graph.node("Range", graph.constant(0), length, graph.constant(1))
    rows = inputs(graph, embedded, positions, model.encoder.inputs, "encoder.inputs")
    added = added_mask(graph, mask, (1, 2))
    for number, layer in enumerate(model.encoder_layers):
        rows = encoder_layer(graph, rows, added, layer, f"encoder.layers.{number}")
    rows = final_norm(graph, rows, model.encoder.norm, "encoder.norm")
    graph.output(rows, "encoder_hidden_states", ("batch", "source", model.options.layer.size))
    return graph


@dataclass
class KeptPast:
    """Names of keys and values."""

    key: str
    value: str


def decoder_graph(model: TransformerModel, weights: WeightsBeside, *, first: bool = False) -> Graph:
    """See above."""
    graph = Graph("first" if first else "step", weights)
    options = model.options
    heads, size = options.decoder_layer.heads, options.layer.size // options.decoder_layer.heads
    states = graph.input("encoder_hidden_states", ("batch", "source", options.layer.size)) if first else ""
    ids = "" if first else graph.input("input_ids", ("batch", 1), integers=True)
    mask = graph.input("attention_mask", SOURCE, integers=True)
    shapes = {"decoder": ("batch", heads, "pieces", size), "encoder": ("batch", heads, "source", size)}
    past = (
        []
        if first
        else [
            {
                side: KeptPast(
                    *(graph.input(f"past.{number}.{side}.{kind}", shapes[side]) for kind in ("key", "value"))
                )
                for side in shapes
            }
            for number in range(options.decoder_layers)
        ]
    )
    rows = first_row(graph, model, mask) if first else target_row(graph, model, ids, past[0]["decoder"].key)
    added, attention = added_mask(graph, mask, (1, 2)), ""
    present: list[dict[str, KeptPast]] = []
    for number, layer in enumerate(model.decoder_layers):
        name = f"decoder.layers.{number}"
        if first:
            source = projected(graph, states, layer.cross_attention.source, f"{name}.cross_attention.source", heads, 2)
            before = {"encoder": KeptPast(*source)}
        else:
            before = past[number]
        rows, new, weights_of_source = decoder_layer(graph, rows, before, added, layer, name)
        present.append({"decoder": new} | ({"encoder": before["encoder"]} if first else {}))
        if number == model.attention_layer:
            attention = graph.node("ReduceMean", weights_of_source, axes=[1, 2], keepdims=0)
    rows = final_norm(graph, rows, model.decoder.norm, "decoder.norm")
    readout = graph.node("Squeeze", rows, graph.constant([1]))
    if model.readout_projection is not None:
        readout = affine(graph, readout, model.readout_projection, "readout_projection")
    graph.output(log_probs(graph, readout, model.embeddings), "log_probs", ("batch", model.num_targets))
    graph.output(attention, "attention", SOURCE)
    later = {"decoder": ("batch", heads, "all_pieces", size), "encoder": shapes["encoder"]}
    for number, both in enumerate(present):
        for side, kept in both.items():
            for kind in ("key", "value"):
                graph.output(getattr(kept, kind), f"present.{number}.{side}.{kind}", later[side])
    return graph


def first_row(graph: Graph, model: TransformerModel, mask: str) -> str:
    """What the decoder reads before the first piece, [B, 1, D]."""
    batch = graph.node("Slice", graph.node("Shape", mask), graph.constant([0]), graph.constant([1]))
    if model.options.start == "padding":
        shape = graph.node("Concat", batch, graph.constant([1]), axis=0)
        ids = graph.node("Expand", graph.constant(PAD), shape)
        embedded = graph.node("Gather", graph.weight(model.embeddings.target_input, "embeddings.target_input"), ids)
    else:
        shape = graph.node("Concat", batch, graph.constant([1, model.options.embedding_size]), axis=0)
        embedded = graph.node("Expand", graph.number(0.0), shape)
    return inputs(graph, embedded, graph.constant([0]), model.decoder.inputs, "decoder.inputs")


def target_row(graph: Graph, model: TransformerModel, ids: str, key: str) -> str:
    """What the decoder reads after some pieces, [B, 1, D]. key: of these in some layer, [B, h, T, d]."""
    embedded = graph.node("Gather", graph.weight(model.embeddings.target_input, "embeddings.target_input"), ids)
    position = graph.node("Slice", graph.node("Shape", key), graph.constant([2]), graph.constant([3]))
    return inputs(graph, embedded, position, model.decoder.inputs, "decoder.inputs")


def inputs(graph: Graph, embedded: str, positions: str, module: Inputs, name: str) -> str:
    """[B, T, E] and [T] int64 -> [B, T, D]."""
    rows = graph.node("Mul", embedded, graph.number(module.scale)) if module.scale != 1 else embedded
    if module.projection is not None:
        rows = affine(graph, rows, module.projection, f"{name}.projection")
    if module.positions is None:
        return graph.node("Add", rows, sinusoids(graph, positions, module.size))
    table = module.positions.weight
    known = graph.node("Min", positions, graph.constant(len(table) - 1))
    return graph.node("Add", rows, graph.node("Gather", graph.weight(table, f"{name}.positions.weight"), known))


def sinusoids(graph: Graph, positions: str, size: int) -> str:
    """[T] int64 -> [T, D], as `nmt.layers.positions.sinusoids`."""
    waves = torch.exp(torch.arange(-(-size // 2)) * (-2 * math.log(10_000) / size))
    places = graph.node(
        "Unsqueeze", graph.node("Cast", positions, to=graph.onnx.TensorProto.FLOAT), graph.constant([1])
    )
    angles = graph.node("Mul", places, graph.constant(waves.numpy(), "float32"))
    both = graph.node("Concat", graph.node("Sin", angles), graph.node("Cos", angles), axis=-1)
    return (
        graph.node("Slice", both, graph.constant([0]), graph.constant([size]), graph.constant([-1]))
        if size % 2
        else both
    )


def encoder_layer(graph: Graph, rows: str, added: str, layer: EncoderLayer, name: str) -> str:
    """[B, S, D] -> [B, S, D]."""
    attention = layer.self_attention
    read = before(graph, rows, layer.around_self, f"{name}.around_self")
    query, key, value = projected(graph, read, attention.inputs, f"{name}.self_attention.inputs", attention.heads, 3)
    context, _ = attend(graph, query, KeptPast(key, value), added)
    found = affine(graph, context, attention.outputs, f"{name}.self_attention.outputs")
    rows = behind(graph, rows, found, layer.around_self, f"{name}.around_self")
    return feedforward(graph, rows, layer, name)


def decoder_layer(
    graph: Graph, rows: str, past: dict[str, KeptPast], added: str, layer: DecoderLayer, name: str
) -> tuple[str, KeptPast, str]:
    """[B, 1, D] -> [B, 1, D], keys and values with this step's, and the weights of the source, [B, h, 1, S]."""
    own, cross = layer.self_attention, layer.cross_attention
    read = before(graph, rows, layer.around_self, f"{name}.around_self")
    query, key, value = projected(graph, read, own.inputs, f"{name}.self_attention.inputs", own.heads, 3)
    new = KeptPast(key, value)
    if "decoder" in past:
        old = past["decoder"]
        new = KeptPast(graph.node("Concat", old.key, key, axis=2), graph.node("Concat", old.value, value, axis=2))
    context, _ = attend(graph, query, new, "")
    found = affine(graph, context, own.outputs, f"{name}.self_attention.outputs")
    rows = behind(graph, rows, found, layer.around_self, f"{name}.around_self")
    read = before(graph, rows, layer.around_cross, f"{name}.around_cross")
    (query,) = projected(graph, read, cross.query, f"{name}.cross_attention.query", cross.heads, 1)
    context, weights = attend(graph, query, past["encoder"], added)
    found = affine(graph, context, cross.outputs, f"{name}.cross_attention.outputs")
    rows = behind(graph, rows, found, layer.around_cross, f"{name}.around_cross")
    return feedforward(graph, rows, layer, name), new, weights


def before(graph: Graph, rows: str, around: Sublayer, name: str) -> str:
    """What a part reads."""
    return norm(graph, rows, around.norm, f"{name}.norm") if around.before else rows


def behind(graph: Graph, rows: str, found: str, around: Sublayer, name: str) -> str:
    """The rows with what a part has found."""
    summed = graph.node("Add", rows, found)
    return summed if around.before else norm(graph, summed, around.norm, f"{name}.norm")


def norm(graph: Graph, rows: str, module: nn.LayerNorm, name: str) -> str:
    """Layer norm."""
    scale, shift = graph.weight(module.weight, f"{name}.weight"), graph.weight(module.bias, f"{name}.bias")
    return graph.node("LayerNormalization", rows, scale, shift, axis=-1, epsilon=module.eps)


def final_norm(graph: Graph, rows: str, module: nn.Module, name: str) -> str:
    """That behind the layers, where there is one."""
    return norm(graph, rows, module, name) if isinstance(module, nn.LayerNorm) else rows


def feedforward(graph: Graph, rows: str, layer: Any, name: str) -> str:
    """The last part of a layer."""
    around, module = layer.around_feedforward, layer.feedforward
    read = before(graph, rows, around, f"{name}.around_feedforward")
    inner = activated(graph, affine(graph, read, module.inner, f"{name}.feedforward.inner"), module.activation)
    found = affine(graph, inner, module.outer, f"{name}.feedforward.outer")
    return behind(graph, rows, found, around, f"{name}.around_feedforward")


def activated(graph: Graph, rows: str, name: str) -> str:
    """relu; x sigmoid(x); or x (1 + erf(x / sqrt(2))) / 2."""
    if name == "relu":
        return graph.node("Relu", rows)
    if name == "swish":
        return graph.node("Mul", rows, graph.node("Sigmoid", rows))
    error = graph.node("Erf", graph.node("Mul", rows, graph.number(2**-0.5)))
    return graph.node("Mul", graph.node("Mul", rows, graph.number(0.5)), graph.node("Add", error, graph.number(1.0)))


def projected(graph: Graph, rows: str, linear: Any, name: str, heads: int, parts: int) -> Sequence[str]:
    """[B, T, D] -> `parts` of [B, h, T, d], by one product."""
    found = affine(graph, rows, linear, name)
    split = [found] if parts == 1 else graph.several("Split", parts, found, axis=-1)
    size = linear.weight.shape[0] // parts // heads
    shape = graph.constant([0, 0, heads, size])
    return [graph.node("Transpose", graph.node("Reshape", one, shape), perm=[0, 2, 1, 3]) for one in split]


def attend(graph: Graph, query: str, kept: KeptPast, added: str) -> tuple[str, str]:
    """[B, h, T, d] of all three, S keys -> contexts, [B, T, D], and weights, [B, h, T, S]. added: '' for nothing."""
    turned = graph.node("Transpose", kept.key, perm=[0, 1, 3, 2])
    size = graph.node("Slice", graph.node("Shape", query), graph.constant([3]), graph.constant([4]))
    root = graph.node("Sqrt", graph.node("Cast", size, to=graph.onnx.TensorProto.FLOAT))
    energies = graph.node("Div", graph.node("MatMul", query, turned), root)
    weights = graph.node("Softmax", graph.node("Add", energies, added) if added else energies, axis=-1)
    context = graph.node("Transpose", graph.node("MatMul", weights, kept.value), perm=[0, 2, 1, 3])
    return graph.node("Reshape", context, graph.constant([0, 0, -1])), weights
