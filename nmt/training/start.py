"""A run that starts from another model: its weights, its architecture, its text; optimizer and schedule are new."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bpe.errors import UserError
from bpe.textfiles import sha256_of
from nmt.configfile import Values
from nmt.data.corpus import PreparedCorpus
from nmt.folder.bundle import BEST, MANIFEST, VOCABULARY, Bundle, load_bundle, read_manifest
from nmt.folder.growth import Growth
from nmt.layers.tying import load_unique
from nmt.models.interface import TranslationModel
from nmt.text.fitting import misfit
from nmt.text.pipeline import TextPipeline

KEY = "paths.start"
FLAG = "--from"
FREE = frozenset(("dropout", "attention_dropout", "feedforward_dropout", "attention_layer", "initialization"))
"Keys of the model that its weights do not depend on; the others are the model's."


def fingerprint_of(folder: Path, weights: str = BEST) -> str:
    """SHA-256 over the hashes of a model folder's weights, vocabulary and text pipeline, in hexadecimal."""
    paths = [folder / weights, folder / VOCABULARY, *TextPipeline.files(folder)]
    listing = "".join(f"{sha256_of(path)}  {path.name}\n" for path in paths)
    return hashlib.sha256(listing.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class Start:
    """The model that a run starts from."""

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
        """The keys that are the model's, to stand below what the user asked for; a contradiction is a UserError."""
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

    def check_fits(self, corpus: PreparedCorpus) -> None:
        """Raise a UserError unless the data is in the model's text and has all its pieces."""
        bundle = self.bundle
        if problem := misfit(corpus.text, corpus.vocabulary, bundle.text, bundle.vocabulary):
            hint = f"prepare it with nmt-prep --like {bundle.folder}"
            raise UserError(f"does not fit {bundle.folder}: {problem}", where=corpus.folder, hint=hint)
        self.growth(corpus)

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


def check_same_start(folder: Path, start: str | None) -> None:
    """A run continues from what it began with; where the model to start from is no longer there, from what is known.

    start: what the user asks for now; None: nothing.
    """
    if start is None:
        return
    began = read_manifest(folder).get("from")
    hint = "leave --from out to go on, name another folder with --model, or start over with --force"
    if began is None:
        raise UserError(f"this run did not start from {start}", where=folder, hint=hint)
    given = Path(start)
    owner = given if given.is_dir() else next((one for one in given.parents if (one / MANIFEST).exists()), given.parent)
    weights = str(given.relative_to(owner)) if given.is_file() else BEST
    if (owner / weights).is_file() and fingerprint_of(owner, weights) != began["fingerprint"]:
        raise UserError(f"this run started from another model than {start}", where=folder, hint=hint)
