"""The manifest of a prepared folder: what it was made from, with which options, and what it holds."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nmt
from bpe.errors import UserError
from bpe.overlap import Overlap
from bpe.textfiles import sha256_of, write_text
from nmt.config import PrepConfig
from nmt.data.corpus import FORMAT, FORMAT_VERSION, MANIFEST_FILE, checksum
from nmt.prepare.files import CorpusFiles
from nmt.prepare.merging import SplitStatistics
from nmt.prepare.splits import Looked
from nmt.text.pipeline import SIDES
from nmt.text.vocabulary import Vocabulary

Manifest = dict[str, Any]
PACKAGES = ("numpy", "sacremoses", "sentencepiece")


@dataclass(frozen=True)
class LearnedSubwords:
    """What learning gave."""

    requested: int
    learned: int
    unit: str
    "merges or pieces."
    characters: int
    "Distinct characters of the training text."
    rare_characters: int
    "Those of them that are spelt in bytes for their rarity."
    words: int
    "Distinct words of the training text (0 with sentencepiece)."
    words_too_long: int
    "Words left out of learning for their length."


CLEANING_OFF: dict[str, Any] = {
    "min_length": 1,
    "max_word_length": 0,
    "min_alphabetic": 0,
    "drop": [],
    "detect_languages": False,
    "unescape_entities": False,
}
"Options of cleaning with the values that do nothing."


def input_paths(files: CorpusFiles) -> list[tuple[str, str, Path]]:
    """Split, side and path of every input file, in the order in which it is read."""
    return [
        (split, side, path)
        for split, pairs in files.splits.items()
        for pair in pairs
        for side, path in zip(SIDES, pair.paths(), strict=True)
    ]


def describe_inputs(files: CorpusFiles) -> list[dict[str, Any]]:
    """Every input file with its name, size and hash; not with its folder, which has no bearing on the result."""
    hashes = {path: _hash(path) for path in dict.fromkeys(path for _, _, path in input_paths(files))}
    return [
        {"split": split, "side": side, "name": path.name, "bytes": path.stat().st_size, "sha256": hashes[path]}
        for split, side, path in input_paths(files)
    ]


def describe_options(prep: PrepConfig, files: CorpusFiles) -> dict[str, Any]:
    """The options that shape the result, those without a bearing on it set to what they are by default."""
    options = asdict(prep) | {"source": files.source, "target": files.target}
    del options["check_sides"]
    options["protect"] = list(prep.protect)  # as it is read from JSON
    if not prep.protect:
        del options["protect"]
    if not prep.bpe_dropout:  # which older folders do not know
        del options["bpe_dropout"]
    unused = ["joint_bpe", "min_frequency"] if prep.sentencepiece else ["sentencepiece_model"]
    if prep.sentencepiece and prep.tokenizer != "reversible":
        unused += ["tokenizer"]
    if prep.tokenizer != "moses" or prep.sentencepiece:  # where older folders, which do not know it, are as without it
        unused += [name for name in ("source_normalize", "target_normalize") if options[name] == "none"]
    unused += [] if prep.min_character_count else ["min_character_count"]
    options["drop"] = sorted(set(prep.drop))
    if "language" in prep.drop:
        options["detect_languages"] = True
    unused += [name for name, off in CLEANING_OFF.items() if options[name] == off]  # which older folders do not know
    for name in unused:
        del options[name]
    return options


def describe_split(statistics: SplitStatistics, looked: Looked) -> dict[str, Any]:
    """Counts of one split. lengths: how many lines have 0, 1, 2 ... pieces. changed: lines that do not come back.

    found: pairs that each finding holds of. shifts: stretches of shifted pairs, with the names of their files.
    """
    pieces = {side: int(statistics.piece_counts[side].sum()) for side in SIDES}
    unknown, spelt = ({side: int(statistics.piece_counts[side][kind]) for side in SIDES} for kind in (0, 1))
    return {
        "pairs_read": statistics.pairs_read,
        "pairs": statistics.pairs,
        "dropped": {reason: int(count) for reason, count in statistics.dropped.items()},
        "source_pieces": pieces["source"],
        "target_pieces": pieces["target"],
        "source_unknown": unknown["source"],
        "target_unknown": unknown["target"],
        "source_bytes": spelt["source"],
        "target_bytes": spelt["target"],
        "source_changed": looked.changed["source"],
        "target_changed": looked.changed["target"],
        "found": {finding: int(count) for finding, count in looked.found.items() if count},
        "shifts": [
            asdict(shift) | {"source": Path(shift.source).name, "target": Path(shift.target).name}
            for shift in looked.shifts
        ],
        "source_lengths": statistics.lengths["source"].tolist(),
        "target_lengths": statistics.lengths["target"].tolist(),
    }


def describe_vocabulary(vocabulary: Vocabulary, rare: Mapping[int, int]) -> dict[str, Any]:
    """Sizes and fingerprint; rare: how many pieces occur at most so often in the training text."""
    return {
        "fingerprint": vocabulary.fingerprint,
        "size": vocabulary.size,
        "source_size": vocabulary.source_size,
        "target_size": vocabulary.target_size,
        "both": len(vocabulary.both),
        "source_only": len(vocabulary.source_only),
        "target_only": len(vocabulary.target_only),
        "rare": {str(limit): count for limit, count in rare.items()},
    }


def describe_overlap(overlap: Overlap) -> dict[str, Any]:
    """Table 1's row."""
    return dict(overlap.as_dict())


def package_versions() -> dict[str, str]:
    """Versions of what the result depends on; a package that is not installed is left out."""
    versions = {"nmt": nmt.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def write_manifest(folder: Path, content: Manifest) -> Manifest:
    """Hash every file of a folder and write its manifest last; returns the whole of it.

    fingerprint: SHA-256 over names and hashes of the outputs. checksum: of the manifest itself.
    """
    outputs = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in sorted(folder.iterdir())
    }
    listing = "".join(f"{output['sha256']}  {name}\n" for name, output in outputs.items())
    manifest = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "fingerprint": hashlib.sha256(listing.encode("utf-8")).hexdigest(),
        **content,
        "versions": package_versions(),
        "outputs": outputs,
    }
    manifest["checksum"] = checksum(manifest)
    write_text(folder / MANIFEST_FILE, json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")
    return manifest


def differences(manifest: Manifest, described: Manifest, files: CorpusFiles) -> list[str]:
    """In words, how a finished manifest differs from what is wanted now; nothing where the work is done already.

    described: the options and inputs of now, the latter of `files`.
    """
    there, options = manifest["options"], described["options"]
    names = [name for name in {**there, **options} if there.get(name) != options.get(name)]
    changes = [f"{name} is {there.get(name)!r} there, {options.get(name)!r} now" for name in names]
    old_like, new_like = whose_text(manifest), whose_text(described)
    if old_like != new_like:
        changes.append(f"it was made {old_like}, and is wanted {new_like} now")
    old, new = (
        [(file["split"], file["side"], file["sha256"]) for file in inputs]
        for inputs in (manifest["inputs"], described["inputs"])
    )
    changed = [str(path) for file, (_, _, path) in zip(new, input_paths(files), strict=True) if file not in old]
    if changed:
        changes.append(f"it was made from other text than {', '.join(changed[:3])}{' ...' if changed[3:] else ''}")
    elif old != new:
        changes.append("it was made from more files, or in another order")
    return changes


def whose_text(described: Manifest) -> str:
    """In words, whose text pipeline and vocabulary a preparation takes. described: a manifest, or its beginning."""
    like = described.get("like")
    if like is None:
        return "without --like"
    grown = " and --extend" if like["extend"] else ""
    return f"with --like a model of vocabulary {like['vocabulary'][:8]} and text {like['text'][:8]}{grown}"


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path, hint="check the permissions") from None
