"""The attention model (`gru_cond`) as ONNX graphs.

    encoder   input_ids, attention_mask -> annotations, keys, state
    first     annotations, keys, attention_mask, state -> log_probs, attention, present_state
    step      input_ids, annotations, keys, attention_mask, state -> log_probs, attention, present_state

Shapes: B batch, S source length, E embedding, H hidden, C = 2 H.
"""

from __future__ import annotations

from typing import Any

import torch

from nmt.conversion.onnx_graph import Graph, WeightsBeside, added_mask, affine, log_probs
from nmt.layers.gru import GRUCell
from nmt.models.rnn.model import RNNModel

SOURCE = ("batch", "source")


def rnn_graphs(model: RNNModel, weights: WeightsBeside) -> list[Graph]:
    """Encoder, first step, later steps."""
    return [encoder_graph(model, weights), decoder_graph(model, weights, first=True), decoder_graph(model, weights)]


def encoder_graph(model: RNNModel, weights: WeightsBeside) -> Graph:
    """See above."""
    graph = Graph("encoder", weights)
    size = model.encoder.ahead.hidden_weight.shape[0]
    ids, mask = graph.input("input_ids", SOURCE, integers=True), graph.input("attention_mask", SOURCE, integers=True)
    embedded = graph.node("Gather", graph.weight(model.embeddings.source_input, "embeddings.source_input"), ids)
    lengths = graph.node("ReduceSum", mask, graph.constant([1]), keepdims=0)
    small = graph.node("Cast", lengths, to=graph.onnx.TensorProto.INT32)
    turned = graph.node("Transpose", embedded, perm=[1, 0, 2])
    cells = (
        graph.weight(*encoder_part(model, 0)),
        graph.weight(*encoder_part(model, 1)),
        graph.weight(*encoder_part(model, 2)),
    )
    states = graph.node(
        "GRU", turned, *cells, small, hidden_size=size, direction="bidirectional", linear_before_reset=1
    )  # [S, 2, B, H], zero at padding
    both = graph.node("Transpose", states, perm=[2, 0, 1, 3])
    annotations = graph.node("Reshape", both, graph.constant([0, 0, -1]))
    counts = graph.node("Unsqueeze", graph.node("Cast", lengths, to=graph.onnx.TensorProto.FLOAT), graph.constant([1]))
    mean = graph.node("Div", graph.node("ReduceSum", annotations, graph.constant([1]), keepdims=0), counts)
    state = graph.node("Tanh", affine(graph, mean, model.initial, "initial"))
    attention = model.decoder.attention
    product = graph.node("MatMul", annotations, graph.weight(attention.key_weight, "decoder.attention.key_weight"))
    keys = graph.node("Add", product, graph.weight(attention.key_bias, "decoder.attention.key_bias"))
    for name, value, width in (("annotations", annotations, 2 * size), ("keys", keys, 2 * size)):
        graph.output(value, name, ("batch", "source", width))
    graph.output(state, "state", ("batch", size))
    return graph


def encoder_part(model: RNNModel, part: int) -> tuple[Any, str]:
    """Weights of both directions as ONNX has them, [2, 3 H, X], gates in the order update, reset, candidate.

    part: 0 of the input, 1 of the state, 2 the biases, [2, 6 H], of input and state.
    """
    cells = (model.encoder.ahead, model.encoder.back)
    name = ("input_weight", "hidden_weight", "bias")[part]
    if part < 2:
        return torch.stack([reordered(getattr(cell, name).t()) for cell in cells]), f"encoder.{name}"
    biases = [torch.cat([reordered(cell.bias), torch.zeros_like(cell.bias)]) for cell in cells]
    return torch.stack(biases), "encoder.bias"


def reordered(gates: torch.Tensor) -> torch.Tensor:
    """Rows r, u, n -> u, r, n."""
    reset, update, candidate = gates.chunk(3)
    return torch.cat([update, reset, candidate])


def decoder_graph(model: RNNModel, weights: WeightsBeside, *, first: bool = False) -> Graph:
    """See above."""
    graph = Graph("first" if first else "step", weights)
    decoder, size = model.decoder, model.decoder.first.hidden_weight.shape[0]
    width = model.embeddings.target_input.shape[1]
    ids = "" if first else graph.input("input_ids", ("batch", 1), integers=True)
    annotations, keys = (graph.input(name, ("batch", "source", 2 * size)) for name in ("annotations", "keys"))
    mask, state = graph.input("attention_mask", SOURCE, integers=True), graph.input("state", ("batch", size))
    if first:
        batch = graph.node("Slice", graph.node("Shape", state), graph.constant([0]), graph.constant([1]))
        shape = graph.node("Concat", batch, graph.constant([width]), axis=0)
        previous = graph.node("Expand", graph.number(0.0), shape)
    else:
        flat = graph.node("Squeeze", ids, graph.constant([1]))
        previous = graph.node("Gather", graph.weight(model.embeddings.target_input, "embeddings.target_input"), flat)
    middle = gru_step(graph, previous, state, decoder.first, "decoder.first")
    context, attention = attend(graph, middle, (annotations, keys, mask), decoder.attention)
    state = gru_step(graph, context, middle, decoder.second, "decoder.second")
    readout, layer = "", model.output_layer
    for value, name in ((state, "state"), (previous, "previous"), (context, "context")):
        found = affine(graph, value, getattr(layer, name), f"output_layer.{name}")
        readout = graph.node("Add", readout, found) if readout else found
    graph.output(
        log_probs(graph, graph.node("Tanh", readout), model.embeddings), "log_probs", ("batch", model.num_targets)
    )
    graph.output(attention, "attention", SOURCE)
    graph.output(state, "present_state", ("batch", size))
    return graph


def gru_step(graph: Graph, inputs: str, hidden: str, cell: GRUCell, name: str) -> str:
    """[B, X] and [B, H] -> [B, H]; see `nmt.layers.gru.gru_step`."""
    sides = []
    for side, value in (("input", inputs), ("hidden", hidden)):
        product = graph.node("MatMul", value, graph.weight(getattr(cell, f"{side}_weight"), f"{name}.{side}_weight"))
        own = cell.bias_on == side
        sides.append(graph.node("Add", product, graph.weight(cell.bias, f"{name}.bias")) if own else product)
    parts = [graph.several("Split", 3, side, axis=-1) for side in sides]
    reset, update = (
        graph.node("Sigmoid", graph.node("Add", *pair)) for pair in ((parts[0][n], parts[1][n]) for n in (0, 1))
    )
    candidate = graph.node("Tanh", graph.node("Add", graph.node("Mul", reset, parts[1][2]), parts[0][2]))
    kept = graph.node("Mul", update, hidden)
    return graph.node("Add", kept, graph.node("Mul", graph.node("Sub", graph.number(1.0), update), candidate))


def attend(graph: Graph, state: str, source: tuple[str, str, str], attention: Any) -> tuple[str, str]:
    """[B, H], and annotations, keys and mask -> the context, [B, C], and the weights, [B, S]."""
    annotations, keys, mask = source
    name = "decoder.attention"
    query = graph.node("MatMul", state, graph.weight(attention.query_weight, f"{name}.query_weight"))
    mixed = graph.node("Tanh", graph.node("Add", keys, graph.node("Unsqueeze", query, graph.constant([1]))))
    energies = graph.node("MatMul", mixed, graph.weight(attention.energy_weight, f"{name}.energy_weight"))
    energies = graph.node("Squeeze", energies, graph.constant([2]))  # what is added to all of them changes nothing
    weights = graph.node("Softmax", graph.node("Add", energies, added_mask(graph, mask, ())), axis=-1)
    context = graph.node("MatMul", graph.node("Unsqueeze", weights, graph.constant([1])), annotations)
    return graph.node("Squeeze", context, graph.constant([1])), weights
