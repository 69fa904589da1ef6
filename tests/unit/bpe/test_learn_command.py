"""The options of `python -m bpe.learn` that subword-nmt's users rely on, compared with subword-nmt itself."""

import argparse
import random
from collections import Counter
from pathlib import Path

import pytest

from bpe.codes import MergeTable
from bpe.errors import UserError
from bpe.learn import count_pieces, main, num_character_symbols, read_word_counts
from bpe.segmenter import Segmenter

learn_bpe = pytest.importorskip("subword_nmt.learn_bpe")
joint = pytest.importorskip("subword_nmt.learn_joint_bpe_and_vocab")


def write_random_text(path: Path, draw: random.Random, alphabet: str) -> None:
    """Words over few letters, some lines blank, spaces where they do not belong, pieces that end like separators."""
    words = ["".join(draw.choices(alphabet, k=draw.randint(1, 8))) for _ in range(draw.choice([1, 10, 60]))]
    spaces = [" ", "  ", " "]
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for _ in range(draw.choice([1, 20, 80])):
            line = "".join(draw.choice(words) + draw.choice(spaces) for _ in range(draw.randint(0, 12)))
            stream.write(draw.choice(["", " "]) + line + draw.choice(["", "\r", " "]) + "\n")
        stream.write(draw.choice(words))


def learned_jointly_by_subword_nmt(folder: Path, inputs: list[Path], merges: int, total_symbols: bool) -> None:
    """Writes codes and vocabulary.N beside the inputs, as `subword-nmt learn-joint-bpe-and-vocab` would."""
    names = [folder / f"expected.{number}" for number in range(len(inputs))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learn_bpe, "tqdm", iter)
        joint.learn_joint_bpe_and_vocab(
            argparse.Namespace(
                input=[argparse.Namespace(name=str(path)) for path in inputs],
                output=argparse.Namespace(name=str(folder / "expected.codes")),
                vocab=[argparse.Namespace(name=str(path)) for path in names],
                symbols=merges,
                separator="@@",
                min_frequency=2,
                total_symbols=total_symbols,
                verbose=False,
                num_workers=1,
            )
        )


@pytest.mark.parametrize("alphabet", ["abc", "abcdefghij", "ab@", "aé\U0001f600\xa0"])
@pytest.mark.parametrize("seed", range(8))
def test_codes_and_vocabularies_are_those_of_joint_learning(seed, alphabet, tmp_path):
    draw = random.Random(seed)
    inputs = [tmp_path / name for name in ("a", "b", "c")[: 1 + seed % 3]]
    for path in inputs:
        write_random_text(path, draw, alphabet)
    merges, total_symbols = draw.choice([30, 100]), seed % 2 == 1
    learned_jointly_by_subword_nmt(tmp_path, inputs, merges, total_symbols)
    written = [tmp_path / f"vocabulary.{number}" for number in range(len(inputs))]
    arguments = ["--merges", merges, "--output", tmp_path / "codes", "--input", *inputs, "--write-vocabulary", *written]
    main([*map(str, arguments), "--quiet", *(["--total-symbols"] if total_symbols else [])])
    assert (tmp_path / "codes").read_bytes() == (tmp_path / "expected.codes").read_bytes()
    for number, path in enumerate(written):
        assert path.read_bytes() == (tmp_path / f"expected.{number}").read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_word_counts_give_the_codes_that_subword_nmt_learns_from_them(seed, tmp_path, monkeypatch):
    draw = random.Random(seed)
    lines = [
        f"{''.join(draw.choices('abcde', k=draw.randint(1, 7)))} {draw.randint(1, 50)}{draw.choice(['', ' ', chr(13)])}"
        for _ in range(80)
    ]
    (tmp_path / "counts").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    monkeypatch.setattr(learn_bpe, "tqdm", iter)
    for total_symbols in (False, True):
        with open(tmp_path / "expected", "w", encoding="utf-8", newline="\n") as output:
            learn_bpe.learn_bpe(lines, output, 40, is_dict=True, total_symbols=total_symbols)
        arguments = ["--dict-input", "--merges", 40, "--input", tmp_path / "counts", "--output", tmp_path / "codes"]
        main([*map(str, arguments), "--quiet", *(["--total-symbols"] if total_symbols else [])])
        assert (tmp_path / "codes").read_bytes() == (tmp_path / "expected").read_bytes()


def test_counts_of_equal_words_add_up():
    assert read_word_counts(["a 3\r", "bc 1", " a 2 "], "x") == Counter({"a": 5, "bc": 1})
    assert read_word_counts([], "x") == Counter()


@pytest.mark.parametrize("line", ["", "a", "a b", "a 1 2", "a -1", "a  1", "a ٣", "5"])
def test_a_line_that_is_no_count_is_named(line):
    with pytest.raises(UserError, match="not a word and its count") as error:
        read_word_counts(["a 1", line], "counts")
    assert error.value.where == "counts:2"


def test_pieces_are_counted_in_order_of_first_occurrence():
    segmenter = Segmenter(MergeTable((("a", "b"), ("ab", "c</w>"))))
    assert list(count_pieces({"abc": 2, "abd": 3, "d": 1}, segmenter).items()) == [("abc", 2), ("ab@@", 3), ("d", 4)]


def test_symbols_before_the_first_merge_are_characters_within_and_at_the_end_of_words():
    assert num_character_symbols({"abc": 1, "c": 2, "ca": 9}) == len({"a", "b", "c"} | {"c</w>", "a</w>"})


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--total-symbols"], "5 symbols in all are too few: there are 7"),
        (["--write-vocabulary", "v", "w"], "2 vocabularies for 1 inputs"),
        (["--write-vocabulary", "text"], "is also an input file"),
        (["--write-vocabulary", "."], "is a folder"),
        (["--write-vocabulary", "./codes"], "two outputs would go there"),
        (["--dict-input"], "not a word and its count"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(more, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("low lower lows\n")
    with pytest.raises(UserError, match=problem):
        main(["--merges", "5", "--input", "text", "--output", "codes", "--quiet", *more])
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_what_the_characters_leave_is_said(tmp_path, capsys):
    (tmp_path / "text").write_text("low lower lows low lower\n")
    arguments = ["--total-symbols", "--merges", "10", "--input", tmp_path / "text", "--output", tmp_path / "codes"]
    main([*map(str, arguments)])
    assert capsys.readouterr().err == "7 symbols before the first merge leave 3 merges\n"
    assert len(MergeTable.load(tmp_path / "codes")) == 3
