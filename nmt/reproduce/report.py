"""The report of a comparison: Markdown, JSON and one self-contained HTML page."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bpe.progress import duration
from nmt.report.document import (
    Bullets,
    Heading,
    Part,
    Picture,
    Table,
    Text,
)
from nmt.report.tables import text_table
from nmt.report.writing import report_files, write_files
from nmt.reproduce.curves import KINDS, has_curve, learning_curves, size_against_bleu
from nmt.reproduce.intervals import Summary
from nmt.reproduce.results import Comparison, ModeResult, Results
from nmt.tying import Tying

STEM = "report"
FILES = report_files(STEM)


def write_report(results: Results, folder: Path, more: list[Part] | None = None, extra: Any = None) -> None:
    """Write the three files and the pictures. more: parts at the end; extra: their numbers, for the JSON."""
    name = f"{results.name} {results.pair.upper()}".strip()
    title = f"Table 8 on {name}, recipe {results.scale}"
    parts = [*_parts(results), *(more or []), *_last_parts(results)]
    body = results.as_dict() | ({"embeddings": extra} if extra is not None else {})
    write_files(folder / STEM, title, parts, body)


def summary_text(results: Results) -> str:
    """The table and its reading, for a terminal."""
    lines = [text_table(*main_table(results))] if results.modes else []
    lines += [f"- {line}" for line in (*reading(results), *results.notes)]
    return "\n".join([*lines, *([f"not there yet: {', '.join(results.missing)}"] if results.missing else [])])


def _parts(results: Results) -> Iterator[Part]:
    yield Text(
        f"{results.date}, {results.machine}; "
        + ", ".join(f"{name} {version}" for name, version in results.versions.items())
        + f". Command: {results.command}",
        note=True,
    )
    if results.missing:
        yield Text(f"Not finished: {', '.join(results.missing)} are not there yet.")
    if not results.modes:
        return
    yield Table(*main_table(results))
    yield Text(_key(results), note=True)
    yield Heading("Reading")
    yield Bullets([*reading(results), *results.notes])
    yield Heading("Learning curves")
    for kind, label in KINDS.items():
        if has_curve(results, kind):
            draw = functools.partial(learning_curves, results, kind)
            yield Picture(f"curves-{kind.replace('_', '-')}", f"{label} over the target pieces seen", draw)
    yield Heading("Size against BLEU")
    yield Picture("sizes", "Parameters against BLEU", lambda: size_against_bleu(results))
    yield Heading("What training cost")
    yield cost_table(results)
    yield Heading("Every run")
    yield run_table(results)
    yield Heading("What is the same in all modes, and what is not")
    yield Bullets(results.fairness.shared)
    yield fairness_table(results)
    yield Heading("The text (Table 1)")
    yield from _corpus(results)


def _last_parts(results: Results) -> Iterator[Part]:
    yield Heading("The recipe")
    yield Table(["key", "value"], [(key, _value(value)) for key, value in results.recipe.items()], "ll")


def _value(value: object) -> object:
    """A setting as text; lists are tuples until they have been through JSON."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else value


def main_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Table 8's columns, the test sets first, each score with what the seeds say; the paper's row beside them."""
    printed = any(mode.paper for mode in results.modes)
    sets = [*results.sets[1:], *results.sets[:1]]
    header = ["tying", "parameters", "of untied"]
    header += [column for name in sets for column in (f"{name} BLEU", f"{name}: minus untied", f"{name}: p")]
    header += ["vocabulary", "other"]
    header += ["paper: size", "test", "valid"] if printed else []
    rows = []
    for mode in results.modes:
        row = [mode.tying, f"{mode.total:,}", _ratio(results, mode)]
        for name in sets:
            row += [with_interval(mode.bleu[name]), *_compared(results, mode, name)]
        row += [f"{mode.embedding:,}", f"{mode.other:,}"]
        if mode.paper:
            paper = mode.paper
            row += [f"{paper.millions}M", f"{paper.test_bleu:.2f}", f"{paper.validation_bleu:.2f}"]
        rows.append(row)
    return header, rows


def with_interval(summary: Summary, digits: int = 2, sign: str = "") -> str:
    """'37.15 (sd 0.12) ± 0.30', the 95% interval of the mean; the mean alone for one seed."""
    mean = f"{summary.mean:{sign}.{digits}f}"
    if summary.deviation is None or summary.margin is None:
        return mean
    return f"{mean} (sd {summary.deviation:.{digits}f}) ± {summary.margin:.{digits}f}"


def _compared(results: Results, mode: ModeResult, name: str) -> tuple[str, str]:
    found = comparison(results, mode.tying, name)
    if found is None:
        return "", ""
    margin = "" if found.difference.margin is None else f" ± {found.difference.margin:.2f}"
    return f"{found.difference.mean:+.2f}{margin}", ", ".join(f"{p:.3f}" for p in found.p_values)


def comparison(results: Results, tying: str, name: str) -> Comparison | None:
    """A mode against untied on a set."""
    return next((each for each in results.comparisons if (each.tying, each.test_set) == (tying, name)), None)


def _ratio(results: Results, mode: ModeResult) -> str:
    untied = next((each for each in results.modes if each.tying == Tying.UNTIED.value), None)
    return f"{100 * mode.total / untied.total:.1f}%" if untied else ""


def _key(results: Results) -> str:
    seeds = max(mode.bleu[results.sets[0]].n for mode in results.modes)
    many = (
        f"{seeds} seeds: mean, (sd) the standard deviation between seeds, ± half the 95% interval of the mean "
        "(Student's t); minus untied: the difference from untied, seed by seed. "
        if seeds > 1
        else ""
    )
    return (
        f"{many}p: paired bootstrap against untied of the same seed (1,000 samples), a value for each seed. "
        f"BLEU of detokenised text, beam {results.recipe['search.beam']}: {results.signatures.get('bleu', '')}"
    )


def reading(results: Results) -> list[str]:
    """What the numbers say, by rule: a difference counts as shown where its 95% interval over seeds leaves out 0."""
    lines = []
    for mode in results.modes:
        for name in results.sets:
            found = comparison(results, mode.tying, name)
            if found is not None:
                lines.append(f"{mode.tying}, {_ratio(results, mode)} of untied's parameters: {_verdict(found)}")
    return lines


def _verdict(found: Comparison) -> str:
    difference, name = found.difference, found.test_set
    significant = sum(p < 0.05 for p in found.p_values)
    of_seeds = f"p < 0.05 in {significant} of {len(found.p_values)} seeds"
    if difference.margin is None:
        return f"{difference.mean:+.2f} BLEU on {name} at one seed ({of_seeds})"
    low, high = difference.mean - difference.margin, difference.mean + difference.margin
    interval = f"{difference.mean:+.2f} BLEU on {name} (95% interval {low:+.2f} to {high:+.2f}; {of_seeds})"
    if low > 0:
        return f"better, {interval}"
    return f"worse, {interval}" if high < 0 else f"no difference shown, {interval}"


def cost_table(results: Results) -> Table:
    """Means over the seeds."""
    header = [
        "tying",
        "updates",
        "target pieces (M)",
        "wall clock",
        "processor time",
        "pieces/s (median)",
        "peak memory (MB)",
    ]
    rows = []
    for mode in results.modes:
        rows.append(
            [
                mode.tying,
                f"{mode.summary(lambda run: run.updates).mean:,.0f}",
                f"{mode.summary(lambda run: run.target_tokens).mean / 1e6:.2f}",
                duration(mode.summary(lambda run: run.seconds).mean),
                duration(mode.summary(lambda run: run.cpu_seconds).mean),
                f"{mode.summary(lambda run: run.tokens_per_second).mean:,.0f}",
                f"{mode.summary(lambda run: run.peak_memory).mean / 1e6:,.0f}",
            ]
        )
    return Table(header, rows)


def run_table(results: Results) -> Table:
    """A row a model."""
    header = ["tying", "seed", "best update", "cross entropy", *(f"{name} BLEU" for name in results.sets)]
    header += [f"{name} {metric}" for name in results.sets[1:] for metric in ("chrF2", "TER")]
    rows = []
    for run in (run for mode in results.modes for run in mode.runs):
        row = [run.tying, run.seed, f"{run.best_update:,} of {run.updates:,}", f"{run.cross_entropy:.3f}"]
        row += [f"{run.scores[name]['bleu']:.2f}" for name in results.sets]
        row += [f"{run.scores[name][metric]:.2f}" for name in results.sets[1:] for metric in ("chrf2", "ter")]
        rows.append(row)
    return Table(header, rows)


def fairness_table(results: Results) -> Table:
    """Every difference between the modes."""
    modes = [mode.value for mode in Tying]
    rows = [
        [each.what, *(each.values.get(mode, "") for mode in modes), each.note] for each in results.fairness.differences
    ]
    return Table(["what differs", *modes, "what follows"], rows, "lllll")


def _corpus(results: Results) -> Iterator[Part]:
    overlap, sizes, splits = results.corpus["overlap"], results.corpus["vocabulary"], results.corpus["splits"]
    yield Table(
        ["pair", "merges", "only in source", "only in target", "in both", "running pieces in both"],
        [
            [
                results.pair,
                f"{results.corpus['merges']:,}",
                f"{overlap['source_only']:,}",
                f"{overlap['target_only']:,}",
                f"{overlap['both']:,}",
                f"{100 * overlap['running_share']:.1f}%",
            ]
        ],
    )
    pairs = ", ".join(f"{name} {count:,}" for name, count in splits.items())
    yield Text(
        f"Pairs: {pairs}. Vocabulary with specials: source {sizes['source']:,}, target {sizes['target']:,}, "
        f"union {sizes['union']:,} rows.",
        note=True,
    )
