"""valid.NAME files: further validation sets beside valid, its shards without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nmt.cli import prep
from nmt.data.corpus import PreparedCorpus
from nmt.prepare.files import find_corpus, split_of
from tests.prep_corpus import sentences, write_corpus, write_pairs


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("valid", "valid"),
        ("valid.news", "valid.news"),
        ("valid.news.2", "valid.news.2"),
        ("valid.en-de", "valid"),
        ("valid.news.en-de", "valid.news"),
        ("valid.en-de.tsv", "valid"),
        ("valid.news.en-pt_BR.tmx", "valid.news"),
        ("valid.news.en-de.tsv.gz", "valid.news"),
        ("valid-1", "valid"),
        ("valid_old", "valid"),
        ("train.news", "train"),
        ("test.news", "test"),
    ],
)
def test_the_split_of_a_name(stem: str, split: str) -> None:
    assert split_of(stem) == split


def test_each_set_is_prepared(tmp_path: Path) -> None:
    """In the order of names; the text of each counts as held out."""
    corpus = write_corpus(tmp_path / "corpus")
    write_pairs(corpus, "valid.news", sentences(7, seed=11))
    write_pairs(corpus, "valid.leaked", sentences(300)[:9])
    write_pairs(corpus, "valid-more", sentences(3, seed=12))
    assert list(find_corpus(corpus).splits) == ["train", "valid", "valid.leaked", "valid.news", "test"]
    folder = tmp_path / "prepared"
    assert prep.main(["--corpus", str(corpus), "--prepared", str(folder), "--joint-bpe", "50", "--quiet"]) == 0
    prepared = PreparedCorpus.open(folder)
    assert prepared.validation_sets == ["valid", "valid.leaked", "valid.news"]
    assert [len(prepared.split(name)) for name in prepared.validation_sets] == [23, 9, 7]
    assert prepared.raw_lines("valid.news", "target") == [pair[1] for pair in sentences(7, seed=11)]
    assert prepared.manifest["splits"]["train"]["found"]["held_out"] >= 9


def test_without_valid_they_are_its_shards(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    for language in ("en", "de"):
        (corpus / f"valid.{language}").rename(corpus / f"valid.a.{language}")
    write_pairs(corpus, "valid.b", sentences(7, seed=11))
    splits = find_corpus(corpus).splits
    assert list(splits) == ["train", "valid", "test"]
    assert [pair.source.name for pair in splits["valid"]] == ["valid.a.en", "valid.b.en"]
