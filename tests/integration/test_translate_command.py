"""nmt-translate: N lines in, N lines out, whatever the lines and the pipe are; where it matters, as a process."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nmt.cli.pipes import BLOCK_LINES
from nmt.cli.translate import main
from nmt.translate.translator import Translator
from tests.in_process import call
from tests.tiny_model import make_model_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_folder(tmp_path_factory.mktemp("translate") / "model")


def command(arguments: Sequence[object]) -> list[str]:
    settings = ("--device", "cpu", "--threads", "1", "--quiet")  # quiet: of translations that were cut
    return [sys.executable, "-m", "nmt.cli.translate", *settings, *map(str, arguments)]


def options(folder: Path) -> dict[str, Any]:
    return {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(ROOT)}}


def in_a_process(folder: Path, *arguments: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(arguments), input=data, capture_output=True, check=False, **options(folder))


def translate(folder: Path, *arguments: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return call(main, ["--device", "cpu", "--threads", "1", *arguments], folder, data)


def fuzzed_lines(seed: int, count: int) -> list[str]:
    """Lines of every kind of character but LF: controls, NUL, CR, separators, emoji, combining marks, long words."""
    chance = random.Random(seed)
    strange = [
        "\x00",
        "\r",
        "\x0b",
        "\x1b[31m",
        "\x85",
        "\u2028",
        "\xa0",
        "\u200b",
        "🙂",
        "e\u0301",
        "\ufeff",
        "\U0010ffff",
        "@@",
    ]
    lines = []
    for _ in range(count):
        words = ["".join(chance.choices("abcdexyz.,", k=chance.randint(1, 6))) for _ in range(chance.randint(0, 9))]
        words += chance.sample(strange, chance.randint(0, 3))
        chance.shuffle(words)
        lines.append(chance.choice([" ", "", "\t"]).join(words))
    return [*lines, "", " ", "a " * 700, "x" * 3000]


def test_as_many_lines_out_as_in_in_order(model: Path) -> None:
    lines = fuzzed_lines(1, 150)
    result = in_a_process(model.parent, "--model", model, data="\n".join(lines).encode())
    assert (result.returncode, result.stderr) == (0, b"")
    out = result.stdout.decode().split("\n")
    assert out.pop() == ""
    assert len(out) == len(lines)
    cleaned = [line.removesuffix("\r") for line in lines]
    cleaned[0] = cleaned[0].removeprefix("\ufeff")
    assert out == Translator.load(model, device="cpu").translate(cleaned)


def test_the_default_folder_flags_and_files(model: Path) -> None:
    (model.parent / "in.txt").write_bytes(b"the cat\r\n\r\nsat")
    flags = ("--beam", 2, "--set", "search.length_penalty=0", "--input", "in.txt", "--output", "out.txt", "--quiet")
    result = translate(model.parent, *flags)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    lines = (model.parent / "out.txt").read_text().split("\n")
    assert len(lines) == 4
    assert lines[0]
    assert not lines[1]
    assert lines[2]
    assert not lines[3]


def test_nothing_in_nothing_out(model: Path) -> None:
    result = in_a_process(model.parent, data=b"")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_lines_before_invalid_utf8_are_answered(model: Path) -> None:
    result = in_a_process(model.parent, data=b"the cat\n\ncaf\xe9 x\nmore\n")
    assert result.returncode == 2
    assert result.stdout.count(b"\n") == 2
    assert result.stderr.decode() == (
        "nmt-translate: error: standard input:3: invalid UTF-8: byte 0xe9 at byte 4 of the line; "
        "convert the file to UTF-8 (iconv -f ENCODING -t UTF-8) or remove the line\n"
    )


def test_each_line_of_a_slow_pipe_is_answered_before_the_next(model: Path) -> None:
    process = subprocess.Popen(command([]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options(model.parent))
    assert process.stdin
    assert process.stdout
    for line in (b"the cat\n", b"\n", b"dogs\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline().endswith(b"\n")
    process.stdin.write(b"no line end")
    process.stdin.close()
    assert process.stdout.read().endswith(b"\n")
    assert process.wait() == 0


def test_a_reader_that_leaves_ends_it_quietly(model: Path) -> None:
    process = subprocess.Popen(
        command([]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options(model.parent)
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stdin.write(b"the cat\n")
    process.stdin.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


def test_ctrl_c_while_waiting(model: Path) -> None:
    process = subprocess.Popen(
        command([]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options(model.parent)
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write(b"the cat\n")
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert process.stderr.read() == b"nmt-translate: interrupted\n"
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nowhere"], "nowhere: no such folder; train a model with nmt-train, or name one with --model"),
        (["--beam", "0"], "search.beam: 0 is out of range: it must be 1 or more"),
        (["--set", "search.baem=2"], "--set: unknown key 'search.baem'; did you mean 'search.beam'?"),
        (
            ["--set", "model.hidden_size=9"],
            "--set: model.hidden_size is fixed once a model is trained; search.* can be set here",
        ),
        (["--input", "nowhere.txt"], "nowhere.txt: no such file; check the path"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate; see nmt-translate --help"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(model: Path, arguments: list[str], message: str) -> None:
    result = translate(model.parent, *arguments, data=b"the cat\n")
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.decode() == f"nmt-translate: error: {message}\n"


def test_damaged_gzip_is_answered_as_far_as_it_goes(model: Path) -> None:
    lines = "".join(f"cat {random.Random(n).random()}\n" for n in range(3000)).encode()
    (model.parent / "whole.gz").write_bytes(gzip.compress(b"the cat\nsat\n"))
    (model.parent / "cut.gz").write_bytes(gzip.compress(lines)[:-20000])
    assert translate(model.parent, "--input", "whole.gz", "--beam", 1).stdout.count(b"\n") == 2
    result = translate(model.parent, "--input", "cut.gz", "--beam", 1)
    assert result.returncode == 2
    assert result.stdout.count(b"\n") > 100
    assert result.stderr.startswith(b"nmt-translate: error: cut.gz: truncated or damaged gzip data")


def test_a_device_as_output_stays_a_device(model: Path) -> None:
    result = in_a_process(model.parent, "--output", "/dev/stdout", data=b"the cat\n")
    assert result.returncode == 0
    assert result.stdout.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_in_one_line(model: Path) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            command([]), input=b"the cat\n", stdout=full, stderr=subprocess.PIPE, check=False, **options(model.parent)
        )
    assert result.returncode == 2
    assert result.stderr.count(b"\n") == 1
    assert b"standard output: no space left on the device" in result.stderr


def test_n_best_lists_are_numbered_and_fall_in_score(model: Path) -> None:
    lines = ["abc", "", "dec one"]
    result = translate(model.parent, "--model", model, "--n-best", "3", data="\n".join(lines).encode())
    assert result.returncode == 0, result.stderr
    rows = [row.split(" ||| ") for row in result.stdout.decode().split("\n")[:-1]]
    best = Translator.load(model, device="cpu").translate(lines)
    for number in range(3):
        mine = [row for row in rows if row[0] == str(number)]
        scores = [float(row[2]) for row in mine]
        assert len(mine) == (3 if lines[number] else 1)
        assert scores == sorted(scores, reverse=True)
        assert mine[0][1] == best[number]


def test_json_lines_hold_the_text_and_its_probability(model: Path) -> None:
    result = translate(model.parent, "--model", model, "--json", data="abc\n \n".encode())
    assert result.returncode == 0, result.stderr
    records = [json.loads(row) for row in result.stdout.decode().split("\n")[:-1]]
    assert [record["source"] for record in records] == ["abc", " "]
    best = records[0]["translations"][0]
    assert best["text"] == Translator.load(model, device="cpu").translate(["abc"])[0]
    assert best["log_prob"] < 0


def test_n_best_beyond_the_beam_is_one_line(model: Path) -> None:
    result = translate(model.parent, "--model", model, "--n-best", "9", "--beam", "3", data=b"abc\n")
    assert result.returncode == 2
    assert result.stderr.decode() == (
        "nmt-translate: error: search.beam: 9 translations of each sentence asked of a beam of 3; "
        "raise the beam or ask for fewer\n"
    )


def test_n_best_numbers_go_on_from_block_to_block(model: Path) -> None:
    """More lines than one block holds: the number is that of the line in the whole input."""
    lines = ["a"] * (BLOCK_LINES + 3)
    result = translate(model.parent, "--model", model, "--n-best", "1", data="\n".join(lines).encode())
    assert result.returncode == 0, result.stderr
    numbers = [int(row.split(" ||| ")[0]) for row in result.stdout.decode().split("\n")[:-1]]
    assert numbers == list(range(len(lines)))
