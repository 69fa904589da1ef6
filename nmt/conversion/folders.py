"""Converted models as model folders, and model folders as other toolkits' files."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bpe.codes import MergeTable
from bpe.errors import UserError
from bpe.textfiles import atomic_write, sha256_of, write_text
from nmt.config import Config, ModelConfig, PrepConfig
from nmt.conversion.dl4mt import from_dl4mt, read_arrays, read_dictionary, to_dl4mt
from nmt.conversion.made import Made
from nmt.conversion.marian_model import MarianChoices, from_marian
from nmt.conversion.placing import check_free, placed
from nmt.folder.bundle import BEST, describe_folder, load_bundle, read_config, read_manifest
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.layers.tying import load_unique, unique_parameters
from nmt.models.build import VocabularySizes, build_empty
from nmt.text.options import old_normalization
from nmt.text.pipeline import TextOptions, TextPipeline

ARCHITECTURE = "rnn"
"Ours that is their gru_cond."


@dataclass(frozen=True)
class Files:
    """The other toolkit's three files."""

    model: Path
    source_vocabulary: Path
    target_vocabulary: Path


@dataclass(frozen=True)
class TextChoice:
    """How raw text becomes pieces. codes: BPE merges, or None where lines are segmented already."""

    source: str
    target: str
    tokenizer: str = "none"
    codes: Path | None = None


def import_dl4mt(files: Files, text: TextChoice, folder: Path) -> Config:
    """Write a model folder from a DL4MT or Nematus model; returns its configuration."""
    check_free(folder, "--model")
    dictionaries = read_dictionary(files.source_vocabulary), read_dictionary(files.target_vocabulary)
    try:
        found = from_dl4mt(read_arrays(files.model), *dictionaries)
    except UserError as error:
        raise UserError(error.problem, where=error.where or files.model, hint=error.hint) from None
    config = Config(
        prep=PrepConfig(source=text.source, target=text.target, tokenizer=text.tokenizer),
        model=ModelConfig(
            architecture=ARCHITECTURE,
            tying=found.tying.value,
            embedding_size=found.embedding_size,
            hidden_size=found.hidden_size,
            dropout=0.0,
            initialization="dl4mt",
        ),
    )
    paths = (files.model, files.source_vocabulary, files.target_vocabulary)
    made = Made(config, found.vocabulary, _pipeline(text), found.weights, paths)
    write_folder(made, folder, "dl4mt", "it is not the attention model of Table 8")
    return config


def import_marian(theirs: Path, folder: Path, wanted: MarianChoices) -> tuple[Config, list[str]]:
    """Write a model folder from a MarianMT model's; returns its configuration, and what is to be known of it."""
    check_free(folder, "--model")
    made, notes = from_marian(theirs, wanted)
    write_folder(made, folder, "marian", "weights and config.json belong together")
    return made.config, notes


def write_folder(made: Made, folder: Path, origin: str, hint: str) -> None:
    """Write a converted model's folder. hint: of the error where its sizes do not fit each other."""
    model = build_empty(made.config.model, VocabularySizes.of(made.vocabulary), torch.device("cpu"))
    check_shapes(made.files[0], model, made.weights, hint)
    load_unique(model, made.weights)
    model.embeddings.assert_tied()
    hashes = {path.name: sha256_of(path) for path in made.files}
    with placed(folder) as place:
        made.text.save(place)
        describe_folder(place, made.config, made.vocabulary, {"converted": hashes})
        save_tensors(place / BEST, weight_tensors(model), weight_metadata(model, converted=origin))


def _pipeline(text: TextChoice) -> TextPipeline:
    normalize = old_normalization(text.tokenizer)
    options = TextOptions(
        source=text.source,
        target=text.target,
        tokenizer=text.tokenizer,
        subwords="bpe" if text.codes else "none",
        source_normalize=normalize,
        target_normalize=normalize,
    )
    return TextPipeline(options, MergeTable.load(text.codes) if text.codes else None)


def check_shapes(path: Path, model: torch.nn.Module, weights: dict[str, torch.Tensor], hint: str) -> None:
    """Raise a UserError that names the first weight whose shape is not the architecture's."""
    for name, parameter in unique_parameters(model).items():
        found = weights[name].shape
        if found != parameter.shape:
            raise UserError(
                f"{name} would be {tuple(found)}, where the model's other sizes ask for {tuple(parameter.shape)}",
                where=path,
                hint=hint,
            )


def check_architecture(name: str, folder: Path) -> None:
    """Raise a UserError where the other toolkit's format has no place for an architecture."""
    if name != ARCHITECTURE:
        hint = f"only {ARCHITECTURE} models, which are DL4MT's gru_cond, can be written so"
        raise UserError(f"model.architecture is {name!r}, which DL4MT does not have", where=folder, hint=hint)


def export_dl4mt(folder: Path, files: Files) -> None:
    """Write a model folder's best weights as DL4MT's three files; a model of another architecture is a UserError."""
    read_manifest(folder)
    check_architecture(read_config(folder).model.architecture, folder)
    bundle = load_bundle(folder, torch.device("cpu")).plain()
    named = dict(bundle.model.named_parameters(remove_duplicate=False))
    try:
        arrays, source, target = to_dl4mt(named, bundle.vocabulary, (bundle.source_view, bundle.target_view))
    except UserError as error:
        raise UserError(error.problem, where=folder, hint=error.hint) from None
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    with atomic_write(files.model) as stream:
        stream.write(buffer.getbuffer())
    for path, pieces in ((files.source_vocabulary, source), (files.target_vocabulary, target)):
        ids = {piece: number for number, piece in enumerate(pieces)}
        if len(ids) != len(pieces):
            raise UserError(
                "the text has a piece 'eos' or 'UNK', which their dictionaries cannot tell from their own", where=folder
            )
        write_text(path, json.dumps(ids, ensure_ascii=False, indent=0) + "\n")
