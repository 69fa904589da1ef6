"""How large the compared models are, and how much arithmetic a piece costs: ours and each peer's attention RNN.

All are three-way tied and have one layer, a bidirectional encoder and attention. A multiply-add is one of a matrix
product; attention's own sums over source positions (less than one in a hundred) and elementwise work are left out.
Multiply-adds are those that the equations need: work that a tool repeats does not count for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OURS = "ours"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Widths: of the tied embeddings and of the decoder's state."""

    embedding: int
    hidden: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one model."""

    parameters: int
    per_source_piece: int
    "Multiply-adds of the encoder, and of what the decoder precomputes of its output."
    per_output_piece: int
    "Multiply-adds of a decoder step of one hypothesis, with the scores of the whole vocabulary."


# OpenNMT-py and JoeyNMT tie only where the state is as wide as the embeddings.
SIZES = {
    OURS: Sizes(embedding=256, hidden=512),
    "fairseq": Sizes(embedding=256, hidden=512),
    "opennmt": Sizes(embedding=512, hidden=512),
    "joeynmt": Sizes(embedding=512, hidden=512),
}


def cost(tool: str, vocabulary: int, sizes: Sizes | None = None) -> Cost:
    """Of a tool's model with so many rows of the vocabulary, specials included; sizes: SIZES unless given."""
    return _COSTS[tool](vocabulary, sizes or SIZES[tool])


def _ours(v: int, sizes: Sizes) -> Cost:
    """DL4MT's conditional GRU: annotations of width 2h, additive attention, a readout as wide as the embeddings."""
    e, h = sizes.embedding, sizes.hidden
    c = 2 * h
    encoder = 2 * 3 * h * (e + h)
    step = 3 * h * (e + h) + h * c + 3 * h * (h + c) + e * (h + e + c)
    biases = 2 * 3 * h + h + 3 * h + (c + c + 1) + 3 * h + 3 * e + v  # with the attention's vector of weights
    return Cost(
        parameters=v * e + encoder + c * h + c * c + step + biases,
        per_source_piece=encoder + c * c,
        per_output_piece=step + e * v,
    )


def _fairseq(v: int, sizes: Sizes) -> Cost:
    """`lstm`: dot-product attention, input feeding, a layer from the state to the embeddings' width; no output bias."""
    e, h = sizes.embedding, sizes.hidden
    encoder = 2 * 4 * h * (e + h)
    step = 4 * h * (e + 2 * h) + 2 * h * h + 3 * h * h + h * e
    initial = 2 * 2 * h * h
    biases = 3 * 2 * 4 * h + 2 * h + e
    return Cost(
        parameters=v * e + encoder + initial + step + biases,
        per_source_piece=encoder,
        per_output_piece=step + e * v,
    )


def _opennmt(v: int, sizes: Sizes) -> Cost:
    """`rnn` of GRUs: the two directions of the encoder share the width, "general" attention, input feeding."""
    e, h = sizes.embedding, sizes.hidden
    encoder = 3 * h * (e + h // 2)
    step = 3 * h * (e + 2 * h) + h * h + 2 * h * h
    biases = 2 * 3 * h + 2 * 3 * h + v
    return Cost(
        parameters=v * e + encoder + step + biases,
        per_source_piece=encoder,
        per_output_piece=step + h * v,
    )


def _joeynmt(v: int, sizes: Sizes) -> Cost:
    """`recurrent` of GRUs: additive attention, input feeding, the first state by a bridge; no output bias."""
    e, h = sizes.embedding, sizes.hidden
    encoder = 2 * 3 * h * (e + h)
    keys, bridge = 2 * h * h, 2 * h * h
    step = 3 * h * (e + 2 * h) + h * h + 3 * h * h
    biases = 3 * 2 * 3 * h + h + h + h  # with the attention's vector of weights
    return Cost(
        parameters=v * e + encoder + keys + bridge + step + biases,
        per_source_piece=encoder + keys,
        per_output_piece=step + h * v,
    )


_COSTS: dict[str, Callable[[int, Sizes], Cost]] = {
    OURS: _ours,
    "fairseq": _fairseq,
    "opennmt": _opennmt,
    "joeynmt": _joeynmt,
}
