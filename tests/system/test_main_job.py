"""The main job as a user does it: three commands in a folder with a corpus/, each a process of its own (in one of the
three modes: the others differ in what the commands compute)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nmt.cli import evaluate, prep, train, translate
from tests.in_process import call
from tests.tiny_corpus import make_corpus

pytest.importorskip("sacremoses")

ROOT = Path(__file__).resolve().parents[2]
PREP = ("prep", "--joint-bpe", "89500")

RECIPE = """\
model: {embedding_size: 32, hidden_size: 48, dropout: 0.1, initialization: scaled}
training:
  learning_rate: 0.01
  warmup_updates: 20
  batch_tokens: 400
  max_updates: 210
  validate_every: 105
  precision: float32
  tensorboard: false
runtime: {device: cpu, threads: 1}
"""


def command(folder: Path, *words: str, stdin: Path | None = None, expect: int = 0) -> tuple[str, str]:
    """Run one of the commands as `nmt-NAME ...` does; its standard output and standard error."""
    line = [sys.executable, "-m", f"nmt.cli.{words[0]}", *words[1:]]
    with open(stdin or os.devnull, "rb") as stream:
        done = subprocess.run(
            line,
            cwd=folder,
            stdin=stream,
            capture_output=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=False,
        )
    assert done.returncode == expect, done.stderr
    return done.stdout, done.stderr


MAINS = {"prep": prep.main, "train": train.main, "evaluate": evaluate.main, "translate": translate.main}


def here(folder: Path, *words: str, stdin: Path | None = None, expect: int = 0) -> tuple[str, str]:
    """The same in this process."""
    done = call(MAINS[words[0]], words[1:], folder, stdin.read_bytes() if stdin else b"")
    assert done.returncode == expect, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def workplace(folder: Path) -> Path:
    make_corpus(folder / "corpus")
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "input.en").write_text(
        "The red dog sees Anna today.\n\nthe cat hears a bird.\n  \nBerlin finds Anna here."
    )
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first of the three commands was run."""
    folder = workplace(tmp_path_factory.mktemp("job"))
    printed, told = command(folder, *PREP)
    assert "Prepared en -> de in prepared" in printed
    learned = json.loads((folder / "prepared/manifest.json").read_text())["subwords"]["learned"]
    assert 0 < learned < 89_500
    assert f"learned {learned:,} of 89,500 merges: " in told
    return folder


@pytest.mark.parametrize(("tying", "command"), [("three-way", command), ("decoder", here), ("untied", here)])
def test_three_commands_learn_to_translate(
    tying: str, command: Callable[..., tuple[str, str]], prepared: Path, tmp_path: Path
) -> None:
    for name in ("prepared", "corpus", "input.en", "recipe.yaml"):
        (tmp_path / name).symlink_to(prepared / name)
    _, told = command(tmp_path, "train", "--tying", tying, "--config", "recipe.yaml")
    assert f"en -> de, {tying} tying, in float32" in told
    printed, _ = command(tmp_path, "evaluate", "--json")
    report = json.loads(printed)
    assert report["bleu"] >= 80
    assert report["num_lines"] == 30
    assert report["weights"]["tying"] == tying
    assert "tok:13a" in report["signatures"]["bleu"]
    for name in ("prepared", "corpus", "recipe.yaml"):  # the model folder needs nothing else, wherever it lies
        (tmp_path / name).unlink()
    before, _ = command(tmp_path, "translate", stdin=tmp_path / "input.en")
    lines = before.split("\n")
    assert lines[-1] == ""
    assert [bool(line) for line in lines[:-1]] == [True, False, True, False, True]
    assert lines[0].endswith(".")
    shutil.move(tmp_path / "model", tmp_path / "some where else")
    after, _ = command(tmp_path, "translate", "--model", "some where else", stdin=tmp_path / "input.en")
    assert after == before


SHORT = ("--config", "recipe.yaml", "--max-updates", "40", "--set", "training.validate_every=20")


def test_tokenised_text_never_needs_sacremoses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacremoses", None)  # as where it is not installed
    here(workplace(tmp_path), *PREP, "--tokenizer", "none")
    _, told = here(tmp_path, "train", "--tying", "three-way", *SHORT)
    assert "BLEU" in told
    printed, _ = here(tmp_path, "translate", stdin=tmp_path / "input.en")
    assert len(printed.split("\n")) - 1 == 5


def test_data_of_moses_trains_without_sacremoses_where_cost_is_the_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(workplace(tmp_path), *PREP, "--tokenizer", "moses")
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    _, told = here(tmp_path, "train", *SHORT, expect=2)
    assert "sacremoses" in told.split("\n")[-2]
    assert told.split("\n")[-2].startswith("nmt-train: error: training.validation_metric: ")
    assert "update " not in told
    assert "Traceback" not in told
    _, told = here(tmp_path, "train", *SHORT, "--set", "training.validation_metric=cost")
    assert "validation without BLEU: " in told
    validations = [line for line in told.split("\n") if line.startswith("validation at update ")]
    assert len(validations) == 2
    assert not any("BLEU" in line for line in validations)
    monkeypatch.undo()
    (tmp_path / "input.en").write_text("the cat sees Anna.\n")
    printed, _ = here(tmp_path, "translate", stdin=tmp_path / "input.en")
    assert printed.count("\n") == 1
