"""How often each pair of symbols occurs, and which occurs most often: subword-nmt's choice, found with a heap.

subword-nmt looks for the maximum in a dictionary pruned to the pairs above a threshold, and goes back to the full
dictionary when nothing is left above it. A pair whose count grows after it was pruned (possible, since two merges can
spell the same symbol) is then counted wrongly there. Equal output needs equal counts, so both dictionaries are kept
here, and pruned at the same moments; only the search for the maximum differs.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace

PRUNE_EVERY = 100
"Merges between prunings, as in subword-nmt's learn_bpe."


class PairCounts:
    """Counts of pairs, with the most frequent one at hand; ties go to the pair whose texts come last.

    counts: every pair's count; kept and changed. order: a key per pair that sorts in reverse of the pair's texts.
    """

    def __init__(self, counts: dict[str, int], order: Callable[[str], str]) -> None:
        self.full, self.order = counts, order
        self.active = dict(counts)
        self.threshold = max(counts.values(), default=0) / 10
        self.touched = set(counts)
        self._build_heap()

    def _build_heap(self) -> None:
        """Each active pair at or above the threshold keeps an entry whose count is the pair's or more."""
        order, threshold = self.order, self.threshold
        self.heap = [(-count, order(pair), pair) for pair, count in self.active.items() if count >= threshold]
        heapify(self.heap)

    def best(self, step: int) -> tuple[str, int]:
        """The most frequent pair and its count before merge number `step` (from 0); count 0: no pair occurs."""
        if not self._settle():
            self._restore(step)
            if not self._settle():
                return "", 0
        count, _, pair = self.heap[0]
        return pair, -count

    def _settle(self) -> bool:
        """Bring the heap's first entry up to date; False when no pair is left at or above the threshold."""
        heap, active = self.heap, self.active
        while heap:
            count, key, pair = heap[0]
            now = active.get(pair, 0)
            if now == -count:
                return True
            if self.threshold <= now < -count:
                heapreplace(heap, (-now, key, pair))
            else:
                heappop(heap)
        return False

    def _restore(self, step: int) -> None:
        """Go back to the full counts, with a new threshold (inspired by Zipf's law, says subword-nmt)."""
        self.prune()
        most = max(self.full.values(), default=0)
        self.threshold = most * step / (step + 10000.0)
        threshold = self.threshold
        self.active = {pair: count for pair, count in self.full.items() if count >= threshold}
        self._build_heap()

    def update(self, merged: str, changes: dict[str, int]) -> None:
        """Add `changes` after `merged` became one symbol."""
        active, heap, threshold, order = self.active, self.heap, self.threshold, self.order
        for pair, change in changes.items():
            count = active.get(pair, 0) + change
            active[pair] = count
            if change > 0 and count >= threshold:
                heappush(heap, (-count, order(pair), pair))
        active[merged] = 0
        self.touched.update(changes)
        self.touched.add(merged)

    def prune(self) -> None:
        """Move the pairs below the threshold back to the full counts, overwriting them as subword-nmt does."""
        active, full, threshold = self.active, self.full, self.threshold
        for pair in self.touched:
            count = active[pair]
            if count < threshold:
                del active[pair]
                full[pair] = count if count >= 0 else full.get(pair, 0) + count
        self.touched.clear()
