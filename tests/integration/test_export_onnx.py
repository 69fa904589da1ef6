"""nmt-export --to onnx: what onnxruntime computes is what torch does, for every architecture and way of tying."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nmt.cli import convert, export
from nmt.folder.bundle import Bundle, load_bundle
from nmt.models.architectures import ARCHITECTURES
from nmt.models.interface import START
from tests.marian_folder import Kind, make_marian
from tests.tiny_model import SIZES, make_model_folder

pytestmark = pytest.mark.numeric
TYINGS = ("three-way", "decoder", "untied")
TRANSFORMERS: dict[str, dict[str, object]] = {
    "post-norm": {"norm": "post", "activation": "swish", "scale_embeddings": False, "width": 0, "embedding_size": 8},
    "wider": {"width": 8, "activation": "gelu", "decoder_layers": 1, "decoder_heads": 4},
    "learned-positions": {"positions": "learned", "max_positions": 3, "attention_layer": 1},
    "odd": {"width": 0, "embedding_size": 9, "heads": 3, "start": "padding"},
}


class Runtime:
    """onnxruntime over an exported folder."""

    def __init__(self, folder: Path) -> None:
        onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.sessions = {
            name: onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
            for name in ("encoder", "first", "step")
        }
        self.fixed: dict[str, np.ndarray] = {}
        self.state: dict[str, np.ndarray] = {}

    def encode(self, ids: np.ndarray, mask: np.ndarray) -> None:
        """A batch of sources."""
        self.fixed = {"attention_mask": mask} | self._run("encoder", {"input_ids": ids, "attention_mask": mask})
        self.state = {}

    def step(self, previous: np.ndarray | None) -> dict[str, np.ndarray]:
        """previous: [B, 1]; None at the first step."""
        name = "first" if previous is None else "step"
        found = self._run(name, self.fixed | self.state | ({} if previous is None else {"input_ids": previous}))
        present = {key.replace("present.", "past.").replace("present_", ""): each for key, each in found.items()}
        self.state |= {key: each for key, each in present.items() if key not in ("log_probs", "attention")}
        return found

    def _run(self, name: str, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        session = self.sessions[name]
        wanted = [each.name for each in session.get_inputs()]
        outputs = [each.name for each in session.get_outputs()]
        return dict(zip(outputs, session.run(None, {key: values[key] for key in wanted}), strict=True))


def exported(model: Path, folder: Path) -> tuple[Runtime, Bundle]:
    pytest.importorskip("onnx", reason="needs the extra 'export'")
    assert export.main(["--to", "onnx", "--model", str(model), "--output", str(folder)]) == 0
    return Runtime(folder), load_bundle(model, torch.device("cpu"))


def check_steps(runtime: Runtime, bundle: Bundle, lengths: list[int], steps: int = 4) -> None:
    """A batch of random sources of these lengths: each step's log-probabilities and attention."""
    draw = np.random.default_rng(len(lengths))
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    ids = draw.integers(3, bundle.source_view.size, mask.shape) * mask
    model = bundle.model
    runtime.encode(ids, mask)
    memory, output = model.encode(torch.from_numpy(ids), torch.tensor(lengths)), model.output()
    state, previous = model.initial_state(memory), None
    for _ in range(steps):
        given = torch.full((len(lengths), 1), START) if previous is None else torch.from_numpy(previous)
        expected = model.step(memory, state, given, output)
        found = runtime.step(previous)
        state, previous = expected.state, draw.integers(1, model.num_targets, (len(lengths), 1))
        np.testing.assert_allclose(found["log_probs"][:, 1:], expected.log_probs[:, 0, 1:], atol=1e-4)
        np.testing.assert_allclose(found["attention"], expected.attention[:, 0], atol=1e-5)
        assert (found["log_probs"][:, 0] < -1000).all()


@pytest.mark.parametrize("tying", TYINGS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_step_is_torchs(architecture: str, tying: str, tmp_path: Path) -> None:
    """For several batches, lengths of sources and numbers of steps, by the same three files."""
    model = make_model_folder(tmp_path / "model", architecture=architecture, tying=tying)
    runtime, bundle = exported(model, tmp_path / "out")
    for lengths in ([5, 2, 7], [1], [3, 3]):
        check_steps(runtime, bundle, lengths, steps=3 + len(lengths))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_each_kind_of_transformer_can_go(name: str, tmp_path: Path) -> None:
    model = make_model_folder(tmp_path / "model", architecture="transformer", sizes=TRANSFORMERS[name])
    check_steps(*exported(model, tmp_path / "out"), [4, 6], steps=5)


def test_imported_models_can_go_on(tmp_path: Path) -> None:
    theirs = make_marian(tmp_path / "theirs", Kind())
    assert convert.main(["--from", "marian", str(theirs), "--model", str(tmp_path / "model")]) == 0
    check_steps(*exported(tmp_path / "model", tmp_path / "out"), [4, 6])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_tied_matrix_is_there_once(architecture: str, tmp_path: Path) -> None:
    """In the file of all weights, and among the initializers of each graph."""
    onnx = pytest.importorskip("onnx", reason="needs the extra 'export'")
    sizes, width = {}, 64
    for tying in TYINGS:
        kept: dict[str, Any] = {"sizes": SIZES[architecture] | {"embedding_size": width}}
        model = make_model_folder(tmp_path / tying, architecture=architecture, tying=tying, **kept)
        exported(model, tmp_path / f"{tying}.onnx")
        sizes[tying] = (tmp_path / f"{tying}.onnx/weights.bin").stat().st_size
        graph = onnx.load(tmp_path / f"{tying}.onnx/step.onnx", load_external_data=False).graph
        tables = [each for each in graph.initializer if each.name.startswith("embeddings.") and len(each.dims) == 2]
        assert len(tables) == (2 if tying == "untied" else 1)
        for name in ("encoder", "first", "step"):
            onnx.checker.check_model(str(tmp_path / f"{tying}.onnx/{name}.onnx"), full_check=True)
    source, target, union = 61, 62, 64
    assert sizes["untied"] - sizes["decoder"] == target * width * 4
    assert sizes["decoder"] - sizes["three-way"] == pytest.approx((source + target - union) * width * 4, abs=200)


def test_pieces_and_what_nmt_translate_does_not_write_are_told(tmp_path: Path) -> None:
    model = make_model_folder(tmp_path / "model", architecture="transformer")
    _, bundle = exported(model, tmp_path / "out")
    told = json.loads((tmp_path / "out/pieces.json").read_text())
    assert [told["target"][number] for number in told["forbidden"]] == ["<unk>", "only", "source"]
    assert told["source"] == list(bundle.vocabulary.pieces)
    assert (told["padding"], told["unknown"], told["end"]) == (0, 1, 2)
    assert (tmp_path / "out/text.json").exists()


def test_a_full_folder_and_flags_of_others_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_model_folder(tmp_path / "model")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").touch()
    given = ["--to", "onnx", "--model", str(model), "--output", str(tmp_path / "out")]
    assert export.main(given) == 2
    assert "out: is not empty; name another folder with --output" in capsys.readouterr().err
    assert export.main([*given, "--quantization", "int8"]) == 2
    assert "--quantization: is of ctranslate2 and argos; leave it out" in capsys.readouterr().err
