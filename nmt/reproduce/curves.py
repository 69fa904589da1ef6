"""The two pictures of a comparison: learning curves of the modes, and size against BLEU."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from nmt.report.pictures import LOOKS, figure_to_svg, line, new_figure
from nmt.reproduce.results import ModeResult, Results

KINDS = {"bleu": "validation BLEU", "cross_entropy": "validation cross entropy (nats a piece)"}


def has_curve(results: Results, kind: str) -> bool:
    """Whether every run has points of 'bleu' or 'cross_entropy' (BLEU is not measured where no text can be made)."""
    curves = [run.curve for mode in results.modes for run in mode.runs]
    return bool(curves) and all(any(point[kind] is not None for point in curve) for curve in curves)


def learning_curves(results: Results, kind: str) -> str:
    """Validation BLEU or cross entropy over the target pieces seen, as SVG.

    The line is the mean over the seeds; the faint ones are the seeds. A value that was not finite leaves a gap.
    """
    figure, (axes,) = new_figure(1)
    for number, mode in enumerate(results.modes):
        _curve(axes, mode, kind, number)
    axes.set_xlabel("target pieces seen (millions)")
    axes.set_ylabel(KINDS[kind])
    axes.legend()
    return figure_to_svg(figure, f"Learning curves of the tying modes: {KINDS[kind]}")


def _curve(axes: Any, mode: ModeResult, kind: str, number: int) -> None:
    """One mode: its mean where all seeds have a point, and each seed."""
    points = min(len(run.curve) for run in mode.runs)
    x = [run.curve[i]["target_tokens"] / 1e6 for run in mode.runs[:1] for i in range(points)]
    for run in mode.runs if len(mode.runs) > 1 else []:
        seen = [point["target_tokens"] / 1e6 for point in run.curve]
        axes.plot(seen, [_value(point, kind) for point in run.curve], color=LOOKS[number][0], linewidth=0.6, alpha=0.5)
    mean = [statistics.fmean(_value(run.curve[i], kind) for run in mode.runs) for i in range(points)]
    line(axes, x, mean, number, f"{mode.tying} ({mode.total / 1e6:.1f}M)")


def _value(point: dict[str, Any], kind: str) -> float:
    return math.nan if point[kind] is None else float(point[kind])


def size_against_bleu(results: Results) -> str:
    """Parameters against BLEU of the last set (a test set where there is one): every seed, mean and 95% interval."""
    name = results.sets[-1]
    figure, (axes,) = new_figure(1)
    for number, mode in enumerate(results.modes):
        colour, _, marker = LOOKS[number]
        size, summary = mode.total / 1e6, mode.bleu[name]
        scores = [run.scores[name]["bleu"] for run in mode.runs]
        axes.plot([size] * len(scores), scores, linestyle="", marker=marker, color=colour, alpha=0.4, markersize=4)
        axes.errorbar(
            [size],
            [summary.mean],
            yerr=[summary.margin or 0.0],
            color=colour,
            marker=marker,
            capsize=4,
            label=mode.tying,
        )
    axes.set_xlabel("parameters (millions)")
    axes.set_ylabel(f"BLEU, {name}")
    axes.set_xlim(left=0)
    _widen(axes, [run.scores[name]["bleu"] for mode in results.modes for run in mode.runs])
    axes.legend(loc="lower left")
    return figure_to_svg(figure, f"Model size against BLEU on {name}")


def _widen(axes: Any, scores: Sequence[float]) -> None:
    """Show at least four points of BLEU, so that noise does not look like a difference."""
    low, high = axes.get_ylim()
    middle = (min(scores) + max(scores)) / 2
    axes.set_ylim(min(low, middle - 2), max(high, middle + 2))
