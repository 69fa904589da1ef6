"""Weight tying (Press & Wolf, 2017, sections 3 and 4.3): the three vocabulary matrices, tied as `nmt.tying` says.

Tied means the same storage, not equal values: one matrix, one gradient, one entry in the optimizer, one tensor in a
file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.tying import Tying


class TiedEmbeddings(nn.Module):
    """The three vocabulary matrices and the output bias, tied as `tying` says.

    source_size: rows of the source input. target_size: rows of the target input and of the output. With three-way
    tying both are the size of the union vocabulary. E is embedding_size.

    The output bias is there in every mode, and the hidden sizes of the network do not appear: modes differ in the tie
    and in nothing else. What a role does with its matrix beyond reading it, `nmt.layers.tying_ways` adds.
    """

    source_input: nn.Parameter
    "[source_size, E]"
    target_input: nn.Parameter
    "[target_size, E]"
    output: nn.Parameter
    "[target_size, E]"
    output_bias: nn.Parameter
    "[target_size]"

    def __init__(self, tying: Tying, source_size: int, target_size: int, embedding_size: int) -> None:
        super().__init__()
        assert not tying.shares_source or source_size == target_size, "three-way tying needs the union vocabulary"
        self.tying = tying
        self.gradient_scales: Mapping[str, float] = {}
        "By role (source, target, output): what the gradient that it gives to its matrix is multiplied by."
        self.source_input = nn.Parameter(torch.empty(source_size, embedding_size))
        self.target_input = nn.Parameter(torch.empty(target_size, embedding_size))
        self.output = nn.Parameter(torch.empty(target_size, embedding_size))
        self.output_bias = nn.Parameter(torch.empty(target_size))
        self._tie()

    def _tie(self) -> None:
        """Make one of what the mode says is one."""
        if self.tying is Tying.UNTIED:
            pass
        elif self.tying is Tying.DECODER:
            self.output = self.target_input
        else:
            self.target_input = self.source_input
            self.output = self.source_input

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TiedEmbeddings:
        """What `.to()` and its like call; between some devices it makes a new parameter per name, so tie again."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._tie()
        return self

    def matrices(self) -> tuple[nn.Parameter, ...]:
        """The vocabulary matrices, each storage once."""
        return tuple({id(each): each for each in (self.source_input, self.target_input, self.output)}.values())

    @property
    def union_source(self) -> bool:
        """Whether source ids are the union's, not those of the source view."""
        return self.tying.shares_source

    @property
    def union_target(self) -> bool:
        """Whether target ids are the union's, not those of the target view."""
        return self.tying.shares_source

    @property
    def num_targets(self) -> int:
        """Rows that are scored, padding's among them."""
        return self.output_bias.shape[0]

    def source(self, ids: Tensor) -> Tensor:
        """Source input embeddings: [...] ids -> [..., E]. Padding is masked by the caller, not by a padding row."""
        return self.used_by("source", functional.embedding(ids, self.source_input))

    def target(self, ids: Tensor) -> Tensor:
        """Target input embeddings: [...] ids -> [..., E]."""
        return self.used_by("target", functional.embedding(ids, self.target_input))

    def output_matrix(self) -> Tensor:
        """[num_targets, E]: scores are a readout's products with its rows, and the bias."""
        return self.used_by("output", self.output)

    def scoring(self, readout: Tensor) -> tuple[Tensor, Tensor]:
        """[N, E] -> readout and matrix of the same scores, bias apart, in a way that is cheap to differentiate."""
        return readout, self.output_matrix()

    def scores(self, readout: Tensor) -> Tensor:
        """Unnormalised scores of every target row: [..., E] -> [..., num_targets]."""
        return functional.linear(readout, self.output_matrix(), self.output_bias)

    def used_by(self, role: str, rows: Tensor) -> Tensor:
        """Rows of a role's matrix, whose gradient is scaled where that is asked for."""
        scale = self.gradient_scales.get(role, 1.0)
        if scale == 1 or not (rows.requires_grad and torch.is_grad_enabled()):
            return rows
        rows = rows.view_as(rows)
        rows.register_hook(lambda gradient: gradient * scale)
        return rows

    def plain(self) -> TiedEmbeddings:
        """Matrices of the same numbers that are only read and multiplied: what search copies and exports take."""
        return self

    def assert_tied(self) -> None:
        """Check by storage identity that exactly the matrices that should be one are one."""
        source, target, output = (w.data_ptr() for w in (self.source_input, self.target_input, self.output))
        if self.source_input.is_meta:
            source, target, output = id(self.source_input), id(self.target_input), id(self.output)
        tied = (source == target, target == output)
        expected = {Tying.UNTIED: (False, False), Tying.DECODER: (False, True), Tying.THREE_WAY: (True, True)}
        if tied != expected[self.tying]:
            raise AssertionError(f"{self.tying.value} tying broken: source = target, target = output are {tied}")


def unique_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter once, under the first name it is registered by: what is counted, optimised and stored."""
    return dict(module.named_parameters(remove_duplicate=True))


def aliases(module: nn.Module) -> dict[str, str]:
    """Names of parameters that are another's storage -> the name it is counted and stored under."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        owner = first.setdefault(id(parameter), name)
        if owner != name:
            found[name] = owner
    return found


def load_unique(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy `tensors`, named as `unique_parameters` names them, into the module in place, which keeps every tie."""
    parameters = unique_parameters(module)
    assert parameters.keys() == tensors.keys(), sorted(parameters.keys() ^ tensors.keys())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
