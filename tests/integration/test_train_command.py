"""nmt-train: a run that is stopped anywhere and continued equals one that was not; and what it says of mistakes."""

from __future__ import annotations

import errno
import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import bpe.textfiles
from nmt.cli import train
from nmt.config import TrainingConfig
from nmt.folder.bundle import load_bundle
from nmt.tasks.interface import Carried, Loss
from nmt.training.folder import locked
from nmt.training.reporting import read_metrics
from nmt.training.step import Updater
from tests.forked import Forked
from tests.tiny_corpus import make_prepared

CPU = torch.device("cpu")
SMALL = [
    "--threads", "1", "--device", "cpu", "--batch-tokens", "120",
    "--set", "model.embedding_size=8", "--set", "model.hidden_size=10", "--set", "model.dropout=0.2",
    "--set", "training.save_every=10", "--set", "training.validate_every=15", "--set", "training.log_every=5",
    "--set", "training.tensorboard=false", "--set", "training.ema=0.9", "--set", "training.precision=float32",
]  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"))


def arguments(prepared: Path, model: Path, *more: str) -> list[str]:
    return ["--prepared", str(prepared), "--model", str(model), *SMALL, *more]


@pytest.fixture(scope="module")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    assert train.main(arguments(prepared, folder, "--max-updates", "50", "--quiet")) == 0
    return folder


def process(arguments: Sequence[str]) -> Forked:
    return Forked(train.main, arguments)


def stop_at(run: Forked, line_start: str, number: int) -> tuple[int, str]:
    """Send a signal when a line is printed; the exit code and all that was printed."""
    seen = []
    for line in run.stderr:
        seen.append(line)
        if line.startswith(line_start):
            run.send_signal(number)
            break
    return run.wait(), "".join([*seen, run.communicate(0)[1]])


def assert_same_run(one: Path, other: Path) -> None:
    for name in (
        "best.safetensors",
        "last/weights.safetensors",
        "last/optimizer.safetensors",
        "last/average.safetensors",
    ):
        left, right = load_file(one / name), load_file(other / name)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left), name
    timeless = [
        [
            {k: v for k, v in r.items() if "second" not in k and k != "peak_memory"}
            for r in read_metrics(folder / "metrics.jsonl")
        ]
        for folder in (one, other)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize("line", ["update 5 ", "update 25 ", "validation at update 30"])
def test_a_killed_run_continues_to_the_same_bits(
    line: str, prepared: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    wanted = arguments(prepared, tmp_path / "model", "--max-updates", "50")
    code, _ = stop_at(process(wanted), line, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert train.main([*wanted, "--quiet"]) == 0
    assert_same_run(uninterrupted, tmp_path / "model")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_and_leave(number: int, prepared: Path, uninterrupted: Path, tmp_path: Path) -> None:
    wanted = arguments(prepared, tmp_path / "model", "--max-updates", "50")
    code, printed = stop_at(process(wanted), "update 20 ", number)
    name = signal.Signals(number).name
    assert code == 128 + number
    assert f"nmt-train: stopped by {name}; everything is saved, run the same command to continue" in printed
    saved = json.loads((tmp_path / "model/last/state.json").read_text())["update"]
    assert 20 <= saved < 50
    assert train.main([*wanted, "--quiet"]) == 0
    assert_same_run(uninterrupted, tmp_path / "model")


def test_a_run_in_two_parts_equals_one_in_one(prepared: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Training to update 17 and then, by a raised limit, to 50; only the extra validation at 17 differs."""
    for limit in ("17", "50"):
        assert train.main(arguments(prepared, tmp_path / "model", "--max-updates", limit, "--quiet")) == 0
    left, right = (load_file(folder / "last/weights.safetensors") for folder in (uninterrupted, tmp_path / "model"))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_what_it_tells_and_writes(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    assert train.main(arguments(prepared, model, "--max-updates", "20", "--tying", "decoder")) == 0
    printed = capsys.readouterr().err
    assert "en -> de, decoder tying, in float32" in printed
    assert "embeddings.output" in printed
    assert "= embeddings.target_input" in printed
    assert "<- this model" in printed
    for word in ("loss", "tokens/s", "rate", "gradient", "left", "validation at update 15", "BLEU", "reference"):
        assert word in printed
    kinds = [record["kind"] for record in read_metrics(model / "metrics.jsonl")]
    assert kinds.count("train") == 4
    assert kinds.count("validation") == 2
    names = {path.name for path in model.iterdir()}
    assert names == {
        "config.yaml", "manifest.json", "vocabulary.json", "text.json", "bpe.codes", "best.safetensors", "last",
        "metrics.jsonl",
    }  # fmt: skip
    bundle = load_bundle(model, CPU)
    assert bundle.metadata["tying"] == "decoder"
    assert bundle.config.prep.source == "en"


def test_a_dry_run_prints_the_ledger_and_leaves_nothing(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(arguments(prepared, tmp_path / "model", "--tying", "untied", "--dry-run")) == 0
    printed = capsys.readouterr().out
    for word in ("untied  ", "decoder  ", "three-way  ", "<- this model", "embeddings.output_bias", "padding"):
        assert word in printed
    assert not (tmp_path / "model").exists()


def test_a_finished_run_says_so_and_does_nothing(
    uninterrupted: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (uninterrupted / "last/state.json").stat().st_mtime_ns
    assert train.main(["--prepared", str(prepared), "--model", str(uninterrupted), "--threads", "1"]) == 0
    printed = capsys.readouterr().err
    assert "is already finished (50 updates of 50). Raise --max-updates" in printed
    assert (uninterrupted / "last/state.json").stat().st_mtime_ns == before


def test_a_new_learning_rate_is_used_and_said(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    assert train.main(arguments(prepared, model, "--max-updates", "5", "--quiet")) == 0
    more = ["--max-updates", "10", "--set", "training.learning_rate=0.5", "--set", "training.warmup_updates=0"]
    assert train.main(arguments(prepared, model, *more, "--set", "training.schedule=constant")) == 0
    printed = capsys.readouterr().err
    before = TrainingConfig().learning_rate
    assert f"changed: training.learning_rate {before} -> 0.5 (the new value is used)" in printed
    assert read_metrics(model / "metrics.jsonl")[-2]["learning_rate"] == 0.5


def test_force_starts_over_and_touches_nothing_else(prepared: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    assert train.main(arguments(prepared, model, "--max-updates", "5", "--quiet")) == 0
    (model / "notes.txt").write_text("mine")
    assert train.main(arguments(prepared, model, "--max-updates", "5", "--tying", "untied", "--force", "--quiet")) == 0
    assert load_bundle(model, CPU).metadata["tying"] == "untied"
    assert (model / "notes.txt").read_text() == "mine"


def test_two_runs_do_not_share_a_folder(
    prepared: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy_of(uninterrupted, tmp_path / "model")
    with locked(model):
        line = refused(arguments(prepared, model, "--max-updates", "60"), capsys)
    assert line == f"{model}: another nmt-train is at work in this folder; wait for it, or name another --model"


def test_force_removes_nothing_where_the_new_run_cannot_begin(
    prepared: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy_of(uninterrupted, tmp_path / "model")
    refused(arguments(tmp_path / "nothing", model, "--force"), capsys)
    refused(arguments(prepared, model, "--force", "--set", "training.seed=-1"), capsys)
    assert_same_run(uninterrupted, model)


def refused(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error with exit code 2."""
    capsys.readouterr()
    assert train.main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.split("\n") if line.startswith("nmt-train: error: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("nmt-train: error: ")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            ["--set", "training.lerning_rate=1"],
            "--set: unknown key 'training.lerning_rate'; did you mean 'training.learning_rate'?",
        ),
        (["--set", "learning_rate=1"], "--set: unknown key 'learning_rate'; did you mean 'training.learning_rate' or"),
        (["--set", "training.learning_rate=fast"], "--set: training.learning_rate is 'fast', a str; it must be float"),
        (["--set", "model.dropout=1"], "model.dropout: 1.0 is out of range: it must be at least 0 and below 1"),
        (["--set", "training.seed"], "--set: 'training.seed' is not KEY=VALUE; for example training.seed=2"),
        (["--tying", "two-way"], "model.tying: unknown value 'two-way'; choose one of untied, decoder, three-way"),
        (["--architecture", "cnn"], "model.architecture: unknown value 'cnn'; choose one of rnn"),
        (["--max-updates", "many"], "argument --max-updates: invalid int value: 'many'; see nmt-train --help"),
        (["--max-updates", "0"], "training.max_updates: 0 is out of range: it must be 1 or more"),
        (["--threads", "100000"], "--threads: 100000 threads on "),
        (["--config", "none.yaml"], "none.yaml: cannot be read (No such file or directory); check --config"),
        (["--set", "training.max_length=1"], "training.max_length: no pair has at most 1 pieces on both sides"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    more: list[str], expected: str, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(arguments(prepared, tmp_path / "model", *more), capsys).startswith(expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(arguments(prepared, tmp_path / "m", "--device", "cuda"), capsys)
    assert line.startswith("--device: no cuda device on this machine; available: ")


def test_recipes_are_checked(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    for text, expected in [
        ("training:\n  seed: 1\n seed: 2\n", f"{recipe}:3: not valid YAML"),
        ("trainig:\n  seed: 1\n", f"{recipe}: unknown key 'trainig.seed'; did you mean 'training.seed'?"),
        ("- 1\n", f"{recipe}: a recipe is a mapping of sections, not list"),
        ("training: 3\n", f"{recipe}: unknown key 'training'"),
    ]:
        recipe.write_text(text)
        assert refused(arguments(prepared, tmp_path / "model", "--config", str(recipe)), capsys).startswith(expected)


def test_folders_that_do_not_fit(
    prepared: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "nothing"
    line = refused(arguments(missing, tmp_path / "model"), capsys)
    assert line == f"{missing}: no such folder; run nmt-prep first, or name the folder with --prepared"
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    line = refused(arguments(prepared, other), capsys)
    assert line == f"{other}: holds files that are no model; name another folder with --model"
    line = refused(arguments(prepared, uninterrupted, "--tying", "untied"), capsys)
    assert line.startswith(
        f"{uninterrupted}: this run has model.tying = 'three-way', which cannot become 'untied' half way;"
    )
    more = make_prepared(tmp_path / "more", pairs=300)
    line = refused(arguments(more, uninterrupted), capsys)
    assert line.startswith(f"{uninterrupted}: was trained on other data than {more} holds;")


def copy_of(uninterrupted: Path, folder: Path) -> Path:
    return Path(shutil.copytree(uninterrupted, folder))


def test_damaged_checkpoints_are_named(
    prepared: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy_of(uninterrupted, tmp_path / "model")
    weights = model / "last/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    line = refused(arguments(prepared, model, "--max-updates", "60"), capsys)
    assert line.startswith(f"{weights}: truncated or not a safetensors file")
    assert line.endswith("or start over with --force")
    (model / "last/state.json").write_text("{")
    weights.write_bytes((uninterrupted / "last/weights.safetensors").read_bytes())
    line = refused(arguments(prepared, model, "--max-updates", "60"), capsys)
    assert line.startswith(f"{model / 'last/state.json'}: damaged checkpoint")


def test_a_run_killed_while_checkpoints_were_swapped_goes_on(
    prepared: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    model = copy_of(uninterrupted, tmp_path / "model")
    (model / "last").rename(model / "last.old")
    assert train.main(arguments(prepared, model, "--max-updates", "51", "--quiet")) == 0
    assert json.loads((model / "last/state.json").read_text())["update"] == 51


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = Updater.loss
    calls = []

    def poisoned(self: Updater, batch: object, carried: Carried) -> Loss:
        calls.append(1)
        found = plain(self, batch, carried)
        return found._replace(loss=found.loss * float("nan")) if len(calls) == 9 else found

    monkeypatch.setattr(Updater, "loss", poisoned)
    line = refused(arguments(prepared, tmp_path / "model", "--max-updates", "50"), capsys)
    assert line.startswith("training: loss nan, gradient norm nan at update 8 (epoch 1, batch 8: ")
    assert "lower training.learning_rate and run again" in line
    assert json.loads((tmp_path / "model/last/state.json").read_text())["update"] == 7
    assert all(bool(t.isfinite().all()) for t in load_file(tmp_path / "model/last/weights.safetensors").values())


def test_a_batch_that_does_not_fit_is_found_first(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def out_of_memory(*_: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Updater, "loss", out_of_memory)
    line = refused(arguments(prepared, tmp_path / "model"), capsys)
    assert line.startswith("training.batch_tokens: the largest batch does not fit in memory (")
    assert line.endswith("lower training.batch_tokens or training.max_length")


def test_a_full_disk_does_not_harm_the_checkpoint_before(
    prepared: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = copy_of(uninterrupted, tmp_path / "model")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bpe.textfiles.os, "fsync", full)
    line = refused(arguments(prepared, model, "--max-updates", "60"), capsys)
    assert "no space left on the device; free some space and run the command again" in line
    monkeypatch.undo()
    assert json.loads((model / "last/state.json").read_text())["update"] == 50
    assert train.main(arguments(prepared, model, "--max-updates", "60", "--quiet")) == 0


def test_a_checkpoint_of_another_model_is_refused(
    prepared: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    assert train.main(arguments(prepared, model, "--max-updates", "2", "--tying", "untied", "--quiet")) == 0
    shutil.rmtree(model / "last")
    copy_of(uninterrupted / "last", model / "last")
    line = refused(arguments(prepared, model, "--max-updates", "60", "--tying", "untied"), capsys)
    assert line.startswith(f"{model / 'last/weights.safetensors'}: belongs to another model; restore ")


def test_what_the_best_is_cannot_change_half_way(
    prepared: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cost below the best BLEU would never be the best again, and patience would end the run."""
    model = copy_of(uninterrupted, tmp_path / "model")
    more = ["--max-updates", "60", "--set", "training.validation_metric=cost"]
    line = refused(arguments(prepared, model, *more), capsys)
    assert f"{model}: this run has training.validation_metric = 'bleu', which cannot become 'cost' half way" in line
