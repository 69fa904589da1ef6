"""nmt-export --to ctranslate2: what CTranslate2 then translates is what nmt-translate does."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmt.cli import convert, export
from nmt.config import SearchConfig
from nmt.shortlist.table import Shortlist, ShortlistOptions
from nmt.text.vocabulary import NUM_SPECIALS
from nmt.translate.translator import Translator
from tests.marian_folder import Kind, make_marian, source_lines
from tests.tiny_model import make_model_folder

EVERYTHING = SearchConfig(allow_unknown=True, allow_source_pieces=True, stopping="first", max_length_ratio=50.0)
"What CTranslate2 searches: it knows no forbidden pieces, and what is forbidden is so before the softmax there."
LIMIT = 30
"Pieces of a translation at most."
MODELS: dict[str, dict[str, object]] = {
    "pre-norm": {"width": 0, "embedding_size": 8},
    "post-norm": {"width": 0, "embedding_size": 8, "norm": "post", "activation": "swish", "scale_embeddings": False},
    "wider": {"width": 8, "activation": "gelu", "decoder_layers": 1},
    "learned-positions": {"width": 0, "embedding_size": 8, "positions": "learned", "max_positions": 6},
    "padding-starts": {"width": 0, "embedding_size": 8, "start": "padding"},
    "other-decoder": {"width": 0, "embedding_size": 8, "decoder_feedforward_size": 12, "attention_layer": 1},
}


def ctranslate2() -> Any:
    return pytest.importorskip("ctranslate2", reason="needs the extra 'export'")


def exported(model: Path, folder: Path, *more: str) -> Any:
    """CTranslate2's translator of a model folder."""
    package = ctranslate2()
    assert export.main(["--to", "ctranslate2", "--model", str(model), "--output", str(folder), *more]) == 0
    return package.Translator(str(folder), compute_type="float32", inter_threads=1, intra_threads=1)


def lines_of_letters(count: int) -> list[str]:
    draw = random.Random(1)
    return ["".join(draw.choices("abcdefghij ", k=draw.randint(2, 14))).strip() or "a" for _ in range(count)]


def check_same(translator: Translator, theirs: Any, lines: list[str], beam: int, **options: object) -> None:
    """The same pieces with the same scores."""
    ours = Translator(translator.bundle, replace(translator.search, beam=beam, max_length=LIMIT))
    found = [best for (best,) in ours.translate_detailed(lines)]
    sources = [list(one.source_pieces) for one in found]
    settings = {
        "beam_size": beam,
        "min_decoding_length": 0,
        "max_decoding_length": LIMIT,
        "return_scores": True,
    } | options
    expected = theirs.translate_batch(sources, **settings)
    compared = 0
    for one, other in zip(found, expected, strict=True):
        if one.finished and len(other.hypotheses[0]) == LIMIT:
            continue  # theirs was cut; ours puts all that ended before those
        compared += 1
        assert list(one.pieces) == other.hypotheses[0]
        if beam > 1:
            assert one.log_prob / (len(one.pieces) + one.finished) == pytest.approx(other.scores[0], abs=1e-4)
    assert compared >= 2


@pytest.mark.parametrize("tying", ["three-way", "decoder", "untied"])
@pytest.mark.parametrize("name", MODELS)
def test_translations_are_those_of_nmt_translate(name: str, tying: str, tmp_path: Path) -> None:
    kept = {"architecture": "transformer", "sizes": MODELS[name], "search": EVERYTHING}
    model = make_model_folder(tmp_path / "model", tying=tying, **kept)  # type: ignore[arg-type]
    theirs, translator = exported(model, tmp_path / "out"), Translator.load(model, device="cpu")
    for beam in (1, 5):
        check_same(translator, theirs, lines_of_letters(12), beam)


@pytest.mark.parametrize(
    "kind",
    [Kind(end=1.0, seed=6), Kind(share=False, separate=True, end=1.0, seed=8)],
    ids=["three-way", "two-vocabularies"],
)
def test_imported_models_can_go_on(kind: Kind, tmp_path: Path) -> None:
    theirs = make_marian(tmp_path / "theirs", kind)
    assert convert.main(["--from", "marian", str(theirs), "--model", str(tmp_path / "model")]) == 0
    found = exported(tmp_path / "model", tmp_path / "out")
    translator = Translator.load(tmp_path / "model", device="cpu")
    translator = Translator(translator.bundle, replace(translator.search, stopping="first", max_length_ratio=50.0))
    for beam in (1, 5):
        check_same(translator, found, source_lines(10), beam)
    assert (tmp_path / "out/source.spm").read_bytes() == (theirs / "source.spm").read_bytes()


def test_forbidden_pieces_are_never_written(tmp_path: Path) -> None:
    model = make_model_folder(
        tmp_path / "model", architecture="transformer", search=SearchConfig(max_length_ratio=50.0)
    )
    theirs, translator = exported(model, tmp_path / "out"), Translator.load(model, device="cpu")
    lines = lines_of_letters(20)
    check_same(translator, theirs, lines, 1)  # what is best is so with other probabilities too
    sources = [translator.bundle.text.pieces(line, "source") for line in lines]
    options = {"beam_size": 5, "num_hypotheses": 5, "max_decoding_length": 30}
    written = {
        piece
        for found in theirs.translate_batch(sources, **options)
        for hypothesis in found.hypotheses
        for piece in hypothesis
    }
    assert not written & {"<unk>", "<pad>", "only", "source"}


def test_a_tied_matrix_is_stored_once(tmp_path: Path) -> None:
    sizes = {}
    for tying in ("three-way", "decoder", "untied"):
        kept = {"architecture": "transformer", "sizes": {"width": 0, "embedding_size": 64, "heads": 4}}
        model = make_model_folder(tmp_path / tying, tying=tying, **kept)  # type: ignore[arg-type]
        for quantization in ("float32", "int8"):
            exported(model, tmp_path / f"{tying}.{quantization}", "--quantization", quantization)
            sizes[tying, quantization] = (tmp_path / f"{tying}.{quantization}/model.bin").stat().st_size
    for quantization, width in (("float32", 4 * 64), ("int8", 64 + 4)):  # int8: a scale for each row
        source, target = 61, 62
        union = 64
        three, decoder, untied = (sizes[tying, quantization] for tying in ("three-way", "decoder", "untied"))
        assert untied - decoder == pytest.approx(target * width, abs=200)
        assert decoder - three == pytest.approx((source + target - union) * width, abs=200)


def test_int8_translates(tmp_path: Path) -> None:
    model = make_model_folder(tmp_path / "model", architecture="transformer", search=EVERYTHING)
    theirs = exported(model, tmp_path / "out", "--quantization", "int8")
    (found,) = theirs.translate_batch([["a@@", "b"]], max_decoding_length=5)
    assert found.hypotheses[0]


def test_a_shortlist_goes_along(tmp_path: Path) -> None:
    model = make_model_folder(tmp_path / "model", tying="decoder", architecture="transformer", search=EVERYTHING)
    translator = Translator.load(model, device="cpu")
    vocabulary = translator.bundle.vocabulary
    draw = np.random.default_rng(1)
    rows = [
        np.sort(draw.choice(np.arange(NUM_SPECIALS, NUM_SPECIALS + 40), 4, replace=False))
        for _ in range(vocabulary.source_size)
    ]
    targets = np.concatenate(rows).astype(np.int32)
    offsets = np.arange(0, len(targets) + 1, 4, dtype=np.int64)
    frequent = np.array([10, 20, 30], dtype=np.int32)
    Shortlist(vocabulary, targets, offsets, frequent, ShortlistOptions(per_piece=4, frequent=3)).save(model)
    theirs = exported(model, tmp_path / "out")
    with_it = Translator(translator.bundle, replace(translator.search, shortlist=True))
    for beam in (1, 5):  # one by one: CTranslate2 lets a batch use the pieces of all of its sentences
        check_same(with_it, theirs, lines_of_letters(12), beam, use_vmap=True, max_batch_size=1)


def test_what_ctranslate2_cannot_hold_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rnn = make_model_folder(tmp_path / "rnn")
    heads = make_model_folder(tmp_path / "heads", architecture="transformer", sizes={"decoder_heads": 4})
    good = make_model_folder(tmp_path / "good", architecture="transformer")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for model, out, more, expected in (
        (
            rnn,
            "out",
            (),
            "rnn: CTranslate2 has no models of model.architecture 'rnn'; train with --architecture transf",
        ),
        (heads, "out", (), "heads: CTranslate2 has no models of 2 heads in the encoder, 4 in the decoder"),
        (good, "full", (), "full: is not empty; name another folder with --output"),
        (good, "out", ("--quantization", "int4"), "--quantization: unknown value 'int4'; choose one of int8, "),
        (tmp_path / "none", "out", (), "none: no such folder"),
    ):
        given = ["--to", "ctranslate2", "--model", str(model), "--output", str(tmp_path / out)]
        assert export.main([*given, *more]) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()
    assert export.main(["--to", "tensorflow", "--model", str(good), "--output", str(tmp_path / "out")]) == 2
    assert "--to: unknown value 'tensorflow'; choose one of" in capsys.readouterr().err


def test_special_names_are_no_pieces(tmp_path: Path) -> None:
    ctranslate2()
    from nmt.conversion.ctranslate2_folder import unused

    assert unused("</s>", {"a"}) == "</s>"
    assert unused("</s>", {"</s>", "</s_>"}) == "</s__>"
    model = make_model_folder(tmp_path / "model", architecture="transformer")
    exported(model, tmp_path / "out")
    assert json.loads((tmp_path / "out/config.json").read_text())["decoder_start_token"] == "<pad>"
