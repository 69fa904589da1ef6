"""Where the time of one of our updates goes, part by part, beside the least that the part's arithmetic can take.

Hooks on the model's modules and the optimizer read the clock between the parts of `Updater.begin`, forward and
backward alike; on a GPU its own clock is read. The least time of a part is that of its multiply-adds at the rate of a
plain product of large matrices in the same precision, the optimizer's that of its bytes at the rate of a plain copy.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import torch

from nmt.config import ModelConfig, TrainingConfig
from nmt.data.batching import Batch
from nmt.data.corpus import PreparedCorpus
from nmt.data.feed import Feed
from nmt.data.position import Position
from nmt.data.prefetch import prefetched
from nmt.models.architectures import ARCHITECTURES
from nmt.models.build import VocabularySizes, build_model
from nmt.tasks.translation.objective import TranslationObjective
from nmt.text.vocabulary import SourceView, TargetView, Vocabulary
from nmt.training.graphs import CALLED_BEFORE, CudaRecorder
from nmt.training.step import Updater
from scripts.benchmarks.report import Column, Row, Table
from scripts.benchmarks.train_peers import OPERATIONS, product_rate
from scripts.benchmarks.train_text import TrainingText
from scripts.benchmarks.update_parts import BATCH, OPTIMIZER, PARTS_OF, REST, UpdateParts

OPTIMIZER_PASSES = 7
"Numbers that Adam and Adadelta move for each parameter: they read weight, gradient and two averages, and write three."
COPY_BYTES = 2**26
COLUMNS = (
    Column("part", "part"),
    Column("ms", "milliseconds", ",.1f"),
    Column("% of the update", "share", ".1f", 100),
    Column("least ms", "least_milliseconds", ",.1f"),
    Column("x least", "of_least", ".1f"),
)


@dataclass(frozen=True, kw_only=True)
class Work:
    """One of our trainings."""

    text: TrainingText
    model: ModelConfig
    training: TrainingConfig
    device: torch.device
    threads: int
    updates: int = 3
    rounds: int = 3
    "The same batches are trained on so often; medians are taken."
    recorded: bool = False
    "With batches filled up and updates played again as CUDA graphs, as nmt-train makes them on a GPU."


class Training:
    """A model with fresh weights, what updates it, and its batches."""

    def __init__(self, work: Work) -> None:
        rows = work.text.rows
        model = build_model(work.model, VocabularySizes(rows, rows, rows)).to(work.device)
        self.work, self.model = work, model
        corpus = PreparedCorpus(work.text.folder, {"splits": {"train": {}}}, Vocabulary((), (), ()))
        views = SourceView(rows), TargetView(first=rows, gap=0, size=rows)
        self.feed = Feed(corpus, work.training, views)
        self.updater = Updater(model, work.training, TranslationObjective(work.training))
        self.made = 0
        if work.recorded:
            self.updater.record(CudaRecorder(), print)

    @property
    def warm_rounds(self) -> int:
        """Rounds over the same batches after which nothing is new."""
        return CALLED_BEFORE + 1 if self.work.recorded else 1

    def filled(self, batch: Batch) -> Batch:
        """A batch in the processor's memory as this training has it."""
        return self.updater.objective.filled(batch) if self.work.recorded else batch

    @property
    def parts(self) -> UpdateParts:
        """Of its architecture."""
        return PARTS_OF[self.work.model.architecture]

    @property
    def num_parameters(self) -> int:
        """Each storage counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def stream(self) -> Iterator[Batch]:
        """Batches on the device, always from the first."""
        made = ((place, self.filled(batch)) for place, batch in self.feed.stream(Position(0, 0, 0)))
        batches = prefetched(made, self.work.device)
        try:
            for _, batch in islice(batches, self.work.updates):
                yield batch
        finally:
            batches.close()

    def update(self, batch: Batch) -> None:
        """One more; as in nmt-train, a GPU is not waited for."""
        self.made += 1
        self.updater.begin([batch], self.made)
        if not self.updater.deferred or self.made % self.work.training.log_every == 0:
            self.updater.read()


class Stopwatch:
    """Adds up the time between marks under their names."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.marks: list[tuple[str, float | torch.cuda.Event]] = []

    def mark(self, name: str) -> None:
        """What ended now was `name`."""
        if self.cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append((name, event))
        else:
            self.marks.append((name, time.perf_counter()))

    def milliseconds(self) -> dict[str, float]:
        """Of each name since the first mark, which only starts the watch; forgets all marks."""
        if self.cuda:
            torch.cuda.synchronize()
        sums: dict[str, float] = defaultdict(float)
        for (_, before), (name, after) in zip(self.marks, self.marks[1:], strict=False):
            if isinstance(before, float) and isinstance(after, float):
                sums[name] += 1000 * (after - before)
            elif not isinstance(before, float) and not isinstance(after, float):
                sums[name] += before.elapsed_time(after)
        self.marks = []
        return sums


@contextmanager
def watched(training: Training, watch: Stopwatch) -> Iterator[None]:
    """Mark the ends of the parts of every update made inside."""

    optimizer = training.updater.optimizer
    handles = [
        *training.parts.hooks(training.model, watch.mark),
        optimizer.register_step_pre_hook(lambda *_: watch.mark(REST)),
        optimizer.register_step_post_hook(lambda *_: watch.mark(OPTIMIZER)),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def measure(training: Training) -> dict[str, float]:
    """Milliseconds of each part, on average over the updates of a round; of several rounds the median, after one."""
    found: dict[str, list[float]] = {part: [] for part in training.parts.names}
    watch = Stopwatch(training.work.device)
    with watched(training, watch):
        for number in range(training.work.rounds + 1):
            watch.mark(REST)
            for batch in training.stream():
                watch.mark(BATCH)
                training.update(batch)
                watch.mark(REST)
            for part, milliseconds in watch.milliseconds().items() if number else ():
                found[part].append(milliseconds / training.work.updates)
    return {part: statistics.median(values) if values else 0.0 for part, values in found.items()}


def least_milliseconds(training: Training) -> dict[str, float]:
    """Of the parts that have one, for an average update."""
    work = training.work
    dtype = torch.bfloat16 if training.updater.config.precision == "bf16" else torch.float32
    rate = product_rate(work.device, work.threads, dtype)
    sums: dict[str, float] = defaultdict(float)
    for batch in training.stream():
        for part, number in training.parts.multiply_adds(work.model, work.text.rows, batch).items():
            sums[part] += 1000 * OPERATIONS * number / rate / work.updates
    optimizer_bytes = 4 * OPTIMIZER_PASSES * training.num_parameters
    return sums | {OPTIMIZER: 1000 * optimizer_bytes / copy_rate(work.device)}


def copy_rate(device: torch.device, repeats: int = 7) -> float:
    """Bytes a second that are read or written when a tensor too large for any cache is copied."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target, watch, times = torch.zeros_like(source), Stopwatch(device), []
    for _ in range(repeats + 1):
        watch.mark("")
        target.copy_(source)
        watch.mark("copy")
        times.append(watch.milliseconds()["copy"])
    return 2 * COPY_BYTES / statistics.median(times[1:]) * 1000


def parts_rows(found: Mapping[str, float], least: Mapping[str, float]) -> list[Row]:
    """A row for each part, then the whole update."""
    total = sum(found.values())
    rows: list[Row] = [
        {"part": part, "milliseconds": found[part], "share": found[part] / total}
        | ({"least_milliseconds": least[part], "of_least": found[part] / least[part]} if part in least else {})
        for part in found
    ]
    whole = sum(least.values())
    last = {"part": "whole update", "milliseconds": total, "share": 1.0, "least_milliseconds": whole}
    return [*rows, last | {"of_least": total / whole}]


def parts_table(training: Training, name: str) -> Table:
    """The table of one training."""
    work = training.work
    torch.set_num_threads(work.threads)
    rows = parts_rows(measure(training), least_milliseconds(training))
    sizes = ARCHITECTURES[work.model.architecture].sizes
    size = f"{', '.join(f'{key} {getattr(work.model, key)}' for key in sizes)}, {work.text.rows:,} rows"
    notes = ["least: multiply-adds of real pieces at the rate of a plain product, the optimizer's bytes at a copy's"]
    return Table(title=f"Our update, {name}, {size}, {batches_of(work)}", columns=COLUMNS, rows=rows, notes=notes)


def batches_of(work: Work) -> str:
    """The size of batches, for people."""
    tokens, sentences = work.training.batch_tokens, work.training.batch_sentences
    return f"batches of at most {tokens:,} pieces" if tokens else f"batches of {sentences} sentences"
