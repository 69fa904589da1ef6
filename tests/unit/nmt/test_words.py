"""Translations word by word: places, probabilities and attention, against those of the pieces."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from bpe.codes import MergeTable
from nmt.explain.explained import DOUBTS, doubt
from nmt.explain.words import words_of
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.translate.lines import Translation
from nmt.translate.translator import Translator
from tests.copy_model import copying, make_folder
from tests.tiny_model import make_model_folder


def pipeline(tokenizer):
    return TextPipeline(TextOptions(source="en", target="de", tokenizer=tokenizer), MergeTable(()))


def translation(text, source, target, log_probs, attention, **others):
    known = {"log_prob": sum(log_probs), "score": 0.0, "penalty": 0.0, "finished": True, "subwords": "bpe"}
    known |= {"source_pieces": tuple(source.split()), "pieces": tuple(target.split())}
    weights = torch.tensor(attention)
    return Translation(text=text, log_probs=tuple(log_probs), attention=weights, **(known | others))


def texts(words, source, target):
    return [source[word.start : word.end] for word in words.source], [
        target[word.start : word.end] for word in words.target
    ]


def test_a_word_has_what_its_pieces_have():
    rows = [[0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.02, 0.18, 0.8]]
    found = translation("abc d", "x y", "ab@@ c d", [-0.5, -0.25, -1.5, -0.1], rows)
    words = words_of(found, "x y", pipeline("none"))
    assert texts(words, "x y", found.text) == (["x", "y"], ["abc", "d"])
    assert [word.probability for word in words.target] == pytest.approx([math.exp(-0.75), math.exp(-1.5)])
    first, second = (word.attention for word in words.target)
    assert [number for number, _ in first] == [1, 0]
    assert [share for _, share in first] == pytest.approx([0.45, 0.4])
    assert [number for number, _ in second] == [1]  # the other share is too small to tell of


def test_words_of_several_parts_are_numbered_through():
    first = translation("a", "x", "a", [-1.0, 0.0], [[0.9, 0.1]])
    second = translation("b", "y", "b", [-2.0, 0.0], [[0.8, 0.2]])
    whole = replace(first, text="a b", source_pieces=("x", "y"), pieces=("a", "b"), attention=None, log_probs=None)
    words = words_of(replace(whole, parts=(first, second)), "x  y", pipeline("none"))
    assert texts(words, "x  y", "a b") == (["x", "y"], ["a", "b"])
    assert [[number for number, _ in word.attention] for word in words.target] == [[0], [1]]


@pytest.mark.parametrize("tokenizer", ["reversible", "moses", "none"])
def test_words_are_where_they_stand(tokenizer):
    text = pipeline(tokenizer)
    source, target = "Don't stop, it's (almost) 3.5 km.", "Nicht anhalten, es sind »fast« 3,5 km."
    sides = [text.pieces(source, "source"), text.pieces(target, "target")]
    spread = torch.full((len(sides[1]), len(sides[0]) + 1), 1 / (len(sides[0]) + 1)).tolist()
    given = {"source_pieces": tuple(sides[0]), "pieces": tuple(sides[1])}
    found = translation(target, "", "", [-0.1] * (len(sides[1]) + 1), spread, **given)
    for own, line in zip(texts(words_of(found, source, text), source, target), (source, target), strict=True):
        assert "".join(own) == line.replace(" ", "")
        assert all(word == word.strip() and word for word in own)
        assert any("km" in word for word in own)


def test_placeholders_are_words_of_the_text(tmp_path):
    translator = copying(make_folder(tmp_path / "model"))
    line = "a {one} bc"
    [[found]] = translator.translate_detailed([line], attention=True)
    words = words_of(found, line, translator.bundle.text)
    source, target = texts(words, line, found.text)
    assert source == target == ["a", "{one}", "bc"]


@pytest.mark.parametrize("architecture", ["rnn", "transformer"])
@pytest.mark.parametrize("line", ["ab cd", "", "   ", "é ab"])
def test_real_models_add_up(line, architecture, tmp_path):
    translator = Translator.load(make_model_folder(tmp_path / "model", architecture=architecture))
    [[found]] = translator.translate_detailed([line], attention=True)
    words = words_of(found, line, translator.bundle.text)
    total = sum(math.log(word.probability) for word in words.target)
    assert total == pytest.approx(sum(found.log_probs[: len(found.pieces)]), abs=1e-6)
    for word in words.target:
        assert sum(share for _, share in word.attention) <= 1 + 1e-6
        assert all(0 <= number < len(words.source) for number, _ in word.attention)


def test_levels_of_doubt():
    assert [doubt(share) for share in (1.0, 0.9, 0.89, 0.5, 0.2, 0.1, 0.0)] == [0, 0, 1, 1, 2, 3, 3]
    assert list(DOUBTS) == sorted(DOUBTS, reverse=True)
