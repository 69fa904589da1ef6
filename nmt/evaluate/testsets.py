"""The text a model is evaluated on: two files, the test split of a corpus folder, or one of sacreBLEU's test sets."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sacrebleu import utils

from bpe.errors import UserError
from bpe.textfiles import read_lines, sha256_of
from nmt.prepare.names import plain_name
from nmt.text.languages import among


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
    """A source and its references, line by line."""

    __test__ = False  # not a test, whatever pytest makes of the name

    name: str
    source: TextFile | None
    "None where there is a translation already, and only its references are needed."
    references: tuple[TextFile, ...]
    "At least one."

    def __post_init__(self) -> None:
        first, *others = (self.source or self.reference, *self.references)
        for other in others:
            if len(first.lines) != len(other.lines):
                raise UserError(
                    f"{len(first.lines):,} lines, but {len(other.lines):,} in {other.path}",
                    where=first.path,
                    hint="the files of a test set must have as many lines",
                )

    @property
    def reference(self) -> TextFile:
        """The first one."""
        return self.references[0]

    @property
    def more_references(self) -> list[list[str]]:
        """The lines of the others."""
        return [file.lines for file in self.references[1:]]

    def description(self) -> dict[str, object]:
        """For reports: its name, and what `TextFile.description` says of the source and each reference."""
        source = self.source.description() if self.source else None
        references = [file.description() for file in self.references]
        return {"name": self.name, "source": source, "reference": references[0], "references": references}


def from_files(source: Path | str | None, references: Sequence[Path | str]) -> TestSet:
    """A test set of a source and its references, or of references alone."""
    files = tuple(TextFile.read(path) for path in references)
    return TestSet(files[0].path.name, TextFile.read(source) if source else None, files)


def from_corpus(folder: Path | str, source: str, target: str) -> TestSet:
    """The test split of a corpus folder: test.LANG for each language, plain or compressed."""
    return _from_folder(Path(folder), source, target, "test")


def every_test_set(folder: Path | str, source: str, target: str) -> list[TestSet]:
    """Every set of a corpus folder that is neither train nor valid and there in both languages, by name."""
    folder = Path(folder)
    names = {plain_name(path).rpartition(".")[0] for path in folder.iterdir() if path.is_file()}
    return [
        _from_folder(folder, source, target, name)
        for name in sorted(names)
        if name and not name.startswith(("train", "valid"))
        if _find(folder, source, name) and _find(folder, target, name)
    ]


def from_sacrebleu(name: str, source: str, target: str) -> TestSet:
    """One of sacreBLEU's test sets, with all its references; downloaded into ~/.sacrebleu the first time."""
    known = utils.get_available_testsets()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1) or ["wmt14/full"]
        raise UserError(f"unknown test set {name!r}", where="--testset", hint=f"did you mean {near[0]}?")
    pairs = utils.get_langpairs_for_testset(name)
    pair = _meant(pairs, source, target)
    if pair is None:
        raise UserError(f"{name} has no {source}-{target}", where="--testset", hint=f"it has {', '.join(pairs)}")
    try:
        files = [utils.get_source_file(name, pair), *utils.get_reference_files(name, pair)]
    except (Exception, SystemExit) as error:  # sacreBLEU raises bare Exceptions and exits
        why = f"cannot be had ({type(error).__name__}: {error})"
        hint = "check the network, or give --source and --reference"
        raise UserError(why, where=f"--testset {name}", hint=hint) from None
    first, *others = (TextFile.read(path) for path in files)
    return TestSet(f"{name}/{pair}", first, tuple(others))


def _meant(pairs: Sequence[str], source: str, target: str) -> str | None:
    """The pair of languages (en-de) that is asked for by whatever names."""
    sides = [pair.split("-") for pair in pairs]
    wanted = [among(tag, {both[side] for both in sides}) for side, tag in enumerate((source, target))]
    return next((pair for pair, both in zip(pairs, sides, strict=True) if both == wanted), None)


def _from_folder(folder: Path, source: str, target: str, name: str) -> TestSet:
    first, second = (TextFile.read(_side(folder, language, name)) for language in (source, target))
    return TestSet(name, first, (second,))


def _side(folder: Path, language: str, name: str) -> Path:
    if found := _find(folder, language, name):
        return found
    hint = "name a folder with --corpus, or --source and --reference"
    raise UserError("no such file", where=folder / f"{name}.{language}", hint=hint)


def _find(folder: Path, language: str, name: str) -> Path | None:
    """The file of a set in a language, by whatever tag its name ends in; a plain one rather than a compressed one."""
    paths = sorted(folder.glob(f"{glob.escape(name)}.*"), reverse=True)
    files = {plain_name(path).removeprefix(f"{name}."): path for path in paths if path.is_file()}
    tag = among(language, files)
    return files[tag] if tag else None
