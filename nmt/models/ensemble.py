"""Several models as one: the probabilities of each piece are averaged, as in Nematus, fairseq and Sockeye.

The members share a union vocabulary and may differ in everything else, their tying modes included. Sources are given
as union ids, of which each member sees its own view. Targets are the union's rows where every member has those, and
otherwise the target view, which leaves out the pieces that only the source has: a three-way member then scores the rows
of that view alone, so that its probabilities add up to one without them, as with a shortlist.

Shapes: B sentences, K hypotheses a sentence, S source positions, V rows of the ensemble's target view, N scored ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.models.interface import START, Memory, Output, SearchModel, State, Step
from nmt.text.vocabulary import PAD, UNK, SourceView, TargetView


@dataclass(frozen=True)
class Member:
    """A model of an ensemble, and how it sees the union vocabulary."""

    model: SearchModel
    source_view: SourceView
    target_view: TargetView


@dataclass(frozen=True)
class EnsembleMemory:
    """The memories of all members."""

    members: tuple[Memory, ...]

    @property
    def mask(self) -> Tensor:
        """[B, S], the same for all."""
        return self.members[0].mask

    def select(self, sentences: Tensor) -> EnsembleMemory:
        """See Memory.select."""
        return EnsembleMemory(tuple(member.select(sentences) for member in self.members))

    def narrow(self, size: int) -> EnsembleMemory:
        """See Memory.narrow."""
        return EnsembleMemory(tuple(member.narrow(size) for member in self.members))

    def join(self, other: EnsembleMemory) -> EnsembleMemory:
        """See Memory.join."""
        pairs = zip(self.members, other.members, strict=True)
        return EnsembleMemory(tuple(member.join(new) for member, new in pairs))


@dataclass(frozen=True)
class EnsembleState:
    """The states of all members."""

    members: tuple[State, ...]

    def select(self, sentences: Tensor | None, hypotheses: Tensor) -> EnsembleState:
        """See State.select."""
        return EnsembleState(tuple(member.select(sentences, hypotheses) for member in self.members))

    def join(self, other: EnsembleState) -> EnsembleState:
        """See State.join."""
        pairs = zip(self.members, other.members, strict=True)
        return EnsembleState(tuple(member.join(new) for member, new in pairs))


@dataclass(frozen=True)
class EnsembleOutput:
    """The scored rows of all members. whole: they are all of the ensemble's."""

    members: tuple[Output, ...]
    whole: bool


class Ensemble(SearchModel):
    """A `SearchModel` whose probabilities are the mean of its members'. Its ids are those of its two views."""

    def __init__(self, members: Sequence[Member]) -> None:
        """members: one at least, of one union vocabulary, on one device."""
        views = [member.target_view for member in members]
        assert len({view.size + view.gap for view in views}) == 1, "members of different union vocabularies"
        assert len({member.model.device for member in members}) == 1, "members on different devices"
        self.members = tuple(members)
        self.source_view = SourceView(views[0].size + views[0].gap)
        "What source ids mean: the union."
        self.target_view = min(views, key=lambda view: view.size)
        "What target ids mean: the smallest of the members' views."
        self._rows = [self._rows_of(member) for member in members]

    def _rows_of(self, member: Member) -> Tensor | None:
        """The member's target row of each of the ensemble's, [V] int64; None where they are the same."""
        if member.target_view == self.target_view:
            return None
        return torch.from_numpy(self.target_view.rows_in(member.target_view)).to(member.model.device)

    @property
    def device(self) -> torch.device:
        """See SearchModel.device."""
        return self.members[0].model.device

    @property
    def num_targets(self) -> int:
        """Rows of the ensemble's target view, V."""
        return self.target_view.size

    @property
    def training(self) -> bool:
        """Whether a member is in training mode, in which no search may use it."""
        return any(getattr(member.model, "training", False) for member in self.members)

    def encode(self, source: Tensor, source_lengths: Tensor) -> EnsembleMemory:
        """See SearchModel.encode. source: union ids."""
        memories = []
        for member in self.members:
            own = source.masked_fill(source >= member.source_view.size, UNK)
            memories.append(member.model.encode(own, source_lengths))
        return EnsembleMemory(tuple(memories))

    def initial_state(self, memory: EnsembleMemory) -> EnsembleState:  # type: ignore[override]
        """See SearchModel.initial_state."""
        pairs = zip(self.members, memory.members, strict=True)
        return EnsembleState(tuple(member.model.initial_state(own) for member, own in pairs))

    def output(self, targets: Tensor | None = None) -> EnsembleOutput:
        """See SearchModel.output."""
        outputs = []
        for member, rows in zip(self.members, self._rows, strict=True):
            if rows is None:
                outputs.append(member.model.output(targets))
            else:
                outputs.append(member.model.output(rows[PAD + 1 :] if targets is None else rows[targets]))
        return EnsembleOutput(tuple(outputs), whole=targets is None)

    def step(  # type: ignore[override]
        self, memory: EnsembleMemory, state: EnsembleState, previous: Tensor, output: EnsembleOutput
    ) -> Step:
        """See SearchModel.step."""
        log_probs, states, attention = [], [], []
        for place, (member, rows) in enumerate(zip(self.members, self._rows, strict=True)):
            own = previous if rows is None else torch.where(previous == START, START, rows[previous.clamp(min=0)])
            step = member.model.step(memory.members[place], state.members[place], own, output.members[place])
            padding = (1, 0) if output.whole and rows is not None else (0, 0)
            log_probs.append(functional.pad(step.log_probs, padding, value=-torch.inf))
            states.append(step.state)
            attention.append(step.attention)
        return Step(_mean(log_probs), EnsembleState(tuple(states)), sum(attention[1:], attention[0]) / len(attention))


def _mean(log_probs: list[Tensor]) -> Tensor:
    """The logarithm of the mean of probabilities, given theirs; one alone stays as it is."""
    total = log_probs[0]
    for other in log_probs[1:]:
        total = torch.logaddexp(total, other)
    return total if len(log_probs) == 1 else total.sub_(math.log(len(log_probs)))
