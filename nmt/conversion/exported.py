"""export.json: what a folder for CTranslate2 says of itself, so that text can be translated with it and nothing else.

CTranslate2 reads pieces and writes pieces. Beside its files lie the text pipeline's and `vocabulary.json`; here stand
the settings of search, which rows are whose, what people may know of the model, and the SHA-256 of every other file.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from bpe.textfiles import sha256_of, write_text
from nmt.config import SearchConfig
from nmt.configfile import build_config, flatten
from nmt.folder.bundle import EXPORT, MANIFEST, VOCABULARY, Bundle, versions
from nmt.tying import Tying

FORMAT, FORMAT_VERSION = "nmt-export", 1
CTRANSLATE2 = "ctranslate2"
WEIGHTS = "model.bin"
"CTranslate2's."
RESTORE = "restore it from a copy, or export the model again"
WRITE = "nmt-export --to ctranslate2 --model DIR --output FOLDER writes one"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What stands in the file."""

    tying: Tying
    union_target: bool
    "Whether its target ids are the union's, not those of the target view."
    parameters: int
    "Of the model that was exported, each storage once."
    quantization: str
    "How its weights are stored."
    search: SearchConfig
    "The model folder's settings."


def describe_export(folder: Path, bundle: Bundle, quantization: str) -> None:
    """Write the vocabulary and export.json into a folder that has all its other files."""
    bundle.vocabulary.save(folder / VOCABULARY)
    model = bundle.model
    body = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "for": CTRANSLATE2,
        "quantization": quantization,
        "tying": model.embeddings.tying.value,
        "union_target": model.embeddings.union_target,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "search": dataclasses.asdict(bundle.config.search),
        "files": {path.name: sha256_of(path) for path in sorted(folder.iterdir())},
        "versions": versions(),
    }
    write_text(folder / EXPORT, json.dumps(body, indent=1, ensure_ascii=False) + "\n")


def read_export(folder: Path) -> Exported:
    """Read export.json and check the other files. What is not there, foreign, of another version or damaged is a
    UserError."""
    path = folder / EXPORT
    body = _body(folder, path)
    if body.get("version") != FORMAT_VERSION or body.get("for") != CTRANSLATE2:
        found = f"format version {body.get('version')!r} for {body.get('for')!r}"
        problem = f"{found}, but this program reads version {FORMAT_VERSION} for {CTRANSLATE2!r}"
        raise UserError(problem, where=path, hint="export the model again, or use the version that wrote it")
    kinds = {"quantization": str, "tying": str, "parameters": int, "search": dict, "files": dict}
    for key, kind in kinds.items():
        if not isinstance(body.get(key), kind):
            raise UserError(f"damaged (it lacks {key!r})", where=path, hint=RESTORE)
    if body["tying"] not in [mode.value for mode in Tying]:
        raise UserError(f"damaged (there is no tying {body['tying']!r})", where=path, hint=RESTORE)
    _check_files(folder, body["files"])
    search = build_config(flatten({"search": body["search"]}, str(path))).search
    named = {key: body[key] for key in ("quantization", "parameters")}
    tying = Tying(body["tying"])
    union_target = bool(body.get("union_target", tying.shares_source))
    return Exported(**named, tying=tying, union_target=union_target, search=search)


def _body(folder: Path, path: Path) -> dict[str, Any]:
    """The file's content, if it is ours."""
    if not folder.is_dir():
        raise UserError("is a file, not a folder" if folder.exists() else "no such folder", where=folder, hint=WRITE)
    if not path.exists():
        if (folder / MANIFEST).exists():
            raise UserError("a model folder, not an export of one", where=folder, hint="name it with --model")
        if (folder / WEIGHTS).exists():
            problem = f"a model of CTranslate2 without {EXPORT}: no text pipeline goes with it"
            hint = f"{WRITE}; nmt-convert --from marian reads OPUS-MT's models"
            raise UserError(problem, where=folder, hint=hint)
        raise UserError(f"not an export (no {EXPORT} in it)", where=folder, hint=WRITE)
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"damaged ({error})", where=path, hint=RESTORE) from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise UserError("does not describe an export", where=path, hint=WRITE)
    return body


def _check_files(folder: Path, hashes: dict[str, str]) -> None:
    """Every file as it was written: CTranslate2 trusts the numbers in a damaged one."""
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file():
            raise UserError("is missing", where=path, hint=RESTORE)
        if sha256_of(path) != expected:
            raise UserError("damaged: not what nmt-export wrote", where=path, hint=RESTORE)
