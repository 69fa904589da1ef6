"""BLEU, chrF2 and TER of raw translations against raw references, through sacreBLEU, with its signatures.

Scores that others can repeat are of detokenised text: nothing here tokenises but sacreBLEU itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import sacrebleu
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest

from bpe.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """How BLEU is computed, and shown in its signature."""

    target_language: str = ""
    "Chooses sacreBLEU's tokenizer (zh, ja-mecab, ko-mecab; 13a for all others and for none)."
    tokenize: str | None = None
    "sacreBLEU's tokenizer; None: the language's."
    lowercase: bool = False
    "Ignore case in BLEU and chrF2 (TER always does)."


DEFAULTS = Options()
WITHOUT_SPACES = ("ja", "th", "lo", "km", "my")
"Languages written without spaces for which sacreBLEU has no tokenizer, or one in a package of its own."


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Corpus scores, each from 0 to 100 (TER may exceed it, and is better when lower)."""

    bleu: float
    chrf2: float
    ter: float
    signatures: dict[str, str]
    "sacreBLEU's signature of each of bleu, chrf2 and ter: how it was computed."
    sacrebleu_version: str
    num_lines: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Paired bootstrap of a system against a baseline, in BLEU."""

    baseline: float
    system: float
    p_value: float
    "How likely a difference as large is when both are equally good."
    confidence: float
    "Half the width of the 95% interval around the system's mean BLEU."
    signature: str


def score(hypotheses: Sequence[str], references: Sequence[str], options: Options = DEFAULTS) -> Scores:
    """Score raw lines against raw lines.

    Raises UserError where the numbers of lines differ, there are none, or the tokenizer is not there.
    """
    check_lengths(hypotheses, references)
    metrics: dict[str, Metric] = {"bleu": _bleu(options), "chrf2": CHRF(lowercase=options.lowercase), "ter": TER()}
    values = {name: metric.corpus_score(hypotheses, [references]).score for name, metric in metrics.items()}
    return Scores(
        **values,
        signatures={name: str(metric.get_signature()) for name, metric in metrics.items()},
        sacrebleu_version=sacrebleu.__version__,
        num_lines=len(references),
    )


def validation_options(target_language: str) -> Options:
    """How BLEU is computed during training: as Chinese for Chinese, by characters for WITHOUT_SPACES, else 13a."""
    code = _code(target_language)
    return Options(tokenize="zh" if code == "zh" else "char" if code in WITHOUT_SPACES else None)


def bleu(hypotheses: Sequence[str], references: Sequence[str], options: Options = DEFAULTS) -> float:
    """BLEU alone, as in `score`: what validation during training needs."""
    check_lengths(hypotheses, references)
    return float(_bleu(options).corpus_score(hypotheses, [references]).score)


def paired_bootstrap(
    baseline: Sequence[str],
    system: Sequence[str],
    references: Sequence[str],
    options: Options = DEFAULTS,
    *,
    num_samples: int = 1000,
) -> Comparison:
    """Whether two systems' BLEU differ by more than chance (Koehn, 2004); sacreBLEU's seed makes it repeatable."""
    check_lengths(baseline, references)
    check_lengths(system, references)
    test = PairedTest(
        [("baseline", baseline), ("system", system)],
        {"BLEU": _bleu(options)},
        [references],
        test_type="bs",
        n_samples=num_samples,
    )
    signatures, results = test()
    first, second = (result for result in results["BLEU"] if not isinstance(result, str))
    assert second.p_value is not None
    assert second.ci is not None
    same = first.score == second.score  # any difference is at least none; sacreBLEU counts only larger ones
    return Comparison(
        baseline=float(first.score),
        system=float(second.score),
        p_value=1.0 if same else float(second.p_value),
        confidence=float(second.ci),
        signature=str(signatures["BLEU"]),
    )


def check_lengths(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Raise a UserError with both counts unless there are as many translations as references, and some."""
    if len(hypotheses) != len(references):
        raise UserError(
            f"{len(hypotheses):,} translations for {len(references):,} references",
            hint="score the translation of the same file, line by line",
        )
    if not references:
        raise UserError("no lines to score", hint="check that the files are not empty")


def _bleu(options: Options) -> BLEU:
    name = options.tokenize
    if name is not None and name not in BLEU.TOKENIZERS:
        known = ", ".join(BLEU.TOKENIZERS)
        raise UserError(f"unknown BLEU tokenizer {name!r}", where="--tokenize", hint=f"choose one of {known}")
    try:
        return BLEU(lowercase=options.lowercase, tokenize=name, trg_lang=_code(options.target_language))
    except (RuntimeError, ImportError, OSError) as error:
        asked = name or f"for {options.target_language}"
        hint = "install what it names, or choose another with --tokenize"
        raise UserError(f"the BLEU tokenizer {asked} is not there ({error})", hint=hint) from None


def _code(language: str) -> str:
    """A language code without its script or country, as sacreBLEU knows it: zh of zh-CN."""
    return re.split("[-_]", language.lower())[0]
