"""The pictures of recorded runs: gradients by role, their cosines, lengths of rows, likeness to untied matrices."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

from nmt.layers.roles import USES
from nmt.report.document import Picture
from nmt.report.pictures import LOOKS, figure_to_svg, line, new_figure
from nmt.reproduce.tying.reading import NAMES, matrix_name
from nmt.reproduce.tying.records import WHOLE, Point, RecordedRun, RunGroup, cosine_of, gradient_of

Series = Callable[[RecordedRun], list[tuple[float, float]]]
"(update, number) of a run, in order."

MOMENTS = (0.0, 0.1, 0.5, 1.0)
"Of the records: when the lengths of rows are shown."


def norm_pictures(groups: Sequence[RunGroup]) -> Iterator[Picture]:
    """The norm of each role's gradient over the updates, a picture a group."""
    for number, group in enumerate(groups):
        series = {NAMES[role]: partial(of_points, gradient_of(role)) for role in USES}
        yield _curves(f"gradients-{number}", group, series, "norm of the gradient", log=True)


def cosine_pictures(groups: Sequence[RunGroup]) -> Iterator[Picture]:
    """Cosines between the roles' gradients."""
    for number, group in enumerate(groups):
        series = {f"{NAMES[a]}, {NAMES[b]}": partial(of_points, cosine_of(a, b)) for a, b in combinations(USES, 2)}
        yield _curves(f"cosines-{number}", group, series, "cosine of the gradients", zero=True)


def likeness_pictures(groups: Sequence[RunGroup]) -> Iterator[Picture]:
    """Rank correlations with the untied run's matrices, where there are any."""
    for number, group in enumerate(groups):
        if any(run.checks for run in group.runs):
            series = {f"untied {NAMES[role]}": partial(of_checks, f"rho.{role}") for role in USES}
            yield _curves(f"likeness-{number}", group, series, "rank correlation")


def row_pictures(groups: Sequence[RunGroup]) -> Iterator[Picture]:
    """The mean length of rows by band of frequency at some moments, a picture a matrix."""
    for number, group in enumerate(groups):
        for roles in WHOLE[group.tying]:
            described = f"{group.label}: length of the rows of {matrix_name(roles)}, by frequency"
            yield Picture(f"rows-{number}-{roles[0]}", described, partial(_draw_rows, group, roles[0], described))


def of_points(number: Callable[[Point], float | None], run: RecordedRun) -> list[tuple[float, float]]:
    """A number of the records; what was not finite leaves a gap."""
    return [(point["update"], _known(number(point))) for point in run.points]


def of_checks(name: str, run: RecordedRun) -> list[tuple[float, float]]:
    """A number of the validations."""
    return [(point["update"], _known(point[name])) for point in run.checks]


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _curves(
    name: str, group: RunGroup, series: Mapping[str, Series], label: str, *, log: bool = False, zero: bool = False
) -> Picture:
    described = f"{group.label}: {label} over the updates"

    def draw() -> str:
        figure, (axes,) = new_figure(1)
        for look, (each, points) in enumerate(series.items()):
            _curve(axes, [points(run) for run in group.runs], look, each)
        if log:
            axes.set_yscale("log")
        if zero:
            axes.axhline(0, color="#888888", linewidth=0.8)
        axes.set_title(group.label)
        axes.set_xlabel("updates")
        axes.set_ylabel(label)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.legend()
        return figure_to_svg(figure, described)

    return Picture(name, described, draw)


def _curve(axes: Any, seeds: list[list[tuple[float, float]]], look: int, label: str) -> None:
    """The mean of the seeds where all have a point, and faintly each seed."""
    seeds = [points for points in seeds if points]
    colour, style, _ = LOOKS[look % len(LOOKS)]
    if len(seeds) > 1:
        for points in seeds:
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.6, alpha=0.5)
    known = [dict(points) for points in seeds]
    updates = [update for update in known[0] if all(update in other for other in known)] if known else []
    means = [statistics.fmean(points[update] for points in known) for update in updates]
    axes.plot(updates, means, color=colour, linestyle=style, label=label)


def _draw_rows(group: RunGroup, matrix: str, described: str) -> str:
    """x: bands, 1 the most frequent tenth. A line a moment: the mean over the seeds."""
    figure, (axes,) = new_figure(1)
    for look, moment in enumerate(MOMENTS):
        found: dict[int, list[float]] = {}
        for run in group.runs:
            point = run.points[round(moment * (len(run.points) - 1))]
            for band, length in bands_of(point, matrix).items():
                found.setdefault(band, []).append(length)
        update = group.runs[0].points[round(moment * (len(group.runs[0].points) - 1))]["update"]
        line(axes, list(found), [statistics.fmean(lengths) for lengths in found.values()], look, f"update {update:,}")
    axes.set_title(f"{group.label}: {matrix_name(_roles_of(group, matrix))}")
    axes.set_xlabel("tenth of the vocabulary, the most frequent first")
    axes.set_ylabel("mean length of a row")
    axes.set_xticks(range(1, 11))
    axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    axes.legend()
    return figure_to_svg(figure, described)


def _roles_of(group: RunGroup, matrix: str) -> Sequence[str]:
    return next(roles for roles in WHOLE[group.tying] if roles[0] == matrix)


def bands_of(point: Point, matrix: str) -> dict[int, float]:
    """Band, from 1 -> mean length of the matrix's rows in it, where it has some."""
    start = f"rows.{matrix}.band_"
    return {int(name.removeprefix(start)): _known(point[name]) for name in point if name.startswith(start)}
