"""Shallow fusion (Gülçehre et al., 2015, section 4.1): a language model joins in the search of a translation model.

    score(y_t) = log p_TM(y_t | y_1 ... y_t-1, x) + weight * log p_LM(y_t | y_1 ... y_t-1)

at every step, before the best continuations are chosen. `Step.log_probs` stay the translation model's own, and
`Step.fused` is the other term, so that a search can rule on both together and still say what each model thinks.

Every translation is a line of its own to the language model: it begins with a state of zeros, from which <eos> is read,
and </s> is <eos>. Its probabilities are always those over all its rows, whichever the search scores. What only the
source has is <unk> to it.

Shapes: B sentences, K hypotheses a sentence, R = B K rows, V rows of the target view, N scored ones, C of the language
model, E its embedding.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nmt.models.interface import START, Memory, Output, SearchModel, State, Step
from nmt.models.language import LanguageModel, LanguageState
from nmt.models.rows import places
from nmt.models.scoring import FixedScorer
from nmt.text.vocabulary import PAD, UNK
from nmt.text.words import END


@dataclass(frozen=True)
class FusedState:
    """The states of both models."""

    translation: State
    language: LanguageState
    "Tensors [..., B, K, H]."

    def select(self, sentences: Tensor | None, hypotheses: Tensor) -> FusedState:
        """See State.select."""
        chosen = places(sentences, hypotheses)
        language = tuple(part[(..., *chosen, slice(None))] for part in self.language)
        return FusedState(self.translation.select(sentences, hypotheses), language)

    def join(self, other: FusedState) -> FusedState:
        """See State.join."""
        pairs = zip(self.language, other.language, strict=True)
        return FusedState(self.translation.join(other.translation), tuple(torch.cat(pair, -3) for pair in pairs))


@dataclass(frozen=True)
class FusedOutput:
    """What scores target rows of the translation model. targets: their ids, [N]; None: all."""

    translation: Output
    targets: Tensor | None


@dataclass(frozen=True)
class _Rows:
    """The language model's output matrix in the order of the target view."""

    output: Tensor
    output_bias: Tensor


class FusedModel(SearchModel):
    """A translation model, or an ensemble, whose steps tell what a language model adds. Ids are the former's."""

    @torch.no_grad()
    def __init__(self, model: SearchModel, language: LanguageModel, rows: Tensor, weight: float) -> None:
        """rows: [V] the language model's row of each target id, each of its C rows once but for <unk>.

        <unk>'s row also stands for what it does not know, and anything for padding. weight: above 0.
        """
        assert len(rows) == model.num_targets, "one row for each target id"
        assert weight > 0, "a weight of 0 needs no language model"
        self.model, self.rows, self.weight = model, rows, weight
        self.language = copy.copy(language)
        self.language.fast = False  # that is for many steps at once
        unknown = [row for row in (rows == rows[UNK]).nonzero()[:, 0].tolist() if row != UNK] or [0, -1]
        self.unknown = slice(unknown[0], unknown[-1] + 1)
        "Target ids beside that of <unk> which are <unk> to the language model: those of the source alone."
        matrices, known = language.embeddings, torch.cat([rows[: self.unknown.start], rows[self.unknown.stop :]])
        assert len(known) - 1 == language.num_words, "another vocabulary than the language model's"
        self.scorer = FixedScorer(_Rows(matrices.output[known], matrices.output_bias[known]), "float32", bound=None)

    @property
    def device(self) -> torch.device:
        """See SearchModel.device."""
        return self.model.device

    @property
    def num_targets(self) -> int:
        """See SearchModel.num_targets."""
        return self.model.num_targets

    @property
    def training(self) -> bool:
        """Whether a model is in training mode, in which no search may use it."""
        return self.language.training or bool(getattr(self.model, "training", False))

    def encode(self, source: Tensor, source_lengths: Tensor) -> Memory:
        """See SearchModel.encode."""
        return self.model.encode(source, source_lengths)

    def initial_state(self, memory: Memory) -> FusedState:
        """See SearchModel.initial_state."""
        sentences = len(memory.mask)
        language = (part.unflatten(-2, (sentences, 1)) for part in self.language.initial_state(sentences))
        return FusedState(self.model.initial_state(memory), tuple(language))

    def output(self, targets: Tensor | None = None) -> FusedOutput:
        """See SearchModel.output."""
        return FusedOutput(self.model.output(targets), targets)

    @torch.no_grad()
    def step(self, memory: Memory, state: FusedState, previous: Tensor, output: FusedOutput) -> Step:  # type: ignore[override]
        """See SearchModel.step."""
        step = self.model.step(memory, state.translation, previous, output.translation)
        read = self.rows[previous.clamp(min=PAD)].masked_fill(previous == START, END)
        features = self.language.features(read.view(1, -1), tuple(part.flatten(-3, -2) for part in state.language))
        fused = self._every_target(self.scorer.whole.log_probs(features.rows[0]).mul_(self.weight))
        if output.targets is not None:
            fused = fused.index_select(1, output.targets)
        language = tuple(part.unflatten(-2, previous.shape) for part in features.state)
        return replace(step, state=FusedState(step.state, language), fused=fused.unflatten(0, previous.shape))

    def _every_target(self, known: Tensor) -> Tensor:
        """[R, V] of what is said of the targets that the language model knows: the others have <unk>'s."""
        start, stop = self.unknown.start, self.unknown.stop
        if start == stop:
            return known
        return torch.cat([known[:, :start], known[:, UNK, None].expand(-1, stop - start), known[:, start:]], 1)
