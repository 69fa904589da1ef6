"""A prepared running text: memory-mapped rows of a vocabulary, every line's end among them, as a language model reads.

prepared/   manifest.json           what it was made from and holds, with the hash of every other file
            vocabulary.json         nmt.text.words
            text.json, bpe.codes    nmt.text.pipeline, where its words are cut into subwords
            {split}.ids             the words of all lines in a row, little-endian int32
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bpe.errors import UserError
from bpe.textfiles import sha256_of, write_text
from nmt.data.corpus import MANIFEST_FILE, VOCABULARY_FILE, checksum
from nmt.text.words import WordVocabulary

FORMAT, FORMAT_VERSION = "nmt-running-text", 1
ID_TYPE = np.dtype("<i4")
AGAIN = "run nmt-lm prep --force to prepare it again, or copy the whole folder once more"


def ids_file(split: str) -> str:
    """Name of the file of a split's words."""
    return f"{split}.ids"


@dataclass(frozen=True)
class RunningText:
    """A folder that nmt-lm prep wrote."""

    folder: Path
    manifest: dict[str, Any]
    vocabulary: WordVocabulary

    @classmethod
    def open(cls, folder: Path | str) -> RunningText:
        """Open a prepared folder; a missing, foreign, truncated or mixed one is a UserError."""
        folder = Path(folder)
        manifest = read_text_manifest(folder)
        for name, output in manifest["outputs"].items():
            path = folder / name
            if not path.is_file():
                raise UserError("missing", where=path, hint=AGAIN)
            if path.stat().st_size != output["bytes"]:
                found = f"{path.stat().st_size:,} bytes where nmt-lm prep wrote {output['bytes']:,}"
                raise UserError(f"changed: {found}", where=path, hint=AGAIN)
        vocabulary = WordVocabulary.load(folder / VOCABULARY_FILE)
        if vocabulary.fingerprint != manifest["vocabulary"]["fingerprint"]:
            problem = "this vocabulary does not belong to the text beside it"
            raise UserError(problem, where=folder / VOCABULARY_FILE, hint=AGAIN)
        return cls(folder, manifest, vocabulary)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the hashes of all its files: two equal ones hold the same text."""
        return str(self.manifest["fingerprint"])

    def has_split(self, name: str) -> bool:
        """Whether there is a train, valid or test split."""
        return name in self.manifest["splits"]

    def split(self, name: str) -> np.ndarray:
        """A split's words as rows of the vocabulary, [n] int32, read from disk as they are used."""
        if not self.has_split(name):
            hint = f"it holds {', '.join(self.manifest['splits'])}; prepare it again with --{name} FILE"
            raise UserError(f"no {name} split was prepared", where=self.folder, hint=hint)
        path = self.folder / ids_file(name)
        return np.memmap(path, dtype=ID_TYPE, mode="r") if path.stat().st_size else np.empty(0, ID_TYPE)


def write_text_manifest(folder: Path, content: dict[str, Any], fingerprint: str) -> dict[str, Any]:
    """Write the manifest of a folder that holds everything else; returns it."""
    outputs = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST_FILE
    }
    manifest = {"format": FORMAT, "version": FORMAT_VERSION, **content, "outputs": outputs, "fingerprint": fingerprint}
    manifest["checksum"] = checksum(manifest)
    write_text(folder / MANIFEST_FILE, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return manifest


def read_text_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a prepared folder, its format checked."""
    path, hint = folder / MANIFEST_FILE, "name a folder that nmt-lm prep wrote with --prepared"
    try:
        manifest = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        problem = "not a prepared text: it has no manifest.json" if folder.is_dir() else "no such folder"
        raise UserError(
            problem, where=folder, hint="run nmt-lm prep first, or name the folder with --prepared"
        ) from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise UserError("damaged: not JSON", where=path, hint=AGAIN) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        pairs = isinstance(manifest, dict) and manifest.get("format") == "nmt-prepared"
        problem = "holds parallel text for nmt-train, not the text of a language model" if pairs else "no prepared text"
        raise UserError(problem, where=path, hint=hint)
    if manifest.get("version") != FORMAT_VERSION:
        found = f"format version {manifest.get('version')!r}, but this program reads version {FORMAT_VERSION}"
        raise UserError(found, where=path, hint="run nmt-lm prep --force, or install the version that wrote it")
    if manifest.get("checksum") != checksum(manifest):
        raise UserError("damaged or edited: it does not fit its own checksum", where=path, hint=AGAIN)
    return manifest
