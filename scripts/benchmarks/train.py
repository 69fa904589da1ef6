"""Measures training against fairseq, OpenNMT-py and JoeyNMT: the same text, batches of the same size, taking turns.

Every tool trains with its own training loop, in a process and an environment of its own (made in .bench/ when first
needed; one that cannot be had is left out, and named): Adam, label smoothing, dropout, gradients clipped to norm 1.
Figures are real target pieces a second, padding not counted; the size of batches is each tool's own limit, set so that
they hold as many real target pieces on average. --architecture transformer compares Transformers, ours with those of
fairseq and OpenNMT-py. Parts: speed (speed and memory of all) and step (where the time of an
update of ours goes).
"""

from __future__ import annotations

import re
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from bpe.command import Parser
from bpe.errors import UserError
from nmt.config import TrainingConfig
from nmt.data.corpus import PreparedCorpus
from nmt.models.architectures import ARCHITECTURES
from nmt.text.vocabulary import NUM_SPECIALS
from scripts.benchmarks.drivers.our_model import model_config
from scripts.benchmarks.environments import PEERS, available
from scripts.benchmarks.model_cost import OURS, SIZES, Sizes
from scripts.benchmarks.report import Column, Table, as_json, facts, write_json
from scripts.benchmarks.train_parts import Training, Work, parts_table
from scripts.benchmarks.train_peers import SAME, VARIANTS, Setting, take_turns
from scripts.benchmarks.train_text import TrainingText, made_up, of_prepared
from scripts.benchmarks.transformer_cost import TRAINED, TransformerSizes

MEGABYTE, MILLION, GIGA = 1_000_000, 1_000_000, 1_000_000_000
SPEED_COLUMNS = (
    Column("tool", "tool"),
    Column("pieces/s", "pieces_per_second", ",.0f"),
    Column("pieces/CPU s", "pieces_per_cpu_second", ",.0f"),
    Column("ours/it", "ours_faster", ".2f"),
    Column("at equal multiply-adds", "ours_faster_normalised", ".2f"),
    Column("M multiply-adds/piece", "multiply_adds_per_piece", ",.1f", 1 / MILLION),
    Column("GFLOP/s", "flops", ",.0f", 1 / GIGA),
    Column("of product", "of_matrix_product", ".2f"),
    Column("pieces/batch", "pieces_per_batch", ",.0f"),
    Column("padding %", "padding", ".1f", 100),
    Column("updates", "updates", ",.0f"),
)
MEMORY_COLUMNS = (
    Column("tool", "tool"),
    Column("M parameters", "parameters", ",.1f", 1 / MILLION),
    Column("with gradients and Adam MB", "state_bytes", ",.0f", 1 / MEGABYTE),
    Column("peak MB", "peak_bytes", ",.0f", 1 / MEGABYTE),
    Column("imports MB", "imports_bytes", ",.0f", 1 / MEGABYTE),
    Column("(peak - imports)/state", "peak_of_state", ".2f"),
    Column("pieces/batch", "pieces_per_batch", ",.0f"),
    Column("pieces/s", "pieces_per_second", ",.0f"),
)
SPEED_NOTES = (
    "pieces: real target pieces, </s> counted, padding not. ours/it: our first row's pieces/s, divided by the row's",
    "at equal multiply-adds: the same ratio of pieces/s x multiply-adds/piece. GFLOP/s: a step is three forward passes",
    "padding: of target positions",
)
MEMORY_NOTES = ("state: parameters, gradients and Adam's two moments in float32. imports: before anything is built",)
PARTS = ("speed", "step")
STEP_VARIANTS = ("float32", "bf16")
AVAILABLE_SHARE = 0.9


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench train", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: both")
    add("--vocabulary", type=int, nargs="+", metavar="N", help="pieces, a table for each (default: 8000 94000)")
    add("--batch-tokens", type=int, nargs="+", default=[2048, 4096], metavar="N", help="of each (default: 2048 4096)")
    add("--rounds", type=int, nargs="+", default=[2, 1], metavar="N", help="of each (default: 2 1)")
    add("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="default: all")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="of our training (default: all)")
    add("--architecture", choices=list(ARCHITECTURES), default="rnn", help="of all models (default: rnn)")
    add("--prepared", type=Path, metavar="DIR", help="train on these pairs (default: made-up ones)")
    numbers = {"--pairs": 29_000, "--length": 14, "--embedding": 256, "--hidden": 512, "--threads": 2}
    numbers |= {"--layers": 4, "--heads": 8, "--feedforward": 1024}
    numbers |= {"--updates": 15, "--warm-up": 2, "--seconds": 12}
    about = {"--length": "median of made-up lines, in pieces; ", "--seconds": "a run measures no longer; "}
    about |= {"--hidden": "of RNNs; ", "--layers": "of each side of Transformers; "}
    about |= dict.fromkeys(("--heads", "--feedforward"), "of Transformers; ")
    for flag, default in numbers.items():
        add(flag, type=int, default=default, metavar="N", help=f"{about.get(flag, '')}default: {default}")
    add("--part-tokens", type=int, default=0, metavar="N", help="of our batches, to save memory (default: 0, whole)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    add("--memory-limit", type=float, metavar="GB", help="a run that asks for more fails (default: what is free)")
    add("--json", type=Path, metavar="FILE", help="write every figure")
    wanted = parser.parse_args(argv)
    own = PreparedCorpus.open(wanted.prepared).vocabulary.size - NUM_SPECIALS if wanted.prepared else 8000
    wanted.vocabulary = wanted.vocabulary or [own, 94_000]
    values = [vars(wanted)[flag.lstrip("-").replace("-", "_")] for flag in numbers]
    if min(*values, *wanted.vocabulary, *wanted.batch_tokens, *wanted.rounds) < 1:
        raise UserError(f"--vocabulary, --batch-tokens, --rounds, {', '.join(numbers)} must be at least 1")
    return wanted


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    about = facts("train", argv, ("torch", "numpy"))
    peers = [peer for peer in dict.fromkeys(wanted.peers) if wanted.architecture == "rnn" or peer in TRAINED]
    pythons, missing = available(peers if "speed" in wanted.parts else [])
    missing |= {peer: "its Transformer is not measured" for peer in wanted.peers if peer not in peers}
    packages = dict(PEERS[peer].package.split("==") for peer in pythons)
    about = replace(about, versions=about.versions | packages)
    print(about.text(), flush=True)
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        setting = _setting(wanted, Path(folder), pythons)
        for table in _tables(wanted, setting, missing):
            print(f"\n{table.text()}", flush=True)
            tables.append(table)
    for name, why in missing.items():
        print(f"scripts/bench train: left out: {name}: {why}", file=sys.stderr)
    if wanted.json:
        options = {key: str(value) if isinstance(value, Path) else value for key, value in vars(wanted).items()}
        write_json(wanted.json, about, {"options": options, "missing": missing, "tables": as_json(tables)})


def _setting(wanted: Namespace, scratch: Path, pythons: dict[str, Path]) -> Setting:
    def sizes(tool: str) -> Sizes | TransformerSizes:
        if wanted.architecture == "transformer":
            names = ("embedding", "layers", "heads", "feedforward")
            return TransformerSizes(**{name: getattr(wanted, name) for name in names})
        narrow = SIZES[tool].embedding < SIZES[tool].hidden
        return Sizes(embedding=wanted.embedding if narrow else wanted.hidden, hidden=wanted.hidden)

    same = {name: vars(wanted)[name] for name in ("device", "threads", "updates", "warm_up", "seconds")}
    return Setting(
        scratch=scratch,
        pythons=pythons,
        variants=list(dict.fromkeys(wanted.variants)),
        sizes={tool: sizes(tool) for tool in (OURS, *pythons)},
        rounds=1,
        batch_tokens=1,
        part_tokens=wanted.part_tokens,
        memory_limit=0 if wanted.device == "cuda" else _memory_limit(wanted.memory_limit),
        **same,
    )


def _memory_limit(gigabytes: float | None) -> int:
    """Bytes: better that a run fails than that the machine stops another process."""
    if gigabytes:
        return int(gigabytes * GIGA)
    information = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", information.read_text()) if information.exists() else None
    return int(AVAILABLE_SHARE * 1024 * int(found[1])) if found else 0


def _tables(wanted: Namespace, setting: Setting, missing: dict[str, str]) -> Iterator[Table]:
    """The tables one by one; what failed is added to `missing`."""
    for number, vocabulary in enumerate(wanted.vocabulary):
        rounds, batch_tokens = (each[min(number, len(each) - 1)] for each in (wanted.rounds, wanted.batch_tokens))
        folder = setting.scratch / f"text-{number}"
        folder.mkdir()
        text = _text(wanted, folder, vocabulary)
        if "speed" in wanted.parts:
            yield from _compared(replace(setting, rounds=rounds, batch_tokens=batch_tokens), text, missing)
        if "step" in wanted.parts:
            for variant in STEP_VARIANTS:
                yield parts_table(_our_training(setting, text, variant, batch_tokens), variant)


def _our_training(setting: Setting, text: TrainingText, variant: str, batch_tokens: int) -> Training:
    """As the driver of ours trains, in this process."""
    how = VARIANTS[variant]
    model = model_config(asdict(setting.sizes[OURS]) | SAME)
    training = TrainingConfig(
        fast=how["fast"],
        precision=how["precision"],
        learning_rate=SAME["learning_rate"],
        label_smoothing=SAME["label_smoothing"],
        batch_tokens=batch_tokens,
        ema=0,
    )
    device, threads = torch.device(setting.device), setting.threads
    return Training(Work(text=text, model=model, training=training, device=device, threads=threads))


def _text(wanted: Namespace, folder: Path, vocabulary: int) -> TrainingText:
    if wanted.prepared:
        return of_prepared(folder, vocabulary, wanted.pairs, wanted.prepared)
    return made_up(folder, vocabulary, wanted.pairs, wanted.length)


def _compared(setting: Setting, text: TrainingText, missing: dict[str, str]) -> Iterator[Table]:
    """Speed and memory on one text."""
    rows, failed, product = take_turns(setting, text)
    missing |= failed
    where = f"{setting.threads} threads" if setting.device == "cpu" else setting.device
    left_out = [f"left out: {name} ({why})" for name, why in failed.items()]
    yield Table(
        title=f"Training, {text.num_words:,} pieces, batches of {setting.batch_tokens:,}: {text.about}; {where}, "
        f"float32 matrix product {product / GIGA:,.0f} GFLOP/s",
        columns=SPEED_COLUMNS,
        rows=rows,
        notes=[*SPEED_NOTES, *left_out],
    )
    title = f"Memory, {text.num_words:,} pieces, batches of {setting.batch_tokens:,}"
    yield Table(title=title, columns=MEMORY_COLUMNS, rows=rows, notes=MEMORY_NOTES)
