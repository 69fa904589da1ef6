"""Pairs of other folders in the epochs: as many as asked for, in turn, the same for a seed and an epoch."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bpe.errors import UserError
from nmt.cli import prep
from nmt.config import TrainingConfig
from nmt.data.corpus import PreparedCorpus
from nmt.data.feed import DropoutFeed, Feed
from nmt.data.mixing import MixedPlan, Share, describe_mix
from nmt.data.position import Position
from tests.prep_corpus import sentences, write_pairs
from tests.tiny_model import make_model_of

OLD, NEW = 70, 50


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Old text of 70 pairs, and new text of 50 under a vocabulary that has grown by it."""
    folder = tmp_path_factory.mktemp("mixing")
    for name, count, seed in (("old", OLD, 1), ("new", NEW, 2)):
        more = [("Qatar ☃", "☃ Qatar")] * 12 if name == "new" else []
        write_pairs(folder / f"{name}-text", "train", sentences(count - len(more), seed=seed) + more)
        write_pairs(folder / f"{name}-text", "valid", sentences(5, seed=9))
    common = ["--quiet", "--max-ratio", "100", "--joint-bpe", "50"]
    old, new = folder / "old", folder / "new"
    assert prep.main(["--corpus", f"{old}-text", "--prepared", str(old), *common]) == 0
    model = make_model_of(old, folder / "model")
    like = ["--like", str(model), "--extend"]
    assert prep.main(["--corpus", f"{new}-text", "--prepared", str(new), *common, *like]) == 0
    return old, new


def settings(*mix: str, **more: object) -> TrainingConfig:
    return TrainingConfig(batch_tokens=150, max_length=100, mix=mix, **more)  # type: ignore[arg-type]


def feed_of(folder: Path, config: TrainingConfig) -> Feed:
    corpus = PreparedCorpus.open(folder)
    views = corpus.vocabulary.source_view(True), corpus.vocabulary.target_view(True)
    return (DropoutFeed if config.bpe_dropout else Feed)(corpus, config, views)


def epoch_rows(feed: Feed, epoch: int) -> list[int]:
    return [row for batch in feed.plan.batches(epoch) for row in batch.tolist()]


@pytest.mark.parametrize("weight", [0.1, 0.5, 1.0, 1.4, 3.7])
def test_as_many_as_asked_for_in_turn(folders: tuple[Path, Path], weight: float) -> None:
    old, new = folders
    feed = feed_of(new, settings(f"{old}={weight}"))
    taken = round(weight * NEW)
    drawn: list[int] = []
    for epoch in range(5):
        rows = epoch_rows(feed, epoch)
        assert sorted(row for row in rows if row < NEW) == list(range(NEW)), "all of its own, once"
        assert len(set(rows)) == len(rows) == NEW + taken
        drawn += [(row - NEW) % OLD for row in rows if row >= NEW]
    counts = Counter(drawn)
    assert len(drawn) == 5 * taken
    assert max(counts.values()) - min(counts[row] for row in range(OLD)) <= 1, "each once before any again"


def test_each_turn_through_a_folder_is_in_another_order(folders: tuple[Path, Path]) -> None:
    """Half of the folder an epoch: two epochs are a turn, and the halves of the next are others."""
    old, new = folders
    feed = feed_of(new, settings(f"{old}={OLD / 2 / NEW}"))
    halves = [{(row - NEW) % OLD for row in epoch_rows(feed, epoch) if row >= NEW} for epoch in range(4)]
    assert halves[0] | halves[1] == halves[2] | halves[3] == set(range(OLD))
    assert halves[2] not in halves[:2]


def test_the_draws_are_a_function_of_seed_and_epoch(folders: tuple[Path, Path]) -> None:
    old, new = folders
    mix = f"{old}=0.5"
    one, again, other = (feed_of(new, settings(mix, seed=seed)) for seed in (1, 1, 2))
    assert epoch_rows(one, 1) == epoch_rows(again, 1)
    assert sorted(epoch_rows(one, 0)) != sorted(epoch_rows(one, 1))
    assert sorted(epoch_rows(one, 0)) != sorted(epoch_rows(other, 0))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_stream_goes_on_from_any_position(folders: tuple[Path, Path], dropout: float) -> None:
    old, new = folders
    config = settings(f"{old}=0.8", bpe_dropout=dropout)
    whole = list(itertools.islice(feed_of(new, config).stream(Position(0, 0, 0)), 60))
    for at in (0, 7, 31, 59):
        position, batch = whole[at]
        found, other = next(feed_of(new, config).stream(position))
        assert (found, other.pairs) == (position, batch.pairs)
        assert other.source.equal(batch.source)
        assert other.target.equal(batch.target)


def test_ids_of_before_the_vocabulary_grew_are_the_same_pieces(folders: tuple[Path, Path]) -> None:
    old, new = (PreparedCorpus.open(folder) for folder in folders)
    assert new.vocabulary.size > old.vocabulary.size
    feed = feed_of(new.folder, settings(f"{old.folder}=2"))
    assert isinstance(feed.plan, MixedPlan)
    for place in (0, 33, OLD - 1):
        for row in (NEW + place, NEW + OLD + place):
            batch = feed.maker.make([place, row])
            assert batch.pairs == (place, row)
            for ids, side in ((batch.source[1], "source"), (batch.target[1], "target")):
                expected = getattr(old.split("train"), side)(place)
                assert new.vocabulary.decode(ids.tolist()) == old.vocabulary.decode(expected.tolist())
    own = new.split("train").source(4)
    assert np.array_equal(feed.maker.make([4]).source[0][: len(own)].numpy(), own)


def test_several_folders(folders: tuple[Path, Path]) -> None:
    old, new = folders
    feed = feed_of(new, settings(f"{old}=0.2", f"{new}=1"))
    assert len(epoch_rows(feed, 3)) == NEW + 10 + NEW
    described = describe_mix([f"{old}=0.2"])
    assert described == [{"folder": "old", "weight": 0.2, "fingerprint": PreparedCorpus.open(old).fingerprint}]


def test_the_largest_batch_may_have_mixed_pairs(folders: tuple[Path, Path]) -> None:
    old, new = folders
    batch = feed_of(new, settings(f"{old}=0.1")).largest()
    assert any(row >= NEW for row in batch.pairs)


@pytest.mark.parametrize("text", ["folder", "folder=", "=1", "folder=0", "folder=-1", "folder=nan", "folder=inf"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UserError, match="is not FOLDER=WEIGHT"):
        Share.parse(text)


def test_a_folder_name_may_hold_the_sign() -> None:
    assert Share.parse("a=b=0.5") == Share(Path("a=b"), 0.5)


def test_other_text_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = folders
    with pytest.raises(UserError, match=r"its vocabulary lacks .* source pieces"):
        feed_of(old, settings(f"{new}=1"))
    other = tmp_path / "other"
    assert prep.main(["--corpus", f"{old}-text", "--prepared", str(other), "--joint-bpe", "20", "--quiet"]) == 0
    with pytest.raises(UserError, match="its bpe subwords are others"):
        feed_of(new, settings(f"{other}=1"))
