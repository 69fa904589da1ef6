"""Applies merges to one word: characters -> symbols, the earliest learned merge first, all of them or by chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise, repeat
from random import Random

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
    rank = ranks.get
    found = list(map(rank, pairwise(symbols), repeat(NO_RANK)))
    best = min(found, default=NO_RANK)
    while best != NO_RANK:
        at = found.index(best)
        del found[at]
        symbols[at] += symbols.pop(at + 1)
        if at:
            found[at - 1] = rank((symbols[at - 1], symbols[at]), NO_RANK)
        if at < len(found):
            found[at] = rank((symbols[at], symbols[at + 1]), NO_RANK)
        # A new symbol cannot make this pair again (it is longer), so its places run out, and only then is a lower
        # rank looked for: the order of subword-nmt.
        if best not in found:
            best = min(found, default=NO_RANK)
    return symbols


def apply_merges_with_dropout(symbols: list[str], ranks: Ranks, dropout: float, random: Random) -> list[str]:
    """The same with BPE-dropout (Provilkov et al., 2020, algorithm 1): at every step each place where a merge is
    possible is passed over with probability `dropout`, 0 to 1; a step that has none left is the last.

    `random` is asked for the same numbers as subword-nmt asks for, in words up to LONG_WORD. `symbols` is used up.
    """
    if not dropout:
        return apply_merges(symbols, ranks)
    draw = random.random
    if len(symbols) > LONG_WORD:
        return _apply_to_long(symbols, ranks, lambda: draw() <= dropout)
    while len(symbols) > 1:
        found = [ranks.get(pair, NO_RANK) if draw() > dropout else NO_RANK for pair in pairwise(symbols)]
        best = min(found)
        if best == NO_RANK:
            break
        merged: list[str] = []
        end = 0
        for at, rank in enumerate(found):
            if rank == best and at >= end:
                merged += symbols[end:at]
                merged.append(symbols[at] + symbols[at + 1])
                end = at + 2
        symbols = merged + symbols[end:]
    return symbols


def _never() -> bool:
    return False


def _apply_to_long(symbols: list[str], ranks: Ranks, dropped: Callable[[], bool] = _never) -> list[str]:
    """The same in O(n log n): a heap of (rank, place), symbols linked to their neighbours, merged ones left empty.

    dropped: asked whether a place is passed over, only of places that come before the step's merge or belong to it.
    """
    end = len(symbols)
    previous, following = list(range(-1, end - 1)), list(range(1, end + 1))
    heap = [(ranks[pair], at) for at, pair in enumerate(pairwise(symbols)) if pair in ranks]
    heapify(heap)

    def push(at: int) -> None:
        if at >= 0 and following[at] < end:
            rank = ranks.get((symbols[at], symbols[following[at]]))
            if rank is not None:
                heappush(heap, (rank, at))

    def stands(rank: int, at: int) -> bool:
        """Whether no neighbour was merged since."""
        return following[at] < end and ranks.get((symbols[at], symbols[following[at]])) == rank

    while heap:
        best = NO_RANK
        places: list[int] = []
        passed: list[tuple[int, int]] = []
        while heap and heap[0][0] <= best:
            rank, at = heappop(heap)
            if not stands(rank, at):
                continue
            if dropped():
                passed.append((rank, at))
            else:
                best = rank
                places.append(at)
        for at in places:
            if not stands(best, at):
                continue
            other = following[at]
            symbols[at] += symbols[other]
            symbols[other] = ""
            following[at] = following[other]
            if following[at] < end:
                previous[following[at]] = at
            push(previous[at])
            push(at)
        for entry in passed if places else ():
            heappush(heap, entry)
    return [symbol for symbol in symbols if symbol]
