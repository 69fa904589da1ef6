"""Word counts of any size without a corpus: made-up words that look like English and German, counted by Zipf's law.

Compounds, inflection, capitals and numbers give pairs of letters, word lengths and a share of words that occur once
like those of real text, which is what the time and memory of learning merges depend on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate


def _items(blanks: int, text: str) -> list[str]:
    """The words of a text after so many empty ones."""
    return [""] * blanks + text.split()


ONSETS = _items(4, "t s d w h m b n r l f p k g c st v sch tr pr sp gr z j ch br fr kl gl bl th")
VOWELS = _items(0, "e a i o u ie ei ou ea ai au ä ü ö oo ee y")
CODAS = _items(6, "n r t s l nd d ng m st ch nt k rt ck ss x")
PREFIXES = _items(12, "un ver be re de ge in con pro aus ab auf ein über vor inter dis ent")
SUFFIXES = _items(
    3,
    "s en e er ed ing t es ung te n ly al ion ten ungen ions em ers ern lich ment ity ische ness lichen ischen able "
    "isierung keit heit ation 's isation schaft less ful ized",
)
JOINTS = _items(6, "s - en")
NUM_STEMS = 60_000
OFFSET = 2.7
"Zipf's law as Mandelbrot has it: the count at rank r falls with (r + OFFSET) ** exponent."
BREVITY = 4
"Frequent words are short: of the most frequent, as many have n characters as of all words, divided by n ** BREVITY."
BATCH = 100_000


def zipf_counts(num_types: int, num_tokens: int, seed: int) -> dict[str, int]:
    """How often each of `num_types` distinct words occurs, the most frequent first: about `num_tokens` in all.

    num_tokens: at least `num_types`. The exponent is the one with which the rarest word occurs once, so that, as in
    real text, nearly half of the words do. The same arguments give the same counts.
    """
    exponent = _exponent(num_types, num_tokens)
    most = (num_types + OFFSET) ** exponent
    draw = random.Random(seed)
    words = sorted(_distinct(num_types, draw), key=lambda word: len(word) ** BREVITY * draw.random())
    return {word: max(1, int(most / (rank + OFFSET) ** exponent)) for rank, word in enumerate(words, 1)}


def _exponent(num_types: int, num_tokens: int) -> float:
    """By bisection: the total, an integral in place of the sum, grows with the exponent."""
    low, high = 0.0, 4.0
    for _ in range(50):
        middle = (low + high) / 2
        power = 1 - middle
        first, last = 0.5 + OFFSET, num_types + 0.5 + OFFSET
        total = (num_types + OFFSET) ** middle * (last**power - first**power) / power if power else 0
        low, high = (middle, high) if total < num_tokens else (low, middle)
    return low


def _distinct(num_types: int, draw: random.Random) -> list[str]:
    words: dict[str, None] = {}
    batches = _batches(draw)
    while len(words) < num_types:
        words.update(dict.fromkeys(next(batches)))
    return list(words)[:num_types]


def _batches(draw: random.Random) -> Iterator[list[str]]:
    """Batches of words, equal ones among them: stems that follow Zipf's law too, inflected and joined."""
    syllables = [onset + vowel + coda for onset, vowel, coda in _triples(ONSETS, VOWELS, CODAS, NUM_STEMS, draw)]
    picked = [draw.choices(syllables, k=NUM_STEMS) for _ in range(3)]
    lengths = draw.choices([1, 2, 3], weights=[5, 5, 1], k=NUM_STEMS)
    stems = list(dict.fromkeys("".join(parts[:length]) for *parts, length in zip(*picked, lengths, strict=True)))
    while True:
        words = ["".join(parts) for parts in _triples(PREFIXES, stems, SUFFIXES, BATCH, draw)]
        joined = ["".join(parts) for parts in _triples(stems, JOINTS, words, BATCH, draw)]
        for number, kind in enumerate(draw.choices(["word", "compound", "title", "number"], [10, 3, 6, 0.5], k=BATCH)):
            if kind == "compound":
                words[number] = joined[number]
            elif kind == "title":
                words[number] = (words if draw.random() < 0.8 else joined)[number].capitalize()
            elif kind == "number":
                words[number] = str(draw.choice([10.0, 1e4, 1e6]) * draw.random() // 0.1 / 10)
        yield words


def _triples(
    first: Sequence[str], second: Sequence[str], third: Sequence[str], num: int, draw: random.Random
) -> Iterator[tuple[str, ...]]:
    """`num` draws from three lists, each item as often as Zipf's law has it at its place (equal items add up)."""
    weights = [list(accumulate(1 / (place + 8) for place in range(len(items)))) for items in (first, second, third)]
    drawn = [
        draw.choices(items, cum_weights=sums, k=num)
        for items, sums in zip((first, second, third), weights, strict=True)
    ]
    return zip(*drawn, strict=True)
