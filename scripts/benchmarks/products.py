"""Times the products of a training update in every way that this processor has: what `nmt.layers.processor` knows.

The ways take turns, and the best of several rounds counts, since company only ever slows one down. GFLOP/s; `packing`
is what laying a weight out for oneDNN costs, in products of the row; `taken` is the way that training takes.
"""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bpe.command import Parser
from nmt.device import set_threads
from nmt.layers.onednn import onednn_linear, packed
from nmt.layers.processor import (
    has_onednn,
    instruction_set,
    int8_inputs,
    names_onednn,
    native_bfloat16,
    packs_repeated,
)  # fmt: skip
from scripts.benchmarks.report import Column, Row, Table, as_json, facts, write_json

CPU = torch.device("cpu")
WAYS = ("torch", "oneDNN", "oneDNN packed", "bf16")
COLUMNS = (
    Column("product", "product"),
    Column("rows x inputs x outputs", "shape"),
    *(Column(way, way, ",.0f") for way in WAYS),
    Column("packing", "packing", ".1f"),
    Column("taken", "taken"),
)
SECONDS = 0.02
"Of one timing, at least."


@dataclass(frozen=True)
class Shape:
    """A product of an update. repeated: the same right side at every step of a recurrence. turned: which is a view."""

    name: str
    rows: int
    inputs: int
    outputs: int
    repeated: bool = False
    turned: str = ""


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench products", description=__doc__, allow_abbrev=False)
    sizes = {"--embedding": 256, "--hidden": 512, "--vocabulary": 8000, "--sentences": 128, "--length": 16}
    for flag, default in (sizes | {"--rounds": 15, "--threads": 0}).items():
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"default: {default}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    return parser.parse_args(argv)


def shapes(wanted: Namespace) -> list[Shape]:
    """Those of the recurrent model, forward and backward."""
    e, h, c, v, b = wanted.embedding, wanted.hidden, 2 * wanted.hidden, wanted.vocabulary, wanted.sentences
    n, chunk = b * wanted.length, max(256, 2**22 // v)
    return [
        Shape("h U", b, h, 3 * h, True),
        Shape("h1 (query, second GRU)", b, h, c + 3 * h, True),
        Shape("context", b, c, 3 * h, True),
        Shape("h U, backward", b, 3 * h, h, True, "right"),
        Shape("h1, backward", b, c + 3 * h, h, True, "right"),
        Shape("context, backward", b, 3 * h, c, True, "right"),
        Shape("input", n, e, 3 * h),
        Shape("keys", n, c, c),
        Shape("scores", chunk, e, v, turned="right"),
        Shape("scores, backward", chunk, v, e),
        Shape("gradient of U", h, n, 3 * h, turned="left"),
        Shape("gradient of context", c, n, 3 * h, turned="left"),
        Shape("gradient of scores", e, chunk, v, turned="left"),
    ]


def operands(shape: Shape) -> tuple[Tensor, Tensor]:
    """Left and right side, as the update has them."""
    left = (
        torch.randn(shape.inputs, shape.rows).t() if shape.turned == "left" else torch.randn(shape.rows, shape.inputs)
    )
    if shape.turned == "right":
        return left, torch.randn(shape.outputs, shape.inputs).t()
    return left, torch.randn(shape.inputs, shape.outputs)


def ways(left: Tensor, right: Tensor) -> dict[str, Callable[[], object]]:
    """Every way that is here; `packing` is the preparation of one."""
    found: dict[str, Callable[[], object]] = {"torch": lambda: torch.mm(left, right)}
    if has_onednn(CPU):
        found["oneDNN"] = lambda: onednn_linear(left, right.t())
        if left.is_contiguous():
            weight = packed(right.t())
            found["oneDNN packed"] = lambda: onednn_linear(left, weight)
            found["packing"] = lambda: packed(right.t())
    if native_bfloat16(CPU):
        lower = left.bfloat16(), right.bfloat16()
        found["bf16"] = lambda: torch.mm(*lower)
    return found


def best_seconds(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Of one call each, taking turns."""
    best = dict.fromkeys(functions, math.inf)
    for number in range(rounds + 1):
        for name, function in functions.items():
            started, calls = time.perf_counter(), 0
            while (took := time.perf_counter() - started) < SECONDS:
                function()
                calls += 1
            if number:
                best[name] = min(best[name], took / calls)
    return best


def row_of(shape: Shape, rounds: int) -> Row:
    """A line of the table."""
    best = best_seconds(ways(*operands(shape)), rounds)
    operations = 2 * shape.rows * shape.inputs * shape.outputs
    row: Row = {"product": shape.name, "shape": f"{shape.rows:,} x {shape.inputs:,} x {shape.outputs:,}"}
    row |= {way: operations / best[way] / 1e9 for way in WAYS if way in best}
    if "packing" in best:
        row["packing"] = best["packing"] / best["oneDNN packed"]
    packs = shape.repeated and packs_repeated()
    return row | {"taken": "oneDNN packed" if packs else "oneDNN" if names_onednn() else "torch"}


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    threads = set_threads(wanted.threads)
    about = facts("products", argv, ("torch",))
    print(about.text(), flush=True)
    torch.manual_seed(0)
    rows = [row_of(shape, wanted.rounds) for shape in shapes(wanted)]
    inputs = int8_inputs()
    notes = [
        f"{threads} threads, {instruction_set()}; bfloat16 products: {'yes' if native_bfloat16(CPU) else 'no'}; "
        f"int8: {f'inputs of {inputs.limit} levels to either side' if inputs else 'no'}"
    ]
    table = Table(title="products of an update, float32 (GFLOP/s)", columns=COLUMNS, rows=rows, notes=notes)
    print(f"\n{table.text()}")
    if wanted.json:
        write_json(wanted.json, about, {"tables": as_json([table])})
