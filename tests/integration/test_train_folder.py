"""nmt-train and what is in its folder: nothing finished is trained over unasked, and nothing of a killed run stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bpe.locks import hold
from nmt.cli import average, convert, train
from nmt.configfile import read_yaml
from nmt.folder.averaging import RecentWeights
from nmt.folder.bundle import load_bundle
from nmt.folder.weights import read_tensors
from nmt.training.checkpoint import mark_begun
from nmt.training.folder import weights_of
from tests.integration.test_train_command import arguments, refused
from tests.tiny_corpus import make_prepared

ROOT = Path(__file__).resolve().parents[2]

WHOLE = ["--max-updates", "15", "--quiet"]
HINT = "name another folder with --model, or remove this model with --force"
NO_LAST = "and no last/ that training could continue from"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"), pairs=200)


@pytest.fixture(scope="module")
def finished(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "model"
    assert train.main(arguments(prepared, folder, *WHOLE)) == 0
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_last(finished: Path, model: Path) -> str:
    shutil.copytree(finished, model)
    shutil.rmtree(model / "last")
    return "a model (best.safetensors)"


def only_recent(finished: Path, model: Path) -> str:
    without_last(finished, model)
    tensors, metadata = read_tensors(model / "best.safetensors")
    RecentWeights(model / "recent", 2).add(5, tensors, metadata)
    (model / "best.safetensors").unlink()
    return "a model (recent/)"


def only_an_average(finished: Path, model: Path) -> str:
    without_last(finished, model)
    (model / "best.safetensors").rename(model / "average.safetensors")
    return "a model (average.safetensors)"


def averaged(finished: Path, model: Path) -> str:
    assert average.main([str(finished), str(finished / "best.safetensors"), "--output", str(model)]) == 0
    return "an average that nmt-average made (best.safetensors)"


def converted(finished: Path, model: Path) -> str:
    names = [str(model.with_name(name)) for name in ("m.npz", "s.json", "t.json")]
    files = [names[0], "--source-vocabulary", names[1], "--target-vocabulary", names[2]]
    assert convert.main(["--to", "dl4mt", *files, "--model", str(finished)]) == 0
    assert convert.main(["--from", "dl4mt", *files, "--model", str(model)]) == 0
    return "a model that nmt-convert made (best.safetensors)"


MODELS = [without_last, only_recent, only_an_average, averaged, converted]


@pytest.mark.parametrize("make", MODELS)
def test_a_model_that_no_run_can_continue_from_stays_until_force(
    make: Callable[[Path, Path], str],
    prepared: Path,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tmp_path / "model"
    what = make(finished, model)
    before = content(model)
    for more in ([], ["--dry-run"]):
        line = refused(arguments(prepared, model, *WHOLE, *more), capsys)
        assert line == f"{model}: holds {what} {NO_LAST}; {HINT}"
        assert content(model) == before
    assert train.main(arguments(prepared, model, *WHOLE, "--dry-run", "--force")) == 0
    assert content(model) == before
    assert train.main(arguments(prepared, model, "--max-updates", "1", "--quiet", "--force")) == 0
    assert weights_of(model) == ["best.safetensors"]
    assert json.loads((model / "last/state.json").read_text())["update"] == 1


def test_a_run_killed_before_its_first_save_starts_anew(prepared: Path, finished: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(finished, tmp_path / "model"))
    (model / "best.safetensors").unlink()
    shutil.rmtree(model / "last")
    mark_begun(model / "last")
    assert train.main(arguments(prepared, model, *WHOLE, "--tying", "untied")) == 0
    assert load_bundle(model, torch.device("cpu")).metadata["tying"] == "untied"
    shutil.rmtree(model / "last")
    (model / "best.safetensors").unlink()
    assert train.main(arguments(prepared, model, *WHOLE)) == 0  # as older versions left it


def test_a_run_killed_between_its_first_validation_and_its_first_save_starts_anew_as_the_same_run(
    prepared: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(finished, tmp_path / "model"))
    shutil.rmtree(model / "last")
    mark_begun(model / "last")
    assert "cannot become 'untied' half way" in refused(arguments(prepared, model, "--tying", "untied"), capsys)
    assert train.main(arguments(prepared, model, *WHOLE)) == 0
    assert (model / "best.safetensors").read_bytes() == (finished / "best.safetensors").read_bytes()
    assert json.loads((model / "last/state.json").read_text())["update"] == 15


def test_a_last_that_lost_its_weights_is_damaged(
    prepared: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(finished, tmp_path / "model"))
    (model / "last/weights.safetensors").unlink()
    assert f"{model / 'last/weights.safetensors'}: no such file" in refused(arguments(prepared, model, *WHOLE), capsys)


def test_a_run_on_data_that_its_manifest_does_not_name(
    prepared: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted(finished, tmp_path / "model")
    shutil.copytree(finished / "last", tmp_path / "model/last")
    line = refused(["--prepared", str(prepared), "--model", str(tmp_path / "model")], capsys)
    assert line.startswith(f"{tmp_path / 'model'}: was trained on other data than {prepared} holds;")


LEFT = [".best.safetensors.k3_x9ab2.part", ".metrics.jsonl.abcdefgh.part", "recent/.5.safetensors.abcdefgh.part"]


@pytest.mark.parametrize("more", [[], ["--max-updates", "16"], ["--force"]])
def test_leftovers_of_killed_runs_go(more: list[str], prepared: Path, finished: Path, tmp_path: Path) -> None:
    """Whether the run is finished, goes on or starts over. What another process is writing is locked, and stays."""
    model = Path(shutil.copytree(finished, tmp_path / "model"))
    (model / "recent").mkdir()
    for name in LEFT:
        (model / name).write_bytes(b"half")
    for name in ("last.new", "last.old"):
        shutil.copytree(model / "last", model / name)
    living = ".shortlist.safetensors.k3_x9ab2.part"
    with hold(model / living) as lock:  # type: ignore[union-attr]
        assert lock.writable()
        assert train.main(arguments(prepared, model, *WHOLE, *more)) == 0
    shutil.rmtree(model / "recent", ignore_errors=True)
    assert {path.name for path in model.iterdir()} == {living, *(path.name for path in finished.iterdir())}


KILLED_AT_BEST = """
import os, signal, sys
from pathlib import Path
from nmt.cli import train
plain, model = os.fsync, Path(sys.argv[1])
def fsync(handle):
    if list(model.glob(".best*.part")):
        os.kill(os.getpid(), signal.SIGKILL)
    plain(handle)
os.fsync = fsync
train.main(sys.argv[2:])
"""


def test_a_run_killed_while_it_writes_its_best_goes_on_and_leaves_nothing(
    prepared: Path, finished: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    wanted = arguments(prepared, model, *WHOLE)
    command = [sys.executable, "-c", KILLED_AT_BEST, str(model), *wanted]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [path.suffix for path in model.glob(".best.safetensors.*")] == [".part"]
    assert train.main(wanted) == 0
    assert {path.name for path in model.iterdir()} == {path.name for path in finished.iterdir()}
    assert (model / "best.safetensors").read_bytes() == (finished / "best.safetensors").read_bytes()


def test_equal_runs_write_equal_files(prepared: Path, finished: Path, tmp_path: Path) -> None:
    """All but the folder's own name, and what tells the time."""
    other = tmp_path / "other"
    assert train.main(arguments(prepared, other, *WHOLE)) == 0
    left, right = content(finished), content(other)
    assert left.keys() == right.keys()
    assert {name for name in left if left[name] != right[name]} <= {"config.yaml", "metrics.jsonl", "last/state.json"}
    values = [read_yaml(folder / "config.yaml") for folder in (finished, other)]
    assert {key for key in values[0] if values[0][key] != values[1][key]} == {"paths.model"}
    states = [json.loads((folder / "last/state.json").read_text()) for folder in (finished, other)]
    differing = {key for key in states[0] if states[0][key] != states[1][key]}
    assert differing <= {"seconds", "cpu_seconds", "peak_memory"}


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({"threads": 7}, "threads 7 -> 1"),
        ({"instructions": "VSX", "workers": 2}, "workers 2 -> 1, instructions VSX -> "),
        ({"torch": "0.1"}, f"torch 0.1 -> {torch.__version__}"),
        ({}, ""),
    ],
)
def test_where_numbers_are_rounded_otherwise_it_is_said(
    before: dict[str, object],
    expected: str,
    prepared: Path,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = Path(shutil.copytree(finished, tmp_path / "model"))
    path = model / "last/state.json"
    state = json.loads(path.read_text())
    known = dict(state["arithmetic"])
    assert (known["threads"], known["workers"]) == (1, 1)
    state["arithmetic"] |= before
    path.write_text(json.dumps(state))
    assert train.main(arguments(prepared, model, "--max-updates", "16")) == 0
    lines = [line for line in capsys.readouterr().err.split("\n") if line.startswith("rounded otherwise: ")]
    assert len(lines) == bool(expected)
    if expected:
        assert lines[0].startswith(f"rounded otherwise: {expected}")
        assert lines[0].endswith("; the run goes on, not to an uninterrupted one's bits")
    assert json.loads(path.read_text())["arithmetic"] == known


def test_a_state_of_before_this_was_noted_is_read(
    prepared: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(finished, tmp_path / "model"))
    state = json.loads((model / "last/state.json").read_text())
    del state["arithmetic"]
    (model / "last/state.json").write_text(json.dumps(state))
    assert train.main(arguments(prepared, model, "--max-updates", "16")) == 0
    assert "rounded otherwise" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--set", "training.max_length=1"], "training.max_length: no pair has at most 1 pieces on both sides"),
        (["--threads", "100000"], "--threads: 100000 threads on "),
        pytest.param(
            ["--device", "cuda"], "--device: no cuda device on this machine",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)  # fmt: skip
def test_force_removes_nothing_before_all_is_checked(
    more: list[str],
    expected: str,
    prepared: Path,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = Path(shutil.copytree(finished, tmp_path / "model"))
    before = content(model)
    assert refused(arguments(prepared, model, *WHOLE, "--force", *more), capsys).startswith(expected)
    assert content(model) == before


def test_a_dry_run_is_refused_where_the_run_would_be(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").touch()
    for more in ([], ["--force"]):
        line = refused(arguments(prepared, tmp_path, "--dry-run", *more), capsys)
        assert line == f"{tmp_path}: holds files that are no model; name another folder with --model"
    line = refused(arguments(prepared, tmp_path / "new", "--dry-run", "--set", "training.max_length=1"), capsys)
    assert line == "training.max_length: no pair has at most 1 pieces on both sides; raise it"
