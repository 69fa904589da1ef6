"""Byte fallback: every word is spelt in known pieces, and joined again exactly."""

import random

from bpe.codes import MergeTable
from bpe.fallback import BYTE_PIECES, END_PIECE, FALLBACK_PIECES, FallbackSegmenter, spelt_out
from bpe.learn import learn_merges
from bpe.segmenter import Segmenter, desegment

WORDS = ("lower", "lowest", "newer", "wider", "Łódź", "naïve", "😀")
MERGES = MergeTable(
    (
        ("l", "o"), ("lo", "w"), ("e", "r</w>"), ("low", "er</w>"), ("n", "a"), ("v", "e</w>"), ("ï", "ve</w>"),
        ("na", "ïve</w>"), ("ó", "d"), ("Ł", "ód"), ("Łód", "ź</w>"), ("w", "i"), ("n", "e"), ("s", "t</w>"),
    )
)  # fmt: skip


def joined(pieces):
    return desegment(spelt_out(pieces))


def test_there_are_256_byte_pieces_and_an_end():
    assert len(set(BYTE_PIECES)) == 256
    assert BYTE_PIECES[0xC5] == "<0xC5>@@"
    assert set(BYTE_PIECES) | {END_PIECE} == FALLBACK_PIECES


def test_without_rare_characters_the_pieces_are_those_of_the_merges():
    plain, fallback = Segmenter(MERGES), FallbackSegmenter(MERGES, None, "")
    for word in WORDS:
        assert fallback.segment_word(word) == plain.segment_word(word)


def test_rare_characters_are_bytes_and_the_rest_keeps_its_merges():
    assert Segmenter(MERGES).segment_word("Łódź") == ("Łódź",)
    assert FallbackSegmenter(MERGES, None, "Łź").segment_word("Łódź") == (
        "<0xC5>@@", "<0x81>@@", "ód@@", "<0xC5>@@", "<0xBA>@@", "</0x>",
    )  # fmt: skip
    assert FallbackSegmenter(MERGES, None, "ï").segment_word("naïve") == ("na@@", "<0xC3>@@", "<0xAF>@@", "ve")


def test_a_piece_that_is_not_there_is_cut_back_as_far_as_needed():
    allowed = frozenset({"low@@", "er", "l@@", "o@@", "w@@", "e@@"})
    segmenter = FallbackSegmenter(MERGES, allowed, "")
    assert segmenter.segment_word("lower") == ("low@@", "er")
    assert segmenter.segment_word("loe") == ("l@@", "o@@", "<0x65>@@", "</0x>")  # e is there only before others
    assert segmenter.segment_word("er") == ("er",)


def test_words_that_are_kept_whole():
    def is_whole(word):
        return word.startswith("[")

    assert FallbackSegmenter(MERGES, None, "x", is_whole).segment_word("[x]") == ("[x]",)
    assert FallbackSegmenter(MERGES, frozenset({"[y]", "y@@"}), "x", is_whole).segment_word("[y]") == ("[y]",)
    pieces = FallbackSegmenter(MERGES, frozenset({"[y]", "z@@"}), "x", is_whole).segment_word("[z]")
    assert pieces == ("<0x5B>@@", "z@@", "<0x5D>@@", "</0x>")


def test_text_that_reads_like_the_pieces_is_text():
    merges = learn_merges({"<0x41>b": 5, "</0x>": 5}, 30)
    assert Segmenter(merges).segment_word("</0x>") == ("</0x>",)
    segmenter = FallbackSegmenter(merges, None, "")
    for word in ("<0x41>b", "</0x>", "<0x41>"):
        pieces = segmenter.segment_word(word)
        assert FALLBACK_PIECES.isdisjoint(pieces)
        assert joined(pieces) == word


def test_any_word_is_spelt_in_known_pieces_and_comes_back():
    draw = random.Random(2)
    letters = "lowerstnidŁóźï😀中\u0301\x00\u200d\U0010ffff@<>/x0"
    known = {piece for word in WORDS for piece in Segmenter(MERGES).segment_word(word)} | FALLBACK_PIECES
    segmenters = [
        FallbackSegmenter(MERGES, frozenset(known), "Ł"),
        FallbackSegmenter(MergeTable(()), FALLBACK_PIECES, ""),
    ]
    for _ in range(2000):
        word = "".join(draw.choices(letters, k=draw.randint(1, 8)))
        if word.endswith("@@"):  # no piece can end a word so
            continue
        for segmenter in segmenters:
            pieces = segmenter.segment_word(word)
            assert known.issuperset(pieces)
            assert joined(pieces) == word


def test_bytes_of_any_order_are_text():
    draw = random.Random(4)
    for _ in range(500):
        text = joined(draw.choices([*BYTE_PIECES, END_PIECE, "a", "b@@"], k=draw.randint(0, 6)))
        assert text.encode("utf-8").decode("utf-8") == text
    assert joined(["<0xF0>@@", "<0x9F>@@", "a"]) == "\ufffda"
    assert joined(["<0xC5>@@", "<0x81>@@"]) == "Ł"
    assert joined([END_PIECE, "a", END_PIECE, "b"]) == "a b"
