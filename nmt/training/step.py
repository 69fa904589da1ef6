"""One update: forward, loss, backward, clipping, optimizer. Everything that is done 300,000 times."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import TrainingConfig
from nmt.data.batching import Batch
from nmt.layers.tying import unique_parameters
from nmt.models.interface import TranslationModel
from nmt.training.loss import Costs, chunked_cross_entropy
from nmt.training.optimizers import learning_rate, make_optimizer


@dataclass(frozen=True)
class StepResult:
    """What one update tells. Costs are sums over the batch's target pieces, in nats."""

    smoothed: float
    cross_entropy: float
    gradient_norm: float
    learning_rate: float


class NonFiniteLoss(Exception):
    """A loss or gradient that is not a number; the update was not made."""


class Updater:
    """Owns model, optimizer and the moving average of the weights; makes updates.

    Random draws of update u (dropout) come from a seed that is a function of (training.seed, u), so that a resumed run
    draws what an uninterrupted one does.
    """

    def __init__(self, model: TranslationModel, config: TrainingConfig) -> None:
        self.model, self.config = model, config
        model.compute_dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        self.parameters = unique_parameters(model)
        self.optimizer = make_optimizer(self.parameters, config)
        self.average: dict[str, Tensor] = {}
        if config.ema:
            self.average = {name: p.detach().clone() for name, p in self.parameters.items()}

    def loss(self, batch: Batch) -> tuple[Tensor, Costs]:
        """The loss to differentiate, and the costs it is made of."""
        matrices = self.model.embeddings
        readout = self.model.readout(batch)
        costs = chunked_cross_entropy(
            readout,
            matrices.output,
            matrices.output_bias,
            batch.target_labels(),
            self.config.label_smoothing,
            self.model.compute_dtype,
        )
        per_sentence = self.config.normalization == "sentences"
        return costs.smoothed / (len(batch.pairs) if per_sentence else batch.num_target_tokens), costs

    def update(self, batch: Batch, number: int) -> StepResult:
        """Make update `number` (from 1). Raises NonFiniteLoss, with the weights untouched."""
        torch.manual_seed(update_seed(self.config.seed, number))
        self.model.train()
        loss, costs = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        grads = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(grads))
        if not math.isfinite(norm):
            self.optimizer.zero_grad()
            raise NonFiniteLoss(f"loss {float(loss.detach()):g}, gradient norm {norm:g}")
        if 0 < self.config.clip_norm < norm:
            torch._foreach_mul_(grads, self.config.clip_norm / norm)
        rate = learning_rate(self.config, number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._follow(number)
        return StepResult(float(costs.smoothed.detach()), float(costs.cross_entropy), norm, rate)

    def try_largest(self, batch: Batch) -> None:
        """Run the largest batch forward and backward, so that too little memory shows now and not after hours."""
        self.model.train()
        try:
            self.loss(batch)[0].backward()  # type: ignore[no-untyped-call]
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            size = (
                f"{len(batch.pairs)} pairs, {batch.source.numel()} source and {batch.target.numel()} target positions"
            )
            raise UserError(
                f"the largest batch does not fit in memory ({size})",
                where="training.batch_tokens",
                hint="lower training.batch_tokens or training.max_length",
            ) from None
        finally:
            self.optimizer.zero_grad()

    @torch.no_grad()
    def _follow(self, number: int) -> None:
        """Move the average towards the weights; a short memory at first, so that it forgets the initialisation."""
        if self.average:
            decay = min(self.config.ema, (1 + number) / (10 + number))
            current = [parameter.detach() for parameter in self.parameters.values()]
            torch._foreach_lerp_(list(self.average.values()), current, 1 - decay)

    @torch.no_grad()
    def swap_average(self) -> None:
        """Exchange weights and average in place: called before and after a validation."""
        for name, average in self.average.items():
            kept = average.clone()
            average.copy_(self.parameters[name])
            self.parameters[name].copy_(kept)

    def restore(self, weights: Mapping[str, Tensor], average: Mapping[str, Tensor]) -> None:
        """Put the weights and, where one is kept, the average of a checkpoint back."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])
            for name in self.average:
                self.average[name].copy_(average.get(name, weights[name]))
        self.model.embeddings.assert_tied()


def update_seed(seed: int, number: int) -> int:
    """Seed of the random draws of one update."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:8], "little") >> 1
