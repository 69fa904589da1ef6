"""Which files make up a corpus: train*.LANG, valid*.LANG and test*.LANG of one folder, or files named one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from bpe.compressed import SUFFIXES as PACKED
from bpe.errors import UserError
from nmt.data.bitext import SUFFIXES as ONE_FILE
from nmt.data.bitext import Form, Tmx, Tsv

SPLITS = ("train", "valid", "test")
LANGUAGE = "[a-z]{2,3}(?:[-_][A-Za-z]{2,4})?"
NAME = re.compile(rf"(?P<stem>(?:train|valid|test)(?:[.\-_].*?)??)\.(?P<language>{LANGUAGE})(?:\.(?:gz|bz2|xz|zst))?")
"File names as train.en, train.en.gz, and for several shards train.news.en, train-1.en, train.en-de.en."
BEGINNING = re.compile(r"(?:train|valid|test)[.\-_]")
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
    "Source language code."
    target: str
    "Target language code."
    splits: Mapping[str, Sequence[PairOfFiles]]
    "train and valid, perhaps test; each with its pairs of files in the order in which they are read."
    chosen: str
    "How the direction was chosen, for people."


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
    for stem, languages in stems.items():
        if source in languages and target in languages:
            split = next(name for name in SPLITS if stem.startswith(name))
            splits.setdefault(split, []).append(_pair(languages[source], languages[target], source, target))
        elif set(languages) & {source, target} and len(languages) == 1:
            (there,) = languages
            missing = target if there == source else source
            raise UserError("has no partner", where=languages[there], hint=f"add {stem}.{missing}, or take it away")
    splits |= _pairs_of(named or {}, source, target)
    _check_splits(folder, splits, f"{source}-{target}", needed)
    return CorpusFiles(source, target, {name: splits[name] for name in SPLITS if name in splits}, chosen)


def named_files(named: Named, source: str | None = None, target: str | None = None) -> CorpusFiles:
    """The corpus of files named one by one: each split a list of (source file, target file) or (file with both,).

    The languages are source and target, else what the names of the first training files say.
    """
    _check_named(named)
    first = named["train"][0]
    inside = languages_inside(Path(first[0])) if len(first) == 1 else None
    if inside and {source, target} & {*inside}:  # one may be named, the other is then known
        source = source or next(code for code in inside if code != target)
        target = target or next(code for code in inside if code != source)
    source = source or (inside[0] if inside else _language_of(Path(first[0]), "--src"))
    target = target or (inside[1] if inside else _language_of(Path(first[-1]), "--tgt"))
    _check_different(source, target)
    pairs = _pairs_of(named, source, target)
    _check_splits(Path(first[0]), pairs, f"{source}-{target}")
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
            if len(names) > 2 or (len(names) == 1 and not _plain_name(Path(names[0])).endswith(ONE_FILE)):
                problem = "has no partner" if len(names) == 1 else f"is one of {len(names)} files"
                hint = f"--{split} takes two text files, source and target, or one {' or '.join(ONE_FILE)} with both"
                raise UserError(problem, where=names[0], hint=hint)


def _pair(first: Path, second: Path, source: str, target: str) -> PairOfFiles:
    """Two files, or one with both sides: in a TSV whose name does not say otherwise the source comes first."""
    if first != second or not _plain_name(first).endswith(ONE_FILE):
        return PairOfFiles(first, second)
    if _plain_name(first).endswith(".tmx"):
        return PairOfFiles(first, first, Tmx(source, target))
    return PairOfFiles(first, first, Tsv(swapped=languages_inside(first) == (target, source)))


def _plain_name(path: Path) -> str:
    """The name without the ending of its compression."""
    return path.name.removesuffix(path.suffix) if path.suffix in PACKED else path.name


def languages_inside(path: Path) -> tuple[str, str] | None:
    """The languages that the name of a file with both sides names, in their order, as train.en-de.tsv; else None.

    Regions are set off by '_' where a '-' could be read in two ways: en-pt_BR. Such a name is a UserError.
    """
    name = _plain_name(path)
    if not name.endswith(ONE_FILE):
        return None
    words = name.split(".")[-2].split("-")
    halves = [("-".join(words[:cut]), "-".join(words[cut:])) for cut in range(1, len(words))]
    found = [half for half in halves if all(re.fullmatch(LANGUAGE, code) for code in half)]
    if len(found) > 1:
        hint = f"set a region off by '_', as {found[0][0]}-{found[0][1].replace('-', '_')}"
        raise UserError("its name can be read in two ways", where=path, hint=hint)
    return found[0] if found else None


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
        if not match or match["language"] in NOT_LANGUAGES or path.is_dir():
            continue
        languages = stems.setdefault(match["stem"], {})
        if match["language"] in languages:
            raise UserError(
                f"lies there twice, as {languages[match['language']].name} too", where=path, hint="remove one"
            )
        check_regular(path)
        languages[match["language"]] = path
    if not any(stem.startswith("train") for stem in stems):
        hint = "it needs train.LANG and valid.LANG for two languages, as train.en and train.de; other names: --train"
        raise UserError("no training text", where=folder, hint=hint)
    return stems


def _direction(folder: Path, stems: Stems, source: str | None, target: str | None) -> tuple[str, str, str]:
    """Source, target, and how they were chosen."""
    training = [set(languages) for stem, languages in stems.items() if stem.startswith("train")]
    pairs = {pair for languages in training for pair in combinations(sorted(languages), 2)}
    asked = {code for code in (source, target) if code}
    fitting = sorted(pair for pair in pairs if asked <= set(pair))
    there = ", ".join(sorted(set().union(*training)))
    if source and target:
        _check_different(source, target)
    if not fitting:
        wanted = (
            f"no training text for {' and '.join(sorted(asked))}" if asked else "training text in one language only"
        )
        raise UserError(f"{wanted} (languages there: {there})", where=folder, hint="check --src and --tgt")
    if len(fitting) > 1:
        names = ", ".join("-".join(pair) for pair in fitting)
        raise UserError(f"several language pairs ({names})", where=folder, hint="choose with --src LANG --tgt LANG")
    first, second = fitting[0]
    if source or target:
        source = source or (first if target == second else second)
        return source, first if source == second else second, "as asked"
    if "en" in fitting[0]:
        return "en", first if second == "en" else second, "English is the source unless --src says otherwise"
    raise UserError(
        f"which of {first} and {second} is the source?", where=folder, hint=f"say --src {first} --tgt {second}"
    )


def _check_different(source: str, target: str) -> None:
    if source == target:
        raise UserError(f"source and target are both {source}", hint="check --src and --tgt")


def _check_splits(
    where: Path, splits: Mapping[str, object], pair: str, needed: Sequence[str] = ("train", "valid")
) -> None:
    for split in needed:
        if split in splits:
            continue
        hint = f"add {split}.{pair.split('-')[0]} and {split}.{pair.split('-')[-1]}"
        if split == "valid":
            hint += " (1,000 to 3,000 pairs that are not in the training text), or name two files with --valid"
            others = sorted(path.name for name in OTHER_NAMES["valid"] for path in where.glob(f"{name}.*"))
            hint = f"{others[0]} is there: name it valid.{others[0].partition('.')[2]}" if others else hint
        raise UserError(f"no {split} text for {pair}", where=where, hint=hint)


def _language_of(path: Path, flag: str) -> str:
    suffix = _plain_name(path).rpartition(".")[2]
    if not re.fullmatch(LANGUAGE, suffix) or suffix in NOT_LANGUAGES:
        raise UserError("its name does not end in a language code", where=path, hint=f"give the language with {flag}")
    return suffix
