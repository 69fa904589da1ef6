"""Fetching one corpus: refuse or recognise what is there, obtain its files, build and check its text, record it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from nmt.corpora.obtain import DownloadSettings, Obtained, obtain
from nmt.corpora.records import Corpus, Pair
from nmt.corpora.writer import FolderWriter, WrittenFile, already_there, refuse, tidy


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What is in the corpus folder now."""

    files: list[WrittenFile]
    "The files, in the order written."
    already: bool
    "Whether an earlier fetch had put them there."
    remarks: list[str]
    "What the user should know: text that differs from another public copy."


def fetch(
    corpus: Corpus,
    pair: Pair,
    folder: Path,
    source: DownloadSettings,
    *,
    force: bool = False,
    announce: Callable[[], None] = lambda: None,
) -> Fetched:
    """Put the corpus's splits for a language pair into `folder`.

    pair: as Corpus.resolve gives it. force: replace text that is there. announce: called before
    anything is downloaded.
    Errors: UserError for text that is in the way, a failed download, a wrong checksum, a full disk.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError("is not a folder", where=folder, hint="choose another with --corpus")
    tidy(folder)
    if not force:
        if (files := already_there(folder, corpus, pair)) is not None:
            return Fetched(files=files, already=True, remarks=[])
        refuse(folder, corpus)
    announce()
    obtained = {file.name: obtain(corpus.name, file, source) for file in corpus.files(pair)}
    with FolderWriter(folder, corpus, pair, quiet=source.quiet) as writer:
        for split in corpus.build(pair, {name: file.path for name, file in obtained.items()}):
            writer.write(split)
        writer.install(facts(corpus, pair, obtained))
        return Fetched(files=writer.files, already=False, remarks=remarks(corpus, pair, writer.files))


def facts(corpus: Corpus, pair: Pair, obtained: dict[str, Obtained]) -> dict[str, Any]:
    """What corpus.json says of a corpus besides its files."""
    downloads = {
        file.name: {
            "sha256": obtained[file.name].sha256,
            "size": obtained[file.name].path.stat().st_size,
            "url": file.url,
        }
        for file in corpus.files(pair)
    }
    return {
        "title": corpus.title,
        "source": corpus.source,
        "licence": corpus.licence,
        "citation": corpus.citation,
        "notes": corpus.notes,
        "downloads": downloads,
    }


def remarks(corpus: Corpus, pair: Pair, files: list[WrittenFile]) -> list[str]:
    """Differences from other public copies of the same text, which are no errors."""
    found = []
    for file in files:
        expected = corpus.expected(pair, file.name)
        if expected.sha256 and expected.sha256 != file.sha256:
            found.append(f"{file.name} differs from another public copy of the same text (SHA-256 {expected.sha256})")
    return found
