"""Compiles every Triton kernel for an H100, as a training step at Table 8's sizes would launch it, where there is none.

    python -m tests.compiled_kernels

prints, as JSON, how many variants of each kernel were compiled to machine code. Nothing is launched: Triton believes
in a driver that is not there, and a launch ends when its kernel is compiled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

EMBEDDING, HIDDEN, ANNOTATION, ROWS = 500, 1000, 2000, 94_000
COMPILED: dict[str, str] = {}
"What was compiled: the hash of each variant, and its kernel's name."


class Driver:
    """What Triton asks a driver for before it compiles."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int = 0) -> int:
        return 0


def compiled(kernel: JITFunction, grid: tuple[int, ...]) -> Callable[..., None]:
    """In the place of `kernel[grid]`."""

    def launch(*arguments: Any, **constants: Any) -> None:
        found = kernel.warmup(*arguments, grid=grid, **constants)
        assert found.asm["cubin"]
        COMPILED[found.hash] = kernel.fn.__name__

    return launch


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, requires_grad=True)


def search(dtype: torch.dtype) -> None:
    """A step of beam search."""
    from nmt.layers.triton import search
    from nmt.layers.triton.operators import attention_context, attention_energies, gates_forward

    batch, beam, length, gates = 2, 12, 5, 3 * HIDDEN
    rows, ids = batch * beam, torch.zeros(batch, beam, dtype=torch.int64)
    embedded, hidden, context = (torch.zeros(rows, size) for size in (EMBEDDING, HIDDEN, ANNOTATION))
    search.embedded(ids.view(-1), torch.zeros(3, EMBEDDING), embedded.to(dtype))
    both = torch.zeros(rows, gates + EMBEDDING)
    sides = both[:, :gates], both[:, EMBEDDING:]
    gates_forward(*sides, None, hidden, None, None, hidden.clone(), hidden.to(dtype), torch.zeros(gates))
    keys, mask = torch.zeros(batch, length, ANNOTATION, dtype=dtype), torch.ones(batch, length, dtype=torch.bool)
    energies = torch.zeros(rows, length)
    attention_energies(keys, context, torch.zeros(ANNOTATION), mask, energies)
    attention_context(energies, keys, energies.clone(), context, context.to(dtype))
    search.read_out(embedded, both[:, gates:], both[:, gates:], embedded[0], embedded.to(dtype))
    search.log_softmax_(torch.zeros(2, ROWS), torch.zeros(ROWS))
    search.top_continuations(torch.zeros(batch, beam), torch.zeros(batch, beam, ROWS), beam)
    scores = torch.zeros(batch, beam)
    ended = [scores, scores, scores, ids, ids]
    search.merged(ended, ended, ended)


def train(dtype: torch.dtype) -> None:
    """A step of both recurrences, the loss, and an update."""
    from nmt.layers.triton.adadelta import adadelta_step
    from nmt.layers.triton.decoder import TritonConditionalGRU
    from nmt.layers.triton.loss import TritonCrossEntropy
    from nmt.layers.triton.recurrence import run_directions

    steps, batch, length, gates = 1, 2, 5, 3 * HIDDEN
    inputs = zeros(steps, batch, gates), zeros(batch, HIDDEN), *(zeros(batch, length, ANNOTATION) for _ in range(2))
    weights = (
        zeros(HIDDEN, gates), zeros(HIDDEN, ANNOTATION + gates), zeros(gates), zeros(ANNOTATION), zeros(1),
        zeros(ANNOTATION, gates),
    )  # fmt: skip
    found = TritonConditionalGRU.apply(*inputs, torch.ones(batch, length, dtype=torch.bool), *weights, dtype, True)
    torch.autograd.backward(found, [torch.zeros_like(each) for each in found])
    values = zeros(3, 500), zeros(ROWS, 500), zeros(ROWS)
    TritonCrossEntropy.apply(*values, torch.ones(3, dtype=torch.int64), (0.0, dtype, 3, True))
    tensors = [torch.zeros(HIDDEN) for _ in range(4)]
    adadelta_step(*tensors, torch.ones(()), torch.zeros(()), torch.ones(()), 0.95, 1e-6)
    run_directions(zeros(length, 2, batch, gates), zeros(2, HIDDEN, gates), dtype).sum().backward()


if __name__ == "__main__":
    driver.set_active(Driver())
    JITFunction.__getitem__ = compiled
    train(torch.bfloat16)
    search(torch.bfloat16)
    print(json.dumps(Counter(COMPILED.values())))
