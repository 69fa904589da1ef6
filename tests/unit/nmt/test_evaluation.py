"""Scores against sacreBLEU's own command, and what cannot be scored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.evaluation import Options, bleu, paired_bootstrap, score

REFERENCES = ["The cat sat on the mat.", "Dogs bark, don't they?", "", "Ein  Satz mit\u2028Trenner — und mehr!"]
HYPOTHESES = ["the cat sat on a mat.", "Dogs bark , do they?", "", "Ein Satz mit Trenner - und mehr!"]


def test_scores_and_signatures_are_those_of_sacrebleu_itself(tmp_path: Path) -> None:
    for name, lines in (("hyp", HYPOTHESES), ("ref", REFERENCES)):
        (tmp_path / name).write_text("".join(line.replace("\u2028", " ") + "\n" for line in lines), encoding="utf-8")
    found = score(HYPOTHESES, REFERENCES)
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", "bleu", "chrf", "ter", "-w", "8"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    expected = json.loads(printed)
    assert [found.bleu, found.chrf2, found.ter] == pytest.approx([metric["score"] for metric in expected], abs=1e-6)
    assert list(found.signatures) == ["bleu", "chrf2", "ter"]
    for metric, signature in zip(expected, found.signatures.values(), strict=True):
        assert metric["signature"] == signature
    assert found.num_lines == 4
    assert found.sacrebleu_version in found.signatures["bleu"]
    assert bleu(HYPOTHESES, REFERENCES) == found.bleu


def test_equal_text_scores_the_best() -> None:
    lines = ["One short sentence is here.", "And this is another one."]
    found = score(lines, lines)
    assert (found.bleu, found.chrf2, found.ter) == pytest.approx((100, 100, 0))


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
