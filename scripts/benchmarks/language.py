"""Measures training of language models against torch.nn.LSTM as PyTorch's word language model example trains it.

The small and the large model of Press & Wolf (2017), untied: both tools have the same sizes (torch.nn.LSTM has two
biases for each gate, so has ours here), the same words, 20 streams with their state carried, the same clipping and SGD,
float32. They take turns, each in a process of its own; figures are medians over all updates of all rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bpe.command import Parser
from bpe.errors import UserError
from scripts.benchmarks.measure import Command, Tool, run_once
from scripts.benchmarks.report import Column, Row, Table, as_json, facts, write_json
from scripts.benchmarks.train_peers import OPERATIONS, product_rate

DRIVER = Path(__file__).with_name("drivers") / "train_language.py"
ROOT = Path(__file__).resolve().parents[2]
LAYERS = 2
MODELS: Mapping[str, dict[str, Any]] = {
    "small": {"size": 200, "steps": 20, "dropout": 0.0},
    "large": {"size": 1500, "steps": 35, "dropout": 0.65},
}
TOOLS: Mapping[str, dict[str, Any]] = {
    "ours": {"tool": "ours", "fast": True},
    "torch.nn.LSTM": {"tool": "theirs", "fast": False},
    "ours, plain": {"tool": "ours", "fast": False},
}
COLUMNS = (
    Column("tool", "tool"),
    Column("words/s", "words_per_second", ",.0f"),
    Column("words/CPU s", "words_per_cpu_second", ",.0f"),
    Column("ours/it", "ours_faster", ".2f"),
    Column("ms/update", "seconds", ",.1f", 1000),
    Column("GFLOP/s", "flops", ",.0f", 1e-9),
    Column("of product", "of_matrix_product", ".2f"),
    Column("M parameters", "parameters", ",.1f", 1e-6),
)
NOTES = (
    "ours/it: our first row's words/s divided by the row's. GFLOP/s: an update is three forward passes",
    "of product: of a plain product of two large square matrices",
)


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench lm", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: both")
    add("--tying", choices=("untied", "tied"), default="untied", help="of all (default: untied)")
    add("--tools", nargs="+", choices=TOOLS, default=list(TOOLS)[:2], help="default: ours and torch.nn.LSTM")
    add("--updates", type=int, nargs="+", default=[40, 5], metavar="N", help="measured in a round (default: 40 5)")
    numbers = {"--words": 10_000, "--streams": 20, "--rounds": 3, "--warm-up": 2, "--threads": 2}
    for flag, default in numbers.items():
        add(flag, type=int, default=default, metavar="N", help=f"default: {default:,}")
    add("--size", type=int, metavar="N", help="of embedding and layers, instead of the models'")
    add("--json", type=Path, metavar="FILE", help="write every figure")
    wanted = parser.parse_args(argv)
    least = min(wanted.words, wanted.streams, wanted.rounds, wanted.warm_up, wanted.threads, *wanted.updates)
    if least < 1 or (wanted.size is not None and wanted.size < 1):
        raise UserError(f"--updates, --size and {', '.join(numbers)} must be at least 1")
    return wanted


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    about = facts("lm", argv, ("torch", "numpy"))
    print(about.text(), flush=True)
    tables = []
    for number, name in enumerate(wanted.models):
        tables.append(_table(wanted, name, wanted.updates[min(number, len(wanted.updates) - 1)]))
        print(f"\n{tables[-1].text()}", flush=True)
    if wanted.json:
        options = {key: str(value) if isinstance(value, Path) else value for key, value in vars(wanted).items()}
        write_json(wanted.json, about, {"options": options, "tables": as_json(tables)})


def _table(wanted: Namespace, name: str, updates: int) -> Table:
    """One model, all tools in turns."""
    spec = MODELS[name] | {"layers": LAYERS, "updates": updates, "tying": wanted.tying}
    spec |= {key: vars(wanted)[key] for key in ("words", "streams", "warm_up", "threads")}
    spec |= {"size": wanted.size} if wanted.size else {}
    found: dict[str, list[dict[str, Any]]] = {tool: [] for tool in wanted.tools}
    products = []
    for number in range(1, wanted.rounds + 1):
        products.append(product_rate(torch.device("cpu"), wanted.threads))
        for tool in found:
            print(f"round {number} of {wanted.rounds}: {name}, {tool}", file=sys.stderr, flush=True)
            found[tool].append(_run(tool, spec))
    rate = statistics.median(products)
    rows = [_row(tool, runs, spec, rate) for tool, runs in found.items()]
    title = f"{name} model, 2 x {spec['size']}, {wanted.words:,} words, {wanted.tying}, {wanted.streams} streams of "
    title += f"{spec['steps']} steps, {wanted.threads} threads, float32 matrix product {rate / 1e9:,.0f} GFLOP/s"
    return Table(title=title, columns=COLUMNS, rows=_with_ratios(rows), notes=NOTES)


def _run(tool: str, spec: dict[str, Any]) -> dict[str, Any]:
    threads, path = str(spec["threads"]), os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONPATH": path}
    with tempfile.TemporaryDirectory(prefix="bench-lm-") as folder:
        output = Path(folder, "found.json")
        argv = [sys.executable, str(DRIVER), json.dumps(spec | TOOLS[tool])]
        run_once(Tool(name=tool, steps=[Command(argv=argv, stdout=output, env=env)]))
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found


def multiply_adds_per_word(spec: Mapping[str, Any]) -> int:
    """Of a forward pass: all matrices of layers and scores."""
    size = int(spec["size"])
    return int(spec["layers"]) * 4 * size * 2 * size + size * int(spec["words"])


def _row(tool: str, runs: list[dict[str, Any]], spec: Mapping[str, Any], rate: float) -> Row:
    """Medians over all updates of all rounds."""
    words = spec["steps"] * spec["streams"]
    seconds, cpu = (
        statistics.median(value for run in runs for value in run[key]) for key in ("seconds", "cpu_seconds")
    )
    flops = OPERATIONS * multiply_adds_per_word(spec) * words / seconds
    return {
        "tool": tool,
        "words_per_second": words / seconds,
        "words_per_cpu_second": words / cpu,
        "seconds": seconds,
        "flops": flops,
        "of_matrix_product": flops / rate,
        "parameters": runs[0]["parameters"],
        "rounds": [statistics.median(run["seconds"]) for run in runs],
    }


def _with_ratios(rows: list[Row]) -> list[Row]:
    """How many times faster our first row is; where it was not measured nothing is said."""
    ours = next((row for row in rows if row["tool"] in ("ours", "ours, plain")), None)
    if ours is None:
        return rows
    return [row | {"ours_faster": ours["words_per_second"] / row["words_per_second"]} for row in rows]
