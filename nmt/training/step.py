"""One update: forward, loss, backward, clipping, optimizer. Everything that is done 300,000 times."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import TrainingConfig
from nmt.device import enough_memory, sent
from nmt.layers.tying import unique_parameters
from nmt.models.interface import TrainableModel
from nmt.tasks.interface import Carried, Loss, Objective, Watch
from nmt.training.distributed import Workers
from nmt.training.graphs import GraphedUpdates, Pace, Recorder
from nmt.training.optimizers import divides, learning_rate, make_optimizer, try_step


@dataclass(frozen=True)
class StepResult:
    """What one update tells. Costs are sums over its tokens, in nats."""

    loss: float
    "What was differentiated: the cost over what the task divides it by."
    smoothed: float
    cross_entropy: float
    gradient_norm: float
    complete: bool = True
    "Whether every worker's part is in it; an update that lacks one was not made."

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are numbers; the update was not made where they are not."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)

    def numbers(self) -> str:
        """The two that must be finite, for people."""
        return f"loss {self.loss:g}, gradient norm {self.gradient_norm:g}"


class Updater:
    """Owns model, optimizer, the moving average of the weights and what batches carry on; makes updates.

    Random draws of update u (dropout) come from a seed that is a function of (training.seed, u, worker), so that a
    resumed run draws what an uninterrupted one does.

    Where `deferred`, as on CUDA, an update is handed to the device and never waited for: the device itself leaves out
    one whose loss or gradient is not finite, and all that follow once there were too many in a row, and the host learns
    of it when it reads.
    """

    def __init__(
        self,
        model: TrainableModel,
        config: TrainingConfig,
        objective: Objective[Any],
        workers: Workers | None = None,
        *,
        deferred: bool | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.model, self.config, self.objective, self.workers = model, config, objective, workers or Workers()
        self.watch = watch
        model.compute_dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        model.fast = config.fast
        self.parameters = unique_parameters(model)
        self.optimizer = make_optimizer(self.parameters, config)
        self.average: dict[str, Tensor] = {}
        if config.ema:
            self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.device = next(iter(self.parameters.values())).device
        self.deferred = self.device.type == "cuda" if deferred is None else deferred
        self.refused = torch.zeros((), device=self.device)
        "Updates in a row that were not made, up to now."
        self.carried: Carried = objective.start(model)
        "What the last update that was made leaves to the next."
        self.unread: list[Tensor] = []
        self.graphs: GraphedUpdates | None = None

    def loss(self, batch: Any, carried: Carried | None = None) -> Loss:
        """What a batch of the task costs. carried: what the one before it left; None: what the last update left."""
        return self.objective.loss(self.model, batch, self.carried if carried is None else carried)

    def update(self, batch: Any, number: int) -> StepResult:
        """Make update `number` (from 1) of one batch, and wait for it."""
        self.begin([batch], number)
        return self.read()[0]

    def begin(self, batches: Sequence[Any], number: int, epoch: int = 0) -> None:
        """Make update `number` (from 1) of the given batches as if they were one; `read` tells what came of it.

        epoch: from 0, which a schedule may go by.
        """
        torch.manual_seed(update_seed(self.config.seed, number, self.workers.rank))
        self.model.train()
        pace = Pace(learning_rate(self.config, number, epoch), 1 - self._decay_of(number))
        watched = self.watch is not None and number % self.config.log_every == 0
        if self.graphs is not None:
            self.paces.copy_(sent(torch.tensor([pace.rate, pace.following]), self.device))
            pace = Pace(*self.paces.unbind())
        if self.graphs is None or watched:  # what is caught is not what was recorded
            self.unread.append(self._make(batches, pace, watched))
        else:
            (batch,) = batches
            self.unread.append(self.graphs.update(batch))

    def record(self, recorder: Recorder, say: Callable[[str], None]) -> None:
        """From now on, have updates of the same shape recorded and played again. Batches must be filled up, and an
        update has one. say: tells people where nothing can be recorded any more."""
        assert self.deferred, "nobody can look at what is being recorded"
        self.paces = torch.zeros(2, device=self.device)
        pace = Pace(*self.paces.unbind())
        self.graphs = GraphedUpdates(recorder, lambda batch: self._make([batch], pace), say)

    def _make(self, batches: Sequence[Any], pace: Pace, watched: bool = False) -> Tensor:
        """Make an update; returns what `read` gives, [5], on the device. watched: catch what `watch` is to see."""
        sums = torch.zeros(3, device=self.device)  # loss, smoothed, cross entropy
        carried, count = self.carried, sum(map(self.objective.count, batches))
        with self._watched(watched) as caught:
            for batch in batches:
                carried = self._add(batch, count, carried, sums)
        gradients = self._gradients()
        totals = torch.cat([sums, sums.new_ones(1)])  # one worker more whose part is in them
        self.workers.add_up([*gradients, *carried.values(), *caught], totals)
        if self.watch is not None and caught:
            self.watch.note(caught)
        norm = torch.nn.utils.get_total_norm(gradients)
        refused = self._must_not(totals, norm)
        self.carried = {name: torch.where(refused, self.carried[name], left) for name, left in carried.items()}
        self._apply(gradients, norm, refused, pace)
        return torch.cat([totals, norm[None]])

    @contextlib.contextmanager
    def _watched(self, watched: bool) -> Iterator[Sequence[Tensor]]:
        """Around the passes of an update: what is caught of them, where it is watched."""
        if self.watch is None or not watched:
            yield ()
            return
        with self.watch.catching() as caught:
            yield caught

    def read(self) -> list[StepResult]:
        """What the updates since the last reading gave; waits for the device."""
        if not self.unread:
            return []
        self.workers.await_device(self.device)
        rows = torch.stack(self.unread).tolist()
        self.unread = []
        size = self.workers.size
        return [StepResult(loss, smoothed, plain, norm, parts == size) for loss, smoothed, plain, parts, norm in rows]

    def _add(self, batch: Any, count: int, carried: Carried, sums: Tensor) -> Carried:
        """Add a batch's part of an update's gradients and sums; returns what it leaves, of this worker's share."""
        left = {name: torch.zeros_like(tensor) for name, tensor in carried.items()}
        for part in self._parts(batch):
            costs, parts_left = self._differentiate(part, self.objective.count(part) / count, carried)
            sums += costs
            for name, tensor in parts_left.items():
                left[name] += tensor
        return left

    def _parts(self, batch: Any) -> Iterator[Any]:
        """This worker's share of a batch, in as many parts as training.part_tokens asks for."""
        objective, limit = self.objective, self.config.part_tokens
        share = objective.share_of(batch, self.workers.rank, self.workers.size)
        if share is not None:
            number = -(-objective.num_tokens(share) // limit) if limit else 1
            yield from filter(None, (objective.share_of(share, part, number) for part in range(number)))

    def _differentiate(self, batch: Any, weight: float, carried: Carried) -> tuple[Tensor, Carried]:
        """Add weight times the gradient of the batch's loss; returns the weighted loss and both costs, [3], and what
        the batch leaves."""
        costs = self.loss(batch.to(self.device), carried)
        loss = costs.loss * weight
        loss.backward()  # type: ignore[no-untyped-call]
        return torch.stack([loss.detach(), costs.smoothed, costs.cross_entropy]), costs.carried

    def _gradients(self) -> list[Tensor]:
        """Of all parameters that have one; among several workers of all, since one without pairs has none."""
        if self.workers.size > 1:
            for parameter in self.parameters.values():
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        return [p.grad for p in self.parameters.values() if p.grad is not None]

    def _must_not(self, totals: Tensor, norm: Tensor) -> Tensor:
        """Whether the update must not be made, decided where it is computed."""
        complete = totals[3] == self.workers.size
        good = norm.isfinite() & totals[0].isfinite() & complete & (self.refused <= self.config.skip_nonfinite)
        self.refused.copy_(torch.where(complete, (self.refused + 1) * ~good, torch.inf))
        return ~good

    def _apply(self, gradients: list[Tensor], norm: Tensor, refused: Tensor, pace: Pace) -> None:
        """Clip, and make the optimizer's step and the average's, unless the update is refused."""
        self._clip(gradients, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = pace.rate
        if self.deferred:
            self.optimizer.found_inf = refused.float()  # type: ignore[attr-defined]
        if self.deferred or not refused:
            self.optimizer.step()
            self._decay(refused if self.deferred else None)
            self._follow(pace.following, refused if self.deferred else None)
        self.optimizer.zero_grad()

    def _clip(self, gradients: list[Tensor], norm: Tensor) -> None:
        """Scale the gradients down to training.clip_norm. norm: of all of them, before."""
        if self.config.clip_norm and divides(self.optimizer):
            scale = (norm / self.config.clip_norm).clamp(min=1)
            self.optimizer.grad_scale = scale  # type: ignore[attr-defined]
        elif self.config.clip_norm:
            exact = torch.float32 if norm.device.type == "mps" else torch.float64
            factor = torch.full_like(norm, self.config.clip_norm, dtype=exact) / norm
            torch._foreach_mul_(gradients, factor.clamp(max=1).to(norm.dtype))

    @torch.no_grad()
    def _decay(self, refused: Tensor | None) -> None:
        """Shrink every weight as the task wants it. refused: whether to leave it, known to the device alone."""
        share = self.objective.weight_decay
        if not share:
            return
        weights = [parameter.detach() for parameter in self.parameters.values()]
        if refused is None:
            torch._foreach_add_(weights, weights, alpha=-share)
        else:  # 1 - share would lose most of a share of 1e-7 to rounding
            torch._foreach_addcmul_(weights, weights, [(~refused).to(w.dtype) for w in weights], value=-share)

    def try_largest(self, batch: Any) -> None:
        """Make this worker's update of the largest batch but for the change, so that too little memory shows now and
        not after hours: with the optimizer's states, which exist from here on, and with gradients to add to where an
        update has several batches. No number changes. Raises UserError where memory is refused."""
        states = UserError(
            f"the states of {self.config.optimizer} do not fit in memory beside the model's weights",
            where="training.optimizer",
            hint=f"lower {self.model.how_to_shrink()}, or tie more matrices (--tying)",
        )
        try:
            with enough_memory(states):
                try_step(self.optimizer)
            with enough_memory(self.objective.too_large(batch)):
                self._try_update(batch)
        finally:
            self.optimizer.zero_grad()

    def _try_update(self, batch: Any) -> None:
        """An update of the batch that is left out in the end."""
        self.model.train()
        with self._watched(True):
            for _ in range(min(self.config.update_every, 2)):
                for part in self._parts(batch):
                    self._differentiate(part, 1.0, self.carried)
        gradients = self._gradients()
        self._clip(gradients, torch.nn.utils.get_total_norm(gradients))
        try_step(self.optimizer)

    def _decay_of(self, number: int) -> float:
        """The average's decay; a short memory at first, so that it forgets the initialisation.

        As in TensorFlow's ExponentialMovingAverage, the decay of update n is at most (1 + n) / (10 + n). n is the
        number by which the learning rate goes too: updates that were left out are counted, since at first the device
        alone knows of them.
        """
        return min(self.config.ema, (1 + number) / (10 + number))

    @torch.no_grad()
    def _follow(self, share: float | Tensor, refused: Tensor | None = None) -> None:
        """Move the average towards the weights. refused: whether to leave it, known to the device alone."""
        if not self.average:
            return
        current = [parameter.detach() for parameter in self.parameters.values()]
        if refused is None:
            assert not isinstance(share, Tensor)
            torch._foreach_lerp_(list(self.average.values()), current, share)
        else:
            weight = (share if isinstance(share, Tensor) else torch.full_like(self.refused, share)) * ~refused
            torch._foreach_lerp_(list(self.average.values()), current, [weight] * len(current))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The model with its moving average, where one is kept, for a while; `average` holds the weights then."""
        if not self.average:
            yield
            return
        spare = torch.empty_like(max(self.average.values(), key=torch.numel)).flatten()
        self._swap(spare)
        try:
            yield
        finally:
            self._swap(spare)

    @torch.no_grad()
    def _swap(self, spare: Tensor) -> None:
        """Exchange weights and average in place. spare: as long as the largest of them, so that nothing can fail."""
        for name, average in self.average.items():
            kept = spare[: average.numel()].view_as(average).copy_(average)
            average.copy_(self.parameters[name])
            self.parameters[name].copy_(kept)

    def restore(self, weights: Mapping[str, Tensor], average: Mapping[str, Tensor], carried: Carried) -> None:
        """Put the weights of a checkpoint back, the average where one is kept, and what the last update left."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])
            for name in self.average:
                self.average[name].copy_(average.get(name, weights[name]))
        self.carried = {name: carried[name].to(self.device) for name in self.carried}
        self.model.embeddings.assert_tied()


def update_seed(seed: int, number: int, rank: int = 0) -> int:
    """Seed of the random draws of one update; every worker has its own."""
    text = f"{seed}:{number}:{rank}" if rank else f"{seed}:{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
