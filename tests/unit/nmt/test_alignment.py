"""Words of pieces, alignments from attention, and what stands in for unknown pieces."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor

from bpe.codes import MergeTable
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.translate.alignment import hard_alignment, pharaoh, replace_unknown, word_attention, words_of_pieces


def attention(*rows: str) -> Tensor:
    """A row of digits for each piece: tenths of its weight."""
    return torch.tensor([[int(digit) / 10 for digit in row] for row in rows])


@pytest.mark.parametrize(
    ("subwords", "pieces", "words"),
    [
        ("bpe", "a@@ b c d@@ e@@ f", [0, 0, 1, 2, 2, 2]),
        ("bpe", "a @@ b c@@", [0, 1, 1, 2]),
        ("bpe", "a@@ <unk> b <unk>", [0, 0, 1, 2]),
        ("sentencepiece", "▁a b ▁c ▁ d", [0, 0, 1, 2, 2]),
        ("sentencepiece", "a b ▁c", [0, 0, 1]),
        ("sentencepiece", "▁a <unk> b ▁c", [0, 1, 2, 3]),
        ("none", "a@@ b ▁c", [0, 1, 2]),
        ("bpe", "", []),
        ("sentencepiece", "▁a", [0]),
    ],
)
def test_words_of_pieces(subwords: str, pieces: str, words: list[int]) -> None:
    assert words_of_pieces(pieces.split(), subwords) == words


def test_words_of_pieces_are_those_of_the_text() -> None:
    merges = MergeTable([("a", "b"), ("b", "c</w>"), ("ab", "c</w>")])
    pipeline = TextPipeline(TextOptions(source="en", target="de", tokenizer="none"), merges)
    words = ["abc", "cab", "bca", "a", "abcabc", "cc"]
    for count in range(len(words) + 1):
        pieces = pipeline.pieces(" ".join(words[:count]), "source")
        numbers = words_of_pieces(pieces, "bpe")
        assert sorted(set(numbers)) == list(range(count))
        joined = [
            "".join(p.removesuffix("@@") for p, n in zip(pieces, numbers, strict=True) if n == w) for w in range(count)
        ]
        assert joined == words[:count]


def test_hard_alignment_takes_the_first_of_equals_and_no_end() -> None:
    assert hard_alignment(attention("811", "181", "118", "442", "244", "424")) == [0, 1, None, 0, 1, 0]
    assert hard_alignment(torch.ones(2, 1)) == [None, None]
    assert hard_alignment(torch.zeros(0, 3)) == []


def test_pharaoh_numbers_words_source_first() -> None:
    source, target = ["ein@@", "en", "Hund", "."], ["a", "d@@", "o@@", "g", "."]
    # "a" attends to both halves of its word, "g" alone to the full stop, which the rest of "dog" outvotes.
    table = attention("33400", "00900", "00900", "00090", "00090")
    assert pharaoh(source, target, table, "bpe") == "0-0 1-1 2-2"
    assert pharaoh(source, target, table, "bpe", of_pieces=True) == "2-0 2-1 2-2 3-3 3-4"
    assert pharaoh(source, target, table, "none") == pharaoh(source, target, table, "bpe", of_pieces=True)


def test_pharaoh_leaves_out_what_attends_to_the_end() -> None:
    assert pharaoh(["a", "b"], ["x", "y", "z"], attention("109", "190", "550"), "none") == "0-2 1-1"
    assert pharaoh([], ["x"], torch.ones(1, 1), "bpe") == ""
    assert pharaoh(["a"], [], torch.ones(0, 2), "bpe") == ""
    assert pharaoh(["a"], ["x"], attention("90", "09"), "bpe") == "0-0"  # the second row is that of the target's end


@pytest.mark.parametrize("seed", range(3))
def test_word_attention_against_loops(seed: int) -> None:
    random = np.random.default_rng(seed)
    source = [f"s{i}" + "@@" * int(random.random() < 0.5) for i in range(9)]
    target = [f"t{i}" + "@@" * int(random.random() < 0.5) for i in range(7)]
    weights = random.dirichlet(np.ones(10), 7)
    found = word_attention(source, target, torch.from_numpy(weights), "bpe")
    source_words, target_words = words_of_pieces(source, "bpe"), words_of_pieces(target, "bpe")
    assert found.shape == (target_words[-1] + 1, source_words[-1] + 2)
    for t in range(found.shape[0]):
        rows = [index for index, word in enumerate(target_words) if word == t]
        for s in range(found.shape[1] - 1):
            columns = [index for index, word in enumerate(source_words) if word == s]
            expected = sum(weights[row, column] for row in rows for column in columns) / len(rows)
            assert found[t, s] == pytest.approx(expected)
    assert found.sum(1) == pytest.approx(1)


def test_attention_of_another_shape_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="a row for each piece"):
        pharaoh(["a"], ["x", "y"], attention("19", "91", "55").T, "bpe")


@pytest.mark.parametrize(
    ("pieces", "rows", "expected"),
    [
        ("a b", ["0900", "0900"], "a b"),
        ("<unk> b", ["0900", "0009"], "Müller b"),
        ("a <unk>", ["9000", "0009"], "a lebt"),  # </s> has all of it: the best real position, the first of equals
        ("a <unk>", ["9000", "3024"], "a lebt"),
        ("Mül@@ <unk> b", ["0900", "1800", "9000"], "Müller b"),  # the word's own beginning is not said twice
        ("Neu@@ <unk> b", ["9000", "0900", "9000"], "Neu@@ Müller b"),  # another word's translation stays
        ("Neu@@ M@@ <unk>", ["9000", "0900", "1800"], "Neu@@ Müller"),
        ("<unk> <unk>", ["0900", "0900"], "Müller Müller"),
        ("a@@ <unk>", ["9000", "9000"], "lebt"),
        ("", [], ""),
    ],
)
def test_unknown_pieces_become_source_words(pieces: str, rows: list[str], expected: str) -> None:
    source = ["lebt", "Mül@@", "ler"]
    table = attention(*rows) if rows else torch.zeros(0, 4)
    assert replace_unknown(pieces.split(), source, table, "bpe") == tuple(expected.split())
    assert replace_unknown(pieces.split(), source, table, "none") == tuple(expected.split())


def test_without_a_source_word_an_unknown_piece_stays() -> None:
    assert replace_unknown(["<unk>"], [], torch.ones(1, 1), "bpe") == ("<unk>",)
    assert replace_unknown(["<unk>"], ["@@"], attention("91"), "bpe") == ("<unk>",)
    assert replace_unknown(["<unk>", "b"], ["a@@"], attention("91", "19"), "bpe") == ("a", "b")  # a word that was cut


def test_unknown_pieces_of_sentencepiece_read_as_words() -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    words = ["der", "hund", "und", "die", "katze", "sehen", "ein", "haus"]
    model = io.BytesIO()
    lines = [" ".join(np.random.default_rng(seed).permutation(words)) for seed in range(50)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=40, hard_vocab_limit=False, minloglevel=2
    )
    options = TextOptions(source="en", target="de", tokenizer="none", subwords="sentencepiece")
    pipeline = TextPipeline(options, model.getvalue())
    source = pipeline.pieces("der Zürich hund", "source")
    inside = next(index for index, piece in enumerate(source) if "Z" in piece)
    table = torch.zeros(3, len(source) + 1)
    table[:, inside] = 1
    for pieces, expected in (
        (["▁die", "<unk>", "▁katze"], "die Zürich katze"),
        (["▁", "<unk>", "k"], "Zürich k"),
        (["<unk>", "<unk>", "▁haus"], "Zürich Zürich haus"),
    ):
        assert pipeline.text(replace_unknown(pieces, source, table, "sentencepiece"), "target") == expected
