"""What the drivers of `scripts/bench train` share: how a tool's own training loop is watched, counted and timed.

A driver is a script for the interpreter of its tool's environment, which has PyTorch but not this repository. It runs
the tool's own training, with its batches, loss, clipping and optimizer; the method that makes an update is wrapped, so
that a `Meter` sees each batch and the clock. Its argument is a JSON object; it prints one JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

Spec = dict[str, Any]
"""What is asked for: see `scripts.benchmarks.train_peers`."""
SPAN = 5
"Updates between two looks at the clock."
PLANNED = 60
"Batches looked at to find how large they come out."
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Of a batch, or of the batches of several updates."""

    source: int
    "Real source pieces, as the tool feeds them."
    target: int
    "Real target pieces, </s> included."
    positions: int
    "Target positions, padding included."


class Enough(BaseException):
    """Raised in a tool's training loop when all has been seen: none of its handlers takes it for an error."""


class Meter:
    """Called at the start of every update; knows when to stop.

    An update lasts until the next one starts: making the batch is part of it.
    """

    def __init__(self, spec: Spec, *, planning: bool) -> None:
        self.spec, self.planning = spec, planning
        self.cuda = spec["device"] == "cuda"
        self.batches: list[Counts] = []
        "Since the last look at the clock; when planning, all."
        self.spans: list[dict[str, float]] = []
        self.parameters = self.made = 0
        self.begun = self.measured = self.marked = self.marked_cpu = 0.0

    def begin(self, model: torch.nn.Module, batch: Counts) -> bool:
        """Whether the update is to be made, or its batch was only looked at. Raises Enough."""
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        if self.planning:
            if len(self.batches) == PLANNED:
                raise Enough
            self.batches.append(batch)
            return False
        if not self.made:
            self.begun = self._clock()
        elif not self.measured:
            if self._warm():
                self.measured = self.marked = self._clock()
                self.marked_cpu, self.batches = time.process_time(), []
        elif len(self.batches) == SPAN or self._finished():
            self._close_span()
            if self._finished():
                raise Enough
        self.batches.append(batch)
        self.made += 1
        return True

    def mean_target(self) -> float:
        """Real target pieces of a planned batch."""
        return sum(batch.target for batch in self.batches) / len(self.batches)

    def _warm(self) -> bool:
        waited = time.perf_counter() - self.begun
        return bool(self.made >= self.spec["warm_up"] or waited >= self.spec["seconds"] / 4)

    def _finished(self) -> bool:
        made = len(self.batches) + sum(int(span["updates"]) for span in self.spans)
        return bool(made >= self.spec["updates"] or time.perf_counter() - self.measured >= self.spec["seconds"])

    def _close_span(self) -> None:
        now, cpu = self._clock(), time.process_time()
        if self.batches:
            sums = {key: sum(asdict(batch)[key] for batch in self.batches) for key in asdict(self.batches[0])}
            spent = {"seconds": now - self.marked, "cpu_seconds": cpu - self.marked_cpu}
            self.spans.append({"updates": len(self.batches), **spent, **sums})
        self.marked, self.marked_cpu, self.batches = now, cpu, []

    def _clock(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()


Train = Callable[[Spec, int, Meter], None]
"""Train as the specification says, in batches of the given limit in the tool's own tokens, until the meter stops it."""


def drive(make: Callable[[Spec], None], train: Train) -> None:
    """Make the tool's files and find its limit of tokens, or train and measure, as the argument says."""
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever the tool prints goes to standard error
    spec = json.loads(sys.argv[1])
    imported = {"imports_bytes": _peak(), "import_seconds": time.time() - spec["launched"]}
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    if spec["memory_limit"]:
        resource.setrlimit(resource.RLIMIT_DATA, (spec["memory_limit"],) * 2)
    found: dict[str, Any]
    if spec["action"] == "make":
        make(spec)
        found = {"limit": _fitted_limit(spec, train)}
    else:
        meter = _watched(spec, train, spec["limit"], planning=False)
        device_bytes = torch.cuda.max_memory_allocated() if meter.cuda else None
        found = {"spans": meter.spans, "parameters": meter.parameters, "device_bytes": device_bytes, **imported}
    os.write(answer, json.dumps(found).encode() + b"\n")
    os._exit(0)  # threads that the tool left waiting for the next batch


def _watched(spec: Spec, train: Train, limit: int, *, planning: bool) -> Meter:
    meter = Meter(spec, planning=planning)
    try:
        train(spec, limit, meter)
    except Enough:
        return meter
    raise SystemExit("training ended before enough updates were seen")


def _fitted_limit(spec: Spec, train: Train) -> int:
    """The limit with which batches have as many real target pieces as asked for, in the tool's own tokens."""
    limit = spec["batch_tokens"]
    for _ in range(2):
        limit = round(limit * spec["batch_tokens"] / _watched(spec, train, limit, planning=True).mean_target())
    return int(limit)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
