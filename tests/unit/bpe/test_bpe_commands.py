"""The two commands, run as users run them."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = "low lower lowest\nnew newer newest\nwide wider widest low new\n"


def command(module, *arguments, data=b"", **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        input=data,
        capture_output=True,
        env=environment,
        **options,
    )


def assert_one_line_error(result, *parts):
    lines = result.stderr.decode().splitlines()
    assert result.returncode == 2
    assert len(lines) == 1
    assert "error: " in lines[0]
    for part in parts:
        assert part in lines[0]


@pytest.fixture
def codes(tmp_path):
    (tmp_path / "text").write_text(TEXT)
    result = command("bpe.learn", "--merges", 10, "--input", tmp_path / "text", "--output", tmp_path / "codes")
    assert (result.returncode, result.stderr) == (0, b"")
    return tmp_path / "codes"


def test_learning_reads_plain_and_compressed_files_and_standard_input(tmp_path, codes):
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEXT.encode()))
    for name, source, data in (("a", tmp_path / "text.gz", b""), ("b", "-", TEXT.encode())):
        result = command("bpe.learn", "--merges", 10, "--input", source, "--output", tmp_path / name, data=data)
        assert result.returncode == 0
        assert (tmp_path / name).read_bytes() == codes.read_bytes()


def test_the_codes_are_subword_nmts(tmp_path, codes):
    learn_bpe = pytest.importorskip("subword_nmt.learn_bpe")
    with open(tmp_path / "text") as source, open(tmp_path / "expected", "w") as target:
        learn_bpe.learn_bpe(source, target, 10)
    assert codes.read_bytes() == (tmp_path / "expected").read_bytes()


def test_learning_says_when_pairs_run_out(tmp_path, codes):
    arguments = ["--merges", 1000, "--input", tmp_path / "text", "--output", tmp_path / "many"]
    result = command("bpe.learn", *arguments)
    learned = len((tmp_path / "many").read_text().splitlines()) - 1
    assert result.returncode == 0
    assert f"learned {learned} of 1,000 merges" in result.stderr.decode()
    assert command("bpe.learn", *arguments, "--quiet").stderr == b""


def test_learning_errors_are_one_line(tmp_path):
    output = ["--output", tmp_path / "codes"]
    assert_one_line_error(command("bpe.learn", "--merges", 5, "--input", tmp_path / "none", *output), "no such file")
    assert_one_line_error(command("bpe.learn", "--merges", "x", "--input", "-", *output), "--merges")
    assert_one_line_error(command("bpe.learn", "--merges", -5, "--input", "-", *output, data=b"a b"), "out of range")
    assert_one_line_error(command("bpe.learn", "--merges", 5, "--input", "-", *output, data=b" \n"), "no words")
    assert_one_line_error(
        command("bpe.learn", "--merges", 5, "--input", "-", *output, data=b"a\nb\xff\n"), "standard input:2", "0xff"
    )
    assert_one_line_error(command("bpe.learn", "--merges", 5, "--input", "-", "--output", tmp_path), "is a folder")
    assert not (tmp_path / "codes").exists()
    (tmp_path / "text").write_text(TEXT)
    same = tmp_path / "text"
    assert_one_line_error(command("bpe.learn", "--merges", 5, "--input", same, "--output", same), "also an input")
    assert same.read_text() == TEXT


def test_segmenting_keeps_every_line_in_order(codes):
    data = "low new\n\n  wide  x\u2028y \u0085\x0c\r\nlowest\n\nlast".encode()
    result = command("bpe.segment", "--codes", codes, data=data)
    assert (result.returncode, result.stderr) == (0, b"")
    joined = result.stdout.decode().replace("@@ ", "")
    assert joined == data.decode().replace("wide  x", "wide x")


def test_segmenting_is_subword_nmts(codes, tmp_path):
    apply_bpe = pytest.importorskip("subword_nmt.apply_bpe")
    (tmp_path / "vocabulary").write_text("low 9\nnew@@ 5\ner 4\ni@@ 1\n")
    options = ["--vocabulary", tmp_path / "vocabulary", "--vocabulary-threshold", 4, "--glossaries", "wid", "[0-9]+"]
    data = TEXT + "lowwidest 10widen newerlow\n"
    result = command("bpe.segment", "--codes", codes, *options, data=data.encode())
    with open(codes) as stream:
        other = apply_bpe.BPE(stream, vocab={"low", "new@@", "er"}, glossaries=["wid", "[0-9]+"])
    assert result.stdout.decode() == "".join(map(other.process_line, data.splitlines(keepends=True)))


def test_invalid_utf8_is_named_after_the_lines_before_it_are_written(codes):
    result = command("bpe.segment", "--codes", codes, data=b"low\nnew\nwi\xffde\nlow\n")
    assert_one_line_error(result, "standard input:3", "0xff")
    assert result.stdout.decode().replace("@@ ", "") == "low\nnew\n"


def test_segmenting_errors_are_one_line(codes, tmp_path):
    (tmp_path / "damaged").write_text("#version: 0.2\na b\nc\n")
    assert_one_line_error(command("bpe.segment"), "--codes")
    assert_one_line_error(command("bpe.segment", "--codes", tmp_path / "none"), "no such file")
    assert_one_line_error(command("bpe.segment", "--codes", tmp_path / "damaged"), "damaged:3")
    assert_one_line_error(command("bpe.segment", "--codes", codes, "--vocabulary-threshold", 3), "--vocabulary FILE")
    assert_one_line_error(command("bpe.segment", "--codes", codes, "--vocabulary", codes), "codes:1")


def test_each_line_is_answered_before_the_next_is_sent(codes):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "bpe.segment", "--codes", str(codes)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        for line in (b"low\n", b"newest new\n", b"\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().replace(b"@@ ", b"") == line
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_a_reader_that_leaves_is_no_error(codes, tmp_path):
    (tmp_path / "long").write_text(TEXT * 50_000)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "bpe.segment", "--codes", str(codes)]
    with (
        open(tmp_path / "long", "rb") as source,
        subprocess.Popen(
            arguments, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        ) as process,
    ):
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141
