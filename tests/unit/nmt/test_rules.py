"""Rules of the next piece against plain Python, with all rows scored and with some."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nmt.config import SearchConfig
from nmt.search.candidates import Candidates, forbidden_ids
from nmt.search.request import Wanted
from nmt.search.rules import forbid_columns, forbid_end, forbid_repeats, force, penalise, penalties, ruled

EOS, ROWS = 2, 9
SCORED = [None, [1, 2, 4, 5, 8], [2, 3, 4, 6, 7, 8]]


def table(ids: list[int] | None, sentences: int = 3, hypotheses: int = 2) -> tuple[Tensor, Tensor | None, list[int]]:
    """Log-probabilities, ids as the rules take them, and the id of each column."""
    columns = list(range(ROWS)) if ids is None else ids
    scores = torch.randn(sentences, hypotheses, len(columns), generator=torch.Generator().manual_seed(1))
    log_probs = scores.log_softmax(2)
    if ids is None:
        log_probs[..., 0] = -torch.inf
    return log_probs, None if ids is None else torch.tensor(ids), columns


def finite(log_probs: Tensor, columns: list[int], sentence: int, hypothesis: int) -> list[int]:
    values = log_probs[sentence, hypothesis].tolist()
    return [piece for piece, value in zip(columns, values, strict=True) if value != -math.inf]


@pytest.mark.parametrize("ids", SCORED)
def test_the_end_is_forbidden_in_the_rows_named(ids: list[int] | None) -> None:
    log_probs, tensor, columns = table(ids)
    before = log_probs.clone()
    forbid_end(log_probs, tensor, torch.tensor([True, False, True]))
    before[[0, 2], :, columns.index(EOS)] = -torch.inf
    assert torch.equal(log_probs, before)


def test_the_end_stays_where_nothing_else_is_left() -> None:
    log_probs = torch.full((2, 2, 5), -torch.inf)
    log_probs[:, :, EOS] = -1.0
    log_probs[0, 0, 4] = -2.0
    forbid_end(log_probs, None, torch.tensor([True, True]))
    assert log_probs[:, :, EOS].tolist() == [[-math.inf, -1.0], [-1.0, -1.0]]
    assert log_probs[0, 0, 4] == -2.0


@pytest.fixture(params=[True, False], ids=["asked", "unasked"])
def _asking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU, whose tensors are asked for their numbers, and as elsewhere."""
    monkeypatch.setattr("nmt.search.rules.answers_at_once", lambda _: request.param)


@pytest.mark.usefixtures("_asking")
@pytest.mark.parametrize("ids", SCORED)
def test_a_forced_piece_keeps_its_probability_and_no_other_does(ids: list[int] | None) -> None:
    log_probs, tensor, columns = table(ids)
    before = log_probs.clone()
    force(log_probs, tensor, torch.tensor([8, -1, 4]))
    assert torch.equal(log_probs[1], before[1])
    for sentence, piece in ((0, 8), (2, 4)):
        for hypothesis in range(2):
            assert finite(log_probs, columns, sentence, hypothesis) == [piece]
            place = columns.index(piece)
            assert log_probs[sentence, hypothesis, place] == before[sentence, hypothesis, place]
    free = log_probs.clone()
    force(log_probs, tensor, torch.tensor([-1, -1, -1]))
    assert torch.equal(log_probs, free)


def completing(prefix: list[int], size: int) -> set[int]:
    """The pieces after which some `size` pieces would have come twice."""
    real = [piece for piece in prefix if piece >= 0]
    seen = {tuple(real[i : i + size]) for i in range(len(real) - size + 1)}
    return {piece for piece in range(ROWS) if tuple([*real, piece][-size:]) in seen} - {EOS}


@pytest.mark.parametrize("ids", SCORED)
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 8, 40])
def test_what_would_repeat_a_sequence_is_forbidden(ids: list[int] | None, size: int, length: int) -> None:
    log_probs, tensor, columns = table(ids, sentences=20, hypotheses=3)
    generator = np.random.default_rng(size * 100 + length)
    prefixes = generator.integers(3, 7, (20, 3, length))
    for row in range(0, 20, 3):
        prefixes[row, :, : row * length // 20] = -1
    rows = torch.arange(20) != 4
    before = log_probs.clone()
    forbid_repeats(log_probs, tensor, torch.from_numpy(prefixes), size, rows=rows)
    for sentence in range(20):
        for hypothesis in range(3):
            expected = before[sentence, hypothesis].tolist()
            for piece in completing(prefixes[sentence, hypothesis].tolist(), size) if sentence != 4 else ():
                if piece in columns:
                    expected[columns.index(piece)] = -math.inf
            assert log_probs[sentence, hypothesis].tolist() == expected
    if length == 40 and size < 3:
        assert not torch.equal(log_probs, before)


def test_the_end_is_never_a_repetition() -> None:
    log_probs, _, _ = table(None, sentences=1, hypotheses=1)
    before = log_probs.clone()
    forbid_repeats(log_probs, None, torch.tensor([[[3, EOS, 3]]]), 2)
    assert torch.equal(log_probs, before)


def test_a_forced_piece_may_repeat_and_all_rules_hold_elsewhere() -> None:
    log_probs, _, columns = table(None)
    before = log_probs.clone()
    candidates = Candidates(output=None, ids=None, forbidden=(slice(1, 2), slice(7, 9)))  # type: ignore[arg-type]
    prefixes = torch.tensor([[[3, 4, 3], [5, 3, 5]]] * 3)
    short, forced = torch.tensor([True, False, True]), torch.tensor([8, -1, -1])
    ruled(log_probs, candidates, SearchConfig(no_repeat_ngram=2), written=prefixes, short=short, forced=forced)
    everything = set(columns) - {0, 1, 7, 8}
    for hypothesis, repeated in enumerate((4, 3)):
        assert finite(log_probs, columns, 0, hypothesis) == [8]
        assert set(finite(log_probs, columns, 1, hypothesis)) == everything - {repeated}
        assert set(finite(log_probs, columns, 2, hypothesis)) == everything - {repeated, EOS}
    assert torch.equal(log_probs.isinf() | (log_probs == before), torch.ones_like(before, dtype=torch.bool))


def test_a_forced_piece_is_not_penalised() -> None:
    log_probs, _, columns = table(None)
    before = log_probs.clone()
    candidates = Candidates(output=None, ids=None)  # type: ignore[arg-type]
    written, forced = torch.tensor([[[3, 4], [4, 4]]] * 3), torch.tensor([4, -1, 3])
    ruled(log_probs, candidates, SearchConfig(repetition_penalty=2.0), written=written, forced=forced)
    assert log_probs[0, :, 4].tolist() == before[0, :, 4].tolist()
    assert log_probs[1, :, 4].tolist() == (2 * before[1, :, 4]).tolist()
    assert finite(log_probs, columns, 2, 0) == [3]


@pytest.mark.parametrize("ids", SCORED)
@pytest.mark.parametrize("penalty", [0.5, 1.7])
@pytest.mark.parametrize("length", [0, 1, 7, 30])
def test_what_was_written_is_penalised_once(ids: list[int] | None, penalty: float, length: int) -> None:
    log_probs, tensor, columns = table(ids, sentences=10, hypotheses=3)
    generator = np.random.default_rng(length)
    written = generator.integers(3, 7, (10, 3, length))
    for row in range(0, 10, 3):
        written[row, :, : row * length // 10] = -1
    rows = torch.arange(10) != 4
    before = log_probs.clone()
    penalise(log_probs, tensor, torch.from_numpy(written), penalty, rows=rows)
    for sentence in range(10):
        for hypothesis in range(3):
            seen = set(written[sentence, hypothesis].tolist()) if sentence != 4 else set()
            pairs = list(zip(columns, before[sentence, hypothesis].tolist(), strict=True))
            expected = [value * penalty if piece in seen else value for piece, value in pairs]
            assert log_probs[sentence, hypothesis].tolist() == pytest.approx(expected, rel=1e-6)
    chosen = torch.from_numpy(generator.integers(0, len(columns), (10, 3)))
    pieces = chosen if tensor is None else tensor[chosen]
    values, own = (table_.gather(2, chosen[..., None])[..., 0] for table_ in (log_probs, before))
    added = penalties(values, pieces, torch.from_numpy(written), penalty, rows=rows[:, None])
    finite_ones = own != -torch.inf
    assert torch.allclose((values - added)[finite_ones], own[finite_ones])
    assert (added[~finite_ones] == 0).all()


def test_columns_are_forbidden_in_the_rows_named() -> None:
    log_probs, _, columns = table(None)
    forbid_columns(log_probs, [slice(1, 2), slice(5, 7)], rows=torch.tensor([True, False, True]))
    assert finite(log_probs, columns, 0, 1) == [2, 3, 4, 7, 8]
    assert finite(log_probs, columns, 1, 1) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [1, 5, 6]),
        ({"allow_unknown": True}, [5, 6]),
        ({"replace_unknown": True}, [5, 6]),
        ({"allow_source_pieces": True}, [1]),
        ({"allow_source_pieces": True, "allow_unknown": True}, []),
    ],
)
def test_what_the_settings_forbid(values: dict[str, bool], expected: list[int]) -> None:
    forbidden = forbidden_ids(SearchConfig(**values), Wanted(source_only=range(5, 7)))  # type: ignore[arg-type]
    assert [row for rows in forbidden for row in rows] == expected
