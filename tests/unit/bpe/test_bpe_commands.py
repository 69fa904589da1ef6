"""The two commands, run as users run them."""

import gzip
import os
import signal
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


WITH_WORKERS_AT_ONCE = (
    "import sys, bpe.chunks, bpe.command, bpe.segment, bpe.workers\n"
    "bpe.workers.ALONE_SECONDS, bpe.chunks.CHUNK_BYTES = -1.0, 300\n"
    "sys.exit(bpe.command.run('python -m bpe.segment', bpe.segment.main))\n"
)


def with_workers(*arguments, workers=2, **options):
    """The command, with chunks so small, and workers so soon, that they have something to do."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command_line = [sys.executable, "-c", WITH_WORKERS_AT_ONCE, *map(str, arguments), "--workers", str(workers)]
    return subprocess.run(command_line, env=environment, check=False, **{"capture_output": True, **options})


def subword_nmts(codes, text, **options):
    apply_bpe = pytest.importorskip("subword_nmt.apply_bpe")
    with open(codes) as stream:
        other = apply_bpe.BPE(stream, **options)
    return "".join(map(other.process_line, text.splitlines(keepends=True))).encode()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_files_are_segmented_one_after_the_other_by_any_number_of_workers(workers, codes, tmp_path):
    (tmp_path / "a").write_text(TEXT * 30 + "low")
    (tmp_path / "b.gz").write_bytes(gzip.compress((TEXT * 20).encode()))
    expected = subword_nmts(codes, TEXT * 30 + "low\n" + TEXT * 20)
    arguments = ["--codes", codes, "--input", tmp_path / "a", tmp_path / "b.gz"]
    result = with_workers(*arguments, workers=workers)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == expected
    for name, unpack in (("out", bytes), ("out.gz", gzip.decompress)):
        assert with_workers(*arguments, "--output", tmp_path / name, workers=workers).stdout == b""
        assert unpack((tmp_path / name).read_bytes()) == expected


def test_an_empty_text_is_an_empty_text(codes, tmp_path):
    for name in ("out", "out.gz"):
        assert command("bpe.segment", "--codes", codes, "--output", tmp_path / name).returncode == 0
    assert (tmp_path / "out").read_bytes() == b""
    assert gzip.decompress((tmp_path / "out.gz").read_bytes()) == b""


def test_the_number_of_merges_and_the_separator_are_subword_nmts(codes):
    for number, separator in ((0, "@@"), (4, "__"), (1000, "@@")):
        result = command(
            *("bpe.segment", "--codes", codes, "--num-merges", number, "--separator", separator), data=TEXT.encode()
        )
        assert result.stdout == subword_nmts(codes, TEXT, merges=number, separator=separator)


def test_dropout_follows_from_the_seed_alone(codes, tmp_path):
    (tmp_path / "text").write_text(TEXT * 50)
    arguments = ["--codes", codes, "--input", tmp_path / "text", "--dropout", 0.3]
    one = with_workers(*arguments, "--seed", 7, workers=1).stdout
    assert one.replace(b"@@ ", b"").decode() == TEXT * 50
    assert len(set(one.splitlines())) > 20
    assert with_workers(*arguments, "--seed", 7, workers=3).stdout == one
    assert command("bpe.segment", *arguments, "--seed", 7).stdout == one
    assert command("bpe.segment", *arguments, "--seed", 8).stdout != one
    assert command("bpe.segment", *arguments, "--seed", 1).stdout == command("bpe.segment", *arguments).stdout
    none = command("bpe.segment", "--codes", codes, "--dropout", 0, data=TEXT.encode())
    assert none.stdout == subword_nmts(codes, TEXT)


@pytest.mark.parametrize("workers", [1, 3])
def test_pieces_are_joined_again(workers, codes, tmp_path):
    (tmp_path / "text").write_text(TEXT * 30)
    (tmp_path / "pieces").write_bytes(with_workers("--codes", codes, "--input", tmp_path / "text").stdout)
    result = with_workers("--reverse", "--input", tmp_path / "pieces", workers=workers)
    assert (result.returncode, result.stdout) == (0, (TEXT * 30).encode())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_line_late_in_a_later_file_is_named_and_leaves_no_output(workers, codes, tmp_path):
    (tmp_path / "a").write_text(TEXT * 100)
    (tmp_path / "b").write_bytes((TEXT * 90).encode() + b"low l\xffw\n" + (TEXT * 90).encode())
    arguments = ["--codes", codes, "--input", tmp_path / "a", tmp_path / "b"]
    result = with_workers(*arguments, workers=workers)
    assert_one_line_error(result, f"{tmp_path}/b:271: invalid UTF-8", "0xff at byte 6")
    assert result.stdout == subword_nmts(codes, TEXT * 190)
    (tmp_path / "out").write_text("old")
    for name in ("out", "new.gz"):
        assert_one_line_error(with_workers(*arguments, "--output", tmp_path / name, workers=workers), "b:271")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "codes", "out", "text"]
    assert (tmp_path / "out").read_text() == "old"


def test_a_truncated_file_is_named_after_its_lines(codes, tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress((TEXT * 500).encode())[:-20])
    for workers in (1, 2):
        result = with_workers("--codes", codes, "--input", tmp_path / "a.gz", workers=workers)
        assert_one_line_error(result, "a.gz: truncated or damaged gzip data after line ")
        assert subword_nmts(codes, TEXT * 500).startswith(result.stdout)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's always full device")
def test_a_full_disk_is_named(codes, tmp_path):
    (tmp_path / "text").write_text(TEXT * 50)
    arguments = ["--codes", codes, "--input", tmp_path / "text"]
    for workers in (1, 2):
        result = with_workers(*arguments, "--output", "/dev/full", workers=workers)
        assert_one_line_error(result, "/dev/full: no space left on the device")
        with open("/dev/full", "wb") as full:
            result = with_workers(*arguments, workers=workers, stdout=full, capture_output=False, stderr=-1)
        assert_one_line_error(result, "standard output: no space left on the device")


def test_options_that_do_not_fit_are_refused(codes, tmp_path):
    text = tmp_path / "text"
    for arguments, parts in (
        (["--input", tmp_path / "none"], ["none: no such file"]),
        (["--input", text, "--output", text], ["is also an input file"]),
        (["--output", tmp_path], ["is a folder"]),
        (["--workers", 0], ["0 workers are out of range"]),
        (["--num-merges", -1], ["-1 merges are out of range"]),
        (["--dropout", 1.5], ["1.5 is out of range"]),
        (["--seed", 3], ["--seed needs --dropout"]),
        (["--reverse", "--dropout", 0.1], ["--dropout does not go with --reverse"]),
        (["--reverse", "--glossaries", "x"], ["--glossaries does not go with --reverse"]),
        (["--reverse", "--separator", ""], ["the separator is empty"]),
    ):
        assert_one_line_error(command("bpe.segment", "--codes", codes, *arguments), *parts)
    assert text.read_text() == TEXT


def test_closed_standard_streams_are_named(codes, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for redirection, where in (("<&-", "standard input"), (">&-", "standard output")):
        line = f'exec "{sys.executable}" -m bpe.segment --codes "{codes}" {redirection}'
        result = subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, stderr=-1, env=environment, check=False)
        assert_one_line_error(result, f"{where}: is closed")


def test_a_stopped_command_leaves_no_half_written_file(codes, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", WITH_WORKERS_AT_ONCE, "--codes", codes, "--output", tmp_path / "out"]
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
            process.stdin.write(TEXT.encode() * 100)
            process.stdin.flush()
            while not any(name.endswith(".part") for name in os.listdir(tmp_path)):
                assert process.poll() is None
            process.send_signal(number)
            assert process.wait(timeout=60) == code
            assert b"Traceback" not in process.stderr.read()
        assert sorted(os.listdir(tmp_path)) == ["codes", "text"]
