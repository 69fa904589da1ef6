"""Where weights come from that do not start at random: another model's, or vectors for rows of the vocabulary.

From a model a run has weights, architecture, vocabulary and text; optimizer, schedule and patience are new. What a run
began with is in the manifest; from its first moment it needs its own folder alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from bpe.errors import UserError
from bpe.textfiles import sha256_of
from nmt.config import Config, PathsConfig
from nmt.configfile import Values, build_config
from nmt.data.corpus import PreparedCorpus
from nmt.data.mixing import describe_mix
from nmt.folder.bundle import (
    BEST,
    VOCABULARY,
    Bundle,
    check_model_folder,
    config_of,
    load_bundle,
    read_manifest,
    weights_in,
)
from nmt.folder.growth import Growth
from nmt.folder.vectors import Filled, fill_rows, names_of, root_mean_square
from nmt.layers.tying import load_unique
from nmt.models.interface import TranslationModel
from nmt.text.fitting import misfit
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import NUM_SPECIALS
from nmt.word2vec.vectors import read_vectors

KEY, VECTORS_KEY = "paths.start", "paths.embeddings"
FLAG = "--from"
FREE = frozenset(("dropout", "attention_dropout", "feedforward_dropout", "attention_layer", "initialization"))
"Keys of the model that its weights do not depend on; the others are the model's."


def fingerprint_of(folder: Path, weights: str = BEST) -> str:
    """SHA-256 over the hashes of a model folder's weights, vocabulary and text pipeline, in hexadecimal."""
    paths = [folder / weights, folder / VOCABULARY, *TextPipeline.files(folder)]
    listing = "".join(f"{sha256_of(path)}  {path.name}\n" for path in paths)
    return hashlib.sha256(listing.encode("utf-8")).hexdigest()


class Beginning(Protocol):
    """What a run starts from."""

    entry: ClassVar[str]
    "Its name in the manifest."

    def check_fits(self, corpus: PreparedCorpus, config: Config) -> None:
        """Raise a UserError unless it suits the data and the model."""

    def load_into(self, model: TranslationModel, corpus: PreparedCorpus) -> None:
        """Give a new model its weights."""

    def described(self, corpus: PreparedCorpus) -> dict[str, Any]:
        """For the manifest."""

    def lines(self, corpus: PreparedCorpus) -> list[str]:
        """What the ledger says of it."""


def beginning_of(paths: PathsConfig) -> Beginning | None:
    """What the weights of a new run start from; None: they start at random."""
    if paths.start and paths.embeddings:
        raise UserError(f"rows come from {paths.start} already", where="--embeddings", hint=f"leave one out: {FLAG}")
    if paths.start:
        return Start.read(paths.start)
    return VectorStart(Path(paths.embeddings)) if paths.embeddings else None


def start_values(wanted: Values, folder: Path) -> Values:
    """The keys that are the model's where a run starts from one, to stand below what the user asked for.

    Its architecture and its settings of search. A contradiction is a UserError. folder: of the new model, which must be
    another.
    """
    start = build_config({key: value for key, value in wanted.items() if key == KEY}).paths.start
    if not start:
        return {}
    owner, weights = weights_in(Path(start))
    check_model_folder(owner, f"name a model folder, or a weights file in one, with {FLAG}")
    read_manifest(owner)
    if owner.resolve() == folder.resolve():
        raise UserError("is the model to start from itself", where=folder, hint="name another folder with --model")
    config = config_of(owner, weights)
    sections = {"model": {key: getattr(config.model, key) for key in config.model.own_keys()}}
    sections["search"] = dataclasses.asdict(config.search)
    own = {f"{section}.{key}": value for section, body in sections.items() for key, value in body.items()}
    for key in sorted(wanted, key=lambda key: key != "model.architecture"):  # others may follow from it
        (section, _, name), value = key.partition("."), wanted[key]
        if section == "model" and name not in FREE and value != (there := getattr(config.model, name)):
            hint = f"leave it out: {FLAG} takes it from the model"
            if name == "tying":
                hint = f"nmt-convert --tying {value} {owner} --model OTHER makes a model to start from"
            raise UserError(f"is {there!r} in {owner}, and cannot become {value!r}", where=key, hint=hint)
    return own


@dataclass(frozen=True)
class Start:
    """The model that a run starts from."""

    entry: ClassVar[str] = "from"
    bundle: Bundle
    fingerprint: str

    @classmethod
    def read(cls, start: str) -> Start:
        """start: a model folder, or a weights file in one."""
        owner, weights = weights_in(Path(start))
        return cls(load_bundle(start, torch.device("cpu")), fingerprint_of(owner, weights))

    def check_fits(self, corpus: PreparedCorpus, config: Config) -> None:
        """See Beginning.check_fits: the data is in the model's text and has all its pieces."""
        bundle = self.bundle
        if problem := misfit(corpus.text, corpus.vocabulary, bundle.text, bundle.vocabulary):
            hint = f"prepare it with nmt-prep --like {bundle.folder}"
            raise UserError(f"does not fit {bundle.folder}: {problem}", where=corpus.folder, hint=hint)

    def growth(self, corpus: PreparedCorpus) -> Growth:
        """Where the new model's rows come from."""
        shared = self.bundle.model.embeddings.tying.shares_source
        return Growth.of(self.bundle.vocabulary, corpus.vocabulary, corpus.text, shared=shared)

    def load_into(self, model: TranslationModel, corpus: PreparedCorpus) -> None:
        """Give a new model of the same architecture and tying the weights."""
        load_unique(model, self.growth(corpus).weights(self.bundle.model))
        model.embeddings.assert_tied()
        self.bundle.model.to(torch.device("meta"))  # only its sizes are needed from here on

    @cached_property
    def _manifest(self) -> dict[str, Any]:
        return read_manifest(self.bundle.folder)

    def described(self, corpus: PreparedCorpus) -> dict[str, Any]:
        """For the manifest: which model, how far it was trained, on which data, and where rows come from."""
        growth, before = self.growth(corpus), self._manifest
        rows = {side: {"kept": len(rows.origins) - rows.new, "new": rows.new, "mean_of_all": rows.without_parts}
                for side, rows in (("source", growth.source), ("target", growth.target))}  # fmt: skip
        described = {
            "folder": self.bundle.folder.name,
            "fingerprint": self.fingerprint,
            "update": self.bundle.metadata.get("update"),
            "data": before["data"].get("fingerprint"),
            "vocabulary": before["vocabulary"],
            "rows": rows,
        }
        earlier = {"from": before.get("from"), "converted": before["data"].get("converted")}
        return described | {key: value for key, value in earlier.items() if value}

    def lines(self, corpus: PreparedCorpus) -> list[str]:
        """What the ledger says of it."""
        described = self.described(corpus)
        update = f"update {int(described['update']):,}" if described["update"] else "its weights"
        lines = [
            f"from {self.bundle.folder} ({described['fingerprint'][:8]}): {update}; optimizer and schedule are new"
        ]
        growth = self.growth(corpus)
        if not growth.any:
            return [*lines, "  vocabulary: the model's, every row its own"]
        shared = self.bundle.model.embeddings.tying.shares_source
        sides = {"union": growth.source} if shared else {"source": growth.source, "target": growth.target}
        for name, rows in sides.items():
            lines.append(
                f"  {name}: {len(rows.origins) - rows.new:,} rows kept, {rows.new:,} new: means of their parts' rows"
                + (f", {rows.without_parts:,} of them of all rows" if rows.without_parts else "")
            )
        return lines


class VectorStart:
    """A file of vectors that rows start from."""

    entry: ClassVar[str] = "embeddings"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._vectors: dict[str, np.ndarray] = {}
        self._filled: dict[str, Filled] = {}

    def check_fits(self, corpus: PreparedCorpus, config: Config) -> None:
        """See Beginning.check_fits: the vectors are as wide as the model's rows, and some are of its pieces."""
        names = frozenset(name for piece in corpus.vocabulary.pieces[NUM_SPECIALS:] for name in names_of(piece))
        words, vectors = read_vectors(self.path, words=names, size=config.model.embedding_size)
        if not words:
            hint = "is it in these languages?"
            raise UserError("has no word that is a piece of the vocabulary", where=self.path, hint=hint)
        self._vectors = dict(zip(reversed(words), vectors[::-1], strict=True))  # the first of equal words

    def load_into(self, model: TranslationModel, corpus: PreparedCorpus) -> None:
        """See Beginning.load_into; `check_fits` has read them."""
        self._filled = fill_rows(model.embeddings, corpus.vocabulary, self._vectors)
        model.embeddings.assert_tied()

    def described(self, corpus: PreparedCorpus) -> dict[str, Any]:
        """See Beginning.described."""
        return {"file": self.path.name, "fingerprint": sha256_of(self.path), "vectors": len(self._vectors)}

    def lines(self, corpus: PreparedCorpus) -> list[str]:
        """See Beginning.lines."""
        size = root_mean_square(list(self._vectors.values()))
        lines = [f"rows from {self.path}: {len(self._vectors):,} vectors of root mean square {size:.3g}"]
        return lines + [f"  {view}: {each.found:,} of {each.rows:,} rows" for view, each in self._filled.items()]


def check_same_beginning(manifest: Mapping[str, Any], asked: Values, folder: Path) -> None:
    """A run continues from what it began with; where that is no longer there, from what is known.

    asked: the keys that the user set now. folder: the run's.
    """
    start, vectors = asked.get(KEY), asked.get(VECTORS_KEY)
    for path, entry, flag in ((start, Start.entry, FLAG), (vectors, VectorStart.entry, "--embeddings")):
        began = manifest.get(entry)
        if path is None or (began and _fingerprint(Path(path), entry) in ("", began["fingerprint"])):
            continue
        hint = f"leave {flag} out to go on, name another folder with --model, or start over with --force"
        raise UserError(f"this run did not start from {path}" + " as it is now" * bool(began), where=folder, hint=hint)


def _fingerprint(path: Path, entry: str) -> str:
    """Of what a run may have started from; empty where it is no longer there."""
    if entry == VectorStart.entry:
        return sha256_of(path) if path.is_file() else ""
    owner, weights = weights_in(path)
    return fingerprint_of(owner, weights) if (owner / weights).is_file() else ""


def check_same_mix(manifest: Mapping[str, Any], mix: Sequence[str]) -> None:
    """A run continues with the same data mixed in, wherever it lies now."""
    mixes = manifest.get("mix", []), describe_mix(mix)
    before, now = ([(each["fingerprint"], each["weight"]) for each in one] for one in mixes)
    if before != now:
        named = ", ".join(f"{each['folder']}={each['weight']:g}" for each in mixes[0]) or "nothing"
        hint = f"this run has {named}; name another folder with --model, or start over with --force"
        raise UserError("other data is mixed in than the run began with", where="training.mix", hint=hint)
