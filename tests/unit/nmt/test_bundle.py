"""The model folder: whole, or one line that says what is wrong with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bpe.errors import UserError
from nmt.folder.bundle import load_bundle
from nmt.text.vocabulary import Vocabulary
from nmt.tying import Tying
from tests.tiny_model import make_model_folder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_folder(tmp_path_factory.mktemp("bundle") / "model")


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")

    return apply


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def truncated(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9])


def other_vocabulary(folder: Path) -> None:
    other = make_model_folder(folder / "other", seed=2)
    body = json.loads((other / "vocabulary.json").read_text(encoding="utf-8"))
    body["both"].reverse()
    Vocabulary(tuple(body["both"]), tuple(body["source_only"]), tuple(body["target_only"])).save(
        folder / "vocabulary.json"
    )


@pytest.mark.parametrize("architecture", ["rnn", "transformer"])
@pytest.mark.parametrize("tying", Tying)
def test_a_folder_loads_tied_and_ready_wherever_it_is_moved(tying: Tying, architecture: str, tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "here", tying=tying.value, architecture=architecture)
    shutil.move(folder, tmp_path / "there")
    bundle = load_bundle(tmp_path / "there", CPU)
    bundle.model.embeddings.assert_tied()
    assert bundle.model.embeddings.tying is tying
    assert not bundle.model.training
    assert not any(parameter.requires_grad for parameter in bundle.model.parameters())
    assert bundle.target_view.size == len(bundle.model.embeddings.output)
    assert bundle.source_view.size == len(bundle.model.embeddings.source_input)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (without("manifest.json"), "not a model folder (no manifest.json in it); check --model"),
        (edit("manifest.json", lambda text: text[:-20]), "manifest.json: damaged ("),
        (edit("manifest.json", lambda _: '{"format": "letter"}'), "not a model folder: manifest.json does not say so"),
        (edit("manifest.json", lambda text: text.replace('"version": 1', '"version": 9', 1)), "model format 9, this"),
        (
            edit("manifest.json", lambda text: text.replace('"data"', '"date"')),
            "manifest.json: damaged (it lacks 'data')",
        ),
        (edit("manifest.json", lambda text: text.replace('"versions"', '"v"')), "damaged (it lacks 'versions')"),
        (without("best.safetensors"), "no weights yet: training has not reached its first validation"),
        (truncated("best.safetensors"), "best.safetensors: truncated or not a safetensors file"),
        (other_vocabulary, "vocabulary.json: this vocabulary does not belong to the model; restore it"),
        (truncated("vocabulary.json"), "vocabulary.json: damaged vocabulary: not JSON"),
        (without("text.json"), "text.json: no such file"),
        (without("bpe.codes"), "bpe.codes: no such file"),
        (edit("config.yaml", lambda text: text.replace("three-way", "untied")), "tied 'three-way' do not fit a model"),
        (edit("config.yaml", lambda text: text.replace("hidden_size: 8", "hidden_size: 9")), "the configuration says"),
        (edit("config.yaml", lambda text: text.replace(" dropout", " dropuot")), "did you mean 'model.dropout'?"),
    ],
)
def test_damage_is_named_in_one_line(
    damage: Callable[[Path], None], expected: str, whole: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "model"))
    damage(folder)
    with pytest.raises(UserError) as raised:
        load_bundle(folder, CPU)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; train a model with nmt-train, or name one with --model"):
        load_bundle(tmp_path / "nothing", CPU)
