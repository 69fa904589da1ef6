import json
import shutil

import numpy as np
import pytest

from bpe.errors import UserError
from nmt.config import PrepConfig
from nmt.data.corpus import PreparedCorpus
from nmt.prepare.files import find_corpus
from nmt.prepare.preparation import Preparation, prepare
from nmt.prepare.report import histogram
from nmt.text.vocabulary import NUM_SPECIALS, UNK

TRAIN = {
    "en": ["a dog runs", "a cat", "", "the dog runs and runs", "a cat sleeps"],
    "de": ["ein hund rennt", "eine katze", "leer", "der hund rennt und rennt", "eine katze schläft"],
}
VALID = {"en": ["a dog", "", "zebra"], "de": ["ein hund", "", "\u2028 ein  zebra"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    for name, text in (("train", TRAIN), ("valid", VALID)):
        for language, lines in text.items():
            (root / f"{name}.{language}").write_text(
                "".join(line + "\n" for line in lines), encoding="utf-8", newline="\n"
            )
    prep = PrepConfig(joint_bpe=20, tokenizer="none", min_character_count=0, source="en", target="de")
    prepare(Preparation(files=find_corpus(root), prep=prep, folder=root / "prepared", quiet=True))
    return root / "prepared"


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_lines_are_read_back(folder):
    corpus = PreparedCorpus.open(folder)
    train, valid = corpus.split("train"), corpus.split("valid")
    kept = [number for number, line in enumerate(TRAIN["en"]) if line]
    assert len(train) == len(kept) == 4
    for row, number in enumerate(kept):
        for side, language in (("source", "en"), ("target", "de")):
            ids = getattr(train, side)(row)
            assert ids.dtype == np.int32
            assert ids.tolist() == corpus.vocabulary.encode(corpus.text.pieces(TRAIN[language][number], side))
            assert corpus.text.text(corpus.vocabulary.decode(ids), side) == TRAIN[language][number]
    assert train.source_lengths.tolist() == [len(train.source(row)) for row in range(4)]
    assert len(valid) == 3
    assert valid.target_lengths[1] == 0


def test_training_ids_cover_the_vocabulary_and_nothing_else(folder):
    corpus = PreparedCorpus.open(folder)
    train, vocabulary = corpus.split("train"), corpus.vocabulary
    both = set(range(NUM_SPECIALS, NUM_SPECIALS + len(vocabulary.both)))
    assert set(train.source_ids.tolist()) == set(range(NUM_SPECIALS, vocabulary.source_size))
    assert set(train.target_ids.tolist()) == both | set(range(vocabulary.source_size, vocabulary.size))
    assert UNK in corpus.split("valid").source(2)  # nothing in the training text has a z


def test_raw_lines_are_the_corpus_lines(folder):
    corpus = PreparedCorpus.open(folder)
    assert corpus.raw_lines("valid", "source") == VALID["en"]
    assert corpus.raw_lines("valid", "target") == VALID["de"]


def test_a_split_that_is_not_there(folder):
    corpus = PreparedCorpus.open(folder)
    assert corpus.has_split("valid")
    assert not corpus.has_split("test")
    for call in (lambda: corpus.split("test"), lambda: corpus.raw_lines("test", "source")):
        with pytest.raises(UserError, match="no test split was prepared; it holds train, valid"):
            call()


def test_the_whole_folder_verifies_and_can_be_moved(copy):
    before = PreparedCorpus.open(copy)
    before.verify()
    pairs = len(before.split("train"))
    moved = PreparedCorpus.open(copy.rename(copy.with_name("moved")))
    moved.verify()
    assert moved.fingerprint == before.fingerprint
    assert len(moved.split("train")) == pairs


@pytest.mark.parametrize("name", ["train.source.ids", "train.target.offsets", "vocabulary.json", "bpe.codes"])
def test_truncated_and_missing_files_are_refused(copy, name):
    path = copy / name
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"truncated: .* bytes where nmt-prep wrote"):
        PreparedCorpus.open(copy)
    path.unlink()
    with pytest.raises(UserError, match="missing; run nmt-prep --force"):
        PreparedCorpus.open(copy)


def test_verify_finds_a_changed_byte(copy):
    path = copy / "train.source.ids"
    path.write_bytes(b"\x09" + path.read_bytes()[1:])
    corpus = PreparedCorpus.open(copy)
    with pytest.raises(UserError, match="changed since nmt-prep wrote it"):
        corpus.verify()


def test_offsets_that_do_not_fit_are_refused(copy):
    path = copy / "valid.source.offsets"
    path.write_bytes(np.array([0, 1, 2, 3], dtype="<i8").tobytes())
    with pytest.raises(UserError, match="do not fit the ids beside it"):
        PreparedCorpus.open(copy).split("valid")


def test_another_vocabulary_is_refused(copy):
    path = copy / "vocabulary.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    swapped = dict(body, source_only=body["target_only"], target_only=body["source_only"])
    from nmt.text.vocabulary import Vocabulary

    other = Vocabulary(tuple(body["both"]), tuple(swapped["source_only"]), tuple(swapped["target_only"]))
    other.save(path)
    with pytest.raises(UserError, match="does not belong to the data beside it"):
        PreparedCorpus.open(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not a prepared corpus: it has no manifest.json; run nmt-prep first"),
        (b"nonsense", "damaged: not JSON"),
        (b'{"format": "x"}', "was not written by nmt-prep"),
        (b'{"format": "nmt-prepared", "version": 7}', "format version 7, but this program reads version 1"),
        (b'{"format": "nmt-prepared", "version": 1}', "does not fit its own checksum"),
    ],
)
def test_foreign_manifests_are_refused(copy, content, message):
    (copy / "manifest.json").unlink()
    if content is not None:
        (copy / "manifest.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        PreparedCorpus.open(copy)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(UserError, match="no such folder; run nmt-prep first"):
        PreparedCorpus.open(tmp_path / "prepared")


def test_the_histogram_counts_every_line_once():
    draw = np.random.default_rng(5)
    for longest in (1, 2, 13, 60, 400):
        source, target = draw.integers(0, 50, longest).tolist(), draw.integers(0, 50, longest + 7).tolist()
        rows = histogram(source, target)
        counts = [int(row.rsplit(" ", 1)[1].replace(",", "")) for row in rows]
        assert sum(counts[0::2]) == sum(source)
        assert sum(counts[1::2]) == sum(target)
    assert histogram([], [0, 3])[0].split() == ["1", "0"]
