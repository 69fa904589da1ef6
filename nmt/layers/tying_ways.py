"""Ways to tie (docs/tying_ways.md): what a role does with its matrix beyond reading it or multiplying with it.

Let U be a role's matrix, shared or its own, x a piece it reads, t a readout. With every way on, and of U for the output
the target's rows alone,

    input     s_in U[x] P
    scores    s_out (t P_out) N(U)' + b,    N(U) = U, or its rows divided by their lengths

s_in and s_out are numbers, fixed or s_out learned. P are maps of E numbers to E, one for each role that asks for it
(h P V' is Press & Wolf's, 2017, section 3; a private part for each role beside what is shared: Liu et al., 2019,
arXiv 1906.03100). Rows of unit length times a learned scale: Nguyen and Chiang (2018, arXiv 1710.01329).

A way that is off costs nothing and changes no bit. Shapes: C rows of a table, V target rows, E embedding, R rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nmt.layers.initialization import Start, constant, normal
from nmt.layers.tying import TiedEmbeddings
from nmt.tying import ROLES, Tying

SOURCE, TARGET, OUTPUT = ROLES
SHORTEST = 1e-6
"A row is divided by this at least."


@dataclass(frozen=True, kw_only=True)
class Ways:
    """Which ways are on, and how; the defaults are none."""

    left_out: range = range(0)
    "Three-way: rows of the table that are no target rows, which lie next to each other."
    input_scale: float = 1.0
    "s_in."
    output_scale: float = 1.0
    "s_out, or what it starts from."
    learned_scale: bool = False
    "Whether s_out is learned."
    normalized: bool = False
    "Whether scores take rows of unit length."
    projections: tuple[str, ...] = ()
    "The roles that have a P."
    rank: int = 0
    "Of P - I; 0: P is a whole matrix."


class TiedInWays(TiedEmbeddings):
    """The three vocabulary matrices, tied as `tying` says and used in some ways."""

    def __init__(self, tying: Tying, source_size: int, target_size: int, embedding_size: int, ways: Ways) -> None:
        """source_size, target_size: rows of the matrices, as TiedEmbeddings has them."""
        super().__init__(tying, source_size, target_size, embedding_size)
        assert tying.shares_source or not ways.left_out, "only a table of both sides has rows that are no target's"
        self.ways = ways
        self.output_bias = nn.Parameter(torch.empty(target_size - len(ways.left_out)))
        self.output_scale = nn.Parameter(torch.empty(1)) if ways.learned_scale or ways.normalized else None
        self.projections = nn.ModuleDict({role: projection(embedding_size, ways.rank) for role in ways.projections})

    @property
    def union_target(self) -> bool:
        """See TiedEmbeddings.union_target."""
        return super().union_target and not self.ways.left_out

    def source(self, ids: Tensor) -> Tensor:
        """See TiedEmbeddings.source."""
        return self._read(SOURCE, super().source(ids))

    def target(self, ids: Tensor) -> Tensor:
        """See TiedEmbeddings.target."""
        left_out = self.ways.left_out
        return self._read(TARGET, super().target(ids + len(left_out) * (ids >= left_out.start) if left_out else ids))

    def scoring(self, readout: Tensor) -> tuple[Tensor, Tensor]:
        """See TiedEmbeddings.scoring: what can be is done to the readout, which is small."""
        return self._scale(self._project(OUTPUT, readout)), self._output_rows()

    def output_matrix(self) -> Tensor:
        """See TiedEmbeddings.output_matrix."""
        own, rows = self._projection(OUTPUT), self._output_rows()
        return self._scale(rows if own is None else own.transposed(rows))

    @torch.no_grad()
    def plain(self) -> TiedEmbeddings:
        """See TiedEmbeddings.plain; matrices that are still one are one storage."""
        source, target = self._read(SOURCE, self.source_input), self._read(TARGET, self._target_rows(self.target_input))
        output = self.output_matrix()
        target = source if torch.equal(source, target) else target
        return Plain(source, target, target if torch.equal(target, output) else output, self)

    def _read(self, role: str, rows: Tensor) -> Tensor:
        rows = self._project(role, rows)
        return rows if self.ways.input_scale == 1 else rows * self.ways.input_scale

    def _projection(self, role: str) -> AnyProjection | None:
        return cast(AnyProjection, self.projections[role]) if role in self.projections else None

    def _project(self, role: str, rows: Tensor) -> Tensor:
        own = self._projection(role)
        return rows if own is None else own(rows)

    def _scale(self, rows: Tensor) -> Tensor:
        if self.output_scale is not None:
            return rows * self.output_scale
        return rows if self.ways.output_scale == 1 else rows * self.ways.output_scale

    def _target_rows(self, table: Tensor) -> Tensor:
        """[C, E] -> [V, E]."""
        left_out = self.ways.left_out
        return WithoutRows.apply(table, left_out) if left_out else table

    def _output_rows(self) -> Tensor:
        """[V, E]."""
        rows = self._target_rows(self.used_by(OUTPUT, self.output))
        return UnitRows.apply(rows) if self.ways.normalized else rows  # type: ignore[no-any-return]


class Projection(nn.Module):
    """P, a whole matrix that starts as the identity."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, size))

    def forward(self, rows: Tensor) -> Tensor:
        """rows P, [..., E]."""
        return rows @ self.weight

    def transposed(self, rows: Tensor) -> Tensor:
        """rows P', whose products with a readout are the readout P's with rows."""
        return rows @ self.weight.t()

    def starts(self) -> dict[nn.Parameter, Start]:
        """What its parameters start as."""
        return {self.weight: identity}


class LowRankProjection(nn.Module):
    """P = I + A B, A of E rows and R columns; B starts at zero."""

    def __init__(self, size: int, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.empty(size, rank)), nn.Parameter(torch.empty(rank, size))

    def forward(self, rows: Tensor) -> Tensor:
        """See Projection.forward."""
        return rows + (rows @ self.down) @ self.up

    def transposed(self, rows: Tensor) -> Tensor:
        """See Projection.transposed."""
        return rows + (rows @ self.up.t()) @ self.down.t()

    def starts(self) -> dict[nn.Parameter, Start]:
        """See Projection.starts."""
        return {self.down: normal(len(self.down) ** -0.5), self.up: constant(0.0)}


AnyProjection = Projection | LowRankProjection


def projection(size: int, rank: int) -> AnyProjection:
    """One of this rank beside the identity, or, 0, a whole matrix; without values."""
    return LowRankProjection(size, rank) if rank else Projection(size)


class WithoutRows(torch.autograd.Function):
    """The rows of a table but for some that lie next to each other; their gradient is zero."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, left_out: range) -> Tensor:
        """[C, E] -> [C - len(left_out), E]."""
        ctx.left_out, ctx.size = left_out, len(table)
        return torch.cat([table[: left_out.start], table[left_out.stop :]])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """One pass, where slicing in autograd would add up two tables of mostly zeros."""
        left_out, whole = ctx.left_out, grad.new_empty(ctx.size, grad.shape[1])
        whole[: left_out.start] = grad[: left_out.start]
        whole[left_out.start : left_out.stop] = 0
        whole[left_out.stop :] = grad[left_out.start :]
        return whole, None


class UnitRows(torch.autograd.Function):
    """Rows divided by their lengths, [V, E], u = v / |v|; of a gradient g that of v is (g - (g . u) u) / |v|. In fewer
    passes than autograd makes of it, which count where V is large."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """[V, E] -> [V, E]."""
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=SHORTEST)
        unit: Tensor = rows / lengths
        ctx.save_for_backward(unit, lengths)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """See above."""
        unit, lengths = ctx.saved_tensors
        along = (grad * unit).sum(1, keepdim=True)
        found: Tensor = torch.addcmul(grad, unit, along, value=-1).div_(lengths)
        return found


class Plain(TiedEmbeddings):
    """Matrices that were computed once; what is one tensor is one parameter. `tying` says of which of them."""

    def __init__(self, source: Tensor, target: Tensor, output: Tensor, of: TiedEmbeddings) -> None:
        tying = Tying.UNTIED if output is not target else Tying.THREE_WAY if source is target else Tying.DECODER
        with torch.device("meta"):
            super().__init__(tying, len(source), len(target), source.shape[1])
        found = {id(each): nn.Parameter(each.detach(), requires_grad=False) for each in (source, target, output)}
        self.source_input, self.target_input, self.output = (found[id(each)] for each in (source, target, output))
        self.output_bias = nn.Parameter(of.output_bias.detach(), requires_grad=False)
        self._union = of.union_source, of.union_target

    @property
    def union_source(self) -> bool:
        """See TiedEmbeddings.union_source."""
        return self._union[0]

    @property
    def union_target(self) -> bool:
        """See TiedEmbeddings.union_target."""
        return self._union[1]


def vocabulary_starts(embeddings: TiedEmbeddings, deviation: float) -> dict[nn.Parameter, Start]:
    """What vocabulary matrices, of this deviation, and what stands between them and the network start as.

    A scale of rows of unit length starts at the length they have before; P at the identity.
    """
    starts: dict[nn.Parameter, Start] = {table: normal(deviation) for table in embeddings.matrices()}
    if not isinstance(embeddings, TiedInWays):
        return starts
    width, ways = embeddings.output.shape[1], embeddings.ways
    if embeddings.output_scale is not None:
        starts[embeddings.output_scale] = constant(deviation * width**0.5 if ways.normalized else ways.output_scale)
    for own in embeddings.projections.values():
        starts |= cast(AnyProjection, own).starts()
    return starts


def identity(parameter: Tensor, generator: torch.Generator) -> None:
    """The identity, of a square matrix."""
    nn.init.eye_(parameter)
