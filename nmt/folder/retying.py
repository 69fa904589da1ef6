"""Vocabulary matrices in another tying mode: matrices that become one, or one that becomes several.

Several become one: `keep` says which stays (`source`, `target`, `output`), or `mean`. Rows of the union that the kept
matrix has no piece for, pieces of the other language, come from the other side's: the source's, or the output's. The
mean of a row is of the matrices that have it. A piece that no target had gets the lowest output bias there is. One
becomes several: each role gets a copy of the rows that its view of the vocabulary has.

States that an optimizer keeps of each number, as Adam's moments, go the way of the numbers; a row that had none, and a
bias that had none, get zeros. What it keeps of a parameter as a whole, the count of steps, is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmt.models.interface import EMBEDDINGS
from nmt.text.vocabulary import Vocabulary
from nmt.tying import Tying

MEAN, OUTPUT = "mean", "output"
KEPT = ("source", "target", OUTPUT, MEAN)
ROLES = ("source_input", "target_input", "output")
BIAS = "output_bias"


@dataclass(frozen=True)
class Layout:
    """A mode, and whether the output bias has the union's rows or the target view's."""

    tying: Tying
    union_target: bool

    @classmethod
    def of(cls, tying: Tying, *, union_target: bool | None = None) -> Layout:
        """union_target: None: as the mode has it where nothing else is asked for."""
        return cls(tying, tying.shares_source if union_target is None else union_target)

    def owner(self, role: str) -> str:
        """The role under whose name the matrix of a role is stored."""
        if self.tying is Tying.UNTIED:
            return role
        return ROLES[0] if role == ROLES[0] or self.tying is Tying.THREE_WAY else ROLES[1]

    @property
    def owners(self) -> tuple[str, ...]:
        """The roles whose matrices are stored."""
        return tuple(dict.fromkeys(map(self.owner, ROLES)))


@dataclass(frozen=True)
class UnionRows:
    """A matrix by the union's rows. there: [union size] bool, the rows that it has; the others are zero."""

    values: Tensor
    there: Tensor


@dataclass(frozen=True)
class Retying:
    """From one mode to another. keep: which of the matrices that become one; None: none do."""

    vocabulary: Vocabulary
    before: Layout
    after: Layout
    keep: str | None

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A model's weights, each storage once, under the names of the new mode."""
        return self._moved(tensors, of_states=False)

    def states(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """An optimizer's states, NAME.KEY each, by the new names."""
        by_key: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            parameter, _, key = name.rpartition(".")
            by_key.setdefault(key, {})[parameter] = tensor
        return {
            f"{name}.{key}": tensor
            for key, of_key in by_key.items()
            for name, tensor in self._moved(of_key, of_states=True).items()
        }

    def _moved(self, tensors: Mapping[str, Tensor], *, of_states: bool) -> dict[str, Tensor]:
        """of_states: whether what was not there is zero, not the lowest bias."""
        prefix = f"{EMBEDDINGS}."
        moved = {name: each for name, each in tensors.items() if name.removeprefix(prefix) not in (*ROLES, BIAS)}
        owned = {role: tensors.get(prefix + self.before.owner(role)) for role in ROLES}
        stored = {role: tensor for role, tensor in owned.items() if tensor is not None}
        if len(stored) == len(ROLES) and all(tensor.dim() == 2 for tensor in stored.values()):
            stored = self._matrices(stored)
        # Copies, since an optimizer adds up in place, in the count of steps, too.
        moved |= {prefix + role: stored[role].clone() for role in self.after.owners if role in stored}
        bias = tensors.get(prefix + BIAS)
        if bias is not None:
            moved[prefix + BIAS] = self._bias(bias, of_states=of_states) if bias.dim() == 1 else bias
        return moved

    def _matrices(self, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By role, from what each role had to what each owner has."""
        size, views = self.vocabulary.size, view_rows(self.vocabulary, self.before.tying.shares_source)
        roles = {role: _in_union(tensor, views[role], size) for role, tensor in stored.items()}
        if self.keep is not None:
            merged = ROLES if self.after.tying is Tying.THREE_WAY else ROLES[1:]
            same = self.before.tying is Tying.DECODER  # its one matrix counts once in a mean
            distinct = [role for role in merged if not (same and self.keep == MEAN and role == "target_input")]
            roles |= dict.fromkeys(merged, _merged({role: roles[role] for role in distinct}, self.keep))
        views = view_rows(self.vocabulary, self.after.tying.shares_source)
        return {role: roles[role].values[views[role]] for role in self.after.owners}

    def _bias(self, bias: Tensor, *, of_states: bool) -> Tensor:
        """Of the new target rows."""
        rows = [view_rows(self.vocabulary, each.union_target)["output"] for each in (self.before, self.after)]
        found = _in_union(bias, rows[0], self.vocabulary.size)
        if not of_states:
            found = UnionRows(torch.where(found.there, found.values, found.values[found.there].min()), found.there)
        return found.values[rows[1]]


def view_rows(vocabulary: Vocabulary, shared: bool) -> dict[str, Tensor]:
    """The union's rows that each role's matrix has, in the order of its own rows."""
    source = np.arange(vocabulary.source_view(shared).size)
    view = vocabulary.target_view(shared)
    target = view.to_union(np.arange(view.size))
    return {role: torch.from_numpy(source if role == ROLES[0] else target) for role in ROLES}


def num_matrices(tying: Tying) -> int:
    """How many vocabulary matrices a mode has."""
    return {Tying.UNTIED: 3, Tying.DECODER: 2, Tying.THREE_WAY: 1}[tying]


def in_words(before: Tying, wanted: Tying, keep: str | None) -> str:
    """What a change does."""
    change = f"from {before.value} to {wanted.value}"
    if keep is None:
        return f"{change}, a copy for each role"
    what = "the mean of the matrices" if keep == MEAN else f"the {keep} matrix"
    return f"{change}, {what} kept"


def _in_union(matrix: Tensor, rows: Tensor, size: int) -> UnionRows:
    """[rows, ...] -> by the union's rows."""
    values = matrix.new_zeros(size, *matrix.shape[1:])
    there = torch.zeros(size, dtype=torch.bool)
    values[rows], there[rows] = matrix, True
    return UnionRows(values, there)


def _merged(roles: Mapping[str, UnionRows], keep: str) -> UnionRows:
    """One matrix of several."""
    if keep == MEAN:
        every: Sequence[UnionRows] = list(roles.values())
        counts = torch.stack([each.there for each in every]).sum(0).clamp(min=1)
        total = torch.stack([each.values for each in every]).sum(0)
        return UnionRows(total / counts[:, None], torch.stack([each.there for each in every]).any(0))
    first = roles["output" if keep == OUTPUT else f"{keep}_input"]
    others = [each for name, each in roles.items() if name in ("source_input", "output")]
    values, there = first.values, first.there
    for other in others:
        values = torch.where(there[:, None], values, other.values)
        there = there | other.there
    return UnionRows(values, there)
