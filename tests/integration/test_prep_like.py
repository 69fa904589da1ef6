"""nmt-prep --like: text as a model's own was, to the byte; --extend: old pieces stay, those of new text join them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nmt.cli import prep
from nmt.data.corpus import PreparedCorpus
from nmt.text.vocabulary import NUM_SPECIALS, UNK
from tests.prep_corpus import contents, sentences, write_corpus, write_pairs
from tests.tiny_model import make_model_of

NEW = [("the Übersee dog sees ☃ ☃ Qatar.", "der Übersee Hund sieht ☃ ☃ Qatar."), ("Baum and house", "Baum und house")]
"Words, and characters, that the model has not seen; Baum was a word of the target alone, house of the source."


def prepared(corpus: Path, folder: Path, *more: str) -> Path:
    assert prep.main(["--corpus", str(corpus), "--prepared", str(folder), "--quiet", *more]) == 0
    return folder


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The model's text, and other text."""
    folder = tmp_path_factory.mktemp("corpora")
    old, new = write_corpus(folder / "old"), folder / "new"
    for name, seed in (("train", 5), ("valid", 6)):
        write_pairs(new, name, sentences(40, seed=seed) + NEW * 6)
    return old, new


@pytest.fixture(scope="module")
def model(corpora: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    own = prepared(corpora[0], folder / "prepared", "--joint-bpe", "50", "--set", "prep.min_character_count=2")
    return make_model_of(own, folder / "model")


@pytest.mark.parametrize(
    "options",
    [
        ["--joint-bpe", "50"],
        ["--joint-bpe", "50", "--set", "prep.min_character_count=0", "--set", "prep.target_threshold=9"],
        ["--joint-bpe", "50", "--protect", "all", "--max-length", "20", "--deduplicate"],
        ["--sentencepiece", "60"],
    ],
    ids=["bytes", "threshold", "protected", "sentencepiece"],
)
def test_the_models_own_text_comes_out_the_same_to_the_byte(
    corpora: tuple[Path, Path], tmp_path: Path, options: list[str]
) -> None:
    if "--sentencepiece" in options:
        pytest.importorskip("sentencepiece")
    own = prepared(corpora[0], tmp_path / "own", *options)
    folder = make_model_of(own, tmp_path / "model")
    again = contents(prepared(corpora[0], tmp_path / "again", "--like", str(folder)))
    expected = contents(own)
    assert again.keys() == expected.keys()
    for name in expected.keys() - {"manifest.json"}:
        assert again[name] == expected[name], name


def pieces_of(corpus: PreparedCorpus, split: str, line: int) -> list[list[str]]:
    pairs = corpus.split(split)
    return [corpus.vocabulary.decode(ids.tolist()) for ids in (pairs.source(line), pairs.target(line))]


def test_new_text_is_read_as_the_model_reads_it(corpora: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    corpus = PreparedCorpus.open(prepared(corpora[1], tmp_path / "new", "--like", str(model)))
    old = PreparedCorpus.open(model.with_name("prepared"))
    assert corpus.vocabulary == old.vocabulary
    assert corpus.manifest["like"]["vocabulary"] == old.vocabulary.fingerprint
    assert corpus.manifest["options"] == old.manifest["options"]
    for source, target, line in ((*sentences(40, seed=6)[3], 3), (*NEW[0], 40)):
        assert pieces_of(corpus, "valid", line) == [*old.text.pieces_of_pair(source, target)]
    assert corpus.manifest["splits"]["train"]["source_bytes"] > 0
    assert corpus.manifest["splits"]["train"]["source_unknown"] == 0


def test_the_vocabulary_grows_by_the_new_texts_pieces(corpora: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    corpus = PreparedCorpus.open(prepared(corpora[1], tmp_path / "new", "--like", str(model), "--extend"))
    old, new = PreparedCorpus.open(model.with_name("prepared")).vocabulary, corpus.vocabulary
    assert set(old.side("source")) < set(new.side("source"))
    assert set(old.side("target")) < set(new.side("target"))
    assert "☃" in new.both
    assert "☃" not in old.pieces
    assert "house" in old.source_only
    assert "house" in new.both, "the other side has it now"
    assert [piece for piece in new.both if piece in old.both] == list(old.both), "old rows keep their order"
    assert corpus.manifest["splits"]["train"]["source_bytes"] == 0
    assert corpus.manifest["vocabulary"]["grown"] == new.size - old.size > 0
    assert corpus.text.pieces(NEW[0][0], "source") == pieces_of(corpus, "valid", 40)[0]
    ids = corpus.split("train").source_ids
    assert ids.min() >= NUM_SPECIALS > UNK
    assert ids.max() < new.size


def test_a_threshold_holds_for_what_joins(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    """Without bytes: rare pieces of the new text are cut smaller, all of the model's stay."""
    options = ["--joint-bpe", "50", "--set", "prep.min_character_count=0", "--set", "prep.source_threshold=9"]
    own = PreparedCorpus.open(prepared(corpora[0], tmp_path / "own", *options))
    folder = make_model_of(own.folder, tmp_path / "model")
    new = PreparedCorpus.open(prepared(corpora[1], tmp_path / "new", "--like", str(folder), "--extend"))
    assert set(own.text.options.source_pieces or ()) <= set(new.text.options.source_pieces or ())
    assert "☃" in new.vocabulary.side("source"), "twelve times in the new text"


def test_pieces_of_sentencepiece_join_too(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    """Those that its model has and the old text did not use on a side; it learns none."""
    pytest.importorskip("sentencepiece")
    own = PreparedCorpus.open(prepared(corpora[0], tmp_path / "own", "--sentencepiece", "60"))
    folder = make_model_of(own.folder, tmp_path / "model")
    new = PreparedCorpus.open(prepared(corpora[1], tmp_path / "new", "--like", str(folder), "--extend"))
    for side in ("source", "target"):
        assert set(own.vocabulary.side(side)) < set(new.vocabulary.side(side))
    assert pieces_of(new, "valid", 41) == [*new.text.pieces_of_pair(*NEW[1])]
    assert new.vocabulary.decode(new.split("valid").target(41).tolist()) == new.text.pieces(NEW[1][1], "target")


def test_what_bpe_dropout_can_make_of_new_words_joins(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    options = ["--joint-bpe", "50", "--set", "prep.bpe_dropout=true"]
    own = PreparedCorpus.open(prepared(corpora[0], tmp_path / "own", *options))
    folder = make_model_of(own.folder, tmp_path / "model")
    new = PreparedCorpus.open(prepared(corpora[1], tmp_path / "new", "--like", str(folder), "--extend"))
    assert "Q@@" in new.vocabulary.both
    assert "Q@@" not in own.vocabulary.pieces


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert prep.main(["--quiet", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_what_contradicts_is_refused(
    corpora: tuple[Path, Path], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--corpus", str(corpora[1]), "--prepared", str(tmp_path / "new")]
    said = failed(capsys, *place, "--like", str(model), "--joint-bpe", "60")
    assert "prep.joint_bpe: 60 contradicts the model's text, which was prepared with 50" in said
    said = failed(capsys, *place, "--like", str(model), "--src", "de", "--tgt", "en")
    assert "prep.source: 'de' contradicts" in said
    assert "no such folder" in failed(capsys, *place, "--like", str(tmp_path / "nothing"))
    assert "not a model folder" in failed(capsys, *place, "--like", str(corpora[1]))
    assert "name the model with --like" in failed(capsys, *place, "--extend")
    assert not (tmp_path / "new").exists()


def test_the_same_again_is_done_already_and_another_way_is_said(
    corpora: tuple[Path, Path], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which pairs are kept may be chosen anew."""
    folder = prepared(corpora[1], tmp_path / "new", "--like", str(model), "--max-length", "30")
    before = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert before["options"]["max_length"] == 30
    prepared(corpora[1], folder, "--like", str(model), "--max-length", "30")
    place = ["--corpus", str(corpora[1]), "--prepared", str(folder), "--like", str(model), "--max-length", "30"]
    assert "and --extend now" in failed(capsys, *place, "--extend")
