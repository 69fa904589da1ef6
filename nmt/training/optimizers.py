"""Optimizers and learning-rate schedules, on torch.optim, with states that are tensors and JSON."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nmt.config import TrainingConfig
from nmt.layers.triton.available import uses_kernels


def make_optimizer(parameters: Mapping[str, nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer over unique parameters: a tied matrix is in it once."""
    values = list(parameters.values())
    if config.optimizer == "adadelta":
        return Adadelta(values, lr=config.learning_rate, rho=0.95, eps=1e-6, foreach=True)
    if config.optimizer == "sgd":
        return SGD(values, lr=config.learning_rate)
    betas = (0.9, config.adam_beta2)
    fused = values[0].device.type in ("cpu", "cuda")
    on_cuda = values[0].device.type == "cuda"  # where a step may be recorded and played again
    return Adam(values, lr=config.learning_rate, betas=betas, eps=1e-9, fused=fused, capturable=on_cuda)


class Bare(torch.optim.Optimizer):
    """torch's methods without the wrappers that keep its compiler out of them: these load the compiler, which takes a
    second or more, and nothing here is compiled."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class Adam(Bare, torch.optim.Adam):
    """Kingma and Ba (2015), torch's own."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class SGD(Bare, torch.optim.SGD):
    """Plain gradient descent, w -= rate * gradient; it keeps no state.

    `found_inf`, as fused Adam knows it: where it is 1 on the device, a step changes no number.
    """

    found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step, or none where it is to be left out."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            gradients = [parameter.grad for parameter in parameters]
            if self.found_inf is not None:
                for gradient in gradients:
                    gradient.masked_fill_(self.found_inf > 0, 0)
            descend(parameters, gradients, group["lr"])


class Adadelta(Bare, torch.optim.Adadelta):
    """Zeiler (2012), bit for bit torch's own.

    `found_inf`, as fused Adam knows it: where it is 1 on the device, a step changes no bit of parameters and states,
    and nobody waits for the device to learn of it. A gradient of zeros adds nothing, and states that fade by 1 stay.
    """

    found_inf: Tensor | None = None
    grad_scale: Tensor | None = None
    "What kernels divide gradients by, as fused Adam does."
    _torchs_step = inspect.unwrap(torch.optim.Adadelta.step)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step, or none where it is to be left out."""
        if self.found_inf is None:
            self._torchs_step(closure)
            return
        for group in self.param_groups:
            if uses_kernels(group["params"][0], torch.float32):
                self._step_of_kernels(self.found_inf, group)
            else:
                self._step_unless(self.found_inf > 0, group)

    def _step_of_kernels(self, refused: Tensor, group: dict[str, Any]) -> None:
        """One pass over each parameter. refused: [], 0 or 1."""
        from nmt.layers.triton.adadelta import adadelta_step

        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        steps, squares, changes = self._states(parameters)
        torch._foreach_add_(steps, [1 - refused] * len(steps))  # given one tensor, torch would read it
        rate = group["lr"] if isinstance(group["lr"], Tensor) else torch.full_like(refused, group["lr"])
        for parameter, square, change in zip(parameters, squares, changes, strict=True):
            gradient = parameter.grad.contiguous()
            rho, eps = group["rho"], group["eps"]
            adadelta_step(parameter, gradient, square, change, rate, refused, self.grad_scale, rho, eps)

    def _step_unless(self, refused: Tensor, group: dict[str, Any]) -> None:
        """torch's `_multi_tensor_adadelta`, operation by operation. refused: [], bool."""
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        rho, eps = group["rho"], group["eps"]
        gradients = [parameter.grad.masked_fill_(refused, 0) for parameter in parameters]
        steps, squares, changes = self._states(parameters)
        one = torch.ones((), dtype=parameters[0].dtype, device=refused.device)
        fading = torch.where(refused, one, one * rho)
        torch._foreach_add_(steps, [1 - refused.float()] * len(steps))  # given one tensor, torch would read it
        torch._foreach_mul_(squares, fading)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - rho)
        divisors = torch._foreach_add(squares, eps)
        torch._foreach_sqrt_(divisors)
        deltas = torch._foreach_add(changes, eps)
        torch._foreach_sqrt_(deltas)
        torch._foreach_div_(deltas, divisors)
        torch._foreach_mul_(deltas, gradients)
        torch._foreach_mul_(changes, fading)
        torch._foreach_addcmul_(changes, deltas, deltas, value=1 - rho)
        descend(parameters, deltas, group["lr"])

    def _states(self, parameters: Sequence[nn.Parameter]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Steps, mean squares of the gradients and of the changes, made where there are none. torch keeps `step` in
        the processor's memory, and so does a checkpoint; here the device counts."""
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros(())
                state["square_avg"], state["acc_delta"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["step"] = state["step"].to(parameter.device)
        names = ("step", "square_avg", "acc_delta")
        steps, squares, changes = ([self.state[p][name] for p in parameters] for name in names)
        return steps, squares, changes


def divides(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its step divides gradients by `grad_scale` on the way, so that they need not be scaled before it."""
    adaptive = isinstance(optimizer, Adadelta) or bool(optimizer.defaults.get("fused"))
    return adaptive and uses_kernels(optimizer.param_groups[0]["params"][0], torch.float32)


def descend(parameters: list[Any], steps: Any, rate: float | Tensor) -> None:
    """Move parameters against steps, which may be written over. rate: how far; a tensor, [], if it is on the device."""
    if isinstance(rate, Tensor):
        torch._foreach_mul_(steps, rate)
        torch._foreach_sub_(parameters, steps)
    else:
        torch._foreach_add_(parameters, steps, alpha=-rate)


@torch.no_grad()
def try_step(optimizer: torch.optim.Optimizer) -> None:
    """A step that is left out: it takes the memory of one, makes the states that are not there yet, as zeros, and
    changes no number. Where a parameter has no gradient, zeros stand in for it.

    Does nothing where the optimizer cannot leave out a step (Adam on MPS).
    """
    if isinstance(optimizer, torch.optim.Adam) and not optimizer.defaults["fused"]:
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    without = [parameter for parameter in parameters if parameter.grad is None]
    before = getattr(optimizer, "found_inf", None)
    optimizer.found_inf = torch.ones((), device=parameters[0].device)  # type: ignore[attr-defined]
    try:
        for parameter in without:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    finally:
        optimizer.found_inf = before  # type: ignore[attr-defined]
        for parameter in without:
            parameter.grad = None


def learning_rate(config: TrainingConfig, update: int, epoch: int = 0) -> float:
    """The step size of update number `update`, from 1, in an epoch, from 0."""
    if update <= config.warmup_updates:
        return config.learning_rate * update / config.warmup_updates
    if config.schedule == "inverse-sqrt":
        return config.learning_rate * math.sqrt(max(config.warmup_updates, 1) / update)
    if config.schedule == "cosine":
        share = (update - config.warmup_updates) / max(config.max_updates - config.warmup_updates, 1)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    if config.schedule == "epochs":
        return config.learning_rate / config.decay ** max(0, epoch + 2 - config.decay_from)
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
