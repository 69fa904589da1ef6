"""The words while merges are learned: which contain a pair, and what changes when the pair becomes one symbol.

A word is a string with one character per symbol, so that merging is `str.replace`; a pair is a string of two. EDGE
stands at both ends of a word and spares the checks for its first and last symbol.

subword-nmt keeps, per pair and word, a number of occurrences that is not always the true one (after merges in "aaa", or
where two merges spell the same symbol), or replaces more than the pair (beside a no-break space, which its regular
expression takes for a border). Such words are kept apart as `Odd`, with the numbers subword-nmt would have.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bpe.codes import END_OF_WORD

EDGE = "\0"


class Symbols:
    """Symbols' texts and the character that stands for each; equal texts are one symbol.

    words: everything that will be spelt; their characters give the order of ties.
    """

    def __init__(self, words: Mapping[str, int]) -> None:
        alphabet = sorted(set().union(END_OF_WORD, *words))
        self.last = len(alphabet)
        self.reverse = {ord(letter): self.last - 1 - rank for rank, letter in enumerate(alphabet)}
        self.texts, self.orders, self.codes = [""], [""], {"": EDGE}
        for letter in alphabet:
            self.code(letter)

    def code(self, text: str) -> str:
        """The character of a symbol, new or known."""
        code = self.codes.get(text)
        if code is None:
            code = self.codes[text] = chr(len(self.texts))
            self.texts.append(text)
            self.orders.append(text.translate(self.reverse) + chr(self.last))
        return code

    def order(self, pair: str) -> str:
        """A key that sorts pairs in reverse of their texts: letters reversed, and a prefix after what it begins."""
        return self.orders[ord(pair[0])] + self.orders[ord(pair[1])]

    def spell(self, word: str) -> list[str]:
        """The texts of a word's symbols, edges left out."""
        return [self.texts[ord(code)] for code in word.strip(EDGE)]


@dataclass
class Odd:
    """A word apart. word: its symbols. counts: subword-nmt's numbers of its pairs. spaced: it has white space in it."""

    word: str
    counts: dict[str, int]
    spaced: bool


def pairs_of(word: str) -> list[str]:
    """The pairs of neighbouring symbols within a word, edges left out."""
    return [word[i : i + 2] for i in range(1, len(word) - 2)]


def replacement_changes(old: str, new: str, pair: str, symbol: str) -> tuple[list[str], list[str]]:
    """Pairs lost and gained when `pair` became `symbol`, counted as subword-nmt's update_pair_statistics does:
    every `symbol` of the new word counts as newly made."""
    first, second = pair[0], pair[1]
    lost, gained = [], []
    i = old.find(first)
    while i >= 0:
        if old[i + 1] != second:
            i = old.find(first, i + 1)
            continue
        if old[i - 1] != EDGE:
            lost.append(old[i - 1 : i + 1])
        if old[i + 2] != EDGE and old[i + 2 : i + 4] != pair:
            lost.append(old[i + 1 : i + 3])
        i = old.find(first, i + 2)
    i = new.find(symbol)
    while i >= 0:
        if new[i - 1] != EDGE:
            gained.append(new[i - 1 : i + 1])
        if new[i + 1] not in (EDGE, symbol):
            gained.append(new[i : i + 2])
        i = new.find(symbol, i + 1)
    return lost, gained


class WordIndex:
    """Words, their counts, and for each pair the numbers of the words that (may) contain it.

    counts: how often each word occurs, all above zero.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.symbols = Symbols(counts)
        self.frequencies = list(counts.values())
        self.words: list[str] = []
        self.odd: dict[int, Odd] = {}
        self.index: defaultdict[str, list[int]] = defaultdict(list)
        code, known = self.symbols.code, self.symbols.codes.__getitem__
        for number, text in enumerate(counts):
            word = "".join([EDGE, *map(known, text[:-1]), code(text[-1] + END_OF_WORD), EDGE])
            for pair in pairs_of(word):
                self.index[pair].append(number)
            spaced = any(map(str.isspace, text))
            if spaced:
                self.odd[number] = Odd(word, Counter(pairs_of(word)), spaced)
            self.words.append("" if spaced else word)

    def pair_counts(self) -> dict[str, int]:
        """How often each pair occurs."""
        frequency = self.frequencies.__getitem__
        return {pair: sum(map(frequency, numbers)) for pair, numbers in self.index.items()}

    def merge(self, pair: str) -> dict[str, int]:
        """Make `pair` one symbol wherever it occurs; returns the changes of other pairs' counts."""
        text = "".join(self.symbols.spell(pair))
        new = text not in self.symbols.codes
        symbol = self.symbols.code(text)
        changes: defaultdict[str, int] = defaultdict(int)
        numbers = self.index.pop(pair, [])
        if new and pair[0] != pair[1]:
            numbers = self._merge_plain(pair, symbol, numbers, changes)
        for number in numbers:
            self._merge_one(number, pair, symbol, changes)
        return changes

    def _merge_plain(self, pair: str, symbol: str, numbers: list[int], changes: defaultdict[str, int]) -> list[int]:
        """Merge in the words where `pair` occurs once; returns the numbers of the others that must be looked at."""
        words, rest = self.words, []
        lefts: defaultdict[str, list[int]] = defaultdict(list)
        rights: defaultdict[str, list[int]] = defaultdict(list)
        for number in numbers:
            old = words[number]
            at = old.find(pair)
            if at < 0:
                if not old:
                    rest.append(number)
                continue
            new = old.replace(pair, symbol)
            if len(new) + 1 != len(old):
                rest.append(number)
                continue
            words[number] = new
            lefts[old[at - 1]].append(number)
            rights[old[at + 2]].append(number)
        lefts.pop(EDGE, None)
        rights.pop(EDGE, None)
        index, frequency = self.index, self.frequencies.__getitem__
        first, second = pair[0], pair[1]
        for other, members in lefts.items():
            total = sum(map(frequency, members))
            changes[other + first] -= total
            changes[other + symbol] += total
            index[other + symbol] = members
        for other, members in rights.items():
            total = sum(map(frequency, members))
            changes[second + other] -= total
            changes[symbol + other] += total
            index[symbol + other] = members
        return rest

    def _merge_one(self, number: int, pair: str, symbol: str, changes: defaultdict[str, int]) -> None:
        """Merge in one word, whatever it looks like."""
        old, odd = self.words[number], self.odd.get(number)
        if odd is None:
            if pair not in old:
                return
            odd = Odd(old, Counter(pairs_of(old)), False)
        elif odd.counts.get(pair, 0) < 1:
            return
        old, odd.word = odd.word, self._replace(odd, pair, symbol)
        odd.counts.pop(pair, None)
        frequency = self.frequencies[number]
        lost, gained = replacement_changes(old, odd.word, pair, symbol)
        for other in lost:
            changes[other] -= frequency
            odd.counts[other] = odd.counts.get(other, 0) - 1
        for other in gained:
            changes[other] += frequency
            odd.counts[other] = odd.counts.get(other, 0) + 1
            self.index[other].append(number)
        self._file(number, odd)

    def _replace(self, odd: Odd, pair: str, symbol: str) -> str:
        if not odd.spaced:
            return odd.word.replace(pair, symbol)
        spell, code = self.symbols.spell, self.symbols.code
        pattern = re.compile(r"(?<!\S)" + re.escape(" ".join(spell(pair))) + r"(?!\S)")
        text = pattern.sub(lambda _: self.symbols.texts[ord(symbol)], " ".join(spell(odd.word)))
        return "".join([EDGE, *map(code, text.split(" ")), EDGE])

    def _file(self, number: int, odd: Odd) -> None:
        """Put a word back among the plain ones when its numbers are the true ones, else (or still) apart."""
        counts = {pair: count for pair, count in odd.counts.items() if count}
        if odd.spaced or counts != Counter(pairs_of(odd.word)):
            self.words[number], self.odd[number] = "", odd
        else:
            self.words[number] = odd.word
            self.odd.pop(number, None)
