"""The vocabulary matrices of trained language models, row by row of their words: what Tables 3 and 4 are about.

The models are an untied and a tied one of each seed that `nmt-reproduce` trained, whichever table they were for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bpe.errors import UserError
from nmt.folder.language import load_language_bundle
from nmt.reproduce.language.experiment import FORMAT, LanguageExperiment, LanguageRun
from nmt.reproduce.language.paper import LANGUAGE_TABLES
from nmt.reproduce.language.worker import weights_of
from nmt.tying import WordTying

ROLES_OF = {WordTying.UNTIED: ("input", "output"), WordTying.TIED: ("tied",)}
"What the rows of a mode's matrices are called."


@dataclass(frozen=True)
class WordRows:
    """The rows of a model."""

    words: tuple[str, ...]
    "<eos> first, then the most frequent."
    matrices: dict[str, np.ndarray]
    "Role -> [C, E] float32, a row a word."


def word_rows(experiment: LanguageExperiment, run: LanguageRun) -> WordRows:
    """Of a finished run. A model of subwords and numbers that are not finite are UserErrors."""
    place = weights_of(experiment, run)
    bundle = load_language_bundle(place, torch.device("cpu"))
    if bundle.vocabulary.subwords:
        raise UserError("a model of subwords: its rows are no words", where=bundle.folder, hint="train it on words")
    vocabulary, embeddings = bundle.vocabulary, bundle.model.embeddings
    roles = ROLES_OF[embeddings.tying]
    found = {role: matrix.numpy() for role, matrix in zip(roles, embeddings.matrices(), strict=True)}
    if not all(np.isfinite(matrix).all() for matrix in found.values()):
        raise UserError("an embedding is not finite", where=place, hint="train the model again")
    return WordRows(tuple(map(vocabulary.name, range(vocabulary.size))), found)


def open_experiment(folder: Path) -> LanguageExperiment:
    """A comparison of language models that lies in a folder, with all seeds that have a model folder there."""
    path = folder / "experiment.json"
    try:
        body = json.loads(path.read_bytes().decode("utf-8"))
    except OSError:
        hint = "name the folder that nmt-reproduce table6 wrote with --out"
        raise UserError("holds no comparison of language models", where=folder, hint=hint) from None
    except ValueError as error:
        raise UserError(f"damaged ({error})", where=path, hint="restore it") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT or body.get("table") not in LANGUAGE_TABLES:
        raise UserError("was not written by nmt-reproduce table5, table6 or table7", where=path)
    return LanguageExperiment(
        folder=folder,
        table_name=body["table"],
        scale=body["scale"],
        seeds=_seeds(folder / "models"),
        prepared=folder / "prepared",
        more=body["set"],
    )


def _seeds(models: Path) -> tuple[int, ...]:
    names = (path.name for path in models.iterdir()) if models.is_dir() else ()
    return tuple(sorted({int(found[1]) for name in names if (found := re.fullmatch(r".*-(\d+)", name))}))


def pair_of(experiment: LanguageExperiment, keys: Sequence[str]) -> list[LanguageRun]:
    """The runs of some rows of a comparison, seed by seed; a row that its table has not is a UserError."""
    rows = {row.key: row for row in experiment.table.rows}
    for key in keys:
        if key not in rows:
            have = ", ".join(rows)
            raise UserError(f"its table has no model {key!r}", where=experiment.folder, hint=f"it has {have}")
    return [LanguageRun(rows[key], seed) for seed in experiment.seeds for key in keys]
