"""Do the sides of a corpus look equal or swapped? Judged from the first pairs of every file, before any work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from bpe.errors import UserError
from nmt.prepare.files import PairOfFiles
from nmt.prepare.pairs import read_pairs

SAMPLE_PAIRS = 10_000
FEWEST_PAIRS = 10
"Fewer than this are not judged equal."
FEWEST_WORDS = 50
"Fewer than this on a side are not judged swapped."
EQUAL_SHARE = 0.5
SWAPPED_MARGIN = 0.3
"How much better the crossed sides must fit, in the sum of two shares of known words, to be called swapped."

WORD = re.compile(r"\w+")
OFF = "if it is meant so, --set prep.check_sides=false"


@dataclass(frozen=True)
class Sample:
    """The first pairs of two files."""

    files: PairOfFiles
    identical: float
    "Share of the pairs whose sides are the same."
    num_pairs: int
    source: list[str]
    "Running words, in lower case."
    target: list[str]

    @classmethod
    def of(cls, files: PairOfFiles) -> Sample:
        """Read the sample of two files."""
        pairs = [pair for pair in islice(read_pairs(files), SAMPLE_PAIRS) if pair[0].strip() or pair[1].strip()]
        same = sum(source.split() == target.split() for source, target in pairs)
        words = [[word for pair in pairs for word in WORD.findall(pair[side].lower())] for side in (0, 1)]
        return cls(files, same / max(1, len(pairs)), len(pairs), *words)


def check_sides(splits: Mapping[str, Sequence[PairOfFiles]]) -> None:
    """UserError if the sides of any two files are equal, or swapped in comparison with the first training files."""
    samples = _samples(splits)
    first = next(samples)
    _check_equal(first)
    known = {"source": frozenset(first.source), "target": frozenset(first.target)}
    for sample in samples:
        _check_equal(sample)
        if min(len(sample.source), len(sample.target)) < FEWEST_WORDS:
            continue
        straight = _share(sample.source, known["source"]) + _share(sample.target, known["target"])
        crossed = _share(sample.source, known["target"]) + _share(sample.target, known["source"])
        if crossed > straight + SWAPPED_MARGIN:
            raise _swapped(sample, first, straight, crossed)


def _samples(splits: Mapping[str, Sequence[PairOfFiles]]) -> Iterator[Sample]:
    for split in sorted(splits, key=lambda name: name != "train"):
        for files in splits[split]:
            yield Sample.of(files)


def _share(words: list[str], known: frozenset[str]) -> float:
    return sum(word in known for word in words) / len(words)


def _check_equal(sample: Sample) -> None:
    if sample.num_pairs >= FEWEST_PAIRS and sample.identical > EQUAL_SHARE:
        share = f"{100 * sample.identical:.0f}% of the first {sample.num_pairs:,} pairs are the same on both sides"
        problem = f"{sample.files.source} and {sample.files.target} look like the same language: {share}"
        raise UserError(problem, hint=f"name the translation of each text; {OFF}")


def _swapped(sample: Sample, first: Sample, straight: float, crossed: float) -> UserError:
    problem = (
        f"{sample.files.source} and {sample.files.target} look swapped: {50 * crossed:.0f}% of their words are on the "
        f"other side of {first.files.source} and {first.files.target}, only {50 * straight:.0f}% on their own"
    )
    return UserError(problem, hint=f"exchange the two files; {OFF}")
