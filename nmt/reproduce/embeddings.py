"""The vocabulary matrices of trained models, row by row of the pieces that two of them share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpe.errors import UserError
from nmt.folder.bundle import BEST, VOCABULARY, Bundle, config_of, read_manifest
from nmt.text.vocabulary import NUM_SPECIALS, UNK, Vocabulary
from nmt.tying import Tying

PARTS = ("both", "source_only", "target_only")
DOMAINS = {
    "both": ("both",),
    "source view": ("both", "source_only"),
    "target view": ("both", "target_only"),
    "union": PARTS,
}
"Sets of pieces that two matrices can share, as parts of the vocabulary."

SOURCE_INPUT, TARGET_INPUT = "source input", "target input"
OUTPUT = {
    Tying.UNTIED: "output",
    Tying.DECODER: "target input = output",
    Tying.THREE_WAY: "source = target = output",
}
"The matrix that scores the pieces, and what else it is."
MATRICES = {
    Tying.UNTIED: {
        "source_input": (SOURCE_INPUT, "source view"),
        "target_input": (TARGET_INPUT, "target view"),
        "output": (OUTPUT[Tying.UNTIED], "target view"),
    },
    Tying.DECODER: {
        "source_input": (SOURCE_INPUT, "source view"),
        "target_input": (OUTPUT[Tying.DECODER], "target view"),
    },
    Tying.THREE_WAY: {"source_input": (OUTPUT[Tying.THREE_WAY], "union")},
}
"By mode: the parameter each storage is kept under, what it is to a reader, and whose pieces are its rows."


@dataclass(frozen=True, kw_only=True)
class ModelName:
    """A model of the study."""

    folder: Path
    tying: Tying
    seed: int
    name: str
    "The folder's name, or its path where two folders have one name, and the mode."


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One vocabulary matrix: the rows of the most frequent pieces, for each set of pieces that it has."""

    model: ModelName
    name: str
    parameter: str
    domain: str
    rows: dict[str, np.ndarray]
    "By domain: [n, E], in the order of `frequent_ids`."

    def started_like(self, other: Matrix) -> bool:
        """Whether both had equal values before training: a draw depends on the seed and the parameter's name."""
        same_size = self.rows["both"].shape[1] == other.rows["both"].shape[1]
        return same_size and self.model.seed == other.model.seed and self.parameter == other.parameter


def name_models(folders: Sequence[Path]) -> list[ModelName]:
    """Check that all are model folders of one vocabulary, before any weights are read; and name them."""
    manifests = [read_manifest(folder) for folder in folders]
    resolved = [folder.resolve() for folder in folders]
    for folder, manifest in zip(folders, manifests, strict=True):
        if resolved.count(folder.resolve()) > 1:
            raise UserError("given twice", where=folder, hint="name each model folder once")
        if manifest.get("vocabulary") != manifests[0].get("vocabulary"):
            raise UserError(
                f"{folder} and {folders[0]} have different vocabularies, so their rows are not the same pieces",
                hint="compare models trained on one prepared folder",
            )
    names = [path.name for path in resolved]
    found = []
    for folder, name in zip(folders, names, strict=True):
        config = config_of(folder)
        name, tying = (name if names.count(name) == 1 else str(folder)), Tying(config.model.tying)
        full = name if name == tying.value else f"{name} ({tying.value})"
        found.append(ModelName(folder=folder, tying=tying, seed=config.training.seed, name=full))
    return found


def load_vocabulary(models: Sequence[ModelName]) -> Vocabulary:
    """The vocabulary that the models share."""
    return Vocabulary.load(models[0].folder / VOCABULARY)


def common_domain(first: str, second: str) -> str:
    """The pieces that are in two domains."""
    parts = set(DOMAINS[first]) & set(DOMAINS[second])
    return next(name for name, members in DOMAINS.items() if set(members) == parts)


def part_ids(vocabulary: Vocabulary, part: str) -> np.ndarray:
    """Union ids of a part's pieces, specials left out: the most frequent first."""
    start = NUM_SPECIALS + sum(len(getattr(vocabulary, before)) for before in PARTS[: PARTS.index(part)])
    return np.arange(start, start + len(getattr(vocabulary, part)))


def frequent_ids(vocabulary: Vocabulary, domain: str, limit: int) -> np.ndarray:
    """Union ids of about the `limit` most frequent pieces of a domain.

    Each part's rows are sorted by falling frequency, but the counts are not in a model folder. So the parts give the
    same share of their rows, from the top.
    """
    parts = [part_ids(vocabulary, part) for part in DOMAINS[domain]]
    ends = list(itertools.accumulate(len(part) for part in parts))
    if limit >= ends[-1]:
        return np.concatenate(parts)
    taken = np.diff([limit * end // ends[-1] for end in ends], prepend=0)
    return np.concatenate([part[:count] for part, count in zip(parts, taken, strict=True)])


def matrices_of(bundle: Bundle, model: ModelName, limit: int) -> list[Matrix]:
    """Each storage of a model once, the `limit` most frequent pieces of each domain."""
    found = []
    for parameter, (name, domain) in MATRICES[model.tying].items():
        values = matrix_values(bundle, parameter)
        view = bundle.source_view if parameter == "source_input" else bundle.target_view
        rows = {}
        for other in DOMAINS:
            if common_domain(domain, other) == other:
                ids = view.from_union(frequent_ids(bundle.vocabulary, other, limit))
                assert (ids != UNK).all(), (name, other)
                rows[other] = values[ids]
        found.append(Matrix(model=model, name=name, parameter=parameter, domain=domain, rows=rows))
    return found


def matrix_values(bundle: Bundle, parameter: str) -> np.ndarray:
    """A vocabulary matrix as float32, [rows, E]; a UserError where a value is not finite."""
    values: np.ndarray = getattr(bundle.model.embeddings, parameter).numpy()
    if not np.isfinite(values).all():
        raise UserError("an embedding is not finite", where=bundle.folder / BEST, hint="train the model again")
    return values
