"""Packages of Argos Translate, which LibreTranslate serves: a zip file of one folder, named `*.argosmodel`.

metadata.json                        languages, versions
model/                               CTranslate2's
sentencepiece.model or bpe.model     see `nmt.conversion.argos_text`
README.md                            what differs from nmt-translate
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import atomic_write
from nmt.conversion.argos_text import argos_text
from nmt.conversion.ctranslate2_folder import Specification, check_expressible
from nmt.folder.bundle import Bundle
from nmt.scratch import scratch_folder
from nmt.text.languages import code_of

SUFFIX = ".argosmodel"
ARGOS_VERSION = "1.11.0"
"Of Argos Translate, that the packages are tested with."
EPOCH = (1980, 1, 1, 0, 0, 0)
"Of all files in a package: the same model makes the same bytes."


@dataclass(frozen=True, kw_only=True)
class PackageOptions:
    """What a package says of itself."""

    source_name: str
    "Of the language, for people."
    target_name: str
    version: str = "1.0"
    quantization: str = "int8"


def export_argos(bundle: Bundle, path: Path, options: PackageOptions) -> list[str]:
    """Write a package; returns what Argos will read or write otherwise than nmt-translate, for people.

    Raises UserError for models that CTranslate2 does not have and text pipelines that Argos does not have.
    """
    check_path(path)
    check_expressible(bundle)
    text = argos_text(bundle)
    found = Specification(bundle, text.pieces)
    prep = bundle.config.prep
    source, target = code_of(bundle.text.options.source), code_of(bundle.text.options.target)
    metadata = {
        "package_version": options.version,
        "argos_version": ARGOS_VERSION,
        "from_code": source,
        "from_name": options.source_name,
        "to_code": target,
        "to_name": options.target_name,
    }
    with scratch_folder(path) as scratch:
        folder = scratch / f"{source}_{target}-{options.version}"
        (folder / "model").mkdir(parents=True)
        found.write(folder / "model", options.quantization)
        text.write(folder)
        (folder / "metadata.json").write_text(
            json.dumps(metadata, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
        (folder / "README.md").write_text(readme(f"{prep.source} to {prep.target}", text.differs), encoding="utf-8")
        pack(folder, path)
    return list(text.differs)


def check_path(path: Path) -> None:
    """Raise a UserError unless a package can be written there."""
    if path.suffix != SUFFIX:
        raise UserError(f"is no name of a package: it must end in {SUFFIX}", where=path, hint="name another --output")
    if path.exists():
        raise UserError("is there already", where=path, hint="name another --output, or remove it")


def pack(folder: Path, path: Path) -> None:
    """A zip file of a folder, its name in front of all names."""
    with atomic_write(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                entry = zipfile.ZipInfo(str(file.relative_to(folder.parent)), EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                    while block := source.read(1 << 20):
                        target.write(block)


def readme(languages: str, differs: tuple[str, ...]) -> str:
    """What is to be known of a package."""
    lines = [f"- {one}" for one in differs]
    head = [
        f"# {languages}",
        "",
        "Made by nmt-export. Argos Translate's translations are those of nmt-translate but for:",
        "",
    ]
    return "\n".join([*head, *lines, "- its own sentence splitting, beam and length penalty", ""])
