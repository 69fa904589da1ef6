"""Whole texts are compared with what subword-nmt makes of their lines, and joined ones with what sed makes of them."""

import random
import shutil
import subprocess

import pytest

import bpe.segmenter
from bpe.chunks import Chunk
from bpe.codes import MergeTable
from bpe.errors import UserError
from bpe.learn import learn_merges
from bpe.rewriting import DropoutPieceWriter, PieceJoiner, PieceWriter
from bpe.segmenter import Segmenter

reference = pytest.importorskip("subword_nmt.apply_bpe")

WORDS = ["low", "lower", "newest", "wide", "wörd", "\U0001f600", "@@", "a@@", "10", "x</w>", "日本語"]
BETWEEN = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", " \n ", "\t", "\0", "\x0b", "\x0c", "\x1c"]
BETWEEN += ["\x85", "\xa0", "\u2028", "\u2029", "\u3000", "\ufeff", ""]
TABLE = learn_merges({"low": 9, "lower": 7, "newest": 5, "wide": 4, "wörd": 3, "10": 2}, 30)


def chunk_of(text, number=1, line=1):
    return Chunk(text if isinstance(text, bytes) else text.encode(), "text", number, line)


def random_text(seed, words=WORDS):
    draw = random.Random(seed)
    odd = draw.choice([0.0, 0.05, 0.5])  # many texts have plain spaces only
    text = "".join(
        draw.choice(words) + (draw.choice(BETWEEN) if draw.random() < odd else draw.choice("     \n"))
        for _ in range(draw.choice([0, 1, 5, 300]))
    )
    return draw.choice(["", "", "\n", " ", "\r\n"]) + text


def subword_nmt(path, version=(0, 2), **options):
    MergeTable(TABLE.merges, version).save(path)
    with open(path, encoding="utf-8", newline="\n") as stream:
        return reference.BPE(stream, **options)


def by_subword_nmt(other, text, dropout=0):
    """Line by line, where a line ends at a line feed."""
    lines = text.split("\n")
    return "\n".join(other.process_line(line, dropout) for line in lines).encode()


@pytest.mark.parametrize("seed", range(150))
def test_any_text_becomes_what_subword_nmt_makes_of_it(seed, tmp_path):
    version = (0, 1) if seed % 5 == 0 else (0, 2)
    options = {"glossaries": ["ow", "[0-9]+"]} if seed % 7 == 0 else {}
    options |= {"vocab": {"low", "new@@", "w__"}} if seed % 3 == 0 else {}
    separator = "__" if seed % 4 == 0 else "@@"
    text = random_text(seed)
    segmenter = Segmenter(
        MergeTable(TABLE.merges, version), options.get("vocab"), options.get("glossaries", ()), separator
    )
    expected = by_subword_nmt(subword_nmt(tmp_path / "codes", version, separator=separator, **options), text)
    rewrite = PieceWriter(segmenter)
    assert rewrite(chunk_of(text, number=2)) == expected
    assert rewrite(chunk_of(text, number=2)) == expected  # every word from the cache


def test_the_cache_is_bounded_in_words_and_in_their_length(monkeypatch):
    monkeypatch.setattr(bpe.segmenter, "CACHED_WORDS", 10)
    monkeypatch.setattr(bpe.segmenter, "CACHED_LENGTH", 5)
    rewrite = PieceWriter(Segmenter(TABLE))
    text = random_text(3, WORDS + [f"{word}{number}" for word in WORDS for number in range(99)]) * 2
    assert rewrite(chunk_of(text, 2)) == b"\n".join(
        Segmenter(TABLE).segment_text(line).encode() for line in text.split("\n")
    )
    assert len(rewrite._cache) <= 10
    assert max(map(len, rewrite._cache)) <= 5


def test_a_byte_order_mark_is_dropped_where_a_file_begins():
    rewrite = PieceWriter(Segmenter(TABLE))
    assert rewrite(chunk_of(b"\xef\xbb\xbflow\nlow\n")) == b"low\nlow\n"
    assert rewrite(chunk_of(b"\xef\xbb\xbflow\n", number=2)) == "\ufeff@@ low\n".encode()


@pytest.mark.parametrize("make", [PieceWriter, lambda segmenter: DropoutPieceWriter(segmenter, 0.5, 1)])
@pytest.mark.parametrize("bad", [b"low l\xffw\n", b"low \xc3\nlow\n", b"\xed\xa0\x80", b"a  \xff"])
def test_what_is_not_utf_8_is_not_taken(make, bad):
    with pytest.raises(UnicodeDecodeError):
        make(Segmenter(TABLE))(chunk_of(bad))


def test_dropout_draws_what_subword_nmt_draws_line_by_line(tmp_path):
    other = subword_nmt(tmp_path / "codes")
    for seed in range(30):
        text = random_text(seed)
        expected = []
        for number, line in enumerate(text.split("\n"), 7):
            random.seed(f"{seed} {number}")
            expected.append(by_subword_nmt(other, line, 0.3))
        assert DropoutPieceWriter(Segmenter(TABLE), 0.3, seed)(chunk_of(text, 2, 7)) == b"\n".join(expected)


def test_dropout_does_not_depend_on_where_chunks_begin():
    lines = [line + b"\n" for line in random_text(8).encode().split(b"\n")]
    rewrite = DropoutPieceWriter(Segmenter(TABLE), 0.5, 3)
    whole = rewrite(chunk_of(b"".join(lines), 5, 5))
    parts = [rewrite(chunk_of(line, number, number)) for number, line in reversed(list(enumerate(lines, 5)))]
    assert b"".join(reversed(parts)) == whole
    assert whole != DropoutPieceWriter(Segmenter(TABLE), 0.5, 4)(chunk_of(b"".join(lines), 5, 5))


def test_words_have_other_pieces_each_time_and_none_at_the_ends():
    text = b"lower " * 50
    rewritten = {
        dropout: DropoutPieceWriter(Segmenter(TABLE), dropout, 1)(chunk_of(text)) for dropout in (0.0, 0.5, 1.0)
    }
    assert rewritten[0.0] == PieceWriter(Segmenter(TABLE))(chunk_of(text))
    assert rewritten[1.0] == b"l@@ o@@ w@@ e@@ r " * 50
    assert len(set(PieceJoiner("@@")(chunk_of(rewritten[0.5])).split())) == 1
    assert len(set(rewritten[0.5].replace(b"@@ ", b"@@").split())) > 3


@pytest.mark.parametrize("dropout", [-0.1, 1.1, float("nan")])
def test_a_dropout_out_of_range_is_refused(dropout):
    with pytest.raises(UserError, match="out of range: it must be 0 to 1"):
        DropoutPieceWriter(Segmenter(TABLE), dropout, 1)


def by_sed(data, path):
    path.write_bytes(data)
    command = ["sed", "-r", r"s/(@@ )|(@@ ?$)//g", str(path)]
    return subprocess.run(command, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout


@pytest.mark.skipif(shutil.which("sed") is None, reason="compares with sed")
def test_joining_is_what_sed_does(tmp_path):
    draw = random.Random(5)
    parts = ["@", "@@", "@@ ", "@@@ @", "@@\n", "@@ \n", "@@\r\n", " ", "\n", "low", "é", "\0", "\u2028", "@@  "]
    for _ in range(100):
        data = "".join(draw.choices(parts, k=draw.randint(1, 40))).encode()
        assert PieceJoiner("@@")(chunk_of(data)) == by_sed(data, tmp_path / "text")
    for data in (b"\xef\xbb\xbfa@@ b\n", b"a@@ \xff@@ b\n", b"@@", b""):
        assert PieceJoiner("@@")(chunk_of(data)) == by_sed(data, tmp_path / "text")


@pytest.mark.parametrize("separator", ["@@", "__", "￭", ".*"])
def test_joining_gives_the_text_back(separator):
    text = " ".join(word for word in WORDS * 9 if not word.endswith("@@")) + "\n"
    pieces = PieceWriter(Segmenter(TABLE, separator=separator))(chunk_of(text, 2))
    assert pieces != text.encode()
    assert PieceJoiner(separator)(chunk_of(pieces, 2)) == text.encode()


def test_an_empty_separator_cannot_be_joined():
    with pytest.raises(UserError, match="separator is empty"):
        PieceJoiner("")
