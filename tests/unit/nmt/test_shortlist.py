"""Shortlists: the weights of the equations, the right ids in every view, and only this vocabulary's file."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import nmt.shortlist.sample as sampling
from bpe.errors import UserError
from bpe.progress import Progress
from nmt.data.corpus import ParallelIds
from nmt.folder.weights import read_tensors, save_tensors
from nmt.shortlist import Shortlist, ShortlistOptions
from nmt.shortlist.coverage import measure
from nmt.shortlist.lexicon import Lexicon, align, associations
from nmt.shortlist.sample import PieceCounts, distinct_pieces, draw
from nmt.text.vocabulary import EOS, PAD, UNK, Vocabulary

pytestmark = pytest.mark.numeric
QUIET = Progress("", quiet=True)
PAIRS = [
    ("the cat sees Anna", "die Katze sieht Anna"),
    ("the cat the cat", "die Katze die Katze"),
    ("the dog hears Anna", "der Hund hört Anna"),
    ("Anna sees the dog", "Anna sieht den Hund"),
    ("cat", "Katze"),
    ("dog hears", "Hund hört"),
    ("", "die"),
]
Pair = tuple[str, str]


def make_vocabulary(pairs: list[Pair] = PAIRS) -> Vocabulary:
    sides = [dict.fromkeys((word for pair in pairs for word in pair[side].split()), 1) for side in (0, 1)]
    return Vocabulary.from_counts(sides[0], sides[1])


def encode(vocabulary: Vocabulary, pairs: list[Pair] = PAIRS) -> ParallelIds:
    arrays = []
    for side in (0, 1):
        lines = [vocabulary.encode(pair[side].split()) for pair in pairs]
        arrays.append(np.array([piece for line in lines for piece in line], dtype=np.int32))
        arrays.append(np.cumsum([0, *map(len, lines)]))
    return ParallelIds(*arrays)


def random_pairs(number: int, seed: int = 1) -> list[Pair]:
    """Sentences of letters, some far rarer than others, and their capitals in disorder, now and then a wrong one."""
    random = np.random.default_rng(seed)
    letters, chance = list("abcdefghijklmnop"), 1 / np.arange(1, 17) ** 1.5
    pairs = []
    for _ in range(number):
        source = random.choice(letters, size=random.integers(1, 7), p=chance / chance.sum())
        target = [letter.upper() if random.random() < 0.8 else "X" for letter in random.permutation(source)]
        pairs.append((" ".join(source), " ".join(target)))
    return pairs


def reference_weights(pairs: list[Pair]) -> tuple[dict[Pair, float], dict[Pair, float]]:
    """Log-likelihood ratios of pairs that attract each other, and the expected alignments after one iteration of EM."""
    sets = [(set(source.split()), set(target.split())) for source, target in pairs]
    ratios = {}
    for s in {s for source, _ in sets for s in source}:
        for t in {t for _, target in sets for t in target}:
            cells = {(has_s, has_t): 0 for has_s in (False, True) for has_t in (False, True)}
            for source, target in sets:
                cells[s in source, t in target] += 1
            ratio, chance = 0.0, {}
            for (has_s, has_t), seen in cells.items():
                row, column = cells[has_s, True] + cells[has_s, False], cells[True, has_t] + cells[False, has_t]
                chance[has_s, has_t] = row * column / len(sets)
                ratio += 2 * seen * math.log(seen / chance[has_s, has_t]) if seen else 0
            if cells[True, True] > chance[True, True]:
                ratios[s, t] = ratio
    totals: dict[str, float] = defaultdict(float)
    for (s, _), ratio in ratios.items():
        totals[s] += ratio
    expected = dict.fromkeys(ratios, 0.0)
    for source, target in sets:
        for t in target:
            mine = {s: ratios[s, t] / totals[s] for s in source if (s, t) in ratios}
            for s, probability in mine.items():
                expected[s, t] += probability / sum(mine.values())
    return ratios, expected


def by_piece(lexicon: Lexicon, vocabulary: Vocabulary) -> dict[Pair, float]:
    keys = zip(lexicon.sources.tolist(), lexicon.targets.tolist(), strict=True)
    pieces = [(vocabulary.piece_of(source), vocabulary.piece_of(target)) for source, target in keys]
    return dict(zip(pieces, lexicon.weights.tolist(), strict=True))


@pytest.mark.parametrize("block", [2**22, 7])
@pytest.mark.parametrize("pairs", [PAIRS, random_pairs(60)], ids=["words", "letters"])
def test_weights_are_those_of_the_equations(pairs: list[Pair], block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "BLOCK_PIECES", block)
    vocabulary = make_vocabulary(pairs)
    rows = np.ones(vocabulary.size, dtype=bool)
    sample = distinct_pieces(encode(vocabulary, pairs), np.arange(len(pairs)), rows)
    ratios, expected = reference_weights(pairs)
    lexicon = associations(sample, vocabulary.size, 100, QUIET)
    assert (np.diff(lexicon.keys) > 0).all()
    assert by_piece(lexicon, vocabulary) == pytest.approx(ratios, rel=1e-9)
    assert by_piece(align(lexicon, sample, QUIET), vocabulary) == pytest.approx(expected, rel=1e-9)


def test_the_best_of_a_lexicon() -> None:
    keys = np.array([13, 14, 15, 17, 31, 38])  # source 1: targets 3 4 5 7; source 3: targets 1 8
    lexicon = Lexicon(10, keys, np.array([1.0, 5.0, 2.0, 2.0, 0.5, 0.7]))
    assert lexicon.best(2).keys.tolist() == [14, 15, 31, 38]
    assert lexicon.best(1).keys.tolist() == [14, 38]
    assert lexicon.best(0).keys.tolist() == []


def test_lines_become_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "BLOCK_PIECES", 3)
    vocabulary = make_vocabulary()
    rows = np.ones(vocabulary.size, dtype=bool)
    rows[vocabulary.id_of("die")] = False
    found = distinct_pieces(encode(vocabulary), np.array([1, 4, 6]), rows)
    pieces = [[set(vocabulary.decode(side(line))) for line in range(3)] for side in (found.source, found.target)]
    assert pieces == [[{"the", "cat"}, {"cat"}, set()], [{"Katze"}, {"Katze"}, set()]]
    assert found.source_lengths.tolist() == [2, 1, 0]


def test_a_draw_keeps_rare_pieces() -> None:
    pairs = random_pairs(4000)
    for line in (7, 1500, 3999):
        pairs[line] = ("a zebra", "A Z")
    for line in (8, 2000):
        pairs[line] = ("a b", "A WOMBAT")
    vocabulary = make_vocabulary(pairs)
    ids = encode(vocabulary, pairs)
    counts = PieceCounts.of(ids, vocabulary.size)
    assert counts.source.tolist() == np.bincount(ids.source_ids, minlength=vocabulary.size).tolist()
    assert draw(ids, counts, 4000, 1).tolist() == list(range(4000))
    drawn = draw(ids, counts, 1000, 1)
    assert 900 < len(drawn) < 1100
    assert (np.diff(drawn) > 0).all()
    assert draw(ids, counts, 1000, 1).tolist() == drawn.tolist()
    assert draw(ids, counts, 1000, 2).tolist() != drawn.tolist()
    assert {7, 8, 1500, 2000, 3999} <= set(drawn.tolist())


def words(vocabulary: Vocabulary, ids: np.ndarray) -> set[str]:
    return {vocabulary.piece_of(row) for row in ids.tolist()}


@pytest.mark.parametrize("shared", [False, True])
def test_candidates_are_ids_of_the_models_view(shared: bool) -> None:
    vocabulary = make_vocabulary()
    source_view, view = vocabulary.source_view(shared), vocabulary.target_view(shared)
    options = ShortlistOptions(per_piece=1, frequent=0)
    candidates = Shortlist.build(encode(vocabulary), vocabulary, options).for_view(view)

    def of(text: str) -> set[str]:
        union = np.array(vocabulary.encode(text.split()), dtype=np.int64)
        found = candidates(source_view.from_union(union))
        assert found.dtype == np.int64
        assert (np.diff(found) > 0).all()
        assert PAD not in found
        assert {EOS, UNK} <= set(found.tolist())
        assert found[-1] < view.size
        return words(vocabulary, view.to_union(found)) - {"</s>", "<unk>"}

    assert of("") == set()
    assert of("nobody") == set()
    assert of("cat") == {"Katze"}
    assert of("cat dog cat") == {"Katze", "Hund"}
    assert of("hears Anna") == {"hört", "Anna"}
    assert of("Katze") == ({"Katze"} if shared else set())  # an untied model reads it as unknown
    assert not of("the cat sees dog hears Anna") & set(vocabulary.source_only)


def test_frequent_pieces_come_with_every_sentence() -> None:
    vocabulary = make_vocabulary()
    ids = encode(vocabulary)
    for frequent, expected in (
        (1, {"Katze"}),
        (2, {"die", "Katze"}),
        (100, {*vocabulary.both, *vocabulary.target_only}),
    ):
        shortlist = Shortlist.build(ids, vocabulary, ShortlistOptions(per_piece=0, frequent=frequent))
        candidates = shortlist.for_view(vocabulary.target_view(shared=True))
        assert words(vocabulary, candidates(np.array([UNK]))) == expected | {"</s>", "<unk>"}


def test_suggestions_do_not_repeat_frequent_pieces() -> None:
    vocabulary = make_vocabulary()
    shortlist = Shortlist.build(encode(vocabulary), vocabulary, ShortlistOptions(per_piece=3, frequent=2))
    assert len(shortlist.targets)
    assert not set(shortlist.targets.tolist()) & set(shortlist.frequent.tolist())


def test_pieces_that_attract_nothing_suggest_nothing() -> None:
    pairs = [("a b", "A B")] * 5
    vocabulary = make_vocabulary(pairs)
    shortlist = Shortlist.build(encode(vocabulary, pairs), vocabulary, ShortlistOptions(per_piece=2, frequent=0))
    assert shortlist.targets.tolist() == []
    assert shortlist.offsets.tolist() == [0] * (vocabulary.source_size + 1)


def test_unknown_pieces_are_not_suggested(tmp_path: Path) -> None:
    vocabulary = make_vocabulary()
    pairs = [*PAIRS, ("cat unheard", "Katze unerhört"), ("cat unseen", "unerhört")]
    shortlist = Shortlist.build(encode(vocabulary, pairs), vocabulary, ShortlistOptions(per_piece=9, frequent=1))
    assert shortlist.targets.min() > EOS
    shortlist.save(tmp_path)
    Shortlist.load(tmp_path, vocabulary)


def test_coverage_counts_candidates_and_what_is_missing() -> None:
    vocabulary = make_vocabulary()
    shortlist = Shortlist.build(encode(vocabulary), vocabulary, ShortlistOptions(per_piece=1, frequent=0))
    candidates = shortlist.for_view(vocabulary.target_view(shared=True))
    pairs = encode(vocabulary, [("cat", "Katze"), ("dog hears", "Hund hört den Hund")])
    found = measure(candidates, pairs, vocabulary)
    assert found.candidates == pytest.approx((3 + 4) / 2)  # </s>, <unk> and the suggestions
    assert found.pieces == pytest.approx(4 / 5)
    assert found.sentences == pytest.approx(1 / 2)


def test_a_shortlist_is_the_same_each_time_and_survives_its_file(tmp_path: Path) -> None:
    pairs = random_pairs(500)
    vocabulary = make_vocabulary(pairs)
    options = ShortlistOptions(per_piece=2, frequent=3, max_pairs=300)
    built, again = (Shortlist.build(encode(vocabulary, pairs), vocabulary, options) for _ in range(2))
    built.save(tmp_path / "model")
    loaded = Shortlist.load(tmp_path / "model", vocabulary)
    assert loaded.options == options
    for name in ("targets", "offsets", "frequent"):
        np.testing.assert_array_equal(getattr(built, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(built, name), getattr(loaded, name))


def edited(name: str, value: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        tensors, metadata = read_tensors(path)
        save_tensors(path, tensors | {name: value(tensors[name])}, metadata)

    return edit


def with_metadata(**changed: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        tensors, metadata = read_tensors(path)
        save_tensors(path, tensors, metadata | changed)

    return edit


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (Path.unlink, "this model has no shortlist"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "truncated or not a safetensors file"),
        (with_metadata(version="0"), "not a shortlist of this toolkit's version"),
        (with_metadata(vocabulary="0"), "belongs to another vocabulary than the model's"),
        (with_metadata(options="{}}"), "damaged: its parts do not fit each other"),
        (edited("targets", lambda ids: ids[:-1]), "damaged"),
        (edited("targets", lambda ids: ids * 0 + 1000), "damaged"),
        (edited("targets", lambda ids: ids * 0 - 1), "damaged"),
        (edited("frequent", lambda ids: ids * 0 + PAD), "damaged"),
        (edited("frequent", lambda ids: ids.float()), "damaged"),
        (edited("offsets", lambda ends: ends.flip(0)), "damaged"),
        (edited("offsets", lambda ends: ends[:-1]), "damaged"),
    ],
)
def test_another_file_is_refused_in_one_line(damage: Callable[[Path], object], expected: str, tmp_path: Path) -> None:
    vocabulary = make_vocabulary()
    path = Shortlist.build(encode(vocabulary), vocabulary, ShortlistOptions(per_piece=2, frequent=2)).save(tmp_path)
    Shortlist.load(tmp_path, vocabulary)
    damage(path)
    with pytest.raises(UserError) as caught:
        Shortlist.load(tmp_path, vocabulary)
    assert f"{path}: {expected}" in str(caught.value)
    assert "run nmt-shortlist --model DIR --prepared DIR" in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("per_piece", -1), ("frequent", -1), ("max_pairs", 0)])
def test_sizes_have_limits(name: str, value: int) -> None:
    with pytest.raises(UserError, match=f"{name}: {value} is out of range"):
        ShortlistOptions(**{name: value})
