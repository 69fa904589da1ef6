"""N lines in, N lines out, whatever stands in them; and the same answers from many threads as from one."""

from __future__ import annotations

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmt.cli.translate import main
from nmt.config import SearchConfig
from nmt.folder.bundle import BEST, load_bundle
from nmt.folder.weights import save_tensors, weight_tensors
from nmt.text.vocabulary import UNK
from nmt.translate.lines import Translation
from nmt.translate.translator import Translator
from tests.in_process import call
from tests.tiny_model import make_model_folder

NUM_LINES = 10_000

SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r"
CONTROLS = "".join(chr(code) for code in (*range(10), *range(14, 32), 127, *range(128, 160)))
SPACES = " \t\u00a0\u2003\u3000\u200b\u2060\ufeff"
SCRIPTS = "אבعر\u200f\u202e\u2066\u2069e\u0301\u20ddक्षि日本🙂👩\u200d👩\u200d👧🏳\ufe0f\u200d🌈"
UNASSIGNED = "\ue000\U000f0000\ufdd0\ufffe\uffff\U0010ffff\ufffd"
WORDS = ["<unk>", "</s>", "<pad>", "|||", "@@", "a@@", "▁", "▁a", "only", "source", "the", "cat,", "x.", "&amp;"]
EXTREMES = ["", " ", "\t \u3000", "\x00", "\ufeff", "\r", "\r\r", "|||"]
LONG = ["\u2028" * 300, "e" + "\u0301" * 600, "x" * 3000]


def fuzzed_lines() -> list[str]:
    """Mostly distinct lines, short ones so that they take little time, and some that are anything but."""
    generator = random.Random(7)

    def token() -> str:
        kind = generator.choice([SEPARATORS, CONTROLS, SPACES, SCRIPTS, UNASSIGNED, "abcdefgh", None, None])
        return generator.choice(WORDS) if kind is None else "".join(generator.choices(kind, k=generator.randint(1, 4)))

    lines = [*EXTREMES, *LONG]
    while len(lines) < NUM_LINES - 1:
        lines.append(generator.choice(["", " "]).join(token() for _ in range(generator.randint(0, 4))))
    generator.shuffle(lines)
    return [*lines, "the end"]


LINES = fuzzed_lines()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is fond of unknown pieces, so that words of the source are copied in their place."""
    folder = make_model_folder(tmp_path_factory.mktemp("fuzz") / "model")
    bundle = load_bundle(folder, torch.device("cpu"))
    with torch.no_grad():
        bundle.model.embeddings.output_bias[UNK] += 4
    save_tensors(folder / BEST, weight_tensors(bundle.model), bundle.metadata)
    return folder


def translate(model: Path, *flags: str) -> list[bytes]:
    """The output lines of nmt-translate, as bytes; that there is a last line feed is checked."""
    settings = ("--beam", "2", "--max-length", "4", "--replace-unknown", "--threads", "1", "--device", "cpu")
    done = call(main, ["--model", model, *settings, *flags], model.parent, "\n".join(LINES).encode())
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.split(b"\n")
    assert lines.pop() == b""
    return lines


def test_text_has_a_line_for_each_line(model: Path) -> None:
    found = [line.decode() for line in translate(model)]
    assert len(found) == NUM_LINES
    assert not any("\r" in line for line in found)
    assert not any(text for line, text in zip(LINES, found, strict=True) if not line.strip())
    assert sum(any(ord(character) > 127 for character in line) for line in found) > NUM_LINES / 10  # copied words


@pytest.mark.parametrize("flags", [(), ("--sampling",)])
def test_json_has_an_object_for_each_line(flags: tuple[str, ...], model: Path) -> None:
    found = [json.loads(line) for line in translate(model, "--json", *flags)]
    assert len(found) == NUM_LINES
    for number, (line, entry) in enumerate(zip(LINES, found, strict=True)):
        expected = line.removesuffix("\r") if number else line.removesuffix("\r").removeprefix("\ufeff")
        assert entry["source"] == expected
        assert len(entry["translations"]) == 1


def test_best_lists_hold_every_number_in_order(model: Path) -> None:
    numbers: list[int] = []
    for line in translate(model, "--n-best", "2"):
        number, rest = line.decode().split(" ||| ", 1)
        float(rest.rsplit("||| ", 1)[1])
        numbers.append(int(number))
    assert numbers == sorted(numbers)
    counts = Counter(numbers)
    assert counts.keys() == set(range(NUM_LINES))
    assert set(counts.values()) == {1, 2}


def test_threads_get_what_one_gets(model: Path) -> None:
    bundle, lines = load_bundle(model, torch.device("cpu")), LINES[:200]
    settings = SearchConfig(beam=3, max_length=6)
    translators = [Translator(bundle, settings), Translator(bundle, replace(settings, sampling=True, top_p=0.9))]

    def work(task: int) -> list[list[Translation]]:
        translator, num_best, part = translators[task % 2], 1 + task // 2 % 3, lines[task // 6 * 50 :][:50]
        return translator.translate_detailed(part, num_best=num_best, first_line=task // 6 * 50)

    alone = [work(task) for task in range(24)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, [*range(24), *range(24)]))
    assert together == alone + alone
