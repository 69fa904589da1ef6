"""Ways to tie through the commands: trained, continued to the bit, grown, converted, averaged, exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bpe.codes import MergeTable
from bpe.errors import UserError
from nmt.cli import average, convert, train
from nmt.conversion.tying import change_tying
from nmt.data.corpus import PreparedCorpus
from nmt.folder.bundle import BEST, load_bundle
from nmt.folder.growth import Growth
from nmt.folder.weights import read_tensors, save_tensors
from nmt.layers.tying import load_unique
from nmt.models.build import VocabularySizes, build_empty
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import EOS
from nmt.training.reporting import read_metrics
from nmt.translate.scorer import Scorer
from nmt.translate.translator import Translator
from nmt.tying import Tying
from tests.integration.test_export_ctranslate2 import EVERYTHING, check_same, lines_of_letters
from tests.integration.test_export_ctranslate2 import exported as exported_to_ctranslate2
from tests.integration.test_export_onnx import check_steps
from tests.integration.test_export_onnx import exported as exported_to_onnx
from tests.integration.test_serve_export import served
from tests.tiny_corpus import make_prepared
from tests.tiny_model import make_model_folder

pytestmark = pytest.mark.numeric
CPU = torch.device("cpu")
WAYS: dict[str, dict[str, object]] = {
    "target-rows": {"output_rows": "target"},
    "scales": {"input_scale": 2.0, "output_scale": 0.5},
    "everything": {
        "output_rows": "target", "input_scale": 2.0, "normalized_rows": True,
        "role_projections": ("source", "target", "output"), "projection_rank": 2,
    },
}  # fmt: skip
every_way = pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
every_network = pytest.mark.parametrize("architecture", ["rnn", "transformer"])
SMALL = {
    "rnn": ("model.hidden_size=8",),
    "transformer": ("model.layers=1", "model.heads=2", "model.feedforward_size=8"),
}
KEYS = (
    "model.embedding_size=8", "model.dropout=0.2", "training.validate_every=3", "training.save_every=2",
    "training.average_last=2", "training.ema=0.9", "training.precision=float32", "training.tensorboard=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"), pairs=150)


def words(prepared: Path, model: Path, architecture: str, updates: int, *keys: str) -> list[str]:
    fixed = ["--threads", "1", "--device", "cpu", "--batch-tokens", "120", "--quiet", "--max-updates", str(updates)]
    changed = [word for key in (*KEYS, *SMALL[architecture], *keys) for word in ("--set", key)]
    return ["--prepared", str(prepared), "--model", str(model), "--architecture", architecture, *fixed, *changed]


def same_weights(left: Path, right: Path) -> None:
    names = sorted(str(path.relative_to(left)) for path in left.rglob("*.safetensors"))
    assert names == sorted(str(path.relative_to(right)) for path in right.rglob("*.safetensors"))
    for name in names:
        (tensors, metadata), (others, known) = read_tensors(left / name), read_tensors(right / name)
        assert tensors.keys() == others.keys(), name
        assert metadata == known, name
        assert all(torch.equal(tensors[key], others[key]) for key in tensors), name


@every_network
def test_a_run_with_ways_is_continued_to_the_bit_and_read(prepared: Path, tmp_path: Path, architecture: str) -> None:
    keys = ["model.output_rows=target", "model.normalized_rows=true", "model.role_projections=[source, output]"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train.main(words(prepared, whole, architecture, 8, *keys)) == 0
    for updates in (5, 8):
        assert train.main(words(prepared, parts, architecture, updates, *keys)) == 0
    same_weights(whole / "last", parts / "last")
    assert average.main(["--model", str(whole), "--last", "2", "--output", str(tmp_path / "mean")]) == 0
    for folder in (whole, tmp_path / "mean"):
        assert len(Translator.load(folder, device="cpu").translate(["the cat sees Anna."])) == 1
    corpus = PreparedCorpus.open(prepared)
    scores = Scorer.load(whole, device="cpu").score(*(corpus.raw_lines("valid", side) for side in ("source", "target")))
    validated = {
        str(record["update"]): record["cross_entropy"]
        for record in read_metrics(whole / "metrics.jsonl")
        if record["kind"] == "validation"
    }
    update = load_bundle(whole, CPU).metadata["update"]
    assert validated[update] == pytest.approx(-sum(map(sum, scores)) / sum(map(len, scores)), rel=1e-4)


def scored(folder: Path) -> list[list[float]]:
    return Scorer(load_bundle(folder, CPU)).score_pieces([["a", "b@@", "only"]], [["one", "c", "b@@"]])


@every_way
def test_a_model_in_other_modes_keeps_its_ways(tmp_path: Path, ways: dict[str, object]) -> None:
    """Where the classes are the target's rows, log-probabilities stay, too."""
    folder = make_model_folder(tmp_path / "model", sizes=ways)
    for mode in (Tying.UNTIED, Tying.DECODER):
        change_tying(folder, mode, tmp_path / mode.value)
        assert load_bundle(tmp_path / mode.value, CPU).config.model.output_rows == "all"
        if "output_rows" in ways:
            np.testing.assert_allclose(scored(tmp_path / mode.value)[0], scored(folder)[0], atol=1e-5)


@every_way
def test_a_vocabulary_grows(tmp_path: Path, ways: dict[str, object]) -> None:
    bundle = load_bundle(make_model_folder(tmp_path / "model", sizes=ways), CPU)
    old = bundle.vocabulary
    new = old.grown({"abc": 3, "☃": 2}, {"ab": 4, "only": 1, "☃": 1})
    text = TextPipeline(bundle.text.options, MergeTable((("a", "b"), ("ab", "c</w>"))))
    model = build_empty(bundle.config.model, VocabularySizes.of(new), CPU).eval()
    load_unique(model, Growth.of(old, new, text, shared=True).weights(bundle.model))
    for piece in ("a", "one", "three"):
        ids = [torch.tensor([known.id_of(piece)]).numpy() for known in (old, new)]
        rows = [
            torch.from_numpy(known.target_view(one.embeddings.union_target).from_union(number))
            for known, one, number in zip((old, new), (bundle.model, model), ids, strict=True)
        ]
        for of in ("output_matrix", "output_bias"):
            before, after = (
                getattr(one.embeddings, of)() if of == "output_matrix" else getattr(one.embeddings, of)
                for one in (bundle.model, model)
            )
            torch.testing.assert_close(after[rows[1]], before[rows[0]])


@every_way
@every_network
def test_onnx_computes_what_torch_does(tmp_path: Path, architecture: str, ways: dict[str, object]) -> None:
    model = make_model_folder(tmp_path / "model", architecture=architecture, sizes=ways)
    runtime, bundle = exported_to_onnx(model, tmp_path / "out")
    check_steps(runtime, bundle, [5, 2, 7])
    pieces = json.loads((tmp_path / "out" / "pieces.json").read_text())
    assert len(pieces["target"]) == bundle.model.num_targets


@every_way
def test_ctranslate2_translates_as_nmt_translate(tmp_path: Path, ways: dict[str, object]) -> None:
    for name, width in (("same", 0), ("wider", 12)):
        sizes = {"width": width, "embedding_size": 8, **ways}
        kept = {"architecture": "transformer", "sizes": sizes, "search": EVERYTHING}
        model = make_model_folder(tmp_path / name, **kept)  # type: ignore[arg-type]
        tensors, metadata = read_tensors(model / BEST)
        tensors["embeddings.output_bias"][EOS] = 4.0  # else many translations have no end
        save_tensors(model / BEST, tensors, metadata)
        theirs, ours = exported_to_ctranslate2(model, tmp_path / f"{name}-out"), Translator.load(model, device="cpu")
        check_same(ours, theirs, lines_of_letters(12), 5)
        rows = served(tmp_path / f"{name}-out").reader.rows  # what nmt-serve reads of the folder
        assert (rows.source, rows.target) == (ours.bundle.source_view, ours.bundle.target_view)


@every_way
def test_dl4mt_reads_the_matrices_that_the_ways_make(tmp_path: Path, ways: dict[str, object]) -> None:
    model = make_model_folder(tmp_path / "model", sizes=ways)
    files = ["--source-vocabulary", str(tmp_path / "S.json"), "--target-vocabulary", str(tmp_path / "T.json")]
    assert convert.main(["--to", "dl4mt", str(tmp_path / "m.npz"), *files, "--model", str(model)]) == 0
    back = ["--from", "dl4mt", str(tmp_path / "m.npz"), *files, "--model", str(tmp_path / "back"), "--src", "en"]
    assert convert.main([*back, "--tgt", "de"]) == 0
    np.testing.assert_allclose(scored(tmp_path / "back")[0], scored(model)[0], atol=1e-4)


def test_weights_with_another_way_are_refused_by_name(tmp_path: Path) -> None:
    model, other = (
        make_model_folder(tmp_path / name, sizes=keys)
        for name, keys in (("plain", {}), ("target", {"output_rows": "target"}))
    )
    (model / BEST).write_bytes((other / BEST).read_bytes())
    with pytest.raises(UserError, match=r"embeddings.output_bias is .*, the configuration says"):
        load_bundle(model, CPU)
