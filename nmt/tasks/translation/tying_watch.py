"""What each role of the vocabulary matrices does to them in training: `training.record_tying`.

On the last update of each progress line the gradients of the roles are caught apart (`nmt.layers.roles`), before they
are clipped, and summed over batches, parts and workers: a role's share of the whole update. Records of kind `tying`:

    gradient.ROLE             norm of the role's gradient
    gradient.ROLE.SIDE        of its rows that are pieces in both languages, only in the source, only in the target
    cosine.ROLE.ROLE          of two roles' gradients, over the rows that both their matrices have
    rows.MATRIX.SIDE          mean length of the matrix's rows of a side, after the update
    rows.MATRIX.band_N        of its rows in a tenth of the vocabulary by training frequency, 1: the most frequent

The records of validations have Spearman's correlation with the matrix of the same role in an untied model, of the
similarities of all pairs of SAMPLED pieces (Press & Wolf, 2017, Table 4), of the weights that are validated:

    rho.ROLE

A MATRIX goes by its first role. Special rows are in no side and no band.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import TrainingConfig
from nmt.data.corpus import ParallelIds
from nmt.evaluate.rankcorrelation import MIN_PIECES, centred_ranks, correlation, pair_cosines
from nmt.folder.bundle import BEST, check_model_folder, config_of, load_bundle, read_manifest
from nmt.layers.roles import USES, gradients_by_role
from nmt.layers.tying import TiedEmbeddings
from nmt.text.vocabulary import NUM_SPECIALS, SourceView, TargetView, Vocabulary
from nmt.tying import Tying

BANDS = 10
"Of equally many pieces."
SAMPLED = 1000
"Pieces whose pairs are compared, or as many as a matrix has: 499,500 pairs."
SEED = 1
"Of the drawing of the pieces, which is the same in every run on the same vocabulary."
SIDES = ("both", "source_only", "target_only")
ABSENT = {"source_input": "target_only", "target_input": "source_only", "output": "source_only"}
"The side whose pieces a role's own matrix has no rows for; one table of all roles has all."
COUNTED_AT_ONCE = 2**24
AGAINST = "training.record_tying_against"


class RowGroups:
    """The pieces of a vocabulary by side and by band of frequency.

    sides, bands: [rows of the union] int64, the number of the row's group, -1 at specials.
    """

    def __init__(self, vocabulary: Vocabulary, train: ParallelIds) -> None:
        self.counts = [len(vocabulary.both), len(vocabulary.source_only), len(vocabulary.target_only)]
        num_pieces = sum(self.counts)
        seen = np.zeros(vocabulary.size, dtype=np.int64)
        for ids in (train.source_ids, train.target_ids):
            for start in range(0, len(ids), COUNTED_AT_ONCE):
                seen += np.bincount(ids[start : start + COUNTED_AT_ONCE], minlength=vocabulary.size)
        order = NUM_SPECIALS + np.argsort(-seen[NUM_SPECIALS:], kind="stable")
        self.sides = np.repeat([-1, 0, 1, 2], [NUM_SPECIALS, *self.counts])
        self.bands = np.full(vocabulary.size, -1)
        self.bands[order] = np.arange(num_pieces) * BANDS // max(num_pieces, 1)

    @property
    def common(self) -> int:
        """Rows that every matrix begins with: the specials and the pieces in both."""
        return NUM_SPECIALS + self.counts[0]

    def spans(self, role: str, shared: bool) -> dict[str, slice]:
        """Which rows of a role's matrix are of a side, and `whole`. shared: the matrix has the union's rows."""
        there = [shared or side != ABSENT[role] for side in SIDES]
        ends = NUM_SPECIALS + np.cumsum([count * here for count, here in zip(self.counts, there, strict=True)])
        starts = [NUM_SPECIALS, *ends[:-1]]
        spans = {side: slice(int(a), int(b)) for side, a, b in zip(SIDES, starts, ends, strict=True) if a < b}
        return {"whole": slice(None), **spans}


def rows_of(view: SourceView | TargetView) -> np.ndarray:
    """The union id of every row that a matrix of that view has."""
    rows = np.arange(view.size, dtype=np.int64)
    return view.to_union(rows) if isinstance(view, TargetView) else rows


class TyingWatch:
    """See the module. One model's."""

    kind = "tying"

    def __init__(
        self, embeddings: TiedEmbeddings, vocabulary: Vocabulary, groups: RowGroups, against: str = ""
    ) -> None:
        """against: folder of an untied model; empty: none."""
        self.embeddings, self.vocabulary, self.groups, self.against = embeddings, vocabulary, groups, against
        self.shared = embeddings.tying.shares_source
        source, target = vocabulary.source_view(self.shared), vocabulary.target_view(self.shared)
        self.rows = {role: rows_of(source if role == "source_input" else target) for role in USES}
        self.spans = {role: groups.spans(role, self.shared) for role in USES}
        self.noted: Tensor | None = None
        "[one number for each of `names`]."

    @cached_property
    def names(self) -> list[str]:
        """Of what is told of gradients."""
        norms = [f"gradient.{role}.{span}" for role in USES for span in self.spans[role]]
        return [name.removesuffix(".whole") for name in norms] + [f"cosine.{a}.{b}" for a, b in combinations(USES, 2)]

    def catching(self) -> AbstractContextManager[Sequence[Tensor]]:
        """See Watch.catching."""
        return gradients_by_role(self.embeddings)

    def note(self, caught: Sequence[Tensor]) -> None:
        """See Watch.note."""
        gradients = dict(zip(USES, caught, strict=True))
        found = [gradients[role][span].norm() for role in USES for span in self.spans[role].values()]
        for one, other in combinations(USES, 2):
            rows = None if self._alike(one, other) else self.groups.common
            pair = [gradients[role][:rows].flatten() for role in (one, other)]
            found.append(torch.dot(*pair) / (pair[0].norm() * pair[1].norm()))
        self.noted = torch.stack(found)

    def _alike(self, one: str, other: str) -> bool:
        """Whether the matrices of two roles have rows for the same pieces."""
        return self.shared or "source_input" not in (one, other)

    def figures(self) -> dict[str, float]:
        """See Watch.figures."""
        assert self.noted is not None
        found = dict(zip(self.names, self.noted.tolist(), strict=True))
        first = {id(matrix): role for role, matrix in reversed(self._matrices().items())}
        for role, matrix in ((role, matrix) for role, matrix in self._matrices().items() if first[id(matrix)] == role):
            lengths = matrix.detach().norm(dim=1).double().cpu().numpy()
            for kind, names in (("sides", SIDES), ("bands", [f"band_{n}" for n in range(1, BANDS + 1)])):
                means = mean_by_group(lengths, getattr(self.groups, kind)[self.rows[role]], len(names))
                found |= {f"rows.{role}.{name}": mean for name, mean in zip(names, means, strict=True) if mean >= 0}
        return found

    def _matrices(self) -> dict[str, Tensor]:
        return {role: getattr(self.embeddings, role) for role in USES}

    def at_validation(self) -> dict[str, float | None]:
        """See Watch.at_validation."""
        if not self.against:
            return {}
        found = {}
        for role, matrix in self._matrices().items():
            wanted, untied = self._sample[role], self._untied[role]
            row_of = np.full(self.vocabulary.size, -1)
            row_of[self.rows[role]] = np.arange(len(self.rows[role]))
            rows = torch.from_numpy(row_of[wanted]).to(matrix.device)
            found[f"rho.{role}"] = rank_correlation(matrix.detach()[rows].float().cpu().numpy(), untied)
        return found

    @cached_property
    def _sample(self) -> dict[str, np.ndarray]:
        """Union ids of the pieces that are compared, by role: of those that an untied matrix of that role has."""
        drawn = NUM_SPECIALS + np.random.default_rng(SEED).permutation(self.vocabulary.size - NUM_SPECIALS)
        sides = self.groups.sides[drawn]
        return {role: drawn[sides != SIDES.index(ABSENT[role])][:SAMPLED] for role in USES}

    @cached_property
    def _untied(self) -> dict[str, np.ndarray | None]:
        """By role: the ranks of the untied model's pairs, None where there are too few."""
        bundle = load_bundle(self.against, torch.device("cpu"))
        found = {}
        for role in USES:
            view = bundle.source_view if role == "source_input" else bundle.target_view
            rows = getattr(bundle.model.embeddings, role).detach()[view.from_union(self._sample[role])]
            found[role] = centred_ranks(pair_cosines(rows.numpy())) if len(rows) >= MIN_PIECES else None
        return found


def rank_correlation(rows: np.ndarray, ranks: np.ndarray | None) -> float | None:
    """Spearman's, of the similarities of rows, [n, E], with those whose ranks are known; None where it is undefined."""
    return None if ranks is None else correlation(centred_ranks(pair_cosines(rows)), ranks)


def mean_by_group(values: np.ndarray, groups: np.ndarray, number: int) -> list[float]:
    """The mean of the values of each group, -1 where it has none. groups: the group of each value, -1: of none."""
    there = groups >= 0
    totals = np.bincount(groups[there], weights=values[there], minlength=number)
    counts = np.bincount(groups[there], minlength=number)
    return [float(total / count) if count else -1.0 for total, count in zip(totals, counts, strict=True)]


def check_against(settings: TrainingConfig, vocabulary: Vocabulary) -> None:
    """Raise a UserError unless what is named to compare with, if anything, can be compared with."""
    folder = settings.record_tying_against
    if folder and not settings.record_tying:
        raise UserError("is for training.record_tying", where=AGAINST, hint="set that too, or leave it out")
    if folder:
        check_untied(folder, vocabulary)


def check_untied(folder: str, vocabulary: Vocabulary) -> None:
    """Raise a UserError unless the folder holds a trained untied translation model of this vocabulary."""
    hint = f"name the model folder of an untied run on the same prepared data, or leave {AGAINST} empty"
    path = Path(folder)
    check_model_folder(path, hint)
    manifest, tying = read_manifest(path), config_of(path).model.tying
    if Tying(tying) is not Tying.UNTIED:
        raise UserError(f"{folder} has {tying} tying", where=AGAINST, hint=hint)
    if manifest.get("vocabulary") != vocabulary.fingerprint:
        raise UserError(f"{folder} has another vocabulary than the data", where=AGAINST, hint=hint)
    if not (path / BEST).is_file():
        raise UserError(f"{folder} has no {BEST} yet", where=AGAINST, hint="train the untied model first")
