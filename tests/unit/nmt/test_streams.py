"""A text in streams: the batches of Zaremba et al.'s reader, computed anew by slicing."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from bpe.errors import UserError
from nmt.data.position import Position
from nmt.data.streams import Streams, check_streams
from nmt.tasks.language.objective import LanguageObjective

TEXT = np.arange(47, dtype=np.int32)


def test_streams_are_equal_parts_and_labels_the_words_after() -> None:
    """47 words in 4 streams of 11; (11 - 1) // 3 batches of 3 steps."""
    streams, table = Streams(TEXT, 4, 3), np.arange(44).reshape(4, 11)
    batches = list(streams)
    assert len(batches) == len(streams) == 3
    for number, batch in enumerate(batches):
        start = 3 * number
        assert batch.words.tolist() == table[:, start : start + 3].T.tolist()
        assert batch.labels.tolist() == table[:, start + 1 : start + 4].T.tolist()
        assert (batch.begins, batch.step) == (number == 0, start)


def test_a_whole_text_loses_no_word() -> None:
    for steps in (1, 3, 10, 11, 64):
        batches = list(Streams(TEXT, 1, steps, whole=True))
        assert torch.cat([batch.labels[:, 0] for batch in batches]).tolist() == list(range(1, 47))
        assert torch.cat([batch.words[:, 0] for batch in batches]).tolist() == list(range(46))


def test_training_goes_on_from_any_place_and_knows_where_an_epoch_ends() -> None:
    streams = Streams(TEXT, 4, 3)
    whole = [place for place, _ in islice(streams.forever(Position(0, 0, 0)), 8)]
    assert whole[:4] == [Position(0, 0, 0), Position(0, 0, 1), Position(0, 0, 2), Position(1, 0, 0)]
    for before, after in pairwise(whole):
        assert streams.after(before) == after
        found, batch = next(streams.forever(streams.after(before)))
        assert found == after
        assert batch.begins == (after.batch == 0)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_shares_are_streams_and_all_of_them(size: int) -> None:
    objective, batch = LanguageObjective(4, 0.0), Streams(TEXT, 4, 3).batch(1)
    shares = [share for rank in range(size) if (share := objective.share_of(batch, rank, size)) is not None]
    assert torch.equal(torch.cat([share.words for share in shares], 1), batch.words)
    assert torch.equal(torch.cat([share.labels for share in shares], 1), batch.labels)
    firsts = np.cumsum([0, *(share.words.shape[1] for share in shares)])[:-1]
    assert [share.first for share in shares] == firsts.tolist()
    assert sum(map(objective.count, shares)) == 4


def test_a_text_that_is_too_short_is_told() -> None:
    check_streams(80, 4, 19, "train")
    with pytest.raises(UserError, match="79 words do not fill 4 streams of 19 steps, which take 80"):
        check_streams(79, 4, 19, "train")
