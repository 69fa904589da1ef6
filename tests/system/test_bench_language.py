"""scripts/bench lm at sizes that take seconds: what it counts, and that both tools train alike. No time is asserted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from bpe.errors import UserError
from scripts.benchmarks import language, train_peers
from scripts.benchmarks.language import DRIVER, multiply_adds_per_word

WORDS, SIZE, STEPS, STREAMS = 40, 8, 5, 3
SPEC: dict[str, Any] = {"words": WORDS, "size": SIZE, "layers": 2, "streams": STREAMS, "dropout": 0.0, "fast": True}


@pytest.fixture(scope="module")
def driver() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_language", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_peers, "PRODUCT_SIZE", 64)


@pytest.mark.usefixtures("small")
def test_both_tools_are_measured_at_the_same_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    threads = torch.get_num_threads()
    try:
        flags = f"--models small --words {WORDS} --size {SIZE} --updates 2 --rounds 1 --warm-up 1 --threads 1 --json"
        language.main([*flags.split(), str(path)])
    finally:
        torch.set_num_threads(threads)
    (table,) = json.loads(path.read_text(encoding="utf-8"))["tables"]
    ours, theirs = table["rows"]
    assert [ours["tool"], theirs["tool"]] == ["ours", "torch.nn.LSTM"]
    assert ours["parameters"] == theirs["parameters"] == 2 * WORDS * SIZE + WORDS + 2 * (8 * SIZE * SIZE + 8 * SIZE)
    assert theirs["ours_faster"] == pytest.approx(theirs["seconds"] / ours["seconds"])
    assert ours["words_per_second"] * ours["seconds"] == pytest.approx(20 * 20)
    assert "ours/it" in capsys.readouterr().out


@pytest.mark.parametrize("tying", ["untied", "tied"])
def test_the_two_trainings_are_one(driver: ModuleType, tying: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the same weights the same updates lead to the same costs and weights."""
    monkeypatch.setattr("nmt.device.keep_freed_memory", lambda: None)
    spec = SPEC | {"tying": tying}
    ours, our_update = driver.ours(spec)
    theirs, their_update = driver.theirs(spec)
    pairs = {"encoder.weight": ours.embeddings.input, "decoder.weight": ours.embeddings.output}
    pairs |= {"decoder.bias": ours.embeddings.output_bias}
    pairs |= {f"rnn.{name}": parameter for name, parameter in ours.lstm.named_parameters()}
    with torch.no_grad():
        for name, parameter in pairs.items():
            theirs.get_parameter(name).copy_(parameter)
    torch.manual_seed(1)
    text = torch.randint(WORDS, (4 * STEPS + 1, STREAMS))
    for start in range(0, 4 * STEPS, STEPS):
        part = (text[start : start + STEPS], text[start + 1 : start + STEPS + 1])
        torch.testing.assert_close(our_update(*part), their_update(*part), rtol=1e-5, atol=1e-5)
    for name, parameter in pairs.items():
        torch.testing.assert_close(parameter, theirs.get_parameter(name), rtol=1e-4, atol=1e-5)


def test_multiply_adds_are_those_of_all_matrices() -> None:
    assert multiply_adds_per_word({"size": 200, "layers": 2, "words": 10_000}) == 2 * 4 * 200 * 400 + 200 * 10_000


def test_numbers_below_one_are_refused() -> None:
    for flags in ("--rounds 0", "--updates 0", "--size 0"):
        with pytest.raises(UserError, match="must be at least 1"):
            language.arguments(flags.split())
