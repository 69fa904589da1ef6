"""Beam search that goes on for as long as sentences come: each joins between two steps, and leaves when it is done.

What `beam_search` does with all sentences at hand, for those that come one by one. What is found of a sentence is said
as soon as it is done. Its row leaves a little later, with others, since that copies all the rest. Rows know nothing of
each other, so that company changes no result.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nmt.config import SearchConfig
from nmt.models.interface import SearchModel
from nmt.search.arrivals import Arrivals, max_pieces, padded_sources
from nmt.search.beam import LEAVE_SHARE, Active, Search, both_active, check_settings
from nmt.search.expansion import Expansion, hypotheses_of
from nmt.search.frontier import Frontier
from nmt.search.history import History
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted

NOTHING = np.zeros(0, dtype=np.int64)
"In a slot that no sentence holds."


class LiveSearch(Search):
    """Sentences at work, by slots: `add` gives each one, `step` says whose sentence is done and frees it.

    For one thread at a time. longest: the most pieces a source may have.
    """

    def __init__(self, model: SearchModel, config: SearchConfig, wanted: Wanted, longest: int) -> None:
        assert not getattr(model, "training", False), "search needs model.eval()"
        check_settings(config)
        self._slots: list[np.ndarray] = []
        super().__init__(model, self._slots, config, wanted)
        self.expansion = Expansion(config, wanted, max_pieces(longest, config), model.device)
        self._free: list[int] = []
        self._answered: set[int] = set()
        "Slots of sentences that are done, until enough are to be worth leaving out."
        self._active: Active | None = None
        self._steps = 0

    @property
    def at_work(self) -> list[int]:
        """The slots of the sentences at work, and of some that are done."""
        return [] if self._active is None else self._active.frontier.sentences

    def width(self) -> int:
        """Pieces of the longest source at work, </s> included; 0: there is none."""
        return max((len(self._slots[slot]) + 1 for slot in self.at_work), default=0)

    def places(self, length: int) -> int:
        """How many sentences may be at work where the next one has `length` pieces: one at least."""
        return max(1, self.queue.room(max(length + 1, self.width()), 0))

    @torch.inference_mode()
    def add(self, sources: Sequence[np.ndarray]) -> list[int]:
        """Begin with sentences, [S] ids without </s>, none of them empty; returns the slot of each."""
        self.drop(self._answered)
        slots = [self._slot(source) for source in sources]
        order = sorted(slots, key=lambda slot: -len(self._slots[slot]))
        memory = self.model.encode(*padded_sources([self._slots[slot] for slot in order], self.model.device))
        new = self._begun(Arrivals(order, memory, self.model.initial_state(memory)))
        self._active = self._with_candidates(new if self._active is None else both_active(self._active, new))
        return slots

    def _slot(self, source: np.ndarray) -> int:
        if self._free:
            slot = self._free.pop()
            self._slots[slot] = source
        else:
            slot = len(self._slots)
            self._slots.append(source)
        return slot

    @torch.inference_mode()
    def drop(self, slots: Collection[int]) -> None:
        """Give up sentences at work; their slots are free."""
        active = self._active
        leaving = [slot for slot in self.at_work if slot in slots]
        if active is None or not leaving:
            return
        rows = [row for row, slot in enumerate(self.at_work) if slot not in slots]
        self._leave(leaving, _of_rows(active, rows, self._rows(rows)) if rows else None)

    @torch.inference_mode()
    def step(self) -> list[tuple[int, list[Hypothesis]]]:
        """One piece more for every sentence at work. Returns the slots of those that are done, and what was found:
        after every step on a CPU, elsewhere after every few, since asking waits for the device.

        Raises UserError where the model's probabilities are not numbers.
        """
        active = self._active
        assert active is not None, "add sentences first"
        assert self.candidates is not None
        step = self.model.step(active.memory, active.state, active.frontier.pieces, self.candidates.output)
        frontier = self.expansion.advance(active.frontier, step, active.memory.mask, self.candidates)
        active = replace(active, frontier=frontier, state=step.state)
        self._steps += 1
        if frontier.calm or self._steps % self.check_steps:
            self._active = self._ordered(active, None, frontier.log_probs.size(1))
            return []
        counts = self.expansion.places_left(frontier).tolist()
        done = [row for row, count in enumerate(counts) if not count]
        new = [row for row in done if frontier.sentences[row] not in self._answered]
        found = self._found(frontier.select(new, self._rows(new))) if new else []
        if len(done) * LEAVE_SHARE < len(counts):
            self._answered.update(slot for slot, _ in found)
            self._active = self._ordered(active, None, max(counts))
        else:
            rows = [row for row, count in enumerate(counts) if count]
            rest = self._ordered(active, rows, max(counts)) if rows else None
            self._leave([frontier.sentences[row] for row in done], rest)
        return found

    def _found(self, left: Frontier) -> list[tuple[int, list[Hypothesis]]]:
        widths = [len(self._slots[slot]) + 1 for slot in left.sentences]
        return hypotheses_of(left, widths, self.scoring, self.wanted)

    def _leave(self, leaving: Sequence[int], rest: Active | None) -> None:
        """Free slots and go on with the rest, no wider than it needs."""
        for slot in leaving:
            self._slots[slot] = NOTHING
        self._free += leaving
        self._answered.difference_update(leaving)
        self._active = rest
        if rest is not None:
            memory = rest.memory
            if rest.frontier.attended is None:  # which is as wide as the memory
                memory = memory.narrow(self.width())
            self._active = replace(rest, frontier=_trimmed(rest.frontier), memory=memory)


def _of_rows(active: Active, numbers: Sequence[int], rows: Tensor) -> Active:
    """The sentences of the given rows, between two steps."""
    hypotheses = torch.arange(active.frontier.log_probs.size(1), device=rows.device).expand(len(rows), -1)
    return Active(
        active.frontier.select(numbers, rows), active.memory.select(rows), active.state.select(rows, hypotheses)
    )


def _trimmed(frontier: Frontier) -> Frontier:
    """With room in its history for the longest translation that any of its sentences may still have."""
    steps, history = max(frontier.limits) + 1, frontier.history
    if history.pieces.size(1) <= steps:
        return frontier
    tensors = (history.pieces, history.parents, history.attention, history.log_probs, history.penalties)
    return replace(
        frontier,
        history=History(*(None if one is None else one[:, :steps] for one in tensors)),  # type: ignore[arg-type]
    )
