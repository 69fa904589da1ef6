"""The report of a comparison of language models: Markdown, JSON and one self-contained HTML page."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterator
from pathlib import Path

from bpe.progress import duration
from nmt.report.document import Bullets, Heading, Part, Picture, Table, Text
from nmt.report.pictures import figure_to_svg, line, new_figure, whole_numbers
from nmt.report.tables import text_table
from nmt.report.writing import report_files, write_files
from nmt.reproduce.intervals import Summary
from nmt.reproduce.language.paper import SPLITS
from nmt.reproduce.language.results import ClaimResult, LanguageResults

STEM = "report"
FILES = report_files(STEM)


def write_language_report(results: LanguageResults, folder: Path) -> None:
    """Write the three files and the picture."""
    title = f"{results.title}{f', on {results.name}' if results.name else ''}, scale {results.scale}"
    write_files(folder / STEM, title, list(_parts(results)), results.as_dict())


def language_summary(results: LanguageResults) -> str:
    """The table and its reading, for a terminal."""
    table = main_table(results)
    lines = [text_table(table.header, table.rows, table.align)] if results.rows else []
    lines += [f"- {each}" for each in (*language_reading(results), *protocol(results))]
    return "\n".join([*lines, *([f"not there yet: {', '.join(results.missing)}"] if results.missing else [])])


def _parts(results: LanguageResults) -> Iterator[Part]:
    made = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    yield Text(f"{results.date}, {results.machine}; {made}. Command: {results.command}", note=True)
    if results.missing:
        yield Text(f"Not finished: {', '.join(results.missing)} are not there yet.")
    if not results.rows:
        return
    yield main_table(results)
    yield Text("± half of the 95% interval over seeds, by Student's t. Paper: the figures that it prints.", note=True)
    yield Heading("Reading")
    yield Bullets(language_reading(results))
    yield Heading("How perplexity was measured")
    yield Bullets(protocol(results))
    yield Heading("Learning curves")
    yield Picture("curves", "Validation perplexity after each epoch", functools.partial(learning_curves, results))
    yield Heading("What training cost")
    yield cost_table(results)
    yield Heading("Every run")
    yield run_table(results)
    yield Heading("The recipes")
    yield recipe_table(results)


def main_table(results: LanguageResults) -> Table:
    """The paper's columns, ours first, the paper's beside them."""
    splits = [split for split in ("test", "valid", "train") if split in results.text["words"]]
    sized = any(row.printed["size"] for row in results.rows)
    header = ["model", "parameters", *splits, *(["paper: size"] if sized else [])]
    header += [f"paper: {split}" for split in splits]
    rows = [
        [
            row.name,
            f"{row.parameters:,}",
            *(with_margin(row.perplexity[split]) for split in splits),
            *([row.printed["size"]] if sized else []),
            *(f"{row.printed[split]:.1f}" for split in splits),
        ]
        for row in results.rows
    ]
    return Table(header, rows)


def with_margin(found: Summary, digits: int = 2) -> str:
    """'114.53 ± 0.80', or the number alone at one seed."""
    margin = "" if found.margin is None else f" ± {found.margin:.{digits}f}"
    return f"{found.mean:,.{digits}f}{margin}"


def language_reading(results: LanguageResults) -> list[str]:
    """What the numbers say, by rule."""
    return [claim_line(claim, results.split) for claim in results.claims]


def claim_line(claim: ClaimResult, split: str) -> str:
    """One claim and what was found of it."""
    found, pair = claim.difference, f"{claim.lower} against {claim.higher}"
    printed = f"the paper: {claim.printed:+.1f}"
    if found is None:
        return f"{claim.text}: open; {pair}: no seed has both models ({printed})"
    if found.margin is None:
        return f"{claim.text}: open at one seed; {pair}: {found.mean:+.2f} {split} perplexity ({printed})"
    low, high = found.mean - found.margin, found.mean + found.margin
    interval = f"95% interval {low:+.2f} to {high:+.2f}, {found.n} seeds"
    return f"{claim.text}: {claim.finding}; {pair}: {found.mean:+.2f} {split} perplexity ({interval}; {printed})"


def protocol(results: LanguageResults) -> list[str]:
    """How ours was measured, and what differs in the paper's."""
    lines = [f"{split}: {results.protocols[split]}" for split in SPLITS if split in results.protocols]
    lines.append(f"the paper's Train column, {results.paper_train}")
    if results.scale != "paper":
        lines.append("these models are narrower and trained for fewer epochs than the paper's: see the order alone")
    return lines


def learning_curves(results: LanguageResults) -> str:
    """Validation perplexity after each epoch, the mean over the seeds, as SVG."""
    figure, (axes,) = new_figure(1)
    for number, row in enumerate(results.rows):
        epochs = min(run.epochs for run in row.runs)
        mean = [statistics.fmean(run.curve[epoch] for run in row.runs) for epoch in range(epochs)]
        line(axes, list(range(1, epochs + 1)), mean, number, row.name)
    axes.set_xlabel("epoch")
    whole_numbers(axes)
    axes.set_ylabel("validation perplexity")
    axes.set_yscale("log")
    axes.legend()
    return figure_to_svg(figure, "Validation perplexity after each epoch")


def cost_table(results: LanguageResults) -> Table:
    """Means over the seeds."""
    rows = []
    for row in results.rows:
        mean = {
            key: statistics.fmean(getattr(run, key) for run in row.runs)
            for key in ("epochs", "updates", "seconds", "words_per_second", "peak_memory")
        }
        rows.append(
            [
                row.name,
                f"{mean['epochs']:,.0f}",
                f"{mean['updates']:,.0f}",
                duration(mean["seconds"]),
                f"{mean['words_per_second']:,.0f}",
                f"{mean['peak_memory'] / 1e6:,.0f}",
            ]
        )
    return Table(["model", "epochs", "updates", "wall clock", "words/s (median)", "peak memory (MB)"], rows)


def run_table(results: LanguageResults) -> Table:
    """A row a model and seed."""
    splits = [split for split in SPLITS if split in results.text["words"]]
    rows = [
        [row.name, str(run.seed), *(f"{run.perplexity[split]:,.2f}" for split in splits)]
        for row in results.rows
        for run in row.runs
    ]
    return Table(["model", "seed", *splits], rows)


def recipe_table(results: LanguageResults) -> Table:
    """Every key that is set for a row, beside the others'."""
    keys = list(dict.fromkeys(key for values in results.recipes.values() for key in values))
    keys = [key for key in keys if key != "training.seed"]
    rows = [[key, *(str(values.get(key, "")) for values in results.recipes.values())] for key in keys]
    return Table(["key", *results.recipes], rows)
