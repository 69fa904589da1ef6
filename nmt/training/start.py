"""Where weights come from that do not start at random: another model's, or vectors for rows of the vocabulary.

From a model a run has weights, architecture, vocabulary and text; optimizer, schedule and patience are new. What a run
began with is in the manifest; from its first moment it needs its own folder alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from bpe.errors import UserError
from bpe.textfiles import sha256_of
from nmt.config import Config
from nmt.configfile import Values, build_config
from nmt.data.corpus import PreparedCorpus
from nmt.folder.bundle import BEST, MANIFEST, VOCABULARY, Bundle, load_bundle, read_manifest
from nmt.folder.growth import Growth
from nmt.folder.vectors import Filled, fill_rows, names_of, read_vectors, root_mean_square
from nmt.layers.tying import load_unique
from nmt.models.interface import TranslationModel
from nmt.text.fitting import misfit
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import NUM_SPECIALS

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

    def values(self, wanted: Values) -> Values:
        """The keys that it decides, to stand below what the user asked for; a contradiction is a UserError."""

    def check_fits(self, corpus: PreparedCorpus, config: Config) -> None:
        """Raise a UserError unless it suits the data and the model."""

    def load_into(self, model: TranslationModel, corpus: PreparedCorpus) -> None:
        """Give a new model its weights."""

    def described(self, corpus: PreparedCorpus) -> dict[str, Any]:
        """For the manifest."""

    def lines(self, corpus: PreparedCorpus) -> list[str]:
        """What the ledger says of it."""


def beginning_of(values: Values, folder: Path) -> Beginning | None:
    """What the user wants to start from; None: weights at random. folder: the new model's."""
    paths = build_config(values).paths
    if paths.start and paths.embeddings:
        raise UserError(f"rows come from {paths.start} already", where="--embeddings", hint=f"leave one out: {FLAG}")
    if paths.start:
        return Start.read(paths.start, folder)
    return VectorStart(Path(paths.embeddings)) if paths.embeddings else None


@dataclass(frozen=True)
class Start:
    """The model that a run starts from."""

    entry: ClassVar[str] = "from"
    bundle: Bundle
    fingerprint: str

    @classmethod
    def read(cls, start: str, folder: Path) -> Start:
        """start: a model folder, or a weights file in one. folder: the new model's, which must be another."""
        given = Path(start)
        bundle = load_bundle(given, torch.device("cpu"))
        if bundle.folder.resolve() == folder.resolve():
            raise UserError("is the model to start from itself", where=folder, hint="name another folder with --model")
        weights = str(given.relative_to(bundle.folder)) if given.is_file() else BEST
        return cls(bundle, fingerprint_of(bundle.folder, weights))

    def values(self, wanted: Values) -> Values:
        """See Beginning.values: the architecture and the settings of search are the model's."""
        model, folder = self.bundle.config.model, self.bundle.folder
        sections = {"model": {key: getattr(model, key) for key in model.own_keys()}}
        sections["search"] = dataclasses.asdict(self.bundle.config.search)
        own = {f"{section}.{key}": value for section, body in sections.items() for key, value in body.items()}
        for key, value in wanted.items():
            section, _, name = key.partition(".")
            there = getattr(model, name) if section == "model" else value
            if name in FREE or value == there:
                continue
            hint = f"leave it out: {FLAG} takes it from the model"
            if name == "tying":
                hint = f"nmt-convert --tying {value} {folder} --model OTHER makes a model to start from"
            raise UserError(f"is {there!r} in {folder}, and cannot become {value!r}", where=key, hint=hint)
        return own

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

    def values(self, wanted: Values) -> Values:
        """See Beginning.values: vectors decide none."""
        return {}

    def check_fits(self, corpus: PreparedCorpus, config: Config) -> None:
        """See Beginning.check_fits: the vectors are as wide as the model's rows, and some are of its pieces."""
        names = frozenset(name for piece in corpus.vocabulary.pieces[NUM_SPECIALS:] for name in names_of(piece))
        self._vectors = read_vectors(self.path, names, config.model.embedding_size)

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


def check_same_vectors(folder: Path, path: str | None) -> None:
    """The same for vectors: they have been read, and other ones would change nothing."""
    began = read_manifest(folder).get(VectorStart.entry)
    same = path is None or (began and (not Path(path).is_file() or sha256_of(Path(path)) == began["fingerprint"]))
    if not same:
        hint = "leave --embeddings out to go on, name another folder with --model, or start over with --force"
        raise UserError(f"this run did not start from {path}", where=folder, hint=hint)


def check_same_start(folder: Path, start: str | None) -> None:
    """A run continues from what it began with; where the model to start from is no longer there, from what is known.

    start: what the user asks for now; None: nothing.
    """
    if start is None:
        return
    began = read_manifest(folder).get(Start.entry)
    hint = "leave --from out to go on, name another folder with --model, or start over with --force"
    if began is None:
        raise UserError(f"this run did not start from {start}", where=folder, hint=hint)
    given = Path(start)
    owner = given if given.is_dir() else next((one for one in given.parents if (one / MANIFEST).exists()), given.parent)
    weights = str(given.relative_to(owner)) if given.is_file() else BEST
    if (owner / weights).is_file() and fingerprint_of(owner, weights) != began["fingerprint"]:
        raise UserError(f"this run started from another model than {start}", where=folder, hint=hint)
