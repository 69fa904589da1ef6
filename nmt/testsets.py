"""The text a model is evaluated on: two files, the test split of a corpus folder, or one of sacreBLEU's test sets."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from sacrebleu import utils

from bpe.compressed import SUFFIXES
from bpe.errors import UserError
from bpe.textfiles import read_lines, sha256_of


@dataclass(frozen=True)
class TextFile:
    """The lines of a file, and what it takes to recognise it."""

    path: Path
    lines: list[str]
    sha256: str

    @classmethod
    def read(cls, path: Path | str) -> TextFile:
        """Read UTF-8 lines, plain or compressed. Raises UserError naming file and line."""
        return cls(Path(path), list(read_lines(path)), sha256_of(path))

    def description(self) -> dict[str, object]:
        """For reports: path, number of lines, SHA-256."""
        return {"path": str(self.path), "lines": len(self.lines), "sha256": self.sha256}


@dataclass(frozen=True)
class TestSet:
    """Sources and their references, line by line."""

    __test__ = False  # not a test, whatever pytest makes of the name

    name: str
    source: TextFile | None
    "None where there is a translation already, and only its reference is needed."
    reference: TextFile

    def __post_init__(self) -> None:
        if self.source is None:
            return
        sources, references = len(self.source.lines), len(self.reference.lines)
        if sources != references:
            raise UserError(
                f"{sources:,} lines, but {references:,} in {self.reference.path}",
                where=self.source.path,
                hint="the two sides of a test set must have as many lines",
            )

    def description(self) -> dict[str, object]:
        """For reports: its name, and what `TextFile.description` says of both sides."""
        source = self.source.description() if self.source else None
        return {"name": self.name, "source": source, "reference": self.reference.description()}


def from_files(source: Path | str | None, reference: Path | str) -> TestSet:
    """A test set of two files, or of a reference alone."""
    return TestSet(Path(reference).name, TextFile.read(source) if source else None, TextFile.read(reference))


def from_corpus(folder: Path | str, source: str, target: str) -> TestSet:
    """The test split of a corpus folder: test.LANG for each language, plain or compressed."""
    paths = [_side(Path(folder), language) for language in (source, target)]
    return TestSet("test", *(TextFile.read(path) for path in paths))


def every_test_set(folder: Path | str, source: str, target: str) -> list[TestSet]:
    """Every set of a corpus folder that is neither train nor valid and there in both languages, by name."""
    names = []
    for path in Path(folder).glob(f"*.{source}*"):
        plain = path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name
        name = plain.removesuffix(f".{source}")
        other = [Path(folder) / f"{name}.{target}{ending}" for ending in ("", *SUFFIXES)]
        known = plain == f"{name}.{source}"
        if known and not name.startswith(("train", "valid")) and any(each.is_file() for each in other):
            names.append(name)
    return [
        TestSet(name, *(TextFile.read(_side(Path(folder), language, name)) for language in (source, target)))
        for name in sorted(set(names))
    ]


def from_sacrebleu(name: str, source: str, target: str) -> TestSet:
    """One of sacreBLEU's test sets, downloaded into its cache (~/.sacrebleu) the first time; the first reference."""
    known = utils.get_available_testsets()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1) or ["wmt14/full"]
        raise UserError(f"unknown test set {name!r}", where="--testset", hint=f"did you mean {near[0]}?")
    pair = f"{source}-{target}"
    pairs = utils.get_langpairs_for_testset(name)
    if pair not in pairs:
        raise UserError(f"{name} has no {pair}", where="--testset", hint=f"it has {', '.join(pairs)}")
    try:
        files = [utils.get_source_file(name, pair), utils.get_reference_files(name, pair)[0]]
    except (Exception, SystemExit) as error:  # sacreBLEU raises bare Exceptions and exits
        why = f"cannot be had ({type(error).__name__}: {error})"
        hint = "check the network, or give --source and --reference"
        raise UserError(why, where=f"--testset {name}", hint=hint) from None
    return TestSet(f"{name}/{pair}", *(TextFile.read(path) for path in files))


def _side(folder: Path, language: str, name: str = "test") -> Path:
    plain = folder / f"{name}.{language}"
    for path in (plain, *(folder / f"{plain.name}{ending}" for ending in SUFFIXES)):
        if path.is_file():
            return path
    raise UserError("no such file", where=plain, hint="name a folder with --corpus, or --source and --reference")
