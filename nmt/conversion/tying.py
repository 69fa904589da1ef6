"""A model folder in another tying mode; which rows go where, `nmt.folder.retying` says.

Where matrices become one, the model has to be trained further. Where one becomes several, scores of target pieces are
the same; of three-way models whose softmax has the source's pieces too, all log-probabilities of a step rise by what
these had, and order and differences stay.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from bpe.errors import UserError
from bpe.textfiles import atomic_write, sha256_of
from nmt.config import choice
from nmt.folder.bundle import BEST, Bundle, check_model_folder, describe_folder, load_bundle, read_manifest
from nmt.folder.retying import KEPT, MEAN, Layout, Retying, in_words, num_matrices
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.layers.tying import load_unique
from nmt.models.build import VocabularySizes, build_empty
from nmt.models.interface import TranslationModel
from nmt.scratch import put_in_place, scratch_folder
from nmt.shortlist.table import SHORTLIST
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import Vocabulary
from nmt.tying import Tying


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


def retied(model: TranslationModel, vocabulary: Vocabulary, wanted: Tying, keep: str | None) -> dict[str, Tensor]:
    """A model's weights in another mode, each storage once, under the names of that mode."""
    tables = model.embeddings
    before = Layout.of(tables.tying, union_target=tables.union_target)
    return Retying(vocabulary, before, Layout.of(wanted), keep).weights(weight_tensors(model))
