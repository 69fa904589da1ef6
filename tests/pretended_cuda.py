"""A CUDA device that is not there: the code believes in it, nothing is computed, and every call is written down.

Tensors are on the meta device, which has shapes and no numbers; what asks a tensor for its device is told "cuda:0", and
what asks for something on CUDA gets it on meta. A `Trace` tells apart what a GPU would be given to do (a launch), what
costs it nothing (a view, an empty tensor), and what would make the host wait for it: numbers that are read back, and
tensors that come from the processor's memory while it is not pinned.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nmt.layers.triton.available import kernels_told

CUDA, META = torch.device("cuda", 0), torch.device("meta")
EMPTY = ("empty", "empty_like", "new_empty", "new_empty_strided", "empty_strided", "empty_permuted")
FREE = (*EMPTY, "detach", "alias", "lift_fresh", "_unsafe_view", "_reshape_alias")
COUNTED = ("aten", "nmt")
"Whose operators are given to the device: torch's, and our kernels."
Told = Callable[[Tensor], Tensor]


class Pretence(TorchFunctionMode):
    """Says CUDA where tensors are on meta. told: what the host is given of a tensor that it reads back as a whole."""

    def __init__(self, told: Told | None = None) -> None:
        super().__init__()
        self.told, self.readings = told, 0
        self.single_writes = 0
        "Numbers of the host's that were made a tensor, or put into one place of one: each a copy that is waited for."

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.Tensor.backward and args[0].is_meta:
            with self:  # torch would leave it, and backward passes written in Python see no CUDA
                return torch.autograd.graph._engine_run_backward(
                    (args[0],), (torch.ones_like(args[0]),), False, False, (),
                    allow_unreachable=True, accumulate_grad=True,
                )  # fmt: skip
        if args and isinstance(args[0], Tensor):
            if func is torch.Tensor.pin_memory:
                assert not args[0].is_meta, "only the processor's memory can be pinned"
                PINNED.add(args[0].data_ptr())
                return args[0]
            if args[0].is_meta:
                if func == torch.Tensor.device.__get__:  # type: ignore[attr-defined]
                    return CUDA
                if func == torch.Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
                    return True
                if func is torch.Tensor.__setitem__ and isinstance(args[2], int | float):
                    return self._filled(args[0][args[1]], args[2])
                if func in (torch.Tensor.tolist, torch.Tensor.cpu) and self.told is not None:
                    self.readings += 1
                    found = self.told(args[0])
                    return found if func is torch.Tensor.cpu else found.tolist()
        if func in (torch.tensor, torch.as_tensor) and _real((kwargs or {}).get("device")) is META:
            self.single_writes += 1
        return func(*map(_real, args), **{key: _real(value) for key, value in (kwargs or {}).items()})

    def _filled(self, place: Tensor, value: float) -> None:
        """What torch makes of `tensor[...] = number` on CUDA: a fill, or a copy where it is a single number."""
        self.single_writes += not place.dim()
        place.fill_(value)


PINNED: set[int] = set()
"Addresses of memory that copies to the device need not wait for."


def _real(value: Any) -> Any:
    """What is on CUDA for the code is on meta."""
    if isinstance(value, torch.device | str) and str(value).startswith("cuda"):
        return META
    return value


class Trace(TorchDispatchMode):
    """What was called: launches and views by the operator's name, and what would make the host wait."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.views: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        "Copies from the processor's memory that are not waited for."

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # it is made of others, which count
                return func.decompose(*args, **(kwargs or {}))
        found = self._made(func, name, args, kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs, found)) if isinstance(leaf, Tensor)]
        if func.namespace in COUNTED and any(tensor.is_meta for tensor in tensors):
            (self.views if func.is_view or name in FREE else self.launches)[name] += 1
            others = [tensor for tensor in tensors if not tensor.is_meta]
            sent = (bool(args) and args[-1] is True) or bool((kwargs or {}).get("non_blocking"))
            if others and sent and all(tensor.data_ptr() in PINNED for tensor in others):
                self.sent[name] += 1
            elif others:
                self.waits[f"{name} with a tensor in the processor's memory"] += 1
        return found

    def _made(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """The operator's result; something in its place where it is a number, which nobody can know here."""
        if name.startswith("_f") and name.endswith("_"):
            return None  # many tensors at once, in place: shapes stay as they are
        if name in ("_local_scalar_dense", "equal", "is_nonzero") and args[0].is_meta:
            self.waits[name] += 1
            return name != "_local_scalar_dense" or 1
        if name == "nonzero" and args[0].is_meta:
            self.waits[name] += 1
            return args[0].new_empty((args[0].numel(), args[0].dim()), dtype=torch.int64)
        if name in ("index", "index_put", "index_put_"):
            masks = [one for one in args[1] if one is not None and one.dtype == torch.bool]
            assert not masks, "indexed by a mask: the host would wait until the device has counted"
        return func(*args, **kwargs)


@contextmanager
def pretended_cuda(told: Told | None = None, *, kernels: bool = True) -> Iterator[Pretence]:
    """Everything inside is on a GPU of a new kind, as far as it knows. kernels: with Triton."""
    foreach = torch.utils._foreach_utils
    devices = (*foreach._get_foreach_kernels_supported_devices(), "meta")
    with pytest.MonkeyPatch.context() as patch, kernels_told("" if kernels else "none"):
        patch.setattr(torch.cuda, "get_device_capability", lambda _=None: (9, 0))
        patch.setattr(torch.cuda, "get_device_properties", lambda _=None: SimpleNamespace(total_memory=80 * 2**30))
        patch.setattr(foreach, "_get_foreach_kernels_supported_devices", functools.partial(list, devices))
        with Pretence(told) as pretence:
            yield pretence
