"""Updates recorded once for a shape of batches and played again: a GPU begins all of an update's launches by itself.

What is recorded is the whole update, on tensors that stay in their places: a batch's are copied there, and how far the
update goes lies in tensors, too. Batches are filled up to few shapes first. Whether an update is recorded, played or
made call by call changes no bit of it, so that a continued run, which records anew, gives the bits of one in one piece.

How something is recorded is behind an interface: `CudaRecorder`, and a stand-in for tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import TrainingConfig
from nmt.layers.processor import native_bfloat16
from nmt.layers.triton.available import what_is_missing
from nmt.tasks.interface import Fillable, Objective

CALLED_BEFORE = 2
"Updates of a shape that are made call by call before it is recorded: a shape that is rarer is not worth it."
MOST_SHAPES = 256
"So many are recorded at most."

Play = Callable[[], object]
Shape = tuple[torch.Size, ...]


class Recorder(Protocol):
    """Records what a function has a device do."""

    def record(self, function: Callable[[], None]) -> Play:
        """Call the function once, without effect on any tensor; what is returned does it, and again each time.

        Raises a RuntimeError where it cannot be recorded. What the function allocates is its own from then on, but is
        written over by whatever else this recorder recorded.
        """


class CudaRecorder:
    """CUDA graphs, which share their memory, since one is played at a time and leaves nothing in it that is needed."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def record(self, function: Callable[[], None]) -> Play:
        """See Recorder. Other threads may go on with their own work on the device, such as copies of batches."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            function()
        return graph.replay


@dataclass(frozen=True)
class Pace:
    """How far an update goes; tensors, [], where it is recorded, which would keep a number for ever."""

    rate: float | Tensor
    "The optimizer's step size."
    following: float | Tensor
    "The share of the way to the weights that their moving average goes."


@dataclass(frozen=True)
class Recording:
    """An update of one shape. batch: where its batches are copied to. told: what an update tells."""

    batch: Fillable
    told: Tensor
    play: Play


class GraphedUpdates:
    """Makes updates of filled batches, by playing those whose shapes come often.

    make: makes an update of a batch call by call, and returns what it tells, a tensor. say: tells people where nothing
    can be recorded any more; the updates are made call by call then.
    """

    def __init__(self, recorder: Recorder, make: Callable[[Fillable], Tensor], say: Callable[[str], None]) -> None:
        self.recorder, self.make, self.say = recorder, make, say
        self.seen: Counter[Shape] = Counter()
        self.recordings: dict[Shape, Recording] = {}
        self.records = True

    def update(self, batch: Fillable) -> Tensor:
        """Make an update of a batch on the device; returns what it tells."""
        shape = tuple(tensor.shape for tensor in batch.tensors())
        if shape not in self.recordings and self.seen[shape] >= CALLED_BEFORE and self._may_record():
            self._record(shape, batch)
        self.seen[shape] += 1
        if shape not in self.recordings:
            return self.make(batch)
        recording = self.recordings[shape]
        for place, tensor in zip(recording.batch.tensors(), batch.tensors(), strict=True):
            place.copy_(tensor)
        recording.play()
        return recording.told.clone()

    def _may_record(self) -> bool:
        return self.records and len(self.recordings) < MOST_SHAPES

    def _record(self, shape: Shape, batch: Fillable) -> None:
        """Record the update of a shape; where that fails, this and all other new shapes are left to calls."""
        own = batch.of_tensors([tensor.clone() for tensor in batch.tensors()])
        told = torch.zeros(5, device=next(iter(own.tensors())).device)  # as Updater.read gives it

        def function() -> None:
            told.copy_(self.make(own))

        try:
            self.recordings[shape] = Recording(own, told, self.recorder.record(function))
        except RuntimeError as error:  # memory, or something that CUDA cannot record
            self.records = False
            line = (str(error).strip() or "no message").splitlines()[0]
            self.say(f"training.cuda_graphs: no more updates are recorded, they are launched call by call: {line}")


def graphs_wanted(config: TrainingConfig, device: torch.device, workers: int, objective: Objective) -> bool:
    """Whether updates are recorded, as training.cuda_graphs says. Raises UserError where it is on and cannot be."""
    reasons = {
        f"the device is {device.type}": device.type != "cuda",
        f"there are {workers} workers": workers > 1,
        "training.update_every is above 1": config.update_every > 1,
        "training.part_tokens divides batches": config.part_tokens > 0,
        "training.fast is false": not config.fast,
        "the task's batches are not filled up": not objective.fills,
        "the GPU does not multiply bfloat16": config.precision == "bf16" and not native_bfloat16(device),
    }
    reason = next((told for told, holds in reasons.items() if holds), "")
    if config.cuda_graphs == "off":
        return False
    reason = reason or what_is_missing()
    if reason and config.cuda_graphs == "on":
        raise UserError(f"cannot be on: {reason}", where="training.cuda_graphs", hint="set it to auto or off")
    return not reason
