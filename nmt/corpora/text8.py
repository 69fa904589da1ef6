"""text8: the first hundred million letters and spaces of Wikipedia, in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bpe.errors import UserError
from nmt.corpora.archives import zip_lines
from nmt.corpora.records import TEXT, Corpus, ExpectedFile, Pair, RemoteFile, SplitText

ARCHIVE, MEMBER = "text8.zip", "text8"
TRAIN_CHARACTERS = 99_000_000


def files(pair: Pair) -> tuple[RemoteFile, ...]:
    """The archive."""
    return (
        RemoteFile(
            name=ARCHIVE,
            url=f"https://mattmahoney.net/dc/{ARCHIVE}",
            size=31_344_016,
            sha256="a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
            checksum_source="published by several repositories that use it",
        ),
    )


def build(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """The first 99 million characters, and the last million, a line each."""
    try:
        ((text,),) = zip_lines(paths[ARCHIVE], MEMBER)
    except ValueError:
        raise UserError("is not one line", where=paths[ARCHIVE]) from None
    yield SplitText(name="train", pairs=[(text[:TRAIN_CHARACTERS],)])
    yield SplitText(name="test", pairs=[(text[TRAIN_CHARACTERS:],)])


CORPUS = Corpus(
    name="text8",
    title="text8: the beginning of the English Wikipedia of March 2006, letters and spaces alone",
    purpose="word2vec and language models: 17 million words",
    licence="CC BY-SA 3.0 and GFDL (text of Wikipedia)",
    citation="Mahoney: About the Test Data, https://mattmahoney.net/dc/textdata.html",
    source="https://mattmahoney.net/dc/text8.zip",
    pairs=(TEXT,),
    files=files,
    splits=("train", "test"),
    build=build,
    outputs={TEXT: {"train.txt": ExpectedFile(lines=1), "test.txt": ExpectedFile(lines=1)}},
    notes="train is the first 99,000,000 characters, test the last 1,000,000: a word may be cut in two between them. "
    "Each is one line. 17,005,207 words together.",
)
