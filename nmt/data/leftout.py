"""Which files of a corpus folder are not read, and why: found out before training and not after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bpe.compressed import SUFFIXES as PACKED
from nmt.data.bitext import SUFFIXES as ONE_FILE
from nmt.data.files import BEGINNING, NAME, NOT_LANGUAGES, OTHER_NAMES, CorpusFiles, languages_inside

NAMED = 5
"Files that a line names; more are counted."
ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar", ".lz4", ".lzma", ".Z", ".br")


def left_out(folder: Path, files: CorpusFiles) -> dict[str, list[str]]:
    """The names of the files that are not read, under the reason, sorted. Hidden files and folders are not meant."""
    used = {path.resolve() for pairs in files.splits.values() for pair in pairs for path in pair.paths()}
    reasons: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and not path.is_dir() and path.resolve() not in used:
            reasons.setdefault(_reason(path, files), []).append(path.name)
    return reasons


def in_words(reasons: Mapping[str, list[str]]) -> Iterator[str]:
    """A line for each reason."""
    for reason, names in reasons.items():
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        yield f"  left out: {', '.join(names[:NAMED])}{more} ({reason})"


def _reason(path: Path, files: CorpusFiles) -> str:
    name = path.name
    plain = name.removesuffix(path.suffix) if path.suffix in PACKED else name
    match = NAME.fullmatch(name)
    inside = (match["language"],) if match and match["language"] not in NOT_LANGUAGES else languages_inside(path)
    if name.endswith(ARCHIVES) or ".tar." in name:
        return "an archive: unpack it"
    for split, others in OTHER_NAMES.items():
        if name.split(".")[0].split("-")[0].split("_")[0] in others:
            return f"{split} text must be named {split}"
    if not BEGINNING.match(name):
        return "its name begins with none of train, valid and test"
    if inside and not {*inside} <= {files.source, files.target}:
        return f"not in {files.source} and {files.target}"
    if inside:
        return "other files were named in its place"
    if plain.endswith(ONE_FILE):
        return "its name must hold both languages, as train.en-de.tsv"
    return "its name does not end in a language"
