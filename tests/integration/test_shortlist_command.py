"""nmt-shortlist: a file in the model folder that translation reads, made of the model's own data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nmt.cli import shortlist
from nmt.config import Config, ModelConfig
from nmt.data.corpus import PreparedCorpus
from nmt.folder.bundle import create_folder
from nmt.shortlist import Shortlist, ShortlistOptions
from tests.tiny_corpus import LEXICON, make_prepared


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("shortlist"))


@pytest.fixture
def model(prepared: Path, tmp_path: Path) -> Path:
    create_folder(tmp_path / "model", Config(model=ModelConfig(tying="untied")), PreparedCorpus.open(prepared))
    return tmp_path / "model"


def test_a_shortlist_is_written_into_the_model_folder(
    prepared: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--model", str(model), "--prepared", str(prepared)]
    assert shortlist.main([*folders, "--per-piece", "4", "--frequent", "5", "--max-pairs", "500"]) == 0
    output = capsys.readouterr()
    assert f"{model / 'shortlist.safetensors'}: 0.0 MiB, " in output.out
    assert "target pieces a sentence" in output.out
    assert "of the references' pieces among them" in output.out
    assert output.err == ""  # progress of what takes a moment
    vocabulary = PreparedCorpus.open(prepared).vocabulary
    found = Shortlist.load(model, vocabulary)
    assert found.options == ShortlistOptions(per_piece=4, frequent=5, max_pairs=500)
    view = vocabulary.target_view(shared=False)
    candidates = found.for_view(view)
    whole = 0
    for english, german in LEXICON.items():
        source = np.array([row for row in vocabulary.encode([english]) if row != 1], dtype=np.int64)
        wanted = set(view.from_union(np.array(vocabulary.encode([german]))).tolist())
        whole += len(source) == 1 and wanted <= set(candidates(source).tolist())
    assert whole >= 8  # words that are one piece on both sides, far more than the five frequent ones

    assert shortlist.main([*folders, "--per-piece", "1", "--quiet"]) == 0  # in place of the older one
    assert Shortlist.load(model, vocabulary).options == ShortlistOptions(per_piece=1)
    assert [name for name in os.listdir(model) if "shortlist" in name] == ["shortlist.safetensors"]


def test_mistakes_are_one_line(prepared: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_prepared(tmp_path / "other", pairs=300, seed=2)
    capsys.readouterr()
    for arguments, expected in (
        (["--model", str(model), "--prepared", str(other)], f"{model}: has another vocabulary than {other}; name its"),
        (["--model", str(tmp_path), "--prepared", str(prepared)], "not a model folder"),
        (["--model", str(model), "--prepared", str(tmp_path)], "manifest.json"),
        (["--model", str(model), "--prepared", str(prepared), "--frequent", "-1"], "frequent: -1 is out of range"),
    ):
        assert shortlist.main(arguments) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1
    assert not (model / "shortlist.safetensors").exists()
