"""What the attention RNN's parameters start as.

dl4mt: square recurrent matrices orthogonal, gate by gate; other matrices N(0, 0.01^2); biases zero (Press & Wolf's
baseline). scaled: N(0, 1 / E) for embeddings of width E, which suits both roles of a tied matrix (inputs of unit
length, scores of unit variance at most), and Glorot's normal for the other matrices.
"""

from __future__ import annotations

from torch import nn

from nmt.layers.gru import GRUCell
from nmt.layers.initialization import Start, constant, glorot_normal, normal, orthogonal_gates
from nmt.layers.tying_ways import vocabulary_starts
from nmt.models.rnn.model import RNNModel

SMALL = 0.01
"Standard deviation of DL4MT's non-recurrent matrices and embeddings. As a softmax row it starts at ln V."


def rnn_starts(model: RNNModel, rule: str) -> dict[nn.Parameter, Start]:
    """Every parameter of the model. rule: dl4mt or scaled."""
    starts = {parameter: _start(parameter, rule) for parameter in model.parameters()}
    width = model.embeddings.output.shape[1]
    starts |= vocabulary_starts(model.embeddings, (1.0 / width) ** 0.5 if rule == "scaled" else SMALL)
    for cell in model.modules():
        if isinstance(cell, GRUCell):
            starts[cell.hidden_weight] = orthogonal_gates
    return starts


def _start(parameter: nn.Parameter, rule: str) -> Start:
    if parameter.dim() < 2:
        return constant(0.0)
    return glorot_normal if rule == "scaled" else normal(SMALL)
