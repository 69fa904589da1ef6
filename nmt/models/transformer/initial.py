"""What a Transformer's parameters start as.

Norms one, biases zero. scaled: embeddings N(0, 1 / (4 E)) for width E, other matrices Glorot's normal. dl4mt: all
matrices N(0, 0.01^2).

The embeddings' rule suits both roles of a tied table. A readout behind a layer norm is as long as the root of its
width, so that N(0, 1 / E), good for the RNN's readout, gives scores of variance 1, and a piece that is read scores
itself high as the next one: the first cross entropy is half a nat above ln V and more. At half the deviation it is
within 0.15 of ln V, and inputs, times the root of E, are as large as half a sinusoid.
"""

from __future__ import annotations

from torch import nn

from nmt.layers.initialization import Start, constant, glorot_normal, normal
from nmt.layers.positions import LearnedPositions
from nmt.layers.tying_ways import vocabulary_starts
from nmt.models.transformer.model import TransformerModel

SMALL = 0.01


def transformer_starts(model: TransformerModel, rule: str) -> dict[nn.Parameter, Start]:
    """Every parameter of the model. rule: dl4mt or scaled."""
    starts: dict[nn.Parameter, Start] = {parameter: constant(0.0) for parameter in model.parameters()}
    for parameter in model.parameters():
        if parameter.dim() == 2:
            starts[parameter] = glorot_normal if rule == "scaled" else normal(SMALL)
    width = model.embeddings.output.shape[1]
    starts |= vocabulary_starts(model.embeddings, 0.5 * width**-0.5 if rule == "scaled" else SMALL)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            starts[module.weight] = constant(1.0)
        elif isinstance(module, LearnedPositions):
            starts[module.weight] = normal(SMALL)
    return starts
