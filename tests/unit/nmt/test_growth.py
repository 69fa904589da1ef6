"""A vocabulary that grows: every old piece keeps its row in every mode, a new one gets the mean of its parts' rows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bpe.codes import MergeTable
from bpe.fallback import BYTE_PIECES, FALLBACK_PIECES
from nmt.data.batching import BatchMaker
from nmt.data.corpus import ParallelIds
from nmt.folder.bundle import load_bundle
from nmt.folder.growth import Growth
from nmt.layers.tying import load_unique
from nmt.models.architectures import ARCHITECTURES
from nmt.models.build import VocabularySizes, build_empty
from nmt.models.interface import TranslationModel
from nmt.text.parts import PieceParts
from nmt.text.pipeline import SENTENCEPIECE_BYTES, TextOptions, TextPipeline
from nmt.text.vocabulary import NUM_SPECIALS, Vocabulary
from nmt.tying import Tying
from tests.tiny_model import make_model_folder

pytestmark = pytest.mark.numeric
CPU = torch.device("cpu")
MERGES = MergeTable((("a", "b"), ("ab", "c</w>"), ("x", "y</w>")))


def test_the_order_of_a_grown_vocabulary() -> None:
    old = Vocabulary(both=("b", "a"), source_only=("s", "t"), target_only=("u", "v"))
    new = old.grown({"t": 1, "v": 1, "n": 2, "m": 2, "q": 1}, {"t": 1, "w": 9, "m": 3}, (["z"], []))
    assert new.both == ("b", "a", "t", "v", "m"), "old rows in their old order, then moved ones, then new ones"
    assert new.source_only == ("s", "n", "q", "z")
    assert new.target_only == ("u", "w")
    assert old.grown({}, {}) == old


def test_parts_of_pieces() -> None:
    text = TextPipeline(TextOptions(source="en", target="de", tokenizer="none", byte_fallback=True), MERGES)
    parts = PieceParts(text, frozenset({"ab@@", "c", "d@@", "x@@", *FALLBACK_PIECES}))
    assert parts.of("c") == ["c"]
    assert parts.of("abc") == ["ab@@", "c"]
    assert parts.of("d") == ["d@@"], "the same letter inside a word"
    assert parts.of("é@@") == [BYTE_PIECES[0xC3], BYTE_PIECES[0xA9]]
    assert parts.of("dc") == ["d@@", "c"], "no merge: letter by letter"
    assert parts.of("xy") == ["x@@", BYTE_PIECES[ord("y")], "</0x>"]
    assert PieceParts(text, frozenset({"ab@@"})).of("q") == []
    assert (
        PieceParts(TextPipeline(TextOptions(source="en", target="de", subwords="none"), None), frozenset()).of("word")
        == []
    )


def test_parts_of_sentencepieces_are_characters_or_bytes() -> None:
    text = SimpleNamespace(subwords=b"a model")
    parts = PieceParts(text, frozenset({"▁", "a", *SENTENCEPIECE_BYTES}))  # type: ignore[arg-type]
    assert parts.of("▁aé") == ["▁", "a", "<0xC3>", "<0xA9>"]
    assert parts.of("a") == ["a"]


def grown_model(folder: Path, tying: str, architecture: str) -> tuple[TranslationModel, TranslationModel, Vocabulary]:
    bundle = load_bundle(make_model_folder(folder, tying=tying, architecture=architecture), CPU)
    old = bundle.vocabulary
    new = old.grown({"abc": 3, "only": 1, "☃": 2}, {"only": 5, "ab": 4, "☃": 1})
    text = TextPipeline(bundle.text.options, MERGES)
    shared = Tying(tying).shares_source
    tensors = Growth.of(old, new, text, shared=shared).weights(bundle.model)
    model = build_empty(bundle.config.model, VocabularySizes.of(new), CPU).eval()
    load_unique(model, tensors)
    model.embeddings.assert_tied()
    return bundle.model, model, new


def rows(model: TranslationModel, vocabulary: Vocabulary) -> dict[str, dict[str, torch.Tensor]]:
    """Role -> piece, specials under their numbers -> its row."""
    matrices = model.embeddings
    shared = matrices.tying.shares_source
    view = vocabulary.target_view(shared)
    names = [*map(str, range(NUM_SPECIALS)), *vocabulary.pieces[NUM_SPECIALS:]]
    source = names[: vocabulary.source_view(shared).size]
    target = [names[row] for row in view.to_union(np.arange(view.size))]
    every = {"source": (source, matrices.source_input), "target": (target, matrices.target_input)}
    every |= {"output": (target, matrices.output), "bias": (target, matrices.output_bias)}
    return {role: dict(zip(pieces, table, strict=True)) for role, (pieces, table) in every.items()}


@pytest.mark.parametrize("tying", [mode.value for mode in Tying])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_piece_keeps_its_row_and_new_ones_get_means(tmp_path: Path, tying: str, architecture: str) -> None:
    old_model, new_model, new = grown_model(tmp_path / "model", tying, architecture)
    old = load_bundle(tmp_path / "model", CPU).vocabulary
    before, after = rows(old_model, old), rows(new_model, new)
    for role in before:
        for piece, row in before[role].items():
            assert torch.equal(after[role][piece], row), (role, piece)
    parts = {"abc": ("a@@", "b@@", "c"), "ab": ("a@@", "b")}
    for role, piece in (("source", "abc"), ("target", "ab"), ("output", "ab"), ("bias", "ab")):
        mean = torch.stack([before[role][part] for part in parts[piece]]).mean(0)
        torch.testing.assert_close(after[role][piece], mean)
    text_rows = [row for piece, row in before["output"].items() if piece not in map(str, range(NUM_SPECIALS))]
    torch.testing.assert_close(after["output"]["☃"], torch.stack(text_rows).mean(0), msg="without parts: of all")


@pytest.mark.parametrize("tying", [mode.value for mode in Tying])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_old_text_scores_as_before(tmp_path: Path, tying: str, architecture: str) -> None:
    """Scores of old pieces, before the softmax, of a pair that has no new one."""
    old_model, new_model, new = grown_model(tmp_path / "model", tying, architecture)
    old = load_bundle(tmp_path / "model", CPU).vocabulary
    found = []
    for model, vocabulary in ((old_model, old), (new_model, new)):
        shared = model.embeddings.tying.shares_source
        views = vocabulary.source_view(shared), vocabulary.target_view(shared)
        sides = [np.array(vocabulary.encode(pieces)) for pieces in (["a@@", "b", "only"], ["one", "c", "two"])]
        pairs = ParallelIds(*(array for ids in sides for array in (ids, np.array([0, len(ids)]))))
        scores = model.embeddings.scores(model.readout(BatchMaker(pairs, *views).make([0])))
        wanted = vocabulary.encode(old.side("target"))
        found.append(scores[:, torch.from_numpy(views[1].from_union(np.array(wanted)))])
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5)
