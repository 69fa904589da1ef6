"""What variants of our search cost a trained model in BLEU, and what they gain in speed: natural lengths, raw text."""

from __future__ import annotations

import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.device import keep_freed_memory, pick_device, set_threads
from nmt.evaluate.scoring import Options, bleu
from nmt.folder.bundle import load_bundle
from nmt.shortlist.table import SHORTLIST
from nmt.translate.lines import Translation
from nmt.translate.translator import Translator
from scripts.benchmarks.peers_translate import VARIANTS
from scripts.benchmarks.report import Column, Row, Table

COLUMNS = (
    Column("variant", "variant"),
    Column("sentences/s", "sentences_per_second", ",.1f"),
    Column("pieces/s", "pieces_per_second", ",.0f"),
    Column("speed-up", "speed_up", ".2f"),
    Column("one: median ms", "alone_median", ",.1f", 1000),
    Column("95% ms", "alone_95", ",.1f", 1000),
    Column("BLEU", "bleu", ".2f"),
    Column("BLEU gained", "bleu_gained", "+.2f"),
    Column("same lines", "same_lines", ".1%"),
)


@dataclass(frozen=True)
class Run:
    """One pass over the text."""

    seconds: float
    alone: tuple[float, ...]
    "Seconds of each sentence that was translated by itself."
    lines: list[str]
    num_pieces: int
    "Written, each sentence's </s> counted."


def trained_table(wanted: Namespace) -> Table:
    """Every variant on the whole text, in turns; differences are to the first one."""
    source, reference = (list(read_lines(path)) for path in (wanted.source, wanted.reference))
    if len(source) != len(reference):
        problem = f"{len(source):,} lines to translate, {len(reference):,} references"
        raise UserError(problem, where=wanted.reference)
    threads, device = set_threads(wanted.threads), pick_device(wanted.device)
    keep_freed_memory()
    translators, notes = _translators(wanted, device)
    found: dict[str, list[Run]] = {name: [] for name in translators}
    for translator in translators.values():
        translator.translate(source[:8])
    for number in range(1, wanted.rounds + 1):
        for name, translator in translators.items():
            print(f"round {number} of {wanted.rounds}: {name}", file=sys.stderr, flush=True)
            found[name].append(_run(translator, source, wanted.alone, device))
    config = next(iter(translators.values())).search
    notes += ["batches as nmt-translate makes them; raw text in and out; one: sentence by sentence"]
    notes += ["BLEU: sacreBLEU, 13a; same lines: as the first variant's"]
    return Table(
        title=f"{wanted.model.name}: {len(source):,} lines of {wanted.source.name}, beam {config.beam}; "
        f"{threads} threads on {device}",
        columns=COLUMNS,
        rows=_rows(found, reference),
        notes=notes,
    )


def _translators(wanted: Namespace, device: torch.device) -> tuple[dict[str, Translator], list[str]]:
    """One for each variant, and what to say of those left out."""
    bundle = load_bundle(wanted.model, device)
    names, notes = list(dict.fromkeys(wanted.variants)), []
    if not Path(wanted.model, SHORTLIST).is_file():
        names = [name for name in names if "shortlist" not in VARIANTS[name]]
        notes = [f"no shortlist in {wanted.model.name}: nmt-shortlist makes one"]
    base = replace(bundle.config.search, beam=wanted.beam)
    return {name: Translator(bundle, replace(base, **VARIANTS[name])) for name in names}, notes


def _run(translator: Translator, source: list[str], alone: int, device: torch.device) -> Run:
    def seconds(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    step = max(1, len(source) // max(1, alone))
    found: list[list[Translation]] = []
    whole = seconds(lambda: found.extend(translator.translate_detailed(source)))
    picked = source[step // 2 :: step][:alone]
    return Run(
        seconds=whole,
        alone=tuple(seconds(lambda line=line: translator.translate([line])) for line in picked),  # type: ignore[misc]
        lines=[best[0].text for best in found],
        num_pieces=sum(len(best[0].pieces) + 1 for best in found),
    )


def _rows(found: dict[str, list[Run]], reference: list[str]) -> list[Row]:
    rows: list[Row] = []
    first_lines = next(iter(found.values()))[0].lines
    for name, runs in found.items():
        seconds = statistics.median(run.seconds for run in runs)
        row: Row = {
            "variant": name,
            "seconds": seconds,
            "rounds": [run.seconds for run in runs],
            "sentences_per_second": len(reference) / seconds,
            "pieces_per_second": runs[0].num_pieces / seconds,
            "bleu": bleu(runs[0].lines, reference, Options()),
            "same_lines": sum(map(str.__eq__, runs[0].lines, first_lines)) / len(reference),
        }
        alone = [seconds for run in runs for seconds in run.alone]
        if len(alone) > 1:
            row |= {"alone_median": statistics.median(alone), "alone_95": statistics.quantiles(alone, n=20)[-1]}
        rows.append(row)
    for row in rows:
        row["speed_up"] = rows[0]["seconds"] / row["seconds"]
        row["bleu_gained"] = row["bleu"] - rows[0]["bleu"]
    return rows
