"""A Transformer through the commands: it learns, it continues to the same bits, and all that reads models reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nmt.cli import evaluate, reproduce, score, shortlist, train, translate
from nmt.reproduce.experiment import find_recipe
from nmt.training.reporting import read_metrics
from tests.tiny_corpus import make_prepared

SMALL = [
    "--architecture", "transformer", "--threads", "1", "--device", "cpu", "--batch-tokens", "400",
    "--set", "model.embedding_size=32", "--set", "model.layers=1", "--set", "model.heads=4",
    "--set", "model.feedforward_size=64", "--set", "model.dropout=0.1", "--set", "training.learning_rate=0.01",
    "--set", "training.warmup_updates=50", "--set", "training.ema=0.9", "--set", "training.precision=float32",
    "--set", "training.tensorboard=false",
]  # fmt: skip
SHORT = ["--set", "training.validate_every=15", "--set", "training.save_every=10", "--set", "training.batch_tokens=120"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"))


def trained(prepared: Path, model: Path, *more: str) -> Path:
    words = ["--prepared", str(prepared), "--model", str(model), *SMALL, *more, "--quiet"]
    assert train.main(words) == 0
    return model


@pytest.fixture(scope="module")
def model(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tied three ways, and good at what it has learned."""
    folder = tmp_path_factory.mktemp("learned") / "model"
    return trained(prepared, folder, "--max-updates", "250", "--set", "training.validate_every=250")


def test_it_learns_to_translate_with_all_three_matrices_in_one(model: Path) -> None:
    [record] = [record for record in read_metrics(model / "metrics.jsonl") if record["kind"] == "validation"]
    assert record["bleu"] > 70
    assert record["cross_entropy"] < 0.6
    tensors = load_file(model / "best.safetensors")
    assert [name for name in tensors if name.startswith("embeddings.")] == [
        "embeddings.output_bias",
        "embeddings.source_input",
    ]


def test_a_run_in_parts_equals_one_in_one(prepared: Path, tmp_path: Path) -> None:
    """With dropout, an average, and other batches than the model above."""
    whole = trained(prepared, tmp_path / "whole", *SHORT, "--max-updates", "30")
    for limit in ("13", "30"):
        parts = trained(prepared, tmp_path / "parts", *SHORT, "--max-updates", limit)
    for name in ("weights", "optimizer", "average"):
        left, right = (load_file(folder / f"last/{name}.safetensors") for folder in (whole, parts))
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left), name


def test_parts_of_a_batch_make_the_update_of_the_whole(prepared: Path, tmp_path: Path) -> None:
    """But for the biases of keys: they shift all energies of a query alike, so that their gradient is rounding."""
    settings = [*SHORT, "--max-updates", "6", "--set", "model.dropout=0"]
    whole = trained(prepared, tmp_path / "whole", *settings)
    parts = trained(prepared, tmp_path / "parts", *settings, "--set", "training.part_tokens=40")
    left, right = (load_file(folder / "last/weights.safetensors") for folder in (whole, parts))
    for name in left.keys() - {name for name in left if name.endswith(("self_attention.inputs.bias", "source.bias"))}:
        torch.testing.assert_close(left[name], right[name], atol=2e-4, rtol=0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_text("the red cat sees Anna.\n\nBerlin hears the small old bird today.\na dog finds Anna here.\n")
    return path


def translated(model: Path, source: Path, *more: object) -> list[str]:
    output = source.with_name("output")
    words = ["--model", model, "--input", source, "--output", output, "--threads", "1", "--device", "cpu", *more]
    assert translate.main([str(word) for word in words]) == 0
    return output.read_text().splitlines()


def test_every_precision_and_a_shortlist_translate_alike(model: Path, prepared: Path, source: Path) -> None:
    found = translated(model, source)
    assert found[0].startswith("die")
    assert found[1] == ""
    for precision in ("bf16", "int8"):
        assert translated(model, source, "--precision", precision) == found
    assert shortlist.main(["--model", str(model), "--prepared", str(prepared), "--quiet"]) == 0
    assert translated(model, source, "--shortlist") == found


def test_prefixes_alignments_and_explanations(model: Path, source: Path, tmp_path: Path) -> None:
    (tmp_path / "prefixes").write_text("\n\nheute\nAnna\n")
    files = ["--alignments", tmp_path / "aligned", "--explain", tmp_path / "page.html"]
    found = translated(model, source, "--prefixes", tmp_path / "prefixes", *files)
    assert found[2].startswith("heute")
    assert found[3].startswith("Anna")
    aligned = (tmp_path / "aligned").read_text().splitlines()
    assert len(aligned) == 4
    assert aligned[1] == ""
    assert "-" in aligned[0]
    assert f"<code>{aligned[0]}</code>" in (tmp_path / "page.html").read_text()


def test_n_best_scores_are_those_of_nmt_score(
    model: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list").write_text("".join(f"{line}\n" for line in translated(model, source, "--json", "--n-best", 2)))
    words = ["--model", str(model), "--translations", str(tmp_path / "list"), "--device", "cpu", "--threads", "1"]
    assert score.main([*words, "--json"]) == 0
    scored = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert scored


def test_an_ensemble_with_an_rnn(model: Path, prepared: Path, source: Path, tmp_path: Path) -> None:
    other = ["--prepared", str(prepared), "--model", str(tmp_path / "rnn"), "--set", "model.hidden_size=8"]
    few = ["--set", "model.embedding_size=6", "--max-updates", "3", "--tying", "decoder", "--quiet"]
    assert train.main([*other, *few, "--device", "cpu", "--threads", "1"]) == 0
    assert len(translated(model, source, "--ensemble", tmp_path / "rnn")) == 4


def test_evaluation_scores_it(model: Path, prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = prepared.parent / "corpus"
    words = ["--model", str(model), "--corpus", str(corpus), "--device", "cpu", "--threads", "1", "--quiet"]
    assert evaluate.main(words) == 0
    assert "BLEU" in capsys.readouterr().out


def test_the_comparison_of_the_modes_has_recipes_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert find_recipe("small", "transformer").parts[-3:] == ("configs", "transformer", "small.yaml")
    assert reproduce.main(["table8", "--architecture", "transformer", "--scale", "paper", "--dry-run"]) == 2
    assert "choose one of base, deep, small" in capsys.readouterr().err
