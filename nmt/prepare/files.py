"""Which files make up a corpus: train*.LANG, valid*.LANG and test*.LANG of one folder, or files named one by one.

Beside valid.LANG, files valid.NAME.LANG are further validation sets; without it, they are its shards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from bpe.errors import UserError
from nmt.data.corpus import VALID
from nmt.prepare.bitext import SUFFIXES as ONE_FILE
from nmt.prepare.bitext import Form, Tmx, Tsv
from nmt.prepare.names import languages_inside, names_language, plain_name, split_of
from nmt.text import languages

NAME = re.compile(
    rf"(?P<stem>(?:train|valid|test)(?:[.\-_].*?)??)\.(?P<language>{languages.TAG})(?:\.(?:gz|bz2|xz|zst))?"
)
"File names as train.en, train.zh-Hans.gz, and for several shards train.news.en, train-1.en, train.en-de.en."
BEGINNING = re.compile(r"(?:train|valid|test)[.\-_]")
OTHER_NAMES = {"valid": ("val", "dev", "validation")}


@dataclass(frozen=True)
class PairOfFiles:
    """Two text files of which line n of one translates line n of the other, or one file with both sides."""

    source: Path
    target: Path
    form: Form | None = None
    "How both sides lie in the one file that source and target are; None: in two files."

    def paths(self) -> tuple[Path, Path]:
        """Source and target."""
        return self.source, self.target


@dataclass(frozen=True)
class CorpusFiles:
    """The files of one language pair."""

    source: str
    "Source language, as the user or the files' names have it."
    target: str
    "Target language."
    splits: Mapping[str, Sequence[PairOfFiles]]
    "train and valid, perhaps valid.NAME and test; each with its pairs of files in the order in which they are read."
    chosen: str
    "How the direction was chosen, for people."
    folder: Path | None = None
    "Where they were found; None: they were named one by one."


Named = Mapping[str, Sequence[Sequence[str]]]
"{'train': [(source file, target file), (file with both,), ...]}."

Stems = dict[str, dict[str, Path]]
"{'train': {'en': train.en, 'de': train.de}}, sorted by stem."


def find_corpus(
    folder: Path | str,
    source: str | None = None,
    target: str | None = None,
    named: Named | None = None,
    needed: Sequence[str] = ("train", "valid"),
) -> CorpusFiles:
    """The language pair of a corpus folder; the direction from source and target where given, else out of English.

    named: files that stand in for the folder's own valid or test. needed: splits that must be there.
    """
    folder = Path(folder)
    stems = _stems(folder)
    source, target, chosen = _direction(folder, stems, source, target)
    splits: dict[str, list[PairOfFiles]] = {}
    for stem, files in stems.items():
        sides = [languages.among(tag, files) for tag in (source, target)]
        if sides[0] and sides[1]:
            splits.setdefault(split_of(stem), []).append(_pair(files[sides[0]], files[sides[1]], sides[0], sides[1]))
        elif any(sides) and len(files) == 1:
            missing = target if sides[0] else source
            (there,) = files.values()
            raise UserError("has no partner", where=there, hint=f"add {stem}.{missing}, or take it away")
    further = [name for name in splits if name.startswith(f"{VALID}.")]
    if VALID not in splits and further:
        splits[VALID] = [pair for name in further for pair in splits.pop(name)]
    splits |= _pairs_of(named or {}, source, target)
    _check_splits(folder, splits, (source, target), needed)
    order = ("train", *sorted(name for name in splits if name not in ("train", "test")), "test")
    return CorpusFiles(source, target, {name: splits[name] for name in order if name in splits}, chosen, folder)


def named_files(named: Named, source: str | None = None, target: str | None = None) -> CorpusFiles:
    """The corpus of files named one by one: each split a list of (source file, target file) or (file with both,).

    The languages are source and target, else what the names of the first training files say.
    """
    _check_named(named)
    first = named["train"][0]
    inside = languages_inside(Path(first[0])) if len(first) == 1 else None
    meant = [languages.among(tag, inside) for tag in (source, target) if tag] if inside else []
    if inside and any(meant):  # one may be named, the other is then known
        source = source or next(tag for tag in inside if tag != meant[-1])
        target = target or next(tag for tag in inside if tag != meant[0])
    source = source or (inside[0] if inside else _language_of(Path(first[0]), "--src"))
    target = target or (inside[1] if inside else _language_of(Path(first[-1]), "--tgt"))
    _check_different(source, target)
    pairs = _pairs_of(named, source, target)
    _check_splits(Path(first[0]), pairs, (source, target))
    return CorpusFiles(source, target, pairs, "by the order of the files")


def _pairs_of(named: Named, source: str, target: str) -> dict[str, list[PairOfFiles]]:
    _check_named(named)
    return {
        split: [_pair(Path(names[0]), Path(names[-1]), source, target) for names in files]
        for split, files in named.items()
        if files
    }


def _check_named(named: Named) -> None:
    for split, files in named.items():
        for names in files:
            for name in names:
                check_regular(Path(name))
            if len(names) > 2 or (len(names) == 1 and not plain_name(Path(names[0])).endswith(ONE_FILE)):
                problem = "has no partner" if len(names) == 1 else f"is one of {len(names)} files"
                hint = f"--{split} takes two text files, source and target, or one {' or '.join(ONE_FILE)} with both"
                raise UserError(problem, where=names[0], hint=hint)


def _pair(first: Path, second: Path, source: str, target: str) -> PairOfFiles:
    """Two files, or one with both sides: in a TSV whose name does not say otherwise the source comes first."""
    if first != second or not plain_name(first).endswith(ONE_FILE):
        return PairOfFiles(first, second)
    if plain_name(first).endswith(".tmx"):
        return PairOfFiles(first, first, Tmx(source, target))
    inside = languages_inside(first) or ()
    return PairOfFiles(
        first, first, Tsv(swapped=[languages.among(tag, inside) for tag in (target, source)] == [*inside])
    )


def check_regular(path: Path) -> None:
    """A file that is read several times must be a file: no pipe, no folder, not missing."""
    if not path.exists():
        raise UserError("no such file", where=path, hint="check the path")
    if not path.is_file():
        raise UserError("not a regular file", where=path, hint="it is read more than once: write it to a file first")


def _stems(folder: Path) -> Stems:
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise UserError(
            problem, where=folder, hint="put train.LANG and valid.LANG there, or name a folder with --corpus"
        )
    stems: Stems = {}
    for path in sorted(folder.iterdir()):
        if BEGINNING.match(path.name) and path.is_file() and (inside := languages_inside(path)):
            stems[path.name] = dict.fromkeys(inside, path)
            continue
        match = NAME.fullmatch(path.name)
        if not match or not names_language(match["language"]) or path.is_dir():
            continue
        files = stems.setdefault(match["stem"], {})
        if match["language"] in files:
            raise UserError(f"lies there twice, as {files[match['language']].name} too", where=path, hint="remove one")
        check_regular(path)
        files[match["language"]] = path
    if not any(stem.startswith("train") for stem in stems):
        hint = "it needs train.LANG and valid.LANG for two languages, as train.en and train.de; other names: --train"
        raise UserError(f"no training text{_unread(folder)}", where=folder, hint=hint)
    return stems


def _unread(folder: Path) -> str:
    """What to add where training text is missing: files that may be meant."""
    names = sorted(path.name for path in folder.glob("train*") if path.is_file())
    others = [name for name in names if not (found := NAME.fullmatch(name)) or not names_language(found["language"])]
    return f"; not read, for want of a language tag at the end: {', '.join(others[:3])}" if others else ""


def _direction(folder: Path, stems: Stems, source: str | None, target: str | None) -> tuple[str, str, str]:
    """Source, target, and how they were chosen."""
    training = [set(files) for stem, files in stems.items() if stem.startswith("train")]
    pairs = {pair for there in training for pair in combinations(sorted(there), 2)}
    tags = sorted(set().union(*training))
    asked = {tag for tag in (source, target) if tag}
    meant = {languages.among(tag, tags) for tag in asked}
    fitting = sorted(pair for pair in pairs if meant <= set(pair) and len(meant) == len(asked))
    if source and target:
        _check_different(source, target)
    if not fitting:
        wanted = (
            f"no training text for {' and '.join(sorted(asked))}" if asked else "training text in one language only"
        )
        wanted += f" (languages there: {', '.join(tags)}){_unread(folder)}"
        raise UserError(wanted, where=folder, hint="check --src and --tgt")
    if len(fitting) > 1:
        names = ", ".join("-".join(pair) for pair in fitting)
        raise UserError(f"several language pairs ({names})", where=folder, hint="choose with --src LANG --tgt LANG")
    first, second = fitting[0]
    if source or target:
        other = first if languages.among(source or target or "", fitting[0]) == second else second
        return source or other, target or other, "as asked"
    english = [tag for tag in fitting[0] if languages.is_english(tag)]
    if len(english) == 1:
        other = first if second == english[0] else second
        return english[0], other, "English is the source unless --src says otherwise"
    raise UserError(
        f"which of {first} and {second} is the source?", where=folder, hint=f"say --src {first} --tgt {second}"
    )


def _check_different(source: str, target: str) -> None:
    if source == target:
        raise UserError(f"source and target are both {source}", hint="check --src and --tgt")


def _check_splits(
    where: Path, splits: Mapping[str, object], pair: tuple[str, str], needed: Sequence[str] = ("train", "valid")
) -> None:
    for split in needed:
        if split in splits:
            continue
        hint = f"add {split}.{pair[0]} and {split}.{pair[1]}"
        if split == "valid":
            hint += " (1,000 to 3,000 pairs that are not in the training text), or name two files with --valid"
            others = sorted(path.name for name in OTHER_NAMES["valid"] for path in where.glob(f"{name}.*"))
            hint = f"{others[0]} is there: name it valid.{others[0].partition('.')[2]}" if others else hint
        raise UserError(f"no {split} text for {'-'.join(pair)}", where=where, hint=hint)


def _language_of(path: Path, flag: str) -> str:
    suffix = plain_name(path).rpartition(".")[2]
    if not names_language(suffix):
        raise UserError("its name does not end in a language code", where=path, hint=f"give the language with {flag}")
    return suffix
