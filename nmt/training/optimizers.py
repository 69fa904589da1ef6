"""Optimizers and learning-rate schedules, on torch.optim, with states that are tensors and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nmt.config import TrainingConfig


def make_optimizer(parameters: Mapping[str, nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer over unique parameters: a tied matrix is in it once."""
    values = list(parameters.values())
    if config.optimizer == "adadelta":
        return Adadelta(values, lr=config.learning_rate, rho=0.95, eps=1e-6, foreach=True)
    betas = (0.9, config.adam_beta2)
    fused = values[0].device.type in ("cpu", "cuda")
    return torch.optim.Adam(values, lr=config.learning_rate, betas=betas, eps=1e-9, fused=fused)


class Adadelta(torch.optim.Adadelta):
    """Zeiler (2012). `found_inf`, as fused Adam knows it: where it is 1 on the device, a step changes nothing."""

    found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; one that is left out gets a zero gradient, and its fading of the states is undone."""
        skipped = self.found_inf
        if skipped is None:
            super().step(closure)
            return
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        for parameter in parameters:
            parameter.grad.masked_fill_(skipped > 0, 0)
        super().step(closure)
        states = [self.state[p][name] for p in parameters for name in ("square_avg", "acc_delta")]
        torch._foreach_div_(states, torch.where(skipped > 0, self.param_groups[0]["rho"], 1.0))


def learning_rate(config: TrainingConfig, update: int) -> float:
    """The step size of update number `update`, from 1."""
    if update <= config.warmup_updates:
        return config.learning_rate * update / config.warmup_updates
    if config.schedule == "inverse-sqrt":
        return config.learning_rate * math.sqrt(max(config.warmup_updates, 1) / update)
    if config.schedule == "cosine":
        share = (update - config.warmup_updates) / max(config.max_updates - config.warmup_updates, 1)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return config.learning_rate


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """The optimizer's state as named tensors: 'NAME.exp_avg', 'NAME.step' ..."""
    states = optimizer.state_dict()["state"]
    return {
        f"{names[i]}.{key}": value.detach().cpu().contiguous()
        for i, state in states.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, names: list[str], tensors: Mapping[str, Tensor]) -> None:
    """Put tensors of `optimizer_tensors` back; the learning rate stays what the configuration says."""
    number = {name: i for i, name in enumerate(names)}
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition(".")
        states.setdefault(number[parameter], {})[key] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
