import errno
import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nmt.prepare.executors as executors
import nmt.prepare.shards as parts
import nmt.prepare.splits as passes
from nmt.cli.prep import main
from nmt.data.corpus import PreparedCorpus
from tests.prep_corpus import fails, sentences, write, write_corpus, write_pairs

pytest.importorskip("sacremoses")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_corpus(tmp_path / "corpus")


@pytest.mark.parametrize("task", ["tokenize_shard", "encode_shard"])
def test_a_killed_worker_is_one_line(corpus, capsys, monkeypatch, task):
    monkeypatch.setattr(parts, "STRIDE", 7)
    monkeypatch.setattr(executors, "FEW_PAIRS", 0)
    monkeypatch.setattr(passes, task, die)
    assert "a worker process was killed" in fails(capsys, "--threads", "2")
    assert os.listdir(".") == ["corpus"]


def die(task):
    os.kill(os.getpid(), signal.SIGKILL)


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


def test_unequal_line_counts_far_behind_the_sample(corpus, capsys, monkeypatch):
    monkeypatch.setattr("nmt.prepare.sanity.SAMPLE_PAIRS", 10)
    monkeypatch.setattr(parts, "STRIDE", 7)
    with open(corpus / "train.de", "ab") as stream:
        stream.write(b"mehr")
    assert "corpus/train.en has 300 lines but corpus/train.de has 301" in fails(capsys)
    (corpus / "train.de.gz").write_bytes(gzip.compress((corpus / "train.de").read_bytes()))
    (corpus / "train.de").unlink()
    assert "corpus/train.en has 300 lines but corpus/train.de.gz has 301" in fails(capsys)
    assert os.listdir(".") == ["corpus"]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_invalid_utf8(corpus, capsys, monkeypatch, threads):
    path = corpus / "train.de"
    lines = path.read_bytes().split(b"\n")
    for number in (291, 251):
        lines[number] = "größer".encode("latin-1")
    path.write_bytes(b"\n".join(lines))
    monkeypatch.setattr("nmt.prepare.sanity.SAMPLE_PAIRS", 10)
    expected = "corpus/train.de:252: invalid UTF-8: byte 0xf6 at byte 3 of the line; convert"
    monkeypatch.setattr(parts, "STRIDE", 10)
    monkeypatch.setattr(executors, "FEW_PAIRS", 0)
    assert fails(capsys, "--threads", threads).startswith(expected)
    assert os.listdir(".") == ["corpus"]


def test_damaged_gzip(corpus, capsys):
    data = gzip.compress((corpus / "train.de").read_bytes())
    (corpus / "train.de").write_bytes(data[: len(data) // 2])
    assert "corpus/train.de: truncated or damaged gzip data" in fails(capsys)


@pytest.mark.parametrize("lines", [[], ["", "  ", " "]])
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


def test_all_pairs_dropped(corpus, capsys):
    message = fails(capsys, "--set", "prep.max_length=1")
    assert message.startswith(
        "all 300 training pairs were dropped (300: more than 1 pieces on a side); check that line n"
    )


@pytest.mark.parametrize("writer", ["merging.SideFiles.append", "encoding.EncodedShard.save", "tokenizing.count_words"])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_no_space_left(corpus, capsys, monkeypatch, writer, threads):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts, "STRIDE", 50)
    monkeypatch.setattr(executors, "FEW_PAIRS", 0)
    monkeypatch.setattr(f"nmt.prepare.{writer}", full)
    assert "no space left on the device; free some space" in fails(capsys, "--threads", threads)
    assert os.listdir(".") == ["corpus"]


def test_text_that_changes_while_it_is_read(corpus, capsys, monkeypatch):
    def shortened(*arguments):
        (corpus / "train.en").write_bytes(b"a dog\n")

    monkeypatch.setattr("nmt.prepare.preparation.copy_raw_lines", shortened)
    assert "corpus/train.en or corpus/train.de changed while it was being read" in fails(capsys)


def test_an_interrupted_run_leaves_nothing(corpus, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("nmt.prepare.manifest.write_manifest", interrupted)
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
