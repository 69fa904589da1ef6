"""Scores against sacreBLEU's own command, and what cannot be scored."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bpe.errors import UserError
from nmt.evaluate.metrics import Options
from nmt.evaluate.scoring import bleu, paired_bootstrap, score, score_sentences

REFERENCES = ["The cat sat on the mat.", "Dogs bark, don't they?", "", "Ein  Satz mit\u2028Trenner — und mehr!"]
OTHERS = ["the cat sat on a mat.", "Don't dogs bark?", "", "Ein Satz, mit\u2028Trennung."]
HYPOTHESES = ["the cat sat on a mat.", "Dogs bark , do they?", "", "Ein Satz mit Trenner - und mehr!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The texts as files; sacreBLEU's command takes U+2028 for the end of a line."""
    folder = tmp_path_factory.mktemp("texts")
    for name, lines in (("hyp", HYPOTHESES), ("ref", REFERENCES), ("other", OTHERS)):
        (folder / name).write_text("".join(line.replace("\u2028", " ") + "\n" for line in lines), encoding="utf-8")
    return folder


def by_sacrebleu(folder: Path, *arguments: str) -> Any:
    """What sacreBLEU's own command prints."""
    command = [sys.executable, "-m", "sacrebleu", *arguments, "-i", "hyp", "-w", "8"]
    printed = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    return json.loads(printed)


def test_scores_and_signatures_are_those_of_sacrebleu_itself(folder: Path) -> None:
    found = score(HYPOTHESES, REFERENCES)
    expected = by_sacrebleu(folder, "ref", "-m", "bleu", "chrf", "ter")
    assert [found.bleu, found.chrf2, found.ter] == pytest.approx([metric["score"] for metric in expected], abs=1e-6)
    assert list(found.signatures) == ["bleu", "chrf2", "chrf2pp", "ter"]
    for metric, name in zip(expected, ("bleu", "chrf2", "ter"), strict=True):
        assert metric["signature"] == found.signatures[name]
    assert found.num_lines == 4
    assert found.confidence is None
    assert found.sacrebleu_version in found.signatures["bleu"]
    assert bleu(HYPOTHESES, REFERENCES) == found.bleu


def test_several_references_and_intervals_are_those_of_sacrebleu_itself(folder: Path) -> None:
    found = score(HYPOTHESES, REFERENCES, more_references=[OTHERS], num_samples=200)
    assert found.confidence is not None
    arguments = ("ref", "other", "-m", "bleu", "chrf", "ter", "--confidence", "--confidence-n", "200")
    expected = by_sacrebleu(folder, *arguments, "--chrf-word-order", "2")
    for metric, name in zip(expected, ("bleu", "chrf2pp", "ter"), strict=True):
        interval = found.confidence[name]
        assert getattr(found, name) == pytest.approx(metric["score"], abs=1e-6)
        assert interval.mean == pytest.approx(metric["confidence_mean"], abs=1e-3)  # float32
        assert interval.half_width == pytest.approx(metric["confidence_var"], abs=1e-3)
        assert metric["signature"] == found.signatures[name]
        assert "nrefs:2|bs:200|seed:12345" in metric["signature"]
    assert found.bleu > score(HYPOTHESES, REFERENCES).bleu > 0


@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter"])
def test_scores_of_lines_are_those_of_sacrebleu_itself(metric: str, folder: Path) -> None:
    found = score_sentences(HYPOTHESES, REFERENCES, more_references=[OTHERS])
    command = [sys.executable, "-m", "sacrebleu", "ref", "other", "-i", "hyp", "-m", metric, "-sl", "-w", "8", "-b"]
    printed = subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout
    name = "chrf2" if metric == "chrf" else metric
    assert [scores[name] for scores in found.scores] == pytest.approx(list(map(float, printed.split())), abs=1e-6)
    assert "eff:yes" in found.signatures["bleu"]


def test_equal_text_scores_the_best() -> None:
    lines = ["One short sentence is here.", "And this is another one."]
    found = score(lines, lines)
    assert (found.bleu, found.chrf2, found.chrf2pp, found.ter) == pytest.approx((100, 100, 100, 0))


def test_options_show_in_the_signature() -> None:
    found = score(HYPOTHESES, REFERENCES, Options(tokenize="char", lowercase=True)).signatures["bleu"]
    assert "tok:char" in found
    assert "case:lc" in found
    assert "tok:zh" in score(HYPOTHESES, REFERENCES, Options(target_language="zh")).signatures["bleu"]


def test_a_clearly_better_system_is_found_significant() -> None:
    references = [f"sentence number {n} has {n * 7} words in it" for n in range(60)]
    worse = [line if n % 3 else line.replace("words in", "letters of") for n, line in enumerate(references)]
    found = paired_bootstrap(worse, references, references, num_samples=200)
    assert found.system == pytest.approx(100)
    assert found.baseline < 90
    assert found.p_value < 0.05
    assert "bs:200" in found.signature
    assert paired_bootstrap(worse, worse, references, num_samples=200).p_value == 1


def test_a_second_reference_counts_where_systems_are_compared() -> None:
    system, baseline = ["one two three four five"] * 8, ["one two three four six"] * 8
    found = paired_bootstrap(baseline, system, baseline, more_references=[system], num_samples=50)
    assert found.baseline == found.system == pytest.approx(100)
    assert "nrefs:2|bs:50" in found.signature


def test_references_of_other_lengths_are_refused() -> None:
    two, one = ["a", "b"], ["a"]
    for call in (score, score_sentences, partial(paired_bootstrap, two)):
        with pytest.raises(UserError, match="2 translations for 1 references"):
            call(two, two, more_references=[one])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("hypotheses", "references", "options", "message"),
    [
        (["a"] * 1001, ["a"], Options(), "1,001 translations for 1 references"),
        ([], [], Options(), "no lines to score"),
        (["a"], ["a"], Options(tokenize="13b"), "--tokenize: unknown BLEU tokenizer '13b'; choose one of none, zh"),
    ],
)
def test_what_cannot_be_scored(hypotheses: list[str], references: list[str], options: Options, message: str) -> None:
    with pytest.raises(UserError, match=message):
        score(hypotheses, references, options)
