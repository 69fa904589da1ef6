import gzip
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nmt.prepare.executors as executors
import nmt.prepare.merging as joining
import nmt.prepare.shards as parts
from bpe.fallback import FALLBACK_PIECES
from bpe.locks import HERE
from nmt.cli.prep import main
from nmt.data.corpus import PreparedCorpus
from nmt.text.pipeline import SIDES
from tests.prep_corpus import contents, fails, sentences, write, write_corpus, write_pairs

pytest.importorskip("sacremoses")

ODD = ["", "😀", "<0x41>@@ </0x> </w>", "a\u0301b\u200d", "\ufffd\x00", "｟x｠ ％0041 ￭"]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_corpus(tmp_path / "corpus")


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


@pytest.mark.parametrize("options", [[], ["--set", "prep.deduplicate=true"], ["--sentencepiece", "50"]])
def test_the_result_does_not_depend_on_parts_and_workers(corpus, monkeypatch, options):
    if "--sentencepiece" in options:
        pytest.importorskip("sentencepiece")
    pairs = sentences(150)
    write_pairs(corpus, "train", pairs + pairs[20:70] + sentences(100, seed=3))
    monkeypatch.setattr(executors, "FEW_PAIRS", 0)
    for name, size, threads in (("whole", 2000, 1), ("parts", 7, 1), ("workers", 7, 3)):
        monkeypatch.setattr(parts, "STRIDE", size)
        monkeypatch.setattr(joining, "REMAP_IDS", size)
        assert main(["--threads", str(threads), "--prepared", name, "--joint-bpe", "50", "--quiet", *options]) == 0
    assert contents("whole") == contents("parts") == contents("workers")
    assert PreparedCorpus.open("whole").manifest["splits"]["train"]["dropped"].get("duplicate", 0) >= 50 * (
        options[-1:] == ["prep.deduplicate=true"]
    )


def test_the_same_text_makes_the_same_bytes_wherever_and_whenever(corpus, tmp_path):
    """Paths, times and the order of a set, which differs from process to process, are not in the result."""
    elsewhere = tmp_path / "deep" / "elsewhere"
    shutil.copytree(corpus, elsewhere)
    for path in elsewhere.iterdir():
        os.utime(path, (1e9, 1e9))
    options = ["--joint-bpe", "50", "--quiet", "--set", "prep.bpe_dropout=true", "--set", "prep.source_threshold=2"]
    assert main(options) == 0
    command = [sys.executable, "-m", "nmt.cli.prep", *options, "--corpus", str(elsewhere), "--prepared", "deep/other"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONHASHSEED": "5"}
    subprocess.run(command, env=environment, check=True)
    assert contents("prepared") == contents("deep/other")


def test_a_folder_that_is_finished_is_rid_of_what_another_run_left(corpus):
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    left = Path(f".prepared.part-{HERE}-0123")
    left.mkdir()
    (left / ".lock").touch()
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    assert sorted(os.listdir(".")) == ["corpus", "prepared"]


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


def test_json_prints_the_manifest(corpus, capsys):
    assert main(["--joint-bpe", "50", "--json", "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == PreparedCorpus.open("prepared").manifest
    assert printed["options"]["joint_bpe"] == 50
    assert {entry["name"] for entry in printed["inputs"]} >= {"train.en", "test.de"}
    assert printed["versions"]["sacremoses"]


def test_compressed_shards_are_joined_in_order(corpus, monkeypatch):
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    pairs = sentences(300)
    for language in ("en", "de"):
        (corpus / f"train.{language}").unlink()
    write_pairs(corpus, "train.1", pairs[:100])
    write_pairs(corpus, "train.2", pairs[100:])
    for path in [*corpus.glob("train.2.*"), corpus / "valid.de"]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    monkeypatch.setattr(parts, "STRIDE", 30)
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
    assert vocabulary.size <= 52 + 256  # bytes come on top
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


def test_options_out_of_range_are_one_line(corpus, capsys):
    assert "prep.tokenizer: unknown value 'perl'; choose one of reversible, moses, none" in fails(
        capsys, "--tokenizer", "perl"
    )
    assert "prep.joint_bpe" in fails(capsys, "--joint-bpe", "-1")
    assert "did you mean 'prep.max_length'?" in fails(capsys, "--set", "prep.max_lenght=3")
    assert "nmt-prep --help" in fails(capsys, "--merges", "3")


def test_offsets_and_ids_have_the_documented_form(corpus):
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    ids = np.frombuffer(Path("prepared/train.source.ids").read_bytes(), dtype="<i4")
    offsets = np.frombuffer(Path("prepared/train.source.offsets").read_bytes(), dtype="<i8")
    assert len(offsets) == 301
    assert (offsets[0], offsets[-1]) == (0, len(ids))


def test_lines_that_do_not_come_back_are_counted(corpus, capsys):
    lines = {"en": ["a “dog”", "a dog", "the\u00a0cat"], "de": ["ein Hund", "ein  Hund", "die\tKatze"]}
    for language, own in lines.items():
        write(corpus / f"valid.{language}", own)
    for tokenizer, changed in (("reversible", (0, 0)), ("moses", (2, 1)), ("none", (1, 1))):
        arguments = ["--joint-bpe", "50", "--tokenizer", tokenizer, "--prepared", tokenizer]
        assert main([*arguments, "--threads", "1"]) == 0
        printed = capsys.readouterr().out
        valid = PreparedCorpus.open(tokenizer).manifest["splits"]["valid"]
        assert (valid["source_changed"], valid["target_changed"]) == changed
        said = f"en: {changed[0]} lines ({changed[0] / 3:.1%}) do not come back from their words"
        assert (said in printed) == bool(changed[0])


def test_nothing_is_unknown_and_every_line_is_its_ids(corpus):
    """Rare characters of the training text are bytes, as is what only valid and test hold."""
    draw = random.Random(3)
    odd = [(f"a {draw.choice('ŁźЖ中😀')}x dog's “cat”", f"ein {draw.choice('ŁźЖ中😀')}y\u00a0Hund") for _ in range(30)]
    write_pairs(corpus, "train", sentences(200) + odd)
    unseen = [("Иван: ⍽ ￭ {x}", "Ärger\u202f✓"), ("q", "Q@@ <0xF0>")]
    write_pairs(corpus, "valid", unseen)
    assert main(["--joint-bpe", "80", "--quiet"]) == 0
    prepared = PreparedCorpus.open("prepared")
    assert set(prepared.vocabulary.both) >= FALLBACK_PIECES
    for name, pairs in (("train", sentences(200) + odd), ("valid", unseen)):
        manifest, split = prepared.manifest["splits"][name], prepared.split(name)
        assert manifest["source_unknown"] == manifest["target_unknown"] == 0
        assert manifest["source_bytes"] > 0
        for row, pair in enumerate(pairs):
            for side, line in zip(SIDES, pair, strict=True):
                ids = getattr(split, side)(row).tolist()
                assert prepared.vocabulary.encode(prepared.text.pieces(line, side)) == ids
                assert prepared.text.text(prepared.vocabulary.decode(ids), side) == line
    known = {side: set(prepared.vocabulary.side(side)) for side in SIDES}
    assert all(known[side].issuperset(prepared.text.pieces(line, side)) for line in ODD for side in SIDES)
