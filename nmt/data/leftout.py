"""Files that look like a corpus's text and are not read: which, and why."""

from __future__ import annotations

import re
from pathlib import Path

from nmt import languages
from nmt.data.files import NAME, OTHER_NAMES, SPLITS, CorpusFiles, names_language

LOOKS_LIKE_TEXT = re.compile(rf"({'|'.join((*SPLITS, *OTHER_NAMES['valid']))})[.\-_].+")
SHOWN = 5
"As many names are told for each reason."


def left_out(folder: Path | str, files: CorpusFiles) -> list[str]:
    """A line for each reason why files of a corpus folder are not read, with their names."""
    read = {path.name for pairs in files.splits.values() for pair in pairs for path in pair.paths()}
    reasons: dict[str, list[str]] = {}
    for path in sorted(Path(folder).iterdir()):
        if path.is_file() and path.name not in read and (name := LOOKS_LIKE_TEXT.fullmatch(path.name)):
            reasons.setdefault(_reason(path, name[1], files), []).append(path.name)
    return [f"{_listed(names)}: {reason}" for reason, names in reasons.items()]


def _reason(path: Path, split: str, files: CorpusFiles) -> str:
    if split not in SPLITS:
        return f"names begin with {', '.join(SPLITS[:-1])} or {SPLITS[-1]}"
    match = NAME.fullmatch(path.name)
    if not match or not names_language(match["language"]):
        return "the name does not end in a language tag (BCP 47, ISO 639, FLORES)"
    if languages.among(match["language"], (files.source, files.target)) is None:
        return f"neither {files.source} nor {files.target}"
    if split in files.splits and not any(_in_same_folder(path, split, files)):
        return f"--{split} names other files"
    return "there is no such file in the other language"


def _in_same_folder(path: Path, split: str, files: CorpusFiles) -> list[bool]:
    return [pair.source.parent == path.parent for pair in files.splits[split]]


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
