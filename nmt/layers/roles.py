"""The gradients of the vocabulary matrices by role (source input, target input, output), also where they are one.

While they are caught, each role uses its matrix through a view of its own, and what comes back through the view is the
role's gradient. The matrix gets the sum of its views' in the order in which it would have got it: the views are made
in the order of the roles' use, and the backward pass leaves them in the opposite one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from nmt.layers.tying import TiedEmbeddings

USES = ("source_input", "target_input", "output")
"What `TiedEmbeddings` calls them, in the order in which a forward pass uses them."


@contextlib.contextmanager
def gradients_by_role(embeddings: TiedEmbeddings) -> Iterator[Sequence[Tensor]]:
    """Zeros, one like the matrix of each role, to which every backward pass of what is computed meanwhile adds the
    role's gradient. Gradients of the matrices themselves are what they would be, to the bit."""
    owned = embeddings._parameters
    matrices = {role: owned[role] for role in USES}
    sums = []
    try:
        for role, matrix in matrices.items():
            assert matrix is not None, role
            view = matrix.view_as(matrix)
            sums.append(torch.zeros_like(matrix, requires_grad=False))
            view.register_hook(adding_to(sums[-1]))
            owned[role] = view  # type: ignore[assignment]
        yield sums
    finally:
        owned.update(matrices)


def adding_to(total: Tensor) -> Callable[[Tensor], None]:
    """A hook that adds gradients to `total` and leaves them as they are."""

    def add(gradient: Tensor) -> None:
        total.add_(gradient)

    return add
