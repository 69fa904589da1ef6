"""nmt-average as a person runs it: of a run's newest checkpoints, and of files and folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from bpe.textfiles import sha256_of
from nmt.cli import average, translate
from nmt.folder.averaging import RecentWeights
from nmt.folder.bundle import BEST, load_bundle
from nmt.folder.weights import read_tensors, weight_metadata, weight_tensors
from nmt.layers.tying import unique_parameters
from tests.tiny_model import make_model_folder

CPU = torch.device("cpu")


def parameters(folder: Path) -> dict[str, torch.Tensor]:
    return dict(unique_parameters(load_bundle(folder, CPU).model))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mean_of(first: Path, second: Path) -> dict[str, torch.Tensor]:
    others = parameters(second)
    return {name: ((one.double() + others[name].double()) / 2).float() for name, one in parameters(first).items()}


def same(folder: Path, wanted: dict[str, torch.Tensor]) -> bool:
    found = parameters(folder)
    return found.keys() == wanted.keys() and all(found[name].equal(tensor) for name, tensor in wanted.items())


def call(*words: object) -> int:
    return average.main(list(map(str, words)))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [make_model_folder(tmp_path / str(seed), seed=seed) for seed in (1, 2)]


@pytest.mark.parametrize("tying", ["untied", "decoder", "three-way"])
def test_an_average_of_folders_is_a_model_folder(
    tying: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [make_model_folder(tmp_path / str(seed), seed=seed, tying=tying) for seed in (1, 2)]
    before = [content(folder) for folder in folders]
    output = tmp_path / "new" / "average"
    assert call(*folders, "--output", output) == 0
    assert f"nmt-translate --model {output} reads it" in capsys.readouterr().err
    assert same(output, mean_of(*folders))
    for name, data in content(folders[0]).items():
        if name not in (BEST, "manifest.json"):
            assert (output / name).read_bytes() == data
    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    hashes = [{"weights": str(folder / BEST), "sha256": sha256_of(folder / BEST)} for folder in folders]
    assert manifest["averaged"] == hashes
    assert [content(folder) for folder in folders] == before
    assert [path.name for path in output.parent.iterdir()] == ["average"]
    (tmp_path / "input").write_text("a b c\n", encoding="utf-8")
    files = ["--input", str(tmp_path / "input"), "--output", str(tmp_path / "out")]
    assert translate.main(["--model", str(output), "--device", "cpu", "--threads", "1", *files]) == 0
    assert len((tmp_path / "out").read_text(encoding="utf-8").split("\n")) == 2


def test_the_newest_checkpoints_of_a_run(folders: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    run, other = folders
    recent = RecentWeights(run / "recent", 5)
    for update, folder in ((5, other), (10, run), (20, other)):
        model = load_bundle(folder, CPU).model
        recent.add(update, weight_tensors(model), weight_metadata(model, update=update))
    assert call("--model", run, "--last", 2) == 0
    made = run.with_name("1-average")
    assert same(made, mean_of(run, other))
    assert read_tensors(made / BEST)[1]["updates"] == '["10", "20"]'
    capsys.readouterr()
    assert call("--model", run, "--last", 4) == 2
    assert "recent: holds 3 checkpoints, not 4; train with --set training.average_last=4" in capsys.readouterr().err
    assert call("--model", other, "--last", 1) == 2
    assert "recent: holds 0 checkpoints, not 1" in capsys.readouterr().err
    assert call(run / "recent" / "20.safetensors", "--output", run.with_name("one")) == 0
    assert (run.with_name("one") / "vocabulary.json").read_bytes() == (run / "vocabulary.json").read_bytes()
    assert same(run.with_name("one"), parameters(other))


def test_nothing_is_overwritten_unasked(folders: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    output = folders[0].with_name("average")
    assert call(*folders, "--output", output) == 0
    before = content(output)
    assert call(folders[0], "--output", output) == 2
    assert "average: holds an average; replace it with --force" in capsys.readouterr().err
    assert content(output) == before
    assert call(folders[0], "--output", output, "--force") == 0
    assert content(output)[BEST] != before[BEST]
    trained = content(folders[1])
    assert call(folders[0], "--output", folders[1], "--force") == 2
    assert "2: is not empty; name another folder with --output" in capsys.readouterr().err
    assert content(folders[1]) == trained
    assert call(folders[0], "--output", folders[1] / BEST) == 2
    assert "is a file, not a folder" in capsys.readouterr().err


def edited(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")


def test_what_does_not_belong_together_is_refused_in_one_line(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = folders
    output = tmp_path / "average"

    def refused(*words: object) -> str:
        assert call(*words) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert not output.exists()
        return message

    make_model_folder(tmp_path / "untied", tying="untied")
    assert "model.tying is 'untied', in" in refused(first, tmp_path / "untied", "--output", output)
    shutil.copytree(second, tmp_path / "foreign")
    edited(tmp_path / "foreign", "manifest.json", '"vocabulary": "', '"vocabulary": "0')
    assert "foreign: another vocabulary than" in refused(first, tmp_path / "foreign", "--output", output)
    shutil.copytree(second, tmp_path / "larger")
    edited(tmp_path / "larger", "config.yaml", "hidden_size: 8", "hidden_size: 9")
    assert "larger: model.hidden_size is 9" in refused(first, tmp_path / "larger", "--output", output)
    message = refused(tmp_path / "larger", "--output", output)  # its weights are not what its own configuration says
    assert f"larger/{BEST}: " in message
    assert "belong together" in message
    (tmp_path / "larger" / "vocabulary.json").unlink()
    assert "larger/vocabulary.json" in refused(tmp_path / "larger", "--output", output)
    (second / BEST).write_bytes((second / BEST).read_bytes()[:-10])
    assert f"2/{BEST}: truncated or not a safetensors file" in refused(first, second, "--output", output)
    shutil.copy(first / BEST, tmp_path / "alone.safetensors")
    assert "lies in no model folder" in refused(tmp_path / "alone.safetensors", "--output", output)
    assert "no such file or folder" in refused(tmp_path / "nowhere", "--output", output)
    assert "where to?" in refused(first)
    assert "average what?" in refused("--output", output)
    assert "average what?" in refused(first, "--last", 2, "--output", output)
    assert "--last: 0 is out of range" in refused("--last", 0)
