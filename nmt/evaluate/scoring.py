"""Scores of raw translations against raw references, through sacreBLEU, with its signatures: BLEU, chrF2, chrF2++, TER.

Scores that others can repeat are of detokenised text: nothing here tokenises but sacreBLEU itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sacrebleu
from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest

from bpe.errors import UserError
from nmt.evaluate.metrics import DEFAULTS, NAMES, Options, make_bleu, make_metrics

NUM_SAMPLES = 1000
"Samples of a bootstrap, as in Koehn (2004) and sacreBLEU."

Lines = Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """95% confidence interval by bootstrap: mean ± half_width of the samples' scores."""

    mean: float
    half_width: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Corpus scores, each from 0 to 100 (TER may exceed it, and is better when lower)."""

    bleu: float
    chrf2: float
    chrf2pp: float
    "chrF2++: chrF2 with words and pairs of words beside characters."
    ter: float
    signatures: dict[str, str]
    "sacreBLEU's signature of each: how it was computed."
    sacrebleu_version: str
    num_lines: int
    confidence: dict[str, Interval] | None = None
    "Of each, where it was asked for."


@dataclass(frozen=True, kw_only=True)
class SentenceScores:
    """Scores of each sentence, by the names of `metrics.NAMES`."""

    scores: list[dict[str, float]]
    signatures: dict[str, str]
    "BLEU's is not the corpus's: orders of which a sentence has no n-gram do not count (eff:yes)."


@dataclass(frozen=True, kw_only=True)
class PairedBootstrap:
    """Paired bootstrap of a system against a baseline, in BLEU."""

    baseline: float
    system: float
    p_value: float
    "How likely a difference as large is when both are equally good."
    confidence: float
    "Half the width of the 95% interval around the system's mean BLEU."
    signature: str


def score(
    hypotheses: Lines,
    references: Lines,
    options: Options = DEFAULTS,
    *,
    more_references: Sequence[Lines] = (),
    num_samples: int = 0,
) -> Scores:
    """Score raw lines against raw lines.

    more_references: of the same lines. num_samples: of the bootstrap for confidence intervals; 0: none.
    Raises UserError where the numbers of lines differ, there are none, or the tokenizer is not there.
    """
    every = _checked(hypotheses, references, more_references)
    metrics = make_metrics(options)
    if num_samples:
        found = _bootstrap(hypotheses, every, metrics, num_samples)
    else:
        computed = {name: metric.corpus_score(hypotheses, every) for name, metric in metrics.items()}
        signatures = {name: str(metric.get_signature()) for name, metric in metrics.items()}
        found = _Found({name: float(one.score) for name, one in computed.items()}, signatures)
    return Scores(
        **found.values,
        signatures=found.signatures,
        sacrebleu_version=sacrebleu.__version__,
        num_lines=len(references),
        confidence=found.intervals,
    )


def score_sentences(
    hypotheses: Lines, references: Lines, options: Options = DEFAULTS, *, more_references: Sequence[Lines] = ()
) -> SentenceScores:
    """Score each line by itself; as in `score`."""
    every = _checked(hypotheses, references, more_references)
    metrics = make_metrics(options, sentences=True)
    scores = [
        {name: float(metric.sentence_score(line, own).score) for name, metric in metrics.items()}
        for line, *own in zip(hypotheses, *every, strict=True)
    ]
    return SentenceScores(
        scores=scores, signatures={name: str(metric.get_signature()) for name, metric in metrics.items()}
    )


def bleu(hypotheses: Lines, references: Lines, options: Options = DEFAULTS) -> float:
    """BLEU alone, as in `score`: what validation during training needs."""
    check_lengths(hypotheses, references)
    return float(make_bleu(options).corpus_score(hypotheses, [references]).score)


def paired_bootstrap(
    baseline: Lines,
    system: Lines,
    references: Lines,
    options: Options = DEFAULTS,
    *,
    more_references: Sequence[Lines] = (),
    num_samples: int = NUM_SAMPLES,
) -> PairedBootstrap:
    """Whether two systems' BLEU differ by more than chance (Koehn, 2004); sacreBLEU's seed makes it repeatable."""
    _checked(baseline, references, more_references)
    every = _checked(system, references, more_references)
    test = PairedTest(
        [("baseline", baseline), ("system", system)],
        {"BLEU": make_bleu(options)},
        every,
        test_type="bs",
        n_samples=num_samples,
    )
    signatures, results = test()
    first, second = (result for result in results["BLEU"] if not isinstance(result, str))
    assert second.p_value is not None
    assert second.ci is not None
    same = first.score == second.score  # any difference is at least none; sacreBLEU counts only larger ones
    return PairedBootstrap(
        baseline=float(first.score),
        system=float(second.score),
        p_value=1.0 if same else float(second.p_value),
        confidence=float(second.ci),
        signature=str(signatures["BLEU"]),
    )


def check_lengths(hypotheses: Lines, references: Lines) -> None:
    """Raise a UserError with both counts unless there are as many translations as references, and some."""
    if len(hypotheses) != len(references):
        raise UserError(
            f"{len(hypotheses):,} translations for {len(references):,} references",
            hint="score the translation of the same file, line by line",
        )
    if not references:
        raise UserError("no lines to score", hint="check that the files are not empty")


@dataclass(frozen=True)
class _Found:
    """Of each metric."""

    values: dict[str, float]
    signatures: dict[str, str]
    intervals: dict[str, Interval] | None = None


def _bootstrap(hypotheses: Lines, references: list[Lines], metrics: dict[str, Metric], num_samples: int) -> _Found:
    """Scores with their intervals.

    A paired test of one system: Metric.corpus_score draws the same samples, but sacreBLEU 2.6.0 cannot average them
    where some score exactly 0, as they do where the text is short.
    """
    test = PairedTest([("system", hypotheses)], metrics, references, test_type="bs", n_samples=num_samples)
    signatures, results = test()
    found = {name: next(one for one in results[NAMES[name]] if not isinstance(one, str)) for name in metrics}
    return _Found(
        values={name: float(one.score) for name, one in found.items()},
        signatures={name: str(signatures[NAMES[name]]) for name in metrics},
        intervals={
            name: Interval(mean=float(one.mean or 0), half_width=float(one.ci or 0)) for name, one in found.items()
        },
    )


def _checked(hypotheses: Lines, references: Lines, more: Sequence[Lines]) -> list[Lines]:
    """All references, each as many lines as the translations."""
    every = [references, *more]
    for lines in every:
        check_lengths(hypotheses, lines)
    return every
