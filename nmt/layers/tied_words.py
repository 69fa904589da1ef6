"""Weight tying of one vocabulary (Press & Wolf, 2017, section 3): input and output embedding, two matrices or one.

What tied means, and why the output bias is there in both modes, `nmt.layers.tying` says.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.tying import WordTying


class TiedWords(nn.Module):
    """The two vocabulary matrices and the output bias. C is num_words, E is embedding_size."""

    input: nn.Parameter
    "[C, E]"
    output: nn.Parameter
    "[C, E]"
    output_bias: nn.Parameter
    "[C]"

    def __init__(self, tying: WordTying, num_words: int, embedding_size: int) -> None:
        super().__init__()
        self.tying = tying
        self.input = nn.Parameter(torch.empty(num_words, embedding_size))
        self.output = nn.Parameter(torch.empty(num_words, embedding_size))
        self.output_bias = nn.Parameter(torch.empty(num_words))
        self._tie()

    def _tie(self) -> None:
        """Make one of what the mode says is one."""
        if self.tying is WordTying.TIED:
            self.output = self.input

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TiedWords:
        """What `.to()` and its like call; between some devices it makes a new parameter per name, so tie again."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._tie()
        return self

    def matrices(self) -> tuple[nn.Parameter, ...]:
        """The vocabulary matrices, each storage once."""
        return (self.input,) if self.output is self.input else (self.input, self.output)

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings: [...] ids -> [..., E]."""
        return functional.embedding(ids, self.input)

    def scores(self, features: Tensor) -> Tensor:
        """Unnormalised scores of every word: [..., E] -> [..., C]."""
        return functional.linear(features, self.output, self.output_bias)

    def assert_tied(self) -> None:
        """Check by storage identity that the matrices are one exactly where they should be."""
        first, second = self.input.data_ptr(), self.output.data_ptr()
        if self.input.is_meta:
            first, second = id(self.input), id(self.output)
        if (first == second) != (self.tying is WordTying.TIED):
            raise AssertionError(f"{self.tying.value} tying broken: input = output is {first == second}")
