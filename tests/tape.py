"""What a CUDA graph does, on the CPU: every call of torch is written down once, and played again on the same tensors.

As with a graph, numbers of the host's, and those that it read, are kept as they were when it was recorded, tensors stay
in their places, what a random call draws is drawn anew, and recording has no effect on a tensor that was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nmt.text.vocabulary import PAD


class Tape(TorchDispatchMode):
    """One recording."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.own: set[int] = set()
        "Addresses of what was made while it recorded."
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        "What was there already and is changed, and a copy of what it held."

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func._schema.is_mutable:
            for tensor in inputs:
                place = tensor.untyped_storage().data_ptr()
                if place not in self.own and place not in self.before:
                    whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())  # type: ignore[call-overload]
                    self.before[place] = whole, whole.clone()
        found = func(*args, **kwargs)
        known = {tensor.untyped_storage().data_ptr() for tensor in inputs}
        made = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
        self.own |= {tensor.untyped_storage().data_ptr() for tensor in made} - known
        self.calls.append((func, args, kwargs, found))
        return found

    def play(self) -> None:
        for func, args, kwargs, found in self.calls:
            again = func(*args, **kwargs)
            for place, tensor in zip(tree_leaves(found), tree_leaves(again), strict=True):
                if isinstance(place, Tensor) and place.data_ptr() != tensor.data_ptr():
                    place.copy_(tensor)


class TapeRecorder:
    """See nmt.training.graphs.Recorder. count: of what was recorded."""

    def __init__(self) -> None:
        self.count = 0

    def record(self, function: Callable[[], None]) -> Callable[[], object]:
        tape, drawn = Tape(), torch.get_rng_state()
        with tape:
            function()
        torch.set_rng_state(drawn)
        for place, held in tape.before.values():
            place.copy_(held)
        self.count += 1
        return torch.no_grad()(tape.play)


def without_onednn(patch: pytest.MonkeyPatch) -> None:
    """Products as torch makes them: what oneDNN packs has no memory that a tape could copy."""
    for name in ("packs_repeated", "names_onednn"):
        patch.setattr(f"nmt.layers.precision.{name}", lambda: False)


def as_on_cuda(patch: pytest.MonkeyPatch) -> None:
    """The loss by its kernel, in torch's words, and no oneDNN."""
    without_onednn(patch)
    patch.setattr("nmt.layers.cross_entropy.uses_kernels", lambda *_: True)
    patch.setattr("nmt.layers.triton.loss.cross_entropy_rows", loss_rows)


def loss_rows(
    scores: Tensor, bias: Tensor, labels: Tensor, smoothing: float, costs: Tensor, grads: Tensor | None
) -> None:
    """The kernel `cross_entropy_rows`, in torch's words."""
    real = (labels != PAD)[:, None]
    scores = scores + bias
    scores[:, PAD] = -torch.inf
    log_probs = torch.log_softmax(scores, 1)
    classes = log_probs.shape[1] - 1
    plain = -log_probs.gather(1, labels[:, None].clamp(min=1))
    spread = -log_probs[:, 1:].sum(1, keepdim=True) / classes
    costs.copy_(torch.cat([(1 - smoothing) * plain + smoothing * spread, plain], 1).masked_fill(~real, 0))
    if grads is not None:
        answers = torch.zeros_like(scores).scatter_(1, labels[:, None], 1 - smoothing)
        found = log_probs.exp() - answers - smoothing / classes
        found[:, PAD] = 0
        grads.copy_(found.masked_fill(~real, 0))
