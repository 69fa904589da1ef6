"""Which files of a corpus folder are not read, and why: found out before training and not after it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nmt.corpora.writer import RECORD
from nmt.prepare.bitext import SUFFIXES as ONE_FILE
from nmt.prepare.files import BEGINNING, NAME, OTHER_NAMES, CorpusFiles
from nmt.prepare.names import languages_inside, names_language, plain_name
from nmt.text import languages

NAMED = 5
"Files that a line names; more are counted."
ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar", ".lz4", ".lzma", ".Z", ".br")


def left_out(folder: Path, files: CorpusFiles) -> dict[str, list[str]]:
    """The names of the files that are not read, under the reason, sorted. Hidden files, folders and the record of
    nmt-data are not meant."""
    used = {path.resolve() for pairs in files.splits.values() for pair in pairs for path in pair.paths()}
    reasons: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        text = not path.name.startswith(".") and path.name != RECORD and not path.is_dir()
        if text and path.resolve() not in used:
            reasons.setdefault(_reason(path, files), []).append(path.name)
    return reasons


def in_words(reasons: Mapping[str, list[str]]) -> Iterator[str]:
    """A line for each reason."""
    for reason, names in reasons.items():
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        yield f"  left out: {', '.join(names[:NAMED])}{more} ({reason})"


def _reason(path: Path, files: CorpusFiles) -> str:
    name = path.name
    beginning = re.split(r"[.\-_]", name)[0]
    if name.endswith(ARCHIVES) or ".tar." in name:
        return "an archive: unpack it"
    for split, others in OTHER_NAMES.items():
        if beginning in others:
            return f"{split} text must be named {split}"
    if not BEGINNING.match(name):
        return "its name begins with none of train, valid and test"
    match = NAME.fullmatch(name)
    inside = (match["language"],) if match and names_language(match["language"]) else languages_inside(path)
    if not inside and plain_name(path).endswith(ONE_FILE):
        return "its name must hold both languages, as train.en-de.tsv"
    if not inside:
        return "its name does not end in a language tag (BCP 47, ISO 639, FLORES)"
    if any(languages.among(tag, (files.source, files.target)) is None for tag in inside):
        return f"not in {files.source} and {files.target}"
    if any(pair.source.parent != path.parent or not pair.source.name.startswith(beginning)
           for pair in files.splits.get(beginning, ())):  # fmt: skip
        return "other files were named in its place"
    return "there is no such file in the other language"
