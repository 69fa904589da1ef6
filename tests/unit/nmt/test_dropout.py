"""BPE-dropout: pieces that are a function of seed and epoch, spell the same text and lie in the side's vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise, takewhile
from pathlib import Path
from random import Random

import numpy as np
import pytest

import nmt.data.feed
from bpe.codes import END_OF_WORD, MergeTable
from nmt.cli import prep
from nmt.config import TrainingConfig
from nmt.data.batching import Batch
from nmt.data.corpus import ParallelIds, PreparedCorpus
from nmt.data.dropout import PieceDropout, SideDropout, reachable_pieces
from nmt.data.feed import DropoutFeed
from nmt.data.position import Position
from nmt.text.pipeline import SIDES, Side, TextOptions, TextPipeline
from nmt.text.vocabulary import Vocabulary
from tests.tiny_corpus import make_corpus

PAIRS = 250
BATCH_TOKENS, MAX_LENGTH = 150, 40


def make_prepared(folder: Path, *more: str) -> PreparedCorpus:
    corpus = make_corpus(folder / "corpus", pairs=PAIRS)
    arguments = ["--corpus", str(corpus), "--prepared", str(folder / "prepared"), "--joint-bpe", "60", "--quiet"]
    assert prep.main([*arguments, "--tokenizer", "none", *more]) == 0
    return PreparedCorpus.open(folder / "prepared")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return make_prepared(tmp_path_factory.mktemp("with"), "--set", "prep.bpe_dropout=true")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return make_prepared(tmp_path_factory.mktemp("without"))


@pytest.fixture(scope="module")
def cut_smaller(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    """Pieces of the source below a threshold are cut smaller, which leaves characters rarer than it."""
    more = ("--set", "prep.bpe_dropout=true", "--set", "prep.source_threshold=120")
    return make_prepared(tmp_path_factory.mktemp("threshold"), *more)


def draw(corpus: PreparedCorpus, dropout: float, *, seed: int = 1, epoch: int = 0, block: int = 0) -> ParallelIds:
    rows = np.arange(len(corpus.split("train")))
    return PieceDropout(corpus, dropout, 1000, seed).pairs(rows, epoch, block)


def same(one: ParallelIds, other: ParallelIds) -> bool:
    return np.array_equal(one.source_ids, other.source_ids) and np.array_equal(one.target_ids, other.target_ids)


def lines(corpus: PreparedCorpus, pairs: ParallelIds, side: Side) -> Iterator[list[str]]:
    """The pieces of every line."""
    for row in range(len(pairs)):
        yield corpus.vocabulary.decode(getattr(pairs, side)(row).tolist())


def assert_in_view(corpus: PreparedCorpus, pairs: ParallelIds) -> None:
    words = corpus.vocabulary
    shared = range(3, 3 + len(words.both))
    assert set(pairs.source_ids.tolist()) <= set(range(3, words.source_size))
    assert set(pairs.target_ids.tolist()) <= {*shared, *range(words.source_size, words.size)}


def test_pieces_are_a_function_of_seed_epoch_and_block(corpus: PreparedCorpus) -> None:
    first = draw(corpus, 0.3, epoch=2)
    assert same(first, draw(corpus, 0.3, epoch=2))
    for other in (draw(corpus, 0.3, epoch=3), draw(corpus, 0.3, epoch=2, seed=2), draw(corpus, 0.3, epoch=2, block=1)):
        assert not same(first, other)


@pytest.mark.parametrize("name", ["corpus", "plain", "cut_smaller"])
def test_without_dropout_nothing_changes(name: str, request: pytest.FixtureRequest) -> None:
    prepared = request.getfixturevalue(name)
    assert same(draw(prepared, 0.0), prepared.split("train"))


@pytest.mark.parametrize("name", ["corpus", "plain", "cut_smaller"])
@pytest.mark.parametrize("dropout", [0.1, 0.5, 1.0])
def test_the_text_stays_and_every_piece_is_in_the_view(
    name: str, dropout: float, request: pytest.FixtureRequest
) -> None:
    prepared = request.getfixturevalue(name)
    before, after = prepared.split("train"), draw(prepared, dropout)
    assert_in_view(prepared, after)
    for side in SIDES:
        texts = [[prepared.text.text(p, side) for p in lines(prepared, pairs, side)] for pairs in (before, after)]
        assert texts[0] == texts[1]
        growth = len(getattr(after, f"{side}_ids")) - len(getattr(before, f"{side}_ids"))
        assert growth >= 0 if name == "plain" else growth > 0


@pytest.mark.parametrize("name", ["corpus", "cut_smaller"])
def test_full_dropout_leaves_characters(name: str, request: pytest.FixtureRequest) -> None:
    prepared = request.getfixturevalue(name)
    for side in SIDES:
        pieces = {piece for line in lines(prepared, draw(prepared, 1.0), side) for piece in line}
        assert {len(piece.removesuffix("@@")) for piece in pieces} == {1}


def test_a_threshold_holds_for_drawn_pieces_too(cut_smaller: PreparedCorpus) -> None:
    allowed = cut_smaller.text.options.allowed("source")
    assert allowed is not None
    drawn = {piece for line in lines(cut_smaller, draw(cut_smaller, 0.4), "source") for piece in line}
    assert drawn & allowed
    assert all(len(piece.removesuffix("@@")) == 1 for piece in drawn - allowed)


def reached(word: str, merges: MergeTable) -> set[str]:
    """Every piece of every segmentation, found by trying each possible merge from each state."""
    start = (*word[:-1], word[-1] + END_OF_WORD)
    waiting, seen = [start], {start}
    while waiting:
        state = waiting.pop()
        for at, pair in enumerate(pairwise(state)):
            after = (*state[:at], "".join(pair), *state[at + 2 :])
            if pair in merges.merges and after not in seen:
                seen.add(after)
                waiting.append(after)
    return {s.removesuffix(END_OF_WORD) if s.endswith(END_OF_WORD) else s + "@@" for state in seen for s in state}


def test_the_pieces_that_leaving_out_merges_can_make(corpus: PreparedCorpus) -> None:
    merges = corpus.text.subwords
    assert isinstance(merges, MergeTable)
    words = {
        word
        for path in (corpus.folder.parent / "corpus").glob("train.*")
        for line in path.read_text(encoding="utf-8").splitlines()
        for word in corpus.text.words(line, "source")
    }
    some = [*sorted(words), "abba", "seese", "foundation", "x"]
    free = TextPipeline(TextOptions(source="en", target="de"), merges)
    assert reachable_pieces(free, some, "source") == set().union(*(reached(word, merges) for word in some))


def test_the_vocabulary_holds_each_sides_reachable_pieces_behind_those_of_the_text(
    corpus: PreparedCorpus, plain: PreparedCorpus
) -> None:
    drawn: dict[str, set[str]] = {side: set() for side in SIDES}
    for epoch in range(5):
        pairs = draw(corpus, 0.5, epoch=epoch)
        for side in SIDES:
            drawn[side] |= {piece for line in lines(corpus, pairs, side) for piece in line}
    new, old = corpus.vocabulary, plain.vocabulary
    assert drawn["source"] <= {*new.both, *new.source_only}
    assert drawn["target"] <= {*new.both, *new.target_only}
    assert set(old.both) < set(new.both)
    assert set(old.pieces) < set(new.pieces)
    assert len(set(new.pieces)) == new.size
    assert corpus.manifest["options"]["bpe_dropout"] is True
    assert "bpe_dropout" not in plain.manifest["options"]
    assert corpus.manifest["overlap"] == plain.manifest["overlap"]  # Table 1 is of the text


@pytest.mark.parametrize(
    ("also", "expected"),
    [
        (["l@@", "o@@", "w@@", "e@@", "r"], {"lower", "l@@ o@@ w@@ e@@ r"}),
        (["lo@@", "w@@", "e@@", "r"], {"lower", "lo@@ w@@ e@@ r"}),
        (["lo@@", "w@@", "er"], {"lower"}),
        (["low@@", "er"], {"lower", "low@@ er"}),
        ([], {"lower"}),
    ],
)
def test_a_piece_the_vocabulary_lacks_is_cut_smaller_or_the_word_stays(also: list[str], expected: set[str]) -> None:
    merges = MergeTable((("l", "o"), ("lo", "w"), ("e", "r</w>"), ("low", "er</w>")))
    text = TextPipeline(TextOptions(source="en", target="de", tokenizer="none"), merges)
    vocabulary = Vocabulary.from_counts(dict.fromkeys(["lower", *also], 1), dict.fromkeys(["l@@", "o@@", "w@@"], 1))
    cutter, random = SideDropout(text, vocabulary, "source"), Random(1)
    line = vocabulary.encode(["lower"])
    cuts = {" ".join(vocabulary.decode(cutter.cut(line, 0.3, random))) for _ in range(300)}
    assert cuts >= expected
    assert {piece for cut in cuts for piece in cut.split()} <= {"lower", *also}


def test_words_that_cannot_be_rebuilt_stay_as_they_are(tmp_path: Path) -> None:
    """A word ending in '@@' looks like the beginning of the word after it; another was never cut by merges."""
    merges = MergeTable((("a", "b"), ("ab", "@@</w>"), ("@", "@</w>"), ("ab", "c</w>"), ("d", "e</w>")))
    text = TextPipeline(TextOptions(source="en", target="de", tokenizer="none"), merges)
    words = ["ab@@", "de", "abc", "ab@@"]
    pieces = [*text.pieces_of_words(words, "source"), "{whole}"]
    counts = dict.fromkeys([*pieces, "a@@", "b@@", "c", "d@@", "e"], 1)
    vocabulary = Vocabulary.from_counts(counts, counts)
    cutter = SideDropout(text, vocabulary, "source")
    cut = vocabulary.decode(cutter.cut(vocabulary.encode(pieces), 1.0, Random(1)))
    assert text.text(cut, "source") == text.text(pieces, "source")
    assert cut[-1] == "{whole}"
    assert cut[cut.index("c") - 2 : cut.index("c") + 1] == ["a@@", "b@@", "c"]


def feed(corpus: PreparedCorpus, *, shared: bool = True, dropout: float = 0.3, seed: int = 1) -> DropoutFeed:
    settings = TrainingConfig(bpe_dropout=dropout, batch_tokens=BATCH_TOKENS, max_length=MAX_LENGTH, seed=seed)
    return DropoutFeed(corpus, settings, (corpus.vocabulary.source_view(shared), corpus.vocabulary.target_view(shared)))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nmt.data.feed, "BLOCK_PAIRS", 100)


def epoch_of(feed: DropoutFeed, epoch: int) -> list[tuple[Position, Batch]]:
    return list(takewhile(lambda item: item[0].epoch == epoch, feed.stream(Position(epoch, 0, 0))))


@pytest.mark.usefixtures("small_blocks")
def test_the_budget_holds_for_what_is_trained(corpus: PreparedCorpus) -> None:
    batches = epoch_of(feed(corpus), 0)
    assert {position.block for position, _ in batches} == {0, 1, 2}
    assert sorted(row for _, batch in batches for row in batch.pairs) == list(range(PAIRS))
    for _, batch in batches:
        assert max(batch.source.numel(), batch.target.numel()) <= BATCH_TOKENS or len(batch.pairs) == 1
        assert max(batch.source.shape[1], batch.target.shape[1]) <= MAX_LENGTH + 1
    largest = feed(corpus).largest()
    assert largest.target.numel() <= BATCH_TOKENS


@pytest.mark.usefixtures("small_blocks")
def test_the_stream_goes_on_from_any_position(corpus: PreparedCorpus) -> None:
    whole = [item for epoch in (0, 1) for item in epoch_of(feed(corpus), epoch)]
    end_of_block = next(at for at, (position, _) in enumerate(whole) if position.block == 1) - 1
    for at in (0, 7, end_of_block, end_of_block + 1, len(whole) - 1):
        again = list(islice(feed(corpus).stream(whole[at][0]), len(whole) - at))
        for (position, batch), (wanted, other) in zip(again, whole[at:], strict=True):
            assert position == wanted
            assert batch.pairs == other.pairs
            assert batch.source.equal(other.source)
            assert batch.target.equal(other.target)
    past_the_end = Position(0, 0, whole[end_of_block][0].batch + 1)
    assert next(feed(corpus).stream(past_the_end))[0] == Position(0, 1, 0)


@pytest.mark.usefixtures("small_blocks")
def test_epochs_and_seeds_differ(corpus: PreparedCorpus) -> None:
    orders = [
        [batch.pairs for _, batch in epoch_of(feed(corpus, seed=seed), e)] for seed, e in ((1, 0), (1, 1), (2, 0))
    ]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


def test_all_tying_modes_see_the_same_pieces(corpus: PreparedCorpus) -> None:
    view = corpus.vocabulary.target_view(False)
    for (_, union), (_, separate) in zip(
        epoch_of(feed(corpus), 0), epoch_of(feed(corpus, shared=False), 0), strict=True
    ):
        assert union.pairs == separate.pairs
        assert union.source.equal(separate.source)  # the source's rows are the first of the union
        np.testing.assert_array_equal(union.target.numpy(), view.to_union(separate.target.numpy()))


def test_a_line_that_would_grow_too_long_stays_as_prepared(corpus: PreparedCorpus) -> None:
    train = corpus.split("train")
    limit = int(train.source_lengths.max())
    after = PieceDropout(corpus, 1.0, limit, seed=1).pairs(np.arange(PAIRS), 0, 0)
    assert after.source_lengths.max() <= limit
    stayed = [row for row in range(PAIRS) if np.array_equal(after.source(row), train.source(row))]
    assert 0 < len(stayed) < PAIRS
