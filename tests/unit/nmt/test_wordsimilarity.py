"""Scores on word similarity benchmarks, against ranks worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bpe.errors import UserError
from nmt.corpora import wordsimilarity as corpus
from nmt.reproduce import paper
from nmt.reproduce.wordsimilarity import FILES, Agreement, Benchmark, agreement, read_benchmarks, word_index


def plain_spearman(first: list[float], second: list[float]) -> float:
    """Pearson's correlation of the ranks; equal values share the mean of their ranks."""

    def ranks(values: list[float]) -> np.ndarray:
        below = np.array([sum(other < value for other in values) for value in values])
        return below + (np.array([values.count(value) for value in values]) + 1) / 2

    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


WORDS = ("the", "Old", "new", "old", "Paris")
VECTORS = np.array([[1, 0], [0, 3], [1, 1], [2, -1], [-1, 2]], dtype=np.float32)


def cosine(first: int, second: int) -> float:
    one, other = VECTORS[first].astype(float), VECTORS[second].astype(float)
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def test_agreement_is_spearmans_rho_of_cosines() -> None:
    pairs = (("the", "new", 3.0), ("new", "old", 1.0), ("old", "the", 3.0), ("Old", "paris", 9.5), ("the", "none", 7.0))
    found = agreement(Benchmark(name="x", pairs=pairs), word_index(WORDS), VECTORS)
    cosines = [cosine(0, 2), cosine(2, 3), cosine(3, 0), cosine(1, 4)]
    assert (found.num_pairs, found.num_known) == (5, 4)
    assert found.rho == pytest.approx(plain_spearman(cosines, [3, 1, 3, 9.5]))


def test_words_are_found_as_they_are_or_in_small_letters() -> None:
    index = word_index(WORDS)
    assert index == {"the": 0, "Old": 1, "new": 2, "old": 3, "Paris": 4, "paris": 4}
    pairs = tuple((word, "the", float(number)) for number, word in enumerate(("NEW", "THE", "Paris", "PARIS", "x")))
    assert agreement(Benchmark(name="x", pairs=pairs), index, VECTORS).num_known == 4


def test_too_few_pairs_and_equal_cosines_have_no_correlation() -> None:
    index = word_index(WORDS)
    two = Benchmark(name="x", pairs=(("the", "new", 1.0), ("new", "old", 2.0)))
    assert agreement(two, index, VECTORS) == Agreement(rho=None, num_pairs=2, num_known=2)
    three = Benchmark(name="x", pairs=(("the", "new", 1.0), ("new", "old", 2.0), ("old", "the", 3.0)))
    assert agreement(three, index, np.zeros((5, 2))).rho is None


def test_benchmarks_are_read_whatever_their_line_ends(tmp_path: Path) -> None:
    for file in FILES.values():
        (tmp_path / file).write_bytes(b"old\tnew\t1.58\r\n\nsmart  intelligent 9.2")
    found = read_benchmarks(tmp_path)
    assert [each.name for each in found] == list(FILES)
    assert found[0].pairs == (("old", "new", 1.58), ("smart", "intelligent", 9.2))


def test_what_is_no_benchmark(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"EN-SIMLEX-999.txt: SimLex-999 is not there; nmt-data fetch word-similarity"):
        read_benchmarks(tmp_path)
    (tmp_path / "EN-SIMLEX-999.txt").write_text("old new 1\nold new\n")
    with pytest.raises(UserError, match=r"EN-SIMLEX-999.txt:2: is not two words and a number"):
        read_benchmarks(tmp_path)


def test_the_papers_benchmarks_are_those_that_are_fetched() -> None:
    assert set(FILES.values()) == {f"{name}.txt" for name in corpus.FILES}
    assert list(FILES) == list(paper.TABLE_2)
