"""nmt-convert --from marian: what transformers' MarianMT gives, and what its published equations give."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nmt.cli import convert, score, translate
from nmt.folder.bundle import load_bundle
from nmt.folder.weights import read_tensors, save_tensors
from nmt.translate.scorer import Scorer
from nmt.translate.translator import Translator
from tests.marian_folder import Kind, make_marian, source_lines, write_json
from tests.numerics.reference_marian import log_probs

THREE_WAY, DECODER = Kind(end=1.0, seed=6), Kind(share=False, activation="relu", end=1.5, seed=2)
KINDS = {
    "three-way": THREE_WAY,
    "decoder": DECODER,
    "untied": Kind(tie=False, share=False, activation="gelu", end=0.5, seed=10),
    "untied-inputs-shared": Kind(tie=False, end=0.5, seed=11),
    "two-vocabularies": Kind(share=False, separate=True, end=1.0, seed=8),
    "one-matrix-two-vocabularies": Kind(separate=True, end=1.5, seed=10),
    "other-decoder": Kind(decoder_layers=1, decoder_heads=2, decoder_width=20, end=1.5, seed=10),
    "half": replace(THREE_WAY, half=True),
    "pickled": replace(DECODER, pickled=True),
    "without-aliases": replace(THREE_WAY, aliases=False),
    "decoder-without-aliases": replace(DECODER, aliases=False),
    "not-scaled": replace(DECODER, extra={"scale_embedding": False}),
}
"Seeds and ends are such that translations end, and are not all alike."
MODES = {"decoder": ("decoder", "two", "one-matrix", "pickled", "not-scaled"), "untied": ("untied",)}


def converted(tmp_path: Path, kind: Kind, *more: str) -> tuple[Path, Path]:
    """The Marian folder and ours."""
    theirs = make_marian(tmp_path / "theirs", kind)
    assert convert.main(["--from", "marian", str(theirs), "--model", str(tmp_path / "ours"), *more]) == 0
    return theirs, tmp_path / "ours"


@pytest.mark.parametrize("name", KINDS)
def test_scores_are_those_of_the_published_equations(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And each way of tying is what it should be."""
    theirs, ours = converted(tmp_path, KINDS[name])
    mode = next((mode for mode, starts in MODES.items() if name.startswith(starts)), "three-way")
    assert f"{mode} tying, 2 and" in capsys.readouterr().err
    sources, targets = source_lines(4), ["die katze", "hunde ziehen weiter", "und", "im alten haus schliefen rehe"]
    found = Scorer.load(ours, device="cpu").score(sources, targets)
    for pair, values in zip(zip(sources, targets, strict=True), found, strict=True):
        assert values == pytest.approx(log_probs(theirs, *pair), abs=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_translations_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra 'marian'")
    theirs, ours = converted(tmp_path, KINDS[name])
    model = transformers.MarianMTModel.from_pretrained(theirs).float().eval()
    model.final_logits_bias[0, -1] = -1e9  # barred before the softmax, as Marian has no such row
    tokenizer = transformers.MarianTokenizer.from_pretrained(theirs)
    lines = [*source_lines(12), ">>nld<< the cat", "quite “unheard” of it’s"]
    translator = Translator.load(ours, device="cpu")
    assert translator.search.beam == 4
    for beam in (1, 4):
        search = replace(translator.search, beam=beam, max_length=99, max_length_ratio=100.0)
        found = Translator(translator.bundle, search).translate_detailed(lines)
        batch = tokenizer(lines, return_tensors="pt", padding=True)
        with torch.inference_mode():
            options = {"num_beams": beam, "max_length": 101, "output_scores": True, "return_dict_in_generate": True}
            expected = model.generate(**batch, **options)
        ended = 0
        for number, ((best,), ids) in enumerate(zip(found, expected.sequences.tolist(), strict=True)):
            pieces = tokenizer.convert_ids_to_tokens([piece for piece in ids if piece not in (0, ids[0])])
            if best.finished and len(pieces) < 98:  # else transformers ends it by force
                ended += 1
                assert list(best.pieces) == pieces
                assert best.text == " ".join(tokenizer.decode(ids, skip_special_tokens=True).split())
                if beam > 1:
                    assert best.score == pytest.approx(float(expected.sequences_scores[number]), abs=1e-4)
        assert ended
        if name != "not-scaled":
            assert ended >= len(lines) // 2
            assert len({best.pieces for (best,) in found}) > 3


def test_a_model_that_was_trained_on_begins_with_its_padding(tmp_path: Path) -> None:
    theirs = make_marian(tmp_path / "theirs", KINDS["three-way"])
    tensors, metadata = read_tensors(theirs / "model.safetensors")
    for name in tensors:
        if name.endswith(("embed_tokens.weight", "shared.weight", "lm_head.weight")):
            tensors[name][-1] = 0.3
    save_tensors(theirs / "model.safetensors", tensors, metadata)
    assert convert.main(["--from", "marian", str(theirs), "--model", str(tmp_path / "ours")]) == 0
    assert load_bundle(tmp_path / "ours", torch.device("cpu")).config.model.start == "padding"
    (values,) = Scorer.load(tmp_path / "ours", device="cpu").score(["the cat"], ["die katze"])
    assert values == pytest.approx(log_probs(theirs, "the cat", "die katze"), abs=1e-4)
    best = Translator.load(tmp_path / "ours", device="cpu").translate_detailed(["the cat"], attention=True)[0][0]
    (again,) = Scorer.load(tmp_path / "ours", device="cpu").score_pieces([best.source_pieces], [best.pieces])
    assert best.log_probs == pytest.approx(again[: len(best.log_probs or ())], abs=1e-5)


def test_positions_that_are_no_sinusoids_are_learned_ones(tmp_path: Path) -> None:
    theirs = make_marian(tmp_path / "theirs", KINDS["decoder"])
    tensors, metadata = read_tensors(theirs / "model.safetensors")
    tables = torch.randn(2, 256, 16, generator=torch.Generator().manual_seed(1))
    for side, table in zip(("encoder", "decoder"), tables, strict=True):
        tensors[f"model.{side}.embed_positions.weight"] = table
    save_tensors(theirs / "model.safetensors", tensors, metadata)
    assert convert.main(["--from", "marian", str(theirs), "--model", str(tmp_path / "ours")]) == 0
    (values,) = Scorer.load(tmp_path / "ours", device="cpu").score(["the cat sat"], ["die katze"])
    assert values == pytest.approx(log_probs(theirs, "the cat sat", "die katze"), abs=1e-4)


def test_target_codes_stand_before_the_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, ours = converted(tmp_path, KINDS["three-way"], "--prefix-source", ">>nld<<")
    assert json.loads((theirs / "vocab.json").read_text())[">>nld<<"] > 1
    (tmp_path / "in").write_text("The cat. Old dogs\n>>deu<< The cat. Old dogs\n\n")
    (tmp_path / "out").write_text("die katze\n" * 2 + "\n")
    capsys.readouterr()
    arguments = ["--model", str(ours), "--device", "cpu", "--input", str(tmp_path / "in"), "--json", "--quiet"]
    arguments += ["--output", str(tmp_path / "found")]
    assert translate.main([*arguments, "--split-sentences"]) == 0
    read = [json.loads(line)["source_pieces"] for line in (tmp_path / "found").read_text().splitlines()]
    assert [[piece for piece in pieces if piece.startswith(">>")] for pieces in read] == [
        [">>nld<<"] * 2,
        [">>deu<<"] * 2,
        [],
    ]
    given = [
        "--model",
        str(ours),
        "--device",
        "cpu",
        "--source",
        str(tmp_path / "in"),
        "--target",
        str(tmp_path / "out"),
    ]
    assert score.main(given) == 0
    expected = [sum(log_probs(theirs, f"{code} The cat. Old dogs", "die katze")) for code in (">>nld<<", ">>deu<<")]
    assert [float(line) for line in capsys.readouterr().out.split()][:2] == pytest.approx(expected, abs=1e-3)
    assert translate.main([*arguments, "--prefix-source", ">>xyz<<"]) == 2
    assert "search.prefix_source: the model does not know the piece '>>xyz<<'; there are >>deu<<, >>nld<<" in (
        capsys.readouterr().err
    )


class Hostile:
    """Pickled, it would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_foreign_and_damaged_folders_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = make_marian(tmp_path / "theirs", KINDS["three-way"])
    good = {path.name: path.read_bytes() for path in theirs.iterdir()}
    settings = json.loads(good["config.json"])
    pieces = json.loads(good["vocab.json"])

    def refused(expected: str, **changed: bytes | dict[str, object] | None) -> None:
        for name, content in good.items():
            (theirs / name).write_bytes(content)
        for name, new in changed.items():
            path = theirs / name.replace("__", ".")
            path.unlink() if new is None else write_json(path, new) if isinstance(new, dict) else path.write_bytes(new)
        assert convert.main(["--from", "marian", str(theirs), "--model", str(tmp_path / "ours")]) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1
        assert not (tmp_path / "ours").exists()

    refused("config.json: no such file; download the whole folder", config__json=None)
    refused("config.json: not JSON", config__json=b"{")
    refused("model_type is 'bart', not 'marian'", config__json=settings | {"model_type": "bart"})
    refused("normalize_before is true", config__json=settings | {"normalize_before": True})
    refused("d_model is 'wide', not a whole number", config__json=settings | {"d_model": "wide"})
    refused("activation_function is 'tanh'", config__json=settings | {"activation_function": "tanh"})
    refused("has no tensor 'model.encoder.layers.2.", config__json=settings | {"encoder_layers": 3})
    refused("has model.encoder.layers.1.fc1.bias, which MarianMT", config__json=settings | {"encoder_layers": 1})
    refused("source.spm: no such file", source__spm=None)
    refused("not a sentencepiece model", target__spm=b"nothing")
    refused("vocab.json: has no </s>", vocab__json={piece: n for piece, n in pieces.items() if piece != "</s>"})
    refused("'far' has the id 9999, and config.json says", vocab__json=pieces | {"far": 9999})
    refused("config.json's eos_token_id is 5; translations would not end", config__json=settings | {"eos_token_id": 5})
    refused("the source matrix is", config__json=settings | {"vocab_size": len(pieces) + 1})
    refused("has neither model.safetensors nor pytorch_model.bin", model__safetensors=None)
    refused(
        "pytorch_model.bin: not a file of tensors alone",
        model__safetensors=None,
        pytorch_model__bin=pickle.dumps(Hostile()),
    )
    (theirs / "pytorch_model.bin").unlink()
    (theirs / "model.safetensors").write_bytes(good["model.safetensors"])
    tensors, metadata = read_tensors(theirs / "model.safetensors")
    tensors["lm_head.weight"][3, 3] += 1
    save_tensors(theirs / "model.safetensors", tensors, metadata)
    good["model.safetensors"] = (theirs / "model.safetensors").read_bytes()
    refused("model.shared.weight and lm_head.weight differ, and config.json says that they are one matrix")


def test_flags_of_the_other_format_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = str(make_marian(tmp_path / "theirs", KINDS["three-way"]))
    for flags, expected in (
        (["--from", "marian", "--codes", "x"], "--codes: the folder of a MarianMT model has its own text pipeline"),
        (["--from", "marian", "--tokenizer", "moses"], "--tokenizer: the folder of a MarianMT model has its own"),
        (["--to", "marian"], "--to marian: MarianMT's format is read only"),
        (["--from", "fairseq"], "--from: unknown value 'fairseq'; choose one of dl4mt, marian"),
        (["--from", "dl4mt"], "--source-vocabulary is needed"),
    ):
        assert convert.main([*flags, theirs, "--model", str(tmp_path / "ours")]) == 2
        assert expected in capsys.readouterr().err


def test_normalising_as_the_training_text_was_is_a_choice(tmp_path: Path) -> None:
    _, ours = converted(tmp_path, KINDS["three-way"], "--set", "prep.source_normalize=moses")
    text = load_bundle(ours, torch.device("cpu")).text
    assert text.pieces("the “cat”", "source") == text.pieces('the "cat"', "source")
    assert np.array_equal(text.pieces("“", "target"), ["▁", "“"])
