"""training.average_last: what nmt-train keeps, and what becomes of the average when it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nmt.cli import train
from nmt.folder.averaging import AVERAGE, RECENT, average_files
from nmt.folder.bundle import BEST, load_bundle
from nmt.folder.weights import read_tensors
from tests.tiny_corpus import make_prepared

SETTINGS = {
    "model.embedding_size": 8, "model.hidden_size": 8, "model.dropout": 0, "training.precision": "float32",
    "training.batch_tokens": 200, "training.warmup_updates": 0, "training.ema": 0, "training.validation_metric": "cost",
    "training.validation_beam": 1, "training.validate_every": 4, "training.save_every": 100,
    "training.tensorboard": "false", "training.average_last": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("average"), pairs=200)


def train_model(prepared: Path, model: Path, updates: int, **settings: object) -> int:
    changed = {f"training.{key}": value for key, value in settings.items()}
    values = [word for key, value in (SETTINGS | changed).items() for word in ("--set", f"{key}={value}")]
    words = ["--prepared", str(prepared), "--model", str(model), "--device", "cpu", "--threads", "1", *values]
    return train.main([*words, "--max-updates", str(updates)])


def recent(model: Path) -> list[Path]:
    return sorted((model / RECENT).iterdir(), key=lambda path: int(path.stem))


def test_an_average_that_is_worse_is_kept_beside_the_best(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_model(prepared, tmp_path / "model", 16) == 0  # it learns fast, so the last weights are the best
    assert [path.name for path in recent(tmp_path / "model")] == [f"{n}.safetensors" for n in (8, 12, 16)]
    assert f"not better than update 16, in {AVERAGE}" in capsys.readouterr().err
    found, metadata = read_tensors(tmp_path / "model" / AVERAGE)
    wanted = average_files(recent(tmp_path / "model")).tensors
    assert all(found[name].equal(wanted[name]) for name in wanted)
    assert json.loads(metadata["updates"]) == ["8", "12", "16"]


def test_an_average_that_is_better_becomes_the_best(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"learning_rate": 0.3, "schedule": "constant", "clip_norm": 0}  # it jumps to and fro
    assert train_model(prepared, tmp_path / "model", 40, **settings) == 0
    assert f": better, now {BEST}" in capsys.readouterr().err
    wanted = average_files(recent(tmp_path / "model")).tensors
    found, _ = read_tensors(tmp_path / "model" / BEST)
    assert all(found[name].equal(wanted[name]) for name in wanted)
    last, _ = read_tensors(tmp_path / "model" / "last" / "weights.safetensors")
    newest, _ = read_tensors(recent(tmp_path / "model")[-1])
    assert all(last[name].equal(newest[name]) for name in last)  # the run goes on from its own weights
    load_bundle(tmp_path / "model", torch.device("cpu"))
    state = json.loads((tmp_path / "model" / "last" / "state.json").read_text())
    assert state["best_update"] == 40


def test_starting_over_removes_what_was_kept(prepared: Path, tmp_path: Path) -> None:
    assert train_model(prepared, tmp_path / "model", 12) == 0
    (tmp_path / "model" / "last" / "state.json").unlink()
    words = ["--prepared", str(prepared), "--model", str(tmp_path / "model"), "--force", "--max-updates", "1"]
    small = {key: SETTINGS[key] for key in SETTINGS if key != "training.average_last"}
    values = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    assert train.main([*words, "--device", "cpu", "--threads", "1", *values]) == 0
    assert not (tmp_path / "model" / RECENT).exists()
    assert not (tmp_path / "model" / AVERAGE).exists()
