"""nmt-train and what is not finite: left out up to a limit, said, and exact; on a device that is not waited for too."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import nmt.training.loop
from nmt.cli import train
from nmt.training.reporting import read_metrics
from nmt.training.step import Updater
from tests.integration.test_train_command import arguments, assert_same_run, refused
from tests.tiny_corpus import make_prepared
from tests.unit.nmt.test_updates import poison


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"), pairs=300)


def test_a_run_whose_device_is_not_waited_for_is_the_same_run(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, deferred in (("eager", False), ("lazy", True)):
        monkeypatch.setattr(nmt.training.loop, "Updater", partial(Updater, deferred=deferred))
        assert train.main(arguments(prepared, tmp_path / name, "--max-updates", "23", "--quiet")) == 0
    assert_same_run(tmp_path / "eager", tmp_path / "lazy")


@pytest.mark.parametrize("deferred", [False, True])
def test_what_is_left_out_is_said_counted_and_limited(
    deferred: bool, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Call 1 is the largest batch: the updates 3, 4 and 7 are left out, and of 11, 12 and 13 the last is too many."""
    model = tmp_path / "model"
    monkeypatch.setattr(nmt.training.loop, "Updater", partial(Updater, deferred=deferred))
    poison(monkeypatch, 4, 5, 8, 12, 13, 14)
    wanted = arguments(prepared, model, "--max-updates", "20", "--quiet", "--set", "training.skip_nonfinite=2")
    assert train.main(wanted) == 2
    printed = capsys.readouterr().err.split("\n")[:-1]
    assert [line.split(" (")[0] for line in printed[:-1]] == [
        f"left out: loss nan, gradient norm nan at update {number}" for number in (3, 4, 7, 11, 12)
    ]
    assert printed[-1].startswith(
        "nmt-train: error: training: loss nan, gradient norm nan at update 13 (epoch 1, batch 13"
    )
    state = json.loads((model / "last/state.json").read_text())
    assert (state["update"], state["batch"], state["skipped"], state["skipped_in_a_row"]) == (12, 12, 5, 2)
    records = [record for record in read_metrics(model / "metrics.jsonl") if record["kind"] == "train"]
    assert all(np.isfinite(record["cross_entropy"]) for record in records)
    monkeypatch.undo()
    assert train.main(wanted) == 0
    assert all(bool(t.isfinite().all()) for t in load_file(model / "best.safetensors").values())


def test_what_an_update_is_cannot_change_half_way(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = ["--set", "training.update_every=3"]
    assert train.main(arguments(prepared, tmp_path / "m", *every, "--max-updates", "2", "--quiet")) == 0
    assert json.loads((tmp_path / "m/last/state.json").read_text())["batch"] == 6
    line = refused(arguments(prepared, tmp_path / "m", "--set", "training.update_every=1"), capsys)
    assert "this run has training.update_every = 3, which cannot become 1 half way" in line


def test_a_worker_whose_loss_is_read_later_sets_the_run_back(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The eighth update lacks a part, which the host learns after the tenth; the state saved is the seventh's."""
    read, whole, model = Updater.read, tmp_path / "whole", tmp_path / "model"
    assert train.main(arguments(prepared, whole, "--max-updates", "7", "--quiet")) == 0
    seen = []

    def incomplete(self: Updater) -> object:
        results = read(self)
        seen.extend(results)
        return [replace(r, complete=False) if len(seen) >= 8 and r is seen[7] else r for r in results]

    def refusing(self: Updater, totals: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return torch.tensor(len(calls) >= 8)

    calls: list[int] = []
    monkeypatch.setattr(nmt.training.loop, "Updater", partial(Updater, deferred=True))
    monkeypatch.setattr(Updater, "read", incomplete)
    monkeypatch.setattr(Updater, "_must_not", refusing)
    line = refused(arguments(prepared, model, "--max-updates", "50"), capsys)
    assert line.startswith(f"training: another worker was lost after update 7; it is saved in {model / 'last'}; run ")
    state = json.loads((model / "last/state.json").read_text())
    assert (state["update"], state["batch"]) == (7, 7)
    left, right = (load_file(folder / "last/weights.safetensors") for folder in (whole, model))
    assert all(torch.equal(left[name], right[name]) for name in left)
