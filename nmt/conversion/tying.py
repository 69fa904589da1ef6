"""A model in another tying mode: matrices that become one, or one that becomes several.

Several become one: `keep` says which stays (`source`, `target`, `output`), or `mean`. Rows of the union that the kept
matrix has no piece for, pieces of the other language, come from the other side's: the source's, or the output's. The
mean of a row is of the matrices that have it. A piece that no target had gets the lowest output bias there is. Such a
model has to be trained further.

One becomes several: each role gets a copy, of the rows that its view of the vocabulary has. Scores of target pieces
are the same; of three-way models, whose softmax has the source's pieces too, all log-probabilities of a step rise by
what these had, and order and differences stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from bpe.textfiles import atomic_write, sha256_of
from nmt.config import choice
from nmt.folder.bundle import BEST, Bundle, check_model_folder, describe_folder, load_bundle, read_manifest
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.layers.tying import load_unique, unique_parameters
from nmt.models.build import VocabularySizes, build_empty
from nmt.models.interface import EMBEDDINGS, TranslationModel
from nmt.scratch import put_in_place, scratch_folder
from nmt.shortlist.table import SHORTLIST
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import Vocabulary
from nmt.tying import Tying

MEAN, OUTPUT = "mean", "output"
KEPT = ("source", "target", OUTPUT, MEAN)
ROLES = ("source_input", "target_input", "output")


@dataclass(frozen=True)
class UnionRows:
    """A matrix by the union's rows. there: [union size] bool, the rows that it has; the others are zero."""

    values: Tensor
    there: Tensor


def change_tying(folder: Path, wanted: Tying, output: Path, keep: str | None = None) -> str:
    """Write a model folder with the model of another in a tying mode; returns what was done, in words.

    keep: which of the matrices that become one; None: their mean. A folder that is not empty is a UserError.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError("is there already", where=output, hint="name a new folder with --model")
    check_model_folder(folder, "name the model folder to convert; --model names the new one")
    bundle = load_bundle(folder, torch.device("cpu"))
    before = bundle.model.embeddings.tying
    keep = check_change(before, wanted, keep, folder)
    config = dataclasses.replace(bundle.config, model=bundle.config.model.tied(wanted))
    model = build_empty(config.model, VocabularySizes.of(bundle.vocabulary), torch.device("cpu"))
    load_unique(model, retied(bundle.model, bundle.vocabulary, wanted, keep))
    model.embeddings.assert_tied()
    said = in_words(before, wanted, keep)
    manifest = read_manifest(bundle.folder)
    hashed = sha256_of(folder if folder.is_file() else folder / BEST)
    data = manifest["data"] | {"converted": {"tying": said, "weights": hashed}}
    origin = {key: value for key, value in manifest.items() if key in ("from", "mix", "embeddings")}
    output = output.resolve()
    with scratch_folder(output) as scratch:
        made = scratch / "model"
        made.mkdir()
        _copy_text(bundle, made)
        describe_folder(made, config, bundle.vocabulary, data, origin)
        save_tensors(made / BEST, weight_tensors(model), weight_metadata(model, converted="tying", change=said))
        put_in_place(made, output)
    return said


def _copy_text(bundle: Bundle, made: Path) -> None:
    """The text pipeline, and the shortlist if there is one: neither depends on the tying."""
    for path in [*TextPipeline.files(bundle.folder), bundle.folder / SHORTLIST]:
        if path.is_file():
            with atomic_write(made / path.name) as stream:
                stream.write(path.read_bytes())


def check_change(before: Tying, wanted: Tying, keep: str | None, folder: Path) -> str | None:
    """Which matrix is kept; None where nothing is left out. What makes no sense is a UserError."""
    if before is wanted:
        raise UserError(f"is tied {before.value} already", where=folder, hint="there is nothing to convert")
    if num_matrices(wanted) > num_matrices(before):
        if keep is not None:
            hint = "leave --keep out: each role gets a copy"
            raise UserError(f"from {before.value} to {wanted.value} no matrix is left out", where="--keep", hint=hint)
        return None
    keep = keep or MEAN
    choice("--keep", keep, KEPT[1:] if wanted is Tying.DECODER else KEPT)
    return keep


def num_matrices(tying: Tying) -> int:
    """How many vocabulary matrices a mode has."""
    return {Tying.UNTIED: 3, Tying.DECODER: 2, Tying.THREE_WAY: 1}[tying]


def in_words(before: Tying, wanted: Tying, keep: str | None) -> str:
    """What a conversion does."""
    change = f"from {before.value} to {wanted.value}"
    if keep is None:
        return f"{change}, a copy for each role"
    what = "the mean of the matrices" if keep == MEAN else f"the {keep} matrix"
    return f"{change}, {what} kept"


def retied(model: TranslationModel, vocabulary: Vocabulary, wanted: Tying, keep: str | None) -> dict[str, Tensor]:
    """A model's weights in another mode, each storage once, under the names of that mode."""
    before = model.embeddings.tying
    views = view_rows(vocabulary, before.shares_source)
    roles = {role: _in_union(getattr(model.embeddings, role).detach(), views[role], vocabulary.size) for role in ROLES}
    if keep is not None:
        merged = ROLES if wanted is Tying.THREE_WAY else ROLES[1:]
        same = before is Tying.DECODER  # its one matrix counts once in a mean
        distinct = [role for role in merged if not (same and keep == MEAN and role == "target_input")]
        roles |= dict.fromkeys(merged, _merged({role: roles[role] for role in distinct}, keep))
    scored = view_rows(vocabulary, model.embeddings.union_target)["output"]
    bias = _in_union(model.embeddings.output_bias.detach(), scored, vocabulary.size)
    biases = torch.where(bias.there, bias.values, bias.values[bias.there].min())
    tensors = {name: parameter.detach() for name, parameter in unique_parameters(model).items()}
    tensors = {name: tensor for name, tensor in tensors.items() if name.removeprefix(f"{EMBEDDINGS}.") not in ROLES}
    views = view_rows(vocabulary, wanted.shares_source)
    for role in ROLES[: num_matrices(wanted)]:
        tensors[f"{EMBEDDINGS}.{role}"] = roles[role].values[views[role]]
    return tensors | {f"{EMBEDDINGS}.output_bias": biases[views["output"]]}


def view_rows(vocabulary: Vocabulary, shared: bool) -> dict[str, Tensor]:
    """The union's rows that each role's matrix has, in the order of its own rows."""
    source = np.arange(vocabulary.source_view(shared).size)
    view = vocabulary.target_view(shared)
    target = view.to_union(np.arange(view.size))
    return {role: torch.from_numpy(source if role == ROLES[0] else target) for role in ROLES}


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
