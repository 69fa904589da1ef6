"""Table 1's counts against plain counting, and the rules of its reading."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bpe.codes import MergeTable
from bpe.errors import UserError
from bpe.learn import learn_merges
from bpe.overlap import Overlap
from bpe.progress import Progress
from bpe.segmenter import Segmenter
from bpe.textfiles import read_lines
from nmt.config import Config, ModelConfig
from nmt.folder.ledger import Size
from nmt.models.build import VocabularySizes
from nmt.prepare.files import CorpusFiles, find_corpus
from nmt.prepare.tokenizing import WordCounts
from nmt.reproduce.table1 import Row, Table1, common_to, count_pieces, measure, scripts
from nmt.reproduce.table1_reading import pays, reading, script_overlap, vocabulary_range
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.tying import Tying
from tests.tiny_corpus import make_corpus

CONFIG = Config(model=ModelConfig(embedding_size=6, hidden_size=4))


def row(merges: int, *, times: int = 1000, source_only: int = 10, both: int = 100) -> Row:
    """A row of a decoder-tied model of 10,000 parameters outside its vocabulary matrices, with E = 10."""
    sizes = {Tying.UNTIED: Size(3 * 10 * both, 10_000), Tying.DECODER: Size(2 * 10 * both + 10 * source_only, 10_000)}
    sizes[Tying.THREE_WAY] = Size(10 * (both + source_only), 10_000)
    return Row(
        merges=merges,
        overlap=Overlap(source_only, 0, both, 1000, 1000, 900, 1000),
        source_pieces_per_word=1.5,
        target_pieces_per_word=1.5,
        rare=3,
        common_to=times,
        vocabulary=VocabularySizes(both + source_only, both, both + source_only),
        sizes=sizes,
        more_work=10 * source_only / (10_000 + 10 * both),
    )


def table(*rows: Row, source: str = "Latin", target: str = "Latin", exhausted: bool = False) -> Table1:
    return Table1(
        files=CorpusFiles("aa", "bb", {}, ""),
        config=CONFIG,
        num_pairs=1,
        source_words=1,
        target_words=1,
        word_types=1,
        characters=1,
        source_scripts={source: 0.9, "Greek": 0.1},
        target_scripts={target: 0.9, "Greek": 0.1},
        exhausted=exhausted,
        rows=rows,
    )


def test_pieces_step_by_step_are_those_of_each_merge_table_alone() -> None:
    chance = random.Random(1)
    words = Counter(
        {"".join(chance.choices("aabcdé", k=chance.randint(1, 9))): chance.randint(1, 9) for _ in range(300)}
    )
    words |= {"abc": 5, "ab" * 80: 2, "</w>": 1, "a@@": 3, "ß": 2}
    counts = WordCounts(words, Counter(dict.fromkeys(sorted(words)[::3], 3) | {"cab" * 50: 1}))
    learned = learn_merges(counts.joint(), 200, min_frequency=1)
    steps = [1, 2, 7, 50, len(learned)]
    whole = {"abc", "ab" * 80}
    for step, found in zip(steps, count_pieces(counts, learned, steps, whole, Progress("", quiet=True)), strict=True):
        segmenter = Segmenter(MergeTable(learned.merges[:step]), glossary=[f"^{word}$" for word in whole])
        for one_side, words_of_side in ((found.source, counts.source), (found.target, counts.target)):
            expected: Counter[str] = Counter()
            for word, count in words_of_side.items():
                for piece in segmenter.segment_word(word):
                    expected[piece] += count
            assert one_side == expected


def test_a_row_is_what_plain_counting_over_the_lines_finds(tmp_path: Path) -> None:
    pytest.importorskip("sacremoses")
    files = find_corpus(make_corpus(tmp_path / "corpus", pairs=200))
    found = measure(files, CONFIG, [20, 40], num_workers=1, quiet=True)
    assert [one.merges for one in found.rows] == [20, 40]
    pipeline = TextPipeline(TextOptions(source="en", target="de"), None)
    words = {
        side: [
            word for line in read_lines(tmp_path / "corpus" / f"train.{code}") for word in pipeline.words(line, side)
        ]
        for side, code in (("source", "en"), ("target", "de"))
    }
    learned = learn_merges(Counter(words["source"] + words["target"]), 40)
    assert (found.num_pairs, found.source_words, found.target_words) == (200, *map(len, words.values()))
    for one in found.rows:
        segmenter = Segmenter(MergeTable(learned.merges[: one.merges]))
        source, target = (segmenter.segment(" ".join(words[side])) for side in ("source", "target"))
        shared = set(source) & set(target)
        in_both = [piece for piece in source + target if piece in shared]
        assert one.overlap.both == len(shared)
        assert one.overlap.source_only == len(set(source) - set(target))
        assert one.overlap.target_only == len(set(target) - set(source))
        assert one.overlap.running_share == pytest.approx(len(in_both) / len(source + target))
        assert one.source_pieces_per_word == pytest.approx(len(source) / len(words["source"]))
        assert one.target_pieces_per_word == pytest.approx(len(target) / len(words["target"]))
        assert one.rare == sum((source + target).count(piece) < 10 for piece in set(source + target))
        assert one.source_shared == len(shared) / len(set(source))
        # Sizes in closed form: Cs, Ct and C rows of E numbers and an output bias.
        cs, ct, c = 3 + len(set(source)), 3 + len(set(target)), 3 + len(set(source + target))
        assert [size.embedding for size in one.sizes.values()] == [
            6 * (cs + 2 * ct) + ct,
            6 * (cs + ct) + ct,
            6 * c + c,
        ]
        assert one.more_work == pytest.approx(6 * (c - ct) / (one.sizes[Tying.DECODER].other + 6 * ct))


def test_the_ladder_ends_where_the_text_runs_out_of_pairs(tmp_path: Path) -> None:
    pytest.importorskip("sacremoses")
    files = find_corpus(make_corpus(tmp_path / "corpus", pairs=50))
    all_there = measure(files, CONFIG, [100_000, 10, 200_000], num_workers=1, quiet=True)
    last = all_there.rows[-1].merges
    assert all_there.exhausted
    assert [one.merges for one in all_there.rows] == [10, last]
    assert not measure(files, CONFIG, [last], num_workers=1, quiet=True).exhausted
    with pytest.raises(UserError, match="0 merges are out of range"):
        measure(files, CONFIG, [5, 0], num_workers=1, quiet=True)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ({}, 0),
        ({"a": 1, "b@@": 1}, 0),
        ({"ab": 7}, 7),
        ({f"x{n:02}": n for n in range(1, 101)}, 6),  # 95 of 100 pieces occur 6 times or more
        ({**{f"x{n}@@": 50 for n in range(19)}, "yy": 3, "z@@": 1}, 50),
        ({**{f"x{n}@@": 50 for n in range(18)}, "yy": 3}, 3),
    ],
)
def test_how_often_nearly_all_pieces_occur(pieces: dict[str, int], expected: int) -> None:
    assert common_to(pieces) == expected


def test_scripts_are_counted_by_letters() -> None:
    found = scripts({"ab1": 2, "да": 1, "!": 9, "é": 1})
    assert found == {"Latin": 5 / 7, "Cyrillic": 2 / 7}
    assert list(found) == ["Latin", "Cyrillic"]
    assert script_overlap(found, {"Cyrillic": 1.0}) == pytest.approx(2 / 7)
    assert scripts({"12": 3}) == {}


def test_the_range_of_merges() -> None:
    rows = [row(1, times=500), row(2, times=100), row(4, times=10), row(8, times=9)]
    assert vocabulary_range(rows) == (2, 4)
    assert vocabulary_range(rows[2:]) == (None, 4)
    assert vocabulary_range(rows[3:]) == (None, None)


def test_tying_pays_where_it_saves_a_larger_share_than_it_adds() -> None:
    assert pays(row(1, source_only=10, both=100))  # saves 1,000 of 12,100; adds 100 to 11,000
    assert not pays(row(1, source_only=150, both=100))  # saves 1,000 of 13,500; adds 1,500 to 11,000


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(1), row(2)], ["Vocabulary: 2 merges. (2 is the end of the table: more were not tried.)", "at every"]),
        ([row(1), row(2, times=5)], ["Vocabulary: 1 merges. With 2, 3 of 110 pieces", "at every number"]),
        ([row(1, times=50), row(2, times=5)], ["fewer than 1 merges by the rule of 100 examples, at most 1 by that"]),
        ([row(4, times=5)], ["Vocabulary: fewer than 4 merges. Already there, 3 of 110 pieces"]),
        ([row(1), row(2, source_only=300)], ["pays up to 1 merges; with more, decoder tying is the better bargain"]),
        ([row(1, source_only=300), row(2)], ["pays with 2 merges; with the others decoder"]),
        ([row(1, source_only=300)], ["pays at no number of merges"]),
        ([row(1)], ["90.9% of the source's pieces are shared"]),
    ],
)
def test_the_reading_in_words(rows: list[Row], expected: list[str]) -> None:
    text = "\n".join(reading(table(*rows)))
    for part in expected:
        assert part in text
    assert "scripts differ" not in text


def test_the_reading_says_when_scripts_differ_and_when_the_text_is_at_its_end() -> None:
    text = reading(table(row(1), target="Cyrillic", exhausted=True))
    assert text[0].startswith("The scripts differ: aa is Latin (90.0% of its letters), bb is Cyrillic (90.0%)")
    assert "the text has no more" in text[1]
    no_letters = replace(table(row(1), target="Cyrillic"), target_scripts={})
    assert "scripts differ" not in reading(no_letters)[0]
