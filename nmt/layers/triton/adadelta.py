"""Adadelta's step of one parameter as an operator, beside torch's way in `nmt.training.optimizers`."""

from __future__ import annotations

from torch import Tensor

from nmt.layers.triton.operators import blocks, operator

NUMBERS = 1024
"Of a parameter that a program reads."


def _adadelta_step(
    parameter: Tensor,
    gradient: Tensor,
    squares: Tensor,
    changes: Tensor,
    rate: Tensor,
    refused: Tensor,
    scale: Tensor | None,
    rho: float,
    eps: float,
) -> None:
    from nmt.layers.triton.optimizer_kernels import adadelta_kernel

    count = parameter.numel()
    adadelta_kernel[(blocks(count, NUMBERS),)](
        parameter, gradient, squares, changes, rate, refused, rate if scale is None else scale, rho, eps, count,
        HAS_SCALE=scale is not None, BLOCK=NUMBERS,
    )  # fmt: skip


adadelta_step = operator(
    "adadelta_step(Tensor(a!) parameter, Tensor gradient, Tensor(b!) squares, Tensor(c!) changes, Tensor rate,"
    " Tensor refused, Tensor? scale, float rho, float eps)",
    _adadelta_step,
)
"""The first four are dense and of one shape. rate: the step's size, []. refused: [], float32, above 0 where no bit of
anything is to change. scale: [], what the gradient is divided by."""
