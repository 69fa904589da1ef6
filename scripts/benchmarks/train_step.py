"""Times the training step side by side: plain steps, the hand-written backward, and bfloat16 products.

One process, the variants in turn, round after round, medians: a machine's speed drifts, ratios hold. Multiply-adds are
those of the products of a forward pass; a training step is counted as three of them. The rate of a plain matrix product
is measured in the same rounds.
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch

from bpe.command import Parser
from nmt.config import ModelConfig, TrainingConfig
from nmt.data.batching import Batch
from nmt.device import keep_freed_memory, pick_device, set_threads
from nmt.models.build import VocabularySizes, build_model
from nmt.tasks.translation.objective import TranslationObjective
from nmt.training.step import Updater
from scripts.benchmarks.report import Column, Row, Table, facts, write_json

VARIANTS = {"plain float32": (False, "float32"), "fast float32": (True, "float32"), "fast bf16": (True, "bf16")}
PRODUCT = "matrix product"
COLUMNS = (
    Column("", "variant"),
    Column("ms", "milliseconds", ",.0f"),
    Column("tokens/s", "tokens_per_second", ",.0f"),
    Column("GFLOP/s", "gflops", ",.0f"),
    Column("of product", "of_matrix_product", ".2f"),
    Column("speed-up", "speedup", ".2f"),
)


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench step", description=__doc__, allow_abbrev=False)
    sizes = {"--embedding": 256, "--hidden": 512, "--vocabulary": 8000, "--sentences": 128, "--length": 16}
    for flag, default in (sizes | {"--rounds": 7, "--threads": 0}).items():
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"default: {default}")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu, cuda or mps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    return parser.parse_args(argv)


def multiply_adds(wanted: Namespace) -> int:
    """Of the products of one forward pass over a batch."""
    e, h, c = wanted.embedding, wanted.hidden, 2 * wanted.hidden
    source = 2 * (e * 3 * h + h * 3 * h) + c * c
    target = e * 3 * h + 2 * h * 3 * h + h * c + c * 3 * h + e * (h + e + c) + e * wanted.vocabulary
    return int(wanted.sentences * wanted.length * (source + target))


def seconds(step: Callable[[], object], device: torch.device) -> float:
    """Of one call."""
    started = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def make_step(wanted: Namespace, variant: str, device: torch.device) -> Callable[[], object]:
    """An update of a model of its own, always on the same batch."""
    fast, precision = VARIANTS[variant]
    config = ModelConfig(embedding_size=wanted.embedding, hidden_size=wanted.hidden, initialization="scaled")
    model = build_model(config, VocabularySizes(wanted.vocabulary, wanted.vocabulary, wanted.vocabulary)).to(device)
    settings = TrainingConfig(precision=precision, fast=fast)
    updater = Updater(model, settings, TranslationObjective(settings))
    generator = torch.Generator().manual_seed(0)
    size = (wanted.sentences, wanted.length)
    source, target = (torch.randint(3, wanted.vocabulary, size, generator=generator) for _ in range(2))
    lengths = torch.full(size[:1], wanted.length)
    batch = Batch.of(source, lengths, target, lengths, tuple(range(size[0]))).to(device)
    return lambda: updater.update(batch, 1)


def median_seconds(wanted: Namespace, device: torch.device) -> dict[str, float]:
    """Of each variant and of a matrix product of 2,048 x 2,048, in turn; the first round does not count."""
    steps = {variant: make_step(wanted, variant, device) for variant in VARIANTS}
    square = torch.randn(2048, 2048, device=device)
    steps[PRODUCT] = lambda: square @ square
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(wanted.rounds + 1):
        for name, step in steps.items():
            took = seconds(step, device)
            if round_number:
                times[name].append(took)
    return {name: statistics.median(values) for name, values in times.items()}


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    device, threads = pick_device(wanted.device), set_threads(wanted.threads)
    keep_freed_memory()
    median = median_seconds(wanted, device)
    tokens, operations = wanted.sentences * wanted.length, 6 * multiply_adds(wanted)
    reached = 2 * 2048**3 / median[PRODUCT] / 1e9
    rows: list[Row] = [
        {
            "variant": name,
            "milliseconds": 1e3 * median[name],
            "tokens_per_second": tokens / median[name],
            "gflops": operations / median[name] / 1e9,
            "of_matrix_product": operations / median[name] / 1e9 / reached,
            "speedup": median["plain float32"] / median[name],
        }
        for name in VARIANTS
    ]
    sizes = f"E={wanted.embedding} H={wanted.hidden} V={wanted.vocabulary}, {wanted.sentences} x {wanted.length} tokens"
    speed = f"{threads} threads on {device}; float32 matrix product {reached:,.0f} GFLOP/s"
    about = facts("step", argv, ("torch", "numpy"))
    print(f"{about.text()}\n\n{Table(title=f'{sizes}, {speed}', columns=COLUMNS, rows=rows).text()}")
    if wanted.json:
        options = {key: value for key, value in vars(wanted).items() if key != "json"}
        found = {"device": str(device), "threads": threads, "matrix_product_gflops": reached, "variants": rows}
        write_json(wanted.json, about, {"options": options, **found})
