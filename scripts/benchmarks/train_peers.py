"""Runs the drivers of `scripts/bench train`: each tool's files made once, then its training measured in turns."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bpe.errors import UserError
from scripts.benchmarks.environments import variables
from scripts.benchmarks.measure import Command, Tool, run_once
from scripts.benchmarks.model_cost import OURS, Cost, Sizes
from scripts.benchmarks.peers_translate import DRIVERS, ROOT, SPECIALS
from scripts.benchmarks.report import Row
from scripts.benchmarks.train_text import TrainingText
from scripts.benchmarks.transformer_cost import TransformerSizes, model_cost

VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {"fast": True, "precision": "float32"},
    "bf16": {"fast": True, "precision": "bf16"},
    "plain float32": {"fast": False, "precision": "float32"},
}
"Of our training: the hand-written backward or the plain steps, and the precision of products."
BYTES_PER_PARAMETER = 16
"float32 weights, their gradients, and Adam's two moments."
OPERATIONS = 6
"Of a training step per multiply-add of its forward pass: two each, forward and twice backward."
SAME = {"dropout": 0.3, "label_smoothing": 0.1, "learning_rate": 0.002}
PRODUCT_SIZE = 2048


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is the same for every tool of a run."""

    scratch: Path
    pythons: Mapping[str, Path]
    "The interpreter of each peer."
    variants: Sequence[str]
    sizes: Mapping[str, Sizes | TransformerSizes]
    device: str
    threads: int
    rounds: int
    batch_tokens: int
    "Real target pieces of a batch, on average."
    warm_up: int
    updates: int
    seconds: float
    "A run measures so many updates, or as many as it makes in that time."
    part_tokens: int
    "Our larger batches are computed in parts of about so many pieces; 0: whole."
    memory_limit: int
    "Bytes a run may ask for; 0: any number."


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A row of the table: a tool, and for ours a variant."""

    name: str
    tool: str
    variant: Mapping[str, Any]

    def command(self, setting: Setting, spec: dict[str, Any], output: Path) -> Command:
        """Its driver, as a process."""
        threads = str(setting.threads)
        env = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if self.tool == OURS:
            path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
            python, env = Path(sys.executable), env | {"PYTHONPATH": path}
        else:
            python, env = setting.pythons[self.tool], env | variables(self.tool)
        driver = DRIVERS / f"train_{self.tool}.py"
        return Command(argv=[str(python), str(driver), json.dumps(spec)], stdout=output, env=env)


def candidates(setting: Setting) -> list[Candidate]:
    """Ours in its variants, then the peers."""
    ours = [Candidate(name=f"ours, {name}", tool=OURS, variant=VARIANTS[name]) for name in setting.variants]
    return ours + [Candidate(name=peer, tool=peer, variant={}) for peer in setting.pythons]


def take_turns(setting: Setting, text: TrainingText) -> tuple[list[Row], dict[str, str], float]:
    """A row for each candidate, why those that failed did, and the rate of a matrix product, in FLOP/s."""
    session = _Session(setting, text)
    wanted = candidates(setting)
    for candidate in {candidate.tool: candidate for candidate in reversed(wanted)}.values():
        session.make(candidate)
    found: dict[str, list[dict[str, Any]]] = {candidate.name: [] for candidate in wanted}
    products = []
    for number in range(1, setting.rounds + 1):
        products.append(product_rate(torch.device(setting.device), setting.threads))
        for candidate in wanted:
            print(f"round {number} of {setting.rounds}: {candidate.name}", file=sys.stderr, flush=True)
            found[candidate.name] += filter(None, [session.train(candidate)])
    rate = statistics.median(products)
    rows = [session.row(candidate, found[candidate.name], rate) for candidate in wanted if found[candidate.name]]
    return with_ratios(rows), session.failed, rate


class _Session:
    """Runs of the candidates on one text."""

    def __init__(self, setting: Setting, text: TrainingText) -> None:
        self.setting, self.text = setting, text
        self.limits: dict[str, int] = {}
        self.failed: dict[str, str] = {}

    def make(self, candidate: Candidate) -> None:
        """A tool's files, and the limit that gives its batches the asked size."""
        setting, tool = self.setting, candidate.tool
        self._folder(tool).mkdir(parents=True)
        print(f"preparing {tool}, {self.text.num_words:,} pieces", file=sys.stderr, flush=True)
        made = self._run(candidate, "make", limit=setting.batch_tokens)
        self.limits[tool] = made["limit"] if made else 0

    def train(self, candidate: Candidate) -> dict[str, Any] | None:
        """What a run found; None where it failed, now or before."""
        if candidate.name in self.failed or not self.limits[candidate.tool]:
            return None
        return self._run(candidate, "train", limit=self.limits[candidate.tool])

    def row(self, candidate: Candidate, runs: Sequence[Mapping[str, Any]], product: float) -> Row:
        """The medians of a candidate's runs."""
        setting, tool = self.setting, candidate.tool
        of_model = model_cost(tool, self.text.num_words + SPECIALS[tool], setting.sizes[tool])
        counted = runs[0]["parameters"]
        assert counted == of_model.parameters, f"{tool}: {counted:,} parameters, not {of_model.parameters:,}"
        spans = [span for run in runs for span in run["spans"]]
        total = {key: sum(span[key] for span in spans) for key in spans[0]}
        speed = statistics.median(map(pieces_per_second, runs))
        macs = multiply_adds_per_piece(of_model, total["source"] / total["target"])
        peak = statistics.median(run["device_bytes"] or run["peak_bytes"] for run in runs)
        imports = 0 if setting.device == "cuda" else statistics.median(run["imports_bytes"] for run in runs)
        state = BYTES_PER_PARAMETER * of_model.parameters
        return {
            "tool": candidate.name,
            "pieces_per_second": speed,
            "pieces_per_cpu_second": total["target"] / total["cpu_seconds"],
            "pieces_per_batch": total["target"] / total["updates"],
            "limit": self.limits[tool],
            "padding": 1 - total["target"] / total["positions"],
            "updates": total["updates"],
            "parameters": of_model.parameters,
            "multiply_adds_per_piece": macs,
            "flops": OPERATIONS * macs * speed,
            "of_matrix_product": OPERATIONS * macs * speed / product,
            "peak_bytes": peak,
            "imports_bytes": imports,
            "state_bytes": state,
            "peak_of_state": (peak - imports) / state,
            "rounds": [pieces_per_second(run) for run in runs],
        }

    def _folder(self, tool: str) -> Path:
        return self.text.folder / tool

    def _run(self, candidate: Candidate, action: str, limit: int) -> dict[str, Any] | None:
        setting, text = self.setting, self.text
        spec: dict[str, Any] = {
            "action": action,
            "limit": limit,
            "folder": str(self._folder(candidate.tool)),
            "text": str(text.folder),
            "rows": text.num_words + SPECIALS[candidate.tool],
            "pairs": text.num_pairs,
            "variant": dict(candidate.variant),
            **SAME,
            **asdict(setting.sizes[candidate.tool]),
        }
        names = ("device", "threads", "batch_tokens", "warm_up", "updates", "seconds", "part_tokens", "memory_limit")
        spec |= {name: getattr(setting, name) for name in names}
        output = setting.scratch / "found.json"
        try:
            command = candidate.command(setting, spec | {"launched": time.time()}, output)
            usage = run_once(Tool(name=candidate.name, steps=[command]))
        except UserError as error:
            if action == "make" and candidate.tool == OURS:
                raise
            self.failed[candidate.name] = error.problem
            return None
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        return found | {"peak_bytes": usage.peak_bytes}


def pieces_per_second(run: Mapping[str, Any]) -> float:
    """Real target pieces: the median over a run's spans."""
    return float(statistics.median(span["target"] / span["seconds"] for span in run["spans"]))


def multiply_adds_per_piece(of_model: Cost, source_per_target: float) -> float:
    """Of a forward pass, per real target piece."""
    source: float = of_model.per_source_piece * source_per_target
    return source + of_model.per_output_piece


def product_rate(device: torch.device, threads: int, dtype: torch.dtype = torch.float32, repeats: int = 5) -> float:
    """FLOP/s of a plain product of two square matrices."""
    torch.set_num_threads(threads)
    square = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, device=device).to(dtype)
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        square @ square
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return 2 * PRODUCT_SIZE**3 / statistics.median(times[1:])


def with_ratios(rows: Sequence[Row]) -> list[Row]:
    """Each row with how many times faster our first variant is, in pieces and in multiply-adds."""
    ours = next((row for row in rows if row["tool"].startswith(OURS)), None)
    if ours is None:
        return list(rows)

    def ratio(row: Row, key: str) -> float:
        return float(ours[key] / row[key])

    return [
        row | {"ours_faster": ratio(row, "pieces_per_second"), "ours_faster_normalised": ratio(row, "flops")}
        for row in rows
    ]
