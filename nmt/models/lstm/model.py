"""The LSTM language model of Zaremba et al. (2014): the small and the large model of Tables 3 to 7.

Shapes: T steps, B streams, L layers, E embedding, H hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nmt.layers.linear import Linear
from nmt.layers.lstm import GATES, LSTM, LSTMMasks, LSTMState, run_layer
from nmt.layers.tied_words import TiedWords
from nmt.models.language import Features, LanguageState
from nmt.models.recurrent import RecurrentLanguageModel, Regularization


class LSTMLanguageModel(RecurrentLanguageModel):
    """Layers of LSTM, with dropout of what goes up and, where it is Bayesian, of what goes on."""

    architecture = "lstm"

    def __init__(
        self, embeddings: TiedWords, lstm: LSTM, projection: Linear | None, regularization: Regularization
    ) -> None:
        super().__init__(embeddings, projection, regularization)
        self.lstm = lstm

    def initial_state(self, streams: int) -> LanguageState:
        """Hidden states and cells of all layers, [L, B, H] each, as torch.nn.LSTM has them."""
        start = self.embeddings.output.new_zeros(self.lstm.layers, streams, self.lstm.hidden_size)
        return start, start.clone()

    def features(self, inputs: Tensor, state: LanguageState) -> Features:
        """See LanguageModel.features."""
        rows = self.read(inputs)
        rates = self.regularization.bayesian
        last = []
        for number, (hidden, cell) in enumerate(zip(*state, strict=True)):
            rows = self.dropout(rows) if number else rows
            masks = LSTMMasks(self.mask(rates.input, rows[0], GATES), self.mask(rates.hidden, hidden, GATES))
            how = (self.lstm.layer(number), masks, self.compute_dtype)
            rows, after = run_layer(rows, LSTMState(hidden, cell), *how, fast=self.fast)
            last.append(after)
        return Features(self.write(rows), tuple(torch.stack(part) for part in zip(*last, strict=True)))
