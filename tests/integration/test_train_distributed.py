"""nmt-train with several workers: the run of one worker; one voice; and what is saved when a worker is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nmt.cli import train
from nmt.training.reporting import read_metrics
from tests.forked import Forked
from tests.tiny_corpus import make_prepared

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
"Torch's own log tells of a lost connection with a stack of calls."
SMALL = [
    "--threads", "1", "--device", "cpu", "--batch-tokens", "120", "--quiet",
    "--set", "model.embedding_size=8", "--set", "model.hidden_size=10", "--set", "model.dropout=0",
    "--set", "training.save_every=10", "--set", "training.validate_every=8", "--set", "training.log_every=4",
    "--set", "training.tensorboard=false", "--set", "training.ema=0.9", "--set", "training.precision=float32",
    "--set", "training.validation_metric=cost", "--set", "training.warmup_updates=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"))


def arguments(prepared: Path, model: Path, *more: str) -> list[str]:
    return ["--prepared", str(prepared), "--model", str(model), *SMALL, *more]


def start(arguments: Sequence[str], size: int, before: str = "") -> list[Forked]:
    """The workers as torchrun starts them, without the time that it takes. before: what they run first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = QUIET | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    return [Forked(train.main, arguments, told | {"RANK": str(rank)}, before) for rank in range(size)]


def ended(workers: list[Forked]) -> tuple[list[int | None], list[str]]:
    """Exit codes and standard errors."""
    printed = [worker.communicate(timeout=200)[1] for worker in workers]
    return [worker.returncode for worker in workers], printed


def wait_for(path: Path, least: int) -> None:
    """Until metrics.jsonl tells of update `least`."""
    for _ in range(3000):
        if path.exists() and any(record["update"] >= least for record in read_metrics(path)):
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} did not come to update {least}")


def assert_close(one: Path, other: Path) -> None:
    for name in ("last/weights", "last/average", "last/optimizer", "best"):
        left, right = (load_file(folder / f"{name}.safetensors") for folder in (one, other))
        assert left.keys() == right.keys()
        for key in left:
            torch.testing.assert_close(left[key], right[key], rtol=1e-4, atol=1e-5)


def place(model: Path) -> dict[str, object]:
    state = json.loads((model / "last/state.json").read_text())
    return {name: state[name] for name in ("update", "epoch", "batch", "target_tokens", "best_update", "waiting")}


def test_two_workers_make_the_updates_of_one_and_either_goes_on_from_the_other(prepared: Path, tmp_path: Path) -> None:
    one, two, every = tmp_path / "one", tmp_path / "two", ["--set", "training.update_every=2"]
    for limit in ("12", "20"):
        assert train.main(arguments(prepared, one, *every, "--max-updates", limit)) == 0
    codes, printed = ended(start(arguments(prepared, two, *every, "--max-updates", "12"), 2))
    assert (codes, printed) == ([0, 0], ["", ""])
    kinds = [record["kind"] for record in read_metrics(two / "metrics.jsonl")]
    assert (kinds.count("train"), kinds.count("validation")) == (3, 2)
    assert train.main(arguments(prepared, two, *every, "--max-updates", "20")) == 0
    assert_close(one, two)
    assert place(one) == place(two)


def test_workers_untie_together_and_continue_untied(prepared: Path, tmp_path: Path) -> None:
    one, two, more = tmp_path / "one", tmp_path / "two", ["--untie-at", "5"]
    assert train.main(arguments(prepared, one, *more, "--max-updates", "9")) == 0
    for limit in ("7", "9"):
        codes, printed = ended(start(arguments(prepared, two, *more, "--max-updates", limit), 2))
        assert (codes, printed) == ([0, 0], ["", ""])
    assert_close(one, two)


def test_more_workers_than_pairs_in_a_batch_and_a_finished_run(prepared: Path, tmp_path: Path) -> None:
    model, alone = tmp_path / "model", tmp_path / "alone"
    few = ["--set", "training.batch_sentences=2", "--set", "training.normalization=sentences"]
    assert train.main(arguments(prepared, alone, *few, "--max-updates", "12")) == 0
    assert train.main(arguments(prepared, model, *few, "--max-updates", "4")) == 0
    codes, _ = ended(start(arguments(prepared, model, *few, "--max-updates", "12"), 3))
    assert codes == [0, 0, 0]
    assert_close(alone, model)
    assert place(alone) == place(model)


def test_what_is_recorded_of_tying_is_of_the_whole_update(prepared: Path, tmp_path: Path) -> None:
    """Of both workers' gradients; where a batch has a single pair, one of them has none."""
    few = ["--set", "training.batch_sentences=3", "--set", "training.record_tying=true", "--max-updates", "8"]
    assert train.main(arguments(prepared, tmp_path / "one", *few)) == 0
    codes, _ = ended(start(arguments(prepared, tmp_path / "two", *few), 2))
    assert codes == [0, 0]
    one, two = (
        [record for record in read_metrics(tmp_path / name / "metrics.jsonl") if record["kind"] == "tying"]
        for name in ("one", "two")
    )
    assert [record["update"] for record in one] == [4, 8]
    for left, right in zip(one, two, strict=True):
        assert {**left, "kind": 0} == pytest.approx({**right, "kind": 0}, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_worker_ends_the_others_with_the_state_saved(lost: int, prepared: Path, tmp_path: Path) -> None:
    model, whole = tmp_path / "model", tmp_path / "whole"
    workers = start(arguments(prepared, model, "--max-updates", "5000", "--set", "training.validate_every=5000"), 2)
    wait_for(model / "metrics.jsonl", 12)
    workers[lost].kill()
    codes, printed = ended(workers)
    assert codes[lost] == -signal.SIGKILL
    assert codes[1 - lost] == 2
    line = printed[1 - lost]
    assert line.startswith("nmt-train: error: training: another worker was lost after update ")
    kept = f"it is saved in {model / 'last'}" if lost else "what was saved before is kept"
    assert line.endswith(f"{kept}; run the same command, with as many workers as there are, to continue\n")
    assert line.count("\n") == 1
    saved = int(place(model)["update"])  # type: ignore[call-overload]
    assert saved >= (12 if lost else 10)
    limit = ["--max-updates", str(saved + 5)]
    assert train.main(arguments(prepared, model, *limit)) == 0
    assert train.main(arguments(prepared, whole, *limit)) == 0
    assert place(model)["target_tokens"] == place(whole)["target_tokens"]
    left, right = (load_file(folder / "last/weights.safetensors") for folder in (model, whole))
    for key in left:
        torch.testing.assert_close(left[key], right[key], rtol=1e-3, atol=1e-4)


def test_torchrun_and_a_signal_to_it(prepared: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["nmt.cli.train", *arguments(prepared, model, "--max-updates", "5000")]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | QUIET)
    wait_for(model / "metrics.jsonl", 12)
    run.send_signal(signal.SIGTERM)
    printed = run.communicate(timeout=200)[1]
    assert printed.count("nmt-train: stopped by SIGTERM; everything is saved") == 1
    saved = int(place(model)["update"])  # type: ignore[call-overload]
    assert saved >= 12
    assert train.main(arguments(prepared, model, "--max-updates", str(saved + 1))) == 0


OUT_OF_MEMORY = """
import os, torch
import nmt.training.step
def loss(*_):
    raise torch.OutOfMemoryError("CUDA out of memory")
if os.environ["RANK"] == "1":
    nmt.training.step.Updater.loss = loss
"""
FULL_DISK = """
import os
def fsync(_):
    raise OSError(28, "No space left on device")
import nmt.training.loop
save = nmt.training.loop.Trainer.save
def full(self):
    os.fsync = fsync
    save(self)
nmt.training.loop.Trainer.save = full
"""


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (OUT_OF_MEMORY, "nmt-train: error: training.batch_tokens: the largest batch does not fit in memory ("),
        (FULL_DISK, "no space left on the device; free some space and run the command again"),
    ],
    ids=["memory of the second", "disk of the first"],
)
def test_what_one_finds_wrong_ends_all(before: str, expected: str, prepared: Path, tmp_path: Path) -> None:
    codes, printed = ended(start(arguments(prepared, tmp_path / "model", "--max-updates", "50"), 2, before))
    assert codes == [2, 2]
    assert expected in "".join(printed)
    assert "".join(printed).count("\n") == 1


def test_a_mistake_of_all_is_said_once(prepared: Path, tmp_path: Path) -> None:
    codes, printed = ended(start(arguments(prepared, tmp_path / "model", "--set", "training.lerning_rate=1"), 2))
    assert codes == [2, 2]
    assert "".join(printed).startswith("nmt-train: error: --set: unknown key 'training.lerning_rate'; did you mean")
    assert "".join(printed).count("\n") == 1
