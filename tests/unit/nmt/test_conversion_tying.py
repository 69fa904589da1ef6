"""A model in another tying mode: copies give the same scores, and of matrices that become one the stated rows stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.cli import convert
from nmt.config import ModelConfig
from nmt.conversion.tying import change_tying, retied
from nmt.data.batching import BatchMaker
from nmt.data.corpus import ParallelIds
from nmt.folder.bundle import Bundle, load_bundle, read_manifest
from nmt.models.architectures import ARCHITECTURES
from nmt.models.build import VocabularySizes, build_empty, build_model
from nmt.text.vocabulary import NUM_SPECIALS, Vocabulary
from nmt.tying import Tying
from tests.tiny_model import make_model_folder

pytestmark = pytest.mark.numeric
CPU = torch.device("cpu")
SOURCE = ["a@@", "b", "c", "only", "d"]
TARGET = ["one", "a", "b@@", "two"]


def opened(folder: Path) -> Bundle:
    return load_bundle(folder, CPU)


def log_probs(bundle: Bundle) -> Tensor:
    """Of every piece of the target view after each piece of a translation, [pieces + 1, Ct], renormalised over it."""
    vocabulary, model = bundle.vocabulary, bundle.model
    sides = [np.array(vocabulary.encode(pieces), dtype=np.int32) for pieces in (SOURCE, TARGET)]
    pairs = ParallelIds(*(array for ids in sides for array in (ids, np.array([0, len(ids)]))))
    batch = BatchMaker(pairs, bundle.source_view, bundle.target_view).make([0])
    scores = model.embeddings.scores(model.readout(batch))
    view = vocabulary.target_view(False)
    rows = bundle.target_view.from_union(view.to_union(torch.arange(view.size).numpy()))
    return torch.log_softmax(scores[:, torch.from_numpy(rows)], -1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("before", "after"), [("three-way", "untied"), ("three-way", "decoder"), ("decoder", "untied")]
)
def test_copies_give_the_same_log_probabilities(tmp_path: Path, architecture: str, before: str, after: str) -> None:
    """Those of three-way models renormalised over the target's pieces: the source's own are no longer scored."""
    folder = make_model_folder(tmp_path / "old", tying=before, architecture=architecture)
    change_tying(folder, Tying(after), tmp_path / "new")
    old, new = opened(folder), opened(tmp_path / "new")
    assert new.model.embeddings.tying is Tying(after)
    torch.testing.assert_close(log_probs(new), log_probs(old), rtol=0, atol=1e-5)


def test_without_pieces_of_the_source_alone_nothing_changes_at_all() -> None:
    """A three-way model whose softmax has only target pieces: the same to the bit."""
    vocabulary = Vocabulary(both=("a", "b", "c"), source_only=(), target_only=("d",))
    config = ModelConfig(tying="three-way", embedding_size=4, hidden_size=5)
    sizes = VocabularySizes.of(vocabulary)
    old = build_model(config, sizes)
    tensors = retied(old, vocabulary, Tying.UNTIED, None)
    new = build_empty(ModelConfig(tying="untied", embedding_size=4, hidden_size=5), sizes, CPU)
    assert torch.equal(tensors["embeddings.output"], old.embeddings.output)
    assert torch.equal(tensors["embeddings.output_bias"], old.embeddings.output_bias)
    assert torch.equal(
        tensors["embeddings.source_input"], old.embeddings.output[: new.embeddings.source_input.shape[0]]
    )


def rows_of(bundle: Bundle) -> dict[str, dict[str, Tensor]]:
    """Role -> piece -> row; text pieces alone."""
    vocabulary, matrices = bundle.vocabulary, bundle.model.embeddings
    shared = matrices.tying.shares_source
    source = vocabulary.pieces[: vocabulary.source_view(shared).size]
    target = [vocabulary.pieces[row] for row in vocabulary.target_view(shared).to_union(torch.arange(
        vocabulary.target_view(shared).size).numpy())]  # fmt: skip
    named = {"source": (source, matrices.source_input), "target": (target, matrices.target_input)}
    named |= {"output": (target, matrices.output), "bias": (target, matrices.output_bias)}
    return {
        role: dict(zip(pieces[NUM_SPECIALS:], matrix[NUM_SPECIALS:], strict=True))
        for role, (pieces, matrix) in named.items()
    }


def expected(rows: dict[str, dict[str, Tensor]], piece: str, keep: str) -> Tensor:
    """The row that the merged matrix has for a piece, by the stated rule."""
    there = [rows[role][piece] for role in ("source", "target", "output") if piece in rows[role]]
    if keep == "mean":
        return torch.stack(there).mean(0)
    for role in (keep, "source", "output"):
        if piece in rows[role]:
            return rows[role][piece]
    raise AssertionError(piece)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("keep", ["source", "target", "output", "mean"])
def test_untied_to_three_way(tmp_path: Path, architecture: str, keep: str) -> None:
    folder = make_model_folder(tmp_path / "old", tying="untied", architecture=architecture)
    change_tying(folder, Tying.THREE_WAY, tmp_path / "new", keep)
    old, new = opened(folder), opened(tmp_path / "new")
    new.model.embeddings.assert_tied()
    before, after = rows_of(old), rows_of(new)
    for piece in old.vocabulary.pieces[NUM_SPECIALS:]:
        torch.testing.assert_close(after["output"][piece], expected(before, piece, keep))
    lowest = old.model.embeddings.output_bias.min()
    for piece, bias in after["bias"].items():
        assert torch.equal(bias, before["bias"].get(piece, lowest)), piece


@pytest.mark.parametrize("keep", ["target", "output", "mean"])
def test_untied_to_decoder(tmp_path: Path, keep: str) -> None:
    folder = make_model_folder(tmp_path / "old", tying="untied")
    change_tying(folder, Tying.DECODER, tmp_path / "new", keep)
    old, new = (opened(place).model.embeddings for place in (folder, tmp_path / "new"))
    kept = {"target": old.target_input, "output": old.output, "mean": (old.target_input + old.output) / 2}[keep]
    torch.testing.assert_close(new.output, kept)
    assert torch.equal(new.source_input, old.source_input)
    assert torch.equal(new.output_bias, old.output_bias)


def test_the_decoders_matrix_counts_once_in_a_mean(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "old", tying="decoder")
    change_tying(folder, Tying.THREE_WAY, tmp_path / "new", "mean")
    before, after = rows_of(opened(folder)), rows_of(opened(tmp_path / "new"))
    torch.testing.assert_close(after["output"]["a"], (before["source"]["a"] + before["output"]["a"]) / 2)


def test_there_and_back(tmp_path: Path) -> None:
    """Copies that become one again are what they were, but for the bias of pieces that no target has."""
    folder = make_model_folder(tmp_path / "old", tying="three-way")
    change_tying(folder, Tying.UNTIED, tmp_path / "untied")
    change_tying(tmp_path / "untied", Tying.THREE_WAY, tmp_path / "back", "mean")
    old, new = (opened(place).model.embeddings for place in (folder, tmp_path / "back"))
    torch.testing.assert_close(new.output, old.output, rtol=0, atol=1e-6)


def test_the_rest_of_the_network_is_untouched_and_the_folder_says_what_was_done(tmp_path: Path, capsys) -> None:
    folder = make_model_folder(tmp_path / "old", tying="untied")
    assert convert.main(["--tying", "three-way", str(folder), "--model", str(tmp_path / "new")]) == 0
    said = capsys.readouterr().err
    assert "from untied to three-way, the mean of the matrices kept; train it further with nmt-train --from" in said
    manifest = read_manifest(tmp_path / "new")
    assert manifest["data"]["converted"]["tying"] == "from untied to three-way, the mean of the matrices kept"
    assert len(manifest["data"]["converted"]["weights"]) == 64
    old, new = (dict(opened(place).model.named_parameters()) for place in (folder, tmp_path / "new"))
    for name, value in new.items():
        assert name.startswith("embeddings.") or torch.equal(value, old[name]), name


@pytest.mark.parametrize(
    ("before", "arguments", "message"),
    [
        ("untied", ["--tying", "untied"], "is tied untied already"),
        ("three-way", ["--tying", "untied", "--keep", "mean"], "no matrix is left out"),
        ("untied", ["--tying", "decoder", "--keep", "source"], "unknown value 'source'"),
        ("untied", ["--tying", "both"], "unknown value 'both'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, capsys, before: str, arguments: list[str], message: str
) -> None:
    folder = make_model_folder(tmp_path / "old", tying=before)
    assert convert.main([*arguments, str(folder), "--model", str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "old", tying="untied")
    with pytest.raises(UserError, match="is there already"):
        change_tying(folder, Tying.DECODER, folder)


def test_a_folder_that_is_no_model_is_told(tmp_path: Path) -> None:
    for folder, problem in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "not a model folder")):
        with pytest.raises(UserError, match=f"{problem}.*name the model folder to convert"):
            change_tying(folder, Tying.UNTIED, tmp_path / "out")
