"""What the stages of `scripts/bench gpu` share: sizes, Table 8's recipe at them, and how an update is timed."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bpe.errors import UserError
from nmt.config import Config
from nmt.configfile import build_config, read_yaml
from nmt.data.batching import Batch
from nmt.device import peak_memory
from nmt.layers.triton.available import what_is_missing
from scripts.benchmarks.report import Row, Table
from scripts.benchmarks.train_parts import Stopwatch, Training, Work
from scripts.benchmarks.train_peers import BYTES_PER_PARAMETER
from scripts.benchmarks.train_text import TrainingText

RECIPE = Path(__file__).resolve().parents[2] / "configs/table8/paper.yaml"
PAPER_UPDATES = 300_000
PRECISIONS = {"float32": ("float32", "highest"), "tf32": ("float32", "high"), "bf16": ("bf16", "highest")}
"Of products: what nmt calls it, and what PyTorch may do with float32 products."


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of what is measured."""

    embedding: int = 500
    hidden: int = 1000
    pieces: int = 94_000
    pairs: int = 60_000
    median_length: int = 24
    sentences: int = 80
    batch_tokens: tuple[int, ...] = (4096, 16_384, 32_768)
    updates: int = 10
    rounds: int = 1
    product: int = 8192
    search_sentences: int = 256
    search_alone: int = 10
    learning_updates: int = 300


TINY = Scale(
    embedding=8,
    hidden=12,
    pieces=60,
    pairs=60,
    median_length=5,
    sentences=6,
    batch_tokens=(40,),
    updates=2,
    product=64,
    search_sentences=4,
    search_alone=1,
    learning_updates=40,
)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where and with what is measured."""

    scale: Scale
    text: TrainingText
    device: torch.device
    threads: int

    @property
    def cuda(self) -> bool:
        """Whether there is anything to be learnt."""
        return self.device.type == "cuda"

    @property
    def sizes(self) -> str:
        """For titles."""
        return f"E={self.scale.embedding} H={self.scale.hidden}, {self.text.rows:,} rows"

    def recipe(self) -> Config:
        """Table 8's, at the wanted size."""
        config, scale = build_config(read_yaml(RECIPE)), self.scale
        sizes = {"embedding_size": scale.embedding, "hidden_size": scale.hidden}
        return dataclasses.replace(config, model=dataclasses.replace(config.model, **sizes))

    @property
    def records(self) -> bool:
        """Whether updates can be played again as CUDA graphs."""
        return self.cuda and not what_is_missing()

    def as_nmt_train(self, **settings: Any) -> Training:
        """A fresh training that makes updates as nmt-train would."""
        return self.training(recorded=self.records, **settings)

    def training(self, *, dropout: float = 0.0, recorded: bool = False, **settings: Any) -> Training:
        """A fresh model and what trains it, 80 sentences a batch in bf16 unless the settings say otherwise."""
        config = self.recipe()
        wanted = {"precision": "bf16", "batch_sentences": self.scale.sentences, "batch_tokens": 0} | settings
        work = Work(
            text=self.text,
            model=dataclasses.replace(config.model, dropout=dropout),
            training=dataclasses.replace(config.training, **wanted),
            device=self.device,
            threads=self.threads,
            updates=self.scale.updates,
            rounds=self.scale.rounds,
            recorded=recorded,
        )
        if self.cuda:
            gc.collect()  # a training before, which holds itself, and the memory of its graphs
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        return Training(work)

    def without_cuda(self, title: str) -> Table:
        """In the place of a table that a CPU cannot have."""
        return Table(title=f"{title}: needs a CUDA device", columns=(), rows=[])


@contextmanager
def float32_products(how: str) -> Iterator[None]:
    """Let PyTorch round the inputs of float32 products, or not."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(how)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def timed(device: torch.device, calls: Sequence[Callable[[], object]]) -> float:
    """Milliseconds of a call, on average, by the device's own clock."""
    watch = Stopwatch(device)
    watch.mark("")
    for call in calls:
        call()
    watch.mark("calls")
    return watch.milliseconds()["calls"] / len(calls)


def speed(training: Training) -> Row:
    """Without marks between the parts of an update: rounds after which nothing is new, then one that counts."""
    work, pieces, milliseconds = training.work, 0, 0.0
    for counts in [False] * training.warm_rounds + [True]:
        batches: list[Batch] = list(training.stream())
        milliseconds = timed(work.device, [lambda batch=batch: training.update(batch) for batch in batches])  # type: ignore[misc]
        pieces += counts * sum(batch.num_target_tokens for batch in batches)
    training.updater.read()
    row: Row = {
        "milliseconds": milliseconds,
        "pieces_per_batch": pieces / work.updates,
        "pieces_per_second": 1000 * pieces / work.updates / milliseconds,
    }
    return row | ({"paper_minutes": milliseconds * PAPER_UPDATES / 60_000} if work.training.batch_sentences else {})


def measured(name: str, make: Callable[[], Training]) -> Row:
    """Speed and memory of a training, the largest batch of the text tried first; what does not fit has no figures."""
    row: Row = {"what": name}
    try:
        training = make()
        training.updater.try_largest(training.filled(training.feed.largest()).to(training.work.device))
        row |= speed(training)
        state, peak = BYTES_PER_PARAMETER * training.num_parameters, peak_memory(training.work.device)
        return row | {"peak_bytes": peak, "state_bytes": state, "peak_of_state": peak / state}
    except (torch.OutOfMemoryError, UserError) as error:
        return row | {"failed": str(error).split("\n")[0]}
