"""What the name of a corpus file says: its split, its language or languages."""

from __future__ import annotations

from pathlib import Path

from bpe.compressed import SUFFIXES as PACKED
from bpe.errors import UserError
from nmt.data.corpus import VALID
from nmt.prepare.bitext import SUFFIXES as ONE_FILE
from nmt.text import languages

SPLITS = ("train", "valid", "test")
NOT_LANGUAGES = frozenset(
    (
        "txt",
        "tsv",
        "tmx",
        "csv",
        "xml",
        "sgm",
        "bpe",
        "tok",
        "ids",
        "log",
        "bak",
        "tmp",
        "raw",
        "old",
        "zip",
        "tar",
        "xz",
        "gz",
        "zst",
    )
)
"Endings of other files, some of which are languages too: .bak, .log and .old are spoken somewhere."


def split_of(stem: str) -> str:
    """The split of text by its files' name without the language: train, valid, test, or valid.NAME.

    Of valid.news.en and valid.news.en-de.tsv it is valid.news, of valid-1.en and valid.en-de.tsv valid.
    """
    name = plain_name(Path(stem)).removesuffix(".tsv").removesuffix(".tmx")
    words = [word for word in name.split(".") if not _names_pair(word)]
    if words[0] == VALID and len(words) > 1:
        return ".".join(words)
    return next(split for split in SPLITS if stem.startswith(split))


def _names_pair(word: str) -> bool:
    """Whether a part of a name is that of a language pair, as en-de."""
    halves = word.split("-")
    return any(
        names_language("-".join(halves[:cut])) and names_language("-".join(halves[cut:]))
        for cut in range(1, len(halves))
    )


def plain_name(path: Path) -> str:
    """The name without the ending of its compression."""
    return path.name.removesuffix(path.suffix) if path.suffix in PACKED else path.name


def languages_inside(path: Path) -> tuple[str, str] | None:
    """The languages that the name of a file with both sides names, in their order, as train.en-de.tsv; else None.

    Regions are set off by '_' where a '-' could be read in two ways: en-pt_BR. Such a name is a UserError.
    """
    name = plain_name(path)
    if not name.endswith(ONE_FILE):
        return None
    words = name.split(".")[-2].split("-")
    halves = [("-".join(words[:cut]), "-".join(words[cut:])) for cut in range(1, len(words))]
    found = [half for half in halves if all(map(names_language, half))]
    if len(found) > 1:
        hint = f"set a region off by '_', as {found[0][0]}-{found[0][1].replace('-', '_')}"
        raise UserError("its name can be read in two ways", where=path, hint=hint)
    return found[0] if found else None


def names_language(ending: str) -> bool:
    """Whether the end of a file's name says the language of what is in it."""
    if ending.lower() in NOT_LANGUAGES:
        return False
    return languages.SIMPLE_TAG.fullmatch(ending) is not None or languages.read_tag(ending).known
