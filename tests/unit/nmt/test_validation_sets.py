"""valid.NAME files: further validation sets beside valid, its shards without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nmt.cli import prep, train
from nmt.data.corpus import PreparedCorpus
from nmt.prepare.files import find_corpus
from nmt.prepare.names import split_of
from nmt.training.reporting import read_metrics
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


SMALL = [
    "--threads", "1", "--device", "cpu", "--batch-tokens", "200", "--max-updates", "4",
    "--set", "model.embedding_size=4", "--set", "model.hidden_size=4", "--set", "training.validate_every=2",
    "--set", "training.validation_metric=cost", "--set", "training.tensorboard=false",
    "--set", "training.precision=float32",
]  # fmt: skip


def test_each_has_its_curve_and_one_chooses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A set's figures are the same whichever chooses, and those of a run that has that set alone."""
    corpus = write_corpus(tmp_path / "corpus")
    write_pairs(corpus, "valid.news", sentences(7, seed=11))
    folder = tmp_path / "prepared"
    assert prep.main(["--corpus", str(corpus), "--prepared", str(folder), "--joint-bpe", "50", "--quiet"]) == 0
    common = ["--prepared", str(folder), *SMALL]
    found = {}
    for name in ("valid", "news"):
        model = tmp_path / f"by-{name}"
        capsys.readouterr()
        assert train.main([*common, "--model", str(model), "--set", f"training.validation_set={name}"]) == 0
        found[name] = [record for record in read_metrics(model / "metrics.jsonl") if record["kind"] == "validation"]
        said = capsys.readouterr().err
        chosen, other = ("valid", "valid.news") if name == "valid" else ("valid.news", "valid")
        assert f"validation at update 2: {chosen} cross entropy" in said
        assert f"\n  {other} cross entropy" in said
    for one, other in zip(found["valid"], found["news"], strict=True):
        for figure in ("cross_entropy", "cost", "bleu"):
            assert one[figure] == other[f"valid.{figure}"]
            assert one[f"valid.news.{figure}"] == other[figure]
        assert one["cost"] != other["cost"]
    assert train.main([*common, "--model", str(tmp_path / "no"), "--set", "training.validation_set=new"]) == 2
    message = f"training.validation_set: no validation set 'new' was prepared; {folder} holds valid, news"
    assert message in capsys.readouterr().err
