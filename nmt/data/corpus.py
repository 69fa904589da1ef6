"""A prepared corpus: memory-mapped union ids of parallel text, with the vocabulary and text pipeline they belong to.

prepared/   manifest.json                      what it was made from and holds, with the hash of every other file
            vocabulary.json                    nmt.text.vocabulary
            text.json, bpe.codes               nmt.text (or sentencepiece.model in place of bpe.codes)
            {split}.{side}.ids                 pieces of all lines in a row, little-endian int32 union ids, no </s>
            {split}.{side}.offsets             n + 1 int64: line i is ids[offsets[i]:offsets[i + 1]]
            {split}.{side}.txt                 the raw lines of valid and test
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bpe.errors import UserError
from bpe.textfiles import read_lines, sha256_of
from nmt.text.pipeline import SIDES, Side, TextPipeline
from nmt.text.vocabulary import Vocabulary

MANIFEST_FILE, VOCABULARY_FILE = "manifest.json", "vocabulary.json"
FORMAT, FORMAT_VERSION = "nmt-prepared", 1
VALID = "valid"
"The validation set that is always there; further ones are valid.NAME."

ID_TYPE, OFFSET_TYPE = np.dtype("<i4"), np.dtype("<i8")

PREPARE_AGAIN = "run nmt-prep --force to prepare it again, or copy the whole folder once more"


def ids_file(split: str, side: Side) -> str:
    """Name of the file of a side's ids."""
    return f"{split}.{side}.ids"


def offsets_file(split: str, side: Side) -> str:
    """Name of the file of a side's line starts."""
    return f"{split}.{side}.offsets"


def raw_file(split: str, side: Side) -> str:
    """Name of the file of a side's raw lines (valid and test only)."""
    return f"{split}.{side}.txt"


@dataclass(frozen=True)
class ParallelIds:
    """n pairs of lines as union ids, read from disk as they are used. Lines may be empty in valid and test."""

    source_ids: np.ndarray
    "[pieces of all source lines] int32."
    source_offsets: np.ndarray
    "[n + 1] int64; source line i is source_ids[source_offsets[i]:source_offsets[i + 1]]."
    target_ids: np.ndarray
    "[pieces of all target lines] int32."
    target_offsets: np.ndarray
    "[n + 1] int64."

    def __len__(self) -> int:
        return len(self.source_offsets) - 1

    def source(self, line: int) -> np.ndarray:
        """Union ids of a source line, [pieces] int32, without </s>."""
        return self.source_ids[self.source_offsets[line] : self.source_offsets[line + 1]]

    def target(self, line: int) -> np.ndarray:
        """Union ids of a target line, [pieces] int32, without </s>."""
        return self.target_ids[self.target_offsets[line] : self.target_offsets[line + 1]]

    @cached_property
    def source_lengths(self) -> np.ndarray:
        """[n] int64: pieces of each source line."""
        return np.diff(self.source_offsets)

    @cached_property
    def target_lengths(self) -> np.ndarray:
        """[n] int64: pieces of each target line."""
        return np.diff(self.target_offsets)


class PreparedCorpus:
    """A folder that nmt-prep wrote. `open` checks sizes and belonging; `verify` reads and hashes every byte."""

    def __init__(self, folder: Path, manifest: dict[str, Any], vocabulary: Vocabulary) -> None:
        self.folder, self.manifest, self.vocabulary = folder, manifest, vocabulary

    @classmethod
    def open(cls, folder: Path | str) -> PreparedCorpus:
        """Open a prepared folder; a missing, foreign, truncated or mixed one is a UserError."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        for name, output in manifest["outputs"].items():
            _check_size(folder / name, output["bytes"])
        vocabulary = Vocabulary.load(folder / VOCABULARY_FILE)
        if vocabulary.fingerprint != manifest["vocabulary"]["fingerprint"]:
            raise UserError(
                "this vocabulary does not belong to the data beside it",
                where=folder / VOCABULARY_FILE,
                hint=PREPARE_AGAIN,
            )
        return cls(folder, manifest, vocabulary)

    @cached_property
    def text(self) -> TextPipeline:
        """The text pipeline the data went through."""
        return TextPipeline.load(self.folder)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the hashes of all its files, in hexadecimal: two equal ones hold the same data."""
        return str(self.manifest["fingerprint"])

    def has_split(self, name: str) -> bool:
        """Whether there is a train, valid or test split."""
        return name in self.manifest["splits"]

    @property
    def validation_sets(self) -> list[str]:
        """The validation sets: valid, and valid.NAME for each further one, by name."""
        return sorted(name for name in self.manifest["splits"] if name.split(".")[0] == VALID)

    def split(self, name: str) -> ParallelIds:
        """A split's ids, memory-mapped; a split that was not prepared is a UserError."""
        self._check_split(name)
        arrays: dict[str, np.ndarray] = {}
        for side in SIDES:
            ids = _map(self.folder / ids_file(name, side), ID_TYPE)
            offsets = _map(self.folder / offsets_file(name, side), OFFSET_TYPE)
            if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(ids):
                where = self.folder / offsets_file(name, side)
                raise UserError("its line starts do not fit the ids beside it", where=where, hint=PREPARE_AGAIN)
            arrays |= {f"{side}_ids": ids, f"{side}_offsets": offsets}
        if len(arrays["source_offsets"]) != len(arrays["target_offsets"]):
            raise UserError(f"the sides of {name} differ in length", where=self.folder, hint=PREPARE_AGAIN)
        return ParallelIds(**arrays)

    def raw_lines(self, name: str, side: Side) -> list[str]:
        """The raw lines of valid or test as they were in the corpus."""
        self._check_split(name)
        return list(read_lines(self.folder / raw_file(name, side)))

    def verify(self) -> None:
        """Hash every file; one that is not as nmt-prep wrote it is a UserError."""
        for name, output in self.manifest["outputs"].items():
            if sha256_of(self.folder / name) != output["sha256"]:
                raise UserError("changed since nmt-prep wrote it", where=self.folder / name, hint=PREPARE_AGAIN)

    def _check_split(self, name: str) -> None:
        if not self.has_split(name):
            there = ", ".join(self.manifest["splits"])
            hint = f"it holds {there}; add {name} files to the corpus and run nmt-prep --force"
            raise UserError(f"no {name} split was prepared", where=self.folder, hint=hint)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a prepared folder, its format checked."""
    path = folder / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        problem = "not a prepared corpus: it has no manifest.json" if folder.is_dir() else "no such folder"
        raise UserError(problem, where=folder, hint="run nmt-prep first, or name the folder with --prepared") from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise UserError("damaged: not JSON", where=path, hint=PREPARE_AGAIN) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError("was not written by nmt-prep", where=path, hint="name a prepared folder with --prepared")
    if manifest.get("version") != FORMAT_VERSION:
        found = f"format version {manifest.get('version')!r}, but this program reads version {FORMAT_VERSION}"
        raise UserError(found, where=path, hint="run nmt-prep --force, or install the version that wrote it")
    if manifest.get("checksum") != checksum(manifest):
        raise UserError("damaged or edited: it does not fit its own checksum", where=path, hint=PREPARE_AGAIN)
    return manifest


def checksum(manifest: dict[str, Any]) -> str:
    """SHA-256 of a manifest's content without the checksum in it, in hexadecimal."""
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode("ascii")).hexdigest()


def _check_size(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except OSError:
        raise UserError("missing", where=path, hint=PREPARE_AGAIN) from None
    if found != size:
        word = "truncated" if found < size else "changed"
        raise UserError(f"{word}: {found:,} bytes where nmt-prep wrote {size:,}", where=path, hint=PREPARE_AGAIN)


def _map(path: Path, kind: np.dtype[Any]) -> np.ndarray:
    """A file as an array without reading it; an empty file cannot be mapped."""
    try:
        return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, dtype=kind)
    except (OSError, ValueError):
        raise UserError("cannot be read as an array", where=path, hint=PREPARE_AGAIN) from None
