"""Skip-gram with negative sampling (Mikolov et al., 2013b, section 2.2): its two matrices, and the step of an update.

For a word w in the middle and a word c of its window, with noise words n, word2vec maximises

    log s(v_c . u_w) + sum over n != w of log s(-v_c . u_n)        s: the sigmoid

v are the rows of the input matrix, u of the output matrix. Tied, both are one matrix (Press & Wolf, 2017, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nmt.word2vec.windows import BLOCK, Blocks


@dataclass(frozen=True, kw_only=True)
class SkipGram:
    """The matrices, [V, E] each; tied: the same tensor. float32, changed in place by `step`."""

    inputs: torch.Tensor
    outputs: torch.Tensor

    @property
    def tied(self) -> bool:
        """Whether one matrix has both roles."""
        return self.inputs is self.outputs

    @property
    def num_parameters(self) -> int:
        """Numbers that are learned, those of one matrix counted once."""
        return self.inputs.numel() + (0 if self.tied else self.outputs.numel())


def new_model(num_words: int, size: int, *, tied: bool, random: np.random.Generator) -> SkipGram:
    """Before training, as in word2vec: inputs uniform in +-0.5 / size, outputs zero; a tied matrix as the inputs."""
    drawn = (random.random((num_words, size)) - 0.5) / size
    inputs = torch.from_numpy(drawn.astype(np.float32))
    return SkipGram(inputs=inputs, outputs=inputs if tied else torch.zeros_like(inputs))


def ascent(inputs: torch.Tensor, outputs: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient of the objective, summed over all pairs, by the rows of a batch of blocks.

    inputs: rows of the context words, [B, C, E]. outputs: of the targets, [B, R, E]. weights: [B, C, R], as in Blocks.
    Returns gradients of both shapes.
    """
    slope = torch.bmm(inputs, outputs.transpose(1, 2)).sigmoid_().mul_(weights).neg_()  # -s(v . u), or 1 - s(v . u)
    slope[:, :, :BLOCK] += weights[:, :, :BLOCK]
    return torch.bmm(slope, outputs), torch.bmm(slope.transpose(1, 2), inputs)


def step(model: SkipGram, blocks: Blocks, learning_rate: float) -> None:
    """Climb: add `learning_rate` times the gradient to the rows that it is of, in a fixed order."""
    contexts, targets = blocks.contexts.reshape(-1), blocks.targets.reshape(-1)
    size = model.inputs.shape[1]
    inputs = model.inputs.index_select(0, contexts).view(*blocks.contexts.shape, size)
    outputs = model.outputs.index_select(0, targets).view(*blocks.targets.shape, size)
    by_input, by_output = ascent(inputs, outputs, blocks.weights)
    model.inputs.index_add_(0, contexts, by_input.view(-1, size), alpha=learning_rate)
    model.outputs.index_add_(0, targets, by_output.view(-1, size), alpha=learning_rate)
