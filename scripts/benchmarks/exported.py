"""CTranslate2 beside nmt-translate, on the same weights: sentences a second, and whose translations are the same.

With --model and --source a trained Transformer translates text, at natural lengths. Otherwise a fresh one of the given
size translates random sentences; each translation then has as many pieces as its source, so that both do as much.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bpe.command import Parser
from bpe.textfiles import read_lines
from nmt.config import Config, ModelConfig, PrepConfig, SearchConfig
from nmt.conversion.ctranslate2_folder import export_ctranslate2
from nmt.device import keep_freed_memory, set_threads
from nmt.folder.bundle import BEST, Bundle, describe_folder, load_bundle
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.models.build import VocabularySizes, build_model
from nmt.packages import import_package
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.text.vocabulary import Vocabulary
from nmt.translate.translator import Translator
from scripts.benchmarks.report import Column, Row, Table, as_json, facts, write_json

PRECISIONS = ("float32", "int8")
COLUMNS = (
    Column("", "name"),
    Column("sentences/s", "sentences_per_second", ",.1f"),
    Column("pieces/s", "pieces_per_second", ",.0f"),
    Column("speed-up", "speed_up", ".2f"),
    Column("same as the first", "same", ".1%"),
)

Translate = Callable[[], list[tuple[str, ...]]]
"Of all sources -> the pieces of each translation."


@dataclass(frozen=True)
class Task:
    """What is translated. length: pieces of each translation; None: as many as it likes."""

    bundle: Bundle
    sources: list[str]
    length: int | None


def main(argv: list[str]) -> None:
    """Measure and print."""
    wanted = arguments(argv)
    threads = set_threads(wanted.threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as scratch:
        task = trained(wanted) if wanted.model else fresh(wanted, Path(scratch) / "model")
        tables = [measured(task, beam, threads, wanted.rounds, Path(scratch)) for beam in wanted.beams]
    told = facts("export", argv, ("torch", "ctranslate2"))
    print("\n\n".join([table.text() for table in tables] + [told.text()]))
    if wanted.json:
        write_json(wanted.json, told, {"tables": as_json(tables)})


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench export", description=__doc__, allow_abbrev=False)
    sizes = {"--vocabulary": 16_000, "--embedding-size": 512, "--layers": 6, "--lines": 128, "--length": 24}
    for flag, default in (sizes | {"--rounds": 3, "--threads": 0}).items():
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"default: {default:,}")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 5], metavar="N", help="default: 1 5")
    parser.add_argument("--model", type=Path, metavar="DIR", help="a trained Transformer's folder")
    parser.add_argument("--source", type=Path, metavar="FILE", help="with --model: text to translate")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    found = parser.parse_args(argv)
    if bool(found.model) != bool(found.source):
        parser.error("--model and --source go together")
    return found


def trained(wanted: Namespace) -> Task:
    """A model folder and text."""
    return Task(load_bundle(wanted.model, torch.device("cpu")), list(read_lines(wanted.source)), None)


def fresh(wanted: Namespace, folder: Path) -> Task:
    """A model of the given size with random weights, and sentences of random pieces."""
    pieces = tuple(f"w{number}" for number in range(wanted.vocabulary))
    vocabulary = Vocabulary(pieces, (), ())
    width = wanted.embedding_size
    model = ModelConfig(
        architecture="transformer",
        embedding_size=width,
        layers=wanted.layers,
        heads=max(1, width // 64),
        feedforward_size=4 * width,
    )
    config = Config(prep=PrepConfig(source="en", target="de", tokenizer="none"), model=model)
    folder.mkdir()
    TextPipeline(TextOptions(source="en", target="de", tokenizer="none", subwords="none"), None).save(folder)
    describe_folder(folder, config, vocabulary, {})
    network = build_model(model, VocabularySizes.of(vocabulary))
    save_tensors(folder / BEST, weight_tensors(network), weight_metadata(network))
    draw = random.Random(1)
    sources = [" ".join(draw.choices(pieces, k=wanted.length)) for _ in range(wanted.lines)]
    return Task(load_bundle(folder, torch.device("cpu")), sources, wanted.length)


def measured(task: Task, beam: int, threads: int, rounds: int, scratch: Path) -> Table:
    """All programs in turns."""
    programs = ours(task, beam) | theirs(task, beam, threads, scratch)
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    found: dict[str, list[tuple[str, ...]]] = {}
    for number in range(rounds + 1):  # the first is not counted
        for name, translate in programs.items():
            started = time.perf_counter()
            found[name] = translate()
            if number:
                seconds[name].append(time.perf_counter() - started)
    first = next(iter(programs))
    rows: list[Row] = []
    for name, taken in seconds.items():
        median = statistics.median(taken)
        rows.append(
            {
                "name": name,
                "rounds": taken,
                "sentences_per_second": len(task.sources) / median,
                "pieces_per_second": sum(len(pieces) + 1 for pieces in found[name]) / median,
                "speed_up": statistics.median(seconds[first]) / median,
                "same": sum(map(tuple.__eq__, found[name], found[first])) / len(task.sources),
            }
        )
    model = task.bundle.config.model
    return Table(
        title=f"{len(task.sources):,} sentences, beam {beam}; E={model.embedding_size}, {model.layers} layers, "
        f"{task.bundle.vocabulary.size:,} rows; {threads} threads",
        columns=COLUMNS,
        rows=rows,
    )


def search_of(task: Task, beam: int) -> SearchConfig:
    """Ours that ends as CTranslate2's does."""
    config = replace(task.bundle.config.search, beam=beam, stopping="first")
    return config if task.length is None else replace(config, min_length=task.length, max_length=task.length)


def ours(task: Task, beam: int) -> dict[str, Translate]:
    """nmt-translate in each precision."""

    def program(precision: str) -> Translate:
        translator = Translator(task.bundle, replace(search_of(task, beam), precision=precision))
        return lambda: [best.pieces for (best, *_) in translator.translate_detailed(task.sources)]

    return {f"nmt-translate, {precision}": program(precision) for precision in PRECISIONS}


def theirs(task: Task, beam: int, threads: int, scratch: Path) -> dict[str, Translate]:
    """CTranslate2 in each precision: text is cut by our pipeline here too."""
    ctranslate2: Any = import_package("ctranslate2", "this benchmark")
    text, source = task.bundle.text, task.bundle.config.search.batch_tokens

    def program(precision: str) -> Translate:
        folder = scratch / f"{precision}.{beam}"
        export_ctranslate2(task.bundle, folder, precision)
        translator = ctranslate2.Translator(str(folder), compute_type=precision, inter_threads=1, intra_threads=threads)
        options = {"beam_size": beam, "max_batch_size": source, "batch_type": "tokens", "min_decoding_length": 0}
        if task.length is not None:
            options |= {"min_decoding_length": task.length, "max_decoding_length": task.length}

        def translate() -> list[tuple[str, ...]]:
            pieces = [text.pieces(line, "source") for line in task.sources]
            found = translator.translate_batch(pieces, **options)
            lines = [tuple(one.hypotheses[0]) for one in found]
            for line in lines:
                text.text(line, "target")
            return lines

        return translate

    return {f"CTranslate2, {precision}": program(precision) for precision in PRECISIONS}
