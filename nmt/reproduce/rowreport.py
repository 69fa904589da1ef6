"""A table of word similarity for people, ours beside the paper's, and its picture: Tables 2 and 3."""

from __future__ import annotations

from nmt.report.document import Table
from nmt.report.pictures import LOOKS, figure_to_svg, new_figure
from nmt.reproduce.intervals import Summary
from nmt.reproduce.rowscores import KINDS, SHORT, RowScores


def score_table(scores: RowScores) -> Table:
    """A row a benchmark."""
    header = ["benchmark", "pairs", *(SHORT[role] for role in KINDS), *(f"paper: {SHORT[role]}" for role in KINDS)]
    rows = []
    for name in scores.benchmarks:
        known, printed = scores.known(name), scores.printed[name]
        ours = [with_margin(scores.mean(role, name)) for role in KINDS]
        pairs = f"{known.num_known:,} of {known.num_pairs:,}" if known else "-"
        rows.append([name, pairs, *ours, *(f"{getattr(printed, role):.2f}" for role in KINDS)])
    return Table(header, rows)


def with_margin(found: Summary | None) -> str:
    """'0.370 ± 0.021', the number alone at one seed, - where there is none."""
    if found is None:
        return "-"
    return f"{found.mean:.3f}" if found.margin is None else f"{found.mean:.3f} ± {found.margin:.3f}"


def draw_scores(scores: RowScores) -> str:
    """Bars a benchmark for the three kinds of rows, the paper's figures as marks on them, as SVG."""
    figure, (axes,) = new_figure(1, width=6.4)
    width = 0.27
    for number, role in enumerate(KINDS):
        places = [place + (number - 1) * width for place in range(len(scores.benchmarks))]
        means = [found.mean if (found := scores.mean(role, name)) else 0.0 for name in scores.benchmarks]
        axes.bar(places, means, width, color=LOOKS[number][0], label=SHORT[role])
        for place, name in zip(places, scores.benchmarks, strict=True):
            values = scores.rhos(role, name)
            axes.plot([place] * len(values), values, linestyle="", marker=".", color="#000000", markersize=3)
        printed = [getattr(scores.printed[name], role) for name in scores.benchmarks]
        label = "paper" if role == KINDS[-1] else None
        axes.plot(places, printed, linestyle="", marker="_", markersize=14, color="#000000", label=label)
    axes.set_xticks(range(len(scores.benchmarks)), scores.benchmarks)
    axes.axhline(0, color="#1a1a1a", linewidth=0.8)
    axes.set_ylabel("Spearman's rho")
    axes.legend(ncols=4)
    return figure_to_svg(figure, _described(scores))


def _described(scores: RowScores) -> str:
    said: list[str] = []
    for name in scores.benchmarks:
        shown = ", ".join(f"{SHORT[role]} {with_margin(scores.mean(role, name))}" for role in KINDS)
        said.append(f"{name}: {shown}")
    return "; ".join(said)
