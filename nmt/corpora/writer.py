"""The corpus folder: what is in it, what a fetch would replace, and corpus.json, which says where it came from."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bpe.errors import UserError
from bpe.locks import exclusive
from bpe.progress import Progress
from bpe.textfiles import no_space, remove_leftovers, sha256_of, write_text
from nmt.corpora.records import Corpus, ExpectedFile, Pair, SplitText

RECORD = "corpus.json"
UNFINISHED, LOCK = ".nmt-data.part", ".nmt-data.lock"
"Inside of the corpus folder: the folder in which files are built, none of which is ever read, and its owner's lock."

LONG_LINE = 1 << 20
"Characters."
WORD = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """One file of text: its name, number of lines and of words (what white space separates), and SHA-256."""

    name: str
    lines: int
    sha256: str
    words: int | None = None
    "None: fetched before words were counted."


def read_record(folder: Path) -> dict[str, Any]:
    """corpus.json: name -> what was fetched; empty where there is none."""
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        corpora = json.loads(path.read_text(encoding="utf-8"))["corpora"]
        for entry in corpora.values():
            [WrittenFile(name=name, **facts) for name, facts in entry["files"].items()], list(entry["pair"])
        return dict(corpora)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            "not a record written by nmt-data", where=path, hint="remove it, or choose another --corpus"
        ) from None


def in_the_way(folder: Path, corpus: Corpus) -> list[Path]:
    """Text files already in the folder for any of the corpus's splits: in whatever language, or in one language."""
    ending = r"txt" if corpus.one_language else r"(?!txt\b)[A-Za-z]{2,3}([_-]\w+)?"
    pattern = re.compile(rf"({'|'.join(map(re.escape, corpus.splits))})\.{ending}(\.gz)?")
    return sorted(path for path in folder.glob("*") if pattern.fullmatch(path.name))


def already_there(folder: Path, corpus: Corpus, pair: Pair) -> list[WrittenFile] | None:
    """The files of an earlier fetch of the same corpus, verified; None where there is no such fetch or it is another.

    UserError where a file has changed since it was fetched.
    """
    entry = read_record(folder).get(corpus.name)
    if entry is None or set(entry["pair"]) != set(pair) or set(entry["files"]) != set(corpus.written(pair)):
        return None
    files = [WrittenFile(name=name, **facts) for name, facts in entry["files"].items()]
    if {path.name for path in in_the_way(folder, corpus)} != set(entry["files"]):
        return None
    if any(_differs(corpus.expected(pair, file.name), file) for file in files):
        return None
    for file in files:
        if sha256_of(folder / file.name) != file.sha256:
            raise UserError(
                f"was fetched from {corpus.name} and has been changed since",
                where=folder / file.name,
                hint="--force fetches it again and replaces it, or choose another folder with --corpus",
            )
    return files


def _differs(expected: ExpectedFile, file: WrittenFile) -> bool:
    wrong_text = bool(expected.sha256) and expected.strict and expected.sha256 != file.sha256
    wrong_words = None not in (expected.words, file.words) and expected.words != file.words
    return wrong_text or wrong_words or (expected.lines is not None and expected.lines != file.lines)


def refuse(folder: Path, corpus: Corpus) -> None:
    """UserError where the folder holds text that a fetch would replace or mix with."""
    if names := [path.name for path in in_the_way(folder, corpus)]:
        record = read_record(folder)
        owners = {name: known for known, entry in record.items() for name in entry["files"]}
        told = [f"{name} ({owners[name]})" if name in owners else name for name in names]
        raise UserError(
            f"{corpus.name} would replace {', '.join(told)}",
            where=folder,
            hint="--force replaces all of these, or choose another folder with --corpus",
        )


def tidy(folder: Path) -> None:
    """Remove what a fetch that was killed left in a corpus folder; one that is under way is left alone."""
    remove_leftovers(folder)
    if (folder / UNFINISHED).exists():
        with suppress(OSError), exclusive(folder / LOCK) as mine:
            if mine:
                shutil.rmtree(folder / UNFINISHED, ignore_errors=True)


class FolderWriter:
    """Builds the files of one fetch beside their places; install() puts them there together."""

    def __init__(self, folder: Path, corpus: Corpus, pair: Pair, *, quiet: bool = False) -> None:
        self.folder, self.corpus, self.pair, self.quiet = folder, corpus, pair, quiet
        self.workshop = folder / UNFINISHED
        self.files: list[WrittenFile] = []
        self.work = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                if not stack.enter_context(exclusive(self.folder / LOCK)):
                    hint = "wait for it, or choose another folder with --corpus"
                    raise UserError("another nmt-data is at work in this folder", where=self.folder, hint=hint)
                stack.callback(shutil.rmtree, self.workshop, ignore_errors=True)
                shutil.rmtree(self.workshop, ignore_errors=True)
                self.workshop.mkdir()
            except OSError as error:
                raise no_space(error, self.folder) from None
            self.work = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.work.close()

    def write(self, split: SplitText) -> None:
        """Write the sides of a split and check what was written against the catalogue."""
        names = [f"{split.name}.{code}" for code in self.pair]
        for file in self._write_sides(names, split.pairs, "lines" if self.corpus.one_language else "pairs"):
            check(self.corpus.expected(self.pair, file.name), file, self.folder)
            self.files.append(file)

    def _write_sides(self, names: list[str], pairs: Iterable[tuple[str, ...]], unit: str) -> list[WrittenFile]:
        hashes, words, count = [hashlib.sha256() for _ in names], [0 for _ in names], 0
        try:
            with ExitStack() as stack:
                streams = [stack.enter_context(open(self.workshop / name, "wb")) for name in names]
                progress = stack.enter_context(Progress(f"writing {names[0]}", unit=unit, quiet=self.quiet))
                for pair in pairs:
                    for side, (text, stream, digest) in enumerate(zip(pair, streams, hashes, strict=True)):
                        raw = text.encode("utf-8") + b"\n"
                        stream.write(raw)
                        digest.update(raw)
                        words[side] += num_words(text)
                    count += 1
                    progress.advance()
        except OSError as error:
            raise no_space(error, self.folder) from None
        return [
            WrittenFile(name=name, lines=count, words=number, sha256=digest.hexdigest())
            for name, number, digest in zip(names, words, hashes, strict=True)
        ]

    def install(self, facts: dict[str, Any]) -> None:
        """Move the files into place, remove what they replace, and record `facts` and the files in corpus.json."""
        old = in_the_way(self.folder, self.corpus)
        record = {name: entry for name, entry in read_record(self.folder).items() if name != self.corpus.name}
        gone = {path.name for path in old}
        record = {name: entry for name, entry in record.items() if not gone & set(entry["files"])}
        for path in old:
            path.unlink()
        for file in self.files:
            (self.workshop / file.name).replace(self.folder / file.name)
        files = {file.name: {"lines": file.lines, "words": file.words, "sha256": file.sha256} for file in self.files}
        record[self.corpus.name] = {"pair": list(self.pair), **facts, "files": files}
        text = json.dumps({"format": 1, "corpora": record}, indent=2, ensure_ascii=False)
        write_text(self.folder / RECORD, text + "\n")


def num_words(text: str) -> int:
    """Words of a line; one of any length is not cut into a list of all its words."""
    return len(text.split()) if len(text) < LONG_LINE else sum(1 for _ in WORD.finditer(text))


def check(expected: ExpectedFile, file: WrittenFile, folder: Path) -> None:
    """UserError where a written file is not what the catalogue says."""
    if not _differs(expected, file):
        return
    wanted = f"{expected.lines:,} lines" if expected.lines is not None else ""
    if expected.words not in (None, file.words) and file.words is not None:
        raise UserError(
            f"the text built has {file.words:,} words, expected {expected.words:,}", where=folder / file.name
        )
    if expected.lines in (None, file.lines):
        raise UserError(
            f"the text built has SHA-256 {file.sha256}, expected {expected.sha256}", where=folder / file.name
        )
    raise UserError(f"the text built has {file.lines:,} lines, expected {wanted}", where=folder / file.name)
