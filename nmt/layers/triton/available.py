"""Whether Triton kernels compute here."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec

import torch
from torch import Tensor

from nmt.layers.precision import carrier


def uses_kernels(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Whether a recurrence over the tensor, with products in dtype, is computed by the kernels."""
    device = tensor.device
    if device.type != "cuda" or tensor.dtype != torch.float32 or carrier(dtype, device) != dtype:
        return False
    return not what_is_missing()


_told: str | None = None
"See `kernels_told`."


def what_is_missing() -> str:
    """Why kernels do not compute on this machine's GPU, for people; '' where they do."""
    return _tried() if _told is None else _told


@functools.cache
def _tried() -> str:
    """What came of trying the smallest kernel, once."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    from nmt.layers.triton.operators import gates_forward

    try:
        zeros = torch.zeros(1, 3, device="cuda")
        gates, (candidates, new) = torch.empty_like(zeros), torch.empty(2, 1, 1, device="cuda")
        gates_forward(zeros, zeros, None, zeros[:, :1].contiguous(), gates, candidates, new, None)
    except Exception as error:  # no compiler for the launcher, no driver that Triton knows, a GPU that it does not know
        return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
    return ""


def kernels_used() -> str:
    """Triton's version where its kernels compute on the GPU, else "none": sums are rounded otherwise without them."""
    return "none" if what_is_missing() else version("triton")


@contextmanager
def kernels_told(missing: str) -> Iterator[None]:
    """Another answer than `what_is_missing` finds, for a while: measurements and tests without kernels, or without
    a GPU."""
    global _told
    before, _told = _told, missing
    try:
        yield
    finally:
        _told = before
