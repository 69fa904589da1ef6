"""Times the training step side by side: plain steps, the hand-written backward, and bfloat16 products.

    .venv/bin/python scripts/bench.py [--hidden 512 --embedding 256 --vocabulary 8000 --threads 2 --json]

One process, the variants in turn, round after round, medians: a machine's speed drifts, ratios hold. Multiply-adds are
those of the products of a forward pass; a training step is counted as three of them. The rate of a plain matrix product
is measured in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from nmt.bundle import versions
from nmt.config import ModelConfig, TrainingConfig
from nmt.data.batching import Batch
from nmt.device import pick_device, set_threads
from nmt.models.build import VocabularySizes, build_model
from nmt.models.rnn import RNNModel
from nmt.training.step import Updater

VARIANTS = {"plain float32": (False, "float32"), "fast float32": (True, "float32"), "fast bf16": (True, "bf16")}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    sizes = {"--embedding": 256, "--hidden": 512, "--vocabulary": 8000, "--sentences": 128, "--length": 16}
    for flag, default in (sizes | {"--rounds": 7, "--threads": 0}).items():
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def multiply_adds(wanted: argparse.Namespace) -> int:
    """Of the products of one forward pass over a batch."""
    e, h, c = wanted.embedding, wanted.hidden, 2 * wanted.hidden
    source = 2 * (e * 3 * h + h * 3 * h) + c * c
    target = e * 3 * h + 2 * h * 3 * h + h * c + c * 3 * h + e * (h + e + c) + e * wanted.vocabulary
    return wanted.sentences * wanted.length * (source + target)


def seconds(step: Callable[[], object], device: torch.device) -> float:
    """Of one call."""
    started = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def make_step(wanted: argparse.Namespace, variant: str, device: torch.device) -> Callable[[], object]:
    """An update of a model of its own, always on the same batch."""
    fast, precision = VARIANTS[variant]
    config = ModelConfig(embedding_size=wanted.embedding, hidden_size=wanted.hidden, initialization="scaled")
    model = build_model(config, VocabularySizes(wanted.vocabulary, wanted.vocabulary, wanted.vocabulary)).to(device)
    assert isinstance(model, RNNModel)
    model.fast = fast
    updater = Updater(model, TrainingConfig(precision=precision))
    generator = torch.Generator().manual_seed(0)
    size = (wanted.sentences, wanted.length)
    source, target = (torch.randint(3, wanted.vocabulary, size, generator=generator) for _ in range(2))
    lengths = torch.full(size[:1], wanted.length)
    batch = Batch(source, lengths, target, lengths, tuple(range(size[0])), size[0] * size[1]).to(device)
    return lambda: updater.update(batch, 1)


def main() -> None:
    """Measure and print."""
    wanted = arguments()
    device, threads = pick_device(wanted.device), set_threads(wanted.threads)
    steps = {variant: make_step(wanted, variant, device) for variant in VARIANTS}
    square = torch.randn(2048, 2048, device=device)
    steps["matrix product"] = lambda: square @ square
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(wanted.rounds + 1):
        for name, step in steps.items():
            took = seconds(step, device)
            if round_number:
                times[name].append(took)
    median = {name: statistics.median(values) for name, values in times.items()}
    tokens, operations = wanted.sentences * wanted.length, 6 * multiply_adds(wanted)
    reached = 2 * 2048**3 / median["matrix product"] / 1e9
    rows = {
        name: {
            "milliseconds": 1e3 * median[name],
            "tokens_per_second": tokens / median[name],
            "gflops": operations / median[name] / 1e9,
            "of_matrix_product": operations / median[name] / 1e9 / reached,
            "speedup": median["plain float32"] / median[name],
        }
        for name in VARIANTS
    }
    if wanted.json:
        facts = {"device": str(device), "threads": threads, "versions": versions(), "matrix_product_gflops": reached}
        print(json.dumps({"sizes": vars(wanted), **facts, "variants": rows}, indent=1))
        return
    print(
        f"E={wanted.embedding} H={wanted.hidden} V={wanted.vocabulary}, {wanted.sentences} x {wanted.length} tokens, ",
        end="",
    )
    print(f"{threads} threads on {device}; float32 matrix product {reached:,.0f} GFLOP/s")
    print(f"{'':<14} {'ms':>8} {'tokens/s':>10} {'GFLOP/s':>8} {'of product':>11} {'speed-up':>9}")
    for name, row in rows.items():
        print(
            f"{name:<14} {row['milliseconds']:8.0f} {row['tokens_per_second']:10,.0f} {row['gflops']:8.0f} "
            f"{row['of_matrix_product']:11.2f} {row['speedup']:9.2f}"
        )


if __name__ == "__main__":
    main()
