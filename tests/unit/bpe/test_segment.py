"""Pieces are compared with those of subword-nmt itself, which stands as the independent reference."""

import pickle
import random
from collections import Counter

import pytest

import bpe.encode
import bpe.segmenter
from bpe.codes import MergeTable
from bpe.encode import LONG_WORD
from bpe.errors import UserError
from bpe.learn import count_words, learn_merges
from bpe.segment import Segmenter, desegment, read_vocabulary

reference = pytest.importorskip("subword_nmt.apply_bpe")

LINES = [
    "the lower the newest , the widest low and new and wide",
    "  lowest  newer   wider , 10000 1000 @@ a@@ @@b  ",
    "unseen wörds \U0001f600 x \r",
    "lower\xa0newest low\u2028est\tnew",
    "",
    "   ",
]


def table_of(num_merges=60, seed=3):
    draw = random.Random(seed)
    text = " ".join(draw.choices(LINES[0].split() + LINES[1].split() + ["lowlow", "newnew", "aaaa", "ababab"], k=400))
    return learn_merges(count_words([text]), num_merges, min_frequency=1)


def subword_nmt_for(table, path, **options):
    table.save(path)
    with open(path, encoding="utf-8", newline="\n") as stream:
        return reference.BPE(stream, **options)


def random_words(seed, alphabet="lowernstid@ab"):
    draw = random.Random(seed)
    return ["".join(draw.choices(alphabet, k=draw.randint(1, 12))) for _ in range(200)]


@pytest.mark.parametrize("num_merges", [1, 5, 60, 500])
def test_pieces_are_those_of_subword_nmt(num_merges, tmp_path):
    table = table_of(num_merges)
    segmenter, other = Segmenter(table), subword_nmt_for(table, tmp_path / "codes")
    for line in [*LINES, " ".join(random_words(num_merges))]:
        assert segmenter.segment(line) == other.segment(line).split(" ") * bool(line.strip(" "))
        assert segmenter.segment_text(line) == other.process_line(line)


@pytest.mark.parametrize("seed", range(30))
def test_any_order_of_merges_gives_the_same_pieces(seed, tmp_path):
    """Also tables that no text would give: a later merge's parts before it, pairs twice, symbols spelt in two ways."""
    draw = random.Random(seed)
    symbols = ["".join(draw.choices("ab", k=draw.randint(1, 3))) for _ in range(8)]
    merges = [(draw.choice(symbols), draw.choice(symbols) + draw.choice(["", "</w>"])) for _ in range(25)]
    table = MergeTable(tuple(merges), (0, 1) if seed % 3 == 0 else (0, 2))
    segmenter, other = Segmenter(table), subword_nmt_for(table, tmp_path / "codes")
    for word in random_words(seed, "ab"):
        assert segmenter.segment(word) == other.segment_tokens([word])


def test_long_words_are_cut_the_same(tmp_path):
    table = table_of(200)
    segmenter, other = Segmenter(table), subword_nmt_for(table, tmp_path / "codes")
    for seed, alphabet in enumerate(["lowernstid", "ab", "a", "newlo"]):
        word = "".join(random.Random(seed).choices(alphabet, k=3 * LONG_WORD))
        assert list(segmenter.segment_word(word)) == other.segment_tokens([word])


@pytest.mark.parametrize("threshold", [2, 5, 20])
def test_pieces_outside_the_vocabulary_are_cut_back_as_by_subword_nmt(threshold, tmp_path):
    table = table_of(80)
    text = " ".join(LINES[:3] + random_words(1))
    counts = Counter(Segmenter(table).segment(text + " low the new" * 10))
    vocabulary = frozenset(piece for piece, count in counts.items() if count >= threshold)
    segmenter = Segmenter(table, vocabulary)
    other = subword_nmt_for(table, tmp_path / "codes", vocab=set(vocabulary))
    assert segmenter.segment(text) == other.segment(text).split(" ")
    assert segmenter.segment(text) != Segmenter(table).segment(text)


@pytest.mark.parametrize("glossary", [["low"], ["new", "[0-9]+"], ["w[io]d?", "newest"], ["a", "est"], ["new|low"]])
def test_what_the_glossary_matches_is_never_cut(glossary, tmp_path):
    table = table_of()
    segmenter = Segmenter(table, None, glossary)
    other = subword_nmt_for(table, tmp_path / "codes", glossaries=glossary)
    words = " ".join([*LINES[0].split(), "lowlownewest", "xx1000lowyy", "newlow", "10000", *random_words(2)])
    assert segmenter.segment(words) == other.segment(words).split(" ")


@pytest.mark.parametrize("version", [(0, 1), (0, 2)])
@pytest.mark.parametrize("dropout", [0, 0.1, 0.5, 0.9, 1])
def test_dropout_gives_what_subword_nmt_gives_with_the_same_random_numbers(version, dropout, tmp_path):
    table = MergeTable(table_of(200).merges, version)
    options = {"vocab": {"low", "new@@", "e@@"}, "glossaries": ["wid"]} if dropout == 0.5 else {}
    segmenter = Segmenter(table, options.get("vocab"), options.get("glossaries", ()))
    other = subword_nmt_for(table, tmp_path / "codes", **options)
    random.seed(3)
    draw = random.Random(3)
    for word in [*random_words(5), *LINES[0].split() * 9]:
        assert list(segmenter.segment_word_with_dropout(word, dropout, draw)) == other.segment_tokens([word], dropout)


def test_without_dropout_pieces_are_the_usual_ones_and_with_all_of_it_characters():
    segmenter, draw = Segmenter(table_of(200)), random.Random(1)
    for word in [*random_words(6), "new" * LONG_WORD, "a", ""]:
        assert segmenter.segment_word_with_dropout(word, 0, draw) == segmenter.segment_word(word)
        characters = segmenter.segment_word_with_dropout(word, 1, draw)
        assert [piece.removesuffix("@@") if place else piece for place, piece in enumerate(characters[::-1])] == [
            *word[::-1]
        ]
    for dropout in (-0.5, 1.01, float("nan")):
        with pytest.raises(UserError, match="out of range"):
            segmenter.segment_word_with_dropout("low", dropout, draw)


def test_long_words_get_the_same_pieces_as_often(monkeypatch):
    """The two ways to merge draw other numbers; how often they cut a word so or so agrees within what chance does."""
    ranks = Segmenter(table_of(200))._ranks

    def counts_with(limit):
        monkeypatch.setattr(bpe.encode, "LONG_WORD", limit)
        draw = random.Random(1)
        return Counter(
            tuple(bpe.encode.apply_merges_with_dropout([*"newlowaaaaabab"], ranks, 0.3, draw)) for _ in range(5000)
        )

    short, long = counts_with(100), counts_with(0)
    assert len(short) > 20
    for symbols in short | long:
        assert abs(short[symbols] - long[symbols]) <= 4 * (short[symbols] + long[symbols]) ** 0.5


def test_the_separator_is_written_and_looked_up_as_by_subword_nmt(tmp_path):
    vocabulary = {"low", "new__", "e__"}
    segmenter = Segmenter(table_of(), frozenset(vocabulary), separator="__")
    other = subword_nmt_for(table_of(), tmp_path / "codes", vocab=vocabulary, separator="__")
    words = " ".join([*LINES[0].split(), *random_words(2)])
    assert segmenter.segment(words) == other.segment(words).split(" ")
    assert pickle.loads(pickle.dumps(segmenter)).segment(words) == segmenter.segment(words)


@pytest.mark.parametrize("num_merges", [0, 1, 20, 500])
@pytest.mark.parametrize("version", [(0, 1), (0, 2)])
def test_the_first_merges_alone_are_those_of_subword_nmt(num_merges, version, tmp_path):
    table = MergeTable(table_of().merges, version)
    other = subword_nmt_for(table, tmp_path / "codes", merges=num_merges)
    words = " ".join(LINES[0].split())
    assert Segmenter(table.first(num_merges)).segment(words) == other.segment(words).split(" ")


def test_groups_in_a_glossary_do_not_repeat_text():
    pieces = Segmenter(table_of(), None, ["(ne)+w"]).segment_word("xnenewy")
    assert desegment(pieces) == "xnenewy"
    assert "nenew@@" in pieces


def test_an_invalid_glossary_is_refused():
    with pytest.raises(UserError, match="invalid regular expression"):
        Segmenter(table_of(), None, ["("])


def test_version_0_1_with_a_vocabulary_keeps_the_text():
    table = MergeTable((("a", "b"), ("ab", "</w>"), ("c", "ab</w>")), (0, 1))
    segmenter = Segmenter(table, frozenset({"c@@", "a@@", "b"}))
    assert desegment(segmenter.segment("cab ab c b")) == "cab ab c b"


@pytest.mark.parametrize("num_merges", [0, 30, 300])
@pytest.mark.parametrize("vocabulary", [None, frozenset({"low", "new@@", "e@@"})])
def test_joining_gives_the_words_back(num_merges, vocabulary):
    segmenter = Segmenter(table_of(num_merges), vocabulary)
    words = [word for word in random_words(9) if not word.endswith("@@")] + ["x</w>y", "</w>", "a</w>", "@@b"]
    assert desegment(segmenter.segment(" ".join(words))) == " ".join(words)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a@@", "b", "c"], "ab c"),
        (["c", "a@@", "b@@"], "c ab"),
        (["@@"], ""),
        (["a", "@@"], "a"),
    ],
)
def test_joining_by_hand(pieces, text):
    assert desegment(pieces) == text


def test_words_of_separators_do_not_crash():
    segmenter = Segmenter(table_of())
    for word in ["@@", "@", "@@@", "a@@", "@@a", "a@@b", "@@@@@@"]:
        assert segmenter.segment_word(word)
        desegment(segmenter.segment(f"{word} low {word}"))


def test_the_cache_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(bpe.segmenter, "CACHED_WORDS", 10)
    segmenter, table = Segmenter(table_of()), table_of()
    words = random_words(4) * 2
    assert [segmenter.segment_word(word) for word in words] == [Segmenter(table).segment_word(word) for word in words]
    assert len(segmenter._cache) <= 10


def test_a_segmenter_can_be_sent_to_another_process():
    segmenter = Segmenter(table_of(), frozenset({"low"}), ["new"])
    assert pickle.loads(pickle.dumps(segmenter)).segment(LINES[0]) == segmenter.segment(LINES[0])


def test_a_vocabulary_file_is_read_with_its_threshold(tmp_path):
    (tmp_path / "vocabulary").write_text("low 9\nnew@@ 5\ne@@ 1\n")
    assert read_vocabulary(tmp_path / "vocabulary", 5) == {"low", "new@@"}
    assert read_vocabulary(tmp_path / "vocabulary") == {"low", "new@@", "e@@"}
    with pytest.raises(UserError, match="no piece with a count of 10 or more"):
        read_vocabulary(tmp_path / "vocabulary", 10)


@pytest.mark.parametrize("line", ["low", "low x", "low 1 2", "low 1.5", ""])
def test_a_damaged_vocabulary_is_refused(line, tmp_path):
    (tmp_path / "vocabulary").write_text(f"the 3\n{line}\n")
    with pytest.raises(UserError, match=r"vocabulary:2: not a piece"):
        read_vocabulary(tmp_path / "vocabulary")
