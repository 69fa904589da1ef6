"""Several processes that train one model: started by torchrun, one on each GPU, or a few on processors.

Every worker walks the same loop over the same batches and computes its own share of each. Gradients, divided by the
counts of the whole batch, are summed, so that an update is the one that a worker alone would make, whatever the number
of workers. Plain sums and not DistributedDataParallel: the gradient of a tied matrix is whole only when the backward
ends, which leaves little to send earlier, and a worker without a share of a small batch takes part with zeros.

What has to be alike is decided once: before each update the workers meet and learn of a signal, an error or the time.
The first one alone validates and writes.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from bpe.command import num_cores
from bpe.errors import UserError
from nmt.device import pick_device
from nmt.folder.weights import serialized
from nmt.training.interruption import Interrupted, Interruption

JOIN_SECONDS = 600
"How long the workers wait for each other at the start."
LOST_SECONDS = 300
"A worker that takes this much longer than another over an update is lost; one that ends is lost at once."
SIGNAL_SECONDS = 20
"After a signal the others are waited for this long; torchrun kills after 30."
PACKED_NUMBERS = 2**18
"Gradients smaller than this are sent together."
TOLD = "nmt-train told of a lost worker"


class Silent(Exception):
    """Ends a worker without a word, because another one says why. code: the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


class LostWorker(UserError):
    """Another worker ended, or cannot be reached."""


@dataclass(frozen=True)
class News:
    """What a meeting agrees on. signal: a signal that a worker received, or 0. seconds: the first worker's clock."""

    signal: int
    seconds: float


class Workers:
    """This process among those that train together; by default it is alone, and nothing is sent.

    rank: its number of `size`, the first is 0; local_rank of local_size: among those on this machine. store: where
    workers leave word for each other.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, local_rank: int = 0, local_size: int = 1, store: Any = None
    ) -> None:
        self.rank, self.size, self.local_rank, self.local_size = rank, size, local_rank, local_size
        self.store = store
        self.interruption = Interruption(repeated=size > 1)
        self.meetings = self.sums = None if size == 1 else dist.new_group(backend="gloo", timeout=timedelta(days=30))
        self.broken = False

    @property
    def first(self) -> bool:
        """Whether this is the one that validates, writes and speaks."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of this worker: of CUDA's, one for each worker on a machine."""
        device = pick_device(name)
        if self.size == 1:
            return device
        if device.type == "mps":
            raise UserError("mps serves one worker", where="--device", hint="use --device cpu, or one worker")
        if device.type == "cuda":
            count = torch.cuda.device_count()
            if self.local_size > count:
                problem = f"{self.local_size} workers on a machine with {count} CUDA devices"
                raise UserError(problem, where="torchrun --nproc-per-node", hint=f"start at most {count}")
            device = torch.device("cuda", self.local_rank)
            torch.cuda.set_device(device)
            self.meet()  # or leave, where another worker has no device: a group waits for all of its members
            self.sums = dist.new_group(backend="nccl", timeout=timedelta(seconds=LOST_SECONDS))
        return device

    def threads(self, wanted: int) -> int:
        """CPU threads of this worker: as many as asked for, or a share of the machine's; 0: all."""
        return wanted if wanted or self.local_size == 1 else max(1, num_cores() // self.local_size)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Around everything: what one worker finds wrong, or all do, is said once, and all leave with its exit code."""
        try:
            yield
        except LostWorker:
            if not self._speaks():
                raise Silent(2) from None
            raise
        except UserError:
            with contextlib.suppress(LostWorker):
                self.meet(failed=True)
            raise
        except Interrupted as signal:
            if not self.first:
                raise Silent(128 + signal.number) from None
            raise

    def meet(self, seconds: float = 0.0, *, signal: int = 0, failed: bool = False) -> News:
        """Wait for all. Raises Silent where another worker failed that comes before this one, or this one did not."""
        if self.size == 1:
            return News(signal, seconds)
        place = self.size - self.rank if failed else 0
        said = torch.tensor([place, signal, seconds if self.first else 0], dtype=torch.float64)
        self._wait(lambda: dist.all_reduce(said, dist.ReduceOp.MAX, group=self.meetings, async_op=True))
        failing, number, clock = said.tolist()
        if failing > place:
            raise Silent(2)
        return News(int(number), clock)

    def send(self, data: bytes = b"") -> bytes:
        """The first worker's data, on all."""
        self.meet()
        if self.size == 1:
            return data
        length = torch.tensor([len(data)])
        self._wait(lambda: dist.broadcast(length, 0, group=self.meetings, async_op=True))
        content = np.frombuffer(bytearray(data) if self.first else bytearray(int(length)), dtype=np.uint8)
        if len(content):
            tensor = torch.from_numpy(content)
            self._wait(lambda: dist.broadcast(tensor, 0, group=self.meetings, async_op=True))
        return content.tobytes()

    def send_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The first worker's tensors, on all; in the processor's memory."""
        return safetensors.torch.load(self.send(b"".join(serialized(tensors if self.first else {}, {}))))

    def add_up(self, gradients: Sequence[Tensor], totals: Tensor) -> None:
        """Sum over the workers, in place. totals come last: where they are whole, so is everything."""
        if self.size == 1:
            return
        small = [gradient for gradient in gradients if gradient.numel() < PACKED_NUMBERS]
        packed = torch.cat([gradient.flatten() for gradient in small]) if small else totals.new_empty(0)
        large = [gradient for gradient in gradients if gradient.numel() >= PACKED_NUMBERS]
        for tensor in (*large, packed, totals):
            self._sum(tensor)
        for gradient, part in zip(small, packed.split([gradient.numel() for gradient in small]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _sum(self, tensor: Tensor) -> None:
        if tensor.is_cuda:
            with _loss_noticed():
                dist.all_reduce(tensor, group=self.sums)  # the GPU waits, this process does not
        else:
            self._wait(lambda: dist.all_reduce(tensor, group=self.sums, async_op=True), LOST_SECONDS)

    def await_device(self, device: torch.device) -> None:
        """Wait for what the GPU has been given, with an eye on signals: a sum with a lost worker never ends."""
        if self.size > 1 and device.type == "cuda" and not self.broken:
            event = torch.cuda.Event()
            event.record()
            self._poll(event.query, LOST_SECONDS)

    def let_go(self) -> None:
        """Break off what is under way with a lost worker, so that the GPU can be read; the first will tell of it."""
        self.broken = True
        if self.sums is not self.meetings:
            with contextlib.suppress(RuntimeError):
                self.sums.abort()  # type: ignore[union-attr]
        if self.first:
            self._speaks()

    def _speaks(self) -> bool:
        """Whether a lost worker is this one's to tell: the first one's if it is there, else any one's."""
        if self.store is None:
            return True
        try:
            if self.first:
                self.store.set(TOLD, "by the first")
                return True
            self.store.wait([TOLD], timedelta(seconds=SIGNAL_SECONDS / 4))
            return False
        except RuntimeError:
            with contextlib.suppress(RuntimeError):
                return bool(self.store.add(f"{TOLD} by", 1) == 1)
            return True

    def _wait(self, start: Callable[[], dist.Work], limit: float | None = None) -> None:
        """Start something and wait until all workers have done it; limit: seconds."""
        with _loss_noticed():
            work = start()
            self._poll(work.is_completed, limit)
            work.wait()

    def _poll(self, done: Callable[[], bool], limit: float | None) -> None:
        """Wait in Python, where signals are noticed. Raises LostWorker after the limit, or a while after a signal."""
        started, signalled = time.monotonic(), None
        while not done():
            now = time.monotonic()
            signalled = now if signalled is None and self.interruption.received is not None else signalled
            if (limit and now - started > limit) or (signalled and now - signalled > SIGNAL_SECONDS):
                raise LostWorker("another worker does not answer", where="training")
            time.sleep(min(max((now - started) / 10, 2e-5), 5e-3))


@contextlib.contextmanager
def _loss_noticed() -> Iterator[None]:
    try:
        yield
    except RuntimeError:
        raise LostWorker("another worker was lost", where="training") from None


@contextlib.contextmanager
def workers_of_torchrun() -> Iterator[Workers]:
    """The workers that torchrun started, by what it left in the environment; elsewhere this process alone."""
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        yield Workers()
        return
    # A communicator with a lost worker is given up, but the process lives on and saves.
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "2")
    try:
        rank, local_rank = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", 0))
        local_size, wait = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), timedelta(seconds=JOIN_SECONDS)
        store, _, _ = next(rendezvous("env://", rank, int(size), timeout=wait))
        dist.init_process_group("gloo", store=store, rank=rank, world_size=int(size), timeout=wait)
        workers = Workers(rank, int(size), local_rank, local_size, store)
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"the {size} workers of WORLD_SIZE do not find each other ({reason})",
            where="torchrun",
            hint="start them with torchrun, or unset WORLD_SIZE",
        ) from None
    try:
        yield workers
    finally:
        if not workers.broken:
            dist.destroy_process_group()
