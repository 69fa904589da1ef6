"""Keys and values of the pieces so far, in the copy of the Transformer made for search.

Nothing moves when hypotheses change places: each step writes its keys and values behind the others, a slot for each
hypothesis, and a hypothesis keeps a list of the slots that are its own past. Its attention goes over all slots of its
sentence, those of others at -inf, so that the hypotheses of a sentence share one product and one reading of its keys.

Shapes: B sentences, K hypotheses a sentence, h heads, d size of a head, C slots there is room for, t slots in use,
L decoder layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.models.rows import places

ROOM = 64
"Slots that there is room for at first; where they do not suffice, twice as many."


class Slots:
    """Keys and values of one batch, [L, 2, B, h, C, d]. used: how many slots some state has written."""

    def __init__(self, pairs: Tensor, used: int) -> None:
        self.pairs, self.used = pairs, used
        self.layers = [(both, keys.flatten(0, 1), values.flatten(0, 1)) for both in pairs for keys, values in [both]]
        "Of each layer [2, B, h, C, d], and keys and values, [B h, C, d]: views."

    def with_room(self, used: int, more: int) -> Slots:
        """Where `more` slots can be written behind the first `used` ones: this, or a copy where that is not free."""
        needed = used + more
        if self.used == used and needed <= self.pairs.shape[4]:
            return self
        return Slots(_moved(self.pairs[:, :, :, :, :used], max(ROOM, 2 * needed), 0), used)


@dataclass(frozen=True)
class CacheState:
    """What a hypothesis is: which slots are its past. The last slots of all sentences are of the same step."""

    slots: Slots
    used: int
    "t, the slots that this state knows of."
    added: Tensor
    "[B, K, t] float32: 0 at a hypothesis' own past, -inf elsewhere."
    steps: Tensor
    "[B] int64: pieces that the hypotheses have."
    longest: int
    "The most of them."

    def select(self, sentences: Tensor | None, hypotheses: Tensor) -> CacheState:
        """See State.select. The slots are copied where sentences leave or move."""
        added = self.added[places(sentences, hypotheses)]
        if sentences is None:
            return CacheState(self.slots, self.used, added, self.steps, self.longest)
        steps = self.steps.index_select(0, sentences)
        seen = (added == 0).any(1).any(0).nonzero()
        first = int(seen[0]) if len(seen) else self.used
        pairs = self.slots.pairs[:, :, :, :, first : self.used].index_select(2, sentences)
        used = self.used - first
        return CacheState(Slots(pairs, used), used, added[:, :, first:], steps, self.longest)

    def join(self, other: CacheState) -> CacheState:
        """See State.join."""
        used, both = max(self.used, other.used), (self, other)
        pairs = [_moved(one.slots.pairs[:, :, :, :, : one.used], used, used - one.used) for one in both]
        added = torch.cat([functional.pad(one.added, (used - one.used, 0), value=-torch.inf) for one in both])
        steps, longest = torch.cat([self.steps, other.steps]), max(self.longest, other.longest)
        return CacheState(Slots(torch.cat(pairs, 2), used), used, added, steps, longest)

    def begun(self, beam: int) -> CacheState:
        """With room for a step of `beam` hypotheses, whose slots are known and hold nothing yet."""
        slots = self.slots.with_room(self.used, beam)
        slots.used = self.used + beam
        own = torch.full((beam, beam), -torch.inf, device=self.added.device).fill_diagonal_(0)
        added = torch.cat([self.added, own.expand(len(self.added), -1, -1)], 2)
        return CacheState(slots, self.used + beam, added, self.steps + 1, self.longest + 1)

    def write(self, layer: int, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Put a layer's keys and values of this step, [2, B, h, K, d], into their slots; all of both, [B h, t, d]."""
        whole, keys, values = self.slots.layers[layer]
        whole[:, :, :, self.used - pairs.shape[3] : self.used] = pairs
        return keys[:, : self.used], values[:, : self.used]


def empty_state(batch: int, like: Tensor, sizes: tuple[int, int, int]) -> CacheState:
    """Of no steps, K = 1. like: for device and precision. sizes: L, h, d."""
    layers, heads, size = sizes
    pairs = like.new_empty(layers, 2, batch, heads, 0, size)
    steps = torch.zeros(batch, dtype=torch.int64, device=like.device)
    return CacheState(Slots(pairs, 0), 0, like.new_zeros(batch, 1, 0), steps, 0)


def _moved(slots: Tensor, room: int, start: int) -> Tensor:
    """[..., t, d] -> [..., room, d], the slots from `start` on, zeros before."""
    result = slots.new_empty(*slots.shape[:-2], room, slots.shape[-1])
    result[..., :start, :] = 0
    result[..., start : start + slots.shape[-2], :] = slots
    return result
