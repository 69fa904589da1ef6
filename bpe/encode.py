"""Applies merges to one word: characters -> symbols, the earliest learned merge first."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

LONG_WORD = 100
"Symbols above which a word is merged with a heap: rescanning it after each merge takes quadratic time."
NO_RANK = 1 << 62

Ranks = Mapping[tuple[str, str], int]


def apply_merges(symbols: list[str], ranks: Ranks) -> list[str]:
    """Merge neighbours as long as a pair has a rank: the lowest rank first, all its places from left to right.

    ranks: pair -> its first position in the merge table. Returns the remaining symbols; `symbols` is used up.
    """
    if len(symbols) > LONG_WORD:
        return _apply_to_long(symbols, ranks)
    found = [ranks.get(pair, NO_RANK) for pair in pairwise(symbols)]
    while found and (best := min(found)) != NO_RANK:
        # A new symbol cannot make this pair again (it is longer), so the inner loop ends, and only then is a lower
        # rank looked for: the order of subword-nmt.
        while best in found:
            at = found.index(best)
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
            del found[at]
            if at:
                found[at - 1] = ranks.get((symbols[at - 1], symbols[at]), NO_RANK)
            if at < len(found):
                found[at] = ranks.get((symbols[at], symbols[at + 1]), NO_RANK)
    return symbols


def _apply_to_long(symbols: list[str], ranks: Ranks) -> list[str]:
    """The same in O(n log n): a heap of (rank, place), symbols linked to their neighbours, merged ones left empty."""
    end = len(symbols)
    previous, following = list(range(-1, end - 1)), list(range(1, end + 1))
    heap = [(ranks[pair], at) for at, pair in enumerate(pairwise(symbols)) if pair in ranks]
    heapify(heap)

    def push(at: int) -> None:
        if at >= 0 and following[at] < end:
            rank = ranks.get((symbols[at], symbols[following[at]]))
            if rank is not None:
                heappush(heap, (rank, at))

    while heap:
        best, places = heap[0][0], []
        while heap and heap[0][0] == best:
            places.append(heappop(heap)[1])
        for at in places:
            other = following[at]
            if other == end or ranks.get((symbols[at], symbols[other])) != best:
                continue  # a neighbour was merged since
            symbols[at] += symbols[other]
            symbols[other] = ""
            following[at] = following[other]
            if following[at] < end:
                previous[following[at]] = at
            push(previous[at])
            push(at)
    return [symbol for symbol in symbols if symbol]
