"""The kernels as operators of torch, "nmt::...": called like functions, known to the meta device, counted by traces.

Each writes into tensors that it is given and returns nothing; none can be differentiated. They are called inside of
autograd functions. What they compute stands at the kernels.
On the CPU they run in Triton's interpreter (TRITON_INTERPRET=1 before Triton is imported), which tests use.

Shapes: R rows of a batch, H units, B sentences, S source length, C annotation size, T steps. Matrices may have room
between their rows where it says so; all else is dense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

OPERATORS = torch.library.Library("nmt", "DEF")
UNITS = 256
"H units of a program."
POSITIONS, WIDE, NARROW = 4, 512, 128
"Source positions of a program at a time, and columns: where it goes through all of them, and where it has its own."
ROWS = 16
"Source positions at a time where a program goes through all of them."


def blocks(count: int, size: int) -> int:
    """How many blocks of a size hold so many."""
    return -(-count // size)


def power(count: int) -> int:
    """The next power of two, from count on; at least 16, so that few kernels are compiled."""
    return max(16, 1 << (count - 1).bit_length())


def _gates_forward(
    from_input: Tensor,
    from_hidden: Tensor,
    bias: Tensor | None,
    hidden: Tensor,
    gates: Tensor | None,
    candidates: Tensor | None,
    new: Tensor,
    rounded: Tensor | None,
    input_bias: Tensor | None = None,
) -> None:
    from nmt.layers.triton.gate_kernels import gates_forward_kernel

    size = hidden.shape[-1]
    gates_forward_kernel[(hidden.numel() // size, blocks(size, UNITS))](
        from_input, from_input.stride(-2), from_hidden, from_hidden.stride(-2),
        hidden if input_bias is None else input_bias, hidden if bias is None else bias, hidden,
        new if gates is None else gates, new if candidates is None else candidates, new,
        new if rounded is None else rounded, size, HAS_INPUT_BIAS=input_bias is not None, HAS_BIAS=bias is not None,
        HAS_ROUNDED=rounded is not None, KEEPS=gates is not None, BLOCK=UNITS,
    )  # fmt: skip


def _gates_backward(
    direct: Tensor,
    from_product: Tensor | None,
    from_output: Tensor | None,
    gates: Tensor,
    candidates: Tensor,
    hidden: Tensor,
    grad_input: Tensor,
    grad_hidden: Tensor,
    exact: Tensor | None,
) -> None:
    from nmt.layers.triton.gate_kernels import gates_backward_kernel

    size = hidden.shape[-1]
    gates_backward_kernel[(hidden.numel() // size, blocks(size, UNITS))](
        direct, direct if from_product is None else from_product, direct if from_output is None else from_output,
        gates, candidates, hidden, grad_input, grad_hidden, grad_hidden.stride(-2),
        gates if exact is None else exact, size,
        HAS_PRODUCT=from_product is not None, HAS_OUTPUT=from_output is not None, HAS_EXACT=exact is not None,
        BLOCK=UNITS,
    )  # fmt: skip


def _attention_energies(keys: Tensor, query: Tensor, weight: Tensor, mask: Tensor, energies: Tensor) -> None:
    from nmt.layers.triton.attention_kernels import energies_kernel

    batch, length, size = keys.shape
    energies_kernel[(len(query), blocks(length, POSITIONS))](
        keys, query, query.stride(0), weight, mask.view(torch.uint8), energies, len(query) // batch, length,
        SIZE=size, BLOCK_S=POSITIONS, BLOCK_C=WIDE,
    )  # fmt: skip


def _attention_context(
    energies: Tensor, annotations: Tensor, weights: Tensor, contexts: Tensor, rounded: Tensor | None
) -> None:
    from nmt.layers.triton.attention_kernels import context_kernel

    batch, length, size = annotations.shape
    context_kernel[(len(energies), blocks(size, NARROW))](
        energies, annotations, weights, contexts, contexts if rounded is None else rounded, len(energies) // batch,
        length, size,
        HAS_ROUNDED=rounded is not None, LENGTH=power(length), BLOCK_S=ROWS, BLOCK_C=NARROW,
    )  # fmt: skip


def _attention_weights_backward(
    grad_context: Tensor, from_product: Tensor, annotations: Tensor, mask: Tensor, total: Tensor, grad_weights: Tensor
) -> None:
    from nmt.layers.triton.attention_kernels import weights_backward_kernel

    batch, length, size = annotations.shape
    weights_backward_kernel[(batch, blocks(length, POSITIONS))](
        grad_context, from_product, annotations, mask.view(torch.uint8), total, grad_weights, length,
        SIZE=size, BLOCK_S=POSITIONS, BLOCK_C=WIDE,
    )  # fmt: skip


def _attention_query_backward(
    keys: Tensor,
    query: Tensor,
    weight: Tensor,
    weights: Tensor,
    grad_weights: Tensor,
    grad_energies: Tensor,
    grad_query: Tensor,
) -> None:
    from nmt.layers.triton.attention_kernels import query_backward_kernel

    batch, length, size = keys.shape
    query_backward_kernel[(batch, blocks(size, NARROW))](
        keys, query, query.stride(0), weight, weights, grad_weights, grad_energies, grad_query, grad_query.stride(0),
        length, size, LENGTH=power(length), BLOCK_S=ROWS, BLOCK_C=NARROW,
    )  # fmt: skip


def _attention_keys_backward(
    keys: Tensor, queries: Tensor, weight: Tensor, grad_energies: Tensor, grad_keys: Tensor, grad_weight: Tensor
) -> None:
    from nmt.layers.triton.attention_kernels import keys_backward_kernel

    batch, length, size = keys.shape
    keys_backward_kernel[(batch, grad_weight.shape[1], blocks(size, NARROW))](
        keys, queries, weight, grad_energies, grad_keys, grad_weight, len(queries), length, size,
        BLOCK_S=ROWS, BLOCK_C=NARROW,
    )  # fmt: skip


def operator(schema: str, function: Callable[..., None]) -> Any:
    """Define an operator of a schema, with the function behind it and nothing behind it on the meta device."""
    name = schema.partition("(")[0]
    OPERATORS.define(f"{schema} -> ()")
    OPERATORS.impl(name, function, "CUDA")
    OPERATORS.impl(name, function, "CPU")
    OPERATORS.impl(name, lambda *_, **__: None, "Meta")
    return getattr(torch.ops.nmt, name).default


gates_forward = operator(
    "gates_forward(Tensor from_input, Tensor from_hidden, Tensor? bias, Tensor hidden, Tensor(a!)? gates,"
    " Tensor(b!)? candidates, Tensor(c!) new, Tensor(d!)? rounded, Tensor? input_bias=None)",
    _gates_forward,
)
"""One step of a GRU behind its products. from_input and from_hidden: [R, 3H], with room between their rows. bias: of
the hidden side, [3H]. hidden: [R, H]. Writes gates, [R, 3H], and candidates (the hidden side of n), [R, H], where they
are given; new, [R, H]; and new once more, rounded, where that is given. input_bias: of the input side, [3H]."""

gates_backward = operator(
    "gates_backward(Tensor(a!) direct, Tensor? from_product, Tensor? from_output, Tensor gates, Tensor candidates,"
    " Tensor hidden, Tensor(b!) grad_input, Tensor(c!) grad_hidden, Tensor(d!)? exact)",
    _gates_backward,
)
"""Its backward. The gradient of the new state is direct + from_product + from_output, [R, H] each; direct becomes the
part of the old state's that does not go through a product. Writes those of both sides' gates, [R, 3H]: grad_input, and
grad_hidden, with room between its rows; the latter once more, not rounded, into exact where that is given."""

attention_energies = operator(
    "attention_energies(Tensor keys, Tensor query, Tensor weight, Tensor mask, Tensor(a!) energies)",
    _attention_energies,
)
"""keys: [B, S, C]. query: [B, C], with room between its rows. weight: v, [C]. mask: [B, S]. Writes energies, [B, S].
In search each sentence has K queries: B K rows of query and energies, and of what `attention_context` is given."""

attention_context = operator(
    "attention_context(Tensor energies, Tensor annotations, Tensor(a!) weights, Tensor(b!) contexts,"
    " Tensor(c!)? rounded)",
    _attention_context,
)
"Writes weights, [B, S], and contexts, [B, C], these once more, rounded, where that is given."

attention_weights_backward = operator(
    "attention_weights_backward(Tensor grad_context, Tensor from_product, Tensor annotations, Tensor mask,"
    " Tensor(a!) total, Tensor(b!) grad_weights)",
    _attention_weights_backward,
)
"The context's gradient is the sum of the first two, [B, C], written into total. Writes the weights', [B, S], too."

attention_query_backward = operator(
    "attention_query_backward(Tensor keys, Tensor query, Tensor weight, Tensor weights, Tensor grad_weights,"
    " Tensor(a!) grad_energies, Tensor(b!) grad_query)",
    _attention_query_backward,
)
"query and grad_query have room between their rows. Writes the gradients of energies, [B, S], and of the query, [B, C]."

attention_keys_backward = operator(
    "attention_keys_backward(Tensor keys, Tensor queries, Tensor weight, Tensor grad_energies, Tensor(a!) grad_keys,"
    " Tensor(b!) grad_weight)",
    _attention_keys_backward,
)
"Over all steps: queries, [T, B, C], and grad_energies, [T, B, S]. Writes those of keys, [B, S, C], and v, [B, X, C]."
