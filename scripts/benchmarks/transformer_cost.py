"""How large the compared Transformers are, and how much arithmetic a piece costs: ours and each peer's.

All are three-way tied, pre-norm, with biases in every map, and as wide as their embeddings; they differ in the bias
of the scores alone. What counts as a multiply-add: see `scripts.benchmarks.model_cost`; the sums of attention over
positions are left out, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from scripts.benchmarks.model_cost import Cost, Sizes, cost

CTRANSLATE2 = "ctranslate2"
"Runs our own model, converted."
TRAINED, SEARCHED = ("fairseq", "opennmt"), ("opennmt", CTRANSLATE2)
"Peers whose Transformer is measured."
WITHOUT_SCORE_BIAS = ("fairseq",)


@dataclass(frozen=True, kw_only=True)
class TransformerSizes:
    """Width of embeddings and layers, layers of either side, heads, width of the feed-forward."""

    embedding: int = 256
    layers: int = 4
    heads: int = 8
    feedforward: int = 1024


def transformer_cost(tool: str, vocabulary: int, sizes: TransformerSizes) -> Cost:
    """Of a tool's model with so many rows of the vocabulary, specials included."""
    d, f, v = sizes.embedding, sizes.feedforward, vocabulary
    attention, feedforward, norm = 4 * d * d, 2 * d * f, 2 * d
    encoder, decoder = attention + feedforward, 2 * attention + feedforward
    biases = (4 * d + f + d + 2 * norm) + (8 * d + f + d + 3 * norm)
    score_bias = 0 if tool in WITHOUT_SCORE_BIAS else v
    of_source = 2 * d * d  # keys and values that each decoder layer makes of a source piece
    return Cost(
        parameters=v * d + score_bias + sizes.layers * (encoder + decoder + biases) + 2 * norm,
        per_source_piece=sizes.layers * (encoder + of_source),
        per_output_piece=sizes.layers * (decoder - of_source) + d * v,
    )


def model_cost(tool: str, vocabulary: int, sizes: Sizes | TransformerSizes) -> Cost:
    """Of a tool's RNN or Transformer with so many rows of the vocabulary."""
    if isinstance(sizes, TransformerSizes):
        return transformer_cost(tool, vocabulary, sizes)
    return cost(tool, vocabulary, sizes)
