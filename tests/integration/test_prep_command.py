import errno
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import nmt.data.preparation as preparation
import nmt.data.tokenizing as tokenizing
from nmt.cli.prep import main
from nmt.data.corpus import PreparedCorpus

ROOT = Path(__file__).parents[2]
WORDS = (
    ("the", "der"), ("a", "ein"), ("dog", "Hund"), ("cat", "Katze"), ("house", "Haus"), ("man", "Mann"),
    ("runs", "rennt"), ("sleeps", "schläft"), ("eats", "isst"), ("big", "groß"), ("small", "klein"), ("green", "grün"),
    ("and", "und"), ("or", "oder"), ("in", "in"), ("on", "auf"), ("under", "unter"), ("tree", "Baum"), ("car", "Auto"),
)  # fmt: skip


def sentences(number, seed=0):
    """Pairs of word by word translations."""
    draw = random.Random(seed)
    rows = [draw.choices(WORDS, k=draw.randint(3, 12)) for _ in range(number)]
    return [(" ".join(word[0] for word in row) + ".", " ".join(word[1] for word in row) + ".") for row in rows]


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8"))


def write_pairs(folder, name, pairs, languages=("en", "de")):
    for side, language in enumerate(languages):
        write(folder / f"{name}.{language}", [pair[side] for pair in pairs])


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "corpus"
    write_pairs(folder, "train", sentences(300))
    write_pairs(folder, "valid", sentences(20, seed=1))
    write_pairs(folder, "test", sentences(20, seed=2))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def fails(capsys, *arguments):
    """Run, expect exit code 2 and one line; returns what stands after 'error: '."""
    capsys.readouterr()
    assert main(["--joint-bpe", "50", "--quiet", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err.removeprefix("nmt-prep: error: ").rstrip("\n")


def test_a_corpus_folder_is_prepared(corpus, capsys):
    assert main(["--joint-bpe", "50"]) == 0
    output = capsys.readouterr()
    assert "en -> de (English is the source unless --src says otherwise)" in output.err
    for text in (
        "train: 300 pairs",
        "test: 20 pairs",
        "only in source",
        "Vocabulary:",
        "three-way",
        "#",
        "in prepared",
    ):
        assert text in output.out
    prepared = PreparedCorpus.open("prepared")
    prepared.verify()
    assert [len(prepared.split(name)) for name in ("train", "valid", "test")] == [300, 20, 20]
    assert prepared.raw_lines("test", "target") == [pair[1] for pair in sentences(20, seed=2)]
    assert (prepared.manifest["source"], prepared.manifest["target"]) == ("en", "de")
    assert sorted(os.listdir(".")) == ["corpus", "prepared"]


def test_merges_are_those_of_subword_nmt(corpus):
    subword_nmt = pytest.importorskip("subword_nmt.learn_bpe")
    assert main(["--joint-bpe", "60", "--quiet"]) == 0
    prepared = PreparedCorpus.open("prepared")
    lines = [
        " ".join(prepared.text.words(line, side)) + "\n"
        for side, language in (("source", "en"), ("target", "de"))
        for line in (corpus / f"train.{language}").read_text(encoding="utf-8").splitlines()
    ]
    with open("expected", "w", encoding="utf-8") as output:
        subword_nmt.learn_bpe(lines, output, 60)
    assert Path("prepared/bpe.codes").read_bytes() == Path("expected").read_bytes()


def test_the_result_does_not_depend_on_the_number_of_workers(corpus, monkeypatch):
    monkeypatch.setattr(preparation, "CHUNK_PAIRS", 7)
    for threads in (1, 3):
        assert main(["--threads", str(threads), "--prepared", f"by{threads}", "--joint-bpe", "50", "--quiet"]) == 0
    assert contents("by1") == contents("by3")


def test_a_failing_worker_is_one_line(corpus, capsys, monkeypatch):
    monkeypatch.setattr(preparation, "CHUNK_PAIRS", 7)
    monkeypatch.setattr(tokenizing.ChunkTokenizer, "__call__", lambda self, chunk: os._exit(9))
    assert "a worker process was killed" in fails(capsys, "--threads", "2")
    assert not Path("prepared").exists()


def test_the_same_again_does_nothing_and_other_options_need_force(corpus, capsys):
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    before = {path: path.stat().st_mtime_ns for path in Path("prepared").iterdir()}
    assert main(["--joint-bpe", "50"]) == 0
    assert "prepared: already prepared from the same text with the same options" in capsys.readouterr().err
    message = fails(capsys, "--set", "prep.max_length=9")
    assert "another preparation is there: max_length is 250 there, 9 now; --force replaces it" in message
    write_pairs(corpus, "valid", sentences(21, seed=1))
    assert "made from other text than corpus/valid.en, corpus/valid.de" in fails(capsys)
    (corpus / "test.en").unlink()
    (corpus / "test.de").unlink()
    write_pairs(corpus, "valid", sentences(20, seed=1))
    assert "made from more files" in fails(capsys)
    assert {path: path.stat().st_mtime_ns for path in Path("prepared").iterdir()} == before
    assert main(["--joint-bpe", "40", "--force", "--quiet"]) == 0
    assert not PreparedCorpus.open("prepared").has_split("test")
    assert sorted(os.listdir(".")) == ["corpus", "prepared"]


def test_a_damaged_result_is_not_taken_for_a_finished_one(corpus, capsys):
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    Path("prepared/train.source.ids").write_bytes(b"")
    assert "truncated: 0 bytes" in fails(capsys)
    assert main(["--joint-bpe", "50", "--quiet", "--force"]) == 0
    PreparedCorpus.open("prepared").verify()


def test_a_folder_of_other_files_is_never_replaced(corpus, capsys):
    write(Path("prepared/thesis.tex"), ["mine"])
    for flags in ([], ["--force"]):
        assert "holds files that nmt-prep did not write; choose another with --prepared" in fails(capsys, *flags)
    assert "not a folder" in fails(capsys, "--prepared", "corpus/train.en")
    Path("empty").mkdir()
    assert main(["--joint-bpe", "50", "--quiet", "--prepared", "empty"]) == 0


def test_json_prints_the_manifest(corpus, capsys):
    assert main(["--joint-bpe", "50", "--json", "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == PreparedCorpus.open("prepared").manifest
    assert printed["options"]["joint_bpe"] == 50
    assert {entry["path"] for entry in printed["inputs"]} >= {"corpus/train.en", "corpus/test.de"}
    assert printed["versions"]["sacremoses"]


def test_compressed_shards_are_joined_in_order(corpus):
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    pairs = sentences(300)
    for language in ("en", "de"):
        (corpus / f"train.{language}").unlink()
    write_pairs(corpus, "train.1", pairs[:100])
    write_pairs(corpus, "train.2", pairs[100:])
    for path in list(corpus.glob("train.2.*")):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert main(["--joint-bpe", "50", "--quiet", "--prepared", "sharded"]) == 0
    one, other = PreparedCorpus.open("prepared"), PreparedCorpus.open("sharded")
    assert one.fingerprint == other.fingerprint


def test_files_named_one_by_one(corpus, capsys):
    files = ["--train", "corpus/train.en", "corpus/train.de", "--valid", "corpus/valid.en", "corpus/valid.de"]
    assert main([*files, "--joint-bpe", "50", "--quiet"]) == 0
    assert not PreparedCorpus.open("prepared").has_split("test")
    assert "no valid text for en-de" in fails(capsys, *files[:3], "--prepared", "other")
    assert "--train names the text and so does --corpus" in fails(capsys, *files, "--corpus", "corpus")
    assert "corpus/none.en: no such file" in fails(capsys, "--train", "corpus/none.en", "corpus/train.de")
    shutil.copy("corpus/valid.en", "held.txt")
    assert main(["--valid", "held.txt", "corpus/valid.de", "--joint-bpe", "50", "--quiet", "--prepared", "b"]) == 0
    assert fails(capsys, "--train", "held.txt", "corpus/train.de").startswith("held.txt: its name does not end")


def test_the_direction(corpus, capsys):
    assert main(["--src", "de", "--joint-bpe", "50", "--quiet"]) == 0
    assert PreparedCorpus.open("prepared").manifest["target"] == "en"
    write_pairs(corpus, "train", sentences(300), ("en", "fr"))
    write_pairs(corpus, "valid", sentences(20, seed=1), ("en", "fr"))
    expected = "corpus: several language pairs (de-en, de-fr, en-fr); choose with --src LANG --tgt LANG"
    assert fails(capsys) == expected
    assert "no training text for es (languages there: de, en, fr)" in fails(capsys, "--src", "es")
    assert "source and target are both en" in fails(capsys, "--src", "en", "--tgt", "en")
    for path in corpus.glob("*.en"):
        path.rename(path.with_suffix(".es"))
    for path in corpus.glob("*.fr"):
        path.unlink()
    assert "which of de and es is the source?; say --src de --tgt es" in fails(capsys, "--prepared", "x")


def test_what_a_corpus_folder_must_hold(corpus, capsys):
    assert "nowhere: no such folder" in fails(capsys, "--corpus", "nowhere")
    write(Path("bare/readme"), ["x"])
    assert "bare: no training text; it needs train.LANG and valid.LANG" in fails(capsys, "--corpus", "bare")
    for language in ("en", "de"):
        (corpus / f"valid.{language}").rename(corpus / f"val.{language}")
    assert "no valid text for en-de; val.de is there: name it valid.de" in fails(capsys)
    write_pairs(corpus, "valid", sentences(20, seed=1))
    (corpus / "train.de").unlink()
    assert "training text in one language only" in fails(capsys)
    write(corpus / "train.de.gz", ["x"])
    write(corpus / "train.de", ["x"])
    assert "lies there twice" in fails(capsys)


def test_a_shard_without_its_partner(corpus, capsys):
    write(corpus / "train.more.en", ["a dog"])
    assert fails(capsys) == "corpus/train.more.en: has no partner; add train.more.de, or take it away"


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_unequal_line_counts(corpus, capsys, split):
    path = corpus / f"{split}.de"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))
    number = len(lines)
    expected = f"corpus/{split}.en has {number} lines but corpus/{split}.de has {number - 3}"
    assert fails(capsys).startswith(expected)
    path.write_bytes(b"".join([*lines, b"mehr\n"]))
    assert f"corpus/{split}.en has {number} lines but corpus/{split}.de has {number + 1}" in fails(capsys)
    assert os.listdir(".") == ["corpus"]


def test_invalid_utf8(corpus, capsys):
    path = corpus / "train.de"
    lines = path.read_bytes().split(b"\n")
    lines[41] = "größer".encode("latin-1")
    path.write_bytes(b"\n".join(lines))
    assert fails(capsys).startswith("corpus/train.de:42: invalid UTF-8: byte 0xf6 at byte 3 of the line; convert")


def test_damaged_gzip(corpus, capsys):
    data = gzip.compress((corpus / "train.de").read_bytes())
    (corpus / "train.de").write_bytes(data[: len(data) // 2])
    assert "corpus/train.de: truncated or damaged gzip data" in fails(capsys)


@pytest.mark.parametrize("lines", [[], ["", "  ", "\t"]])
def test_empty_text(corpus, capsys, lines):
    for language in ("en", "de"):
        write(corpus / f"train.{language}", lines)
    what = "3 lines, all of them blank" if lines else "no pairs"
    assert fails(capsys) == f"corpus/train.en: empty: {what}; check that the file is the right one"


def test_sides_that_are_the_same(corpus, capsys):
    shutil.copy(corpus / "train.en", corpus / "train.de")
    message = fails(capsys)
    assert message.startswith("corpus/train.en and corpus/train.de look like the same language: 100% of the first 300")
    assert main(["--set", "prep.check_sides=false", "--joint-bpe", "50", "--quiet"]) == 0


def test_sides_that_are_swapped(corpus, capsys):
    write_pairs(corpus, "valid", sentences(20, seed=1), ("de", "en"))
    message = fails(capsys)
    assert message.startswith(
        "corpus/valid.en and corpus/valid.de look swapped: 100% of their words are on the other side"
    )
    assert "exchange the two files" in message


def test_pairs_are_dropped_with_their_reasons(corpus, capsys):
    pairs = sentences(50)
    odd = [("", "leer"), ("a " * 400, "ein"), ("ein", "a " * 240), pairs[0], ("dog", "Hund")]
    write_pairs(corpus, "train", pairs + odd)
    write_pairs(corpus, "valid", [("", ""), *sentences(5, seed=1), ("a " * 400, "")])
    assert main(["--joint-bpe", "50", "--set", "prep.deduplicate=true"]) == 0
    output = capsys.readouterr().out
    assert "dropped 1 of 55 (1.8%): a side is empty" in output
    assert "dropped 1 of 55 (1.8%): more than 250 pieces on a side" in output
    assert "dropped 1 of 55 (1.8%): one side more than 9 times the other" in output
    assert "dropped 1 of 55 (1.8%): seen before" in output
    prepared = PreparedCorpus.open("prepared")
    assert prepared.manifest["splits"]["train"]["dropped"] == {"empty": 1, "too_long": 1, "ratio": 1, "duplicate": 1}
    assert len(prepared.split("train")) == 51
    assert len(prepared.split("valid")) == 7


def test_all_pairs_dropped(corpus, capsys):
    message = fails(capsys, "--set", "prep.max_length=1")
    assert message.startswith(
        "all 300 training pairs were dropped (300: more than 1 pieces on a side); check that line n"
    )


def test_fewer_merges_than_asked_for(corpus, capsys):
    assert main(["--joint-bpe", "89500"]) == 0
    output = capsys.readouterr()
    learned = PreparedCorpus.open("prepared").manifest["subwords"]["learned"]
    assert f"learned {learned} of 89,500 merges: no pair occurs twice any more" in output.err
    assert 0 < learned < 300


def test_thresholds_are_applied_before_the_union(corpus):
    assert main(["--joint-bpe", "150", "--quiet", "--set", "prep.target_threshold=120"]) == 0
    assert main(["--joint-bpe", "150", "--quiet", "--prepared", "free"]) == 0
    limited, free = PreparedCorpus.open("prepared"), PreparedCorpus.open("free")
    counts = np.bincount(limited.split("train").target_ids, minlength=limited.vocabulary.size)
    for row in np.flatnonzero(counts):
        assert counts[row] >= 120 or len(limited.vocabulary.piece_of(row).removesuffix("@@")) == 1
    assert limited.vocabulary.source_size == free.vocabulary.source_size
    assert limited.vocabulary.target_only != free.vocabulary.target_only
    for row in (0, 1):
        line = sentences(300)[row][1]
        assert limited.text.text(limited.vocabulary.decode(limited.split("train").target(row)), "target") == line


def test_a_threshold_that_leaves_nothing(corpus, capsys):
    message = fails(capsys, "--set", "prep.source_threshold=1000000")
    assert message.startswith("prep.source_threshold: no piece occurs 1,000,000 times; lower it")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_sentencepiece(corpus, kind):
    pytest.importorskip("sentencepiece")
    assert main(["--sentencepiece", "50", "--set", f"prep.sentencepiece_model={kind}", "--quiet"]) == 0
    prepared = PreparedCorpus.open("prepared")
    train, vocabulary = prepared.split("train"), prepared.vocabulary
    assert vocabulary.size <= 52
    for row, pair in enumerate(sentences(10)):
        assert vocabulary.encode(prepared.text.pieces(pair[0], "source")) == train.source(row).tolist()
        assert prepared.text.text(vocabulary.decode(train.target(row)), "target") == pair[1]


def test_sentencepiece_limits(corpus, capsys):
    pytest.importorskip("sentencepiece")
    assert fails(capsys, "--sentencepiece", "50000").startswith(
        "--sentencepiece: 50,000 pieces are too many for this text; the most is "
    )
    assert "--sentencepiece: 10 pieces are too few for the characters of this text" in fails(
        capsys, "--sentencepiece", "10"
    )
    message = fails(capsys, "--sentencepiece", "60", "--set", "prep.source_threshold=3")
    assert "thresholds cut BPE pieces smaller" in message


def test_words_that_look_like_specials_stay_text(corpus):
    pairs = [("<pad> <unk> </s>", "</s> <unk> <pad>")] * 30 + sentences(30)
    write_pairs(corpus, "train", pairs)
    assert main(["--joint-bpe", "500", "--tokenizer", "none", "--quiet"]) == 0
    prepared = PreparedCorpus.open("prepared")
    train = prepared.split("train")
    assert min(train.source_ids.min(), train.target_ids.min()) >= 3
    assert prepared.vocabulary.decode(train.source(0)) == ["<pad>", "<unk>", "</s>"]


def test_line_ends_and_odd_characters_keep_the_lines_apart(corpus):
    source = ["a\u2028dog", "a\x0bcat", "a\rdog", "a\x00cat", "x" * 20_000, "a dog"] * 5
    target = ["ein Hund", "eine\u0085Katze", "ein Hund", "eine Katze", "y", "ein\ufeff Hund"] * 5
    (corpus / "valid.en").write_bytes("".join(line + "\r\n" for line in source).encode())
    (corpus / "valid.de").write_bytes("\n".join(target).encode())
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    valid = PreparedCorpus.open("prepared").split("valid")
    assert len(valid) == 30
    assert (valid.source_lengths > 0).all()


def test_a_word_of_a_million_characters(corpus):
    write_pairs(corpus, "train", [*sentences(50), ("ab" * 500_000, "c" * 1_000_000)])
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    manifest = PreparedCorpus.open("prepared").manifest
    assert manifest["splits"]["train"]["dropped"]["too_long"] == 1
    assert manifest["subwords"]["words_too_long"] == 2


def test_no_space_left(corpus, capsys, monkeypatch):
    def full(self, lines):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nmt.data.encoding.SideFiles.append", full)
    assert "no space left on the device; free some space" in fails(capsys)
    assert os.listdir(".") == ["corpus"]


def test_an_interrupted_run_leaves_nothing(corpus, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("nmt.data.manifest.write_manifest", interrupted)
    assert main(["--joint-bpe", "50", "--quiet"]) == 130
    assert os.listdir(".") == ["corpus"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_nothing_that_looks_finished(corpus, number):
    write_pairs(corpus, "train", sentences(60_000))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "nmt.cli.prep", "--joint-bpe", "50", "--quiet", "--threads", "2"]
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in Path(".").glob(".prepared.part-*/train.*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(60) != 0
    assert not Path("prepared").exists()
    write_pairs(corpus, "train", sentences(100))
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    assert sorted(os.listdir(".")) == ["corpus", "prepared"]


def test_options_out_of_range_are_one_line(corpus, capsys):
    assert "prep.tokenizer: unknown value 'perl'; choose one of moses, none" in fails(capsys, "--tokenizer", "perl")
    assert "prep.joint_bpe" in fails(capsys, "--joint-bpe", "-1")
    assert "did you mean 'prep.max_length'?" in fails(capsys, "--set", "prep.max_lenght=3")
    assert "nmt-prep --help" in fails(capsys, "--merges", "3")


def test_offsets_and_ids_have_the_documented_form(corpus):
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    ids = np.frombuffer(Path("prepared/train.source.ids").read_bytes(), dtype="<i4")
    offsets = np.frombuffer(Path("prepared/train.source.offsets").read_bytes(), dtype="<i8")
    assert len(offsets) == 301
    assert (offsets[0], offsets[-1]) == (0, len(ids))
