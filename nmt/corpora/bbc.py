"""BBC News, 2,225 articles of 2004 and 2005, as lines for language models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nmt.corpora.archives import decoded, zip_documents
from nmt.corpora.heldout import bucket
from nmt.corpora.records import TEXT, Corpus, ExpectedFile, Pair, RemoteFile, SplitText
from nmt.corpora.running import sentences_of

ARCHIVE = "bbc-fulltext.zip"
ARTICLE = re.compile(r"bbc/(business|entertainment|politics|sport|tech)/\d+\.txt")
HELD_OUT_SHARE = 0.05
"Share of the articles drawn for each of valid and test."


def files(pair: Pair) -> tuple[RemoteFile, ...]:
    """The archive."""
    return (
        RemoteFile(
            name=ARCHIVE,
            url=f"http://mlg.ucd.ie/files/datasets/{ARCHIVE}",
            size=2_874_078,
            sha256="a351031a62325b3d7ff13146eeb035c22feca8290913b5183d1ff3be35109495",
            checksum_source="published by a repository that uses it",
        ),
    )


def build(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """Articles by their names, drawn for valid and test by the hash of the name; what was there before is left out."""
    groups: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    seen: set[str] = set()
    for name, raw in zip_documents(paths[ARCHIVE], ARTICLE).items():
        lines = list(sentences_of(decoded(raw)))
        text = "\n".join(lines)
        place = bucket(name)
        split = "valid" if place < HELD_OUT_SHARE else "test" if place < 2 * HELD_OUT_SHARE else "train"
        groups[split] += [] if text in seen else lines
        seen.add(text)
    for split, lines in groups.items():
        yield SplitText(name=split, pairs=[(line,) for line in lines])


OUTPUTS = {
    "train.txt": ExpectedFile(sha256="e9b609e95399c599f91cd5d2d7c4d1ae3bac502936177eec67492922d780b00a", strict=False),
    "valid.txt": ExpectedFile(sha256="a402b9e4596ecbdb72417c986497412e64ed79cdf67bf49d129f6b9a84960b1c", strict=False),
    "test.txt": ExpectedFile(sha256="5714d57ba3e7f2f38b52ab4db96f0ba6f85bd2e3992765def9da8cb8e9153c0f", strict=False),
}
"Built from another public copy of the unpacked archive."

CORPUS = Corpus(
    name="bbc",
    title="BBC News: 2,225 articles in five topics",
    purpose="language models of news, a small text",
    licence="all rights in the articles are the BBC's; offered for research",
    citation="Greene & Cunningham: Practical Solutions to the Problem of Diagonal Dominance in Kernel Document "
    "Clustering, ICML 2006",
    source="http://mlg.ucd.ie/datasets/bbc.html",
    pairs=(TEXT,),
    files=files,
    splits=("train", "valid", "test"),
    build=build,
    outputs={TEXT: OUTPUTS},
    approximate_pairs={TEXT: 35_953},
    notes="A sentence a line, words and marks apart, small letters (nmt/corpora/running.py). The splits of Miyamoto & "
    "Cho (2016) are not published; these are ours: an article is drawn by the SHA-256 of its name, 5% for valid and "
    "5% for test; one that is there twice, word for word, is there once. From another public copy: 35,953 + 2,125 + "
    "1,976 lines, 827,722 + 49,488 + 45,759 words.",
)
