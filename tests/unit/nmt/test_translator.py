"""Lines in, lines out, against search done by hand; long lines in parts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import nmt.translate.searcher
from bpe.codes import MergeTable
from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.search.beam import beam_search
from nmt.search.request import Wanted
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.translate.lines import one_line
from nmt.translate.segments import MAX_SOURCE_PIECES, split_source
from nmt.translate.translator import Translator
from tests.tiny_model import make_model_folder

LINES = ["the cat sat", "", "a", "  \t ", "dogs, dogs.", "the cat sat", "\x00", "日本 🙂 xyz", "one\ntwo\rthree"]


@pytest.fixture(scope="module", params=["untied", "decoder", "three-way"])
def translator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return Translator.load(make_model_folder(tmp_path_factory.mktemp("model"), tying=request.param), device="cpu")


def test_each_line_has_the_text_of_its_own_search(translator: Translator) -> None:
    bundle, found = translator.bundle, translator.translate(LINES)
    assert len(found) == len(LINES)
    assert not any("\n" in line or "\r" in line for line in found)
    for line, text in zip(LINES, found, strict=True):
        ids = np.array(bundle.vocabulary.encode(bundle.text.pieces(line, "source")), dtype=np.int64)
        wanted = Wanted(source_only=bundle.vocabulary.source_only_rows(bundle.target_view))
        [[best]] = beam_search(bundle.model, [bundle.source_view.from_union(ids)], translator.search, wanted)
        union = bundle.target_view.to_union(np.array(best.pieces, dtype=np.int64))
        expected = bundle.text.text(bundle.vocabulary.decode(union.tolist()), "target") if best.pieces else ""
        assert text == expected
    assert [bool(text) for text in found] == [bool(bundle.text.pieces(line, "source")) for line in LINES]


def test_settings_default_to_the_model_folders_own(translator: Translator) -> None:
    assert translator.search == translator.bundle.config.search
    assert Translator(translator.bundle, SearchConfig(beam=2)).search.beam == 2


def test_details_hold_pieces_probabilities_and_attention(translator: Translator) -> None:
    for found in translator.translate_detailed(["the cat", "a"], num_best=3, attention=True):
        assert len(found) == 3
        assert [t.score for t in found if t.finished] == sorted((t.score for t in found if t.finished), reverse=True)
        for one in found:
            assert one.attention is not None
            assert one.log_prob < 0
            assert one.attention.size(0) == len(one.pieces)
            assert one.attention.size(1) > len(one.source_pieces)


def test_a_long_line_is_translated_in_parts(translator: Translator) -> None:
    words = random.Random(1).choices(["ab", "cde", "f", "gh,", "ij."], k=1000)
    parts = split_source(translator.bundle.text, translator.bundle.text.read(" ".join(words)))
    texts = [" ".join(translator.bundle.text.text(part, "source").split()) for part in parts]
    assert len(parts) > 4
    assert all(len(part) <= MAX_SOURCE_PIECES for part in parts)
    assert " ".join(texts) == " ".join(words)
    assert all(text.endswith(".") for text in texts[:-1])
    [whole] = translator.translate([" ".join(words)])
    assert whole == " ".join(filter(None, translator.translate(texts)))
    [[detailed]] = translator.translate_detailed([" ".join(words)], num_best=2)
    assert detailed.text == whole
    assert detailed.attention is None
    assert detailed.log_prob < 0


@pytest.mark.parametrize("line", ["x" * 1000, "ab " * 500 + "x" * 600, "a " * 256, "a " * 257, "ab, " * 300])
def test_parts_lose_nothing(line: str) -> None:
    text = TextPipeline(TextOptions(source="en", target="de", tokenizer="none"), MergeTable(()))
    parts = split_source(text, text.read(line))
    assert [piece for part in parts for piece in part] == text.pieces(line, "source")
    assert all(0 < len(part) <= MAX_SOURCE_PIECES for part in parts)


def test_progress_adds_up_to_the_lines(translator: Translator) -> None:
    counts: list[int] = []
    translator.translate([*LINES, "ab " * 400], progress=counts.append)
    assert sum(counts) == len(LINES) + 1
    assert translator.translate([], progress=counts.append) == []


def test_line_ends_become_spaces() -> None:
    assert one_line("a\r\nb\x85c\u2028d") == "a  b\x85c\u2028d"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("can't allocate memory")]
)
def test_too_little_memory_says_what_to_lower(
    translator: Translator, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(nmt.translate.searcher, "beam_search", fail)
    with pytest.raises(UserError, match="not enough memory to search; lower --batch-tokens or --beam"):
        translator.translate(["a"])


def test_no_model_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Translator.load(tmp_path / "none", device="cpu")
