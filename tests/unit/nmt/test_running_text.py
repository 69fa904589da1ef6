"""Running text prepared for a language model: its vocabulary, its words, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import nmt.text.lines
import nmt.text.words
from bpe.errors import UserError
from nmt.cli.lm import main
from nmt.data.running_text import RunningText
from nmt.text.pipeline import TextPipeline
from nmt.text.words import END, UnknownWord, WordVocabulary

LINES = ["b a b <unk>", "", "c b a", "d a b"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "ptb.train.txt").write_text("\n".join(LINES) + "\n")
    (folder / "ptb.valid.txt").write_text("a z b\n")
    return folder


def prep(corpus: Path, *more: str) -> tuple[int, Path]:
    prepared = corpus.parent / "prepared"
    return main(["prep", "--corpus", str(corpus), "--prepared", str(prepared), "--quiet", *more]), prepared


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    printed = capsys.readouterr().err
    assert code == 2
    assert printed.count("\n") == 1, printed
    return printed.removeprefix("nmt-lm: error: ").rstrip()


def test_rows_go_by_frequency_and_all_that_is_left_out_is_one_unknown_word() -> None:
    counts = Counter({"b": 5, "a": 5, "c": 2, "d": 2, "e": 1, "<unk>": 1})
    assert WordVocabulary.from_counts(counts).words == ("a", "b", "c", "d", "<unk>", "e")
    assert WordVocabulary.from_counts(counts, 5).words == ("a", "b", "<unk>", "c")  # d, e and its own are four
    assert WordVocabulary.from_counts(counts, 7).words == ("a", "b", "c", "d", "<unk>", "e")  # all fit
    plain = WordVocabulary.from_counts(Counter({"a": 2, "<eos>": 9}))
    assert (plain.words, plain.size, plain.encode(["a", "<eos>"])) == (("a",), 2, [1, END])
    with pytest.raises(UnknownWord):
        plain.encode(["z"])


def test_a_prepared_text_is_its_words_with_line_ends(corpus: Path) -> None:
    code, prepared = prep(corpus)
    assert code == 0
    text = RunningText.open(prepared)
    names = [text.vocabulary.name(int(row)) for row in text.split("train")]
    assert names == [*" <eos> ".join(LINES).split(), "<eos>"]
    assert [text.vocabulary.name(int(row)) for row in text.split("valid")] == ["a", "<unk>", "b", "<eos>"]
    assert text.manifest["splits"]["train"] == {"lines": 4, "words": 14, "unknown": 1}
    assert not text.has_split("test")
    assert prep(corpus)[0] == 0  # already there


def test_held_out_words_make_a_row_for_the_unknown(corpus: Path) -> None:
    (corpus / "ptb.train.txt").write_text("a b a\n")
    text = RunningText.open(prep(corpus)[1])
    assert text.vocabulary.words == ("a", "b", "<unk>")


def test_subwords_are_those_of_the_text_pipeline_and_none_is_unknown(corpus: Path) -> None:
    (corpus / "ptb.train.txt").write_text("low lower lowest newer newest\n" * 20)
    (corpus / "ptb.valid.txt").write_text("slowest <eos> Ж\n")
    code, prepared = prep(corpus, "--joint-bpe", "12")
    assert code == 0
    text, pipeline = RunningText.open(prepared), TextPipeline.load(prepared)
    for split, line in (("train", "low lower lowest newer newest"), ("valid", "slowest <eos> Ж")):
        first = [text.vocabulary.name(int(row)) for row in text.split(split)]
        first = first[: first.index("<eos>")]
        assert first == pipeline.pieces(line, "source")
        assert pipeline.text(first, "source") == line
    assert text.vocabulary.unknown is None


def test_two_preparations_of_one_text_are_the_same_bytes(corpus: Path) -> None:
    prepared = prep(corpus)[1]
    first = {path.name: path.read_bytes() for path in prepared.iterdir()}
    assert prep(corpus, "--force")[0] == 0
    assert {path.name: path.read_bytes() for path in prepared.iterdir()} == first


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\n \n", "ptb.train.txt: an empty text: it has no word; check the file"),
        (b"", "ptb.train.txt: an empty text: it has no word; check the file"),
        (b"a\nb \xff\n", "ptb.train.txt:2: invalid UTF-8: byte 0xff at byte 3 of the line"),
        (b"a\n" + b"a" * 120, "ptb.train.txt:2: a word of more than 100 bytes; is it a text?"),
    ],
    ids=["blank", "empty", "not UTF-8", "a word longer than memory"],
)
def test_no_text_is_one_line(
    content: bytes, told: str, corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nmt.text.lines, "LONGEST_LINE", 100)
    (corpus / "ptb.train.txt").write_bytes(content)
    code, prepared = prep(corpus)
    assert refused(capsys, code).startswith(f"{corpus}/{told}")
    assert not prepared.exists()


@pytest.mark.parametrize("content", ["a b  c \n\nd", "a b c ", " a\tb\r\nc d\n", "a", "a \n", "ä bö c\n" * 3])
@pytest.mark.parametrize("portion", [1, 2, 3, 100])
def test_long_lines_are_read_in_portions(
    content: str, portion: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text"
    path.write_bytes(content.encode())
    monkeypatch.setattr(nmt.text.lines, "PORTION", portion)
    lines: list[list[str]] = [[]]
    for text, ended in nmt.text.lines.word_portions(path):
        lines[-1] += text.split()
        lines += [[]] if ended else []
    assert lines.pop() == []
    assert lines == [line.split() for line in nmt.text.lines.bounded_lines(path)]


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_line_of_subwords_must_fit_in_memory(
    split: str, corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nmt.text.lines, "LONGEST_LINE", 100)
    (corpus / f"ptb.{split}.txt").write_bytes(b"a\n" + b"a " * 60)
    told = refused(capsys, prep(corpus, "--joint-bpe", "4")[0])
    assert told.startswith(f"{corpus}/ptb.{split}.txt:2: a line of more than 100 bytes; is it a text?")


def test_rare_words_are_unknown(corpus: Path) -> None:
    (corpus / "ptb.train.txt").write_text("a b a c\nb a c d\nc a\n")
    code, prepared = prep(corpus, "--min-count", "3")
    assert code == 0
    assert WordVocabulary.load(prepared / "vocabulary.json").words == ("a", "<unk>", "c")
    assert RunningText.open(prepared).manifest["splits"]["train"]["unknown"] == 3
    code, prepared = prep(corpus, "--min-count", "3", "--vocabulary", "3", "--force")
    assert code == 0
    assert WordVocabulary.load(prepared / "vocabulary.json").words == ("<unk>", "a")


def test_what_is_there_is_not_replaced_unasked(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared = prep(corpus)[1]
    assert "another preparation is there" in refused(capsys, prep(corpus, "--vocabulary", "4")[0])
    assert prep(corpus, "--vocabulary", "4", "--force")[0] == 0
    (prepared / "train.ids").write_bytes(b"\0" * 4)
    assert "changed: 4 bytes where nmt-lm prep wrote 56" in refused(capsys, prep(corpus, "--vocabulary", "4")[0])


def test_a_folder_of_parallel_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "nmt-prepared"}))
    with pytest.raises(UserError, match="holds parallel text for nmt-train, not the text of a language model"):
        RunningText.open(tmp_path)


def test_a_vocabulary_of_another_text_is_told(corpus: Path) -> None:
    prepared = prep(corpus)[1]
    other = WordVocabulary(("a", "b"))
    size = (prepared / "vocabulary.json").stat().st_size
    other.save(prepared / "vocabulary.json")
    content = (prepared / "vocabulary.json").read_bytes()
    (prepared / "vocabulary.json").write_bytes(content + b" " * (size - len(content)))
    with pytest.raises(UserError, match="this vocabulary does not belong to the text beside it"):
        RunningText.open(prepared)


def test_several_files_of_a_split_are_named(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus / "wiki.train.tokens").write_text("a\n")
    told = refused(capsys, prep(corpus)[0])
    assert told.endswith("several files could be train (ptb.train.txt, wiki.train.tokens); name one with --train")


def test_many_rare_words_take_one_look_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often <unk> occurs is counted once, not for every word that is kept."""
    looks: list[int] = []
    count = nmt.text.words._unknown
    monkeypatch.setattr(nmt.text.words, "_unknown", lambda *given: looks.append(1) or count(*given))
    counts = Counter({f"w{number}": 1 + number % 7 for number in range(70)})
    found = WordVocabulary.from_counts(counts, 12)
    assert len(looks) == 1
    assert found.words[0] == "<unk>"  # the words left out are more than any other
    assert WordVocabulary.from_counts(Counter(a=9, b=5, c=4, d=3), 5, unknown=True).words == ("a", "b", "c", "<unk>")
