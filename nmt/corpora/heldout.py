"""Splitting by document, and held-out sets without near duplicates of the training text."""

from __future__ import annotations

import hashlib
import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from nmt.corpora.records import SplitText

NEAR = 0.7
"Two sources are near duplicates when the Dice coefficient of their character 5-grams is at least this."
ORDER = 5
MIN_WORDS, MAX_WORDS = 3, 60
"Length of a held-out source, in words."
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
PUNCTUATION = re.compile(r"[^\w\s{}]|_")

TextPair = tuple[str, str]


def bucket(document: str) -> float:
    """A number in [0, 1) that depends only on the document's name: the same split for every language pair."""
    return int.from_bytes(hashlib.sha256(document.encode("utf-8")).digest()[:8], "big") / 2**64


def normal_form(text: str) -> str:
    """What is left of a sentence without case, numbers, placeholders' names and punctuation."""
    text = PUNCTUATION.sub(" ", PLACEHOLDER.sub("{}", text.lower()))
    return " ".join(re.sub(r"\d+", "0", text).split())


def grams_of(text: str) -> frozenset[str]:
    """The character 5-grams of a text, its ends marked by spaces."""
    padded = " " * (ORDER - 1) + text + " "
    return frozenset(padded[start : start + ORDER] for start in range(len(padded) - ORDER + 1))


class NearDuplicates:
    """Finds near duplicates by an index of rare 5-grams.

    Two texts with a Dice coefficient of at least t share at least t / (2 - t) of each one's n 5-grams. So, with all
    5-grams in one fixed order, the first n - ceil(n t / (2 - t)) + 1 of both have one in common; with rare ones
    first, few texts do (prefix filtering: Chaudhuri et al., ICDE 2006). The order is that of the first texts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        distinct = list(dict.fromkeys(texts))
        self.frequency = Counter(gram for text in distinct for gram in grams_of(text))
        self.seen: set[str] = set()
        self.grams: list[frozenset[str]] = []
        self.index: dict[str, list[int]] = defaultdict(list)
        for text in distinct:
            self.add(text)

    def _prefix(self, grams: frozenset[str]) -> list[str]:
        length = len(grams) - math.ceil(len(grams) * NEAR / (2 - NEAR)) + 1
        return heapq.nsmallest(length, grams, key=lambda gram: (self.frequency[gram], gram))

    def add(self, text: str) -> None:
        """Put one text (in normal form) into the index."""
        if text not in self.seen:
            self.seen.add(text)
            grams = grams_of(text)
            for gram in self._prefix(grams):
                self.index[gram].append(len(self.grams))
            self.grams.append(grams)

    def has_near(self, text: str) -> bool:
        """Whether a text (in normal form) equals or nearly equals one that was added."""
        if text in self.seen:
            return True
        query = grams_of(text)
        candidates = {number for gram in self._prefix(query) for number in self.index.get(gram, ())}
        least, most = len(query) * NEAR / (2 - NEAR), len(query) * (2 - NEAR) / NEAR
        alike = (grams for grams in map(self.grams.__getitem__, candidates) if least <= len(grams) <= most)
        return any(dice(query, grams) >= NEAR for grams in alike)


def dice(left: frozenset[str], right: frozenset[str]) -> float:
    """Twice what two sets share over what they have."""
    return 2 * len(left & right) / (len(left) + len(right))


def split_by_document(
    documents: Mapping[str, list[TextPair]], *, share: float, size: int, largest: int
) -> Iterator[SplitText]:
    """train, valid and test from documents: `share` of the documents for each held-out set, at most `size` pairs.

    A document of more than `largest` pairs is always in train, so that none makes up most of a held-out set. Train
    keeps all distinct pairs. A held-out set has one pair for a source, of 3 to 60 words, neither side of which is in
    train, in any case, number or punctuation, and no source nearly so; test has none nearly in valid either.
    """
    groups: dict[str, list[TextPair]] = {"train": [], "valid": [], "test": []}
    for name, pairs in documents.items():
        place = bucket(name) if len(pairs) <= largest else 1.0
        groups["valid" if place < share else "test" if place < 2 * share else "train"] += pairs
    train = list(dict.fromkeys(groups["train"]))
    near = NearDuplicates(normal_form(source) for source, _ in train)
    targets = {normal_form(target) for _, target in train}
    yield SplitText(name="train", pairs=train)
    for name in ("valid", "test"):
        held = _held_out(groups[name], near, targets, size)
        yield SplitText(name=name, pairs=held)
        for source, target in held:
            near.add(normal_form(source))
            targets.add(normal_form(target))


def _held_out(pairs: list[TextPair], near: NearDuplicates, targets: set[str], size: int) -> list[TextPair]:
    """The pairs of one held-out set: the first `size` good ones in the order of their hash, in their own order."""
    forms: set[str] = set()
    chosen: set[TextPair] = set()
    distinct = list(dict.fromkeys(pairs))
    for source, target in sorted(distinct, key=lambda pair: bucket("\t".join(pair))):
        form = normal_form(source)
        if len(chosen) == size or form in forms or not MIN_WORDS <= len(source.split()) <= MAX_WORDS:
            continue
        forms.add(form)
        if normal_form(target) not in targets and not near.has_near(form):
            chosen.add((source, target))
    return [pair for pair in distinct if pair in chosen]
