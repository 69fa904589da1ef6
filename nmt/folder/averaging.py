"""Checkpoint averaging (Sennrich et al., 2016; Vaswani et al., 2017): the mean of the weights of several checkpoints.

Each storage is summed once, under the one name that files hold it by, so that a tied matrix of 0 and one of 1 make 0.5
in every tying mode; the mean over all names, in place, would give it 0.75 or 0.875.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bpe.errors import UserError
from bpe.textfiles import atomic_write, no_space, remove_leftovers, sha256_of, write_text
from nmt.folder.bundle import BEST, CONFIG, MANIFEST, VOCABULARY, load_bundle, read_config, read_manifest, versions
from nmt.folder.weights import read_metadata, read_tensors, save_tensors
from nmt.layers.tying import load_unique, unique_parameters
from nmt.models.interface import TrainableModel
from nmt.scratch import put_in_place, scratch_folder
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import Vocabulary

RECENT, AVERAGE = "recent", "average.safetensors"
"Within a model folder: the weights of the last validations, and their average where it is not the best."
FREE_SETTINGS = ("dropout", "initialization")
"Settings of the model in which averaged ones may differ."


@dataclass(frozen=True)
class Average:
    """Mean weights, float32, each storage once. metadata: what stands beside them in a file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def average_files(paths: Sequence[Path]) -> Average:
    """The mean of weights files, summed in float64; of one file, its weights bit for bit.

    Files of different tying modes or sizes are a UserError.
    """
    first, metadata = read_tensors(paths[0])
    sums = {name: tensor.double() for name, tensor in first.items()}
    updates = [metadata.get("update", "")]
    del first
    for path in paths[1:]:
        tensors, other = read_tensors(path)
        _check_alike(path, (tensors, other), paths[0], (sums, metadata))
        for name, tensor in tensors.items():
            sums[name] += tensor
        updates.append(other.get("update", ""))
    means = {name: (sums.pop(name) / len(paths)).float() for name in list(sums)}
    kept = {key: value for key, value in metadata.items() if key in ("format", "version", "tying", "aliases")}
    return Average(means, kept | {"averaged": str(len(paths)), "updates": json.dumps(updates)})


Weights = tuple[Mapping[str, Tensor], Mapping[str, str]]
"Tensors and metadata of a file."


def _check_alike(path: Path, weights: Weights, first: Path, others: Weights) -> None:
    (tensors, metadata), (wanted, known) = weights, others
    if metadata.get("tying") != known.get("tying"):
        problem = f"weights tied {metadata.get('tying')!r} do not average with {first}, tied {known.get('tying')!r}"
        raise UserError(problem, where=path, hint="average checkpoints of one tying mode")
    for name in sorted(tensors.keys() | wanted.keys()):
        shapes = [tuple(of[name].shape) if name in of else "missing" for of in (tensors, wanted)]
        if shapes[0] != shapes[1]:
            problem = f"{name} is {shapes[0]}, in {first} it is {shapes[1]}"
            raise UserError(problem, where=path, hint="average checkpoints of models of the same sizes")


@contextlib.contextmanager
def with_weights(model: TrainableModel, tensors: dict[str, Tensor]) -> Iterator[None]:
    """The model with other weights for a while; its own come back whatever happens."""
    own = {name: parameter.detach().clone() for name, parameter in unique_parameters(model).items()}
    try:
        load_unique(model, tensors)
        model.embeddings.assert_tied()
        yield
    finally:
        load_unique(model, own)


class RecentWeights:
    """The weights of a run's last validations, a file each: recent/UPDATE.safetensors.

    A new file is whole before the oldest is removed. Every file is that of its update whenever the run was stopped:
    those that a continued run has not come to again are later ones, and go.
    """

    def __init__(self, folder: Path, count: int) -> None:
        """folder: model/recent. count: files that are kept; with 0 nothing is written."""
        self.folder, self.count = folder, count

    def add(self, update: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        """Keep the weights of an update, and of those before it as many as there is room for."""
        if not self.count:
            return
        save_tensors(self.folder / f"{update}.safetensors", tensors, metadata)
        kept = [path for path in self.files() if int(path.stem) <= update][-self.count :]
        try:
            remove_leftovers(self.folder)
            for path in self.files():
                if path not in kept:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise no_space(error, self.folder) from None

    def files(self) -> list[Path]:
        """The files, the newest last."""
        found = [path for path in self.folder.glob("*.safetensors") if path.stem.isdecimal()]
        return sorted(found, key=lambda path: int(path.stem))

    def alike(self) -> list[Path]:
        """The kept files, the newest last, since the matrices are tied as they are in the newest."""
        kept = self.files()[-self.count :] if self.count else []
        modes = [read_metadata(path).get("tying") for path in kept]
        return [path for number, path in enumerate(kept) if set(modes[number:]) == {modes[-1]}]

    def average(self) -> Average:
        """Of those."""
        return average_files(self.alike())


@dataclass(frozen=True)
class WeightsFile:
    """A weights file and the model folder it belongs to."""

    weights: Path
    folder: Path

    @classmethod
    def of(cls, path: Path) -> WeightsFile:
        """A model folder means its best weights; a file lies in its model folder, or in a folder of it."""
        if path.is_dir():
            read_manifest(path)
            return cls(path / BEST, path)
        for folder in path.absolute().parents[:2] if path.exists() else ():
            if (folder / MANIFEST).exists():
                return cls(path, folder)
        problem = "lies in no model folder" if path.exists() else "no such file or folder"
        raise UserError(problem, where=path, hint="name model folders, or weights files inside of them")


def newest(folder: Path, count: int) -> list[WeightsFile]:
    """The newest weights that training kept."""
    read_manifest(folder)
    files = RecentWeights(folder / RECENT, count).files()
    if len(files) < count:
        hint = f"train with --set training.average_last={count}" + (f", or ask for {len(files)}" if files else "")
        raise UserError(f"holds {len(files)} checkpoints, not {count}", where=folder / RECENT, hint=hint)
    return [WeightsFile(path, folder) for path in files[-count:]]


def average_models(sources: Sequence[WeightsFile], output: Path, *, force: bool = False) -> None:
    """Write a model folder with the mean weights, and everything else as the first one's.

    Models of different vocabularies, tying modes or sizes are a UserError. force: replace an average that is there.
    """
    check_output(output, force=force)
    for source in sources[1:]:
        check_same_model(source.folder, sources[0].folder)
    first = sources[0].folder
    read_config(first), Vocabulary.load(first / VOCABULARY)  # or a UserError, before the work
    average = average_files([source.weights for source in sources])
    manifest = read_manifest(first) | {"versions": versions(), "averaged": [_described(source) for source in sources]}
    output = output.resolve()
    with scratch_folder(output) as scratch:
        made = scratch / "model"
        for path in (first / CONFIG, first / VOCABULARY, *TextPipeline.files(first)):
            with atomic_write(made / path.name) as stream:
                stream.write(path.read_bytes())
        write_text(made / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        save_tensors(made / BEST, average.tensors, average.metadata)
        try:
            load_bundle(made, torch.device("cpu"))  # it is whole, and tied as it says
        except UserError as error:
            raise UserError(error.problem, where=sources[0].weights, hint=error.hint) from None
        put_in_place(made, output)


def _described(source: WeightsFile) -> dict[str, str]:
    return {"weights": str(source.weights), "sha256": sha256_of(source.weights)}


def check_output(output: Path, *, force: bool) -> None:
    """A folder with anything in it is not written to; one that holds an average is replaced if the user says so."""
    if output.exists() and not output.is_dir():
        raise UserError("is a file, not a folder", where=output, hint="name another with --output")
    if not output.is_dir() or not any(output.iterdir()):
        return
    averaged = (output / MANIFEST).exists() and "averaged" in read_manifest(output)
    if not averaged:
        raise UserError("is not empty", where=output, hint="name another folder with --output")
    if not force:
        raise UserError("holds an average", where=output, hint="replace it with --force, or name another --output")


def check_same_model(folder: Path, first: Path) -> None:
    """Raise a UserError unless the folders hold models of one vocabulary and, but for dropout, the same settings."""
    if folder == first:
        return
    if read_manifest(folder).get("vocabulary") != read_manifest(first).get("vocabulary"):
        hint = "average models that were trained on the same prepared folder"
        raise UserError(f"another vocabulary than {first} has", where=folder, hint=hint)
    models = [dataclasses.asdict(read_config(one).model) for one in (folder, first)]
    for key, value in models[0].items():
        if key not in FREE_SETTINGS and value != models[1][key]:
            problem = f"model.{key} is {value!r}, in {first} it is {models[1][key]!r}"
            raise UserError(problem, where=folder, hint="average models that differ in their weights alone")
