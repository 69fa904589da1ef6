"""Which target pieces translate a source piece: co-occurrence first, then competition by IBM model 1.

Both look at sets: that a piece occurs in a sentence counts, not how often. A pair's weight begins as its log-likelihood
ratio (Dunning, 1993) and goes through one iteration of EM, which Moore (2004, "Improving IBM Word-Alignment Model 1")
proposes to start there: a second one, or five from equal weights, cover no more of unseen references.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bpe.progress import Progress
from nmt.data.corpus import ParallelIds
from nmt.shortlist.sample import blocks, ranges


@dataclass(frozen=True)
class Lexicon:
    """Weighted pairs of a source piece and a target piece, both union ids, sorted by source, then target."""

    num_rows: int
    "Rows of the union vocabulary."
    keys: np.ndarray
    "[pairs] int64, rising: source * num_rows + target."
    weights: np.ndarray
    "[pairs] float64, positive: the larger, the likelier is the target among those of the same source."

    @property
    def sources(self) -> np.ndarray:
        """[pairs] int64."""
        return self.keys // self.num_rows

    @property
    def targets(self) -> np.ndarray:
        """[pairs] int64."""
        return self.keys % self.num_rows

    def best(self, per_piece: int) -> Lexicon:
        """The `per_piece` pairs of the largest weight of each source piece; of equal ones the smaller target id."""
        sources = self.sources
        order = np.lexsort((-self.weights, sources))
        counts = np.bincount(sources, minlength=self.num_rows)
        kept = np.sort(order[ranges(np.zeros_like(counts), counts) < per_piece])
        return replace(self, keys=self.keys[kept], weights=self.weights[kept])


def associations(sample: ParallelIds, num_rows: int, pool: int, progress: Progress) -> Lexicon:
    """Pairs that occur together more often than by chance, weighted by log-likelihood ratio, `pool` a source piece.

    sample: lines of distinct pieces. Counts one source piece after the other, so that memory does not grow with the
    number of different pairs.
    """
    sources = np.bincount(sample.source_ids, minlength=num_rows)
    targets = np.bincount(sample.target_ids, minlength=num_rows)
    sizes = np.bincount(sample.source_ids, np.repeat(sample.target_lengths, sample.source_lengths), num_rows)
    lines = np.repeat(np.arange(len(sample), dtype=np.int32), sample.source_lengths)
    lines = lines[np.argsort(sample.source_ids, kind="stable")]
    ends = np.cumsum(sources)
    found = []
    for rows in blocks(sizes):
        here = lines[ends[rows.start] - sources[rows.start] : ends[rows.stop - 1]]
        lengths = sample.target_lengths[here]
        ids = np.repeat(np.arange(rows.start, rows.stop), sources[rows])
        keys = np.repeat(ids * num_rows, lengths)
        keys += sample.target_ids[ranges(sample.target_offsets[here], lengths)]
        keys, together = np.unique(keys, return_counts=True)
        weights = log_likelihood_ratio(together, sources[keys // num_rows], targets[keys % num_rows], len(sample))
        found.append(Lexicon(num_rows, keys[weights > 0], weights[weights > 0]).best(pool))
        progress.advance(rows.stop - rows.start)
    return Lexicon(num_rows, np.concatenate([f.keys for f in found]), np.concatenate([f.weights for f in found]))


def log_likelihood_ratio(together: np.ndarray, first: np.ndarray, second: np.ndarray, total: int) -> np.ndarray:
    """Dunning's G2 of two events seen `first` and `second` times, and both at once `together` times, in `total` trials.

    0 where they come together no more often than by chance.
    """
    together, first, second = (counts.astype(np.float64) for counts in (together, first, second))
    result = np.zeros_like(together)
    for seen, one, other in (
        (together, first, second),
        (first - together, first, total - second),
        (second - together, total - first, second),
        (total - first - second + together, total - first, total - second),
    ):
        result += 2 * seen * np.log(np.maximum(seen, 1) * total / np.maximum(one * other, 1))
    return np.where(together * total > first * second, result, 0)


def align(lexicon: Lexicon, sample: ParallelIds, progress: Progress) -> Lexicon:
    """One iteration of EM for IBM model 1 (Brown et al., 1993): weights become expected counts of alignments.

    Each target piece of a sentence is shared out among the sentence's source pieces by their probabilities for it,
    p(target | source), which are the weights of `lexicon` normalised for each source piece.
    """
    sources = lexicon.sources
    totals = np.bincount(sources, lexicon.weights, minlength=lexicon.num_rows)
    probabilities = lexicon.weights / totals[sources]
    expected = np.zeros(len(probabilities))
    known_keys = np.append(lexicon.keys, -1)
    for lines in blocks(sample.source_lengths * sample.target_lengths):
        first, last = lines.start, lines.stop
        ids = sample.source_ids[sample.source_offsets[first] : sample.source_offsets[last]]
        lengths = np.repeat(sample.target_lengths[lines], sample.source_lengths[lines])
        starts = np.repeat(sample.target_offsets[lines], sample.source_lengths[lines])
        places = ranges(starts, lengths)
        keys = np.repeat(ids * np.int64(lexicon.num_rows), lengths) + sample.target_ids[places]
        found = np.searchsorted(lexicon.keys, keys)
        known = known_keys[found] == keys
        found, places = found[known], places[known] - sample.target_offsets[first]
        shares = probabilities[found]
        np.add.at(expected, found, shares / np.bincount(places, shares)[places])
        progress.advance(last - first)
    return replace(lexicon, weights=expected)
