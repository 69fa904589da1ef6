"""What training and search know of a model. Nothing else of it is used outside nmt/models.

Search sees a `SearchModel`: the trained model itself, a copy of it made for speed (`nmt.models.inference`), several
models as one (`nmt.models.ensemble`), or one with a language model beside it (`nmt.models.fusion`). Training sees a
`TrainableModel`, whatever its task; of translation that is a `TranslationModel`, which can be searched, too.

Shapes: B sentences, K hypotheses a sentence, S source positions, V target rows (the model's target view), N of them
that are scored, E embedding. Target ids are always ids of the model's target view
(`nmt.text.vocabulary.TargetView` maps to and from union ids).
"""

from __future__ import annotations

import contextlib
import copy
import enum
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from nmt.data.batching import Batch
from nmt.layers.tying import TiedEmbeddings
from nmt.models.architectures import ARCHITECTURES


class Memory(Protocol):
    """An encoded batch of B sentences: everything that does not change from step to step (annotations, keys, mask)."""

    @property
    def mask(self) -> Tensor:
        """[B, S], True at real source positions."""

    def select(self, sentences: Tensor) -> Memory:
        """The memory of the given sentences, [B'] int64, in that order."""

    def narrow(self, size: int) -> Memory:
        """The first `size` source positions alone; what is left out must be padding."""

    def join(self, other: Any) -> Any:
        """The sentences of both, this memory's first; sources padded to the longer of the two."""


class State(Protocol):
    """What a model keeps of the pieces before, of K hypotheses for each of B sentences."""

    def select(self, sentences: Tensor | None, hypotheses: Tensor) -> State:
        """New state whose [b, k] is this one's [sentences[b], hypotheses[b, k]]. Shapes [B'] and [B', K'], int64.

        None: all sentences, in their places, as in most steps.
        """

    def join(self, other: Any) -> Any:
        """The sentences of both, this state's first; both hold the same number of hypotheses."""


@dataclass(frozen=True)
class Step:
    """One decoder step for B sentences of K hypotheses each."""

    log_probs: Tensor
    "[B, K, N] float32 log-probabilities of the next piece among the scored rows; padding is none of them: -inf."
    state: State
    attention: Tensor
    "[B, K, S], zero at padding."
    fused: Tensor | None = None
    "[B, K, N] what a language model adds to log_probs where hypotheses are ranked; None: there is none."


START = -1
"The previous piece of a hypothesis that has none yet; what stands in its place is the architecture's own."


class Output(Protocol):
    """The target rows that are scored, ready for `SearchModel.step`; search hands it back and does not look inside."""


class SearchModel(Protocol):
    """A model that can be searched. It keeps no state between calls: several threads may search it at once."""

    @property
    def device(self) -> torch.device:
        """Where tensors given to it must lie."""

    @property
    def num_targets(self) -> int:
        """Rows of the target view, V."""

    def encode(self, source: Tensor, source_lengths: Tensor) -> Memory:
        """source: [B, S] int64 source ids, </s> at each end, padded with 0. source_lengths: [B], </s> included."""

    def initial_state(self, memory: Memory) -> State:
        """The state before the first piece, K = 1."""

    def output(self, targets: Tensor | None = None) -> Output:
        """What scores the given target ids, [N] int64, rising, padding not among them; or all V."""

    def step(self, memory: Memory, state: State, previous: Tensor, output: Output) -> Step:
        """Advance every hypothesis by one piece. previous: [B, K] target ids, START where there is none yet."""


EMBEDDINGS = "embeddings"
"The attribute of every model that holds its vocabulary matrices and output bias: the beginning of their names."


class VocabularyMatrices(Protocol):
    """The vocabulary matrices of a model, tied or not."""

    @property
    def tying(self) -> enum.Enum:
        """Which of them are one; its value is the mode's name."""

    def assert_tied(self) -> None:
        """Raise an AssertionError unless exactly the matrices that should be one are one."""


class TrainableModel(nn.Module):
    """A model of any task, as training and the model folder see it."""

    architecture: ClassVar[str]
    "Its name in `nmt.models.architectures`."
    embeddings: Any
    "`VocabularyMatrices`, a module."
    fast: bool
    "Compute in the fast way; False takes the plain steps that it is tested against."
    compute_dtype: torch.dtype
    "Precision of the matrix products in training (float32 or bfloat16); weights and sums stay float32."

    def __init__(self, embeddings: Any) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.fast = True
        self.compute_dtype = torch.float32

    @abstractmethod
    def how_to_shrink(self) -> str:
        """The keys to lower where the model is too large for the machine, for people."""

    @contextlib.contextmanager
    def in_float32(self) -> Iterator[None]:
        """Products in float32 for a while."""
        before, self.compute_dtype = self.compute_dtype, torch.float32
        try:
            yield
        finally:
            self.compute_dtype = before


class TranslationModel(TrainableModel):
    """An encoder-decoder that can be trained and searched."""

    embeddings: TiedEmbeddings
    "The three vocabulary matrices and the output bias: see nmt.layers.tying."

    def how_to_shrink(self) -> str:
        """See TrainableModel.how_to_shrink."""
        return ARCHITECTURES[self.architecture].how_to_shrink()

    @abstractmethod
    def readout(self, batch: Batch) -> Tensor:
        """Decoder features of the real target positions, [N, E], in the order of `batch.target_labels()`.

        Scores are `readout @ output_weight.T + output_bias`; the loss computes them in chunks.
        """

    def with_matrices(self, embeddings: TiedEmbeddings) -> Self:
        """The same network, its weights shared, with other vocabulary matrices."""
        other = copy.copy(self)
        other._modules = {**self._modules, EMBEDDINGS: embeddings}
        return other

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return self.embeddings.output_bias.device

    @property
    def num_targets(self) -> int:
        """Rows of the target view, V."""
        return self.embeddings.num_targets

    @abstractmethod
    def encode(self, source: Tensor, source_lengths: Tensor) -> Memory:
        """See SearchModel.encode."""

    @abstractmethod
    def initial_state(self, memory: Memory) -> State:
        """See SearchModel.initial_state."""

    @abstractmethod
    def output(self, targets: Tensor | None = None) -> Output:
        """See SearchModel.output."""

    @abstractmethod
    def step(self, memory: Memory, state: State, previous: Tensor, output: Output) -> Step:
        """See SearchModel.step."""
